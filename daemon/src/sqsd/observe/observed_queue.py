"""Counts the receives of a queue: the dispatcher logs only a few of those that fail."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence

from sqsd.base.errors import SqsdError
from sqsd.messages.message import Message, Refused
from sqsd.messages.ports import Queue
from sqsd.observe.metrics import Metrics
from sqsd.started import Started


class ObservedQueue:
    """Implements `messages.ports.Queue`: counts receives, and passes every call on.

    Args:
        queue: the queue that is called.
        metrics: where to count: the process's metrics and, with several queues, the queue's own.
    """

    def __init__(self, queue: Queue, *metrics: Metrics) -> None:
        self._queue = queue
        self._metrics = metrics

    def receive(self, limit: int, wait_seconds: int) -> Started[list[Message]]:
        call = self._queue.receive(limit, wait_seconds)
        return Started(lambda: self._received(call))

    async def _received(self, call: Awaitable[list[Message]]) -> list[Message]:
        try:
            messages = await call
        except SqsdError:
            for metrics in self._metrics:
                metrics.receives_failed += 1
            raise
        for metrics in self._metrics:
            metrics.receives += 1
            metrics.received += len(messages)
            if not messages:
                metrics.receives_empty += 1
        return messages

    async def bury(self, message: Message, reason: str) -> None:
        await self._queue.bury(message, reason)

    @property
    def clock_offset(self) -> float:
        return self._queue.clock_offset

    async def delete(self, messages: Sequence[Message]) -> list[Refused | None]:
        return await self._queue.delete(messages)

    async def change_visibility(
        self, changes: Sequence[tuple[Message, int]]
    ) -> list[Refused | None]:
        return await self._queue.change_visibility(changes)
