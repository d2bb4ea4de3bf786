"""Asks a queue for messages: as many as can start now, by several polls where that takes several.

How many polls and for how much is `messages.polling`'s to decide, and with several queues also
`messages.fair_share`'s; here is the waiting, and what to do about a queue that refuses.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from math import inf
from typing import Final, NamedTuple

from sqsd.base.errors import SqsdError
from sqsd.base.ports import Clock, EventLog
from sqsd.contract import SqsdOptions, events
from sqsd.messages.connections import Share
from sqsd.messages.message import Message
from sqsd.messages.polling import Polling
from sqsd.messages.ports import Queue
from sqsd.messages.state import MessageState

_FIRST_WAIT_SECONDS: Final = 1
#: Seconds between receives while the queue refuses them: first, doubled, and at most.
_FIRST_POLL_PAUSE: Final = 0.5
_LONGEST_POLL_PAUSE: Final = 20.0
#: Seconds before the next receive after an empty one that did not wait: with
#: `wait_time_seconds: 0`, or where the endpoint does not.
_EMPTY_PAUSE: Final = 0.2
#: Seconds between log lines about a queue that goes on refusing.
_REPEAT_SECONDS: Final = 60.0


class _Poll(NamedTuple):
    """A receive that is open."""

    asked: int
    #: Monotonic time at which it ends for want of messages.
    until: float


class Receiver:
    """One queue's.

    Args:
        state: says how much room there is.
        share: with several queues, this one's of the slots.
        jitter: gives numbers from 0 to 1, so that instances do not knock in step.
        ready: called once, after the first receive that completed.
        received: takes the messages of a receive, at least one.
        ended: called when a receive has ended, whatever it brought.
    """

    def __init__(
        self,
        options: SqsdOptions,
        queue: Queue,
        state: MessageState,
        share: Share | None,
        clock: Clock,
        log: EventLog,
        *,
        jitter: Callable[[], float],
        ready: Callable[[], None],
        received: Callable[[Sequence[Message]], None],
        ended: Callable[[], None],
    ) -> None:
        self._options, self._queue, self._state, self._share = options, queue, state, share
        self._clock, self._log, self._jitter = clock, log, jitter
        self._ready: Callable[[], None] | None = ready
        self._received, self._ended = received, ended
        self._loop = asyncio.get_running_loop()
        self.polling = Polling(options.http_connections)
        self._polls: dict[asyncio.Task[None], _Poll] = {}
        self._look_is_due = False
        self._look_timer: asyncio.TimerHandle | None = None
        self._failures = 0
        self._failed_at = -inf
        self._not_before = self._complain_not_before = 0.0
        #: Monotonic time of the newest receive that SQS answered; liveness is its age.
        self.last_receive = clock.monotonic()
        #: Since when there is room that a receive should be filling; None: there is none.
        self.wanting_since: float | None = None

    @property
    def reserved(self) -> int:
        """Messages that open receives have asked for."""
        return sum(poll.asked for poll in self._polls.values())

    @property
    def is_open(self) -> bool:
        """A receive is under way."""
        return bool(self._polls)

    @property
    def is_failing(self) -> bool:
        """The queue refuses receives."""
        return self._failures > 0

    def receive_more(self) -> None:
        """Do so once, after everything that is ready to run now has run."""
        if not self._look_is_due:
            self._look_is_due = True
            self._loop.call_soon(self._look)

    async def close(self) -> None:
        """Cancel what is under way."""
        for task in self._polls:
            task.cancel()
        await asyncio.gather(*self._polls, return_exceptions=True)

    def _room(self) -> int:
        room = self._state.room(self.reserved)
        return room if self._share is None else min(room, self._share.room())

    def _look(self) -> None:
        self._look_is_due = False
        if self._look_timer is not None:
            self._look_timer.cancel()
            self._look_timer = None
        now = self._clock.monotonic()
        if self._state.room(0) <= 0:
            self.wanting_since = None
        elif self.wanting_since is None:
            self.wanting_since = now
        wait = self._not_before - now
        while wait <= 0:
            limit = self._state.batch(now)
            if self._share is not None:
                limit = min(limit, self._share.limit)
            decision = self.polling.decide(self._room(), len(self._polls), now, limit)
            if not decision.ask_for:
                if decision.look_again_seconds is None:
                    return
                wait = decision.look_again_seconds
                break
            asked = decision.ask_for, self._wait_seconds()
            # A task takes its first step a round of the loop later.
            call = self._queue.receive(*asked) if self.polling.hurries else None
            task = self._loop.create_task(self._poll(*asked, now, call), name="receive")
            self._polls[task] = _Poll(decision.ask_for, now + asked[1])
            self._tell_state()
            task.add_done_callback(self._polled)
        self._look_timer = self._loop.call_later(wait, self._look)

    async def _poll(
        self,
        limit: int,
        wait_seconds: int,
        began: float,
        call: Awaitable[list[Message]] | None,
    ) -> None:
        try:
            messages = await (call or self._queue.receive(limit, wait_seconds))
        except SqsdError as error:
            self._failed(error, began)
            return
        self.last_receive = now = self._clock.monotonic()
        if not messages and now - began < _EMPTY_PAUSE:
            self._not_before = now + _EMPTY_PAUSE
        self._answered()
        self.polling.polled(limit, len(messages))
        if self._share is not None:
            self._share.polled(limit, len(messages))
        if messages:
            self._received(messages)

    def _wait_seconds(self) -> int:
        """The first receive does not wait out an empty queue: a deployment waits for its answer."""
        longest = self._options.wait_time_seconds
        if self._share is not None:
            longest = self._share.wait_seconds(longest)
        return longest if self._ready is None else min(longest, _FIRST_WAIT_SECONDS)

    def _polled(self, task: asyncio.Task[None]) -> None:
        del self._polls[task]
        self._tell_state()
        if not task.cancelled() and (error := task.exception()) is not None:
            self._loop.call_exception_handler({"message": "receive", "exception": error})
        self._ended()

    def _tell_state(self) -> None:
        if self._state.fifo:
            ends = sorted(poll.until for poll in self._polls.values() if poll.asked > 1)
            self._state.wide_receives_until = ends[-2] if len(ends) > 1 else 0.0

    def _failed(self, error: SqsdError, began: float) -> None:
        if self._share is not None:
            self._share.failed()
        if began <= self._failed_at:
            return  # one trouble met several receives that were open at the time
        self._failed_at = now = self._clock.monotonic()
        pause = min(_FIRST_POLL_PAUSE * 2**self._failures, _LONGEST_POLL_PAUSE)
        self._failures = min(self._failures + 1, 16)
        self._not_before = now + pause * (0.5 + self._jitter() / 2)
        if now >= self._complain_not_before:
            self._complain_not_before = now + _REPEAT_SECONDS
            self._log.emit(events.QUEUE_FAILED, reason=str(error), retry_seconds=round(pause, 1))

    def _answered(self) -> None:
        if self._ready is not None:
            ready, self._ready = self._ready, None
            ready()
        if self._failures:
            self._failures, self._complain_not_before, self._not_before = 0, 0.0, 0.0
            self._log.emit(events.QUEUE_RECOVERED)
