"""Items that another program wrote, or that were damaged: none stops periodic tasks for good."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from sqsd.contract import events
from sqsd.cron.expression import parse_expression
from sqsd.cron.lease import LEASE_SECONDS_MAX
from sqsd.cron.occurrence import RunRecord, run_id, still_running
from sqsd.cron.schedule import Task
from sqsd.testing.table import FakeDynamoDb
from tests.daemon.cron.schedulers import Tier, due, schedule, sent_for, virtually
from tests.fakes.cron_fleet import TABLE

LEASE: dict[str, dict[str, Any]] = {
    "id": {"S": "lease"},
    "version": {"N": "41"},
    "term": {"N": "3"},
    "holder": {"S": "dead"},
    "lease_seconds": {"N": "10.0"},
}
TASK: dict[str, dict[str, Any]] = {
    "id": {"S": "task#tick"},
    "version": {"N": "7"},
    "schedule": {"S": "* * * * * UTC"},
    "cursor": {"S": "2026-03-01T00:00:00+00:00"},
    "state": {"S": "sent"},
    "claimant": {"S": "dead"},
    "expires_at": {"N": "99999999999"},
}


def changed(item: dict[str, dict[str, Any]], **values: Any) -> dict[str, dict[str, Any]]:
    """Return an item with other attributes; None takes one out."""
    return {name: value for name, value in (item | values).items() if value is not None}


@pytest.mark.parametrize(
    "values",
    [
        {"lease_seconds": {"N": "1E+15"}},
        {"lease_seconds": {"N": "-1"}},
        {"lease_seconds": {"N": "0"}},
        {"lease_seconds": {"S": "ten"}},
        {"lease_seconds": None},
        {"version": {"S": "x"}},
        {"version": {"N": "1.5"}},
        {"version": {"N": "99999999999999999999999999999999999999"}},
        {"version": {"N": "-3"}},
        {"version": {"BOOL": True}},
        {"version": None},
        {"term": {"S": "x"}},
        {"term": None},
        {"term": {"N": "1E+100"}, "version": None},
        {"holder": {"N": "7"}},
        {"holder": None},
        {"holder": {"S": "x" * 100_000}},
        dict.fromkeys(("version", "term", "holder", "lease_seconds")),
    ],
)
def test_a_hostile_lease_is_acquired_after_a_minute_at_most(values: dict[str, Any]) -> None:
    async def scenario() -> None:
        dynamodb = FakeDynamoDb(TABLE)
        dynamodb.items[TABLE]["lease"] = changed(LEASE, **values)
        tiers = [Tier(dynamodb=dynamodb, identity=name) for name in ("one", "two")]
        await asyncio.sleep(LEASE_SECONDS_MAX + 5)
        assert [tier.scheduler.status().leader for tier in tiers].count(True) == 1
        await asyncio.sleep(60)
        for tier in tiers:
            await tier.drain()
        sent = tiers[0].sender.times() + tiers[1].sender.times()
        assert len(sent) == len(set(sent)) > 0

    virtually(scenario)


def test_a_lease_that_is_damaged_while_it_is_held_is_held_again() -> None:
    async def scenario() -> None:
        tier = Tier()
        await asyncio.sleep(1)
        assert tier.scheduler.status().leader
        tier.dynamodb.items[TABLE]["lease"]["version"] = {"S": "x"}
        await asyncio.sleep(30)
        assert tier.scheduler.status().leader
        await tier.drain()

    virtually(scenario)


@pytest.mark.parametrize(
    "values",
    [
        {"cursor": {"S": "2026-03-01T00:00:00"}},  # without a zone
        {"cursor": {"S": "0001-01-01T00:00:00+14:00"}},
        {"cursor": {"S": "9999-12-31T23:59:59-14:00"}},
        {"cursor": {"S": "yesterday"}},
        {"cursor": {"N": "0"}},
        {"cursor": None},
        {"version": {"S": "7"}},
        {"version": {"N": "7.5"}},
        {"version": {"N": "99999999999999999999999999999999999999"}},
        {"version": None},
        {"version": None, "cursor": None},
        {"state": {"S": "running"}},
        {"state": {"BOOL": False}},
        {"state": None},
        {"claimant": None},
        {"schedule": {"L": []}},
        {"schedule": None},
        {name: None for name in TASK if name != "id"},
    ],
)
def test_a_hostile_item_of_a_task_is_replaced_and_logged(values: dict[str, Any]) -> None:
    async def scenario() -> None:
        dynamodb = FakeDynamoDb(TABLE)
        dynamodb.items[TABLE]["task#tick"] = changed(TASK, **values)
        tier = Tier(dynamodb=dynamodb)
        await asyncio.sleep(125)
        await tier.drain()
        assert tier.sender.times() == ["2026-03-01 00:01:00 UTC", "2026-03-01 00:02:00 UTC"]
        (event,) = tier.log.of(events.CRON_FAILED)
        assert "replaced" in event["reason"]
        assert len(event["reason"]) < 500

    virtually(scenario)


@pytest.mark.parametrize(
    "values",
    [
        {"expires_at": {"S": "never"}},
        {"expires_at": {"N": "1E+30"}},
        {"expires_at": None},
        {"sent": {"S": "2026-03-01T00:00:00"}, "sent_at": {"S": "x"}},
        {"sent_at": {"S": "8999-01-01T00:00:00+00:00"}, "sent": {"S": "2026-03-01T00:00:00+00:00"}},
        {"nonce": {"S": "x" * 300_000}, "state": {"S": "claimed"}},
        {"sent_nonce": {"N": "1"}},
        {"schedule": {"S": "no schedule"}},
        {"schedule": {"S": "@every 1s UTC"}, "cursor": {"S": "1970-01-01T00:00:00+00:00"}},
        {"cursor": {"S": "1970-01-01T00:00:00+00:00"}},
        {"cursor": {"S": "8999-01-01T00:00:00+00:00"}},
    ],
)
@pytest.mark.parametrize("overlap", ["allow", "skip"])
def test_a_hostile_detail_of_a_task_does_not_hold_it_back(
    values: dict[str, Any], overlap: str
) -> None:
    async def scenario() -> None:
        dynamodb = FakeDynamoDb(TABLE)
        dynamodb.items[TABLE]["task#tick"] = changed(TASK, **values)
        tick = f'name: tick, url: /tick, schedule: "* * * * *", overlap: {overlap}'
        tier = Tier(schedule(tick), dynamodb=dynamodb)
        await asyncio.sleep(65)
        await tier.drain()
        # With `skip` what was caught up is unanswered, and holds back the next.
        assert tier.sender.times() != []
        assert overlap == "skip" or "2026-03-01 00:01:00 UTC" in tier.sender.times()

    virtually(scenario)


@pytest.mark.parametrize(
    "values",
    [
        {"message_id": {"N": "1"}},
        {"message_id": None},
        {"state": {"S": "odd"}},
        {"dispatched_at": {"S": "2026-03-01T00:00:00"}},
        {"dispatched_at": None},
    ],
)
def test_a_hostile_item_of_an_occurrence_does_not_delay_its_message(
    values: dict[str, Any],
) -> None:
    async def scenario() -> None:
        tier = Tier()
        key = run_id(sent_for(1))
        run = {
            "id": {"S": key},
            "message_id": {"S": "other"},
            "state": {"S": "dispatched"},
            "dispatched_at": {"S": "2026-03-01T00:00:00+00:00"},
        }
        tier.dynamodb.items[TABLE][key] = changed(run, **values)
        started = asyncio.get_running_loop().time()
        assert not await tier.guard.is_duplicate(sent_for(1), "m1")
        assert asyncio.get_running_loop().time() - started < 1
        await tier.drain()

    virtually(scenario)


@pytest.mark.parametrize(("days", "running"), [(0, True), (1_000, False)])
def test_a_time_far_ahead_makes_no_occurrence_unfinished(days: int, running: bool) -> None:
    now = due(60)
    at = now + timedelta(days=days)
    run = RunRecord(message_id="m", state="dispatched", dispatched_at=at)
    assert still_running(run, None, now) is running
    assert still_running(None, at, now) is running


def test_years_of_a_former_schedule_are_dropped_in_few_writes() -> None:
    async def scenario() -> None:
        # given a task that was due each second until it was changed, long ago
        dynamodb = FakeDynamoDb(TABLE)
        dynamodb.items[TABLE]["task#tick"] = changed(
            TASK, schedule={"S": "@every 1s UTC"}, cursor={"S": "2020-01-01T00:00:00+00:00"}
        )
        tier = Tier(dynamodb=dynamodb)
        await asyncio.sleep(5)
        assert dynamodb.items[TABLE]["task#tick"]["schedule"] == {"S": "* * * * * UTC"}
        assert dynamodb.calls["PutItem"] < 30
        await tier.drain()

    virtually(scenario)


def test_an_unreadable_item_of_a_disabled_task_is_replaced_as_well() -> None:
    async def scenario() -> None:
        dynamodb = FakeDynamoDb(TABLE)
        dynamodb.items[TABLE]["task#rest"] = changed(TASK, cursor=None)
        off = 'name: rest, url: /rest, schedule: "* * * * *", enabled: false'
        tier = Tier(schedule('name: tick, url: /, schedule: "* * * * *"', off), dynamodb=dynamodb)
        await asyncio.sleep(65)
        await tier.drain()
        assert "not enabled" in str(dynamodb.items[TABLE]["task#rest"])
        assert tier.sender.times("rest") == []

    virtually(scenario)


def test_a_task_of_the_tests_is_the_one_of_the_items() -> None:
    tick = Task(name="tick", url="/tick", schedule=parse_expression("* * * * *"))
    assert f"{tick.schedule.text} {tick.timezone}" == TASK["schedule"]["S"]
