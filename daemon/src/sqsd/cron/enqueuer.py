"""One periodic task while this process leads: claims, sends and marks, a step at a time."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from sqsd.base.errors import AwsUnreachable, SqsdError
from sqsd.base.ports import Clock, EventLog
from sqsd.base.waits import first_of, pause
from sqsd.contract import (
    ATTRIBUTE_PATH,
    ATTRIBUTE_SCHEDULED_TIME,
    ATTRIBUTE_TASK_NAME,
    CRON_BODY,
    events,
)
from sqsd.cron.election import LeaseKeeper, TableTrouble
from sqsd.cron.occurrence import (
    Claim,
    Record,
    Send,
    Step,
    TaskRecord,
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

#: A wall clock that is set anew is noticed after this.
_LOOK_SECONDS: Final = 5.0
#: A call waits for its answer so long after no failure, doubled by each up to EB's 2 s.
_CALL_SECONDS: Final = 0.5
_CALL_MAX_SECONDS: Final = 2.0
#: First wait after a failure, doubled up to the longest.
_RETRY_SECONDS: Final = 0.1
RETRY_MAX_SECONDS: Final = 10.0
#: After losing a race, so that the winner can finish what it claimed; doubled as well.
_CONFLICT_SECONDS: Final = 0.1
_CONFLICT_MAX_SECONDS: Final = 2.0
#: Thirty doublings are enough for any wait, and keep the number small.
_MOST_DOUBLINGS: Final = 30
#: A holder that has got nowhere for so long steps down: another may reach what it cannot.
_STUCK_SECONDS: Final = 10.0
#: How long a holder that cannot send leaves the lease to others (EB's figure).
_REST_SECONDS: Final = 15.0


@dataclass(slots=True)
class Tally:
    """What the tasks of one scheduler did. Times in epoch seconds; the lateness is the last's."""

    sent: int = 0
    repaired: int = 0
    missed: int = 0
    skipped: int = 0
    last_sent_at: float | None = None
    late_seconds: float | None = None


class TaskEnqueuer:
    """One task: claims, sends and marks its occurrences, a step at a time.

    One that is not enabled is only noted as such, so that nothing of that time is sent later.
    """

    def __init__(
        self,
        task: Task,
        table: LeaderTable,
        sender: Sender,
        keeper: LeaseKeeper,
        clock: Clock,
        log: EventLog,
        trouble: TableTrouble,
        tally: Tally,
        *,
        fifo: bool,
    ) -> None:
        self.task, self._table, self._sender, self._keeper = task, table, sender, keeper
        self._clock, self._log, self._trouble = clock, log, trouble
        self._tally, self._fifo = tally, fifo
        self._wake = asyncio.Event()
        #: The task's item as last known, and in which of our terms; of no worth in another.
        self._record: TaskRecord | None = None
        self._record_term: int | None = None
        self._mark: tuple[TaskRecord, int, float] | None = None
        self._repairing = False
        self._stopping = asyncio.Event()
        self._failures = self._conflicts = 0
        self._stuck_since: float | None = None

    @property
    def name(self) -> str:
        return self.task.name

    @property
    def has_mark_to_make(self) -> bool:
        """Whether a message was sent that the table does not know of yet."""
        return self._mark is not None

    def stop(self) -> None:
        """Let `run` end between two steps: never between a send and its mark."""
        self._stopping.set()
        self._wake.set()

    async def run(self) -> None:
        """Enqueue whenever this process leads, until stopped and no mark is left to make."""
        leading = self._keeper.leading
        while not self._stopping.is_set() or self.has_mark_to_make:
            if leading.is_set() or self.has_mark_to_make:
                await pause(self._clock, await self._try_step(), self._wake)
            else:
                await first_of(leading.wait(), self._stopping.wait())

    async def _try_step(self) -> float:
        try:
            wait = await self._step()
        except Exception as error:  # any bug: the other tasks, and this one's next, must go on
            self._failed(error)
            wait = min(_RETRY_SECONDS * 2.0**self._failures, RETRY_MAX_SECONDS)
            self._failures = min(self._failures + 1, _MOST_DOUBLINGS)
        else:
            self._failures, self._stuck_since = 0, None
        return wait

    async def _step(self) -> float:
        """Do the next thing; gives the seconds until there may be another.

        Raises:
            SqsdError: the table or the queue failed; what the call did is unknown.
        """
        if self._mark is not None:
            return await self._make_mark()
        if not self._keeper.holds():
            return _RETRY_SECONDS
        if self._record_term is None or self._record_term != self._keeper.term:
            term = self._keeper.term
            self._record = await self._patient_table().read_task(self.name)
            self._trouble.worked("GetItem")
            self._record_term = term
            self._recall(self._record)
        return await self._perform(
            next_step(self.task, self._record, self._now(), self._keeper.identity)
        )

    def _recall(self, record: TaskRecord | None) -> None:
        """Tell when another sent this task last; of one that begins anew that says nothing."""
        if record is None or record.sent_at is None or record.schedule != signature(self.task):
            return
        self._log.emit(events.CRON_RECALLED, task=self.name, sent_at=record.sent_at.timestamp())

    def _call_seconds(self) -> float:
        """How long the next call may take."""
        return min(_CALL_SECONDS * 2.0**self._failures, _CALL_MAX_SECONDS)

    def _patient_table(self) -> LeaderTable:
        return self._table.within(self._call_seconds())

    def _failed(self, error: Exception) -> None:
        """A step failed: say so, and trust nothing that was known."""
        self._record_term = None
        now = self._clock.monotonic()
        if isinstance(error, _SendFailed):
            self._emit(events.CRON_FAILED, error.record, reason=str(error.cause))
        elif isinstance(error, SqsdError):
            self._trouble.failed(error)
        else:
            self._log.emit(events.CRON_FAILED, task=self.name, reason=repr(error))
            return
        if self._stuck_since is None:
            self._stuck_since = now
        elif self._is_stuck(now):
            self._stuck_since = None
            unsent = self.name if isinstance(error, _SendFailed) else None
            self._keeper.step_down(_REST_SECONDS, str(error), unsent)

    def _is_stuck(self, now: float) -> bool:
        """Whether this leader has got nowhere for so long that another instance should lead."""
        leading_since = self._keeper.since
        if self._stuck_since is None or leading_since is None:
            return False
        # Failures of an earlier time as the leader say nothing about this one.
        return now - max(self._stuck_since, leading_since) >= _STUCK_SECONDS

    def _conflict(self) -> float:
        """Seconds to wait after another wrote what this process was going to."""
        wait = min(_CONFLICT_SECONDS * 2.0**self._conflicts, _CONFLICT_MAX_SECONDS)
        self._conflicts = min(self._conflicts + 1, _MOST_DOUBLINGS)
        return wait

    async def _perform(self, step: Step) -> float:
        match step:
            case WaitUntil(when):
                return min((when - self._now()).total_seconds(), _LOOK_SECONDS)
            case Record(record, over):
                if await self._write(record, over):
                    self._tell_record(step)
                    return 0
                return self._conflict()
            case Claim(record, over):
                return await self._claim(step, record, over)
            case Send(record):
                return await self._send(record)

    async def _claim(self, step: Claim, record: TaskRecord, over: int) -> float:
        if step.after is not None:
            run = await self._patient_table().read_run(self.name, step.after)
            if still_running(run, record.sent_at, self._now()):
                return await self._skip(record, over)
        if not self._keeper.holds():
            return 0
        if not await self._write(record, over):
            return self._conflict()
        self._repairing = step.repair
        return await self._send(record)

    async def _skip(self, claim: TaskRecord, over: int) -> float:
        record = marked_skipped(claim)
        if not await self._write(record, over):
            return self._conflict()
        self._tally.skipped += 1
        self._emit(
            events.CRON_SKIPPED, record, reason="the one before is not answered with 200 yet"
        )
        return 0

    async def _send(self, record: TaskRecord) -> float:
        # The last look before the one thing that cannot be taken back.
        if not self._keeper.holds():
            return 0
        time = record.cursor
        try:
            # Soon given up: a second message of an occurrence is known for a copy.
            async with asyncio.timeout(_CALL_MAX_SECONDS):
                message_id = await self._sender.send(
                    body=CRON_BODY,
                    attributes={
                        ATTRIBUTE_PATH: self.task.url,
                        ATTRIBUTE_TASK_NAME: self.name,
                        ATTRIBUTE_SCHEDULED_TIME: scheduled_text(time),
                    },
                    group_id=message_group(self.name) if self._fifo else None,
                    deduplication_id=deduplication_id(self.name, time) if self._fifo else None,
                )
        except TimeoutError as error:
            late = AwsUnreachable("SendMessage", f"no answer in {_CALL_MAX_SECONDS:g} s")
            raise _SendFailed(record, late) from error
        except SqsdError as error:
            raise _SendFailed(record, error) from error
        self._note_sent(record, message_id)
        mark = marked_sent(self.task, record, self._now())
        # For as long as somebody may repair the claim, and so send it again.
        useful = copies_end(time, window_of(self.task)) - self._now()
        self._mark = (mark, record.version, self._clock.monotonic() + useful.total_seconds())
        return await self._make_mark()

    def _note_sent(self, record: TaskRecord, message_id: str) -> None:
        now = self._clock.time()
        self._tally.sent += 1
        self._tally.last_sent_at = now
        self._tally.late_seconds = round(now - record.cursor.timestamp(), 3)
        event = events.CRON_REPAIRED if self._repairing else events.CRON_ENQUEUED
        self._tally.repaired += self._repairing
        self._repairing = False
        self._emit(event, record, message_id=message_id, late_seconds=self._tally.late_seconds)

    async def _make_mark(self) -> float:
        assert self._mark is not None
        mark, over, deadline = self._mark
        if self._clock.monotonic() > deadline:
            self._mark = self._record_term = None
            return 0
        # Not bound to the lease: the condition sees to it that only our own claim is marked.
        made = await self._patient_table().write_task(self.name, mark, over)
        self._trouble.worked("PutItem")
        if not made:
            self._mark = self._record_term = None
            return 0
        self._mark, self._record = None, mark
        return 0

    async def _write(self, record: TaskRecord, over: int | None) -> bool:
        made = await self._patient_table().write_task(self.name, record, over)
        self._trouble.worked("PutItem")
        if made:
            self._record, self._conflicts = record, 0
            return True
        self._record_term = None
        return False

    def _tell_record(self, step: Record) -> None:
        if step.why == "missed":
            self._tally.missed += step.missed
            self._emit(events.CRON_MISSED, step.record, missed=step.missed)
        elif step.why == "clock":
            self._emit(events.CRON_FAILED, step.record, reason="the table was ahead of this clock")

    def _emit(self, event: str, record: TaskRecord, **values: object) -> None:
        time = scheduled_text(record.cursor)
        self._log.emit(event, task=self.name, scheduled_time=time, **values)

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock.time(), UTC)


class _SendFailed(SqsdError):
    def __init__(self, record: TaskRecord, cause: SqsdError) -> None:
        self.record, self.cause = record, cause
        super().__init__(str(cause))
