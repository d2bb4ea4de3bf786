"""How many receives to have open, and for how many messages."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqsd.contract import BATCH_ENTRIES
from sqsd.messages.polling import NOTHING, Decision, Polling


@pytest.mark.parametrize(
    ("connections", "most"), [(1, 1), (5, 1), (10, 2), (11, 3), (50, 10), (100, 20)]
)
def test_receives_are_limited_by_the_connections(connections: int, most: int) -> None:
    assert Polling(connections).most == most


def test_one_poll_waits_on_an_idle_queue() -> None:
    polling = Polling(50)
    assert polling.decide(50, 0, now=0.0) == Decision(limit=10)
    assert polling.decide(40, 1, now=0.0) == NOTHING


def test_full_answers_double_the_polls_and_empty_ones_take_one_away() -> None:
    polling = Polling(100)
    targets = []
    for _ in range(5):
        polling.received(10, 10)
        targets.append(polling.target)
    assert targets == [2, 4, 8, 16, 20]
    for _ in range(22):
        polling.received(10, 0)
    assert polling.target == 1


def test_a_short_answer_changes_nothing() -> None:
    polling = Polling(100, target=4)
    polling.received(10, 3)
    assert polling.target == 4


def test_without_capacity_nothing_is_asked_for() -> None:
    assert Polling(50).decide(0, 0, now=0.0) == NOTHING
    assert Polling(50).decide(-3, 0, now=0.0) == NOTHING


def test_a_fast_application_is_not_waited_for() -> None:
    assert Polling(50).decide(3, 0, now=0.0) == Decision(limit=3)


def test_a_free_connection_waits_for_more_for_a_small_share_of_the_application_time() -> None:
    polling = Polling(50, mean_app_seconds=1.0)
    first = polling.decide(1, 0, now=10.0)
    assert first.limit == 0
    assert first.seconds == pytest.approx(0.02)
    assert polling.decide(2, 0, now=10.015).seconds == pytest.approx(0.005)
    assert polling.decide(2, 0, now=10.025) == Decision(limit=2)


def test_three_connections_are_worth_a_receive_at_once() -> None:
    assert Polling(50, mean_app_seconds=9.0).decide(3, 0, now=0.0) == Decision(limit=3)
    assert Polling(2, mean_app_seconds=9.0).decide(2, 0, now=0.0) == Decision(limit=2)


@pytest.mark.parametrize(
    ("app_seconds", "linger"),
    [(0.0099, None), (0.01, 0.001), (0.02, 0.001), (0.05, 0.001), (0.1, 0.002), (60.0, 0.25)],
)
def test_the_wait_is_a_millisecond_or_more_or_none(
    app_seconds: float, linger: float | None
) -> None:
    decision = Polling(50, mean_app_seconds=app_seconds).decide(1, 0, now=0.0)
    assert decision.seconds == (linger and pytest.approx(linger))
    assert decision.limit == (linger is None)


@given(
    connections=st.integers(1, 100),
    times=st.lists(st.floats(0, 36_000), max_size=50),
    capacity=st.integers(1, 100),
)
def test_the_linger_is_bounded_whatever_the_application(
    connections: int, times: list[float], capacity: int
) -> None:
    polling = Polling(connections)
    for seconds in times:
        polling.answered(seconds)
    first = polling.decide(capacity, 0, now=0.0)
    if first.limit == 0:
        assert first.seconds is not None
        assert 0 < first.seconds <= min(0.25, 0.1 * max(times))
        assert polling.decide(capacity, 0, now=first.seconds).limit > 0


STEPS = st.lists(
    st.tuples(st.integers(-5, 100), st.integers(0, 10), st.floats(0, 2), st.integers(0, 10)),
    max_size=60,
)


@given(connections=st.integers(1, 100), steps=STEPS)
def test_no_more_is_asked_for_than_there_is_capacity(
    connections: int, steps: list[tuple[int, int, float, int]]
) -> None:
    polling, now = Polling(connections), 0.0
    for capacity, polls, seconds, got in steps:
        now += seconds
        decision = polling.decide(capacity, polls, now)
        assert 0 <= decision.limit <= max(0, min(capacity, connections, BATCH_ENTRIES))
        assert not (decision.limit and decision.seconds)
        if polls >= polling.target:
            assert decision == NOTHING
        if decision.limit:
            polling.received(decision.limit, min(got, decision.limit))
        polling.answered(seconds)
        assert 1 <= polling.target <= polling.most
