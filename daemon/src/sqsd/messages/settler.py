"""Calls SQS about messages: deletes, releases, heartbeats and dead letters, with their retries."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Final, NamedTuple, TypeVar

from sqsd.base.errors import SqsdError
from sqsd.base.throttle import LogThrottle
from sqsd.contract import events
from sqsd.messages import visibility
from sqsd.messages.in_flight import (
    Action,
    ChangeVisibility,
    DeadLetterMessage,
    DeleteMessage,
    InFlightMessage,
)
from sqsd.messages.message import Message, Refused
from sqsd.messages.ports import Queue
from sqsd.messages.runtime import Runtime
from sqsd.messages.state import MessageState

#: Pauses before each try to delete a message, in seconds.
_DELETE_PAUSES: Final = (0.0, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0)
#: Pauses before each try to release a message, in seconds.
_RELEASE_PAUSES: Final = (0.0, 0.1, 0.2)

Change = TypeVar("Change", DeleteMessage, ChangeVisibility)
Results = list[Refused | None]


class _Report(NamedTuple):
    """Where the state machine takes the result of one message."""

    confirmed: Callable[[InFlightMessage, Message, float], list[Action]]
    failed: Callable[[InFlightMessage, str], list[Action]]


class Settler:
    """Calls SQS about the messages of one queue, and reports each result to the state machine.

    Each method yields the actions that follow from its results, as they arrive.
    """

    def __init__(self, queue: Queue, state: MessageState, runtime: Runtime) -> None:
        self._queue = queue
        self._state = state
        self._clock = runtime.clock
        self._log = runtime.log
        self._deletes = _Report(state.deleted, state.delete_failed)
        self._releases = _Report(state.released, state.release_failed)
        self._throttle = LogThrottle()

    def delete(self, deletes: list[DeleteMessage]) -> AsyncIterator[list[Action]]:
        """Delete at most ten messages, with retries for about 11 seconds."""

        def call(_: Sequence[DeleteMessage], messages: Sequence[Message]) -> Awaitable[Results]:
            return self._queue.delete(messages)

        return self._retry(deletes, _DELETE_PAUSES, call, self._deletes)

    def release(self, changes: list[ChangeVisibility]) -> AsyncIterator[list[Action]]:
        """Change the visibility of at most ten messages, with two retries."""

        def call(
            changes: Sequence[ChangeVisibility], messages: Sequence[Message]
        ) -> Awaitable[Results]:
            seconds = (change.seconds for change in changes)
            return self._queue.change_visibility(list(zip(messages, seconds, strict=True)))

        return self._retry(changes, _RELEASE_PAUSES, call, self._releases)

    async def dead_letter(self, action: DeadLetterMessage) -> AsyncIterator[list[Action]]:
        """Send a message to the dead-letter queue.

        Its delete follows from that: the other order could lose the message.
        """
        in_flight, reason = action
        try:
            await self._queue.dead_letter(in_flight.message, reason)
        except SqsdError as error:
            # AWS's text may quote secrets. A log of failures is redacted, a reason is not.
            self._log_failure(error)
            yield self._state.dead_letter_failed(in_flight, reason, self._clock.monotonic())
        else:
            yield self._state.dead_lettered(in_flight, reason, self._clock.monotonic())

    async def extend(
        self, due: Sequence[tuple[InFlightMessage, int]], now: float
    ) -> AsyncIterator[list[Action]]:
        """Extend the visibility of at most ten messages; `now` is when that became due.

        The deadline follows the visibility that is left, so that a call that hangs loses none.
        """
        changes = [(in_flight.message, seconds) for in_flight, seconds in due]
        timeout = visibility.call_seconds((in_flight for in_flight, _ in due), now)
        call = self._queue.change_visibility(changes, timeout=timeout)
        results = await self._results(call, len(changes))
        if (refused := next(filter(None, results), None)) is not None:
            self._log_failure(refused.reason)
        confirmed = [result is None for result in results]
        failed = confirmed.count(False)
        self._log.emit(events.HEARTBEAT_SENT, count=len(confirmed), failed=failed)
        yield self._state.heartbeats_ended(due, confirmed, now, self._clock.monotonic())

    async def _retry(
        self,
        changes: Sequence[Change],
        pauses: Sequence[float],
        call: Callable[[Sequence[Change], Sequence[Message]], Awaitable[Results]],
        report: _Report,
    ) -> AsyncIterator[list[Action]]:
        """Call until every change is confirmed, refused for good, or out of tries."""
        reason = ""
        for pause in pauses:
            if pause:
                await self._clock.sleep(pause)
            messages = [change.in_flight.message for change in changes]
            results = await self._results(call(changes, messages), len(messages))
            now = self._clock.monotonic()
            actions: list[Action] = []
            failed: list[Change] = []
            for change, message, refused in zip(changes, messages, results, strict=True):
                in_flight = change.in_flight
                if refused is None:
                    actions += report.confirmed(in_flight, message, now)
                elif refused.final and in_flight.message is message:  # the newest receipt handle
                    actions += report.failed(in_flight, refused.reason)
                else:
                    failed.append(change)
                    reason = refused.reason
            yield actions
            changes = failed
            if not changes:
                return
        for change in changes:
            yield report.failed(change.in_flight, reason)

    async def _results(self, call: Awaitable[Results], entries: int) -> Results:
        try:
            return await call
        except SqsdError as error:
            self._log_failure(error)
            return [Refused(str(error))] * entries

    def _log_failure(self, reason: object) -> None:
        if self._throttle.admits(self._clock.monotonic()):
            self._log.emit(events.QUEUE_FAILED, reason=str(reason))
