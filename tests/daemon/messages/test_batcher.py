"""Ten at once, fewer after a moment, and none forgotten."""

from __future__ import annotations

import asyncio

from sqsd.messages.batcher import LINGER_SECONDS, Batcher
from sqsd.testing.clock import in_virtual_time


class Batches:
    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.begun: list[list[int]] = []
        self.ended: list[list[int]] = []
        self.batcher: Batcher[int] = Batcher("test", self.flush)

    async def flush(self, items: list[int]) -> None:
        self.begun.append(items)
        await asyncio.sleep(self.seconds)
        self.ended.append(items)


@in_virtual_time
async def test_ten_go_at_once_and_the_rest_after_the_linger() -> None:
    batches = Batches()
    for n in range(23):
        batches.batcher.add(n)
    await asyncio.sleep(0.000_001)
    assert batches.begun == [list(range(10)), list(range(10, 20))]
    await asyncio.sleep(LINGER_SECONDS + 0.001)
    assert batches.begun[2:] == [[20, 21, 22]]


@in_virtual_time
async def test_the_linger_counts_from_the_first_item() -> None:
    batches = Batches()
    batches.batcher.add(1)
    await asyncio.sleep(LINGER_SECONDS * 0.9)
    batches.batcher.add(2)
    await asyncio.sleep(LINGER_SECONDS * 0.2)
    assert batches.begun == [[1, 2]]


@in_virtual_time
async def test_once_stopping_nothing_lingers() -> None:
    batches = Batches()
    batches.batcher.add(1)
    batches.batcher.stop_lingering()
    batches.batcher.add(2)
    batches.batcher.add(3)
    await asyncio.sleep(0.001)
    assert batches.begun == [[1], [2, 3]]


@in_virtual_time
async def test_a_slow_flush_does_not_hold_up_the_next() -> None:
    batches = Batches(seconds=10.0)
    for n in range(20):
        batches.batcher.add(n)
    await asyncio.sleep(1)
    assert len(batches.begun) == 2
    await asyncio.sleep(10)
    assert len(batches.ended) == 2


@in_virtual_time
async def test_close_cancels_what_is_under_way() -> None:
    batches = Batches(seconds=10.0)
    batches.batcher.add(1)
    batches.batcher.flush_now()
    await asyncio.sleep(1)
    await batches.batcher.close()
    assert (batches.begun, batches.ended) == ([[1]], [])
