"""The commands `sqsd cron list` and `sqsd cron next`: they print the tasks of a `cron.yaml`."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqsd.contract import CRON_FILE_NAME, SETTINGS_PATH
from sqsd.cron.cli import list_tasks, next_occurrences
from sqsd.cron.file import checked_schedule

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
