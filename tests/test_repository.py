"""The repository's own promises: its layout, its locks, and what `make help` says."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import tomllib
from collections.abc import Callable
from importlib.metadata import requires
from pathlib import Path

import pytest

from tests.conftest import LONGEST

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
    "requirements/release.txt": "requirements/release.in",
    "daemon/src/worker_tier_bootstrap/templates/gunicorn.txt": "requirements/instance.in",
    "requirements/docs.txt": "requirements/docs.in",
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
    for distribution in ("worker-tier", "worker-tier-daemon"):
        for requirement in requires(distribution) or []:
            if "extra ==" in requirement:
                continue
            package = canonical(re.split(r"[<>=!~ ;]", requirement)[0])
            assert package in pins or package == "worker-tier-daemon"


def test_the_emulators_overlay_was_checked_against_the_locked_version() -> None:
    checked = re.search(r'CHECKED_VERSION = "(.+)"', text("tools/local_aws/server.py"))
    assert checked is not None
    assert locked("requirements/local-aws.txt")["ministack"] == checked[1]


@pytest.mark.parametrize(
    ("group", "package"), [("dependencies", "aws-cdk"), ("devDependencies", "pyright")]
)
def test_what_comes_from_npm_is_pinned_and_locked(group: str, package: str) -> None:
    pinned = json.loads(text("package.json"))[group]
    locked_packages = json.loads(text("package-lock.json"))["packages"]
    assert list(pinned) == [package]  # the demo installs `dependencies` only
    assert locked_packages[f"node_modules/{package}"]["version"] == pinned[package]
    assert "integrity" in locked_packages[f"node_modules/{package}"]


def test_no_lock_file_names_where_a_package_is_downloaded() -> None:
    for name in (*LOCKS, "package-lock.json"):
        assert "://" not in "".join(
            line for line in text(name).splitlines() if not line.lstrip().startswith("#")
        )


#: What a module may import and still wait, draw lots or do I/O: no pure module has these.
SHELL = {"asyncio", "time", "random", "os", "socket", "threading", "secrets", "pathlib", "argparse"}


def pure_by_list() -> set[str]:
    """The modules of messages and cron that pyproject.toml calls pure."""
    contracts = tomllib.loads(text("pyproject.toml"))["tool"]["importlinter"]["contracts"]
    (contract,) = [one for one in contracts if one["name"].startswith("a pure module ")]
    return {name for name in contract["source_modules"] if name.count(".") == 2}


def waits_or_does_io(tree: ast.Module) -> bool:
    for node in ast.walk(tree):
        if isinstance(node, ast.Await | ast.AsyncFor | ast.AsyncWith):
            return True
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("print", "open"):
            return True
        if isinstance(node, ast.Import) and SHELL & {alias.name for alias in node.names}:
            return True
        if isinstance(node, ast.ImportFrom) and node.module in SHELL:
            return True
    return False


@pytest.mark.parametrize("room", ["messages", "cron"])
def test_a_module_that_does_not_wait_is_listed_as_pure_and_no_other_is(room: str) -> None:
    source = REPOSITORY / "daemon" / "src"
    pure = {
        ".".join(path.relative_to(source).with_suffix("").parts)
        for path in (source / "sqsd" / room).glob("*.py")
        if path.name != "__init__.py"
        and not waits_or_does_io(ast.parse(path.read_text(encoding="utf-8")))
    }
    assert pure == {name for name in pure_by_list() if name.split(".")[1] == room}


@pytest.mark.parametrize("name", LONGEST)
def test_a_file_that_is_started_first_is_there(name: str) -> None:
    assert (REPOSITORY / "tests" / name).is_file()


def test_help_says_what_each_target_does(require_tool: Callable[[str], Path]) -> None:
    require_tool("make")
    said = subprocess.run(
        ["make"], cwd=REPOSITORY, capture_output=True, text=True, check=True, timeout=30
    ).stdout
    for target in ("demo", "test", "check", "synth", "bench", "lock", "clean", "help"):
        assert re.search(rf"^  {target} +\w.+", said, re.MULTILINE), target
