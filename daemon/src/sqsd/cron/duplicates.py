"""Recognises copies of an occurrence before they are POSTed.

A message that a scheduler sent costs one write before its POST and one after its answer; other
messages cost nothing. An occurrence is known by its claim's nonce as well, so a message that anyone
else sent, with whatever attributes, has no influence on what is recorded of it. When the table
cannot be reached the message is dispatched all the same: a copy is rare, and an outage must not
stop periodic tasks. A message is also dispatched if two environments with different tables enqueue
the same task into one queue.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Final, TypeVar

from sqsd.base.backoff import doubled
from sqsd.base.errors import AwsError, SqsdError
from sqsd.base.ports import Clock
from sqsd.contract import Occurrence
from sqsd.cron.occurrence import (
    AHEAD_MAX,
    COPY_WINDOW_MAX,
    OVERLAP_MAX,
    copies_end,
    judge,
    window_of,
)
from sqsd.cron.ports import LeaderTable
from sqsd.cron.schedule import Schedule

#: Longest time that a message waits for the table before it is dispatched all the same, in seconds.
ADMIT_SECONDS: Final = 8.0
#: Shortest time for which recording an answer is tried, in seconds; the message is deleted
#: meanwhile.
FINISH_SECONDS: Final = 60.0
#: Wait after a failed call, in seconds; each further failure doubles it.
_RETRY_SECONDS: Final = 0.5
#: Longest wait after a failed call, in seconds, while few answers are to be recorded.
_RETRY_MAX_SECONDS: Final = 5.0
#: Most calls that a process makes to a failing table, in calls a second, however many answers are
#: to be recorded.
_CALLS_A_SECOND: Final = 10
#: Most times that a record may change while it is judged: each time another message took it over,
#: and more than this is not chance.
_MAX_CHANGES: Final = 5

_Result = TypeVar("_Result")


class DuplicateGuard:
    """Distinguishes copies of an occurrence from its first message.

    Args:
        schedule: the tasks; a task that is not in it (an older instance's) has the widest window.
        table: the leader table.
        clock: the process's clock.
    """

    def __init__(self, schedule: Schedule, table: LeaderTable, clock: Clock) -> None:
        self._table = table
        self._clock = clock
        self._unfinished = 0
        #: Messages recognised as duplicates.
        self.suppressed = 0
        self.follow(schedule)

    def follow(self, schedule: Schedule) -> None:
        """Use the tasks of `schedule` from now on."""
        self._tasks = {task.name: task for task in schedule.tasks}

    async def is_duplicate(
        self, occurrence: Occurrence, message_id: str, sent_at: int | None = None
    ) -> bool:
        """Return whether to delete a received message of a periodic task instead of POSTing it.

        Call it before every POST of such a message, redeliveries included. Never raises; without an
        answer of the table within `ADMIT_SECONDS`, or if the table refuses the item for good, the
        message counts as the first.

        Args:
            occurrence: what the message was sent for, from its attributes.
            message_id: SQS's id of the message.
            sent_at: SQS's `SentTimestamp`, in milliseconds since 1970.
        """
        sent = None if sent_at is None else datetime.fromtimestamp(sent_at / 1000, UTC)

        async def ask() -> bool:
            return await self._ask(occurrence, message_id, sent)

        duplicate = bool(await self._persist(ask, ADMIT_SECONDS))
        self.suppressed += duplicate
        return duplicate

    async def completed(self, occurrence: Occurrence, message_id: str) -> None:
        """Record that a message was answered with 200, so that later copies are duplicates.

        Never raises. While the table fails this is tried for as long as a copy may be sent, and
        with `overlap: skip` for as long as the occurrence would hold back the next.
        """
        await self._finish(occurrence, message_id, done=True)

    async def abandoned(self, occurrence: Occurrence, message_id: str) -> None:
        """Record that no attempt follows: dead-lettered, expired, or failed for the last time.

        Never raises. `overlap: skip` then waits no longer, and a redriven message is dispatched.
        """
        await self._finish(occurrence, message_id, done=False)

    async def _ask(self, occurrence: Occurrence, message_id: str, sent: datetime | None) -> bool:
        window = self._window(occurrence.task)
        seen = None
        for _ in range(_MAX_CHANGES):
            if await self._table.dispatch_run(occurrence, message_id, self._now(), seen):
                return False
            seen = await self._table.read_run(occurrence)
            if seen and judge(seen, message_id, occurrence.scheduled, sent, window) == "duplicate":
                return True
            if seen and seen.state == "done":
                return False  # answered long ago: this is no copy, but was sent on purpose
        return False

    async def _finish(self, occurrence: Occurrence, message_id: str, *, done: bool) -> None:
        async def write() -> None:
            await self._table.finish_run(occurrence, message_id, self._now(), done=done)

        self._unfinished += 1
        try:
            await self._persist(write, self._finish_seconds(occurrence))
        finally:
            self._unfinished -= 1

    def _window(self, task: str) -> timedelta:
        known = self._tasks.get(task)
        return COPY_WINDOW_MAX if known is None else window_of(known)

    def _finish_seconds(self, occurrence: Occurrence) -> float:
        """Return for how many seconds a record of what became of a message is worth trying."""
        known = self._tasks.get(occurrence.task)
        # A sender may name any time, but a scheduler sends nothing that is not due.
        scheduled = min(occurrence.scheduled, self._now() + AHEAD_MAX)
        wanted = copies_end(scheduled, self._window(occurrence.task)) - self._now()
        if known is not None and known.overlap == "skip":
            wanted = max(wanted, OVERLAP_MAX)
        return max(wanted.total_seconds(), FINISH_SECONDS)

    async def _persist(
        self, call: Callable[[], Awaitable[_Result]], seconds: float
    ) -> _Result | None:
        """Return the result of `call`, or None if the table refuses it for good or fails too long.

        Args:
            seconds: time for which the call is repeated while the table fails.
        """
        deadline = self._clock.monotonic() + seconds
        failures = 0
        while True:
            try:
                return await call()
            except SqsdError as error:  # logged by the table
                if isinstance(error, AwsError) and error.final:
                    return None
            longest = max(_RETRY_MAX_SECONDS, self._unfinished / _CALLS_A_SECOND)
            wait = doubled(_RETRY_SECONDS, failures, longest)
            failures += 1
            if self._clock.monotonic() + wait >= deadline:
                return None
            await self._clock.sleep(wait)

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock.time(), UTC)
