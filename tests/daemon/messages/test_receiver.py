"""When a receive is due, and what one does."""

from __future__ import annotations

from typing import Any, cast

import pytest

from sqsd.contract import SqsdOptions
from sqsd.messages.connections import WholePool
from sqsd.messages.gate import Gate
from sqsd.messages.message import Message
from sqsd.messages.polling import Receive
from sqsd.messages.receiver import Receiver
from sqsd.messages.runtime import Runtime
from sqsd.messages.state import MessageState
from sqsd.testing.clock import FakeClock
from sqsd.testing.log import RecordingLog


class Empty:
    """A queue that records each receive, and has no message."""

    def __init__(self) -> None:
        self.receives: list[tuple[int, int]] = []

    async def receive(self, limit: int, wait_seconds: int) -> list[Message]:
        self.receives.append((limit, wait_seconds))
        return []


async def test_only_the_first_receive_is_short_and_a_receive_that_is_open_counts() -> None:
    queue, clock, options = Empty(), FakeClock(), SqsdOptions(http_connections=7)
    state = MessageState(options, fifo=False, gate=Gate(7, is_open=True, limit=7))
    ready: list[bool] = []
    receiver = Receiver(
        options,
        cast(Any, queue),
        state,
        WholePool(state),
        Runtime(clock, RecordingLog()),
        lambda: ready.append(True),
    )
    now = clock.monotonic()
    # the first one does not wait out an empty queue
    first = receiver.next(now)
    assert first == Receive(7, 1, now)
    state.receive_opened(first)
    assert (receiver.next(now), state.reserved, ready) == (None, 7, [])
    assert await receiver.receive(first) == []
    state.receive_ended(first)
    assert (queue.receives, ready) == ([(7, 1)], [True])
    # it was empty and did not wait, so the next one is put off
    assert receiver.next(now) == pytest.approx(0.2)
    assert receiver.next(now + 0.2) == Receive(7, 20, now + 0.2)
