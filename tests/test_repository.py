"""The repository's own promises: its layout, its locks, and what `make help` tells."""

from __future__ import annotations

import json
import re
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
TOP_LEVEL = (
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "LICENSE",
    "Makefile",
    "README.md",
    "app.py",
    "cdk.json",
    "package-lock.json",
    "package.json",
    "pyproject.toml",
    "requirements.txt",
    ".ci/run",
    "daemon/README.md",
    "daemon/pyproject.toml",
    "daemon/src/sqsd/py.typed",
    "docs/adr",
    "examples",
    "worker_tier/py.typed",
)
#: Lock file -> what it is locked from.
LOCKS = {
    "requirements.txt": "requirements/synth.in",
    "requirements/demo.txt": "requirements/demo.in",
    "requirements/dev.txt": "requirements/dev.in",
    "requirements/local-aws.txt": "requirements/local-aws.in",
    "requirements/checkov.txt": "requirements/checkov.in",
}


def text(name: str) -> str:
    return (REPOSITORY / name).read_text(encoding="utf-8")


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name.split("[")[0]).lower()


def wanted(name: str) -> dict[str, str]:
    """Requirement -> version asked for (empty: any), of a `.in` file and those it includes."""
    found: dict[str, str] = {}
    for line in (written.split("#")[0].strip() for written in text(name).splitlines()):
        if line.startswith("-r "):
            found |= wanted(f"requirements/{line.removeprefix('-r ').strip()}")
        elif line:
            package, _, version = line.partition("==")
            found[canonical(re.split(r"[<>!~]", package)[0])] = version
    return found


def locked(name: str) -> dict[str, str]:
    """Package -> version of a lock file."""
    pins = re.findall(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==(\S+)", text(name), re.MULTILINE)
    return {canonical(package): version for package, version in pins}


@pytest.mark.parametrize("name", TOP_LEVEL)
def test_the_layout_has(name: str) -> None:
    assert (REPOSITORY / name).exists()


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_file_pins_what_its_source_asks_for(name: str) -> None:
    pins = locked(name)
    for package, version in wanted(LOCKS[name]).items():
        assert package in pins, f"{package} is not in {name}: run `make lock`"
        assert version in ("", pins[package])


@pytest.mark.parametrize("name", LOCKS)
def test_every_pin_of_a_lock_file_has_hashes(name: str) -> None:
    blocks = re.split(r"\n(?=[A-Za-z0-9])", text(name))
    pinned = [block for block in blocks if "==" in block.split("\n")[0]]
    assert pinned
    for block in pinned:
        assert "--hash=sha256:" in block


def test_what_the_daemon_and_the_constructs_need_is_locked() -> None:
    pins = locked("requirements.txt")
    for name in ("pyproject.toml", "daemon/pyproject.toml"):
        for requirement in tomllib.loads(text(name))["project"]["dependencies"]:
            package = canonical(re.split(r"[<>=!~ ]", requirement)[0])
            assert package in pins or package == "worker-tier-daemon"


def test_the_emulators_overlay_was_checked_against_the_locked_version() -> None:
    checked = re.search(r'CHECKED_VERSION = "(.+)"', text("tools/local_aws/server.py"))
    assert checked is not None
    assert locked("requirements/local-aws.txt")["ministack"] == checked[1]


def test_the_cdks_command_line_is_pinned_and_locked() -> None:
    pinned = json.loads(text("package.json"))["devDependencies"]
    packages = json.loads(text("package-lock.json"))["packages"]
    assert list(pinned) == ["aws-cdk"]
    assert packages["node_modules/aws-cdk"]["version"] == pinned["aws-cdk"]
    assert "integrity" in packages["node_modules/aws-cdk"]


def test_help_tells_what_each_target_does(require_tool: Callable[[str], Path]) -> None:
    require_tool("make")
    said = subprocess.run(
        ["make"], cwd=REPOSITORY, capture_output=True, text=True, check=True, timeout=30
    ).stdout
    for target in ("demo", "test", "check", "synth", "bench", "lock", "clean", "help"):
        assert re.search(rf"^  {target} +\w.+", said, re.MULTILINE), target
