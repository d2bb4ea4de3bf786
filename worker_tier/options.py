"""Props -> the daemon's options. The contract alone has their names, ranges and defaults."""

from __future__ import annotations

from dataclasses import fields
from enum import StrEnum
from typing import Any, Final

from aws_cdk import Duration, Token

from sqsd.contract import InvalidSettings, SqsdOptions
from worker_tier.props import SqsdProps
from worker_tier.ranges import UNRESOLVED, duration_seconds

#: Options that None switches off; for every other option None means its default.
NONE_SWITCHES_OFF: Final = frozenset(
    option.name
    for option in fields(SqsdOptions)
    if option.default is not None and option.metadata["check"](None) is None
)


def sqsd_options(props: SqsdProps, problems: list[str]) -> SqsdOptions | None:
    """Return the options that `props` ask for, or None if any of them cannot be used.

    Args:
        props: None means the contract's default, except for `NONE_SWITCHES_OFF`; a `Duration`
            becomes its seconds.
        problems: every problem found is appended.
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


def _literal(name: str, value: object, problems: list[str]) -> Any:
    """Return a prop as the contract writes it, or None, and a problem, if it is no literal."""
    if isinstance(value, Duration):
        return duration_seconds(name, value, problems)
    if isinstance(value, StrEnum):
        return value.value
    if isinstance(value, (list, tuple)):
        items = list(value)
        unresolved = Token.is_unresolved(items) or any(map(Token.is_unresolved, items))
        value = tuple(items)
    else:
        unresolved = Token.is_unresolved(value)
    if unresolved:
        problems.append(f"{name} {UNRESOLVED}")
        return None
    return value
