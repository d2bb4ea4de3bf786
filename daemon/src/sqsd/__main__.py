"""The command `sqsd`: composition root and exit codes, nothing else.

Exit codes: 0 all messages in flight were finished; 1 some were cut short, or a defect; 2 the
settings or arguments cannot be used, and nothing was received.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from sqsd import __version__, contract
from sqsd.contract import InvalidSettings, TierSettings

UNUSABLE: Final = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the result is the process's exit code."""
    parser = _parser()
    chosen = parser.parse_args(arguments)
    try:
        command: Callable[[argparse.Namespace], int] = chosen.command
        return command(chosen)
    except InvalidSettings as error:
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
        sub.add_argument(
            "--settings",
            type=Path,
            default=Path(contract.SETTINGS_PATH),
            metavar="FILE",
            help="tier.json as the WorkerTier construct renders it (default: %(default)s)",
        )
        sub.set_defaults(command=command)
    version = commands.add_parser("version", help="print the version")
    version.set_defaults(command=_version)
    return parser


def _version(_: argparse.Namespace) -> int:
    print(f"sqsd {__version__}, announced to applications as {contract.USER_AGENT}")
    return 0


def _check(chosen: argparse.Namespace) -> int:
    read_settings(chosen.settings)
    print(f"{chosen.settings}: no problems")
    return 0


def _run(chosen: argparse.Namespace) -> int:
    settings = read_settings(chosen.settings)
    # Here and not above: `check` and `version` need no SDK, and botocore takes a while to load.
    from sqsd import daemon

    # What the imports made lives as long as the process; the collector need not look at it again.
    gc.freeze()
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(daemon.run(settings, chosen.settings.resolve().parent))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


def read_settings(path: Path) -> TierSettings:
    """Read `tier.json`.

    Raises:
        InvalidSettings: with every problem, also when there is no file.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidSettings(
            [f"cannot be read: {error}; name the file with --settings FILE"], str(path)
        ) from error
    return TierSettings.from_json(text, str(path))


if __name__ == "__main__":
    sys.exit(main())
