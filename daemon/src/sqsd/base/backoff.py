"""Doubles the wait after each failure in a row, up to a cap."""

from __future__ import annotations

from typing import Final

#: Doublings after which every wait of the daemon has reached its cap; bounds the power of two.
_MOST_DOUBLINGS: Final = 30


def doubled(first_seconds: float, failures: int, longest_seconds: float) -> float:
    """Return `first_seconds`, doubled `failures` times, but at most `longest_seconds`.

    Args:
        failures: failures before this one; 0 gives `first_seconds`.
    """
    return min(first_seconds * 2.0 ** min(failures, _MOST_DOUBLINGS), longest_seconds)
