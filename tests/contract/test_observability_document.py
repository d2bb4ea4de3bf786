"""docs/observability.md, held against the metrics that are printed."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from sqsd.contract.metrics import HEALTH_METRIC, HEALTH_NAMESPACE
from sqsd.observe.emf import EmfReport
from sqsd.observe.metrics import Histogram, Levels, Metrics, QueueLevels
from sqsd.observe.prometheus import QueueSeries, exposition

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "observability.md"
TEXT = DOCUMENT.read_text()
ROWS = re.findall(r"^\| (`[^|]*`) \| (\w+) \| (.*) \|$", TEXT, re.MULTILINE)
LEVELS = Levels(
    in_flight=0,
    gate_open=True,
    draining=False,
    leader=True,
    poll_age=0.0,
    uptime=0.0,
    last_cron_send_age=1.0,
    log_lines_dropped=0,
    leader_for=1.0,
)
#: One of several queues.
QUEUES = [QueueSeries("work", Metrics(), QueueLevels(0, 0.0))]


def prometheus_rows() -> list[str]:
    """The first table; on a failure, copy it from the message."""
    page = exposition(Metrics(), LEVELS, "1", QUEUES)
    meanings = dict(re.findall(r"^# HELP (\S+) (.*)$", page, re.MULTILINE))
    kinds = re.findall(r"^# TYPE (\S+) (.*)$", page, re.MULTILINE)
    return [f"| `{name}` | {kind} | {meanings[name]} |" for name, kind in kinds]


def printed_metrics() -> dict[str, str]:
    """Every metric of a CloudWatch line with its unit, durations that are absent at first too."""
    metrics = Metrics()
    histograms = [value for name in Metrics.__slots__ if (value := getattr(metrics, name))]
    for histogram in (*metrics.app, *histograms):
        if isinstance(histogram, Histogram):
            histogram.observe(0.01)
    line = EmfReport("WorkerTier", "tier").lines(metrics, LEVELS, healthy=True, at=0.0)[0]
    (directive,) = json.loads(line)["_aws"]["CloudWatchMetrics"]
    return {metric["Name"]: metric["Unit"] for metric in directive["Metrics"]}


def test_every_metric_for_prometheus_is_documented_with_its_kind_and_meaning() -> None:
    rows = prometheus_rows()
    assert len(rows) > 30
    documented = [f"| {name} | {kind} | {meaning} |" for name, kind, meaning in ROWS]
    missing = [row for row in rows if row not in documented]
    assert not missing, "\n".join(missing)
    gone = [row for row in documented if row.startswith("| `sqsd_") and row not in rows]
    assert not gone, "\n".join(gone)


def test_every_metric_for_cloudwatch_is_documented_with_its_unit() -> None:
    documented = {
        name: unit
        for names, unit, _ in ROWS
        for name in re.findall(r"`(\w+)`", names)
        if not name.startswith("sqsd_")
    }
    assert documented == printed_metrics()


@pytest.mark.parametrize("word", [HEALTH_METRIC, HEALTH_NAMESPACE])
def test_elastic_beanstalks_health_metric_is_documented(word: str) -> None:
    assert f"`{word}`" in TEXT
