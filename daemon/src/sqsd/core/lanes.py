"""FIFO: of each message group one message runs, and the others wait behind it in their order.

A receive brings several messages of a group. When the first of them goes back, the others must too,
and come with it again: a message that fails ten times would cost those behind it ten receives, and
the queue would dead-letter them all. So groups in trouble are remembered, and while there is one,
receives ask for one message: that is the one at the head, and SQS keeps the rest.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from sqsd.core.flight import Flight

#: Groups in trouble that are remembered.
_REMEMBERED: Final = 10_000


class Lanes:
    """A lane for each group that has a message here; the first of a lane is its head."""

    def __init__(self) -> None:
        self._lanes: dict[str, deque[Flight]] = {}
        self._troubled: dict[str, float] = {}  # group: until when

    def enter(self, flight: Flight) -> bool:
        """Go to the end of its group's lane; whether that is its head. Without a group: always."""
        group = flight.message.group_id
        if group is None:
            return True
        lane = self._lanes.setdefault(group, deque())
        lane.append(flight)
        return len(lane) == 1

    def has_more(self, head: Flight) -> bool:
        """Somebody waits behind it."""
        group = head.message.group_id
        return group is not None and len(self._lanes.get(group, ())) > 1

    def leave(self, head: Flight) -> Flight | None:
        """The head is done with; the one behind it, now head itself, or None."""
        group = head.message.group_id
        if group is None:
            return None
        self._troubled.pop(group, None)
        lane = self._lanes.get(group)
        if lane is None:
            return None
        lane.popleft()
        if lane:
            return lane[0]
        del self._lanes[group]
        return None

    def clear(self, head: Flight, trouble_until: float) -> list[Flight]:
        """The head goes back: end its lane; those that waited behind it, in their order."""
        group = head.message.group_id
        if group is None:
            return []
        self._troubled[group] = trouble_until
        if len(self._troubled) > _REMEMBERED:
            del self._troubled[next(iter(self._troubled))]
        return list(self._lanes.pop(group, ()))[1:]

    def are_in_trouble(self, now: float) -> bool:
        """The head of some group is on its way back, or has just come again."""
        while self._troubled:
            group, until = next(iter(self._troubled.items()))
            if now < until:
                return True
            del self._troubled[group]
        return False

    def leave_heads(self) -> None:
        """Let go of all who wait behind a head."""
        for lane in self._lanes.values():
            while len(lane) > 1:
                lane.pop()
