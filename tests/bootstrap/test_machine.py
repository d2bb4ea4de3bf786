"""The real `Machine`, on a directory of this machine."""

from __future__ import annotations

import os
import pwd
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from worker_tier_bootstrap.errors import BootstrapError, CommandFailed
from worker_tier_bootstrap.machine import Machine


def test_a_failed_command_reports_its_name_and_its_last_lines(tmp_path: Path) -> None:
    machine = Machine(deadline_seconds=30)
    with pytest.raises(CommandFailed) as caught:
        machine.run(["sh", "-c", "echo out; echo err >&2; exit 3"], hint="mend it")
    text = str(caught.value)
    assert "ended with exit code 3" in text
    assert "Hint: mend it." in text
    assert "  out\n  err" in text


def test_a_command_that_hangs_ends_with_all_it_started() -> None:
    machine = Machine(deadline_seconds=30)
    with pytest.raises(CommandFailed, match="did not end within 1 s"):
        machine.run(["sh", "-c", "sleep 60 & echo waiting; wait"], hint="", timeout=0.1)


def test_a_command_that_leaves_something_behind_is_not_waited_for() -> None:
    machine = Machine(deadline_seconds=30)
    started = machine.monotonic()
    assert machine.run(["sh", "-c", "sleep 5 & echo done"], hint="").strip() == "done"
    assert machine.monotonic() - started < 4


def test_a_command_sees_no_environment_but_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/ours")
    monkeypatch.setenv("https_proxy", "http://proxy")
    seen: Mapping[str, str] = Machine(deadline_seconds=1).environment({"A": "1"})
    assert "PYTHONPATH" not in seen
    assert (seen["A"], seen["https_proxy"]) == ("1", "http://proxy")


def test_a_foreign_directory_is_not_replaced_by_a_link(tmp_path: Path) -> None:
    machine = Machine(deadline_seconds=1, root=tmp_path)
    (tmp_path / "var/app/current").mkdir(parents=True)
    with pytest.raises(BootstrapError, match="did not make"):
        machine.link("/var/app/current", "/elsewhere")


def test_the_end_of_a_log_is_read_whatever_its_size_and_bytes(tmp_path: Path) -> None:
    machine = Machine(deadline_seconds=1, root=tmp_path)
    assert machine.tail("/log") == ""
    (tmp_path / "log").write_bytes(b"\xff" * 200_000 + b"\nlast but one\nd\xe9\n")
    assert machine.tail("/log", lines=2) == "last but one\nd\ufffd"
    size = machine.size("/log")
    with (tmp_path / "log").open("ab") as log:
        log.write(b"new\n")
    assert machine.tail("/log", since=size) == "new"
    # it was rotated meanwhile
    assert machine.tail("/log", since=size + 100) == ""


def test_a_query_that_takes_too_long_fails_like_any_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("worker_tier_bootstrap.machine._QUERY_SECONDS", 0.1)
    machine = Machine(deadline_seconds=1)
    for query in (machine.output_of, machine.succeeds):
        with pytest.raises(CommandFailed, match="`sleep 9` did not end"):
            query(["sleep", "9"])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_build_owns_its_release_except_for_the_files_that_root_runs(tmp_path: Path) -> None:
    machine = Machine(deadline_seconds=1, root=tmp_path)
    outside = tmp_path / "outside"
    outside.touch()
    for name in ("app.js", "deep/er/file", ".platform/hooks/prebuild/1.sh"):
        (tmp_path / "release" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "release" / name).touch()
    (tmp_path / "release/link").symlink_to(outside)
    machine.change_owner("/release", "nobody", except_for=".platform")
    user = machine.user_id("nobody")
    release = tmp_path / "release"
    for name in ("app.js", "deep", "deep/er", "deep/er/file", "link"):
        assert (release / name).lstat().st_uid == user
    for path in (outside, release / ".platform", release / ".platform/hooks/prebuild/1.sh"):
        assert path.stat().st_uid == 0
    # and it can make entries, and neither rename nor replace the hooks
    subprocess.run(["chmod", "a+x", tmp_path, tmp_path.parent], check=True)

    def as_user(*command: str) -> bool:
        done = subprocess.run(command, cwd=release, user="nobody", group=_group(), extra_groups=[])
        return done.returncode == 0

    assert as_user("mkdir", "node_modules")
    assert not as_user("mv", ".platform", "mine")
    assert not as_user("touch", ".platform/hooks/prebuild/2.sh")


def _group() -> int:
    return pwd.getpwnam("nobody").pw_gid
