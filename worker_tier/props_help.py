"""The descriptions of a construct's props, for `help(WorkerTier)` and its parts."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import pairwise
from textwrap import TextWrapper
from typing import Any

from worker_tier import props


def with_props(docstring: str | None, taken: type[Any]) -> str | None:
    """Return a docstring followed by every prop of a construct with its description.

    It is read from the source, since Python drops the text below a key when it compiles. Without
    the source, or with docstrings switched off (-OO), the docstring is returned as it is.

    Args:
        taken: the TypedDict of `worker_tier.props` that lists the construct's props.
    """
    if docstring is None:
        return None
    try:
        groups = _groups()
    except OSError:
        return docstring
    wrapper = TextWrapper(
        width=96,
        initial_indent="    ",
        subsequent_indent="        ",
        break_long_words=False,
        break_on_hyphens=False,
    )
    lines = [wrapper.fill(f"{name}: {text}") for name, text in _described(taken.__name__, groups)]
    return "\n".join([inspect.cleandoc(docstring), "", "Props:", *lines, ""])


@cache
def _groups() -> Mapping[str, ast.ClassDef]:
    """Return the syntax trees of the groups of props, by name.

    Raises:
        OSError: the source is not there.
    """
    module = ast.parse(inspect.getsource(props))
    return {node.name: node for node in module.body if isinstance(node, ast.ClassDef)}


def _described(group: str, groups: Mapping[str, ast.ClassDef]) -> Iterator[tuple[str, str]]:
    """Yield each prop of a group, and of the groups in it, with the text below it."""
    for key, below in pairwise(groups[group].body):
        match key, below:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                yield name, inspect.cleandoc(text)
    for base in groups[group].bases:
        if isinstance(base, ast.Name) and base.id in groups:
            yield from _described(base.id, groups)
