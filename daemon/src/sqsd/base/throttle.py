"""Throttles a log event that repeats: at most once a minute, with the number of repetitions."""

from __future__ import annotations

from typing import Final

#: Least time between two lines about one failure that goes on, seconds.
REPEAT_SECONDS: Final = 60.0


class LogThrottle:
    """Decides which of many equal events is logged, and counts the ones that are not.

    It reads no clock: the caller passes monotonic seconds.

    Args:
        seconds: least time between two events that are logged. Default: `REPEAT_SECONDS`.
    """

    __slots__ = ("_count", "_next_at", "_seconds")

    def __init__(self, seconds: float = REPEAT_SECONDS) -> None:
        self._seconds = seconds
        self._next_at: float | None = None
        self._count = 0

    def admits(self, now: float) -> int:
        """Count an event at `now`, monotonic seconds.

        Returns 0 if the event is not to be logged, else the number of events since the one that was
        logged last, this one included.
        """
        self._count += 1
        if self._next_at is not None and now < self._next_at:
            return 0
        count = self._count
        self._count = 0
        self._next_at = now + self._seconds
        return count

    def reset(self) -> None:
        """Admit the next event at once, because the failure has ended."""
        self._next_at = None
        self._count = 0
