"""What the machine of `state` is about: a message here, and what is to be done to it."""

from __future__ import annotations

from enum import Enum
from typing import Any, Final, NamedTuple
from zlib import crc32

from sqsd.contract import events
from sqsd.messages.message import Message
from sqsd.messages.outcome import LONGEST_VISIBILITY

#: SQS refuses to hide a delivery longer than 12 hours from its receive; a change needs some
#: seconds, with its tries, to get there.
LONGEST_HOLD_SECONDS: Final = LONGEST_VISIBILITY - 15


class State(Enum):
    WAITING = "waiting"
    RUNNING = "running"
    HELD = "held"
    DELETING = "deleting"
    RELEASING = "releasing"
    DEAD_LETTERING = "on its way to the dead-letter queue"


class InFlightMessage:
    """One message in this process, with the handle of its newest delivery."""

    __slots__ = (
        "answered_at",
        "arrived_at",
        "dispatched_at",
        "dwell",
        "heartbeat_failures",
        "heartbeat_pending",
        "hidden_until",
        "hold_until",
        "message",
        "next_heartbeat_at",
        "release_after",
        "state",
        "status",
        "task_name",
    )

    def __init__(self, message: Message, now: float, dwell: float) -> None:
        self.message = message
        self.state = State.WAITING
        self.arrived_at = now
        self.dwell = dwell
        self.dispatched_at = self.answered_at = 0.0
        self.status: int | None = None
        self.task_name: str | None = None
        #: A heartbeat call about this message is under way.
        self.heartbeat_pending = False
        self.heartbeat_failures = 0
        self.next_heartbeat_at = 0.0
        #: Until when SQS gives it to nobody else, as far as is known here.
        self.hidden_until = message.received_at
        self.hold_until = message.received_at + LONGEST_HOLD_SECONDS
        self.release_after = 0

    def hideable(self, seconds: int, now: float) -> int:
        """So many seconds, or as many of them as SQS still allows."""
        return max(0, min(seconds, int(self.hold_until - now)))

    def __repr__(self) -> str:
        return f"InFlightMessage({self.message.message_id}, {self.state.value})"


class Post(NamedTuple):
    """POST the message now."""

    in_flight: InFlightMessage


class DeleteMessage(NamedTuple):
    """Delete it, in a batch; then tell `deleted`."""

    in_flight: InFlightMessage


class ChangeVisibility(NamedTuple):
    """Set its visibility, in a batch; then tell `released`."""

    in_flight: InFlightMessage
    seconds: int


class DeadLetterMessage(NamedTuple):
    """Send the message to the dead-letter queue; then report `dead_lettered` or its failure."""

    in_flight: InFlightMessage
    reason: str


class LogEvent(NamedTuple):
    """An event for the log. `given_up`: this message is not going to be dispatched again."""

    event: str
    values: dict[str, Any]
    given_up: InFlightMessage | None = None


Action = Post | DeleteMessage | ChangeVisibility | DeadLetterMessage | LogEvent


def jitter(message: Message) -> float:
    """0 to 1, the same each time for one delivery: spread without a source of randomness."""
    return crc32(f"{message.message_id}{message.receive_count}".encode()) / 0xFFFFFFFF


def log_fields(in_flight: InFlightMessage, **more: Any) -> dict[str, Any]:
    """What every line about a message says. No body, no handle."""
    message = in_flight.message
    values: dict[str, Any] = {
        "message_id": message.message_id,
        "receive_count": message.receive_count,
        "dwell_seconds": round(in_flight.dwell, 3),
    }
    dispatched_at, answered_at = in_flight.dispatched_at, in_flight.answered_at
    if dispatched_at:
        values["dispatch_seconds"] = round(dispatched_at - in_flight.arrived_at, 6)
        if answered_at:
            values["app_seconds"] = round(answered_at - dispatched_at, 6)
    if in_flight.status is not None:
        values["status"] = in_flight.status
    if in_flight.task_name is not None:
        values["task"] = in_flight.task_name
    if more:
        values.update(more)
    return values


def overdue(in_flight: InFlightMessage, now: float) -> LogEvent:
    """Done, but after SQS may have given the message to somebody else, who may do it too."""
    seconds = round(now - in_flight.hidden_until, 3)
    return LogEvent(events.MESSAGE_OVERDUE, log_fields(in_flight, overdue_seconds=seconds))
