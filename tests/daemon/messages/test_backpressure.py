"""Backpressure: statuses with which the application asks for a message again later."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

import pytest

from sqsd.contract import InvalidSettings, SqsdOptions, events
from sqsd.messages.outcome import Answered
from sqsd.testing.clock import in_virtual_time
from tests.fakes.running_tier import RunningTier

BUSY: dict[str, Any] = {"backpressure_statuses": ("429",)}


@pytest.mark.parametrize("fifo", [False, True])
@pytest.mark.parametrize("seconds", [0, 1, 7, 400, 3_000])
@in_virtual_time
async def test_a_message_is_posted_again_after_retry_after_and_no_receive_is_spent(
    fifo: bool, seconds: int
) -> None:
    async with RunningTier(fifo=fifo, **BUSY) as tier:
        tier.application.answers(Answered(429, seconds), 200)
        sent = tier.sqs.send("work", group_id="g")
        await tier.clock.advance(max(0.5, seconds - 1))
        assert len(tier.application.posted) == 1
        await tier.clock.advance(4)
        assert tier.application.bodies == ["work", "work"]
        assert tier.sqs.deleted == [sent]
        (deleted,) = tier.log.of(events.MESSAGE_DELETED)
        assert deleted["receive_count"] == 1
        assert [e["reason"] for e in tier.log.of(events.MESSAGE_HELD)] == ["HTTP 429"]
        assert tier.log.of(events.MESSAGE_RELEASED) == []


@in_virtual_time
async def test_without_retry_after_the_pause_grows() -> None:
    async with RunningTier(**BUSY) as tier:
        tier.application.answers(429)
        sent = tier.sqs.send("work")
        times: list[float] = []
        for _ in range(3_000):
            await tier.clock.advance(0.25)
            times += [tier.clock.monotonic()] * (len(tier.application.posted) - len(times))
        pauses = [later - sooner for sooner, later in pairwise(times)]
        assert pauses == sorted(pauses)
        assert pauses[0] <= 3
        assert 60 <= pauses[-1] <= 63
        assert tier.sqs.receive_count(sent) == 1


@in_virtual_time
async def test_a_message_is_not_held_beyond_what_sqs_allows() -> None:
    async with RunningTier(**BUSY) as tier:
        tier.application.answers(Answered(429, 40_000), Answered(429, 40_000), 200)
        sent = tier.sqs.send("work")
        await tier.clock.advance(40_010)
        assert len(tier.application.posted) == 2
        (released,) = tier.log.of(events.MESSAGE_RELEASED)
        assert released["reason"] == "HTTP 429"
        assert 3_000 < released["after_seconds"] < 3_200, "as long as SQS hides it"
        assert tier.sqs.receive_count(sent) == 1


@in_virtual_time
async def test_a_drain_releases_what_waits_and_holds_nothing_new() -> None:
    async with RunningTier(**BUSY) as tier:
        tier.application.answers(Answered(429, 100), None)
        waits = tier.sqs.send("waits")
        await tier.clock.advance(10)
        runs = tier.sqs.send("runs")
        await tier.clock.advance(1)
        drained = asyncio.create_task(tier.drain())
        await tier.clock.advance(1)
        tier.application.finish(runs, Answered(429, 50))
        assert await drained is True
        assert [event["message_id"] for event in tier.log.of(events.MESSAGE_HELD)] == [waits]
        assert tier.sqs.receive_count(waits) == 1
        released = [event["message_id"] for event in tier.log.of(events.MESSAGE_RELEASED)]
        assert released == [waits, runs], "by the drain, and not before it"
        assert 65 <= tier.sqs.hidden_for(waits) <= 95
        assert 25 <= tier.sqs.hidden_for(runs) <= 50
        assert len(tier.application.posted) == 2


@in_virtual_time
async def test_the_window_shrinks_while_the_application_is_busy_and_recovers() -> None:
    async with RunningTier(http_connections=16, **BUSY) as tier:
        await tier.warm_up()
        tier.application.answers(429)
        for n in range(40):
            tier.sqs.send(str(n))
        await tier.clock.advance(3)
        assert tier.dispatcher.in_flight_limit <= 2
        tier.application.answers(200)
        await tier.clock.advance(90)
        assert tier.dispatcher.in_flight_limit == 16
        assert len(tier.sqs.deleted) == 40


@in_virtual_time
async def test_without_heartbeats_a_message_is_held_only_as_long_as_it_is_hidden() -> None:
    async with RunningTier(
        heartbeat=False, visibility_timeout=60, inactivity_timeout=30, **BUSY
    ) as tier:
        tier.application.answers(Answered(429, 20), Answered(429, 100))
        tier.sqs.send("work")
        await tier.clock.advance(30)
        assert len(tier.application.posted) == 2
        (released,) = tier.log.of(events.MESSAGE_RELEASED)
        assert released["after_seconds"] == 100


@in_virtual_time
async def test_the_group_of_a_busy_message_waits_for_it() -> None:
    async with RunningTier(fifo=True, **BUSY) as tier:
        await tier.warm_up()
        tier.application.answers(Answered(429, 5), 200)
        for n in range(4):
            tier.sqs.send(str(n), group_id="g")
        await tier.clock.advance(20)
        assert tier.application.bodies == ["0", "0", "1", "2", "3"]
        assert tier.log.of(events.MESSAGE_RELEASED) == []
        counts = [event["receive_count"] for event in tier.log.of(events.MESSAGE_DELETED)]
        assert counts == [1, 1, 1, 1]


@in_virtual_time
async def test_absent_by_default() -> None:
    async with RunningTier() as tier:
        tier.application.answers(Answered(429, 5), 200)
        tier.sqs.send("work")
        await tier.clock.advance(1)
        assert len(tier.log.of(events.MESSAGE_RELEASED)) == 1


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"backpressure_statuses": ("200",)}, "must not hold 200"),
        ({"backpressure_statuses": ("2xx",)}, "must not hold 200"),
        ({"backpressure_statuses": ("429",), "delete_statuses": ("429",)}, "429 in backpressure"),
        (
            {"backpressure_statuses": ("429",), "dead_letter_statuses": ("429",)},
            "429 in backpressure",
        ),
        ({"backpressure_statuses": ("503",), "status_delays": ("503=9",)}, "503 in backpressure"),
        ({"backpressure_statuses": ("busy",)}, "backpressure_statuses must be"),
    ],
)
def test_what_contradicts_backpressure_is_refused(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(InvalidSettings, match=problem):
        SqsdOptions(**options)


@pytest.mark.parametrize("pause", [20, 200])
@pytest.mark.parametrize("answers_before_200", [0, 1, 3])
@in_virtual_time
async def test_a_drain_posts_again_what_has_an_untried_message_without_receives_behind_it(
    pause: int, answers_before_200: int
) -> None:
    async with RunningTier(
        fifo=True,
        max_retries=3,
        max_receives=3,
        backpressure_statuses=("429",),
        drain_timeout=3_000,
    ) as tier:
        await tier.warm_up()
        await tier.clock.advance(30)
        busy = Answered(429, retry_after=pause)
        tier.application.answers(*[busy] * (1 + answers_before_200), 200)
        tier.sqs.send("first", group_id="g")
        last = tier.sqs.send("last", group_id="g")
        after = tier.sqs.send("after", group_id="g")
        tier.sqs.set_receive_count(last, 2)
        await tier.clock.advance(5)
        began = tier.clock.monotonic()
        assert await tier.drain() is True
        assert tier.application.bodies == ["first"] * (2 + answers_before_200) + ["last"]
        assert tier.clock.monotonic() - began > pause * (1 + answers_before_200) - 10
        assert tier.sqs.dead_letters == []
        assert after not in tier.sqs.deleted


@in_virtual_time
async def test_such_a_message_is_released_at_the_end_of_drain_timeout() -> None:
    async with RunningTier(
        fifo=True, max_retries=3, max_receives=3, backpressure_statuses=("429",), drain_timeout=30
    ) as tier:
        await tier.warm_up()
        await tier.clock.advance(30)
        tier.application.answers(Answered(429, retry_after=10))
        tier.sqs.send("first", group_id="g")
        last = tier.sqs.send("last", group_id="g")
        tier.sqs.set_receive_count(last, 2)
        await tier.clock.advance(5)
        began = tier.clock.monotonic()
        await tier.drain()
        assert tier.clock.monotonic() - began <= 31
        assert len(tier.application.posted) >= 3
        assert tier.dispatcher.messages() == []
