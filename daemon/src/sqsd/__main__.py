"""The command `sqsd`: parses arguments and runs a command.

Exit codes: 0 the command succeeded, and a daemon finished all messages in flight; 1 some were cut
short, or there was a defect; 2 the settings or arguments cannot be used, and nothing was received.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from sqsd import __version__, contract
from sqsd.base.printable import printable
from sqsd.config import load as settings
from sqsd.config.signing_key import read_signing_keys
from sqsd.config.yaml_text import UnreadableYaml, read_yaml
from sqsd.contract import InvalidSettings, TierSettings
from sqsd.cron import commands as cron_commands
from sqsd.cron import file as periodic
from sqsd.cron.cron_yaml import InvalidCronFile
from sqsd.cron.schedule import Schedule
from sqsd.operator import cli as operator_cli

#: Exit code for settings or arguments that cannot be used.
UNUSABLE: Final = 2
#: Longest time from the end of the daemon to the end of its process, in seconds.
_EXIT_SECONDS: Final = 1.0
#: What `ArgumentParser.add_subparsers` returns; argparse's type is private.
Subparsers = Any


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command. Returns the exit code of the process."""
    chosen = parser().parse_args(arguments)
    try:
        command: Callable[[argparse.Namespace], int] = chosen.command
        return command(chosen)
    except (InvalidSettings, InvalidCronFile) as error:
        return _print_problems(error)


def _print_problems(*errors: InvalidSettings | InvalidCronFile) -> int:
    """Print every problem on a separate line of standard error. Returns the exit code."""
    for error in errors:
        for problem in error.problems:
            print(printable(f"{error.source}: {problem}"), file=sys.stderr)
    return UNUSABLE


def parser() -> argparse.ArgumentParser:
    """Return the parser of all commands; the reference of the command line is made from it too."""
    made = argparse.ArgumentParser(
        prog="sqsd", description="Take messages from Amazon SQS and POST them to localhost."
    )
    commands = made.add_subparsers(required=True, metavar="COMMAND")
    add_commands(commands)
    cron_commands.add_commands(commands)
    operator_cli.add_commands(commands)
    return made


def add_commands(commands: Subparsers) -> None:
    """Add the commands of the daemon to the parser of `sqsd`."""
    for name, command, meaning in (
        ("run", _run, "dispatch messages until SIGTERM, SIGINT or SIGHUP; a second one forces"),
        ("check", _check, "read the settings and print every problem in them"),
    ):
        sub = commands.add_parser(name, help=meaning, description=meaning)
        _add_settings(sub)
        sub.set_defaults(command=command)
    version = commands.add_parser("version", help="print the version")
    version.set_defaults(command=_version)


def _add_settings(parser: argparse.ArgumentParser) -> None:
    """Add `--settings`, and a flag for each option and resource by its name in `tier.json`."""
    parser.add_argument(
        "--settings",
        type=Path,
        metavar="FILE",
        help="tier.json, or the default.yaml of an Elastic Beanstalk instance"
        f" (default: {contract.SETTINGS_PATH}, unless --queue-url is given)",
    )
    resources = parser.add_argument_group("resources")
    for name, meaning in settings.described_resources():
        _add_flag(resources, name, meaning, str)
    _add_flag(resources, "cron_file", "cron.yaml with the periodic tasks (default: none)", str)
    options = parser.add_argument_group("options", "each wins over the file; null for none")
    for name, meaning, default in settings.described_options():
        shown = "none" if default in (None, ()) else default
        _add_flag(options, name, f"{meaning} (default: {shown})", _flag_value)


def _flag_value(text: str) -> Any:
    try:
        return read_yaml(text)
    except UnreadableYaml as error:
        raise argparse.ArgumentTypeError(str(error)) from error


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
    # Every check runs whatever another one finds, so that all problems are printed at once.
    try:
        read = settings.finish(draft)
    except InvalidSettings as error:
        wrong.append(error)
    try:
        # Root checks the settings of another user's daemon, and cannot know which user that is.
        read_signing_keys(draft.text("signing_key_file"), any_owner=os.geteuid() == 0)
    except InvalidSettings as error:
        wrong.append(InvalidSettings(list(error.problems), draft.source))
    try:
        schedule = Schedule() if cron_path is None else periodic.checked_schedule(cron_path)
        if schedule.enabled and draft.text("leader_table") is None:
            wrong.append(InvalidSettings([periodic.NO_LEADER_TABLE], draft.source))
    except InvalidCronFile as error:
        wrong.append(error)
    if wrong or read is None:
        return _print_problems(*wrong)
    if cron_path is not None:
        print(f"{cron_path}: no problems")
        for warning in schedule.warnings:
            print(f"  warning: {printable(warning)}")
    print(f"{draft.source}: no problems")
    for name, _, default in settings.described_options():
        if (value := getattr(read.options, name)) != default:
            print(f"  {name} = {value!r} instead of {default!r}")
    return 0


def _directory(path: Path | None) -> Path:
    """Return the directory of relative paths: that of the settings file, or the current one."""
    return Path.cwd() if path is None else path.resolve().parent


def _run(chosen: argparse.Namespace) -> int:
    draft, path = _draft(chosen)
    read = settings.finish(draft)
    # Imported here, because `check` and `version` need no SDK and botocore is slow to load.
    from sqsd import daemon

    # What the imports made lives as long as the process; the collector need not scan it again.
    gc.freeze()
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        code = runner.run(daemon.run(read, _directory(path)))
        _exit_soon(code)
        return code


def _exit_soon(code: int) -> None:
    """Have the process exit after `_EXIT_SECONDS`, if it has not ended by then.

    A thread that asks a resolver which does not answer cannot be stopped, and both the event loop
    and the interpreter would wait for it. Every message is settled and the log is written.
    """
    timer = threading.Timer(_EXIT_SECONDS, os._exit, (code,))
    timer.daemon = True
    timer.start()


def _draft(chosen: argparse.Namespace) -> tuple[settings.Draft, Path | None]:
    """Return the settings as given, and the file that they came from, or None."""
    flags = {name: value for name, value in vars(chosen).items() if name not in _NOT_SETTINGS}
    path: Path | None = chosen.settings
    if path is None and "queue_url" not in flags:
        path = Path(contract.SETTINGS_PATH)
    notes: list[str] = []
    draft = settings.draft(path, flags, notes)
    for note in notes:
        print(printable(f"{path}: {note}"), file=sys.stderr)
    return draft, path


#: Parsed arguments that are not settings.
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
