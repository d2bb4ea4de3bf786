"""What a daemon's supervisor and status page see of its dispatching, and whether it hangs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from sqsd.messages.in_flight import InFlightMessage, State

#: Longest time without a completed receive before polling counts as hung, in seconds. A long poll
#: takes 20 s at most.
STUCK_SECONDS: Final = 120.0


class QueueDispatching(Protocol):
    """The dispatching of one queue: `messages.dispatcher.Dispatcher`."""

    @property
    def fifo(self) -> bool:
        """Whether the queue is a FIFO queue."""

    @property
    def in_flight(self) -> int:
        """How many messages occupy connections."""

    @property
    def last_receive(self) -> float:
        """Monotonic seconds of the newest receive that SQS answered."""

    @property
    def wanting_since(self) -> float | None:
        """Monotonic seconds since which a receive should be open, or None if none should."""

    @property
    def wants_messages(self) -> bool:
        """Whether a receive should be open."""

    @property
    def queue_is_failing(self) -> bool:
        """Whether the queue refuses receives."""

    def messages(self) -> list[InFlightMessage]:
        """Return every message that is here, the unsettled ones included."""


class Dispatching(Protocol):
    """The dispatching of a daemon, of one queue or several."""

    @property
    def parts(self) -> Sequence[QueueDispatching]:
        """Each queue's, the first queue first."""

    @property
    def in_flight(self) -> int:
        """How many messages occupy connections."""

    @property
    def in_flight_limit(self) -> int:
        """How many messages may be in flight now; it grows while the application answers."""

    @property
    def gate_is_open(self) -> bool:
        """Whether the application is there."""

    @property
    def queue_is_failing(self) -> bool:
        """Whether any queue refuses receives."""

    @property
    def draining(self) -> bool:
        """Whether nothing more is started."""

    @property
    def paused(self) -> bool:
        """Whether nothing is received until `resume`."""

    @property
    def needs_no_messages(self) -> bool:
        """Whether nothing should be received: every connection is in use, or a pause is on."""

    @property
    def last_receive(self) -> float:
        """Monotonic seconds of the newest receive, of the queue whose newest is the oldest."""

    def messages(self) -> list[InFlightMessage]:
        """Return every message that is here, the unsettled ones included."""

    def pause(self) -> None:
        """Receive nothing until `resume`; the messages that are here are finished."""

    def resume(self) -> None:
        """Receive again."""

    def host_is_leaving(self) -> None:
        """The machine goes away: messages whose requests are cut are released at once."""

    def drain(self) -> None:
        """Receive nothing more, release what has not started, finish the rest; `run` returns."""

    async def run(self) -> bool:
        """Dispatch until drained. Returns whether nothing was cut short."""


def oldest_request(dispatching: Dispatching) -> float | None:
    """Return when the oldest request that runs was sent, monotonic seconds; None if none runs."""
    running = (m.dispatched_at for m in dispatching.messages() if m.state is State.RUNNING)
    return min(running, default=None)


def is_stuck(dispatching: Dispatching, now: float) -> bool:
    """Return whether a queue has completed no receive for `STUCK_SECONDS`, though it should have.

    It should if it wants messages and does not refuse receives. Each queue is judged alone, so that
    a failing queue does not hide a hung one.
    """
    return any(
        now - max(part.last_receive, part.wanting_since or part.last_receive) > STUCK_SECONDS
        and part.wants_messages
        and not part.queue_is_failing
        for part in dispatching.parts
    )
