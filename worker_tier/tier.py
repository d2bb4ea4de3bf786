"""WorkerTier: Elastic Beanstalk's worker tier as one construct."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final, Self, Unpack, cast

import jsii
from aws_cdk import Aws, Duration, Stack
from aws_cdk import aws_autoscaling as autoscaling
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from sqsd import contract
from worker_tier import network
from worker_tier.application.application import WorkerApplication
from worker_tier.application.daemon_asset import location_of, pack_daemon
from worker_tier.beanstalk.settings import OptionSettings, convert, with_bundle_settings
from worker_tier.checks import empty_fleet_problem, make_plan
from worker_tier.encryption import allow_services, own_key
from worker_tier.errors import InvalidProps
from worker_tier.fleet.fleet import WorkerFleet
from worker_tier.fleet.instance_user_data import InstanceUserData
from worker_tier.fleet.permissions import (
    grant_boot,
    grant_dispatch,
    grant_enqueue,
    grant_protection,
    statement_problems,
)
from worker_tier.leader_table import LeaderTable
from worker_tier.monitoring.alarms import Monitoring
from worker_tier.monitoring.dashboard import TierDashboard
from worker_tier.monitoring.metrics import TierMetrics
from worker_tier.periodic import PeriodicTask, with_task
from worker_tier.props import (
    CommonProps,
    SettingsProps,
    TierProps,
    instance_props,
    network_props,
    queue_props,
)
from worker_tier.props_help import with_props
from worker_tier.props_types import checked_props
from worker_tier.queues.queues import WorkerQueues
from worker_tier.ranges import period_problems
from worker_tier.removal import removed_with_the_stack
from worker_tier.scaling.own import metric_problems, schedule_problems
from worker_tier.scaling.scaling import QueueScaling
from worker_tier.type_checks import check_place, checked
from worker_tier.warnings import add_warnings
from worker_tier_bootstrap.contract import CONTAINER, Application

#: Hops to the metadata service from a container, which is one further away than its instance.
_HOPS_FROM_CONTAINER: Final = 2


@jsii.implements(ec2.IConnectable, iam.IGrantable)
class WorkerTier(Construct):
    """A queue, and instances that POST each of its messages to the web application on them.

    Its parts are public and can be used alone. Durations that become options of the daemon are
    whole seconds.

    Args:
        props: those of `worker_tier.props.TierProps`, which describes each of them.

    Raises:
        InvalidProps: with every problem found, not only the first.
        PackagingError: the daemon, or something it imports, is not installed beside this package.
    """

    def __init__(self, scope: Construct, id: str, **props: Unpack[TierProps]) -> None:
        """Make the tier; `worker_tier.props.TierProps` describes every prop."""
        check_place(scope, id)
        super().__init__(scope, id)
        problems: list[str] = []
        props = with_bundle_settings(self, props, problems)
        self._plan = make_plan(self, props, problems)
        self._tasks = self._plan.tasks
        self._key = own_key(props.get("encryption_key"))
        self._sleeps_by_schedule = False
        #: The options of the daemon, defaults included.
        self.options = self._plan.options
        #: What daemons call the tier in metrics and logs.
        self.tier_name = _name_of(self)
        if self._key is not None:
            allow_services(self, self._key)
        #: The work queue and the dead-letter queue.
        self.queues = self._new_queues(props)
        #: Group, launch template, role and security group of the instances.
        self.fleet = self._new_fleet(props)
        #: Where the daemons' lines go.
        self.log_group = self._log_group(props)
        location = props.get("daemon_location")
        #: The bundle of the daemon, as instances fetch it, or None with `daemon_location`.
        self.daemon_asset = pack_daemon(self) if location is None else None
        daemon = location_of(self.daemon_asset) if location is None else location
        grant_dispatch(
            self.fleet, self.queues, dead_letters=bool(self.options.dead_letter_statuses)
        )
        grant_boot(
            self.fleet,
            log_group=self.log_group,
            daemon=daemon,
            asset_key=props.get("asset_key"),
        )
        if self.options.protect_busy_instance:
            grant_protection(self.fleet)
        application = self._install(props.get("application"))
        #: Scaling policies and their alarms, or None with `single_instance` or
        #: `WorkerScaling.none()`.
        self.scaling = self._new_scaling()
        #: The metrics of the queue, the group and the daemons.
        self.metrics = self._new_metrics()
        #: The alarms for people, or None with `alarms=False`.
        self.monitoring = self._new_monitoring(props) if self._plan.alarms else None
        #: The table in which daemons elect a leader, or None without an enabled periodic task.
        self.leader_table = self._new_leader_table() if self._tasks.enabled else None
        #: The dashboard and its widgets, or None without `dashboard=True`.
        self.tier_dashboard = self._new_dashboard() if props.get("dashboard") else None
        self._user_data = InstanceUserData(
            self.node.path,
            self.fleet,
            daemon=daemon,
            settings=contract.TierSettings(resources=self._resources(), options=self.options),
            application=application,
            application_aws_access=_has_aws_access(props),
            cron_yaml=self._tasks.text,
        )
        add_warnings(self, props, self._tasks, role_takes_policies=self.fleet.role_takes_policies)

    @classmethod
    def from_option_settings(
        cls, scope: Construct, id: str, settings: OptionSettings, **props: Unpack[SettingsProps]
    ) -> Self:
        """Make a tier from the option settings of an Elastic Beanstalk environment.

        Args:
            settings: in any form in which people have them: options by namespace, the list of
                .ebextensions, a whole `.config` file, a saved configuration, all that `aws
                elasticbeanstalk describe-configuration-settings` prints, a template's or
                Terraform's list. A `str` is the text of a YAML or JSON document, a `pathlib.Path` a
                file of it, in UTF-8 or with the mark of another encoding.
                docs/reference/beanstalk-options.md has the outcome of each option; what is passed
                over and may be missed is a warning.
            props: those of `WorkerTier`, which win over settings, with a warning; `vpc` if no
                setting names one.

        Raises:
            InvalidProps: with every setting that cannot be honoured, by name and with the reason.
        """
        check_place(scope, id)
        problems: list[str] = []
        usable = checked_props(props, SettingsProps, "WorkerTier", problems)
        place = Construct(scope, f"{id}Settings")
        converted = convert(place, settings, usable, problems)
        named = converted.names_a_network or "vpc" in converted.props
        if not named and props.get("vpc") is None:
            problems.append("vpc is needed: pass it, or set aws:ec2:vpc:VPCId and :Subnets")
        if problems:
            raise InvalidProps(f"{scope.node.path}/{id}", problems)
        try:
            tier = cls(scope, id, **cast(TierProps, converted.props))
        except InvalidProps as error:
            explained = [converted.explained(problem) for problem in error.problems]
            raise InvalidProps(f"{scope.node.path}/{id}", explained) from None
        converted.finish(tier)
        return tier

    # ---- the parts

    def _new_queues(self, props: CommonProps) -> WorkerQueues:
        return WorkerQueues(
            self,
            "Queues",
            **queue_props(props),
            visibility_timeout=self.visibility_timeout,
            retention_period=Duration.seconds(self.options.retention_period),
            max_retries=self.options.max_retries,
        )

    def _new_fleet(self, props: TierProps) -> WorkerFleet:
        instances = instance_props(props)
        application = props.get("application")
        is_container = application is not None and application.kind == CONTAINER
        if is_container and _has_aws_access(props):
            hops = instances.get("http_put_response_hop_limit")
            instances["http_put_response_hop_limit"] = (
                _HOPS_FROM_CONTAINER if hops is None else hops
            )
        return WorkerFleet(
            self,
            "Fleet",
            vpc=props["vpc"],
            **network_props(props),
            **instances,
            encryption_key=self._key,
            removal_policy=props.get("removal_policy"),
            min_capacity=self._plan.min_capacity,
            max_capacity=self._plan.max_capacity,
            drain_timeout_seconds=self.options.drain_timeout,
            signal_timeout=self._plan.signal_timeout,
            instance_warmup=self._plan.warmup,
        )

    def _log_group(self, props: CommonProps) -> logs.ILogGroup:
        given = props.get("log_group")
        return self._new_log_group(props) if given is None else given

    def _new_log_group(self, props: CommonProps) -> logs.LogGroup:
        retention = props.get("log_retention")
        log_group = logs.LogGroup(
            self,
            "Logs",
            encryption_key=self._key,
            retention=logs.RetentionDays.ONE_MONTH if retention is None else retention,
        )
        removed_with_the_stack(log_group, props, retained_when_replaced=False)
        return log_group

    def _install(self, application: WorkerApplication | None) -> Application | None:
        """Upload the application, and let instances fetch it or pull its image."""
        if application is None:
            return None
        if application.kind == CONTAINER:
            self.fleet.allow_pulls(application.grant)
            application = replace(application, grant=lambda _: None)
        return application.bind(self, self)

    def _new_scaling(self) -> QueueScaling | None:
        if self._plan.figures is None:
            return None
        return QueueScaling(
            self,
            "Scaling",
            auto_scaling_group=self.fleet.auto_scaling_group,
            queue=self.queue,
            figures=self._plan.figures,
            instance_warmup=self._plan.warmup,
        )

    def _new_metrics(self) -> TierMetrics:
        namespace = self.options.metrics_namespace
        return TierMetrics(
            queue=self.queue,
            dead_letter_queue=self.queues.dead_letter_queue,
            group=self.fleet.auto_scaling_group,
            namespace=namespace,
            tier_name=self.tier_name,
            reported=namespace is not None and self.fleet.machine_image.ships_logs,
        )

    def _new_monitoring(self, props: CommonProps) -> Monitoring:
        actions = props.get("alarm_actions")
        return Monitoring(
            self,
            "Monitoring",
            metrics=self.metrics,
            silence_alarms=self._plan.min_capacity > 0 and self.metrics.reported,
            instance_warmup=self._plan.warmup,
            oldest_message_age=props.get("oldest_message_age"),
            alarm_actions=() if actions is None else actions,
        )

    def _new_leader_table(self) -> LeaderTable:
        """Make what enabled periodic tasks need: the table, rights, and an alarm."""
        table = LeaderTable(
            self,
            "LeaderTable",
            encryption_key=self._key,
            removal_policy=self._plan.removal_policy,
        )
        grant_enqueue(self.fleet, self.queues, table)
        if self.monitoring is not None:
            self.monitoring.watch_leader()
        return table

    def _new_dashboard(self) -> TierDashboard:
        return TierDashboard(
            self,
            "Dashboard",
            metrics=self.metrics,
            alarms=self.alarms.values(),
            log_group=self.log_group,
        )

    def _resources(self) -> contract.TierResources:
        dead_letters = self.queues.dead_letter_queue
        return contract.TierResources(
            queue_url=self.queue.queue_url,
            region=Aws.REGION,
            tier_name=self.tier_name,
            dead_letter_queue_url=None if dead_letters is None else dead_letters.queue_url,
            leader_table=self._leader_table_name,
            log_group=self.log_group.log_group_name,
        )

    @property
    def _leader_table_name(self) -> str | None:
        return None if self.leader_table is None else self.leader_table.table.table_name

    @property
    def queue(self) -> sqs.IQueue:
        """The work queue, which producers send to."""
        return self.queues.queue

    @property
    def dead_letter_queue(self) -> sqs.IQueue | None:
        """The queue that messages end in after `max_retries` receives, or None."""
        return self.queues.dead_letter_queue

    @property
    def auto_scaling_group(self) -> autoscaling.AutoScalingGroup:
        """The instances."""
        return self.fleet.auto_scaling_group

    @property
    def launch_template(self) -> ec2.LaunchTemplate:
        """The launch template of the instances."""
        return self.fleet.launch_template

    @property
    def role(self) -> iam.IRole:
        """The role of the instances."""
        return self.fleet.role

    @property
    def security_group(self) -> ec2.ISecurityGroup:
        """The security group of the instances."""
        return self.fleet.security_group

    @property
    def notifications_topic(self) -> sns.ITopic:
        """The topic that launches and terminations are published to."""
        return self.fleet.notifications_topic

    @property
    def scaling_policies(self) -> Mapping[str, autoscaling.CfnScalingPolicy]:
        """The scaling policies that exist, by name: `ScaleOut`, `ScaleIn`, `Wake`, `Sleep`."""
        return {} if self.scaling is None else self.scaling.policies

    @property
    def alarms(self) -> dict[str, cloudwatch.Alarm]:
        """The alarms for people that exist, by name: `DeadLetters`, `OldestMessage`, `NoWorker`,
        `NoLeader`, `Unhealthy`.
        """
        return {} if self.monitoring is None else self.monitoring.alarms

    @property
    def dashboard(self) -> cloudwatch.Dashboard | None:
        """The dashboard, or None without `dashboard=True`."""
        return None if self.tier_dashboard is None else self.tier_dashboard.dashboard

    @property
    def visibility_timeout(self) -> Duration:
        """How long a message that an instance received stays hidden."""
        return Duration.seconds(self.options.visibility_timeout)

    @property
    def environment(self) -> Mapping[str, str]:
        """The application's environment properties; empty if no application is installed here."""
        return self._user_data.environment

    # ---- what may be granted

    @property
    @jsii.member(jsii_name="connections")
    def connections(self) -> ec2.Connections:
        """The connections of the instances, for security group rules."""
        return self.fleet.connections

    @property
    @jsii.member(jsii_name="grantPrincipal")
    def grant_principal(self) -> iam.IPrincipal:
        """The principal of the instances, so that `bucket.grant_read(tier)` lets them read."""
        return self.fleet.grant_principal

    @checked
    def grant_send_messages(self, grantee: iam.IGrantable) -> iam.Grant:
        """Allow a producer to send to the work queue."""
        return self.queues.grant_send_messages(grantee)

    @checked
    def grant_consume_messages(self, grantee: iam.IGrantable) -> iam.Grant:
        """Allow another consumer to receive from the work queue."""
        return self.queues.grant_consume_messages(grantee)

    @checked
    def grant_purge(self, grantee: iam.IGrantable) -> iam.Grant:
        """Allow an operator to delete every message of the work queue."""
        return self.queues.grant_purge(grantee)

    @checked
    def grant_redrive(self, grantee: iam.IGrantable) -> iam.Grant:
        """Allow an operator to move dead letters back into the work queue."""
        return self.queues.grant_redrive(grantee)

    @checked
    def add_to_role_policy(self, statement: iam.PolicyStatement) -> None:
        """Allow the application on the instances what `statement` says.

        Raises:
            InvalidProps: it names no actions or no resources.
        """
        self._refuse("add_to_role_policy", statement_problems(statement))
        self.fleet.policy.add_statements(statement)

    # ---- what may be added

    @checked
    def subscribe_to_topic(
        self,
        topic: sns.ITopic,
        *,
        filter_policy: Mapping[str, sns.SubscriptionFilter] | None = None,
        raw_message_delivery: bool = True,
    ) -> sns.CfnSubscription:
        """Let a topic send to the work queue; see `WorkerQueues.subscribe_to_topic`."""
        return self.queues.subscribe_to_topic(
            topic,
            filter_policy=filter_policy,
            raw_message_delivery=raw_message_delivery,
            scope=self,
        )

    @checked
    def add_alarm_action(self, action: cloudwatch.IAlarmAction) -> None:
        """Let every alarm for people do `action` when it fires.

        A topic that has a policy must allow CloudWatch: `worker_tier.allow_alarms_to_publish`.

        Raises:
            InvalidProps: there are no alarms.
        """
        if self.monitoring is None:
            problem = "add_alarm_action: there are no alarms, by single_instance or alarms=False"
            raise InvalidProps(self.node.path, [problem])
        self.monitoring.add_alarm_action(action)

    @checked
    def add_environment(self, name: str, value: str) -> None:
        """Give the application an environment property.

        Raises:
            InvalidProps: no application is installed here, it has the property already, or the user
                data is full.
        """
        self._user_data.add_environment(name, value)

    @checked
    def add_user_data(self, *commands: str) -> None:
        """Run shell commands on each new instance, as root, before the daemon is installed.

        They run in bash's strict mode: a command that fails fails the boot, and CloudFormation is
        notified.

        A value that is known at deployment only, such as a parameter of the stack, is pasted in as
        it is and may end a quotation: let a command read it from Parameter Store instead.

        Raises:
            InvalidProps: the user data is full.
        """
        self._user_data.add_commands(commands)

    @checked
    def add_periodic_task(self, task: PeriodicTask) -> None:
        """Enqueue a task by its schedule; the first one makes the leader table.

        Raises:
            InvalidProps: the task has a mistake, the fleet may be empty, or the user data is full.
        """
        problems: list[str] = []
        tasks = with_task(self._tasks, task, problems)
        if tasks.enabled and self._plan.min_capacity == 0:
            problems.append(empty_fleet_problem(tasks))
        if tasks.enabled and self._sleeps_by_schedule:
            problems.append(
                "add_periodic_task: scale_on_schedule empties the fleet, which then runs no task;"
                " keep it at 1 or more"
            )
        if problems:
            raise InvalidProps(self.node.path, problems)
        # Before the table is made, for nothing that is refused may stay.
        self._user_data.set_periodic_tasks(tasks.text, leader_table=self._leader_table_name)
        self._tasks = tasks
        if tasks.enabled and self.leader_table is None:
            self.leader_table = self._new_leader_table()
            self._user_data.set_periodic_tasks(tasks.text, leader_table=self._leader_table_name)

    # ---- scaling of your own

    @checked
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
        """Give the fleet other bounds, or another size, at certain times.

        Args:
            schedule: the times, such as `autoscaling.Schedule.cron(hour="8", minute="0")`.
            start_time, end_time: bounds between which the schedule counts. Default: always.
            time_zone: time zone of the schedule, such as `Asia/Shanghai`. Default: UTC.

        Raises:
            InvalidProps: there is no size, a size is out of range, a time has no time zone, the id
                is taken, or an empty fleet would run no periodic task or would never wake.
        """
        sizes = {
            "min_capacity": min_capacity,
            "desired_capacity": desired_capacity,
            "max_capacity": max_capacity,
        }
        taken = self.auto_scaling_group.node.try_find_child(f"ScheduledAction{id}") is not None
        problems = schedule_problems(id, sizes, start_time, end_time, taken=taken)
        empties = 0 in sizes.values()
        if empties and (problem := self._empty_problem(until_scheduled=max_capacity == 0)):
            problems.append(problem)
        self._refuse(f"scale_on_schedule({id!r})", problems)
        self._sleeps_by_schedule = self._sleeps_by_schedule or empties
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

    def _refuse(self, call: str, problems: Sequence[str]) -> None:
        """Raise what is wrong with the arguments of a method, if anything is."""
        if problems:
            raise InvalidProps(self.node.path, [f"{call}: {problem}" for problem in problems])

    def _empty_problem(self, *, until_scheduled: bool) -> str | None:
        """Return why a schedule may not empty the fleet, or None if it may.

        Args:
            until_scheduled: whether the fleet stays empty until another schedule, whatever waits.
        """
        if self.leader_table is not None:
            return "a fleet that is empty runs no periodic task; keep min_capacity at 1 or more"
        if until_scheduled or self.scaling is None:
            return None
        return self.scaling.never_wakes_problem()

    @checked
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
        """Scale the fleet in steps on a metric of yours.

        Beside the tier's policies the largest wish wins; `scaling=WorkerScaling.none()` leaves the
        fleet to yours alone.

        Args:
            scaling_steps: at least two steps, one of which may change nothing.
            adjustment_type: meaning of a step's number. Default: instances to add or remove.
            evaluation_periods: periods of the metric before anything happens. Default: 1.
            estimated_instance_warmup: time until a new instance counts. Default: the fleet's.

        Raises:
            InvalidProps: the steps are fewer than two or overlap, the number of periods is out of
                range, or the id is taken.
        """
        taken = self.auto_scaling_group.node.try_find_child(id) is not None
        problems = metric_problems(id, scaling_steps, evaluation_periods, taken=taken)
        self._refuse(f"scale_on_metric({id!r})", problems)
        try:
            return self.auto_scaling_group.scale_on_metric(
                id,
                metric=metric,
                scaling_steps=scaling_steps,
                adjustment_type=adjustment_type,
                evaluation_periods=evaluation_periods,
                estimated_instance_warmup=estimated_instance_warmup,
            )
        except RuntimeError as error:  # of JavaScript: steps that are not one after the other
            self.auto_scaling_group.node.try_remove_child(id)
            reason = str(error).splitlines()[0]
            problem = f"scaling_steps must follow each other without overlap: {reason}"
            raise InvalidProps(self.node.path, [f"scale_on_metric({id!r}): {problem}"]) from None

    # ---- metrics; `metrics` has all of them

    @checked
    def metric_backlog_per_instance(
        self, *, period: Duration | None = None, label: str | None = None, color: str | None = None
    ) -> cloudwatch.MathExpression:
        """Return the number of messages that wait for each instance in service."""
        self._refuse("metric_backlog_per_instance", period_problems(period))
        return self.metrics.backlog_per_instance().with_(period=period, label=label, color=color)

    @checked
    def metric_outstanding(
        self, *, period: Duration | None = None, label: str | None = None, color: str | None = None
    ) -> cloudwatch.MathExpression:
        """Return the number of messages that wait or are in flight."""
        self._refuse("metric_outstanding", period_problems(period))
        return self.metrics.outstanding().with_(period=period, label=label, color=color)

    @checked
    def metric_oldest_message_age(
        self, *, statistic: str = cloudwatch.Stats.MAXIMUM, period: Duration | None = None
    ) -> cloudwatch.Metric:
        """Return the seconds since the oldest message was sent."""
        self._refuse("metric_oldest_message_age", period_problems(period))
        return self.metrics.oldest_message_age().with_(statistic=statistic, period=period)

    @checked
    def metric_dead_letters(
        self, *, statistic: str = cloudwatch.Stats.MAXIMUM, period: Duration | None = None
    ) -> cloudwatch.Metric:
        """Return the number of messages in the dead-letter queue.

        Raises:
            InvalidProps: there is no dead-letter queue.
        """
        self._refuse("metric_dead_letters", period_problems(period))
        metric = self.metrics.dead_letters()
        if metric is None:
            raise InvalidProps(self.node.path, ["metric_dead_letters: there is no such queue"])
        return metric.with_(statistic=statistic, period=period)

    @checked
    def metric(
        self, name: str, *, statistic: str, period: Duration | None = None
    ) -> cloudwatch.Metric:
        """Return a metric that the daemons print, such as `MessagesDeleted`.

        docs/guide/operate.md lists all of them.

        Raises:
            InvalidProps: the tier has `metrics_namespace=None`, so daemons print no metrics.
        """
        self._refuse("metric", period_problems(period))
        metric = self.metrics.of_daemon(name, statistic)
        if metric is None:
            raise InvalidProps(
                self.node.path,
                [f"metric {name!r}: metrics_namespace is None, so daemons print none; set it"],
            )
        return metric.with_(period=period)

    # ---- networks without a way out

    required_interface_endpoints = staticmethod(network.required_interface_endpoints)
    add_vpc_endpoints = staticmethod(network.add_vpc_endpoints)


# For `help(WorkerTier)`; reading the descriptions takes about 2 ms of an import of seconds.
WorkerTier.__doc__ = with_props(WorkerTier.__doc__, TierProps)


def _has_aws_access(props: CommonProps) -> bool:
    return props.get("application_aws_access") is not False


def _name_of(tier: Construct) -> str:
    """Return the tier's path with the deployed stack's name in place of the stack's path."""
    names_of_stack = len(Stack.of(tier).node.path.split("/"))
    return "-".join([Aws.STACK_NAME, *tier.node.path.split("/")[names_of_stack:]])
