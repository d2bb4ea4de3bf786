"""Occurrences of periodic tasks: claimed, enqueued, marked; and recognised when a copy is received.

**Enqueuing.** Each task has one item, a cursor through its times. To enqueue the occurrence at T
the holder of the lease moves the cursor to T with the state `claimed`, under the condition that
the item is still the version it knows; then it sends; then it marks the item `sent`. Two holders
(a lease is no fence) cannot both claim T. A claim that is not marked is repaired by whoever holds
the lease next: it claims the same T again and sends it. The message may then exist twice, with
one and the same (task, scheduled time).

**Dispatching.** Each occurrence has an item of its own, written by the instance that received a
message of it, before the POST and after the 200. A message is a duplicate, to be deleted without
a POST, when

- this occurrence was answered with 200 already (by this message, whose delete got lost, or a
  copy), or
- another message of this occurrence was dispatched first and is not known to have failed for good.

A message sent at a time when no scheduler could have made a copy is no duplicate but somebody's
intention (a redrive from the dead-letter queue, a test by hand), and is dispatched.

**Missed.** An occurrence later than `catch_up` is dropped and counted, never sent. A task without
an item is new: its times begin now. So do those of a task whose schedule was changed, once what the
former schedule left is dealt with, and of one that was not enabled until now.
"""

from __future__ import annotations

import hashlib
import string
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import islice, takewhile
from typing import Final, Literal
from zoneinfo import ZoneInfoNotFoundError

from sqsd.contract import SCHEDULED_TIME_FORMAT
from sqsd.cron.expression import parse_expression
from sqsd.cron.schedule import (
    CATCH_UP_MAX,
    JITTER_MAX,
    Task,
    next_after,
    occurrences_between,
    zone_of,
)

TASK_ID_PREFIX: Final = "task#"
RUN_ID_PREFIX: Final = "run#"
#: Lateness that counts as in time even with `catch_up: 0`.
GRACE: Final = timedelta(seconds=5)
#: Clocks of schedulers and of SQS may differ by this when a message's age is judged.
_CLOCK_SLACK: Final = timedelta(seconds=60)
#: How far ahead of our clock a cursor may be before it is taken for a wrong clock's work.
AHEAD_MAX: Final = timedelta(seconds=300)
#: How long an unanswered occurrence holds back the next one with `overlap: skip`, when nothing
#: more is heard of it: SQS lets no message be in flight for longer.
OVERLAP_MAX: Final = timedelta(hours=12)
#: SQS keeps no message for longer than 14 days, so no copy can turn up later than that.
RUN_KEPT: Final = timedelta(days=15)
#: A task's item outlives its next time by this.
TASK_KEPT: Final = timedelta(days=30)
#: Missed occurrences are counted up to here; more are "at least".
MISSED_COUNTED: Final = 1_000

#: The least that times differ by.
_INSTANT: Final = timedelta(microseconds=1)
#: Ends the signature of a task that is kept without running; no zone's name is like it.
_NOT_ENABLED: Final = " (not enabled)"
_FIFO_LETTERS: Final = frozenset(string.ascii_letters + string.digits + string.punctuation)
_FIFO_MAX: Final = 128


# ---- one task: where its cursor is


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskRecord:
    """The item of one task.

    Args:
        version: one more with each write; every write is conditional on it.
        schedule: the schedule and zone that `cursor` was computed with.
        cursor: the occurrence last dealt with, or the moment from which the task counts.
        state: `claimed` while a message for `cursor` may or may not have been sent.
        claimant: who claimed it.
        sent, sent_at: the occurrence last sent, and when; for `overlap: skip`.
        expires_at: epoch seconds for DynamoDB's time-to-live; decides nothing.
    """

    version: int
    schedule: str
    cursor: datetime
    state: Literal["idle", "claimed", "sent", "skipped"]
    claimant: str
    expires_at: int
    sent: datetime | None = None
    sent_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class WaitUntil:
    """Nothing is due before this wall-clock time."""

    when: datetime


@dataclass(frozen=True, slots=True)
class Record:
    """Write `record` over version `over`; None: there is no item yet.

    `why`: the task is new, its schedule was changed, the cursor is of a clock that was ahead, or
    occurrences were missed. `missed` counts those that were dropped for being too late.
    """

    record: TaskRecord
    over: int | None
    why: Literal["new", "changed", "clock", "missed"]
    missed: int = 0


@dataclass(frozen=True, slots=True)
class Claim:
    """Write `record`, which claims its cursor, over version `over`.

    `after` names an occurrence that must be finished first (`overlap: skip`). `repair` tells that
    another claimed it before and may have sent it.
    """

    record: TaskRecord
    over: int
    after: datetime | None = None
    repair: bool = False


@dataclass(frozen=True, slots=True)
class Send:
    """Send the message of the occurrence that `record` claims; it is ours."""

    record: TaskRecord


Step = WaitUntil | Record | Claim | Send


def next_step(task: Task, record: TaskRecord | None, now: datetime, claimant: str) -> Step:
    """What the holder of the lease does for `task` at the wall-clock time `now`."""
    if not task.enabled and (record is None or record.schedule == signature(task)):
        return WaitUntil(now + TASK_KEPT)
    if record is None:
        fresh = _written(task, None, now, cursor=now, state="idle", claimant=claimant)
        return Record(fresh, None, "new")
    if not task.enabled:
        return _moved(task, record, now, claimant, "changed")
    if record.state == "claimed":
        return _finish_claim(task, record, now, claimant)
    if record.schedule != signature(task):
        return _changed(task, record, now, claimant)
    if record.cursor - now > AHEAD_MAX:
        return _moved(task, record, now, claimant, "clock")
    due = next_after(task, record.cursor)
    if due + delay_of(task) > now:
        return WaitUntil(due + delay_of(task))
    oldest = now - window_of(task)
    if due < oldest:
        dropped = occurrences_between(task, record.cursor, oldest - _INSTANT)
        missed = sum(1 for _ in islice(dropped, MISSED_COUNTED))
        return _moved(task, record, oldest - _INSTANT, claimant, "missed", missed)
    claimed = _written(task, record, now, cursor=due, state="claimed", claimant=claimant)
    return Claim(claimed, record.version, after=record.sent if task.overlap == "skip" else None)


def _changed(task: Task, record: TaskRecord, now: datetime, claimant: str) -> Step:
    """What fell due before the task got another schedule, and then the first step of that one.

    An occurrence that both name is sent if it is not too late; one that only the former names is
    missed. Until they are dealt with the record keeps the former schedule.
    """
    before = _scheduled_before(task, record.schedule)
    until = now - delay_of(task)
    oldest = now - window_of(task)
    due = None if before is None else next(occurrences_between(before, record.cursor, until), None)
    if before is None or due is None:
        # A cursor that is a little ahead is another instance's, whose clock is; not so one far off.
        ahead = record.cursor if record.cursor - now <= AHEAD_MAX else now
        return _moved(task, record, max(now, ahead), claimant, "changed")

    def is_lost(at: datetime) -> bool:
        return at < oldest or next_after(task, at - _INSTANT) != at

    if is_lost(due):
        lost = takewhile(is_lost, occurrences_between(before, record.cursor, until))
        dropped = list(islice(lost, MISSED_COUNTED))
        return _moved(task, record, dropped[-1], claimant, "missed", len(dropped))
    claimed = _written(task, record, now, cursor=due, state="claimed", claimant=claimant)
    return Claim(claimed, record.version, after=record.sent if task.overlap == "skip" else None)


def _scheduled_before(task: Task, schedule: str) -> Task | None:
    """The task as its record knows it; None: it was not enabled, or nobody can tell."""
    text, _, timezone = schedule.rpartition(" ")
    try:
        zone_of(timezone)
        return replace(task, schedule=parse_expression(text), timezone=timezone)
    except (ValueError, ZoneInfoNotFoundError, OSError):
        return None


def _finish_claim(task: Task, record: TaskRecord, now: datetime, claimant: str) -> Step:
    if record.cursor < now - window_of(task):
        return _moved(task, record, record.cursor, claimant, "missed", 1)
    if record.claimant == claimant:
        return Send(record)
    # Under our own name before we send, so that its first claimant's mark is refused.
    mine = _written(task, record, now, cursor=record.cursor, state="claimed", claimant=claimant)
    return Claim(mine, record.version, repair=True)


def _moved(
    task: Task,
    record: TaskRecord,
    cursor: datetime,
    claimant: str,
    why: Literal["changed", "clock", "missed"],
    missed: int = 0,
) -> Record:
    moved = _written(task, record, cursor, cursor=cursor, state="idle", claimant=claimant)
    if why == "changed":
        moved = replace(moved, schedule=signature(task))
    return Record(moved, record.version, why, missed)


def marked_sent(task: Task, record: TaskRecord, now: datetime) -> TaskRecord:
    """The record after the message of its claim was accepted by SQS."""
    done = _written(task, record, now, record.cursor, "sent", record.claimant)
    return replace(done, sent=record.cursor, sent_at=now)


def marked_skipped(claim: TaskRecord) -> TaskRecord:
    """The record in place of the claim when `overlap: skip` drops the occurrence."""
    return replace(claim, state="skipped")


def _written(
    task: Task,
    before: TaskRecord | None,
    now: datetime,
    cursor: datetime,
    state: Literal["idle", "claimed", "sent", "skipped"],
    claimant: str,
) -> TaskRecord:
    kept_until = max(next_after(task, cursor), now) + TASK_KEPT
    return TaskRecord(
        version=1 if before is None else before.version + 1,
        schedule=signature(task) if before is None else before.schedule,
        cursor=cursor,
        state=state,
        claimant=claimant,
        expires_at=int(kept_until.timestamp()),
        sent=None if before is None else before.sent,
        sent_at=None if before is None else before.sent_at,
    )


def signature(task: Task) -> str:
    """What decides a task's times; a task whose signature changed begins anew."""
    times = f"{' '.join(task.schedule.text.split())} {task.timezone}"
    return times if task.enabled else f"{times}{_NOT_ENABLED}"


def delay_of(task: Task) -> timedelta:
    """The fixed delay, 0 to `jitter` seconds, by which a task is enqueued after its time."""
    digest = hashlib.sha256(task.name.encode()).digest()
    return timedelta(seconds=int.from_bytes(digest[:8], "big") % (task.jitter + 1))


def window_of(task: Task) -> timedelta:
    """How long after its scheduled time an occurrence may still be sent."""
    return delay_of(task) + max(timedelta(seconds=task.catch_up), GRACE)


def copies_end(scheduled: datetime, window: timedelta) -> datetime:
    """Until when a copy of the occurrence may be sent, by the clock of whoever asks."""
    return scheduled + window + _CLOCK_SLACK


# ---- one occurrence: what became of its message


@dataclass(frozen=True, kw_only=True, slots=True)
class RunRecord:
    """The item of one occurrence: the message dispatched for it, when last, and its fate."""

    message_id: str
    state: Literal["dispatched", "done", "abandoned"]
    dispatched_at: datetime


Verdict = Literal["dispatch", "duplicate"]

#: The longest time after its scheduled time at which any scheduler may send a copy.
COPY_WINDOW_MAX: Final = timedelta(seconds=CATCH_UP_MAX + JITTER_MAX)


def judge(
    run: RunRecord,
    message_id: str,
    scheduled: datetime,
    sent_at: datetime | None,
    window: timedelta = COPY_WINDOW_MAX,
) -> Verdict:
    """Decide about a message of an occurrence that already has an item.

    Args:
        run: the item.
        message_id, sent_at: the message's, by SQS. Without `sent_at` it counts as in the window.
        window: how long after `scheduled` a scheduler may have sent a copy (see `window_of`).
    """
    if run.message_id == message_id:
        return "duplicate" if run.state == "done" else "dispatch"
    if run.state == "abandoned":
        return "dispatch"
    in_window = sent_at is None or (
        scheduled - AHEAD_MAX <= sent_at <= copies_end(scheduled, window)
    )
    return "duplicate" if in_window else "dispatch"


def still_running(run: RunRecord | None, sent_at: datetime | None, now: datetime) -> bool:
    """Whether an occurrence counts as unfinished, for `overlap: skip`.

    It is finished when it was answered with 200 or given up for good, or when nothing was heard
    of it for `OVERLAP_MAX`, so that an instance that died during the last attempt cannot stop a
    task forever.
    """
    if run is not None and run.state != "dispatched":
        return False
    heard = max((t for t in (sent_at, run and run.dispatched_at) if t), default=None)
    return heard is not None and now - heard < OVERLAP_MAX


# ---- names on the wire


def scheduled_text(time: datetime) -> str:
    """EB's way of writing a scheduled time: `2017-03-22 23:10:00 UTC`."""
    return time.astimezone(UTC).strftime(SCHEDULED_TIME_FORMAT)


def task_id(name: str) -> str:
    """The table's key of a task's item. The prefix keeps tasks of any name off the other items."""
    return TASK_ID_PREFIX + name


def run_id(name: str, time: datetime) -> str:
    """The table's key of an occurrence's item."""
    return f"{RUN_ID_PREFIX}{name}#{scheduled_text(time)}"


def message_group(name: str) -> str:
    """A task's FIFO message group: its name, or a digest where SQS does not allow the name."""
    return _fifo_text(name)


def deduplication_id(name: str, time: datetime) -> str:
    """An occurrence's FIFO deduplication id."""
    return _fifo_text(f"{name}@{time.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}")


def _fifo_text(text: str) -> str:
    if len(text) <= _FIFO_MAX and _FIFO_LETTERS.issuperset(text):
        return text
    return hashlib.sha256(text.encode()).hexdigest()
