"""Scaling policies and alarms, read out of a template, and what they decide.

What CloudWatch and Auto Scaling do beside the template is modelled after their guides:
target tracking alarms after three minutes above its target and, unless that is switched off,
fifteen below nine tenths of it; a step policy acts again each period while its alarm lasts, and
counts what is warming up as there already.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

#: The values of all metrics in one minute, by the names below.
Sample = Mapping[str, float]

_NAMES: Final = {
    "ApproximateNumberOfMessagesVisible": "visible",
    "ApproximateNumberOfMessagesNotVisible": "in_flight",
    "ApproximateNumberOfMessagesDelayed": "delayed",
    "GroupInServiceInstances": "instances",
    "NetworkOut": "network_out",
    "CPUUtilization": "cpu",
}
_TRACKING_OUT_MINUTES: Final = 3
_TRACKING_IN_MINUTES: Final = 15
_TRACKING_IN_SHARE: Final = 0.9
#: Application Auto Scaling's, where a template names no cooldown.
_TASK_COOLDOWN: Final = 300.0


@dataclass(frozen=True, kw_only=True)
class Measure:
    """A metric or an expression of several, averaged over a period."""

    expression: str
    names: Mapping[str, str]
    period_minutes: int = 1

    def value(self, history: Sequence[Sample]) -> float | None:
        """As of the newest sample; None while there are fewer than a period's."""
        recent = history[-self.period_minutes :]
        if len(recent) < self.period_minutes:
            return None
        means = {
            id: sum(sample[name] for sample in recent) / len(recent)
            for id, name in self.names.items()
        }
        return float(eval(self.expression, {"IF": _if, "__builtins__": {}}, means))  # noqa: S307


@dataclass(frozen=True, kw_only=True)
class Tracking:
    """Target tracking."""

    measure: Measure
    target: float
    scales_in: bool


@dataclass(frozen=True, kw_only=True)
class Steps:
    """A step policy and the alarm that drives it."""

    measure: Measure
    below: bool
    or_equal: bool
    threshold: float
    periods: int
    kind: str
    #: Distance from the threshold, in the alarm's direction -> change.
    adjustments: tuple[tuple[float, float], ...]
    least: int
    cooldown: float


@dataclass(kw_only=True)
class Scaler:
    """The policies of one group; `wanted` gives its size for the next minute."""

    policies: Sequence[Tracking | Steps]
    low: int
    high: int
    warmup: float
    cooldown: float = 0.0
    _last: dict[int, float] = field(default_factory=dict)

    def wanted(self, history: Sequence[Sample], *, now: float, size: int, warm: int) -> int:
        """The size that the boldest policy wants; growing wins over shrinking.

        Args:
            size: instances, those that warm up included.
            warm: those that are in service and warmed up.
        """
        wishes: list[int] = []
        for number, policy in enumerate(self.policies):
            pause = max(self.cooldown, policy.cooldown if isinstance(policy, Steps) else 0)
            if now - self._last.get(number, -math.inf) < pause:
                continue
            wish = _wish(policy, history, size=size, warm=warm)
            if wish is not None and wish != size:
                self._last[number] = now
                wishes.append(wish)
        if not wishes:
            return size
        grown = [wish for wish in wishes if wish > size]
        return max(self.low, min(self.high, max(grown) if grown else max(wishes)))


def _wish(
    policy: Tracking | Steps, history: Sequence[Sample], *, size: int, warm: int
) -> int | None:
    if isinstance(policy, Tracking):
        return _track(policy, history, size=size, warm=warm)
    values = _values(policy.measure, history, policy.periods)
    if values is None or not all(_breaches(policy, value) for value in values):
        return None
    distance = abs(values[-1] - policy.threshold)
    change = [change for bound, change in policy.adjustments if distance >= bound][-1]
    if policy.kind == "ExactCapacity":
        return int(change)
    # Those that warm up are an answer to this alarm already.
    base = min(size, max(warm, 1)) if change > 0 else size
    if policy.kind == "PercentChangeInCapacity":
        moved = math.copysign(max(policy.least, math.floor(abs(base * change / 100))), change)
    else:
        moved = change
    return max(size, int(base + moved)) if change > 0 else int(size + moved)


def _track(policy: Tracking, history: Sequence[Sample], *, size: int, warm: int) -> int | None:
    out = _values(policy.measure, history, _TRACKING_OUT_MINUTES)
    if out is not None and all(value > policy.target for value in out):
        # What is measured for each instance in service is scaled by those, warm or not; what warm
        # instances measure of themselves by the warm ones.
        counted = size if "instances" in policy.measure.names.values() else warm
        return max(size, math.ceil(max(counted, 1) * out[-1] / policy.target))
    inward = _values(policy.measure, history, _TRACKING_IN_MINUTES)
    limit = policy.target * _TRACKING_IN_SHARE
    if policy.scales_in and inward is not None and all(value < limit for value in inward):
        return max(1, math.ceil(size * inward[-1] / policy.target)) if size == warm else None
    return None


def _values(measure: Measure, history: Sequence[Sample], periods: int) -> list[float] | None:
    values = []
    for back in range(periods):
        end = len(history) - back * measure.period_minutes
        value = measure.value(history[max(0, end - measure.period_minutes) : end])
        if value is None:
            return None
        values.append(value)
    return values[::-1]


def _breaches(policy: Steps, value: float) -> bool:
    if policy.or_equal and value == policy.threshold:
        return True
    return value < policy.threshold if policy.below else value > policy.threshold


def _if(condition: bool, then: float, otherwise: float) -> float:
    return then if condition else otherwise


# ---- reading


def read_group(resources: Mapping[str, Any]) -> Scaler:
    """The scaler of the template's Auto Scaling group."""
    (group,) = _of(resources, "AWS::AutoScaling::AutoScalingGroup").values()
    found: list[Tracking | Steps] = []
    for id, policy in _of(resources, "AWS::AutoScaling::ScalingPolicy").items():
        if policy["PolicyType"] == "TargetTrackingScaling":
            tracking = policy["TargetTrackingConfiguration"]
            metrics = tracking["CustomizedMetricSpecification"]["Metrics"]
            found.append(
                Tracking(
                    measure=_math(metrics),
                    target=float(tracking["TargetValue"]),
                    scales_in=not tracking.get("DisableScaleIn", False),
                )
            )
        else:
            found += _steps(resources, id, policy, policy.get("MinAdjustmentMagnitude", 1), 0.0)
    return Scaler(
        policies=found,
        low=int(group["MinSize"]),
        high=int(group["MaxSize"]),
        warmup=float(group["DefaultInstanceWarmup"]),
    )


def read_tasks(resources: Mapping[str, Any], warmup: float) -> Scaler:
    """The scaler of the template's ECS service."""
    (target,) = _of(resources, "AWS::ApplicationAutoScaling::ScalableTarget").values()
    found: list[Tracking | Steps] = []
    for id, policy in _of(resources, "AWS::ApplicationAutoScaling::ScalingPolicy").items():
        if policy["PolicyType"] == "TargetTrackingScaling":
            tracking = policy["TargetTrackingScalingPolicyConfiguration"]
            kind = tracking["PredefinedMetricSpecification"]["PredefinedMetricType"]
            assert kind == "ECSServiceAverageCPUUtilization", kind
            measure = Measure(expression="cpu", names={"cpu": "cpu"})
            found.append(
                Tracking(measure=measure, target=float(tracking["TargetValue"]), scales_in=True)
            )
        else:
            steps = policy["StepScalingPolicyConfiguration"]
            cooldown = float(steps.get("Cooldown", _TASK_COOLDOWN))
            found += _steps(resources, id, steps, steps.get("MinAdjustmentMagnitude", 1), cooldown)
    return Scaler(
        policies=found,
        low=int(target["MinCapacity"]),
        high=int(target["MaxCapacity"]),
        warmup=warmup,
    )


def _of(resources: Mapping[str, Any], kind: str) -> dict[str, Any]:
    return {id: r["Properties"] for id, r in resources.items() if r["Type"] == kind}


def _math(metrics: Sequence[Mapping[str, Any]]) -> Measure:
    (result,) = [metric["Expression"] for metric in metrics if metric.get("ReturnData", True)]
    names = {
        metric["Id"]: _NAMES[metric["MetricStat"]["Metric"]["MetricName"]]
        for metric in metrics
        if "MetricStat" in metric
    }
    return Measure(expression=result, names=names)


def _steps(
    resources: Mapping[str, Any], id: str, steps: Mapping[str, Any], least: int, cooldown: float
) -> list[Steps]:
    """A step policy once for each alarm that drives it."""
    found = []
    for alarm in _of(resources, "AWS::CloudWatch::Alarm").values():
        if {"Ref": id} not in alarm.get("AlarmActions", ()):
            continue
        below = alarm["ComparisonOperator"].startswith("LessThan")
        adjustments = sorted(
            (_nearest(step, below=below), float(step["ScalingAdjustment"]))
            for step in steps["StepAdjustments"]
        )
        found.append(
            Steps(
                measure=_measure(alarm),
                below=below,
                or_equal="OrEqual" in alarm["ComparisonOperator"],
                threshold=float(alarm["Threshold"]),
                periods=int(alarm["EvaluationPeriods"]),
                kind=steps["AdjustmentType"],
                adjustments=tuple(adjustments),
                least=least,
                cooldown=cooldown,
            )
        )
    return found


def _nearest(step: Mapping[str, Any], *, below: bool) -> float:
    """Where a step begins, as a distance from the threshold."""
    bound = step.get("MetricIntervalUpperBound" if below else "MetricIntervalLowerBound", 0)
    return abs(float(bound))


def _measure(alarm: Mapping[str, Any]) -> Measure:
    if "Metrics" in alarm:
        return _math(alarm["Metrics"])
    name = _NAMES[alarm["MetricName"]]
    return Measure(expression=name, names={name: name}, period_minutes=int(alarm["Period"]) // 60)
