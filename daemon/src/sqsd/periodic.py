"""The schedule as a daemon finds it on its instance: good tasks go on, whatever the bad ones are."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from sqsd.core.cron import Schedule
from sqsd.core.cron_yaml import Problem, read_cron_yaml

NO_LEADER_TABLE: Final = (
    "periodic tasks are enabled, but leader_table is not set; name the table in tier.json, or remove"
    " the tasks"
)


def read_schedule(path: Path | None) -> tuple[Schedule, tuple[Problem, ...]]:
    """The tasks in a file that can be run, and every problem with the others."""
    if path is None:
        return Schedule(), ()
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        return Schedule(), (Problem(1, 1, "", f"{path} cannot be read: {error}"),)
    return read_cron_yaml(text)
