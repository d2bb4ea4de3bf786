"""What becomes of a message once its request ended."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqsd.contract import SqsdOptions
from sqsd.messages.outcome import (
    LONGEST_VISIBILITY,
    Answered,
    Broken,
    Delete,
    Outcome,
    Release,
    Unreachable,
    is_application_down,
    settle,
)

STATUSES = st.integers(100, 599)
ANSWERS = st.builds(Answered, STATUSES, st.none() | st.integers(0, 10**9))
OUTCOMES: st.SearchStrategy[Outcome] = st.one_of(
    ANSWERS, st.sampled_from(Unreachable), st.sampled_from(Broken)
)
DELAYS = st.none() | st.integers(0, LONGEST_VISIBILITY)


@given(outcome=OUTCOMES, delay=DELAYS)
def test_a_message_is_deleted_on_200_and_on_nothing_else(
    outcome: Outcome, delay: int | None
) -> None:
    settled = settle(outcome, SqsdOptions(error_visibility_timeout=delay))
    is_200 = isinstance(outcome, Answered) and outcome.status == 200
    assert (settled == Delete()) == is_200


@given(outcome=OUTCOMES, delay=DELAYS)
def test_a_release_hides_for_no_longer_than_sqs_allows(outcome: Outcome, delay: int | None) -> None:
    settled = settle(outcome, SqsdOptions(error_visibility_timeout=delay))
    if isinstance(settled, Release) and settled.after_seconds is not None:
        assert 0 <= settled.after_seconds <= LONGEST_VISIBILITY


@pytest.mark.parametrize("delay", [None, 0, 30])
@pytest.mark.parametrize(
    "outcome",
    [*map(Answered, (201, 202, 204, 206, 301, 304, 400, 404, 429, 500, 501, 505)), *Broken],
)
def test_a_failure_uses_error_visibility_timeout_of_which_unset_is_not_zero(
    outcome: Outcome, delay: int | None
) -> None:
    settled = settle(outcome, SqsdOptions(error_visibility_timeout=delay))
    assert isinstance(settled, Release)
    assert settled.after_seconds == delay
    assert settled.reason


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("delay", [None, 30])
def test_retry_after_on_429_and_503_comes_first(status: int, delay: int | None) -> None:
    options = SqsdOptions(error_visibility_timeout=delay)
    assert settle(Answered(status, 7), options) == Release(7, f"HTTP {status}")
    assert settle(Answered(status, 99_999), options) == Release(43_200, f"HTTP {status}")


def test_retry_after_means_nothing_on_other_statuses() -> None:
    assert settle(Answered(500, 7), SqsdOptions()) == Release(None, "HTTP 500")


@pytest.mark.parametrize("outcome", [*Unreachable, *map(Answered, (502, 503, 504))])
def test_a_message_that_met_no_application_comes_back_soon(outcome: Outcome) -> None:
    reason = outcome.value if isinstance(outcome, Unreachable) else f"HTTP {outcome.status}"  # type: ignore[union-attr]
    assert settle(outcome, SqsdOptions()) == Release(1, reason)
    assert settle(outcome, SqsdOptions(error_visibility_timeout=30)) == Release(30, reason)
    backoff = SqsdOptions(retry_policy="backoff")
    assert settle(outcome, backoff, receive_count=9) == Release(1, reason)


@given(outcome=OUTCOMES)
def test_only_no_connection_and_a_proxys_statuses_concern_the_application(outcome: Outcome) -> None:
    proxy = isinstance(outcome, Answered) and outcome.status in (502, 503, 504)
    assert is_application_down(outcome) == (proxy or isinstance(outcome, Unreachable))
