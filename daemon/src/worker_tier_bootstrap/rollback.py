"""The way back when a boot fails after it changed what runs: to what the last good boot left.

User data has written new settings by then, and the daemon drains or is stopped; so everything is
brought back together: daemon, settings, tasks, release.
"""

from __future__ import annotations

import json
from typing import Final

from worker_tier_bootstrap import services, units
from worker_tier_bootstrap.boot import SETTINGS_PATH, Boot
from worker_tier_bootstrap.errors import BootstrapError
from worker_tier_bootstrap.release import Deployed, recorded

#: What the way back may take besides the application's own start; the boot's own time may be over.
_SECONDS: Final = 120


def roll_back(boot: Boot) -> None:
    """Let what the last good boot left run again; without one there is nothing to return to. What
    another instance left, of which an image was made, is not: its queue may be another stack's.
    """
    machine, last = boot.machine, boot.deployed
    if last is None or last.instance != boot.instance_id:
        machine.say("there is no earlier release to return to")
        return
    machine.extend_to(_SECONDS + boot.application.start_timeout)
    what = "the earlier settings" if last.release is None else f"release {last.release}"
    machine.say(f"returning to {what}")
    try:
        _bring_back(boot, last)
    except Exception as error:  # the boot's own failure must be told, whatever comes on top
        machine.say(f"what ran before does not start either: {error}")
    else:
        machine.say(f"back at {what}")


def _bring_back(boot: Boot, last: Deployed) -> None:
    machine = boot.machine
    machine.link(f"{units.HOME}/daemon", last.daemon)
    machine.write(SETTINGS_PATH, last.settings)
    earlier = Boot(machine, boot.instance, json.loads(last.settings))
    if last.cron is None:
        machine.remove(services.cron_path(boot))
    else:
        machine.write(services.cron_path(earlier), last.cron)
    release = None if last.release is None else recorded(machine, last.release)
    if release is None and last.release is not None:
        raise BootstrapError(f"release {last.release} is gone")
    services.enter(earlier, release)
    if release is not None:
        services.start_application(earlier, release)
    machine.run(["systemctl", "restart", services.DAEMON], hint="look at its log")
