"""Constants of a module with the descriptions that stand below them.

They are read from the source without importing it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import griffe

ROOT: Final = Path(__file__).resolve().parents[2]
SEARCH_PATHS: Final = (ROOT, ROOT / "daemon" / "src")


class Undescribed(ValueError):
    """A constant has no description, so no page can be generated."""


@dataclass(frozen=True, kw_only=True)
class Constant:
    """A constant whose value is a text. `description` is on one line."""

    name: str
    value: str
    description: str


def described_constants(module: str) -> Iterator[Constant]:
    """Return the constants of a module that are texts and have a description, in their order."""
    for attribute in _attributes(module):
        if (value := _text(attribute)) is not None and attribute.docstring is not None:
            described = " ".join(attribute.docstring.value.split())
            yield Constant(name=attribute.name, value=value, description=described)


def need_descriptions(module: str, *prefixes: str, containing: str = "") -> None:
    """Check that every constant of a kind has a description.

    Args:
        prefixes: how the names of that kind begin; none for any name.
        containing: what the values of that kind contain.

    Raises:
        Undescribed: some have none; the text names them.
    """
    missing = [
        attribute.name
        for attribute in _attributes(module)
        if attribute.name.startswith(prefixes or ("",))
        and containing in (_text(attribute) or "\0")
        and attribute.docstring is None
    ]
    if missing:
        raise Undescribed(f"{module}: {', '.join(missing)} has no description; write one below it")


def read_module(module: str) -> griffe.Module:
    """Return a module of this repository, read from its source alone."""
    for path in SEARCH_PATHS:
        file = path.joinpath(*module.split(".")).with_suffix(".py")
        if file.is_file():
            code = file.read_text(encoding="utf-8")
            return griffe.visit(module.rpartition(".")[2], filepath=file, code=code)
    raise FileNotFoundError(f"there is no module {module} in {', '.join(map(str, SEARCH_PATHS))}")


def _attributes(module: str) -> Iterator[griffe.Attribute]:
    for member in read_module(module).members.values():
        if isinstance(member, griffe.Attribute) and not member.name.startswith("_"):
            yield member


def _text(attribute: griffe.Attribute) -> str | None:
    try:
        value = ast.literal_eval(str(attribute.value))
    except (SyntaxError, ValueError):
        return None
    return value if isinstance(value, str) else None
