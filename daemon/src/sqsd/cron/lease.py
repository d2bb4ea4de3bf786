"""Which instance enqueues periodic tasks: a lease on one DynamoDB item, as a pure state machine.

**How it works.** The item has a holder, a term (one more with each acquisition) and a version
(one more with each acquisition, renewal and release). The holder renews every `renew_seconds`;
the others read the item now and then. Every write is conditional: a renewal on holder and term,
an acquisition on the very version that was read. Whoever wins an acquisition holds the lease.

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
  process that is stopped keeps its clock going; a machine that is suspended may not;
- nobody else writes the item. Deleting it, or restoring the table, voids the promise for one lease;
- identities are unique to a process, not to a machine.

A process that lost the lease, whatever the reason, competes again. A holder that releases is
followed at the next look of any follower, in fleets of up to nine within 2.5 s. One that dies is
followed when `lease_seconds` have passed since a follower first read its last version. In such a
fleet the first of them does so within about 1.2 s, and within 3 s when that one fails: occurrences
are sent within about 12 s of the death while the table answers. Calls that fail add what they last
and the pause after them: 0.1 s for the first refusal, 0.6 s for the first that hangs, and twice
that with each that follows in a row. For the look and the acquisition only the delay of the
fastest follower counts. In larger fleets the first look is a matter of chance: a few seconds, and
seldom half a minute.

**Not promised.** Holding the lease is not a fence: a process may be paused between looking and
acting. What two of them could do at once is therefore claimed by conditional writes of its own
(`occurrence`).

**What it costs.** The holder makes one write every `renew_seconds`. Followers together make at
most one strongly consistent read a second: in turns (`lease_looks`), and in fleets too large for
that at random, each twice, a lease apart, in twice as many seconds as there are of them. A renewal
that does not come is looked for once a second by each of a small fleet, until it comes or the lease
is over. The holder opens a census now and then, in a write that it makes anyway, and each follower
adds itself to it once, by a write in place of a read.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf
from typing import Final

from sqsd.cron.lease_reads import Window, is_late, is_small, next_look, window_seen

LEASE_ID: Final = "lease"
#: Nobody holds the lease.
FREE: Final = ""
#: From one look for a renewal that is late to the next.
_LATE_LOOK_SECONDS: Final = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class LeaseSettings:
    """Durations in seconds. Defaults are EB's, but for the last three.

    Args:
        lease_seconds: how long an unrenewed lease keeps others out.
        renew_seconds: from one renewal to the next.
        call_seconds: after which a call to the table is given up at the latest.
        margin_seconds: how much earlier than others may take it the holder regards it as over.
        retry_seconds: wait after a failed call, doubled from failure to failure up to the lease.
        census_seconds: from one counting of the followers to the next.
        first_call_seconds: after which the first call is given up; doubled from failure to failure
            up to `call_seconds`.

    Raises:
        ValueError: durations that contradict each other.
    """

    lease_seconds: float = 10.0
    renew_seconds: float = 5.0
    call_seconds: float = 2.0
    margin_seconds: float = 1.0
    retry_seconds: float = 0.1
    census_seconds: float = 120.0
    first_call_seconds: float = 0.5

    def __post_init__(self) -> None:
        needed = self.renew_seconds + self.call_seconds + self.margin_seconds
        if self.lease_seconds <= needed:
            raise ValueError(
                f"lease_seconds ({self.lease_seconds} s) must be above renew_seconds + call_seconds"
                f" + margin_seconds ({self.renew_seconds} + {self.call_seconds} +"
                f" {self.margin_seconds} = {needed} s), or one slow renewal loses the lease"
            )
        if min(self.margin_seconds, self.retry_seconds, self.renew_seconds, self.call_seconds) <= 0:
            raise ValueError(f"every duration of a lease must be above 0, got {self}")


@dataclass(frozen=True, kw_only=True, slots=True)
class LeaseRecord:
    """The item. `epoch` numbers the censuses; `fleet` is the last result, `census` goes on."""

    version: int
    term: int
    holder: str
    lease_seconds: float
    epoch: int = 0
    fleet: int = 0
    census: int = 0

    @property
    def followers(self) -> int:
        return max(self.fleet, self.census, 1)


# ---- what is to be done next


@dataclass(frozen=True, slots=True)
class Wait:
    """Do nothing until this monotonic time."""

    until: float


@dataclass(frozen=True, slots=True)
class Read:
    """Read the item, strongly consistent."""


@dataclass(frozen=True, slots=True)
class Register:
    """Add one to the census if its number is still `epoch`."""

    epoch: int


@dataclass(frozen=True, slots=True)
class Acquire:
    """Become holder if the item is still as `seen`; None: if there still is none."""

    seen: LeaseRecord | None


@dataclass(frozen=True, slots=True)
class Renew:
    """Add one to the version if still holder in `term`; with `census`, open a new census."""

    term: int
    census: bool


Action = Wait | Read | Register | Acquire | Renew


# ---- states


@dataclass(frozen=True, slots=True)
class Follower:
    """Somebody else may hold the lease.

    Args:
        next_read: monotonic time of the next look.
        record, seen_at: what was last read, and when this version was first.
        next_action: what the last look leads to, at once.
        registered: the census that this process was counted in, as number `ordinal` from 1.
        renewal: when `record`'s version was written, at the earliest and at the latest.
        asked_at: when the last look at it began.
        confirming: the next read only confirms that a version has not changed.
        failures: calls that failed in a row.
    """

    next_read: float
    record: LeaseRecord | None = None
    seen_at: float = 0.0
    next_action: Register | Acquire | None = None
    registered: int | None = None
    ordinal: int = 1
    renewal: Window = (0.0, 0.0)
    asked_at: float = 0.0
    confirming: bool = False
    failures: int = 0


@dataclass(frozen=True, slots=True)
class Holder:
    """This process holds the lease, until the monotonic time `valid_until` and not longer."""

    term: int
    since: float
    valid_until: float
    renew_at: float
    census_at: float
    failures: int = 0


State = Follower | Holder


@dataclass(frozen=True, slots=True)
class Election:
    """The rules, for one process.

    Args:
        identity: unique to this process.
        settings: durations, the same in the whole fleet except while they are being changed.
    """

    identity: str
    settings: LeaseSettings = LeaseSettings()

    def holds(self, state: State, now: float) -> bool:
        """Whether this process holds the lease at the monotonic time `now`."""
        return isinstance(state, Holder) and now < state.valid_until

    def decide(self, state: State, now: float) -> Action:
        """What to do at the monotonic time `now`."""
        match state:
            case Holder() if now >= state.valid_until:
                return Read()  # lost; whoever has it now, compete for it
            case Holder() if now >= state.renew_at:
                return Renew(state.term, census=now >= state.census_at)
            case Holder():
                return Wait(min(state.renew_at, state.valid_until))
            case Follower() if state.next_action is not None:
                return state.next_action
            case Follower() if now >= state.next_read:
                return Acquire(state.record) if self._is_over(state, now) else Read()
            case Follower():
                return Wait(state.next_read)

    def call_seconds(self, state: State, now: float) -> float:
        """How long the next call may take."""
        s = self.settings
        if isinstance(state, Follower) and state.record is None:
            return s.call_seconds  # a cold start: keys, names and connections are still to come
        patience = min(s.first_call_seconds * 2.0**state.failures, s.call_seconds)
        if isinstance(state, Holder) and now < state.valid_until:
            return min(patience, max(state.valid_until - now, s.first_call_seconds / 2))
        return patience

    def _is_over(self, state: Follower, now: float) -> bool:
        """The lease has run out, as far as is known; whether it did, the condition decides."""
        record, s = state.record, self.settings
        if record is None or now - state.seen_at < record.lease_seconds:
            return False
        # Without a look since a renewal was due this would be a write for nothing, mostly.
        return state.asked_at >= state.seen_at + s.renew_seconds + s.call_seconds

    # ---- what calls came to; `started` and `now` are monotonic, taken before and after the call

    def read(
        self,
        state: State,
        record: LeaseRecord | None,
        now: float,
        spread: float,
        started: float | None = None,
    ) -> State:
        """The item was read, or returned by `Register`. `spread` is random, from 0 to below 1."""
        before = state if isinstance(state, Follower) else Follower(next_read=now)
        started = now if started is None else started
        if record is None:
            return replace(before, record=None, failures=0, next_action=Acquire(None))
        known = before.record
        changed = known is None or (known.version, known.term) != (record.version, record.term)
        seen_at = now if changed else before.seen_at
        after = replace(
            before,
            record=record,
            seen_at=seen_at,
            renewal=self._renewal(before, record, now, started),
            asked_at=started,
            failures=0,
            next_action=None,
        )
        # Ours: an acquisition whose answer was lost, or a lease that ran out. Nobody else can hold
        # it, so there is nothing to wait for; but only a new term shuts out a release or a renewal
        # of the old one that is still on its way.
        unheld = record.holder in (FREE, self.identity)
        if unheld or now - seen_at >= record.lease_seconds:
            return replace(after, next_action=Acquire(record))
        if before.registered != record.epoch:
            return replace(after, next_action=Register(record.epoch))
        return self._look_again(after, changed, now, spread)

    def registered(
        self,
        state: State,
        epoch: int,
        record: LeaseRecord | None,
        now: float,
        spread: float,
        started: float | None = None,
    ) -> State:
        """`Register` was answered; without a record the census was over already."""
        if not isinstance(state, Follower):
            return state
        state = replace(state, registered=epoch, next_action=None)
        if record is not None:
            state = replace(state, ordinal=max(record.census, 1))
            return self.read(state, record, now, spread, started)
        return self._look_again(state, True, now, spread)

    def written(self, state: State, record: LeaseRecord, started: float, census: bool) -> State:
        """An acquisition or a renewal succeeded with this result; `census`: it opened one."""
        s = self.settings
        known = state if isinstance(state, Holder) and state.term == record.term else None
        return Holder(
            term=record.term,
            since=started if known is None else known.since,
            valid_until=started + s.lease_seconds - s.margin_seconds,
            renew_at=started + s.renew_seconds,
            census_at=started + s.census_seconds if census or known is None else known.census_at,
        )

    def refused(self, state: State, now: float) -> State:
        """The condition of an acquisition or a renewal did not hold: somebody else was faster."""
        if isinstance(state, Holder):
            return Follower(next_read=now)
        # What is known of the item is over: look before anything else.
        return replace(state, next_read=now, next_action=None, asked_at=-inf, failures=0)

    def failed(self, state: State, now: float, spread: float) -> State:
        """A call failed, or its answer was lost: what it did is unknown."""
        s = self.settings
        pause = min(s.retry_seconds * 2.0**state.failures, s.lease_seconds) * (1 + spread / 4)
        # Thirty doublings are enough for any lease, and keep the number small.
        failures = min(state.failures + 1, 30)
        if isinstance(state, Holder):
            if now >= state.valid_until:
                return Follower(next_read=now + pause, failures=failures)
            # A holder's retries stay close: each could be the one that keeps the lease.
            return replace(state, renew_at=now + min(pause, 1.0), failures=failures)
        return replace(state, next_read=now + pause, next_action=None, failures=failures)

    def released(self, now: float, rest_seconds: float) -> Follower:
        """The state from *before* a release is sent: not a holder, competing again after a rest."""
        return Follower(next_read=now + rest_seconds)

    def _look_again(self, state: Follower, changed: bool, now: float, spread: float) -> Follower:
        record, renew = state.record, self.settings.renew_seconds
        assert record is not None
        lease, followers = record.lease_seconds, record.followers
        overdue_at = max(state.seen_at + lease, now)
        if is_small(followers, lease):
            if is_late(state.renewal, state.asked_at, renew):
                when = min(now + _LATE_LOOK_SECONDS * (1 + spread / 4), overdue_at)
                return replace(state, next_read=when)
            when = next_look(state.renewal, record.version, state.ordinal, followers, now, renew)
            return replace(state, next_read=when, confirming=False)
        # In a large fleet half the looks confirm the other half, at the end of the lease.
        if changed and not state.confirming:
            return replace(state, next_read=overdue_at, confirming=True)
        interval = followers * (1 + spread / 4)
        return replace(state, next_read=now + 2 * interval - lease, confirming=False)

    def _renewal(self, before: Follower, record: LeaseRecord, now: float, started: float) -> Window:
        known, renew = before.record, self.settings.renew_seconds
        if known is None or known.term != record.term:
            return now - renew, now
        renewals = record.version - known.version
        return window_seen(before.renewal, renewals, before.asked_at, started, now, renew)
