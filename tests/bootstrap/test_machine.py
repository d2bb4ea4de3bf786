"""The real `Machine`, on a directory of this machine."""

from __future__ import annotations

import os
import pwd
import stat
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

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


only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")


class Listing(list[Any]):
    """Entries of a directory, in the shape of `os.scandir`."""

    def __enter__(self) -> Iterator[Any]:
        return iter(self)

    def __exit__(self, *_: object) -> None:
        pass

    def __next__(self) -> Any:
        if not self:
            raise StopIteration
        return self.pop(0)


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """A release whose `.platform` is a link to a directory of root, as `nobody` reaches it."""
    for path in (tmp_path, tmp_path.parent):
        path.chmod(path.stat().st_mode | 0o011)
    for name in ("release/app.js", "release/deep/er/file", "platform/hooks/prebuild/1.sh"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "release/.platform").symlink_to(tmp_path / "platform")
    return tmp_path / "release"


def give(tmp_path: Path) -> None:
    machine = Machine(deadline_seconds=1, root=tmp_path)
    machine.change_owner("/release", "nobody", except_for=".platform")


def nobody() -> int:
    return pwd.getpwnam("nobody").pw_uid


def as_nobody(release: Path, *command: str) -> bool:
    group = pwd.getpwnam("nobody").pw_gid
    done = subprocess.run(command, cwd=release, user="nobody", group=group, extra_groups=[])
    return done.returncode == 0


@only_root
def test_a_build_owns_its_release_except_for_the_files_that_root_runs(
    tmp_path: Path, release: Path
) -> None:
    outside = tmp_path / "outside"
    outside.touch()
    (release / "link").symlink_to(outside)
    give(tmp_path)
    for name in ("app.js", "deep", "deep/er", "deep/er/file", "link"):
        assert (release / name).lstat().st_uid == nobody()
    hooks = tmp_path / "platform/hooks"
    for path in (outside, release / ".platform", hooks, hooks / "prebuild/1.sh"):
        assert path.lstat().st_uid == 0
    # and it can make entries, and neither rename nor replace the hooks
    assert as_nobody(release, "mkdir", "node_modules")
    assert not as_nobody(release, "mv", ".platform", "mine")
    assert not as_nobody(release, "rm", ".platform")
    assert not as_nobody(release, "ln", "-sfn", "/tmp", ".platform")
    assert not as_nobody(release, "touch", ".platform/hooks/prebuild/2.sh")


@only_root
@pytest.mark.parametrize("replaced", ["deep", "deep/er"])
def test_a_directory_that_becomes_a_link_while_owners_change_gives_nothing_outside_away(
    tmp_path: Path, release: Path, monkeypatch: pytest.MonkeyPatch, replaced: str
) -> None:
    shadow = tmp_path / "etc/er/file"
    shadow.parent.mkdir(parents=True)
    shadow.touch()
    (tmp_path / "etc/file").touch()

    raced = (release / replaced).stat()
    scandir = os.scandir

    def racing(place: Any) -> Any:
        """List a directory, and replace it at the worst moment: when its names are known."""
        is_raced = os.path.samestat(os.stat(place), raced)  # noqa: PTH116 - a descriptor
        with scandir(place) as found:
            entries = list(found)
        if is_raced:
            (release / replaced).rename(tmp_path / "moved")
            (release / replaced).symlink_to(tmp_path / "etc")
        return Listing(entries)

    monkeypatch.setattr(os, "scandir", racing)
    give(tmp_path)
    assert (release / replaced).is_symlink(), "nothing was raced"
    for path in (tmp_path / "etc", shadow.parent, shadow, tmp_path / "etc/file"):
        assert path.stat().st_uid == 0


@only_root
def test_a_file_of_root_with_another_name_elsewhere_is_not_given_away(
    tmp_path: Path, release: Path
) -> None:
    shadow = tmp_path / "shadow"
    shadow.touch()
    (release / "deep/mine").hardlink_to(shadow)
    (release / "top").hardlink_to(shadow)
    os.mkfifo(release / "deep/pipe")
    os.mknod(release / "deep/zero", 0o600 | stat.S_IFCHR, os.makedev(1, 5))
    give(tmp_path)
    assert shadow.stat().st_uid == 0
    # nor is a device or a pipe, which no bundle has
    assert (release / "deep/zero").stat().st_uid == 0
    assert (release / "deep/pipe").stat().st_uid == 0
    assert (release / "deep/er/file").stat().st_uid == nobody()


@only_root
def test_directories_too_deep_to_be_walked_are_reported_and_not_a_defect(
    tmp_path: Path, release: Path
) -> None:
    make_deep(release, 300)
    with pytest.raises(BootstrapError, match="nested too deep"):
        give(tmp_path)


def test_directories_of_any_depth_are_removed(tmp_path: Path) -> None:
    (tmp_path / "release").mkdir()
    make_deep(tmp_path / "release", 1_500)
    try:
        Machine(deadline_seconds=1, root=tmp_path).remove("/release")
        assert not (tmp_path / "release").exists()
    finally:
        subprocess.run(["rm", "-rf", tmp_path / "release"], check=True)


def make_deep(directory: Path, depth: int) -> None:
    """Nest directories deeper than any path can name."""
    place = os.open(directory, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("d", dir_fd=place)
        below = os.open("d", os.O_RDONLY, dir_fd=place)
        os.close(place)
        place = below
    os.close(place)


# ---- files of a release, which its user may have changed


@pytest.mark.parametrize("name", ["link", "pipe", "directory", "large"])
def test_a_file_of_the_application_is_read_as_a_plain_small_file_only(
    tmp_path: Path, name: str
) -> None:
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "link").symlink_to("secret")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "directory").mkdir()
    (tmp_path / "large").write_text("x" * 2**20 + "x")
    machine = Machine(deadline_seconds=1, root=tmp_path)
    with pytest.raises(BootstrapError, match=f"{name} of the application") as caught:
        machine.read_untrusted("/", name)
    assert "must be a regular file of at most 1048576 bytes" in caught.value.text
    assert "secret" not in str(caught.value)


def test_a_plain_file_of_the_application_is_read_and_a_missing_one_is_none(tmp_path: Path) -> None:
    (tmp_path / "Procfile").write_bytes(b"web: d\xe9\n")
    machine = Machine(deadline_seconds=1, root=tmp_path)
    assert machine.read_untrusted("/", "Procfile") == "web: d\ufffd\n"
    assert machine.read_untrusted("/", "Buildfile") is None


@pytest.mark.parametrize("given", [None, "internal,169.254.169.254", "*"])
def test_a_command_with_a_proxy_asks_the_metadata_service_without_it(
    monkeypatch: pytest.MonkeyPatch, given: str | None
) -> None:
    # an `aws` in a hook would show the role's keys to the proxy
    for name in ("http_proxy", "HTTP_PROXY", "no_proxy", "NO_PROXY", "https_proxy", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    machine = Machine(deadline_seconds=1)
    assert "no_proxy" not in machine.environment({})
    monkeypatch.setenv("http_proxy", "http://proxy")
    if given is not None:
        monkeypatch.setenv("NO_PROXY", given)
    seen = machine.environment({})
    for name in ("no_proxy", "NO_PROXY"):
        exempt = seen[name].split(",")
        assert exempt == ["*"] or exempt.count("169.254.169.254") == 1
        assert set((given or "").split(",")) - {""} <= set(exempt)
