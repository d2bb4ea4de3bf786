"""The build of Python's platform, run by a real shell with a stand-in for Python."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

import worker_tier_bootstrap
from worker_tier_bootstrap import paths
from worker_tier_bootstrap.platforms import PLATFORMS, Platform

#: Notes its arguments; makes a copy of itself for `-m venv`; has gunicorn if a file says so.
PYTHON = """\
#!/bin/sh
echo "$*" >> "$CALLS"
case "$*" in
  "-m venv"*) mkdir -p .venv/bin && cp "$0" .venv/bin/python ;;
  "-c import gunicorn") [ -e has-gunicorn ] ;;
esac
"""
LOCK = Path(worker_tier_bootstrap.__path__[0], "templates", "gunicorn.txt")


def installed_by(tmp_path: Path) -> list[str]:
    """Run the build in a directory; returns the arguments of each `pip install`."""
    python, calls = tmp_path / "python", tmp_path / "calls"
    python.write_text(PYTHON)
    python.chmod(0o755)
    build = PLATFORMS[Platform.PYTHON].build
    assert build is not None
    subprocess.run(
        ["sh", "-c", build],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "WORKER_TIER_PYTHON": str(python), "CALLS": str(calls)},
        check=True,
    )
    lines = calls.read_text().splitlines()
    return [line.partition("install ")[2] for line in lines if "pip install" in line]


@pytest.mark.parametrize("requirements", [None, "flask\n"])
def test_gunicorn_is_installed_as_it_was_locked_and_from_no_source(
    tmp_path: Path, requirements: str | None
) -> None:
    if requirements is not None:
        (tmp_path / "requirements.txt").write_text(requirements)
    *own, ours = installed_by(tmp_path)
    assert len(own) == (requirements is not None)
    words = ours.split()
    assert {"--require-hashes", "--no-deps"} <= set(words)
    assert words[words.index("--only-binary") + 1] == ":all:"
    assert words[words.index("-r") + 1] == paths.GUNICORN_LOCK
    assert "gunicorn" not in words


def test_a_bundle_that_requires_gunicorn_decides_its_version(tmp_path: Path) -> None:
    (tmp_path / "has-gunicorn").touch()
    (tmp_path / "requirements.txt").write_text("gunicorn==23.0\n")
    (own,) = installed_by(tmp_path)
    assert "-r requirements.txt" in own


def test_the_lock_is_in_the_daemons_bundle_and_pins_one_version_by_its_content() -> None:
    relative = Path(paths.GUNICORN_LOCK).relative_to(paths.DAEMON)
    assert Path(worker_tier_bootstrap.__path__[0]).parent / relative == LOCK
    lines = [line for line in LOCK.read_text().splitlines() if line[:1] not in ("", "#")]
    text = "\n".join(line for line in lines if not line.lstrip().startswith("#"))
    assert re.fullmatch(r"gunicorn==[\d.]+( \\\n    --hash=sha256:[0-9a-f]{64})+", text)
