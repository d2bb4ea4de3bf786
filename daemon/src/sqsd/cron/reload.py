"""Runs the tasks of a `cron.yaml`, and follows the file when it is replaced.

The tasks of a new file that are valid run at once; tasks that did not change are undisturbed. A
file without a valid task and with problems leaves the last schedule in force. Problems are logged
once a minute. While no task is enabled there is no scheduler, and DynamoDB is not called.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from sqsd.base.ports import Clock, EventLog
from sqsd.base.waits import first_of, pause
from sqsd.contract import Occurrence, events
from sqsd.cron.cron_yaml import Problem
from sqsd.cron.duplicates import DuplicateGuard
from sqsd.cron.file import NO_LEADER_TABLE
from sqsd.cron.schedule import Schedule, Task
from sqsd.cron.scheduler import Scheduler

#: Time from one poll of the file to the next, in seconds.
_POLL_SECONDS: Final = 5.0
#: Time for which a changed file must stay as it is before it is read, in seconds.
_UNCHANGED_SECONDS: Final = 1.0
#: Time in which the leader records that no task is enabled before the scheduler ends, in seconds.
_RECORD_SECONDS: Final = 2.0
#: Most problems of a file that are logged and shown on the status page.
_PROBLEMS_SHOWN: Final = 20
#: Time from one log line about a file's problems to the next, in seconds.
_PROBLEMS_SECONDS: Final = 60.0


class ScheduleFile(Protocol):
    """The file with the tasks: `cron.file.CronFile`."""

    @property
    def name(self) -> str:
        """Its name in events."""

    def stamp(self) -> object:
        """Return a value that differs when the file does; never raises."""

    def read(self) -> tuple[Schedule, tuple[Problem, ...]]:
        """Return the valid tasks and every problem; never raises."""


class CronReloader:
    """Runs a scheduler for the tasks of a file, as they are now.

    Implements `supervisor.PeriodicScheduler` and `messages.occurrences.Duplicates`.

    Args:
        file: where the tasks are; read here for the first time.
        clock: the process's clock.
        log: receives `cron.loaded` and `cron.invalid`.
        make_scheduler: makes a scheduler, or None where there is no leader table.
        make_guard: makes the one guard, or None where there is no leader table.
    """

    def __init__(
        self,
        file: ScheduleFile,
        clock: Clock,
        log: EventLog,
        make_scheduler: Callable[[Schedule], Scheduler] | None,
        make_guard: Callable[[Schedule], DuplicateGuard] | None,
    ) -> None:
        self._file = file
        self._clock = clock
        self._log = log
        self._make_scheduler = make_scheduler
        self._make_guard = make_guard
        self._schedule = Schedule()
        self._problems: tuple[str, ...] = ()
        self._scheduler: Scheduler | None = None
        self._guard: DuplicateGuard | None = None
        self._draining = asyncio.Event()
        #: Set when there may be a scheduler to run.
        self._schedule_changed = asyncio.Event()
        #: Set when problems are to be logged at once.
        self._file_read = asyncio.Event()
        self._stamp = file.stamp()
        self._load(first=True)

    @property
    def tasks(self) -> Sequence[Task]:
        """The tasks that are enabled now."""
        return self._schedule.enabled

    @property
    def problems(self) -> Sequence[str]:
        """Why parts of the file cannot run, one text for each problem."""
        return self._problems

    # ---- running

    def drain(self) -> None:
        """Ask `run` to finish."""
        self._draining.set()
        if self._scheduler is not None:
            self._scheduler.drain()

    async def run(self) -> None:
        """Run until drained. Whatever it raises is a defect, and it may be run again."""
        async with asyncio.TaskGroup() as group:
            beside = [
                group.create_task(self._follow(), name="cron file"),
                group.create_task(self._log_problems(), name="cron problems"),
            ]
            while not self._draining.is_set():
                self._schedule_changed.clear()
                if self._scheduler is None:
                    self._scheduler = self._new_scheduler()
                if self._scheduler is None:
                    await first_of(self._schedule_changed.wait(), self._draining.wait())
                    continue
                await self._scheduler.run()
                self._scheduler = None  # drained, so it cannot run again
            for task in beside:
                task.cancel()

    def _new_scheduler(self) -> Scheduler | None:
        if not self.tasks or self._make_scheduler is None or self._make_guard is None:
            return None
        if self._guard is None:
            self._guard = self._make_guard(self._schedule)
        return self._make_scheduler(self._schedule)

    # ---- the file

    async def _follow(self) -> None:
        while True:
            await self._clock.sleep(_POLL_SECONDS)
            stamp = self._file.stamp()
            if stamp == self._stamp:
                continue
            await self._clock.sleep(_UNCHANGED_SECONDS)
            if self._file.stamp() == stamp:  # otherwise it is still being written
                self._stamp = stamp
                await self._replace()

    async def _replace(self) -> None:
        if not self._load():
            return
        scheduler = self._scheduler
        if self._guard is not None:
            self._guard.follow(self._schedule)
        if scheduler is not None:
            scheduler.replace(self._schedule)
            if not self.tasks:
                await self._clock.sleep(_RECORD_SECONDS)
                scheduler.drain()
        self._schedule_changed.set()

    def _load(self, *, first: bool = False) -> bool:
        """Read the file; return whether its schedule is in force now."""
        schedule, problems = self._file.read()
        usable = bool(schedule.tasks) or not problems
        self._problems = tuple(map(str, problems[:_PROBLEMS_SHOWN]))
        if len(problems) > _PROBLEMS_SHOWN:
            more = len(problems) - _PROBLEMS_SHOWN
            self._problems += (f"and {more} more problems: run `sqsd check`",)
        if usable:
            self._schedule = schedule
        # At the start no tasks are nothing to report; later they are news.
        if usable and (self.tasks or not first):
            self._log.emit(
                events.CRON_LOADED,
                tasks=[task.name for task in schedule.enabled],
                file=self._file.name,
                **(
                    {"warnings": list(schedule.warnings[:_PROBLEMS_SHOWN])}
                    if schedule.warnings
                    else {}
                ),
            )
        if self.tasks and self._make_scheduler is None:
            self._problems = (*self._problems, NO_LEADER_TABLE)
        self._file_read.set()
        return usable

    async def _log_problems(self) -> None:
        """Log what cannot run, at once and then once a minute."""
        while True:
            self._file_read.clear()
            if self._problems:
                self._log.emit(events.CRON_INVALID, problems=self._problems, file=self._file.name)
            await pause(self._clock, _PROBLEMS_SECONDS, self._file_read)

    # ---- duplicates, for the dispatcher

    async def is_duplicate(
        self, occurrence: Occurrence, message_id: str, sent_at: int | None = None
    ) -> bool:
        """Return `DuplicateGuard.is_duplicate`, or False while there is no guard."""
        guard = self._guard
        return guard is not None and await guard.is_duplicate(occurrence, message_id, sent_at)

    async def completed(self, occurrence: Occurrence, message_id: str) -> None:
        """Do as `DuplicateGuard.completed`, or nothing while there is no guard."""
        if self._guard is not None:
            await self._guard.completed(occurrence, message_id)

    async def abandoned(self, occurrence: Occurrence, message_id: str) -> None:
        """Do as `DuplicateGuard.abandoned`, or nothing while there is no guard."""
        if self._guard is not None:
            await self._guard.abandoned(occurrence, message_id)
