"""Keeps copies of one occurrence from the application: asked before a POST, told after a 200.

A call to the table costs a message of a periodic task one write before its POST and one after its
answer; ordinary messages are not concerned. When the table cannot be reached the message is
dispatched all the same: a copy is rare, an outage must not stop periodic tasks. So is one of a
task that two environments with different tables put into one queue.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Final, TypeVar

from sqsd.base.errors import SqsdError
from sqsd.base.ports import Clock, EventLog
from sqsd.cron.election import TableTrouble
from sqsd.cron.occurrence import (
    COPY_WINDOW_MAX,
    OVERLAP_MAX,
    copies_end,
    judge,
    window_of,
)
from sqsd.cron.ports import LeaderTable
from sqsd.cron.schedule import Schedule

#: How long a message waits for an answer of the table before it is dispatched without one.
ADMIT_SECONDS: Final = 8.0
#: How long the record of an answer is tried for at the least; the message is deleted meanwhile.
FINISH_SECONDS: Final = 60.0
_RETRY_SECONDS: Final = 0.5
_RETRY_MAX_SECONDS: Final = 5.0
#: What a process may ask of a table in trouble, in calls a second, however many answers wait.
_CALLS_A_SECOND: Final = 10
#: A copy may be taken over by a third in between; more than this is not chance.
_MAX_CHANGES: Final = 5

_Result = TypeVar("_Result")


class OccurrenceGuard:
    """Tells copies of occurrences from their first message.

    Args:
        schedule: the tasks; a task that is not in it (an older instance's) gets the widest window.
        table: the leader table.
        trouble: shared with the scheduler, so that one outage is told once.
    """

    def __init__(
        self,
        schedule: Schedule,
        table: LeaderTable,
        clock: Clock,
        log: EventLog,
        trouble: TableTrouble | None = None,
    ) -> None:
        self._unfinished = 0
        self.follow(schedule)
        self._table, self._clock, self._log = table, clock, log
        self._trouble = trouble or TableTrouble(table.name, clock, log)
        self.suppressed = 0

    def follow(self, schedule: Schedule) -> None:
        """These are the tasks from now on."""
        self._tasks = {task.name: task for task in schedule.tasks}

    async def is_duplicate(
        self, task: str, scheduled: datetime, message_id: str, sent_at: int | None = None
    ) -> bool:
        """Whether to delete a received message of a periodic task instead of POSTing it.

        Asked before every POST of such a message, redeliveries included. Never raises; without an
        answer of the table within `ADMIT_SECONDS` the message counts as the first.

        Args:
            task, scheduled: from the message's attributes; `scheduled` is aware.
            message_id: SQS's.
            sent_at: SQS's `SentTimestamp`, in milliseconds since 1970.
        """
        sent = None if sent_at is None else datetime.fromtimestamp(sent_at / 1000, UTC)

        async def ask() -> bool:
            return await self._ask(task, scheduled, message_id, sent)

        duplicate = bool(await self._persist(ask, ADMIT_SECONDS))
        self.suppressed += duplicate
        return duplicate

    async def completed(self, task: str, scheduled: datetime, message_id: str) -> None:
        """Told after a 200: a later copy or redelivery is a duplicate. Never raises.

        While the table fails this is tried for as long as a copy may be sent, and with `overlap:
        skip` for as long as the occurrence would hold back the next.
        """
        await self._finish(task, scheduled, message_id, done=True)

    async def abandoned(self, task: str, scheduled: datetime, message_id: str) -> None:
        """Told when no attempt follows: dead-lettered, expired, or the last failed. Never raises.

        `overlap: skip` then waits no longer, and a redriven message is dispatched.
        """
        await self._finish(task, scheduled, message_id, done=False)

    async def _ask(
        self, task: str, scheduled: datetime, message_id: str, sent: datetime | None
    ) -> bool:
        window = self._window(task)
        over = None
        for _ in range(_MAX_CHANGES):
            if await self._table.dispatch_run(task, scheduled, message_id, self._now(), over):
                return False
            over = await self._table.read_run(task, scheduled)
            if over and judge(over, message_id, scheduled, sent, window) == "duplicate":
                return True
            if over and over.state == "done":
                return False  # long answered, and this is no copy but somebody's wish
        return False

    async def _finish(self, task: str, scheduled: datetime, message_id: str, *, done: bool) -> None:
        async def write() -> None:
            await self._table.finish_run(task, scheduled, message_id, self._now(), done=done)

        self._unfinished += 1
        try:
            await self._persist(write, self._patience(task, scheduled))
        finally:
            self._unfinished -= 1

    def _window(self, task: str) -> timedelta:
        known = self._tasks.get(task)
        return COPY_WINDOW_MAX if known is None else window_of(known)

    def _patience(self, task: str, scheduled: datetime) -> float:
        """Seconds for which a record of what became of a message is worth trying."""
        known = self._tasks.get(task)
        wanted = copies_end(scheduled, self._window(task)) - self._now()
        if known is not None and known.overlap == "skip":
            wanted = max(wanted, OVERLAP_MAX)
        return max(wanted.total_seconds(), FINISH_SECONDS)

    async def _persist(
        self, call: Callable[[], Awaitable[_Result]], seconds: float
    ) -> _Result | None:
        """The result of `call`, repeated for so many seconds while the table fails; then None."""
        deadline = self._clock.monotonic() + seconds
        wait = _RETRY_SECONDS
        while True:
            try:
                result = await call()
            except SqsdError as error:
                self._trouble.failed(error)
            else:
                self._trouble.worked("UpdateItem")
                return result
            if self._clock.monotonic() + wait >= deadline:
                return None
            await self._clock.sleep(wait)
            longest = max(_RETRY_MAX_SECONDS, self._unfinished / _CALLS_A_SECOND)
            wait = min(wait * 2, longest)

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock.time(), UTC)
