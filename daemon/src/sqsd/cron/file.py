"""Reads an instance's `cron.yaml`: valid tasks run, whatever is wrong with the rest."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from sqsd.cron.cron_yaml import (
    FILE_MAX_BYTES,
    InvalidCronFile,
    Problem,
    parse_cron_yaml,
    read_cron_yaml,
)
from sqsd.cron.schedule import Schedule

#: Problem of a file with an enabled task on an instance without a leader table.
NO_LEADER_TABLE: Final = (
    "periodic tasks are enabled, but leader_table is not set; name the table in tier.json, or"
    " remove the tasks"
)


class CronFile:
    """Implements `cron.reload.ScheduleFile` on a path.

    Args:
        path: the file, which need not exist yet.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def name(self) -> str:
        """The path, as text."""
        return str(self._path)

    def stamp(self) -> object:
        """Return the file's time, length and inode, or None if there is no file."""
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino, found.st_dev

    def read(self) -> tuple[Schedule, tuple[Problem, ...]]:
        """Return the valid tasks of the file, and every problem in it."""
        try:
            text = _read_text(self._path)
        except (OSError, UnicodeDecodeError) as error:
            return Schedule(), (_unreadable(self._path, error),)
        return read_cron_yaml(text)


def checked_schedule(path: Path) -> Schedule:
    """Return the tasks of a file that has no problem.

    Raises:
        InvalidCronFile: the file has problems (it names every one), or cannot be read.
    """
    try:
        text = _read_text(path)
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidCronFile((_unreadable(path, error),), str(path)) from error
    return parse_cron_yaml(text, str(path))


def _read_text(path: Path) -> str:
    """Return the text of a file, of which no more is read than is needed to refuse it."""
    with path.open("rb") as file:
        content = file.read(FILE_MAX_BYTES + 1)
    # A longer file is refused for its length, wherever the cut is.
    errors = "replace" if len(content) > FILE_MAX_BYTES else "strict"
    return content.decode("utf-8", errors)


def _unreadable(path: Path, error: Exception) -> Problem:
    why = error.strerror if isinstance(error, OSError) else error
    hint = "correct cron_file in the settings, or put the file there, readable and in UTF-8"
    return Problem(1, 1, "", f"{path} cannot be read ({why}); {hint}")
