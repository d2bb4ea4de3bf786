"""Counts the receives of a queue: the dispatcher logs only a few of those that fail."""

from __future__ import annotations

from collections.abc import Sequence

from sqsd.base.errors import SqsdError
from sqsd.messages.message import Message, Refused
from sqsd.messages.ports import Queue
from sqsd.observe.metrics import Metrics


class ObservedQueue:
    """Implements `messages.ports.Queue`: counts receives, and passes every call on.

    Args:
        queue: the queue that is called.
        metrics: where to count: the process's metrics and, with several queues, the queue's own.
    """

    def __init__(self, queue: Queue, *metrics: Metrics) -> None:
        self._queue = queue
        self._metrics = metrics

    async def receive(self, limit: int, wait_seconds: int) -> list[Message]:
        try:
            messages = await self._queue.receive(limit, wait_seconds)
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

    async def dead_letter(self, message: Message, reason: str) -> None:
        await self._queue.dead_letter(message, reason)

    @property
    def fifo(self) -> bool:
        return self._queue.fifo

    @property
    def clock_offset(self) -> float:
        return self._queue.clock_offset

    async def delete(self, messages: Sequence[Message]) -> list[Refused | None]:
        return await self._queue.delete(messages)

    async def change_visibility(
        self, changes: Sequence[tuple[Message, int]], *, timeout: float | None = None
    ) -> list[Refused | None]:
        return await self._queue.change_visibility(changes, timeout=timeout)
