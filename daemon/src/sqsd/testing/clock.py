"""Time that does not pass by itself: a clock moved by hand, and an event loop on virtual time.

`FakeClock` is for what asks only the clock. Code that also sets timers on the event loop (a linger,
a deadline) runs in a `VirtualLoop`: when nothing is left to do there, its time jumps to the next
timer, so hours pass in milliseconds and always in the same order.
"""

from __future__ import annotations

import asyncio
import functools
import heapq
import itertools
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
Result = TypeVar("Result")
#: Where wall clocks start: 2026-01-01 00:00:00 UTC.
EPOCH = 1_767_225_600.0
#: Where the time of a `VirtualLoop` starts.
BEGINNING = 1_000.0
#: Real seconds for which a loop without timers waits for a thread, before it calls that a deadlock.
_PATIENCE_SECONDS = 10.0


class FakeClock:
    """Implements `ports.Clock`; time moves when a test says so, and sleepers wake in order."""

    def __init__(self, now: float = 1_000.0, wall: float = EPOCH) -> None:
        self._now, self._wall = now, wall
        self._order = itertools.count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def monotonic(self) -> float:
        return self._now

    def time(self) -> float:
        return self._wall

    def step_wall(self, seconds: float) -> None:
        """Somebody corrected the wall clock: the monotonic one does not notice."""
        self._wall += seconds

    def advance(self, seconds: float) -> None:
        """Move both clocks at once; sleepers that are due wake when the loop runs next."""
        assert seconds >= 0
        self._move_to(self._now + seconds)

    async def pass_by(self, seconds: float) -> None:
        """Let time pass: every sleeper wakes at its own time and does its work before the next."""
        end = self._now + seconds
        await settle_down()
        while self._sleepers and self._sleepers[0][0] <= end:
            self._move_to(self._sleepers[0][0])
            await settle_down()
        self._move_to(end)
        await settle_down()

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._now + seconds, next(self._order), woken))
        await woken

    def _move_to(self, moment: float) -> None:
        self._wall += moment - self._now
        self._now = moment
        while self._sleepers and self._sleepers[0][0] <= moment:
            _, _, woken = heapq.heappop(self._sleepers)
            if not woken.done():
                woken.set_result(None)


async def settle_down(rounds: int = 20) -> None:
    """Let everything run that is ready now, and what that makes ready."""
    for _ in range(rounds):
        await asyncio.sleep(0)


class _JumpingSelector(selectors.SelectSelector):
    """Where a loop would wait for its next timer, time jumps there instead."""

    def __init__(self, beginning: float) -> None:
        super().__init__()
        self.now = beginning

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or timeout == 0:
            # Time also passes while callbacks run, or who waits for the last nanosecond waits on.
            self.now += 1e-7
            return ready
        if timeout is None:  # no timer either: only another thread or a signal can wake the loop
            if ready := super().select(_PATIENCE_SECONDS):
                return ready
            raise RuntimeError("every coroutine waits for something that will never happen")
        # A little more than asked, so that rounding never leaves the timer just ahead.
        self.now += max(0.0, timeout) + 1e-7
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time jumps from timer to timer. For in-process fakes, not for sockets."""

    def __init__(self, beginning: float = BEGINNING) -> None:
        self.beginning = beginning
        self._jumping = _JumpingSelector(beginning)
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now


class VirtualClock:
    """Implements `ports.Clock` on the running `VirtualLoop`.

    Args:
        wall: wall time at the loop's beginning.
        offset, rate: of the monotonic clock against the loop's time.
        skew: seconds by which the wall clock is wrong.
    """

    def __init__(
        self, wall: float = EPOCH, *, offset: float = 0.0, rate: float = 1.0, skew: float = 0.0
    ) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop), "decorate the test with @in_virtual_time"
        self._loop, self._wall = loop, wall
        self.offset, self.rate, self.skew = offset, rate, skew

    def monotonic(self) -> float:
        return self.offset + self._loop.time() * self.rate

    def time(self) -> float:
        return self._wall + self._loop.time() - self._loop.beginning + self.skew

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / self.rate)

    async def advance(self, seconds: float) -> None:
        """Let virtual time pass, with all that happens in it."""
        await asyncio.sleep(seconds)
        await settle_down()


def run_virtually(main: Coroutine[Any, Any, Result]) -> Result:
    """Run `main` to its end on a `VirtualLoop` whose time begins at 0."""
    with asyncio.Runner(loop_factory=lambda: VirtualLoop(0.0)) as runner:
        return runner.run(main)


def in_virtual_time(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run a coroutine test on a `VirtualLoop`; an error nobody handled there fails the test."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            unhandled: list[dict[str, Any]] = []
            runner.get_loop().set_exception_handler(lambda _, context: unhandled.append(context))
            runner.run(test(*args, **kwargs))
            assert unhandled == []

    return run
