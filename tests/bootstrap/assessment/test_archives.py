"""Archives: those that are given are checked entry by entry; those that are made are the same."""

from __future__ import annotations

import io
import os
import stat
import tracemalloc
import zipfile
from pathlib import Path

import pytest

from tests.bootstrap.assessment.bundles import NODE, names, refused, warned, write, zipped
from worker_tier_bootstrap import source_bundle
from worker_tier_bootstrap.assessment import (
    Assessment,
    PackedBundle,
    UnpackableBundle,
    assess,
    contents,
    pack,
)

APP = {"Procfile": "web: node app.js", "app.js": ""}


def packed(assessment: Assessment, path: Path) -> PackedBundle:
    return pack(assessment.contents, path)


# ---- a ZIP archive that is given


def test_a_zip_archive_is_a_bundle_of_its_entries(tmp_path: Path) -> None:
    extra = {
        ".git/config": "",
        ".elasticbeanstalk/config.yml": "",
        "__MACOSX/._app.js": "",
        "d/": "",
    }
    found = assess(zipped(tmp_path / "app.zip", APP | {"lib/a.js": "1"} | extra))
    assert set(found.contents.files) == {*APP, "lib/a.js"}
    assert found.contents.read("lib/a.js") == "1"
    assert found.starts[0].command == "node app.js"
    assert not refused(found)


def test_links_and_permissions_of_an_archive_are_those_of_its_bundle(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "app.zip", "w") as archive:
        for name, mode, content in [
            ("Procfile", 0o100644, "web: ./run"),
            ("run", 0o100755, "#!/bin/sh"),
            ("work", 0o120777, "run"),
        ]:
            entry = zipfile.ZipInfo(name)
            entry.create_system = 3
            entry.external_attr = mode << 16
            archive.writestr(entry, content)
    result = packed(assess(tmp_path / "app.zip"), tmp_path / "bundle.zip")
    assert modes_of(result.path) == {"Procfile": 0o100644, "run": 0o100755, "work": 0o120777}
    source_bundle.unpack(result.path, tmp_path / "unpacked")
    assert (tmp_path / "unpacked/work").read_text() == "#!/bin/sh"
    assert os.access(tmp_path / "unpacked/run", os.X_OK)


def test_an_archive_packed_again_with_other_dates_is_the_same_bundle(tmp_path: Path) -> None:
    digests = set()
    for year in (2001, 2026):
        path = tmp_path / f"{year}.zip"
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in sorted(APP.items(), reverse=year == 2001):
                archive.writestr(zipfile.ZipInfo(name, (year, 1, 1, 0, 0, 0)), content)
        digests.add(packed(assess(path), tmp_path / "out.zip").sha256)
    assert len(digests) == 1


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("/etc/passwd", "entries have absolute names: /etc/passwd"),
        ("C:\\x", "entries have absolute names: C:\\x"),
        ("a/../../x", "entries lead out of the archive by `..`: a/../../x"),
        ("./app.js", "entries stand in the archive more than once: app.js"),
        ("lib\\a.js", "entries have `\\` between their names, as made on Windows: lib\\a.js"),
    ],
)
def test_an_entry_that_no_instance_may_unpack_is_refused(
    tmp_path: Path, name: str, says: str
) -> None:
    found = refused(assess(zipped(tmp_path / "app.zip", APP | {name: ""})))
    assert any(says in problem for problem in found)
    assert "cd app && zip -r ../bundle.zip ." in found[0]


def test_an_entry_below_a_file_is_refused(tmp_path: Path) -> None:
    problems = refused(assess(zipped(tmp_path / "app.zip", APP | {"app.js/x": ""})))
    assert "app.js/x lie below what is a file or a link" in problems[0]


def test_an_entry_that_is_a_device_is_refused(tmp_path: Path) -> None:
    zipped(tmp_path / "app.zip", APP)
    with zipfile.ZipFile(tmp_path / "app.zip", "a") as archive:
        entry = zipfile.ZipInfo("null")
        entry.create_system = 3
        entry.external_attr = 0o020666 << 16
        archive.writestr(entry, "")
    (problem,) = refused(assess(tmp_path / "app.zip"))
    assert "entries are no files, directories or links: null" in problem


def test_an_entry_without_a_name_is_refused(tmp_path: Path) -> None:
    zipped(tmp_path / "app.zip", APP)
    with zipfile.ZipFile(tmp_path / "app.zip", "a") as archive:
        archive.writestr(zipfile.ZipInfo(""), "x")
        archive.writestr(zipfile.ZipInfo("n" * 256), "x")
    (problem,) = refused(assess(tmp_path / "app.zip"))
    assert "entries have a name that no file can have: ''" in problem


def test_names_that_begin_with_a_dot_and_a_slash_are_at_the_top(tmp_path: Path) -> None:
    files = {f"./{name}": content for name, content in APP.items()}
    assert names(zipped(tmp_path / "app.zip", files)) == {*APP}


def test_every_problem_of_an_archive_is_reported_at_once(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "app.zip", "w") as archive:
        for name in ("app.js", "/x", "../y", "a\\b"):
            archive.writestr(name, "")
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("app.js", "")
    problems = refused(assess(tmp_path / "app.zip"))
    assert len(problems) == 4
    assert "entries stand in the archive more than once: app.js" in problems[-1]


def test_a_link_of_an_archive_that_leaves_it_is_refused(tmp_path: Path) -> None:
    zipped(tmp_path / "app.zip", APP)
    with zipfile.ZipFile(tmp_path / "app.zip", "a") as archive:
        entry = zipfile.ZipInfo("shadow")
        entry.create_system = 3
        entry.external_attr = 0o120777 << 16
        archive.writestr(entry, "/etc/shadow")
    (problem,) = refused(assess(tmp_path / "app.zip"))
    assert "the links shadow -> /etc/shadow leave the source bundle" in problem


def test_names_of_an_archive_that_differ_in_case_only_are_a_warning(tmp_path: Path) -> None:
    (warning,) = warned(assess(zipped(tmp_path / "app.zip", APP | {"APP.js": ""})))
    assert "the names APP.js and app.js differ in case only" in warning


def test_an_archive_with_everything_inside_one_folder_is_refused(tmp_path: Path) -> None:
    files = {f"myapp-main/{name}": content for name, content in APP.items()}
    problems = refused(assess(zipped(tmp_path / "app.zip", files | {"__MACOSX/._x": ""})))
    assert "everything is inside one folder, myapp-main/, with Procfile, app.js" in problems[0]
    assert "cd myapp-main && zip -r ../bundle.zip ." in problems[0]


def test_an_archive_without_entries_is_refused(tmp_path: Path) -> None:
    (problem,) = refused(assess(zipped(tmp_path / "app.zip", {})))
    assert "its source bundle has no files (the archive decides which it has)" in problem


def test_an_archive_with_a_password_is_refused(tmp_path: Path) -> None:
    path = zipped(tmp_path / "app.zip", APP)
    content = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.find(signature) + offset] |= 0x1
    path.write_bytes(content)
    (problem,) = refused(assess(path))
    assert "entries need a password: Procfile" in problem


@pytest.mark.parametrize("damage", ["cut", "text", "byte"])
def test_a_broken_archive_is_refused(tmp_path: Path, damage: str) -> None:
    path = zipped(tmp_path / "app.zip", APP | {"data": "\n".join(map(str, range(999)))})
    content = bytearray(path.read_bytes())
    if damage == "byte":
        content[content.find(b"data") + 200] ^= 0xFF
    broken = {"cut": content[:-40], "text": bytearray(b"no archive"), "byte": content}
    path.write_bytes(broken[damage])
    (problem,) = refused(assess(path))
    assert "app.zip" in problem
    assert "make it again" in problem or "make the archive again" in problem


def test_an_archive_that_unpacks_to_more_than_an_instance_takes_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert contents.MAX_UNPACKED_BYTES == source_bundle._MAX_UNPACKED_BYTES
    monkeypatch.setattr("worker_tier_bootstrap.assessment.zip_contents.MAX_UNPACKED_BYTES", 99)
    (problem,) = refused(assess(zipped(tmp_path / "app.zip", APP | {"zeros": "0" * 100})))
    assert "the archive unpacks to 116 bytes and may have 99" in problem


# ---- an archive that is made


def modes_of(path: Path) -> dict[str, int]:
    with zipfile.ZipFile(path) as archive:
        return {entry.filename: entry.external_attr >> 16 for entry in archive.infolist()}


def test_the_same_files_give_the_same_bytes_wherever_and_whenever_they_are_packed(
    tmp_path: Path,
) -> None:
    digests = set()
    for name, umask, time in (("a", 0o022, 1_000_000_000), ("b", 0o077, 1_700_000_000)):
        before = os.umask(umask)
        try:
            directory = write(tmp_path / name, APP | {"run*": "#!/bin/sh", "lib/x": "x"})
        finally:
            os.umask(before)
        for path in directory.rglob("*"):
            os.utime(path, (time, time))
        digests.add(packed(assess(directory), tmp_path / f"{name}.zip").sha256)
    assert len(digests) == 1


def test_an_archive_is_deflated_sorted_and_keeps_links_and_execute_bits(tmp_path: Path) -> None:
    write(tmp_path / "app", APP | {"run*": "#!/bin/sh", "text": "a" * 100_000})
    (tmp_path / "app/work").symlink_to("run")
    result = packed(assess(tmp_path / "app"), tmp_path / "bundle.zip")
    assert result.size_bytes == result.path.stat().st_size < 5_000
    with zipfile.ZipFile(result.path) as archive:
        entries = archive.infolist()
    assert [entry.filename for entry in entries] == ["Procfile", "app.js", "run", "text", "work"]
    assert {entry.date_time for entry in entries} == {(1980, 1, 1, 0, 0, 0)}
    modes = modes_of(result.path)
    assert stat.S_ISLNK(modes["work"])
    assert modes["run"] & 0o111
    assert not modes["Procfile"] & 0o111
    source_bundle.unpack(result.path, tmp_path / "unpacked")
    assert (tmp_path / "unpacked/work").read_text() == "#!/bin/sh"


def test_a_bundle_above_elastic_beanstalks_limit_is_refused_with_its_largest_parts(
    tmp_path: Path,
) -> None:
    write(tmp_path / "app", APP | {"node_modules/big": os.urandom(60_000), "z": os.urandom(99)})
    with pytest.raises(UnpackableBundle) as caught:
        pack(assess(tmp_path / "app").contents, tmp_path / "bundle.zip", limit_bytes=50_000)
    assert "has more than 50000 bytes as an archive" in str(caught.value)
    assert "its largest parts are node_modules/ (0.1 MiB)" in str(caught.value)
    assert ".ebignore" in str(caught.value)


def test_the_limit_is_held_against_the_archive_not_the_files(tmp_path: Path) -> None:
    write(tmp_path / "app", APP | {"zeros": bytes(60_000)})
    pack(assess(tmp_path / "app").contents, tmp_path / "bundle.zip", limit_bytes=50_000)


def test_a_file_that_vanished_since_is_reported(tmp_path: Path) -> None:
    found = assess(write(tmp_path / "app", NODE))
    (tmp_path / "app/app.js").unlink()
    with pytest.raises(UnpackableBundle, match=r"cannot be packed: .*app\.js"):
        packed(found, tmp_path / "bundle.zip")


def test_a_file_is_never_in_memory_as_a_whole(tmp_path: Path) -> None:
    write(tmp_path / "app", APP)
    with (tmp_path / "app/large").open("wb") as large:
        large.truncate(64 * 1024**2)
    found = assess(tmp_path / "app")
    tracemalloc.start()
    try:
        packed(found, tmp_path / "bundle.zip")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 16 * 1024**2


def test_an_archive_inside_of_an_archive_is_a_file(tmp_path: Path) -> None:
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("x", "")
    assert names(zipped(tmp_path / "app.zip", APP | {"data.zip": inner.getvalue()})) == {
        *APP,
        "data.zip",
    }
