"""The last part of a message's life: its delete or its release is under way, or has failed."""

from __future__ import annotations

from typing import Final

from sqsd.contract import events
from sqsd.messages.in_flight import (
    Action,
    ChangeVisibility,
    DeleteMessage,
    InFlightMessage,
    LogEvent,
    State,
    log_fields,
)
from sqsd.messages.message import Message

#: Most ids of undeleted messages that are remembered.
_REMEMBERED: Final = 10_000
#: Ids of deleted messages that are remembered: at least so many, at most twice as many.
_REMEMBERED_DELETED: Final = 5_000
#: Time before the end of its visibility from which a delete may have come too late, in seconds.
_LATE_SECONDS: Final = 2.0


class Unsettled:
    """Stores the messages that are DELETING, DEAD_LETTERING or RELEASING.

    It also remembers the ids of messages that are done: SQS may deliver them again, and they must
    not run again. Those that could not be deleted, or whose delete may have come after another
    delivery and then has no effect, are remembered apart, and so for longer.
    """

    def __init__(self) -> None:
        self.messages: dict[str, InFlightMessage] = {}
        #: Ids of messages that are done and may still be in the queue, oldest first.
        self.undeleted: dict[str, None] = {}
        #: Ids of messages that were deleted, in two generations: a set is cheaper than an order.
        self._deleted: set[str] = set()
        self._deleted_before: set[str] = set()

    def is_done(self, message_id: str) -> bool:
        """Return whether a message is done, as far as that is remembered."""
        return (
            message_id in self._deleted
            or message_id in self._deleted_before
            or message_id in self.undeleted
        )

    def releasing_of(self, group: str | None) -> InFlightMessage | None:
        """Return a message of this FIFO group that is RELEASING, or None."""
        if group is None:
            return None
        for in_flight in self.messages.values():
            if in_flight.state is State.RELEASING and in_flight.message.group_id == group:
                return in_flight
        return None

    def deleted(self, in_flight: InFlightMessage, message: Message, now: float) -> list[Action]:
        """SQS confirmed a delete by the receipt handle of `message`.

        By an old handle that means nothing (API reference, `DeleteMessage`), so a message that
        was delivered again in the meantime is deleted once more.
        """
        if in_flight.message is not message:
            return [DeleteMessage(in_flight)]
        message_id = message.message_id
        self.messages.pop(message_id, None)
        if now > in_flight.hidden_until - _LATE_SECONDS:
            self._remember_undeleted(message_id)
        else:
            self._remember_deleted(message_id)
        if in_flight.is_dead_letter:  # `message.dead_lettered` says all that became of it
            return []
        seconds = now - in_flight.answered_at if in_flight.answered_at else 0.0
        values = log_fields(in_flight, delete_seconds=round(seconds, 6))
        return [LogEvent(events.MESSAGE_DELETED, values)]

    def delete_failed(self, in_flight: InFlightMessage, reason: str) -> list[Action]:
        """A delete was given up. The message is delivered again, and recognized then."""
        message_id = in_flight.message.message_id
        self.messages.pop(message_id, None)
        self._remember_undeleted(message_id)
        return [LogEvent(events.MESSAGE_DELETE_FAILED, log_fields(in_flight, reason=reason))]

    def _remember_undeleted(self, message_id: str) -> None:
        self.undeleted[message_id] = None
        while len(self.undeleted) > _REMEMBERED:
            del self.undeleted[next(iter(self.undeleted))]

    def _remember_deleted(self, message_id: str) -> None:
        self._deleted.add(message_id)
        if self.undeleted:
            self.undeleted.pop(message_id, None)
        if len(self._deleted) >= _REMEMBERED_DELETED:
            self._deleted_before = self._deleted
            self._deleted = set()

    def released(self, in_flight: InFlightMessage, message: Message, now: float) -> list[Action]:
        """SQS changed the visibility by the receipt handle of `message`.

        A newer delivery of the message is released too.
        """
        if in_flight.message is not message:
            seconds = in_flight.hideable_seconds(in_flight.release_after, now)
            return [ChangeVisibility(in_flight, seconds)]
        self.messages.pop(message.message_id, None)
        return []

    def release_failed(self, in_flight: InFlightMessage, reason: str) -> list[Action]:
        """A release was given up. The message is visible again when its visibility ends."""
        self.messages.pop(in_flight.message.message_id, None)
        return [LogEvent(events.MESSAGE_RELEASE_FAILED, log_fields(in_flight, reason=reason))]
