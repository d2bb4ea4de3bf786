"""The numbers on the screen, from the daemon's events."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqsd.contract import events
from tools.demo.progress import Progress, peak, percentile

WHEN = "2026-01-15T07:41:0{}.000+00:00"
FIRST_SECOND = 1_768_462_860.0


def deleted(message_id: str, second: int = 0, **more: Any) -> dict[str, Any]:
    return {
        "time": WHEN.format(second),
        "event": events.MESSAGE_DELETED,
        "message_id": message_id,
        "status": 200,
        **more,
    }


def progress_of(*lines: dict[str, Any]) -> Progress:
    progress = Progress()
    for event in lines:
        progress.note(event)
    return progress


def test_a_delete_after_200_is_an_answer_and_one_for_age_is_not() -> None:
    progress = progress_of(
        deleted("a"),
        {"event": events.MESSAGE_EXPIRED, "message_id": "b"},
        {"event": events.MESSAGE_DELETED, "message_id": "b", "time": WHEN.format(0)},
    )
    assert progress.answered == ["a"]
    assert progress.expired == {"b"}


def test_periodic_tasks_are_counted_apart_from_messages() -> None:
    progress = progress_of(
        {"event": events.CRON_ENQUEUED, "task": "task1"}, deleted("t", task="task1"), deleted("a")
    )
    assert progress.answered == ["a"]
    assert (progress.cron_fired, progress.tasks_answered) == (1, 1)


def test_each_release_is_a_retry() -> None:
    released = {"event": events.MESSAGE_RELEASED, "message_id": "a", "status": 500}
    unanswered = {"event": events.MESSAGE_RELEASED, "message_id": "b"}
    progress = progress_of(released, released, unanswered, deleted("a"))
    assert progress.retried == 3
    assert progress.failed == {500: 2, None: 1}


def test_latency_is_of_dispatches_that_failed_too() -> None:
    progress = progress_of(
        deleted("a", dispatch_seconds=0.001),
        {"event": events.MESSAGE_RELEASED, "message_id": "b", "dispatch_seconds": 0.009},
    )
    assert progress.latency(0.5) == 0.001
    assert progress.latency(0.99) == 0.009
    assert Progress().latency(0.5) is None


def test_throughput_is_of_the_last_two_seconds() -> None:
    progress = progress_of(*(deleted(str(n), second=n // 10) for n in range(50)))
    assert progress.rate(FIRST_SECOND + 4.5) == 10
    assert progress.rate(FIRST_SECOND + 60) == 0
    assert progress.peak_rate() == 10
    assert progress.average_rate(FIRST_SECOND) == 50 / 4
    assert progress.average_rate(FIRST_SECOND + 60) == 0


def test_an_unknown_event_changes_nothing() -> None:
    assert progress_of({"event": "of.another.release"}, {"no": "event"}) == Progress()


@given(st.lists(st.integers(0, 400).map(lambda tenth: tenth / 8), max_size=60).map(sorted))
def test_the_peak_is_the_fullest_window_there_is(moments: list[float]) -> None:
    windows = [sum(start <= m < start + 1 for m in moments) for start in moments]
    assert peak(moments) == max(windows, default=0)


@given(
    st.lists(st.floats(0, 10), min_size=1, max_size=60).map(sorted),
    st.sampled_from([0.01, 0.5, 0.9, 0.99, 1.0]),
)
def test_a_percentile_is_the_smallest_value_that_covers_its_share(
    values: list[float], quantile: float
) -> None:
    found = percentile(values, quantile)
    assert found in values
    assert sum(value <= found for value in values) >= quantile * len(values) - 1e-9
    smaller = [value for value in values if value < found]
    assert len(smaller) < quantile * len(values) + 1e-9


@pytest.mark.parametrize("quantile", [0.5, 1.0])
def test_nothing_has_no_percentile(quantile: float) -> None:
    assert percentile([], quantile) is None
