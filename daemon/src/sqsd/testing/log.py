"""An event log in memory."""

from __future__ import annotations

from typing import Any


class RecordingLog:
    """Implements `base.ports.EventLog`: records every event with its values."""

    def __init__(self) -> None:
        #: All events, oldest first: name and values.
        self.events: list[tuple[str, dict[str, Any]]] = []

    def emit(self, event: str, /, **values: Any) -> None:
        """Record an event."""
        self.events.append((event, values))

    def of(self, event: str) -> list[dict[str, Any]]:
        """Return the values of each event of this name, oldest first."""
        return [values for name, values in self.events if name == event]
