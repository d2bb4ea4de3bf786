"""How many receives to have open, and for how many messages each: a function of values.

One long poll waits on an idle queue. A full answer means that the queue has more, and doubles the
number of receives; an empty one takes a receive away. A receive never asks for more messages than
there is capacity for.

Connections become free one by one. A receive for each would cost as much as ten messages do, so a
receive for one or two messages is put off for a small share of the time that the application takes,
or for the millisecond up to which event loops round a wait. Three free connections are worth a
receive at once. Throughput given up is bounded by that, whatever the application, and half of all
receives and more are saved.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, NamedTuple

from sqsd.contract import BATCH_ENTRIES

#: Free connections that are worth a receive at once; fewer are put off.
_WORTH_A_RECEIVE: Final = 3
#: Messages that an open receive brings on average, when many are open: many are not full.
_MEAN_MESSAGES: Final = BATCH_ENTRIES // 2
#: Longest time that a receive is put off, as a share of the mean request time.
_LINGER_SHARE: Final = 0.02
#: Shortest and longest time that a receive is put off, in seconds.
_SHORTEST_LINGER: Final = 0.001
_LONGEST_LINGER: Final = 0.25
#: Shortest mean request time for which receives are put off, in seconds.
_SHORTEST_REQUEST: Final = 0.01
#: Weight of the newest request in the running mean of request times.
_NEWEST_WEIGHT: Final = 0.05


class Receive(NamedTuple):
    """An open receive: it asked for `limit` messages, and waits for `wait_seconds` at most."""

    limit: int
    wait_seconds: int
    #: Monotonic seconds.
    opened_at: float

    @property
    def ends_at(self) -> float:
        """Monotonic seconds at which the receive ends if the queue has no message."""
        return self.opened_at + self.wait_seconds


class Decision(NamedTuple):
    """Ask for `limit` messages now; else decide again after `seconds`, or, if None, on a change."""

    limit: int = 0
    seconds: float | None = None


NOTHING: Final = Decision()


@dataclass(slots=True)
class Polling:
    """What the decision needs to know beside the free capacity.

    Args:
        connections: `http_connections`.
    """

    connections: int
    #: How many receives may be open.
    target: int = 1
    mean_app_seconds: float = 0.0
    _few_since: float | None = None

    @property
    def most(self) -> int:
        """Most receives that may ever be open."""
        return math.ceil(self.connections / _MEAN_MESSAGES)

    def decide(
        self, capacity: int, open_receives: int, now: float, limit: int = BATCH_ENTRIES
    ) -> Decision:
        """Decide whether to open another receive, when `capacity` messages more may be asked for.

        Args:
            limit: most messages that one receive may ask for.
        """
        if capacity <= 0:
            self._few_since = None
            return NOTHING
        if open_receives >= self.target:
            return NOTHING
        wanted = min(limit, self.connections)
        if capacity < min(_WORTH_A_RECEIVE, wanted):
            if self._few_since is None:
                self._few_since = now
            left = self._few_since + self._linger() - now
            if left > 0:
                return Decision(seconds=left)
        self._few_since = None
        return Decision(min(capacity, wanted))

    def received(self, limit: int, count: int) -> None:
        """A receive for `limit` messages brought `count`."""
        if 2 * count >= limit:
            self.target = min(self.most, self.target * 2)
        elif count == 0:
            self.target = max(1, self.target - 1)

    def answered(self, app_seconds: float) -> None:
        """The application answered a request after `app_seconds`."""
        self.mean_app_seconds += (app_seconds - self.mean_app_seconds) * _NEWEST_WEIGHT

    def _linger(self) -> float:
        if self.mean_app_seconds < _SHORTEST_REQUEST:
            return 0.0
        return min(max(self.mean_app_seconds * _LINGER_SHARE, _SHORTEST_LINGER), _LONGEST_LINGER)
