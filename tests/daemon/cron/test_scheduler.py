"""The scheduler in virtual time: EB's message, drains, failures, overlap, costs."""

from __future__ import annotations

import asyncio
import random
import re
from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from sqsd.base.errors import AwsError, AwsUnreachable
from sqsd.contract import events
from sqsd.cron.schedule import next_after
from tests.daemon.cron.schedulers import Tier, schedule, virtually
from tests.fakes.cron_fleet import TABLE, Faults, Fleet


def test_the_message_is_elastic_beanstalks_exactly_but_for_a_nonce() -> None:
    async def scenario() -> None:
        tier = Tier()
        await asyncio.sleep(61)
        await tier.drain()
        (message,) = tier.sender.sent
        nonce = message["attributes"].pop("beanstalk.sqsd.nonce")
        assert re.fullmatch("[0-9a-f]{32}", nonce)
        assert tier.sender.sent == [
            {
                "body": "elasticbeanstalk scheduled job",
                "attributes": {
                    "beanstalk.sqsd.path": "/tick",
                    "beanstalk.sqsd.task_name": "tick",
                    "beanstalk.sqsd.scheduled_time": "2026-03-01 00:01:00 UTC",
                },
                "group_id": None,
                "deduplication_id": None,
            }
        ]

    virtually(scenario)


def test_on_a_fifo_queue_the_group_is_the_task_and_the_deduplication_id_the_occurrence() -> None:
    async def scenario() -> None:
        tier = Tier(fifo=True)
        await asyncio.sleep(61)
        await tier.drain()
        (message,) = tier.sender.sent
        assert message["group_id"] == "tick"
        assert (
            message["deduplication_id"]
            == f"tick@2026-03-01T00:01:00Z#{tier.sender.occurrence().nonce}"
        )

    virtually(scenario)


def test_occurrences_are_sent_on_time_and_never_early() -> None:
    async def scenario() -> None:
        tier = Tier(schedule('name: fast, url: /, schedule: "@every 7s"'))
        await asyncio.sleep(120)
        status = tier.scheduler.status()
        await tier.drain()
        late = [line["late_seconds"] for line in tier.log.of(events.CRON_ENQUEUED)]
        assert len(late) == status.sent >= 16
        assert all(0 <= seconds < 0.1 for seconds in late)
        assert status.leader
        assert status.leader_since is not None
        assert status.leader_since > 115

    virtually(scenario)


def test_several_tasks_due_at_one_moment_are_all_sent_once() -> None:
    async def scenario() -> None:
        names = [f"t{n}" for n in range(30)]
        tier = Tier(schedule(*(f'name: {n}, url: /, schedule: "* * * * *"' for n in names)))
        await asyncio.sleep(61)
        await tier.drain()
        sent = [m["attributes"]["beanstalk.sqsd.task_name"] for m in tier.sender.sent]
        assert sorted(sent) == sorted(names)

    virtually(scenario)


def test_a_disabled_task_is_never_sent() -> None:
    async def scenario() -> None:
        tier = Tier(
            schedule(
                'name: live, url: /, schedule: "* * * * *"',
                'name: rest, url: /, schedule: "* * * * *", enabled: false',
            )
        )
        await asyncio.sleep(125)
        await tier.drain()
        assert tier.sender.times("live") != []
        assert tier.sender.times("rest") == []

    virtually(scenario)


def test_a_drain_releases_the_lease_and_another_follows_in_about_a_second() -> None:
    async def scenario() -> None:
        first = Tier(identity="first")
        await asyncio.sleep(1)
        second = Tier(identity="second", dynamodb=first.dynamodb)
        await asyncio.sleep(58.5)
        await first.drain()
        await asyncio.sleep(1.6)
        assert second.scheduler.status().leader
        await asyncio.sleep(60)
        await second.drain()
        assert first.sender.times() + second.sender.times() == [
            "2026-03-01 00:01:00 UTC",
            "2026-03-01 00:02:00 UTC",
        ]
        assert first.dynamodb.items[TABLE]["lease"]["holder"] == {"S": ""}

    virtually(scenario)


def test_a_follower_drains_without_touching_the_table() -> None:
    async def scenario() -> None:
        first = Tier(identity="first")
        await asyncio.sleep(1)
        second = Tier(identity="second", dynamodb=first.dynamodb)
        await asyncio.sleep(10)
        before = first.dynamodb.calls["UpdateItem"]
        await second.drain()
        assert first.dynamodb.calls["UpdateItem"] == before
        await first.drain()

    virtually(scenario)


def test_a_cancelled_leader_is_followed_when_its_lease_has_run_out() -> None:
    async def scenario() -> None:
        first = Tier(identity="first")
        await asyncio.sleep(1)
        second = Tier(identity="second", dynamodb=first.dynamodb)
        await asyncio.sleep(56)
        first.running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first.running
        await asyncio.sleep(15)
        await second.drain()
        assert second.sender.times() == ["2026-03-01 00:01:00 UTC"]

    virtually(scenario)


def test_a_leader_that_died_between_claim_and_send_is_repaired_with_the_same_time() -> None:
    async def scenario() -> None:
        first = Tier(identity="first")

        async def hang(**_: Any) -> str:
            await asyncio.get_running_loop().create_future()
            raise AssertionError("never")

        first.sender.send = hang  # type: ignore[method-assign]
        await asyncio.sleep(1)
        second = Tier(identity="second", dynamodb=first.dynamodb)
        await asyncio.sleep(60)
        first.running.cancel()
        await asyncio.sleep(16)
        await second.drain()
        assert second.sender.times() == ["2026-03-01 00:01:00 UTC"]
        (repaired,) = second.log.of(events.CRON_REPAIRED)
        assert repaired["late_seconds"] <= 15

    virtually(scenario)


def test_a_send_that_fails_is_repeated_and_logged() -> None:
    async def scenario() -> None:
        tier = Tier()
        tier.sender.error = AwsUnreachable("SendMessage", "cut")
        await asyncio.sleep(63)
        tier.sender.error = None
        await asyncio.sleep(5)
        await tier.drain()
        assert tier.sender.times() == ["2026-03-01 00:01:00 UTC"]
        assert "SendMessage" in tier.log.of(events.CRON_FAILED)[0]["reason"]

    virtually(scenario)


def test_a_leader_that_cannot_send_leaves_the_lease_to_another() -> None:
    async def scenario() -> None:
        first = Tier(identity="first")
        first.sender.error = AwsError("SendMessage", "AccessDenied", "no", 403)
        await asyncio.sleep(1)
        second = Tier(identity="second", dynamodb=first.dynamodb)
        await asyncio.sleep(80)
        assert second.sender.times() == ["2026-03-01 00:01:00 UTC"]
        assert second.scheduler.status().leader
        await first.drain()
        await second.drain()

    virtually(scenario)


def test_one_bad_task_does_not_stop_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    # given a task whose next time cannot be computed, because of a bug
    def broken(task: Any, at: datetime) -> datetime:
        if task.name == "bad":
            raise ZeroDivisionError("a bug")
        return next_after(task, at)

    monkeypatch.setattr("sqsd.cron.occurrence.next_after", broken)

    async def scenario() -> None:
        tier = Tier(
            schedule(
                'name: bad, url: /, schedule: "* * * * *"',
                'name: good, url: /, schedule: "* * * * *"',
            )
        )
        await asyncio.sleep(181)
        await tier.drain()
        assert len(tier.sender.times("good")) == 3
        assert tier.log.of(events.CRON_FAILED)[0]["task"] == "bad"

    virtually(scenario)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("AccessDeniedException", ["dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem"]),
        ("ResourceNotFoundException", ["there is no table Leaders", "deploy"]),
        ("ThrottlingException", ["repeated"]),
    ],
)
def test_failures_of_the_table_are_logged_once_a_minute_with_the_hint(
    code: str, words: list[str]
) -> None:
    async def scenario() -> None:
        tier = Tier()

        async def refuse(action: str, request: Mapping[str, Any], apply: Any) -> Any:
            raise AwsError(action, code, "no", 400)

        tier.dynamodb.around = refuse
        await asyncio.sleep(299)
        logged = tier.log.of(events.LEASE_FAILED)
        assert 4 <= len(logged) <= 5
        assert logged[0]["table"] == TABLE
        assert logged[0]["action"] == "GetItem"
        assert all(word in logged[0]["hint"] for word in words)
        assert tier.dynamodb.calls.total() < 60, "a failing table must not be hammered"
        # when the table answers again, everything recovers by itself
        tier.dynamodb.around = None
        await asyncio.sleep(75)
        assert tier.sender.times() != []
        assert len(tier.log.of(events.LEASE_RECOVERED)) == 1
        await tier.drain()

    virtually(scenario)


def test_a_leader_without_its_table_stops_before_its_lease_ends_and_comes_back() -> None:
    async def scenario() -> None:
        tier = Tier()
        await asyncio.sleep(30)
        tier.dynamodb.around = Faults(random.Random(1), share=1.0)
        await asyncio.sleep(9.5)
        assert not tier.scheduler.status().leader
        tier.dynamodb.around = None
        await asyncio.sleep(25)
        assert tier.scheduler.status().leader
        await asyncio.sleep(60)
        await tier.drain()
        assert tier.sender.times() == ["2026-03-01 00:01:00 UTC", "2026-03-01 00:02:00 UTC"]

    virtually(scenario)


def test_missed_occurrences_are_sent_once_each_with_their_own_times() -> None:
    async def scenario() -> None:
        first = Tier(identity="first")
        await asyncio.sleep(61)
        await first.drain()
        await asyncio.sleep(190)
        second = Tier(identity="second", dynamodb=first.dynamodb)
        await asyncio.sleep(5)
        await second.drain()
        assert second.sender.times() == [f"2026-03-01 00:0{n}:00 UTC" for n in (2, 3, 4)]

    virtually(scenario)


def test_what_is_older_than_catch_up_is_reported_as_missed() -> None:
    async def scenario() -> None:
        first = Tier(identity="first")
        await asyncio.sleep(61)
        await first.drain()
        await asyncio.sleep(1_200)
        second = Tier(identity="second", dynamodb=first.dynamodb)
        await asyncio.sleep(5)
        missed = second.scheduler.status().missed
        await second.drain()
        assert missed == 15
        assert second.log.of(events.CRON_MISSED)[0]["missed"] == 15
        assert len(second.sender.times()) == 5

    virtually(scenario)


# ---- costs


def documented_reads() -> dict[int, float]:
    """The table of docs/guide/cron.md: reads a second of an idle fleet, by its size."""
    page = (Path(__file__).parents[3] / "docs/guide/cron.md").read_text(encoding="utf-8")
    header = page.index("| instances | reads a second |")
    rows = page[header:].split("\n\n", 1)[0].splitlines()[2:]
    cells = ([cell.strip() for cell in row.strip("|").split("|")] for row in rows)
    return {int(size): float(reads) for size, reads, *_ in cells}


@pytest.mark.parametrize("size", [1, 2, 5, 10, 50, 100])
def test_an_idle_fleet_writes_once_in_five_seconds_and_reads_as_often_as_documented(
    size: int,
) -> None:
    yearly = schedule('name: yearly, url: /, schedule: "@yearly"')
    seconds = 300

    async def scenario() -> None:
        fleet = Fleet(yearly, size=size, seed=size, uneven=0.0)
        await asyncio.sleep(60)
        calls = fleet.dynamodb.calls
        before, renewals_before = calls.copy(), version(fleet)
        await asyncio.sleep(seconds)
        spent = calls - before
        await fleet.end()
        assert version(fleet) - renewals_before == spent["UpdateItem"] <= seconds / 5
        assert spent["PutItem"] == 0
        # never more than two thirds of a read a second for each follower, in any stretch of time
        assert spent["GetItem"] <= (size - 1) * (seconds / 1.5 + 1)
        assert spent["GetItem"] / seconds == pytest.approx(documented_reads()[size], rel=0.03)

    virtually(scenario)


async def reads_by_second(size: int) -> Counter[int]:
    """Reads of each second of a minute, in a fleet whose members all started at one moment."""
    fleet = Fleet(schedule('name: y, url: /, schedule: "@yearly"'), size=size, seed=1, uneven=0.0)
    reads: Counter[int] = Counter()
    around = fleet.dynamodb.around
    assert around is not None

    async def counting(action: str, request: Mapping[str, Any], apply: Any) -> Any:
        reads[int(asyncio.get_running_loop().time())] += action == "GetItem"
        return await around(action, request, apply)

    await asyncio.sleep(60)
    fleet.dynamodb.around = counting
    await asyncio.sleep(60)
    await fleet.end()
    return reads


def test_a_fleet_that_started_at_one_moment_does_not_read_in_step() -> None:
    async def scenario() -> None:
        reads = await reads_by_second(100)
        assert max(reads.values()) <= 57 * 1.6

    virtually(scenario)


def version(fleet: Fleet) -> int:
    return int(fleet.dynamodb.items[TABLE]["lease"]["version"]["N"])
