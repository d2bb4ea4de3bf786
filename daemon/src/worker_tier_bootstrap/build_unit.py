"""Runs each command of the application's build as its user, in a systemd unit for it alone.

A build runs scripts of every dependency, and a process that one of them leaves in the background
would go on as the application's user while root works on the same files. No process leaves the
control group of its unit by itself, so systemd kills all of them when the command ends. Processes
that cron or another service starts for that user are not among them; `untrusted` holds for those.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from worker_tier_bootstrap import paths, units
from worker_tier_bootstrap.machine import Machine

UNIT: Final = "worker-tier-build.service"
#: Time after the boot's deadline at which systemd ends a build whose bootstrap was killed, in
#: seconds.
_MARGIN_SECONDS: Final = 5
_STOP: Final = ("sh", "-c", f"systemctl stop {UNIT} 2>/dev/null || :")


def run(
    machine: Machine,
    command: str,
    *,
    hint: str,
    directory: str,
    environment: Mapping[str, str],
    shown: str,
) -> None:
    """Run a shell command as the application's user until it ends, and end all that it started.

    Args:
        hint: what to do if the command fails.
        directory: working directory.
        environment: variables besides those of every command.
        shown: name of the command in an error.

    Raises:
        CommandFailed: with the command, its exit code, the end of its output, and `hint`.
    """
    machine.run(_STOP, hint="")  # A boot that was killed may have left its build.
    # Files, because systemd expands `$` in arguments and shows a unit's variables to every user.
    machine.write(paths.BUILD_SCRIPT, units.process_script(command))
    variables = machine.environment({"SHELL": "/bin/sh", **environment})
    machine.write(paths.BUILD_ENVIRONMENT, units.environment_file(variables), 0o600)
    try:
        machine.run(_in_unit(machine, directory), hint=hint, shown=shown)
    finally:
        machine.run(_STOP, hint="")
        machine.remove(paths.BUILD_ENVIRONMENT)
        machine.remove(paths.BUILD_SCRIPT)


def _in_unit(machine: Machine, directory: str) -> list[str]:
    seconds = max(1, int(machine.remaining())) + _MARGIN_SECONDS
    properties = (
        f"User={units.USER}",
        f"WorkingDirectory={directory}",
        f"EnvironmentFile={paths.BUILD_ENVIRONMENT}",
        "KillMode=control-group",
        "KillSignal=SIGKILL",
        f"RuntimeMaxSec={seconds}",
        "NoNewPrivileges=yes",
    )
    return [
        *("systemd-run", "--quiet", "--wait", "--pipe", "--collect"),
        *(f"--unit={UNIT}", "--service-type=exec"),
        *(f"--property={value}" for value in properties),
        *("/bin/sh", paths.BUILD_SCRIPT),
    ]
