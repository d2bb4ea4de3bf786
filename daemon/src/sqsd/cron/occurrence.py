"""Occurrences of periodic tasks: claimed, enqueued, marked; and recognised when a copy is received.

**Enqueuing.** Each task has one item, a cursor through its times. To enqueue the occurrence at T
the holder of the lease moves the cursor to T with the state `claimed`, under the condition that
the item is still the version it knows; then it sends; then it marks the item `sent`. Two holders
(a lease is no fence) cannot both claim T. A claim that is not marked is repaired by whoever holds
the lease next: it claims the same T again and sends it. The message may then exist twice, with
one and the same (task, scheduled time, nonce).

The **nonce** is a random number that is drawn for each claim, written with it, and reused by a
repair. Whoever may send to the queue can name any task and time, but cannot know the nonce of a
claim. It is therefore part of an occurrence's key in the table and of its deduplication id: a
forged message is another occurrence at most, and cancels nothing. Who receives from the queue sees
the nonce, and so does the application if `extra_headers` names the deduplication id of a FIFO
queue; both see it only once the occurrence is sent, and the application is trusted with its tasks.

**Dispatching.** Each occurrence has an own item, written by the instance that received a
message of it, before the POST and after the 200. A message is a duplicate, to be deleted without
a POST, when

- this occurrence was answered with 200 already (by this message, whose delete got lost, or a
  copy), or
- another message of this occurrence was dispatched first and is not known to have failed for good.

A message sent at a time when no scheduler could have made a copy is no duplicate: it was sent on
purpose (a redrive from the dead-letter queue, a test by hand), and is dispatched.

**Missed.** An occurrence later than `catch_up` is dropped and counted, never sent; with `latest`
one that a newer one follows is. A task without
an item is new: its times begin now. The times of a task whose schedule was changed also begin now,
once what the former schedule left is dealt with, and so do those of a task that was disabled.
"""

from __future__ import annotations

import hashlib
import string
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import islice, takewhile
from typing import Any, Final, Literal
from zoneinfo import ZoneInfoNotFoundError

from sqsd.contract import SCHEDULED_TIME_FORMAT, Occurrence
from sqsd.cron.expression import parse_expression
from sqsd.cron.schedule import (
    CATCH_UP_MAX,
    JITTER_MAX,
    Task,
    newest_between,
    next_after,
    occurrences_between,
    zone_of,
)

TaskState = Literal["idle", "claimed", "sent", "skipped"]
RunState = Literal["dispatched", "done", "abandoned"]

#: Beginning of the table's key of a task's item.
TASK_ID_PREFIX: Final = "task#"
#: Beginning of the table's key of an occurrence's item.
RUN_ID_PREFIX: Final = "run#"
#: Lateness that counts as in time even with `catch_up: 0`: 5 s.
GRACE: Final = timedelta(seconds=5)
#: Difference allowed between the clocks of schedulers and SQS when a message's age is judged: 60 s.
_CLOCK_SLACK: Final = timedelta(seconds=60)
#: Most that a cursor may be ahead of the clock; one further ahead was written by a wrong clock:
#: 300 s.
AHEAD_MAX: Final = timedelta(seconds=300)
#: Longest time that an unanswered occurrence holds back the next with `overlap: skip`: 12 h, for
#: which SQS lets a message be in flight at most.
OVERLAP_MAX: Final = timedelta(hours=12)
#: Time for which an occurrence's item exists: 15 days. SQS retains a message for 14 days at most,
#: so no copy can be received later.
RUN_RETENTION: Final = timedelta(days=15)
#: Time by which a task's item outlives its next time: 30 days.
TASK_RETENTION: Final = timedelta(days=30)
#: Most missed occurrences that are counted; this number means as many or more.
MISSED_COUNTED: Final = 1_000

#: Smallest difference between two times: 1 microsecond.
_INSTANT: Final = timedelta(microseconds=1)
#: End of the signature of a disabled task; no zone has such a name.
_NOT_ENABLED: Final = " (not enabled)"
#: Characters that SQS allows in a message group id and a deduplication id.
_FIFO_LETTERS: Final = frozenset(string.ascii_letters + string.digits + string.punctuation)
#: Longest message group id and deduplication id, in characters.
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
        nonce: the random number of the last claim, or None if a release without nonces made it.
        sent, sent_at, sent_nonce: the occurrence last sent, when, and with which nonce; for
            `overlap: skip`.
        expires_at: epoch seconds for DynamoDB's time-to-live; decides nothing.
    """

    version: int
    schedule: str
    cursor: datetime
    state: TaskState
    claimant: str
    expires_at: int
    nonce: str | None = None
    sent_nonce: str | None = None
    sent: datetime | None = None
    sent_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class UnreadableTask:
    """The item of a task that was not written by this daemon, or was damaged; it is replaced.

    Args:
        version: the item's version, or None if that is no counter.
        raw_version: the item's version as the table has it, or None if there is none.
        problem: why it cannot be used, for people.
    """

    version: int | None
    raw_version: Mapping[str, Any] | None
    problem: str


@dataclass(frozen=True, slots=True)
class WaitUntil:
    """Do nothing until the wall-clock time `when`."""

    when: datetime


@dataclass(frozen=True, slots=True)
class MoveCursor:
    """Move the cursor without a message.

    Args:
        record: what to write.
        expected_version: version that the item must have, the unreadable item that it must still
            be, or None if there must be no item.
        why: the task is new, its schedule was changed, the cursor was written by a clock that was
            ahead, occurrences were missed, or the item was unreadable.
        missed: occurrences that were dropped for being too late.
    """

    record: TaskRecord
    expected_version: int | UnreadableTask | None
    why: Literal["new", "changed", "clock", "missed", "unreadable"]
    missed: int = 0


@dataclass(frozen=True, slots=True)
class Claim:
    """Claim an occurrence.

    Args:
        record: what to write; its cursor is the occurrence.
        expected_version: version that the item must have.
        after: an occurrence that must be finished first (`overlap: skip`), or None.
        repair: whether another process claimed the occurrence before and may have sent it.
    """

    record: TaskRecord
    expected_version: int
    after: datetime | None = None
    repair: bool = False


@dataclass(frozen=True, slots=True)
class Send:
    """Send the message of the occurrence that `record` claims for this process."""

    record: TaskRecord


Step = WaitUntil | MoveCursor | Claim | Send


def next_step(
    task: Task,
    record: TaskRecord | UnreadableTask | None,
    now: datetime,
    claimant: str,
    nonce: str,
) -> Step:
    """Return what the holder of the lease does for `task` at the wall-clock time `now`.

    Args:
        record: the task's item, or None if there is none.
        claimant: the holder.
        nonce: a random number that was not used before, for a claim.
    """
    if isinstance(record, UnreadableTask):
        fresh = _written(task, None, now, cursor=now, state="idle", claimant=claimant)
        version = 1 if record.version is None else record.version + 1
        return MoveCursor(replace(fresh, version=version), record, "unreadable")
    if not task.enabled and (record is None or record.schedule == signature(task)):
        return WaitUntil(now + TASK_RETENTION)
    if record is None:
        fresh = _written(task, None, now, cursor=now, state="idle", claimant=claimant)
        return MoveCursor(fresh, None, "new")
    if not task.enabled:
        return _moved(task, record, now, claimant, "changed")
    if record.state == "claimed":
        return _finish_claim(task, record, now, claimant)
    if record.schedule != signature(task):
        return _changed(task, record, now, claimant, nonce)
    if record.cursor - now > AHEAD_MAX:
        return _moved(task, record, now, claimant, "clock")
    due = next_after(task, record.cursor)
    if due + delay_of(task) > now:
        return WaitUntil(due + delay_of(task))
    oldest = _oldest_wanted(task, task, record.cursor, now)
    if due < oldest:
        return _missed(task, task, record, oldest, claimant)
    return _claimed(task, record, now, due, claimant, nonce)


def _oldest_wanted(scheduled: Task, task: Task, after: datetime, now: datetime) -> datetime:
    """Return the time from which on occurrences of `task` are sent at `now`.

    Args:
        scheduled: the task with the schedule by which occurrences fell due: the one of `task`, or
            its former one.
        after: the occurrence last dealt with.
    """
    oldest = now - window_of(task)
    if task.catch_up != "latest":
        return oldest
    until = now - delay_of(task)
    for _ in range(MISSED_COUNTED):
        newest = newest_between(scheduled, after, until)
        if newest is None or newest < oldest:
            break
        if _is_due_at(task, newest):
            return newest
        until = newest - _INSTANT
    return oldest


def _is_due_at(task: Task, at: datetime) -> bool:
    return next_after(task, at - _INSTANT) == at


def _missed(
    scheduled: Task, task: Task, record: TaskRecord, oldest: datetime, claimant: str
) -> MoveCursor:
    """Return the step that drops what is due before `oldest` by the schedule of `scheduled`."""
    dropped = occurrences_between(scheduled, record.cursor, oldest - _INSTANT)
    missed = sum(1 for _ in islice(dropped, MISSED_COUNTED))
    return _moved(task, record, oldest - _INSTANT, claimant, "missed", missed)


def _claimed(
    task: Task, record: TaskRecord, now: datetime, due: datetime, claimant: str, nonce: str
) -> Claim:
    claimed = _written(task, record, now, cursor=due, state="claimed", claimant=claimant)
    after = record.sent if task.overlap == "skip" else None
    return Claim(replace(claimed, nonce=nonce), record.version, after=after)


def _changed(task: Task, record: TaskRecord, now: datetime, claimant: str, nonce: str) -> Step:
    """Return the step for a task whose schedule was changed.

    An occurrence that was due by the former schedule is sent if both name it and it is not too
    late, and is missed otherwise. The record has the former schedule until no such occurrence is
    left.
    """
    before = _scheduled_before(task, record.schedule)
    until = now - delay_of(task)
    due = None if before is None else next(occurrences_between(before, record.cursor, until), None)
    if before is None or due is None:
        # A cursor a little ahead was written by an instance whose clock is ahead, and stays; one
        # far ahead is a mistake.
        ahead = record.cursor if record.cursor - now <= AHEAD_MAX else now
        return _moved(task, record, max(now, ahead), claimant, "changed")

    oldest = _oldest_wanted(before, task, record.cursor, now)
    if due < oldest:
        return _missed(before, task, record, oldest, claimant)

    if not _is_due_at(task, due):
        times = occurrences_between(before, record.cursor, until)
        lost = takewhile(lambda at: not _is_due_at(task, at), times)
        dropped = list(islice(lost, MISSED_COUNTED))
        return _moved(task, record, dropped[-1], claimant, "missed", len(dropped))
    return _claimed(task, record, now, due, claimant, nonce)


def _scheduled_before(task: Task, schedule: str) -> Task | None:
    """Return the task with the schedule of its record, or None if it was disabled or is unknown."""
    text, _, timezone = schedule.rpartition(" ")
    try:
        zone_of(timezone)
        return replace(task, schedule=parse_expression(text), timezone=timezone)
    except (ValueError, ZoneInfoNotFoundError, OSError):
        return None


def _finish_claim(task: Task, record: TaskRecord, now: datetime, claimant: str) -> Step:
    # With `latest` a claim is also too late once the next occurrence is due.
    before = record.cursor - _INSTANT
    if record.cursor < _oldest_wanted(task, task, before, now):
        return _moved(task, record, record.cursor, claimant, "missed", 1)
    if record.claimant == claimant:
        return Send(record)
    # Claimed anew before it is sent, so that the mark of its first claimant is refused. With the
    # same nonce, so that the two messages are known to be copies.
    mine = _written(task, record, now, cursor=record.cursor, state="claimed", claimant=claimant)
    return Claim(mine, record.version, repair=True)


def _moved(
    task: Task,
    record: TaskRecord,
    cursor: datetime,
    claimant: str,
    why: Literal["changed", "clock", "missed"],
    missed: int = 0,
) -> MoveCursor:
    moved = _written(task, record, cursor, cursor=cursor, state="idle", claimant=claimant)
    if why == "changed":
        moved = replace(moved, schedule=signature(task))
    return MoveCursor(moved, record.version, why, missed)


def marked_sent(task: Task, record: TaskRecord, now: datetime) -> TaskRecord:
    """Return the record after SQS accepted the message of its claim."""
    done = _written(task, record, now, record.cursor, "sent", record.claimant)
    return replace(done, sent=record.cursor, sent_at=now, sent_nonce=record.nonce)


def marked_skipped(claim: TaskRecord) -> TaskRecord:
    """Return the record in place of `claim` when `overlap: skip` drops the occurrence."""
    return replace(claim, state="skipped")


def _written(
    task: Task,
    before: TaskRecord | None,
    now: datetime,
    cursor: datetime,
    state: TaskState,
    claimant: str,
) -> TaskRecord:
    needed_until = max(next_after(task, cursor), now) + TASK_RETENTION
    return TaskRecord(
        version=1 if before is None else before.version + 1,
        schedule=signature(task) if before is None else before.schedule,
        cursor=cursor,
        state=state,
        claimant=claimant,
        expires_at=int(needed_until.timestamp()),
        nonce=None if before is None else before.nonce,
        sent_nonce=None if before is None else before.sent_nonce,
        sent=None if before is None else before.sent,
        sent_at=None if before is None else before.sent_at,
    )


def signature(task: Task) -> str:
    """Return what decides a task's times, as text; a task whose signature changed begins anew."""
    times = f"{' '.join(task.schedule.text.split())} {task.timezone}"
    return times if task.enabled else f"{times}{_NOT_ENABLED}"


def delay_of(task: Task) -> timedelta:
    """Return the fixed delay, 0 to `jitter` seconds, by which a task is enqueued after its time."""
    digest = hashlib.sha256(task.name.encode()).digest()
    return timedelta(seconds=int.from_bytes(digest[:8], "big") % (task.jitter + 1))


def window_of(task: Task) -> timedelta:
    """Return how long after its scheduled time an occurrence may still be sent."""
    catch_up = CATCH_UP_MAX if task.catch_up == "latest" else task.catch_up
    return delay_of(task) + max(timedelta(seconds=catch_up), GRACE)


def copies_end(scheduled: datetime, window: timedelta) -> datetime:
    """Return until when a copy of an occurrence may be sent, by the caller's clock."""
    return scheduled + window + _CLOCK_SLACK


# ---- one occurrence: what became of its message


@dataclass(frozen=True, kw_only=True, slots=True)
class RunRecord:
    """The item of one occurrence: which message was dispatched for it, when, and how it ended."""

    message_id: str
    state: RunState
    dispatched_at: datetime


Verdict = Literal["dispatch", "duplicate"]

#: Longest time after its scheduled time at which any scheduler may send an occurrence: 25 h.
COPY_WINDOW_MAX: Final = timedelta(seconds=CATCH_UP_MAX + JITTER_MAX)


def judge(
    run: RunRecord,
    message_id: str,
    scheduled: datetime,
    sent_at: datetime | None,
    window: timedelta = COPY_WINDOW_MAX,
) -> Verdict:
    """Return whether to dispatch a message of an occurrence that already has an item.

    Args:
        run: the item.
        message_id: SQS's id of the message.
        scheduled: the occurrence.
        sent_at: when SQS received the message, or None if that is unknown; then it counts as in
            the window.
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
    """Return whether an occurrence counts as unfinished, for `overlap: skip`.

    It is finished when it was answered with 200, when no attempt will follow, or when it was
    neither sent nor dispatched for `OVERLAP_MAX`, so that an instance that died during the last
    attempt cannot stop a task forever.

    Args:
        run: the occurrence's item, or None if it was not dispatched.
        sent_at: when it was sent, or None if it was not.
    """
    if run is not None and run.state != "dispatched":
        return False
    times = (sent_at, run and run.dispatched_at)
    # A time far ahead was written by a wrong clock, or by another program.
    last = max((t for t in times if t and t <= now + AHEAD_MAX), default=None)
    return last is not None and now - last < OVERLAP_MAX


# ---- names on the wire


def scheduled_text(time: datetime) -> str:
    """Return a scheduled time as EB writes it: `2017-03-22 23:10:00 UTC`."""
    return time.astimezone(UTC).strftime(SCHEDULED_TIME_FORMAT)


def task_id(name: str) -> str:
    """Return the key of a task's item. The prefix separates tasks of any name from other items."""
    return TASK_ID_PREFIX + name


def run_id(occurrence: Occurrence) -> str:
    """Return the key of an occurrence's item; without a nonce, that of releases without nonces."""
    key = f"{RUN_ID_PREFIX}{occurrence.task}#{scheduled_text(occurrence.scheduled)}"
    return key if occurrence.nonce is None else f"{key}#{occurrence.nonce}"


def message_group(name: str) -> str:
    """Return a task's FIFO message group: its name, or a digest if SQS does not allow the name."""
    return _fifo_text(name)


def deduplication_id(occurrence: Occurrence) -> str:
    """Return an occurrence's FIFO deduplication id, which only the nonce makes unpredictable."""
    text = f"{occurrence.task}@{occurrence.scheduled.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
    return _fifo_text(text if occurrence.nonce is None else f"{text}#{occurrence.nonce}")


def _fifo_text(text: str) -> str:
    if len(text) <= _FIFO_MAX and _FIFO_LETTERS.issuperset(text):
        return text
    return hashlib.sha256(text.encode()).hexdigest()
