"""Root file systems to boot: built once a week from the distribution's own mirror, then cached.

An image is what a cloud image is before user data: systemd, cloud-init, Python, no more. Beside it
lies a repository of the packages that the boots install, so that they need no network.
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from local_aws.instance import CACHE

IMAGES: Final = CACHE / "bootstrap"
_BASE: Final = (
    "systemd,systemd-sysv,dbus,udev,cloud-init,python3,ca-certificates,iproute2,procps,netbase,"
    "lsb-release,openssh-client"
)
#: Raise it when the way of building changes.
_RECIPE: Final = "1"
_TIER: Final = ("nginx", "logrotate", "nodejs")
_PLATFORMS: Final = (
    *("gunicorn", "ruby", "puma", "php-fpm", "golang-go"),
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
    """A distribution's release."""

    name: str
    suite: str
    mirror: str
    sources: str
    packages: tuple[str, ...] = _TIER

    @property
    def directory(self) -> Path:
        return IMAGES / self.name

    @property
    def base(self) -> Path:
        """The unpacked file system: a lower layer, never written to."""
        return self.directory / "base"

    @property
    def repository(self) -> Path:
        return self.directory / "packages"


DEBIAN_12: Final = Image(
    name="debian-12",
    suite="bookworm",
    mirror="http://deb.debian.org/debian",
    sources=_DEBIAN.format(suite="bookworm"),
    packages=_TIER + _PLATFORMS,
)
DEBIAN_13: Final = Image(
    name="debian-13",
    suite="trixie",
    mirror="http://deb.debian.org/debian",
    sources=_DEBIAN.format(suite="trixie"),
)
UBUNTU_24_04: Final = Image(
    name="ubuntu-24.04",
    suite="noble",
    mirror="http://archive.ubuntu.com/ubuntu",
    sources=_UBUNTU.format(suite="noble"),
)


def ensure(image: Image) -> None:
    """Build an image unless the cache has it from this week; another process's build is awaited."""
    image.directory.mkdir(parents=True, exist_ok=True)
    with _lock(image.directory / "lock"):
        mark = image.directory / f"{_key(image)}.done"
        if mark.exists():
            return
        for stale in image.directory.glob("*.done"):
            stale.unlink()
        started = time.monotonic()
        print(f"building the {image.name} root file system (about a minute, once a week) ...")
        _build(image)
        mark.touch()
        print(f"built in {time.monotonic() - started:.0f} s: {image.base}")


def mirror_answers(image: Image) -> bool:
    """Whether its mirror can be reached from here."""
    url = f"{image.mirror}/dists/{image.suite}/InRelease"
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def is_built(image: Image) -> bool:
    return any(image.directory.glob(f"{_key(image)}.done"))


def _key(image: Image) -> str:
    parts = [repr(image), _BASE, _RECIPE, time.strftime("%G-%V")]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
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
