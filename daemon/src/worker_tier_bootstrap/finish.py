"""Records what is deployed, and removes what earlier boots left."""

from __future__ import annotations

from sqsd.contract import SETTINGS_PATH
from worker_tier_bootstrap import paths, service_files
from worker_tier_bootstrap.boot import Boot
from worker_tier_bootstrap.release import Deployed


def finish_skip(boot: Boot) -> str | None:
    if boot.deployed != _now_deployed(boot) or (boot.has_application and not boot.runs_already):
        return None
    return None if _leftovers(boot) else "nothing is left of earlier boots"


def finish(boot: Boot) -> None:
    """Record what is deployed now; retain its release and the one before, remove older ones."""
    boot.machine.write(paths.DEPLOYED, _now_deployed(boot).to_json())
    for path in _leftovers(boot):
        boot.machine.remove(path)


def _now_deployed(boot: Boot) -> Deployed:
    machine = boot.machine
    return Deployed(
        instance=boot.instance_id,
        release=boot.release_id if boot.has_application else None,
        daemon=boot.daemon_home,
        settings=machine.read(SETTINGS_PATH) or "",
        cron=machine.read(service_files.cron_path(boot.settings)),
    )


def _leftovers(boot: Boot) -> list[str]:
    """Return the releases, records, archives and bundles that no later boot can need."""
    machine = boot.machine
    bundle = boot.application.bundle
    retained = {boot.release_id} if boot.has_application else set()
    if boot.deployed is not None and boot.deployed.release is not None:
        retained.add(boot.deployed.release)
    directories = {
        paths.RELEASES: retained,
        paths.PLATFORM_FILES: retained,
        paths.RECORDS: {f"{id}.json" for id in retained},
        paths.SOURCE_BUNDLES: set() if bundle is None else {f"{bundle.sha256}.zip"},
        paths.DAEMON_BUNDLES: {boot.instance.bundle.sha256[:16]},
    }
    found = [paths.STAGING] if machine.path(paths.STAGING).is_symlink() else []
    return found + [
        f"{directory}/{name}"
        for directory, names in directories.items()
        for name in machine.names(directory)
        if name not in names
    ]
