"""What the dispatcher does to the queue: deletes, visibility and receives, also in trouble."""

from __future__ import annotations

import pytest

from sqsd import logs
from sqsd.core.message import Message
from sqsd.core.request import Request
from tests.fakes.clock import in_virtual_time
from tests.fakes.sqs import Broken as Faulty
from tests.fakes.sqs import FailEntries, Refusal
from tests.fakes.tier import FakeTier

# ---- deletes


@in_virtual_time
async def test_an_entry_that_failed_to_be_deleted_is_tried_again_alone() -> None:
    async with FakeTier() as tier:
        tier.sqs.fault("DeleteMessageBatch", FailEntries(frozenset({1})))
        for n in range(3):
            tier.sqs.send(str(n))
        tier.application.answers(None)
        await tier.clock.advance(1)
        for message_id in tier.application.running:
            tier.application.finish(message_id, 200)
        tier.application.answers(200)
        await tier.clock.advance(5)
        sizes = [len(call.entries) for call in tier.sqs.called("DeleteMessageBatch")]
        assert sorted(sizes[:2]) in ([1, 1], [1, 2], [1, 3])
        assert tier.sqs.bodies() == []
        assert len(tier.application.posted) == 3


@in_virtual_time
async def test_a_receive_for_the_slots_that_came_free_goes_before_the_deletes() -> None:
    async with FakeTier(http_connections=10) as tier:
        await tier.warm_up()
        tier.application.answers(None)
        for n in range(20):
            tier.sqs.send(str(n))
        await tier.clock.advance(1)
        running = list(tier.application.running)
        assert len(running) == 10
        calls = len(tier.sqs.calls)
        for message_id in running:
            tier.application.finish(message_id, 200)
        await tier.clock.advance(0.001)
        actions = [call.action for call in tier.sqs.calls[calls:]]
        assert actions[:2] == ["ReceiveMessage", "DeleteMessageBatch"]


@in_virtual_time
async def test_a_delete_is_retried_with_the_newest_handle() -> None:
    async with FakeTier() as tier:
        tier.sqs.fault("DeleteMessageBatch", *[FailEntries(frozenset({0}))] * 4)
        sent = tier.sqs.send("work")
        await tier.clock.advance(0.2)
        tier.sqs.expose(sent)  # a second delivery, while the delete of the first is tried again
        await tier.clock.advance(10)
        assert tier.sqs.deleted == [sent]
        handles = [c.entries[0]["ReceiptHandle"] for c in tier.sqs.called("DeleteMessageBatch")]
        assert handles[-1] == f"{sent}#2"
        assert len(tier.application.posted) == 1


@in_virtual_time
async def test_a_delete_confirmed_for_an_old_handle_is_made_again_for_the_new_one() -> None:
    async with FakeTier() as tier:
        tier.application.answers(None)
        sent = tier.sqs.send("work")
        await tier.clock.advance(1)
        tier.sqs.fault("DeleteMessageBatch", Faulty.HANG)  # 10 s, in which a copy comes
        tier.application.finish(sent, 200)
        await tier.clock.advance(5)
        tier.sqs.expose(sent)
        await tier.clock.advance(15)
        assert tier.sqs.deleted == [sent]
        assert len(tier.application.posted) == 1
        assert await tier.drain()


@in_virtual_time
async def test_a_message_whose_delete_was_never_confirmed_is_known_again_and_not_posted() -> None:
    async with FakeTier(visibility_timeout=60, inactivity_timeout=30) as tier:
        tier.sqs.fault("DeleteMessageBatch", *[Refusal("InternalError", status=500)] * 8)
        sent = tier.sqs.send("work")
        await tier.clock.advance(30)
        assert len(tier.log.of(logs.MESSAGE_DELETE_FAILED)) == 1
        assert tier.sqs.bodies() == ["work"]
        await tier.clock.advance(120)
        assert tier.sqs.deleted == [sent]
        assert len(tier.application.posted) == 1
        assert [e["reason"] for e in tier.log.of(logs.MESSAGE_DUPLICATE)] == ["answered 200"]


# ---- visibility while a request runs


@in_virtual_time
async def test_heartbeats_at_half_the_visibility_keep_running_messages_hidden() -> None:
    async with FakeTier(visibility_timeout=60, http_connections=25) as tier:
        await tier.warm_up()
        tier.application.answers(None)
        for n in range(25):
            tier.sqs.send(f"slow {n}")
        sent_at = tier.clock.monotonic()
        await tier.clock.advance(600)
        changes = tier.sqs.called("ChangeMessageVisibilityBatch")
        assert len(tier.application.posted) == 25  # none was delivered again
        assert all(len(call.entries) <= 10 for call in changes)
        assert {e["VisibilityTimeout"] for call in changes for e in call.entries} == {60}
        assert 25 * 18 <= sum(len(call.entries) for call in changes) <= 25 * 21
        # Half the visibility counts from when the receive was asked for, up to a long poll before.
        assert 30 - 20 <= changes[0].at - sent_at <= 30 + 2


@in_virtual_time
async def test_without_heartbeat_no_visibility_is_extended() -> None:
    async with FakeTier(heartbeat=False, visibility_timeout=60, inactivity_timeout=59) as tier:
        await tier.warm_up()
        tier.application.answers(None)
        sent = tier.sqs.send("slow")
        await tier.clock.advance(55)
        assert tier.sqs.called("ChangeMessageVisibilityBatch") == []
        await tier.clock.advance(10)
        assert tier.sqs.receive_count(sent) == 2
        assert len(tier.application.posted) == 1  # never twice in one process
        tier.application.finish(sent, 200)
        await tier.clock.advance(1)
        assert tier.sqs.deleted == [sent]  # by the newer handle


@in_virtual_time
async def test_no_heartbeat_follows_a_failure() -> None:
    async with FakeTier(visibility_timeout=60, error_visibility_timeout=200) as tier:
        tier.application.answers(None)
        sent = tier.sqs.send("slow")
        await tier.clock.advance(70)
        tier.application.finish(sent, 500)
        await tier.clock.advance(100)
        changes = tier.sqs.called("ChangeMessageVisibilityBatch")
        assert [c.entries[0]["VisibilityTimeout"] for c in changes][-2:] == [60, 200]


@in_virtual_time
async def test_a_failure_waits_for_the_heartbeat_that_is_under_way() -> None:
    async with FakeTier(visibility_timeout=60, error_visibility_timeout=200) as tier:
        tier.application.answers(None)
        sent = tier.sqs.send("slow")
        await tier.clock.advance(20)
        tier.sqs.fault("ChangeMessageVisibilityBatch", Faulty.HANG)
        await tier.clock.advance(13)  # the heartbeat hangs now
        tier.application.finish(sent, 500)
        await tier.clock.advance(1)
        assert len(tier.sqs.called("ChangeMessageVisibilityBatch")) == 1
        await tier.clock.advance(10)
        assert 180 < tier.sqs.hidden_for(sent) <= 200


@in_virtual_time
async def test_a_failed_heartbeat_is_tried_again_soon() -> None:
    async with FakeTier(visibility_timeout=60) as tier:
        tier.application.answers(None)
        sent = tier.sqs.send("slow")
        throttled = Refusal("RequestThrottled")
        tier.sqs.fault("ChangeMessageVisibilityBatch", throttled, throttled, throttled)
        await tier.clock.advance(200)
        assert tier.sqs.receive_count(sent) == 1


# ---- receiving


@in_virtual_time
async def test_no_more_is_received_than_can_start() -> None:
    async with FakeTier(http_connections=7) as tier:
        for n in range(200):
            tier.sqs.send(str(n))
        await tier.clock.advance(30)
        asked = [c.request["MaxNumberOfMessages"] for c in tier.sqs.called("ReceiveMessage")]
        assert max(asked) <= 7
        assert tier.application.most_at_once <= 7
        assert tier.sqs.bodies() == []


@in_virtual_time
async def test_many_connections_are_filled_by_several_polls() -> None:
    async with FakeTier(http_connections=50) as tier:
        tier.application.seconds = 5.0
        for n in range(600):
            tier.sqs.send(str(n))
        await tier.clock.advance(60)
        assert tier.application.most_at_once == 50


@in_virtual_time
async def test_a_message_that_comes_late_in_a_long_poll_is_dispatched_at_once() -> None:
    async with FakeTier(visibility_timeout=10, inactivity_timeout=5) as tier:
        await tier.clock.advance(17)  # of the long poll's 20 s
        sent = tier.sqs.send("late")
        await tier.clock.advance(1)
        assert tier.sqs.deleted == [sent]
        assert len(tier.application.posted) == 1
        assert tier.log.of(logs.MESSAGE_RELEASED) == []


@in_virtual_time
async def test_an_idle_queue_costs_three_receives_a_minute() -> None:
    async with FakeTier() as tier:
        await tier.clock.advance(600)
        assert tier.receives() <= 31


@in_virtual_time
async def test_a_queue_that_refuses_is_asked_less_and_less_and_spoken_of_once_a_minute() -> None:
    async with FakeTier() as tier:
        await tier.clock.advance(20)
        before = tier.receives()
        tier.sqs.fault("ReceiveMessage", *[Refusal("AccessDeniedException", status=403)] * 1_000)
        await tier.clock.advance(600)
        assert 30 <= tier.receives() - before <= 50
        said = tier.log.of(logs.QUEUE_FAILED)
        assert 9 <= len(said) <= 11
        assert "AccessDeniedException" in said[0]["reason"]
        assert tier.dispatcher.queue_is_failing
        tier.sqs._faults.clear()
        await tier.clock.advance(45)
        assert len(tier.log.of(logs.QUEUE_RECOVERED)) == 1
        assert not tier.dispatcher.queue_is_failing


@in_virtual_time
async def test_a_hung_poll_is_given_up_soon_after_its_wait_and_another_is_made() -> None:
    async with FakeTier() as tier:
        tier.sqs.fault("ReceiveMessage", Faulty.HANG)
        await tier.clock.advance(20)  # the poll of the start ends, the next one hangs
        sent = tier.sqs.send("work")
        await tier.clock.advance(26)
        assert tier.sqs.deleted == [sent]
        assert "no answer within 25 s" in tier.log.of(logs.QUEUE_FAILED)[0]["reason"]


@pytest.mark.parametrize("fault", [Faulty.LOST, Faulty.CUT])
@in_virtual_time
async def test_messages_lost_with_an_answer_come_back_by_their_visibility(fault: Faulty) -> None:
    async with FakeTier(visibility_timeout=60, inactivity_timeout=30) as tier:
        tier.sqs.fault("ReceiveMessage", fault)
        await tier.clock.advance(20)
        sent = tier.sqs.send("work")
        await tier.clock.advance(59)
        assert tier.application.posted == []
        await tier.clock.advance(25)
        assert tier.sqs.deleted == [sent]


@in_virtual_time
async def test_ready_is_told_once_after_the_first_receive() -> None:
    tier = FakeTier()
    tier.sqs.fault("ReceiveMessage", Refusal("InternalError", status=500))
    async with tier:
        assert tier.ready == 0
        await tier.clock.advance(21)
        assert tier.ready == 1
        await tier.clock.advance(200)
        assert tier.ready == 1


@in_virtual_time
async def test_a_copy_of_a_running_message_is_not_posted_and_its_handle_is_used() -> None:
    async with FakeTier() as tier:
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
async def test_one_trouble_that_meets_all_open_polls_counts_once() -> None:
    async with FakeTier(http_connections=100) as tier:
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
        assert len(tier.log.of(logs.QUEUE_FAILED)) == 1
        assert len(tier.application.posted) > busy + 200  # it went on after half a second


@in_virtual_time
async def test_an_answer_ends_the_pause_that_a_failure_before_it_began() -> None:
    async with FakeTier() as tier:
        tier.sqs.fault("ReceiveMessage", *[Refusal("InternalError", status=500)] * 5)
        await tier.clock.advance(60)
        assert len(tier.log.of(logs.QUEUE_RECOVERED)) == 1
        sent = tier.sqs.send("work")
        await tier.clock.advance(0.2)
        assert tier.sqs.deleted == [sent]


@pytest.mark.parametrize("wait_time_seconds", [0, 20])
@in_virtual_time
async def test_an_endpoint_that_does_not_wait_is_not_asked_as_fast_as_it_answers(
    wait_time_seconds: int,
) -> None:
    async with FakeTier(wait_time_seconds=wait_time_seconds) as tier:
        tier.sqs.never_waits = True
        await tier.clock.advance(40)
        before = tier.receives()
        await tier.clock.advance(60)
        assert tier.receives() - before <= 60 * 5 + 5
        sent = tier.sqs.send("work")
        await tier.clock.advance(0.5)
        assert tier.sqs.deleted == [sent]


@in_virtual_time
async def test_an_sqs_that_gives_less_than_it_has_does_not_leave_slots_empty() -> None:
    async with FakeTier(http_connections=50) as tier:
        tier.sqs.most_at_once = 6  # as a queue of several partitions may answer
        await tier.warm_up()
        tier.application.seconds = 10.0
        for n in range(200):
            tier.sqs.send(str(n))
        await tier.clock.advance(9)
        assert tier.dispatcher.in_flight == 50


# ---- what SQS refuses, entry by entry


@in_virtual_time
async def test_an_entry_that_sqs_will_never_take_is_not_tried_again_and_told_why() -> None:
    async with FakeTier(error_visibility_timeout=30) as tier:
        refusal = Refusal("ReceiptHandleIsInvalid", "it has expired", 400)
        entry = FailEntries(frozenset({0}), refusal)
        tier.sqs.fault("DeleteMessageBatch", entry)
        tier.sqs.send("work")
        await tier.clock.advance(10)
        assert len(tier.sqs.called("DeleteMessageBatch")) == 1
        (told,) = tier.log.of(logs.MESSAGE_DELETE_FAILED)
        assert "ReceiptHandleIsInvalid: it has expired" in told["reason"]
        tier.application.answers(500)
        tier.sqs.fault("ChangeMessageVisibilityBatch", entry)
        tier.sqs.send("more")
        await tier.clock.advance(10)
        (told,) = tier.log.of(logs.MESSAGE_RELEASE_FAILED)
        assert "ReceiptHandleIsInvalid" in told["reason"]
        assert tier.dispatcher.flights() == []


# ---- defects and forced ends


@in_virtual_time
async def test_a_defect_that_one_message_meets_costs_the_others_nothing() -> None:
    async with FakeTier() as tier:
        await tier.warm_up()
        build = tier.dispatcher._builder.build

        def broken(message: Message, at: float = 0.0, hidden_until: float = 0.0) -> Request:
            if message.body == b"odd":
                raise RecursionError("a defect")
            return build(message, at, hidden_until)

        tier.dispatcher._builder.build = broken  # type: ignore[method-assign]
        tier.sqs.send("odd")
        tier.sqs.send("even")
        await tier.clock.advance(5)
        assert tier.application.bodies == ["even"]
        (told,) = tier.log.of(logs.DAEMON_FAILED)
        assert "a defect" in told["reason"]
        assert tier.dispatcher.in_flight == 0


@in_virtual_time
async def test_deletes_of_what_was_done_are_sent_even_when_the_end_is_forced() -> None:
    async with FakeTier() as tier:
        await tier.warm_up()
        sent = [tier.sqs.send(str(n)) for n in range(3)]
        while len(tier.application.posted) < 3 or tier.application.running:
            await tier.clock.advance(0.001)
        assert tier.sqs.deleted == []  # they wait for company
    assert sorted(tier.sqs.deleted) == sorted(sent)


# ---- clocks


@in_virtual_time
async def test_a_clock_that_is_ahead_of_sqss_deletes_nothing_unposted() -> None:
    async with FakeTier(
        retention_period=60, visibility_timeout=5, error_visibility_timeout=1
    ) as tier:
        tier.clock.skew = 3_600.0
        tier.sqs.clock_offset = -3_600.0  # SQS's own goes right
        tier.application.answers(500, 500, 200)
        sent = tier.sqs.send("work")
        await tier.clock.advance(10)
        assert tier.log.of(logs.MESSAGE_EXPIRED) == []
        assert len(tier.application.posted) == 3
        assert tier.sqs.deleted == [sent]
