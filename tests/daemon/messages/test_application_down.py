"""What a failing, a missing and a resetting application cost a message in receives."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from sqsd.contract import events
from sqsd.messages.outcome import Answered, Broken, Outcome, Unreachable
from sqsd.testing.clock import in_virtual_time
from tests.fakes.running_tier import RunningTier

UNANSWERED = Broken.UNANSWERED


# ---- the application is up: no failure makes a message visible sooner than EB would


@pytest.mark.parametrize(
    "outcome", [Answered(502), Answered(503), Answered(504), UNANSWERED, Broken.CLOSED]
)
@pytest.mark.parametrize("fifo", [False, True])
@in_virtual_time
async def test_what_fails_while_the_application_is_up_waits_out_its_visibility(
    outcome: Outcome, fifo: bool
) -> None:
    async with RunningTier(fifo=fifo, max_receives=10) as tier:
        tier.application.answers(outcome)
        for n in range(20):
            tier.sqs.send(str(n), group_id=str(n))
        await tier.clock.advance(280)
        assert tier.sqs.dead_letters == []
        assert len(tier.application.posted) == 20, "each once within its visibility timeout"
        await tier.clock.advance(2_400)
        assert tier.sqs.dead_letters == [], "EB takes 50 minutes"


@pytest.mark.parametrize("status", [502, 503, 504])
@pytest.mark.parametrize("options", [{}, {"retry_policy": "backoff"}])
@in_virtual_time
async def test_one_message_that_always_gets_a_proxys_status_is_not_dead_lettered_soon(
    status: int, options: dict[str, Any]
) -> None:
    async with RunningTier(max_receives=10, **options) as tier:
        await tier.warm_up()
        tier.application.seconds = 1.0
        tier.application.fails_with(status, "poison")
        tier.sqs.send("poison")
        for n in range(60):
            tier.sqs.send(f"good {n}")
            await tier.clock.advance(1)
        assert tier.sqs.dead_letters == []
        assert tier.dispatcher.gate_is_open
        assert tier.log.of(events.GATE_CLOSED) == []
        assert len(tier.sqs.deleted) >= 58


@in_virtual_time
async def test_a_504_means_that_the_job_may_still_run_not_that_nothing_is_there() -> None:
    async with RunningTier(visibility_timeout=30, inactivity_timeout=29) as tier:
        tier.application.seconds = 2.0
        tier.application.answers(504)
        sent = tier.sqs.send("slow")
        await tier.clock.advance(28)
        assert tier.application.bodies == ["slow"]
        assert (tier.sqs.receive_count(sent), tier.dispatcher.gate_is_open) == (1, True)
        assert len(tier.application.probes) == 2, "those of the start"


@pytest.mark.parametrize(
    ("options", "outcome", "seconds"),
    [
        ({"error_visibility_timeout": 30}, Answered(502), 30),
        ({"error_visibility_timeout": 0}, Answered(503), 0),
        ({"error_visibility_timeout": 30}, Answered(504), 30),
        ({"error_visibility_timeout": 30}, UNANSWERED, 30),
        ({}, Answered(503, 7), 7),
        ({"error_visibility_timeout": 30}, Answered(503, 7), 7),
        ({"status_delays": ("502=11",)}, Answered(502), 11),
        ({"status_delays": ("5xx=12",)}, Answered(504), 12),
        ({"retry_policy": "backoff", "error_visibility_timeout": 40}, Answered(503), None),
        ({}, Answered(502, 7), None),
    ],
)
@in_virtual_time
async def test_what_an_operator_or_the_application_asks_for_decides(
    options: dict[str, Any], outcome: Outcome, seconds: int | None
) -> None:
    async with RunningTier(**options) as tier:
        tier.application.answers(outcome, 200)
        tier.sqs.send("work")
        await tier.clock.advance(3)
        (released,) = tier.log.of(events.MESSAGE_RELEASED)
        if "retry_policy" in options:
            assert 20 <= released["after_seconds"] <= 40
        else:
            assert released["after_seconds"] == seconds


@pytest.mark.parametrize("outcome", [Answered(502), Answered(503), UNANSWERED])
@in_virtual_time
async def test_an_answer_to_another_message_shows_that_the_application_is_up(
    outcome: Outcome,
) -> None:
    async with RunningTier(http_connections=2) as tier:
        await tier.warm_up()
        tier.application.probes_hang = True
        tier.application.answers(outcome, 200)
        failing = tier.sqs.send("failing")
        await tier.clock.advance(0.5)
        assert tier.log.of(events.MESSAGE_RELEASED) == [], "the probe has no result yet"
        tier.sqs.send("good")
        await tier.clock.advance(0.5)
        (released,) = tier.log.of(events.MESSAGE_RELEASED)
        assert released["message_id"] == failing


# ---- the application is down: messages are held, and cost no receive


@pytest.mark.parametrize(
    "outcome",
    [
        Unreachable.REFUSED,
        Unreachable.CONNECT_TIMEOUT,
        Answered(502),
        Answered(503),
        UNANSWERED,
    ],
)
@pytest.mark.parametrize("fifo", [False, True])
@pytest.mark.parametrize("error_visibility_timeout", [None, 0])
@in_virtual_time
async def test_what_met_no_application_is_held_and_posted_first(
    outcome: Outcome, fifo: bool, error_visibility_timeout: int | None
) -> None:
    async with RunningTier(
        fifo=fifo, max_receives=10, error_visibility_timeout=error_visibility_timeout
    ) as tier:
        tier.application.up = False
        tier.application.answers(outcome)
        sent = tier.sqs.send("first", group_id="g")
        await tier.clock.advance(3)
        assert not tier.dispatcher.gate_is_open
        tier.sqs.send("second", group_id="h")
        await tier.clock.advance(800)
        assert (tier.sqs.receive_count(sent), tier.sqs.visible()) == (1, ["second"])
        assert tier.application.bodies == ["first"]
        tier.application_is_back()
        await tier.clock.advance(10)
        assert tier.application.bodies == ["first", "first", "second"]
        assert tier.sqs.dead_letters == []
        assert tier.log.of(events.MESSAGE_RELEASED) == []


@in_virtual_time
async def test_an_application_that_never_returns_does_not_hold_a_message_for_ever() -> None:
    async with RunningTier(visibility_timeout=60, inactivity_timeout=59) as tier:
        sent = await tier.lose_application()
        await tier.clock.advance(850)
        assert tier.sqs.visible() == []
        await tier.clock.advance(100)
        assert tier.sqs.visible() == ["finds no application"]
        assert tier.sqs.receive_count(sent) == 1


@in_virtual_time
async def test_a_message_on_its_last_receive_is_held_as_long_as_sqs_allows() -> None:
    async with RunningTier(max_retries=1, max_receives=1) as tier:
        sent = await tier.lose_application()
        await tier.clock.advance(20_000)
        assert (tier.sqs.receive_count(sent), tier.sqs.visible()) == (1, [])
        tier.application_is_back()
        await tier.clock.advance(20)
        assert tier.sqs.deleted == [sent]


@in_virtual_time
async def test_a_message_that_ends_the_application_each_time_is_not_held_twice_in_a_delivery() -> (
    None
):
    async with RunningTier() as tier:
        tier.application.up = False
        tier.application.answers(502)
        tier.sqs.send("poison")
        await tier.clock.advance(3)
        tier.application.up = True  # it started again, and the message ends it once more
        await tier.clock.advance(20)
        assert tier.application.bodies == ["poison", "poison"]
        (released,) = tier.log.of(events.MESSAGE_RELEASED)
        assert released["after_seconds"] is None


@pytest.mark.parametrize("outcome", [Unreachable.REFUSED, Answered(502), UNANSWERED])
@in_virtual_time
async def test_a_drain_releases_what_was_held_for_the_application(outcome: Outcome) -> None:
    async with RunningTier() as tier:
        tier.application.up = False
        tier.application.answers(outcome)
        sent = tier.sqs.send("held")
        await tier.clock.advance(3)
        assert await tier.drain() is True
        assert (tier.sqs.receive_count(sent), tier.sqs.visible()) == (1, ["held"])


@pytest.mark.parametrize("outcome", [Answered(502), UNANSWERED])
@in_virtual_time
async def test_a_drain_does_not_wait_for_a_probe(outcome: Outcome) -> None:
    async with RunningTier() as tier:
        tier.application.probes_hang = True
        tier.application.answers(outcome)
        tier.sqs.send("suspicious")
        await tier.clock.advance(1)
        began = tier.clock.monotonic()
        assert await tier.drain() is True
        assert tier.clock.monotonic() - began <= 21
        (released,) = tier.log.of(events.MESSAGE_RELEASED)
        assert released["after_seconds"] is None


@in_virtual_time
async def test_a_suspicious_answer_during_a_drain_is_a_failure_like_any() -> None:
    async with RunningTier() as tier:
        tier.application.answers(None)
        sent = tier.sqs.send("late")
        await tier.clock.advance(1)
        drained = asyncio.create_task(tier.drain())
        await tier.clock.advance(1)
        tier.application.finish(sent, 503)
        assert await drained is True
        (released,) = tier.log.of(events.MESSAGE_RELEASED)
        assert released["after_seconds"] is None


@in_virtual_time
async def test_the_group_of_a_held_message_waits_for_it_in_order() -> None:
    async with RunningTier(fifo=True, max_receives=10) as tier:
        await tier.warm_up()
        tier.application.up = False
        tier.application.answers(Unreachable.REFUSED)
        for n in range(4):
            tier.sqs.send(str(n), group_id="g")
        await tier.clock.advance(400)
        assert tier.application.bodies == ["0"]
        tier.application_is_back()
        await tier.clock.advance(10)
        assert tier.application.bodies == ["0", "0", "1", "2", "3"]
        assert len(tier.sqs.deleted) == 4


# ---- an application that accepts, and ends each connection without a byte


@in_virtual_time
async def test_three_messages_that_got_no_byte_close_the_gate_until_something_answers() -> None:
    async with RunningTier(max_receives=3, error_visibility_timeout=1) as tier:
        await tier.warm_up()
        tier.application.answers(UNANSWERED)
        tier.application.answers_probes = False
        for n in range(31):
            tier.sqs.send(str(n))
        await tier.clock.advance(120)
        assert not tier.dispatcher.gate_is_open
        assert tier.sqs.dead_letters == []
        (closed,) = tier.log.of(events.GATE_CLOSED)
        assert closed["reason"] == UNANSWERED.value
        tier.application.answers_probes = True
        tier.application_is_back()
        await tier.clock.advance(60)
        assert len(tier.sqs.deleted) == 31


@in_virtual_time
async def test_one_message_that_ends_its_worker_does_not_close_the_gate() -> None:
    async with RunningTier(error_visibility_timeout=1) as tier:
        await tier.warm_up()
        tier.application.answers(UNANSWERED)
        tier.sqs.send("poison")
        await tier.clock.advance(30)
        assert tier.log.of(events.GATE_CLOSED) == []
        assert len(tier.application.posted) > 5


# ---- EB's receives, for a whole queue


@pytest.mark.parametrize(
    "outcomes",
    [
        (503,),
        (504,),
        tuple([200, 502] * 2_000),
        tuple([200, 503, 504] * 2_000),
        (502,),
        (UNANSWERED,),
        tuple([500, UNANSWERED] * 2_000),
    ],
)
@in_virtual_time
async def test_a_queue_of_failures_spends_at_most_ebs_receives(outcomes: Any) -> None:
    async with RunningTier(max_receives=10) as tier:
        tier.application.answers(*outcomes)
        sent = [tier.sqs.send(str(n)) for n in range(200)]
        minutes = 12
        await tier.clock.advance(60 * minutes)
        left = [m for m in sent if m not in set(tier.sqs.deleted)]
        assert max((tier.sqs.receive_count(m) for m in left), default=0) <= 1 + 60 * minutes // 300
        assert tier.sqs.dead_letters == []
