"""Decisions about occurrences: what is claimed, repaired, missed, skipped, recognised."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sqsd.contract import Occurrence
from sqsd.cron.expression import parse_expression
from sqsd.cron.occurrence import (
    Claim,
    MoveCursor,
    RunRecord,
    Send,
    TaskRecord,
    WaitUntil,
    deduplication_id,
    delay_of,
    judge,
    marked_sent,
    message_group,
    next_step,
    run_id,
    still_running,
    task_id,
)
from sqsd.cron.schedule import Task

MINUTELY = Task(name="t", url="/t", schedule=parse_expression("* * * * *"))
NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def minutes(number: float) -> timedelta:
    return timedelta(minutes=number)


def record(**values: Any) -> TaskRecord:
    base = TaskRecord(
        version=5,
        schedule="* * * * * UTC",
        cursor=NOON,
        state="sent",
        claimant="other",
        expires_at=0,
        sent=NOON,
        sent_at=NOON,
    )
    return replace(base, **values)


def test_a_new_task_is_not_fired_for_the_past() -> None:
    step = next_step(MINUTELY, None, NOON + timedelta(seconds=30), "me", "n1")
    assert isinstance(step, MoveCursor)
    assert (step.expected_version, step.why) == (None, "new")
    after = next_step(MINUTELY, step.record, NOON + timedelta(seconds=30), "me", "n1")
    assert after == WaitUntil(NOON + minutes(1))


def test_a_due_occurrence_is_claimed_over_the_known_version() -> None:
    step = next_step(MINUTELY, record(), NOON + minutes(1), "me", "n1")
    assert isinstance(step, Claim)
    assert (step.expected_version, step.after, step.repair) == (5, None, False)
    claim = step.record
    assert (claim.version, claim.cursor, claim.state) == (6, NOON + minutes(1), "claimed")
    assert next_step(MINUTELY, claim, NOON + minutes(1), "me", "n1") == Send(claim)


def test_after_the_mark_the_next_occurrence_is_waited_for() -> None:
    claimed = record(cursor=NOON + minutes(1), state="claimed", claimant="me", version=6)
    mark = marked_sent(MINUTELY, claimed, NOON + minutes(1))
    assert (mark.version, mark.state, mark.sent) == (7, "sent", NOON + minutes(1))
    assert next_step(MINUTELY, mark, NOON + minutes(1), "me", "n1") == WaitUntil(NOON + minutes(2))


def test_a_claim_of_another_is_claimed_again_before_it_is_repaired() -> None:
    claimed = record(state="claimed", claimant="dead")
    step = next_step(MINUTELY, claimed, NOON + timedelta(seconds=20), "me", "n1")
    assert isinstance(step, Claim)
    assert step.repair
    assert (step.record.cursor, step.record.claimant, step.expected_version) == (NOON, "me", 5)


def test_missed_occurrences_inside_catch_up_are_claimed_one_by_one_with_their_own_times() -> None:
    state, claimed = record(), []
    now = NOON + minutes(4.5)
    while not isinstance(step := next_step(MINUTELY, state, now, "me", "n1"), WaitUntil):
        assert isinstance(step, Claim)
        claimed.append(step.record.cursor)
        state = marked_sent(MINUTELY, step.record, now)
    assert claimed == [NOON + minutes(n) for n in (1, 2, 3, 4)]


def test_what_is_later_than_catch_up_is_dropped_and_counted() -> None:
    now = NOON + minutes(60.5)
    step = next_step(MINUTELY, record(), now, "me", "n1")
    assert isinstance(step, MoveCursor)
    assert (step.why, step.missed) == ("missed", 55)
    after = next_step(MINUTELY, step.record, now, "me", "n1")
    assert isinstance(after, Claim)
    assert after.record.cursor == NOON + minutes(56)


def test_counting_what_was_missed_ends_at_a_thousand() -> None:
    each_second = replace(MINUTELY, schedule=parse_expression("@every 1s"))
    known = record(schedule="@every 1s UTC")
    step = next_step(each_second, known, NOON + timedelta(days=400), "me", "n1")
    assert isinstance(step, MoveCursor)
    assert step.missed == 1_000


def test_an_hourly_task_missed_minutes_ago_is_caught_up() -> None:
    hourly = replace(MINUTELY, schedule=parse_expression("0 * * * *"))
    known = record(schedule="0 * * * * UTC", cursor=NOON - minutes(60))
    step = next_step(hourly, known, NOON + minutes(3), "me", "n1")
    assert isinstance(step, Claim)
    assert step.record.cursor == NOON


def test_without_catch_up_only_seconds_count_as_in_time() -> None:
    strict = replace(MINUTELY, catch_up=0)
    assert isinstance(next_step(strict, record(), NOON + timedelta(seconds=65), "me", "n1"), Claim)
    step = next_step(strict, record(), NOON + timedelta(seconds=66), "me", "n1")
    assert isinstance(step, MoveCursor)
    assert step.missed == 1


def test_a_claim_older_than_catch_up_is_given_up() -> None:
    claimed = record(state="claimed", claimant="dead")
    step = next_step(MINUTELY, claimed, NOON + minutes(10), "me", "n1")
    assert isinstance(step, MoveCursor)
    assert (step.why, step.missed, step.record.state) == ("missed", 1, "idle")


@pytest.mark.parametrize(
    "changed",
    [{"schedule": parse_expression("*/2 * * * *")}, {"timezone": "Europe/Berlin"}],
)
def test_a_task_whose_times_were_changed_begins_anew(changed: dict[str, Any]) -> None:
    now = NOON + minutes(0.5)
    step = next_step(replace(MINUTELY, **changed), record(), now, "me", "n1")
    assert isinstance(step, MoveCursor)
    assert (step.why, step.record.cursor) == ("changed", now)


def walk(task: Task, known: TaskRecord, now: datetime) -> tuple[list[str], int, TaskRecord]:
    """Minutes that are sent at `now`, how many are missed, and the record in the end."""
    sent, missed = [], 0
    while True:
        match next_step(task, known, now, "me", "n1"):
            case Claim(record=claimed):
                sent.append(f"{claimed.cursor:%H:%M}")
                known = marked_sent(task, claimed, now)
            case MoveCursor(record=moved, missed=count):
                missed += count
                known = moved
            case _:
                return sent, missed, known


@pytest.mark.parametrize(
    ("before", "after", "at", "sent", "missed"),
    [
        # the old leader died just before noon, and the change came with the new one
        ("0 * * * *", "0,30 * * * *", "12:00:06", ["12:00"], 0),
        ("* * * * *", "*/2 * * * *", "12:04:30", ["12:00", "12:02", "12:04"], 2),
        ("*/2 * * * *", "* * * * *", "12:04:30", ["12:00", "12:02", "12:04"], 0),
        ("* * * * *", "30 * * * *", "12:03:30", [], 4),
        ("* * * * *", "*/2 * * * *", "12:10:30", ["12:06", "12:08", "12:10"], 8),
        ("30 * * * *", "0 * * * *", "12:00:06", [], 0),
        ("not readable", "0 * * * *", "12:00:06", [], 0),
    ],
)
def test_what_a_former_schedule_left_is_sent_if_both_name_it_and_else_missed(
    before: str, after: str, at: str, sent: list[str], missed: int
) -> None:
    task = replace(MINUTELY, schedule=parse_expression(after))
    known = record(schedule=f"{before} UTC", cursor=NOON - timedelta(seconds=5))
    now = datetime.fromisoformat(f"2026-03-01T{at}+00:00")
    found, lost, known = walk(task, known, now)
    assert (found, lost) == (sent, missed)
    assert (known.schedule, known.cursor) == (f"{after} UTC", now)


def test_a_task_that_was_not_enabled_for_a_week_begins_anew() -> None:
    # given a leader that notes that the task does not run, once
    rests = replace(MINUTELY, enabled=False)
    noted = next_step(rests, record(), NOON + minutes(0.5), "me", "n1")
    assert isinstance(noted, MoveCursor)
    assert isinstance(next_step(rests, noted.record, NOON + minutes(1), "me", "n1"), WaitUntil)
    # when it runs again
    now = NOON + timedelta(days=7, seconds=30)
    sent, missed, known = walk(MINUTELY, noted.record, now)
    # then there is nothing to make up for
    assert (sent, missed, known.cursor) == ([], 0, now)


def test_an_unfinished_claim_of_a_task_that_is_not_enabled_is_dropped() -> None:
    rests = replace(MINUTELY, enabled=False)
    step = next_step(
        rests, record(state="claimed", claimant="dead"), NOON + minutes(0.1), "me", "n1"
    )
    assert isinstance(step, MoveCursor)
    assert isinstance(next_step(rests, None, NOON, "me", "n1"), WaitUntil), "nothing to note"


def test_a_cursor_far_in_the_future_does_not_stop_a_task() -> None:
    step = next_step(MINUTELY, record(cursor=NOON + timedelta(days=365)), NOON, "me", "n1")
    assert isinstance(step, MoveCursor)
    assert (step.why, step.record.cursor) == ("clock", NOON)


def test_a_cursor_a_little_ahead_is_waited_for() -> None:
    step = next_step(MINUTELY, record(cursor=NOON + minutes(2)), NOON, "me", "n1")
    assert step == WaitUntil(NOON + minutes(3))


def test_jitter_delays_a_task_by_a_fixed_time_of_its_own() -> None:
    tasks = [replace(MINUTELY, name=f"t{n}", jitter=60) for n in range(50)]
    delays = [delay_of(task).total_seconds() for task in tasks]
    assert delays == [delay_of(task).total_seconds() for task in tasks]
    assert len(set(delays)) > 20
    assert all(0 <= delay <= 60 for delay in delays)
    task = tasks[0]
    assert next_step(task, record(), NOON, "me", "n1") == WaitUntil(
        NOON + minutes(1) + delay_of(task)
    )


def test_a_task_with_overlap_skip_names_the_occurrence_to_be_finished_first() -> None:
    step = next_step(replace(MINUTELY, overlap="skip"), record(), NOON + minutes(1), "me", "n1")
    assert isinstance(step, Claim)
    assert step.after == NOON


def test_a_tasks_item_outlives_its_next_time() -> None:
    yearly = replace(MINUTELY, schedule=parse_expression("@yearly"))
    step = next_step(yearly, None, NOON, "me", "n1")
    assert isinstance(step, MoveCursor)
    assert step.record.expires_at > datetime(2027, 1, 2, tzinfo=UTC).timestamp()


# ---- at dispatch

RUN = RunRecord(message_id="m1", state="dispatched", dispatched_at=NOON)


@pytest.mark.parametrize(
    ("state", "message_id", "sent_after", "verdict"),
    [
        ("dispatched", "m1", 0, "dispatch"),  # redelivered after a failure
        ("done", "m1", 0, "duplicate"),  # its delete was lost
        ("dispatched", "m2", 20, "duplicate"),  # a repair's copy
        ("done", "m2", 20, "duplicate"),
        ("abandoned", "m2", 20, "dispatch"),  # redriven soon
        ("abandoned", "m1", 20, "dispatch"),
        ("dispatched", "m2", 3_600, "dispatch"),  # redriven, or sent by hand
        ("done", "m2", 3_600, "dispatch"),
        ("dispatched", "m2", None, "duplicate"),
    ],
)
def test_a_message_is_judged_by_what_became_of_its_occurrence(
    state: Any, message_id: str, sent_after: int | None, verdict: str
) -> None:
    sent_at = None if sent_after is None else NOON + timedelta(seconds=sent_after)
    run = replace(RUN, state=state)
    assert judge(run, message_id, NOON, sent_at, window=minutes(5)) == verdict


def test_an_occurrence_runs_until_it_is_answered_given_up_or_long_unheard_of() -> None:
    assert still_running(RUN, NOON, NOON + minutes(60))
    assert still_running(None, NOON, NOON + minutes(60)), "still waiting in the queue"
    assert not still_running(replace(RUN, state="done"), NOON, NOON + minutes(1))
    assert not still_running(replace(RUN, state="abandoned"), NOON, NOON + minutes(1))
    assert not still_running(RUN, NOON, NOON + timedelta(hours=12))
    late_redelivery = replace(RUN, dispatched_at=NOON + timedelta(hours=5))
    assert still_running(late_redelivery, NOON, NOON + timedelta(hours=12))


# ---- names


def test_names_of_tasks_cannot_meet_other_items() -> None:
    ids = [task_id(name) for name in ("lease", "task#lease", "run#x", "")]
    assert len({*ids, run_id(Occurrence("x", NOON, "n1")), "lease"}) == 6
    assert run_id(Occurrence("a", NOON, "n1")) == "run#a#2026-03-01 12:00:00 UTC#n1"


@pytest.mark.parametrize("name", ["nightly backup", "größe", "x" * 200, "ok-name_1"])
def test_fifo_names_are_legal_and_differ_by_occurrence(name: str) -> None:
    group = message_group(name)
    first, second = (
        deduplication_id(Occurrence(name, time, "n1")) for time in (NOON, NOON + minutes(1))
    )
    assert first != second
    for text in (group, first, second):
        assert 1 <= len(text) <= 128
        assert text.isascii()
        assert " " not in text
    assert message_group("ok-name_1") == "ok-name_1"
    assert deduplication_id(Occurrence("ok-name_1", NOON, "n1")) == (
        "ok-name_1@2026-03-01T12:00:00Z#n1"
    )
