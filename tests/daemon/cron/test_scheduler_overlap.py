"""With `overlap: skip` an occurrence waits for the one before; and messages of one occurrence."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from sqsd.base.errors import AwsUnreachable
from sqsd.contract import events
from tests.daemon.cron.schedulers import Tier, schedule, sent_for, virtually
from tests.fakes.cron_fleet import EPOCH

# ---- overlap


SKIPPING = schedule('name: tick, url: /, schedule: "* * * * *", overlap: skip')


def test_with_overlap_skip_an_occurrence_waits_for_the_answer_of_the_one_before() -> None:
    async def scenario() -> None:
        tier = Tier(SKIPPING)
        await asyncio.sleep(61)
        assert not await tier.guard.is_duplicate(tier.sender.occurrence(), "m1")
        await asyncio.sleep(120)  # minutes 2 and 3 are due meanwhile
        await tier.guard.completed(tier.sender.occurrence(), "m1")
        await asyncio.sleep(60)
        await tier.drain()
        assert tier.sender.times() == ["2026-03-01 00:01:00 UTC", "2026-03-01 00:04:00 UTC"]
        skipped = [line["scheduled_time"] for line in tier.log.of(events.CRON_SKIPPED)]
        assert skipped == ["2026-03-01 00:02:00 UTC", "2026-03-01 00:03:00 UTC"]
        assert tier.scheduler.status().skipped == 2

    virtually(scenario)


def test_with_overlap_skip_a_message_given_up_for_good_holds_nothing_back() -> None:
    async def scenario() -> None:
        tier = Tier(SKIPPING)
        await asyncio.sleep(61)
        await tier.guard.is_duplicate(tier.sender.occurrence(), "m1")
        await tier.guard.abandoned(tier.sender.occurrence(), "m1")
        await asyncio.sleep(60)
        await tier.drain()
        assert len(tier.sender.times()) == 2

    virtually(scenario)


def test_without_it_occurrences_overlap() -> None:
    async def scenario() -> None:
        tier = Tier()
        await asyncio.sleep(181)
        await tier.drain()
        assert len(tier.sender.times()) == 3

    virtually(scenario)


# ---- copies


def test_of_two_messages_of_one_occurrence_the_first_dispatched_counts() -> None:
    async def scenario() -> None:
        tier = Tier()
        assert not await tier.guard.is_duplicate(sent_for(1), "m1")
        assert await tier.guard.is_duplicate(sent_for(1), "m2")
        assert not await tier.guard.is_duplicate(sent_for(1), "m1"), "its own redelivery"
        await tier.guard.completed(sent_for(1), "m1")
        assert await tier.guard.is_duplicate(sent_for(1), "m1"), "its delete was lost"
        assert await tier.guard.is_duplicate(sent_for(1), "m2")
        assert not await tier.guard.is_duplicate(sent_for(2), "m3"), "another occurrence"
        assert tier.guard.suppressed == 3
        await tier.drain()

    virtually(scenario)


@pytest.mark.parametrize("state", ["dispatched", "abandoned", "done"])
def test_a_message_sent_long_after_its_time_was_sent_on_purpose_and_is_dispatched(
    state: str,
) -> None:
    async def scenario() -> None:
        tier = Tier()
        await tier.guard.is_duplicate(sent_for(1), "m1")
        if state == "abandoned":
            await tier.guard.abandoned(sent_for(1), "m1")
        if state == "done":
            await tier.guard.completed(sent_for(1), "m1")
        redriven = int((EPOCH + 7_200) * 1000)
        assert not await tier.guard.is_duplicate(sent_for(1), "m9", redriven)
        await tier.drain()

    virtually(scenario)


def test_without_the_table_a_message_is_dispatched_after_a_bounded_wait() -> None:
    async def scenario() -> None:
        tier = Tier()

        async def hang(action: str, request: Mapping[str, Any], apply: Any) -> Any:
            await asyncio.sleep(2)
            raise AwsUnreachable(action, "no answer in 2 s")

        tier.dynamodb.around = hang
        loop = asyncio.get_running_loop()
        started = loop.time()
        assert not await tier.guard.is_duplicate(sent_for(1), "m1")
        assert loop.time() - started < 10
        await tier.drain()

    virtually(scenario)
