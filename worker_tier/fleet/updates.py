"""Defines how a deployment replaces instances, and how instances terminate."""

from __future__ import annotations

from math import ceil
from typing import Final

from aws_cdk import CfnCreationPolicy, CfnResourceSignal, Duration
from aws_cdk import aws_autoscaling as autoscaling

from sqsd.contract import LIFECYCLE_HOOK

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


def one_at_a_time(
    *, min_capacity: int, max_capacity: int, signal_timeout: Duration, warmup: Duration
) -> autoscaling.UpdatePolicy:
    """Return a rolling update that replaces one instance at a time and waits for its signal.

    A fleet that may be empty sends no signals, because a deployment that finds it empty would wait
    in vain. There, each new instance gets its warm-up before the next old one is terminated, and
    nothing checks whether it became ready.
    """
    awaits = min_capacity > 0
    return autoscaling.UpdatePolicy.rolling_update(
        max_batch_size=1,
        # CloudFormation wants this below the greatest size, or it could replace nothing.
        min_instances_in_service=min(min_capacity, max_capacity - 1),
        wait_on_resource_signals=awaits,
        pause_time=signal_timeout
        if awaits
        else Duration.seconds(min(warmup.to_seconds(), MAX_PAUSE_SECONDS)),
    )
