"""Prepares an instance before the application: system, users, daemon, settings."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Final

from sqsd.contract import LIFECYCLE_HOOK, SETTINGS_PATH
from worker_tier_bootstrap import early, marks, packages, paths, units
from worker_tier_bootstrap.boot import Boot
from worker_tier_bootstrap.errors import BootstrapError

#: Free disk space that a boot needs before it begins, in bytes.
_MIN_FREE_BYTES: Final = 200 * 1024 * 1024
#: Pauses between two tries to find the group's name, in seconds.
_GROUP_PAUSES: Final = (1, 2, 4, 8)


# ---- the system


def never_skip(boot: Boot) -> str | None:
    return None


def check_system(boot: Boot) -> None:
    """Fail early where a later step would fail with a less helpful error."""
    packages.NoServices(boot).close()  # a boot that was killed may have left its policy
    free = boot.machine.free_bytes(paths.APPLICATION)
    if free < _MIN_FREE_BYTES:
        raise BootstrapError(
            f"{free // 1024**2} MiB are free below /var, and {_MIN_FREE_BYTES // 1024**2} are"
            " needed",
            hint="give instances a larger root_volume_size",
        )
    marks.forget_changed(boot)


# ---- users


def users_skip(boot: Boot) -> str | None:
    return None if _missing_users(boot) else "they exist"


def make_users(boot: Boot) -> None:
    hint = "remove what is in the way of the user"
    for name in _missing_users(boot):
        home = (
            ["--create-home", "--home-dir", "/home/webapp"]
            if name == units.USER
            else ["--no-create-home"]
        )
        command = ["useradd", "--system", "--user-group", "--shell", "/sbin/nologin", *home, name]
        boot.machine.run(command, hint=hint)


def _missing_users(boot: Boot) -> list[str]:
    names = [units.DAEMON_USER, units.USER] if boot.has_application else [units.DAEMON_USER]
    return [name for name in names if not boot.machine.has_user(name)]


# ---- the daemon


def daemon_skip(boot: Boot) -> str | None:
    link = boot.machine.path(paths.DAEMON)
    done = link.is_symlink() and str(link.readlink()) == boot.daemon_home
    return f"{boot.daemon_home} is in place" if done else None


def place_daemon(boot: Boot) -> None:
    """Make the bundle that user data unpacked and compiled the one that the daemon runs from."""
    boot.machine.write(paths.COMMAND, units.template("command.sh"), 0o755)
    boot.machine.link(paths.DAEMON, boot.daemon_home)


# ---- the settings


def settings_skip(boot: Boot) -> str | None:
    resources = boot.settings.resources
    group = resources.auto_scaling_group
    return f"the group is {group}" if group and resources.lifecycle_hook else None


def complete_settings(boot: Boot) -> None:
    """Add the Auto Scaling group's name to `tier.json`.

    No template can give it, because the group refers to the launch template. Without it messages
    are dispatched all the same, and only the hook on termination ends by its own timeout. So a
    failure is logged, and the boot continues.
    """
    group = _known_group(boot) or _group_name(boot)
    if group is None:
        return
    resources = boot.settings.resources
    resources = replace(
        resources,
        auto_scaling_group=group,
        lifecycle_hook=resources.lifecycle_hook or LIFECYCLE_HOOK,
    )
    boot.settings = replace(boot.settings, resources=resources)
    document = boot.settings.to_document()
    boot.machine.write(SETTINGS_PATH, json.dumps(document, indent=1) + "\n")


def _known_group(boot: Boot) -> str | None:
    """Return the group that an earlier boot of this instance found out, or None.

    A file that another instance wrote, from which this machine image was made, does not count.
    """
    known = json.loads(boot.machine.read(paths.GROUP) or "{}")
    is_ours = boot.instance_id and known.get("instance") == boot.instance_id
    return str(known["group"]) if is_ours else None


def _group_name(boot: Boot) -> str | None:
    """Return the group's name as CloudFormation knows it, or None if it cannot be found out."""
    for pause in (*_GROUP_PAUSES, None):
        try:
            return _describe_group(boot)
        except early.Refused as error:
            boot.machine.log(f"the group's name cannot be found out: {error}")
            if pause is None or error.definite:
                boot.machine.log("the daemon will not complete the hook on termination")
                return None
            boot.machine.sleep(pause)
    return None


def _describe_group(boot: Boot) -> str | None:
    response = early.cloudformation(
        boot.instance.region,
        "DescribeStackResource",
        StackName=boot.instance.stack,
        LogicalResourceId=boot.instance.resource,
    )
    found = re.search(r"<PhysicalResourceId>([^<]+)<", response)
    if found is None:
        return None
    known = {"instance": boot.instance_id, "group": found[1]}
    boot.machine.write(paths.GROUP, json.dumps(known) + "\n")
    return found[1]
