"""The arithmetic behind the tables."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools.bench.bars import BARS, Bar, Verdict, cpu_ratio, judge
from tools.bench.figures import (
    Comparison,
    Mark,
    Sample,
    compare,
    growth_bytes_per_message,
    medians,
    percentile,
    span,
    waits,
)
from tools.bench.scenarios import scenarios, soak


def mark(deleted: float, at: float, *, cpu: float = 0.0, resident_kb: float = 0.0) -> Mark:
    return Mark(deleted=deleted, at=at, server_cpu=at / 2, cpu=cpu, resident_kb=resident_kb)


def test_a_span_is_the_difference_of_its_marks() -> None:
    measured = span(mark(1_000, 10.0, cpu=2.0), mark(21_000, 14.0, cpu=3.5))
    assert measured.cpu_ms_per_thousand == pytest.approx(75.0)
    assert measured.messages_per_second == pytest.approx(5_000)
    assert measured.queue_busy == pytest.approx(0.5)


@given(st.lists(st.floats(0, 1e6), min_size=1), st.floats(1, 100))
def test_a_percentile_is_one_of_the_values_and_that_share_does_not_exceed_it(
    values: list[float], percent: float
) -> None:
    found = percentile(values, percent)
    assert found in values
    assert sum(value <= found for value in values) >= len(values) * percent / 100
    assert sum(value < found for value in values) <= len(values) * percent / 100


def test_a_message_that_never_arrived_has_no_wait() -> None:
    assert waits([1.0, 2.0, 0.0], [1.5, 0.0, 0.0]) == [0.5]


def test_medians_are_taken_figure_by_figure_and_leave_out_what_no_run_has() -> None:
    middle = medians([Sample(cpu_ms=1, rate=30), Sample(cpu_ms=9, rate=10), Sample(cpu_ms=2)])
    assert (middle.cpu_ms, middle.rate, middle.p99_ms) == (2, 20, None)


def test_a_leak_of_a_hundred_bytes_a_message_shows_as_that() -> None:
    marks = [mark(n, n, resident_kb=40_000 + n * 100 / 1024) for n in range(1_000, 21_000, 1_000)]
    assert growth_bytes_per_message(marks) == pytest.approx(100)


def test_memory_that_only_grows_while_the_daemon_warms_up_is_no_leak() -> None:
    marks = [
        mark(n, n, resident_kb=30_000 if n < 4_000 else 40_000) for n in range(1_000, 21_000, 1_000)
    ]
    assert growth_bytes_per_message(marks) == pytest.approx(0, abs=1e-6)


def test_a_ratio_to_a_client_that_was_not_measured_is_no_figure_and_no_bar_is_met_by_it() -> None:
    assert cpu_ratio("wrk")({"sqsd": Sample(cpu_ms=50)}, "sqsd") is None
    bar = Bar("instant", "anything", cpu_ratio("wrk"))
    verdict = Verdict(bar, "sqsd", None)
    assert not verdict.met
    assert verdict.text == "not measured"


def test_every_measured_row_of_the_daemon_is_held_against_its_scenarios_bars() -> None:
    rows = {"wrk": Sample(cpu_ms=10), "sqsd": Sample(cpu_ms=81, rate=9_000)}
    verdicts = {v.bar.text: v.text for v in judge({"instant": rows}, ("sqsd", "sqsd-fast"))}
    assert verdicts["CPU at most 8 x wrk's for the same POSTs"] == "NOT met"
    assert verdicts["at least 8,000 messages/s on one core"] == "met"
    assert verdicts["CPU at most 1/6 of a boto3 + urllib3 thread pool"] == "not measured"


def test_every_bar_belongs_to_a_scenario_that_there_is() -> None:
    known = {s.name for s in [*scenarios(quick=False), soak(1)]}
    assert {bar.scenario for bar in BARS} <= known


def test_two_checkouts_are_compared_run_by_run() -> None:
    here = [Sample(cpu_ms=60), Sample(cpu_ms=120), Sample(cpu_ms=66)]  # the second hour was slow
    there = [Sample(cpu_ms=60), Sample(cpu_ms=100), Sample(cpu_ms=60)]
    compared = compare(here, there)
    assert compared == Comparison(ratio=1.1, low=1.0, high=1.2, runs=3)
    assert "1.100 x the other checkout's" in compared.text


def test_runs_without_cpu_are_not_compared() -> None:
    assert compare([Sample(rate=1)], [Sample(rate=2)]) is None
