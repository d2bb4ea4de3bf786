"""What periodic tasks need of the outside world: DynamoDB, the leader table, and a queue."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from datetime import datetime
from typing import Any, Protocol

from sqsd.contract import Occurrence
from sqsd.cron.lease import LeaseRecord
from sqsd.cron.occurrence import RunRecord, TaskRecord, UnreadableTask


class TableApi(Protocol):
    """Calls DynamoDB in one region."""

    def call(
        self, action: str, request: Mapping[str, Any], *, timeout: float
    ) -> Awaitable[dict[str, Any]]:
        """Make one call of `action`, give it up after `timeout` seconds, and return its answer.

        Raises:
            AwsError: DynamoDB refused the call.
            AwsUnreachable: there was no usable answer in time; the effect of the call is unknown.
            NoCredentials: the call could not be signed.
        """


class LeaderTable(Protocol):
    """Where instances agree which of them enqueues periodic tasks, and what was already done.

    Every write is conditional. A write whose condition does not hold is not made, and returns None
    or False. Any method may raise what `TableApi.call` raises.
    """

    def within(self, seconds: float) -> LeaderTable:
        """Return the same table with calls that are given up after `seconds`."""

    async def read_lease(self) -> LeaseRecord | None:
        """Return the lease, or None if there is no item."""

    async def acquire_lease(
        self, holder: str, lease_seconds: float, seen: LeaseRecord | None
    ) -> LeaseRecord | None:
        """Make `holder` the holder in a new term if the item is as `seen`, or absent if None."""

    async def renew_lease(self, holder: str, lease_seconds: float, term: int) -> LeaseRecord | None:
        """Add one to the lease's version if `holder` holds it in `term`."""

    async def release_lease(self, holder: str, term: int) -> bool:
        """Free the lease if `holder` holds it in `term`."""

    async def read_task(self, name: str) -> TaskRecord | UnreadableTask | None:
        """Return a task's item, or None if there is none."""

    async def write_task(
        self, name: str, record: TaskRecord, expected_version: int | UnreadableTask | None
    ) -> bool:
        """Write a task's item if it has the expected version; None: if none exists."""

    async def read_run(self, occurrence: Occurrence) -> RunRecord | None:
        """Return the item of an occurrence, or None if there is none."""

    async def dispatch_run(
        self, occurrence: Occurrence, message_id: str, now: datetime, seen: RunRecord | None
    ) -> bool:
        """Record that the message `message_id` of an occurrence is dispatched.

        The condition without `seen`: no other message was dispatched, and this one is not done.
        With it: the item still names the message of `seen`, and is not done.
        """

    async def finish_run(
        self, occurrence: Occurrence, message_id: str, now: datetime, *, done: bool
    ) -> None:
        """Record that a message was answered with 200 (`done`), or that no attempt will follow."""


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
        """Send one message with String attributes, and return its id.

        Raises:
            SqsdError: SQS refused the message, or gave no usable answer and may have taken it.
        """
