"""Restores what the last successful boot left running, when a boot fails after changing it.

By then user data has written new settings, and the daemon drains or is stopped. So everything is
restored together: daemon, settings, periodic tasks, release.
"""

from __future__ import annotations

from typing import Final

from sqsd.contract import SETTINGS_PATH, TierSettings
from worker_tier_bootstrap import paths, service_files, services, units
from worker_tier_bootstrap.boot import Boot
from worker_tier_bootstrap.errors import BootstrapError
from worker_tier_bootstrap.release import Deployed, recorded

#: Time that a rollback may take besides the application's own start, in seconds. It is counted
#: anew, for the boot's own time may be over.
_SECONDS: Final = 120


def roll_back(boot: Boot) -> None:
    """Restore what the last successful boot left running, if there was one on this instance.

    What another instance left, from which this machine image was made, is not restored: its queue
    may belong to another stack.
    """
    machine = boot.machine
    last = boot.deployed
    if last is None or last.instance != boot.instance_id:
        machine.log("there is no earlier release to return to")
        return
    machine.set_deadline(_SECONDS + boot.application.start_timeout)
    what = "the earlier settings" if last.release is None else f"release {last.release}"
    machine.log(f"returning to {what}")
    try:
        _restore(boot, last)
    except Exception as error:  # the boot's own failure must be reported, not only this one
        machine.log(f"what ran before does not start either: {error}")
    else:
        machine.log(f"back at {what}")


def _restore(boot: Boot, last: Deployed) -> None:
    machine = boot.machine
    machine.link(paths.DAEMON, last.daemon)
    machine.write(SETTINGS_PATH, last.settings)
    settings = TierSettings.from_other_release(last.settings, SETTINGS_PATH)
    earlier = Boot(machine, boot.instance, settings)
    if last.cron is None:
        machine.remove(service_files.cron_path(boot.settings))
    else:
        machine.write(service_files.cron_path(settings), last.cron)
    release = None if last.release is None else recorded(machine, last.release)
    if release is None and last.release is not None:
        raise BootstrapError(f"release {last.release} is gone")
    services.activate(earlier, release)
    if release is not None:
        services.start_application(earlier, release)
    machine.run(["systemctl", "restart", units.DAEMON], hint=f"see {paths.DAEMON_LOG}")
