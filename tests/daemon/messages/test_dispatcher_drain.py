"""The end of a dispatcher: nothing new, everything finished, nothing held."""

from __future__ import annotations

import asyncio

from sqsd.contract import events
from sqsd.testing.clock import in_virtual_time
from sqsd.testing.queue import Refusal
from tests.fakes.running_tier import RunningTier

# ---- the end


@in_virtual_time
async def test_a_drain_releases_what_waits_finishes_what_runs_and_flushes_deletes() -> None:
    async with RunningTier(fifo=True, drain_timeout=100) as tier:
        await tier.warm_up()
        tier.application.answers(None)
        first, *waiting = (tier.sqs.send(str(n), group_id="g") for n in range(4))
        other = tier.sqs.send("other", group_id="h")
        answered = tier.sqs.send("answered", group_id="i")
        await tier.clock.advance(1)
        assert tier.application.bodies == ["0", "other", "answered"]
        tier.application.finish(answered, 200)  # its delete still lingers when the drain begins
        drained = asyncio.create_task(tier.drain())
        await tier.clock.advance(0.001)
        assert tier.sqs.deleted == [answered]
        await tier.clock.advance(21)  # with the last long poll the time has come for these
        assert [tier.sqs.hidden_for(message_id) for message_id in waiting] == [0.0] * 3
        assert not drained.done()
        tier.application.finish(first, 200)
        tier.application.finish(other, 200)
        assert await drained is True
        assert sorted(tier.sqs.deleted) == sorted([first, other, answered])
        assert len(tier.application.posted) == 3
        assert [tier.sqs.hidden_for(message_id) for message_id in waiting] == [0.0] * 3


@in_virtual_time
async def test_a_drain_keeps_running_messages_hidden_and_deletes_them() -> None:
    async with RunningTier(visibility_timeout=60, drain_timeout=1_000) as tier:
        tier.application.answers(None)
        sent = tier.sqs.send("slow")
        await tier.clock.advance(1)
        drained = asyncio.create_task(tier.drain())
        await tier.clock.advance(600)
        assert tier.sqs.receive_count(sent) == 1
        tier.application.finish(sent, 200)
        assert await drained is True
        assert tier.sqs.deleted == [sent]


@in_virtual_time
async def test_what_the_last_open_poll_brings_during_a_drain_is_released_at_once() -> None:
    async with RunningTier() as tier:
        await tier.clock.advance(5)
        drained = asyncio.create_task(tier.drain())
        await tier.clock.advance(1)
        tier.sqs.send("too late")
        await tier.clock.advance(0.1)
        assert drained.result() is True
        assert tier.application.posted == []
        assert tier.sqs.visible() == ["too late"]


@in_virtual_time
async def test_no_receive_begins_once_a_drain_has() -> None:
    async with RunningTier() as tier:
        before = tier.receives()
        started = tier.clock.monotonic()
        assert await tier.drain() is True
        assert tier.receives() == before
        assert tier.clock.monotonic() - started <= 21


@in_virtual_time
async def test_drain_timeout_cuts_what_still_runs() -> None:
    async with RunningTier(drain_timeout=30, error_visibility_timeout=9) as tier:
        tier.application.answers(None)
        sent = tier.sqs.send("endless")
        await tier.clock.advance(1)
        started = tier.clock.monotonic()
        assert await tier.drain() is False
        assert 30 <= tier.clock.monotonic() - started <= 41
        assert tier.application.running == []
        assert 0 < tier.sqs.hidden_for(sent) <= 9
        assert tier.sqs.deleted == []


@in_virtual_time
async def test_an_idle_daemon_ends_clean_however_short_its_drain_timeout() -> None:
    async with RunningTier(drain_timeout=0) as tier:
        assert await tier.drain() is True


@in_virtual_time
async def test_a_drain_with_the_gate_closed_ends() -> None:
    tier = RunningTier()
    tier.application.up = False
    async with tier:
        assert await tier.drain() is True


@in_virtual_time
async def test_what_a_drain_releases_is_not_received_again_by_another_of_its_open_polls() -> None:
    async with RunningTier(visibility_timeout=10) as tier:
        await tier.open_polls(at_least=4)
        started = tier.clock.monotonic()
        drained = asyncio.create_task(tier.drain())
        await tier.clock.advance(1)
        sent = tier.sqs.send("too late")
        await tier.clock.advance(1)
        assert tier.sqs.receive_count(sent) == 1
        assert tier.sqs.hidden_for(sent) > 0, "another poll of ours would take it"
        assert await drained is True
        assert tier.clock.monotonic() - started <= 21
        assert tier.sqs.visible() == ["too late"]
        assert tier.sqs.receive_count(sent) == 1
        assert tier.application.posted == []
        (released,) = tier.log.of(events.MESSAGE_RELEASED)
        assert released["reason"] == "the daemon is stopping"


@in_virtual_time
async def test_what_waits_for_its_group_is_not_received_again_by_a_poll_that_is_still_open() -> (
    None
):
    async with RunningTier(fifo=True) as tier:
        await tier.open_polls(at_least=4)
        tier.application.answers(None)
        first, second = (tier.sqs.send(body, group_id="g") for body in ("first", "second"))
        await tier.clock.advance(1)
        drained = asyncio.create_task(tier.drain())
        await tier.clock.advance(1)
        tier.application.finish(first, 200)
        assert await drained is True
        assert tier.sqs.deleted == [first]
        assert tier.application.bodies == ["first"]
        assert tier.sqs.visible() == ["second"]
        assert tier.sqs.receive_count(second) == 1


@in_virtual_time
async def test_a_drain_that_is_over_before_its_polls_are_releases_what_they_brought() -> None:
    async with RunningTier(drain_timeout=2) as tier:
        await tier.open_polls(at_least=4)
        started = tier.clock.monotonic()
        drained = asyncio.create_task(tier.drain())
        await tier.clock.advance(1)
        sent = tier.sqs.send("too late")
        assert await drained is True
        assert tier.clock.monotonic() - started <= 13
        assert tier.sqs.visible() == ["too late"]
        assert tier.sqs.receive_count(sent) == 1


@in_virtual_time
async def test_a_forced_end_releases_what_its_polls_have_brought() -> None:
    async with RunningTier() as tier:
        await tier.open_polls(at_least=4)
        drained = asyncio.create_task(tier.drain())
        await tier.clock.advance(1)
        sent = tier.sqs.send("too late")
        await tier.clock.advance(1)
        tier.sqs.fault("ChangeMessageVisibilityBatch", Refusal("InternalError", status=500))
        drained.cancel()
        await asyncio.gather(drained, return_exceptions=True)
        assert tier.sqs.visible() == ["too late"]
        assert tier.sqs.receive_count(sent) == 1


@in_virtual_time
async def test_a_message_on_its_last_receive_is_tried_though_the_daemon_stops() -> None:
    async with RunningTier(max_retries=1, max_receives=1) as tier:
        await tier.open_polls(at_least=4)
        drained = asyncio.create_task(tier.drain())
        await tier.clock.advance(1)
        sent = tier.sqs.send("once")
        assert await drained is True
        assert tier.sqs.deleted == [sent]
        assert tier.application.bodies == ["once"]
