"""Installs packages, after finishing whatever an interrupted installation left."""

from __future__ import annotations

import re
from typing import Final

from worker_tier_bootstrap import build, paths, units
from worker_tier_bootstrap.boot import Boot
from worker_tier_bootstrap.errors import CommandFailed
from worker_tier_bootstrap.platforms import PLATFORMS, packages_of
from worker_tier_bootstrap.systems import has_unfinished, installed

_POLICY_TEXT: Final = (
    "#!/bin/sh\n# worker-tier-bootstrap: no service starts at its installation\nexit 101\n"
)
#: Output of a package manager while another process, such as the system's own upgrade at its first
#: boot, holds its lock.
_LOCKED: Final = re.compile(
    r"Could not get lock|Unable to (?:acquire|lock)|(?:is|was) locked by .*process"
)
#: Pause between two tries for the lock, in seconds.
_LOCK_PAUSE_SECONDS: Final = 5
#: Time that a process may hold the lock, in seconds.
_LOCK_SECONDS: Final = 120


# ---- the tier's own packages


def tier_skip(boot: Boot) -> str | None:
    packages = tier_packages(boot)
    if missing(boot, packages) or are_unfinished(boot):
        return None
    return f"{', '.join(packages)} are installed"


def install_tier(boot: Boot) -> None:
    install(boot, missing(boot, tier_packages(boot)))


def tier_packages(boot: Boot) -> list[str]:
    """Return the packages that the tier itself needs, whatever the application is."""
    names = (
        *(["nginx"] if boot.has_application else []),
        "logrotate",
        *([] if boot.instance.application_aws_access else ["nftables"]),
    )
    agent = () if boot.log_group is None else boot.system.log_agent
    return [*boot.system.packages(names), *agent]


# ---- the platform's packages


def platform_skip(boot: Boot) -> str | None:
    if not boot.has_application:
        return "the application is external"
    if (reason := build.built_skip(boot)) and boot.build is None:
        return reason
    packages = platform_packages(boot)
    if not packages:
        return "the platform needs none"
    return None if missing(boot, packages) else f"{', '.join(packages)} are installed"


def install_platform(boot: Boot) -> None:
    install(boot, missing(boot, platform_packages(boot)))
    if boot.system.starts_services_at_install:
        _disable_own_services(boot)


def platform_packages(boot: Boot) -> list[str]:
    """Return the packages that the application's build and processes need."""
    release = boot.need_release()
    commands = [*(command for _, command in build.build_commands(boot))]
    commands += release.processes.values()
    return list(packages_of(release.platform, boot.system, commands))


def _disable_own_services(boot: Boot) -> None:
    """Disable services of the platform's packages; after a reboot they would run beside ours."""
    for pattern in PLATFORMS[boot.need_release().platform].own_services:
        listed = boot.machine.output_of(["systemctl", "list-unit-files", "--no-legend", pattern])
        for line in listed.splitlines():
            unit = line.split()[0]
            hint = f"see systemctl status {unit}"
            boot.machine.run(["systemctl", "disable", "-q", unit], hint=hint)


# ---- the package manager


def missing(boot: Boot, packages: list[str]) -> list[str]:
    """Return those of `packages` that are not installed."""
    if not packages:
        return []
    present = installed(boot.machine.output_of(boot.manager.query))
    return [package for package in packages if package not in present]


def are_unfinished(boot: Boot) -> bool:
    """Whether an installation was interrupted, by a power cut or a reboot."""
    manager = boot.manager
    if manager.journal is None:
        return False
    journal = boot.machine.names(manager.journal)
    return bool(journal) or has_unfinished(boot.machine.output_of(manager.query))


def install(boot: Boot, packages: list[str]) -> None:
    """Finish an interrupted installation, then install packages.

    A mirror that does not answer is tried twice more; a process that holds the package manager's
    lock is given two minutes.

    Raises:
        CommandFailed: the package manager failed, with a hint.
    """
    manager = boot.manager
    image = f"that has {', '.join(packages)}" if packages else "with nothing half installed"
    hint = f"let the subnet reach the system's package mirror, or use a machine image {image}"
    mirror_pauses = list(manager.retry_seconds)
    lock_pauses = [_LOCK_PAUSE_SECONDS] * (_LOCK_SECONDS // _LOCK_PAUSE_SECONDS)
    while True:
        try:
            _install_once(boot, packages, hint)
        except CommandFailed as error:
            pauses = lock_pauses if _LOCKED.search(error.output) else mirror_pauses
            if not pauses or boot.machine.remaining() < pauses[0] * 2:
                raise
            boot.machine.log(f"{error.text}; trying again in {pauses[0]} s")
            boot.machine.sleep(pauses.pop(0))
        else:
            return


def _install_once(boot: Boot, packages: list[str], hint: str) -> None:
    machine = boot.machine
    manager = boot.manager
    with NoServices(boot):
        if manager.refresh:
            machine.run(manager.refresh, hint=hint, environment=manager.environment)
        if manager.repair and are_unfinished(boot):
            machine.run(
                ["sh", "-c", units.template(manager.repair), "repair", *manager.install],
                hint=hint,
                environment=manager.environment,
                shown="finish an interrupted installation of packages",
            )
        if packages:
            command = [*manager.install, *packages]
            machine.run(command, hint=hint, environment=manager.environment)


class NoServices:
    """Keeps Debian from starting services when their packages are installed.

    Otherwise nginx's welcome page would answer the first message. A policy that the machine image
    brings is left alone.
    """

    def __init__(self, boot: Boot) -> None:
        self._machine = boot.machine
        self._needed = boot.system.starts_services_at_install

    def __enter__(self) -> None:
        if self._needed and self._machine.read(paths.SERVICE_POLICY) in (None, _POLICY_TEXT):
            self._machine.write(paths.SERVICE_POLICY, _POLICY_TEXT, 0o755)

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Allow services to start again, also if an earlier boot was killed before it did so."""
        if self._machine.read(paths.SERVICE_POLICY) == _POLICY_TEXT:
            self._machine.remove(paths.SERVICE_POLICY)
