"""Every option of Elastic Beanstalk, and what becomes of it here: one row each.

A row is data. The readers of settings and the generated page `docs/reference/beanstalk-options.md`
read it, so that they cannot disagree. `SOURCES` names the pages that list the options.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import cache
from typing import Final

from worker_tier_bootstrap.beanstalk.findings import Outcome

#: The day on which the table was compared with its sources.
COMPARED: Final = "2026-11-28"
#: Title, address and edition of each page that lists options.
SOURCES: Final = (
    (
        "General options for all environments",
        "https://docs.aws.amazon.com/elasticbeanstalk/latest/dg/command-options-general.html",
        "after 2026-08-18, whose release it names",
    ),
    (
        "Platform specific options",
        "https://docs.aws.amazon.com/elasticbeanstalk/latest/dg/command-options-specific.html",
        "the tables of the guide's source as AWS published it last, with Amazon Linux 2 and the"
        " AMI before it; a stored copy of the page, read on 2026-11-28, lists the same ten"
        " platforms, and its tables beyond Docker's were not compared",
    ),
    (
        "describe-configuration-settings",
        "https://docs.aws.amazon.com/cli/latest/reference/elasticbeanstalk/"
        "describe-configuration-settings.html",
        "options that worker environments print and no page lists",
    ),
)
SQSD: Final = "aws:elasticbeanstalk:sqsd"
GROUP: Final = "aws:autoscaling:asg"
LAUNCH: Final = "aws:autoscaling:launchconfiguration"
SCHEDULE: Final = "aws:autoscaling:scheduledaction"
TRIGGER: Final = "aws:autoscaling:trigger"
ROLLING: Final = "aws:autoscaling:updatepolicy:rollingupdate"
INSTANCES: Final = "aws:ec2:instances"
VPC: Final = "aws:ec2:vpc"
APPLICATION: Final = "aws:elasticbeanstalk:application"
PROPERTIES: Final = "aws:elasticbeanstalk:application:environment"
SECRETS: Final = "aws:elasticbeanstalk:application:environmentsecrets"
LOGS: Final = "aws:elasticbeanstalk:cloudwatch:logs"
COMMAND: Final = "aws:elasticbeanstalk:command"
ENVIRONMENT: Final = "aws:elasticbeanstalk:environment"
PYTHON: Final = "aws:elasticbeanstalk:container:python"
DATABASE: Final = "aws:rds:dbinstance"
#: What decides in an option's place besides props: the application is an image of a container.
IMAGE: Final = "container image"
#: Stands for any option's name in a namespace whose names are the user's.
ANY_NAME: Final = "*"
#: Stands for any value among the values with which nothing is lost.
ANY_VALUE: Final = "*"
#: What decides in an option's place besides props: the bundle has a Procfile.
PROCFILE: Final = "Procfile"


@dataclass(frozen=True, kw_only=True)
class Option:
    """Says what becomes of an option.

    Args:
        outcome: what becomes of a value that is not in `lossless`.
        becomes: the prop that an honoured option becomes, as Python, or an empty text.
        reason: what happens here instead, for an option that is not honoured.
        hint: what to do, or an empty text.
        decided_by: props that decide in the option's place when they are given in code, `PROCFILE`
            or `IMAGE`.
        lossless: values, in lower case without blanks, with which nothing is lost: Elastic
            Beanstalk's default, or what the tier does in any case.
        notice: what a person should read although a value is in `lossless`, or an empty text.
        is_list: whether a list stands for its texts with commas between them.
        public: the value is a number, one of some names, an id or a path and may be shown in
            messages. All other values may hold secrets and are not shown.
    """

    outcome: Outcome
    becomes: str = ""
    reason: str = ""
    hint: str = ""
    decided_by: tuple[str, ...] = ()
    lossless: tuple[str, ...] = ()
    notice: str = ""
    is_list: bool = False
    public: bool = False

    @property
    def effect(self) -> str:
        """Return what an honoured option does, such as `becomes max_retries`, or an empty text."""
        plain = not self.becomes or self.becomes.startswith("no prop")
        return self.becomes if plain else f"becomes {self.becomes}"

    def loses_nothing(self, value: str) -> bool:
        """Return whether all that a value asks for is so here, or is about what no worker has."""
        plain = "".join(value.lower().split())
        return ANY_VALUE in self.lossless or plain in self.lossless


def _becomes(prop: str, *, by: str = "", is_list: bool = False) -> Option:
    names = by or (prop if prop.isidentifier() else "")
    return Option(
        outcome=Outcome.HONOURED,
        becomes=prop,
        decided_by=tuple(names.split()),
        is_list=is_list,
        public=True,
    )


def _over(
    reason: str, hint: str = "", *, lossless: tuple[str, ...] = (), by: str | tuple[str, ...] = ""
) -> Option:
    return Option(
        outcome=Outcome.PASSED_OVER,
        reason=reason,
        hint=hint,
        lossless=lossless,
        decided_by=_names(by),
        public=True,
    )


def _refused(
    reason: str, hint: str, *, lossless: tuple[str, ...] = (), by: str | tuple[str, ...] = ""
) -> Option:
    return Option(
        outcome=Outcome.REFUSED,
        reason=reason,
        hint=hint,
        lossless=lossless,
        decided_by=_names(by),
        public=True,
    )


def _names(by: str | tuple[str, ...]) -> tuple[str, ...]:
    """Return what decides: names between blanks, or as they are."""
    return tuple(by.split()) if isinstance(by, str) else by


def _private(option: Option) -> Option:
    """Return the row of an option whose value is free text, in which a secret may be."""
    return replace(option, public=False)


_SPOT: Final = "capacity=WorkerCapacity.spot(...)"
#: Props that say which instances are launched.
_TYPES: Final = "capacity instance_type"
_ANY: Final = (ANY_VALUE,)
#: How alike the last parts of two namespaces are that may be the same, from 0 to 1: two letters
#: of ten differ.
_NEAR: Final = 0.8
#: Fewest letters of the beginning of a namespace's last part that stand for it.
_SHORTEST_BEGINNING: Final = 3
#: The beginning of the namespaces of environments that run on Amazon EKS.
_CLUSTER: Final = "aws:elasticbeanstalk:eks"
_NO_BALANCER: Final = _over("a worker has no load balancer")
_NO_BALANCER_HERE: Final = _over("a worker has no load balancer", lossless=_ANY)
_NO_STATIC_FILES: Final = _over(
    "only the daemon's POSTs reach a worker, and none of them asks for a static file"
)
_NO_SSH: Final = "no port is open for SSH"
_SESSION: Final = "set session_manager=True for a shell by AWS Systems Manager"
_ZONES: Final = "zones follow from the subnets"
_NO_DATABASE: Final = "no database is made here"
_OWN_STACK: Final = (
    "leave it out, make the database in another stack and pass its address in the environment"
)
_EXTENSIONS: Final = "no extensions are read from a bucket"
_ONE_AT_A_TIME: Final = "a new setting replaces instances one at a time, each awaited"
_USER_INI: Final = "write it in a .user.ini beside index.php, which PHP reads"
_NO_WINDOWS: Final = "the tier runs on Linux"
_NO_TOMCAT: Final = "no Tomcat is installed"
_JAVA_LINE: Final = "write the options in a Procfile, such as `web: java -Xmx512m -jar app.jar`"
_LEAVE_OUT: Final = "leave it out"
#: What says how the application is started, in the place of a platform's options.
_START: Final = (PROCFILE, IMAGE)
#: Without metrics, in both orders in which dumps have its keys.
_NO_METRICS: Final = (
    '{"version":1,"cloudwatchmetrics":{"instance":{},"environment":{}}}',
    '{"version":1,"cloudwatchmetrics":{"environment":{},"instance":{}}}',
    '{"cloudwatchmetrics":{"environment":{},"instance":{}},"version":1}',
    '{"cloudwatchmetrics":{"instance":{},"environment":{}},"version":1}',
)


def _all(names: str, option: Option) -> dict[str, Option]:
    """Return one row for each of the names, which are separated by commas."""
    return {name.strip(): option for name in names.split(",")}


_PROCESS: Final = _all(
    "DeregistrationDelay, HealthCheckInterval, HealthCheckTimeout, HealthyThresholdCount,"
    " MatcherHTTPCode, Port, Protocol, StickinessEnabled, StickinessLBCookieDuration,"
    " StickinessType, UnhealthyThresholdCount",
    _NO_BALANCER,
) | {
    "HealthCheckPath": _over(
        "a worker has no load balancer that asks for it",
        f"set {APPLICATION}:Application Healthcheck URL, or pass health_path",
        by="health_path",
    )
}
_CLASSIC_LISTENER: Final = _all(
    "ListenerProtocol, InstancePort, InstanceProtocol, PolicyNames, ListenerEnabled", _NO_BALANCER
)
_LISTENER: Final = _all(
    "DefaultProcess, ListenerEnabled, Protocol, Rules, SSLCertificateArns, SSLPolicy", _NO_BALANCER
)
_STATIC_FILES: Final = {ANY_NAME: _NO_STATIC_FILES}

#: Namespace -> option -> row. A namespace that ends in `:*` stands for those with a name there.
OPTIONS: Final[Mapping[str, Mapping[str, Option]]] = {
    SQSD: {
        "ConnectTimeout": _becomes("connect_timeout"),
        "ErrorVisibilityTimeout": _becomes("error_visibility_timeout"),
        "HttpConnections": _becomes("http_connections"),
        "HttpPath": _becomes("http_path"),
        "InactivityTimeout": _becomes("inactivity_timeout"),
        "MaxRetries": _becomes("max_retries", by="max_retries queue"),
        "MimeType": _becomes("mime_type"),
        "RetentionPeriod": _becomes("retention_period"),
        "VisibilityTimeout": _becomes("visibility_timeout"),
        "WorkerQueueURL": _refused(
            "a URL does not say what kind of queue it is, where its dead letters go and which key"
            " encrypts it",
            "pass queue=ExistingQueue.imported(...)",
            by="queue",
        ),
    },
    GROUP: {
        "Availability Zones": _refused(
            _ZONES, "pass vpc_subnets", by="vpc_subnets", lossless=("any",)
        ),
        "Custom Availability Zones": _refused(_ZONES, "pass vpc_subnets", by="vpc_subnets"),
        "Cooldown": _refused(
            "policies have a warm-up instead",
            "pass default_instance_warmup",
            by="default_instance_warmup",
            lossless=("360",),
        ),
        "EnableCapacityRebalancing": _becomes(_SPOT, by=_TYPES),
        "MaxSize": _becomes("max_capacity", by="max_capacity single_instance"),
        "MinSize": _becomes("min_capacity", by="min_capacity single_instance"),
    },
    LAUNCH: {
        "BlockDeviceMappings": _refused(
            "there is one encrypted root volume",
            "pass root_volume_size, or leave it out and set RootVolumeSize",
            by="root_volume_size",
            lossless=("none",),
        ),
        "DisableDefaultEC2SecurityGroup": _becomes(
            "no prop: a group is made unless SecurityGroups names one, and true is refused without"
            " it",
            by="security_group",
        ),
        "DisableIMDSv1": _over(
            "instances answer requests for metadata that carry a token, IMDSv2, and no others",
            "update an SDK of the application that is older than 2020",
            lossless=("true",),
        ),
        "EC2KeyName": _refused(_NO_SSH, _SESSION, by="session_manager"),
        "IamInstanceProfile": replace(
            _refused(
                "an instance profile is made for the role",
                "pass role=, or leave it out and grant to the tier what the application needs",
                by="role",
                lossless=("aws-elasticbeanstalk-ec2-role",),
            ),
            notice="what the environment's profile allowed the application does not come along;"
            " grant it to the tier, as in bucket.grant_read(tier)",
        ),
        "ImageId": _refused(
            "an id does not say which system the image has, its root device and whether it ships"
            " logs",
            "pass machine_image=WorkerMachineImage.pinned(...) or .amazon_linux_2023()",
            by="machine_image",
        ),
        "InstanceType": _becomes("instance_type", by=_TYPES),
        "LaunchTemplateTagPropagationEnabled": _over(
            "tags of the stack reach instances in any case", lossless=_ANY
        ),
        "MonitoringInterval": _becomes("detailed_monitoring"),
        "RootVolumeIOPS": _refused(
            "the root volume has its type's base rate", _LEAVE_OUT, lossless=("3000",)
        ),
        "RootVolumeSize": _becomes("root_volume_size"),
        "RootVolumeThroughput": _refused(
            "the root volume has its type's base rate", _LEAVE_OUT, lossless=("125",)
        ),
        "RootVolumeType": _becomes("root_volume_type: gp3, gp2 or standard", by="root_volume_type"),
        "SSHSourceRestriction": _refused(
            _NO_SSH, _SESSION, by="session_manager", lossless=("tcp,22,22,0.0.0.0/0",)
        ),
        "SecurityGroups": _becomes(
            "security_group: one id, besides the group that Elastic Beanstalk made",
            by="security_group",
            is_list=True,
        ),
    },
    SCHEDULE: _all(
        "DesiredCapacity, EndTime, MaxSize, MinSize, Recurrence, StartTime, Suspend",
        _becomes(
            "tier.scale_on_schedule(...), once for each ResourceName; an action without Recurrence"
            " is refused, one that is suspended is passed over"
        ),
    ),
    TRIGGER: _all(
        "BreachDuration, EvaluationPeriods, LowerBreachScaleIncrement, LowerThreshold, MeasureName,"
        " Period, Statistic, Unit, UpperBreachScaleIncrement, UpperThreshold",
        _becomes("scaling=WorkerScaling.trigger(...)", by="scaling single_instance"),
    ),
    ROLLING: {
        "MaxBatchSize": _over(
            _ONE_AT_A_TIME, "pass update_policy", by="update_policy", lossless=("1",)
        ),
        "MinInstancesInService": _over(
            f"{_ONE_AT_A_TIME}, with MinSize of them in service",
            "pass update_policy",
            by="update_policy",
        ),
        "PauseTime": _over(
            f"{_ONE_AT_A_TIME} until it receives", "pass update_policy", by="update_policy"
        ),
        "RollingUpdateEnabled": _over(_ONE_AT_A_TIME, lossless=_ANY),
        "RollingUpdateType": _refused(
            "a new group starts at MinSize and not at the size that the load needs, so an update"
            " would scale in",
            "set Health, or pass update_policy=autoscaling.UpdatePolicy.replacing_update() to"
            " accept that",
            by="update_policy",
            lossless=("time", "health"),
        ),
        "Timeout": _over(
            f"{_ONE_AT_A_TIME} for as long as {COMMAND}:Timeout says",
            "pass signal_timeout or update_policy",
            by="signal_timeout update_policy",
            lossless=("pt30m",),
        ),
    },
    INSTANCES: {
        "EnableSpot": _becomes(_SPOT, by=_TYPES),
        "InstanceTypes": _becomes(f"instance_type, or {_SPOT}", by=_TYPES, is_list=True),
        "SpotAllocationStrategy": _becomes(_SPOT, by=_TYPES),
        "SpotFleetOnDemandAboveBasePercentage": _becomes(_SPOT, by=_TYPES),
        "SpotFleetOnDemandBase": _becomes(_SPOT, by=_TYPES),
        "SpotMaxPrice": _refused(
            "AWS advises against a maximum price: it only interrupts more often",
            _LEAVE_OUT,
            lossless=("null",),
        ),
        "SupportedArchitectures": _becomes(
            "no prop: InstanceTypes are compared with it", by=_TYPES, is_list=True
        ),
    },
    VPC: {
        "AssociatePublicIpAddress": _becomes("associate_public_ip_address"),
        "DBSubnets": _refused(_NO_DATABASE, _OWN_STACK),
        "ELBScheme": _NO_BALANCER_HERE,
        "ELBSubnets": _NO_BALANCER,
        "Subnets": _becomes("vpc_subnets", by="vpc_subnets vpc", is_list=True),
        "VPCId": _becomes("vpc"),
    },
    APPLICATION: {
        "Application Healthcheck URL": _becomes(
            "health_path: a path, or one after HTTP:80; TCP:80 is what happens without one",
            by="health_path",
        )
    },
    PROPERTIES: {
        "PORT": _private(_becomes("port of the application")),
        ANY_NAME: _private(_becomes("environment of the application")),
    },
    SECRETS: {
        ANY_NAME: _private(
            _refused(
                "values are not fetched from Secrets Manager or Parameter Store for the"
                " application",
                f"leave it out, write the ARN as a property of {PROPERTIES}, let the application"
                " read the value when it starts, and grant it to the tier, as in"
                " secret.grant_read(tier)",
            )
        )
    },
    LOGS: {
        "DeleteOnTerminate": _becomes(
            "no prop: the log group goes with the stack; false is refused with StreamLogs, and"
            " passed over without it",
            by="log_group",
        ),
        "RetentionInDays": _becomes(
            "log_retention, with StreamLogs; without it passed over", by="log_retention log_group"
        ),
        "StreamLogs": _becomes("no prop: lines are always sent to the tier's log group"),
    },
    "aws:elasticbeanstalk:cloudwatch:logs:health": {
        "DeleteOnTerminate": _over("there is no log group for health", lossless=_ANY),
        "HealthStreamingEnabled": _over(
            "health is a metric, an alarm and the daemon's page /readyz, and no log group",
            "alarms are on unless you pass alarms=False",
            lossless=("false",),
        ),
        "RetentionInDays": _over("there is no log group for health", lossless=_ANY),
    },
    COMMAND: {
        "BatchSize": _becomes(
            "no prop: one instance at a time is replaced, and with Rolling other sizes than 1 are"
            " refused",
            by="update_policy",
        ),
        "BatchSizeType": _becomes("no prop: it says what BatchSize counts", by="update_policy"),
        "DeploymentPolicy": _becomes(
            "no prop: AllAtOnce and Rolling replace one instance at a time, other policies are"
            " refused",
            by="update_policy",
        ),
        "IgnoreHealthCheck": _refused(
            "a deployment that no check stops loses messages", _LEAVE_OUT, lossless=("false",)
        ),
        "Timeout": _becomes("signal_timeout"),
    },
    "aws:elasticbeanstalk:control": _all(
        "DefaultSSHPort, LaunchTimeout, LaunchType, RollbackLaunchOnFailure",
        _over("Elastic Beanstalk's own launch of the environment", lossless=_ANY),
    ),
    "aws:elasticbeanstalk:customoption": {
        ANY_NAME: _private(
            _over(
                "only resources of .ebextensions read custom options, and none are made here",
                "make the resources in the stack that holds the tier",
            )
        )
    },
    ENVIRONMENT: {
        "EnvironmentType": _becomes("single_instance"),
        "ExternalExtensionsS3Bucket": _refused(_EXTENSIONS, _LEAVE_OUT),
        "ExternalExtensionsS3Key": _refused(_EXTENSIONS, _LEAVE_OUT),
        "LoadBalancerIsShared": _NO_BALANCER_HERE,
        "LoadBalancerType": _NO_BALANCER_HERE,
        "ServiceRole": _over("Elastic Beanstalk's own role", lossless=_ANY),
    },
    "aws:elasticbeanstalk:environment:process:default": _PROCESS,
    "aws:elasticbeanstalk:environment:process:*": _PROCESS,
    "aws:elasticbeanstalk:environment:proxy": {
        "GzipCompression": _over("the daemon does not read the bodies of answers", lossless=_ANY),
        "ProxyServer": _over(
            "nginx stands before the application", "leave it out", lossless=("nginx",)
        ),
    },
    "aws:elasticbeanstalk:environment:proxy:staticfiles": _STATIC_FILES,
    "aws:elasticbeanstalk:healthreporting:system": {
        "ConfigDocument": _private(
            _over(
                "enhanced health has no metrics here; the daemon has its own",
                "see docs/guide/observe.md for what replaces them",
                lossless=_NO_METRICS,
            )
        ),
        "EnhancedHealthAuthEnabled": _over("enhanced health is not used", lossless=_ANY),
        "HealthCheckSuccessThreshold": _over(
            "an instance is in service when its application takes messages, and not before",
            lossless=("ok",),
        ),
        "SystemType": _over("enhanced health is not used", lossless=_ANY),
    },
    "aws:elasticbeanstalk:hostmanager": {
        "LogPublicationControl": _over(
            "lines are sent to the tier's log group, and no files are copied to S3",
            "export the log group to S3 if you need them there",
            lossless=("false",),
        )
    },
    "aws:elasticbeanstalk:managedactions": {
        "ManagedActionsEnabled": _over(
            "there are no managed updates: each deployment takes the newest image of the system",
            "deploy regularly",
            lossless=("false",),
        ),
        "PreferredStartTime": _over("there are no managed updates", lossless=_ANY),
        "ServiceRoleForManagedUpdates": _over("there are no managed updates", lossless=_ANY),
    },
    "aws:elasticbeanstalk:managedactions:platformupdate": {
        "InstanceRefreshEnabled": _over(
            "instances are not replaced each week",
            "pass max_instance_lifetime=Duration.days(7)",
            by="max_instance_lifetime",
            lossless=("false",),
        ),
        "UpdateLevel": _over("there are no managed updates", lossless=_ANY),
    },
    "aws:elasticbeanstalk:monitoring": {
        "Automatically Terminate Unhealthy Instances": _over(
            "Auto Scaling replaces an instance that fails EC2's or EBS's status checks, whatever"
            " this option says",
            lossless=("true",),
        )
    },
    "aws:elasticbeanstalk:sns:topics": {
        "Notification Endpoint": _private(
            _refused(
                "the tier has a topic without subscribers",
                "leave it out and subscribe it in code, as in"
                " tier.notifications_topic.add_subscription(...), or pass notifications_topic",
                by="notifications_topic",
            )
        ),
        "Notification Protocol": _over("the tier has a topic without subscribers", lossless=_ANY),
        "Notification Topic ARN": _refused(
            "a topic is not found by its ARN",
            "pass notifications_topic=, as in sns.Topic.from_topic_arn(...)",
            by="notifications_topic",
        ),
        "Notification Topic Name": _refused(
            "a topic is not found by its name",
            "pass notifications_topic=, as in sns.Topic.from_topic_arn(...)",
            by="notifications_topic",
        ),
    },
    "aws:elasticbeanstalk:trafficsplitting": {
        "EvaluationTime": _over("a worker has no traffic to split", lossless=("5",)),
        "NewVersionPercent": _over("a worker has no traffic to split", lossless=("10",)),
    },
    "aws:elasticbeanstalk:windows:activedirectory": _all(
        "DirectoryId, DirectoryName, DirectoryOU", _refused(_NO_WINDOWS, _LEAVE_OUT)
    ),
    "aws:elasticbeanstalk:xray": {
        "XRayEnabled": _refused(
            "no X-Ray daemon is installed",
            "leave it out; the daemon has OpenTelemetry, see docs/guide/observe.md",
            lossless=("false",),
        )
    },
    "aws:elb:healthcheck": _all(
        "HealthyThreshold, Interval, Timeout, UnhealthyThreshold, Target", _NO_BALANCER
    ),
    "aws:elb:loadbalancer": _all(
        "CrossZone, SecurityGroups, ManagedSecurityGroup, LoadBalancerHTTPPort,"
        " LoadBalancerPortProtocol, LoadBalancerHTTPSPort, LoadBalancerSSLPortProtocol,"
        " SSLCertificateId",
        _NO_BALANCER,
    ),
    "aws:elb:listener": _CLASSIC_LISTENER,
    "aws:elb:listener:*": _CLASSIC_LISTENER | {"SSLCertificateId": _NO_BALANCER},
    "aws:elb:policies": _all(
        "ConnectionDrainingEnabled, ConnectionDrainingTimeout, ConnectionSettingIdleTimeout,"
        " LoadBalancerPorts, Stickiness Cookie Expiration, Stickiness Policy",
        _NO_BALANCER,
    ),
    "aws:elb:policies:*": _all(
        "CookieName, InstancePorts, LoadBalancerPorts, ProxyProtocol, PublicKey,"
        " PublicKeyPolicyNames, SSLProtocols, SSLReferencePolicy, Stickiness Cookie Expiration,"
        " Stickiness Policy",
        _NO_BALANCER,
    ),
    "aws:elbv2:listener:default": _LISTENER,
    "aws:elbv2:listener:*": _LISTENER,
    "aws:elbv2:listenerrule:*": _all("HostHeaders, PathPatterns, Priority, Process", _NO_BALANCER),
    "aws:elbv2:loadbalancer": _all(
        "AccessLogsS3Bucket, AccessLogsS3Enabled, AccessLogsS3Prefix, IdleTimeout, IpAddressType,"
        " ManagedSecurityGroup, SecurityGroups, SharedLoadBalancer",
        _NO_BALANCER,
    ),
    DATABASE: _all(
        "DBAllocatedStorage, DBDeletionPolicy, DBEngine, DBEngineVersion, DBInstanceClass,"
        " DBSnapshotIdentifier, MultiAZDatabase",
        _refused(_NO_DATABASE, _OWN_STACK),
    )
    | {
        "DBPassword": _private(_refused(_NO_DATABASE, _OWN_STACK)),
        "DBUser": _private(_refused(_NO_DATABASE, _OWN_STACK)),
        "HasCoupledDatabase": _refused(_NO_DATABASE, _OWN_STACK, lossless=("false",)),
    },
    "aws:cloudformation:template:parameter": {
        ANY_NAME: _private(_over("Elastic Beanstalk's inputs to its own template", lossless=_ANY))
    },
    # ---- platforms
    PYTHON: {
        "NumProcesses": _refused(
            "gunicorn starts with 1 process",
            "write a Procfile, such as `web: python3 -m gunicorn --bind 127.0.0.1:$PORT --workers 2"
            " application:application`",
            by=_START,
            lossless=("1",),
        ),
        "NumThreads": _refused(
            "gunicorn starts with 15 threads",
            "write a Procfile, such as `web: python3 -m gunicorn --bind 127.0.0.1:$PORT --threads 8"
            " application:application`",
            by=_START,
            lossless=("15",),
        ),
        "WSGIPath": _refused(
            "gunicorn starts application:application",
            "write a Procfile, such as `web: python3 -m gunicorn --bind 127.0.0.1:$PORT"
            " project.wsgi:application`",
            by=_START,
            lossless=("application", "application.py", "application:application"),
        ),
    },
    "aws:elasticbeanstalk:container:nodejs": {
        "GzipCompression": _over("the daemon does not read the bodies of answers", lossless=_ANY),
        "NodeCommand": _private(
            _refused(
                "the bundle's Procfile or its package.json says what is started",
                "write the command in a Procfile, such as `web: npm start`",
                by=_START,
            )
        ),
        "NodeVersion": _refused(
            "the Node.js of the system's packages is installed",
            "leave it out, or pass application=WorkerApplication.from_container(...) with an image"
            " of that version",
            by=(IMAGE,),
        ),
        "ProxyServer": _over(
            "nginx stands before the application", "leave it out", lossless=("nginx",)
        ),
    },
    "aws:elasticbeanstalk:container:php:phpini": {
        "allow_url_fopen": _refused(
            "PHP's own setting, On, is not changed",
            "leave it out, and change php.ini with tier.add_user_data(...)",
            by=(IMAGE,),
            lossless=("on", "true", "1"),
        ),
        "composer_options": _private(
            _over(
                "Composer is not run", "put vendor/ into the bundle, or run Composer in a Buildfile"
            )
        ),
        "display_errors": _over(
            "PHP's own setting, Off, is not changed", _USER_INI, lossless=("off", "false", "0")
        ),
        "document_root": _refused(
            "nginx passes each request to index.php at the top of the bundle",
            "add an index.php there that requires the other one, such as `<?php require __DIR__ ."
            " '/public/index.php';`, and leave the option out",
            by=(IMAGE,),
            lossless=("/",),
        ),
        "max_execution_time": _over("PHP's own setting, 30 s, is not changed", _USER_INI),
        "memory_limit": _over(
            "PHP's own setting, 128M, is not changed", _USER_INI, lossless=("128m",)
        ),
        "zlib.output_compression": _over(
            "the daemon does not read the bodies of answers", lossless=_ANY
        ),
    },
    "aws:elasticbeanstalk:container:tomcat:jvmoptions": {
        "JVM Options": _private(_refused(_NO_TOMCAT, _JAVA_LINE, by=_START)),
        "XX:MaxPermSize": _private(_refused(_NO_TOMCAT, _JAVA_LINE, by=_START, lossless=("64m",))),
        "Xms": _private(_refused(_NO_TOMCAT, _JAVA_LINE, by=_START, lossless=("256m",))),
        "Xmx": _private(_refused(_NO_TOMCAT, _JAVA_LINE, by=_START, lossless=("256m",))),
        ANY_NAME: _private(_refused(_NO_TOMCAT, _JAVA_LINE, by=_START)),
    },
    "aws:elasticbeanstalk:container:dotnet:apppool": _all(
        "Enable 32-bit Applications, Target Runtime", _refused(_NO_WINDOWS, _LEAVE_OUT)
    ),
    "aws:elasticbeanstalk:container:golang:staticfiles": _STATIC_FILES,
    "aws:elasticbeanstalk:container:java:staticfiles": _STATIC_FILES,
    "aws:elasticbeanstalk:container:nodejs:staticfiles": _STATIC_FILES,
    "aws:elasticbeanstalk:container:php:staticfiles": _STATIC_FILES,
    "aws:elasticbeanstalk:container:python:staticfiles": _STATIC_FILES,
    "aws:elasticbeanstalk:container:ruby:staticfiles": _STATIC_FILES,
}


def rows_of(namespace: str) -> Mapping[str, Option] | None:
    """Return the rows of a namespace, or None if it is not known."""
    if namespace in OPTIONS:
        return OPTIONS[namespace]
    parent, _, name = namespace.rpartition(":")
    return OPTIONS.get(f"{parent}:*") if name and name != "*" else None


def row_of(namespace: str, option: str) -> Option | None:
    """Return the row of an option, or None if it is not known."""
    rows = rows_of(namespace) or {}
    return rows.get(option) or rows.get(ANY_NAME)


def namespaces_of(option: str) -> tuple[str, ...]:
    """Return the namespaces that have an option of a name, in any case."""
    return tuple(_homes().get(option.lower(), ()))


@cache
def _homes() -> Mapping[str, list[str]]:
    """Return the namespaces of each option by its name in lower case."""
    found: dict[str, list[str]] = {}
    for namespace, rows in OPTIONS.items():
        for name in rows.keys() - {ANY_NAME}:
            found.setdefault(name.lower(), []).append(namespace)
    return found


def unknown(namespace: str, option: str, *, suggest: bool = True) -> Option:
    """Return the row of an unknown option: refused, with the nearest known name if asked for."""
    rows = rows_of(namespace)
    if namespace.startswith(_CLUSTER):
        reason = "is of a Beanstalk cluster, on Amazon EKS, and no instance has it"
        return Option(outcome=Outcome.REFUSED, reason=reason, hint=_LEAVE_OUT)
    homes = () if rows is None else namespaces_of(option)
    if homes and namespace not in homes:
        hint = f"write it under {' or '.join(homes[:3])}"
        reason = "it is not an option of this namespace"
        return Option(outcome=Outcome.REFUSED, reason=reason, hint=hint)
    if rows is None:
        near = _nearest_namespace(namespace) if suggest else None
        reason = "is not a namespace that is known here"
    else:
        near = _nearest(option, list(rows)) if suggest else None
        reason = "it is not an option that is known here"
    hint = f"the nearest name is {near}; correct it or leave it out" if near else _LEAVE_OUT
    if namespace in (ENVIRONMENT, APPLICATION):
        hint += f"; an environment property stands under {PROPERTIES}"
    elif not (near or namespace.startswith("aws:")):
        hint += f", or write {PROPERTIES} if it holds environment properties"
    return Option(outcome=Outcome.REFUSED, reason=reason, hint=hint)


def _nearest_namespace(name: str) -> str | None:
    """Return the namespace whose last part is near that of a name, or None.

    The parts before it are alike in many namespaces, and so say little.
    """
    last = _last_part(name)
    by_last: dict[str, list[str]] = {}
    for namespace in OPTIONS:
        by_last.setdefault(_last_part(namespace), []).append(namespace)
    close = get_close_matches(last, by_last, n=3, cutoff=_NEAR)
    if not close and len(last) >= _SHORTEST_BEGINNING:
        close = [part for part in by_last if part.startswith(last)]
    homes = [namespace for part in close for namespace in by_last[part]]
    if ":" not in name and len(homes) > 1:  # such as `environment`
        return None
    best = get_close_matches(name.lower(), homes, n=1, cutoff=0)
    return best[0] if best else None


def _last_part(namespace: str) -> str:
    return namespace.lower().strip(" :").rpartition(":")[2]


def _nearest(name: str, known: list[str]) -> str | None:
    plain = {candidate.lower(): candidate for candidate in known}
    close = get_close_matches(name.lower(), plain, n=1, cutoff=0.6)
    return plain[close[0]] if close else None
