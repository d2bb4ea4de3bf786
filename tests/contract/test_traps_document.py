"""tests/traps.md, tests/traps-of-the-stack.md and docs/explain/threat-model.md cite tests."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
TEXT = (TESTS / "traps.md").read_text()
ROWS = re.findall(r"^\| ([0-9]+) \| (.*) \|$", TEXT, re.MULTILINE)


def test_all_fifty_traps_are_there_in_order() -> None:
    assert [int(number) for number, _ in ROWS] == list(range(1, 51))


def test_each_trap_cites_a_test_and_each_cited_test_exists() -> None:
    wrong = []
    for number, row in ROWS:
        cited = re.findall(r"`([a-z0-9_/]+\.py)::(\w+)`", row.rpartition(" | ")[2])
        if not cited:
            wrong.append(f"{number}: no test")
        for file, name in cited:
            path = TESTS / file
            defined = re.compile(rf"^(?:async )?def {name}\(|^{name} = ", re.MULTILINE)
            if not path.is_file() or not defined.search(path.read_text()):
                wrong.append(f"{number}: {file}::{name}")
    assert wrong == []


# ---- traps of provisioning, by the names of tests and files alone

STACK_ROWS = re.findall(
    r"^\| ([0-9]+) \| (.*) \|$", (TESTS / "traps-of-the-stack.md").read_text(), re.MULTILINE
)


def test_all_fifty_one_traps_of_the_stack_are_there_in_order() -> None:
    assert [int(number) for number, _ in STACK_ROWS] == list(range(1, 52))
    assert all(row.rpartition(" | ")[2].strip() for _, row in STACK_ROWS)


def test_each_test_that_a_trap_of_the_stack_cites_exists() -> None:
    files = list(TESTS.rglob("test_*.py"))
    defined = {path.name for path in files} | {
        name
        for path in files
        for name in re.findall(r"^(?:async )?def (test_\w+)\(", path.read_text(), re.MULTILINE)
    }
    cited = [
        (number, name)
        for number, row in STACK_ROWS
        for name in re.findall(r"`(?:[\w/]*/)?(test_\w+(?:\.py)?)`", row)
    ]
    assert len({number for number, _ in cited}) > 35
    assert [(number, name) for number, name in cited if name not in defined] == []


# ---- what holds whom, in docs/explain/threat-model.md, by the paths of tests and files


def test_what_the_threat_model_cites_exists() -> None:
    root = TESTS.parent
    text = (root / "docs" / "explain" / "threat-model.md").read_text()
    cited = set(re.findall(r"`([\w.-]+(?:/[\w.-]+)+\.\w+)`", text))
    assert len(cited) > 15
    assert [
        path for path in sorted(cited) if not any((d / path).is_file() for d in (TESTS, root))
    ] == []
    links = re.findall(r"\]\(([\w./-]+\.md)(?:#[\w-]+)?\)", text)
    assert [link for link in links if not (root / "docs" / "explain" / link).is_file()] == []
