"""Embedded metric lines, checked against the rules of CloudWatch's specification."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqsd.observe.emf import EmfReport, sampled
from sqsd.observe.metrics import APP_BOUNDS, Histogram, Levels, Metrics, QueueLevels
from sqsd.observe.prometheus import QueueSeries

AT = 1_767_225_600.5
UNITS = {"Seconds", "Count", "None"}


def levels(**changes: Any) -> Levels:
    values: dict[str, Any] = {
        "in_flight": 2,
        "gate_open": True,
        "draining": False,
        "leader": False,
        "poll_age": 0.5,
        "uptime": 60.0,
        "last_cron_send_age": None,
        "log_lines_dropped": 0,
    }
    return Levels(**{**values, **changes})


def metrics_in(line: str) -> tuple[str, dict[str, str], dict[str, Any]]:
    """Namespace, dimensions and metrics that CloudWatch takes from a line; fails where it would."""
    assert "\n" not in line
    assert len(line.encode()) < 256 * 1024
    document = json.loads(line)
    assert isinstance(document["_aws"]["Timestamp"], int)
    (directive,) = document["_aws"]["CloudWatchMetrics"]
    assert set(directive) == {"Namespace", "Dimensions", "Metrics"}
    assert re.fullmatch(r"[A-Za-z0-9._/#:-]{1,255}", directive["Namespace"])
    (names,) = directive["Dimensions"]
    assert len(names) <= 30
    dimensions = {name: document[name] for name in names}
    assert all(isinstance(value, str) and 0 < len(value) <= 1024 for value in dimensions.values())
    assert 0 < len(directive["Metrics"]) <= 100
    metrics = {}
    for definition in directive["Metrics"]:
        assert definition["Unit"] in UNITS
        value = document[definition["Name"]]
        for number in value if isinstance(value, list) else [value]:
            assert isinstance(number, int | float)
            assert not isinstance(number, bool)
        if isinstance(value, list):
            assert 0 < len(value) <= 100
        metrics[definition["Name"]] = value
    return directive["Namespace"], dimensions, metrics


def test_the_tier_has_its_metrics_in_its_own_namespace_and_dimension() -> None:
    metrics = Metrics()
    metrics.deleted = 7
    lines = EmfReport("WorkerTier", "orders").lines(metrics, levels(), healthy=True, at=AT)
    namespace, dimensions, found = metrics_in(lines[0])
    assert (namespace, dimensions) == ("WorkerTier", {"TierName": "orders"})
    assert found["MessagesDeleted"] == 7
    assert found["InFlight"] == 2
    assert found["GateOpen"] == 1
    assert json.loads(lines[0])["_aws"]["Timestamp"] == 1_767_225_600_500


@pytest.mark.parametrize("healthy", [True, False])
def test_health_is_where_elastic_beanstalk_has_it(healthy: bool) -> None:
    lines = EmfReport("WorkerTier", "orders").lines(Metrics(), levels(), healthy=healthy, at=AT)
    namespace, dimensions, found = metrics_in(lines[1])
    assert namespace == "ElasticBeanstalk/SQSD"
    assert dimensions == {"EnvironmentName": "orders"}
    assert found == {"Health": int(healthy)}


@given(steps=st.lists(st.integers(0, 50), min_size=1, max_size=8))
def test_counts_are_of_the_time_since_the_line_before(steps: list[int]) -> None:
    metrics, report, total = Metrics(), EmfReport("WorkerTier", "orders"), 0
    for step in steps:
        metrics.deleted += step
        _, _, found = metrics_in(report.lines(metrics, levels(), healthy=True, at=AT)[0])
        assert found["MessagesDeleted"] == step
        total += found["MessagesDeleted"]
    assert total == metrics.deleted


def test_durations_are_reported_once_and_absent_when_there_were_none() -> None:
    metrics, report = Metrics(), EmfReport("WorkerTier", "orders")
    metrics.app[2].observe(0.02)
    metrics.app[5].observe(4.0)
    metrics.dwell.observe(0.3)
    _, _, found = metrics_in(report.lines(metrics, levels(), healthy=True, at=AT)[0])
    assert found["AppTime2xx"] == [0.025]
    assert found["AppTime5xx"] == [5.0]
    assert found["Dwell"] == [0.5]
    assert "AppTime4xx" not in found
    _, _, later = metrics_in(report.lines(metrics, levels(), healthy=True, at=AT)[0])
    assert "AppTime2xx" not in later


def test_the_age_of_the_last_cron_send_is_reported_once_there_was_one() -> None:
    report = EmfReport("WorkerTier", "orders")
    _, _, before = metrics_in(report.lines(Metrics(), levels(), healthy=True, at=AT)[0])
    sent = levels(last_cron_send_age=30.0, leader=True)
    _, _, after = metrics_in(report.lines(Metrics(), sent, healthy=True, at=AT)[0])
    assert "LastCronSendAge" not in before
    assert after["LastCronSendAge"] == 30.0
    assert (before["Leader"], after["Leader"]) == (0, 1)


def test_how_long_this_process_leads_is_reported_while_it_does() -> None:
    report = EmfReport("WorkerTier", "orders")
    leading = levels(leader=True, leader_for=61.25)
    _, _, during = metrics_in(report.lines(Metrics(), leading, healthy=True, at=AT)[0])
    _, _, after = metrics_in(report.lines(Metrics(), levels(), healthy=True, at=AT)[0])
    assert during["LeaderFor"] == 61.25
    assert "LeaderFor" not in after


def test_each_of_several_queues_has_a_line_with_its_name_as_a_dimension() -> None:
    both, own, report = Metrics(), Metrics(), EmfReport("WorkerTier", "orders")
    both.deleted = 9
    own.deleted = 4
    own.released = 1
    own.app[5].observe(0.2)
    queues = [
        QueueSeries("mail", own, QueueLevels(1, 2.0)),
        QueueSeries("slow", Metrics(), QueueLevels(0, 0.0)),
    ]
    lines = report.lines(both, levels(), healthy=True, at=AT, queues=queues)
    assert len(lines) == 4
    assert metrics_in(lines[0])[1:2] == ({"TierName": "orders"},)
    namespace, dimensions, mail = metrics_in(lines[1])
    assert (namespace, dimensions) == ("WorkerTier", {"TierName": "orders", "QueueName": "mail"})
    assert (mail["MessagesDeleted"], mail["MessagesReleased"], mail["InFlight"]) == (4, 1, 1)
    assert mail["AppTime5xx"] == [0.25]
    assert "CronEnqueued" not in mail
    own.deleted += 2
    again = report.lines(both, levels(), healthy=True, at=AT, queues=queues)
    assert metrics_in(again[1])[2]["MessagesDeleted"] == 2
    assert metrics_in(again[2])[2]["MessagesDeleted"] == 0


@given(counts=st.lists(st.integers(0, 10_000), min_size=17, max_size=17))
def test_a_sample_is_short_keeps_every_bucket_and_its_order(counts: list[int]) -> None:
    histogram = Histogram(APP_BOUNDS)
    histogram.highest = 5_000.0
    values = sampled(histogram, counts)
    bounds = (*APP_BOUNDS, 5_000.0)
    assert len(values) <= 100
    assert values == sorted(values)
    assert set(values) == {bound for bound, n in zip(bounds, counts, strict=True) if n}
    if sum(counts) <= 100:
        assert len(values) == sum(counts)
