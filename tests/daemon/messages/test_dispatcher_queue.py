"""What the dispatcher does to the queue: deletes, visibility and receives, also when these fail."""

from __future__ import annotations

from sqsd.contract import events
from sqsd.messages.message import Message
from sqsd.messages.request import Request
from sqsd.testing.clock import in_virtual_time
from sqsd.testing.queue import Broken as Faulty
from sqsd.testing.queue import FailEntries, Refusal
from tests.fakes.running_tier import RunningTier

# ---- deletes


@in_virtual_time
async def test_an_entry_that_failed_to_be_deleted_is_tried_again_alone() -> None:
    async with RunningTier() as tier:
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
async def test_a_receive_for_the_connections_that_became_free_goes_before_the_deletes() -> None:
    async with RunningTier(http_connections=10) as tier:
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
    async with RunningTier() as tier:
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
    async with RunningTier() as tier:
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
    async with RunningTier(visibility_timeout=60, inactivity_timeout=30) as tier:
        tier.sqs.fault("DeleteMessageBatch", *[Refusal("InternalError", status=500)] * 8)
        sent = tier.sqs.send("work")
        await tier.clock.advance(30)
        assert len(tier.log.of(events.MESSAGE_DELETE_FAILED)) == 1
        assert tier.sqs.bodies() == ["work"]
        await tier.clock.advance(120)
        assert tier.sqs.deleted == [sent]
        assert len(tier.application.posted) == 1
        assert [e["reason"] for e in tier.log.of(events.MESSAGE_DUPLICATE)] == ["answered 200"]


# ---- visibility while a request runs


@in_virtual_time
async def test_heartbeats_at_half_the_visibility_keep_running_messages_hidden() -> None:
    async with RunningTier(visibility_timeout=60, http_connections=25) as tier:
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
    async with RunningTier(heartbeat=False, visibility_timeout=60, inactivity_timeout=59) as tier:
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
    async with RunningTier(visibility_timeout=60, error_visibility_timeout=200) as tier:
        tier.application.answers(None)
        sent = tier.sqs.send("slow")
        await tier.clock.advance(70)
        tier.application.finish(sent, 500)
        await tier.clock.advance(100)
        changes = tier.sqs.called("ChangeMessageVisibilityBatch")
        assert [c.entries[0]["VisibilityTimeout"] for c in changes][-2:] == [60, 200]


@in_virtual_time
async def test_a_failure_waits_for_the_heartbeat_that_is_under_way() -> None:
    async with RunningTier(visibility_timeout=60, error_visibility_timeout=200) as tier:
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
    async with RunningTier(visibility_timeout=60) as tier:
        tier.application.answers(None)
        sent = tier.sqs.send("slow")
        throttled = Refusal("RequestThrottled")
        tier.sqs.fault("ChangeMessageVisibilityBatch", throttled, throttled, throttled)
        await tier.clock.advance(200)
        assert tier.sqs.receive_count(sent) == 1


# ---- what SQS refuses, entry by entry


@in_virtual_time
async def test_an_entry_that_sqs_never_takes_is_not_tried_again_and_logged_with_the_reason() -> (
    None
):
    async with RunningTier(error_visibility_timeout=30) as tier:
        refusal = Refusal("ReceiptHandleIsInvalid", "it has expired", 400)
        entry = FailEntries(frozenset({0}), refusal)
        tier.sqs.fault("DeleteMessageBatch", entry)
        tier.sqs.send("work")
        await tier.clock.advance(10)
        assert len(tier.sqs.called("DeleteMessageBatch")) == 1
        (failed,) = tier.log.of(events.MESSAGE_DELETE_FAILED)
        assert "ReceiptHandleIsInvalid: it has expired" in failed["reason"]
        tier.application.answers(500)
        tier.sqs.fault("ChangeMessageVisibilityBatch", entry)
        tier.sqs.send("more")
        await tier.clock.advance(10)
        (failed,) = tier.log.of(events.MESSAGE_RELEASE_FAILED)
        assert "ReceiptHandleIsInvalid" in failed["reason"]
        assert tier.dispatcher.messages() == []


# ---- defects and forced ends


@in_virtual_time
async def test_a_defect_that_one_message_meets_does_not_affect_other_messages() -> None:
    async with RunningTier() as tier:
        await tier.warm_up()
        build = tier.delivery._builder.build

        def broken(message: Message, at: float = 0.0, hidden_until: float = 0.0) -> Request:
            if message.body == b"odd":
                raise RecursionError("a defect")
            return build(message, at, hidden_until)

        tier.delivery._builder.build = broken  # type: ignore[method-assign]
        tier.sqs.send("odd")
        tier.sqs.send("even")
        await tier.clock.advance(5)
        assert tier.application.bodies == ["even"]
        (failed,) = tier.log.of(events.DAEMON_FAILED)
        assert "a defect" in failed["reason"]
        assert tier.dispatcher.in_flight == 0


@in_virtual_time
async def test_deletes_of_what_was_done_are_sent_even_when_the_end_is_forced() -> None:
    async with RunningTier() as tier:
        await tier.warm_up()
        sent = [tier.sqs.send(str(n)) for n in range(3)]
        while len(tier.application.posted) < 3 or tier.application.running:
            await tier.clock.advance(0.001)
        assert tier.sqs.deleted == []  # they wait for a batch to fill
    assert sorted(tier.sqs.deleted) == sorted(sent)


# ---- clocks


@in_virtual_time
async def test_a_clock_that_is_ahead_of_sqss_deletes_nothing_unposted() -> None:
    async with RunningTier(
        retention_period=60, visibility_timeout=5, error_visibility_timeout=1
    ) as tier:
        tier.clock.skew = 3_600.0
        tier.sqs.clock_offset = -3_600.0  # SQS's own goes right
        tier.application.answers(500, 500, 200)
        sent = tier.sqs.send("work")
        await tier.clock.advance(10)
        assert tier.log.of(events.MESSAGE_EXPIRED) == []
        assert len(tier.application.posted) == 3
        assert tier.sqs.deleted == [sent]
