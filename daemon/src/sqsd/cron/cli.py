"""The output of `sqsd cron list` and `sqsd cron next`, as text."""

from __future__ import annotations

from datetime import UTC, datetime
from heapq import merge
from itertools import islice
from typing import Final

from sqsd.base.columns import table
from sqsd.cron.schedule import CATCH_UP_DEFAULT, Schedule, Task, next_after, zone_of

#: Format of a time in the output.
_FORMAT: Final = "%Y-%m-%d %H:%M:%S"


def list_tasks(schedule: Schedule, at: datetime) -> str:
    """Return a table of all tasks, each with its next time after the aware time `at`."""
    rows = [("NAME", "URL", "SCHEDULE", "OPTIONS", "NEXT (UTC)", "NEXT (OWN ZONE)")]
    for task in schedule.tasks:
        due = next_after(task, at) if task.enabled else None
        rows.append((task.name, task.url, task.schedule.text, _options(task), *_times(task, due)))
    return table(rows) if len(rows) > 1 else "no tasks\n"


def next_occurrences(schedule: Schedule, count: int, at: datetime) -> str:
    """Return a table of the next `count` times of each enabled task after the aware time `at`.

    Rows are in the order of their times.

    Raises:
        ValueError: `count` is below 1.
    """
    if count < 1:
        raise ValueError(f"the number of occurrences must be 1 or more, got {count}")
    due: list[list[tuple[datetime, str, Task]]] = []
    for task in schedule.enabled:
        moment, times = at, []
        for _ in range(count):
            moment = next_after(task, moment)
            times.append((moment, task.name, task))
        due.append(times)
    ordered = islice(merge(*due, key=lambda entry: entry[:2]), count * len(due))
    rows = [("UTC", "OWN ZONE", "NAME", "URL")]
    rows += [(*_times(task, moment), name, task.url) for moment, name, task in ordered]
    return table(rows) if len(rows) > 1 else "no enabled tasks\n"


def _times(task: Task, due: datetime | None) -> tuple[str, str]:
    """Return a time in UTC and in the task's zone; None stands for a disabled task."""
    if due is None:
        return "disabled", "-"
    local = due.astimezone(zone_of(task.timezone))
    return due.astimezone(UTC).strftime(_FORMAT), f"{local.strftime(_FORMAT)} {local.tzname()}"


def _options(task: Task) -> str:
    """Return the task's options that are not the default, or "-"."""
    given = [
        f"{key}={value}"
        for key, value, default in (
            ("timezone", task.timezone, "UTC"),
            ("overlap", task.overlap, "allow"),
            ("catch_up", task.catch_up, CATCH_UP_DEFAULT),
            ("jitter", task.jitter, 0),
        )
        if value != default
    ]
    return ",".join(given) or "-"
