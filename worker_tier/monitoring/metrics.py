"""The metrics of a tier: of its queue, its group and its daemons."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aws_cdk import Duration
from aws_cdk import aws_autoscaling as autoscaling
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_sqs as sqs

from sqsd.contract import metrics as names
from worker_tier.type_checks import example


@example("tier.metrics")
@dataclass(frozen=True, kw_only=True)
class TierMetrics:
    """Metrics with a period of a minute, and statistics that fit alarms.

    Methods return None for what the tier does not have; `with_` changes period and statistic.

    Args:
        queue: the work queue.
        dead_letter_queue: its dead-letter queue, or None.
        group: the instances.
        namespace: the namespace of the daemon's metrics, or None if it prints none.
        tier_name: the value of the dimension of the daemon's metrics.
        reported: whether the daemons' lines are known to reach CloudWatch, so that silence means
            something.
    """

    queue: sqs.IQueue
    dead_letter_queue: sqs.IQueue | None
    group: autoscaling.IAutoScalingGroup
    namespace: str | None
    tier_name: str
    reported: bool = False

    def visible(self) -> cloudwatch.Metric:
        """Messages that wait."""
        return self.queue.metric_approximate_number_of_messages_visible(**_latest())

    def in_flight(self) -> cloudwatch.Metric:
        """Messages that were received and neither deleted nor released."""
        return self.queue.metric_approximate_number_of_messages_not_visible(**_latest())

    def delayed(self) -> cloudwatch.Metric:
        """Messages whose delivery delay runs."""
        return self.queue.metric_approximate_number_of_messages_delayed(**_latest())

    def oldest_message_age(self) -> cloudwatch.Metric:
        """Age of the oldest message that waits or is in flight, in seconds."""
        return self.queue.metric_approximate_age_of_oldest_message(**_latest())

    def dead_letters(self) -> cloudwatch.Metric | None:
        """Messages in the dead-letter queue, or None without one.

        It counts what is visible there: SQS does not count what it moves itself as sent.
        """
        if self.dead_letter_queue is None:
            return None
        return self.dead_letter_queue.metric_approximate_number_of_messages_visible(**_latest())

    def instances(self) -> cloudwatch.Metric:
        """Instances in service."""
        return cloudwatch.Metric(
            namespace="AWS/AutoScaling",
            metric_name="GroupInServiceInstances",
            dimensions_map={"AutoScalingGroupName": self.group.auto_scaling_group_name},
            period=Duration.minutes(1),
            statistic=cloudwatch.Stats.AVERAGE,
        )

    def outstanding(self) -> cloudwatch.MathExpression:
        """Messages that wait or are in flight."""
        return _math(
            "visible + in_flight",
            {"visible": self.visible(), "in_flight": self.in_flight()},
            "outstanding messages",
        )

    def backlog_per_instance(self) -> cloudwatch.MathExpression:
        """Messages that wait for each instance in service; an empty group counts as one."""
        return _math(
            "visible / IF(instances > 0, instances, 1)",
            {"visible": self.visible(), "instances": self.instances()},
            "waiting messages per instance",
        )

    def waiting_without_worker(self) -> cloudwatch.MathExpression:
        """Messages that wait while no worker receives them; 0 while any does.

        Workers are the daemons that report, since an instance in service may still boot, or have a
        dead daemon; where daemons do not report, they are the instances in service.
        """
        reporting = self.reporting() if self.reported else None
        if reporting is not None:
            return _math(
                "IF(FILL(reporting, 0) < 1, visible, 0)",
                {"visible": self.visible(), "reporting": reporting},
                "messages that wait while no daemon reports",
            )
        return _math(
            "IF(instances < 1, visible, 0)",
            {"visible": self.visible(), "instances": self.instances()},
            "messages that wait while no instance is in service",
        )

    def reporting(self) -> cloudwatch.Metric | None:
        """Daemons that reported in a minute, each by one `Health`, or None if none is printed."""
        health = self.health()
        return None if health is None else health.with_(statistic=cloudwatch.Stats.SAMPLE_COUNT)

    def wellness(self) -> cloudwatch.IMetric | None:
        """1 while each instance in service has a healthy daemon, else 0, or None without metrics.

        Where silence means nothing it is `health` alone.
        """
        health, reporting = self.health(), self.reporting()
        if health is None or reporting is None or not self.reported:
            return health
        return _math(
            "IF(FILL(reporting, 0) < instances, 0, FILL(worst, 1))",
            {"reporting": reporting, "instances": self.instances(), "worst": health},
            "each instance has a daemon that is well",
        )

    def of_daemon(self, name: str, statistic: str) -> cloudwatch.Metric | None:
        """A metric that daemons print, such as `InFlight`, or None if they print none."""
        if self.namespace is None:
            return None
        return cloudwatch.Metric(
            namespace=self.namespace,
            metric_name=name,
            dimensions_map={names.TIER_DIMENSION: self.tier_name},
            period=Duration.minutes(1),
            statistic=statistic,
        )

    def health(self) -> cloudwatch.Metric | None:
        """Elastic Beanstalk's `Health` of the worst daemon, 1 is well, or None without metrics."""
        if self.namespace is None:
            return None
        return cloudwatch.Metric(
            namespace=names.HEALTH_NAMESPACE,
            metric_name=names.HEALTH_METRIC,
            dimensions_map={names.HEALTH_DIMENSION: self.tier_name},
            period=Duration.minutes(1),
            statistic=cloudwatch.Stats.MINIMUM,
        )


def _latest() -> dict[str, Any]:
    return {"period": Duration.minutes(1), "statistic": cloudwatch.Stats.MAXIMUM}


def _math(
    expression: str, metrics: Mapping[str, cloudwatch.IMetric], label: str
) -> cloudwatch.MathExpression:
    return cloudwatch.MathExpression(
        expression=expression, using_metrics=metrics, label=label, period=Duration.minutes(1)
    )
