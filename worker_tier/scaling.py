"""How the fleet follows the queue.

Out by what waits, in by what waits or is in flight: a policy that watches waiting messages alone
cannot tell a busy instance from an idle one and ends work in flight. The figures are decided by a
pure function; the construct only renders them. Missing data never acts: SQS stops publishing for a
queue that was idle for hours, and silence is no reason to end an instance.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from aws_cdk import Duration
from aws_cdk import aws_autoscaling as autoscaling
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from worker_tier.options import duration_seconds

_PERIOD_SECONDS: Final = 60
#: Minutes of quiet before an instance leaves, and before the last one does.
_IDLE_MINUTES: Final = 15
_SLEEP_MINUTES: Final = 15
#: A tenth of a large fleet leaves at a time, of a small one a single instance.
_SCALE_IN_PERCENT: Final = -10
_DEFAULT_LATENCY_SECONDS: Final = 60
_DEFAULT_PROCESSING_SECONDS: Final = 1


@dataclass(frozen=True, kw_only=True)
class WorkerScaling:
    """A way of scaling; made by the static methods, not by hand."""

    acceptable_latency: Duration | None = None
    message_processing_time: Duration | None = None
    backlog: float | None = None
    enabled: bool = True

    @staticmethod
    def target_latency(
        acceptable_latency: Duration, message_processing_time: Duration
    ) -> WorkerScaling:
        """Keep a new message waiting for at most `acceptable_latency`.

        Args:
            acceptable_latency: how long a message may wait before its POST.
            message_processing_time: what the application takes for one, on average.
        """
        return WorkerScaling(
            acceptable_latency=acceptable_latency, message_processing_time=message_processing_time
        )

    @staticmethod
    def backlog_per_instance(messages: float) -> WorkerScaling:
        """Keep at most so many messages waiting for each instance in service; above 0."""
        return WorkerScaling(backlog=messages)

    @staticmethod
    def none() -> WorkerScaling:
        """No alarms and no policies: the fleet keeps its size, or other policies change it."""
        return WorkerScaling(enabled=False)


@dataclass(frozen=True, kw_only=True)
class ScalingFigures:
    """What the policies aim at.

    Args:
        backlog_per_instance: waiting messages an instance that scaling out aims at.
        idle_below: waiting and in-flight messages an instance under which one instance leaves.
        may_sleep: whether the fleet goes to zero when nothing is outstanding, and wakes on one
            message.
    """

    backlog_per_instance: float
    idle_below: float
    may_sleep: bool


def scaling_figures(
    *,
    http_connections: int,
    acceptable_latency_seconds: float,
    message_processing_seconds: float,
    min_capacity: int,
) -> ScalingFigures:
    """The policies' figures from what the application takes and may take.

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
    """The policies' figures for a backlog per instance that was chosen by hand.

    One instance leaves while fewer than half of all connections are taken: with two instances or
    more the others then have a free connection for each of its messages. Half of the backlog bounds
    it too, or what scaled in would scale out again.
    """
    return ScalingFigures(
        backlog_per_instance=backlog,
        idle_below=min(http_connections, backlog) / 2,
        may_sleep=min_capacity == 0,
    )


def decide_figures(
    scaling: WorkerScaling, *, http_connections: int, min_capacity: int, problems: list[str]
) -> ScalingFigures | None:
    """The figures of `scaling`; None when it has none, or is unusable and `problems` tells why."""
    if not scaling.enabled:
        return None
    if scaling.backlog is not None:
        if scaling.backlog > 0:
            return figures_for_backlog(
                scaling.backlog, http_connections=http_connections, min_capacity=min_capacity
            )
        problems.append(
            f"WorkerScaling.backlog_per_instance must be above 0, got {scaling.backlog!r}"
        )
        return None
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


def _positive(
    name: str, value: Duration | None, default: float, problems: list[str]
) -> float | None:
    if value is None:
        return default
    if value.is_unresolved():
        duration_seconds(name, value, problems)  # words the problem
        return None
    seconds = value.to_seconds(integral=False)
    if seconds > 0:
        return seconds
    problems.append(f"{name} must be above 0, got {seconds} s")
    return None


class QueueScaling(Construct):
    """Scaling policies on a group, and the alarms on a queue that drive them.

    Args:
        auto_scaling_group: must publish `GroupInServiceInstances`, which is off by default.
        queue: in the group's own region, or its metrics are out of reach.
        figures: what to aim at.
        instance_warmup: time from launch until an instance receives; it is not counted before.
    """

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
        #: By name: `ScaleOut`, `ScaleIn`, and for a fleet that may be empty `Wake` and `Sleep`.
        self.policies: dict[str, autoscaling.CfnScalingPolicy] = {}
        #: The alarms of ours behind them, by the same names; target tracking makes its own.
        self.alarms: dict[str, cloudwatch.CfnAlarm] = {}
        self._scale_out(figures.backlog_per_instance)
        self._scale_in(figures.idle_below)
        if figures.may_sleep:
            self._wake()
            self._sleep()

    def _scale_out(self, backlog: float) -> None:
        """Target tracking on waiting messages an instance; never scales in.

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
        """One instance less after minutes with less outstanding than `idle_below` an instance.

        The last instance never leaves by this: there the expression gives what does not alarm.
        """
        self._step(
            "ScaleIn",
            adjustment_type="PercentChangeInCapacity",
            adjustment=_SCALE_IN_PERCENT,
            min_adjustment_magnitude=1,
            below=True,
            threshold=idle_below,
            minutes=_IDLE_MINUTES,
            expression=f"IF(instances > 1, visible + in_flight, {idle_below + 1})"
            " / IF(instances > 1, instances, 1)",
            metrics=("visible", "in_flight", "instances"),
            description="Few messages outstanding for each instance: one leaves.",
        )

    def _wake(self) -> None:
        """An instance for an empty group as soon as one message waits.

        Target tracking's alarm is strictly above its target, so one message never wakes a group
        (copilot-cli #3376). It adds one instead of setting the size to one: while this alarms,
        another policy may already have asked for more.
        """
        self._step(
            "Wake",
            adjustment_type="ChangeInCapacity",
            adjustment=1,
            below=False,
            threshold=1,
            minutes=1,
            expression="IF(instances < 1, visible, 0)",
            metrics=("visible", "instances"),
            description="Messages wait and no instance is in service.",
        )

    def _sleep(self) -> None:
        self._step(
            "Sleep",
            adjustment_type="ExactCapacity",
            adjustment=0,
            below=True,
            threshold=1,
            minutes=_SLEEP_MINUTES,
            expression="visible + in_flight + delayed",
            metrics=("visible", "in_flight", "delayed"),
            description="Nothing waits, nothing is in flight, nothing is delayed.",
        )

    def _step(
        self,
        name: str,
        *,
        adjustment_type: str,
        adjustment: int,
        below: bool,
        threshold: float,
        minutes: int,
        expression: str,
        metrics: Sequence[str],
        description: str,
        min_adjustment_magnitude: int | None = None,
    ) -> None:
        step = autoscaling.CfnScalingPolicy.StepAdjustmentProperty(
            scaling_adjustment=adjustment,
            metric_interval_upper_bound=0 if below else None,
            metric_interval_lower_bound=None if below else 0,
        )
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
            step_adjustments=[step],
        )
        self.policies[name] = policy
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
