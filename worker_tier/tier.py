"""WorkerTier: Elastic Beanstalk's worker tier as one construct."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final, Unpack, cast

import jsii
from aws_cdk import Aws, Duration, RemovalPolicy, Size, Stack
from aws_cdk import aws_autoscaling as autoscaling
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from sqsd import contract
from worker_tier.application.application import WorkerApplication
from worker_tier.application.daemon_asset import location_of, pack_daemon
from worker_tier.beanstalk.settings import OptionSettings, props_from
from worker_tier.checks import make_plan
from worker_tier.choices import LogFormat, RetryPolicy
from worker_tier.encryption import admit_services
from worker_tier.errors import InvalidProps
from worker_tier.fleet.capacity import WorkerCapacity
from worker_tier.fleet.fleet import WorkerFleet
from worker_tier.fleet.instance_user_data import TierUserData
from worker_tier.fleet.machine_image import WorkerMachineImage
from worker_tier.fleet.permissions import allow_what_daemons_call
from worker_tier.leader_table import LeaderTable
from worker_tier.monitoring.alarms import Monitoring
from worker_tier.monitoring.dashboard import TierDashboard
from worker_tier.monitoring.metrics import TierMetrics
from worker_tier.options import taken_by
from worker_tier.periodic import PeriodicTask
from worker_tier.props import TierProps
from worker_tier.queues.dead_letters import DeadLetterQueue
from worker_tier.queues.existing_queue import ExistingQueue
from worker_tier.queues.queues import WorkerQueues
from worker_tier.scaling.figures import WorkerScaling
from worker_tier.scaling.scaling import QueueScaling
from worker_tier.warnings import caution
from worker_tier_bootstrap.contract import CONTAINER, Application

#: For options that None switches off, so that it cannot stand for their default.
_DEFAULTS: Final = contract.SqsdOptions()


@jsii.implements(ec2.IConnectable, iam.IGrantable)
class WorkerTier(TierUserData):
    """A queue, and instances that POST each of its messages to the web application on them.

    Durations that become options of the daemon are whole seconds. Their names, defaults and ranges
    are Elastic Beanstalk's, described in `sqsd.contract.SqsdOptions`; None means that default.

    Args:
        vpc: where instances run; none is ever made for you.
        vpc_subnets: Default: private subnets with a way out.
        security_group: Default: a new one that lets everything out and nothing in.
        associate_public_ip_address: Default: what the subnet says.
        queue: one that exists: a queue of this app, or `ExistingQueue.imported(...)`. Default: a
            new one, with the options below.
        dead_letter_queue: for a new work queue a queue of this app, or a `DeadLetterQueue`, which
            may be none at all. Default: a new one.
        fifo: in order within a message group; the dead-letter queue follows. A fleet then has use
            for as many connections as there are groups. Default: False.
        content_based_deduplication, deduplication_scope, fifo_throughput_limit: of a FIFO queue.
        delivery_delay: of every message, at most 15 min. Default: none.
        max_message_size_bytes: 1 024 to 1 048 576. Default: SQS's own.
        receive_message_wait_time: long poll of receivers that name none, at most 20 s. Default:
            20 s.
        redrive_allow_policy: which queues may use the new work queue for their dead letters.
            Default: none.
        dead_letter_retention_period: 60 s to 14 days. Default: 14 days.
        encryption_key: encrypts queues, leader table, log group and topic. Volumes keep the
            account's key, for Auto Scaling could not start them with another. Default: AWS's own.
        data_key_reuse: how long SQS works with one data key of `encryption_key`, 1 min to 24 h;
            longer is cheaper. Default: SQS's own, 5 min.
        asset_key: of the bucket that the CDK uploads to, when it is a key of yours; instances must
            decrypt what they fetch. Default: none.
        enforce_ssl: new queues refuse requests without TLS. Default: True.
        removal_policy: what deleting the stack does to new queues. Default: destroys them.
        http_path: path of every ordinary POST. Default: `/`.
        http_port: port of the application on the instance. Default: 80.
        http_host: `Host` of every POST, when the application wants another. Default: `localhost`.
        mime_type: `Content-Type` of every ordinary POST. Default: `application/json`.
        http_connections: POSTs at one time on an instance, 1 to 100. Default: 50.
        connect_timeout: to connect to the application, 1 to 60 s. Default: 5 s.
        inactivity_timeout: without a byte after which a request is given up, 1 to 36 000 s.
            Default: 299 s.
        visibility_timeout: how long a received message stays hidden, 0 to 43 200 s. Default: 300 s.
        error_visibility_timeout: until a failed message is visible again, 0 to 43 200 s. Default:
            what is left of `visibility_timeout`.
        retention_period: after which a message is deleted, 60 to 1 209 600 s. Default: 4 days.
        max_retries: receives before the dead-letter queue, 1 to 100. Default: 10.
        wait_time_seconds: that a receive waits on an empty queue, 0 to 20. Default: 20.
        retry_policy: `eb` waits `error_visibility_timeout` each time, `backoff` longer each time.
            Default: `eb`.
        delete_statuses: answers besides 200 that delete a message, such as `204`. Default: none.
        dead_letter_statuses: answers that send a message to the dead-letter queue at once, such as
            `4xx`. Default: none.
        status_delays: seconds, or `backoff`, until a message that failed with a status is visible
            again, such as `409=30`; others go by `retry_policy`. Default: none.
        delete_expired: delete messages past `retention_period` without a POST. Default: True.
        health_path: a GET of it answers 2xx when the application can take messages. Default: its
            port must accept, and no proxy answer a GET with 502, 503 or 504.
        extra_headers: headers sent besides Elastic Beanstalk's. Default: none.
        via_sns: POST the message of an SNS envelope as the body. Default: False.
        signing_key_file: file on the instance with the secret that signs requests. Default: they
            are not signed.
        heartbeat: extend the visibility of messages whose request still runs. Default: True.
        drain_timeout: that requests in flight get when an instance stops, 0 to 7 200 s. Default:
            300 s.
        drain_on_rebalance: drain on EC2's rebalance recommendation too. Default: False.
        log_format: `json`, or `eb` for the lines of Elastic Beanstalk's daemon. Default: `json`.
        metrics_namespace: of the daemon's metrics; None for no metrics. Default: `WorkerTier`.
        status_port: loopback port of the daemon's health and metrics pages; None for none. Default:
            7773.
        periodic_tasks: path of a `cron.yaml`, or the tasks; checked at synth. Default: those of
            `application`; without any there is no leader table.
        application: what is installed on the instances. Default: `WorkerApplication.external()`,
            which leaves that to the machine image.
        instance_type: Default: t4g.small (Graviton).
        capacity: several types, or spot; instead of `instance_type`. Default: on demand.
        machine_image: Default: the newest Amazon Linux 2023 at each deployment.
        root_volume_size: encrypted, 8 GiB or more. Default: 8 GiB.
        root_volume_type: Default: gp3.
        http_put_response_hop_limit: 1 to 64. Default: 1, but 2 for an application in a container,
            which is one hop further from the metadata service.
        role: the instances', made elsewhere. Default: a new one.
        instance_principal: who may assume a new role. Default: `ec2.amazonaws.com`.
        session_manager: people may open a shell by AWS Systems Manager. Default: False.
        daemon_location: where the daemon's bundle was uploaded; docs/stack.md tells how. Default:
            the CDK uploads it.
        min_capacity, max_capacity: bounds of the fleet. Default: 1, and 4 or `min_capacity` if that
            is more. With `min_capacity` 0 it sleeps when nothing is outstanding and wakes on one
            message; periodic tasks forbid that.
        single_instance: one instance, no scaling and, unless `alarms` is True, no alarms, as in
            Elastic Beanstalk's environments of that kind. Default: False.
        scaling: Default: a message waits for at most a minute, if the application takes a second
            for one.
        default_instance_warmup: from launch until an instance receives. Default: 2 min.
        max_instance_lifetime: after which an instance is replaced, 1 to 365 days. Default: none.
        scale_in_protection: see `WorkerFleet`. Default: False.
        update_policy: how deployments replace instances. Default: one at a time, each awaited.
        signal_timeout: how long a deployment waits for each instance to dispatch, up to 1 h.
            Default: 10 min. Not used when `min_capacity` is 0.
        oldest_message_age: age of the oldest waiting message that alarms. Default: 1 hour.
        alarms: those for people. Default: True, but False with `single_instance`.
        alarm_actions: what each alarm does when it fires. Default: nothing.
        notifications_topic: told of launches and terminations. Default: a new one.
        log_group: for the daemons' lines. Default: a new one.
        log_retention: of the new one. Default: a month.
        dashboard: one page on the tier, which costs money. Default: False.
        detailed_monitoring: an instance metric a minute. Default: True.

    Raises:
        InvalidProps: with every problem found, not only the first.
        PackagingError: the daemon, or something it imports, is not installed beside this package.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        vpc: ec2.IVpc,
        vpc_subnets: ec2.SubnetSelection | None = None,
        security_group: ec2.ISecurityGroup | None = None,
        associate_public_ip_address: bool | None = None,
        queue: sqs.IQueue | ExistingQueue | None = None,
        dead_letter_queue: sqs.IQueue | DeadLetterQueue | None = None,
        fifo: bool | None = None,
        content_based_deduplication: bool | None = None,
        deduplication_scope: sqs.DeduplicationScope | None = None,
        fifo_throughput_limit: sqs.FifoThroughputLimit | None = None,
        delivery_delay: Duration | None = None,
        max_message_size_bytes: int | None = None,
        receive_message_wait_time: Duration | None = None,
        redrive_allow_policy: sqs.RedriveAllowPolicy | None = None,
        dead_letter_retention_period: Duration | None = None,
        encryption_key: kms.IKey | None = None,
        data_key_reuse: Duration | None = None,
        asset_key: kms.IKey | None = None,
        enforce_ssl: bool | None = None,
        removal_policy: RemovalPolicy = RemovalPolicy.DESTROY,
        http_path: str | None = None,
        http_port: int | None = None,
        http_host: str | None = None,
        mime_type: str | None = None,
        http_connections: int | None = None,
        connect_timeout: Duration | None = None,
        inactivity_timeout: Duration | None = None,
        visibility_timeout: Duration | None = None,
        error_visibility_timeout: Duration | None = None,
        retention_period: Duration | None = None,
        max_retries: int | None = None,
        wait_time_seconds: int | None = None,
        retry_policy: RetryPolicy | str | None = None,
        delete_statuses: Sequence[str] | None = None,
        dead_letter_statuses: Sequence[str] | None = None,
        status_delays: Sequence[str] | None = None,
        delete_expired: bool | None = None,
        health_path: str | None = None,
        extra_headers: Sequence[str] | None = None,
        via_sns: bool | None = None,
        signing_key_file: str | None = None,
        heartbeat: bool | None = None,
        drain_timeout: Duration | None = None,
        drain_on_rebalance: bool | None = None,
        log_format: LogFormat | str | None = None,
        metrics_namespace: str | None = _DEFAULTS.metrics_namespace,
        status_port: int | None = _DEFAULTS.status_port,
        periodic_tasks: str | Sequence[PeriodicTask] | None = None,
        application: WorkerApplication | None = None,
        instance_type: ec2.InstanceType | None = None,
        capacity: WorkerCapacity | None = None,
        machine_image: ec2.IMachineImage | WorkerMachineImage | None = None,
        root_volume_size: Size | None = None,
        root_volume_type: ec2.EbsDeviceVolumeType | None = None,
        http_put_response_hop_limit: int | None = None,
        role: iam.IRole | None = None,
        instance_principal: iam.IPrincipal | None = None,
        session_manager: bool = False,
        daemon_location: s3.Location | None = None,
        min_capacity: int | None = None,
        max_capacity: int | None = None,
        single_instance: bool = False,
        scaling: WorkerScaling | None = None,
        default_instance_warmup: Duration | None = None,
        max_instance_lifetime: Duration | None = None,
        scale_in_protection: bool = False,
        update_policy: autoscaling.UpdatePolicy | None = None,
        signal_timeout: Duration | None = None,
        oldest_message_age: Duration | None = None,
        alarms: bool | None = None,
        alarm_actions: Sequence[cloudwatch.IAlarmAction] = (),
        notifications_topic: sns.ITopic | None = None,
        log_group: logs.ILogGroup | None = None,
        log_retention: logs.RetentionDays | None = None,
        dashboard: bool = False,
        detailed_monitoring: bool = True,
    ) -> None:
        if periodic_tasks is None and application is not None:
            periodic_tasks = application.cron_file
        props = dict(locals())  # by name, for the checks
        super().__init__(scope, id)
        plan = make_plan(self, props)
        warmup = Duration.seconds(plan.warmup_seconds)
        #: What the daemon is told, defaults included.
        self.options = plan.options
        self._plan, self._tasks, self._key = plan, plan.tasks, encryption_key
        self._commands: list[str] = []
        self.tier_name = "-".join([Aws.STACK_NAME, *self.node.path.split("/")[_depth(self) :]])
        if encryption_key is not None:
            admit_services(self, encryption_key)
        # By name, for a prop of a part has the part's own name; what the plan decided wins.
        self.queues = WorkerQueues(
            self,
            "Queues",
            **taken_by(WorkerQueues.__init__, props)
            | {
                "visibility_timeout": Duration.seconds(plan.options.visibility_timeout),
                "retention_period": Duration.seconds(plan.options.retention_period),
                "max_retries": plan.options.max_retries,
            },
        )
        self.leader_table: LeaderTable | None = None
        self.fleet = WorkerFleet(
            self,
            "Fleet",
            **taken_by(WorkerFleet.__init__, props)
            | {
                "min_capacity": plan.min_capacity,
                "max_capacity": plan.max_capacity,
                "drain_timeout_seconds": plan.options.drain_timeout,
                "signal_timeout": Duration.seconds(plan.signal_timeout_seconds),
                "instance_warmup": warmup,
                "http_put_response_hop_limit": http_put_response_hop_limit
                or (2 if application is not None and application.kind == CONTAINER else None),
            },
        )
        self.log_group = log_group or logs.LogGroup(
            self,
            "Logs",
            encryption_key=encryption_key,
            removal_policy=RemovalPolicy.DESTROY,
            retention=log_retention or logs.RetentionDays.ONE_MONTH,
        )
        #: The daemon and what it imports, as instances fetch it; None with `daemon_location`.
        self.daemon_asset = None if daemon_location is not None else pack_daemon(self)
        self._daemon_location = daemon_location or location_of(self.daemon_asset)
        allow_what_daemons_call(self, self._daemon_location, asset_key)
        self._application = None if application is None else self._install(application)
        self.scaling = (
            None
            if plan.figures is None
            else QueueScaling(
                self,
                "Scaling",
                auto_scaling_group=self.fleet.auto_scaling_group,
                queue=self.queue,
                figures=plan.figures,
                instance_warmup=warmup,
            )
        )
        self.metrics = TierMetrics(
            queue=self.queue,
            dead_letter_queue=self.queues.dead_letter_queue,
            group=self.fleet.auto_scaling_group,
            namespace=plan.options.metrics_namespace,
            tier_name=self.tier_name,
            reported=plan.options.metrics_namespace is not None
            and self.fleet.machine_image.ships_logs,
        )
        wanted = not single_instance if alarms is None else alarms
        self.monitoring = self._watch(oldest_message_age, alarm_actions) if wanted else None
        if plan.tasks.enabled:
            self._elect_leaders()
        self.tier_dashboard = (
            TierDashboard(
                self,
                "Dashboard",
                metrics=self.metrics,
                alarms=self.alarms.values(),
                log_group=self.log_group,
            )
            if dashboard
            else None
        )
        self._write_user_data()
        caution(self, props, role_takes_policies=self.fleet.role_takes_policies)

    @staticmethod
    def from_option_settings(
        scope: Construct, id: str, settings: OptionSettings, **props: Unpack[TierProps]
    ) -> WorkerTier:
        """A tier from an Elastic Beanstalk environment's option settings.

        Args:
            settings: by namespace and option; a list of `namespace`, `option_name`, `value`, as in
                .ebextensions; or all that `aws elasticbeanstalk describe-configuration-settings`
                prints. Values that lose nothing here are passed over.
            props: those of `WorkerTier`, which win over settings; `vpc` when no setting names one.

        Raises:
            InvalidProps: with every setting that cannot be honoured, by name and with the reason.
        """
        problems: list[str] = []
        place = Construct(scope, f"{id}Settings")
        chosen = props_from(place, settings, cast(dict[str, Any], props), problems)
        if "vpc" not in chosen:
            problems.append("vpc is needed: pass it, or set aws:ec2:vpc:VPCId and :Subnets")
        if problems:
            raise InvalidProps(f"{scope.node.path}/{id}", problems)
        return WorkerTier(scope, id, **chosen)

    @property
    def visibility_timeout(self) -> Duration:
        """How long a message that an instance received stays hidden."""
        return Duration.seconds(self.options.visibility_timeout)

    def _install(self, application: WorkerApplication) -> Application:
        if application.kind == CONTAINER:
            self.fleet.allow_pulls(application.grant)
            application = replace(application, grant=lambda _: None)
        return application.bind(self, self)

    def _watch(
        self, oldest_message_age: Duration | None, actions: Sequence[cloudwatch.IAlarmAction]
    ) -> Monitoring:
        return Monitoring(
            self,
            "Monitoring",
            metrics=self.metrics,
            silence_alarms=self._plan.min_capacity > 0 and self.metrics.reported,
            instance_warmup=Duration.seconds(self._plan.warmup_seconds),
            oldest_message_age=oldest_message_age,
            alarm_actions=actions,
        )


def _depth(tier: Construct) -> int:
    """How many names of a path lead to its stack."""
    return len(Stack.of(tier).node.path.split("/"))
