"""The command `sqsd`: what it takes, and its exit codes.

Exit codes: 0 all messages in flight were finished; 1 some were cut short, or a defect; 2 the
settings or arguments cannot be used, and nothing was received.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import yaml

from sqsd import __version__, contract
from sqsd.config import load as settings
from sqsd.config.signing_key import read_signing_key
from sqsd.contract import InvalidSettings, TierSettings
from sqsd.cron import cli as cron_cli
from sqsd.cron import file as periodic
from sqsd.cron.cron_yaml import InvalidCronFile
from sqsd.operator import cli as operator_cli

UNUSABLE: Final = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the result is the process's exit code."""
    chosen = _parser().parse_args(arguments)
    try:
        command: Callable[[argparse.Namespace], int] = chosen.command
        return command(chosen)
    except (InvalidSettings, InvalidCronFile) as error:
        return _tell(error)


def _tell(*errors: InvalidSettings | InvalidCronFile) -> int:
    for error in errors:
        for problem in error.problems:
            print(f"{error.source}: {problem}", file=sys.stderr)
    return UNUSABLE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sqsd", description="Take messages from Amazon SQS and POST them to localhost."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, command, meaning in (
        ("run", _run, "dispatch messages until SIGTERM or SIGINT; a second one forces"),
        ("check", _check, "read the settings and print every problem in them"),
    ):
        sub = commands.add_parser(name, help=meaning, description=meaning)
        _add_settings(sub)
        sub.set_defaults(command=command)
    _add_cron(commands.add_parser("cron", help="print what a cron.yaml means"))
    operator_cli.add_to(commands)
    version = commands.add_parser("version", help="print the version")
    version.set_defaults(command=_version)
    return parser


def _add_cron(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, command, meaning in (
        ("list", _cron_list, "print each task with its next time"),
        ("next", _cron_next, "print the coming times of the tasks, in UTC and their own zones"),
    ):
        sub = commands.add_parser(name, help=meaning, description=meaning)
        sub.add_argument(
            "file",
            nargs="?",
            type=Path,
            default=Path(contract.SETTINGS_PATH).with_name(contract.CRON_FILE_NAME),
            metavar="FILE",
            help="default: %(default)s",
        )
        sub.add_argument(
            "--at",
            type=_moment,
            default=datetime.now(UTC),
            metavar="TIME",
            help="count from this ISO 8601 time, UTC unless it says otherwise (default: now)",
        )
        sub.set_defaults(command=command)
        if command is _cron_next:
            sub.add_argument(
                "-n", type=_count, default=5, metavar="N", help="times of each task (default: 5)"
            )


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


def _add_settings(parser: argparse.ArgumentParser) -> None:
    """`--settings`, and a flag for each option and resource, by its name in `tier.json`."""
    parser.add_argument(
        "--settings",
        type=Path,
        metavar="FILE",
        help="tier.json, or the default.yaml of an Elastic Beanstalk instance"
        f" (default: {contract.SETTINGS_PATH}, unless --queue-url is given)",
    )
    resources = parser.add_argument_group("resources")
    for name in (*settings.RESOURCE_NAMES, "cron_file"):
        _add_flag(resources, name, "", str)
    options = parser.add_argument_group("options", "each goes before the file's; null for none")
    for name, meaning, default in settings.described_options():
        _add_flag(options, name, f"{meaning} (default: {default})", yaml.safe_load)


def _add_flag(
    group: argparse._ArgumentGroup, name: str, meaning: str, read: Callable[[str], Any]
) -> None:
    group.add_argument(
        f"--{name.replace('_', '-')}",
        dest=name,
        type=read,
        default=argparse.SUPPRESS,
        metavar=name.rpartition("_")[2].upper(),
        help=meaning,
    )


def _version(_: argparse.Namespace) -> int:
    print(f"sqsd {__version__}, announced to applications as {contract.USER_AGENT}")
    return 0


def _check(chosen: argparse.Namespace) -> int:
    draft, path = _draft(chosen)
    cron_path = None
    if (cron_file := draft.text("cron_file")) is not None:
        cron_path = _directory(path) / cron_file
    read: TierSettings | None = None
    wrong: list[InvalidSettings | InvalidCronFile] = []
    # Each whatever the others find: a file is mended once, and not once for each problem.
    try:
        read = settings.finish(draft)
    except InvalidSettings as error:
        wrong.append(error)
    try:
        read_signing_key(draft.text("signing_key_file"))
    except InvalidSettings as error:
        wrong.append(InvalidSettings(list(error.problems), draft.source))
    try:
        enabled = cron_path is not None and periodic.checked_schedule(cron_path).enabled
        if enabled and draft.text("leader_table") is None:
            wrong.append(InvalidSettings([periodic.NO_LEADER_TABLE], draft.source))
    except InvalidCronFile as error:
        wrong.append(error)
    if wrong or read is None:
        return _tell(*wrong)
    if cron_path is not None:
        print(f"{cron_path}: no problems")
    print(f"{draft.source}: no problems")
    for name, _, default in settings.described_options():
        if (value := getattr(read.options, name)) != default:
            print(f"  {name} = {value!r} instead of {default!r}")
    return 0


def _cron_list(chosen: argparse.Namespace) -> int:
    print(cron_cli.list_tasks(periodic.checked_schedule(chosen.file), chosen.at), end="")
    return 0


def _cron_next(chosen: argparse.Namespace) -> int:
    schedule = periodic.checked_schedule(chosen.file)
    print(cron_cli.next_occurrences(schedule, chosen.n, chosen.at), end="")
    return 0


def _directory(path: Path | None) -> Path:
    """Where relative paths count from."""
    return Path.cwd() if path is None else path.resolve().parent


def _run(chosen: argparse.Namespace) -> int:
    draft, path = _draft(chosen)
    read = settings.finish(draft)
    # Here and not above: `check` and `version` need no SDK, and botocore takes a while to load.
    from sqsd import daemon

    # What the imports made lives as long as the process; the collector need not look at it again.
    gc.freeze()
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(daemon.run(read, _directory(path)))


def _draft(chosen: argparse.Namespace) -> tuple[settings.Draft, Path | None]:
    """The settings as given, and the file they came from."""
    flags = {name: value for name, value in vars(chosen).items() if name not in _NOT_SETTINGS}
    path: Path | None = chosen.settings
    if path is None and "queue_url" not in flags:
        path = Path(contract.SETTINGS_PATH)
    notes: list[str] = []
    draft = settings.draft(path, flags, notes)
    for note in notes:
        print(f"{path}: {note}", file=sys.stderr)
    return draft, path


_NOT_SETTINGS: Final = frozenset({"command", "settings"})


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


if __name__ == "__main__":
    sys.exit(main())
