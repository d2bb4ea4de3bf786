"""Root file systems to boot: built once a week from the distribution's own mirror, then cached.

An image contains what a cloud image contains before user data runs: systemd, cloud-init, Python, no
more. Beside it is a repository of the packages that the boots install, so that they need no
network. A second file system has most of them installed, as a machine image that people bake.

Every checkout shares the cache: an image is a directory with its recipe's key in the name, and a
lock protects it while it is built or booted.
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

#: Command in front of what builds or boots a file system; mounts and processes end with it.
NAMESPACES: Final = (
    *("unshare", "--net", "--mount", "--propagation", "private", "--pid", "--fork"),
    *("--kill-child", "--mount-proc"),
)
_BASE: Final = (
    "systemd,systemd-sysv,dbus,udev,cloud-init,python3,ca-certificates,iproute2,procps,netbase,"
    "lsb-release,openssh-client"
)
#: Version of the recipe; raise it when `_build` changes.
_RECIPE: Final = "2"
#: Time after which a directory that no run has used is removed, in seconds.
_STALE_SECONDS: Final = 14 * 86_400
#: Packages that every boot installs.
_TIER: Final = ("nginx", "logrotate", "nftables", "nodejs")
#: Packages preinstalled in the second file system. Not PHP, so that a boot installs it.
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
# Debian has no package with Ubuntu's keys, so Ubuntu's packages are not verified. They run in a
# namespace without a network, and never leave this cache.
_UBUNTU: Final = """\
Types: deb
URIs: http://archive.ubuntu.com/ubuntu
Suites: {suite} {suite}-updates {suite}-security
Components: main universe
Trusted: yes
"""


@dataclass(frozen=True, kw_only=True)
class Image:
    """The root file systems of one distribution's release.

    Args:
        name: key of the system in `worker_tier_bootstrap.systems.SYSTEMS`.
        suite: the distribution's name of the release.
        sources: apt's description of the mirrors.
        packages: packages that boots install.
        preinstalled: packages of the second file system; empty if there is none.
    """

    name: str
    suite: str
    sources: str
    packages: tuple[str, ...] = _TIER
    preinstalled: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """Digest of the recipe and of the week."""
        parts = [repr(self), _BASE, _RECIPE, time.strftime("%G-%V")]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]

    @property
    def directory(self) -> Path:
        return place() / f"{self.name}-{self.key}"

    @property
    def base(self) -> Path:
        """The unpacked file system; it is a lower layer and never changes."""
        return self.directory / "base"

    @property
    def full(self) -> Path:
        """The file system with packages preinstalled."""
        return self.directory / "full"

    @property
    def repository(self) -> Path:
        return self.directory / "packages"

    def is_built(self) -> bool:
        return (self.directory / "done").exists()


def place() -> Path:
    """Directory of the images, shared by every checkout of this user."""
    if given := os.environ.get("WORKER_TIER_IMAGES"):
        return Path(given).absolute()
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache, "worker-tier", "images")


_IMAGES: Final = (
    Image(
        name="debian-12",
        suite="bookworm",
        sources=_DEBIAN.format(suite="bookworm"),
        packages=(*_TIER, *_PLATFORMS, "php-fpm"),
        preinstalled=_TIER + _PLATFORMS,
    ),
    Image(name="debian-13", suite="trixie", sources=_DEBIAN.format(suite="trixie")),
    Image(name="ubuntu-24.04", suite="noble", sources=_UBUNTU.format(suite="noble")),
)
IMAGES: Final = {image.name: image for image in _IMAGES}
#: System without an image that can be unpacked here -> system that is dressed as it; see `amazon`.
DRESSED: Final = {"amzn-2023": "debian-12"}


def image_of(system: str) -> Image:
    """The image that a system of `SYSTEMS` boots from.

    Raises:
        KeyError: there is no image for it.
    """
    return IMAGES[DRESSED.get(system, system)]


def ensure(image: Image) -> None:
    """Build an image unless the cache has it; waits for another process that is building it."""
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
    """Protect an image from `sweep` while it is booted."""
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
    """Unpack in one step, so that a killed build leaves no half-unpacked file system."""
    fresh = archive.parent / target.name
    fresh.mkdir()
    subprocess.run(["tar", "-C", fresh, "-xf", archive], check=True)
    shutil.rmtree(target, ignore_errors=True)
    fresh.rename(target)


#: Script that preinstalls packages, run in new namespaces. As where a machine image is built,
#: nothing is started at installation; the repository is removed afterwards.
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
    """Make the second file system: the first one, and packages from the repository."""
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
    """Build the missing images, two at a time: each mostly waits for its mirror or its disk."""
    from tests.boot import box  # here, for it imports this module

    if lacking := box.missing():
        sys.exit(f"a system to boot needs {lacking}")
    place().mkdir(parents=True, exist_ok=True)
    sweep()
    with ThreadPoolExecutor(max_workers=2) as pool:
        for _ in pool.map(ensure, wanted()):
            pass


def wanted() -> list[Image]:
    """Every image except for those that BOOTSTRAP_WITHOUT names."""
    without = os.environ.get("BOOTSTRAP_WITHOUT", "").replace(",", " ").split()
    return [image for name, image in IMAGES.items() if name not in without]


if __name__ == "__main__":
    main()
