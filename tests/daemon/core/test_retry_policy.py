"""What `retry_policy`, `delete_statuses` and `dead_letter_statuses` change."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqsd.contract import InvalidSettings, SqsdOptions
from sqsd.core.dispatch import (
    Answered,
    Broken,
    DeadLetter,
    Delete,
    Outcome,
    Release,
    Unreachable,
    settle,
)

FAILURES: st.SearchStrategy[Outcome] = st.one_of(
    st.builds(Answered, st.sampled_from([201, 302, 400, 404, 500])), st.sampled_from(Broken)
)


def seconds(outcome: Outcome, options: SqsdOptions, count: int, jitter: float = 1.0) -> int:
    settled = settle(outcome, options, receive_count=count, jitter=jitter)
    assert isinstance(settled, Release)
    assert settled.after_seconds is not None
    return settled.after_seconds


@pytest.mark.parametrize(
    ("first", "expected"),
    [(None, [2, 4, 8, 16, 32, 64]), (30, [30, 60, 120, 240, 480, 960])],
)
def test_backoff_doubles_with_each_receive(first: int | None, expected: list[int]) -> None:
    options = SqsdOptions(retry_policy="backoff", error_visibility_timeout=first)
    assert [seconds(Answered(500), options, count) for count in range(1, 7)] == expected


@given(
    outcome=FAILURES,
    first=st.none() | st.integers(0, 43_200),
    count=st.integers(0, 10_000),
    jitter=st.floats(0, 1),
)
def test_backoff_is_never_beyond_an_hour_nor_below_a_second(
    outcome: Outcome, first: int | None, count: int, jitter: float
) -> None:
    options = SqsdOptions(retry_policy="backoff", error_visibility_timeout=first)
    after = seconds(outcome, options, count, jitter)
    assert 1 <= after <= 3_600
    assert after >= seconds(outcome, options, count) // 2  # jitter takes a half at the most


def test_what_says_nothing_about_the_message_does_not_wait_longer_and_longer() -> None:
    options = SqsdOptions(retry_policy="backoff")
    assert {seconds(Unreachable.REFUSED, options, count) for count in range(1, 9)} == {1}
    assert seconds(Answered(429, retry_after=7), options, 5) == 7


@pytest.mark.parametrize("statuses", [("204",), ("2xx",), ("404", "204")])
def test_other_statuses_can_delete_and_200_always_does(statuses: tuple[str, ...]) -> None:
    options = SqsdOptions(delete_statuses=statuses)
    assert settle(Answered(204), options) == Delete()
    assert settle(Answered(200), options) == Delete()
    assert isinstance(settle(Answered(500), options), Release)


def test_a_status_can_bury_and_others_do_not() -> None:
    options = SqsdOptions(dead_letter_statuses=("422", "410"))
    assert settle(Answered(422), options) == DeadLetter("HTTP 422")
    assert settle(Answered(410), options) == DeadLetter("HTTP 410")
    assert isinstance(settle(Answered(400), options), Release)
    for outcome in (*Broken, *Unreachable):
        assert isinstance(settle(outcome, SqsdOptions(dead_letter_statuses=("5xx",))), Release)


def test_a_status_cannot_do_both() -> None:
    with pytest.raises(InvalidSettings, match="422 cannot be in delete_statuses and in"):
        SqsdOptions(delete_statuses=("422",), dead_letter_statuses=("422",))
