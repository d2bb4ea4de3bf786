"""Metrics as CloudWatch's embedded metric format: JSON lines that CloudWatch Logs turns to metrics.

No permission to put metrics is needed, and no call is made: whoever ships standard output to a log
group ships the metrics. Source: CloudWatch user guide, "Specification: Embedded metric format".

Counts are of the time since the line before, so `Sum` over instances and minutes is right; levels
are as of now. Durations are lists of values, at most 100 as the format allows, taken from histogram
buckets: each value is its bucket's upper bound, so percentiles are exact to a bucket.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from sqsd import logs
from sqsd.core.metrics import STATUS_CLASSES, Histogram, Levels, Metrics

#: EB's own, where its alarms and dashboards look (EB developer guide, "Basic health reporting").
HEALTH_NAMESPACE: Final = "ElasticBeanstalk/SQSD"
HEALTH_METRIC: Final = "Health"
HEALTH_DIMENSION: Final = "EnvironmentName"
TIER_DIMENSION: Final = "TierName"
_MOST_VALUES: Final = 100

_COUNTS: Final = (
    ("MessagesReceived", "received"),
    ("MessagesDeleted", "deleted"),
    ("MessagesReleased", "released"),
    ("MessagesDeadLettered", "dead_lettered"),
    ("MessagesExpired", "expired"),
    ("MessagesDuplicate", "duplicates"),
    ("DeletesFailed", "delete_failed"),
    ("Retries", "retries"),
    ("Heartbeats", "heartbeats"),
    ("HeartbeatsFailed", "heartbeats_failed"),
    ("ReceiveErrors", "receives_failed"),
    ("CronEnqueued", "cron_enqueued"),
    ("CronRepaired", "cron_repaired"),
    ("CronMissed", "cron_missed"),
    ("CronFailed", "cron_failed"),
    ("CronSuppressed", "cron_suppressed"),
    ("Defects", "defects"),
)
_DURATIONS: Final = (
    ("Dwell", "dwell"),
    ("ReceiveToDispatch", "dispatch"),
    ("DeleteTime", "delete"),
    ("CronLateBy", "cron_late"),
)


@dataclass(frozen=True, slots=True)
class _Seen:
    """The counts as of the line before."""

    counts: Mapping[str, int]
    durations: Mapping[str, Sequence[int]]
    log_lines_dropped: int


class EmfReport:
    """Makes the lines; keeps what was reported, for the difference.

    Args:
        namespace: of the tier's metrics.
        tier_name: value of the dimension `TierName`, and of EB's `EnvironmentName`.
    """

    def __init__(self, namespace: str, tier_name: str) -> None:
        self._namespace, self._tier_name = namespace, tier_name
        self._seen = _see(Metrics(), 0)
        self._encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode

    def lines(self, metrics: Metrics, levels: Levels, *, healthy: bool, at: float) -> list[str]:
        """The lines for now, without ends; `at` in epoch seconds.

        Args:
            healthy: the application's port accepts and the queue was polled within 3 minutes.
        """
        health = self._line(
            HEALTH_NAMESPACE,
            {HEALTH_DIMENSION: self._tier_name},
            {HEALTH_METRIC: ("None", 1 if healthy else 0)},
            at,
        )
        now = _see(metrics, levels.log_lines_dropped)
        values = self._values(metrics, levels, now)
        self._seen = now
        return [
            self._line(self._namespace, {TIER_DIMENSION: self._tier_name}, values, at),
            health,
        ]

    def _values(
        self, metrics: Metrics, levels: Levels, now: _Seen
    ) -> dict[str, tuple[str, float | list[float]]]:
        seen = self._seen
        values: dict[str, tuple[str, float | list[float]]] = {
            name: ("Count", now.counts[attribute] - seen.counts[attribute])
            for name, attribute in _COUNTS
        }
        values["LogLinesDropped"] = ("Count", now.log_lines_dropped - seen.log_lines_dropped)
        values["InFlight"] = ("Count", levels.in_flight)
        values["GateOpen"] = ("None", int(levels.gate_open))
        values["Leader"] = ("None", int(levels.leader))
        values["PollAge"] = ("Seconds", round(levels.poll_age, 3))
        if levels.last_cron_send_age is not None:
            values["LastCronSendAge"] = ("Seconds", round(levels.last_cron_send_age, 3))
        for name, histogram in _histograms(metrics).items():
            counts = [
                new - old
                for new, old in zip(now.durations[name], seen.durations[name], strict=True)
            ]
            sample = sampled(histogram, counts)
            if sample:
                values[name] = ("Seconds", sample)
        return values

    def _line(
        self,
        namespace: str,
        dimensions: Mapping[str, str],
        values: Mapping[str, tuple[str, Any]],
        at: float,
    ) -> str:
        directive = {
            "Namespace": namespace,
            "Dimensions": [list(dimensions)],
            "Metrics": [{"Name": name, "Unit": unit} for name, (unit, _) in values.items()],
        }
        return self._encode(
            {
                # As every line of ours has them, so that who reads events can pass these over.
                "time": datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds"),
                "event": logs.METRICS_REPORTED,
                "_aws": {"Timestamp": int(at * 1000), "CloudWatchMetrics": [directive]},
                **dimensions,
                **{name: value for name, (_, value) in values.items()},
            }
        )


def sampled(histogram: Histogram, counts: Sequence[int]) -> list[float]:
    """At most 100 values that stand for the observations in `counts`, in their proportions.

    No bucket with an observation is left out, so the slowest is always seen.
    """
    total = sum(counts)
    occupied = sum(1 for count in counts if count)
    bounds = (*histogram.bounds, max(histogram.highest, histogram.bounds[-1]))
    values: list[float] = []
    for bound, count in zip(bounds, counts, strict=True):
        if count:
            share = (
                count if total <= _MOST_VALUES else 1 + count * (_MOST_VALUES - occupied) // total
            )
            values += [bound] * share
    return values


def _histograms(metrics: Metrics) -> dict[str, Histogram]:
    by_class = {
        f"AppTime{label.capitalize()}": histogram
        for label, histogram in zip(STATUS_CLASSES, metrics.app, strict=True)
    }
    return {name: getattr(metrics, attribute) for name, attribute in _DURATIONS} | by_class


def _see(metrics: Metrics, log_lines_dropped: int) -> _Seen:
    return _Seen(
        {attribute: getattr(metrics, attribute) for _, attribute in _COUNTS},
        {name: tuple(histogram.counts) for name, histogram in _histograms(metrics).items()},
        log_lines_dropped,
    )
