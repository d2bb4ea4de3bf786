"""Elastic Beanstalk's scaling trigger: one metric of the instances, two thresholds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from worker_tier.ranges import literal_count
from worker_tier.type_checks import example
from worker_tier_bootstrap.beanstalk.values import MEASURES, STATISTICS, longest_alarm_seconds

#: Limits of a period, min, and of the number of periods that an alarm evaluates.
_MOST_MINUTES: Final = 600
_MOST_PERIODS: Final = 600


@example("Side(threshold=..., increment=...)")
@dataclass(frozen=True, kw_only=True)
class Side:
    """A threshold, and the change of the fleet beyond it.

    Args:
        threshold: value of the metric.
        increment: instances to add, or percent of them; negative to remove.
        percent: whether `increment` is in percent.
    """

    threshold: float
    increment: int
    percent: bool = False


@example("Trigger(metric_name=...)")
@dataclass(frozen=True, kw_only=True)
class Trigger:
    """The options of `aws:autoscaling:trigger`, with their defaults (EB developer guide).

    Args:
        unit: unit of the metric. Default: the one that EC2 publishes it with; no other ever fires.
    """

    metric_name: str = "NetworkOut"
    statistic: str = "Average"
    unit: str | None = None
    period_minutes: int = 5
    evaluation_periods: int = 1
    upper: Side = Side(threshold=6_000_000, increment=1)
    lower: Side = Side(threshold=2_000_000, increment=-1)

    @property
    def metric_unit(self) -> str:
        """The unit in which an alarm finds the metric."""
        return self.unit or MEASURES[self.metric_name]

    @property
    def period_seconds(self) -> int:
        """Period of one value of the metric, in seconds."""
        return 60 * self.period_minutes

    def problems(self) -> list[str]:
        """Return everything wrong with it; an empty list if alarms can be made from it."""
        found = [
            f"{name} must be one of {', '.join(allowed)}, got {value!r}"
            for name, value, allowed in (
                ("MeasureName", self.metric_name, MEASURES),
                ("Statistic", self.statistic, STATISTICS),
            )
            if value not in allowed
        ]
        unit = MEASURES.get(self.metric_name)
        if unit is not None and self.unit not in (None, unit):
            found.append(
                f"Unit ({self.unit}) must be {unit} for {self.metric_name}, or the alarm never sees"
                " a value; correct it or leave it out"
            )
        literal_count("Period", self.period_minutes, 1, _MOST_MINUTES, found)
        literal_count("EvaluationPeriods", self.evaluation_periods, 1, _MOST_PERIODS, found)
        seconds = self.period_seconds * self.evaluation_periods
        if not found and seconds > longest_alarm_seconds(self.period_minutes):
            found.append(
                f"Period ({self.period_minutes} min) times EvaluationPeriods"
                f" ({self.evaluation_periods}) is {seconds} s, and CloudWatch takes at most"
                f" {longest_alarm_seconds(self.period_minutes)} s; lower one"
            )
        if not self.lower.threshold < self.upper.threshold:
            found.append(
                f"LowerThreshold ({self.lower.threshold:g}) must be below UpperThreshold"
                f" ({self.upper.threshold:g}), or the fleet grows and shrinks at once; move one"
            )
        if not self.lower.increment < 0 < self.upper.increment:
            found.append(
                f"LowerBreachScaleIncrement ({self.lower.increment}) must be below 0 and"
                f" UpperBreachScaleIncrement ({self.upper.increment}) above 0; correct the sign"
            )
        return found
