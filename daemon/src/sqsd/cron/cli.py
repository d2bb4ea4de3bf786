"""The commands `sqsd cron list` and `sqsd cron next`: print the tasks of a `cron.yaml`."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from heapq import merge
from itertools import islice
from pathlib import Path
from typing import Any, Final

from sqsd.base.columns import table
from sqsd.contract import CRON_FILE_NAME, SETTINGS_PATH
from sqsd.cron.file import checked_schedule
from sqsd.cron.schedule import Schedule, Task, next_after, zone_of

#: How a time is printed.
_FORMAT: Final = "%Y-%m-%d %H:%M:%S"
#: What `ArgumentParser.add_subparsers` returns; argparse's type is private.
Subparsers = Any


def add_commands(commands: Subparsers) -> None:
    """Add the commands to the parser of `sqsd`."""
    cron = commands.add_parser("cron", help="print what a cron.yaml means")
    actions = cron.add_subparsers(required=True, metavar="COMMAND")
    meaning = "print each task with its next time"
    _add(actions, "list", meaning).set_defaults(command=_list)
    meaning = "print the coming times of the tasks, in UTC and their own zones"
    coming = _add(actions, "next", meaning)
    coming.set_defaults(command=_next)
    coming.add_argument(
        "-n", type=_count, default=5, metavar="N", help="times of each task (default: 5)"
    )


def _add(actions: Subparsers, name: str, meaning: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = actions.add_parser(name, help=meaning, description=meaning)
    parser.add_argument(
        "file",
        nargs="?",
        type=Path,
        default=Path(SETTINGS_PATH).with_name(CRON_FILE_NAME),
        metavar="FILE",
        help="default: %(default)s",
    )
    parser.add_argument(
        "--at",
        type=_moment,
        default=datetime.now(UTC),
        metavar="TIME",
        help="count from this ISO 8601 time, UTC unless it says otherwise (default: now)",
    )
    return parser


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no ISO 8601 time such as 2027-03-28T00:00:00Z"
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _count(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= 10_000:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 to 10000, got {text!r}")
    return int(text)


def _list(chosen: argparse.Namespace) -> int:
    print(list_tasks(checked_schedule(chosen.file), chosen.at), end="")
    return 0


def _next(chosen: argparse.Namespace) -> int:
    print(next_occurrences(checked_schedule(chosen.file), chosen.n, chosen.at), end="")
    return 0


def list_tasks(schedule: Schedule, at: datetime) -> str:
    """A table of all tasks with the next time of each after the aware moment `at`."""
    rows = [("NAME", "URL", "SCHEDULE", "OPTIONS", "NEXT (UTC)", "NEXT (OWN ZONE)")]
    for task in schedule.tasks:
        due = next_after(task, at) if task.enabled else None
        rows.append((task.name, task.url, task.schedule.text, _options(task), *_times(task, due)))
    return table(rows) if len(rows) > 1 else "no tasks\n"


def next_occurrences(schedule: Schedule, count: int, at: datetime) -> str:
    """The next `count` (1 or more) times of each enabled task after the aware `at`, by time."""
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
    if due is None:
        return "disabled", "-"
    local = due.astimezone(zone_of(task.timezone))
    return due.astimezone(UTC).strftime(_FORMAT), f"{local.strftime(_FORMAT)} {local.tzname()}"


def _options(task: Task) -> str:
    given = [
        f"{key}={value}"
        for key, value, default in (
            ("timezone", task.timezone, "UTC"),
            ("overlap", task.overlap, "allow"),
            ("catch_up", task.catch_up, 300),
            ("jitter", task.jitter, 0),
        )
        if value != default
    ]
    return ",".join(given) or "-"
