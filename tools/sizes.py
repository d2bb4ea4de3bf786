"""`python -m tools.sizes`: measures functions and constructors, and holds them against our limits.

Prints a row for each package. The exit code is 1 when a limit is passed: the median and the ninth
decile of the lines of a function, the arguments of a constructor, or an assignment that packs
several attributes into one statement (`self.a, self.b = a, b`), in any Python file.
"""

from __future__ import annotations

import argparse
import ast
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
#: Packages whose functions are measured.
PACKAGES: Final = ("daemon/src/sqsd", "daemon/src/worker_tier_bootstrap", "worker_tier")
#: Where no attributes are packed.
FOLDERS: Final = ("daemon/src", "worker_tier", "tools", "examples", "tests")
#: Most lines of a function, from `def` to its end, docstring included: median and ninth decile.
MEDIAN_LINES: Final = 8
P90_LINES: Final = 25
#: Most arguments of a constructor beside `self`.
CONSTRUCTOR_ARGUMENTS: Final = 8

_Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Sizes:
    """The sizes of one package. `widest` is the constructor with the most arguments."""

    functions: int
    median_lines: float
    p90_lines: float
    longest_lines: int
    arguments: int
    widest: str

    @property
    def problems(self) -> list[str]:
        """Each limit that is passed, as a sentence."""
        found = []
        if self.median_lines > MEDIAN_LINES:
            found.append(
                f"the median function has {self.median_lines:g} lines, at most {MEDIAN_LINES}"
            )
        if self.p90_lines > P90_LINES:
            found.append(
                f"one function in ten has over {self.p90_lines:g} lines, at most {P90_LINES}"
            )
        if self.arguments > CONSTRUCTOR_ARGUMENTS:
            found.append(
                f"the constructor of {self.widest} takes {self.arguments} arguments,"
                f" at most {CONSTRUCTOR_ARGUMENTS}"
            )
        return found


def measure(trees: Iterable[ast.Module]) -> Sizes:
    """Measure the functions of some modules, of which at least two must have one."""
    trees = list(trees)
    lines = sorted(_lines(node) for tree in trees for node in _functions(tree))
    constructors = [found for tree in trees for found in _constructors(tree)]
    arguments, widest = max(constructors, default=(0, ""))
    return Sizes(
        functions=len(lines),
        median_lines=median(lines),
        p90_lines=quantiles(lines, n=10, method="inclusive")[-1],
        longest_lines=lines[-1],
        arguments=arguments,
        widest=widest,
    )


def packed_assignments(tree: ast.Module) -> list[int]:
    """Lines that give several attributes, each its own value, in one statement. Swaps may."""
    return [node.lineno for node in ast.walk(tree) if isinstance(node, ast.Assign) and _packs(node)]


def _packs(node: ast.Assign) -> bool:
    if not isinstance(node.value, ast.Tuple):
        return False
    values = sorted(ast.unparse(value) for value in node.value.elts)
    return any(
        isinstance(target, ast.Tuple)
        and any(isinstance(part, ast.Attribute) for part in target.elts)
        and sorted(ast.unparse(part) for part in target.elts) != values
        for target in node.targets
    )


def _functions(tree: ast.AST) -> Iterator[_Function]:
    return (node for node in ast.walk(tree) if isinstance(node, _Function))


def _lines(function: _Function) -> int:
    assert function.end_lineno is not None
    return function.end_lineno - function.lineno + 1


def _constructors(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Arguments beside `self` and the class, for each `__init__`. Generated ones do not count."""
    for owner in ast.walk(tree):
        if isinstance(owner, ast.ClassDef):
            for node in owner.body:
                if isinstance(node, _Function) and node.name == "__init__":
                    taken = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
                    yield len(taken) - 1, owner.name


def _trees(folder: str) -> Iterator[tuple[Path, ast.Module]]:
    for path in sorted((ROOT / folder).rglob("*.py")):
        if "node_modules" not in path.parts:
            yield path.relative_to(ROOT), ast.parse(path.read_text(encoding="utf-8"))


def main(packages: Sequence[str] = PACKAGES, folders: Sequence[str] = FOLDERS) -> int:
    """Print a row for each package and every problem; the exit code is 1 if there is one."""
    problems = []
    for package in packages:
        sizes = measure(tree for _, tree in _trees(package))
        print(
            f"{package}: {sizes.functions} functions of {sizes.median_lines:g} lines (median),"
            f" {sizes.p90_lines:g} (p90), {sizes.longest_lines} (longest);"
            f" constructors of {sizes.arguments} arguments at most ({sizes.widest})"
        )
        problems += [f"{package}: {problem}" for problem in sizes.problems]
    for folder in folders:
        for path, tree in _trees(folder):
            problems += [
                f"{path}:{line}: several attributes in one assignment; write one a line"
                for line in packed_assignments(tree)
            ]
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    argparse.ArgumentParser(prog="python -m tools.sizes", description=main.__doc__).parse_args()
    sys.exit(main())
