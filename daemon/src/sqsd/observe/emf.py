"""Formats metrics in CloudWatch's embedded metric format: JSON lines on standard output.

CloudWatch Logs extracts the metrics from the lines, so the daemon makes no call and needs no
permission. Source: CloudWatch user guide, "Specification: Embedded metric format".

A count covers the time since the previous report, so `Sum` over instances and minutes is correct. A
level is a value of now. A duration is a list of values, at most 100 as the format allows, sampled
from a histogram: each value is the upper bound of its bucket, so percentiles are exact to a bucket.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from sqsd.contract import events
from sqsd.contract import metrics as names
from sqsd.observe.metrics import QUEUE_COUNTERS, Histogram, Levels, Metrics
from sqsd.observe.prometheus import QueueSeries

#: Most values that one metric may have in a line.
_MOST_VALUES: Final = 100
#: Metric name -> unit, and a number or a list of values.
_Values = dict[str, tuple[str, float | list[float]]]

#: Metrics that are counts, each with its attribute of `Metrics`.
_COUNTS: Final = (
    (names.MESSAGES_RECEIVED, "received"),
    (names.MESSAGES_DELETED, "deleted"),
    (names.MESSAGES_RELEASED, "released"),
    (names.MESSAGES_DEAD_LETTERED, "dead_lettered"),
    (names.MESSAGES_EXPIRED, "expired"),
    (names.MESSAGES_DUPLICATE, "duplicates"),
    (names.MESSAGES_OVERDUE, "overdue"),
    (names.DELETES_FAILED, "delete_failed"),
    (names.RETRIES, "retries"),
    (names.HEARTBEATS, "heartbeats"),
    (names.HEARTBEATS_FAILED, "heartbeats_failed"),
    (names.RECEIVE_ERRORS, "receives_failed"),
    (names.CRON_ENQUEUED, "cron_enqueued"),
    (names.CRON_REPAIRED, "cron_repaired"),
    (names.CRON_MISSED, "cron_missed"),
    (names.CRON_FAILED, "cron_failed"),
    (names.CRON_SUPPRESSED, "cron_suppressed"),
    (names.DEFECTS, "defects"),
)
#: Metrics that are durations, each with its attribute of `Metrics`; application times apart.
_DURATIONS: Final = (
    (names.DWELL, "dwell"),
    (names.RECEIVE_TO_DISPATCH, "dispatch"),
    (names.DELETE_TIME, "delete"),
    (names.LOOP_LAG, "loop_lag"),
    (names.CRON_LATE_BY, "cron_late"),
)
#: Durations that each of several queues has.
_QUEUE_DURATIONS: Final = frozenset(
    {names.DWELL, names.RECEIVE_TO_DISPATCH, names.DELETE_TIME, *names.APP_TIMES}
)


@dataclass(slots=True)
class _Reported:
    """Remembers what the previous report said of one `Metrics`, for the difference."""

    counts: dict[str, int] = field(default_factory=dict)
    durations: dict[str, tuple[int, ...]] = field(default_factory=dict)

    def since(self, name: str, count: int) -> int:
        """Return by how much a count has grown since the previous report."""
        before = self.counts.get(name, 0)
        self.counts[name] = count
        return count - before

    def sample(self, name: str, histogram: Histogram) -> list[float]:
        """Return values for what was observed since the previous report; see `sampled`."""
        now = tuple(histogram.counts)
        before = self.durations.get(name, (0,) * len(now))
        self.durations[name] = now
        return sampled(histogram, [new - old for new, old in zip(now, before, strict=True)])


class EmfReport:
    """Implements `report.Report`: makes the lines of each report.

    Args:
        namespace: CloudWatch namespace of the tier's metrics.
        tier_name: value of the dimension `TierName`, and of EB's `EnvironmentName`.
    """

    def __init__(self, namespace: str, tier_name: str) -> None:
        self._namespace = namespace
        self._tier_name = tier_name
        self._reported = _Reported()
        self._queues: dict[str, _Reported] = {}
        self._encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode

    def lines(
        self,
        metrics: Metrics,
        levels: Levels,
        *,
        healthy: bool,
        at: float,
        queues: Sequence[QueueSeries] = (),
    ) -> list[str]:
        """Return the lines of a report, without line feeds.

        Args:
            metrics: the process's counts.
            levels: the process's levels.
            healthy: whether the application's port accepts connections and the queue was polled
                within 3 minutes.
            at: the time of the report, epoch seconds.
            queues: each queue where there are several; each adds a line.
        """
        tier = {names.TIER_DIMENSION: self._tier_name}
        health = self._line(
            names.HEALTH_NAMESPACE,
            {names.HEALTH_DIMENSION: self._tier_name},
            {names.HEALTH_METRIC: ("None", 1 if healthy else 0)},
            at,
        )
        return [
            self._line(self._namespace, tier, self._values(metrics, levels), at),
            *(
                self._line(
                    self._namespace,
                    {**tier, names.QUEUE_DIMENSION: q.name},
                    self._queue_values(q),
                    at,
                )
                for q in queues
            ),
            health,
        ]

    def _values(self, metrics: Metrics, levels: Levels) -> _Values:
        reported = self._reported
        values: _Values = {
            name: ("Count", reported.since(name, getattr(metrics, attribute)))
            for name, attribute in _COUNTS
        }
        dropped = reported.since(names.LOG_LINES_DROPPED, levels.log_lines_dropped)
        values[names.LOG_LINES_DROPPED] = ("Count", dropped)
        values[names.IN_FLIGHT] = ("Count", levels.in_flight)
        values[names.GATE_OPEN] = ("None", int(levels.gate_open))
        values[names.LEADER] = ("None", int(levels.leader))
        values[names.POLL_AGE] = ("Seconds", round(levels.poll_age, 3))
        if levels.leader_for is not None:
            values[names.LEADER_FOR] = ("Seconds", round(levels.leader_for, 3))
        if levels.last_cron_send_age is not None:
            values[names.LAST_CRON_SEND_AGE] = ("Seconds", round(levels.last_cron_send_age, 3))
        return {**values, **_durations(reported, _histograms(metrics))}

    def _queue_values(self, queue: QueueSeries) -> _Values:
        reported = self._queues.setdefault(queue.name, _Reported())
        values: _Values = {
            name: ("Count", reported.since(name, getattr(queue.metrics, attribute)))
            for name, attribute in _COUNTS
            if attribute in (*QUEUE_COUNTERS, "released")
        }
        values[names.IN_FLIGHT] = ("Count", queue.levels.in_flight)
        values[names.POLL_AGE] = ("Seconds", round(queue.levels.poll_age, 3))
        histograms = {
            name: histogram
            for name, histogram in _histograms(queue.metrics).items()
            if name in _QUEUE_DURATIONS
        }
        return {**values, **_durations(reported, histograms)}

    def _line(
        self,
        namespace: str,
        dimensions: Mapping[str, str],
        values: _Values,
        at: float,
    ) -> str:
        directive = {
            "Namespace": namespace,
            "Dimensions": [list(dimensions)],
            "Metrics": [{"Name": name, "Unit": unit} for name, (unit, _) in values.items()],
        }
        return self._encode(
            {
                # Every line has a time and an event, so a reader of events can skip this one.
                "time": datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds"),
                "event": events.METRICS_REPORTED,
                "_aws": {"Timestamp": int(at * 1000), "CloudWatchMetrics": [directive]},
                **dimensions,
                **{name: value for name, (_, value) in values.items()},
            }
        )


def sampled(histogram: Histogram, counts: Sequence[int]) -> list[float]:
    """Return at most 100 values that represent the observations in `counts`, in proportion.

    Every bucket with an observation is represented, so the slowest one always shows.
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
    by_class = dict(zip(names.APP_TIMES, metrics.app, strict=True))
    return {name: getattr(metrics, attribute) for name, attribute in _DURATIONS} | by_class


def _durations(reported: _Reported, histograms: Mapping[str, Histogram]) -> _Values:
    """Return the durations that have an observation since the previous report."""
    samples = ((name, reported.sample(name, found)) for name, found in histograms.items())
    return {name: ("Seconds", sample) for name, sample in samples if sample}
