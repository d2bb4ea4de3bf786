"""Moves messages from a queue to the application and back: waits, and leaves deciding to `core`."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Final, Protocol

from sqsd.base.ports import Clock, EventLog
from sqsd.base.tasks import Tasks
from sqsd.base.waits import within
from sqsd.contract import SqsdOptions, events
from sqsd.messages.connections import Share
from sqsd.messages.gate import Gate
from sqsd.messages.gate_keeper import GateKeeper
from sqsd.messages.in_flight import Action, InFlightMessage, LogEvent, Post, State
from sqsd.messages.message import Message
from sqsd.messages.outcome import Broken, Outcome
from sqsd.messages.ports import Application, Queue
from sqsd.messages.receiver import Receiver
from sqsd.messages.request import Request, RequestBuilder, occurrence_of
from sqsd.messages.settler import Settler
from sqsd.messages.state import MessageState

#: Seconds that settling gets after requests were cut at the end of a drain.
_LAST_SECONDS: Final = 10.0
#: ... and releasing_of what was kept back, when a receive was open all that time.
_RETURN_SECONDS: Final = 1.0


class ScheduledCopies(Protocol):
    """Tells copies of scheduled messages from the first: `cron.duplicates.DuplicateGuard`."""

    async def is_duplicate(
        self, task: str, scheduled: datetime, message_id: str, sent_at: int | None = None
    ) -> bool:
        """Whether to delete instead of POSTing; False when that cannot be told."""

    async def completed(self, task: str, scheduled: datetime, message_id: str) -> None:
        """The application answered 200."""

    async def abandoned(self, task: str, scheduled: datetime, message_id: str) -> None:
        """No attempt will follow: it is dead-lettered, expired, or failed for the last time."""


class Dispatcher:
    """One queue's messages.

    Args:
        gate: shared by the queues of one application, and closed by who made it; None: its own.
        share: with several queues, this one's of the slots.
        jitter: gives numbers from 0 to 1, so that instances do not knock in step.
        ready: called once, after the first receive that completed.
    """

    def __init__(
        self,
        *,
        options: SqsdOptions,
        queue: Queue,
        builder: RequestBuilder,
        fifo: bool,
        application: Application,
        clock: Clock,
        log: EventLog,
        copies: ScheduledCopies | None = None,
        ready: Callable[[], None] = lambda: None,
        jitter: Callable[[], float] = random.random,
        gate: GateKeeper | None = None,
        share: Share | None = None,
    ) -> None:
        self._options, self._queue, self._application = options, queue, application
        self._clock, self._log, self._copies = clock, log, copies
        self._owns_gate = gate is None
        if gate is None:
            gate = GateKeeper(Gate(options.http_connections), application, clock, log, jitter)
        self._gate, self._share = gate, share
        gate.when_opened(self._receive_more)
        if share is not None:
            share.holder = self
        self.fifo = fifo
        self._state = MessageState(options, fifo=fifo, gate=gate.gate)
        self._builder = builder
        self._loop = asyncio.get_running_loop()
        self._tasks, self._telling = Tasks(), Tasks()
        self._scheduled: dict[InFlightMessage, datetime] = {}
        self._settler = Settler(options, queue, self._state, clock, log, self._settled)
        self._receiver = Receiver(
            options,
            queue,
            self._state,
            share,
            clock,
            log,
            jitter=jitter,
            ready=ready,
            received=self._received,
            ended=self._receive_ended,
        )
        self._draining, self._drained = asyncio.Event(), asyncio.Event()

    @property
    def parts(self) -> Sequence[Dispatcher]:
        """As `SeveralQueues.parts`."""
        return (self,)

    @property
    def in_flight(self) -> int:
        return self._state.in_flight

    @property
    def running(self) -> int:
        """Those of them that the application has."""
        return self._state.running

    @property
    def reserved(self) -> int:
        """Messages that open receives have asked for."""
        return self._receiver.reserved

    @property
    def last_receive(self) -> float:
        """As `Receiver.last_receive`."""
        return self._receiver.last_receive

    @property
    def wanting_since(self) -> float | None:
        """As `Receiver.wanting_since`."""
        return self._receiver.wanting_since

    @property
    def gate_is_open(self) -> bool:
        return self._state.gate.is_open

    @property
    def queue_is_failing(self) -> bool:
        return self._receiver.is_failing

    @property
    def wants_messages(self) -> bool:
        """There is room that a receive should be filling."""
        if self._share is None:
            return self._state.room(0) > 0
        return self._state.room(0) > 0 and self._share.room() + self.reserved > 0

    @property
    def draining(self) -> bool:
        return self._state.draining

    @property
    def is_paused(self) -> bool:
        return self._state.is_paused

    @property
    def needs_no_messages(self) -> bool:
        """Nothing is to be received: all slots are taken, or the daemon is held back."""
        return self.is_paused or (self.gate_is_open and not self.wants_messages)

    @property
    def window(self) -> int:
        """How many messages may be in flight now; grows while the application answers."""
        return self._state.gate.window

    def in_flight_messages(self) -> list[InFlightMessage]:
        """What is held now, for who explains the daemon."""
        return self._state.in_flight_messages()

    def pause(self) -> None:
        """Receive nothing until `resume`; what is here is finished."""
        self._state.is_paused = True

    def resume(self) -> None:
        self._state.is_paused = False
        self._receive_more()

    # ---- life

    async def run(self) -> bool:
        """Dispatch until drained; True when nothing was cut short."""
        beats = self._tasks.start(self._settler.beat(), "heartbeat")
        self._gate.watch()
        try:
            await self._wait_for_drain()
            clean = await self._finish()
        finally:
            beats.cancel()
            self._state.drain()  # for one that was not told to: nothing begins any more
            if self._owns_gate:
                await self._gate.close()
            await self._receiver.close()
            self._step_held()
            await self._tasks.close()
            await self._telling.close()
            await self._settler.close()
        return clean

    def drain(self) -> None:
        """Receive no more, give back what has not started, finish the rest; `run` then returns."""
        if self._state.draining:
            return
        self._state.drain()
        self._settler.hurry()
        self._draining.set()
        self._look_whether_drained()

    async def _wait_for_drain(self) -> None:
        await self._draining.wait()

    async def _finish(self) -> bool:
        """Wait for what is in flight, at most `drain_timeout`; then cut it."""
        in_time = await within(self._options.drain_timeout, self._drained.wait())
        cut = not in_time and self._state.running > 0
        if cut:  # else it would cut another queue's, and that one not know of it
            self._application.abort()
        if not await within(_LAST_SECONDS, self._tell_everybody()):
            # A long poll that is still open has nothing of ours in it; what was kept because it
            # might bring it again goes back now.
            await self._receiver.close()
            await within(_RETURN_SECONDS, self._drained.wait())
        return not cut and self._state.idle

    async def _tell_everybody(self) -> None:
        await self._drained.wait()
        # Their messages are gone: nobody else will ever tell.
        await self._telling.settle()

    def _look_whether_drained(self) -> None:
        if self._state.draining and not self._receiver.is_open:
            self._step_held()
            if self._state.idle:
                self._drained.set()

    # ---- receiving

    def _receive_more(self) -> None:
        """There may be room now: here, or for another queue of this application."""
        if self._state.has_held:
            self._step_held()
        self._receiver.receive_more()
        if self._share is not None:
            self._share.changed()

    def _step_held(self) -> None:
        """Start what was kept, as far as the gate is open; else return it, once no receive is open.

        Before that it would come back by the next receive, and again by the one after, each time a
        receive nearer to the dead-letter queue.
        """
        state = self._state
        if not state.has_held:
            return
        now = self._clock.monotonic()
        if state.gate.is_open and not state.draining:
            share = self._share
            free = state.gate.window - state.running if share is None else share.free()
            self._apply(state.start_held(free, now))
        elif not self._receiver.is_open:
            self._apply(state.release_held(now))

    def receive_more(self) -> None:
        """Another queue may have left some."""
        self._step_held()
        self._receiver.receive_more()

    def _received(self, messages: Sequence[Message]) -> None:
        wall = self._clock.time() + self._queue.clock_offset
        self._apply(self._state.received(messages, self._clock.monotonic(), wall))

    def _receive_ended(self) -> None:
        self._receive_more()
        self._look_whether_drained()

    # ---- dispatching

    def _apply(self, actions: Sequence[Action]) -> None:
        for action in actions:
            kind = type(action)
            if kind is LogEvent:
                self._log.emit(action.event, **action.values)  # type: ignore[union-attr]
                if action.given_up is not None:  # type: ignore[union-attr]
                    self._abandoned(action.given_up.message)  # type: ignore[union-attr]
            elif kind is Post:
                self._post(action.in_flight)  # type: ignore[union-attr]
            else:
                self._settler.add(action)  # type: ignore[arg-type]

    def _settled(self, actions: Sequence[Action]) -> None:
        """SQS was told something, and this follows from it."""
        self._apply(actions)
        self._receive_more()
        self._look_whether_drained()

    def _post(self, in_flight: InFlightMessage) -> None:
        try:
            request = self._request(in_flight.message)
        except Exception as error:  # a defect met one message; the others must go on
            self._log.emit(
                events.DAEMON_FAILED, message_id=in_flight.message.message_id, reason=repr(error)
            )
            self._loop.call_soon(self._answered, in_flight, Broken.DEFECT)
            return
        for reason in request.skipped:
            self._log.emit(
                events.MESSAGE_ATTRIBUTE_SKIPPED,
                message_id=in_flight.message.message_id,
                reason=reason,
            )
        in_flight.task_name = request.task_name
        if request.scheduled_at is not None and self._copies is not None:
            self._scheduled[in_flight] = request.scheduled_at
            self._tasks.start(
                self._post_scheduled(in_flight, request, self._copies), "post scheduled"
            )
        else:
            self._send(in_flight, request)

    def _request(self, message: Message) -> Request:
        if self._builder.extras is None:
            return self._builder.build(message)
        at = self._clock.time()
        hidden = message.received_at + self._options.visibility_timeout - self._clock.monotonic()
        return self._builder.build(message, at, at + hidden)

    def _send(self, in_flight: InFlightMessage, request: Request) -> None:
        self._application.post(request, partial(self._answered, in_flight))
        # Of ten messages in a receive the last one's request is made after nine others.
        in_flight.dispatched_at = self._clock.monotonic()

    async def _post_scheduled(
        self, in_flight: InFlightMessage, request: Request, copies: ScheduledCopies
    ) -> None:
        message = in_flight.message
        try:
            copy = await copies.is_duplicate(
                in_flight.task_name or "",
                self._scheduled[in_flight],
                message.message_id,
                message.sent_at,
            )
        except Exception as error:  # a defect met one message; as without an answer, it counts
            self._log.emit(events.DAEMON_FAILED, message_id=message.message_id, reason=repr(error))
            copy = False
        if copy:
            del self._scheduled[in_flight]
            self._apply(self._state.suppressed(in_flight, self._clock.monotonic()))
            self._receive_more()
            self._look_whether_drained()
        else:
            self._send(in_flight, request)

    def _answered(self, in_flight: InFlightMessage, outcome: Outcome) -> None:
        now = self._clock.monotonic()
        self._receiver.polling.answered(now - in_flight.dispatched_at)
        self._apply(self._state.answered(in_flight, outcome, now))
        if self._scheduled and (at := self._scheduled.pop(in_flight, None)) is not None:
            self._completed(in_flight, at)
        gate = self._state.gate
        if (gate.suspects or not gate.is_open) and not self._state.draining:
            self._gate.look()
            self._gate.watch()
        self._receive_more()
        self._look_whether_drained()

    def _completed(self, in_flight: InFlightMessage, at: datetime) -> None:
        if in_flight.state is State.DELETING and self._copies is not None:
            told = self._copies.completed(
                in_flight.task_name or "", at, in_flight.message.message_id
            )
            self._telling.start(told, "tell copies")

    def _abandoned(self, message: Message) -> None:
        """It is dead-lettered, expired, or was released after its last receive."""
        occurrence = None if self._copies is None else occurrence_of(message)
        if occurrence is not None and self._copies is not None:
            told = self._copies.abandoned(*occurrence, message.message_id)
            self._telling.start(told, "tell copies")
