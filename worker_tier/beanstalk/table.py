"""Elastic Beanstalk's settings that are refused, with the reason, or lose nothing here.

Source: Elastic Beanstalk developer guide, "General options for all environments".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

SQSD: Final = "aws:elasticbeanstalk:sqsd"
ASG: Final = "aws:autoscaling:asg"
TRIGGER: Final = "aws:autoscaling:trigger"
LAUNCH: Final = "aws:autoscaling:launchconfiguration"
VPC: Final = "aws:ec2:vpc"
INSTANCES: Final = "aws:ec2:instances"
ENVIRONMENT: Final = "aws:elasticbeanstalk:environment"
PROPERTIES: Final = "aws:elasticbeanstalk:application:environment"
COMMAND: Final = "aws:elasticbeanstalk:command"
LOGS: Final = "aws:elasticbeanstalk:cloudwatch:logs"
#: Namespaces whose options are honoured, except those refused by name.
NAMESPACES: Final = (
    SQSD, ASG, TRIGGER, LAUNCH, VPC, INSTANCES, ENVIRONMENT, PROPERTIES, COMMAND, LOGS
)  # fmt: skip
APPLICATION: Final = "aws:elasticbeanstalk:application"
_CONTROL: Final = "aws:elasticbeanstalk:control"
_HEALTH: Final = "aws:elasticbeanstalk:healthreporting:system"
_HEALTH_LOGS: Final = "aws:elasticbeanstalk:cloudwatch:logs:health"
_HOST: Final = "aws:elasticbeanstalk:hostmanager"
_MANAGED: Final = "aws:elasticbeanstalk:managedactions"
_MONITORING: Final = "aws:elasticbeanstalk:monitoring"
_PARAMETER: Final = "aws:cloudformation:template:parameter"
_PLATFORM: Final = "aws:elasticbeanstalk:managedactions:platformupdate"
_PROXY: Final = "aws:elasticbeanstalk:environment:proxy"
_PYTHON: Final = "aws:elasticbeanstalk:container:python"
_ROLLING: Final = "aws:autoscaling:updatepolicy:rollingupdate"
_SCHEDULE: Final = "aws:autoscaling:scheduledaction"
_TOPICS: Final = "aws:elasticbeanstalk:sns:topics"
_XRAY: Final = "aws:elasticbeanstalk:xray"


@dataclass(frozen=True)
class Refusal:
    """Why an option is not honoured.

    Args:
        reason: and what to do instead.
        answered_by: a prop that, given in code, says what is wanted in the option's place.
    """

    reason: str
    answered_by: str | None = None


_NO_SSH: Final = Refusal("no port is open for SSH; set session_manager=True", "session_manager")
_ZONES: Final = Refusal("zones follow from subnets; pass vpc_subnets", "vpc_subnets")
_NO_BALANCER: Final = Refusal("a worker has no load balancer; leave it out")
_BASE_RATE: Final = Refusal("the root volume has its type's base rate; leave it out")
_NO_EXTENSIONS: Final = Refusal("no such extensions are read; leave it out")
_ROLLS: Final = Refusal(
    "a new setting replaces instances as a new version does; pass update_policy", "update_policy"
)

REFUSED: Final = {
    (SQSD, "WorkerQueueURL"): Refusal(
        "a URL does not have the facts of a queue; pass queue=ExistingQueue.imported(...)",
        "queue",
    ),
    (ASG, "Cooldown"): Refusal(
        "policies have a warm-up instead; pass default_instance_warmup", "default_instance_warmup"
    ),
    (ASG, "Availability Zones"): _ZONES,
    (ASG, "Custom Availability Zones"): _ZONES,
    (LAUNCH, "EC2KeyName"): _NO_SSH,
    (LAUNCH, "SSHSourceRestriction"): _NO_SSH,
    (LAUNCH, "IamInstanceProfile"): Refusal(
        "an instance profile is made for the role; pass role=, or grant to the tier what the"
        " application needs",
        "role",
    ),
    (LAUNCH, "ImageId"): Refusal(
        "an id does not say the system, its root device and whether it ships logs; pass"
        " machine_image=WorkerMachineImage.pinned(...) or .amazon_linux_2023()",
        "machine_image",
    ),
    (LAUNCH, "BlockDeviceMappings"): Refusal(
        "there is one encrypted root volume; set RootVolumeSize", "root_volume_size"
    ),
    (LAUNCH, "RootVolumeIOPS"): _BASE_RATE,
    (LAUNCH, "RootVolumeThroughput"): _BASE_RATE,
    (LAUNCH, "LaunchTemplateTagPropagationEnabled"): Refusal(
        "tags of the stack reach instances anyway; leave it out"
    ),
    (VPC, "ELBSubnets"): _NO_BALANCER,
    (VPC, "ELBScheme"): _NO_BALANCER,
    (VPC, "DBSubnets"): Refusal("no database is made here; make one in another stack"),
    (INSTANCES, "SpotMaxPrice"): Refusal(
        "AWS advises against one: it only interrupts more often; leave it out"
    ),
    (ENVIRONMENT, "LoadBalancerType"): _NO_BALANCER,
    (ENVIRONMENT, "ExternalExtensionsS3Bucket"): _NO_EXTENSIONS,
    (ENVIRONMENT, "ExternalExtensionsS3Key"): _NO_EXTENSIONS,
    (COMMAND, "IgnoreHealthCheck"): Refusal("a deployment without a health check loses messages"),
    (_TOPICS, "Notification Endpoint"): Refusal(
        "subscribe to tier.notifications_topic, and pass alarm_actions", "notifications_topic"
    ),
    (_TOPICS, "Notification Topic ARN"): Refusal(
        "pass notifications_topic=", "notifications_topic"
    ),
    (_XRAY, "XRayEnabled"): Refusal(
        "no X-Ray daemon is installed; the daemon has OpenTelemetry, see docs/observability.md"
    ),
    **{
        (_ROLLING, option): _ROLLS
        for option in (
            "RollingUpdateEnabled",
            "RollingUpdateType",
            "Timeout",
            "MaxBatchSize",
            "MinInstancesInService",
            "PauseTime",
        )
    },
}
#: Namespaces of which nothing is honoured but what loses nothing, with what to do instead.
REFUSED_NAMESPACES: Final = {
    _SCHEDULE: Refusal("call tier.scale_on_schedule(...)"),
    _PYTHON: Refusal("say in a Procfile how the application is started"),
    "aws:rds:dbinstance": Refusal("no database is made here; make one in another stack"),
}

#: Any value is accepted: the option configures something this tier neither has nor needs.
_ANY: Final = None
#: Options that a dump of any environment has -> the values, in lower case, with which nothing is
#: lost here, or None for any value. The values are Elastic Beanstalk's defaults, and those that do
#: as much. None of the options is a prop.
HARMLESS: Final[dict[tuple[str, str], frozenset[str] | None]] = {
    (ASG, "Availability Zones"): frozenset({"any"}),
    (ASG, "Cooldown"): frozenset({"360"}),
    (LAUNCH, "SSHSourceRestriction"): frozenset({"tcp,22,22,0.0.0.0/0"}),
    (LAUNCH, "IamInstanceProfile"): frozenset({"aws-elasticbeanstalk-ec2-role"}),
    (LAUNCH, "BlockDeviceMappings"): frozenset({"none"}),
    (LAUNCH, "LaunchTemplateTagPropagationEnabled"): _ANY,
    (VPC, "ELBScheme"): _ANY,
    (ENVIRONMENT, "LoadBalancerType"): _ANY,
    (ENVIRONMENT, "LoadBalancerIsShared"): _ANY,
    (ENVIRONMENT, "ServiceRole"): _ANY,
    (COMMAND, "IgnoreHealthCheck"): frozenset({"false"}),
    (_CONTROL, "DefaultSSHPort"): _ANY,
    (_CONTROL, "LaunchTimeout"): _ANY,
    (_CONTROL, "LaunchType"): _ANY,
    (_CONTROL, "RollbackLaunchOnFailure"): _ANY,
    (_HEALTH, "ConfigDocument"): _ANY,
    (_HEALTH, "EnhancedHealthAuthEnabled"): _ANY,
    (_HEALTH, "HealthCheckSuccessThreshold"): _ANY,
    (_HEALTH, "SystemType"): _ANY,
    (_HEALTH_LOGS, "DeleteOnTerminate"): _ANY,
    (_HEALTH_LOGS, "HealthStreamingEnabled"): frozenset({"false"}),
    (_HEALTH_LOGS, "RetentionInDays"): _ANY,
    (_HOST, "LogPublicationControl"): frozenset({"false"}),
    (_MANAGED, "ManagedActionsEnabled"): frozenset({"false"}),
    (_MANAGED, "PreferredStartTime"): _ANY,
    (_MANAGED, "ServiceRoleForManagedUpdates"): _ANY,
    (_PLATFORM, "InstanceRefreshEnabled"): frozenset({"false"}),
    (_PLATFORM, "UpdateLevel"): _ANY,
    (_MONITORING, "Automatically Terminate Unhealthy Instances"): frozenset({"true"}),
    (_PROXY, "ProxyServer"): frozenset({"nginx"}),
    (_ROLLING, "MaxBatchSize"): frozenset({"1"}),
    # Ours always roll, one instance at a time, and wait for each.
    (_ROLLING, "RollingUpdateEnabled"): _ANY,
    (_ROLLING, "RollingUpdateType"): frozenset({"time", "health"}),
    (_ROLLING, "Timeout"): frozenset({"pt30m"}),
    (_TOPICS, "Notification Protocol"): _ANY,
    (_XRAY, "XRayEnabled"): frozenset({"false"}),
    ("aws:rds:dbinstance", "HasCoupledDatabase"): frozenset({"false"}),
    # As the bootstrap starts it too.
    (_PYTHON, "NumProcesses"): frozenset({"1"}),
    (_PYTHON, "NumThreads"): frozenset({"15"}),
    (_PYTHON, "WSGIPath"): frozenset({"application"}),
}
#: In the URL of a queue that Elastic Beanstalk made: it goes with the environment, a new one comes.
_OWN_QUEUE: Final = "-AWSEBWorkerQueue-"
#: Elastic Beanstalk's own inputs to its own template, such as the address of its hooks.
INTERNAL_NAMESPACES: Final = (_PARAMETER,)


def loses_nothing(namespace: str, option: str, value: object) -> bool:
    """Return whether an option can be passed over: what it asks for is so anyway."""
    if namespace in INTERNAL_NAMESPACES:
        return True
    if option == "WorkerQueueURL" and _OWN_QUEUE in str(value):
        return True
    allowed = HARMLESS.get((namespace, option), frozenset())
    return allowed is None or str(value).replace(" ", "").lower() in allowed


def is_known(namespace: str) -> bool:
    """Return whether any option of a namespace is known here."""
    known = {ns for ns, _ in (*REFUSED, *HARMLESS)}
    return namespace in known | {*NAMESPACES, *REFUSED_NAMESPACES, APPLICATION}


def refusal(namespace: str, option: str) -> Refusal:
    """Return why an option that no reader took is refused."""
    known = REFUSED.get((namespace, option)) or REFUSED_NAMESPACES.get(namespace)
    return known or Refusal("it is not an option that is known here; leave it out")
