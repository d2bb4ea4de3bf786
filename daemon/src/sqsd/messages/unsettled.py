"""What SQS is being told of, and what it would not take: the last part of a message's life."""

from __future__ import annotations

from typing import Final

from sqsd.contract import events
from sqsd.messages.in_flight import (
    Action,
    ChangeVisibility,
    DeleteMessage,
    Flight,
    Note,
    State,
    about,
)
from sqsd.messages.message import Message

#: Ids of messages that were answered 200 and could not be deleted, kept to know them again.
_REMEMBERED: Final = 10_000


class Settling:
    """The messages that are DELETING, BURYING or RELEASING, and the ids that came out of it ill."""

    def __init__(self) -> None:
        self.flights: dict[str, Flight] = {}
        #: Ids answered 200 that could not be deleted; an insertion-ordered set.
        self.answered: dict[str, None] = {}

    def returning(self, group: str | None) -> Flight | None:
        """A message of this FIFO group that SQS is being told to show again, if there is one."""
        if group is None:
            return None
        for flight in self.flights.values():
            if flight.state is State.RELEASING and flight.message.group_id == group:
                return flight
        return None

    def deleted(self, flight: Flight, message: Message, now: float) -> list[Action]:
        """SQS confirmed a delete by the handle of `message`.

        With an old handle that means nothing (API reference, `DeleteMessage`), so a message that
        was delivered again in the meantime is deleted once more.
        """
        if flight.message is not message:
            return [DeleteMessage(flight)]
        self.flights.pop(flight.message.message_id, None)
        self.answered.pop(flight.message.message_id, None)
        seconds = now - flight.answered_at if flight.answered_at else 0.0
        values = about(flight, delete_seconds=round(seconds, 6))
        return [Note(events.MESSAGE_DELETED, values)]

    def delete_failed(self, flight: Flight, reason: str) -> list[Action]:
        """A delete was given up. The message comes back, and is known again when it does."""
        self.flights.pop(flight.message.message_id, None)
        self.answered[flight.message.message_id] = None
        while len(self.answered) > _REMEMBERED:
            del self.answered[next(iter(self.answered))]
        return [Note(events.MESSAGE_DELETE_FAILED, about(flight, reason=reason))]

    def released(self, flight: Flight, message: Message, now: float) -> list[Action]:
        """A visibility change by the handle of `message` was made; a newer one is put away too."""
        if flight.message is not message:
            return [ChangeVisibility(flight, flight.hideable(flight.release_after, now))]
        self.flights.pop(flight.message.message_id, None)
        return []

    def release_failed(self, flight: Flight, reason: str) -> list[Action]:
        """A visibility change was given up: it comes back when its visibility ends by itself."""
        self.flights.pop(flight.message.message_id, None)
        return [Note(events.MESSAGE_RELEASE_FAILED, about(flight, reason=reason))]
