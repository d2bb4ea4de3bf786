"""An event loop on which time passes only when nothing else is to be done, and clocks for it.

Hours of waiting take moments, and every run with the same seed is the same. No file descriptor is
ever waited for, so this is for code behind ports and fakes only.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

_Result = TypeVar("_Result")


class _TimePasses(selectors.SelectSelector):
    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("every coroutine waits for something that will never happen")
        # Like real time it also passes while callbacks run, or a coroutine that waits for the last
        # nanosecond would wait forever.
        self.now += max(timeout, 1e-7)
        return []


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """Begins at 0 and leaps from one timer to the next."""

    def __init__(self) -> None:
        self._passing = _TimePasses()
        super().__init__(self._passing)

    def time(self) -> float:
        return self._passing.now


def run_virtually(main: Coroutine[Any, Any, _Result]) -> _Result:
    """Run `main` to its end on a loop of its own."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(main)


class VirtualClock:
    """`ports.Clock` by the running virtual loop.

    Args:
        epoch: wall time at the loop's start.
        offset, rate: of the monotonic clock against the loop's time.
        skew: seconds by which the wall clock is wrong.
    """

    def __init__(
        self, epoch: float, *, offset: float = 0.0, rate: float = 1.0, skew: float = 0.0
    ) -> None:
        self.epoch, self.offset, self.rate, self.skew = epoch, offset, rate, skew

    def monotonic(self) -> float:
        return self.offset + asyncio.get_running_loop().time() * self.rate

    def time(self) -> float:
        return self.epoch + asyncio.get_running_loop().time() + self.skew

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / self.rate)
