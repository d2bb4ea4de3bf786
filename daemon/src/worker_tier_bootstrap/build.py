"""The steps from a bare system to a built release."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Final

from worker_tier_bootstrap import early, packages, units
from worker_tier_bootstrap.boot import SETTINGS_PATH, Boot
from worker_tier_bootstrap.contract import BUNDLE, CONTAINER, LIFECYCLE_HOOK
from worker_tier_bootstrap.errors import BootstrapError
from worker_tier_bootstrap.platforms import PLATFORMS
from worker_tier_bootstrap.release import (
    CURRENT,
    RECORDS,
    RELEASES,
    STAGING,
    container_release,
    plan_release,
    unpack,
)

BUNDLES: Final = "/var/app/bundles"
BUILDFILE: Final = "Buildfile"
_LEAST_FREE_BYTES: Final = 200 * 1024 * 1024
_GROUP_TRIES: Final = (1, 2, 4, 8)
#: Which group this very instance is in, which never changes.
_GROUP: Final = "/var/lib/worker-tier/group.json"
_HOOKS: Final = ("hooks", "confighooks")
#: Of a bundle, what root runs or reads; the build, which is webapp's, must not reach it.
_PLATFORM: Final = ".platform"
_LONGEST_PAUSE_SECONDS: Final = 60


# ---- the system


def check_system(boot: Boot) -> None:
    """What would otherwise fail later, and less plainly."""
    packages.NoServices(boot).close()  # a boot that was killed may have left it
    free = boot.machine.free_bytes("/var/app")
    if free < _LEAST_FREE_BYTES:
        raise BootstrapError(
            f"{free // 1024**2} MiB are free below /var, and {_LEAST_FREE_BYTES // 1024**2} are"
            " needed",
            hint="give instances a larger root_volume_size",
        )


def missing_users(boot: Boot) -> list[str]:
    names = ["sqsd", "webapp"] if boot.has_application else ["sqsd"]
    return [name for name in names if not boot.machine.has_user(name)]


def make_users(boot: Boot) -> None:
    hint = "remove what is in the way of the user"
    for name in missing_users(boot):
        home = (
            ["--create-home", "--home-dir", "/home/webapp"]
            if name == "webapp"
            else ["--no-create-home"]
        )
        command = ["useradd", "--system", "--user-group", "--shell", "/sbin/nologin", *home, name]
        boot.machine.run(command, hint=hint)


# ---- the daemon


def daemon_skip(boot: Boot) -> str | None:
    place = boot.machine.path(f"{units.HOME}/daemon")
    done = place.is_symlink() and str(place.readlink()) == boot.daemon_home
    return f"{boot.daemon_home} is in place" if done else None


def place_daemon(boot: Boot) -> None:
    """User data unpacked and compiled it, to run this; here it becomes the one that is used."""
    boot.machine.write("/usr/local/bin/worker-tier-bootstrap", units.template("command.sh"), 0o755)
    boot.machine.link(f"{units.HOME}/daemon", boot.daemon_home)


def settings_skip(boot: Boot) -> str | None:
    group = boot.tier.get("auto_scaling_group")
    return f"the group is {group}" if group and boot.tier.get("lifecycle_hook") else None


def complete_settings(boot: Boot) -> None:
    """Add the group's name, which no template can give to its own group's instances.

    Without it messages are dispatched all the same; only the hook on termination is left to end by
    its own timeout. So this says what is wrong, and the boot goes on.
    """
    group = _known_group(boot) or _group_name(boot)
    if group is None:
        return
    boot.tier["auto_scaling_group"] = group
    boot.tier["lifecycle_hook"] = boot.tier.get("lifecycle_hook") or LIFECYCLE_HOOK
    boot.machine.write(SETTINGS_PATH, json.dumps(boot.tier, indent=1) + "\n")


def _known_group(boot: Boot) -> str | None:
    """What an earlier boot of this very instance found out; not of one that its image is of."""
    known = json.loads(boot.machine.read(_GROUP) or "{}")
    same = boot.instance_id and known.get("instance") == boot.instance_id
    return str(known["group"]) if same else None


def _group_name(boot: Boot) -> str | None:
    instance = boot.instance
    for delay in (*_GROUP_TRIES, None):
        try:
            answer = early.cloudformation(
                instance.region,
                "DescribeStackResource",
                StackName=instance.stack,
                LogicalResourceId=instance.resource,
            )
            found = re.search(r"<PhysicalResourceId>([^<]+)<", answer)
            if found is None:
                return None
            known = {"instance": boot.instance_id, "group": found[1]}
            boot.machine.write(_GROUP, json.dumps(known) + "\n")
            return found[1]
        except early.Refused as error:
            boot.machine.say(f"the group's name cannot be found out: {error}")
            if delay is None or error.definite:
                boot.machine.say("the daemon will not complete the hook on termination")
                return None
            boot.machine.sleep(delay)
    return None


# ---- the application


def archive_path(boot: Boot) -> str:
    bundle = boot.application.bundle
    assert bundle is not None
    return f"{BUNDLES}/{bundle.sha256}.zip"


def not_bundle(boot: Boot) -> str | None:
    """Why there is no source bundle to handle."""
    if boot.application.kind == BUNDLE:
        return None
    return f"the application is {boot.application.kind}"


def built_already(boot: Boot) -> str | None:
    return f"release {boot.release_id} is built" if boot.is_built else None


def fetch_skip(boot: Boot) -> str | None:
    reason = not_bundle(boot) or built_already(boot)
    if reason is None and boot.machine.path(archive_path(boot)).exists():
        reason = "it is here, and its SHA-256 was checked"
    return reason


def fetch_bundle(boot: Boot) -> None:
    bundle = boot.application.bundle
    assert bundle is not None
    target = boot.machine.path(archive_path(boot))
    target.parent.mkdir(parents=True, exist_ok=True)
    delay = 2
    while True:
        try:
            early.fetch(boot.instance.region, bundle.bucket, bundle.key, bundle.sha256, str(target))
            return
        except early.Refused as error:
            if error.definite or boot.machine.remaining() < 2 * delay:
                raise BootstrapError(
                    f"the source bundle cannot be fetched: {error}",
                    hint="check that the object is there, and that the instance's role may read it",
                ) from error
            boot.machine.say(f"{error}; trying again in {delay} s")
        boot.machine.sleep(delay)
        delay = min(2 * delay, _LONGEST_PAUSE_SECONDS)


def unpack_bundle(boot: Boot) -> None:
    """Into the release's own directory, from the start: what a killed build left is no base."""
    machine = boot.machine
    directory = f"{RELEASES}/{boot.release_id}"
    machine.remove(directory)
    machine.path(directory).mkdir(parents=True)
    archive = machine.path(archive_path(boot))
    unpacked = sum_of_sizes(archive)
    if unpacked is not None and machine.free_bytes(directory) < 2 * unpacked:
        raise BootstrapError(
            f"the source bundle unpacks to {unpacked // 1024**2} MiB, and only"
            f" {machine.free_bytes(directory) // 1024**2} MiB are free below /var",
            hint="give instances a larger root_volume_size",
        )
    unpack(archive, machine.path(directory))
    boot.release, boot.build = plan_release(
        boot.application, machine, directory, boot.system.family
    )
    machine.give(directory, "webapp", keep=_PLATFORM)
    machine.link(STAGING, directory)
    machine.say(
        f"platform {PLATFORMS[boot.release.platform].title}, PORT {boot.release.port},"
        f" processes {', '.join(boot.release.processes)}"
    )


def sum_of_sizes(archive: Path) -> int | None:
    import zipfile

    try:
        with zipfile.ZipFile(archive) as bundle:
            return sum(entry.file_size for entry in bundle.infolist())
    except zipfile.BadZipFile:
        return None  # unpacking tells it


def plan_container(boot: Boot) -> None:
    boot.release = container_release(boot.application)
    # Where its unit is started, as every process's is.
    boot.machine.path(boot.release.directory).mkdir(parents=True, exist_ok=True)


def build_commands(boot: Boot) -> list[tuple[str, str]]:
    """(what, shell command) of this bundle's build: its Buildfile, else its platform's own."""
    from worker_tier_bootstrap import procfile

    text = boot.machine.read(f"{boot.need_release().directory}/{BUILDFILE}")
    if text is not None:
        lines = procfile.parse(text, BUILDFILE)
        return [(f"{name} of the Buildfile", command) for name, command in lines.items()]
    if boot.build is not None:
        return [(f"build of {PLATFORMS[boot.need_release().platform].title}", boot.build)]
    return []


def build(boot: Boot) -> None:
    release = boot.need_release()
    for what, command in build_commands(boot):
        boot.machine.run(
            ["sh", "-c", command],
            hint="build the bundle on a machine like this one until it works",
            directory=release.directory,
            user="webapp",
            environment=units.process_environment(release, release.directory),
            shown=f"{what}: {command}",
        )


def hook_directory(boot: Boot) -> str:
    """`confighooks` when only settings changed, as in EB, else `hooks`."""
    previous, bundle = boot.previous, boot.application.bundle
    only_settings = (
        previous is not None
        and bundle is not None
        and previous.source == bundle.sha256
        and previous.id != boot.release_id
    )
    return _HOOKS[1] if only_settings else _HOOKS[0]


def hooks_of(boot: Boot, phase: str) -> list[str]:
    release = boot.need_release()
    directory = f"{release.directory}/{_PLATFORM}/{hook_directory(boot)}/{phase}"
    return [f"{directory}/{name}" for name in boot.machine.names(directory)]


def run_hooks(boot: Boot, phase: str) -> None:
    """As root, in the order of their names, in the staging or the current directory (EB's rule)."""
    release = boot.need_release()
    entered = phase == "postdeploy"
    where, found_at = (CURRENT, CURRENT) if entered else (STAGING, release.directory)
    for hook in hooks_of(boot, phase):
        # EB makes hooks executable too, since archives made on Windows do not say it.
        if not boot.machine.path(hook).is_symlink():
            boot.machine.path(hook).chmod(0o755)
        name = hook.removeprefix(f"{release.directory}/")
        boot.machine.run(
            [str(boot.machine.path(hook))],
            hint=f"correct {name}; it must end with 0, and begin with a line such as #!/bin/bash",
            directory=where,
            environment=units.process_environment(release, found_at) | {"HOME": "/root"},
            shown=name,
        )


def record(boot: Boot) -> None:
    """The release is built: from here on it is never built again."""
    release = boot.need_release()
    if boot.application.kind != CONTAINER:
        boot.machine.give(release.directory, "webapp", keep=_PLATFORM)
    # The record must not outlive, in a power cut, what it says is built.
    boot.machine.sync()
    # Properties may be secrets.
    boot.machine.write(f"{RECORDS}/{release.id}.json", release.to_json(), 0o600)
