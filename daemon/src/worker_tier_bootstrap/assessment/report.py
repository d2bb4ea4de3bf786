"""Makes the findings about a source bundle: one of three outcomes for each part of it."""

from __future__ import annotations

from collections.abc import Collection

from worker_tier_bootstrap.beanstalk.findings import NOWHERE, Finding, Outcome, Place


def effect(message: str, file: str = "") -> Finding:
    """Report a part of the bundle that works as in Elastic Beanstalk."""
    return Finding(outcome=Outcome.HONOURED, message=message, place=Place(file=file))


def warning(message: str, hint: str, file: str = "", *, place: Place = NOWHERE) -> Finding:
    """Report a part of the bundle that works differently, or not at all."""
    return Finding(
        outcome=Outcome.PASSED_OVER,
        message=message,
        hint=hint,
        place=place if place != NOWHERE else Place(file=file),
        loses=True,
    )


def refusal(message: str, hint: str, file: str = "", *, place: Place = NOWHERE) -> Finding:
    """Report a part of the bundle because of which it cannot be used."""
    return Finding(
        outcome=Outcome.REFUSED,
        message=message,
        hint=hint,
        place=place if place != NOWHERE else Place(file=file),
    )


def some(names: Collection[str], most: int = 3) -> str:
    """Return the first names of many, and how many there are."""
    ordered = sorted(names)
    shown = ", ".join(name[:120] for name in ordered[:most])
    rest = len(ordered) - most
    return f"{shown} and {rest} more" if rest > 0 else shown
