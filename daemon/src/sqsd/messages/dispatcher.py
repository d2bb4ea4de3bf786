"""Moves the messages of one queue to the application and settles them: the shell of `state`.

Every event enters here: a receive ended, the application answered, SQS settled a message, the gate
opened, the daemon drains. The state machine turns each into actions, and `_step` then does, always
in this order, what may be due: the actions, messages that were held, receives, the end of the
drain. No decision is made here.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from typing import Final, assert_never

from sqsd.base.tasks import Tasks
from sqsd.base.waits import within
from sqsd.contract import BATCH_ENTRIES, SqsdOptions
from sqsd.messages.batcher import Batcher
from sqsd.messages.connections import ConnectionPool
from sqsd.messages.delivery import Delivery
from sqsd.messages.in_flight import (
    Action,
    ChangeVisibility,
    DeadLetterMessage,
    DeleteMessage,
    InFlightMessage,
    LogEvent,
    Post,
    PostDeadLetter,
)
from sqsd.messages.message import Message
from sqsd.messages.outcome import Outcome, Suppressed
from sqsd.messages.polling import Receive
from sqsd.messages.ports import Queue
from sqsd.messages.receiver import Receiver
from sqsd.messages.runtime import Runtime
from sqsd.messages.settler import Settler
from sqsd.messages.state import MessageState

#: Longest time for settling after the drain has ended or its requests were cut, in seconds.
_SETTLE_SECONDS: Final = 10.0
#: Longest time for the release of held messages if a receive was open all that time, in seconds.
_RELEASE_SECONDS: Final = 1.0
#: Longest time for calls to SQS that are under way when everything else has ended, in seconds.
_LAST_SECONDS: Final = 1.0


class Dispatcher:
    """Owns the messages of one queue. Implements `Dispatching` and `QueueDispatching`.

    Args:
        delivery: takes messages to the application.
        connections: shared by the queues of one application.
        weight: of the queue among those that share the connections, 1 to 100.
        ready: called once, after the first receive that succeeded.
    """

    def __init__(
        self,
        *,
        options: SqsdOptions,
        queue: Queue,
        delivery: Delivery,
        connections: ConnectionPool,
        runtime: Runtime,
        weight: int = 1,
        ready: Callable[[], None] = lambda: None,
    ) -> None:
        self._options = options
        self._queue = queue
        self._delivery = delivery
        self._connections = connections
        self._clock = runtime.clock
        self._log = runtime.log
        self._loop = asyncio.get_running_loop()
        self._state = MessageState(options, fifo=queue.fifo, gate=connections.gate)
        self._share = connections.join(self._state, weight, self._step_alone)
        self._receiver = Receiver(options, queue, self._state, self._share, runtime, ready)
        self._settler = Settler(queue, self._state, runtime)
        self._deletes: Batcher[DeleteMessage] = Batcher("delete", self._delete)
        self._releases: Batcher[ChangeVisibility] = Batcher("release", self._release)
        self._receives: set[asyncio.Task[None]] = set()
        self._receives_are_due = False
        self._receive_timer: asyncio.TimerHandle | None = None
        self._tasks = Tasks()
        #: Sends to the dead-letter queue: one that is cut off would have its job run again.
        self._dead_letters = Tasks()
        self._draining = asyncio.Event()
        self._drained = asyncio.Event()

    # ---- what the supervisor and the status page ask

    @property
    def parts(self) -> Sequence[Dispatcher]:
        return (self,)

    @property
    def fifo(self) -> bool:
        return self._state.fifo

    @property
    def in_flight(self) -> int:
        return self._state.in_flight

    @property
    def in_flight_limit(self) -> int:
        return self._state.gate.limit

    @property
    def gate_is_open(self) -> bool:
        return self._state.gate.is_open

    @property
    def queue_is_failing(self) -> bool:
        return self._receiver.is_failing

    @property
    def draining(self) -> bool:
        return self._state.draining

    @property
    def paused(self) -> bool:
        return self._state.paused

    @property
    def wants_messages(self) -> bool:
        if not self._state.wants_messages:
            return False
        return self._share.capacity() + self._state.reserved > 0

    @property
    def needs_no_messages(self) -> bool:
        return self.paused or (self.gate_is_open and not self.wants_messages)

    @property
    def last_receive(self) -> float:
        return self._receiver.last_receive

    @property
    def wanting_since(self) -> float | None:
        return self._receiver.wanting_since

    def messages(self) -> list[InFlightMessage]:
        return self._state.messages()

    # ---- life

    async def run(self) -> bool:
        """Dispatch until drained. Returns whether nothing was cut short."""
        heartbeat = self._tasks.start(self._extend_visibility(), "heartbeat")
        self._connections.keeper.check()
        dead_letter_seconds = _SETTLE_SECONDS
        try:
            await self._draining.wait()
            in_time = await self._finish()
            dead_letter_seconds = _LAST_SECONDS  # they have had their time
            return in_time
        finally:
            heartbeat.cancel()
            self._state.drain()  # after a cancellation: nothing more is started
            self._state.end_drain()
            await self._close(dead_letter_seconds)

    def pause(self) -> None:
        self._state.pause()

    def resume(self) -> None:
        self._state.resume()
        self._step(())

    def host_is_leaving(self) -> None:
        self._state.host_is_leaving = True

    def drain(self) -> None:
        """Receive nothing more, release what has not started, finish the rest; `run` returns."""
        if self._state.draining:
            return
        self._state.drain()
        self._deletes.stop_lingering()
        self._releases.stop_lingering()
        self._draining.set()
        self._step_alone()

    async def _finish(self) -> bool:
        """Wait at most `drain_timeout` for the messages in flight; then cut their requests."""
        in_time = await within(self._options.drain_timeout, self._drained.wait())
        cut = not in_time and self._state.running > 0
        if not in_time:
            self._state.end_drain()
            self._step_alone()
        if cut:  # not otherwise: the requests of another queue, which still drains, would be cut
            self._delivery.abort()
        if not await within(_SETTLE_SECONDS, self._all_recorded()):
            # An open long poll holds no message of ours. What was held because the poll might bring
            # it back is released now.
            await self._cancel_receives()
            await within(_RELEASE_SECONDS, self._drained.wait())
        return not cut and self._state.idle

    async def _all_recorded(self) -> None:
        await self._drained.wait()
        # These messages are gone from the queue: what became of them is recorded now or never.
        await self._delivery.finish()

    async def _close(self, dead_letter_seconds: float) -> None:
        """Cancel everything; calls to SQS that are under way get a moment.

        Dead letters get `dead_letter_seconds`.
        """
        await self._connections.leave()
        await self._cancel_receives()
        self._step_alone()
        if self._state.running:  # the end was forced: these messages are released as after a drain
            self._delivery.abort()
            await asyncio.sleep(0)  # requests without a connection yet end a round later
        await self._delivery.close()
        await within(dead_letter_seconds, self._finish_dead_letters())
        await self._dead_letters.close()
        await self._tasks.close()
        self._deletes.stop_lingering()
        self._releases.stop_lingering()
        await asyncio.gather(self._deletes.wait(_LAST_SECONDS), self._releases.wait(_LAST_SECONDS))
        await self._deletes.close()
        await self._releases.close()

    async def _finish_dead_letters(self) -> None:
        """Wait until the dead-letter queue has its copies, and the originals are deleted."""
        await self._dead_letters.settle()
        self._deletes.stop_lingering()
        if any(in_flight.is_dead_letter for in_flight in self._state.messages()):
            await self._deletes.wait(_SETTLE_SECONDS)

    # ---- events

    async def _receive(self, receive: Receive) -> None:
        messages = await self._receiver.receive(receive)
        if messages:
            self._received(messages)

    def _received(self, messages: Sequence[Message]) -> None:
        # The next step is taken when the receive has ended, a round of the event loop later. A fast
        # application answers meanwhile, so the next receive can ask for more: without this round
        # there would be a quarter more receives.
        wall_time = self._clock.time() + self._queue.clock_offset
        self._perform(self._state.received(messages, self._clock.monotonic(), wall_time))

    def _receive_ended(self, receive: Receive, task: asyncio.Task[None]) -> None:
        self._receives.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._loop.call_exception_handler({"message": "receive", "exception": error})
        self._state.receive_ended(receive)
        self._step(())

    def _answered(self, in_flight: InFlightMessage, outcome: Outcome | Suppressed) -> None:
        now = self._clock.monotonic()
        if isinstance(outcome, Suppressed):
            self._step(self._state.suppressed(in_flight, now))
            return
        self._receiver.answered(now - in_flight.dispatched_at)
        actions = self._state.answered(in_flight, outcome, now)
        self._check_gate()
        self._step(actions)

    def _dead_letter_answered(self, in_flight: InFlightMessage, outcome: Outcome) -> None:
        actions = self._state.dead_letter_answered(in_flight, outcome, self._clock.monotonic())
        self._check_gate()
        self._step(actions)

    def _check_gate(self) -> None:
        gate = self._state.gate
        if (gate.suspects or not gate.is_open) and not self._state.draining:
            self._connections.keeper.check()
        if gate.limit < gate.connections and gate.is_open:
            self._connections.keeper.widen()

    async def _settled(self, results: AsyncIterator[list[Action]]) -> None:
        async for actions in results:
            self._step(actions)

    async def _delete(self, deletes: list[DeleteMessage]) -> None:
        await self._settled(self._settler.delete(deletes))

    async def _release(self, changes: list[ChangeVisibility]) -> None:
        await self._settled(self._settler.release(changes))

    async def _extend_visibility(self) -> None:
        """Extend the visibility of messages, in batches, as it comes due; never returns.

        Messages that were held for long enough are released at the same pace.
        """
        tick = min(1.0, max(0.1, self._options.visibility_timeout / 10))
        while True:
            await self._clock.sleep(tick)
            now = self._clock.monotonic()
            if self._state.may_hold:
                self._step_alone()
            due = self._state.heartbeats(now)
            for start in range(0, len(due), BATCH_ENTRIES):
                extended = self._settler.extend(due[start : start + BATCH_ENTRIES], now)
                self._tasks.start(self._settled(extended), "extend")

    # ---- the next step

    def _step(self, actions: Sequence[Action]) -> None:
        """Take the next step after an event of this queue, and let every other queue take its."""
        self._perform(actions)
        self._step_alone()
        self._share.changed()

    def _step_alone(self) -> None:
        """Take the next step: held messages, receives, the end of the drain."""
        state = self._state
        if state.may_hold:
            self._perform(state.settle_held(self._share.free(), self._clock.monotonic()))
        if not self._receives_are_due:
            # Once, after everything that is ready to run now has run.
            self._receives_are_due = True
            self._loop.call_soon(self._open_receives)
        if state.draining and not state.open_receives and state.idle:
            self._drained.set()

    def _perform(self, actions: Sequence[Action]) -> None:
        for action in actions:
            match action:
                case Post():
                    self._delivery.send(action.in_flight, self._answered)
                case DeleteMessage():
                    self._deletes.add(action)
                case LogEvent():
                    self._log.emit(action.event, **action.values)
                    if action.given_up is not None:
                        self._delivery.given_up(action.given_up.message)
                case ChangeVisibility():
                    self._releases.add(action)
                case PostDeadLetter():
                    self._delivery.send_dead_letter(
                        action.in_flight, action.reason, self._dead_letter_answered
                    )
                case DeadLetterMessage():
                    sent = self._settler.dead_letter(action)
                    self._dead_letters.start(self._settled(sent), "dead letter")
                case _:
                    assert_never(action)

    def _open_receives(self) -> None:
        self._receives_are_due = False
        if self._receive_timer is not None:
            self._receive_timer.cancel()
            self._receive_timer = None
        now = self._clock.monotonic()
        following = self._receiver.next(now)
        while isinstance(following, Receive):
            self._state.receive_opened(following)
            task = self._loop.create_task(self._receive(following), name="receive")
            self._receives.add(task)
            task.add_done_callback(partial(self._receive_ended, following))
            following = self._receiver.next(now)
        if following is not None:
            self._receive_timer = self._loop.call_later(following, self._open_receives)

    async def _cancel_receives(self) -> None:
        if self._receive_timer is not None:
            self._receive_timer.cancel()
        for task in self._receives:
            task.cancel()
        await asyncio.gather(*self._receives, return_exceptions=True)
