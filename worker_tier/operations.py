"""What can be asked of a tier once it is built: its parts, grants, metrics, additions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import jsii
from aws_cdk import Duration, Token
from aws_cdk import aws_autoscaling as autoscaling
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from sqsd.contract import SqsdOptions
from worker_tier import network
from worker_tier.encryption import admit_publisher
from worker_tier.errors import InvalidProps
from worker_tier.fleet.fleet import WorkerFleet
from worker_tier.leader_table import LeaderTable
from worker_tier.monitoring.alarms import Monitoring
from worker_tier.monitoring.dashboard import TierDashboard
from worker_tier.monitoring.metrics import TierMetrics
from worker_tier.queues.queues import WorkerQueues
from worker_tier.scaling.scaling import QueueScaling


class TierOperations(Construct):
    """The half of `WorkerTier` that builds nothing by itself; not used alone."""

    #: What the daemon is told, defaults included.
    options: SqsdOptions
    #: Work queue and dead-letter queue.
    queues: WorkerQueues
    #: Group, launch template, role, security group.
    fleet: WorkerFleet
    #: None when nothing scales: `WorkerScaling.none()`, `single_instance`.
    scaling: QueueScaling | None
    #: None without an enabled periodic task.
    leader_table: LeaderTable | None
    #: None with `alarms=False`.
    monitoring: Monitoring | None
    #: None unless `dashboard=True`.
    tier_dashboard: TierDashboard | None
    #: Where the daemons' lines go.
    log_group: logs.ILogGroup
    _sleeps_by_schedule = False
    #: What daemons call the tier in metrics and logs.
    tier_name: str
    #: By which alarms, dashboards and `metric_*` see the tier.
    metrics: TierMetrics

    @property
    def queue(self) -> sqs.IQueue:
        """Where producers send."""
        return self.queues.queue

    @property
    def dead_letter_queue(self) -> sqs.IQueue | None:
        """Where messages end after `max_retries` receives; None when there is none."""
        return self.queues.dead_letter_queue

    @property
    def auto_scaling_group(self) -> autoscaling.AutoScalingGroup:
        """The instances."""
        return self.fleet.auto_scaling_group

    @property
    def launch_template(self) -> ec2.LaunchTemplate:
        """What instances are started from."""
        return self.fleet.launch_template

    @property
    def role(self) -> iam.IRole:
        """The instances' role."""
        return self.fleet.role

    @property
    def security_group(self) -> ec2.ISecurityGroup:
        """The instances' security group."""
        return self.fleet.security_group

    @property
    def notifications_topic(self) -> sns.ITopic:
        """Told of launches and terminations."""
        return self.fleet.notifications_topic

    @property
    def scaling_policies(self) -> Mapping[str, autoscaling.CfnScalingPolicy]:
        """By name, of those `ScaleOut`, `ScaleIn`, `Wake`, `Sleep` that there are."""
        return {} if self.scaling is None else self.scaling.policies

    @property
    def alarms(self) -> dict[str, cloudwatch.Alarm]:
        """The alarms for people, by name: `DeadLetters`, `OldestMessage`, `NoWorker`, `NoLeader`,
        `Unhealthy`; less those that have nothing to watch.
        """
        return {} if self.monitoring is None else self.monitoring.alarms

    @property
    def dashboard(self) -> cloudwatch.Dashboard | None:
        """One page on the tier; None unless `dashboard=True`."""
        return None if self.tier_dashboard is None else self.tier_dashboard.dashboard

    @property
    @jsii.member(jsii_name="connections")
    def connections(self) -> ec2.Connections:
        """For security group rules to and from the instances."""
        return self.fleet.connections

    @property
    @jsii.member(jsii_name="grantPrincipal")
    def grant_principal(self) -> iam.IPrincipal:
        """So that `bucket.grant_read(tier)` lets the application read."""
        return self.fleet.grant_principal

    def grant_send_messages(self, grantee: iam.IGrantable) -> iam.Grant:
        """Allow a producer to send to the work queue."""
        return self.queues.grant_send_messages(grantee)

    def grant_consume_messages(self, grantee: iam.IGrantable) -> iam.Grant:
        """Allow another consumer to receive from the work queue."""
        return self.queues.grant_consume_messages(grantee)

    def grant_purge(self, grantee: iam.IGrantable) -> iam.Grant:
        """Allow an operator to delete every message of the work queue."""
        return self.queues.grant_purge(grantee)

    def grant_redrive(self, grantee: iam.IGrantable) -> iam.Grant:
        """Allow an operator to move dead letters back into the work queue."""
        return self.queues.grant_redrive(grantee)

    def subscribe_to_topic(
        self,
        topic: sns.ITopic,
        *,
        filter_policy: Mapping[str, sns.SubscriptionFilter] | None = None,
        raw_message_delivery: bool = True,
    ) -> sns.CfnSubscription:
        """Let a topic send to the work queue.

        Everything stands on the tier's side, so the topic may be in any stack, even in one that
        uses the tier: the CDK's own subscription makes a cycle there (aws-cdk #1534).

        Args:
            filter_policy: on message attributes. Default: every message.
            raw_message_delivery: send the message alone, not in SNS's envelope; without it set
                `via_sns`. Default: True.

        Raises:
            InvalidProps: the work queue is imported, so its policy is out of reach; or it is a FIFO
                queue and the topic is none.
        """
        known = isinstance(topic, sns.Topic) or not Token.is_unresolved(topic.topic_arn)
        if self.queues.fifo and known and not topic.fifo:
            raise InvalidProps(
                self.node.path,
                [
                    f"subscribe_to_topic: {topic.node.path} is a standard topic, and SNS delivers"
                    " into FIFO queues from FIFO topics only; make it one with fifo=True"
                ],
            )
        if not self.queues.owned:
            raise InvalidProps(
                self.node.path,
                [
                    "subscribe_to_topic needs a queue of this app, whose policy then admits the"
                    " topic; subscribe where the queue is made"
                ],
            )
        self.queue.add_to_resource_policy(
            iam.PolicyStatement(
                actions=["sqs:SendMessage"],
                principals=[iam.ServicePrincipal("sns.amazonaws.com")],
                resources=[self.queue.queue_arn],
                conditions={"ArnEquals": {"aws:SourceArn": topic.topic_arn}},
            )
        )
        if self.queues.encryption_key is not None:
            admit_publisher(self.queues.encryption_key, "sns.amazonaws.com")
        conditions = filter_policy or {}
        return sns.CfnSubscription(
            self,
            f"Topic{topic.node.addr[-8:]}",
            topic_arn=topic.topic_arn,
            protocol="sqs",
            endpoint=self.queue.queue_arn,
            raw_message_delivery=raw_message_delivery,
            filter_policy={name: filter.conditions for name, filter in conditions.items()} or None,
        )

    def add_alarm_action(self, action: cloudwatch.IAlarmAction) -> None:
        """Let every alarm for people do `action` when it fires.

        A topic with a policy of its own must let CloudWatch in: `worker_tier.admit_alarms`.

        Raises:
            InvalidProps: there are no alarms.
        """
        if self.monitoring is None:
            raise InvalidProps(
                self.node.path,
                ["add_alarm_action: there are no alarms, by single_instance or alarms=False"],
            )
        self.monitoring.add_alarm_action(action)

    def add_to_role_policy(self, statement: iam.PolicyStatement) -> None:
        """Allow the application on the instances what `statement` says."""
        self.fleet.policy.add_statements(statement)

    def scale_on_schedule(
        self,
        id: str,
        *,
        schedule: autoscaling.Schedule,
        min_capacity: int | None = None,
        max_capacity: int | None = None,
        desired_capacity: int | None = None,
        start_time: datetime | None = None,
        end_time: datetime | None = None,
        time_zone: str | None = None,
    ) -> autoscaling.ScheduledAction:
        """Other bounds, or another size, at certain times.

        Args:
            schedule: such as `autoscaling.Schedule.cron(hour="8", minute="0")`.
            start_time, end_time: between which the schedule counts. Default: always.
            time_zone: such as `Asia/Shanghai`. Default: UTC.

        Raises:
            InvalidProps: an empty fleet would run no periodic task, or would never wake.
        """
        if 0 in (min_capacity, max_capacity, desired_capacity):
            if problem := self._empty_problem(off=max_capacity == 0):
                raise InvalidProps(self.node.path, [f"scale_on_schedule({id!r}): {problem}"])
            self._sleeps_by_schedule = True
        return self.auto_scaling_group.scale_on_schedule(
            id,
            schedule=schedule,
            min_capacity=min_capacity,
            max_capacity=max_capacity,
            desired_capacity=desired_capacity,
            start_time=start_time,
            end_time=end_time,
            time_zone=time_zone,
        )

    def _empty_problem(self, *, off: bool) -> str | None:
        """Why a schedule may not empty the fleet; `off` is until another one, whatever waits."""
        if self.leader_table is not None:
            return "a fleet that is empty runs no periodic task; keep min_capacity at 1 or more"
        if not off and self.scaling is not None and "Wake" not in self.scaling.policies:
            return (
                "nothing would wake an empty fleet; make the tier with min_capacity=0, which brings"
                " Wake and Sleep, or set max_capacity=0 to switch it off until another schedule"
            )
        return None

    def scale_on_metric(
        self,
        id: str,
        *,
        metric: cloudwatch.IMetric,
        scaling_steps: Sequence[autoscaling.ScalingInterval],
        adjustment_type: autoscaling.AdjustmentType | None = None,
        evaluation_periods: int | None = None,
        estimated_instance_warmup: Duration | None = None,
    ) -> autoscaling.StepScalingPolicy:
        """Steps on a metric of your own.

        Beside the tier's own policies the largest wish wins; `scaling=WorkerScaling.none()` leaves
        the fleet to yours alone.

        Args:
            scaling_steps: at least two, one of which may change nothing.
            adjustment_type: Default: instances to add or remove.
            evaluation_periods: of the metric, before anything happens. Default: 1.
            estimated_instance_warmup: Default: the fleet's.
        """
        return self.auto_scaling_group.scale_on_metric(
            id,
            metric=metric,
            scaling_steps=scaling_steps,
            adjustment_type=adjustment_type,
            evaluation_periods=evaluation_periods,
            estimated_instance_warmup=estimated_instance_warmup,
        )

    def metric_backlog_per_instance(
        self,
        *,
        period: Duration | None = None,
        label: str | None = None,
        color: str | None = None,
    ) -> cloudwatch.MathExpression:
        """Messages that wait for each instance in service."""
        return self.metrics.backlog_per_instance().with_(period=period, label=label, color=color)

    def metric_outstanding(
        self,
        *,
        period: Duration | None = None,
        label: str | None = None,
        color: str | None = None,
    ) -> cloudwatch.MathExpression:
        """Messages that wait or are in flight."""
        return self.metrics.outstanding().with_(period=period, label=label, color=color)

    def metric_oldest_message_age(
        self, *, statistic: str = cloudwatch.Stats.MAXIMUM, period: Duration | None = None
    ) -> cloudwatch.Metric:
        """Seconds since the oldest message was sent."""
        return self.metrics.oldest_message_age().with_(
            statistic=statistic, period=period or Duration.minutes(1)
        )

    def metric_dead_letters(
        self, *, statistic: str = cloudwatch.Stats.MAXIMUM, period: Duration | None = None
    ) -> cloudwatch.Metric:
        """Messages in the dead-letter queue.

        Raises:
            InvalidProps: there is none.
        """
        queue = self.dead_letter_queue
        if queue is None:
            raise InvalidProps(self.node.path, ["metric_dead_letters: there is no such queue"])
        return queue.metric_approximate_number_of_messages_visible(
            statistic=statistic, period=period or Duration.minutes(1)
        )

    def metric(
        self, name: str, *, statistic: str, period: Duration | None = None
    ) -> cloudwatch.Metric:
        """A metric that the daemons print, such as `MessagesDeleted`; docs/operations.md has all.

        Raises:
            InvalidProps: the tier has `metrics_namespace=None`, so they print none.
        """
        found = self.metrics.of_daemon(name, statistic)
        if found is None:
            raise InvalidProps(
                self.node.path,
                [f"metric {name!r}: metrics_namespace is None, so daemons print none; set it"],
            )
        return found.with_(period=period or Duration.minutes(1))

    @staticmethod
    def required_interface_endpoints(
        *,
        session_manager: bool = False,
        encryption_key: bool = False,
        container: bool = False,
        secrets: bool = False,
    ) -> dict[str, ec2.InterfaceVpcEndpointAwsService]:
        """`network.required_interface_endpoints`."""
        return network.required_interface_endpoints(
            session_manager=session_manager,
            encryption_key=encryption_key,
            container=container,
            secrets=secrets,
        )

    @staticmethod
    def add_vpc_endpoints(
        vpc: ec2.Vpc,
        *,
        subnets: ec2.SubnetSelection | None = None,
        session_manager: bool = False,
        encryption_key: bool = False,
        container: bool = False,
        secrets: bool = False,
        clients: Sequence[ec2.IConnectable] | None = None,
    ) -> None:
        """`network.add_vpc_endpoints`: all that a tier in isolated subnets needs."""
        network.add_vpc_endpoints(
            vpc,
            subnets=subnets,
            session_manager=session_manager,
            encryption_key=encryption_key,
            container=container,
            secrets=secrets,
            clients=clients,
        )
