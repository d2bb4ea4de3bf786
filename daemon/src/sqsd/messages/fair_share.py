"""Weighted max-min fairness: how several queues share the connections to one application.

A queue *uses* a connection for each message in flight and for each message that an open receive has
asked for. It *demands* these and more: one message when it is quiet, for its long poll; with each
full receive twice as many, while it has more. Connections are divided by weighted max-min fairness
("water-filling"): no queue gets more than it demands, none less than it uses or than one, and what
some do not need is divided among the rest, by weight again.

Promised:
- all queues together never use more than the gate's limit;
- a connection that is free and demanded is given to a queue (what an idle queue leaves is lent);
- a queue that demands its share gets it, as connections become free: no running request is cut, so
  a queue that became busy late waits for the answers to those that were busy before;
- a queue that uses nothing can have its long poll open, so its first message never waits for
  another queue's, once the limit is at least the number of queues.

Not promised: shares within a second. A queue that was quiet asks for one message first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sqsd.contract import BATCH_ENTRIES


class Usage(NamedTuple):
    """What one queue uses of the connections, and what it wants."""

    weight: int
    in_flight: int
    #: Messages that open receives have asked for.
    reserved: int
    #: Messages wanted beyond those in flight; at least 1.
    wanted: int

    @property
    def used(self) -> int:
        """Connections in use."""
        return self.in_flight + self.reserved

    @property
    def demand(self) -> int:
        """Connections that the queue would use if it could."""
        return self.in_flight + self.wanted


@dataclass(slots=True)
class Demand:
    """How many messages a queue wants, judged by its receives.

    Args:
        connections: `http_connections`.
    """

    connections: int
    wanted: int = 1

    @property
    def is_quiet(self) -> bool:
        """The last receives were empty: one long poll for one message is enough."""
        return self.wanted == 1

    @property
    def limit(self) -> int:
        """Most messages that one receive may ask for. They are reserved while it waits."""
        return min(BATCH_ENTRIES, self.wanted)

    def received(self, limit: int, count: int) -> None:
        """A receive for `limit` messages brought `count`."""
        if count >= limit:
            self.wanted = min(self.connections, 2 * max(self.wanted, count))
        else:
            self.wanted = max(1, min(self.connections, 2 * count))

    def receive_failed(self) -> None:
        """A receive failed: while the queue refuses, its connections are lent."""
        self.wanted = 1


def capacity(limit: int, usages: Sequence[Usage], position: int) -> int:
    """Return how many more messages the queue at `position` may ask for.

    Args:
        limit: how many connections there are for all queues together.
    """
    usage = usages[position]
    free = limit - sum(other.used for other in usages)
    wanted = usage.demand - usage.used
    if free <= 0 or wanted <= 0:
        return 0
    return max(0, min(free, wanted, _shares(limit, usages)[position] - usage.used))


def _shares(limit: int, usages: Sequence[Usage]) -> list[int]:
    """Return how many connections each queue may use in all."""
    low = [max(1, usage.used) for usage in usages]
    high = [max(least, usage.demand) for least, usage in zip(low, usages, strict=True)]
    if sum(high) <= limit or sum(low) > limit:
        # Enough for all; or so few, since the gate has narrowed, that the first to ask gets them.
        return high
    weights = [usage.weight for usage in usages]
    level = _level(limit, low, high, weights)
    exact = [
        min(most, max(least, level * weight))
        for least, most, weight in zip(low, high, weights, strict=True)
    ]
    shares = [int(share + 1e-9) for share in exact]
    # The fractions add up to whole connections: they go to the queues that lost the most.
    by_fraction = sorted(range(len(usages)), key=lambda i: shares[i] - exact[i])
    unsatisfied = [i for i in by_fraction if shares[i] < high[i]]
    for i in unsatisfied[: limit - sum(shares)]:
        shares[i] += 1
    return shares


def _level(limit: int, low: Sequence[int], high: Sequence[int], weights: Sequence[int]) -> float:
    """Return the connections per unit of weight at which the queues together use the limit."""
    bounds = list(zip(low, high, weights, strict=True))

    def used_at(level: float) -> float:
        return sum(min(most, max(least, level * weight)) for least, most, weight in bounds)

    steps = {0.0, *(bound / weight for *both, weight in bounds for bound in both)}
    level = max(step for step in steps if used_at(step) <= limit + 1e-9)
    # From here to the next step only these queues grow, evenly by weight.
    growing = sum(
        weight
        for least, most, weight in bounds
        if least <= level * weight + 1e-9 and level * weight < most - 1e-9
    )
    return level + (limit - used_at(level)) / growing if growing else level
