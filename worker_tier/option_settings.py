"""Elastic Beanstalk's option settings -> props: honoured, or refused by name with the reason."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Final, cast

from aws_cdk import Duration, Size
from aws_cdk import aws_autoscaling as autoscaling
from aws_cdk import aws_ec2 as ec2
from constructs import Construct

from sqsd.contract import SqsdOptions
from worker_tier.application import WorkerApplication
from worker_tier.capacity import WorkerCapacity
from worker_tier.option_values import (
    FixedImage,
    Unusable,
    boolean,
    change,
    days,
    names,
    one_of,
    whole,
)
from worker_tier.scaling_figures import WorkerScaling
from worker_tier.trigger import Side, Trigger

#: Namespace -> option -> value; or a list as .ebextensions and the API write it.
OptionSettings = Mapping[str, Mapping[str, Any]] | Iterable[Mapping[str, Any]]

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
NAMESPACES: Final = (
    SQSD, ASG, TRIGGER, LAUNCH, VPC, INSTANCES, ENVIRONMENT, PROPERTIES, COMMAND, LOGS
)  # fmt: skip

_EB_NAMES: Final = {f.metadata["eb_name"]: f for f in fields(SqsdOptions) if f.metadata["eb_name"]}
_DURATIONS: Final = frozenset(
    {
        "connect_timeout",
        "inactivity_timeout",
        "visibility_timeout",
        "error_visibility_timeout",
        "retention_period",
    }
)
#: Options that name what is not there any more, or would undo a decision: why, and what instead.
_REFUSED: Final = {
    (SQSD, "WorkerQueueURL"): "a URL does not tell a queue's facts; pass queue=ExistingQueue."
    "imported(...)",
    (ASG, "Cooldown"): "policies have a warm-up instead; pass default_instance_warmup",
    (ASG, "Availability Zones"): "zones follow from subnets; pass vpc_subnets",
    (ASG, "Custom Availability Zones"): "zones follow from subnets; pass vpc_subnets",
    (LAUNCH, "EC2KeyName"): "no port is open for SSH; set session_manager=True",
    (LAUNCH, "SSHSourceRestriction"): "no port is open for SSH; set session_manager=True",
    (LAUNCH, "IamInstanceProfile"): "an instance profile is made for the role; pass role=",
    (LAUNCH, "BlockDeviceMappings"): "there is one encrypted root volume; set RootVolumeSize",
    (LAUNCH, "RootVolumeIOPS"): "the root volume is gp3 with its base rate",
    (LAUNCH, "RootVolumeThroughput"): "the root volume is gp3 with its base rate",
    (LAUNCH, "LaunchTemplateTagPropagationEnabled"): "tags of the stack reach instances anyway",
    (VPC, "ELBSubnets"): "a worker has no load balancer",
    (VPC, "ELBScheme"): "a worker has no load balancer",
    (VPC, "DBSubnets"): "no database is made here; make one in a stack of its own",
    (INSTANCES, "SpotMaxPrice"): "AWS advises against one: it only interrupts more often",
    (ENVIRONMENT, "LoadBalancerType"): "a worker has no load balancer",
    (ENVIRONMENT, "ExternalExtensionsS3Bucket"): "not supported",
    (ENVIRONMENT, "ExternalExtensionsS3Key"): "not supported",
    (COMMAND, "Timeout"): "an instance is awaited as a whole; pass signal_timeout",
    (COMMAND, "IgnoreHealthCheck"): "a deployment that nobody checks loses messages",
}


_NOT_SINGLE: Final = frozenset({"min_capacity", "max_capacity", "scaling"})


@dataclass
class _Reader:
    """Takes options out of the settings one by one; what is left at the end is unknown."""

    scope: Construct
    left: dict[tuple[str, str], Any]
    problems: list[str]

    def take(
        self, namespace: str, option: str, read: Callable[[Any], Any] = str, default: Any = None
    ) -> Any:
        value = self.left.pop((namespace, option), None)
        if value is None:
            return default
        try:
            return read(value)
        except (Unusable, ValueError, KeyError) as error:
            wanted = str(error) if isinstance(error, Unusable) else "has a value of another kind"
            self.problems.append(f"{namespace}:{option} {wanted}, got {value!r}")
            return default


def props_from(
    scope: Construct,
    settings: OptionSettings,
    given: Mapping[str, Any],
    problems: list[str],
) -> dict[str, Any]:
    """The props of a tier: those that settings ask for, and `given`, which wins.

    Args:
        scope: for the network and security groups that settings name by id.
        problems: gets every option that cannot be honoured, by name and with the reason.
    """
    reader = _Reader(scope, _flat(settings, problems), problems)
    props: dict[str, Any] = {}
    for read in (_sqsd, _group, _trigger, _launch, _network, _instances, _kind, _command, _logs):
        props |= {name: value for name, value in read(reader).items() if value is not None}
    if props.get("single_instance"):
        # A dump of settings lists the group's and the trigger's too; they mean nothing here.
        props = {name: value for name, value in props.items() if name not in _NOT_SINGLE}
    props |= {name: value for name, value in given.items() if value is not None}
    _environment(reader, props)
    for (namespace, option), value in reader.left.items():
        reason = _REFUSED.get((namespace, option), "is not an option that is known here")
        problems.append(f"{namespace}:{option} ({value!r}) cannot be honoured: {reason}")
    return props


def _flat(settings: OptionSettings, problems: list[str]) -> dict[tuple[str, str], Any]:
    """(namespace, option) -> value, of any of the three forms that people have."""
    if isinstance(settings, Mapping):
        found = {(ns, o): v for ns, options in settings.items() for o, v in options.items()}
    else:
        found = {}
        for item in settings:
            names = {key.replace("_", "").lower(): value for key, value in item.items()}
            try:
                found[names["namespace"], names["optionname"]] = names.get("value")
            except KeyError as error:
                problems.append(f"an option setting without its {error.args[0]}: {dict(item)!r}")
    for namespace in dict.fromkeys(ns for ns, _ in found if ns not in NAMESPACES):
        options = [o for ns, o in found if ns == namespace]
        problems.append(
            f"{namespace} ({', '.join(options)}) is not a namespace that is known here; known are"
            f" {', '.join(NAMESPACES)}"
        )
    return {
        key: value
        for key, value in found.items()
        if key[0] in NAMESPACES and value is not None and value != ""
    }


def _sqsd(reader: _Reader) -> dict[str, Any]:
    props: dict[str, Any] = {}
    for eb_name, option in _EB_NAMES.items():
        is_text = isinstance(option.default, str)
        value = reader.take(SQSD, eb_name, str if is_text else whole)
        if value is not None:
            is_duration = option.name in _DURATIONS
            props[option.name] = Duration.seconds(value) if is_duration else value
    return props


def _group(reader: _Reader) -> dict[str, Any]:
    reader.take(ASG, "EnableCapacityRebalancing", boolean)  # on for every spot fleet
    return {
        "min_capacity": reader.take(ASG, "MinSize", whole),
        "max_capacity": reader.take(ASG, "MaxSize", whole),
    }


def _trigger(reader: _Reader) -> dict[str, Any]:
    if not any(namespace == TRIGGER for namespace, _ in reader.left):
        return {}
    base = Trigger()
    breach = reader.take(TRIGGER, "BreachDuration", whole)
    period = reader.take(TRIGGER, "Period", whole, base.period_minutes)
    periods = reader.take(TRIGGER, "EvaluationPeriods", whole, base.evaluation_periods)
    if breach is not None:
        # EB: the time a metric must be beyond its limit; periods of Period minutes cover it.
        periods = max(periods, -(-breach // max(period, 1)))
    increment, percent = reader.take(TRIGGER, "UpperBreachScaleIncrement", change, (1, False))
    fewer, fewer_percent = reader.take(TRIGGER, "LowerBreachScaleIncrement", change, (-1, False))
    trigger = replace(
        base,
        metric_name=reader.take(TRIGGER, "MeasureName", str, base.metric_name),
        statistic=reader.take(TRIGGER, "Statistic", str, base.statistic),
        unit=reader.take(TRIGGER, "Unit", str, base.unit),
        period_minutes=period,
        evaluation_periods=periods,
        upper=Side(
            threshold=reader.take(TRIGGER, "UpperThreshold", float, base.upper.threshold),
            increment=increment,
            percent=percent,
        ),
        lower=Side(
            threshold=reader.take(TRIGGER, "LowerThreshold", float, base.lower.threshold),
            increment=fewer,
            percent=fewer_percent,
        ),
    )
    return {"scaling": WorkerScaling.trigger(trigger)}


def _launch(reader: _Reader) -> dict[str, Any]:
    size = reader.take(LAUNCH, "RootVolumeSize", whole)
    reader.take(LAUNCH, "RootVolumeType", one_of("gp3"))
    reader.take(LAUNCH, "DisableIMDSv1", one_of("true"))
    reader.take(LAUNCH, "DisableDefaultEC2SecurityGroup", boolean)
    image = reader.take(LAUNCH, "ImageId")
    groups = reader.take(LAUNCH, "SecurityGroups", names)
    interval = reader.take(LAUNCH, "MonitoringInterval", one_of("1 minute", "5 minute"))
    if groups is not None and len(groups) != 1:
        reader.problems.append(
            f"{LAUNCH}:SecurityGroups ({', '.join(groups)}) must be one group; merge their rules"
        )
        groups = None
    return {
        "instance_type": reader.take(LAUNCH, "InstanceType", ec2.InstanceType),
        "root_volume_size": None if size is None else Size.gibibytes(size),
        "machine_image": None if image is None else cast(ec2.IMachineImage, FixedImage(image)),
        "security_group": None
        if groups is None
        else ec2.SecurityGroup.from_security_group_id(reader.scope, "SecurityGroups", groups[0]),
        "detailed_monitoring": None if interval is None else interval == "1 minute",
    }


def _network(reader: _Reader) -> dict[str, Any]:
    id, subnets = reader.take(VPC, "VPCId"), reader.take(VPC, "Subnets", names)
    public = reader.take(VPC, "AssociatePublicIpAddress", boolean)
    if (id is None) != (subnets is None):
        reader.problems.append(
            f"{VPC}:VPCId and {VPC}:Subnets are needed together; give both, or pass vpc"
        )
        return {}
    if id is None:
        return {"associate_public_ip_address": public}
    chosen = [
        ec2.Subnet.from_subnet_id(reader.scope, f"Subnet{number}", subnet)
        for number, subnet in enumerate(subnets)
    ]
    network = ec2.Vpc.from_vpc_attributes(
        # Zones are asked for by the CDK and follow from the subnets in CloudFormation.
        reader.scope,
        "Vpc",
        vpc_id=id,
        availability_zones=[f"zone-{n}" for n in range(len(subnets))],
    )
    return {
        "vpc": network,
        "vpc_subnets": ec2.SubnetSelection(subnets=chosen),
        "associate_public_ip_address": public,
    }


def _instances(reader: _Reader) -> dict[str, Any]:
    types = reader.take(INSTANCES, "InstanceTypes", names)
    spot = reader.take(INSTANCES, "EnableSpot", boolean, False)
    base = reader.take(INSTANCES, "SpotFleetOnDemandBase", whole, 0)
    above = reader.take(INSTANCES, "SpotFleetOnDemandAboveBasePercentage", whole, 0)
    reader.take(
        INSTANCES,
        "SpotAllocationStrategy",
        one_of(
            "capacity-optimized-prioritized",
            "capacity-optimized",
            "price-capacity-optimized",
            "lowest-price",
        ),
    )
    architecture = reader.take(INSTANCES, "SupportedArchitectures", one_of("arm64", "x86_64"))
    kinds = [ec2.InstanceType(name) for name in types or ()]
    known = {ec2.InstanceArchitecture.ARM_64: "arm64", ec2.InstanceArchitecture.X86_64: "x86_64"}
    wrong = [
        kind.to_string() for kind in kinds if architecture not in (None, known[kind.architecture])
    ]
    if wrong:
        reader.problems.append(
            f"{INSTANCES}:SupportedArchitectures is {architecture}, but {', '.join(wrong)} is not"
        )
    if spot and not kinds:
        reader.problems.append(f"{INSTANCES}:EnableSpot needs InstanceTypes; name some")
        return {}
    if spot:
        capacity = WorkerCapacity.spot(kinds, on_demand_base=base, on_demand_percentage=above)
        return {"capacity": capacity, "instance_type": None}
    return {"instance_type": kinds[0]} if kinds else {}


def _kind(reader: _Reader) -> dict[str, Any]:
    kind = reader.take(ENVIRONMENT, "EnvironmentType", one_of("SingleInstance", "LoadBalanced"))
    reader.take(ENVIRONMENT, "ServiceRole")  # Elastic Beanstalk's own; nobody needs it here
    return {"single_instance": True} if kind == "SingleInstance" else {}


def _command(reader: _Reader) -> dict[str, Any]:
    policy = reader.take(COMMAND, "DeploymentPolicy", one_of("Rolling", "Immutable"), "Rolling")
    reader.take(COMMAND, "BatchSizeType", one_of("Fixed"))
    reader.take(COMMAND, "BatchSize", one_of("1"))
    if policy == "Immutable":
        # A second group beside the first, which goes when the second is up.
        return {"update_policy": autoscaling.UpdatePolicy.replacing_update()}
    return {}


def _logs(reader: _Reader) -> dict[str, Any]:
    reader.take(LOGS, "StreamLogs", one_of("true"))
    reader.take(LOGS, "DeleteOnTerminate", one_of("true"))
    return {"log_retention": reader.take(LOGS, "RetentionInDays", days)}


def _environment(reader: _Reader, props: dict[str, Any]) -> None:
    """Environment properties belong to the application."""
    names = [option for namespace, option in reader.left if namespace == PROPERTIES]
    values = {name: str(reader.left.pop((PROPERTIES, name))) for name in names}
    if not values:
        return
    application: WorkerApplication | None = props.get("application")
    if application is None:
        reader.problems.append(
            f"{PROPERTIES} ({', '.join(values)}) is for an application that is installed here; pass"
            " application=WorkerApplication.from_asset(...)"
        )
        return
    # What code says wins over what a file says, as for every other prop.
    merged = {**values, **application.environment}
    props["application"] = replace(application, environment=merged)
