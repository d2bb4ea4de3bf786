"""Errors of the embedded AWS, as messages: what happened, and the hint."""

from __future__ import annotations

from pathlib import Path


class LocalAwsError(Exception):
    """The embedded AWS, or a program run against it, failed."""


def tail(log: Path, lines: int = 20) -> str:
    """The last `lines` lines of a log, indented for a message; says so when there are none."""
    try:
        text = log.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        return f"  (no log: {error})"
    lines_with_text = [line for line in text.splitlines() if line.strip()][-lines:]
    return "\n".join(f"  {line}" for line in lines_with_text) or f"  ({log} is empty)"
