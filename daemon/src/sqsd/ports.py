"""What the service needs of the outside world. `adapters` implement it; tests have fakes of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from sqsd.core.dispatch import Outcome
from sqsd.core.gate import Probe
from sqsd.core.lease import LeaseRecord
from sqsd.core.message import Message, Refused
from sqsd.core.occurrence import RunRecord, TaskRecord
from sqsd.core.request import Request


class Clock(Protocol):
    """The two times and the one way of waiting; a test moves all three by hand."""

    def monotonic(self) -> float:
        """Seconds on a clock that never steps: for deadlines and durations."""

    def time(self) -> float:
        """Seconds since 1970 UTC by the wall clock: for schedules and message ages."""

    async def sleep(self, seconds: float) -> None:
        """Wait by the monotonic clock."""


class AwsApi(Protocol):
    """One AWS service in one region, by its JSON protocol: signed, pooled, with a hard deadline."""

    def call(
        self, action: str, request: Mapping[str, Any], *, timeout: float
    ) -> Awaitable[dict[str, Any]]:
        """Make one call and give its answer; never retried here. It may be under way at once.

        Args:
            action: such as `ReceiveMessage`.
            request: the action's JSON object.
            timeout: seconds from now after which the call is given up, whatever its state.

        Raises:
            AwsError: AWS refused the call.
            AwsUnreachable: there was no usable answer within `timeout`.
        """


class TimedApi(AwsApi, Protocol):
    """One whose clock is known too."""

    @property
    def clock_offset(self) -> float:
        """Seconds by which AWS's clock is ahead of this machine's; 0 while that is not known."""


class Queue(Protocol):
    """A queue. Calls raise `SqsdError`s when AWS refuses or cannot be reached."""

    def receive(self, limit: int, wait_seconds: int) -> Awaitable[list[Message]]:
        """At most `limit` (1 to 10) messages; waits up to `wait_seconds` for the first.

        It may be under way before it is awaited.
        """

    @property
    def clock_offset(self) -> float:
        """Seconds by which SQS's clock is ahead of this machine's; 0 while that is not known."""

    async def delete(self, messages: Sequence[Message]) -> list[Refused | None]:
        """Delete at most ten; for each why not, or None: it is confirmed."""

    async def bury(self, message: Message, reason: str) -> None:
        """Send a copy to the dead-letter queue, with the reason as an attribute."""

    async def change_visibility(
        self, changes: Sequence[tuple[Message, int]]
    ) -> list[Refused | None]:
        """Hide each of at most ten for so many seconds from now; for each why not, or None."""


class Application(Protocol):
    """The web application on localhost."""

    def post(self, request: Request, done: Callable[[Outcome], None]) -> None:
        """Send a request; `done` is called exactly once, from the event loop.

        A callback and not a coroutine: a task for each message costs a tenth of the hot path.
        """

    def abort(self) -> None:
        """Give up every request in flight; each ends as `Broken.CUT`."""

    async def probe(self, how: Probe) -> bool:
        """Whether the application is there, as far as that way of looking tells."""


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
        self, holder: str, lease_seconds: float, term: int, *, census: bool
    ) -> LeaseRecord | None: ...

    async def register_follower(self, epoch: int) -> LeaseRecord | None: ...

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


class EventLog(Protocol):
    """Where events go: one line each, named in `sqsd.logs`."""

    def emit(self, event: str, /, **values: Any) -> None:
        """Write one event; never raises, never blocks on a reader."""
