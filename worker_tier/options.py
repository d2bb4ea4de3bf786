"""Props -> the daemon's options. Names, ranges and defaults are the contract's alone."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import fields
from enum import StrEnum
from typing import Any, Final

from aws_cdk import Duration, Token

from sqsd.contract import InvalidSettings, SqsdOptions

_UNRESOLVED = (
    "is known only when the stack is deployed, but it is checked and rendered at synth; give a"
    " literal value"
)

#: The options' names, each of them a prop of `WorkerTier`.
OPTION_NAMES: Final = tuple(option.name for option in fields(SqsdOptions))
#: Options that have a default and can be none; for the others None stands for the default.
NONE_SWITCHES_OFF: Final = frozenset(
    option.name
    for option in fields(SqsdOptions)
    if option.default is not None and option.metadata["check"](None) is None
)


def sqsd_options(props: Mapping[str, Any], problems: list[str]) -> SqsdOptions | None:
    """The options that `props` ask for; None when any of them cannot be used.

    Args:
        props: by option name. None stands for the contract's default, except for options in
            `NONE_SWITCHES_OFF`; a `Duration` stands for its seconds.
        problems: gets every problem found, appended.
    """
    found: list[str] = []
    given = {
        name: _literal(name, value, found)
        for name, value in props.items()
        if value is not None or name in NONE_SWITCHES_OFF
    }
    if found:
        # What could be read is still checked, so that one run shows every problem.
        given = {name: value for name, value in given.items() if value is not None}
    try:
        options = SqsdOptions(**given)
    except InvalidSettings as error:
        found.extend(error.problems)
    problems.extend(found)
    return None if found else options


def taken_by(function: Callable[..., Any], props: Mapping[str, Any]) -> dict[str, Any]:
    """Those of `props` that a function takes by their names."""
    names = inspect.signature(function).parameters.keys() - {"scope", "id", "self"}
    return {name: value for name, value in props.items() if name in names}


def _literal(name: str, value: Any, problems: list[str]) -> Any:
    if isinstance(value, Duration):
        return duration_seconds(name, value, problems)
    if isinstance(value, StrEnum):
        return value.value
    if isinstance(value, (list, tuple)):
        value = list(value)
        unresolved = Token.is_unresolved(value) or any(map(Token.is_unresolved, value))
        value = tuple(value)
    else:
        unresolved = Token.is_unresolved(value)
    if unresolved:
        problems.append(f"{name} {_UNRESOLVED}")
        return None
    return value


def duration_seconds(name: str, value: Duration, problems: list[str]) -> int | None:
    """A duration as whole seconds; else None, and a problem that says why not."""
    if value.is_unresolved():
        problems.append(f"{name} {_UNRESOLVED}")
        return None
    seconds = value.to_seconds(integral=False)
    if seconds != int(seconds):
        problems.append(f"{name} must be whole seconds, got {seconds} s; round it")
        return None
    return int(seconds)


def literal_count(name: str, value: Any, low: int, high: int, problems: list[str]) -> int | None:
    """`value` when it is a whole number in range; else None, and a problem that says why not."""
    if Token.is_unresolved(value):
        problems.append(f"{name} {_UNRESOLVED}")
    elif not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        problems.append(f"{name} must be a whole number from {low} to {high}, got {value!r}")
    else:
        return value
    return None


def in_range(name: str, value: Any, low: int, high: int, problems: list[str]) -> None:
    """A problem unless `value` is None or a whole number in range."""
    if value is not None:
        literal_count(name, value, low, high, problems)


def seconds_in_range(
    name: str, value: Duration | None, low: int, high: int, problems: list[str]
) -> int | None:
    """A duration as whole seconds; None when it is None, or out of range and told so."""
    if value is None:
        return None
    seconds = duration_seconds(name, value, problems)
    return None if seconds is None else literal_count(f"{name} (s)", seconds, low, high, problems)
