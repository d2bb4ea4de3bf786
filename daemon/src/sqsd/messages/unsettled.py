"""What SQS is being told of, and what it would not take: the last part of a message's life."""

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

#: Ids of messages that were answered 200 and could not be deleted, kept to know them again.
_REMEMBERED: Final = 10_000


class Unsettled:
    """Messages that are DELETING, DEAD_LETTERING or RELEASING, and ids whose delete failed."""

    def __init__(self) -> None:
        self.in_flight_messages: dict[str, InFlightMessage] = {}
        #: Ids answered 200 that could not be deleted; an insertion-ordered set.
        self.answered: dict[str, None] = {}

    def releasing_of(self, group: str | None) -> InFlightMessage | None:
        """A message of this FIFO group that SQS is being told to show again, if there is one."""
        if group is None:
            return None
        for in_flight in self.in_flight_messages.values():
            if in_flight.state is State.RELEASING and in_flight.message.group_id == group:
                return in_flight
        return None

    def deleted(self, in_flight: InFlightMessage, message: Message, now: float) -> list[Action]:
        """SQS confirmed a delete by the handle of `message`.

        With an old handle that means nothing (API reference, `DeleteMessage`), so a message that
        was delivered again in the meantime is deleted once more.
        """
        if in_flight.message is not message:
            return [DeleteMessage(in_flight)]
        self.in_flight_messages.pop(in_flight.message.message_id, None)
        self.answered.pop(in_flight.message.message_id, None)
        seconds = now - in_flight.answered_at if in_flight.answered_at else 0.0
        values = log_fields(in_flight, delete_seconds=round(seconds, 6))
        return [LogEvent(events.MESSAGE_DELETED, values)]

    def delete_failed(self, in_flight: InFlightMessage, reason: str) -> list[Action]:
        """A delete was given up. The message comes back, and is known again when it does."""
        self.in_flight_messages.pop(in_flight.message.message_id, None)
        self.answered[in_flight.message.message_id] = None
        while len(self.answered) > _REMEMBERED:
            del self.answered[next(iter(self.answered))]
        return [LogEvent(events.MESSAGE_DELETE_FAILED, log_fields(in_flight, reason=reason))]

    def released(self, in_flight: InFlightMessage, message: Message, now: float) -> list[Action]:
        """A visibility change by the handle of `message` was made; a newer one is put away too."""
        if in_flight.message is not message:
            return [ChangeVisibility(in_flight, in_flight.hideable(in_flight.release_after, now))]
        self.in_flight_messages.pop(in_flight.message.message_id, None)
        return []

    def release_failed(self, in_flight: InFlightMessage, reason: str) -> list[Action]:
        """A visibility change was given up: it comes back when its visibility ends by itself."""
        self.in_flight_messages.pop(in_flight.message.message_id, None)
        return [LogEvent(events.MESSAGE_RELEASE_FAILED, log_fields(in_flight, reason=reason))]
