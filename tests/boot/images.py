"""Root file systems to boot: built once a week from the distribution's own mirror, then cached.

An image is what a cloud image is before user data: systemd, cloud-init, Python, no more. Beside it
lies a repository of the packages that the boots install, so that they need no network. A second
file system has most of them installed, as a machine image that people bake.

The cache is shared by every checkout: an image is a directory with its recipe's key in the name,
held by a lock while it is built or booted.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

#: Around what makes or boots a file system: its mounts, processes and network end with it.
NAMESPACES: Final = (
    *("unshare", "--net", "--mount", "--propagation", "private", "--pid", "--fork"),
    *("--kill-child", "--mount-proc"),
)
_BASE: Final = (
    "systemd,systemd-sysv,dbus,udev,cloud-init,python3,ca-certificates,iproute2,procps,netbase,"
    "lsb-release,openssh-client"
)
#: Raise it when the way of building changes.
_RECIPE: Final = "2"
#: A directory that no run has used for so long is removed.
_STALE_SECONDS: Final = 14 * 86_400
_TIER: Final = ("nginx", "logrotate", "nodejs")
#: Preinstalled in the second file system. PHP is not: a boot installs it, and what Debian starts.
_PLATFORMS: Final = (
    *("gunicorn", "python3-venv", "ruby", "puma", "golang-go"),
    *("default-jre-headless", "default-jdk-headless"),
)
_DEBIAN: Final = """\
Types: deb
URIs: http://deb.debian.org/debian
Suites: {suite} {suite}-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://deb.debian.org/debian-security
Suites: {suite}-security
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
"""
# Debian has no package with Ubuntu's keys. What is unpacked runs in a namespace without a network,
# and never leaves this cache.
_UBUNTU: Final = """\
Types: deb
URIs: http://archive.ubuntu.com/ubuntu
Suites: {suite} {suite}-updates {suite}-security
Components: main universe
Trusted: yes
"""


@dataclass(frozen=True, kw_only=True)
class Image:
    """A distribution's release.

    Args:
        packages: what boots install.
        preinstalled: what the second file system has; nothing where there is none.
    """

    name: str
    suite: str
    sources: str
    packages: tuple[str, ...] = _TIER
    preinstalled: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """Changes with the recipe, and every week."""
        parts = [repr(self), _BASE, _RECIPE, time.strftime("%G-%V")]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]

    @property
    def directory(self) -> Path:
        return place() / f"{self.name}-{self.key}"

    @property
    def base(self) -> Path:
        """The unpacked file system: a lower layer, never written to."""
        return self.directory / "base"

    @property
    def full(self) -> Path:
        """The same with packages installed."""
        return self.directory / "full"

    @property
    def repository(self) -> Path:
        return self.directory / "packages"

    def is_built(self) -> bool:
        return (self.directory / "done").exists()


def place() -> Path:
    """Where images are kept, for every checkout of this user."""
    if given := os.environ.get("WORKER_TIER_IMAGES"):
        return Path(given).absolute()
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache, "worker-tier", "images")


DEBIAN_12: Final = Image(
    name="debian-12",
    suite="bookworm",
    sources=_DEBIAN.format(suite="bookworm"),
    packages=(*_TIER, *_PLATFORMS, "php-fpm"),
    preinstalled=_TIER + _PLATFORMS,
)
DEBIAN_13: Final = Image(
    name="debian-13",
    suite="trixie",
    sources=_DEBIAN.format(suite="trixie"),
)
UBUNTU_24_04: Final = Image(
    name="ubuntu-24.04",
    suite="noble",
    sources=_UBUNTU.format(suite="noble"),
)


IMAGES: Final = {image.name: image for image in (DEBIAN_12, DEBIAN_13, UBUNTU_24_04)}


def ensure(image: Image) -> None:
    """Build an image unless the cache has it from this week; another process's build is awaited."""
    if image.is_built():
        return
    image.directory.mkdir(parents=True, exist_ok=True)
    with _lock(image, fcntl.LOCK_EX):
        if image.is_built():
            return
        started = time.monotonic()
        print(f"building the {image.name} root file system (once a week) ...", flush=True)
        _build(image)
        (image.directory / "done").touch()
        seconds = time.monotonic() - started
        print(f"built {image.directory} in {seconds:.0f} s", flush=True)


@contextmanager
def held(image: Image) -> Iterator[None]:
    """Keep an image from being swept while it is booted."""
    with _lock(image, fcntl.LOCK_SH):
        os.utime(image.directory)
        yield


def sweep() -> None:
    """Remove the images that nothing has used for two weeks and nothing uses now."""
    for path in place().glob("*-*"):
        if time.time() - path.stat().st_mtime < _STALE_SECONDS:
            continue
        with (path / "lock").open("a") as file, suppress(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(path, ignore_errors=True)


@contextmanager
def _lock(image: Image, how: int) -> Iterator[None]:
    with (image.directory / "lock").open("a") as file:
        fcntl.flock(file, how)
        yield


def _build(image: Image) -> None:
    with tempfile.TemporaryDirectory(dir=image.directory) as name:
        work = Path(name)
        work.chmod(0o755)
        sources = work / "image.sources"
        sources.write_text(image.sources, encoding="utf-8")
        _bootstrap(image, sources, work)
        _unpack(work / "packages.tar", image.repository)
        with (image.repository / "Packages").open("wb") as index:
            subprocess.run(
                ["dpkg-scanpackages", "-m", "."],
                cwd=image.repository,
                stdout=index,
                stderr=subprocess.DEVNULL,
                check=True,
            )
        if image.preinstalled:
            _preinstall(image, work)
        _unpack(work / "root.tar", image.base)


def _bootstrap(image: Image, sources: Path, work: Path) -> None:
    download = (
        'chroot "$1" apt-get -q -y -o Dir::Cache::archives=/packages'
        " -o APT::Keep-Downloaded-Packages=true install --download-only"
        f" {' '.join(image.packages)}"
    )
    clean = (
        'rm -rf "$1/packages" "$1"/var/lib/apt/lists/* "$1"/etc/apt/sources.list.d/*'
        ' "$1"/etc/apt/sources.list "$1"/etc/hostname "$1"/etc/resolv.conf; : > "$1/etc/machine-id"'
    )
    hooks = (
        'mkdir -p "$1/packages/partial"',
        download,
        f'tar -C "$1/packages" --exclude=partial --exclude=lock -cf {work}/packages.tar .',
        clean,
    )
    options = (
        *('--aptopt=Acquire::Languages "none"', '--aptopt=APT::Install-Recommends "false"'),
        *('--aptopt=Acquire::Check-Valid-Until "false"', "--dpkgopt=force-unsafe-io"),
        *(f"--dpkgopt=path-exclude=/usr/share/{what}/*" for what in ("doc", "man", "locale")),
        *(f"--customize-hook={hook}" for hook in hooks),
    )
    command = [
        *("mmdebstrap", "--quiet", "--variant=apt", f"--include={_BASE}", *options),
        *(image.suite, str(work / "root.tar"), str(sources)),
    ]
    completed = subprocess.run(command, capture_output=True, text=True)
    if completed.returncode != 0:
        raise RuntimeError(f"mmdebstrap failed for {image.name}:\n{completed.stderr[-3000:]}")


def _unpack(archive: Path, target: Path) -> None:
    """In one step, so that a killed build leaves no half of a file system behind."""
    fresh = archive.parent / target.name
    fresh.mkdir()
    subprocess.run(["tar", "-C", fresh, "-xf", archive], check=True)
    shutil.rmtree(target, ignore_errors=True)
    fresh.rename(target)


#: Run in namespaces of its own. Nothing is started at installation, as where a machine image is
#: made, and what the repository was for is gone afterwards.
_INSTALL: Final = """
set -eu
mount -t tmpfs tmpfs /run
exec systemd-nspawn -q -D "$1" --register=no --keep-unit --pipe --resolv-conf=off --timezone=off \
  --private-network --bind-ro="$2":/packages sh -euc '
    mkdir -p /usr/share/man/man1
    printf "#!/bin/sh\\nexit 101\\n" > /usr/sbin/policy-rc.d
    chmod 755 /usr/sbin/policy-rc.d
    echo "deb [trusted=yes] file:/packages ./" > /etc/apt/sources.list
    export DEBIAN_FRONTEND=noninteractive
    apt-get -qq update
    apt-get -qq -y --no-install-recommends install "$@"
    rm -rf /usr/sbin/policy-rc.d /etc/apt/sources.list /var/lib/apt/lists/*
    : > /etc/machine-id
  ' sh {packages}
"""


def _preinstall(image: Image, work: Path) -> None:
    """The second file system: the first, and packages from the repository."""
    script = _INSTALL.format(packages=" ".join(image.preinstalled))
    full = work / "full"
    full.mkdir()
    subprocess.run(["tar", "-C", full, "-xf", work / "root.tar"], check=True)
    command = [*NAMESPACES, "sh", "-c", script, "sh", str(full), str(image.repository)]
    completed = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if completed.returncode != 0:
        said = (completed.stdout + completed.stderr)[-3000:]
        raise RuntimeError(f"packages could not be installed in {image.name}:\n{said}")
    shutil.rmtree(image.full, ignore_errors=True)
    full.rename(image.full)


def main() -> None:
    """Build what is missing, two at a time: each mostly waits for its mirror or its disk."""
    from tests.boot import box

    if lacking := box.missing():
        sys.exit(f"a system to boot needs {lacking}")
    place().mkdir(parents=True, exist_ok=True)
    sweep()
    with ThreadPoolExecutor(max_workers=2) as pool:
        for _ in pool.map(ensure, wanted()):
            pass


def wanted() -> list[Image]:
    """Every image but those that somebody has given up on purpose, by name."""
    without = os.environ.get("BOOTSTRAP_WITHOUT", "").replace(",", " ").split()
    return [image for name, image in IMAGES.items() if name not in without]


if __name__ == "__main__":
    main()
