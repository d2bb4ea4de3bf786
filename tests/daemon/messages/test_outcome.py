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
    Hold,
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


@pytest.mark.parametrize("outcome", Unreachable)
@pytest.mark.parametrize("delay", [None, 0, 30])
@pytest.mark.parametrize("policy", ["eb", "backoff"])
def test_a_message_that_met_no_application_is_held(
    outcome: Unreachable, delay: int | None, policy: str
) -> None:
    options = SqsdOptions(error_visibility_timeout=delay, retry_policy=policy)
    assert settle(outcome, options, receive_count=9) == Hold(outcome.value)


@pytest.mark.parametrize("outcome", [*map(Answered, (502, 503)), Broken.UNANSWERED])
def test_a_sign_of_no_application_is_a_failure_like_any_unless_that_is_proven(
    outcome: Answered | Broken,
) -> None:
    reason = outcome.value if isinstance(outcome, Broken) else f"HTTP {outcome.status}"
    options = SqsdOptions(error_visibility_timeout=30)
    assert settle(outcome, SqsdOptions()) == Release(None, reason, unless_down=True)
    assert settle(outcome, options) == Release(30, reason, unless_down=True)


@pytest.mark.parametrize("outcome", [*map(Answered, (500, 504)), Broken.CLOSED, Broken.INACTIVE])
def test_no_other_failure_is_a_sign_of_no_application(outcome: Answered | Broken) -> None:
    settled = settle(outcome, SqsdOptions())
    assert isinstance(settled, Release)
    assert (settled.after_seconds, settled.unless_down) == (None, False)


@given(outcome=OUTCOMES)
def test_only_no_connection_and_a_proxys_statuses_concern_the_application(outcome: Outcome) -> None:
    proxy = isinstance(outcome, Answered) and outcome.status in (502, 503)
    silent = outcome is Broken.UNANSWERED
    assert is_application_down(outcome) == (proxy or silent or isinstance(outcome, Unreachable))
