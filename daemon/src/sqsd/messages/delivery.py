"""Takes a message to the application: makes its request, sends it, and reports the outcome."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Protocol

from sqsd.base.shortened import shortened
from sqsd.contract import TASK_NAME_MAX_LETTERS, SqsdOptions, events
from sqsd.messages.in_flight import InFlightMessage
from sqsd.messages.message import Message
from sqsd.messages.outcome import Broken, Outcome, Suppressed
from sqsd.messages.ports import Application
from sqsd.messages.request import Request, RequestBuilder
from sqsd.messages.runtime import Runtime

#: Takes the end of a dispatch; called exactly once for each, from the event loop.
Answered = Callable[[InFlightMessage, Outcome | Suppressed], None]
#: Takes the end of a POST on `on_dead_letter_path`; called as `Answered` is.
DeadLetterAnswered = Callable[[InFlightMessage, Outcome], None]


class Delivery(Protocol):
    """How a dispatcher has messages processed: `ApplicationDelivery`, or a wrapper of it."""

    def send(self, in_flight: InFlightMessage, answered: Answered) -> None:
        """Have a message processed. Never raises because of what the message contains."""

    def send_dead_letter(
        self, in_flight: InFlightMessage, reason: str, answered: DeadLetterAnswered
    ) -> None:
        """POST a message on `on_dead_letter_path`. Never raises because of what it contains."""

    def given_up(self, message: Message) -> None:
        """The message is not dispatched again: dead-lettered, expired, or out of receives."""

    def abort(self) -> None:
        """Cut every request in flight; each ends as `Broken.CUT`."""

    async def finish(self) -> None:
        """Wait until everything about messages that have ended is recorded."""

    async def close(self) -> None:
        """Cancel what is under way beside requests."""


class ApplicationDelivery:
    """POSTs the messages of one queue to the application. Implements `Delivery`."""

    def __init__(
        self,
        options: SqsdOptions,
        builder: RequestBuilder,
        application: Application,
        runtime: Runtime,
    ) -> None:
        self._visibility_timeout = options.visibility_timeout
        self._builder = builder
        self._application = application
        self._clock = runtime.clock
        self._log = runtime.log
        self._loop = asyncio.get_running_loop()

    def send(self, in_flight: InFlightMessage, answered: Answered) -> None:
        request = self.build(in_flight, answered)
        if request is not None:
            self.post(in_flight, request, answered)

    def build(self, in_flight: InFlightMessage, answered: Answered) -> Request | None:
        """Make the request of a message.

        Returns: the request, or None if a defect prevented it; that is logged, and the message
            ends as `Broken.DEFECT`.
        """
        message, builder = in_flight.message, self._builder
        try:
            if builder.extras is None:
                request = builder.build(message)
            else:
                request = self._build_with_extras(message)
        except Exception as error:  # one message met a defect; all other messages must go on
            self._log.emit(events.DAEMON_FAILED, message_id=message.message_id, reason=repr(error))
            self._loop.call_soon(answered, in_flight, Broken.DEFECT)
            return None
        for reason in request.skipped:
            self._log.emit(
                events.MESSAGE_ATTRIBUTE_SKIPPED, message_id=message.message_id, reason=reason
            )
        if request.task_name is not None:  # a sender chose it, and every event has it
            in_flight.named(shortened(request.task_name, TASK_NAME_MAX_LETTERS))
        return request

    def post(self, in_flight: InFlightMessage, request: Request, answered: Answered) -> None:
        """Send the request of a message."""
        self._application.post(request, partial(answered, in_flight))
        in_flight.posted(self._clock.monotonic())

    def send_dead_letter(
        self, in_flight: InFlightMessage, reason: str, answered: DeadLetterAnswered
    ) -> None:
        message = in_flight.message
        at, hidden_until = self._moments(in_flight.hidden_until)
        try:
            request = self._builder.build_dead_letter(message, reason, at, hidden_until)
        except Exception as error:  # as in `build`
            self._log.emit(events.DAEMON_FAILED, message_id=message.message_id, reason=repr(error))
            self._loop.call_soon(answered, in_flight, Broken.DEFECT)
        else:
            self._application.post(request, partial(answered, in_flight))

    def given_up(self, message: Message) -> None:
        """Nothing is recorded about messages."""

    def abort(self) -> None:
        self._application.abort()

    async def finish(self) -> None:
        """Nothing is recorded about messages."""

    async def close(self) -> None:
        """Nothing is under way beside requests."""

    def _build_with_extras(self, message: Message) -> Request:
        at, hidden_until = self._moments(message.received_at + self._visibility_timeout)
        return self._builder.build(message, at, hidden_until)

    def _moments(self, hidden_until: float) -> tuple[float, float]:
        """Return this moment, and a monotonic one, both in seconds since 1970."""
        at = self._clock.time()
        return at, at + hidden_until - self._clock.monotonic()
