"""FIFO: of each message group one message runs, and the others wait behind it in their order.

A receive brings several messages of a group. When the first of them goes back, the others must too,
and come with it again: a message that fails ten times would cost those behind it ten receives, and
the queue would dead-letter them all. So groups in trouble are remembered, and from just before one
comes back until it has got on, receives ask for one message: that is the one at the head, and SQS
has_held the rest.
"""

from __future__ import annotations

from collections import deque
from heapq import heappop, heappush
from typing import Final

from sqsd.messages.in_flight import InFlightMessage

#: Groups in trouble that are remembered.
_REMEMBERED: Final = 10_000
#: Seconds that a group is expected to come again within, once it may.
_COMES_WITHIN: Final = 300.0


class MessageGroups:
    """A lane for each group that has a message here; the first of a lane is its head."""

    def __init__(self) -> None:
        self._lanes: dict[str, deque[InFlightMessage]] = {}
        self._back_at: dict[str, float] = {}  # groups in trouble
        self._coming: list[tuple[float, str]] = []  # a heap of the same, and of older ones
        self._trouble: dict[str, float] = {}  # of them those that may come now, and until when

    def enter(self, in_flight: InFlightMessage) -> bool:
        """Go to the end of its group's lane; whether that is its head. Without a group: always."""
        group = in_flight.message.group_id
        if group is None:
            return True
        lane = self._lanes.setdefault(group, deque())
        lane.append(in_flight)
        return len(lane) == 1

    def behind(self, head: InFlightMessage) -> list[InFlightMessage]:
        """Those that wait for it, in their order."""
        group = head.message.group_id
        return [] if group is None else list(self._lanes.get(group, ()))[1:]

    def leave(self, head: InFlightMessage) -> InFlightMessage | None:
        """The head is done with; the one behind it, now head itself, or None."""
        group = head.message.group_id
        if group is None:
            return None
        if self._back_at.pop(group, None) is not None:
            self._trouble.pop(group, None)
        lane = self._lanes.get(group)
        if lane is None:
            return None
        lane.popleft()
        if lane:
            return lane[0]
        del self._lanes[group]
        return None

    def clear(self, head: InFlightMessage, back_at: float) -> list[InFlightMessage]:
        """The head goes back, to be visible again then: end its lane; those that waited behind it,
        in their order.
        """
        group = head.message.group_id
        if group is None:
            return []
        if group in self._back_at or len(self._back_at) < _REMEMBERED:
            self._back_at[group] = back_at
            self._trouble.pop(group, None)
            heappush(self._coming, (back_at, group))
        waiting = self.behind(head)
        self._lanes.pop(group, None)
        return waiting

    def may_return(self, now: float, ahead: float) -> bool:
        """A receive that begins now, and may wait so many seconds, may bring a group in trouble."""
        while self._coming and self._coming[0][0] <= now + ahead:
            back_at, group = heappop(self._coming)
            if self._back_at.get(group) == back_at:  # else it has got on, or failed once more
                self._trouble[group] = back_at + _COMES_WITHIN
        while self._trouble:
            group, until = next(iter(self._trouble.items()))
            if now < until:
                return True
            del self._trouble[group], self._back_at[group]
        return False

    def leave_heads(self) -> None:
        """Let go of all who wait behind a head."""
        for lane in self._lanes.values():
            while len(lane) > 1:
                lane.pop()
