"""Messages of periodic tasks: each occurrence is dispatched once, however many copies SQS has.

A scheduler that fails over may send the message of an occurrence twice. Each such message is looked
up before it is sent, and what became of it is recorded. All other messages pass through, also those
that have a scheduled time but not the nonce of a claim: their senders are not known.
"""

from __future__ import annotations

from typing import Protocol

from sqsd.base.ports import EventLog
from sqsd.base.tasks import Tasks
from sqsd.contract import Occurrence, events
from sqsd.messages.delivery import Answered, ApplicationDelivery, DeadLetterAnswered
from sqsd.messages.in_flight import InFlightMessage, State
from sqsd.messages.message import Message
from sqsd.messages.outcome import Outcome, Suppressed
from sqsd.messages.request import Request, occurrence_of


class Duplicates(Protocol):
    """Recognizes copies of scheduled messages: `sqsd.cron.duplicates`."""

    async def is_duplicate(
        self, occurrence: Occurrence, message_id: str, sent_at: int | None = None
    ) -> bool:
        """Return whether to delete the message instead of sending it; False if that is unknown."""

    async def completed(self, occurrence: Occurrence, message_id: str) -> None:
        """The application has processed the message."""

    async def abandoned(self, occurrence: Occurrence, message_id: str) -> None:
        """No attempt will follow: the message is dead-lettered, expired, or out of receives."""


class OccurrenceDelivery:
    """Sends scheduled messages unless they are copies. Wraps a delivery; implements `Delivery`."""

    def __init__(
        self, delivery: ApplicationDelivery, duplicates: Duplicates, log: EventLog
    ) -> None:
        self._delivery = delivery
        self._duplicates = duplicates
        self._log = log
        self._lookups = Tasks()
        self._records = Tasks()

    def send(self, in_flight: InFlightMessage, answered: Answered) -> None:
        request = self._delivery.build(in_flight, answered)
        if request is None:
            return
        occurrence = None
        if request.scheduled_at is not None:
            occurrence = occurrence_of(in_flight.message)
        if occurrence is None:
            self._delivery.post(in_flight, request, answered)
        else:
            work = self._send_occurrence(in_flight, request, occurrence, answered)
            self._lookups.start(work, "send scheduled")

    def send_dead_letter(
        self, in_flight: InFlightMessage, reason: str, answered: DeadLetterAnswered
    ) -> None:
        self._delivery.send_dead_letter(in_flight, reason, answered)

    def given_up(self, message: Message) -> None:
        occurrence = occurrence_of(message)
        if occurrence is not None:
            work = self._duplicates.abandoned(occurrence, message.message_id)
            self._records.start(work, "record occurrence")

    def abort(self) -> None:
        self._delivery.abort()

    async def finish(self) -> None:
        await self._records.settle()

    async def close(self) -> None:
        await self._lookups.close()
        await self._records.close()

    async def _send_occurrence(
        self,
        in_flight: InFlightMessage,
        request: Request,
        occurrence: Occurrence,
        answered: Answered,
    ) -> None:
        message = in_flight.message
        try:
            duplicate = await self._duplicates.is_duplicate(
                occurrence, message.message_id, message.sent_at
            )
        except Exception as error:  # one message met a defect; as if the table did not answer
            self._log.emit(events.DAEMON_FAILED, message_id=message.message_id, reason=repr(error))
            duplicate = False
        if duplicate:
            answered(in_flight, Suppressed.COPY)
            return

        def record(in_flight: InFlightMessage, outcome: Outcome | Suppressed) -> None:
            answered(in_flight, outcome)
            if in_flight.state is State.DELETING:
                message_id = in_flight.message.message_id
                work = self._duplicates.completed(occurrence, message_id)
                self._records.start(work, "record occurrence")

        self._delivery.post(in_flight, request, record)
