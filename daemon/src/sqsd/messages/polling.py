"""How many receives to have open, and for how many messages each: a function of values.

One long poll waits on an idle queue. A full answer says that more is there and doubles the number
of polls; an empty one takes a poll away. A poll never asks for more than there is room for.

Slots come free one by one. A receive for each would cost as much as ten messages do, so a receive
for one or two is put off for a small share of the time the application takes, or for the
millisecond that event loops round a wait up to; three are worth one at once. Throughput given up is
bounded by that, whatever the application, and receives are saved by a half and more.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, NamedTuple

BATCH: Final = 10
#: Free slots that are worth a receive at once; fewer wait for company.
_WORTH: Final = 3
#: Messages for each receive that is open at most: many are not full.
_HALF: Final = BATCH // 2
#: The share of the mean request time that a free slot may wait for company.
_SHARE: Final = 0.02
#: The least there is of waiting, in seconds, and the mean request time from which slots count.
_SHORTEST_LINGER: Final = 0.001
_SHORTEST_REQUEST: Final = 0.01
#: Seconds it may wait at the most.
_LONGEST_LINGER: Final = 0.25
#: Weight of the newest request in the running mean of request times.
_WEIGHT: Final = 0.05


class Decision(NamedTuple):
    """Ask for so many messages, or look again after so many seconds; neither: wait for a change."""

    ask_for: int = 0
    look_again_seconds: float | None = None


NOTHING: Final = Decision()


@dataclass(slots=True)
class Polling:
    """The state that the decision needs beside the room there is.

    Args:
        slots: `http_connections`.
    """

    slots: int
    target: int = 1
    mean_app_seconds: float = 0.0
    _short_since: float | None = None

    @property
    def most(self) -> int:
        return math.ceil(self.slots / _HALF)

    @property
    def hurries(self) -> bool:
        """A receive should leave at once: requests take so long that the idle time of a slot costs
        more messages than a round of the event loop, in which answers gather, saves CPU.
        """
        return self.mean_app_seconds >= _SHORTEST_REQUEST

    def decide(self, room: int, open_polls: int, now: float, limit: int = BATCH) -> Decision:
        """Whether to open another poll, when there is room for so many messages.

        Args:
            limit: what one poll may ask for at the most.
        """
        if room <= 0:
            self._short_since = None
            return NOTHING
        if open_polls >= self.target:
            return NOTHING
        wanted = min(limit, self.slots)
        if room < min(_WORTH, wanted):
            if self._short_since is None:
                self._short_since = now
            left = self._short_since + self._linger() - now
            if left > 0:
                return Decision(look_again_seconds=left)
        self._short_since = None
        return Decision(ask_for=min(room, wanted))

    def polled(self, asked: int, got: int) -> None:
        """A receive for `asked` messages brought `got`."""
        if 2 * got >= asked:
            self.target = min(self.most, self.target * 2)
        elif got == 0:
            self.target = max(1, self.target - 1)

    def answered(self, app_seconds: float) -> None:
        """A request took so long."""
        self.mean_app_seconds += (app_seconds - self.mean_app_seconds) * _WEIGHT

    def _linger(self) -> float:
        if not self.hurries:
            return 0.0
        return min(max(self.mean_app_seconds * _SHARE, _SHORTEST_LINGER), _LONGEST_LINGER)
