"""Enqueues periodic tasks while this process holds the lease: asyncio over `core.occurrence`.

One coroutine competes for the lease, and each task has one of its own, so that a task in trouble
holds up no other. Nothing here touches ordinary messages, and no failure of the table or the
queue ends it.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from sqsd import logs
from sqsd.contract import (
    ATTRIBUTE_PATH,
    ATTRIBUTE_SCHEDULED_TIME,
    ATTRIBUTE_TASK_NAME,
    CRON_BODY,
)
from sqsd.core.cron import Schedule, Task
from sqsd.core.cron_yaml import Problem
from sqsd.core.lease import Election, LeaseSettings
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
from sqsd.service.election import LeaseKeeper, TableTrouble, first_of, pause

#: A wall clock that is set anew is noticed after this.
_LOOK_SECONDS: Final = 5.0
#: First wait after a failure, doubled up to the longest.
_RETRY_SECONDS: Final = 0.5
_RETRY_MAX_SECONDS: Final = 10.0
#: After losing a race, so that the winner can finish what it claimed.
_CONFLICT_SECONDS: Final = 2.0
#: A sent occurrence whose mark fails for so long is left to the next repair.
_MARK_SECONDS: Final = 30.0
#: How long a holder that cannot send leaves the lease to others (EB's figure).
_REST_SECONDS: Final = 15.0
#: What a drain waits for enqueuings in progress.
_DRAIN_SECONDS: Final = 5.0
_PROBLEMS_SECONDS: Final = 60.0


@dataclass(frozen=True, kw_only=True, slots=True)
class SchedulerStatus:
    """What the scheduler did since it was started; for metrics and the status page.

    `leader_since` is seconds ago, `last_sent_at` epoch seconds, `late_seconds` of the last one
    sent.
    """

    leader: bool
    leader_since: float | None
    sent: int
    repaired: int
    missed: int
    skipped: int
    last_sent_at: float | None
    late_seconds: float | None
    problems: tuple[str, ...]


class Scheduler:
    """Enqueues the tasks of a schedule, in turn with the other instances of the fleet.

    Args:
        schedule: with at least one enabled task; without one, do not start a scheduler.
        table: where the fleet agrees.
        sender: of the work queue.
        clock, log: as elsewhere.
        identity: unique to this process, such as the instance's id and a random number.
        fifo: whether the queue is FIFO.
        problems: what of `cron.yaml` could not be used; told once a minute.
        settings: the lease's durations.
        trouble: shared with the `OccurrenceGuard`.
        spread: gives numbers from 0 to below 1.
    """

    def __init__(
        self,
        schedule: Schedule,
        table: LeaderTable,
        sender: Sender,
        clock: Clock,
        log: EventLog,
        identity: str,
        *,
        fifo: bool = False,
        problems: Sequence[Problem] = (),
        settings: LeaseSettings | None = None,
        trouble: TableTrouble | None = None,
        spread: Callable[[], float] = random.random,
    ) -> None:
        self._clock, self._log = clock, log
        self._problems = tuple(map(str, problems))
        trouble = trouble or TableTrouble(table.name, clock, log)
        election = Election(identity, settings or LeaseSettings())
        self._keeper = LeaseKeeper(election, table, clock, log, trouble, spread)
        self._draining = asyncio.Event()
        self._tasks = [
            TaskEnqueuer(task, table, sender, self._keeper, clock, log, trouble, fifo=fifo)
            for task in schedule.enabled
        ]

    def drain(self) -> None:
        """Ask `run` to finish: enqueue nothing more, release the lease, return."""
        self._draining.set()
        self._keeper.wake.set()
        for task in self._tasks:
            task.wake.set()

    def status(self) -> SchedulerStatus:
        """A snapshot."""
        since = self._keeper.since
        last = max((task for task in self._tasks if task.sent), key=_last_sent, default=None)
        return SchedulerStatus(
            leader=self._keeper.holds(),
            leader_since=None if since is None else self._clock.monotonic() - since,
            sent=sum(task.sent for task in self._tasks),
            repaired=sum(task.repaired for task in self._tasks),
            missed=sum(task.missed for task in self._tasks),
            skipped=sum(task.skipped for task in self._tasks),
            last_sent_at=None if last is None else last.last_sent_at,
            late_seconds=None if last is None else last.late_seconds,
            problems=self._problems,
        )

    async def run(self) -> None:
        """Compete and enqueue until `drain`; a cancellation leaves the lease to run out."""
        async with asyncio.TaskGroup() as group:
            running = [
                group.create_task(self._enqueue(task), name=f"cron {task.name}")
                for task in self._tasks
            ]
            reporting = group.create_task(self._report_problems(), name="cron problems")
            while not self._draining.is_set():
                await self._compete()
            reporting.cancel()
            await self._finish(running)

    async def _compete(self) -> None:
        try:
            await self._keeper.step()
        except Exception as error:  # any bug: messages, and the tasks of others, must go on
            self._log.emit(logs.LEASE_FAILED, reason=repr(error))
            await pause(self._clock, _RETRY_MAX_SECONDS, self._keeper.wake)

    async def _finish(self, running: list[asyncio.Task[None]]) -> None:
        """Let enqueuings in progress end while the lease is ours; then free it."""
        patience = min(_DRAIN_SECONDS, self._keeper.remaining())
        await first_of(self._clock.sleep(patience), asyncio.wait(running))
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await self._keeper.release()

    async def _enqueue(self, task: TaskEnqueuer) -> None:
        failures = 0
        while not self._draining.is_set() or task.has_mark_to_make:
            if not (self._keeper.leading.is_set() or task.has_mark_to_make):
                await first_of(self._keeper.leading.wait(), self._draining.wait())
                continue
            try:
                wait = await task.step()
                failures = 0
            except Exception as error:  # any bug: the other tasks, and this one's next, must go on
                task.failed(error)
                wait = min(_RETRY_SECONDS * 2.0**failures, _RETRY_MAX_SECONDS)
                failures = min(failures + 1, 30)
            await pause(self._clock, wait, task.wake)

    async def _report_problems(self) -> None:
        while self._problems:
            self._log.emit(logs.CRON_INVALID, problems=self._problems)
            await self._clock.sleep(_PROBLEMS_SECONDS)


class CronProblems:
    """Tells once a minute why no periodic task runs; where some do, the scheduler tells."""

    name = "cron problems"

    def __init__(self, problems: tuple[str, ...], clock: Clock, log: EventLog) -> None:
        self._problems, self._clock, self._log = problems, clock, log

    async def run(self, _: object) -> None:
        """Never returns."""
        while True:
            self._log.emit(logs.CRON_INVALID, problems=self._problems)
            await self._clock.sleep(_PROBLEMS_SECONDS)


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
            return _RETRY_SECONDS
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
        if now - self._unsent_since >= _RETRY_MAX_SECONDS:
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


def _last_sent(task: TaskEnqueuer) -> float:
    return task.last_sent_at or 0.0
