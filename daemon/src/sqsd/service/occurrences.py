"""Keeps copies of one occurrence from the application: asked before a POST, told after a 200.

A call to the table costs a message of a periodic task one write before its POST and one after its
answer; ordinary messages are not concerned. When the table cannot be reached the message is
dispatched all the same: a copy is rare, an outage must not stop periodic tasks. So is one of a
task that two environments with different tables put into one queue.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Final, TypeVar

from sqsd.core.cron import Schedule
from sqsd.core.occurrence import COPY_WINDOW_MAX, judge, window_of
from sqsd.errors import SqsdError
from sqsd.ports import Clock, EventLog, LeaderTable
from sqsd.service.election import TableTrouble

#: How long a message waits for an answer of the table before it is dispatched without one.
ADMIT_SECONDS: Final = 8.0
#: How long the record of an answer is tried for; the message is deleted meanwhile.
FINISH_SECONDS: Final = 60.0
_RETRY_SECONDS: Final = 0.5
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
        self._windows = {task.name: window_of(task) for task in schedule.tasks}
        self._table, self._clock, self._log = table, clock, log
        self._trouble = trouble or TableTrouble(table.name, clock, log)
        self.suppressed = 0

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
        """Told after a 200: a later copy or redelivery is a duplicate. Never raises."""
        await self._finish(task, scheduled, message_id, done=True)

    async def abandoned(self, task: str, scheduled: datetime, message_id: str) -> None:
        """Told when the last attempt failed and the dead-letter queue is next. Never raises.

        `overlap: skip` then waits no longer, and a redriven message is dispatched.
        """
        await self._finish(task, scheduled, message_id, done=False)

    async def _ask(
        self, task: str, scheduled: datetime, message_id: str, sent: datetime | None
    ) -> bool:
        window = self._windows.get(task, COPY_WINDOW_MAX)
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

        await self._persist(write, FINISH_SECONDS)

    async def _persist(
        self, call: Callable[[], Awaitable[_Result]], seconds: float
    ) -> _Result | None:
        """The result of `call`, repeated for so many seconds while the table fails; then None."""
        deadline = self._clock.monotonic() + seconds
        wait = _RETRY_SECONDS
        while True:
            try:
                return await call()
            except SqsdError as error:
                self._trouble.failed(error)
            if self._clock.monotonic() + wait >= deadline:
                return None
            await self._clock.sleep(wait)
            wait *= 2

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock.time(), UTC)
