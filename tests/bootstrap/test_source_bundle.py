"""Archives that try to write outside of the release, or into one of its files twice."""

from __future__ import annotations

import io
import stat
import struct
import warnings
import zipfile
from pathlib import Path

import pytest

from worker_tier_bootstrap.errors import BootstrapError
from worker_tier_bootstrap.source_bundle import set_platform_files_aside, unpack

FILE, LINK, DIRECTORY = stat.S_IFREG | 0o644, stat.S_IFLNK | 0o777, stat.S_IFDIR | 0o755


def archive(path: Path, *entries: tuple[str, bytes, int]) -> Path:
    """A ZIP archive of (name, content, file type and mode) in this order; names may repeat."""
    with zipfile.ZipFile(path, "w") as bundle, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of a name that repeats
        for name, content, mode in entries:
            info = zipfile.ZipInfo(name)
            info.create_system = 3
            info.external_attr = mode << 16
            bundle.writestr(info, content)
    return path


def problem_of(tmp_path: Path, *entries: tuple[str, bytes, int]) -> str:
    """The error of an archive, of which nothing is unpacked."""
    target = tmp_path / "out"
    target.mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/file").write_text("untouched")
    with pytest.raises(BootstrapError) as caught:
        unpack(archive(tmp_path / "a.zip", *entries), target)
    assert list(target.iterdir()) == []
    assert [path.name for path in (tmp_path / "outside").iterdir()] == ["file"]
    assert (tmp_path / "outside/file").read_text() == "untouched"
    assert "pack the bundle" in caught.value.hint
    return caught.value.text


@pytest.mark.parametrize(
    ("entries", "says"),
    [
        (
            [("a", b"../outside/file", LINK), ("a", b"x", FILE)],
            "'a' is in it twice",
        ),
        ([("a", b"x", FILE), ("a", b"../outside/file", LINK)], "'a' is in it twice"),
        ([("a", b"x", FILE), ("a", b"y", FILE)], "'a' is in it twice"),
        ([("a", b"../outside", LINK), ("a/", b"", DIRECTORY)], "'a' is in it twice"),
        (
            [("a", b"../outside", LINK), ("a/new", b"x", FILE)],
            "'a/new' lies below 'a', which is a link",
        ),
        (
            [("a/new", b"x", FILE), ("a", b"../outside", LINK)],
            "'a/new' lies below 'a', which is a link",
        ),
        ([("a", b"x", FILE), ("a/b/c", b"x", FILE)], "'a/b/c' lies below 'a', which is a file"),
        ([("a/./b", b"x", FILE), ("a//b", b"x", FILE)], "'a//b' is in it twice"),
        ([("d", b"../outside", LINK), ("./d/new", b"x", FILE)], "lies below 'd'"),
        ([("/etc/cron.d/x", b"x", FILE)], "the path '/etc/cron.d/x', which leaves its directory"),
        ([("a/../../b", b"x", FILE)], "the path 'a/../../b', which leaves its directory"),
        ([("", b"x", FILE)], "it holds a file with the path '', which is no name"),
        ([(".", b"x", FILE)], "it holds a file with the path '.', which is no name"),
        ([(".", b"a", LINK)], "it holds a link with the path '.', which is no name"),
        ([("a/" + "n" * 300, b"x", FILE)], "has more than 255 bytes"),
        ([("ü" * 128, b"x", FILE)], "has more than 255 bytes"),
        ([("a/" * 2_000 + "b", b"x", FILE)], "has more than 3900 bytes"),
        ([("pipe", b"", stat.S_IFIFO | 0o644)], "'pipe' is neither a file, a directory nor a link"),
        ([("disk", b"", stat.S_IFBLK | 0o666)], "'disk' is neither a file, a directory nor a link"),
        ([("tty/", b"", stat.S_IFCHR | 0o666)], "'tty/' is neither"),
        ([("a/", b"../outside", LINK)], "'a/' is a link with the name of a directory"),
        ([("a", b"", LINK)], "the link 'a' has no usable target"),
        ([("a", b"x" * 5000, LINK)], "the link 'a' has no usable target"),
        ([("a", b"\xff", LINK)], "the link 'a' has no usable target"),
        ([("a", b"x\0y", LINK)], "the link 'a' has no usable target"),
    ],
)
def test_an_archive_that_is_not_one_tree_of_files_is_refused_before_anything_is_unpacked(
    tmp_path: Path, entries: list[tuple[str, bytes, int]], says: str
) -> None:
    assert says in problem_of(tmp_path, *entries)


def test_all_problems_of_an_archive_are_reported_at_once(tmp_path: Path) -> None:
    text = problem_of(
        tmp_path,
        ("/x", b"", FILE),
        ("p", b"", stat.S_IFIFO),
        ("a", b"x", FILE),
        ("a", b"x", FILE),
        *((f"../{number}", b"", FILE) for number in range(100)),
    )
    for says in ("'/x'", "'p'", "'a'", "and 95 more"):
        assert says in text
    assert len(text) < 1_500


def test_directories_may_repeat_and_names_differ_by_case(tmp_path: Path) -> None:
    target = tmp_path / "out"
    target.mkdir()
    entries = [
        ("./", b"", DIRECTORY),
        ("d/", b"", DIRECTORY),
        ("d/a", b"1", stat.S_IFREG | 0o6755),
        ("d/", b"", DIRECTORY),
        ("D/A", b"2", 0),
        ("l", b"d/a", LINK),
    ]
    unpack(archive(tmp_path / "a.zip", *entries), target)
    assert (target / "l").read_text() == "1"
    assert (target / "D/A").read_text() == "2"
    # set-user-id does not survive
    assert stat.S_IMODE((target / "d/a").stat().st_mode) == 0o755


def test_a_file_that_is_longer_than_its_entry_says_is_refused(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as bundle:
        bundle.writestr("bomb", b"0" * 10_000_000)
    content = buffer.getvalue().replace(struct.pack("<I", 10_000_000), struct.pack("<I", 10))
    (tmp_path / "a.zip").write_bytes(content)
    target = tmp_path / "out"
    target.mkdir()
    with pytest.raises(BootstrapError, match="no readable ZIP archive"):
        unpack(tmp_path / "a.zip", target)
    assert sum(path.stat().st_size for path in target.iterdir()) <= 10


# ---- what root runs and includes


def set_aside(tmp_path: Path) -> Path:
    target = tmp_path / "platform/id"
    set_platform_files_aside(tmp_path / "release", target)
    return target


def write(path: Path, text: str = "#!/bin/sh\n") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_links_of_hooks_become_the_files_that_they_named(tmp_path: Path) -> None:
    release = tmp_path / "release"
    write(release / "scripts/migrate.sh", "migrate")
    write(release / ".platform/hooks/predeploy/02.sh", "two")
    (release / ".platform/hooks/predeploy/01.sh").symlink_to("../../../scripts/migrate.sh")
    (release / ".platform/confighooks").symlink_to("hooks")
    write(release / ".platform/nginx/conf.d/a.conf", "a on;")
    target = set_aside(tmp_path)
    # the application's user changes what they were links to
    (release / "scripts/migrate.sh").write_text("evil")
    for directory in ("hooks", "confighooks"):
        hook = target / directory / "predeploy/01.sh"
        assert hook.read_text() == "migrate"
        assert not hook.is_symlink()
        assert stat.S_IMODE(hook.stat().st_mode) == 0o755
    assert stat.S_IMODE((target / "nginx/conf.d/a.conf").stat().st_mode) == 0o644


def test_a_bundle_without_platform_files_gets_an_empty_directory_of_root(tmp_path: Path) -> None:
    (tmp_path / "release").mkdir()
    assert list(set_aside(tmp_path).iterdir()) == []


@pytest.mark.parametrize(
    ("name", "leads_to", "says"),
    [
        ("hooks/predeploy/1.sh", "/etc/passwd", "leads out of the bundle"),
        ("hooks/predeploy/1.sh", "../../../../outside", "leads out of the bundle"),
        ("hooks/predeploy/1.sh", "missing", "leads nowhere"),
        ("hooks/predeploy/1.sh", "1.sh", "leads nowhere"),
        ("nginx", "..", "leads into itself"),
        ("a", "../.platform/b", "leads into itself"),
    ],
)
def test_a_link_of_root_that_leads_elsewhere_is_refused(
    tmp_path: Path, name: str, leads_to: str, says: str
) -> None:
    (tmp_path / "outside").touch()
    link = tmp_path / "release/.platform" / name
    link.parent.mkdir(parents=True)
    link.symlink_to(leads_to)
    write(tmp_path / "release/.platform/b/file")
    (tmp_path / "release/.platform/b/up").symlink_to("..")
    with pytest.raises(BootstrapError, match=says) as caught:
        set_aside(tmp_path)
    assert says == "leads into itself" or f".platform/{name}" in caught.value.text


def test_a_platform_directory_that_is_a_file_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "release/.platform")
    with pytest.raises(BootstrapError, match=r"\.platform of the source bundle is not a directory"):
        set_aside(tmp_path)
