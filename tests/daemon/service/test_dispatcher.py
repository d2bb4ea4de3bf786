"""The life of messages between a queue and an application: each outcome, trouble, and the end."""

from __future__ import annotations

import asyncio
from datetime import datetime

import pytest

from sqsd import contract, logs
from sqsd.core.dispatch import Answered, Broken, Outcome, Unreachable
from tests.fakes.clock import EPOCH, in_virtual_time
from tests.fakes.sqs import Broken as Faulty
from tests.fakes.sqs import FailEntries, Refusal
from tests.fakes.tier import FakeTier

# ---- outcomes


@in_virtual_time
async def test_200_deletes() -> None:
    async with FakeTier() as tier:
        sent = [tier.sqs.send(str(n)) for n in range(25)]
        await tier.clock.advance(5)
        assert sorted(tier.sqs.deleted) == sorted(sent)
        assert len(tier.application.posted) == 25
        assert {e["message_id"] for e in tier.log.of(logs.MESSAGE_DELETED)} == set(sent)
        assert len(tier.log.of(logs.MESSAGE_DELETED)) == 25  # one line a message


@pytest.mark.parametrize("outcome", [500, 204, 302, 404, 429, Broken.INACTIVE, Broken.CLOSED])
@in_virtual_time
async def test_a_failed_message_returns_after_error_visibility_timeout(
    outcome: int | Outcome,
) -> None:
    async with FakeTier(error_visibility_timeout=30) as tier:
        tier.application.answers(outcome, 200)
        sent = tier.sqs.send("work")
        await tier.clock.advance(29)
        assert (tier.sqs.receive_count(sent), tier.sqs.visible()) == (1, [])
        (released,) = tier.log.of(logs.MESSAGE_RELEASED)
        assert (released["message_id"], released["after_seconds"]) == (sent, 30)
        await tier.clock.advance(2)
        assert tier.sqs.deleted == [sent]
        assert len(tier.application.posted) == 2


@in_virtual_time
async def test_without_error_visibility_timeout_a_failed_message_is_left_alone() -> None:
    async with FakeTier(visibility_timeout=300) as tier:
        tier.application.answers(500, 200)
        sent = tier.sqs.send("work")
        await tier.clock.advance(299)
        assert tier.sqs.called("ChangeMessageVisibilityBatch") == []
        assert tier.sqs.receive_count(sent) == 1
        await tier.clock.advance(2)
        assert tier.sqs.deleted == [sent]


@in_virtual_time
async def test_an_error_visibility_timeout_of_twelve_hours_is_one_that_sqs_accepts() -> None:
    async with FakeTier(error_visibility_timeout=43_200) as tier:
        tier.application.seconds = 20.0
        tier.application.answers(500)
        sent = tier.sqs.send("work")
        await tier.clock.advance(30)
        assert tier.sqs.hidden_for(sent) > 43_100


@pytest.mark.parametrize("status", [429, 503])
@in_virtual_time
async def test_retry_after_comes_first(status: int) -> None:
    async with FakeTier(error_visibility_timeout=300) as tier:
        tier.application.answers(Answered(status, retry_after=7), 200)
        sent = tier.sqs.send("work")
        await tier.clock.advance(6.5)
        assert tier.sqs.receive_count(sent) == 1
        await tier.clock.advance(1)
        assert tier.sqs.deleted == [sent]


@in_virtual_time
async def test_a_status_for_the_dead_letter_queue_is_sent_there_before_it_is_deleted() -> None:
    async with FakeTier(dead_letter_statuses=("422",)) as tier:
        tier.application.answers(422)
        sent = tier.sqs.send("poison")
        await tier.clock.advance(1)
        assert (tier.sqs.dead_letters, tier.sqs.deleted) == (["poison"], [sent])
        order = [call.action for call in tier.sqs.calls if call.action != "ReceiveMessage"]
        assert order == ["SendMessage", "DeleteMessageBatch"]


@in_virtual_time
async def test_a_dead_letter_queue_that_takes_nothing_costs_the_message_nothing() -> None:
    async with FakeTier(dead_letter_statuses=("422",), error_visibility_timeout=10) as tier:
        tier.application.answers(422)
        tier.sqs.fault("SendMessage", Refusal("AccessDenied", status=403))
        sent = tier.sqs.send("poison")
        await tier.clock.advance(9)
        assert tier.sqs.bodies() == ["poison"]
        await tier.clock.advance(3)
        assert (tier.sqs.dead_letters, tier.sqs.deleted) == (["poison"], [sent])


@in_virtual_time
async def test_a_message_past_its_retention_is_deleted_without_a_post() -> None:
    async with FakeTier(retention_period=3_600) as tier:
        old = tier.sqs.send("old", first_received_at=EPOCH - 3_700)
        waited_long = tier.sqs.send("never received", sent_at=EPOCH - 100_000)
        await tier.clock.advance(1)
        assert tier.application.bodies == ["never received"]
        assert sorted(tier.sqs.deleted) == sorted([old, waited_long])
        (expired,) = tier.log.of(logs.MESSAGE_EXPIRED)
        assert (expired["message_id"], expired["age_seconds"]) == (old, 3_701)


# ---- the gate


@in_virtual_time
async def test_a_refused_connection_closes_the_gate_and_nothing_is_received_until_it_opens() -> (
    None
):
    async with FakeTier(error_visibility_timeout=2) as tier:
        tier.application.answers(Unreachable.REFUSED)
        tier.application.up = False
        for n in range(30):
            tier.sqs.send(str(n))
        await tier.clock.advance(1)
        assert not tier.dispatcher.gate_is_open
        before = tier.receives()
        await tier.clock.advance(600)
        assert tier.receives() == before
        assert all(count <= 1 for count in _receive_counts(tier))
        assert len(tier.log.of(logs.GATE_CLOSED)) == 1
        tier.application.answers(200)
        tier.application.up = True
        await tier.clock.advance(10)
        assert len(tier.log.of(logs.GATE_OPENED)) == 2  # at the start, and now
        assert tier.sqs.bodies() == []


def _receive_counts(tier: FakeTier) -> list[int]:
    return [len(stored.handles) for stored in tier.sqs._messages.values()]


@in_virtual_time
async def test_nothing_is_received_before_the_application_is_there() -> None:
    tier = FakeTier()
    tier.application.up = False
    tier.sqs.send("early")
    async with tier:
        await tier.clock.advance(60)
        assert (tier.receives(), tier.ready) == (0, 0)
        assert 10 <= len(tier.application.probes) <= 30  # and not a hot loop
        tier.application.up = True
        await tier.clock.advance(10)
        assert tier.application.bodies == ["early"]


@in_virtual_time
async def test_a_proxys_502_from_three_messages_closes_and_only_an_answer_opens() -> None:
    async with FakeTier(error_visibility_timeout=1) as tier:
        tier.application.answers(502)
        tier.application.up = False
        for n in range(3):
            tier.sqs.send(str(n))
        await tier.clock.advance(10)
        assert not tier.dispatcher.gate_is_open
        assert tier.application.probes[-1] is True


@in_virtual_time
async def test_a_poison_message_never_closes_the_gate() -> None:
    async with FakeTier(error_visibility_timeout=0, max_receives=200) as tier:
        tier.application.answers(502)
        tier.sqs.send("poison")
        await tier.clock.advance(60)
        assert tier.sqs.dead_letters == ["poison"]
        assert tier.log.of(logs.GATE_CLOSED) == []


@in_virtual_time
async def test_500_never_closes_the_gate_however_many_meet_it() -> None:
    async with FakeTier(error_visibility_timeout=1, max_receives=5) as tier:
        tier.application.answers(500)
        for n in range(40):
            tier.sqs.send(str(n))
        await tier.clock.advance(120)
        assert len(tier.sqs.dead_letters) == 40
        assert tier.log.of(logs.GATE_CLOSED) == []


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


# ---- groups


@in_virtual_time
async def test_a_fifo_group_runs_one_at_a_time_and_in_order() -> None:
    async with FakeTier(fifo=True) as tier:
        await tier.warm_up()
        tier.application.answers(None)
        for n in range(6):
            tier.sqs.send(f"{'ab'[n % 2]}{n}", group_id="ab"[n % 2])
        for done in range(6):
            await tier.clock.advance(1)
            assert len(tier.application.running) == min(2, 6 - done)
            tier.application.finish(tier.application.running[0], 200)
        assert tier.application.bodies == ["a0", "b1", "a2", "b3", "a4", "b5"]


@in_virtual_time
async def test_a_failure_in_a_fifo_group_holds_the_rest_and_order_is_kept() -> None:
    async with FakeTier(fifo=True, error_visibility_timeout=5) as tier:
        tier.application.answers(500, 500, 200)
        for n in range(4):
            tier.sqs.send(str(n), group_id="g")
        await tier.clock.advance(40)
        assert tier.application.bodies == ["0", "0", "0", "1", "2", "3"]
        assert tier.sqs.bodies() == []


@in_virtual_time
async def test_group_ids_on_a_standard_queue_do_not_serialise() -> None:
    async with FakeTier() as tier:
        await tier.warm_up()
        tier.application.answers(None)
        for n in range(5):
            tier.sqs.send(f"tenant {n}", group_id="tenant")
        await tier.clock.advance(2)
        assert len(tier.application.running) == 5


# ---- scheduled messages


class Copies:
    """Knows the first message of each occurrence."""

    def __init__(self) -> None:
        self.first: dict[tuple[str, datetime], str] = {}
        self.told: list[tuple[str, str]] = []

    async def is_duplicate(
        self, task: str, scheduled: datetime, message_id: str, sent_at: int | None = None
    ) -> bool:
        await asyncio.sleep(0.01)
        return self.first.setdefault((task, scheduled), message_id) != message_id

    async def completed(self, task: str, scheduled: datetime, message_id: str) -> None:
        self.told.append(("completed", message_id))

    async def abandoned(self, task: str, scheduled: datetime, message_id: str) -> None:
        self.told.append(("abandoned", message_id))


def scheduled(tier: FakeTier) -> str:
    values = {
        contract.ATTRIBUTE_PATH: "/scheduled",
        contract.ATTRIBUTE_TASK_NAME: "tick",
        contract.ATTRIBUTE_SCHEDULED_TIME: "2026-01-01 00:00:00 UTC",
    }
    attributes = {k: {"DataType": "String", "StringValue": v} for k, v in values.items()}
    return tier.sqs.send(contract.CRON_BODY, attributes=attributes)


@in_virtual_time
async def test_a_copy_of_a_scheduled_message_is_deleted_without_a_post() -> None:
    copies = Copies()
    async with FakeTier(copies=copies) as tier:
        first = scheduled(tier)
        await tier.clock.advance(1)
        second = scheduled(tier)
        await tier.clock.advance(1)
        assert [request.path for request in tier.application.posted] == ["/scheduled"]
        assert sorted(tier.sqs.deleted) == sorted([first, second])
        assert [e["message_id"] for e in tier.log.of(logs.CRON_SUPPRESSED)] == [second]
        assert copies.told == [("completed", first)]


@in_virtual_time
async def test_a_scheduled_message_that_fails_for_the_last_time_is_abandoned() -> None:
    copies = Copies()
    async with FakeTier(copies=copies, error_visibility_timeout=1, max_retries=2) as tier:
        tier.application.answers(500)
        sent = scheduled(tier)
        await tier.clock.advance(0.5)
        assert copies.told == []
        await tier.clock.advance(1)
        assert copies.told == [("abandoned", sent)]


# ---- the end


@in_virtual_time
async def test_a_drain_returns_what_waits_finishes_what_runs_and_flushes_deletes() -> None:
    async with FakeTier(fifo=True, drain_timeout=100) as tier:
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
        assert [tier.sqs.hidden_for(message_id) for message_id in waiting] == [0.0] * 3
        await tier.clock.advance(5)
        assert not drained.done()
        tier.application.finish(first, 200)
        tier.application.finish(other, 200)
        assert await drained is True
        assert sorted(tier.sqs.deleted) == sorted([first, other, answered])
        assert len(tier.application.posted) == 3
        assert [tier.sqs.hidden_for(message_id) for message_id in waiting] == [0.0] * 3


@in_virtual_time
async def test_a_drain_keeps_running_messages_hidden_and_deletes_them() -> None:
    async with FakeTier(visibility_timeout=60, drain_timeout=1_000) as tier:
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
async def test_messages_that_an_open_poll_brings_during_a_drain_go_back_at_once() -> None:
    async with FakeTier() as tier:
        await tier.clock.advance(5)
        drained = asyncio.create_task(tier.drain())
        await tier.clock.advance(1)
        tier.sqs.send("too late")
        assert await drained is True
        assert tier.application.posted == []
        assert tier.sqs.visible() == ["too late"]


@in_virtual_time
async def test_no_receive_begins_once_a_drain_has() -> None:
    async with FakeTier() as tier:
        before = tier.receives()
        started = tier.clock.monotonic()
        assert await tier.drain() is True
        assert tier.receives() == before
        assert tier.clock.monotonic() - started <= 21


@in_virtual_time
async def test_drain_timeout_cuts_what_still_runs() -> None:
    async with FakeTier(drain_timeout=30, error_visibility_timeout=9) as tier:
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
    async with FakeTier(drain_timeout=0) as tier:
        assert await tier.drain() is True


@in_virtual_time
async def test_a_drain_with_the_gate_closed_ends() -> None:
    tier = FakeTier()
    tier.application.up = False
    async with tier:
        assert await tier.drain() is True
