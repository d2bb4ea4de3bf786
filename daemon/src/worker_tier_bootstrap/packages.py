"""Packages: what is wanted, what an interrupted installation left, and getting both done."""

from __future__ import annotations

import re
from typing import Final

from worker_tier_bootstrap import units
from worker_tier_bootstrap.boot import Boot
from worker_tier_bootstrap.errors import CommandFailed
from worker_tier_bootstrap.platforms import packages_of
from worker_tier_bootstrap.systems import has_unfinished, installed

_POLICY: Final = "/usr/sbin/policy-rc.d"
_POLICY_TEXT: Final = (
    "#!/bin/sh\n# worker-tier-bootstrap: no service starts at its installation\nexit 101\n"
)
#: Another process has the package manager, such as the system's own upgrade at its first boot.
_LOCKED: Final = re.compile(
    r"Could not get lock|Unable to (?:acquire|lock)|(?:is|was) locked by .*process"
)
_LOCK_PAUSE_SECONDS: Final = 5
_LOCK_SECONDS: Final = 120


def wanted(boot: Boot) -> list[str]:
    """What the tier itself needs; a platform's come when the bundle is unpacked."""
    agent = [] if boot.log_group is None else boot.system.log_agent
    return [*(["nginx"] if boot.has_application else []), "logrotate", *agent]


def of_platform(boot: Boot, built_by: list[str]) -> list[str]:
    """Those of the application's platform, which its build and its processes need."""
    release = boot.need_release()
    commands = [*built_by, *release.processes.values()]
    return list(packages_of(release.platform, boot.system.family, commands))


def missing(boot: Boot, packages: list[str]) -> list[str]:
    """Those of `packages` that are not installed."""
    if not packages:
        return []
    have = installed(boot.machine.answer(boot.manager.query))
    return [package for package in packages if package not in have]


def are_unfinished(boot: Boot) -> bool:
    """A package manager was killed in the middle, by a power cut or a reboot."""
    manager = boot.manager
    if manager.journal is None:
        return False
    journal = boot.machine.names(manager.journal)
    return bool(journal) or has_unfinished(boot.machine.answer(manager.query))


def install(boot: Boot, packages: list[str]) -> None:
    """Install packages, after what an earlier run left unfinished. A mirror that does not answer
    gets two more chances; a process that holds the package manager gets two minutes.
    """
    manager = boot.manager
    image = f"that has {', '.join(packages)}" if packages else "with nothing half installed"
    hint = f"let the subnet reach the system's package mirror, or use a machine image {image}"
    delays = list(manager.retry_seconds)
    locked = [_LOCK_PAUSE_SECONDS] * (_LOCK_SECONDS // _LOCK_PAUSE_SECONDS)
    while True:
        try:
            _install_once(boot, packages, hint)
        except CommandFailed as error:
            left = locked if _LOCKED.search(error.output) else delays
            if not left or boot.machine.remaining() < left[0] * 2:
                raise
            boot.machine.say(f"{error.text}; trying again in {left[0]} s")
            boot.machine.sleep(left.pop(0))
        else:
            return


def _install_once(boot: Boot, packages: list[str], hint: str) -> None:
    machine, manager = boot.machine, boot.manager
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
    if boot.system.starts_services_at_install and any("php" in name for name in packages):
        # Ours is started as web.service; the package's own would run beside it after a reboot.
        listed = machine.answer(["systemctl", "list-unit-files", "--no-legend", "php*-fpm.service"])
        for line in listed.splitlines():
            machine.run(["systemctl", "disable", "-q", line.split()[0]], hint=hint)


class NoServices:
    """Debian starts what it installs: nginx's welcome page would answer the first message."""

    def __init__(self, boot: Boot) -> None:
        self._machine = boot.machine
        self._wanted = boot.system.starts_services_at_install

    def __enter__(self) -> None:
        if self._wanted and self._machine.read(_POLICY) in (None, _POLICY_TEXT):
            self._machine.write(_POLICY, _POLICY_TEXT, 0o755)

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if self._machine.read(_POLICY) == _POLICY_TEXT:
            self._machine.remove(_POLICY)
