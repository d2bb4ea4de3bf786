"""When tasks are due: a table of 200 schedules, and agreement with walking minute by minute."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sqsd.cron.expression import parse_expression
from sqsd.cron.schedule import Task, next_after, occurrences_between
from tests.daemon.cron.data.walker import walk

TABLE: list[tuple[str, str, str, list[str]]] = json.loads(
    (Path(__file__).parent / "data" / "cron_times.json").read_text(encoding="utf-8")
)


def task(schedule: str, timezone: str = "UTC") -> Task:
    return Task(name="t", url="/", schedule=parse_expression(schedule), timezone=timezone)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


@pytest.mark.parametrize(("schedule", "zone", "after", "expected"), TABLE)
def test_the_next_ten_times_are_those_of_the_table(
    schedule: str, zone: str, after: str, expected: list[str]
) -> None:
    moment, found = at(after), []
    for _ in expected:
        moment = next_after(task(schedule, zone), moment)
        found.append(moment)
    assert found == [at(time) for time in expected]
    assert all(time.tzinfo is UTC for time in found)


@pytest.mark.parametrize(("schedule", "zone", "after", "expected"), TABLE[::7])
def test_asking_for_a_span_gives_what_asking_one_by_one_gives(
    schedule: str, zone: str, after: str, expected: list[str]
) -> None:
    found = occurrences_between(task(schedule, zone), at(after), at(expected[-1]))
    assert list(found) == [at(time) for time in expected]


def test_the_table_has_two_hundred_schedules_with_ten_times_each() -> None:
    assert len({schedule for schedule, _, _, _ in TABLE}) >= 200
    assert all(len(times) == 10 for _, _, _, times in TABLE)


def test_a_time_itself_is_never_the_next_one() -> None:
    assert next_after(task("0 * * * *"), at("2026-01-01T05:00:00Z")) == at("2026-01-01T06:00:00Z")
    assert next_after(task("@every 10s"), at("2026-01-01T05:00:00Z")) == at("2026-01-01T05:00:10Z")


def test_a_fraction_of_a_second_before_its_time_a_task_is_still_due() -> None:
    just_before = at("2026-01-01T04:59:59.999999Z")
    assert next_after(task("0 * * * *"), just_before) == at("2026-01-01T05:00:00Z")
    assert next_after(task("@every 10s"), just_before) == at("2026-01-01T05:00:00Z")


def test_the_moment_asked_about_may_be_in_any_zone() -> None:
    tokyo = datetime(2026, 1, 1, 9, 30, tzinfo=ZoneInfo("Asia/Tokyo"))
    assert next_after(task("0 * * * *"), tokyo) == at("2026-01-01T01:00:00Z")
    assert next_after(task("@every 1h"), tokyo) == at("2026-01-01T01:00:00Z")


# ---- changes of the clock, spelled out for readers; the table and the property have the rest


def local_times(schedule: str, zone: str, after: str, until: str) -> list[str]:
    found = occurrences_between(task(schedule, zone), at(after), at(until))
    return [time.astimezone(ZoneInfo(zone)).isoformat() for time in found]


def test_a_named_time_that_the_clock_jumps_over_is_due_at_the_jump() -> None:
    assert local_times("30 2 * * *", "Europe/Berlin", "2026-03-28T00:00Z", "2026-03-30T12:00Z") == [
        "2026-03-28T02:30:00+01:00",
        "2026-03-29T03:00:00+02:00",
        "2026-03-30T02:30:00+02:00",
    ]


def test_several_named_times_within_one_jump_are_due_once() -> None:
    assert local_times(
        "*/20 2 * * *", "Europe/Berlin", "2026-03-29T00:00Z", "2026-03-29T12:00Z"
    ) == ["2026-03-29T03:00:00+02:00"]


def test_a_named_time_that_comes_twice_is_due_the_first_time() -> None:
    assert local_times("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00Z", "2026-10-25T12:00Z") == [
        "2026-10-25T02:30:00+02:00"
    ]


def test_between_the_two_passes_the_next_named_time_is_tomorrow() -> None:
    second_pass = at("2026-10-25T01:10:00Z")
    assert (
        second_pass.astimezone(ZoneInfo("Europe/Berlin")).isoformat().startswith("2026-10-25T02:10")
    )
    assert next_after(task("30 2 * * *", "Europe/Berlin"), second_pass) == at("2026-10-26T01:30Z")


def test_with_open_hours_a_task_goes_on_through_both_changes() -> None:
    for day in ("2026-03-29", "2026-10-25"):
        times = list(
            occurrences_between(
                task("*/15 * * * *", "Europe/Berlin"), at(f"{day}T00:00Z"), at(f"{day}T04:00Z")
            )
        )
        assert times == [at(f"{day}T00:00Z") + timedelta(minutes=15 * n) for n in range(1, 17)]


def test_every_is_counted_from_1970_in_utc_whatever_the_zone() -> None:
    times = occurrences_between(
        task("@every 7h", "Europe/Berlin"), at("2026-03-28T00:00Z"), at("2026-03-30T00:00Z")
    )
    assert all(time.timestamp() % (7 * 3600) == 0 for time in times)


# ---- properties


@st.composite
def fields(draw: st.DrawFn, low: int, high: int) -> str:
    def item() -> str:
        first = draw(st.integers(low, high))
        last = draw(st.integers(first, high))
        step = draw(st.integers(1, high - low))
        forms = ["*", f"*/{step}", str(first), f"{first}-{last}", f"{first}-{last}/{step}"]
        return draw(st.sampled_from(forms))

    return ",".join(item() for _ in range(draw(st.integers(1, 3))))


SCHEDULES = st.tuples(fields(0, 59), fields(0, 23), fields(1, 28), fields(1, 12), fields(0, 7))
#: Around a change of the clock there, or around a year's or a February's end.
MOMENTS = st.sampled_from(
    [
        ("UTC", "2024-02-28T23:00:00Z"),
        ("UTC", "2025-12-31T22:00:00Z"),
        ("Europe/Berlin", "2026-03-29T01:00:00Z"),
        ("Europe/Berlin", "2026-10-25T01:00:00Z"),
        ("America/New_York", "2026-03-08T07:00:00Z"),
        ("America/New_York", "2026-11-01T06:00:00Z"),
        ("Australia/Lord_Howe", "2026-04-04T15:00:00Z"),
        ("Australia/Lord_Howe", "2026-10-03T15:30:00Z"),
        ("America/Havana", "2026-03-08T05:00:00Z"),
        ("America/Havana", "2026-11-01T05:00:00Z"),
        ("Africa/Cairo", "2026-04-23T22:00:00Z"),
        ("Africa/Cairo", "2026-10-29T21:00:00Z"),
        ("Atlantic/Azores", "2026-10-25T01:00:00Z"),
        ("America/Asuncion", "2023-03-26T03:00:00Z"),
        ("Asia/Gaza", "2026-03-28T00:00:00Z"),
    ]
)
BEFORE = st.integers(0, 26 * 3600)
AFTER = st.timedeltas(timedelta(hours=1), timedelta(hours=40))


@settings(max_examples=120, deadline=None)
@given(words=SCHEDULES, moment=MOMENTS, before=BEFORE, length=AFTER)
def test_times_agree_with_walking_minute_by_minute(
    words: tuple[str, ...], moment: tuple[str, str], before: int, length: timedelta
) -> None:
    # given any schedule that is due on the days in question
    zone, around = moment
    schedule = " ".join([words[0], words[1], "*", "*", "*"] if before % 2 else words)
    after = at(around) - timedelta(seconds=before)
    # then both find the same
    found = occurrences_between(task(schedule, zone), after, after + length)
    assert list(found) == list(walk(schedule, zone, after, after + length))


@settings(max_examples=20, deadline=None)
@given(words=SCHEDULES, start=st.datetimes(datetime(2023, 1, 1), datetime(2101, 1, 1)))  # noqa: DTZ001
def test_in_utc_the_next_times_agree_with_walking_for_as_long_as_it_takes(
    words: tuple[str, ...], start: datetime
) -> None:
    after = start.replace(tzinfo=UTC)
    steps = walk(" ".join(words), "UTC", after, after + timedelta(days=366 * 9))
    for expected in islice(steps, 3):
        after = next_after(task(" ".join(words)), after)
        assert after == expected


@settings(max_examples=100, deadline=None)
@given(words=SCHEDULES, moment=MOMENTS, offset=st.integers(-90_000, 90_000))
def test_the_next_time_always_advances(
    words: tuple[str, ...], moment: tuple[str, str], offset: int
) -> None:
    after = at(moment[1]) + timedelta(seconds=offset)
    assert next_after(task(" ".join(words), moment[0]), after) > after
