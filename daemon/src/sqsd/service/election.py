"""Holding the lease: performs what `core.lease` decides, and says so."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final

from sqsd import logs
from sqsd.contract import LEADER_TABLE_ACTIONS
from sqsd.core.cures import cure_for_keys, statement
from sqsd.core.lease import (
    Acquire,
    Action,
    Election,
    Follower,
    Holder,
    Read,
    Register,
    Renew,
    State,
    Wait,
)
from sqsd.errors import AwsError, SqsdError
from sqsd.ports import Clock, EventLog, LeaderTable

_ABSENT: Final = ("ResourceNotFoundException", "TableNotFoundException")
_FORBIDDEN: Final = ("AccessDenied", "AccessDeniedException")
#: One trouble is told once in so many seconds, with the number of times it occurred.
_REPEAT_SECONDS: Final = 60.0


class TableTrouble:
    """Tells of failing calls to the leader table: each kind once a minute, and when it is over."""

    def __init__(self, table_name: str, clock: Clock, log: EventLog) -> None:
        self._table_name, self._clock, self._log = table_name, clock, log
        self._told_at: dict[str, float] = {}
        self._since_told: dict[str, int] = {}

    def failed(self, error: SqsdError) -> None:
        """A call failed."""
        code = error.code if isinstance(error, AwsError) else type(error).__name__
        now = self._clock.monotonic()
        self._since_told[code] = self._since_told.get(code, 0) + 1
        if now - self._told_at.get(code, -_REPEAT_SECONDS) < _REPEAT_SECONDS:
            return
        self._told_at[code] = now
        self._log.emit(
            logs.LEASE_FAILED,
            table=self._table_name,
            action=getattr(error, "action", None),
            code=code,
            times=self._since_told.pop(code),
            reason=str(error),
            cure=self._cure(code),
        )

    def worked(self) -> None:
        """A call succeeded."""
        if self._told_at:
            self._told_at.clear()
            self._since_told.clear()
            self._log.emit(logs.LEASE_RECOVERED, table=self._table_name)

    def _cure(self, code: str) -> str:
        if code in _ABSENT:
            return (
                f"there is no table {self._table_name} in this region: deploy the stack that has"
                " it, or correct leader_table in the settings; periodic tasks wait, messages do not"
            )
        if code in _FORBIDDEN:
            needed = statement(LEADER_TABLE_ACTIONS, "dynamodb", f"table/{self._table_name}")
            return f"{needed}; periodic tasks wait, messages do not"
        cure = cure_for_keys(code) or "none needed if it passes: the call is repeated"
        return f"{cure}; periodic tasks wait, messages do not"


class LeaseKeeper:
    """Competes for the lease and keeps it, one step at a time.

    Args:
        election: the rules, with this process's identity.
        table: the leader table.
        clock, log, trouble: as elsewhere.
        random: gives numbers from 0 to below 1, to spread the fleet's reads.
    """

    def __init__(
        self,
        election: Election,
        table: LeaderTable,
        clock: Clock,
        log: EventLog,
        trouble: TableTrouble,
        random: Callable[[], float],
    ) -> None:
        self._election, self._table, self._clock = election, table, clock
        self._log, self._trouble, self._random = log, trouble, random
        self._state: State = Follower(next_read=clock.monotonic())
        self._led = False
        self._step_down: float | None = None
        #: Set while this process leads, as of the last step; `holds` is the exact word.
        self.leading = asyncio.Event()
        #: Wakes a waiting step.
        self.wake = asyncio.Event()

    @property
    def identity(self) -> str:
        return self._election.identity

    @property
    def term(self) -> int | None:
        """Which of the lease's terms this process holds; None as a follower."""
        return self._state.term if isinstance(self._state, Holder) else None

    @property
    def since(self) -> float | None:
        """The monotonic time from which this process has held the lease without a break."""
        return self._state.since if self.holds() and isinstance(self._state, Holder) else None

    def holds(self) -> bool:
        """Whether this process holds the lease at this very moment."""
        return self._election.holds(self._state, self._clock.monotonic())

    def remaining(self) -> float:
        """Seconds for which the lease is held without another renewal; 0 without the lease."""
        if not isinstance(self._state, Holder):
            return 0.0
        return max(0.0, self._state.valid_until - self._clock.monotonic())

    def step_down(self, rest_seconds: float) -> None:
        """Release the lease at the next step and let others have it for so many seconds."""
        self._step_down = rest_seconds
        self.wake.set()

    async def step(self) -> None:
        """Do the next thing, or wait until there is one or `wake` is set."""
        if self._step_down is not None:
            rest, self._step_down = self._step_down, None
            await self.release(rest)
        action = self._election.decide(self._state, self._clock.monotonic())
        if isinstance(action, Wait):
            await pause(self._clock, action.until - self._clock.monotonic(), self.wake)
        else:
            await self._perform(action)
        self._tell()

    async def release(self, rest_seconds: float = 0.0) -> None:
        """Give the lease up, if held, so that another takes it at its next look; never raises."""
        state = self._state
        if not isinstance(state, Holder):
            return
        # First here, then there: between the two nobody holds it.
        self._state = self._election.released(self._clock.monotonic(), rest_seconds)
        self._led = False
        self.leading.clear()
        try:
            await self._table.release_lease(self.identity, state.term)
        except SqsdError as error:
            self._trouble.failed(error)
        self._log.emit(logs.LEASE_RELEASED, holder=self.identity, term=state.term)

    async def _perform(self, action: Read | Register | Acquire | Renew) -> None:
        started = self._clock.monotonic()
        try:
            await self._call(action, started)
        except SqsdError as error:
            self._trouble.failed(error)
            now = self._clock.monotonic()
            self._state = self._election.failed(self._state, now, self._random())
        else:
            self._trouble.worked()

    async def _call(self, action: Action, started: float) -> None:
        election, table = self._election, self._table
        lease = election.settings.lease_seconds
        match action:
            case Acquire(seen):
                record = await table.acquire_lease(election.identity, lease, seen)
                census = True
            case Renew(term, census):
                record = await table.renew_lease(election.identity, lease, term, census=census)
            case Register(epoch):
                record = await table.register_follower(epoch)
                now = self._clock.monotonic()
                self._state = election.registered(self._state, epoch, record, now, self._random())
                return
            case _:
                record = await table.read_lease()
                now = self._clock.monotonic()
                self._state = election.read(self._state, record, now, self._random())
                return
        if record is None:
            self._state = election.refused(self._state, self._clock.monotonic())
        else:
            self._state = election.written(self._state, record, started, census)

    def _tell(self) -> None:
        leads = self.holds()
        if leads and not self._led:
            self._log.emit(logs.LEASE_ACQUIRED, holder=self.identity, term=self.term)
            self.leading.set()
        elif self._led and not leads:
            self.leading.clear()
            self._log.emit(logs.LEASE_LOST, holder=self.identity)
        self._led = leads


async def pause(clock: Clock, seconds: float, wake: asyncio.Event) -> None:
    """Wait so many seconds, or until `wake` is set; clears it."""

    def slept(_: object) -> None:
        wake.set()

    sleeping = asyncio.ensure_future(clock.sleep(max(seconds, 0)))
    sleeping.add_done_callback(slept)
    try:
        await wake.wait()
    finally:
        sleeping.remove_done_callback(slept)
        sleeping.cancel()
        wake.clear()


async def first_of(*waiting: Coroutine[Any, Any, object]) -> None:
    """Wait until one of them is done; cancel the others."""
    tasks = [asyncio.ensure_future(coroutine) for coroutine in waiting]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
