"""The reference names every option, header and event of the contract."""

from __future__ import annotations

from dataclasses import Field, fields
from pathlib import Path
from typing import Any

import pytest

from sqsd import contract
from sqsd.contract import SqsdOptions, events

REFERENCE = Path(__file__).resolve().parents[2] / "docs" / "reference"


def page(name: str) -> str:
    return (REFERENCE / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("option", fields(SqsdOptions), ids=lambda option: str(option.name))
def test_every_option_has_a_row_with_its_range_and_meaning(option: Field[Any]) -> None:
    name, metadata = option.name, option.metadata
    rows = [row for row in page("options.md").splitlines() if row.startswith(f"| `{name}` |")]
    assert len(rows) == 1
    assert metadata["meaning"] in rows[0]
    allowed = metadata["check"](object())
    assert allowed in rows[0]
    assert f"`{metadata['eb_name']}`" in rows[0] or metadata["eb_name"] is None


@pytest.mark.parametrize("header", contract.EXTRA_HEADERS)
def test_every_extra_header_has_a_row(header: str) -> None:
    assert f"| `{header}` |" in page("headers.md")


def test_every_event_has_a_row() -> None:
    text = page("events.md")
    names = [
        value
        for name, value in vars(events).items()
        if name.isupper() and isinstance(value, str) and "." in value
    ]
    assert len(names) > 20
    assert [event for event in names if f"| `{event}` |" not in text] == []
