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
from typing import Final

from sqsd import logs
from sqsd.core.cron import Schedule
from sqsd.core.cron_yaml import Problem
from sqsd.core.lease import Election, LeaseSettings
from sqsd.ports import Clock, EventLog, LeaderTable, Sender
from sqsd.service.election import LeaseKeeper, TableTrouble, first_of, pause
from sqsd.service.enqueuer import RETRY_MAX_SECONDS, RETRY_SECONDS, TaskEnqueuer

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
            await pause(self._clock, RETRY_MAX_SECONDS, self._keeper.wake)

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
                wait = min(RETRY_SECONDS * 2.0**failures, RETRY_MAX_SECONDS)
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


def _last_sent(task: TaskEnqueuer) -> float:
    return task.last_sent_at or 0.0
