"""Checks all props before anything is built, so that everything wrong is told at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from aws_cdk import Duration

from sqsd import contract
from sqsd.core.cron_yaml import InvalidCronFile, parse_cron_yaml
from worker_tier.errors import InvalidProps
from worker_tier.options import duration_seconds, literal_count, sqsd_options
from worker_tier.scaling import ScalingFigures, WorkerScaling, decide_figures

_MAX_INSTANCES: Final = 10_000
_DEFAULT_SIGNAL_TIMEOUT_SECONDS: Final = 600
_MAX_SIGNAL_TIMEOUT_SECONDS: Final = 43_200


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Props that were found good, in the words the parts understand."""

    options: contract.SqsdOptions
    min_capacity: int
    max_capacity: int
    signal_timeout_seconds: int
    figures: ScalingFigures | None
    cron_yaml: str | None
    has_enabled_task: bool


def make_plan(
    path: str,
    options: Mapping[str, Any],
    *,
    min_capacity: int,
    max_capacity: int,
    scaling: WorkerScaling,
    signal_timeout: Duration | None,
    periodic_tasks: str | None,
) -> Plan:
    """Check the props of a tier.

    Args:
        path: of the construct, for the error.
        options: those that become options of the daemon, by name; None for the default.

    Raises:
        InvalidProps: with every problem found.
    """
    problems: list[str] = []
    checked = sqsd_options(options, problems)
    low = literal_count("min_capacity", min_capacity, 0, _MAX_INSTANCES, problems)
    high = literal_count("max_capacity", max_capacity, 1, _MAX_INSTANCES, problems)
    cron_yaml, has_enabled_task = _read_tasks(periodic_tasks, problems)
    if low is not None and high is not None and low > high:
        problems.append(
            f"min_capacity ({low}) must be at most max_capacity ({high}); lower one or raise the"
            " other"
        )
    if low == 0 and has_enabled_task:
        problems.append(
            f"min_capacity is 0, but {periodic_tasks} has enabled tasks, and a fleet that sleeps"
            " runs no periodic task; set min_capacity to 1 or more, or disable the tasks"
        )
    timeout = _signal_timeout_seconds(signal_timeout, problems)
    figures = decide_figures(
        scaling,
        # What follows from unusable options is not worth a second message.
        http_connections=(checked or contract.SqsdOptions()).http_connections,
        min_capacity=low or 0,
        problems=problems,
    )
    if problems or checked is None or low is None or high is None or timeout is None:
        raise InvalidProps(path, problems)
    return Plan(
        options=checked,
        min_capacity=low,
        max_capacity=high,
        signal_timeout_seconds=timeout,
        figures=figures,
        cron_yaml=cron_yaml,
        has_enabled_task=has_enabled_task,
    )


def _signal_timeout_seconds(value: Duration | None, problems: list[str]) -> int | None:
    if value is None:
        return _DEFAULT_SIGNAL_TIMEOUT_SECONDS
    seconds = duration_seconds("signal_timeout", value, problems)
    if seconds is None:
        return None
    return literal_count(
        "signal_timeout (seconds)", seconds, 1, _MAX_SIGNAL_TIMEOUT_SECONDS, problems
    )


def _read_tasks(path: str | None, problems: list[str]) -> tuple[str | None, bool]:
    """The text of a cron.yaml, and whether any task in it is enabled."""
    if path is None:
        return None, False
    try:
        # Bytes first: reading as text would turn CR LF into LF, and an instance gets the same file.
        text = Path(path).read_bytes().decode()
    except OSError as error:
        problems.append(f"periodic_tasks: {path} cannot be read: {error.strerror}")
        return None, False
    except UnicodeDecodeError as error:
        problems.append(f"periodic_tasks: {path} is not UTF-8 at byte {error.start}")
        return None, False
    try:
        schedule = parse_cron_yaml(text, path)
    except InvalidCronFile as error:
        problems.extend(f"periodic_tasks: {path}, {problem}" for problem in error.problems)
        return None, False
    return text, any(task.enabled for task in schedule.tasks)
