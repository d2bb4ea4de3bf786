"""Enqueues periodic tasks while this process holds the lease: asyncio over `cron.occurrence`.

One coroutine competes for the lease, and each task has one of its own, so that a task in trouble
holds up no other. Nothing here touches ordinary messages, and no failure of the table or the
queue ends it.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from sqsd.base.ports import Clock, EventLog
from sqsd.base.waits import first_of, pause
from sqsd.contract import events
from sqsd.cron.election import LeaseKeeper, TableTrouble
from sqsd.cron.enqueuer import RETRY_MAX_SECONDS, Tally, TaskEnqueuer
from sqsd.cron.lease import Election, LeaseSettings
from sqsd.cron.ports import LeaderTable, Sender
from sqsd.cron.schedule import Schedule, Task

#: What a drain waits for enqueuings in progress.
_DRAIN_SECONDS: Final = 5.0


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


class Scheduler:
    """Enqueues the tasks of a schedule, in turn with the other instances of the fleet.

    Args:
        schedule: with at least one enabled task; without one, do not start a scheduler.
        table: where the fleet agrees.
        sender: of the work queue.
        clock, log: as elsewhere.
        identity: unique to this process, such as the instance's id and a random number.
        fifo: whether the queue is FIFO.
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
        settings: LeaseSettings | None = None,
        trouble: TableTrouble | None = None,
        spread: Callable[[], float] = random.random,
    ) -> None:
        self._table, self._sender, self._clock, self._log = table, sender, clock, log
        self._identity, self._fifo = identity, fifo
        self._trouble = trouble or TableTrouble(table.name, clock, log)
        election = Election(identity, settings or LeaseSettings())
        self._keeper = LeaseKeeper(election, table, clock, log, self._trouble, spread)
        self._tally = Tally()
        self._draining = asyncio.Event()
        #: While it runs: where a task's coroutine is started, and all that were not done since.
        self._group: asyncio.TaskGroup | None = None
        self._running: dict[TaskEnqueuer, asyncio.Task[None]] = {}
        self._enqueuers = {task.name: self._enqueuer(task) for task in schedule.tasks}

    def drain(self) -> None:
        """Ask `run` to finish: enqueue nothing more, release the lease, return."""
        self._draining.set()
        self._keeper.wake.set()
        for enqueuer in self._enqueuers.values():
            enqueuer.stop()

    def replace(self, schedule: Schedule) -> None:
        """Enqueue these tasks from now on. Those that did not change go on undisturbed."""
        if self._draining.is_set():
            return
        wanted = {task.name: task for task in schedule.tasks}
        for name, enqueuer in list(self._enqueuers.items()):
            if wanted.get(name) == enqueuer.task:
                del wanted[name]
                continue
            enqueuer.stop()
            if name not in wanted:
                del self._enqueuers[name]
        for task in wanted.values():
            before = self._enqueuers.get(task.name)
            self._enqueuers[task.name] = enqueuer = self._enqueuer(task)
            if self._group is not None:
                self._start(enqueuer, after=None if before is None else self._running.get(before))

    def status(self) -> SchedulerStatus:
        """A snapshot."""
        since, tally = self._keeper.since, self._tally
        return SchedulerStatus(
            leader=self._keeper.holds(),
            leader_since=None if since is None else self._clock.monotonic() - since,
            sent=tally.sent,
            repaired=tally.repaired,
            missed=tally.missed,
            skipped=tally.skipped,
            last_sent_at=tally.last_sent_at,
            late_seconds=tally.late_seconds,
        )

    async def run(self) -> None:
        """Compete and enqueue until `drain`; a cancellation leaves the lease to run out.

        What it raises is a defect; it may be run again.
        """
        self._log.emit(events.LEASE_STARTED, identity=self._identity)
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                for enqueuer in self._enqueuers.values():
                    self._start(enqueuer)
                while not self._draining.is_set():
                    await self._compete()
                await self._finish()
        except Exception as error:
            self._keeper.forget(f"a defect: {error!r}")
            raise
        finally:
            self._group = None
            self._running.clear()
        self._log.emit(events.LEASE_STOPPED, identity=self._identity)

    def _enqueuer(self, task: Task) -> TaskEnqueuer:
        return TaskEnqueuer(
            task,
            self._table,
            self._sender,
            self._keeper,
            self._clock,
            self._log,
            self._trouble,
            self._tally,
            fifo=self._fifo,
        )

    def _start(self, enqueuer: TaskEnqueuer, after: asyncio.Task[None] | None = None) -> None:
        """Run it; `after` its predecessor, which may still be between a send and its mark."""
        assert self._group is not None

        async def run() -> None:
            if after is not None:
                await asyncio.wait([after])
            await enqueuer.run()

        running = self._group.create_task(run(), name=f"cron {enqueuer.name}")
        self._running[enqueuer] = running
        running.add_done_callback(lambda _: self._running.pop(enqueuer, None))

    async def _compete(self) -> None:
        try:
            await self._keeper.step()
        except Exception as error:  # any bug: messages, and the tasks of others, must go on
            self._log.emit(events.LEASE_FAILED, reason=repr(error), times=1)
            await pause(self._clock, RETRY_MAX_SECONDS, self._keeper.wake)

    async def _finish(self) -> None:
        """Let enqueuings in progress end while the lease is ours; then free it."""
        running = list(self._running.values())
        if running:
            patience = min(_DRAIN_SECONDS, self._keeper.remaining())
            await first_of(self._clock.sleep(patience), asyncio.wait(running))
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await self._keeper.release(events.STOPPING)
