"""`catch_up: latest`: of the occurrences that were missed only the newest is sent."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from sqsd.contract import events
from sqsd.cron.cli import list_tasks
from sqsd.cron.cron_yaml import parse_cron_yaml, read_cron_yaml
from sqsd.cron.expression import parse_expression
from sqsd.cron.occurrence import (
    Claim,
    MoveCursor,
    Send,
    TaskRecord,
    WaitUntil,
    marked_sent,
    next_step,
    signature,
)
from sqsd.cron.schedule import Task, newest_between
from tests.daemon.cron.schedulers import Tier, schedule, virtually

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
LATEST = Task(name="t", url="/t", schedule=parse_expression("* * * * *"), catch_up="latest")


def record(task: Task, cursor: datetime = NOON, **values: object) -> TaskRecord:
    base = TaskRecord(
        version=5,
        schedule=signature(task),
        cursor=cursor,
        state="sent",
        claimant="other",
        expires_at=0,
    )
    return replace(base, **values)  # type: ignore[arg-type]


def walk(task: Task, known: TaskRecord, now: datetime) -> tuple[list[str], int]:
    """Return the times that are sent at `now`, and how many are missed."""
    sent: list[str] = []
    missed = 0
    for _ in range(20):
        match next_step(task, known, now, "me", "n"):
            case Claim(record=claimed):
                sent.append(f"{claimed.cursor:%d %H:%M:%S}")
                known = marked_sent(task, claimed, now)
            case Send(record=claimed):
                sent.append(f"{claimed.cursor:%d %H:%M:%S}")
                known = marked_sent(task, claimed, now)
            case MoveCursor(record=moved, missed=count):
                missed += count
                known = moved
            case WaitUntil():
                return sent, missed
    raise AssertionError("no end of steps")


@pytest.mark.parametrize(
    ("text", "after", "sent", "missed"),
    [
        ("* * * * *", timedelta(seconds=59), [], 0),
        ("* * * * *", timedelta(seconds=60), ["01 12:01:00"], 0),
        ("* * * * *", timedelta(seconds=119), ["01 12:01:00"], 0),
        ("* * * * *", timedelta(seconds=120), ["01 12:02:00"], 1),
        ("* * * * *", timedelta(minutes=4.5), ["01 12:04:00"], 3),
        ("* * * * *", timedelta(hours=3), ["01 15:00:00"], 179),
        ("* * * * *", timedelta(days=10), ["11 12:00:00"], 1_000),  # counted up to a thousand
        ("@every 1s", timedelta(seconds=90), ["01 12:01:30"], 89),
        ("@every 1s", timedelta(days=400), ["05 12:00:00"], 1_000),
        ("0 3 * * *", timedelta(hours=20), ["02 03:00:00"], 0),  # hours late, and still sent
        ("0 3 * * *", timedelta(days=3), ["04 03:00:00"], 2),
        ("0 3 1 * *", timedelta(days=33), [], 1),  # older than a day
        ("0 0,12 * * *", timedelta(hours=12), ["02 00:00:00"], 0),
        ("*/10 3 * * *", timedelta(hours=23), ["02 03:50:00"], 5),
    ],
)
def test_of_what_was_missed_the_newest_is_sent(
    text: str, after: timedelta, sent: list[str], missed: int
) -> None:
    task = replace(LATEST, schedule=parse_expression(text))
    assert walk(task, record(task), NOON + after) == (sent, missed)


def test_with_jitter_the_newest_is_the_one_whose_delay_is_over() -> None:
    task = replace(LATEST, jitter=3_600, name="delayed")
    sent, _ = walk(task, record(task, NOON - timedelta(hours=2)), NOON + timedelta(hours=2))
    assert len(sent) == 1


@pytest.mark.parametrize("claimant", ["dead", "me"])
@pytest.mark.parametrize(
    ("after", "sent", "missed"), [(30, ["01 12:00:00"], 0), (90, ["01 12:01:00"], 1)]
)
def test_an_unfinished_claim_is_repaired_only_while_it_is_the_newest(
    claimant: str, after: int, sent: list[str], missed: int
) -> None:
    claimed = record(LATEST, state="claimed", claimant=claimant)
    assert walk(LATEST, claimed, NOON + timedelta(seconds=after)) == (sent, missed)


@pytest.mark.parametrize(
    ("before", "after", "sent", "missed"),
    [
        ("* * * * *", "*/2 * * * *", ["01 12:02:00"], 3),
        ("*/2 * * * *", "* * * * *", ["01 12:02:00"], 1),
        ("* * * * *", "30 * * * *", [], 4),
    ],
)
def test_after_a_change_the_newest_that_both_schedules_name_is_sent(
    before: str, after: str, sent: list[str], missed: int
) -> None:
    task = replace(LATEST, schedule=parse_expression(after))
    known = record(task, NOON - timedelta(seconds=5), schedule=f"{before} UTC")
    now = NOON + timedelta(minutes=3.5)
    assert walk(task, known, now) == (sent, missed)


@pytest.mark.parametrize(
    ("text", "until", "expected"),
    [
        ("* * * * *", NOON, NOON),
        ("* * * * *", NOON - timedelta(seconds=1), NOON - timedelta(minutes=1)),
        ("@yearly", NOON, datetime(2026, 1, 1, tzinfo=UTC)),
        ("0 0 29 2 *", NOON, datetime(2024, 2, 29, tzinfo=UTC)),
        ("@every 1s", NOON, NOON),
    ],
)
def test_the_newest_time_before_a_moment_is_found(
    text: str, until: datetime, expected: datetime
) -> None:
    task = replace(LATEST, schedule=parse_expression(text))
    assert newest_between(task, datetime(1970, 1, 1, tzinfo=UTC), until) == expected
    assert newest_between(task, expected, until) is None


def test_the_key_is_read_and_shown() -> None:
    tick = 'name: tick, url: /, schedule: "* * * * *", catch_up: latest'
    (task,) = schedule(tick).tasks
    assert task.catch_up == "latest"
    assert "catch_up=latest" in list_tasks(schedule(tick), NOON)


@pytest.mark.parametrize("value", ["newest", "Latest", "[latest]", "-1", "86401", "''", "null"])
def test_any_other_value_is_refused(value: str) -> None:
    text = f"version: 1\ncron:\n  - {{name: t, url: /, schedule: '@daily', catch_up: {value}}}\n"
    tasks, (problem,) = read_cron_yaml(text)
    assert tasks.tasks == ()
    assert "catch_up must be latest, or a whole number of seconds from 0 to 86400" in str(problem)


def test_a_fleet_that_was_down_sends_one_message_of_laravels_schedule() -> None:
    tasks = parse_cron_yaml(
        'version: 1\ncron:\n  - {name: schedule, url: /worker/schedule, schedule: "* * * * *",'
        " catch_up: latest}\n"
    )

    async def scenario() -> None:
        first = Tier(tasks, identity="first")
        await asyncio.sleep(61)
        await first.drain()
        await asyncio.sleep(250)
        second = Tier(tasks, identity="second", dynamodb=first.dynamodb)
        await asyncio.sleep(5)
        await second.drain()
        assert second.sender.times() == ["2026-03-01 00:05:00 UTC"]
        assert [event["missed"] for event in second.log.of(events.CRON_MISSED)] == [3]

    virtually(scenario)
