"""Cuts a text written outside this process, before it is logged or shown."""

from __future__ import annotations


def shortened(text: str, longest: int) -> str:
    """Return `text`, cut to `longest` characters, with three dots at the end if it was cut."""
    return text if len(text) <= longest else text[: longest - 3] + "..."
