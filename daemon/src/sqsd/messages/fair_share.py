"""How several queues share the slots of one application: a function of what each holds and wants.

A queue's *claim* is what it holds (messages in flight, and what open receives have asked for) and
what it wants besides: one message when it is quiet, for its own long poll; more, doubled with each
full receive, while there is more to be had. Slots are dealt out by weight, as water finds its
level: no queue gets more than it wants, none less than it holds or than one, and what some leave
the others share by weight again.

Promised:
- all queues together never take more than the window;
- a slot that is free and wanted is given to somebody (what an idle queue leaves is lent);
- a queue that wants its share gets it, as slots come free: nothing is taken from a request that
  runs, so a queue that came late waits for answers to those that came early;
- a queue that holds nothing can have its long poll open, so its first message never waits for
  another queue's, once the window is as wide as there are queues.

Not promised: shares within a second. A queue that has been quiet asks for one message first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sqsd.messages.polling import BATCH


class Usage(NamedTuple):
    """What one queue has and wants of the slots."""

    weight: int
    in_flight: int
    #: Asked for by receives that are open.
    reserved: int
    #: Beyond what is in flight; at least 1.
    want: int

    @property
    def used(self) -> int:
        return self.in_flight + self.reserved

    @property
    def demand(self) -> int:
        return self.in_flight + self.want


@dataclass(slots=True)
class Demand:
    """How much a queue wants, as its receives tell.

    Args:
        slots: `http_connections`.
    """

    slots: int
    want: int = 1

    @property
    def quiet(self) -> bool:
        """Nothing came of late: one receive for one message is enough, and may wait for long."""
        return self.want == 1

    @property
    def limit(self) -> int:
        """Messages that one receive may ask for. A wide one would hold slots while it waits."""
        return min(BATCH, self.want)

    def polled(self, asked: int, got: int) -> None:
        """A receive for `asked` messages brought `got`."""
        if got >= asked:
            self.want = min(self.slots, 2 * max(self.want, got))
        else:
            self.want = max(1, min(self.slots, 2 * got))

    def failed(self) -> None:
        """A receive failed: while the queue refuses, others may have its slots."""
        self.want = 1


def room(window: int, claims: Sequence[Usage], position: int) -> int:
    """How many messages the queue at `position` may ask for, besides what it has asked for."""
    claim = claims[position]
    free = window - sum(other.used for other in claims)
    wanted = claim.demand - claim.used
    if free <= 0 or wanted <= 0:
        return 0
    return max(0, min(free, wanted, _entitled(window, claims)[position] - claim.used))


def _entitled(window: int, claims: Sequence[Usage]) -> list[int]:
    """How many slots each queue may use in all."""
    low = [max(1, claim.used) for claim in claims]
    high = [max(least, claim.demand) for least, claim in zip(low, claims, strict=True)]
    if sum(high) <= window or sum(low) > window:
        # Enough for all; or so little, since the gate has narrowed, that the first to ask gets it.
        return high
    weights = [claim.weight for claim in claims]
    level = _level(window, low, high, weights)
    exact = [
        min(most, max(least, level * weight))
        for least, most, weight in zip(low, high, weights, strict=True)
    ]
    entitled = [int(share + 1e-9) for share in exact]
    # Parts of slots add up to whole ones: to those who miss the greatest part.
    by_part = sorted(range(len(claims)), key=lambda i: entitled[i] - exact[i])
    wanting = [i for i in by_part if entitled[i] < high[i]]
    for i in wanting[: window - sum(entitled)]:
        entitled[i] += 1
    return entitled


def _level(window: int, low: Sequence[int], high: Sequence[int], weights: Sequence[int]) -> float:
    """Slots for each unit of weight, at which the queues together use the window."""
    bounds = list(zip(low, high, weights, strict=True))

    def used_at(level: float) -> float:
        return sum(min(most, max(least, level * weight)) for least, most, weight in bounds)

    steps = {0.0, *(b / w for *both, w in bounds for b in both)}
    level = max(step for step in steps if used_at(step) <= window + 1e-9)
    # From here to the next step only these grow, evenly.
    growing = sum(
        w for least, most, w in bounds if least <= level * w + 1e-9 and level * w < most - 1e-9
    )
    return level + (window - used_at(level)) / growing if growing else level
