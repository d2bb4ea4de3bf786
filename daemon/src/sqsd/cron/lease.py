"""Elects the instance that enqueues periodic tasks: a lease on one DynamoDB item.

This module is the pure state machine; `election` performs what it decides.

**How it works.** The item has a holder, a term (one more with each acquisition) and a version (one
more with each acquisition, renewal and release). The holder renews every `renew_seconds`. Each
follower reads the item by itself, with a strongly consistent read, at most `read_seconds` after its
last read and at random up to a quarter earlier, so that a fleet does not read in step. When a
follower has seen one version for the whole length of the lease it reads once more, and acquires the
lease if the version is still the same. Every write is conditional: a renewal on holder and term, an
acquisition on the very version that was read. The process whose acquisition succeeds holds the
lease.

**Which clock is trusted.** Each process compares only times that it took from its own monotonic
clock. No time is ever written to the item. A holder counts its lease from the moment *before* it
sent the write that succeeded, and regards it as over `margin_seconds` early. A follower counts
from the moment *after* it first read a version, and takes over only when it has seen that version
unchanged for the whole length that the holder wrote down. So clocks may be set to anything, and
step.

**Promised.** At no moment do two processes hold the lease by their own clocks, whatever calls are
lost, delayed or repeated and however long a process is paused, provided that

- monotonic clocks run at rates that differ by less than `margin / (lease - margin)`: 1 in 9 with
  the defaults (real ones differ by less than 1 in 1,000), and do not stop while others run. A Linux
  process that is stopped has a clock that goes on; a machine that is suspended may not;
- no other program writes the item. Deleting it, or restoring the table, voids the promise for one
  lease;
- identities are unique to a process, not to a machine.

A process that lost the lease, whatever the reason, competes again. A released lease is acquired
after the next read of any follower, at most `read_seconds` later. A dead holder is followed within
the lease + 5 s, in a fleet of any size. With the defaults these 5 s are

- 2.0 s until a follower first reads the last version (`read_seconds`; less with more followers);
- about 0.3 s for the six calls from there to the message: two reads of the lease, the acquisition,
  the task's read and claim, and the send;
- at most 2.5 s for three calls that fail, if no call fails three times in a row. A call that hangs
  costs 0.63 s (`first_call_seconds`, then `retry_seconds` and its jitter), and 1.25 s if the call
  before it failed too; a call that is refused costs 0.13 s or 0.25 s.

Only the failures of the fastest follower count.

**Not promised.** Holding the lease is not a fence: a process may be paused between checking and
acting. What two of them could do at once is therefore claimed by further conditional writes
(`occurrence`).

**What it costs.** The holder makes one write every `renew_seconds`; each follower makes one read
every 1.75 s on average. Reads grow with the fleet: 4 followers make 2.3 reads a second, 99 make 57.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from sqsd.base.backoff import doubled

#: Key of the lease's item.
LEASE_ID: Final = "lease"
#: Holder of a released lease: no process holds it.
FREE: Final = ""
#: Holder of a lease whose item does not say who holds it: some other process.
UNKNOWN: Final = "unknown"
#: Longest lease that an item may ask for, 60 s. An item that asks for more, or for nothing that is
#: a length, was not written by this daemon; its lease counts as that long.
LEASE_SECONDS_MAX: Final = 60.0
#: Share of `read_seconds` by which a read is made earlier at most, at random.
_READ_JITTER: Final = 0.25
#: Share of a wait after a failed call by which it is longer at most, at random.
_RETRY_JITTER: Final = 0.25
#: Longest wait between a holder's attempts to renew, in seconds: each may save the lease.
_RENEWAL_RETRY_MAX_SECONDS: Final = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class LeaseSettings:
    """Durations of the lease, in seconds. The first three defaults are EB's.

    Args:
        lease_seconds: how long a lease that is not renewed excludes other processes.
        renew_seconds: time from one renewal to the next.
        call_seconds: longest time that a call to the table may take.
        margin_seconds: how much earlier than a follower its holder regards the lease as over.
        read_seconds: longest time from one read of a follower to its next.
        retry_seconds: wait after a failed call; each further failure doubles it, up to the lease.
        first_call_seconds: time that a call may take when the call before it succeeded; each
            failure doubles it, up to `call_seconds`.

    Raises:
        ValueError: durations contradict each other, or one of them is not above 0.
    """

    lease_seconds: float = 10.0
    renew_seconds: float = 5.0
    call_seconds: float = 2.0
    margin_seconds: float = 1.0
    read_seconds: float = 2.0
    retry_seconds: float = 0.1
    first_call_seconds: float = 0.5

    @property
    def shortest_read_seconds(self) -> float:
        """Shortest time from one read of a follower to its next, in seconds."""
        return self.read_seconds * (1 - _READ_JITTER)

    def __post_init__(self) -> None:
        needed = self.renew_seconds + self.call_seconds + self.margin_seconds
        if self.lease_seconds <= needed:
            raise ValueError(
                f"lease_seconds ({self.lease_seconds} s) must be above renew_seconds + call_seconds"
                f" + margin_seconds ({self.renew_seconds} + {self.call_seconds} +"
                f" {self.margin_seconds} = {needed} s), or one slow renewal loses the lease"
            )
        others = (
            self.renew_seconds,
            self.call_seconds,
            self.margin_seconds,
            self.read_seconds,
            self.retry_seconds,
            self.first_call_seconds,
        )
        if min(others) <= 0:
            raise ValueError(f"every duration of a lease must be above 0, got {self}")


@dataclass(frozen=True, kw_only=True, slots=True)
class LeaseRecord:
    """The lease's item in the table.

    Args:
        holder: the holder's identity, `FREE` after a release, or `UNKNOWN`.
        lease_seconds: above 0, up to `LEASE_SECONDS_MAX`.
        unreadable: version and term as the table has them, by name, or None if they are counters of
            this daemon's making. An acquisition replaces them.
    """

    version: int
    term: int
    holder: str
    lease_seconds: float
    unreadable: Mapping[str, Any] | None = None

    def is_same_version(self, other: LeaseRecord | None) -> bool:
        """Whether no write was made between the reads that returned the two records."""
        return other is not None and (self.version, self.term, self.unreadable) == (
            other.version,
            other.term,
            other.unreadable,
        )


# ---- what is to be done next


@dataclass(frozen=True, slots=True)
class Wait:
    """Do nothing until the monotonic time `until`."""

    until: float


@dataclass(frozen=True, slots=True)
class Read:
    """Read the item, strongly consistent."""


@dataclass(frozen=True, slots=True)
class Acquire:
    """Become the holder if the item still is as `seen`, or if there still is none (None)."""

    seen: LeaseRecord | None


@dataclass(frozen=True, slots=True)
class Renew:
    """Add one to the version if this process still is the holder in `term`."""

    term: int


Action = Wait | Read | Acquire | Renew


# ---- states


@dataclass(frozen=True, slots=True)
class Follower:
    """This process does not hold the lease; another process may.

    Args:
        next_read: monotonic time of the next read.
        record: the item as last read, or None if it was not read or did not exist.
        seen_at: monotonic time at which `record`'s version was first seen.
        acquires: whether the last read led to an acquisition, which is made at once.
        failures: calls that failed in a row.
    """

    next_read: float
    record: LeaseRecord | None = None
    seen_at: float = 0.0
    acquires: bool = False
    failures: int = 0


@dataclass(frozen=True, slots=True)
class Holder:
    """This process holds the lease, until the monotonic time `valid_until` and not longer.

    Args:
        term: number of the acquisition.
        since: monotonic time from which the lease was held without a break.
        renew_at: monotonic time of the next renewal.
        failures: renewals that failed in a row.
    """

    term: int
    since: float
    valid_until: float
    renew_at: float
    failures: int = 0


State = Follower | Holder


@dataclass(frozen=True, slots=True)
class LeaseRules:
    """The rules of the lease, for one process.

    Args:
        identity: unique to this process.
        settings: durations, the same in the whole fleet except while they are being changed.
    """

    identity: str
    settings: LeaseSettings = LeaseSettings()

    def holds(self, state: State, now: float) -> bool:
        """Return whether this process holds the lease at the monotonic time `now`."""
        return isinstance(state, Holder) and now < state.valid_until

    def decide(self, state: State, now: float) -> Action:
        """Return what to do at the monotonic time `now`."""
        match state:
            case Holder() if now >= state.valid_until:
                return Read()  # lost: compete for it, whichever process has it now
            case Holder() if now >= state.renew_at:
                return Renew(state.term)
            case Holder():
                return Wait(min(state.renew_at, state.valid_until))
            case Follower(acquires=True):
                return Acquire(state.record)
            case Follower() if now >= state.next_read:
                return Read()
            case Follower():
                return Wait(state.next_read)

    def call_seconds(self, state: State, now: float) -> float:
        """Return how long the next call may take, in seconds."""
        s = self.settings
        if isinstance(state, Follower) and state.record is None:
            # A cold start: credentials, name resolution and connections take their time.
            return s.call_seconds
        limit = doubled(s.first_call_seconds, state.failures, s.call_seconds)
        if isinstance(state, Holder) and now < state.valid_until:
            return min(limit, max(state.valid_until - now, s.first_call_seconds / 2))
        return limit

    # ---- results of calls; `now` is the monotonic time after the call

    def read(self, state: State, record: LeaseRecord | None, now: float, spread: float) -> State:
        """Return the state after the item was read as `record`, or None if there is no item.

        Args:
            spread: a random number from 0 to below 1.
        """
        before = state if isinstance(state, Follower) else Follower(next_read=now)
        if record is None:
            return Follower(next_read=now, acquires=True)
        seen_at = before.seen_at if record.is_same_version(before.record) else now
        ends_at = seen_at + record.lease_seconds
        interval = self.settings.read_seconds * (1 - _READ_JITTER * spread)
        # A lease of this process: either the answer to its acquisition was lost, or the lease ran
        # out. No other process can hold it, so there is nothing to wait for; but only a new term
        # excludes a release or a renewal of the old term that is still on its way.
        unheld = record.holder in (FREE, self.identity)
        return Follower(
            next_read=min(now + interval, max(ends_at, now)),
            record=record,
            seen_at=seen_at,
            acquires=unheld or now - seen_at >= record.lease_seconds,
        )

    def written(self, state: State, record: LeaseRecord, started: float) -> State:
        """Return the state after an acquisition or a renewal succeeded with the result `record`.

        Args:
            started: monotonic time before the call.
        """
        s = self.settings
        renewed = isinstance(state, Holder) and state.term == record.term
        return Holder(
            term=record.term,
            since=state.since if isinstance(state, Holder) and renewed else started,
            valid_until=started + s.lease_seconds - s.margin_seconds,
            renew_at=started + s.renew_seconds,
        )

    def refused(self, state: State, now: float) -> State:
        """Return the state after the condition of an acquisition or a renewal did not hold.

        Another process wrote the item first, so it is read again at once.
        """
        if isinstance(state, Holder):
            return Follower(next_read=now)
        return replace(state, next_read=now, acquires=False, failures=0)

    def failed(self, state: State, now: float, spread: float) -> State:
        """Return the state after a call failed, or its answer was lost: its effect is unknown.

        Args:
            spread: a random number from 0 to below 1.
        """
        s = self.settings
        wait = doubled(s.retry_seconds, state.failures, s.lease_seconds)
        wait *= 1 + _RETRY_JITTER * spread
        failures = state.failures + 1
        if isinstance(state, Follower):
            return replace(state, next_read=now + wait, acquires=False, failures=failures)
        if now >= state.valid_until:
            return Follower(next_read=now + wait, failures=failures)
        renew_at = now + min(wait, _RENEWAL_RETRY_MAX_SECONDS)
        return replace(state, renew_at=renew_at, failures=failures)

    def released(self, now: float, rest_seconds: float) -> Follower:
        """Return the state to enter *before* a release is sent.

        The process no longer holds the lease, and competes again after `rest_seconds`.
        """
        return Follower(next_read=now + rest_seconds)
