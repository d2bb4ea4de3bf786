"""Defines how a deployment replaces instances, and how instances terminate."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil
from typing import Final

from aws_cdk import (
    CfnAutoScalingRollingUpdate,
    CfnCreationPolicy,
    CfnResourceSignal,
    CfnUpdatePolicy,
    Duration,
    Token,
)
from aws_cdk import aws_autoscaling as autoscaling

from sqsd.contract import LIFECYCLE_HOOK
from worker_tier.ranges import UNRESOLVED

#: Auto Scaling's lower limit of a lifecycle hook's heartbeat timeout, in seconds.
_MIN_HEARTBEAT_SECONDS: Final = 30
#: Heartbeat timeout of the hook, in seconds: six times the period in which a draining daemon sends
#: heartbeats. Without heartbeats, because the daemon is dead or may no longer call, Auto Scaling
#: terminates the instance after this time.
_HEARTBEAT_SECONDS: Final = 120
#: Auto Scaling ends a hook after a hundred times its heartbeat timeout, and after 48 hours.
_MOST_RENEWALS: Final = 100
#: Time that the daemon needs besides draining, in seconds: to notice the hook, to flush deletes.
_HEARTBEAT_MARGIN_SECONDS: Final = 60
#: CloudFormation's upper limit of the pause of a rolling update, in seconds.
MAX_PAUSE_SECONDS: Final = 3_600
#: CloudFormation's upper limit of a batch, in instances.
_MOST_IN_A_BATCH: Final = 100
_PERCENTAGE_BOUNDS: Final = "min_success_percentage of update_policy must be 1 to 100"
#: The CDK's error when it renders a time that is a token.
_UNRENDERED_TIME: Final = "Duration must be specified as"
#: Auto Scaling's processes that a rolling update consists of.
_NEEDED_PROCESSES: Final = ("Launch", "Terminate")


def hook_heartbeat_seconds(drain_timeout: int) -> int:
    """Return how long Auto Scaling waits for an instance whose daemon is silent, in seconds.

    It grows only with drains that two minutes cannot be renewed for (ADR 13).
    """
    wanted = drain_timeout + _HEARTBEAT_MARGIN_SECONDS
    shortest = max(_MIN_HEARTBEAT_SECONDS, ceil(wanted / _MOST_RENEWALS))
    return max(shortest, min(_HEARTBEAT_SECONDS, wanted))


def termination_hook(
    drain_timeout: int,
) -> autoscaling.CfnAutoScalingGroup.LifecycleHookSpecificationProperty:
    """Return the hook on termination, as a property of the group's own resource.

    A separate resource would be created after the first instances, and deleted before the last ones
    (aws-cdk #7712).
    """
    return autoscaling.CfnAutoScalingGroup.LifecycleHookSpecificationProperty(
        lifecycle_hook_name=LIFECYCLE_HOOK,
        lifecycle_transition="autoscaling:EC2_INSTANCE_TERMINATING",
        # Without an answer the instance is terminated too; its messages become visible again.
        default_result="CONTINUE",
        heartbeat_timeout=hook_heartbeat_seconds(drain_timeout),
    )


def awaited(count: int, timeout: Duration) -> CfnCreationPolicy:
    """Let CloudFormation wait for the signals of the first instances.

    The L2's `signals` is not used, because it would add a second policy to the role; ours allows
    signalling already.
    """
    return CfnCreationPolicy(
        resource_signal=CfnResourceSignal(count=count, timeout=timeout.to_iso_string())
    )


@dataclass(frozen=True, kw_only=True)
class UpdateBounds:
    """What a rolling update has to respect.

    Args:
        min_capacity, max_capacity: the least and the greatest number of instances.
        signal_timeout: how long CloudFormation waits for the signals of a batch.
        warmup: time from launch until an instance receives.
    """

    min_capacity: int
    max_capacity: int
    signal_timeout: Duration
    warmup: Duration

    @property
    def awaits(self) -> bool:
        """Whether each batch is awaited.

        A fleet that may be empty sends no signals, because a deployment that finds it empty would
        wait in vain. There, each new batch gets its warm-up before the next old one is terminated,
        and nothing checks whether it became ready.
        """
        return self.min_capacity > 0

    @property
    def pause_seconds(self) -> int:
        """Longest wait for a batch, in seconds."""
        if self.awaits:
            return int(self.signal_timeout.to_seconds())
        return int(min(self.warmup.to_seconds(), MAX_PAUSE_SECONDS))

    @property
    def instances_in_service(self) -> int:
        """The least number of instances in service while a batch is replaced.

        CloudFormation wants it below the greatest size, or it could replace nothing.
        """
        return min(self.min_capacity, self.max_capacity - 1)


def with_signals(
    policy: CfnUpdatePolicy | None, bounds: UpdateBounds, problems: list[str]
) -> CfnUpdatePolicy | None:
    """Return an update policy whose rolling update awaits each batch.

    What `UpdatePolicy.rolling_update(...)` leaves open, CloudFormation decides: without a word it
    waits for no signal, and a broken release replaces the whole fleet while the stack ends well.
    Other kinds of updates are returned as they are.

    Args:
        policy: as the CDK rendered it.
        problems: appended is everything that contradicts the bounds.
    """
    rolling = None if policy is None else policy.auto_scaling_rolling_update
    if policy is None or rolling is None:
        return policy
    problems += _rolling_problems(rolling, bounds)
    in_service = rolling.min_instances_in_service
    return CfnUpdatePolicy(
        auto_scaling_replacing_update=policy.auto_scaling_replacing_update,
        auto_scaling_scheduled_action=policy.auto_scaling_scheduled_action,
        auto_scaling_rolling_update=CfnAutoScalingRollingUpdate(
            max_batch_size=rolling.max_batch_size,
            min_active_instances_percent=rolling.min_active_instances_percent,
            min_instances_in_service=bounds.instances_in_service
            if in_service is None
            else in_service,
            min_successful_instances_percent=rolling.min_successful_instances_percent,
            pause_time=Duration.seconds(bounds.pause_seconds).to_iso_string(),
            suspend_processes=rolling.suspend_processes,
            wait_on_resource_signals=True if bounds.awaits else None,
        ),
    )


def unrendered_problem(error: str) -> str | None:
    """Return what of an update policy the CDK could not render, by its error, or None if nothing.

    The CDK has no way to read a policy before it is rendered.
    """
    if _UNRENDERED_TIME in error:
        return f"pause_time of update_policy {UNRESOLVED}"
    return None


def _rolling_problems(rolling: CfnAutoScalingRollingUpdate, bounds: UpdateBounds) -> list[str]:
    sizes = {
        "max_batch_size": rolling.max_batch_size,
        "min_instances_in_service": rolling.min_instances_in_service,
        "min_success_percentage": rolling.min_successful_instances_percent,
    }
    if unknown := [name for name, size in sizes.items() if Token.is_unresolved(size)]:
        return [f"{name} of update_policy {UNRESOLVED}" for name in unknown]
    return [
        *_size_problems(rolling, bounds),
        *_signal_problems(rolling, bounds),
        *(
            f"update_policy suspends {name}, without which no instance can be replaced; leave it"
            " out of suspend_processes"
            for name in rolling.suspend_processes or ()
            if name in _NEEDED_PROCESSES
        ),
    ]


def _size_problems(rolling: CfnAutoScalingRollingUpdate, bounds: UpdateBounds) -> Iterator[str]:
    batch = rolling.max_batch_size
    if batch is not None and not 1 <= batch <= _MOST_IN_A_BATCH:
        yield f"max_batch_size of update_policy must be 1 to {_MOST_IN_A_BATCH}, got {batch:g}"
    in_service = rolling.min_instances_in_service
    if in_service is not None and not 0 <= in_service < bounds.max_capacity:
        yield (
            f"min_instances_in_service of update_policy must be 0 to {bounds.max_capacity - 1},"
            f" below max_capacity ({bounds.max_capacity}), or nothing could be replaced, got"
            f" {in_service:g}; lower it, or raise max_capacity"
        )


def _signal_problems(rolling: CfnAutoScalingRollingUpdate, bounds: UpdateBounds) -> Iterator[str]:
    pause = rolling.pause_time
    if pause is not None:
        seconds = int(Duration.parse(pause).to_seconds())
        if seconds != bounds.pause_seconds:
            name = "signal_timeout" if bounds.awaits else "the warm-up of an instance"
            yield (
                f"pause_time of update_policy ({seconds} s) must be {name}"
                f" ({bounds.pause_seconds} s), by which a boot knows how long it is awaited; leave"
                f" it out, and set {'signal_timeout' if bounds.awaits else 'the warm-up'} instead"
            )
    if bounds.awaits:
        yield from _unawaited_problems(rolling)
        return
    for name, value in (
        ("wait_on_resource_signals", rolling.wait_on_resource_signals),
        ("min_success_percentage", rolling.min_successful_instances_percent),
    ):
        if value is not None:
            yield (
                f"{name} of update_policy is about signals, and a fleet that may be empty"
                " (min_capacity 0) sends none; leave it out, or set min_capacity to 1 or more"
            )


def _unawaited_problems(rolling: CfnAutoScalingRollingUpdate) -> Iterator[str]:
    """Yield what would let a release that does not start replace the fleet.

    `wait_on_resource_signals=False` is rendered as if it were left out, so it cannot be refused.
    """
    percentage = rolling.min_successful_instances_percent
    if percentage is not None and not 1 <= percentage <= 100:
        yield (
            f"{_PERCENTAGE_BOUNDS}, got {percentage:g}; with 0 a release of which no instance"
            " starts would be a success"
        )
