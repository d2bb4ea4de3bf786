"""Range checks of single props: the value if it can be used, or None and a problem."""

from __future__ import annotations

from typing import Final

from aws_cdk import Duration, Token

#: Why a prop must be a literal; follows the prop's name.
UNRESOLVED: Final = (
    "is known only when the stack is deployed, but it is checked and rendered at synth; give a"
    " literal value"
)

#: Periods below a minute that CloudWatch has, s.
_SHORT_PERIODS: Final = (1, 5, 10, 30)


def duration_seconds(name: str, value: object, problems: list[str]) -> int | None:
    """Return a duration in whole seconds, or None, and append a problem, if it has none."""
    if not isinstance(value, Duration):
        problems.append(f"{name} must be a Duration, got {value!r}; pass Duration.seconds(...)")
        return None
    if value.is_unresolved():
        problems.append(f"{name} {UNRESOLVED}")
        return None
    seconds = value.to_seconds(integral=False)
    if seconds != int(seconds):
        problems.append(f"{name} must be whole seconds, got {seconds} s; round it")
        return None
    return int(seconds)


def literal_count(name: str, value: object, low: int, high: int, problems: list[str]) -> int | None:
    """Return `value` if it is a whole number in range, or None, and append a problem."""
    if Token.is_unresolved(value):
        problems.append(f"{name} {UNRESOLVED}")
    elif not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        problems.append(f"{name} must be a whole number from {low} to {high}, got {value!r}")
    else:
        return value
    return None


def in_range(name: str, value: object, low: int, high: int, problems: list[str]) -> None:
    """Append a problem unless `value` is None or a whole number in range."""
    if value is not None:
        literal_count(name, value, low, high, problems)


def seconds_in_range(
    name: str, value: Duration | None, low: int, high: int, problems: list[str]
) -> int | None:
    """Return a duration in whole seconds, or None if it is None or unusable."""
    if value is None:
        return None
    seconds = duration_seconds(name, value, problems)
    return None if seconds is None else literal_count(f"{name} (s)", seconds, low, high, problems)


def period_problems(period: Duration | None) -> list[str]:
    """Return why CloudWatch has no such period of a metric."""
    problems: list[str] = []
    seconds = None if period is None else duration_seconds("period", period, problems)
    if seconds is not None and seconds not in _SHORT_PERIODS and (seconds < 60 or seconds % 60):
        problems.append(
            f"period must be 1, 5, 10, 30 or a multiple of 60 seconds, got {seconds} s; round it"
        )
    return problems


def surrogate_problem(name: str, text: str) -> str | None:
    """Return why a text cannot be written as UTF-8 (it has half a character), or None if it can."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        half = text[error.start : error.end]
        return (
            f"{name} must be text that UTF-8 can have, got {half!r} in {text[:80]!r}; write the"
            " character itself"
        )
    return None
