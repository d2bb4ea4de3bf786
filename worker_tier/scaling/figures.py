"""How a tier scales, and the figures that follow from it: values in, values out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from aws_cdk import Duration

from worker_tier.fleet.capacity import MAX_INSTANCES
from worker_tier.ranges import duration_seconds, literal_count
from worker_tier.scaling.trigger import Trigger
from worker_tier.type_checks import checked, example

#: Acceptable latency and processing time of a message when nothing is said, s.
_DEFAULT_LATENCY_SECONDS: Final = 60
_DEFAULT_PROCESSING_SECONDS: Final = 1
#: Most steps that CloudFormation accepts in one policy.
_MOST_STEPS: Final = 20


@example("WorkerScaling.target_latency(...)")
@dataclass(frozen=True, kw_only=True)
class WorkerScaling:
    """A value of `scaling`; made by the static methods, not by hand."""

    acceptable_latency: Duration | None = None
    message_processing_time: Duration | None = None
    backlog: float | None = None
    waiting_steps: tuple[tuple[int, int], ...] | None = None
    triggered_by: Trigger | None = None
    enabled: bool = True

    @staticmethod
    def target_latency(
        acceptable_latency: Duration, message_processing_time: Duration
    ) -> WorkerScaling:
        """Keep a new message waiting for at most `acceptable_latency`.

        Args:
            acceptable_latency: how long a message may wait before its POST.
            message_processing_time: how long the application takes for a message, on average.
        """
        return WorkerScaling(
            acceptable_latency=acceptable_latency, message_processing_time=message_processing_time
        )

    @staticmethod
    def backlog_per_instance(messages: float) -> WorkerScaling:
        """Keep at most so many messages waiting for each instance in service; above 0."""
        return WorkerScaling(backlog=messages)

    @staticmethod
    @checked
    def steps(steps: Sequence[tuple[int, int]]) -> WorkerScaling:
        """Add instances by how many messages wait in all, whatever the size of the fleet.

        Args:
            steps: pairs of waiting messages and instances to add, such as `[(100, 1), (500, 5)]`:
                one from 100 on, five from 500 on. Both numbers rise from step to step.
        """
        return WorkerScaling(waiting_steps=tuple(steps))

    @staticmethod
    def trigger(trigger: Trigger) -> WorkerScaling:
        """Follow one metric of the instances, as Elastic Beanstalk's triggers do.

        It is meant for environments that are moved unchanged. It ignores the queue: instances that
        are busy without moving bytes are terminated, and a backlog that moves none is not noticed.
        """
        return WorkerScaling(triggered_by=trigger)

    @staticmethod
    def none() -> WorkerScaling:
        """No alarms and no policies: the fleet keeps its size, or other policies change it."""
        return WorkerScaling(enabled=False)


@example("tier.scaling.figures")
@dataclass(frozen=True, kw_only=True)
class ScalingFigures:
    """The figures of the scaling policies.

    Args:
        backlog_per_instance: waiting messages for each instance that scaling out aims at, or None
            if `steps` or `trigger` scale out.
        idle_below: waiting and in-flight messages for each instance below which one instance is
            removed, or None if `trigger` scales in.
        may_sleep: whether the fleet goes to zero when nothing is outstanding, and wakes on one
            message.
        steps: pairs of waiting messages in all, and instances to add from there on.
        trigger: an instance metric that scales out and in.
    """

    backlog_per_instance: float | None
    idle_below: float | None
    may_sleep: bool
    steps: tuple[tuple[int, int], ...] = ()
    trigger: Trigger | None = None


def scaling_figures(
    *,
    http_connections: int,
    acceptable_latency_seconds: float,
    message_processing_seconds: float,
    min_capacity: int,
) -> ScalingFigures:
    """Return the figures that keep a message waiting for at most an acceptable latency.

    An instance works on `http_connections` messages at a time, so within the acceptable latency it
    gets through connections x latency / processing time of them: that many may wait for it.
    """
    backlog = http_connections * acceptable_latency_seconds / message_processing_seconds
    return figures_for_backlog(
        backlog, http_connections=http_connections, min_capacity=min_capacity
    )


def figures_for_backlog(
    backlog: float, *, http_connections: int, min_capacity: int
) -> ScalingFigures:
    """Return the figures for a backlog per instance.

    One instance is removed while fewer than half of all connections are used: with two instances or
    more, those that remain have a free connection for each of its messages. Half of the backlog is
    a bound too, or scaling in would be followed by scaling out.
    """
    return ScalingFigures(
        backlog_per_instance=backlog,
        idle_below=min(http_connections, backlog) / 2,
        may_sleep=min_capacity == 0,
    )


def decide_figures(
    scaling: WorkerScaling, *, http_connections: int, min_capacity: int, problems: list[str]
) -> ScalingFigures | None:
    """Return the figures of `scaling`, or None if nothing scales or, with a problem, it cannot.

    Args:
        problems: everything wrong with `scaling` is appended.
    """
    if not scaling.enabled:
        return None
    if scaling.triggered_by is not None:
        problems += scaling.triggered_by.problems()
        return ScalingFigures(
            backlog_per_instance=None,
            idle_below=None,
            may_sleep=min_capacity == 0,
            trigger=scaling.triggered_by,
        )
    if scaling.waiting_steps is not None:
        return _figures_for_steps(scaling.waiting_steps, http_connections, min_capacity, problems)
    if scaling.backlog is None:
        return _figures_for_latency(scaling, http_connections, min_capacity, problems)
    if scaling.backlog > 0:
        return figures_for_backlog(
            scaling.backlog, http_connections=http_connections, min_capacity=min_capacity
        )
    problems.append(f"WorkerScaling.backlog_per_instance must be above 0, got {scaling.backlog!r}")
    return None


def _figures_for_steps(
    steps: tuple[tuple[int, int], ...],
    http_connections: int,
    min_capacity: int,
    problems: list[str],
) -> ScalingFigures | None:
    if found := _step_problems(steps):
        problems += found
        return None
    return ScalingFigures(
        backlog_per_instance=None,
        idle_below=min(http_connections, steps[0][0]) / 2,
        may_sleep=min_capacity == 0,
        steps=steps,
    )


def _figures_for_latency(
    scaling: WorkerScaling, http_connections: int, min_capacity: int, problems: list[str]
) -> ScalingFigures | None:
    latency = _positive(
        "acceptable_latency", scaling.acceptable_latency, _DEFAULT_LATENCY_SECONDS, problems
    )
    processing = _positive(
        "message_processing_time",
        scaling.message_processing_time,
        _DEFAULT_PROCESSING_SECONDS,
        problems,
    )
    if latency is None or processing is None:
        return None
    return scaling_figures(
        http_connections=http_connections,
        acceptable_latency_seconds=latency,
        message_processing_seconds=processing,
        min_capacity=min_capacity,
    )


def _step_problems(steps: Sequence[tuple[Any, Any]]) -> list[str]:
    if not 1 <= len(steps) <= _MOST_STEPS:
        return [f"WorkerScaling.steps takes 1 to {_MOST_STEPS} steps, got {len(steps)}"]
    found: list[str] = []
    for waiting, added in steps:
        literal_count("WorkerScaling.steps: waiting messages", waiting, 1, 2**31, found)
        literal_count("WorkerScaling.steps: instances", added, 1, MAX_INSTANCES, found)
    if not found and any(a >= c or b >= d for (a, b), (c, d) in pairwise(steps)):
        found.append(
            "WorkerScaling.steps must rise in both numbers from step to step, got"
            f" {list(steps)!r}; sort them, and drop those that add nothing"
        )
    return found


def _positive(
    name: str, value: Duration | None, default: float, problems: list[str]
) -> float | None:
    if value is None:
        return default
    if not isinstance(value, Duration) or value.is_unresolved():
        duration_seconds(name, value, problems)  # reports the problem
        return None
    seconds = value.to_seconds(integral=False)
    if seconds > 0:
        return seconds
    problems.append(f"{name} must be above 0, got {seconds} s")
    return None
