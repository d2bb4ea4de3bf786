"""The command `worker-tier-bootstrap`: `run` boots a worker, `plan` prints what a run would do.

Exit codes: 0 done; 1 a step failed, and the log and the outcome file say why; 2 it cannot begin.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Final

from worker_tier_bootstrap import paths, rollback
from worker_tier_bootstrap.boot import Boot, StepFailed, plan_lines, run_steps
from worker_tier_bootstrap.errors import BootstrapError
from worker_tier_bootstrap.machine import Machine
from worker_tier_bootstrap.steps import STEPS

#: Exit code of a run that cannot begin.
UNUSABLE: Final = 2
#: Deadline (s) until `instance.json` is read, which has the real one.
_FIRST_DEADLINE_SECONDS: Final = 600.0


def main(arguments: Sequence[str] | None = None, machine: Machine | None = None) -> int:
    """Run a command; returns the process's exit code."""
    chosen = parser().parse_args(arguments)
    machine = machine or Machine(deadline_seconds=_FIRST_DEADLINE_SECONDS)
    try:
        boot = Boot.read(machine)
        machine.set_deadline(boot.instance.deadline_seconds)
    except BootstrapError as error:
        _report(machine, f"the boot cannot begin: {error}")
        return UNUSABLE
    if chosen.command == "plan":
        print("\n".join(plan_lines(STEPS, boot)))
        return 0
    try:
        run_steps(STEPS, boot, rollback.roll_back)
    except StepFailed as error:
        _report(machine, str(error))
        return 1
    return 0


def parser() -> argparse.ArgumentParser:
    """Return the parser of all commands; the reference of the command line is made from it too."""
    made = argparse.ArgumentParser(
        prog="worker-tier-bootstrap", description="Make this instance a worker."
    )
    commands = made.add_subparsers(required=True, metavar="COMMAND", dest="command")
    commands.add_parser("run", help="do every step that is not done")
    commands.add_parser("plan", help="print every step, and why it would be done or skipped")
    return made


def _report(machine: Machine, reason: str) -> None:
    """Write why a boot failed where user data reads it, and to a terminal if there is one."""
    if sys.stdout.isatty():
        machine.log(reason)
    machine.write(paths.OUTCOME, f"{reason}\n")


if __name__ == "__main__":
    sys.exit(main())
