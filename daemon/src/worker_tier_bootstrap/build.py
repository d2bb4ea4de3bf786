"""Turns a source bundle into a built release: fetch, unpack, hooks, build, record."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

from worker_tier_bootstrap import build_unit, early, paths, procfile, service_files, units
from worker_tier_bootstrap.boot import Boot
from worker_tier_bootstrap.contract import BUNDLE, CONTAINER
from worker_tier_bootstrap.errors import BootstrapError
from worker_tier_bootstrap.platforms import CONFIGHOOKS, HOOKS, PLATFORM_DIRECTORY, PLATFORMS
from worker_tier_bootstrap.release import container_release, plan_release, planned_processes
from worker_tier_bootstrap.root_environment import withheld
from worker_tier_bootstrap.source_bundle import set_platform_files_aside, unpack

#: Longest pause between two tries to fetch the source bundle, in seconds.
_LONGEST_PAUSE_SECONDS: Final = 60


# ---- reasons to skip that several steps share


def bundle_skip(boot: Boot) -> str | None:
    """Return why there is no source bundle to handle, or None if there is one."""
    if boot.application.kind == BUNDLE:
        return None
    return f"the application is {boot.application.kind}"


def built_skip(boot: Boot) -> str | None:
    """Return why there is nothing to build, or None if this release has to be built."""
    return f"release {boot.release_id} is built" if boot.is_built else None


def _unbuilt_bundle_skip(boot: Boot) -> str | None:
    return bundle_skip(boot) or built_skip(boot)


# ---- fetch


def fetch_skip(boot: Boot) -> str | None:
    reason = _unbuilt_bundle_skip(boot)
    if reason is None and boot.machine.path(_archive_path(boot)).exists():
        reason = "it is here, and its SHA-256 was checked"
    return reason


def fetch_bundle(boot: Boot) -> None:
    """Fetch the source bundle from S3, trying again until the boot's deadline."""
    bundle = boot.application.bundle
    assert bundle is not None
    target = boot.machine.path(_archive_path(boot))
    target.parent.mkdir(parents=True, exist_ok=True)
    pause = 2
    while True:
        try:
            early.fetch(boot.instance.region, bundle.bucket, bundle.key, bundle.sha256, str(target))
            return
        except early.Refused as error:
            if error.definite or boot.machine.remaining() < 2 * pause:
                raise BootstrapError(
                    f"the source bundle cannot be fetched: {error}",
                    hint="check that the object is there, and that the instance's role may read it",
                ) from error
            boot.machine.log(f"{error}; trying again in {pause} s")
        boot.machine.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)


def _archive_path(boot: Boot) -> str:
    bundle = boot.application.bundle
    assert bundle is not None
    return f"{paths.SOURCE_BUNDLES}/{bundle.sha256}.zip"


# ---- unpack


def unpack_skip(boot: Boot) -> str | None:
    if boot.application.kind == CONTAINER:
        return None if boot.release is None else "the image is known"
    return _unbuilt_bundle_skip(boot)


def unpack_application(boot: Boot) -> None:
    """Unpack the source bundle, or for a container only plan its release."""
    if boot.application.kind == CONTAINER:
        _plan_container(boot)
    else:
        _unpack_bundle(boot)


def _plan_container(boot: Boot) -> None:
    boot.release = container_release(boot.application)
    # The working directory of its unit, as of every process's.
    boot.machine.path(boot.release.directory).mkdir(parents=True, exist_ok=True)


def _unpack_bundle(boot: Boot) -> None:
    """Unpack into the release's directory, emptied first: a killed build may have used it."""
    machine = boot.machine
    directory = f"{paths.RELEASES}/{boot.release_id}"
    machine.remove(directory)
    machine.path(directory).mkdir(parents=True)
    archive = machine.path(_archive_path(boot))
    _check_space(boot, archive, directory)
    unpack(archive, machine.path(directory))
    _set_platform_files_aside(boot, directory)
    boot.release, boot.build = plan_release(boot.application, machine, directory, boot.system)
    machine.change_owner(directory, units.USER, except_for=PLATFORM_DIRECTORY)
    machine.link(paths.STAGING, directory)
    names = ", ".join(boot.release.processes) or "are known after the build"
    machine.log(
        f"platform {PLATFORMS[boot.release.platform].title}, PORT {boot.release.port},"
        f" processes {names}"
    )


def _set_platform_files_aside(boot: Boot, directory: str) -> None:
    """Move `.platform` to a directory of root, before anything else may write to the release."""
    machine = boot.machine
    target = f"{paths.PLATFORM_FILES}/{boot.release_id}"
    machine.remove(target)
    set_platform_files_aside(machine.path(directory), machine.path(target))
    machine.remove(f"{directory}/{PLATFORM_DIRECTORY}")
    machine.link(f"{directory}/{PLATFORM_DIRECTORY}", target)


def _check_space(boot: Boot, archive: Path, directory: str) -> None:
    unpacked = _unpacked_bytes(archive)
    free = boot.machine.free_bytes(directory)
    if unpacked is not None and free < 2 * unpacked:
        raise BootstrapError(
            f"the source bundle unpacks to {unpacked // 1024**2} MiB, and only"
            f" {free // 1024**2} MiB are free below /var",
            hint="give instances a larger root_volume_size",
        )


def _unpacked_bytes(archive: Path) -> int | None:
    """Return the size of an archive's files in bytes, or None if it cannot be read."""
    try:
        with zipfile.ZipFile(archive) as bundle:
            return sum(entry.file_size for entry in bundle.infolist())
    except zipfile.BadZipFile:
        return None  # unpacking fails with a better error


# ---- build


def build_skip(boot: Boot) -> str | None:
    reason = _unbuilt_bundle_skip(boot)
    return reason or (None if build_commands(boot) else "there is nothing to build")


def build_commands(boot: Boot) -> list[tuple[str, str]]:
    """Return (description, shell command) of the Buildfile, else of the platform's own build."""
    text = boot.machine.read_untrusted(boot.need_release().directory, procfile.BUILDFILE)
    if text is not None:
        lines = procfile.parse(text, procfile.BUILDFILE)
        return [(f"{name} of the Buildfile", command) for name, command in lines.items()]
    if boot.build is not None:
        return [(f"build of {PLATFORMS[boot.need_release().platform].title}", boot.build)]
    return []


def build(boot: Boot) -> None:
    release = boot.need_release()
    for description, command in build_commands(boot):
        build_unit.run(
            boot.machine,
            command,
            hint="build the bundle on a machine like this one until it works",
            directory=release.directory,
            environment=units.process_environment(release, release.directory),
            shown=f"{description}: {command}",
        )


# ---- hooks


def hooks_skip(phase: str) -> Callable[[Boot], str | None]:
    """Return the skip function of the hooks that run while a release is built."""

    def skip(boot: Boot) -> str | None:
        return _unbuilt_bundle_skip(boot) or _no_hooks_skip(boot, phase)

    return skip


def postdeploy_skip(boot: Boot) -> str | None:
    if reason := bundle_skip(boot):
        return reason
    if boot.runs_already:
        return f"release {boot.release_id} is deployed"
    return _no_hooks_skip(boot, "postdeploy")


def run_hooks(phase: str) -> Callable[[Boot], None]:
    """Return the step that runs the hooks of a phase."""
    return lambda boot: _run_hooks(boot, phase)


def _no_hooks_skip(boot: Boot, phase: str) -> str | None:
    return None if _hooks_of(boot, phase) else "the bundle has none"


def _hooks_of(boot: Boot, phase: str) -> list[str]:
    directory = f"{boot.need_release().platform_files}/{_hook_directory(boot)}/{phase}"
    return [f"{directory}/{name}" for name in boot.machine.names(directory)]


def _hook_directory(boot: Boot) -> str:
    """Return `confighooks` if only settings changed since the last deployment, else `hooks`."""
    previous = boot.previous
    bundle = boot.application.bundle
    only_settings = (
        previous is not None
        and bundle is not None
        and previous.source == bundle.sha256
        and previous.id != boot.release_id
    )
    return CONFIGHOOKS if only_settings else HOOKS


def _run_hooks(boot: Boot, phase: str) -> None:
    """Run hooks as root, sorted by name, in the staging or the current directory (EB's rule).

    They are found where only root may write, and get nothing of the application's in their PATH.
    """
    release = boot.need_release()
    directory = paths.CURRENT if phase == "postdeploy" else paths.STAGING
    if names := withheld(release.environment):
        boot.machine.log(f"hooks run as root, without the properties {', '.join(names)}")
    for hook in _hooks_of(boot, phase):
        # An earlier hook may have written this one.
        if not boot.machine.path(hook).is_symlink():
            boot.machine.path(hook).chmod(0o755)
        name = hook.replace(release.platform_files, PLATFORM_DIRECTORY, 1)
        boot.machine.run(
            [str(boot.machine.path(hook))],
            hint=f"correct {name}; it must end with 0, and begin with a line such as #!/bin/bash",
            directory=directory,
            environment=units.hook_environment(release),
            shown=name,
        )


# ---- record


def _plan_processes(boot: Boot) -> None:
    """Read the Procfile again: as in Elastic Beanstalk, a hook or the build may have written it."""
    release = boot.need_release()
    processes = planned_processes(boot.machine, release.directory, release.platform)
    boot.release = replace(release, processes=processes)
    if processes != release.processes:
        boot.machine.log(f"processes after the build: {', '.join(processes)}")


def record_skip(boot: Boot) -> str | None:
    if not boot.has_application:
        return "the application is external"
    return built_skip(boot)


def record(boot: Boot) -> None:
    """Record the release as built, so that no later boot builds it again."""
    if boot.application.kind != CONTAINER:
        _plan_processes(boot)
    service_files.check_names(boot)
    release = boot.need_release()
    if boot.application.kind != CONTAINER:
        boot.machine.change_owner(release.directory, units.USER, except_for=PLATFORM_DIRECTORY)
    # After a power cut there must be no record of a build that did not reach the disk.
    boot.machine.sync()
    # Root's, for it has environment properties; yet every process can read them in user data.
    boot.machine.write(f"{paths.RECORDS}/{release.id}.json", release.to_json(), 0o600)
