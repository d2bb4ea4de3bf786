"""What every room needs of the outside world: a clock, and a place for events."""

from __future__ import annotations

from typing import Any, Protocol


class Clock(Protocol):
    """The two times and the one way of waiting; a test moves all three by hand."""

    def monotonic(self) -> float:
        """Seconds on a clock that never steps: for deadlines and durations."""

    def time(self) -> float:
        """Seconds since 1970 UTC by the wall clock: for schedules and message ages."""

    async def sleep(self, seconds: float) -> None:
        """Wait by the monotonic clock."""


class EventLog(Protocol):
    """Where events go: one line each, named in `sqsd.contract.events`."""

    def emit(self, event: str, /, **values: Any) -> None:
        """Write one event; never raises, never blocks on a reader."""
