"""Changes what runs: stops the daemon, activates the release, starts everything again.

`rollback` reverts them.
"""

from __future__ import annotations

import contextlib
from typing import Final

from worker_tier_bootstrap import marks, paths, procfile, service_files, units
from worker_tier_bootstrap.boot import Boot
from worker_tier_bootstrap.errors import CommandFailed
from worker_tier_bootstrap.readiness import wait_for_application
from worker_tier_bootstrap.release import Release

_UNCHANGED: Final = "it runs, and nothing changed for it"


# ---- stop the daemon


def stop_skip(boot: Boot) -> str | None:
    if not is_active(boot, units.DAEMON):
        return "it does not run"
    if start_daemon_skip(boot) is not None and activate_skip(boot) is not None:
        return "nothing changes for it"
    return None


def stop_daemon(boot: Boot) -> None:
    """Let the daemon drain, so that restarting the application interrupts no request."""
    boot.machine.run(["systemctl", "stop", units.DAEMON], hint=f"see {paths.DAEMON_LOG}")


# ---- activate the release


def activate_skip(boot: Boot) -> str | None:
    return "they say what they should" if service_files.are_current(boot) else None


def activate_release(boot: Boot) -> None:
    activate(boot, boot.release)


def activate(boot: Boot, release: Release | None) -> None:
    """Make a release the current one: its link, its files, and systemd's view of them.

    Args:
        release: the release, or None if the application is external.
    """
    machine = boot.machine
    if release is not None:
        machine.link(paths.CURRENT, release.directory)
        for path in boot.system.default_sites:
            machine.remove(path)
    machine.path(paths.LOGS).mkdir(parents=True, exist_ok=True)
    for path, (text, mode) in service_files.service_files(boot, release).items():
        machine.write(path, text, mode)
    _remove_old_units(boot, release)
    machine.run(["systemctl", "daemon-reload"], hint="see the units named above")
    if release is not None:
        machine.run(
            ["nginx", "-t", "-q"],
            hint="correct the files of .platform/nginx/conf.d that are named above",
        )


def _remove_old_units(boot: Boot, release: Release | None) -> None:
    """Stop and remove processes that an earlier release had and this one has not."""
    machine = boot.machine
    new = [] if release is None else procfile.units(release.processes)
    for unit in service_files.process_units(machine):
        if unit not in new:
            machine.run(["systemctl", "disable", "--now", "-q", unit], hint="stop it by hand")
            name = unit.removesuffix(".service")
            logs = [units.PROCESS_LOG_PIPE.format(name), units.PROCESS_LOG.format(name)]
            machine.run(["systemctl", "stop", *logs], hint="stop them by hand")
            machine.remove(f"{paths.UNITS}/{unit}")
            machine.remove(f"{paths.SCRIPTS}/{name}.sh")
    machine.write(paths.PROCESS_UNITS, "".join(f"{unit}\n" for unit in new))


# ---- start the application


def start_application_skip(boot: Boot) -> str | None:
    if not boot.has_application:
        return "the application is external"
    names = [*procfile.units(boot.need_release().processes), units.PROXY]
    if not all(is_active(boot, name) for name in names):
        return None
    is_same = boot.machine.read(paths.APPLICATION_MARK) == marks.application_mark(boot)
    return _UNCHANGED if is_same else None


def start_current_application(boot: Boot) -> None:
    start_application(boot, boot.need_release())


def start_application(boot: Boot, release: Release) -> None:
    """Start every process, then nginx, and wait until the application answers through it."""
    machine = boot.machine
    machine.remove(paths.APPLICATION_MARK)
    names = procfile.units(release.processes)
    hint = f"see the log of the process in {paths.LOGS}"
    # Crashes before this start must not count as crashes of this start.
    machine.run(_reset_failed(names), hint=hint)
    machine.run(["systemctl", "enable", "-q", *names, units.PROXY], hint=hint)
    machine.run(["systemctl", "restart", *names], hint=hint)
    # Not reloaded: where the image's own nginx has all addresses, it could not listen on one.
    machine.run(
        ["systemctl", "restart", units.PROXY], hint=f"see {paths.LOGS}/{units.PROXY_LOG_NAME}.log"
    )
    wait_for_application(boot, release)
    if release == boot.release:
        machine.write(paths.APPLICATION_MARK, marks.application_mark(boot))


# ---- start the daemon


def start_daemon_skip(boot: Boot) -> str | None:
    is_same = boot.machine.read(paths.DAEMON_MARK) == marks.daemon_mark(boot)
    return _UNCHANGED if is_active(boot, units.DAEMON) and is_same else None


def start_daemon(boot: Boot) -> None:
    """Start the daemon; systemd returns once it has completed a receive (Type=notify)."""
    machine = boot.machine
    hint = "see systemctl status"
    machine.run(_reset_failed([units.DAEMON]), hint="")
    machine.run(["systemctl", "enable", "-q", units.DAEMON, units.LOGROTATE_TIMER], hint=hint)
    machine.run(["systemctl", "start", units.LOGROTATE_TIMER], hint=hint)
    logged_before = machine.size(paths.DAEMON_LOG)
    try:
        machine.run(
            ["systemctl", "restart", units.DAEMON],
            hint="see what it logs: the queue must be reachable, its role must allow to receive,"
            " and the application must accept connections",
        )
    except CommandFailed as error:
        logged = machine.tail(paths.DAEMON_LOG, since=logged_before)
        error.output = "\n".join([*error.output.splitlines(), logged])
        with contextlib.suppress(CommandFailed):
            machine.run(["systemctl", "stop", "--no-block", units.DAEMON], hint="")
        raise
    machine.write(paths.DAEMON_MARK, marks.daemon_mark(boot))


def is_active(boot: Boot, unit: str) -> bool:
    return boot.machine.succeeds(["systemctl", "is-active", "-q", unit])


def _reset_failed(names: list[str]) -> list[str]:
    """Return a command that resets systemd's counters; an unknown unit is no failure."""
    return ["sh", "-c", f"systemctl reset-failed {' '.join(names)} 2>/dev/null || :"]
