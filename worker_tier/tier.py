"""WorkerTier: Elastic Beanstalk's worker tier as one construct."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final, cast

import jsii
from aws_cdk import Aws, Duration, Size, Stage
from aws_cdk import aws_autoscaling as autoscaling
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3_assets as s3_assets
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from sqsd import contract
from worker_tier import bootstrap
from worker_tier.assets import daemon_archive
from worker_tier.errors import InvalidProps
from worker_tier.fleet import WorkerFleet
from worker_tier.leader_table import LeaderTable
from worker_tier.monitoring import Monitoring
from worker_tier.plan import Plan, make_plan
from worker_tier.queues import WorkerQueues
from worker_tier.scaling import QueueScaling, WorkerScaling

_DEFAULT_WARMUP_SECONDS: Final = 120
#: For options that None switches off, so that it cannot stand for their default.
_DEFAULTS: Final = contract.SqsdOptions()


@jsii.implements(ec2.IConnectable, iam.IGrantable)
class WorkerTier(Construct):
    """A queue, and instances that POST each of its messages to the web application on them.

    Durations that become options of the daemon are whole seconds. Their names, defaults and ranges
    are Elastic Beanstalk's, described in `sqsd.contract.SqsdOptions`; None means that default.

    Args:
        vpc: where instances run; none is ever made for you.
        vpc_subnets: Default: private subnets with a way out.
        security_group: Default: a new one that lets everything out and nothing in.
        associate_public_ip_address: Default: what the subnet says.
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
        delete_expired: delete messages past `retention_period` without a POST. Default: True.
        health_path: a GET of it answers 2xx when the application can take messages. Default: its
            port must accept, no more.
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
        periodic_tasks: path of a `cron.yaml`, checked at synth. Default: none, and no leader table.
        instance_type: Default: t4g.small (Graviton).
        machine_image: Default: the newest Amazon Linux 2023 at each deployment.
        root_volume_size: Default: 8 GiB.
        min_capacity, max_capacity: bounds of the fleet. Default: 1 and 4. With `min_capacity` 0 it
            sleeps when nothing is outstanding and wakes on one message; periodic tasks forbid that.
        scaling: Default: a message waits for at most a minute, if the application takes a second
            for one.
        signal_timeout: how long a deployment waits for each instance to dispatch, up to 12 h.
            Default: 10 min. Not used when `min_capacity` is 0.
        oldest_message_age: age of the oldest waiting message that alarms. Default: 1 hour.
        alarm_actions: what each alarm does when it fires. Default: nothing.
        notifications_topic: told of launches and terminations. Default: a new one.

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
        retry_policy: str | None = None,
        delete_statuses: Sequence[str] | None = None,
        dead_letter_statuses: Sequence[str] | None = None,
        delete_expired: bool | None = None,
        health_path: str | None = None,
        extra_headers: Sequence[str] | None = None,
        via_sns: bool | None = None,
        signing_key_file: str | None = None,
        heartbeat: bool | None = None,
        drain_timeout: Duration | None = None,
        drain_on_rebalance: bool | None = None,
        log_format: str | None = None,
        metrics_namespace: str | None = _DEFAULTS.metrics_namespace,
        status_port: int | None = _DEFAULTS.status_port,
        periodic_tasks: str | None = None,
        instance_type: ec2.InstanceType | None = None,
        machine_image: ec2.IMachineImage | None = None,
        root_volume_size: Size | None = None,
        min_capacity: int = 1,
        max_capacity: int = 4,
        scaling: WorkerScaling | None = None,
        signal_timeout: Duration | None = None,
        oldest_message_age: Duration | None = None,
        alarm_actions: Sequence[cloudwatch.IAlarmAction] = (),
        notifications_topic: sns.ITopic | None = None,
    ) -> None:
        super().__init__(scope, id)
        plan = make_plan(
            self.node.path,
            {
                "http_path": http_path,
                "http_port": http_port,
                "http_host": http_host,
                "mime_type": mime_type,
                "http_connections": http_connections,
                "connect_timeout": connect_timeout,
                "inactivity_timeout": inactivity_timeout,
                "visibility_timeout": visibility_timeout,
                "error_visibility_timeout": error_visibility_timeout,
                "retention_period": retention_period,
                "max_retries": max_retries,
                "wait_time_seconds": wait_time_seconds,
                "retry_policy": retry_policy,
                "delete_statuses": delete_statuses,
                "dead_letter_statuses": dead_letter_statuses,
                "delete_expired": delete_expired,
                "health_path": health_path,
                "extra_headers": extra_headers,
                "via_sns": via_sns,
                "signing_key_file": signing_key_file,
                "heartbeat": heartbeat,
                "drain_timeout": drain_timeout,
                "drain_on_rebalance": drain_on_rebalance,
                "log_format": log_format,
                "metrics_namespace": metrics_namespace,
                "status_port": status_port,
            },
            min_capacity=min_capacity,
            max_capacity=max_capacity,
            scaling=scaling or WorkerScaling(),
            signal_timeout=signal_timeout,
            periodic_tasks=periodic_tasks,
        )
        warmup = Duration.seconds(_DEFAULT_WARMUP_SECONDS)
        #: What the daemon is told, defaults included.
        self.options = plan.options
        #: Work queue and dead-letter queue, with the grants that producers and operators need.
        self.queues = WorkerQueues(
            self,
            "Queues",
            visibility_timeout=Duration.seconds(plan.options.visibility_timeout),
            retention_period=Duration.seconds(plan.options.retention_period),
            max_retries=plan.options.max_retries,
        )
        #: None without an enabled periodic task.
        self.leader_table = LeaderTable(self, "LeaderTable") if plan.has_enabled_task else None
        self.fleet = WorkerFleet(
            self,
            "Fleet",
            vpc=vpc,
            vpc_subnets=vpc_subnets,
            security_group=security_group,
            associate_public_ip_address=associate_public_ip_address,
            instance_type=instance_type,
            machine_image=machine_image,
            root_volume_size=root_volume_size,
            min_capacity=plan.min_capacity,
            max_capacity=plan.max_capacity,
            drain_timeout_seconds=plan.options.drain_timeout,
            signal_timeout=Duration.seconds(plan.signal_timeout_seconds),
            instance_warmup=warmup,
            notifications_topic=notifications_topic,
        )
        #: The daemon and what it imports, as instances fetch it.
        self.daemon_asset = self._pack_daemon()
        self._allow_what_the_daemon_calls()
        self._write_user_data(plan)
        #: None when `scaling` is `WorkerScaling.none()`.
        self.scaling = plan.figures and QueueScaling(
            self,
            "Scaling",
            auto_scaling_group=self.fleet.auto_scaling_group,
            queue=self.queue,
            figures=plan.figures,
            instance_warmup=warmup,
        )
        self.monitoring = Monitoring(
            self,
            "Monitoring",
            queue=self.queue,
            dead_letter_queue=self.dead_letter_queue,
            oldest_message_age=oldest_message_age,
            alarm_actions=alarm_actions,
        )

    @property
    def queue(self) -> sqs.Queue:
        """Where producers send."""
        return self.queues.queue

    @property
    def dead_letter_queue(self) -> sqs.Queue:
        """Where messages end after `max_retries` receives."""
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
    def role(self) -> iam.Role:
        """The instances' role."""
        return self.fleet.role

    @property
    def alarms(self) -> dict[str, cloudwatch.Alarm]:
        """The alarms for people, by name: `DeadLetters`, `OldestMessage`."""
        return self.monitoring.alarms

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

    def add_alarm_action(self, action: cloudwatch.IAlarmAction) -> None:
        """Let every alarm for people do `action` when it fires."""
        self.monitoring.add_alarm_action(action)

    def add_to_role_policy(self, statement: iam.PolicyStatement) -> None:
        """Allow the application on the instances what `statement` says."""
        self.fleet.policy.add_statements(statement)

    def _pack_daemon(self) -> s3_assets.Asset:
        # Beside the CDK's own copy, for `cdk synth --no-staging` refers to the file where it is: it
        # must not vanish with this process.
        archive = daemon_archive()
        outdir = cast(Stage, Stage.of(self)).asset_outdir
        path = Path(outdir, f"worker-tier-daemon.{archive.sha256[:16]}.zip")
        path.write_bytes(archive.content)
        return s3_assets.Asset(self, "Daemon", path=str(path))

    def _allow_what_the_daemon_calls(self) -> None:
        self.queue.grant(self, *contract.QUEUE_ACTIONS)
        if self.leader_table is not None:
            self.queue.grant(self, *contract.ENQUEUE_ACTIONS)
            self.leader_table.grant_election(self)
        if self.options.dead_letter_statuses:
            self.dead_letter_queue.grant(self, *contract.ENQUEUE_ACTIONS)
        # The asset's own grant opens the whole bootstrap bucket.
        self.add_to_role_policy(
            iam.PolicyStatement(
                actions=["s3:GetObject"],
                resources=[
                    self.daemon_asset.bucket.arn_for_objects(self.daemon_asset.s3_object_key)
                ],
            )
        )

    def _write_user_data(self, plan: Plan) -> None:
        table = self.leader_table
        resources = contract.TierResources(
            queue_url=self.queue.queue_url,
            region=Aws.REGION,
            tier_name=Aws.STACK_NAME,
            dead_letter_queue_url=self.dead_letter_queue.queue_url,
            leader_table=None if table is None else table.table.table_name,
        )
        script = bootstrap.render_user_data(
            settings=contract.TierSettings(resources=resources, options=plan.options),
            bundle=bootstrap.Bundle(
                bucket=self.daemon_asset.s3_bucket_name,
                key=self.daemon_asset.s3_object_key,
                sha256=daemon_archive().sha256,
            ),
            signal=self.fleet.signal,
            cron_yaml=plan.cron_yaml,
        )
        if problem := bootstrap.size_problem(script):
            raise InvalidProps(self.node.path, [problem])
        self.fleet.set_user_data(script)
