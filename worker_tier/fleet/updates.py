"""How a deployment replaces instances, and how they leave."""

from __future__ import annotations

from typing import Final

from aws_cdk import CfnCreationPolicy, CfnResourceSignal, Duration
from aws_cdk import aws_autoscaling as autoscaling

#: Auto Scaling's least for a lifecycle hook's heartbeat.
_MIN_HEARTBEAT_SECONDS: Final = 30
#: Six times the daemon's own beat, which renews the hook for as long as it drains. When nobody
#: beats, because the daemon is dead or may no longer call, the instance goes after this time.
_HEARTBEAT_SECONDS: Final = 120
#: What the daemon needs besides draining: noticing that it must go, flushing deletes.
_HEARTBEAT_MARGIN_SECONDS: Final = 60
#: CloudFormation's, for the pause of a rolling update.
_MAX_PAUSE_SECONDS: Final = 3_600


def hook_heartbeat_seconds(drain_timeout: int) -> int:
    """How long a leaving instance is waited for when its daemon is silent; ADR 13 tells why not for
    the whole drain.
    """
    wanted = drain_timeout + _HEARTBEAT_MARGIN_SECONDS
    return max(_MIN_HEARTBEAT_SECONDS, min(_HEARTBEAT_SECONDS, wanted))


def termination_hook(
    drain_timeout: int,
) -> autoscaling.CfnAutoScalingGroup.LifecycleHookSpecificationProperty:
    """For inside of the group's own resource: a resource apart comes after the first instances, and
    goes before the last ones (aws-cdk #7712).
    """
    return autoscaling.CfnAutoScalingGroup.LifecycleHookSpecificationProperty(
        lifecycle_hook_name="drain",
        lifecycle_transition="autoscaling:EC2_INSTANCE_TERMINATING",
        # An instance that does not answer goes all the same: its messages come back by themselves.
        default_result="CONTINUE",
        heartbeat_timeout=hook_heartbeat_seconds(drain_timeout),
    )


def awaited(count: int, timeout: Duration) -> CfnCreationPolicy:
    """The first instances' signals, without the L2's `signals`, which would also give the role a
    policy of its own to signal with; ours has it among its statements.
    """
    return CfnCreationPolicy(
        resource_signal=CfnResourceSignal(count=count, timeout=timeout.to_iso_string())
    )


def one_at_a_time(
    *, min_capacity: int, max_capacity: int, signal_timeout: Duration, warmup: Duration
) -> autoscaling.UpdatePolicy:
    """A rolling update that awaits each instance.

    A fleet that may be empty sends no signals, for a deployment that finds it empty would wait for
    one in vain. When it is not empty, each new instance gets its warm-up before the next old one
    goes; whether it came up nobody asks.
    """
    awaits = min_capacity > 0
    return autoscaling.UpdatePolicy.rolling_update(
        max_batch_size=1,
        # CloudFormation wants this below the greatest size, or it could replace nothing.
        min_instances_in_service=min(min_capacity, max_capacity - 1),
        wait_on_resource_signals=awaits,
        pause_time=signal_timeout
        if awaits
        else Duration.seconds(min(warmup.to_seconds(), _MAX_PAUSE_SECONDS)),
    )
