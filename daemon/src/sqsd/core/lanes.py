"""FIFO: of each message group one message runs, and the others wait behind it in their order."""

from __future__ import annotations

from collections import deque

from sqsd.core.flight import Flight


class Lanes:
    """A lane for each group that has a message here; the first of a lane is its head."""

    def __init__(self) -> None:
        self._lanes: dict[str, deque[Flight]] = {}

    def enter(self, flight: Flight) -> bool:
        """Go to the end of its group's lane; whether that is its head. Without a group: always."""
        group = flight.message.group_id
        if group is None:
            return True
        lane = self._lanes.setdefault(group, deque())
        lane.append(flight)
        return len(lane) == 1

    def leave(self, head: Flight) -> Flight | None:
        """The head is done with; the one behind it, now head itself, or None."""
        group = head.message.group_id
        lane = None if group is None else self._lanes.get(group)
        if lane is None:
            return None
        lane.popleft()
        if lane:
            return lane[0]
        del self._lanes[str(group)]
        return None

    def clear(self, head: Flight) -> list[Flight]:
        """End the lane; those that waited behind its head, in their order."""
        group = head.message.group_id
        lane = None if group is None else self._lanes.pop(group, None)
        return [] if lane is None else list(lane)[1:]

    def leave_heads(self) -> None:
        """Let go of all who wait behind a head."""
        for lane in self._lanes.values():
            while len(lane) > 1:
                lane.pop()
