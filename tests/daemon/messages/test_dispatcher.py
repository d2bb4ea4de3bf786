"""The life of messages between a queue and an application: each outcome, and the gate."""

from __future__ import annotations

import pytest

from sqsd.contract import events
from sqsd.messages.gate import Probe
from sqsd.messages.outcome import Answered, Broken, Outcome, Unreachable
from sqsd.testing.clock import EPOCH, in_virtual_time
from sqsd.testing.queue import Refusal
from tests.fakes.running_tier import RunningTier

# ---- outcomes


@in_virtual_time
async def test_200_deletes() -> None:
    async with RunningTier() as tier:
        sent = [tier.sqs.send(str(n)) for n in range(25)]
        await tier.clock.advance(5)
        assert sorted(tier.sqs.deleted) == sorted(sent)
        assert len(tier.application.posted) == 25
        assert {e["message_id"] for e in tier.log.of(events.MESSAGE_DELETED)} == set(sent)
        assert len(tier.log.of(events.MESSAGE_DELETED)) == 25  # one line a message


@pytest.mark.parametrize("outcome", [500, 204, 302, 404, 429, Broken.INACTIVE, Broken.CLOSED])
@in_virtual_time
async def test_a_failed_message_returns_after_error_visibility_timeout(
    outcome: int | Outcome,
) -> None:
    async with RunningTier(error_visibility_timeout=30) as tier:
        tier.application.answers(outcome, 200)
        sent = tier.sqs.send("work")
        await tier.clock.advance(29)
        assert (tier.sqs.receive_count(sent), tier.sqs.visible()) == (1, [])
        (released,) = tier.log.of(events.MESSAGE_RELEASED)
        assert (released["message_id"], released["after_seconds"]) == (sent, 30)
        await tier.clock.advance(2)
        assert tier.sqs.deleted == [sent]
        assert len(tier.application.posted) == 2


@in_virtual_time
async def test_without_error_visibility_timeout_a_failed_message_is_left_alone() -> None:
    async with RunningTier(visibility_timeout=300) as tier:
        tier.application.answers(500, 200)
        sent = tier.sqs.send("work")
        await tier.clock.advance(299)
        assert tier.sqs.called("ChangeMessageVisibilityBatch") == []
        assert tier.sqs.receive_count(sent) == 1
        await tier.clock.advance(2)
        assert tier.sqs.deleted == [sent]


@in_virtual_time
async def test_an_error_visibility_timeout_of_twelve_hours_is_one_that_sqs_accepts() -> None:
    async with RunningTier(error_visibility_timeout=43_200) as tier:
        tier.application.seconds = 20.0
        tier.application.answers(500)
        sent = tier.sqs.send("work")
        await tier.clock.advance(30)
        assert tier.sqs.hidden_for(sent) > 43_100


@pytest.mark.parametrize("status", [429, 503])
@in_virtual_time
async def test_retry_after_comes_first(status: int) -> None:
    async with RunningTier(error_visibility_timeout=300) as tier:
        tier.application.answers(Answered(status, retry_after=7), 200)
        sent = tier.sqs.send("work")
        await tier.clock.advance(6.5)
        assert tier.sqs.receive_count(sent) == 1
        await tier.clock.advance(1)
        assert tier.sqs.deleted == [sent]


@in_virtual_time
async def test_a_status_for_the_dead_letter_queue_is_sent_there_before_it_is_deleted() -> None:
    async with RunningTier(dead_letter_statuses=("422",)) as tier:
        tier.application.answers(422)
        sent = tier.sqs.send("poison")
        await tier.clock.advance(1)
        assert (tier.sqs.dead_letters, tier.sqs.deleted) == (["poison"], [sent])
        order = [call.action for call in tier.sqs.calls if call.action != "ReceiveMessage"]
        assert order == ["SendMessage", "DeleteMessageBatch"]


@in_virtual_time
async def test_a_dead_letter_queue_that_takes_nothing_costs_the_message_nothing() -> None:
    async with RunningTier(dead_letter_statuses=("422",), error_visibility_timeout=10) as tier:
        tier.application.answers(422)
        tier.sqs.fault("SendMessage", Refusal("AccessDenied", status=403))
        sent = tier.sqs.send("poison")
        await tier.clock.advance(9)
        assert tier.sqs.bodies() == ["poison"]
        await tier.clock.advance(3)
        assert (tier.sqs.dead_letters, tier.sqs.deleted) == (["poison"], [sent])


@in_virtual_time
async def test_a_message_past_its_retention_is_deleted_without_a_post() -> None:
    async with RunningTier(retention_period=3_600) as tier:
        old = tier.sqs.send("old", first_received_at=EPOCH - 3_700)
        waited_long = tier.sqs.send("never received", sent_at=EPOCH - 100_000)
        await tier.clock.advance(1)
        assert tier.application.bodies == ["never received"]
        assert sorted(tier.sqs.deleted) == sorted([old, waited_long])
        (expired,) = tier.log.of(events.MESSAGE_EXPIRED)
        assert (expired["message_id"], expired["age_seconds"]) == (old, 3_701)


# ---- the gate


@in_virtual_time
async def test_a_refused_connection_closes_the_gate_and_nothing_is_received_until_it_opens() -> (
    None
):
    async with RunningTier(error_visibility_timeout=2) as tier:
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
        assert len(tier.log.of(events.GATE_CLOSED)) == 1
        tier.application.answers(200)
        tier.application.up = True
        await tier.clock.advance(10)
        assert len(tier.log.of(events.GATE_OPENED)) == 2  # at the start, and now
        assert tier.sqs.bodies() == []


def _receive_counts(tier: RunningTier) -> list[int]:
    return [len(stored.handles) for stored in tier.sqs._messages.values()]


@in_virtual_time
async def test_nothing_is_received_before_the_application_is_there() -> None:
    tier = RunningTier()
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
    async with RunningTier(error_visibility_timeout=1) as tier:
        tier.application.answers(502)  # though it answers a GET
        for n in range(3):
            tier.sqs.send(str(n))
        await tier.clock.advance(10)
        assert tier.log.of(events.GATE_CLOSED)[0] == {"reason": "HTTP 502"}
        assert Probe.ANSWER in tier.application.probes


@in_virtual_time
async def test_one_message_through_a_proxy_costs_one_receive_while_the_application_restarts() -> (
    None
):
    async with RunningTier(max_receives=3) as tier:
        await tier.open_polls(at_least=4)
        tier.application.answers(502)
        tier.application.up = False
        sent = tier.sqs.send("alone")
        await tier.clock.advance(60)
        (closed,) = tier.log.of(events.GATE_CLOSED)
        assert "again when that was probed" in closed["reason"]
        assert tier.sqs.receive_count(sent) <= 2
        tier.application_is_back()
        await tier.clock.advance(10)
        assert tier.sqs.deleted == [sent]


@in_virtual_time
async def test_an_application_that_answers_503_itself_is_probed_once_a_second() -> None:
    async with RunningTier(error_visibility_timeout=0) as tier:
        await tier.warm_up()
        before = len(tier.application.probes)
        tier.application.answers(503)
        for body in ("busy", "too busy"):
            tier.sqs.send(body)
        await tier.clock.advance(10)
        assert len(tier.application.posted) > 11
        assert tier.dispatcher.gate_is_open
        assert 9 <= len(tier.application.probes) - before <= 11


@in_virtual_time
async def test_an_application_that_answers_503_to_everything_but_a_get_closes_it_rarely() -> None:
    async with RunningTier(visibility_timeout=20) as tier:
        await tier.warm_up()
        tier.application.answers(503)
        for n in range(200):
            tier.sqs.send(str(n))
        await tier.clock.advance(179)
        assert len(tier.application.posted) >= 9 * 200 - 100
        assert len(tier.log.of(events.GATE_CLOSED)) <= 3


async def _answer_a_get_while_all_messages_fail(tier: RunningTier) -> None:
    """Have the gate closed by three messages, and opened by an answer to a GET."""
    tier.application.answers(502)
    for n in range(5):
        tier.sqs.send(f"failed {n}")
    await tier.clock.advance(2)
    assert len(tier.log.of(events.GATE_CLOSED)) == 1
    assert tier.dispatcher.gate_is_open


@in_virtual_time
async def test_an_application_that_resets_all_after_it_answered_a_get_closes_the_gate() -> None:
    async with RunningTier(error_visibility_timeout=1) as tier:
        await tier.warm_up()
        await _answer_a_get_while_all_messages_fail(tier)
        tier.application.answers(Broken.UNANSWERED)
        tier.application.answers_probes = False
        sent = [tier.sqs.send(f"m{n}") for n in range(40)]
        await tier.clock.advance(60)
        assert not tier.dispatcher.gate_is_open
        assert max(tier.sqs.receive_count(message_id) for message_id in sent) <= 2


@in_virtual_time
async def test_a_probe_from_before_the_application_went_down_releases_nothing() -> None:
    async with RunningTier(max_receives=2, max_retries=2) as tier:
        await tier.warm_up()
        await _answer_a_get_while_all_messages_fail(tier)
        tier.application.answers(503)
        tier.sqs.send("poison")
        await tier.clock.advance(0.1)  # a GET was answered
        released = len(tier.log.of(events.MESSAGE_RELEASED))
        tier.application.answers(502)
        tier.application.up = False
        for n in range(20):
            tier.sqs.send(f"m{n}")
        await tier.clock.advance(5)
        assert not tier.dispatcher.gate_is_open
        assert len(tier.log.of(events.MESSAGE_RELEASED)) == released
        assert tier.log.of(events.MESSAGE_HELD)


@in_virtual_time
async def test_a_gate_made_narrow_by_a_released_message_widens_again() -> None:
    async with RunningTier(
        heartbeat=False,
        visibility_timeout=30,
        inactivity_timeout=25,
        backpressure_statuses=("429",),
    ) as tier:
        await tier.warm_up()
        tier.application.answers(Answered(429, 3_600))  # longer than it can be hidden
        for n in range(6):
            tier.sqs.send(f"busy {n}")
        await tier.clock.advance(1)
        narrow = tier.dispatcher.in_flight_limit
        tier.application.answers(None)
        await tier.clock.advance(15)
        assert narrow < tier.dispatcher.in_flight_limit == 50


@in_virtual_time
async def test_a_poison_message_never_closes_the_gate() -> None:
    async with RunningTier(error_visibility_timeout=0, max_receives=50) as tier:
        tier.application.answers(502)
        tier.sqs.send("poison")
        await tier.clock.advance(120)
        assert tier.sqs.dead_letters == ["poison"]
        assert tier.log.of(events.GATE_CLOSED) == []


@in_virtual_time
async def test_500_never_closes_the_gate_however_many_meet_it() -> None:
    async with RunningTier(error_visibility_timeout=1, max_receives=5) as tier:
        tier.application.answers(500)
        for n in range(40):
            tier.sqs.send(str(n))
        await tier.clock.advance(120)
        assert len(tier.sqs.dead_letters) == 40
        assert tier.log.of(events.GATE_CLOSED) == []


# ---- groups


@in_virtual_time
async def test_a_fifo_group_runs_one_at_a_time_and_in_order() -> None:
    async with RunningTier(fifo=True) as tier:
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
async def test_a_failure_in_a_fifo_group_releases_the_rest_and_the_order_stays() -> None:
    async with RunningTier(fifo=True, error_visibility_timeout=5) as tier:
        tier.application.answers(500, 500, 200)
        for n in range(4):
            tier.sqs.send(str(n), group_id="g")
        await tier.clock.advance(40)
        assert tier.application.bodies == ["0", "0", "0", "1", "2", "3"]
        assert tier.sqs.bodies() == []


@in_virtual_time
async def test_group_ids_on_a_standard_queue_do_not_serialise() -> None:
    async with RunningTier() as tier:
        await tier.warm_up()
        tier.application.answers(None)
        for n in range(5):
            tier.sqs.send(f"tenant {n}", group_id="tenant")
        await tier.clock.advance(2)
        assert len(tier.application.running) == 5
