"""The props of a tier: the only list of them, in groups.

Each key carries its description: what it means, "Default:" with what happens without it, and when
to choose otherwise. Editors show it, `help(WorkerTier)` prints it, and docs/reference/props.md is
generated from it. For every prop None means the default, except for `metrics_namespace` and
`status_port`, which None switches off.

A group is what one part takes, so that a tier on another host can combine other groups.
"""

# Annotations are evaluated on purpose: without that `Required` is not seen at run time.

from collections.abc import Collection, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Required, TypedDict, TypeVar, cast

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


class NetworkProps(TypedDict, total=False):
    """Subnets, addresses and security group."""

    vpc_subnets: ec2.SubnetSelection | None
    """Subnets of the instances. Default: private subnets with a way out. Choose isolated subnets
    together with `WorkerTier.add_vpc_endpoints`, or public ones with `associate_public_ip_address`
    to save a NAT gateway."""

    security_group: ec2.ISecurityGroup | None
    """Security group of the instances. Default: a new one that lets everything out and nothing in.
    Pass one that a database or a cache already admits."""

    associate_public_ip_address: bool | None
    """Whether instances get a public IPv4 address. Default: the subnet decides. Set True in public
    subnets, where it is the only way out."""


class QueueProps(TypedDict, total=False):
    """Queues."""

    queue: sqs.IQueue | ExistingQueue | None
    """A work queue that exists: a queue of this app, or `ExistingQueue.imported(...)`. It is not
    changed, so the props that describe a new queue are refused with it. Default: a new queue, made
    from the props below."""

    dead_letter_queue: sqs.IQueue | DeadLetterQueue | None
    """Dead-letter queue of a new work queue: a queue of this app, `DeadLetterQueue.imported(...)`,
    or `DeadLetterQueue.none()`. Default: a new queue. Share one between tiers to watch a single
    place."""

    fifo: bool | None
    """Whether the new queues are FIFO queues, which keep the order within a message group. A fleet
    then has use for as many connections as there are message groups. Changing it later replaces
    both queues: the old ones are retained with their messages, and nothing reads them. Default:
    False."""

    content_based_deduplication: bool | None
    """Whether SQS derives the deduplication id of a FIFO message from its body. Default: False, so
    producers send an id. Set True when equal bodies are the same message."""

    deduplication_scope: sqs.DeduplicationScope | None
    """Whether a FIFO queue deduplicates within the queue or within a message group. Default:
    `QUEUE`. Choose `MESSAGE_GROUP` for high throughput."""

    fifo_throughput_limit: sqs.FifoThroughputLimit | None
    """Whether the throughput quota of a FIFO queue counts per queue or per message group. Default:
    `PER_QUEUE`. `PER_MESSAGE_GROUP_ID` needs `deduplication_scope` `MESSAGE_GROUP`, and gives high
    throughput."""

    delivery_delay: Duration | None
    """Delay before each new message becomes visible, 0 s to 15 min. Default: no delay."""

    max_message_size_bytes: int | None
    """Largest message that a new queue accepts, 1 024 to 1 048 576 bytes. Default: SQS's own
    limit, 1 MiB."""

    receive_message_wait_time: Duration | None
    """Long poll of receivers that do not name a time, 0 to 20 s; the daemon names its own,
    `wait_time_seconds`. Default: 20 s, the longest that SQS allows."""

    redrive_allow_policy: sqs.RedriveAllowPolicy | None
    """Which queues may use the new work queue as their dead-letter queue. Default: no queue may,
    because the daemon would POST what another system failed to process."""

    dead_letter_retention_period: Duration | None
    """How long the new dead-letter queue stores a message, 60 s to 14 days. In a standard queue the
    time in the work queue counts too, so it must not be below `retention_period`. Default: 14
    days."""

    data_key_reuse: Duration | None
    """How long SQS uses one data key of `encryption_key` before it asks KMS for another, 1 min to
    24 h. Default: 5 min, as in SQS. A longer time means fewer KMS requests, which cost money."""

    enforce_ssl: bool | None
    """Whether new queues refuse requests without TLS. Default: True."""


class RemovalProps(TypedDict, total=False):
    """Removal."""

    removal_policy: RemovalPolicy | None
    """What deleting the stack, or taking a part out of it, does to what stores something: the new
    queues, the leader table, the new log group and the new topic. Default: they are destroyed,
    queues with their messages. Choose `RETAIN` when messages must survive the stack. An update that
    replaces a queue always retains the old one; docs/guide/deploy.md says which changes do, and how
    to drain it."""


class EncryptionProps(TypedDict, total=False):
    """Encryption."""

    encryption_key: kms.IKey | None
    """KMS key that encrypts new queues, the leader table, the log group and the notification topic.
    Volumes stay with the account's default key, because Auto Scaling could not start instances with
    another. Default: keys that AWS owns."""


class SqsdProps(TypedDict, total=False):
    """Options of the daemon.

    Their names are those of `sqsd.contract.SqsdOptions`; names, defaults and ranges are Elastic
    Beanstalk's wherever it has the option. Durations are whole seconds.
    """

    http_path: str | None
    """Path of every POST, except those of periodic tasks. Elastic Beanstalk: `HttpPath`. Default:
    `/`."""

    http_host: str | None
    """Host that the daemon connects to, in plain HTTP. Default: `localhost`. Another machine needs
    signed requests (`signing_key_file`), and `cdk synth` warns of it."""

    host_header: str | None
    """`Host` header of every request, for applications that serve several hosts. Default:
    `http_host`, with `http_port` unless that is 80."""

    http_port: int | None
    """Port that the daemon POSTs to, 1 to 65 535. Default: 80, where nginx stands before the
    application."""

    mime_type: str | None
    """`Content-Type` of every POST, except those of periodic tasks. Elastic Beanstalk: `MimeType`.
    Default: `application/json`."""

    user_agent: str | None
    """`User-Agent` of every request. Default: `aws-sqsd/3.0.5 (worker-tier)`. Applications and
    frameworks that serve Elastic Beanstalk test that it begins with `aws-sqsd`."""

    http_connections: int | None
    """POSTs at one time on an instance, 1 to 100. Elastic Beanstalk: `HttpConnections`. Default:
    50. Lower it to what the application works on at once: more only wait inside it."""

    connect_timeout: Duration | None
    """How long a connection to the application may take, 1 to 60 s. Elastic Beanstalk:
    `ConnectTimeout`. Default: 5 s."""

    inactivity_timeout: Duration | None
    """How long a request may pass without a byte of its response before it fails, 1 to 36 000 s.
    Elastic Beanstalk: `InactivityTimeout`. Default: 299 s. Raise it above your longest job."""

    visibility_timeout: Duration | None
    """How long a received message stays hidden from other receivers, 0 to 43 200 s. Elastic
    Beanstalk: `VisibilityTimeout`. Default: 300 s. With `heartbeat` it need not cover your longest
    job; it is what a message waits after an instance was lost."""

    error_visibility_timeout: Duration | None
    """How long a failed message waits before it is visible again, 0 to 43 200 s. Elastic Beanstalk:
    `ErrorVisibilityTimeout`. Default: the rest of `visibility_timeout`. Set a few seconds when
    failures are brief."""

    retention_period: Duration | None
    """Age at which a message is deleted without a POST, 60 to 1 209 600 s. Elastic Beanstalk:
    `RetentionPeriod`. Default: 4 days. It must be at least `visibility_timeout` x `max_retries`."""

    max_retries: int | None
    """Receives before SQS moves a message to the dead-letter queue, 1 to 100. Elastic Beanstalk:
    `MaxRetries`. Default: 10."""

    wait_time_seconds: int | None
    """Seconds that a receive waits on an empty queue, 0 to 20; SQS's `WaitTimeSeconds`. Default:
    20. A shorter wait lets an idle daemon stop sooner and costs more requests."""

    retry_policy: RetryPolicy | str | None
    """How the delay of a failed message grows: `eb` waits `error_visibility_timeout` each time,
    `backoff` doubles the delay with each receive, with jitter. Default: `eb`."""

    delete_statuses: Sequence[str] | None
    """Response statuses besides 200 that delete a message, such as `204` or `2xx`. Default: none;
    only 200 deletes."""

    dead_letter_statuses: Sequence[str] | None
    """Response statuses that move a message to the dead-letter queue at once, such as `422` or
    `4xx`. Default: none. Use it for messages that can never succeed."""

    on_dead_letter_path: str | None
    """Path on which the application is POSTed a message whose last attempt has failed, before it is
    in the dead-letter queue; header `X-Aws-Sqsd-Dead-Letter-Reason` says why. At least once; what
    SQS moves by itself is not POSTed. Default: none."""

    backpressure_statuses: Sequence[str] | None
    """Response statuses with which the application asks for a message again later, such as `429`:
    the message is held, and posted again after `Retry-After`, or after a growing pause. No receive
    is spent. Default: none."""

    status_delays: Sequence[str] | None
    """Delay by response status, in seconds or `backoff`, such as `409=30` or `5xx=backoff`; other
    statuses follow `retry_policy`. Default: none."""

    delete_expired: bool | None
    """Whether the daemon deletes messages older than `retention_period` without a POST. Default:
    True. Set False to leave that to the queue's own retention."""

    health_path: str | None
    """Path of a GET that answers 2xx when the application can take messages. Default: none; the
    application's port must accept, and a proxy must not answer with 502 or 503."""

    extra_headers: Sequence[str] | None
    """Headers to send besides Elastic Beanstalk's, such as `traceparent`; docs/guide/configure.md
    lists them. Default: none."""

    attribute_header_bytes: int | None
    """Most bytes of names and values of the headers made of message attributes, 1 024 to 1 048 576;
    attributes beyond it are left out and logged. Default: 65 536. Set it below your server's limit
    on headers."""

    via_sns: bool | None
    """Whether to POST the `Message` of an SNS envelope as the body. Default: False. Set True for a
    subscription without raw message delivery."""

    signing_key_file: str | None
    """Absolute path, on the instance, of a file with the key that signs requests (HMAC-SHA256), or
    with two of them, one a line. It must belong to the daemon's user (`sqsd`) or root, with no
    access for others. Default: requests are not signed."""

    heartbeat: bool | None
    """Whether the daemon extends the visibility of a message while its request runs. Default: True.
    With False `inactivity_timeout` must be below `visibility_timeout`, as in Elastic Beanstalk."""

    drain_timeout: Duration | None
    """How long requests in flight may take to finish when an instance stops, 0 to 172 800 s (48
    hours). Default: 300 s. EC2 ends a Spot instance after 120 s in any case. Above 3 hours 20
    minutes the deletion of a stack takes longer; docs/guide/configure.md says how much."""

    drain_on_rebalance: bool | None
    """Whether to drain on EC2's rebalance recommendation too, not only on a Spot interruption
    notice. Default: False."""

    protect_busy_instance: bool | None
    """Whether an instance protects itself from scale-in while a request runs that takes 10 s or
    more, and until a minute after it. Deployments that replace instances, and the deletion of the
    stack, wait for it too; docs/guide/configure.md says how long. Default: False."""

    log_format: LogFormat | str | None
    """Format of the daemon's log: `json`, one object a line, or `eb`, the lines of Elastic
    Beanstalk's daemon. Default: `json`."""

    metrics_namespace: str | None
    """CloudWatch namespace of the daemon's metrics; None prints no metrics. Default:
    `WorkerTier`."""

    status_port: int | None
    """Loopback port of the daemon's `/healthz`, `/readyz`, `/metrics` and `/status`, 1 to 65 535;
    None opens no port. Default: 7773."""


class PeriodicTaskProps(TypedDict, total=False):
    """Periodic tasks."""

    periodic_tasks: str | Sequence[PeriodicTask] | None
    """Path of a `cron.yaml`, or the tasks; checked when the stack is synthesized. Default: the
    `cron.yaml` of `application`; without an enabled task there is no leader table."""


class ApplicationProps(TypedDict, total=False):
    """Application and daemon on an instance."""

    application: WorkerApplication | None
    """The application that answers the POSTs: `WorkerApplication.from_asset(...)`,
    `.from_container(...)` or `.external()`. Default: none is installed; the machine image has
    one."""

    application_aws_access: bool | None
    """Whether the application may use the instances' role, which is the daemon's too. Default:
    True, as in Elastic Beanstalk. False takes the instance metadata service away from every user of
    an instance but root and the daemon's, and from containers: the application, its build and nginx
    then get no credentials. Hooks run as root and have access. docs/guide/instance.md has the
    details."""

    daemon_location: s3.Location | None
    """Where the daemon's bundle was uploaded; docs/guide/deploy.md has the steps. Default: the CDK
    uploads it with the stack. Set it for accounts without a CDK bootstrap bucket."""

    asset_key: kms.IKey | None
    """KMS key of the bucket that the CDK uploads to, if it is a customer managed key: instances
    must decrypt what they fetch. Default: none."""


class InstanceProps(TypedDict, total=False):
    """EC2 instances."""

    instance_type: ec2.InstanceType | None
    """Type of the instances. Default: t4g.small (Graviton)."""

    capacity: WorkerCapacity | None
    """Several instance types, or Spot, in place of `instance_type`. Default: On-Demand Instances of
    `instance_type`."""

    machine_image: ec2.IMachineImage | WorkerMachineImage | None
    """Operating system of the instances. Default: the newest Amazon Linux 2023 at each deployment;
    a newer image replaces the instances. Use `WorkerMachineImage.pinned(...)` to decide when."""

    root_volume_size: Size | None
    """Size of the encrypted root volume, 8 to 16 384 GiB. Default: 8 GiB."""

    root_volume_type: ec2.EbsDeviceVolumeType | None
    """Type of the root volume: `GP3`, `GP2` or `STANDARD`. Default: `GP3`."""

    http_put_response_hop_limit: int | None
    """Hops that a response of the instance metadata service may travel, 1 to 64. Default: 1, but 2
    for an application in a container, which is one hop further away, unless
    `application_aws_access` is False."""

    role: iam.IRole | None
    """Role of the instances, made elsewhere; two managed policies are attached to it, unless it is
    imported with `mutable=False`. Default: a new role."""

    instance_principal: iam.IPrincipal | None
    """Principal that may assume the new role. Default: `ec2.amazonaws.com`, in every partition."""

    session_manager: bool | None
    """Whether people may open a shell through AWS Systems Manager Session Manager. Default:
    False."""

    max_instance_lifetime: Duration | None
    """Age at which an instance is replaced, 1 to 365 days. Default: none; age replaces no
    instance."""

    scale_in_protection: bool | None
    """Whether new instances are protected from scale-in until someone removes the protection;
    deployments wait for them too. Default: False, because instances drain before they end."""

    update_policy: autoscaling.UpdatePolicy | None
    """How a deployment replaces instances. `UpdatePolicy.rolling_update(max_batch_size=5)` replaces
    five at a time; each batch is awaited for `signal_timeout`, and the least size stays in service
    unless `min_instances_in_service` says otherwise. Default: a rolling update, one instance at a
    time."""

    notifications_topic: sns.ITopic | None
    """Topic that Auto Scaling publishes launches and terminations to. Default: a new topic, TLS
    only."""

    detailed_monitoring: bool | None
    """Whether EC2 publishes instance metrics each minute instead of every five. Default: True."""


class ScalingProps(TypedDict, total=False):
    """Size of the fleet, and scaling."""

    min_capacity: int | None
    """Least number of instances, 0 to 10 000. With 0 the fleet goes to zero when no message is
    outstanding, and wakes on one message; periodic tasks forbid that. Elastic Beanstalk: `MinSize`.
    Default: 1."""

    max_capacity: int | None
    """Greatest number of instances, 1 to 10 000. Elastic Beanstalk: `MaxSize`. Default: 4, or
    `min_capacity` if that is more."""

    single_instance: bool | None
    """Whether the tier is one instance without scaling and, unless `alarms` is True, without
    alarms, as Elastic Beanstalk's `EnvironmentType` `SingleInstance`. Default: False."""

    scaling: WorkerScaling | None
    """What the fleet scales on. Default: the backlog that makes a message wait at most a minute, if
    the application takes a second for each. Measure both times and pass
    `WorkerScaling.target_latency(...)`."""

    default_instance_warmup: Duration | None
    """Time from launch until an instance receives messages, 0 s to 24 h; scaling does not count the
    instance before. Default: 2 min."""

    signal_timeout: Duration | None
    """How long a deployment waits for each instance to dispatch, 1 s to 1 h; not used when
    `min_capacity` is 0. Elastic Beanstalk: `Timeout`. Default: 10 min."""


class MonitoringProps(TypedDict, total=False):
    """Alarms, logs and dashboard."""

    oldest_message_age: Duration | None
    """Age of the oldest message at which `OldestMessage` alarms, 1 min to 14 days. Default: 1
    hour."""

    alarms: bool | None
    """Whether there are alarms for people. Default: True, but False with `single_instance`."""

    alarm_actions: Sequence[cloudwatch.IAlarmAction] | None
    """What each alarm does when it fires. Default: no action; alarms only change their state."""

    log_group: logs.ILogGroup | None
    """Log group of the daemons' lines. Default: a new one."""

    log_retention: logs.RetentionDays | None
    """How long the new log group stores a line. Default: a month."""

    dashboard: bool | None
    """Whether there is a CloudWatch dashboard for the tier, which costs money. Default: False."""


class CommonProps(
    NetworkProps,
    QueueProps,
    RemovalProps,
    EncryptionProps,
    SqsdProps,
    PeriodicTaskProps,
    ApplicationProps,
    InstanceProps,
    ScalingProps,
    MonitoringProps,
    total=False,
):
    """Every prop of a tier except `vpc`."""


class TierProps(CommonProps, total=False):
    """The props of `WorkerTier`: flat for its user, grouped in the classes above."""

    vpc: Required[ec2.IVpc]
    """Network of the instances. It is required: none is made for you."""


class SettingsProps(CommonProps, total=False):
    """What `WorkerTier.from_option_settings` takes: all of a tier, and `vpc` if no setting names
    one.
    """

    vpc: ec2.IVpc
    """Network of the instances. Default: the one that `aws:ec2:vpc` names."""


class KeyedQueueProps(QueueProps, RemovalProps, EncryptionProps, total=False):
    """The queues, the key that encrypts new ones, and what becomes of them."""


class WorkerQueuesProps(KeyedQueueProps, total=False):
    """What `WorkerQueues` takes."""

    visibility_timeout: Required[Duration]
    """How long a received message stays hidden when a receive does not name a time."""

    retention_period: Required[Duration]
    """Age at which SQS deletes a message of the new work queue."""

    max_retries: Required[int]
    """Receives before SQS moves a message to the dead-letter queue, 1 to 100."""


class WorkerFleetProps(NetworkProps, InstanceProps, RemovalProps, EncryptionProps, total=False):
    """What `WorkerFleet` takes."""

    vpc: Required[ec2.IVpc]
    """Network of the instances."""

    min_capacity: Required[int]
    """Least number of instances. There is no desired capacity: it would reset the fleet at each
    deployment."""

    max_capacity: Required[int]
    """Greatest number of instances."""

    drain_timeout_seconds: Required[int]
    """Seconds an instance may take to finish requests; the daemon renews the lifecycle hook
    meanwhile, whose own heartbeat is two minutes at most."""

    signal_timeout: Required[Duration]
    """How long a deployment waits for an instance to dispatch. Not used when `min_capacity` is 0,
    since such a fleet may start no instance; a deployment then gives each new instance
    `instance_warmup` before it replaces the next."""

    instance_warmup: Required[Duration]
    """Time from launch until an instance receives messages, 0 s to 24 h."""


_Group = TypeVar("_Group")


def network_props(props: CommonProps) -> NetworkProps:
    """Return those of a tier's props that say where instances run."""
    return _of_group(NetworkProps, props)


def queue_props(props: CommonProps) -> KeyedQueueProps:
    """Return those of a tier's props that describe its queues."""
    return _of_group(KeyedQueueProps, props)


def sqsd_props(props: CommonProps) -> SqsdProps:
    """Return those of a tier's props that are options of the daemon."""
    return _of_group(SqsdProps, props)


def instance_props(props: CommonProps) -> InstanceProps:
    """Return those of a tier's props that describe its EC2 instances."""
    return _of_group(InstanceProps, props)


def _of_group(group: type[_Group], props: CommonProps) -> _Group:
    # mypy cannot type the comprehension; the names are exactly those of the group.
    return cast(_Group, {name: props[name] for name in names_of(group) if name in props})  # type: ignore[literal-required]


def names_of(group: type[Any]) -> Collection[str]:
    """Return the names of every prop in a group, those of the groups in it included."""
    return cast(Collection[str], group.__annotations__.keys())


def name_problems(given: Mapping[str, Any], taken: type[Any], construct: str) -> list[str]:
    """Return a problem for each prop that a construct does not take, and for each that is missing.

    A type checker reports both; this is for people who run none. A required prop that is None is
    missing, because there is no default that None could mean.

    Args:
        given: the props that were given.
        taken: the TypedDict that lists the construct's props.
        construct: the construct's class, by name.
    """
    known = names_of(taken)
    problems = []
    for name in given:
        if name not in known:
            near = get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]}?" if near else f"help({construct}) lists all props"
            problems.append(f"{name} is not a prop of {construct}; {hint}")
    missing = [
        name for name in known if name in taken.__required_keys__ and given.get(name) is None
    ]
    return problems + [
        f"{name} is missing, and {construct} needs it; pass {name}=..." for name in missing
    ]
