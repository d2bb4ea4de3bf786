"""A release: one source bundle or image with its settings, in its own directory.

`/var/app/staging` links to the release that is being built, `/var/app/current` to the one that
runs. Because both are links, a release is activated or replaced in one step, and absolute paths
that a build has written stay valid.
"""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Final

from worker_tier_bootstrap import paths, platforms, procfile
from worker_tier_bootstrap.contract import BUNDLE, CONTAINER, Application
from worker_tier_bootstrap.errors import BootstrapError
from worker_tier_bootstrap.machine import Machine
from worker_tier_bootstrap.platforms import (
    HOOKS_BEFORE_START,
    PLATFORM_DIRECTORY,
    PLATFORMS,
    Platform,
)
from worker_tier_bootstrap.systems import System

#: Name of the container that runs the application.
_CONTAINER: Final = "worker-tier-web"
#: Capabilities that a container may have of Docker's default ones: its root gives files to other
#: users, becomes another user and ends its processes, and listens on a port below 1024. So do the
#: usual images at their start. Left out are devices, raw packets, chroot and what files may carry.
_CAPABILITIES: Final = (
    *("CHOWN", "DAC_OVERRIDE", "FOWNER", "KILL"),
    *("NET_BIND_SERVICE", "SETGID", "SETUID"),
)


@dataclass(frozen=True, kw_only=True)
class Release:
    """Describes a release, and how it is run.

    Args:
        id: name of the release's directory and record.
        source: SHA-256 of the source bundle, or the name of the image.
        platform: name of the platform.
        port: port that the process `web` listens on.
        processes: name -> shell command, `web` first.
        environment: environment properties, the platform's included.
    """

    id: str
    source: str
    platform: str
    port: int
    processes: Mapping[str, str]
    environment: Mapping[str, str]

    @property
    def directory(self) -> str:
        return f"{paths.RELEASES}/{self.id}"

    @property
    def platform_files(self) -> str:
        """The directory of what root runs and nginx includes; only root may write to it."""
        return f"{paths.PLATFORM_FILES}/{self.id}"

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Release:
        return cls(**json.loads(text))


@dataclass(frozen=True, kw_only=True)
class Deployed:
    """Records what a successful boot left running.

    Args:
        instance: id of the instance; a different id means that this machine's image was made from
            that instance.
        release: id of the release, or None if the application is external.
        daemon: directory of the daemon's bundle.
        settings: text of `tier.json`.
        cron: text of `cron.yaml`, or None if there are no periodic tasks.
    """

    instance: str
    release: str | None
    daemon: str
    settings: str
    cron: str | None

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=1) + "\n"


def release_id(application: Application) -> str:
    """Return the id of an application's release: a digest of everything that distinguishes it."""
    source = application.image if application.bundle is None else application.bundle.sha256
    parts = [
        source,
        application.platform,
        application.port,
        sorted(application.environment.items()),
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def recorded(machine: Machine, id: str) -> Release | None:
    """Return the release of this id if a boot has built it to its end, or None."""
    text = machine.read(f"{paths.RECORDS}/{id}.json")
    return None if text is None else Release.from_json(text)


def deployed(machine: Machine) -> Deployed | None:
    """Return what the last successful boot left running, or None if there was none."""
    text = machine.read(paths.DEPLOYED)
    return None if text is None else Deployed(**json.loads(text))


def is_current(machine: Machine, id: str) -> bool:
    """Whether the link `/var/app/current` points to this release."""
    link = machine.path(paths.CURRENT)
    return link.is_symlink() and link.readlink().name == id


def plan_release(
    application: Application, machine: Machine, directory: str, system: System
) -> tuple[Release, str | None]:
    """Find out what an unpacked source bundle is.

    Returns:
        The release, and its platform's build command or None if there is nothing to build.

    Raises:
        BootstrapError: the bundle does not determine what to start.
    """
    assert application.kind == BUNDLE
    assert application.bundle is not None
    names = set(machine.names(directory)) - {PLATFORM_DIRECTORY}
    platform = application.platform or platforms.detect(names)
    may_follow = _may_follow(machine, application, names)
    if platform is None and may_follow:
        platform = Platform.PROCFILE
    if platform is None:
        raise BootstrapError(
            "nothing says how to start the application: its bundle has no Procfile, and no file"
            f" that a platform is known by (it has {', '.join(sorted(names)[:8]) or 'no file'})",
            hint="add a Procfile with a line such as `web: node app.js` at the top of the bundle",
        )
    row = PLATFORMS[platform]
    release = Release(
        id=release_id(application),
        source=application.bundle.sha256,
        platform=platform,
        port=application.port or row.port,
        processes=_first_processes(machine, directory, platform, may_follow),
        environment={**row.environment, **application.environment},
    )
    read = partial(machine.read_untrusted, directory)
    return release, platforms.build_of(platform, system, names, read)


def planned_processes(machine: Machine, directory: str, platform: str) -> dict[str, str]:
    """Return process name -> command, by the Procfile or else by the platform.

    Args:
        directory: the release's; its files are read as untrusted, for the application's user may
            have written them.

    Raises:
        BootstrapError: nothing says what to start, or the Procfile cannot be used.
    """
    read = partial(machine.read_untrusted, directory)
    text = read(procfile.PROCFILE)
    if text is not None:
        return procfile.processes(text)
    start = platforms.start_of(platform, set(machine.names(directory)), read)
    if start is None:
        raise BootstrapError(
            f"nothing says how to start the application: its bundle has no Procfile, and no"
            f" file that {PLATFORMS[platform].title} is started by",
            hint="add a Procfile with a line such as `web: node app.js`",
        )
    return {procfile.WEB: start}


def _first_processes(
    machine: Machine, directory: str, platform: str, may_follow: bool
) -> dict[str, str]:
    """Return the processes before the build; none if only the build determines them."""
    try:
        return planned_processes(machine, directory, platform)
    except BootstrapError:
        if may_follow and procfile.PROCFILE not in machine.names(directory):
            return {}
        raise


def _may_follow(machine: Machine, application: Application, names: set[str]) -> bool:
    """Whether a Procfile may be written by a Buildfile or by hooks, as in Elastic Beanstalk."""
    platform_files = f"{paths.PLATFORM_FILES}/{release_id(application)}"
    hooks = [f"{platform_files}/{path}" for path in HOOKS_BEFORE_START]
    return procfile.BUILDFILE in names or any(map(machine.names, hooks))


def container_release(application: Application) -> Release:
    """Return the release of a container, whose port is published on loopback only."""
    assert application.kind == CONTAINER
    assert application.image is not None
    port = application.port or PLATFORMS[Platform.DOCKER].port
    rights = "".join(f" --cap-add {name}" for name in _CAPABILITIES)
    command = (
        f"docker rm --force {_CONTAINER} >/dev/null 2>&1; exec docker run --rm --init"
        f" --cap-drop ALL{rights} --security-opt no-new-privileges"
        f" --name {_CONTAINER} --env-file {paths.CONTAINER_ENVIRONMENT}"
        f" --publish 127.0.0.1:{port}:{port} {shlex.quote(application.image)}"
    )
    return Release(
        id=release_id(application),
        source=application.image,
        platform=Platform.DOCKER,
        port=port,
        processes={procfile.WEB: command},
        environment=dict(application.environment),
    )
