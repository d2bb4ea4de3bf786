"""How the fleet follows the queue.

It scales out by waiting messages, and in by messages that wait or are in flight: a policy that
watches waiting messages alone cannot distinguish a busy instance from an idle one, and terminates
work in flight. A pure function decides the figures; the construct only renders them. Missing data
never acts: SQS stops publishing for a queue that was idle for hours, and silence is no reason to
terminate an instance.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from aws_cdk import Duration
from aws_cdk import aws_autoscaling as autoscaling
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from worker_tier.scaling.figures import ScalingFigures
from worker_tier.scaling.trigger import Trigger
from worker_tier.type_checks import checked

_Adjustment = autoscaling.CfnScalingPolicy.StepAdjustmentProperty
#: Period of the metrics, s.
_PERIOD_SECONDS: Final = 60
#: Quiet time before an instance is removed, and before the last one is, min.
_IDLE_MINUTES: Final = 15
_SLEEP_MINUTES: Final = 15
#: Change of a large fleet when it scales in, percent; a small one loses a single instance.
_SCALE_IN_PERCENT: Final = -10
#: Time for which messages wait before steps act, min; an instance needs its warm-up anyway.
_STEP_MINUTES: Final = 1


class QueueScaling(Construct):
    """Scaling policies on a group, and the alarms on a queue that drive them.

    Args:
        auto_scaling_group: the fleet, which must publish `GroupInServiceInstances`, off by default.
        queue: the work queue, in the region of the group.
        figures: the figures of the policies.
        instance_warmup: time from launch until an instance receives; it is not counted before.
    """

    @checked
    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        auto_scaling_group: autoscaling.IAutoScalingGroup,
        queue: sqs.IQueue,
        figures: ScalingFigures,
        instance_warmup: Duration,
    ) -> None:
        super().__init__(scope, id)
        self._group_name = auto_scaling_group.auto_scaling_group_name
        self._queue_name = queue.queue_name
        self._warmup_seconds = instance_warmup.to_seconds()
        #: The policies by name: `ScaleOut`, `ScaleIn`, and `Wake` and `Sleep` if it may be empty.
        self.policies: dict[str, autoscaling.CfnScalingPolicy] = {}
        #: Their alarms, by the same names, except that of target tracking, which AWS makes.
        self.alarms: dict[str, cloudwatch.CfnAlarm] = {}
        if figures.backlog_per_instance is not None:
            self._scale_out(figures.backlog_per_instance)
        if figures.steps:
            self._scale_out_in_steps(figures.steps)
        if figures.idle_below is not None:
            self._scale_in(figures.idle_below)
        if figures.trigger is not None:
            self._follow(figures.trigger)
        if figures.may_sleep:
            self._wake()
            self._sleep()

    def never_wakes_problem(self) -> str | None:
        """Return why nothing would wake an empty fleet, or None if a policy would."""
        if "Wake" in self.policies:
            return None
        return (
            "nothing would wake an empty fleet; make the tier with min_capacity=0, which brings"
            " Wake and Sleep, or set max_capacity=0 to switch it off until another schedule"
        )

    def _scale_out(self, backlog: float) -> None:
        """Track a target of waiting messages for each instance; it never scales in.

        The L2 has no metric math here (aws-cdk #20659), the L1 has.
        """
        query = autoscaling.CfnScalingPolicy.TargetTrackingMetricDataQueryProperty
        self.policies["ScaleOut"] = autoscaling.CfnScalingPolicy(
            self,
            "ScaleOut",
            auto_scaling_group_name=self._group_name,
            policy_type="TargetTrackingScaling",
            estimated_instance_warmup=self._warmup_seconds,
            target_tracking_configuration=autoscaling.CfnScalingPolicy.TargetTrackingConfigurationProperty(
                target_value=backlog,
                disable_scale_in=True,
                customized_metric_specification=autoscaling.CfnScalingPolicy.CustomizedMetricSpecificationProperty(
                    metrics=[
                        query(
                            id="visible",
                            metric_stat=self._tracked("AWS/SQS", _VISIBLE, self._queue),
                            return_data=False,
                        ),
                        query(
                            id="instances",
                            metric_stat=self._tracked("AWS/AutoScaling", _IN_SERVICE, self._group),
                            return_data=False,
                        ),
                        query(
                            id="backlog",
                            # An empty group counts as one instance. The guard is on the divisor:
                            # both branches of an IF are computed.
                            expression="visible / IF(instances > 0, instances, 1)",
                            label="waiting messages per instance in service",
                            return_data=True,
                        ),
                    ]
                ),
            ),
        )

    def _scale_in(self, idle_below: float) -> None:
        """Remove an instance after minutes with less outstanding than `idle_below` an instance.

        The last instance is not removed: there the expression has a value that does not alarm.
        """
        policy = self._policy(
            "ScaleIn",
            adjustment_type="PercentChangeInCapacity",
            adjustments=((0, _SCALE_IN_PERCENT),),
            below=True,
            min_adjustment_magnitude=1,
        )
        self._watch(
            policy,
            below=True,
            threshold=idle_below,
            minutes=_IDLE_MINUTES,
            expression=f"IF(instances > 1, visible + in_flight, {idle_below + 1})"
            " / IF(instances > 1, instances, 1)",
            metrics=("visible", "in_flight", "instances"),
            description="Few messages outstanding for each instance: one leaves.",
        )

    def _wake(self) -> None:
        """Add an instance to an empty group as soon as one message waits.

        Target tracking's alarm is strictly above its target, so one message never wakes a group
        (copilot-cli #3376). It adds one instead of setting the size to one: while this alarms,
        another policy may already have asked for more.
        """
        policy = self._policy(
            "Wake",
            adjustment_type="ChangeInCapacity",
            adjustments=((0, 1),),
            below=False,
        )
        self._watch(
            policy,
            below=False,
            threshold=1,
            minutes=1,
            expression="IF(instances < 1, visible, 0)",
            metrics=("visible", "instances"),
            description="Messages wait and no instance is in service.",
        )

    def _sleep(self) -> None:
        policy = self._policy(
            "Sleep",
            adjustment_type="ExactCapacity",
            adjustments=((0, 0),),
            below=True,
        )
        self._watch(
            policy,
            below=True,
            threshold=1,
            minutes=_SLEEP_MINUTES,
            expression="visible + in_flight + delayed",
            metrics=("visible", "in_flight", "delayed"),
            description="Nothing waits, nothing is in flight, nothing is delayed.",
        )

    def _scale_out_in_steps(self, steps: Sequence[tuple[int, int]]) -> None:
        """Add more instances the more messages wait; steps count from the bound of the first."""
        first = steps[0][0]
        policy = self._policy(
            "ScaleOut",
            adjustment_type="ChangeInCapacity",
            adjustments=[(waiting - first, added) for waiting, added in steps],
            below=False,
        )
        self._watch(
            policy,
            below=False,
            threshold=first,
            minutes=_STEP_MINUTES,
            expression="visible",
            metrics=("visible",),
            description="Messages wait: instances are added, the more the more of them wait.",
        )

    def _follow(self, trigger: Trigger) -> None:
        """Add two policies on a metric of the instances, one above its threshold, one below."""
        for name, side in (("ScaleOut", trigger.upper), ("ScaleIn", trigger.lower)):
            below = name == "ScaleIn"
            policy = self._policy(
                name,
                adjustment_type="PercentChangeInCapacity" if side.percent else "ChangeInCapacity",
                adjustments=((0, side.increment),),
                below=below,
                min_adjustment_magnitude=1 if side.percent else None,
            )
            self.alarms[name] = cloudwatch.CfnAlarm(
                self,
                f"{name}Alarm",
                alarm_description=f"{trigger.metric_name} of the instances is"
                f" {'below' if below else 'above'} its threshold.",
                comparison_operator="LessThanThreshold" if below else "GreaterThanThreshold",
                threshold=side.threshold,
                evaluation_periods=trigger.evaluation_periods,
                period=trigger.period_seconds,
                namespace="AWS/EC2",
                metric_name=trigger.metric_name,
                statistic=trigger.statistic,
                unit=trigger.metric_unit,
                dimensions=[
                    cloudwatch.CfnAlarm.DimensionProperty(name=key, value=value)
                    for key, value in self._group.items()
                ],
                treat_missing_data="notBreaching",
                alarm_actions=[policy.ref],
            )

    def _watch(
        self,
        policy: autoscaling.CfnScalingPolicy,
        *,
        below: bool,
        threshold: float,
        minutes: int,
        expression: str,
        metrics: Sequence[str],
        description: str,
    ) -> None:
        """Add the alarm that triggers a step policy, with the policy's name."""
        name = policy.node.id
        self.alarms[name] = cloudwatch.CfnAlarm(
            self,
            f"{name}Alarm",
            alarm_description=description,
            comparison_operator="LessThanThreshold" if below else "GreaterThanOrEqualToThreshold",
            threshold=threshold,
            evaluation_periods=minutes,
            datapoints_to_alarm=minutes,
            treat_missing_data="notBreaching",
            alarm_actions=[policy.ref],
            metrics=[*map(self._measured, metrics), _result(expression)],
        )

    def _policy(
        self,
        name: str,
        *,
        adjustment_type: str,
        adjustments: Sequence[tuple[float, int]],
        below: bool,
        min_adjustment_magnitude: int | None = None,
    ) -> autoscaling.CfnScalingPolicy:
        """Add a step policy; `adjustments` have distances from the alarm's threshold, rising."""
        policy = autoscaling.CfnScalingPolicy(
            self,
            name,
            auto_scaling_group_name=self._group_name,
            policy_type="StepScaling",
            adjustment_type=adjustment_type,
            min_adjustment_magnitude=min_adjustment_magnitude,
            metric_aggregation_type="Maximum",
            # Warm-up matters to policies that add; one that removes has none.
            estimated_instance_warmup=None if below else self._warmup_seconds,
            step_adjustments=_down(adjustments) if below else _up(adjustments),
        )
        self.policies[name] = policy
        return policy

    @property
    def _queue(self) -> Mapping[str, str]:
        return {"QueueName": self._queue_name}

    @property
    def _group(self) -> Mapping[str, str]:
        return {"AutoScalingGroupName": self._group_name}

    def _tracked(
        self, namespace: str, metric_name: str, dimensions: Mapping[str, str]
    ) -> autoscaling.CfnScalingPolicy.TargetTrackingMetricStatProperty:
        return autoscaling.CfnScalingPolicy.TargetTrackingMetricStatProperty(
            metric=autoscaling.CfnScalingPolicy.MetricProperty(
                namespace=namespace,
                metric_name=metric_name,
                dimensions=[
                    autoscaling.CfnScalingPolicy.MetricDimensionProperty(name=name, value=value)
                    for name, value in dimensions.items()
                ],
            ),
            stat="Average" if metric_name == _IN_SERVICE else "Maximum",
        )

    def _measured(self, id: str) -> cloudwatch.CfnAlarm.MetricDataQueryProperty:
        namespace, metric_name, stat = _METRICS[id]
        dimensions = self._queue if namespace == "AWS/SQS" else self._group
        return cloudwatch.CfnAlarm.MetricDataQueryProperty(
            id=id,
            metric_stat=cloudwatch.CfnAlarm.MetricStatProperty(
                metric=cloudwatch.CfnAlarm.MetricProperty(
                    namespace=namespace,
                    metric_name=metric_name,
                    dimensions=[
                        cloudwatch.CfnAlarm.DimensionProperty(name=name, value=value)
                        for name, value in dimensions.items()
                    ],
                ),
                period=_PERIOD_SECONDS,
                stat=stat,
            ),
            return_data=False,
        )


_VISIBLE: Final = "ApproximateNumberOfMessagesVisible"
_IN_SERVICE: Final = "GroupInServiceInstances"
#: Id in an expression -> namespace, metric, statistic.
_METRICS: Final = {
    "visible": ("AWS/SQS", _VISIBLE, "Maximum"),
    "in_flight": ("AWS/SQS", "ApproximateNumberOfMessagesNotVisible", "Maximum"),
    "delayed": ("AWS/SQS", "ApproximateNumberOfMessagesDelayed", "Maximum"),
    "instances": ("AWS/AutoScaling", _IN_SERVICE, "Average"),
}


def _result(expression: str) -> cloudwatch.CfnAlarm.MetricDataQueryProperty:
    return cloudwatch.CfnAlarm.MetricDataQueryProperty(
        id="result", expression=expression, return_data=True
    )


def _down(adjustments: Sequence[tuple[float, int]]) -> list[_Adjustment]:
    ((bound, adjustment),) = adjustments
    return [_Adjustment(scaling_adjustment=adjustment, metric_interval_upper_bound=bound)]


def _up(adjustments: Sequence[tuple[float, int]]) -> list[_Adjustment]:
    ends = [*(bound for bound, _ in adjustments[1:]), None]
    return [
        _Adjustment(
            scaling_adjustment=adjustment,
            metric_interval_lower_bound=bound,
            metric_interval_upper_bound=end,
        )
        for (bound, adjustment), end in zip(adjustments, ends, strict=True)
    ]
