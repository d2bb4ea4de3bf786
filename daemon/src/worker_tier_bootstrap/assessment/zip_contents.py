"""Reads the list of files of a source bundle that is a ZIP archive already."""

from __future__ import annotations

import io
import os
import posixpath
import stat
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import BinaryIO, Final, cast

from worker_tier_bootstrap.assessment.contents import (
    MAX_UNPACKED_BYTES,
    BundleFile,
    Contents,
    list_findings,
    unusable,
)
from worker_tier_bootstrap.assessment.report import refusal, some
from worker_tier_bootstrap.beanstalk.findings import Finding, Outcome

#: Directories of an archive that no bundle has: git's, the EB CLI's, and macOS's extra entries.
_NEVER: Final = frozenset({".git", ".elasticbeanstalk", "__MACOSX"})
#: `ZipInfo.create_system` of Unix: only there an entry has permissions.
_UNIX: Final = 3
#: Bit of `ZipInfo.flag_bits` of an entry with a password.
_ENCRYPTED: Final = 0x1
#: Longest name in a path, in bytes, as in Linux's file systems.
_MAX_NAME_BYTES: Final = 255
#: Longest target of a link, in bytes, as in Linux.
_MAX_LINK_BYTES: Final = 4_096
_PACK: Final = "pack the content of the application's directory: cd app && zip -r ../bundle.zip ."


def zip_contents(path: Path, source: str) -> Contents:
    """Return the files of a ZIP archive. What is wrong with it becomes a finding."""
    try:
        archive = zipfile.ZipFile(path)
        entries = archive.infolist()
        findings = list(_entry_findings(entries))
        if findings:
            archive.close()
            return Contents(source=source, decided_by="the archive", findings=tuple(findings))
        if (broken := archive.testzip()) is not None:
            return unusable(
                source, refusal(f"{broken} in {path.name} is damaged", "make the archive again")
            )
        files = {_name(entry): _file(archive, entry) for entry in _wanted(entries)}
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError) as error:
        return unusable(
            source,
            refusal(
                f"{path.name} is no ZIP archive that can be read: {error}",
                "make it again; it must be a ZIP archive, stored or deflated",
            ),
        )
    contents = Contents(source=source, decided_by="the archive", files=dict(sorted(files.items())))
    return replace(contents, findings=tuple(list_findings(contents)))


def _wanted(entries: list[zipfile.ZipInfo]) -> Iterator[zipfile.ZipInfo]:
    for entry in entries:
        if not entry.filename.endswith("/") and _NEVER.isdisjoint(entry.filename.split("/")):
            yield entry


def _name(entry: zipfile.ZipInfo) -> str:
    """Return the path of an entry without `./` and doubled slashes."""
    return posixpath.normpath(entry.filename)


def _file(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> BundleFile:
    mode = entry.external_attr >> 16 if entry.create_system == _UNIX else 0
    if stat.S_ISLNK(mode):
        target = archive.open(entry).read(_MAX_LINK_BYTES)
        return BundleFile(
            size_bytes=len(target),
            open=partial(io.BytesIO, target),
            link=os.fsdecode(target),
        )
    return BundleFile(
        size_bytes=entry.file_size,
        open=partial(_opened, archive, entry),
        executable=bool(mode & stat.S_IXUSR) if mode else None,
    )


def _opened(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> BinaryIO:
    return cast(BinaryIO, archive.open(entry))


def _entry_findings(entries: list[zipfile.ZipInfo]) -> Iterator[Finding]:
    names = [entry.filename for entry in entries]
    checks = {
        "have absolute names": [n for n in names if n.startswith("/") or n[1:3] == ":\\"],
        "have a name that no file can have": [repr(n)[:80] for n in names if not _is_path(n)],
        "lead out of the archive by `..`": [n for n in names if ".." in n.split("/")],
        "have `\\` between their names, as made on Windows": [n for n in names if "\\" in n],
        "stand in the archive more than once": [n for n, c in _counted(entries) if c > 1],
        "are no files, directories or links": [e.filename for e in entries if _is_special(e)],
    }
    for problem, found in checks.items():
        if found:
            yield refusal(f"entries {problem}: {some(found)}", _PACK)
    encrypted = [entry.filename for entry in entries if entry.flag_bits & _ENCRYPTED]
    if encrypted:
        yield refusal(f"entries need a password: {some(encrypted)}", "pack them without one")
    size = sum(entry.file_size for entry in entries)
    if size > MAX_UNPACKED_BYTES:
        yield refusal(
            f"the archive unpacks to {size} bytes and may have {MAX_UNPACKED_BYTES}",
            "leave files out",
        )


def _is_path(name: str) -> bool:
    """Whether a file system can hold an entry of this name. `./` is the archive itself."""
    longest = max(len(os.fsencode(part)) for part in name.split("/"))
    return longest <= _MAX_NAME_BYTES and (name.endswith("/") or posixpath.normpath(name) != ".")


def _counted(entries: list[zipfile.ZipInfo]) -> Iterable[tuple[str, int]]:
    return Counter(_name(entry) for entry in entries if not entry.filename.endswith("/")).items()


def _is_special(entry: zipfile.ZipInfo) -> bool:
    """Return whether an entry is a device, a pipe or a socket."""
    kind = stat.S_IFMT(entry.external_attr >> 16) if entry.create_system == _UNIX else 0
    return kind not in (0, stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK)


def is_usable(contents: Contents) -> bool:
    """Return whether nothing about the list of files is refused."""
    return not any(finding.outcome is Outcome.REFUSED for finding in contents.findings)
