"""Collects things for calls that take ten at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, Generic, TypeVar

from sqsd.messages.polling import BATCH

Item = TypeVar("Item")
#: Seconds a thing waits for company; costs a message nothing but a later deletion.
LINGER_SECONDS: Final = 0.02


class Batcher(Generic[Item]):
    """Calls `flush` with one to ten items: at ten at once, with fewer after a moment.

    Args:
        name: of the tasks that flush, for who looks at them.
        flush: handles every failure itself; what it raises is a defect and ends the daemon.
    """

    def __init__(self, name: str, flush: Callable[[list[Item]], Awaitable[None]]) -> None:
        self._name, self._flush = name, flush
        self._loop = asyncio.get_running_loop()
        self._items: list[Item] = []
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._hurry = False

    def add(self, item: Item) -> None:
        self._items.append(item)
        if len(self._items) >= BATCH:
            self.flush_now()
        elif self._timer is None:
            seconds = 0.0 if self._hurry else LINGER_SECONDS
            self._timer = self._loop.call_later(seconds, self.flush_now)

    def flush_now(self) -> None:
        """Send what has been collected, without waiting."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._items:
            items, self._items = self._items, []
            task = self._loop.create_task(self._run(items), name=self._name)
            self._tasks.add(task)
            task.add_done_callback(self._finished)

    def hurry(self) -> None:
        """From now on wait for nothing: the daemon is stopping."""
        self._hurry = True
        self.flush_now()

    async def _run(self, items: list[Item]) -> None:
        # What made these due may have made room too: the receive that fills it goes first, for a
        # slot waits for that and nobody waits for this.
        await asyncio.sleep(0)
        await self._flush(items)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._loop.call_exception_handler({"message": self._name, "exception": error})

    async def wait(self, seconds: float) -> None:
        """Until what is under way has ended, at most so long."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)

    async def close(self) -> None:
        """Cancel what is under way."""
        if self._timer is not None:
            self._timer.cancel()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
