"""Collects items for calls that take ten at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, Generic, TypeVar

from sqsd.contract import BATCH_ENTRIES

Item = TypeVar("Item")
#: Longest time that an item waits for a batch to fill, in seconds.
LINGER_SECONDS: Final = 0.02


class Batcher(Generic[Item]):
    """Calls `flush` with one to ten items: at once with ten, after a moment with fewer.

    Args:
        name: of the tasks that flush, as a debugger shows them.
        flush: handles every failure itself; what it raises is a defect and ends the daemon.
    """

    def __init__(self, name: str, flush: Callable[[list[Item]], Awaitable[None]]) -> None:
        self._name = name
        self._flush = flush
        self._loop = asyncio.get_running_loop()
        self._items: list[Item] = []
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._lingers = True

    def add(self, item: Item) -> None:
        """Flush an item soon, in a batch."""
        self._items.append(item)
        if len(self._items) >= BATCH_ENTRIES:
            self.flush_now()
        elif self._timer is None:
            seconds = LINGER_SECONDS if self._lingers else 0.0
            self._timer = self._loop.call_later(seconds, self.flush_now)

    def flush_now(self) -> None:
        """Flush the collected items without a wait."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._items:
            items = self._items
            self._items = []
            task = self._loop.create_task(self._run(items), name=self._name)
            self._tasks.add(task)
            task.add_done_callback(self._finished)

    def stop_lingering(self) -> None:
        """Wait for no batch to fill from now on: the daemon is stopping."""
        self._lingers = False
        self.flush_now()

    async def _run(self, items: list[Item]) -> None:
        # The event that completed this batch may have freed connections too. The receive that fills
        # them goes first: a free connection waits for it, and nothing waits for this call.
        await asyncio.sleep(0)
        await self._flush(items)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._loop.call_exception_handler({"message": self._name, "exception": error})

    async def wait(self, seconds: float) -> None:
        """Wait until the calls under way have ended, at most `seconds`."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)

    async def close(self) -> None:
        """Cancel the calls under way."""
        if self._timer is not None:
            self._timer.cancel()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
