"""Why the benchmark, or one of its rows, cannot run."""

from __future__ import annotations


class BenchError(Exception):
    """Ends the benchmark; its text is all that the user sees."""


class NotMeasured(Exception):
    """A client cannot be run here; its row says why, and holds no figure."""
