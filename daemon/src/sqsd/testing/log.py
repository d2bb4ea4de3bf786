"""An event log that remembers."""

from __future__ import annotations

from typing import Any


class RecordingLog:
    """Implements `ports.EventLog`: keeps what was emitted, in its order."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []

    def emit(self, event: str, /, **values: Any) -> None:
        self.events.append((event, values))

    def of(self, event: str) -> list[dict[str, Any]]:
        """The values of every event of this name."""
        return [values for name, values in self.events if name == event]
