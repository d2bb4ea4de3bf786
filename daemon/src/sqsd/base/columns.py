"""Formats rows as columns for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from sqsd.base.printable import printable


def table(rows: Sequence[tuple[str, ...]]) -> str:
    """Return the rows as left-aligned columns, two blanks apart, with `printable` cells.

    Raises:
        ValueError: a row has more or fewer cells than the first.
    """
    shown = [tuple(map(printable, row)) for row in rows]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in shown
    )
    return "\n".join(lines) + "\n"
