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


class Unsettled:
    """Stores the messages that are DELETING, DEAD_LETTERING or RELEASING.

    It also remembers the ids of messages that are done and could not be deleted: SQS delivers them
    again, and they must not run again.
    """

    def __init__(self) -> None:
        self.messages: dict[str, InFlightMessage] = {}
        #: Ids of messages that were answered 200 and whose delete failed, oldest first.
        self.undeleted: dict[str, None] = {}

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
        self.undeleted.pop(message_id, None)
        if in_flight.is_dead_letter:  # `message.dead_lettered` says all that became of it
            return []
        seconds = now - in_flight.answered_at if in_flight.answered_at else 0.0
        values = log_fields(in_flight, delete_seconds=round(seconds, 6))
        return [LogEvent(events.MESSAGE_DELETED, values)]

    def delete_failed(self, in_flight: InFlightMessage, reason: str) -> list[Action]:
        """A delete was given up. The message is delivered again, and recognized then."""
        message_id = in_flight.message.message_id
        self.messages.pop(message_id, None)
        self.undeleted[message_id] = None
        while len(self.undeleted) > _REMEMBERED:
            del self.undeleted[next(iter(self.undeleted))]
        return [LogEvent(events.MESSAGE_DELETE_FAILED, log_fields(in_flight, reason=reason))]

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
