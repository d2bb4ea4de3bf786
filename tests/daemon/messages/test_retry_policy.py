"""What `retry_policy`, `delete_statuses` and `dead_letter_statuses` change."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqsd.contract import InvalidSettings, SqsdOptions, events
from sqsd.messages.outcome import (
    Answered,
    Broken,
    DeadLetter,
    Delete,
    Hold,
    Outcome,
    Release,
    Unreachable,
    settle,
)
from sqsd.testing.clock import in_virtual_time
from sqsd.testing.queue import Refusal
from tests.fakes.running_tier import RunningTier

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
    for count in range(1, 9):
        held = settle(Unreachable.REFUSED, options, receive_count=count)
        assert held == Hold("connection refused")
    assert seconds(Answered(429, retry_after=7), options, 5) == 7


@pytest.mark.parametrize("statuses", [("204",), ("2xx",), ("404", "204")])
def test_other_statuses_can_delete_and_200_always_does(statuses: tuple[str, ...]) -> None:
    options = SqsdOptions(delete_statuses=statuses)
    assert settle(Answered(204), options) == Delete()
    assert settle(Answered(200), options) == Delete()
    assert isinstance(settle(Answered(500), options), Release)


def test_a_status_can_dead_letter_and_other_statuses_do_not() -> None:
    options = SqsdOptions(dead_letter_statuses=("422", "410"))
    assert settle(Answered(422), options) == DeadLetter("HTTP 422")
    assert settle(Answered(410), options) == DeadLetter("HTTP 410")
    assert isinstance(settle(Answered(400), options), Release)
    others = SqsdOptions(dead_letter_statuses=("5xx",))
    for outcome in (*Broken, *Unreachable):
        assert isinstance(settle(outcome, others), Release | Hold)


def test_a_status_cannot_do_both() -> None:
    with pytest.raises(InvalidSettings, match="422 cannot be in delete_statuses and in"):
        SqsdOptions(delete_statuses=("422",), dead_letter_statuses=("422",))


# ---- a status has a delay of its own


@pytest.mark.parametrize(
    ("status", "expected"),
    [(409, 30), (404, 600), (500, 10), (503, 0), (302, 5)],
)
def test_a_status_has_its_own_delay_which_comes_before_its_classs(
    status: int, expected: int
) -> None:
    delays = ("4xx=600", "409=30", "5xx=backoff", "503=0")
    options = SqsdOptions(status_delays=delays, error_visibility_timeout=5)
    # At the second receive, so backoff has doubled error_visibility_timeout once.
    settled = settle(Answered(status), options, receive_count=2)
    assert settled == Release(expected, f"HTTP {status}")


def test_retry_after_comes_before_a_delay_and_200_still_deletes() -> None:
    options = SqsdOptions(status_delays=("2xx=30", "429=60"))
    assert settle(Answered(429, retry_after=7), options) == Release(7, "HTTP 429")
    assert settle(Answered(429), options) == Release(60, "HTTP 429")
    assert settle(Answered(200), options) == Delete()
    assert settle(Answered(204), options) == Release(30, "HTTP 204")


@pytest.mark.parametrize(
    "delay", ["409", "=30", "409=", "409=43201", "409=-1", "99=1", "409=soon", "409=1.5", 409]
)
def test_a_delay_that_is_none_is_refused(delay: object) -> None:
    with pytest.raises(InvalidSettings, match="status_delays must be a list, each a status"):
        SqsdOptions(status_delays=(delay,))  # type: ignore[arg-type]


def test_delays_that_contradict_something_are_refused_all_at_once() -> None:
    with pytest.raises(InvalidSettings) as caught:
        SqsdOptions(status_delays=("409=1", "409=2", "204=5", "200=1"), delete_statuses=("204",))
    assert len(caught.value.problems) == 3


@in_virtual_time
async def test_without_a_delay_one_message_is_not_posted_many_times_a_second() -> None:
    async with RunningTier(error_visibility_timeout=0, max_retries=100) as tier:
        tier.application.answers(500)
        sent_at = tier.clock.monotonic()
        tier.sqs.send("fails")
        await tier.clock.advance(0.5)
        assert len(tier.application.posted) == 4  # at once, as asked for
        await tier.clock.advance(9.5)
        assert 12 <= len(tier.application.posted) <= tier.clock.monotonic() - sent_at + 4


@in_virtual_time
async def test_a_dead_letter_is_logged_once_and_counts_as_no_deleted_message() -> None:
    async with RunningTier(dead_letter_statuses=("422",)) as tier:
        tier.application.answers(422)
        sent = tier.sqs.send("hopeless")
        await tier.clock.advance(2)
        assert tier.sqs.deleted == [sent]
        assert tier.log.of(events.MESSAGE_DELETED) == []
        (line,) = tier.log.of(events.MESSAGE_DEAD_LETTERED)
        assert (line["message_id"], line["status"]) == (sent, 422)


@pytest.mark.parametrize(
    ("outcome", "options"),
    [
        (Answered(500), {"error_visibility_timeout": 0}),
        (Answered(503), {"error_visibility_timeout": 0}),
        (Broken.INACTIVE, {"error_visibility_timeout": 0}),
        (Broken.UNANSWERED, {"error_visibility_timeout": 0}),
        (Answered(409), {"status_delays": ("409=0",)}),
        (Answered(409), {"status_delays": ("4xx=0",)}),
        (Answered(429, retry_after=0), {}),
        (Answered(503, retry_after=0), {}),
    ],
)
def test_no_delay_of_zero_has_a_message_posted_as_fast_as_sqs_delivers_it(
    outcome: Outcome, options: dict[str, Any]
) -> None:
    delays = []
    for receive_count in (1, 2, 3, 4, 5, 99):
        settled = settle(outcome, SqsdOptions(**options), receive_count=receive_count)
        assert isinstance(settled, Release)
        delays.append(settled.after_seconds)
    assert delays == [0, 0, 0, 1, 1, 1]


@in_virtual_time
async def test_a_dead_letter_queue_that_takes_nothing_causes_no_flood_of_posts() -> None:
    async with RunningTier(
        error_visibility_timeout=0, dead_letter_statuses=("422",), max_retries=100
    ) as tier:
        tier.sqs.fault("SendMessage", *[Refusal("AccessDenied", status=403)] * 100)
        tier.application.answers(422)
        tier.sqs.send("bad")
        await tier.clock.advance(10)
        assert len(tier.application.posted) <= 13
