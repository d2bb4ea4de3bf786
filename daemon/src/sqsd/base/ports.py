"""Ports that every room uses: a clock, and a log for events."""

from __future__ import annotations

from typing import Any, Protocol


class Clock(Protocol):
    """Has two times, and waits by one of them. Tests pass a clock that they move themselves."""

    def monotonic(self) -> float:
        """Return seconds on a clock that never steps, for deadlines and durations."""

    def time(self) -> float:
        """Return seconds since 1970 UTC by the wall clock, for schedules and message ages."""

    async def sleep(self, seconds: float) -> None:
        """Wait for `seconds` by the monotonic clock."""


class EventLog(Protocol):
    """Takes events, which are named in `sqsd.contract.events`; each becomes a line."""

    def emit(self, event: str, /, **values: Any) -> None:
        """Write one event; never raises, never blocks on a reader."""
