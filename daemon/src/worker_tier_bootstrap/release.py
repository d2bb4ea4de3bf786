"""A release: one source bundle with its settings, in a directory of its own.

`/var/app/staging` is a link to the release that is being built, `/var/app/current` to the one that
runs; both are links, so that a release is entered and left in one step, and a build's own absolute
paths stay true.
"""

from __future__ import annotations

import hashlib
import json
import shlex
import stat
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from worker_tier_bootstrap import platforms, procfile
from worker_tier_bootstrap.contract import BUNDLE, CONTAINER, Application
from worker_tier_bootstrap.errors import BootstrapError
from worker_tier_bootstrap.machine import Machine

RELEASES: Final = "/var/app/releases"
STAGING: Final = "/var/app/staging"
CURRENT: Final = "/var/app/current"
RECORDS: Final = "/var/lib/worker-tier/releases"
DEPLOYED: Final = "/var/lib/worker-tier/deployed.json"
#: EB's limit for a source bundle; beyond it something was packed by mistake.
_MOST_UNPACKED_BYTES: Final = 4 * 1024**3


@dataclass(frozen=True, kw_only=True)
class Release:
    """A release that was built, and how it is run.

    Args:
        id: of its directory.
        source: SHA-256 of its bundle, or its image.
        processes: name -> shell command; `web` first, on `port`.
    """

    id: str
    source: str
    platform: str
    port: int
    processes: Mapping[str, str]
    environment: Mapping[str, str]

    @property
    def directory(self) -> str:
        return f"{RELEASES}/{self.id}"

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Release:
        return cls(**json.loads(text))


@dataclass(frozen=True, kw_only=True)
class Deployed:
    """What a boot that came to its end left running.

    Args:
        instance: its id; another one's is only what this machine's image was made of.
        release: its id; None where the application is external.
        daemon: directory of the daemon's bundle.
        settings: text of `tier.json`.
        cron: text of the periodic tasks' file, None where there is none.
    """

    instance: str
    release: str | None
    daemon: str
    settings: str
    cron: str | None

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=1) + "\n"


def release_id(application: Application) -> str:
    """Changes with everything that makes another release."""
    source = application.image if application.bundle is None else application.bundle.sha256
    parts = [
        source,
        application.platform,
        application.port,
        sorted(application.environment.items()),
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def recorded(machine: Machine, id: str) -> Release | None:
    """A release that was built to its end, or None."""
    text = machine.read(f"{RECORDS}/{id}.json")
    return None if text is None else Release.from_json(text)


def deployed(machine: Machine) -> Deployed | None:
    """What the last boot that came to its end left, postdeploy hooks included, or None."""
    text = machine.read(DEPLOYED)
    return None if text is None else Deployed(**json.loads(text))


def is_current(machine: Machine, id: str) -> bool:
    """Whether the link leads to this release."""
    place = machine.path(CURRENT)
    return place.is_symlink() and place.readlink().name == id


def unpack(archive: Path, target: Path) -> None:
    """Unpack a source bundle, with its links and the permission to execute.

    Raises:
        BootstrapError: it is no ZIP archive, is damaged, or wants to write outside `target`.
    """
    try:
        with zipfile.ZipFile(archive) as bundle:
            entries = bundle.infolist()
            _check(entries, target)
            for entry in entries:
                _unpack_entry(bundle, entry, target)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise BootstrapError(
            f"the source bundle is no readable ZIP archive: {error}",
            hint="upload it again; it must be a ZIP archive without a password",
        ) from error


def _check(entries: list[zipfile.ZipInfo], target: Path) -> None:
    outside = [
        e.filename for e in entries if e.filename.startswith("/") or ".." in e.filename.split("/")
    ]
    if outside:
        raise BootstrapError(
            f"the source bundle holds the path {outside[0]!r}, which leaves its directory",
            hint="pack the bundle from inside its directory",
        )
    size = sum(entry.file_size for entry in entries)
    if size > _MOST_UNPACKED_BYTES:
        raise BootstrapError(
            f"the source bundle unpacks to {size} bytes and may have {_MOST_UNPACKED_BYTES}",
            hint="leave files out with an .ebignore",
        )


def _unpack_entry(bundle: zipfile.ZipFile, entry: zipfile.ZipInfo, target: Path) -> None:
    place = target / entry.filename
    mode = entry.external_attr >> 16
    # A link in the archive must not lead what comes after it out of the directory.
    if not place.parent.resolve().is_relative_to(target.resolve()):
        raise BootstrapError(
            f"{entry.filename!r} of the source bundle goes through a link out of its directory",
            hint="pack the bundle from inside its directory",
        )
    if entry.is_dir():
        place.mkdir(parents=True, exist_ok=True)
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    if stat.S_ISLNK(mode):
        place.symlink_to(bundle.read(entry).decode())
        return
    place.write_bytes(bundle.read(entry))
    place.chmod(0o755 if mode & 0o111 else 0o644)


def plan_release(
    application: Application, machine: Machine, directory: str, family: str
) -> tuple[Release, str | None]:
    """What an unpacked bundle is: its release, and the platform's build command if there is one.

    Raises:
        BootstrapError: nothing says what to start.
    """
    assert application.kind == BUNDLE
    assert application.bundle is not None
    names = set(machine.names(directory))

    def read(name: str) -> str | None:
        return machine.read(f"{directory}/{name}")

    platform = application.platform or platforms.detect(names)
    if platform is None:
        raise BootstrapError(
            "nothing says how to start the application: its bundle has no Procfile, and no file"
            f" that tells its platform (it has {', '.join(sorted(names)[:8]) or 'no file'})",
            hint="add a Procfile with a line such as `web: node app.js` at the top of the bundle",
        )
    text = read("Procfile")
    if text is not None:
        commands = procfile.processes(text)
    else:
        start = platforms.start_of(platform, names, read)
        if start is None:
            raise BootstrapError(
                f"nothing says how to start the application: its bundle has no Procfile, and no"
                f" file that {platforms.PLATFORMS[platform].title} is started by",
                hint="add a Procfile with a line such as `web: node app.js`",
            )
        commands = {procfile.WEB: start}
    row = platforms.PLATFORMS[platform]
    release = Release(
        id=release_id(application),
        source=application.bundle.sha256,
        platform=platform,
        port=application.port or row.port,
        processes=commands,
        environment={**row.environment, **application.environment},
    )
    return release, platforms.build_of(platform, family, names, read)


def container_release(application: Application) -> Release:
    """The release of a container: its port is published on loopback only."""
    assert application.kind == CONTAINER
    assert application.image is not None
    port = application.port or platforms.PLATFORMS["docker"].port
    command = (
        "docker rm --force worker-tier-web >/dev/null 2>&1; exec docker run --rm --init"
        " --name worker-tier-web --env-file /etc/worker-tier/container.env"
        f" --publish 127.0.0.1:{port}:{port} {shlex.quote(application.image)}"
    )
    return Release(
        id=release_id(application),
        source=application.image,
        platform="docker",
        port=port,
        processes={procfile.WEB: command},
        environment=dict(application.environment),
    )
