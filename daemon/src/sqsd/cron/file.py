"""The schedule on an instance: good tasks go on, whatever the bad ones are."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from sqsd.cron.cron_yaml import InvalidCronFile, Problem, parse_cron_yaml, read_cron_yaml
from sqsd.cron.schedule import Schedule

NO_LEADER_TABLE: Final = (
    "periodic tasks are enabled, but leader_table is not set; name the table in tier.json, or"
    " remove the tasks"
)


class CronFile:
    """Implements `cron.reload.ScheduleFile`: good tasks go on, whatever the bad are.

    Args:
        path: the file; there need not be one yet.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def name(self) -> str:
        return str(self._path)

    def stamp(self) -> object:
        """When and where it was written, and how long it is; None without a file."""
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino, found.st_dev

    def read(self) -> tuple[Schedule, tuple[Problem, ...]]:
        """The tasks in it that can be run, and every problem with the others."""
        try:
            text = self._path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            return Schedule(), (_unreadable(self._path, error),)
        return read_cron_yaml(text)


def checked_schedule(path: Path) -> Schedule:
    """The tasks in a file, for who wants to hear of every problem before anything runs.

    Raises:
        InvalidCronFile: with every problem, also when there is no file.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidCronFile((_unreadable(path, error),), str(path)) from error
    return parse_cron_yaml(text, str(path))


def _unreadable(path: Path, error: Exception) -> Problem:
    why = error.strerror if isinstance(error, OSError) else error
    hint = "correct cron_file in the settings, or put the file there, readable and in UTF-8"
    return Problem(1, 1, "", f"{path} cannot be read ({why}); {hint}")
