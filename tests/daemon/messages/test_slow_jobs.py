"""How soon slow jobs fill an application after a start, and how gently."""

from __future__ import annotations

import pytest

from sqsd.messages.outcome import Unreachable
from sqsd.testing.clock import in_virtual_time
from tests.fakes.running_tier import RunningTier


@pytest.mark.parametrize("connections", [1, 10, 50, 100])
@in_virtual_time
async def test_jobs_of_an_hour_fill_every_connection_within_ten_seconds(connections: int) -> None:
    async with RunningTier(http_connections=connections, visibility_timeout=3_600) as tier:
        tier.application.answers(None)
        for n in range(150):
            tier.sqs.send(str(n))
        await tier.clock.advance(1)
        assert len(tier.application.running) <= 4, "a starting application is not flooded"
        await tier.clock.advance(9)
        assert len(tier.application.running) == connections


@in_virtual_time
async def test_slow_jobs_of_fifo_groups_fill_every_connection_too() -> None:
    async with RunningTier(fifo=True, http_connections=20) as tier:
        tier.application.answers(None)
        for n in range(60):
            tier.sqs.send(str(n), group_id=str(n))
        await tier.clock.advance(10)
        assert len(tier.application.running) == 20


@in_virtual_time
async def test_a_gate_that_opens_again_fills_within_ten_seconds_too() -> None:
    async with RunningTier(http_connections=30) as tier:
        await tier.lose_application()
        await tier.clock.advance(60)
        tier.application.up = True
        tier.application.answers(None)
        for n in range(60):
            tier.sqs.send(str(n))
        while not tier.dispatcher.gate_is_open:
            await tier.clock.advance(0.1)
        await tier.clock.advance(10)
        assert len(tier.application.running) == 30


@in_virtual_time
async def test_an_application_that_refuses_gets_one_request_at_a_time() -> None:
    async with RunningTier(http_connections=50) as tier:
        tier.application.answers(Unreachable.REFUSED)  # though the probe's GET finds it up
        for n in range(60):
            tier.sqs.send(str(n))
        await tier.clock.advance(60)
        assert tier.application.most_at_once <= 2
        assert tier.dispatcher.in_flight_limit <= 2
