"""What the life of a message needs of the outside world: a queue and an application."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from sqsd.messages.gate import Probe
from sqsd.messages.message import Message, Refused
from sqsd.messages.outcome import Outcome
from sqsd.messages.request import Request


class Queue(Protocol):
    """A queue. Calls raise an `SqsdError` when AWS refuses or cannot be reached."""

    @property
    def fifo(self) -> bool:
        """Whether it is a FIFO queue."""

    @property
    def clock_offset(self) -> float:
        """Seconds by which SQS's clock is ahead of this machine's, or 0 if unknown."""

    async def receive(self, limit: int, wait_seconds: int) -> list[Message]:
        """Receive at most `limit` (1 to 10) messages; wait up to `wait_seconds` for the first."""

    async def delete(self, messages: Sequence[Message]) -> list[Refused | None]:
        """Delete at most ten messages. Returns for each why it failed, or None if confirmed."""

    async def dead_letter(self, message: Message, reason: str) -> None:
        """Send a copy to the dead-letter queue, with the reason as an attribute."""

    async def change_visibility(
        self, changes: Sequence[tuple[Message, int]], *, timeout: float | None = None
    ) -> list[Refused | None]:
        """Hide each of at most ten messages for a number of seconds from now.

        Args:
            timeout: deadline of the call in seconds, or None for that of any call.

        Returns: for each why it failed, or None if confirmed.
        """


class Application(Protocol):
    """The web application on localhost."""

    def post(self, request: Request, done: Callable[[Outcome], None]) -> None:
        """Send a request; `done` is called exactly once, from the event loop.

        A callback and not a coroutine: a task for each message costs a tenth of the hot path.
        """

    def abort(self) -> None:
        """Cut every request in flight; each ends as `Broken.CUT`."""

    async def probe(self, how: Probe) -> bool:
        """Return whether the application is there, as far as a probe of that kind shows."""
