"""What the dispatcher receives: no more than can start, and less and less while it fails."""

from __future__ import annotations

import pytest

from sqsd.contract import events
from sqsd.testing.clock import in_virtual_time
from sqsd.testing.queue import Broken as Faulty
from sqsd.testing.queue import Refusal
from tests.fakes.running_tier import RunningTier

# ---- receiving


@in_virtual_time
async def test_no_more_is_received_than_can_start() -> None:
    async with RunningTier(http_connections=7) as tier:
        for n in range(200):
            tier.sqs.send(str(n))
        await tier.clock.advance(30)
        asked = [c.request["MaxNumberOfMessages"] for c in tier.sqs.called("ReceiveMessage")]
        assert max(asked) <= 7
        assert tier.application.most_at_once <= 7
        assert tier.sqs.bodies() == []


@in_virtual_time
async def test_many_connections_are_filled_by_several_polls() -> None:
    async with RunningTier(http_connections=50) as tier:
        tier.application.seconds = 5.0
        for n in range(600):
            tier.sqs.send(str(n))
        await tier.clock.advance(60)
        assert tier.application.most_at_once == 50


@in_virtual_time
async def test_a_message_that_comes_late_in_a_long_poll_is_dispatched_at_once() -> None:
    async with RunningTier(visibility_timeout=10, inactivity_timeout=5) as tier:
        await tier.clock.advance(17)  # of the long poll's 20 s
        sent = tier.sqs.send("late")
        await tier.clock.advance(1)
        assert tier.sqs.deleted == [sent]
        assert len(tier.application.posted) == 1
        assert tier.log.of(events.MESSAGE_RELEASED) == []


@in_virtual_time
async def test_an_idle_queue_costs_three_receives_a_minute() -> None:
    async with RunningTier() as tier:
        await tier.clock.advance(600)
        assert tier.receives() <= 31


@in_virtual_time
async def test_a_queue_that_refuses_is_asked_less_and_less_and_logged_once_a_minute() -> None:
    async with RunningTier() as tier:
        await tier.clock.advance(20)
        before = tier.receives()
        tier.sqs.fault("ReceiveMessage", *[Refusal("AccessDeniedException", status=403)] * 1_000)
        await tier.clock.advance(600)
        assert 30 <= tier.receives() - before <= 50
        said = tier.log.of(events.QUEUE_FAILED)
        assert 9 <= len(said) <= 11
        assert "AccessDeniedException" in said[0]["reason"]
        assert tier.dispatcher.queue_is_failing
        tier.sqs._faults.clear()
        await tier.clock.advance(45)
        assert len(tier.log.of(events.QUEUE_RECOVERED)) == 1
        assert not tier.dispatcher.queue_is_failing


@in_virtual_time
async def test_a_hung_poll_is_given_up_soon_after_its_wait_and_another_is_made() -> None:
    async with RunningTier() as tier:
        tier.sqs.fault("ReceiveMessage", Faulty.HANG)
        await tier.clock.advance(20)  # the poll of the start ends, the next one hangs
        sent = tier.sqs.send("work")
        await tier.clock.advance(26)
        assert tier.sqs.deleted == [sent]
        assert "no answer within 25 s" in tier.log.of(events.QUEUE_FAILED)[0]["reason"]


@pytest.mark.parametrize("fault", [Faulty.LOST, Faulty.CUT])
@in_virtual_time
async def test_messages_lost_with_an_answer_come_back_by_their_visibility(fault: Faulty) -> None:
    async with RunningTier(visibility_timeout=60, inactivity_timeout=30) as tier:
        tier.sqs.fault("ReceiveMessage", fault)
        await tier.clock.advance(20)
        sent = tier.sqs.send("work")
        await tier.clock.advance(59)
        assert tier.application.posted == []
        await tier.clock.advance(25)
        assert tier.sqs.deleted == [sent]


@in_virtual_time
async def test_ready_is_called_once_after_the_first_receive() -> None:
    tier = RunningTier()
    tier.sqs.fault("ReceiveMessage", Refusal("InternalError", status=500))
    async with tier:
        assert tier.ready == 0
        await tier.clock.advance(21)
        assert tier.ready == 1
        await tier.clock.advance(200)
        assert tier.ready == 1


@in_virtual_time
async def test_a_copy_of_a_running_message_is_not_posted_and_its_handle_is_used() -> None:
    async with RunningTier() as tier:
        await tier.warm_up()
        tier.application.answers(None)
        sent = tier.sqs.send("work")
        await tier.clock.advance(1)
        tier.sqs.expose(sent)
        await tier.clock.advance(1)
        assert tier.sqs.receive_count(sent) == 2
        assert len(tier.application.posted) == 1
        tier.application.finish(sent, 200)
        await tier.clock.advance(1)
        assert tier.sqs.deleted == [sent]


# ---- receives that fail, or that bring less than was asked for


@in_virtual_time
async def test_one_failure_that_meets_all_open_polls_counts_once() -> None:
    async with RunningTier(http_connections=100) as tier:
        await tier.warm_up()
        tier.application.seconds = 0.5
        for n in range(2_000):
            tier.sqs.send(str(n))
        await tier.clock.advance(5)
        busy = len(tier.application.posted)
        before = tier.receives()
        tier.sqs.fault("ReceiveMessage", *[Faulty.CUT] * 100)
        while tier.receives() == before:
            await tier.clock.advance(0.01)
        assert tier.receives() - before >= 5  # at one moment
        tier.sqs._faults.clear()
        await tier.clock.advance(2)
        assert len(tier.log.of(events.QUEUE_FAILED)) == 1
        assert len(tier.application.posted) > busy + 200  # it went on after half a second


@in_virtual_time
async def test_an_answer_ends_the_pause_that_a_failure_before_it_began() -> None:
    async with RunningTier() as tier:
        tier.sqs.fault("ReceiveMessage", *[Refusal("InternalError", status=500)] * 5)
        await tier.clock.advance(60)
        assert len(tier.log.of(events.QUEUE_RECOVERED)) == 1
        sent = tier.sqs.send("work")
        await tier.clock.advance(0.2)
        assert tier.sqs.deleted == [sent]


@pytest.mark.parametrize("wait_time_seconds", [0, 20])
@in_virtual_time
async def test_an_endpoint_that_does_not_wait_is_not_asked_as_fast_as_it_answers(
    wait_time_seconds: int,
) -> None:
    async with RunningTier(wait_time_seconds=wait_time_seconds) as tier:
        tier.sqs.never_waits = True
        await tier.clock.advance(40)
        before = tier.receives()
        await tier.clock.advance(60)
        assert tier.receives() - before <= 60 * 5 + 5
        sent = tier.sqs.send("work")
        await tier.clock.advance(0.5)
        assert tier.sqs.deleted == [sent]


@in_virtual_time
async def test_an_sqs_that_delivers_less_than_it_has_does_not_leave_connections_idle() -> None:
    async with RunningTier(http_connections=50) as tier:
        tier.sqs.most_at_once = 6  # as a queue of several partitions may answer
        await tier.warm_up()
        tier.application.seconds = 10.0
        for n in range(200):
            tier.sqs.send(str(n))
        await tier.clock.advance(9)
        assert tier.dispatcher.in_flight == 50
