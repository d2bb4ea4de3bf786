"""A tier in memory: a queue, a daemon and an application, on a clock that a test moves.

The daemon is the real one, from its queue client to its dispatcher. It runs only within
`FakeTier.run_until_idle`, on an event loop whose time jumps from timer to timer, so hours pass in
milliseconds and always in the same order.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any, Final

from sqsd.aws.sqs import SqsQueue, queue_name
from sqsd.contract import SqsdOptions
from sqsd.messages.connections import ConnectionPool
from sqsd.messages.delivery import ApplicationDelivery
from sqsd.messages.dispatcher import Dispatcher
from sqsd.messages.request import RequestBuilder
from sqsd.messages.runtime import Runtime
from sqsd.testing.application import FakeApplication
from sqsd.testing.clock import BEGINNING, EPOCH, VirtualLoop
from sqsd.testing.log import RecordingLog
from sqsd.testing.queue import FakeSqs

#: URL of the dead-letter queue; any URL but the queue's does.
_DEAD_LETTER_QUEUE_URL: Final = "http://127.0.0.1:1/123456789012/dead-letters"
#: Time between two checks whether a tier is idle, seconds of its clock.
_CHECK_SECONDS: Final = 0.05
#: Checks in a row that must find the tier idle: a message may be on its way at one of them.
_IDLE_CHECKS: Final = 4


class NotIdle(AssertionError):
    """The tier was still busy, or could not dispatch, after `longest_seconds`."""


class TierClock:
    """Implements `base.ports.Clock`: time moves by `advance`, and while a `FakeTier` runs."""

    def __init__(self) -> None:
        self._now = BEGINNING
        self._loop: asyncio.AbstractEventLoop | None = None

    def monotonic(self) -> float:
        """Return seconds on a clock that never steps."""
        return self._now if self._loop is None else self._loop.time()

    def time(self) -> float:
        """Return seconds since 1970 UTC; the first is that of 2026-01-01."""
        return EPOCH + self.monotonic() - BEGINNING

    async def sleep(self, seconds: float) -> None:
        """Wait for `seconds` of this clock; only the daemon of a running tier can."""
        await asyncio.sleep(seconds)

    def advance(self, seconds: float) -> None:
        """Move the clock by `seconds`, 0 or more, in which no daemon runs."""
        assert self._loop is None, "time passes by itself while the tier runs"
        assert seconds >= 0, f"time cannot go back by {-seconds} s"
        self._now += seconds

    @contextlib.contextmanager
    def driven_by(self, loop: asyncio.AbstractEventLoop) -> Iterator[None]:
        """Follow the time of a loop within the `with` block, and go on from there after it."""
        self._loop = loop
        try:
            yield
        finally:
            self._now = loop.time()
            self._loop = None


class FakeTier:
    """Holds a queue, an application and a clock, and runs a daemon between them.

    Args:
        fifo: whether the queue is a FIFO queue.
        max_receives: receives after which SQS dead-letters a message, or None for no limit.
    """

    def __init__(self, *, fifo: bool = False, max_receives: int | None = None) -> None:
        #: The clock of the queue and the daemon.
        self.clock = TierClock()
        #: The queue: `send`, `visible`, `bodies`, `deleted`, `dead_letters`, `fault`.
        self.queue = FakeSqs(self.clock, fifo=fifo, max_receives=max_receives)
        #: The application: `answers`, `fail`, `posted`, `bodies`.
        self.application = FakeApplication()
        #: The daemon's log events: `of(events.MESSAGE_RELEASED)`.
        self.log = RecordingLog()

    async def run_until_idle(
        self, options: SqsdOptions | None = None, *, longest_seconds: float = 3_600.0
    ) -> None:
        """Run a daemon until no message is visible and none is in flight; then end it.

        Works under any event loop, because the daemon runs in a loop of a separate thread.

        Args:
            options: the daemon's options. Default: those of `SqsdOptions()`.
            longest_seconds: time of the tier's clock after which the tier must be idle.

        Raises:
            NotIdle: it was not: the application is down, or a message fails and is visible again
                at once.
        """
        chosen = SqsdOptions() if options is None else options
        await asyncio.to_thread(self._run, chosen, longest_seconds)

    def _run(self, options: SqsdOptions, longest_seconds: float) -> None:
        unhandled: list[dict[str, Any]] = []
        with asyncio.Runner(loop_factory=lambda: VirtualLoop(self.clock.monotonic())) as runner:
            loop = runner.get_loop()
            loop.set_exception_handler(lambda _, context: unhandled.append(context))
            with self.clock.driven_by(loop):
                runner.run(self._dispatch_until_idle(options, longest_seconds))
        assert unhandled == [], unhandled

    async def _dispatch_until_idle(self, options: SqsdOptions, longest_seconds: float) -> None:
        dispatcher = self._dispatcher(options)
        running = asyncio.create_task(dispatcher.run(), name="dispatch")
        end = self.clock.monotonic() + longest_seconds
        try:
            checks = 0
            while checks < _IDLE_CHECKS:
                await asyncio.wait([running], timeout=_CHECK_SECONDS)
                checks = 0 if self.queue.visible() or dispatcher.in_flight else checks + 1
                if running.done():
                    running.result()
                    raise AssertionError("the dispatcher ended, though it was not drained")
                if self.clock.monotonic() > end:
                    raise NotIdle(
                        f"after {longest_seconds:g} s {len(self.queue.visible())} messages are"
                        f" visible and {dispatcher.in_flight} in flight"
                    )
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    def _dispatcher(self, options: SqsdOptions) -> Dispatcher:
        queue = SqsQueue(
            self.queue.url,
            polls=self.queue,
            control=self.queue,
            clock=self.clock,
            log=self.log,
            visibility_timeout=options.visibility_timeout,
            dead_letter_queue_url=_DEAD_LETTER_QUEUE_URL,
            with_extras=bool(options.extra_headers),
        )
        runtime = Runtime(self.clock, self.log, lambda: 0.5)
        builder = RequestBuilder(options, queue_name(self.queue.url))
        return Dispatcher(
            options=options,
            queue=queue,
            delivery=ApplicationDelivery(options, builder, self.application, runtime),
            connections=ConnectionPool(options.http_connections, self.application, runtime),
            runtime=runtime,
        )
