"""Holding the lease: performs what `cron.lease` decides, and says so."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from sqsd.aws.hints import hint_for_keys, statement
from sqsd.base.errors import AwsError, SqsdError
from sqsd.base.ports import Clock, EventLog
from sqsd.base.waits import pause
from sqsd.contract import LEADER_TABLE_ACTIONS, events
from sqsd.cron.lease import (
    Acquire,
    Election,
    Follower,
    Holder,
    LeaseRecord,
    Read,
    Renew,
    State,
    Wait,
)
from sqsd.cron.ports import LeaderTable

_ABSENT: Final = ("ResourceNotFoundException", "TableNotFoundException")
_FORBIDDEN: Final = ("AccessDenied", "AccessDeniedException")
#: One trouble is told once in so many seconds, with the number of times it occurred.
_REPEAT_SECONDS: Final = 60.0


@dataclass(slots=True)
class _Failures:
    """Of one action with one code: when this and its end were told last, how many failed since."""

    told_at: float
    ended_at: float
    untold: int = 0
    lasts: bool = False


class TableTrouble:
    """Tells of failing calls to the leader table: each kind once a minute, and when it is over.

    A kind is an action with an error's code: a renewal that works says nothing of claims. Every
    failure is counted, in `times` of the next event of its kind.
    """

    def __init__(self, table_name: str, clock: Clock, log: EventLog) -> None:
        self._table_name, self._clock, self._log = table_name, clock, log
        self._kinds: dict[tuple[str, str], _Failures] = {}

    def failed(self, error: SqsdError) -> None:
        """A call failed."""
        code = error.code if isinstance(error, AwsError) else type(error).__name__
        action = str(getattr(error, "action", ""))
        now = self._clock.monotonic()
        never = now - _REPEAT_SECONDS
        kind = self._kinds.setdefault((action, code), _Failures(never, never))
        kind.untold, kind.lasts = kind.untold + 1, True
        if now - kind.told_at < _REPEAT_SECONDS:
            return
        times, kind.untold, kind.told_at = kind.untold, 0, now
        self._log.emit(
            events.LEASE_FAILED,
            table=self._table_name,
            action=action or None,
            code=code,
            times=times,
            reason=str(error),
            hint=self._hint(code),
        )

    def worked(self, action: str) -> None:
        """A call of this action succeeded. Without an action, a call failed by none (keys)."""
        now = self._clock.monotonic()
        for (failed, code), kind in self._kinds.items():
            # Where every tenth call fails this is told as seldom as the failures are.
            due = now - kind.ended_at >= _REPEAT_SECONDS
            if failed in (action, "") and kind.lasts and due:
                times, kind.untold, kind.lasts, kind.ended_at = kind.untold, 0, False, now
                self._log.emit(
                    events.LEASE_RECOVERED,
                    table=self._table_name,
                    action=failed or None,
                    code=code,
                    times=times,
                )

    def _hint(self, code: str) -> str:
        needed = statement(LEADER_TABLE_ACTIONS, "dynamodb", f"table/{self._table_name}")
        if code in _ABSENT:
            return (
                f"there is no table {self._table_name} in this region: deploy the stack that has"
                f" it, or correct leader_table in the settings, and {needed}; periodic tasks wait,"
                " messages do not"
            )
        if code in _FORBIDDEN:
            return f"{needed}; periodic tasks wait, messages do not"
        hint = hint_for_keys(code) or "none needed if it passes: the call is repeated"
        return f"{hint}; periodic tasks wait, messages do not"


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
        self._step_down: tuple[float, str, str | None] | None = None
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

    def step_down(self, rest_seconds: float, reason: str, unsent: str | None = None) -> None:
        """Release the lease at the next step and let others have it for so many seconds.

        Args:
            unsent: the task whose message could not be sent, if that is why.
        """
        self._step_down = rest_seconds, reason, unsent
        self.wake.set()

    async def step(self) -> None:
        """Do the next thing, or wait until there is one or `wake` is set."""
        if self._step_down is not None:
            (rest, reason, unsent), self._step_down = self._step_down, None
            await self.release(reason, rest, unsent)
        action = self._election.decide(self._state, self._clock.monotonic())
        if isinstance(action, Wait):
            await pause(self._clock, action.until - self._clock.monotonic(), self.wake)
        else:
            await self._perform(action)
        self._tell()

    async def release(
        self, reason: str, rest_seconds: float = 0.0, unsent: str | None = None
    ) -> None:
        """Give the lease up, if held, so that another takes it at its next look; never raises."""
        state = self._state
        if not isinstance(state, Holder):
            return
        patience = self._election.call_seconds(state, self._clock.monotonic())
        # First here, then there: between the two nobody holds it.
        self._state = self._election.released(self._clock.monotonic(), rest_seconds)
        self._led = False
        self.leading.clear()
        try:
            await self._table.within(patience).release_lease(self.identity, state.term)
        except SqsdError as error:
            self._trouble.failed(error)
        self._log.emit(
            events.LEASE_RELEASED,
            holder=self.identity,
            term=state.term,
            reason=reason,
            **({} if unsent is None else {"task": unsent}),
        )

    def forget(self, reason: str) -> None:
        """Hold nothing any more, without a word to the table: what kept the lease has failed."""
        self._state = Follower(next_read=self._clock.monotonic())
        self._step_down = None
        self.leading.clear()
        if self._led:
            self._led = False
            self._log.emit(events.LEASE_LOST, holder=self.identity, reason=reason)

    async def _perform(self, action: Read | Acquire | Renew) -> None:
        started = self._clock.monotonic()
        table = self._table.within(self._election.call_seconds(self._state, started))
        try:
            await self._call(table, action, started)
        except SqsdError as error:
            self._trouble.failed(error)
            now = self._clock.monotonic()
            self._state = self._election.failed(self._state, now, self._random())
        else:
            self._trouble.worked("GetItem" if isinstance(action, Read) else "UpdateItem")

    async def _call(
        self, table: LeaderTable, action: Read | Acquire | Renew, started: float
    ) -> None:
        election = self._election
        lease = election.settings.lease_seconds
        match action:
            case Acquire(seen):
                self._tell_expired(seen)
                record = await table.acquire_lease(election.identity, lease, seen)
            case Renew(term):
                record = await table.renew_lease(election.identity, lease, term)
            case Read():
                record = await table.read_lease()
                now = self._clock.monotonic()
                self._state = election.read(self._state, record, now, self._random())
                return
        if record is not None:
            self._state = election.written(self._state, record, started)
            return
        self._state = election.refused(self._state, self._clock.monotonic())
        if isinstance(action, Acquire):
            self._log.emit(events.LEASE_CONTESTED, identity=self.identity)

    def _tell_expired(self, seen: LeaseRecord | None) -> None:
        state = self._state
        if seen is None or not isinstance(state, Follower) or seen.holder in ("", self.identity):
            return
        ago = self._clock.monotonic() - state.seen_at - seen.lease_seconds
        self._log.emit(events.LEASE_EXPIRED, holder=seen.holder, expired_at=self._iso(ago))

    def _tell(self) -> None:
        leads = self.holds()
        if leads and not self._led:
            self._log.emit(events.LEASE_ACQUIRED, holder=self.identity, term=self.term)
            self.leading.set()
        elif self._led and not leads:
            self.leading.clear()
            # Still a holder, but by the clock; a follower has been told by the table.
            if isinstance(self._state, Holder):
                ago = self._clock.monotonic() - self._state.valid_until
                self._log.emit(
                    events.LEASE_LOST,
                    holder=self.identity,
                    reason="not renewed in time",
                    expired_at=self._iso(ago),
                )
            else:
                self._log.emit(
                    events.LEASE_LOST, holder=self.identity, reason="another instance holds it"
                )
        self._led = leads

    def _iso(self, seconds_ago: float) -> str:
        at = datetime.fromtimestamp(self._clock.time() - seconds_ago, UTC)
        return at.strftime("%Y-%m-%dT%H:%M:%SZ")
