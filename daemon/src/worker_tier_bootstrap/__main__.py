"""The command `worker-tier-bootstrap`: `run` boots a worker, `plan` tells what that would do.

Exit codes: 0 done; 1 a step failed, which the log and the outcome file tell; 2 it cannot begin.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Final

from worker_tier_bootstrap import rollback
from worker_tier_bootstrap.boot import OUTCOME_PATH, Boot, StepFailed, plan_lines, run_steps
from worker_tier_bootstrap.contract import INSTANCE_PATH
from worker_tier_bootstrap.errors import BootstrapError
from worker_tier_bootstrap.machine import Machine
from worker_tier_bootstrap.steps import STEPS

UNUSABLE: Final = 2
#: Until the file that has the real figure is read.
_FIRST_DEADLINE_SECONDS: Final = 600.0


def main(arguments: Sequence[str] | None = None, machine: Machine | None = None) -> int:
    """Run a command; the result is the process's exit code."""
    parser = argparse.ArgumentParser(
        prog="worker-tier-bootstrap", description="Make this instance a worker."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND", dest="command")
    commands.add_parser("run", help="do every step that is not done")
    commands.add_parser("plan", help="print every step, and why it would be done or skipped")
    chosen = parser.parse_args(arguments)
    machine = machine or Machine(deadline_seconds=_FIRST_DEADLINE_SECONDS)
    try:
        boot = Boot.read(machine)
        machine.extend_to(boot.instance.deadline_seconds)
    except BootstrapError as error:
        _tell(machine, f"{INSTANCE_PATH}: {error}")
        return UNUSABLE
    if chosen.command == "plan":
        print("\n".join(plan_lines(STEPS, boot)))
        return 0
    try:
        run_steps(STEPS, boot, rollback.roll_back)
    except StepFailed as error:
        _tell(machine, str(error))
        return 1
    return 0


def _tell(machine: Machine, reason: str) -> None:
    """For user data, which tells CloudFormation and people; and for who started it by hand."""
    if sys.stdout.isatty():
        machine.say(reason)
    machine.write(OUTCOME_PATH, f"{reason}\n")


if __name__ == "__main__":
    sys.exit(main())
