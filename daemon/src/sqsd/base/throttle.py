"""Logging what repeats: at most once a minute, and with the number of times it happened."""

from __future__ import annotations

from typing import Final

#: Seconds between two log lines about one thing that goes on failing.
REPEAT_SECONDS: Final = 60.0


class LogThrottle:
    """Decides which of many equal events is logged; counts those that are not.

    A function of values: the caller passes monotonic seconds.

    Args:
        seconds: the least time between two events that are logged. Default: `REPEAT_SECONDS`.
    """

    __slots__ = ("_count", "_next_at", "_seconds")

    def __init__(self, seconds: float = REPEAT_SECONDS) -> None:
        self._seconds = seconds
        self._next_at: float | None = None
        self._count = 0

    def admits(self, now: float) -> int:
        """Count an event at `now`.

        Returns: 0 if it is not to be logged; else how many happened since the last logged one, this
            one included.
        """
        self._count += 1
        if self._next_at is not None and now < self._next_at:
            return 0
        count, self._count = self._count, 0
        self._next_at = now + self._seconds
        return count

    def reset(self) -> None:
        """Log the next event whenever it comes: what went on has ended."""
        self._next_at = None
        self._count = 0
