"""The descriptions of a tier's props, for `help(WorkerTier)`."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator, Mapping
from itertools import pairwise
from textwrap import TextWrapper

from worker_tier import props


def with_props(docstring: str | None) -> str | None:
    """Return a docstring followed by every prop of a tier with its description.

    It is read from the source, since Python drops the text below a key when it compiles. Without
    the source, or with docstrings switched off (-OO), the docstring is returned as it is.
    """
    if docstring is None:
        return None
    try:
        module = ast.parse(inspect.getsource(props))
    except OSError:
        return docstring
    groups = {node.name: node for node in module.body if isinstance(node, ast.ClassDef)}
    wrapper = TextWrapper(
        width=96,
        initial_indent="    ",
        subsequent_indent="        ",
        break_long_words=False,
        break_on_hyphens=False,
    )
    lines = [
        wrapper.fill(f"{name}: {text}")
        for name, text in _described(props.TierProps.__name__, groups)
    ]
    return "\n".join([inspect.cleandoc(docstring), "", "Props:", *lines, ""])


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
