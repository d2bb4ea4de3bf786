"""What the service needs of the outside world. `adapters` implement it; tests have fakes of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from sqsd.core.dispatch import Outcome
from sqsd.core.message import Message
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

    async def call(
        self, action: str, request: Mapping[str, Any], *, timeout: float
    ) -> dict[str, Any]:
        """Make one call and give its answer; never retried here.

        Args:
            action: such as `ReceiveMessage`.
            request: the action's JSON object.
            timeout: seconds from now after which the call is given up, whatever its state.

        Raises:
            AwsError: AWS refused the call.
            AwsUnreachable: there was no usable answer within `timeout`.
        """


class Queue(Protocol):
    """A queue. Calls raise `SqsdError`s when AWS refuses or cannot be reached."""

    async def receive(self, limit: int, wait_seconds: int) -> list[Message]:
        """At most `limit` (1 to 10) messages; waits up to `wait_seconds` for the first."""

    async def delete(self, messages: Sequence[Message]) -> list[bool]:
        """Delete at most ten; for each whether that is confirmed."""

    async def change_visibility(self, changes: Sequence[tuple[Message, int]]) -> list[bool]:
        """Hide each of at most ten for so many seconds from now; for each whether confirmed."""


class Application(Protocol):
    """The web application on localhost."""

    def post(self, request: Request, done: Callable[[Outcome], None]) -> None:
        """Send a request; `done` is called exactly once, from the event loop.

        A callback and not a coroutine: a task for each message costs a tenth of the hot path.
        """

    def abort(self) -> None:
        """Give up every request in flight; each ends as `Broken.CUT`."""

    async def probe(self, *, needs_answer: bool) -> bool:
        """Whether the application is there: its port accepts and, if asked, answers a GET."""


class EventLog(Protocol):
    """Where events go: one line each, named in `sqsd.logs`."""

    def emit(self, event: str, /, **values: Any) -> None:
        """Write one event; never raises, never blocks on a reader."""
