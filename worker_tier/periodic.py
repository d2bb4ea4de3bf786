"""Periodic tasks: a `cron.yaml` as a file, or tasks as values that become one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import yaml
from aws_cdk import Token

from sqsd.contract import CRON_FILE_NAME
from sqsd.cron.cron_yaml import InvalidCronFile, parse_cron_yaml, written_tasks
from worker_tier.ranges import UNRESOLVED
from worker_tier.type_checks import example


@example("PeriodicTask(name=..., url=..., schedule=...)")
@dataclass(frozen=True, kw_only=True)
class PeriodicTask:
    """A task of `cron.yaml`, with the same names; docs/guide/cron.md explains them.

    Args:
        name: name of the task, unique in the tier.
        url: path that the task is POSTed to.
        schedule: a cron expression of five fields, such as `*/5 * * * *`.
        timezone: time zone of the schedule, such as `Europe/Berlin`. Default: UTC.
        overlap: `allow` or `skip` an occurrence while the one before still runs. Default: `allow`.
        catch_up: seconds by which a missed occurrence may still be late, or `latest` to send the
            newest missed occurrence only. Default: 300.
        enabled: whether occurrences are sent. Default: True.
        jitter: seconds over which tasks are spread: each is sent a fixed delay after its time,
            which follows from its name and is at most this. Default: 0.
        description: a text for people.
    """

    name: str
    url: str
    schedule: str
    timezone: str | None = None
    overlap: str | None = None
    catch_up: int | Literal["latest"] | None = None
    enabled: bool | None = None
    jitter: int | None = None
    description: str | None = None


@dataclass(frozen=True, kw_only=True)
class Tasks:
    """The text of a `cron.yaml` that was found good, and what it means for the stack.

    Args:
        text: the text, or None without any task.
        source: what errors call it.
        enabled: whether any task is enabled.
        added: the tasks that were added in code.
        warnings: what is read as Elastic Beanstalk reads it but may not be meant.
    """

    text: str | None = None
    source: str = CRON_FILE_NAME
    enabled: bool = False
    added: tuple[PeriodicTask, ...] = ()
    warnings: tuple[str, ...] = ()


def read_tasks(given: str | Sequence[PeriodicTask] | None, problems: list[str]) -> Tasks:
    """Return the tasks of a prop, or no tasks, and problems, if they cannot be used."""
    if given is None:
        return Tasks()
    if not isinstance(given, str):
        return parsed(as_yaml(given), "periodic_tasks", problems, tuple(given))
    try:
        # Bytes first: reading as text would turn CR LF into LF, and an instance gets the same file.
        content = Path(given).read_bytes()
    except OSError as error:
        problems.append(f"periodic_tasks: {given} cannot be read: {error.strerror}")
        return Tasks()
    return decoded(content, given, problems)


def decoded(content: bytes, source: str, problems: list[str]) -> Tasks:
    """Return the tasks of a `cron.yaml`, or no tasks, and problems, if they cannot be used."""
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        problems.append(f"periodic_tasks: {source} is not UTF-8 at byte {error.start}")
        return Tasks()
    return parsed(text, f"periodic_tasks: {source}", problems)


def with_task(tasks: Tasks, task: PeriodicTask, problems: list[str]) -> Tasks:
    """Return `tasks` with one more.

    The text is written anew, so a file's comments are lost, and keys that mean nothing.
    """
    if tasks.text is None:
        return parsed(as_yaml([task]), "add_periodic_task", problems, (task,))
    more = parsed(as_yaml([task]), "add_periodic_task", problems, (task,))
    if more.text is None:
        return tasks
    text = _text_of([*written_tasks(tasks.text), _entry(task)])
    joined = parsed(text, "add_periodic_task", problems, (*tasks.added, task))
    return replace(joined, source=tasks.source)


def as_yaml(tasks: Sequence[PeriodicTask]) -> str:
    """Return a `cron.yaml` with these tasks."""
    return _text_of([_entry(task) for task in tasks])


def _text_of(entries: list[dict[str, Any]]) -> str:
    return str(yaml.safe_dump({"version": 1, "cron": entries}, sort_keys=False))


def _entry(task: PeriodicTask) -> dict[str, Any]:
    return {name: value for name, value in asdict(task).items() if value is not None}


def parsed(
    text: str, source: str, problems: list[str], added: tuple[PeriodicTask, ...] = ()
) -> Tasks:
    """Return a text with its meaning, or no tasks, and problems by line, if it has mistakes."""
    name = source.removeprefix("periodic_tasks: ")
    if Token.is_unresolved(text):
        problems.append(f"{source} {UNRESOLVED}")
        return Tasks()
    try:
        schedule = parse_cron_yaml(text, name)
    except InvalidCronFile as error:
        problems.extend(f"{source}, {problem}" for problem in error.problems)
        return Tasks()
    return Tasks(
        text=text,
        source=name,
        enabled=any(task.enabled for task in schedule.tasks),
        added=added,
        warnings=tuple(f"{source}, {warning}" for warning in schedule.warnings),
    )
