"""What the constructs read. Who may import whom is in pyproject.toml, for `lint-imports`."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import worker_tier

ROOT = Path(worker_tier.__file__).parent


def names(source: Path) -> Iterator[str]:
    """Every name, attribute and imported name of a file."""
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.alias(name=name):
                yield from name.split(".")


@pytest.mark.parametrize(
    "source", sorted(ROOT.rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT))
)
def test_nothing_reads_the_environment_but_the_app(source: Path) -> None:
    assert not {"environ", "getenv", "try_get_context"} & set(names(source))
