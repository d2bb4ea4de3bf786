"""The limits of `make check` that no linter has, each held against code that passes it."""

from __future__ import annotations

import ast
from textwrap import dedent

import pytest

from tools.sizes import Sizes, measure, packed_assignments


def tree(text: str) -> ast.Module:
    return ast.parse(dedent(text))


def function(lines: int) -> str:
    return "def f():\n" + "    pass\n" * (lines - 1)


def sizes(**changed: float) -> Sizes:
    figures: dict[str, float] = {"median_lines": 8, "p90_lines": 25, "arguments": 8}
    figures |= changed
    return Sizes(functions=100, longest_lines=50, widest="Widest", **figures)  # type: ignore[arg-type]


def test_functions_are_measured_from_def_to_their_end() -> None:
    measured = measure([tree(function(3) + function(5)), tree(function(10))])
    assert measured.functions == 3
    assert measured.median_lines == 5
    assert measured.longest_lines == 10


def test_the_arguments_of_the_widest_constructor_count_without_self() -> None:
    measured = measure(
        [
            tree("""
            class Narrow:
                def __init__(self, a): ...
            class Wide:
                def __init__(self, a, /, b, *, c, **more): ...
                def other(self, a, b, c, d, e): ...
            """)
        ]
    )
    assert (measured.arguments, measured.widest) == (3, "Wide")


def test_what_is_at_its_limit_is_no_problem() -> None:
    assert sizes().problems == []


@pytest.mark.parametrize("figure", ["median_lines", "p90_lines", "arguments"])
def test_what_passes_its_limit_is_one(figure: str) -> None:
    (problem,) = sizes(**{figure: 26}).problems
    assert "26" in problem


@pytest.mark.parametrize(
    ("statement", "packs"),
    [
        ("self.a, self.b = a, b", True),
        ("self.a, b = 1, 2", True),
        ("self.a, self.b = self.b, self.a", False),
        ("self.a, self.b = pair", False),
        ("a, b = 1, 2", False),
        ("self.a = 1, 2", False),
    ],
)
def test_attributes_are_assigned_one_a_statement(statement: str, packs: bool) -> None:
    assert packed_assignments(tree(statement)) == ([1] if packs else [])
