"""Competes for the lease: performs what `cron.lease` decides, and logs it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from sqsd.base.errors import SqsdError
from sqsd.base.ports import Clock, EventLog
from sqsd.base.waits import pause
from sqsd.contract import events
from sqsd.cron.lease import (
    FREE,
    Acquire,
    Follower,
    Holder,
    LeaseRecord,
    LeaseRules,
    Read,
    Renew,
    State,
    Wait,
)
from sqsd.cron.ports import LeaderTable


@dataclass(frozen=True, slots=True)
class _StepDown:
    """A release that was asked for: the arguments of `Elector.step_down`."""

    rest_seconds: float
    reason: str
    unsent: str | None


class Elector:
    """Acquires and renews the lease, one step at a time.

    Args:
        rules: the rules, with this process's identity.
        table: the leader table.
        clock: the process's clock.
        log: receives the `lease.*` events.
        random: returns numbers from 0 to below 1, which spread the fleet's reads.
    """

    def __init__(
        self,
        rules: LeaseRules,
        table: LeaderTable,
        clock: Clock,
        log: EventLog,
        random: Callable[[], float],
    ) -> None:
        self._rules = rules
        self._table = table
        self._clock = clock
        self._log = log
        self._random = random
        self._state: State = Follower(next_read=clock.monotonic())
        self._logged_as_leader = False
        self._step_down: _StepDown | None = None
        #: Set while this process leads, as of the last step; `holds` is exact.
        self.leading = asyncio.Event()
        #: Ends the wait of a step when set.
        self.wake = asyncio.Event()

    @property
    def identity(self) -> str:
        """The name of this process in the lease's item."""
        return self._rules.identity

    @property
    def term(self) -> int | None:
        """The term in which this process holds the lease, or None if it is a follower."""
        return self._state.term if isinstance(self._state, Holder) else None

    @property
    def since(self) -> float | None:
        """Monotonic time from which the lease was held without a break, or None if it is not."""
        return self._state.since if self.holds() and isinstance(self._state, Holder) else None

    def holds(self) -> bool:
        """Return whether this process holds the lease at this very moment."""
        return self._rules.holds(self._state, self._clock.monotonic())

    def remaining(self) -> float:
        """Return for how many seconds the lease is held without another renewal, or 0."""
        if not isinstance(self._state, Holder):
            return 0.0
        return max(0.0, self._state.valid_until - self._clock.monotonic())

    def step_down(self, rest_seconds: float, reason: str, unsent: str | None = None) -> None:
        """Release the lease at the next step, and do not compete for it for `rest_seconds`.

        Args:
            unsent: the task whose message could not be sent, if that is why.
        """
        self._step_down = _StepDown(rest_seconds, reason, unsent)
        self.wake.set()

    async def step(self) -> None:
        """Perform the next action, or wait until one is due or `wake` is set."""
        if self._step_down is not None:
            asked = self._step_down
            self._step_down = None
            await self.release(asked.reason, asked.rest_seconds, asked.unsent)
        action = self._rules.decide(self._state, self._clock.monotonic())
        if isinstance(action, Wait):
            await pause(self._clock, action.until - self._clock.monotonic(), self.wake)
        else:
            await self._perform(action)
        self._log_change()

    async def release(
        self, reason: str, rest_seconds: float = 0.0, unsent: str | None = None
    ) -> None:
        """Release the lease if it is held, so that the next reader acquires it; never raises."""
        state = self._state
        if not isinstance(state, Holder):
            return
        call_seconds = self._rules.call_seconds(state, self._clock.monotonic())
        # First here, then in the table: between the two no process holds the lease.
        self._state = self._rules.released(self._clock.monotonic(), rest_seconds)
        self._logged_as_leader = False
        self.leading.clear()
        with suppress(SqsdError):  # logged by the table; the lease then runs out
            await self._table.within(call_seconds).release_lease(self.identity, state.term)
        self._log.emit(
            events.LEASE_RELEASED,
            holder=self.identity,
            term=state.term,
            reason=reason,
            **({} if unsent is None else {"task": unsent}),
        )

    def forget(self, reason: str) -> None:
        """Become a follower without a call to the table, after a defect ended the renewals."""
        self._state = Follower(next_read=self._clock.monotonic())
        self._step_down = None
        self.leading.clear()
        if self._logged_as_leader:
            self._logged_as_leader = False
            self._log.emit(events.LEASE_LOST, holder=self.identity, reason=reason)

    async def _perform(self, action: Read | Acquire | Renew) -> None:
        started = self._clock.monotonic()
        table = self._table.within(self._rules.call_seconds(self._state, started))
        try:
            if isinstance(action, Read):
                await self._read(table)
            else:
                await self._write(table, action, started)
        except SqsdError:  # logged by the table
            now = self._clock.monotonic()
            self._state = self._rules.failed(self._state, now, self._random())

    async def _read(self, table: LeaderTable) -> None:
        record = await table.read_lease()
        now = self._clock.monotonic()
        self._state = self._rules.read(self._state, record, now, self._random())

    async def _write(self, table: LeaderTable, action: Acquire | Renew, started: float) -> None:
        lease_seconds = self._rules.settings.lease_seconds
        match action:
            case Acquire(seen):
                self._log_expired(seen)
                record = await table.acquire_lease(self.identity, lease_seconds, seen)
            case Renew(term):
                record = await table.renew_lease(self.identity, lease_seconds, term)
        if record is not None:
            self._state = self._rules.written(self._state, record, started)
            return
        self._state = self._rules.refused(self._state, self._clock.monotonic())
        if isinstance(action, Acquire):
            self._log.emit(events.LEASE_CONTESTED, identity=self.identity)

    # ---- the log

    def _log_expired(self, seen: LeaseRecord | None) -> None:
        state = self._state
        if seen is None or not isinstance(state, Follower) or seen.holder in (FREE, self.identity):
            return
        ago = self._clock.monotonic() - state.seen_at - seen.lease_seconds
        self._log.emit(events.LEASE_EXPIRED, holder=seen.holder, expired_at=self._iso(ago))

    def _log_change(self) -> None:
        """Log that this process became the leader or lost the lease, once for each change."""
        leads = self.holds()
        if leads and not self._logged_as_leader:
            self._log.emit(events.LEASE_ACQUIRED, holder=self.identity, term=self.term)
            self.leading.set()
        elif self._logged_as_leader and not leads:
            self.leading.clear()
            self._log_lost()
        self._logged_as_leader = leads

    def _log_lost(self) -> None:
        # The state of a holder whose time is over; the table would have made it a follower.
        if isinstance(self._state, Holder):
            ago = self._clock.monotonic() - self._state.valid_until
            values = {"reason": "not renewed in time", "expired_at": self._iso(ago)}
        else:
            values = {"reason": "another instance holds it"}
        self._log.emit(events.LEASE_LOST, holder=self.identity, **values)

    def _iso(self, seconds_ago: float) -> str:
        at = datetime.fromtimestamp(self._clock.time() - seconds_ago, UTC)
        return at.strftime("%Y-%m-%dT%H:%M:%SZ")
