"""What periodic tasks need of the outside world: the leader table, and a way to send."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Protocol

from sqsd.cron.lease import LeaseRecord
from sqsd.cron.occurrence import RunRecord, TaskRecord


class LeaderTable(Protocol):
    """Where instances agree on who enqueues periodic tasks, and on what was enqueued and answered.

    Every write is conditional; a refused one is None or False. Calls raise `AwsError` or
    `AwsUnreachable`, after which nobody knows whether the write was made.
    """

    @property
    def name(self) -> str:
        """For messages to people."""

    def within(self, seconds: float) -> LeaderTable:
        """The same table, whose calls are given up after so many seconds."""

    async def read_lease(self) -> LeaseRecord | None: ...

    async def acquire_lease(
        self, holder: str, lease_seconds: float, seen: LeaseRecord | None
    ) -> LeaseRecord | None: ...

    async def renew_lease(
        self, holder: str, lease_seconds: float, term: int
    ) -> LeaseRecord | None: ...

    async def release_lease(self, holder: str, term: int) -> bool: ...

    async def read_task(self, name: str) -> TaskRecord | None: ...

    async def write_task(self, name: str, record: TaskRecord, over: int | None) -> bool: ...

    async def read_run(self, name: str, time: datetime) -> RunRecord | None: ...

    async def dispatch_run(
        self, name: str, time: datetime, message_id: str, now: datetime, over: RunRecord | None
    ) -> bool: ...

    async def finish_run(
        self, name: str, time: datetime, message_id: str, now: datetime, *, done: bool
    ) -> None: ...


class Sender(Protocol):
    """Sends to the work queue."""

    async def send(
        self,
        *,
        body: str,
        attributes: Mapping[str, str],
        group_id: str | None,
        deduplication_id: str | None,
    ) -> str:
        """Send one message with String attributes; gives its id.

        Raises:
            SqsdError: SQS refused it, or nobody knows whether SQS took it.
        """
