"""Receives from one queue: when and for how many messages, and what to do when the queue refuses.

How many receives are open, and for how many messages, is decided by `messages.polling`, and with
several queues by `messages.fair_share` too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf
from typing import Final

from sqsd.base.backoff import doubled
from sqsd.base.errors import SqsdError
from sqsd.base.throttle import LogThrottle
from sqsd.contract import SqsdOptions, events
from sqsd.messages.connections import Share
from sqsd.messages.message import Message
from sqsd.messages.polling import Polling, Receive
from sqsd.messages.ports import Queue
from sqsd.messages.runtime import Runtime
from sqsd.messages.state import MessageState

#: Longest wait of the first receive, in seconds: a deployment waits for its answer.
_FIRST_WAIT_SECONDS: Final = 1
#: First pause between receives while the queue refuses them, in seconds; doubled each time.
_FIRST_PAUSE_SECONDS: Final = 0.5
#: Longest pause between receives while the queue refuses them, in seconds.
_LONGEST_PAUSE_SECONDS: Final = 20.0
#: Pause after an empty receive that did not wait, in seconds: with `wait_time_seconds: 0`, or where
#: the endpoint does not wait.
_EMPTY_PAUSE_SECONDS: Final = 0.2


class Receiver:
    """Decides when to receive from one queue, and makes the calls. Its owner opens receives.

    Args:
        state: says how many messages there is capacity for.
        share: the queue's share of the connections.
        ready: called once, after the first receive that succeeded.
    """

    def __init__(
        self,
        options: SqsdOptions,
        queue: Queue,
        state: MessageState,
        share: Share,
        runtime: Runtime,
        ready: Callable[[], None],
    ) -> None:
        self._longest_wait = options.wait_time_seconds
        self._queue = queue
        self._state = state
        self._share = share
        self._runtime = runtime
        self._ready: Callable[[], None] | None = ready
        self.polling = Polling(options.http_connections)
        self._throttle = LogThrottle()
        self._failures = 0
        self._failed_at = -inf
        self._not_before = 0.0
        #: Monotonic seconds of the newest receive that SQS answered; its age shows liveness.
        self.last_receive = runtime.clock.monotonic()
        #: Monotonic seconds since which a receive should be open, or None if none should.
        self.wanting_since: float | None = None

    @property
    def is_failing(self) -> bool:
        """Whether the queue refuses receives."""
        return self._failures > 0

    def next(self, now: float) -> Receive | float | None:
        """Decide what to do at `now`.

        Returns: a receive to open, the seconds until the next decision, or None if the next
            decision is due after an event.
        """
        if not self._state.wants_messages:
            self.wanting_since = None
        elif self.wanting_since is None:
            self.wanting_since = now
        wait = self._not_before - now
        if wait > 0:
            return wait
        limit = min(self._state.receive_limit(now), self._share.limit)
        decision = self.polling.decide(
            self._share.capacity(), self._state.open_receives, now, limit
        )
        if decision.limit:
            return Receive(decision.limit, self._wait_seconds(), now)
        return decision.seconds

    def answered(self, seconds: float) -> None:
        """A request took `seconds`."""
        self.polling.answered(seconds)

    async def receive(self, receive: Receive) -> Sequence[Message]:
        """Make one receive. Returns its messages: none after a failure, which is logged."""
        try:
            messages = await self._queue.receive(receive.limit, receive.wait_seconds)
        except SqsdError as error:
            self._failed(error, receive.opened_at)
            return ()
        now = self._runtime.clock.monotonic()
        self.last_receive = now
        self._succeeded()
        if not messages and now - receive.opened_at < _EMPTY_PAUSE_SECONDS:
            self._not_before = now + _EMPTY_PAUSE_SECONDS
        self.polling.received(receive.limit, len(messages))
        self._share.received(receive.limit, len(messages))
        return messages

    def _wait_seconds(self) -> int:
        longest = self._share.wait_seconds(self._longest_wait)
        return longest if self._ready is None else min(longest, _FIRST_WAIT_SECONDS)

    def _failed(self, error: SqsdError, opened_at: float) -> None:
        self._share.receive_failed()
        if opened_at <= self._failed_at:
            return  # one failure met several receives that were open at the time
        now = self._runtime.clock.monotonic()
        self._failed_at = now
        pause = doubled(_FIRST_PAUSE_SECONDS, self._failures, _LONGEST_PAUSE_SECONDS)
        self._failures += 1
        self._not_before = now + pause * (0.5 + self._runtime.jitter() / 2)
        if self._throttle.admits(now):
            self._runtime.log.emit(
                events.QUEUE_FAILED, reason=str(error), retry_seconds=round(pause, 1)
            )

    def _succeeded(self) -> None:
        if self._ready is not None:
            ready = self._ready
            self._ready = None
            ready()
        if self._failures:
            self._failures = 0
            self._not_before = 0.0
            self._throttle.reset()
            self._runtime.log.emit(events.QUEUE_RECOVERED)
