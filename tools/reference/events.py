"""docs/reference/events.md, from the descriptions in sqsd/contract/events.py."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Final

from tools.reference.constants import ROOT, Constant, described_constants, need_descriptions

EVENTS_PAGE: Final = ROOT / "docs" / "reference" / "events.md"
_MODULE: Final = "sqsd.contract.events"
_INTRODUCTION: Final = """# Log events

What the daemon logs, and what to do about it. A line is one JSON object with the keys `time`,
`event` and what the event is about; [operating a tier](../guide/operate.md) says how to read them.
The names are an interface, which alarms and queries may rely on. (Generated from
`sqsd/contract/events.py` by `make reference`.)
"""
#: What the first part of an event's name means, as a title.
_TITLES: Final = {
    "daemon": "The daemon",
    "descriptors": "File descriptors",
    "message": "Messages",
    "queue": "The queue",
    "gate": "The gate: is the application there?",
    "application": "The application's answers",
    "proxy": "A proxy before the application",
    "heartbeat": "Heartbeats",
    "lifecycle": "The instance",
    "metrics": "Metrics",
    "status": "The status page",
    "loop": "The event loop",
    "companion": "What runs beside the messages",
    "log": "Standard output",
    "tracing": "Traces",
    "cron": "Periodic tasks",
    "lease": "The leader's lease",
}


def events_page() -> str:
    """Return the page.

    Raises:
        Undescribed: an event has no description.
    """
    need_descriptions(_MODULE, containing=".")
    events = [event for event in described_constants(_MODULE) if "." in event.value]
    sections = [_INTRODUCTION]
    for subject, found in groupby(events, lambda event: event.value.partition(".")[0]):
        title = _TITLES.get(subject, subject.capitalize())
        rows = "\n".join(_rows(found))
        sections.append(
            f"## {title}\n\n| event | what happened | what to do |\n|---|---|---|\n{rows}\n"
        )
    return "\n".join(sections)


def _rows(events: Iterator[Constant]) -> Iterator[str]:
    for event in events:
        meaning, _, hint = event.description.partition(" Hint: ")
        yield f"| `{event.value}` | {meaning} | {hint} |"
