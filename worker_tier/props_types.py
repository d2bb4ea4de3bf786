"""Checks that every prop has a name and a type that its group lists, before anything reads it.

`worker_tier.props` is the only list: the types are those that it declares, and
`worker_tier.type_checks` compares values with them.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, TypeVar, cast, get_type_hints

from worker_tier.props import name_problems
from worker_tier.type_checks import members, type_problems

_Group = TypeVar("_Group", bound=Mapping[str, Any])


def checked_props(given: _Group, taken: type[Any], construct: str, problems: list[str]) -> _Group:
    """Return the props that are listed and have a listed type.

    The others are left out, so that the checks after this one can run; nothing may be built then.

    Args:
        given: the props that were given. None has no type: it means the default.
        taken: the TypedDict that lists the construct's props.
        construct: the construct's class, by name.
        problems: appended are a problem for each unknown name, for each prop that is missing, for
            each value of another type, and for each field of another type within a value.
    """
    problems += name_problems(given, taken, construct)
    usable: dict[str, Any] = {}
    # To mypy a class object of type[Any] is not hashable, which a cache needs.
    for name, declared in declared_types(cast(Any, taken)).items():
        value = given.get(name)
        found = [] if value is None else list(type_problems(name, value, declared))
        problems += found
        if name in given and not found:
            usable[name] = value
    # Every key and value is one of `given`.
    return cast(_Group, usable)


@cache
def declared_types(group: type[Any]) -> Mapping[str, tuple[Any, ...]]:
    """Return the types that a group lists for each of its props, without None."""
    return {
        name: tuple(one for one in members(hint) if one is not type(None))
        for name, hint in get_type_hints(group).items()
    }
