"""Packs a source bundle: deflated, the same bytes for the same files, a megabyte at a time.

Entries are sorted, have one date, and keep of their permissions only whether they are executable.
The bytes also depend on zlib: two machines with different builds of it may pack the same files
differently, which replaces the instances once.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from worker_tier_bootstrap.assessment.contents import BundleFile, Contents, largest

#: EB's limit for a source bundle, in bytes: 500 MB, held against the archive.
MAX_ARCHIVE_BYTES: Final = 500 * 1024**2
_CHUNK_BYTES: Final = 1024**2
_DATE: Final = (1980, 1, 1, 0, 0, 0)
#: `ZipInfo.create_system` of Unix, wherever this runs, because entries have its permissions.
_UNIX: Final = 3


class UnpackableBundle(ValueError):
    """A source bundle that cannot be packed; the text is a sentence with a hint."""


@dataclass(frozen=True, kw_only=True)
class PackedBundle:
    """Is a source bundle as instances fetch it."""

    path: Path
    sha256: str
    size_bytes: int


def pack(contents: Contents, path: Path, *, limit_bytes: int = MAX_ARCHIVE_BYTES) -> PackedBundle:
    """Write the files of a bundle into a ZIP archive.

    Raises:
        UnpackableBundle: the archive is larger than EB allows, or a file cannot be read.
    """
    try:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in sorted(contents.files):
                _add(archive, name, contents.files[name])
                if archive.start_dir > limit_bytes:
                    raise _too_large(contents, limit_bytes)
    except (OSError, zipfile.BadZipFile) as error:
        raise UnpackableBundle(f"the source bundle cannot be packed: {error}") from error
    size = path.stat().st_size
    if size > limit_bytes:
        raise _too_large(contents, limit_bytes)
    with path.open("rb") as packed:
        digest = hashlib.file_digest(packed, "sha256").hexdigest()
    return PackedBundle(path=path, sha256=digest, size_bytes=size)


def _add(archive: zipfile.ZipFile, name: str, file: BundleFile) -> None:
    info = zipfile.ZipInfo(name, _DATE)
    info.create_system = _UNIX
    info.compress_type = zipfile.ZIP_DEFLATED
    info.file_size = file.size_bytes
    info.external_attr = _mode(file) << 16
    if file.link is not None:
        archive.writestr(info, os.fsencode(file.link))
        return
    with file.open() as source, archive.open(info, "w") as target:
        shutil.copyfileobj(source, target, _CHUNK_BYTES)


def _mode(file: BundleFile) -> int:
    if file.link is not None:
        return stat.S_IFLNK | 0o777
    return stat.S_IFREG | (0o755 if file.executable else 0o644)


def _too_large(contents: Contents, limit_bytes: int) -> UnpackableBundle:
    return UnpackableBundle(
        f"the source bundle has more than {limit_bytes} bytes as an archive, which is Elastic"
        f" Beanstalk's limit; {largest(contents)}; leave files out with an .ebignore"
    )
