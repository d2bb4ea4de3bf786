"""Computes marks: digests of everything that a running service was started with.

A mark is true for as long as its service is up: a reboot starts the service by the same files, and
whatever is about to change them removes the mark first. So a service whose mark is still the right
one needs no restart.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

from worker_tier_bootstrap import paths, service_files, units
from worker_tier_bootstrap.boot import Boot


def application_mark(boot: Boot) -> str:
    """Return a digest of everything that the application and nginx are started with."""
    files = service_files.service_files(boot, boot.need_release())
    parts = [text for path, (text, _) in sorted(files.items()) if not path.endswith(units.DAEMON)]
    return digest([boot.release_id, *parts])


def daemon_mark(boot: Boot) -> str:
    """Return a digest of everything that the daemon is started with, and its group's name."""
    return f"{_daemon_digest(boot)} {boot.settings.resources.auto_scaling_group}"


def forget_changed(boot: Boot) -> None:
    """Remove the marks of services that this boot is going to change."""
    machine = boot.machine
    if boot.release is None or machine.read(paths.APPLICATION_MARK) != application_mark(boot):
        machine.remove(paths.APPLICATION_MARK)
    # Without the group's name: user data writes settings without it, and a later step adds it.
    if not (machine.read(paths.DAEMON_MARK) or "").startswith(f"{_daemon_digest(boot)} "):
        machine.remove(paths.DAEMON_MARK)


def digest(parts: list[str]) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _daemon_digest(boot: Boot) -> str:
    unit = units.sqsd_unit(boot.proxy, boot.release, boot.system)
    cron = boot.machine.read(service_files.cron_path(boot.settings)) or ""
    resources = replace(boot.settings.resources, auto_scaling_group=None)
    tier = replace(boot.settings, resources=resources).to_document()
    return digest([boot.instance.bundle.sha256, unit, json.dumps(tier, sort_keys=True), cron])
