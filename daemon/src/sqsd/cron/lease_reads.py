"""When a follower looks at the lease: each in its turn, and one of them just after each renewal.

The budget is one strongly consistent read a second for the whole fleet. The less time passes from
the holder's last renewal to the first follower that sees it, the sooner is a dead holder followed;
so followers share a cycle of a whole number of renewals. Versions count renewals, so all know which
renewal begins the cycle, and the census gave each a number: its place in the cycle. The places
follow each other at equal distances from just after the renewal on.

When the renewal is due each finds out by itself: it was made between the last look that showed the
old version and the first that showed the new. Where that window has grown too wide, the next look
halves it. No clock of another is involved, and a wrong guess costs time, never safety.

This is for small fleets (`is_small`), whose cycle is one or two renewals. In a large one the cycle
would be longer than a lease, and followers look at random (`lease`).
"""

from __future__ import annotations

from math import ceil, floor
from typing import Final

#: When a version was written: at the earliest and at the latest, by the clock of who asks.
Window = tuple[float, float]

#: A look just after a renewal is so much later than the renewal can have been.
_AFTER_SECONDS: Final = 0.2
#: A follower that knows the moment of the renewals no better than this looks where it halves that.
_WINDOW_SECONDS: Final = 1.0
#: By which a renewal may be earlier and later than `renew_seconds` after the one before it.
_EARLY_SECONDS, _LATE_SECONDS = 0.002, 0.005
#: Of a turn: a look that is nearer than this to the one just taken is that one.
_SAME_LOOK: Final = 0.25


def window_of_next(window: Window, renewals: int, renew: float) -> Window:
    """When the version after so many renewals is to be expected."""
    earliest, latest = window
    return (
        earliest + renewals * (renew - _EARLY_SECONDS),
        latest + renewals * (renew + _LATE_SECONDS),
    )


def window_seen(
    known: Window, renewals: int, asked_at: float, started: float, now: float, renew: float
) -> Window:
    """When the version that was just read was written.

    Args:
        known: the same of the version that was read before.
        renewals: made since.
        asked_at: when the look that showed the former version began.
        started, now: when this look began and ended.
        renew: seconds from one renewal to the next.
    """
    if renewals == 0:  # and the next one comes after the look that did not show it
        earliest, latest = known
        return (max(earliest, started - renew), latest) if started - renew < latest else known
    seen = max(asked_at, now - renew), now
    foreseen = window_of_next(known, renewals, renew)
    both = max(seen[0], foreseen[0]), min(seen[1], foreseen[1])
    return both if both[0] < both[1] else seen


def is_late(window: Window, asked_at: float, renew: float) -> bool:
    """A look that showed no change began after the next renewal was due."""
    return asked_at >= window_of_next(window, 1, renew)[1]


def is_small(followers: int, lease: float) -> bool:
    """Each can look at least once in a lease, within the budget."""
    return followers + 2 <= lease


def next_look(
    window: Window,
    version: int,
    ordinal: int,
    followers: int,
    now: float,
    renew: float,
) -> float:
    """When a follower of a small fleet looks next.

    Args:
        window: when `version` was written.
        ordinal: this follower's number in the census, from 1.
        followers: how many there are.
        renew: seconds from one renewal to the next.
    """
    renewals = ceil((followers + 1) / renew)
    cycle = renewals * renew
    looks = max(1, floor((cycle - 1) / followers))
    apart = cycle / (looks * followers)
    earliest, latest = window
    first = latest - version % renewals * renew
    place = first + _AFTER_SECONDS + (ordinal - 1) % followers * apart
    turn = apart * followers
    when = place + (floor((now - place) / turn + _SAME_LOOK) + 1) * turn
    middle = (earliest + latest) / 2 + renew
    wide = latest - earliest > _WINDOW_SECONDS and middle > now
    return min(when, middle) if wide else when
