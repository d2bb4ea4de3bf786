"""The file of the signing keys: what is read, and which files are refused."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from sqsd.config.signing_key import read_signing_keys
from sqsd.contract import InvalidSettings

KEY, OTHER = "0123456789abcdef" * 4, "fedcba9876543210" * 4


def key_file(directory: Path, content: str | bytes = KEY, mode: int = 0o400) -> Path:
    path = directory / "key"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    path.chmod(mode)
    return path


def problems(path: Path) -> list[str]:
    with pytest.raises(InvalidSettings) as caught:
        read_signing_keys(str(path))
    found = list(caught.value.problems)
    assert all(problem.startswith(f"signing_key_file {path} ") for problem in found)
    assert KEY not in str(found)
    return found


def test_without_a_file_there_is_no_key() -> None:
    assert read_signing_keys(None) == ()


@pytest.mark.parametrize("mode", [0o400, 0o600, 0o700])
@pytest.mark.parametrize(
    ("content", "keys"),
    [
        (KEY, [KEY]),
        (f"{KEY}\n", [KEY]),
        (f"\n {KEY}\t\r\n\n{OTHER}\n", [KEY, OTHER]),
        (KEY[:32], [KEY[:32]]),
    ],
)
def test_each_line_is_a_key(content: str, keys: list[str], mode: int, tmp_path: Path) -> None:
    path = key_file(tmp_path, content, mode)
    assert read_signing_keys(str(path)) == tuple(key.encode() for key in keys)


#: The daemon's user and group, and another.
USER, GROUP, OTHER_ID = 990, 991, 12_345
Owned = Callable[[int, int], None]


@pytest.fixture
def owned(monkeypatch: pytest.MonkeyPatch) -> Owned:
    """Have every file belong to a user and a group, for a daemon that runs as `USER`, `GROUP`."""
    real = os.fstat
    monkeypatch.setattr(os, "geteuid", lambda: USER)
    monkeypatch.setattr(os, "getegid", lambda: GROUP)

    def by(user: int, group: int) -> None:
        def fstat(descriptor: int) -> os.stat_result:
            values = list(real(descriptor))
            values[stat.ST_UID] = user
            values[stat.ST_GID] = group
            return os.stat_result(values)

        monkeypatch.setattr(os, "fstat", fstat)

    return by


@pytest.mark.parametrize("mode", [0o440, 0o640, 0o404, 0o644, 0o420, 0o402, 0o410, 0o777])
def test_a_file_that_others_have_access_to_is_refused(
    mode: int, tmp_path: Path, owned: Owned
) -> None:
    owned(USER, GROUP)
    (problem,) = problems(key_file(tmp_path, mode=mode))
    assert f"has mode {mode:04o}" in problem
    assert "chmod 0400" in problem


@pytest.mark.parametrize("group", [0, GROUP])
def test_a_file_of_root_may_be_read_by_its_group_or_the_daemons(
    group: int, tmp_path: Path, owned: Owned
) -> None:
    path = key_file(tmp_path)
    owned(0, group)
    for mode in (0o400, 0o440, 0o640):  # the second is what systemd's LoadCredential= makes
        path.chmod(mode)
        assert read_signing_keys(str(path)) == (KEY.encode(),)
    for mode in (0o444, 0o660, 0o450, 0o441):
        path.chmod(mode)
        assert "has mode" in problems(path)[0]
    path.chmod(0o440)
    owned(0, OTHER_ID)
    assert "has mode 0440" in problems(path)[0]


def test_a_file_of_another_user_is_refused(tmp_path: Path, owned: Owned) -> None:
    path = key_file(tmp_path, mode=0o440)
    owned(OTHER_ID, OTHER_ID)
    owner, mode = problems(path)  # both at once
    assert "belongs to user 12345" in owner
    assert "has mode 0440" in mode
    path.chmod(0o400)
    assert read_signing_keys(str(path), any_owner=True) == (KEY.encode(),)  # as root's check does


def _link(path: Path) -> None:
    target = path.with_name("real")
    target.write_text(KEY)
    target.chmod(0o400)
    path.symlink_to(target)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (_link, "it is a symbolic link"),
        (lambda path: path.mkdir(mode=0o700), "must be a regular file"),
        (lambda path: os.mkfifo(path, 0o600), "must be a regular file"),
        (lambda path: None, "No such file or directory"),
    ],
)
def test_what_is_no_regular_file_is_refused_without_waiting_for_it(
    make: Callable[[Path], None], words: str, tmp_path: Path
) -> None:
    path = tmp_path / "key"
    make(path)
    (problem,) = problems(path)
    assert words in problem


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", ["is empty"]),
        (" \n\t\n", ["is empty"]),
        ("short", ["line 1 must have at least 32 characters, got 5"]),
        (f"{KEY}\nshort", ["line 2 must have at least 32 characters, got 5"]),
        ("a" * 64, ["line 1 is no random text"]),
        ("changeme" * 8, ["line 1 is no random text"]),
        (f"{KEY} {OTHER}", ["line 1 must be printable ASCII without blanks"]),
        (KEY + "é", ["line 1 must be printable ASCII"]),
        (KEY.encode() + b"\0", ["line 1 must be printable ASCII"]),
        (f"{KEY}\n{KEY}", ["holds the same key twice"]),
        (f"{KEY}\n{OTHER}\n{KEY[1:]}", ["must hold 2 keys at most, one a line, got 3"]),
        ("x\ny\nz", ["2 keys at most", "line 1 must have", "line 2 must have"]),
        (KEY * 100, ["must have at most 4096 bytes"]),
    ],
)
def test_keys_that_cannot_be_used_are_refused_all_at_once(
    content: str | bytes, words: list[str], tmp_path: Path
) -> None:
    found = problems(key_file(tmp_path, content))
    assert len(found) == len(words)
    for problem, expected in zip(found, words, strict=True):
        assert expected in problem
