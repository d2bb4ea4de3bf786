"""docs/traps.md cites tests; each must be there."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
TEXT = (TESTS.parent / "docs" / "traps.md").read_text()
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
