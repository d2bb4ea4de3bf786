"""When a receive leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, cast

import pytest

from sqsd.contract import SqsdOptions
from sqsd.messages.gate import Gate
from sqsd.messages.message import Message
from sqsd.messages.receiver import Receiver
from sqsd.messages.state import MessageState
from sqsd.testing.clock import FakeClock
from sqsd.testing.log import RecordingLog


class Begun(list[tuple[int, int]]):
    """A queue that notes each receive as it begins, and never answers."""

    def receive(self, limit: int, wait_seconds: int) -> Awaitable[list[Message]]:
        self.append((limit, wait_seconds))
        return asyncio.get_running_loop().create_future()


@pytest.mark.parametrize(("app_seconds", "at_once"), [(0.0, 0), (0.009, 0), (0.01, 1), (3.0, 1)])
async def test_a_receive_for_a_slow_application_does_not_wait_for_the_event_loop(
    app_seconds: float, at_once: int
) -> None:
    queue, options = Begun(), SqsdOptions(http_connections=7)
    state = MessageState(options, fifo=False, gate=Gate(7, is_open=True, window=7))
    receiver = Receiver(
        options,
        cast(Any, queue),
        state,
        None,
        FakeClock(),
        RecordingLog(),
        jitter=lambda: 0.5,
        ready=lambda: None,
        received=lambda messages: None,
        ended=lambda: None,
    )
    receiver.polling.mean_app_seconds = app_seconds
    receiver._look()
    assert len(queue) == at_once
    assert receiver.reserved == 7
    await asyncio.sleep(0)
    assert queue == [(7, 1)]  # the first one does not wait out an empty queue
    receiver._look()
    await asyncio.sleep(0)
    assert len(queue) == 1
    await receiver.close()
