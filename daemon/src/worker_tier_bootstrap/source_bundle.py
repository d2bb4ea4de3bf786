"""Unpacks a source bundle, and sets aside what root runs and includes of it.

Nothing of an archive is trusted but its SHA-256, and nothing of an unpacked release once the
application's user may write to it: a build runs scripts of every dependency, and the release that
runs has the same user. So `.platform`, whose hooks root executes and whose files nginx includes, is
copied to a directory of root before anything of the bundle runs, and the release has a link to it.
"""

from __future__ import annotations

import os
import shutil
import stat
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Final

from worker_tier_bootstrap.errors import BootstrapError
from worker_tier_bootstrap.platforms import CONFIGHOOKS, HOOKS, PLATFORM_DIRECTORY

#: Largest size of an unpacked source bundle, in bytes; more was packed by mistake.
_MAX_UNPACKED_BYTES: Final = 4 * 1024**3
#: Largest size of a link's target, in bytes; Linux's limit of a path.
_MAX_TARGET_BYTES: Final = 4_095
#: Largest size of one name in a path, in bytes; the limit of Linux's file systems.
_MAX_NAME_BYTES: Final = 255
#: Largest size of a path within the bundle, in bytes; the directory of the release is before it.
_MAX_PATH_BYTES: Final = 3_900
#: Largest number of files of `PLATFORM_DIRECTORY`; links within it could multiply them without end.
_MAX_PLATFORM_FILES: Final = 10_000
#: Number of problems of one archive that an error names.
_SHOWN_PROBLEMS: Final = 8
_PACK_HINT: Final = "pack the bundle from inside its directory, each file once"
#: Kinds of entries, as errors name them.
_FILE: Final = "file"
_LINK: Final = "link"
_DIRECTORY: Final = "directory"


# ---- unpack


def unpack(archive: Path, target: Path) -> None:
    """Unpack a source bundle into an empty directory, with its links and executable bits.

    Links may point anywhere: none is followed here.

    Raises:
        BootstrapError: the archive cannot be read, is too large, or is not one tree of files,
            directories and links; every entry is checked before the first is unpacked.
    """
    try:
        with zipfile.ZipFile(archive) as bundle:
            entries = bundle.infolist()
            _check_size(entries)
            _check_tree(bundle, entries)
            for entry in entries:
                _unpack_entry(bundle, entry, target)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise BootstrapError(
            f"the source bundle is no readable ZIP archive: {error}",
            hint="upload it again; it must be a ZIP archive without a password",
        ) from error


def _check_size(entries: list[zipfile.ZipInfo]) -> None:
    size = sum(entry.file_size for entry in entries)
    if size > _MAX_UNPACKED_BYTES:
        raise BootstrapError(
            f"the source bundle unpacks to {size} bytes and may have {_MAX_UNPACKED_BYTES}",
            hint="leave files out with an .ebignore",
        )


def _check_tree(bundle: zipfile.ZipFile, entries: list[zipfile.ZipInfo]) -> None:
    """Check that entries make one tree, so that none is written through another one."""
    problems = [*_tree_problems(entries), *_entry_problems(bundle, entries)]
    if not problems:
        return
    shown = problems[:_SHOWN_PROBLEMS]
    if len(problems) > len(shown):
        shown.append(f"and {len(problems) - len(shown)} more")
    raise BootstrapError("the source bundle cannot be used: " + "; ".join(shown), hint=_PACK_HINT)


def _entry_problems(bundle: zipfile.ZipFile, entries: list[zipfile.ZipInfo]) -> Iterator[str]:
    for entry in entries:
        name = _shown(entry.filename)
        if _leaves(entry):
            yield f"it holds the path {name}, which leaves its directory"
        yield from _path_problems(entry, name)
        kind = _kind(entry)
        if kind is None:
            yield f"{name} is neither a file, a directory nor a link"
        elif kind == _LINK and _is_directory(entry):
            yield f"{name} is a link with the name of a directory"
        elif kind == _LINK and _target_of(bundle, entry) is None:
            yield f"the link {name} has no usable target"


def _path_problems(entry: zipfile.ZipInfo, name: str) -> Iterator[str]:
    """Yield what is wrong with the path of an entry, which no file system could hold."""
    path = PurePosixPath(entry.filename)
    if not path.name and not _is_directory(entry):
        yield f"it holds a {_kind(entry) or 'device'} with the path {name}, which is no name"
    if any(len(part.encode()) > _MAX_NAME_BYTES for part in path.parts):
        yield f"a name in the path {name} has more than {_MAX_NAME_BYTES} bytes"
    elif len(entry.filename.encode()) > _MAX_PATH_BYTES:
        yield f"the path {name} has more than {_MAX_PATH_BYTES} bytes"


def _tree_problems(entries: list[zipfile.ZipInfo]) -> Iterator[str]:
    kinds: dict[PurePosixPath, str | None] = {}
    for entry in entries:
        path = PurePosixPath(entry.filename)
        kind = _kind(entry)
        if path in kinds and not kind == kinds[path] == _DIRECTORY:
            yield f"{_shown(entry.filename.rstrip('/'))} is in it twice"
        kinds.setdefault(path, kind)
    for entry in entries:
        for parent in PurePosixPath(entry.filename).parents:
            kind = kinds.get(parent, _DIRECTORY)
            if kind != _DIRECTORY:
                below = f"{_shown(entry.filename)} lies below {_shown(str(parent))}"
                yield f"{below}, which is a {kind} and no directory"


def _is_directory(entry: zipfile.ZipInfo) -> bool:
    """Whether an entry is a directory; `ZipInfo.is_dir` fails for an empty name."""
    return entry.filename.endswith("/")


def _leaves(entry: zipfile.ZipInfo) -> bool:
    return entry.filename.startswith("/") or ".." in entry.filename.split("/")


def _kind(entry: zipfile.ZipInfo) -> str | None:
    """Return the kind of an entry, or None for devices, pipes and sockets."""
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind == stat.S_IFLNK:
        return _LINK
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return None
    return _DIRECTORY if _is_directory(entry) else _FILE


def _target_of(bundle: zipfile.ZipFile, entry: zipfile.ZipInfo) -> str | None:
    """Return a link's target, or None if no link can have it."""
    if not 0 < entry.file_size <= _MAX_TARGET_BYTES:
        return None
    try:
        target = bundle.read(entry).decode()
    except UnicodeDecodeError:
        return None
    return None if "\0" in target else target


def _shown(name: str) -> str:
    return repr(name if len(name) <= 100 else f"{name[:100]}...")


def _unpack_entry(bundle: zipfile.ZipFile, entry: zipfile.ZipInfo, target: Path) -> None:
    place = target / entry.filename
    if _is_directory(entry):
        place.mkdir(parents=True, exist_ok=True)
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    if _kind(entry) == _LINK:
        place.symlink_to(_target_of(bundle, entry) or "")
        return
    mode = 0o755 if entry.external_attr >> 16 & 0o111 else 0o644
    new = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    with (
        bundle.open(entry) as content,
        os.fdopen(os.open(place, new, mode), "wb") as file,
    ):
        shutil.copyfileobj(content, file)
    place.chmod(mode)


# ---- what root runs and includes


def set_platform_files_aside(release: Path, target: Path) -> None:
    """Copy `.platform` of a release that nobody has written to yet, with the files it links to.

    Hooks are made executable, as in Elastic Beanstalk: archives made on Windows lack the bit.

    Args:
        release: directory of the unpacked bundle.
        target: directory that takes the place of `.platform`; it is made, also without files.

    Raises:
        BootstrapError: with each link that leads out of the bundle or into itself, and other
            entries that cannot be copied.
    """
    copy = _PlatformCopy(release)
    source = release / PLATFORM_DIRECTORY
    target.mkdir(parents=True)
    if source.is_symlink() or source.exists():
        copy.copy_directory(source, target)
    if copy.problems:
        raise BootstrapError(
            "; ".join(copy.problems[:_SHOWN_PROBLEMS]),
            hint=f"put what root runs and nginx includes into {PLATFORM_DIRECTORY} itself",
        )
    for directory in (HOOKS, CONFIGHOOKS):
        for path in (target / directory).rglob("*"):
            path.chmod(0o755)


class _PlatformCopy:
    """Copies a directory of root's, and what its links name within the release."""

    def __init__(self, release: Path) -> None:
        self._release = release.resolve()
        self._files = 0
        self.problems: list[str] = []

    def copy_directory(
        self, source: Path, target: Path, ancestors: frozenset[Path] = frozenset()
    ) -> None:
        real = self._within(source)
        if real is None:
            return
        if real in ancestors or not real.is_dir():
            what = "leads into itself" if real in ancestors else "is not a directory"
            self._refuse(source, what)
            return
        for path in sorted(real.iterdir()):
            self._copy(path, target / path.name, ancestors | {real})

    def _copy(self, source: Path, target: Path, ancestors: frozenset[Path]) -> None:
        real = self._within(source)
        if real is None:
            return
        self._files += 1
        if self._files > _MAX_PLATFORM_FILES:
            if self._files == _MAX_PLATFORM_FILES + 1:
                self._refuse(source, f"is one of more than {_MAX_PLATFORM_FILES} files")
        elif real.is_dir():
            target.mkdir()
            self.copy_directory(source, target, ancestors)
        else:
            shutil.copy(real, target)

    def _within(self, path: Path) -> Path | None:
        """Return where a path leads, or None if that is nowhere or out of the release."""
        try:
            real = path.resolve(strict=True)
        except (OSError, RuntimeError):  # RuntimeError: a loop, before Python 3.13
            self._refuse(path, "is a link that leads nowhere")
            return None
        if not real.is_relative_to(self._release):
            self._refuse(path, "is a link that leads out of the bundle")
            return None
        return real

    def _refuse(self, path: Path, what: str) -> None:
        name = path.relative_to(self._release) if path.is_relative_to(self._release) else path
        self.problems.append(f"{name} of the source bundle {what}")
