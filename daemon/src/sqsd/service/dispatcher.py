"""Moves messages from a queue to the application and back: waits, and leaves deciding to `core`."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Final, Protocol

from sqsd import logs
from sqsd.contract import SqsdOptions
from sqsd.core.consumer import Consumer
from sqsd.core.dispatch import Outcome
from sqsd.core.flight import Action, Flight, Note, Post, State
from sqsd.core.gate import Gate
from sqsd.core.message import Message
from sqsd.core.polling import BATCH, Polling
from sqsd.core.request import Request, RequestBuilder
from sqsd.errors import SqsdError
from sqsd.ports import Application, Clock, EventLog, Queue
from sqsd.service.budget import Share
from sqsd.service.gate_keeper import GateKeeper
from sqsd.service.settler import Settler
from sqsd.service.tasks import Tasks

_FIRST_WAIT_SECONDS: Final = 1
#: Seconds between receives while the queue refuses them: first, doubled, and at most.
_FIRST_POLL_PAUSE: Final = 0.5
_LONGEST_POLL_PAUSE: Final = 20.0
#: Seconds between log lines about a queue that goes on refusing.
_REPEAT_SECONDS: Final = 60.0
#: Seconds that settling gets after requests were cut at the end of a drain.
_LAST_SECONDS: Final = 10.0


class ScheduledCopies(Protocol):
    """Tells copies of scheduled messages from the first: `service.occurrences.OccurrenceGuard`."""

    async def is_duplicate(
        self, task: str, scheduled: datetime, message_id: str, sent_at: int | None = None
    ) -> bool:
        """Whether to delete instead of POSTing; False when that cannot be told."""

    async def completed(self, task: str, scheduled: datetime, message_id: str) -> None:
        """The application answered 200."""

    async def abandoned(self, task: str, scheduled: datetime, message_id: str) -> None:
        """The last attempt failed."""


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
        self._ready: Callable[[], None] | None = ready
        self._jitter = jitter
        self._owns_gate = gate is None
        if gate is None:
            gate = GateKeeper(Gate(options.http_connections), application, clock, log, jitter)
        self._gate, self._share = gate, share
        gate.when_opened(self._pump_soon)
        if share is not None:
            share.holder = self
        self.fifo = fifo
        self._consumer = Consumer(options, fifo=fifo, gate=gate.gate)
        self._polling = Polling(options.http_connections)
        self._builder = builder
        self._loop = asyncio.get_running_loop()
        self._polls: dict[asyncio.Task[None], int] = {}
        self._tasks = Tasks()
        self._scheduled: dict[Flight, datetime] = {}
        self._settler = Settler(options, queue, self._consumer, clock, log, self._settled)
        self._pump_is_due = False
        self._pump_timer: asyncio.TimerHandle | None = None
        self._queue_failures = 0
        self._polls_not_before = self._complain_not_before = 0.0
        self._draining, self._drained = asyncio.Event(), asyncio.Event()
        #: Monotonic time of the newest receive that SQS answered; liveness is its age.
        self.last_receive = clock.monotonic()

    @property
    def parts(self) -> Sequence[Dispatcher]:
        """As `Dispatchers.parts`."""
        return (self,)

    @property
    def in_flight(self) -> int:
        return self._consumer.in_flight

    @property
    def reserved(self) -> int:
        """Messages that open receives have asked for."""
        return sum(self._polls.values())

    @property
    def gate_is_open(self) -> bool:
        return self._consumer.gate.is_open

    @property
    def queue_is_failing(self) -> bool:
        return self._queue_failures > 0

    @property
    def wants_messages(self) -> bool:
        """There is room that a receive should be filling."""
        if self._share is None:
            return self._consumer.room(0) > 0
        return self._consumer.room(0) > 0 and self._share.room() + self.reserved > 0

    @property
    def draining(self) -> bool:
        return self._consumer.draining

    @property
    def held_back(self) -> bool:
        return self._consumer.held_back

    @property
    def window(self) -> int:
        """How many messages may be in flight now; grows while the application answers."""
        return self._consumer.gate.window

    def flights(self) -> list[Flight]:
        """What is held now, for who explains the daemon."""
        return self._consumer.flights()

    def hold(self) -> None:
        """Receive nothing until `resume`; what is here is finished."""
        self._consumer.held_back = True

    def resume(self) -> None:
        self._consumer.held_back = False
        self._pump_soon()

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
            if self._owns_gate:
                await self._gate.close()
            for task in self._polls:
                task.cancel()
            await asyncio.gather(*self._polls, return_exceptions=True)
            await self._tasks.close()
            await self._settler.close()
        return clean

    def drain(self) -> None:
        """Receive no more, give back what has not started, finish the rest; `run` then returns."""
        if self._consumer.draining:
            return
        self._apply(self._consumer.drain())
        self._settler.hurry()
        self._draining.set()
        self._look_whether_drained()

    async def _wait_for_drain(self) -> None:
        await self._draining.wait()

    async def _finish(self) -> bool:
        """Wait for what is in flight, at most `drain_timeout`; then cut it."""
        try:
            async with asyncio.timeout(self._options.drain_timeout):
                await self._drained.wait()
            return True
        except TimeoutError:
            cut = self._consumer.in_flight > 0
        if cut:  # else it would cut another queue's, and that one not know of it
            self._application.abort()
        try:
            async with asyncio.timeout(_LAST_SECONDS):
                await self._drained.wait()
        except TimeoutError:
            pass
        # A long poll that is still open then has nothing of ours in it.
        return not cut and self._consumer.idle

    def _look_whether_drained(self) -> None:
        if self._consumer.draining and not self._polls and self._consumer.idle:
            self._drained.set()

    # ---- receiving

    def _pump_soon(self) -> None:
        """Look for room once, after everything that is ready to run now has run."""
        if not self._pump_is_due:
            self._pump_is_due = True
            self._loop.call_soon(self._pump)
        if self._share is not None:
            self._share.changed()

    def look_for_room(self) -> None:
        """Another queue may have left some."""
        if not self._pump_is_due:
            self._pump_is_due = True
            self._loop.call_soon(self._pump)

    def _room(self) -> int:
        room = self._consumer.room(self.reserved)
        return room if self._share is None else min(room, self._share.room())

    def _pump(self) -> None:
        self._pump_is_due = False
        if self._pump_timer is not None:
            self._pump_timer.cancel()
            self._pump_timer = None
        now = self._clock.monotonic()
        wait = self._polls_not_before - now
        while wait <= 0:
            limit = BATCH if self._share is None else self._share.limit
            decision = self._polling.decide(self._room(), len(self._polls), now, limit)
            if not decision.ask_for:
                if decision.look_again_seconds is None:
                    return
                wait = decision.look_again_seconds
                break
            poll = self._poll(decision.ask_for, self._wait_seconds())
            task = self._loop.create_task(poll, name="receive")
            self._polls[task] = decision.ask_for
            task.add_done_callback(self._polled)
        self._pump_timer = self._loop.call_later(wait, self._pump)

    async def _poll(self, limit: int, wait_seconds: int) -> None:
        try:
            messages = await self._queue.receive(limit, wait_seconds)
        except SqsdError as error:
            self._queue_failed(error)
            return
        self.last_receive = now = self._clock.monotonic()
        self._queue_answered()
        self._polling.polled(limit, len(messages))
        if self._share is not None:
            self._share.polled(limit, len(messages))
        if messages:
            self._apply(self._consumer.received(messages, now, self._clock.time()))

    def _wait_seconds(self) -> int:
        """The first receive does not wait out an empty queue: a deployment waits for its answer."""
        longest = self._options.wait_time_seconds
        if self._share is not None:
            longest = self._share.wait_seconds(longest)
        return longest if self._ready is None else min(longest, _FIRST_WAIT_SECONDS)

    def _polled(self, task: asyncio.Task[None]) -> None:
        del self._polls[task]
        if not task.cancelled() and (error := task.exception()) is not None:
            self._loop.call_exception_handler({"message": "receive", "exception": error})
        self._pump_soon()
        self._look_whether_drained()

    def _queue_failed(self, error: SqsdError) -> None:
        if self._share is not None:
            self._share.failed()
        now = self._clock.monotonic()
        pause = min(_FIRST_POLL_PAUSE * 2**self._queue_failures, _LONGEST_POLL_PAUSE)
        self._queue_failures = min(self._queue_failures + 1, 16)
        self._polls_not_before = now + pause * (0.5 + self._jitter() / 2)
        if now >= self._complain_not_before:
            self._complain_not_before = now + _REPEAT_SECONDS
            self._log.emit(logs.QUEUE_FAILED, reason=str(error), retry_seconds=round(pause, 1))

    def _queue_answered(self) -> None:
        if self._ready is not None:
            ready, self._ready = self._ready, None
            ready()
        if self._queue_failures:
            self._queue_failures, self._complain_not_before = 0, 0.0
            self._log.emit(logs.QUEUE_RECOVERED)

    # ---- dispatching

    def _apply(self, actions: Sequence[Action]) -> None:
        for action in actions:
            kind = type(action)
            if kind is Note:
                self._log.emit(action.event, **action.values)  # type: ignore[union-attr]
            elif kind is Post:
                self._post(action.flight)  # type: ignore[union-attr]
            else:
                self._settler.add(action)  # type: ignore[arg-type]

    def _settled(self, actions: Sequence[Action]) -> None:
        """SQS was told something, and this follows from it."""
        self._apply(actions)
        self._pump_soon()
        self._look_whether_drained()

    def _post(self, flight: Flight) -> None:
        request = self._request(flight.message)
        for reason in request.skipped:
            self._log.emit(
                logs.MESSAGE_ATTRIBUTE_SKIPPED,
                message_id=flight.message.message_id,
                reason=reason,
            )
        flight.task_name = request.task_name
        if request.scheduled_at is not None and self._copies is not None:
            self._scheduled[flight] = request.scheduled_at
            self._tasks.start(self._post_scheduled(flight, request, self._copies), "post scheduled")
        else:
            self._send(flight, request)

    def _request(self, message: Message) -> Request:
        if self._builder.extras is None:
            return self._builder.build(message)
        at = self._clock.time()
        hidden = message.received_at + self._options.visibility_timeout - self._clock.monotonic()
        return self._builder.build(message, at, at + hidden)

    def _send(self, flight: Flight, request: Request) -> None:
        self._application.post(request, partial(self._answered, flight))
        # Of ten messages in a receive the last one's request is made after nine others.
        flight.dispatched_at = self._clock.monotonic()

    async def _post_scheduled(
        self, flight: Flight, request: Request, copies: ScheduledCopies
    ) -> None:
        message = flight.message
        copy = await copies.is_duplicate(
            flight.task_name or "",
            self._scheduled[flight],
            message.message_id,
            message.sent_at,
        )
        if copy:
            del self._scheduled[flight]
            self._apply(self._consumer.suppressed(flight, self._clock.monotonic()))
            self._pump_soon()
            self._look_whether_drained()
        else:
            self._send(flight, request)

    def _answered(self, flight: Flight, outcome: Outcome) -> None:
        now = self._clock.monotonic()
        self._polling.answered(now - flight.dispatched_at)
        self._apply(self._consumer.answered(flight, outcome, now))
        if self._scheduled and (at := self._scheduled.pop(flight, None)) is not None:
            self._tell_copies(flight, at)
        if not self._consumer.gate.is_open and not self._consumer.draining:
            self._gate.watch()
        self._pump_soon()
        self._look_whether_drained()

    def _tell_copies(self, flight: Flight, at: datetime) -> None:
        """An occurrence was answered 200, or failed for the last time."""
        message, copies = flight.message, self._copies
        assert copies is not None
        if flight.state is State.DELETING:
            told = copies.completed(flight.task_name or "", at, message.message_id)
        elif message.receive_count >= self._options.max_retries:
            told = copies.abandoned(flight.task_name or "", at, message.message_id)
        else:
            return
        self._tasks.start(told, "tell copies")
