"""FIFO message groups: of each group one message runs, and the rest waits in the order received.

A receive brings several messages of a group. When the first is released, the rest must be too, and
all are delivered again together: a message that fails ten times would cost each of them ten
receives, and the queue would dead-letter them all. So groups whose first message was released are
remembered. From just before such a group is visible again until its first message is done, receives
ask for one message: SQS then delivers the first of the group alone, and keeps the rest in the
queue.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush
from typing import Final

from sqsd.messages.in_flight import InFlightMessage

#: Most released groups that are remembered.
_REMEMBERED: Final = 10_000
#: How long a released group is expected to be received again, in seconds, once it is visible.
_EXPECTED_SECONDS: Final = 300.0


class MessageGroups:
    """The message groups that have a message here, and those whose first was released.

    A message without a group id never waits.
    """

    def __init__(self) -> None:
        self._groups: dict[str, deque[InFlightMessage]] = {}
        #: When each released group is visible again.
        self._visible_at: dict[str, float] = {}
        #: A heap of the same times; it has outdated ones too.
        self._upcoming: list[tuple[float, str]] = []
        #: Released groups that may be visible now, and until when each is expected.
        self._expected: dict[str, float] = {}

    def enter(self, in_flight: InFlightMessage) -> bool:
        """Add a message to its group. Returns whether it is the first, and so may run."""
        group_id = in_flight.message.group_id
        if group_id is None:
            return True
        group = self._groups.setdefault(group_id, deque())
        group.append(in_flight)
        return len(group) == 1

    def waiting_for(self, first: InFlightMessage) -> list[InFlightMessage]:
        """Return the messages that wait for the first of their group, in order.

        There are none for a message that is not the first of its group.
        """
        group_id = first.message.group_id
        group = None if group_id is None else self._groups.get(group_id)
        return list(group)[1:] if group and group[0] is first else []

    def done(self, first: InFlightMessage) -> InFlightMessage | None:
        """Remove the first message of a group. Returns the next one, which is the first now."""
        group_id = first.message.group_id
        if group_id is None:
            return None
        if self._visible_at.pop(group_id, None) is not None:
            self._expected.pop(group_id, None)
        group = self._groups.get(group_id)
        if group is None:
            return None
        group.popleft()
        if group:
            return group[0]
        del self._groups[group_id]
        return None

    def release(self, first: InFlightMessage, visible_at: float) -> list[InFlightMessage]:
        """Close a group because its first message is released until `visible_at`.

        Returns: the messages that waited for it, in order.
        """
        group_id = first.message.group_id
        if group_id is None:
            return []
        if group_id in self._visible_at or len(self._visible_at) < _REMEMBERED:
            self._visible_at[group_id] = visible_at
            self._expected.pop(group_id, None)
            heappush(self._upcoming, (visible_at, group_id))
        group = self._groups.get(group_id)
        if not group or group[0] is not first:  # it was dropped when a drain began
            return []
        return list(self._groups.pop(group_id))[1:]

    def may_bring_released(self, now: float, wait_seconds: float) -> bool:
        """Return whether a receive that waits so long from `now` may bring a released group."""
        while self._upcoming and self._upcoming[0][0] <= now + wait_seconds:
            visible_at, group_id = heappop(self._upcoming)
            if self._visible_at.get(group_id) == visible_at:  # else it is done, or failed again
                self._expected[group_id] = visible_at + _EXPECTED_SECONDS
        while self._expected:
            group_id, until = next(iter(self._expected.items()))
            if now < until:
                return True
            del self._expected[group_id]
            del self._visible_at[group_id]
        return False

    def drop_waiting(self, is_last: Callable[[InFlightMessage], bool]) -> list[InFlightMessage]:
        """Remove the messages that wait, except those up to the last one for which `is_last` holds.

        Returns: what was removed. The first of each group stays.
        """
        dropped = []
        for group in self._groups.values():
            while len(group) > 1 and not is_last(group[-1]):
                dropped.append(group.pop())
        return dropped
