"""Numbers, and the page that Prometheus reads; judged by Prometheus's own parser."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from sqsd.observe.metrics import (
    APP_BOUNDS,
    COUNTERS,
    OTHER_REASON,
    STATUS_CLASSES,
    Histogram,
    Levels,
    Metrics,
    QueueLevels,
)
from sqsd.observe.prometheus import CONTENT_TYPE, QueueSeries, exposition

LEVELS = Levels(
    in_flight=3,
    gate_open=True,
    draining=False,
    leader=True,
    poll_age=1.25,
    uptime=61.5,
    last_cron_send_age=12.0,
    log_lines_dropped=4,
    leader_for=90.5,
)


def families(metrics: Metrics, levels: Levels = LEVELS) -> dict[str, Metric]:
    page = exposition(metrics, levels, "1.2.3")
    return {family.name: family for family in text_string_to_metric_families(page)}


def sample(family: Metric, suffix: str = "", **labels: str) -> float:
    found = [
        s.value for s in family.samples if s.name == family.name + suffix and s.labels == labels
    ]
    assert len(found) == 1, (family.name, suffix, labels, family.samples)
    return float(found[0])


@given(values=st.lists(st.floats(0, 1e6)))
def test_a_histogram_loses_no_observation_and_each_lies_below_its_bound(
    values: list[float],
) -> None:
    histogram = Histogram(APP_BOUNDS)
    for value in values:
        histogram.observe(value)
    assert histogram.count == len(values)
    assert histogram.total == pytest.approx(math.fsum(values))
    assert histogram.highest == max(values, default=0.0)
    for position, bound in enumerate(APP_BOUNDS):
        assert sum(histogram.counts[: position + 1]) == sum(value <= bound for value in values)


def test_every_counter_is_on_the_page_with_its_value_and_meaning() -> None:
    metrics = Metrics()
    for number, (attribute, _, _) in enumerate(COUNTERS, start=1):
        setattr(metrics, attribute, number)
    found = families(metrics)
    for number, (_, name, meaning) in enumerate(COUNTERS, start=1):
        family = found[f"sqsd_{name}"]
        assert family.type == "counter"
        assert family.documentation == meaning
        assert sample(family, "_total") == number


def test_every_count_of_the_model_is_on_the_page() -> None:
    # What is counted and shown nowhere explains nothing; `released` is the sum over its reasons.
    counted = {name for name in Metrics.__slots__ if isinstance(getattr(Metrics(), name), int)}
    assert counted == {attribute for attribute, _, _ in COUNTERS} | {"released"}


def test_levels_are_gauges() -> None:
    found = families(Metrics())
    for name, value in {
        "in_flight": 3,
        "gate_open": 1,
        "draining": 0,
        "leader": 1,
        "poll_age_seconds": 1.25,
        "uptime_seconds": 61.5,
        "last_cron_send_age_seconds": 12,
        "leader_for_seconds": 90.5,
    }.items():
        assert found[f"sqsd_{name}"].type == "gauge"
        assert sample(found[f"sqsd_{name}"]) == value
    assert sample(found["sqsd_log_lines_dropped"], "_total") == 4
    assert sample(found["sqsd_build_info"], version="1.2.3") == 1


def test_what_has_not_happened_yet_has_no_age() -> None:
    levels = Levels(0, False, False, False, 0.0, 0.0, None, 0)
    found = families(Metrics(), levels)
    assert not {"sqsd_last_cron_send_age_seconds", "sqsd_leader_for_seconds"} & found.keys()


def test_each_of_several_queues_has_series_of_its_own_and_the_sums_stay() -> None:
    both, first, second = Metrics(), Metrics(), Metrics()
    for metrics in (both, first):
        metrics.deleted = 3
        metrics.app[2].observe(0.02)
    both.deleted += 1
    second.deleted = 1
    queues = [
        QueueSeries("first", first, QueueLevels(2, 1.5)),
        QueueSeries('se"cond', second, QueueLevels(0, 30.0)),
    ]
    page = exposition(both, LEVELS, "1", queues)
    found = {family.name: family for family in text_string_to_metric_families(page)}
    assert sample(found["sqsd_messages_deleted"], "_total") == 4
    of_queues = found["sqsd_queue_messages_deleted"]
    assert sample(of_queues, "_total", queue="first") == 3
    assert sample(of_queues, "_total", queue='se"cond') == 1
    assert sample(found["sqsd_queue_in_flight"], queue="first") == 2
    assert sample(found["sqsd_queue_poll_age_seconds"], queue='se"cond') == 30
    assert sample(found["sqsd_queue_app_seconds"], "_count", queue="first", status="2xx") == 1
    assert "sqsd_queue" not in exposition(both, LEVELS, "1")


def test_application_time_is_counted_by_class_of_status() -> None:
    metrics = Metrics()
    for status_class, label in enumerate(STATUS_CLASSES):
        for _ in range(status_class + 1):
            metrics.app[status_class].observe(0.02)
        family = families(metrics)["sqsd_app_seconds"]
        assert family.type == "histogram"
        count = status_class + 1
        assert sample(family, "_count", status=label) == count
        assert sample(family, "_sum", status=label) == pytest.approx(0.02 * count)
        assert sample(family, "_bucket", status=label, le="0.01") == 0
        assert sample(family, "_bucket", status=label, le="0.025") == count
        assert sample(family, "_bucket", status=label, le="+Inf") == count


@given(values=st.lists(st.floats(0, 1e5), max_size=30))
def test_buckets_on_the_page_grow_up_to_the_count(values: list[float]) -> None:
    metrics = Metrics()
    for value in values:
        metrics.dwell.observe(value)
    family = families(metrics)["sqsd_dwell_seconds"]
    buckets = [s.value for s in family.samples if s.name.endswith("_bucket")]
    assert buckets == sorted(buckets)
    assert buckets[-1] == sample(family, "_count") == len(values)


def test_a_reason_with_quotes_and_line_ends_stays_one_label() -> None:
    metrics = Metrics()
    reason = 'a "quoted" \\ one\nof two lines'
    metrics.release(reason)
    metrics.release(reason)
    family = families(metrics)["sqsd_messages_released"]
    assert sample(family, "_total", reason=reason) == 2


def test_reasons_cannot_grow_without_bound() -> None:
    metrics = Metrics()
    for number in range(5_000):
        metrics.release(f"reason {number}")
    assert metrics.released == sum(metrics.releases.values()) == 5_000
    assert len(metrics.releases) <= 601
    assert metrics.releases[OTHER_REASON] > 4_000


def test_the_page_announces_the_format_it_is_in() -> None:
    assert CONTENT_TYPE == "text/plain; version=0.0.4; charset=utf-8"
