"""Enqueues periodic tasks while this process holds the lease: asyncio over `cron.occurrence`.

One coroutine competes for the lease and one runs each task, so that a task that fails delays no
other. Nothing here touches ordinary messages, and no failure of the table or the queue ends it.
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
from sqsd.cron.election import Elector
from sqsd.cron.enqueuer import RETRY_MAX_SECONDS, CronCounts, TaskEnqueuer
from sqsd.cron.lease import LeaseRules
from sqsd.cron.ports import LeaderTable, Sender
from sqsd.cron.schedule import Schedule, Task

#: Longest time that a drain waits for enqueuers to end, in seconds.
_DRAIN_SECONDS: Final = 5.0


@dataclass(frozen=True, kw_only=True, slots=True)
class SchedulerStatus:
    """What a scheduler did since it was started.

    Args:
        leader: whether this process holds the lease.
        leader_since: seconds for which it has held the lease, or None if it does not.
        last_sent_at: epoch seconds of the last message, or None if there was none.
        late_seconds: by how much the last message was later than its scheduled time.
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
    """Enqueues the tasks of a schedule whenever this instance leads the fleet.

    Args:
        schedule: has at least one enabled task; without one, do not start a scheduler.
        table: where the fleet agrees.
        sender: sends to the work queue.
        clock: the process's clock.
        log: receives the `lease.*` and `cron.*` events.
        rules: the lease's durations and this process's identity, such as the instance's id and a
            random number.
        fifo: whether the queue is FIFO.
        spread: returns numbers from 0 to below 1, which spread the fleet's reads.
    """

    def __init__(
        self,
        schedule: Schedule,
        table: LeaderTable,
        sender: Sender,
        clock: Clock,
        log: EventLog,
        rules: LeaseRules,
        *,
        fifo: bool = False,
        spread: Callable[[], float] = random.random,
    ) -> None:
        self._table = table
        self._sender = sender
        self._clock = clock
        self._log = log
        self._fifo = fifo
        self._elector = Elector(rules, table, clock, log, spread)
        self._counts = CronCounts()
        self._draining = asyncio.Event()
        #: Owns the tasks' coroutines while `run` runs; None otherwise.
        self._group: asyncio.TaskGroup | None = None
        #: Coroutines that were started and have not ended.
        self._running: dict[TaskEnqueuer, asyncio.Task[None]] = {}
        self._enqueuers = {task.name: self._enqueuer(task) for task in schedule.tasks}

    def drain(self) -> None:
        """Ask `run` to finish: enqueue nothing more, release the lease, return."""
        self._draining.set()
        self._elector.wake.set()
        for enqueuer in self._enqueuers.values():
            enqueuer.stop()

    def replace(self, schedule: Schedule) -> None:
        """Enqueue the tasks of `schedule` from now on; unchanged tasks are undisturbed."""
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
            enqueuer = self._enqueuer(task)
            self._enqueuers[task.name] = enqueuer
            if self._group is not None:
                self._start(enqueuer, after=None if before is None else self._running.get(before))

    def status(self) -> SchedulerStatus:
        """Return a snapshot of the counts and of the lease."""
        since = self._elector.since
        counts = self._counts
        return SchedulerStatus(
            leader=self._elector.holds(),
            leader_since=None if since is None else self._clock.monotonic() - since,
            sent=counts.sent,
            repaired=counts.repaired,
            missed=counts.missed,
            skipped=counts.skipped,
            last_sent_at=counts.last_sent_at,
            late_seconds=counts.late_seconds,
        )

    async def run(self) -> None:
        """Compete and enqueue until `drain`; a cancelled run leaves the lease to run out.

        Whatever it raises is a defect. It may be run again.
        """
        self._log.emit(events.LEASE_STARTED, identity=self._elector.identity)
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                for enqueuer in self._enqueuers.values():
                    self._start(enqueuer)
                while not self._draining.is_set():
                    await self._compete()
                await self._finish()
        except Exception as error:
            self._elector.forget(f"a defect: {error!r}")
            raise
        finally:
            self._group = None
            self._running.clear()
        self._log.emit(events.LEASE_STOPPED, identity=self._elector.identity)

    def _enqueuer(self, task: Task) -> TaskEnqueuer:
        return TaskEnqueuer(
            task,
            self._table,
            self._sender,
            self._elector,
            self._clock,
            self._log,
            self._counts,
            fifo=self._fifo,
        )

    def _start(self, enqueuer: TaskEnqueuer, after: asyncio.Task[None] | None = None) -> None:
        """Run an enqueuer.

        Args:
            after: the coroutine of the enqueuer that it replaces, which may be between a send and
                its mark; the new one waits until it ends.
        """
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
            await self._elector.step()
        except Exception as error:  # any bug: messages, and the fleet's tasks, must go on
            self._log.emit(events.LEASE_FAILED, reason=repr(error), times=1)
            await pause(self._clock, RETRY_MAX_SECONDS, self._elector.wake)

    async def _finish(self) -> None:
        """Wait for the enqueuers to end while the lease is held, and release it."""
        running = list(self._running.values())
        if running:
            longest = min(_DRAIN_SECONDS, self._elector.remaining())
            await first_of(self._clock.sleep(longest), asyncio.wait(running))
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await self._elector.release(events.STOPPING)
