"""A call to SQS that hangs, and a delete that comes too late, repeat no work."""

from __future__ import annotations

import pytest

from sqsd.contract import events
from sqsd.messages.in_flight import DeleteMessage
from sqsd.messages.outcome import Answered
from sqsd.testing.clock import in_virtual_time
from sqsd.testing.queue import Broken
from tests.daemon.messages.test_state import NOW, message, opened, posted, receive, requested
from tests.fakes.running_tier import RunningTier

CHANGE = "ChangeMessageVisibilityBatch"


@pytest.mark.parametrize("visibility_timeout", [2, 3, 4, 6, 8, 12, 20, 22, 30, 60])
@pytest.mark.parametrize("fault", [Broken.HANG, Broken.LOST, Broken.CUT])
@in_virtual_time
async def test_one_heartbeat_that_gets_no_answer_does_not_lose_the_visibility(
    visibility_timeout: int, fault: Broken
) -> None:
    async with RunningTier(visibility_timeout=visibility_timeout) as tier:
        tier.application.answers(None)
        sent = tier.sqs.send("slow")
        await tier.clock.advance(0.2)
        tier.sqs.fault(CHANGE, fault)
        for _ in range(10 * visibility_timeout):
            await tier.clock.advance(0.3)
            assert tier.sqs.hidden_for(sent) > 0
        assert tier.sqs.receive_count(sent) == 1
        tier.application.finish(sent, 200)
        await tier.clock.advance(1)
        assert tier.sqs.deleted == [sent]


@pytest.mark.parametrize("visibility_timeout", [12, 22, 60])
@in_virtual_time
async def test_one_hung_batch_of_heartbeats_does_not_delay_the_others(
    visibility_timeout: int,
) -> None:
    async with RunningTier(visibility_timeout=visibility_timeout) as tier:
        await tier.warm_up()
        tier.application.answers(None)
        sent = [tier.sqs.send(str(n)) for n in range(40)]
        await tier.clock.advance(0.2)
        tier.sqs.fault(CHANGE, Broken.HANG)
        for _ in range(6 * visibility_timeout):
            await tier.clock.advance(0.5)
            assert min(map(tier.sqs.hidden_for, sent)) > 0
        assert {tier.sqs.receive_count(m) for m in sent} == {1}


@in_virtual_time
async def test_two_hung_heartbeats_in_a_row_do_not_lose_a_visibility_of_twelve_seconds() -> None:
    async with RunningTier(visibility_timeout=12) as tier:
        tier.application.answers(None)
        sent = tier.sqs.send("slow")
        await tier.clock.advance(0.2)
        tier.sqs.fault(CHANGE, Broken.HANG, Broken.HANG)
        for _ in range(100):
            await tier.clock.advance(0.3)
            assert tier.sqs.hidden_for(sent) > 0


# ---- what was answered is not posted again


@pytest.mark.parametrize("status", [200, 204])
def test_a_copy_that_comes_after_the_delete_was_confirmed_is_deleted_unposted(status: int) -> None:
    state = opened(delete_statuses=("204",))
    first = message("m")
    (in_flight,) = posted(receive(state, first))
    state.answered(in_flight, Answered(status), NOW)
    state.deleted(in_flight, first, NOW)
    assert state.idle
    actions = receive(state, message("m", delivery=2))
    assert posted(actions) == []
    (delete,) = requested(actions)
    assert isinstance(delete, DeleteMessage)
    assert delete.in_flight.message.receive_count == 2
    state.deleted(delete.in_flight, delete.in_flight.message, NOW)
    assert posted(receive(state, message("m", delivery=3))) == []


def test_a_message_that_failed_is_posted_again() -> None:
    state = opened(error_visibility_timeout=0)
    first = message("m")
    (in_flight,) = posted(receive(state, first))
    state.answered(in_flight, Answered(500), NOW)
    state.released(in_flight, first, NOW)
    assert len(posted(receive(state, message("m", delivery=2)))) == 1


def test_the_group_of_a_copy_goes_on() -> None:
    state = opened(fifo=True)
    first = message("1", group="g")
    (in_flight,) = posted(receive(state, first))
    state.answered(in_flight, Answered(200), NOW)
    state.deleted(in_flight, first, NOW)
    actions = receive(state, message("1", delivery=2, group="g"), message("2", group="g"))
    assert [f.message.message_id for f in posted(actions)] == ["2"]


def test_a_copy_is_known_after_ten_thousand_other_messages_if_its_delete_was_late() -> None:
    state = opened(visibility_timeout=30, inactivity_timeout=29)
    late = message("late")
    (in_flight,) = posted(receive(state, late))
    state.answered(in_flight, Answered(200), NOW + 29)
    state.deleted(in_flight, late, NOW + 29.5)  # SQS may have shown it by then
    for n in range(10_001):
        other = message(str(n))
        (in_flight,) = posted(receive(state, other))
        state.answered(in_flight, Answered(200), NOW)
        state.deleted(in_flight, other, NOW)
    assert posted(receive(state, message("late", delivery=2))) == []
    assert len(posted(receive(state, message("0", delivery=2)))) == 1, "memory is bounded"


@in_virtual_time
async def test_a_delete_whose_answer_hangs_until_the_visibility_is_over_posts_nothing_twice() -> (
    None
):
    async with RunningTier(visibility_timeout=4, heartbeat=False, inactivity_timeout=3) as tier:
        tier.sqs.fault("DeleteMessageBatch", Broken.HANG)
        sent = tier.sqs.send("once")
        await tier.clock.advance(40)
        assert tier.application.bodies == ["once"]
        assert tier.sqs.deleted == [sent]
        assert tier.log.of(events.MESSAGE_DUPLICATE)
