"""A message in flight in this process, and the actions that the state machine asks for."""

from __future__ import annotations

from enum import Enum
from typing import Any, Final, NamedTuple
from zlib import crc32

from sqsd.contract import events
from sqsd.messages.message import Message
from sqsd.messages.outcome import LONGEST_VISIBILITY, Release

#: Longest time from a receive for which a delivery is hidden, in seconds. SQS allows 12 hours; the
#: rest is for the change itself, with its retries, to reach SQS.
LONGEST_HIDDEN_SECONDS: Final = LONGEST_VISIBILITY - 15


class State(Enum):
    """Where a message is in its life; the values appear in the log and on the status page."""

    WAITING = "waiting"
    RUNNING = "running"
    HELD = "held"
    SUSPICIOUS = "waiting for a probe of the application"
    POSTPONED = "waiting because the application was busy"
    DEAD_LETTER_WAITING = "waiting for its POST on on_dead_letter_path"
    DEAD_LETTER_POSTING = "posted on on_dead_letter_path"
    DELETING = "deleting"
    RELEASING = "releasing"
    DEAD_LETTERING = "on its way to the dead-letter queue"


class InFlightMessage:
    """A message that this process has received and has not settled yet.

    `message` is its newest delivery, whose receipt handle is the one that counts. All times are
    monotonic seconds.
    """

    __slots__ = (
        "answered_at",
        "arrived_at",
        "dispatched_at",
        "dwell_seconds",
        "heartbeat_failures",
        "heartbeat_pending",
        "held_since",
        "hidden_until",
        "hideable_until",
        "is_dead_letter",
        "message",
        "next_heartbeat_at",
        "post_at",
        "postponed",
        "release_after",
        "release_if_up",
        "state",
        "status",
        "task_name",
    )

    def __init__(self, message: Message, now: float, dwell_seconds: float) -> None:
        self.message = message
        self.state = State.WAITING
        self.arrived_at = now
        #: Time that the message spent in the queue, in seconds.
        self.dwell_seconds = dwell_seconds
        self.dispatched_at = 0.0
        self.answered_at = 0.0
        self.status: int | None = None
        self.task_name: str | None = None
        #: A call that extends the visibility is under way.
        self.heartbeat_pending = False
        self.heartbeat_failures = 0
        self.next_heartbeat_at = 0.0
        #: End of the visibility timeout, as far as this process knows.
        self.hidden_until = message.received_at
        #: End of the 12 hours for which SQS hides one delivery.
        self.hideable_until = message.received_at + LONGEST_HIDDEN_SECONDS
        #: Whether the dead-letter queue has a copy, so that a delete is not the end of the work.
        self.is_dead_letter = False
        #: When this delivery first met no application, or None.
        self.held_since: float | None = None
        #: How a SUSPICIOUS message is released if the application is up, and a POSTPONED one if it
        #: cannot be held.
        self.release_if_up: Release | None = None
        #: When a POSTPONED message is posted again.
        self.post_at = 0.0
        #: How often this delivery was POSTPONED.
        self.postponed = 0
        #: Seconds for which a RELEASING message stays hidden.
        self.release_after = 0

    def named(self, task: str) -> None:
        """The message is that of a periodic task."""
        self.task_name = task

    def posted(self, now: float) -> None:
        """The request was handed to the application: the last of ten is made after nine others."""
        self.dispatched_at = now

    def hideable_seconds(self, seconds: int, now: float) -> int:
        """Return `seconds`, or as many of them as SQS still allows for this delivery."""
        return max(0, min(seconds, int(self.hideable_until - now)))

    def __repr__(self) -> str:
        return f"InFlightMessage({self.message.message_id}, {self.state.value})"


class Post(NamedTuple):
    """POST the message now; `MessageState.answered` takes the outcome."""

    in_flight: InFlightMessage


class PostDeadLetter(NamedTuple):
    """POST the message on `on_dead_letter_path`, with the reason.

    `MessageState.dead_letter_answered` takes the outcome.
    """

    in_flight: InFlightMessage
    reason: str


class DeleteMessage(NamedTuple):
    """Delete the message; `MessageState.deleted` or `delete_failed` takes the result."""

    in_flight: InFlightMessage


class ChangeVisibility(NamedTuple):
    """Release the message, to be visible after `seconds`.

    `MessageState.released` or `release_failed` takes the result.
    """

    in_flight: InFlightMessage
    seconds: int


class DeadLetterMessage(NamedTuple):
    """Send the message to the dead-letter queue, with the reason.

    `MessageState.dead_lettered` or `dead_letter_failed` takes the result.
    """

    in_flight: InFlightMessage
    reason: str


class LogEvent(NamedTuple):
    """Log an event. `given_up` is a message that will not be dispatched again, or None."""

    event: str
    values: dict[str, Any]
    given_up: InFlightMessage | None = None


Action = Post | PostDeadLetter | DeleteMessage | ChangeVisibility | DeadLetterMessage | LogEvent


def jitter(message: Message) -> float:
    """Return 0 to 1, the same each time for one delivery: a spread without a random source."""
    return crc32(f"{message.message_id}{message.receive_count}".encode()) / 0xFFFFFFFF


def log_fields(in_flight: InFlightMessage, **more: Any) -> dict[str, Any]:
    """Return what every log line about a message has, and `more`. No body, no receipt handle."""
    message = in_flight.message
    values: dict[str, Any] = {
        "message_id": message.message_id,
        "receive_count": message.receive_count,
        "dwell_seconds": round(in_flight.dwell_seconds, 3),
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
    """Log that a message was done only after its visibility ended, so it may be done twice."""
    seconds = round(now - in_flight.hidden_until, 3)
    return LogEvent(events.MESSAGE_OVERDUE, log_fields(in_flight, overdue_seconds=seconds))
