"""Tells SQS what became of messages: deletes, visibility changes, heartbeats, dead letters."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from sqsd.base.errors import SqsdError
from sqsd.base.ports import Clock, EventLog
from sqsd.base.tasks import Tasks
from sqsd.contract import SqsdOptions, events
from sqsd.messages.batcher import Batcher
from sqsd.messages.in_flight import (
    Action,
    ChangeVisibility,
    DeadLetterMessage,
    DeleteMessage,
    InFlightMessage,
)
from sqsd.messages.message import Refused
from sqsd.messages.polling import BATCH
from sqsd.messages.ports import Queue
from sqsd.messages.state import MessageState

#: Seconds before each try to delete a message that was answered 200, and to release one.
_DELETE_PAUSES: Final = (0.0, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0)
_RELEASE_PAUSES: Final = (0.0, 0.1, 0.2)
#: Seconds for deletes and returns that are under way when everything else is cut.
_LAST_SECONDS: Final = 1.0
#: Seconds between log lines about a queue that goes on refusing.
_REPEAT_SECONDS: Final = 60.0


class Settler:
    """One queue's.

    Args:
        state: is told how each call ended.
        settled: takes what follows from that.
    """

    def __init__(
        self,
        options: SqsdOptions,
        queue: Queue,
        state: MessageState,
        clock: Clock,
        log: EventLog,
        settled: Callable[[Sequence[Action]], None],
    ) -> None:
        self._tick = min(1.0, max(0.1, options.visibility_timeout / 10))
        self._queue, self._state = queue, state
        self._clock, self._log, self._settled = clock, log, settled
        self._deletes: Batcher[InFlightMessage] = Batcher("delete", self._delete)
        self._changes: Batcher[ChangeVisibility] = Batcher("change visibility", self._change)
        self._tasks = Tasks()
        self._complain_not_before = 0.0

    def add(self, action: DeleteMessage | ChangeVisibility | DeadLetterMessage) -> None:
        """Do it, in company if some comes along soon."""
        if type(action) is DeleteMessage:
            self._deletes.add(action.in_flight)
        elif type(action) is ChangeVisibility:
            self._changes.add(action)
        else:
            self._tasks.start(self._dead_letter(action), "dead letter")  # type: ignore[arg-type]

    def hurry(self) -> None:
        """From now on wait for no company: the daemon is stopping."""
        self._deletes.hurry()
        self._changes.hurry()

    async def close(self) -> None:
        """Cancel what is under way; deletes of what was done, and returns of what was not begun,
        get a moment, however bad the end.
        """
        await self._tasks.close()
        self.hurry()
        await asyncio.gather(self._deletes.wait(_LAST_SECONDS), self._changes.wait(_LAST_SECONDS))
        await self._deletes.close()
        await self._changes.close()

    async def beat(self) -> None:
        """Extend the visibility of what still runs, in batches, as it comes due; never returns."""
        while True:
            await self._clock.sleep(self._tick)
            now = self._clock.monotonic()
            due = self._state.heartbeats(now)
            for start in range(0, len(due), BATCH):
                self._tasks.start(self._extend(due[start : start + BATCH], now), "extend")

    async def _delete(self, in_flight_messages: list[InFlightMessage]) -> None:
        reason = ""
        for pause in _DELETE_PAUSES:
            if pause:
                await self._clock.sleep(pause)
            messages = [in_flight.message for in_flight in in_flight_messages]
            results = await self._results(self._queue.delete(messages), len(in_flight_messages))
            now = self._clock.monotonic()
            failed, actions = [], []
            for in_flight, message, refused in zip(
                in_flight_messages, messages, results, strict=True
            ):
                if refused is None:
                    actions += self._state.settling.deleted(in_flight, message, now)
                elif refused.final and in_flight.message is message:  # else there is a newer handle
                    actions += self._state.settling.delete_failed(in_flight, refused.reason)
                else:
                    failed.append(in_flight)
                    reason = refused.reason
            self._settled(actions)
            in_flight_messages = failed
            if not in_flight_messages:
                return
        for in_flight in in_flight_messages:
            self._settled(self._state.settling.delete_failed(in_flight, reason))

    async def _dead_letter(self, bury: DeadLetterMessage) -> None:
        """Send to the dead-letter queue, then delete: the other order could lose the message."""
        in_flight, reason = bury
        try:
            await self._queue.dead_letter(in_flight.message, reason)
        except SqsdError as error:
            # AWS's words go where they are looked through for secrets, and not into a reason.
            self._complain(error)
            self._settled(
                self._state.dead_letter_failed(in_flight, reason, self._clock.monotonic())
            )
        else:
            self._settled(self._state.dead_lettered(in_flight, reason, self._clock.monotonic()))

    async def _change(self, changes: list[ChangeVisibility]) -> None:
        reason = ""
        for pause in _RELEASE_PAUSES:
            if pause:
                await self._clock.sleep(pause)
            wanted = [(change.in_flight.message, change.seconds) for change in changes]
            results = await self._results(self._queue.change_visibility(wanted), len(wanted))
            now = self._clock.monotonic()
            failed, actions = [], []
            for change, (message, _), refused in zip(changes, wanted, results, strict=True):
                if refused is None:
                    actions += self._state.settling.released(change.in_flight, message, now)
                elif refused.final and change.in_flight.message is message:
                    actions += self._state.settling.release_failed(change.in_flight, refused.reason)
                else:
                    failed.append(change)
                    reason = refused.reason
            self._settled(actions)
            changes = failed
            if not changes:
                return
        for change in changes:
            self._settled(self._state.settling.release_failed(change.in_flight, reason))

    async def _extend(
        self, in_flight_messages: list[tuple[InFlightMessage, int]], now: float
    ) -> None:
        changes = [(in_flight.message, seconds) for in_flight, seconds in in_flight_messages]
        results = await self._results(self._queue.change_visibility(changes), len(changes))
        if (refused := next(filter(None, results), None)) is not None:
            self._complain(refused.reason)
        done = [result is None for result in results]
        self._log.emit(events.HEARTBEAT_SENT, count=len(done), failed=done.count(False))
        self._settled(
            self._state.heartbeats_ended(in_flight_messages, done, now, self._clock.monotonic())
        )

    async def _results(
        self, call: Awaitable[list[Refused | None]], entries: int
    ) -> list[Refused | None]:
        try:
            return await call
        except SqsdError as error:
            self._complain(error)
            return [Refused(str(error))] * entries

    def _complain(self, reason: object) -> None:
        now = self._clock.monotonic()
        if now >= self._complain_not_before:
            self._complain_not_before = now + _REPEAT_SECONDS
            self._log.emit(events.QUEUE_FAILED, reason=str(reason))
