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
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from sqsd.contract import events
from sqsd.observe.metrics import QUEUE_COUNTERS, STATUS_CLASSES, Histogram, Levels, Metrics
from sqsd.observe.prometheus import QueueSeries

#: EB's own, where its alarms and dashboards look (EB developer guide, "Basic health reporting").
HEALTH_NAMESPACE: Final = "ElasticBeanstalk/SQSD"
HEALTH_METRIC: Final = "Health"
HEALTH_DIMENSION: Final = "EnvironmentName"
TIER_DIMENSION: Final = "TierName"
#: Besides, with several queues: what is each one's has both dimensions.
QUEUE_DIMENSION: Final = "QueueName"
_MOST_VALUES: Final = 100
#: Metrics by name, each with its unit.
_Values = dict[str, tuple[str, float | list[float]]]

_COUNTS: Final = (
    ("MessagesReceived", "received"),
    ("MessagesDeleted", "deleted"),
    ("MessagesReleased", "released"),
    ("MessagesDeadLettered", "dead_lettered"),
    ("MessagesExpired", "expired"),
    ("MessagesDuplicate", "duplicates"),
    ("MessagesOverdue", "overdue"),
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
    ("LoopLag", "loop_lag"),
    ("CronLateBy", "cron_late"),
)
_QUEUE_DURATIONS: Final = ("Dwell", "ReceiveToDispatch", "DeleteTime")


@dataclass(slots=True)
class _Account:
    """The counts of one `Metrics` as of the line before, for the difference."""

    counts: dict[str, int] = field(default_factory=dict)
    durations: dict[str, tuple[int, ...]] = field(default_factory=dict)

    def since(self, name: str, count: int) -> int:
        """What has come to a count since it was last asked for."""
        before, self.counts[name] = self.counts.get(name, 0), count
        return count - before

    def sample(self, name: str, histogram: Histogram) -> list[float]:
        """Values for what was observed since then; see `sampled`."""
        now = tuple(histogram.counts)
        before = self.durations.get(name, (0,) * len(now))
        self.durations[name] = now
        return sampled(histogram, [new - old for new, old in zip(now, before, strict=True)])


class EmfReport:
    """Makes the lines; keeps what was reported, for the difference.

    Args:
        namespace: of the tier's metrics.
        tier_name: value of the dimension `TierName`, and of EB's `EnvironmentName`.
    """

    def __init__(self, namespace: str, tier_name: str) -> None:
        self._namespace, self._tier_name = namespace, tier_name
        self._account, self._queues = _Account(), dict[str, _Account]()
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
        """The lines for now, without ends; `at` in epoch seconds.

        Args:
            healthy: the application's port accepts and the queue was polled within 3 minutes.
            queues: with several, a line more for each.
        """
        tier = {TIER_DIMENSION: self._tier_name}
        health = self._line(
            HEALTH_NAMESPACE,
            {HEALTH_DIMENSION: self._tier_name},
            {HEALTH_METRIC: ("None", 1 if healthy else 0)},
            at,
        )
        return [
            self._line(self._namespace, tier, self._values(metrics, levels), at),
            *(
                self._line(
                    self._namespace, {**tier, QUEUE_DIMENSION: q.name}, self._of_queue(q), at
                )
                for q in queues
            ),
            health,
        ]

    def _values(self, metrics: Metrics, levels: Levels) -> _Values:
        account = self._account
        values: _Values = {
            name: ("Count", account.since(name, getattr(metrics, attribute)))
            for name, attribute in _COUNTS
        }
        dropped = account.since("LogLinesDropped", levels.log_lines_dropped)
        values["LogLinesDropped"] = ("Count", dropped)
        values["InFlight"] = ("Count", levels.in_flight)
        values["GateOpen"] = ("None", int(levels.gate_open))
        values["Leader"] = ("None", int(levels.leader))
        values["PollAge"] = ("Seconds", round(levels.poll_age, 3))
        if levels.leader_for is not None:
            values["LeaderFor"] = ("Seconds", round(levels.leader_for, 3))
        if levels.last_cron_send_age is not None:
            values["LastCronSendAge"] = ("Seconds", round(levels.last_cron_send_age, 3))
        return {**values, **_durations(account, _histograms(metrics))}

    def _of_queue(self, queue: QueueSeries) -> _Values:
        account = self._queues.setdefault(queue.name, _Account())
        values: _Values = {
            name: ("Count", account.since(name, getattr(queue.metrics, attribute)))
            for name, attribute in _COUNTS
            if attribute in (*QUEUE_COUNTERS, "released")
        }
        values["InFlight"] = ("Count", queue.levels.in_flight)
        values["PollAge"] = ("Seconds", round(queue.levels.poll_age, 3))
        histograms = {
            name: histogram
            for name, histogram in _histograms(queue.metrics).items()
            if name in _QUEUE_DURATIONS or name.startswith("AppTime")
        }
        return {**values, **_durations(account, histograms)}

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
                # As every line of ours has them, so that who reads events can pass these over.
                "time": datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds"),
                "event": events.METRICS_REPORTED,
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


def _durations(account: _Account, histograms: Mapping[str, Histogram]) -> _Values:
    """Those of which something was observed."""
    samples = ((name, account.sample(name, found)) for name, found in histograms.items())
    return {name: ("Seconds", sample) for name, sample in samples if sample}
