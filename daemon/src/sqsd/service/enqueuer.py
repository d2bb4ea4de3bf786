"""One periodic task while this process leads: claims, sends and marks, a step at a time."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Final

from sqsd import logs
from sqsd.contract import (
    ATTRIBUTE_PATH,
    ATTRIBUTE_SCHEDULED_TIME,
    ATTRIBUTE_TASK_NAME,
    CRON_BODY,
)
from sqsd.core.cron import Task
from sqsd.core.occurrence import (
    Claim,
    Record,
    Send,
    Step,
    TaskRecord,
    WaitUntil,
    deduplication_id,
    marked_sent,
    marked_skipped,
    message_group,
    next_step,
    scheduled_text,
    still_running,
)
from sqsd.errors import SqsdError
from sqsd.ports import Clock, EventLog, LeaderTable, Sender
from sqsd.service.election import LeaseKeeper, TableTrouble

#: A wall clock that is set anew is noticed after this.
_LOOK_SECONDS: Final = 5.0
#: First wait after a failure, doubled up to the longest.
RETRY_SECONDS: Final = 0.5
RETRY_MAX_SECONDS: Final = 10.0
#: After losing a race, so that the winner can finish what it claimed.
_CONFLICT_SECONDS: Final = 2.0
#: A sent occurrence whose mark fails for so long is left to the next repair.
_MARK_SECONDS: Final = 30.0
#: How long a holder that cannot send leaves the lease to others (EB's figure).
_REST_SECONDS: Final = 15.0


class TaskEnqueuer:
    """One task: claims, sends and marks its occurrences, a step at a time."""

    def __init__(
        self,
        task: Task,
        table: LeaderTable,
        sender: Sender,
        keeper: LeaseKeeper,
        clock: Clock,
        log: EventLog,
        trouble: TableTrouble,
        *,
        fifo: bool,
    ) -> None:
        self._task, self._table, self._sender, self._keeper = task, table, sender, keeper
        self._clock, self._log, self._trouble, self._fifo = clock, log, trouble, fifo
        #: Ends a pause between two steps.
        self.wake = asyncio.Event()
        #: The task's item as last known, and in which of our terms; of no worth in another.
        self._record: TaskRecord | None = None
        self._record_term: int | None = None
        self._mark: tuple[TaskRecord, int, float] | None = None
        self._repairing = False
        self._unsent_since: float | None = None
        self.sent = self.repaired = self.missed = self.skipped = 0
        self.last_sent_at: float | None = None
        self.late_seconds: float | None = None

    @property
    def name(self) -> str:
        return self._task.name

    @property
    def has_mark_to_make(self) -> bool:
        """Whether a message was sent that the table does not know of yet."""
        return self._mark is not None

    async def step(self) -> float:
        """Do the next thing; gives the seconds until there may be another.

        Raises:
            SqsdError: the table or the queue failed; what the call did is unknown.
        """
        if self._mark is not None:
            return await self._make_mark()
        if not self._keeper.holds():
            return RETRY_SECONDS
        if self._record_term is None or self._record_term != self._keeper.term:
            term = self._keeper.term
            self._record = await self._table.read_task(self.name)
            self._record_term = term
        return await self._perform(
            next_step(self._task, self._record, self._now(), self._keeper.identity)
        )

    def failed(self, error: Exception) -> None:
        """A step failed: say so, and trust nothing that was known."""
        self._record_term = None
        if isinstance(error, _SendFailed):
            self._send_failed(error)
        elif isinstance(error, SqsdError):
            self._trouble.failed(error)
        else:
            self._log.emit(logs.CRON_FAILED, task=self.name, reason=repr(error))

    async def _perform(self, step: Step) -> float:
        match step:
            case WaitUntil(when):
                return min((when - self._now()).total_seconds(), _LOOK_SECONDS)
            case Record(record, over):
                if await self._write(record, over):
                    self._tell_record(step)
                    return 0
                return _CONFLICT_SECONDS
            case Claim(record, over):
                return await self._claim(step, record, over)
            case Send(record):
                return await self._send(record)

    async def _claim(self, step: Claim, record: TaskRecord, over: int) -> float:
        if step.after is not None:
            run = await self._table.read_run(self.name, step.after)
            if still_running(run, record.sent_at, self._now()):
                return await self._skip(record, over)
        if not self._keeper.holds():
            return 0
        if not await self._write(record, over):
            return _CONFLICT_SECONDS
        self._repairing = step.repair
        return await self._send(record)

    async def _skip(self, claim: TaskRecord, over: int) -> float:
        record = marked_skipped(claim)
        if not await self._write(record, over):
            return _CONFLICT_SECONDS
        self.skipped += 1
        self._emit(logs.CRON_SKIPPED, record, reason="the one before is not answered with 200 yet")
        return 0

    async def _send(self, record: TaskRecord) -> float:
        # The last look before the one thing that cannot be taken back.
        if not self._keeper.holds():
            return 0
        time = record.cursor
        try:
            message_id = await self._sender.send(
                body=CRON_BODY,
                attributes={
                    ATTRIBUTE_PATH: self._task.url,
                    ATTRIBUTE_TASK_NAME: self.name,
                    ATTRIBUTE_SCHEDULED_TIME: scheduled_text(time),
                },
                group_id=message_group(self.name) if self._fifo else None,
                deduplication_id=deduplication_id(self.name, time) if self._fifo else None,
            )
        except SqsdError as error:
            raise _SendFailed(record, error) from error
        self._note_sent(record, message_id)
        mark = marked_sent(self._task, record, self._now())
        self._mark = (mark, record.version, self._clock.monotonic() + _MARK_SECONDS)
        return await self._make_mark()

    def _note_sent(self, record: TaskRecord, message_id: str) -> None:
        now = self._clock.time()
        self._unsent_since = None
        self.sent += 1
        self.last_sent_at = now
        self.late_seconds = round(now - record.cursor.timestamp(), 3)
        event = logs.CRON_REPAIRED if self._repairing else logs.CRON_ENQUEUED
        self.repaired += self._repairing
        self._repairing = False
        self._emit(event, record, message_id=message_id, late_seconds=self.late_seconds)

    async def _make_mark(self) -> float:
        assert self._mark is not None
        mark, over, deadline = self._mark
        if self._clock.monotonic() > deadline:
            self._mark = self._record_term = None
            return 0
        # Not bound to the lease: the condition sees to it that only our own claim is marked.
        if not await self._table.write_task(self.name, mark, over):
            self._mark = self._record_term = None
            return 0
        self._mark, self._record = None, mark
        return 0

    async def _write(self, record: TaskRecord, over: int | None) -> bool:
        if await self._table.write_task(self.name, record, over):
            self._record = record
            return True
        self._record_term = None
        return False

    def _tell_record(self, step: Record) -> None:
        if step.why == "missed":
            self.missed += step.missed
            self._emit(logs.CRON_MISSED, step.record, missed=step.missed)
        elif step.why == "clock":
            self._emit(logs.CRON_FAILED, step.record, reason="the table was ahead of this clock")

    def _send_failed(self, error: _SendFailed) -> None:
        now = self._clock.monotonic()
        if self._unsent_since is None:
            self._unsent_since = now
        self._emit(logs.CRON_FAILED, error.record, reason=str(error.cause))
        # Another instance may reach SQS where this one cannot.
        if now - self._unsent_since >= RETRY_MAX_SECONDS:
            self._unsent_since = None
            self._keeper.step_down(_REST_SECONDS)

    def _emit(self, event: str, record: TaskRecord, **values: object) -> None:
        time = scheduled_text(record.cursor)
        self._log.emit(event, task=self.name, scheduled_time=time, **values)

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock.time(), UTC)


class _SendFailed(SqsdError):
    def __init__(self, record: TaskRecord, cause: SqsdError) -> None:
        self.record, self.cause = record, cause
        super().__init__(str(cause))
