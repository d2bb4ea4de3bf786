"""The lag of the event loop, by a clock that is moved further than was asked for."""

from __future__ import annotations

import asyncio
import time

import pytest

from sqsd.base.clock import SystemClock
from sqsd.contract import events
from sqsd.observe.loop_lag import LOGGED_LAG_SECONDS, PERIOD_SECONDS, LoopLag
from sqsd.observe.metrics import Metrics
from sqsd.testing.clock import FakeClock, settle_down
from sqsd.testing.log import RecordingLog


async def test_a_late_loop_is_measured_and_a_very_late_one_is_logged_once_a_minute() -> None:
    metrics, clock, log = Metrics(), FakeClock(), RecordingLog()
    watch = asyncio.create_task(LoopLag(metrics, clock, log).run(None))
    await settle_down()

    async def measure(lag: float) -> None:
        clock.advance(PERIOD_SECONDS + lag)
        await settle_down()

    for _ in range(5):
        await measure(0.0)
    await measure(0.03)
    assert metrics.loop_lag.count == 6
    assert metrics.loop_lag.highest == pytest.approx(0.03)
    assert log.of(events.LOOP_LAGGED) == []
    for _ in range(3):
        await measure(LOGGED_LAG_SECONDS + 1.0)
    (logged,) = log.of(events.LOOP_LAGGED)
    assert logged["seconds"] == 2.0
    await measure(70.0)
    assert len(log.of(events.LOOP_LAGGED)) == 2
    watch.cancel()


async def test_a_blocking_call_shows_as_lag_of_the_real_loop() -> None:
    metrics = Metrics()
    watch = asyncio.create_task(LoopLag(metrics, SystemClock(), RecordingLog()).run(None))
    await asyncio.sleep(PERIOD_SECONDS / 2)
    time.sleep(PERIOD_SECONDS)  # noqa: ASYNC251 - what must not happen in a daemon
    await asyncio.sleep(0.1)
    watch.cancel()
    assert metrics.loop_lag.count == 1
    assert metrics.loop_lag.highest >= PERIOD_SECONDS / 4
