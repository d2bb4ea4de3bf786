"""No message is dead-lettered untried while the application is up."""

from __future__ import annotations

import asyncio

import pytest

from sqsd.messages.outcome import Unreachable
from sqsd.testing.clock import in_virtual_time
from tests.fakes.running_tier import RunningTier


async def receive_before(tier: RunningTier, *bodies: str, times: int, group: str) -> list[str]:
    """Send messages that were received `times` times before. Returns their ids."""
    sent = [tier.sqs.send(body, group_id=group) for body in bodies]
    for message_id in sent:
        tier.sqs.set_receive_count(message_id, times)
    return sent


# ---- a drain


@pytest.mark.parametrize("fifo", [False, True])
@pytest.mark.parametrize("max_retries", [1, 2, 10])
@in_virtual_time
async def test_a_drain_tries_what_an_open_poll_brings_on_its_last_receive(
    fifo: bool, max_retries: int
) -> None:
    async with RunningTier(fifo=fifo, max_retries=max_retries, max_receives=max_retries) as tier:
        await tier.clock.advance(5)
        drained = asyncio.create_task(tier.drain())
        await tier.clock.advance(1)
        await receive_before(tier, "last", times=max_retries - 1, group="g")
        assert await drained is True
        assert tier.application.bodies == ["last"]
        assert (tier.sqs.bodies(), tier.sqs.dead_letters) == ([], [])


@pytest.mark.parametrize("last", [(0,), (1,), (2,), (1, 3), (0, 1, 2, 3, 4)])
@in_virtual_time
async def test_a_drain_tries_a_group_up_to_the_last_of_it_that_has_no_receive_left(
    last: tuple[int, ...],
) -> None:
    async with RunningTier(fifo=True, max_retries=10, max_receives=10) as tier:
        await tier.warm_up()
        await tier.clock.advance(90)  # of the open receives only one for ten is left
        tier.application.answers(None)
        first = tier.sqs.send("first", group_id="g")
        sent = [tier.sqs.send(str(n), group_id="g") for n in range(5)]
        for n in last:
            tier.sqs.set_receive_count(sent[n], 9)
        await tier.clock.advance(1)
        assert tier.application.bodies == ["first"]
        drained = asyncio.create_task(tier.drain())
        await tier.clock.advance(1)
        tier.application.answers(200)
        tier.application.finish(first, 200)
        assert await drained is True
        expected = [str(n) for n in range(max(last) + 1)]
        assert tier.application.bodies == ["first", *expected]
        assert tier.sqs.visible() == [str(n) for n in range(max(last) + 1, 5)]
        assert tier.sqs.dead_letters == []


@in_virtual_time
async def test_a_drain_tries_no_longer_than_drain_timeout() -> None:
    async with RunningTier(fifo=True, drain_timeout=30, max_retries=1, max_receives=1) as tier:
        await tier.clock.advance(5)
        tier.application.answers(None)
        drained = asyncio.create_task(tier.drain())
        await tier.clock.advance(1)
        tier.sqs.send("endless", group_id="g")
        began = tier.clock.monotonic()
        assert await drained is False
        assert tier.clock.monotonic() - began <= 31
        assert tier.dispatcher.messages() == []


@in_virtual_time
async def test_a_drain_tries_what_was_held_and_has_no_receive_left() -> None:
    async with RunningTier(max_retries=1, max_receives=1, http_connections=20) as tier:
        await tier.open_polls(at_least=3)
        await tier.lose_application()
        late = [tier.sqs.send(f"late {n}") for n in range(6)]
        await tier.clock.advance(3)
        tier.application_is_back()
        tier.application.seconds = 2.0
        while not tier.dispatcher.gate_is_open:
            await tier.clock.advance(0.01)
        assert await tier.drain() is True  # most of them are still held
        assert set(late) <= set(tier.sqs.deleted)


@in_virtual_time
async def test_a_drain_without_an_application_tries_nothing_and_ends() -> None:
    async with RunningTier(max_retries=1, max_receives=1) as tier:
        await tier.lose_application()
        began = tier.clock.monotonic()
        assert await tier.drain() is True
        assert tier.clock.monotonic() - began <= 25


# ---- few receives


@pytest.mark.parametrize("max_retries", [1, 2])
@pytest.mark.parametrize("seconds", [0.01, 0.5, 5.0])
@pytest.mark.parametrize("error_visibility_timeout", [None, 0, 1])
@in_virtual_time
async def test_what_follows_a_failing_message_of_its_group_is_tried(
    max_retries: int, seconds: float, error_visibility_timeout: int | None
) -> None:
    async with RunningTier(
        fifo=True,
        max_retries=max_retries,
        max_receives=max_retries,
        visibility_timeout=30,
        inactivity_timeout=29,
        error_visibility_timeout=error_visibility_timeout,
    ) as tier:
        await tier.warm_up()
        tier.application.seconds = seconds
        tier.application.fail("0")
        for n in range(6):
            tier.sqs.send(str(n), group_id="g")
        await tier.clock.advance(300)
        assert tier.sqs.dead_letters == ["0"]
        assert set(tier.application.bodies) == {str(n) for n in range(6)}
        assert len(tier.sqs.deleted) == 5


# ---- without heartbeats


@pytest.mark.parametrize("away_seconds", [50, 100, 1_200])
@pytest.mark.parametrize("fifo", [False, True])
@in_virtual_time
async def test_what_is_held_without_heartbeats_is_tried_when_the_application_is_back(
    fifo: bool, away_seconds: int
) -> None:
    async with RunningTier(
        fifo=fifo,
        heartbeat=False,
        visibility_timeout=60,
        inactivity_timeout=50,
        max_retries=3,
        max_receives=3,
    ) as tier:
        await tier.warm_up()
        await tier.clock.advance(90)  # of the open receives only one for ten is left
        tier.application.up = False
        tier.application.answers(Unreachable.REFUSED)
        await receive_before(tier, "first", "second", "third", times=2, group="g")
        await tier.clock.advance(away_seconds)
        tried = len(tier.application.posted)
        tier.application_is_back()
        await tier.clock.advance(100)
        posted = tier.application.bodies[tried:]
        assert (posted if fifo else sorted(posted)) == ["first", "second", "third"]
        assert (tier.sqs.bodies(), tier.sqs.dead_letters) == ([], [])
