"""Capped doubling: the wait after a number of failures in a row."""

from __future__ import annotations

from typing import Final

#: Doublings after which every wait here has reached its cap; it keeps the power of two small.
_MOST_DOUBLINGS: Final = 30


def doubled(first_seconds: float, failures: int, longest_seconds: float) -> float:
    """Return `first_seconds`, doubled `failures` times, but at most `longest_seconds`.

    Args:
        failures: failures before this one; 0 gives `first_seconds`.
    """
    return min(first_seconds * 2.0 ** min(failures, _MOST_DOUBLINGS), longest_seconds)
