"""The props of `WorkerTier` as a type, for what hands them on by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

from aws_cdk import Duration, RemovalPolicy, Size
from aws_cdk import aws_autoscaling as autoscaling
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs

from worker_tier.application.application import WorkerApplication
from worker_tier.choices import LogFormat, RetryPolicy
from worker_tier.fleet.capacity import WorkerCapacity
from worker_tier.fleet.machine_image import WorkerMachineImage
from worker_tier.periodic import PeriodicTask
from worker_tier.queues.dead_letters import DeadLetterQueue
from worker_tier.queues.existing_queue import ExistingQueue
from worker_tier.scaling.figures import WorkerScaling


class TierProps(TypedDict, total=False):
    """Described at `WorkerTier`, whose signature a test compares with this."""

    vpc: ec2.IVpc
    vpc_subnets: ec2.SubnetSelection | None
    security_group: ec2.ISecurityGroup | None
    associate_public_ip_address: bool | None
    queue: sqs.IQueue | ExistingQueue | None
    dead_letter_queue: sqs.IQueue | DeadLetterQueue | None
    fifo: bool | None
    content_based_deduplication: bool | None
    deduplication_scope: sqs.DeduplicationScope | None
    fifo_throughput_limit: sqs.FifoThroughputLimit | None
    delivery_delay: Duration | None
    max_message_size_bytes: int | None
    receive_message_wait_time: Duration | None
    redrive_allow_policy: sqs.RedriveAllowPolicy | None
    dead_letter_retention_period: Duration | None
    encryption_key: kms.IKey | None
    data_key_reuse: Duration | None
    asset_key: kms.IKey | None
    enforce_ssl: bool | None
    removal_policy: RemovalPolicy
    http_path: str | None
    http_port: int | None
    http_host: str | None
    mime_type: str | None
    http_connections: int | None
    connect_timeout: Duration | None
    inactivity_timeout: Duration | None
    visibility_timeout: Duration | None
    error_visibility_timeout: Duration | None
    retention_period: Duration | None
    max_retries: int | None
    wait_time_seconds: int | None
    retry_policy: RetryPolicy | str | None
    delete_statuses: Sequence[str] | None
    dead_letter_statuses: Sequence[str] | None
    status_delays: Sequence[str] | None
    delete_expired: bool | None
    health_path: str | None
    extra_headers: Sequence[str] | None
    via_sns: bool | None
    signing_key_file: str | None
    heartbeat: bool | None
    drain_timeout: Duration | None
    drain_on_rebalance: bool | None
    log_format: LogFormat | str | None
    metrics_namespace: str | None
    status_port: int | None
    periodic_tasks: str | Sequence[PeriodicTask] | None
    application: WorkerApplication | None
    instance_type: ec2.InstanceType | None
    capacity: WorkerCapacity | None
    machine_image: ec2.IMachineImage | WorkerMachineImage | None
    root_volume_size: Size | None
    root_volume_type: ec2.EbsDeviceVolumeType | None
    http_put_response_hop_limit: int | None
    role: iam.IRole | None
    instance_principal: iam.IPrincipal | None
    session_manager: bool
    daemon_location: s3.Location | None
    min_capacity: int | None
    max_capacity: int | None
    single_instance: bool
    scaling: WorkerScaling | None
    default_instance_warmup: Duration | None
    max_instance_lifetime: Duration | None
    scale_in_protection: bool
    update_policy: autoscaling.UpdatePolicy | None
    signal_timeout: Duration | None
    oldest_message_age: Duration | None
    alarms: bool | None
    alarm_actions: Sequence[cloudwatch.IAlarmAction]
    notifications_topic: sns.ITopic | None
    log_group: logs.ILogGroup | None
    log_retention: logs.RetentionDays | None
    dashboard: bool
    detailed_monitoring: bool
