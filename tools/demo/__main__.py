"""`python -m tools.demo`, which `make demo` runs.

Exit codes: 0 the account balances; 1 it does not, or something failed, with one message; 2 wrong
arguments; 130 stopped by Ctrl-C or SIGTERM.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Final

from tools.demo.application import read_source
from tools.demo.display import Display
from tools.demo.errors import DemoError
from tools.demo.run import Plan, run
from tools.local_aws import LocalAwsError
from tools.local_aws.instance import CACHE, REPOSITORY
from tools.local_aws.ports import listening, port_argument
from tools.local_aws.processes import end_all

_RUNS: Final = CACHE / "demo"
#: Number of runs whose logs stay on disk.
_RUNS_ON_DISK: Final = 5
_INTERRUPTED: Final = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Check what was asked for, run it, clean up."""
    chosen = _parser().parse_args(arguments)
    stop = _Stop()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop.interrupt)
    display = Display()
    directory = None
    try:
        source = read_source(chosen.app)
        _check_ports({"PORT": chosen.port, "LOCAL_AWS_PORT": chosen.local_aws_port})
        directory = _run_directory()
        plan = Plan(
            source=source,
            port=chosen.port,
            local_aws_port=chosen.local_aws_port,
            directory=directory,
        )
        return run(plan, display)
    except (DemoError, LocalAwsError) as error:
        if stop.asked:  # it failed because it was being stopped
            return _interrupted()
        print(f"demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return _interrupted()
    finally:
        if directory is not None:
            display.step(f"all logs of this run are in {directory}")


class _Stop:
    """Remembers that a signal asked to stop: a thread may turn the interruption into an error."""

    asked = False

    def interrupt(self, _signal: int, _frame: FrameType | None) -> None:
        self.asked = True
        raise KeyboardInterrupt


def _interrupted() -> int:
    end_all()
    print("demo: interrupted; everything it had started was stopped", file=sys.stderr)
    return _INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tools.demo", description="Run the whole tier here."
    )
    parser.add_argument(
        "--app",
        type=Path,
        default=REPOSITORY / "examples" / "node_worker",
        metavar="DIR",
        help="a directory with a Procfile, and perhaps a cron.yaml (default: %(default)s)",
    )
    for name, meaning in (
        ("--port", "where the daemon POSTs to"),
        ("--local-aws-port", "where the embedded AWS listens"),
    ):
        parser.add_argument(
            name, type=port_argument, metavar="N", help=f"{meaning} (default: a free port)"
        )
    return parser


def _check_ports(wanted: dict[str, int | None]) -> None:
    given = [(name, port) for name, port in wanted.items() if port is not None]
    problems = [
        f"{name}: port {port} on 127.0.0.1 is taken by another program; stop that program or choose"
        f" another port: make demo {name}={port % 65_535 + 1}"
        for name, port in given
        if listening(port)
    ]
    if len(given) == 2 and len({port for _, port in given}) == 1:
        problems.append(f"PORT and LOCAL_AWS_PORT are both {given[0][1]}; choose two ports")
    if problems:
        raise DemoError("\n".join(problems))


def _run_directory() -> Path:
    """A new directory for this run; of earlier runs the newest few stay."""
    _RUNS.mkdir(parents=True, exist_ok=True)
    for old in sorted(_RUNS.iterdir())[: 1 - _RUNS_ON_DISK]:
        shutil.rmtree(old, ignore_errors=True)
    directory = _RUNS / f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{os.getpid()}"
    directory.mkdir()
    return directory


if __name__ == "__main__":
    sys.exit(main())
