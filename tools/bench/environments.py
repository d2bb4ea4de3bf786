"""The environments that clients run in; built once, under .cache/bench."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Sequence
from functools import cache
from hashlib import sha256
from importlib import metadata
from pathlib import Path
from typing import Final

from tools.bench.errors import NotMeasured
from tools.bench.processes import ROOT

_CACHE: Final = ROOT / ".cache" / "bench"
_PEERS: Final = ROOT / "tools" / "bench" / "peers"
#: What the daemon needs, and what the extra `fast` adds.
_NEEDED: Final = ("botocore", "jmespath", "python-dateutil", "six", "urllib3", "PyYAML", "cronsim")
_FAST: Final = ("uvloop", "orjson")


@cache
def base_python() -> Path:
    """The Python that all Python clients run on: the system's, which instances have too.

    It is built with profile-guided optimisation, which a Python of pyenv's often is not, and that
    is worth a quarter. Where it has another version than the one that runs the benchmark, whose
    packages are linked, the latter serves.
    """
    system = Path(f"/usr/bin/python3.{sys.version_info.minor}")
    return system if system.exists() else Path(sys.executable)


@cache
def daemon_python(*, fast: bool) -> Path:
    """A Python that has the daemon's own dependencies, of this environment's versions, only.

    The environment that runs the benchmark has uvloop and orjson, which the daemon uses where it
    finds them; so it gets one without, or one with. Links, for an installation needs a network.
    """
    names = [*_NEEDED, *_FAST] if fast else _NEEDED
    versions = "".join(f"{name} {metadata.version(name)}\n" for name in names)
    directory = _environment("daemon", f"{sysconfig.get_path('purelib')}\n{versions}")
    packages = next((directory / "lib").glob("python3.*")) / "site-packages"
    source = Path(sysconfig.get_path("purelib"))
    for top in sorted({top for name in names for top in _top_level(name)}):
        if not (packages / top).is_symlink():
            (packages / top).symlink_to(source / top)
    return directory / "bin" / "python"


def _environment(name: str, content: str) -> Path:
    """A virtual environment, empty when it is new. Its path depends on `content`.

    Made aside and moved into place, so that two benchmarks may start at one time.
    """
    digest = sha256(f"{base_python()}\n{content}".encode()).hexdigest()[:12]
    directory = _CACHE / f"{name}-{digest}"
    if not directory.exists():
        _CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=_CACHE) as aside:
            made = Path(aside) / "made"
            _run([base_python(), "-m", "venv", "--without-pip", made], "venv failed")
            made.rename(directory)
    return directory


def _top_level(distribution: str) -> set[str]:
    files = metadata.distribution(distribution).files or ()
    return {file.parts[0] for file in files if file.parts[0] not in ("..", "__pycache__")}


@cache
def peers_python() -> Path:
    """A Python that has what the Python peers need; installed by pip when it is not there."""
    lock = _PEERS / "requirements.txt"
    directory = _environment("peers", lock.read_text(encoding="utf-8"))
    python = directory / "bin" / "python"
    if not (directory / "complete").exists():
        pip: list[str | Path] = [sys.executable, "-m", "pip", "--python", python]
        _run(
            [*pip, "install", "--quiet", "--require-hashes", "-r", lock],
            "pip could not install the Python peers",
        )
        (directory / "complete").touch()
    return python


@cache
def node_modules() -> Path:
    """The Node peer's packages; installed by npm when they are not there. Gives `node`."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        raise NotMeasured("needs node and npm 20 or later on PATH")
    if not (_PEERS / "node_modules" / "sqs-consumer").exists():
        command: list[str | Path] = [npm, "ci", "--no-audit", "--no-fund", "--prefix", _PEERS]
        _run(command, "npm could not install the Node peer")
    return Path(node)


@cache
def wrk() -> Path:
    """`wrk`, which no package index has: Debian, Ubuntu and Homebrew package it."""
    found = shutil.which("wrk")
    if found is None:
        raise NotMeasured("needs wrk on PATH, the yardstick: apt-get install wrk")
    return Path(found)


def _run(command: Sequence[str | Path], failure: str) -> None:
    ended = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, check=False
    )
    if ended.returncode:
        raise NotMeasured(f"{failure}: {ended.stderr.strip()[-300:]}")
