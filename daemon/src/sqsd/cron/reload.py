"""Runs the tasks of a `cron.yaml`, and follows the file when somebody replaces it.

What can be used of a new file is used at once; tasks that did not change do not notice. A file of
which nothing can be used leaves the last schedule in force. Problems are told once a minute.
While no task is enabled there is no scheduler, and DynamoDB is not called.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final, Protocol

from sqsd.base.ports import Clock, EventLog
from sqsd.base.waits import first_of, pause
from sqsd.contract import events
from sqsd.cron.cron_yaml import Problem
from sqsd.cron.duplicates import OccurrenceGuard
from sqsd.cron.file import NO_LEADER_TABLE
from sqsd.cron.schedule import Schedule, Task
from sqsd.cron.scheduler import Scheduler

#: From one look at the file to the next.
_LOOK_SECONDS: Final = 5.0
#: A file that was changed is read when it has been left alone for so long.
_STILL_SECONDS: Final = 1.0
#: For the leader to note which tasks no longer run, before the last scheduler ends.
_NOTE_SECONDS: Final = 2.0
_PROBLEMS_SECONDS: Final = 60.0


class ScheduleFile(Protocol):
    """The file: `periodic.CronFile`."""

    @property
    def name(self) -> str:
        """For messages to people."""

    def stamp(self) -> object:
        """Differs when the file does; never raises."""

    def read(self) -> tuple[Schedule, tuple[Problem, ...]]:
        """The tasks that can be used, and every problem; never raises."""


class PeriodicTasks:
    """Implements `supervisor.Periodic` and `messages.dispatcher.ScheduledCopies`.

    Args:
        file: where the tasks are; read here for the first time.
        clock, log: as elsewhere.
        scheduler: makes one; None where there is no leader table.
        guard: makes the one guard; as for `scheduler`.
    """

    def __init__(
        self,
        file: ScheduleFile,
        clock: Clock,
        log: EventLog,
        scheduler: Callable[[Schedule], Scheduler] | None,
        guard: Callable[[Schedule], OccurrenceGuard] | None,
    ) -> None:
        self._file, self._clock, self._log = file, clock, log
        self._make_scheduler, self._make_guard = scheduler, guard
        self._schedule = Schedule()
        self._problems: tuple[str, ...] = ()
        self._scheduler: Scheduler | None = None
        self._guard: OccurrenceGuard | None = None
        self._draining = asyncio.Event()
        #: There is something to run now, or something to tell.
        self._changed, self._to_tell = asyncio.Event(), asyncio.Event()
        self._stamp = file.stamp()
        self._load(first=True)

    @property
    def tasks(self) -> Sequence[Task]:
        """Those that are enabled, as of now."""
        return self._schedule.enabled

    @property
    def problems(self) -> Sequence[str]:
        """What of the file cannot be run."""
        return self._problems

    # ---- life

    def drain(self) -> None:
        """Ask `run` to finish."""
        self._draining.set()
        if self._scheduler is not None:
            self._scheduler.drain()

    async def run(self) -> None:
        """Until drained; what it raises is a defect, and it may be run again."""
        async with asyncio.TaskGroup() as group:
            beside = [
                group.create_task(self._follow(), name="cron file"),
                group.create_task(self._tell(), name="cron problems"),
            ]
            while not self._draining.is_set():
                self._changed.clear()
                if self._scheduler is None:
                    self._scheduler = self._made()
                if self._scheduler is None:
                    await first_of(self._changed.wait(), self._draining.wait())
                    continue
                await self._scheduler.run()
                self._scheduler = None  # drained: of no more use
            for task in beside:
                task.cancel()

    def _made(self) -> Scheduler | None:
        if not self.tasks or self._make_scheduler is None or self._make_guard is None:
            return None
        if self._guard is None:
            self._guard = self._make_guard(self._schedule)
        return self._make_scheduler(self._schedule)

    async def _follow(self) -> None:
        while True:
            await self._clock.sleep(_LOOK_SECONDS)
            stamp = self._file.stamp()
            if stamp == self._stamp:
                continue
            await self._clock.sleep(_STILL_SECONDS)
            if self._file.stamp() == stamp:  # else somebody is still writing it
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
                await self._clock.sleep(_NOTE_SECONDS)
                scheduler.drain()
        self._changed.set()

    def _load(self, *, first: bool = False) -> bool:
        """Read the file; whether there is a schedule to use now."""
        schedule, problems = self._file.read()
        usable = bool(schedule.tasks) or not problems
        self._problems = tuple(map(str, problems))
        if usable:
            self._schedule = schedule
        # At the start there is nothing to say of no tasks; later they are news.
        if usable and (self.tasks or not first):
            self._log.emit(
                events.CRON_LOADED,
                tasks=[task.name for task in schedule.enabled],
                file=self._file.name,
            )
        if self.tasks and self._make_scheduler is None:
            self._problems = (*self._problems, NO_LEADER_TABLE)
        self._to_tell.set()
        return usable

    async def _tell(self) -> None:
        """Say what cannot be run: at once, and then once a minute."""
        while True:
            self._to_tell.clear()
            if self._problems:
                self._log.emit(events.CRON_INVALID, problems=self._problems, file=self._file.name)
            await pause(self._clock, _PROBLEMS_SECONDS, self._to_tell)

    # ---- for who dispatches

    async def is_duplicate(
        self, task: str, scheduled: datetime, message_id: str, sent_at: int | None = None
    ) -> bool:
        """As `OccurrenceGuard.is_duplicate`; without a guard no."""
        guard = self._guard
        return guard is not None and await guard.is_duplicate(task, scheduled, message_id, sent_at)

    async def completed(self, task: str, scheduled: datetime, message_id: str) -> None:
        """As `OccurrenceGuard.completed`."""
        if self._guard is not None:
            await self._guard.completed(task, scheduled, message_id)

    async def abandoned(self, task: str, scheduled: datetime, message_id: str) -> None:
        """As `OccurrenceGuard.abandoned`."""
        if self._guard is not None:
            await self._guard.abandoned(task, scheduled, message_id)
