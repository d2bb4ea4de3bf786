"""Reads files and changes owners where the application's user may write, as root.

That user can replace any entry at any moment: the release that runs is a process of it, and so is
whatever a build has left behind. So no path is followed here. Each entry is opened relative to its
directory without following links, checked by its descriptor, and changed by its descriptor.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

from worker_tier_bootstrap.errors import BootstrapError

#: Largest size of a file of the application that root reads, in bytes.
MAX_FILE_BYTES: Final = 2**20
#: Deepest nesting of directories in a release; npm's deepest trees have some 50.
_MAX_DEPTH: Final = 200
_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC


def read_text(directory: Path, name: str) -> str | None:
    """Return the text of a file in a directory of root, or None if there is none.

    Bytes that are not UTF-8 become U+FFFD.

    Raises:
        BootstrapError: the entry is not a regular file, or larger than `MAX_FILE_BYTES`.
    """
    try:
        # Otherwise a pipe would be waited for, and a terminal become this process's.
        descriptor = os.open(directory / name, _READ | os.O_NONBLOCK | os.O_NOCTTY)
    except FileNotFoundError:
        return None
    except OSError as error:  # ELOOP for a link, ENXIO for a socket
        raise _unusable(name) from error
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise _unusable(name)
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            content = file.read(MAX_FILE_BYTES + 1)
    finally:
        os.close(descriptor)
    if len(content) > MAX_FILE_BYTES:
        raise _unusable(name)
    return content.decode("utf-8", "replace")


def _unusable(name: str) -> BootstrapError:
    return BootstrapError(
        f"{name} of the application must be a regular file of at most {MAX_FILE_BYTES} bytes",
        hint="replace a link by the file that it names",
    )


def give(directory: Path, user_id: int, group_id: int, *, except_for: str) -> list[str]:
    """Make a user the owner of everything in a directory of root except for one entry.

    Links change their owner, not what they point to. Files of another owner with a second name stay
    as they are, for that name may be anywhere; so do devices and pipes.

    Args:
        except_for: name of an entry of the directory that stays as it is.

    Returns:
        The names of the entries that stay as they are.

    Raises:
        BootstrapError: directories are nested too deep.
    """
    gift = _Gift(user_id, group_id)
    descriptor = os.open(directory, _READ | os.O_DIRECTORY)
    try:
        for name in _names(descriptor):
            if name != except_for:
                gift.give(name, descriptor)
    finally:
        os.close(descriptor)
    return gift.left


class _Gift:
    """Changes owners below a directory, and collects the names of entries left as they are."""

    def __init__(self, user_id: int, group_id: int) -> None:
        self._owner = (user_id, group_id)
        self.left: list[str] = []

    def give(self, name: str, parent: int, depth: int = 0) -> None:
        if depth > _MAX_DEPTH:
            raise BootstrapError(
                f"directories of the application are nested too deep, below {name!r:.80}: more than"
                f" {_MAX_DEPTH}",
                hint="see what the build leaves in its directory",
            )
        try:
            place = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
        except FileNotFoundError:  # whoever has written to the directory has removed it
            return
        try:
            inner = self._give(name, place)
        finally:
            os.close(place)
        if inner is not None:
            self._give_all_in(inner, depth)

    def _give_all_in(self, directory: int, depth: int) -> None:
        try:
            for name in _names(directory):
                self.give(name, directory, depth + 1)
        finally:
            os.close(directory)

    def _give(self, name: str, place: int) -> int | None:
        """Change the owner of what was opened; returns a directory's descriptor to read it by."""
        status = os.fstat(place)
        if (status.st_uid, status.st_gid) != self._owner:
            if not _may_be_given(status):
                self.left.append(name)
                return None
            # By this name the kernel reaches what is open, a link itself included.
            os.chown(f"/proc/self/fd/{place}", *self._owner)
        if not stat.S_ISDIR(status.st_mode):
            return None
        return os.open(".", _READ | os.O_DIRECTORY, dir_fd=place)


def _may_be_given(status: os.stat_result) -> bool:
    if stat.S_ISREG(status.st_mode):
        return status.st_nlink == 1
    return stat.S_ISDIR(status.st_mode) or stat.S_ISLNK(status.st_mode)


def _names(directory: int) -> list[str]:
    with os.scandir(directory) as entries:
        return [entry.name for entry in entries]
