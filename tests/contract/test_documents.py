"""Documents that list parts of the contract, compared with it."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from sqsd import contract
from sqsd.contract import SqsdOptions, events

DOCS = Path(__file__).resolve().parents[2] / "docs"


def _shown(default: Any) -> str:
    match default:
        case None | ():
            return "none"
        case bool():
            return str(default).lower()
        case str():
            return f"`{default}`"
        case _:
            return str(default)


def option_rows() -> list[str]:
    """The table of docs/configuration.md; on a failure, copy it from the message."""
    rows = []
    for option in fields(SqsdOptions):
        allowed = option.metadata["check"](object())
        eb_name = option.metadata["eb_name"]
        name = f"`{eb_name}`" if eb_name else "-"
        rows.append(
            f"| `{option.name}` | {name} | {_shown(option.default)} | {allowed} |"
            f" {option.metadata['meaning']} |"
        )
    return rows


def test_every_option_is_documented_with_its_default_and_range() -> None:
    text = (DOCS / "configuration.md").read_text()
    missing = [row for row in option_rows() if row not in text]
    assert not missing, "\n".join(missing)


@pytest.mark.parametrize("header", contract.EXTRA_HEADERS)
def test_every_extra_header_is_documented(header: str) -> None:
    assert f"`{header}`" in (DOCS / "configuration.md").read_text()


def test_every_event_is_documented() -> None:
    text = (DOCS / "operations.md").read_text()
    names = [
        value
        for name, value in vars(events).items()
        if name.isupper() and isinstance(value, str) and "." in value
    ]
    assert len(names) > 20
    missing = [event for event in names if f"`{event}`" not in text]
    assert not missing
