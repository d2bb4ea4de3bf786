"""Time that passes only when a test says so: a clock, and an event loop on virtual time.

`FakeClock` is for code that only asks the clock. Code that also sets timers on the event loop runs
in a `VirtualLoop`: when nothing is left to do, the loop's time jumps to the next timer, so hours
pass in milliseconds, and always in the same order.
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
#: Time at which wall clocks start, epoch seconds: 2026-01-01 00:00:00 UTC.
EPOCH = 1_767_225_600.0
#: Time at which a `VirtualLoop` starts, monotonic seconds.
BEGINNING = 1_000.0
#: Real time for which a loop without timers waits for a thread, seconds; then it is a deadlock.
_PATIENCE_SECONDS = 10.0


class FakeClock:
    """Implements `base.ports.Clock`: time moves by `advance`, and sleepers wake in order.

    Args:
        now: monotonic seconds at the start.
        wall: epoch seconds at the start.
    """

    def __init__(self, now: float = 1_000.0, wall: float = EPOCH) -> None:
        self._now = now
        self._wall = wall
        self._order = itertools.count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def monotonic(self) -> float:
        """Return seconds on a clock that never steps."""
        return self._now

    def time(self) -> float:
        """Return seconds since 1970 UTC."""
        return self._wall

    def step_wall(self, seconds: float) -> None:
        """Move the wall clock alone, as a correction of the machine's time does."""
        self._wall += seconds

    def advance(self, seconds: float) -> None:
        """Move both clocks at once. Sleepers that are due wake when the event loop runs next."""
        assert seconds >= 0
        self._move_to(self._now + seconds)

    async def pass_by(self, seconds: float) -> None:
        """Let time pass: each sleeper wakes at its time, and works before the next one wakes."""
        end = self._now + seconds
        await settle_down()
        while self._sleepers and self._sleepers[0][0] <= end:
            self._move_to(self._sleepers[0][0])
            await settle_down()
        self._move_to(end)
        await settle_down()

    async def sleep(self, seconds: float) -> None:
        """Wait for `seconds` of this clock."""
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
    """Run everything that is ready, and what that makes ready, for some turns of the loop."""
    for _ in range(rounds):
        await asyncio.sleep(0)


class _JumpingSelector(selectors.SelectSelector):
    """Jumps to the time of the next timer where a selector would wait for it."""

    def __init__(self, beginning: float) -> None:
        super().__init__()
        self.now = beginning

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or timeout == 0:
            # Time also passes while callbacks run, or a wait for the last nanosecond never ends.
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
    """Runs coroutines while its time jumps from timer to timer. It is not for sockets.

    Args:
        beginning: loop time at the start, seconds.
    """

    def __init__(self, beginning: float = BEGINNING) -> None:
        self.beginning = beginning
        self._jumping = _JumpingSelector(beginning)
        super().__init__(self._jumping)

    def time(self) -> float:
        """Return the loop's time, seconds."""
        return self._jumping.now


class VirtualClock:
    """Implements `base.ports.Clock` on the running `VirtualLoop`.

    Args:
        wall: epoch seconds at the loop's beginning.
        offset: seconds that the monotonic clock is ahead of the loop's time.
        rate: rate of the monotonic clock; 1.0 is that of the loop.
        skew: seconds that the wall clock is ahead.
    """

    def __init__(
        self, wall: float = EPOCH, *, offset: float = 0.0, rate: float = 1.0, skew: float = 0.0
    ) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop), "decorate the test with @in_virtual_time"
        self._loop = loop
        self._wall = wall
        self.offset = offset
        self.rate = rate
        self.skew = skew

    def monotonic(self) -> float:
        """Return seconds on a clock that never steps."""
        return self.offset + self._loop.time() * self.rate

    def time(self) -> float:
        """Return seconds since 1970 UTC."""
        return self._wall + self._loop.time() - self._loop.beginning + self.skew

    async def sleep(self, seconds: float) -> None:
        """Wait for `seconds` of this clock."""
        await asyncio.sleep(seconds / self.rate)

    async def advance(self, seconds: float) -> None:
        """Let virtual time pass, with everything that happens in it."""
        await asyncio.sleep(seconds)
        await settle_down()


def run_virtually(main: Coroutine[Any, Any, Result]) -> Result:
    """Run `main` to its end on a `VirtualLoop` whose time begins at 0."""
    with asyncio.Runner(loop_factory=lambda: VirtualLoop(0.0)) as runner:
        return runner.run(main)


def in_virtual_time(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run a coroutine test on a `VirtualLoop`; an unhandled error in the loop fails the test."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            unhandled: list[dict[str, Any]] = []
            runner.get_loop().set_exception_handler(lambda _, context: unhandled.append(context))
            runner.run(test(*args, **kwargs))
            assert unhandled == []

    return run
