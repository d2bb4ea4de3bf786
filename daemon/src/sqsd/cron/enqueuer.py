"""Enqueues one periodic task while this process leads: claims, sends and marks in steps."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from sqsd.base.backoff import doubled
from sqsd.base.errors import AwsError, AwsUnreachable, SqsdError
from sqsd.base.ports import Clock, EventLog
from sqsd.base.waits import first_of, pause
from sqsd.contract import (
    ATTRIBUTE_NONCE,
    ATTRIBUTE_PATH,
    ATTRIBUTE_SCHEDULED_TIME,
    ATTRIBUTE_TASK_NAME,
    CRON_BODY,
    NONCE_DIGITS,
    Occurrence,
    events,
)
from sqsd.cron.election import Elector
from sqsd.cron.occurrence import (
    Claim,
    MoveCursor,
    RunRecord,
    Send,
    Step,
    TaskRecord,
    UnreadableTask,
    WaitUntil,
    copies_end,
    deduplication_id,
    marked_sent,
    marked_skipped,
    message_group,
    next_step,
    scheduled_text,
    signature,
    still_running,
    window_of,
)
from sqsd.cron.ports import LeaderTable, Sender
from sqsd.cron.schedule import Task

#: Longest wait for a due time, in seconds: after it a wall clock that was set anew is noticed.
_WAIT_MAX_SECONDS: Final = 5.0
#: Time that a call may take when the call before it succeeded, in seconds; each failure doubles it.
_CALL_SECONDS: Final = 0.5
#: Longest time that a call may take, in seconds (Elastic Beanstalk's figure).
_CALL_MAX_SECONDS: Final = 2.0
#: Wait after a failed step, in seconds; each further failure doubles it.
_RETRY_SECONDS: Final = 0.1
#: Longest wait after a failed step, in seconds.
RETRY_MAX_SECONDS: Final = 10.0
#: Wait after another process wrote first, in seconds, so that it can finish; doubled as well.
_CONFLICT_SECONDS: Final = 0.1
#: Longest wait after another process wrote first, in seconds.
_CONFLICT_MAX_SECONDS: Final = 2.0
#: Time after which a leader whose steps all failed steps down, in seconds: another instance may
#: reach what it cannot.
_STUCK_SECONDS: Final = 10.0
#: Time for which a leader that stepped down leaves the lease to others, in seconds (Elastic
#: Beanstalk's figure).
_REST_SECONDS: Final = 15.0


@dataclass(slots=True)
class CronCounts:
    """What the tasks of one scheduler did.

    Args:
        last_sent_at: epoch seconds of the last message, or None if there was none.
        late_seconds: by how much the last message was later than its scheduled time.
    """

    sent: int = 0
    repaired: int = 0
    missed: int = 0
    skipped: int = 0
    last_sent_at: float | None = None
    late_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class _Mark:
    """A message was sent, and the table does not know of it yet.

    Args:
        record: what to write.
        expected_version: version of the claim, which the item must have.
        deadline: monotonic time after which no scheduler may send the occurrence again.
    """

    record: TaskRecord
    expected_version: int
    deadline: float


class TaskEnqueuer:
    """Enqueues the occurrences of one task.

    A task that is disabled is only recorded as disabled, so that what it missed is not sent when it
    is enabled again.

    Args:
        task: the task.
        table: the leader table.
        sender: sends to the work queue.
        elector: knows whether this process leads.
        clock: the process's clock.
        log: receives the `cron.*` events.
        counts: shared by the tasks of a scheduler.
        fifo: whether the queue is FIFO.
    """

    def __init__(
        self,
        task: Task,
        table: LeaderTable,
        sender: Sender,
        elector: Elector,
        clock: Clock,
        log: EventLog,
        counts: CronCounts,
        *,
        fifo: bool,
    ) -> None:
        self.task = task
        self._table = table
        self._sender = sender
        self._elector = elector
        self._clock = clock
        self._log = log
        self._counts = counts
        self._fifo = fifo
        self._wake = asyncio.Event()
        self._stopping = asyncio.Event()
        #: The task's item as last known; valid only in the term in which it was read.
        self._record: TaskRecord | UnreadableTask | None = None
        self._record_term: int | None = None
        self._mark: _Mark | None = None
        self._repairing = False
        self._failures = 0
        self._conflicts = 0
        self._stuck_since: float | None = None

    @property
    def name(self) -> str:
        """The task's name."""
        return self.task.name

    @property
    def has_mark_to_write(self) -> bool:
        """Whether a message was sent that the table does not know of yet."""
        return self._mark is not None

    def stop(self) -> None:
        """Let `run` end between two steps, but never between a send and its mark."""
        self._stopping.set()
        self._wake.set()

    async def run(self) -> None:
        """Enqueue whenever this process leads, until stopped and no mark is left to write."""
        leading = self._elector.leading
        while not self._stopping.is_set() or self.has_mark_to_write:
            if leading.is_set() or self.has_mark_to_write:
                await pause(self._clock, await self._try_step(), self._wake)
            else:
                await first_of(leading.wait(), self._stopping.wait())

    async def _try_step(self) -> float:
        """Take one step; return the seconds to wait before the next."""
        try:
            wait = await self._step()
        except Exception as error:  # any bug: the other tasks, and this one's next, must go on
            self._step_failed(error)
            wait = doubled(_RETRY_SECONDS, self._failures, RETRY_MAX_SECONDS)
            self._failures += 1
        else:
            self._failures = 0
            self._stuck_since = None
        return wait

    async def _step(self) -> float:
        """Take the next step; return the seconds to wait before the next.

        Raises:
            SqsdError: the table or the queue failed; what the call did is unknown.
        """
        if self._mark is not None:
            return await self._write_mark(self._mark)
        if not self._elector.holds():
            return _RETRY_SECONDS
        if self._record_term is None or self._record_term != self._elector.term:
            term = self._elector.term
            self._record = await self._table_for_call().read_task(self.name)
            self._record_term = term
            self._log_recalled(self._record)
        nonce = secrets.token_hex(NONCE_DIGITS // 2)
        step = next_step(self.task, self._record, self._now(), self._elector.identity, nonce)
        return await self._perform(step)

    async def _perform(self, step: Step) -> float:
        match step:
            case WaitUntil(when):
                return min((when - self._now()).total_seconds(), _WAIT_MAX_SECONDS)
            case MoveCursor(record, expected_version):
                if await self._write(record, expected_version):
                    self._log_moved(step)
                    return 0
                return self._conflict()
            case Claim():
                return await self._claim(step)
            case Send(record):
                return await self._send(record)

    # ---- claim, send, mark

    async def _claim(self, claim: Claim) -> float:
        if claim.after is not None and await self._is_unfinished(claim.after, claim.record):
            return await self._skip(claim)
        if not self._elector.holds():
            return 0
        if not await self._write(claim.record, claim.expected_version):
            return self._conflict()
        self._repairing = claim.repair
        return await self._send(claim.record)

    async def _is_unfinished(self, sent: datetime, record: TaskRecord) -> bool:
        """Return whether the occurrence `sent`, which was sent last, is not finished yet."""
        run = None
        if record.sent_nonce is not None:
            run = await self._read_run(sent, record.sent_nonce)
        if run is None:
            # During a deployment a daemon of a release without nonces may have received it.
            run = await self._read_run(sent, None)
        if run is None and record.sent_nonce is None:
            # The message had no nonce, so nothing is recorded of it: waiting would be in vain.
            return False
        return still_running(run, record.sent_at, self._now())

    async def _read_run(self, time: datetime, nonce: str | None) -> RunRecord | None:
        return await self._table_for_call().read_run(Occurrence(self.name, time, nonce))

    async def _skip(self, claim: Claim) -> float:
        record = marked_skipped(claim.record)
        if not await self._write(record, claim.expected_version):
            return self._conflict()
        self._counts.skipped += 1
        self._emit(
            events.CRON_SKIPPED, record, reason="the one before is not answered with 200 yet"
        )
        return 0

    async def _send(self, record: TaskRecord) -> float:
        # The last check before the one thing that cannot be undone.
        if not self._elector.holds():
            return 0
        try:
            # Given up soon: a second message of an occurrence is recognised as a copy.
            async with asyncio.timeout(_CALL_MAX_SECONDS):
                message_id = await self._send_message(
                    Occurrence(self.name, record.cursor, record.nonce)
                )
        except TimeoutError as error:
            late = AwsUnreachable("SendMessage", f"no answer in {_CALL_MAX_SECONDS:g} s")
            raise _SendFailed(record, late) from error
        except SqsdError as error:
            raise _SendFailed(record, error) from error
        self._count_sent(record, message_id)
        # A mark is of use for as long as another process may repair the claim.
        useful = copies_end(record.cursor, window_of(self.task)) - self._now()
        self._mark = _Mark(
            marked_sent(self.task, record, self._now()),
            record.version,
            self._clock.monotonic() + useful.total_seconds(),
        )
        return await self._write_mark(self._mark)

    async def _send_message(self, occurrence: Occurrence) -> str:
        attributes = {
            ATTRIBUTE_PATH: self.task.url,
            ATTRIBUTE_TASK_NAME: self.name,
            ATTRIBUTE_SCHEDULED_TIME: scheduled_text(occurrence.scheduled),
        }
        if occurrence.nonce is not None:
            attributes[ATTRIBUTE_NONCE] = occurrence.nonce
        return await self._sender.send(
            body=CRON_BODY,
            attributes=attributes,
            group_id=message_group(self.name) if self._fifo else None,
            deduplication_id=deduplication_id(occurrence) if self._fifo else None,
        )

    def _count_sent(self, record: TaskRecord, message_id: str) -> None:
        now = self._clock.time()
        late_seconds = round(now - record.cursor.timestamp(), 3)
        self._counts.sent += 1
        self._counts.last_sent_at = now
        self._counts.late_seconds = late_seconds
        event = events.CRON_REPAIRED if self._repairing else events.CRON_ENQUEUED
        self._counts.repaired += self._repairing
        self._repairing = False
        self._emit(event, record, message_id=message_id, late_seconds=late_seconds)

    async def _write_mark(self, mark: _Mark) -> float:
        if self._clock.monotonic() > mark.deadline:
            self._mark = None
            self._record_term = None
            return 0
        # Not bound to the lease: the condition ensures that only this process's claim is marked.
        written = await self._table_for_call().write_task(
            self.name, mark.record, mark.expected_version
        )
        self._mark = None
        if written:
            self._record = mark.record
        else:
            self._record_term = None
        return 0

    async def _write(
        self, record: TaskRecord, expected_version: int | UnreadableTask | None
    ) -> bool:
        written = await self._table_for_call().write_task(self.name, record, expected_version)
        if written:
            self._record = record
            self._conflicts = 0
        else:
            self._record_term = None
        return written

    def _conflict(self) -> float:
        """Return the seconds to wait after another process wrote first."""
        wait = doubled(_CONFLICT_SECONDS, self._conflicts, _CONFLICT_MAX_SECONDS)
        self._conflicts += 1
        return wait

    def _table_for_call(self) -> LeaderTable:
        """Return the table with the time that the next call may take."""
        return self._table.within(doubled(_CALL_SECONDS, self._failures, _CALL_MAX_SECONDS))

    # ---- failures

    def _step_failed(self, error: Exception) -> None:
        """Log that a step failed, forget what was known, and step down if nothing succeeds."""
        self._record_term = None
        if isinstance(error, _SendFailed):
            self._emit(events.CRON_FAILED, error.record, reason=str(error.cause))
        elif not isinstance(error, SqsdError):
            self._log.emit(events.CRON_FAILED, task=self.name, reason=repr(error))
            return
        # Any other failure is the table's, which logged it.
        cause = error.cause if isinstance(error, _SendFailed) else error
        if isinstance(cause, AwsError) and cause.final:
            return  # any other leader would be refused as well, and the other tasks go on here
        now = self._clock.monotonic()
        if self._stuck_since is None:
            self._stuck_since = now
        elif self._is_stuck(now):
            self._stuck_since = None
            unsent = self.name if isinstance(error, _SendFailed) else None
            self._elector.step_down(_REST_SECONDS, str(error), unsent)

    def _is_stuck(self, now: float) -> bool:
        """Return whether this leader failed for so long that another instance should lead."""
        leading_since = self._elector.since
        if self._stuck_since is None or leading_since is None:
            return False
        # Failures before the lease was acquired say nothing about this term.
        return now - max(self._stuck_since, leading_since) >= _STUCK_SECONDS

    # ---- the log

    def _log_recalled(self, record: TaskRecord | UnreadableTask | None) -> None:
        """Log when the task was last sent, unless its schedule was another then."""
        if not isinstance(record, TaskRecord) or record.sent_at is None:
            return
        if record.schedule != signature(self.task):
            return
        self._log.emit(events.CRON_RECALLED, task=self.name, sent_at=record.sent_at.timestamp())

    def _log_moved(self, step: MoveCursor) -> None:
        if step.why == "missed":
            self._counts.missed += step.missed
            self._emit(events.CRON_MISSED, step.record, missed=step.missed)
        elif step.why == "clock":
            self._emit(events.CRON_FAILED, step.record, reason="the table was ahead of this clock")
        elif isinstance(step.expected_version, UnreadableTask):
            problem = step.expected_version.problem
            reason = f"the task's item was unreadable and is replaced; it begins anew: {problem}"
            self._emit(events.CRON_FAILED, step.record, reason=reason)

    def _emit(self, event: str, record: TaskRecord, **values: object) -> None:
        time = scheduled_text(record.cursor)
        self._log.emit(event, task=self.name, scheduled_time=time, **values)

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock.time(), UTC)


class _SendFailed(SqsdError):
    """The message of the claim `record` may not have been sent, because of `cause`."""

    def __init__(self, record: TaskRecord, cause: SqsdError) -> None:
        self.record = record
        self.cause = cause
        super().__init__(str(cause))
