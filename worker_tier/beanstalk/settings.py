"""Elastic Beanstalk's option settings -> props: honoured, or refused by name with the reason."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Final, TypeVar, cast

from aws_cdk import Annotations, Duration, Size
from aws_cdk import aws_autoscaling as autoscaling
from aws_cdk import aws_ec2 as ec2
from constructs import Construct

from sqsd.contract import SqsdOptions
from worker_tier.beanstalk.table import (
    APPLICATION,
    ASG,
    COMMAND,
    ENVIRONMENT,
    INSTANCES,
    LAUNCH,
    LOGS,
    NAMESPACES,
    PROPERTIES,
    SQSD,
    TRIGGER,
    VPC,
    is_known,
    loses_nothing,
    refusal,
)
from worker_tier.beanstalk.values import (
    Unusable,
    allocation,
    boolean,
    change,
    days,
    names,
    one_of,
    path,
    volume_type,
    whole,
)
from worker_tier.fleet.capacity import WorkerCapacity
from worker_tier.options import NONE_SWITCHES_OFF
from worker_tier.props import SettingsProps
from worker_tier.scaling.figures import WorkerScaling
from worker_tier.scaling.trigger import Side, Trigger

#: Namespace -> option -> value; a list as .ebextensions and the API write it; or all that `aws
#: elasticbeanstalk describe-configuration-settings` prints.
OptionSettings = Mapping[str, Any] | Iterable[Mapping[str, Any]]

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
#: Share of On-Demand Instances above the base in a Spot fleet, percent, when nothing is said.
_ON_DEMAND_PERCENTAGE: Final = 70
#: How Elastic Beanstalk allocates Spot capacity when nothing is said.
_ALLOCATION: Final = autoscaling.SpotAllocationStrategy.CAPACITY_OPTIMIZED
_NO_POLICY: Final = "it must be AllAtOnce or Rolling"
#: Deployment policies that cannot be honoured: why, and what to do instead.
_POLICIES: Final = {
    "Immutable": "a new group starts at MinSize and not at the size that the load needs, so a"
    " deployment would scale in; set Rolling, or pass"
    " update_policy=autoscaling.UpdatePolicy.replacing_update() to accept that",
    "RollingWithAdditionalBatch": "one instance less is in service during a deployment; set Rolling"
    " and one more in MinSize, or pass update_policy",
    "TrafficSplitting": "a worker has no load balancer; set Rolling",
}


_Value = TypeVar("_Value")


@dataclass
class _Reader:
    """Takes options out of the settings one by one; what remains at the end is unknown.

    Args:
        scope: the construct in which the network and security groups are looked up.
        left: the options that were not taken yet, by namespace and name.
        given: the props that code gives, which win over settings.
        problems: every problem found is appended.
        single: whether the environment is a single instance. `_kind` finds it out.
    """

    scope: Construct
    left: dict[tuple[str, str], Any]
    given: SettingsProps
    problems: list[str]
    single: bool = False

    def refuse(self, namespace: str, option: str, value: Any, why: str) -> None:
        """Append that an option cannot be honoured."""
        self.problems.append(f"{namespace}:{option} ({value!r}) cannot be honoured: {why}")

    def says(self, prop: str | None) -> bool:
        """Return whether code gives a prop, so that a setting need not."""
        return prop is not None and self.given.get(prop) not in (None, False)

    def take(self, namespace: str, option: str, read: Callable[[Any], _Value]) -> _Value | None:
        """Take an option out and return its value, or None if it is not set or unusable."""
        value = self.left.pop((namespace, option), None)
        if value is None:
            return None
        try:
            return read(value)
        except (Unusable, ValueError, KeyError) as error:
            wanted = str(error) if isinstance(error, Unusable) else "has a value of another kind"
            self.problems.append(f"{namespace}:{option} {wanted}, got {value!r}")
            return None

    def take_or(
        self, default: _Value, namespace: str, option: str, read: Callable[[Any], _Value]
    ) -> _Value:
        """Take an option out and return its value, or a default if it is not set or unusable."""
        value = self.take(namespace, option, read)
        return default if value is None else value


def props_from(
    scope: Construct, settings: OptionSettings, given: SettingsProps, problems: list[str]
) -> SettingsProps:
    """Return the props of a tier: those that settings ask for, and `given`, which wins.

    Args:
        scope: for the network and security groups that settings name by id.
        settings: the option settings, in any of their forms.
        given: the props that code gives; None does not win over a setting.
        problems: every option that cannot be honoured is appended, by name and with the reason.
    """
    given = _without_none(given)
    reader = _Reader(scope, _flat(settings, problems), given, problems)
    props: SettingsProps = {}
    for read in _READERS:
        props |= _without_none(read(reader))
    if props.get("single_instance"):
        # A dump of settings lists the options of group and trigger too; they mean nothing here.
        props.pop("min_capacity", None)
        props.pop("max_capacity", None)
        props.pop("scaling", None)
    props |= given
    _environment(reader, props)
    _refuse_the_rest(reader)
    return props


def _without_none(props: SettingsProps) -> SettingsProps:
    """Return the props that are given: None is a value for those only that it switches off."""
    given = {
        name: value
        for name, value in props.items()
        if value is not None or name in NONE_SWITCHES_OFF
    }
    return cast(SettingsProps, given)


def _refuse_the_rest(reader: _Reader) -> None:
    """Refuse the options that no reader took, unless nothing is lost without them."""
    for (namespace, option), value in reader.left.items():
        found = refusal(namespace, option)
        if loses_nothing(namespace, option, value):
            _warn_of_instance_profile(reader, option)
        elif not reader.says(found.answered_by):
            reader.refuse(namespace, option, value, found.reason)


def _warn_of_instance_profile(reader: _Reader, option: str) -> None:
    """Warn of the one default of Elastic Beanstalk that may be missed."""
    if option == "IamInstanceProfile" and not reader.says("role"):
        Annotations.of(reader.scope).add_warning_v2(
            "worker-tier:instance-profile",
            "IamInstanceProfile: what the environment's profile allowed the application does not"
            " come along; grant it to the tier, as in bucket.grant_read(tier)",
        )


def _flat(settings: OptionSettings, problems: list[str]) -> dict[tuple[str, str], Any]:
    """Return the value of each (namespace, option), without those of unknown namespaces."""
    found = {key: value for key, value in _pairs(settings, problems) if value not in (None, "")}
    unknown = {
        namespace
        for (namespace, option), value in found.items()
        if not is_known(namespace) and not loses_nothing(namespace, option, value)
    }
    for namespace in sorted(unknown):
        options = [o for ns, o in found if ns == namespace]
        problems.append(
            f"{namespace} ({', '.join(options)}) is not a namespace that is known here; known are"
            f" {', '.join(NAMESPACES)}"
        )
    return {key: value for key, value in found.items() if key[0] not in unknown}


def _pairs(settings: OptionSettings, problems: list[str]) -> Iterator[tuple[tuple[str, str], Any]]:
    """Yield ((namespace, option), value) of each setting, from any form that settings have."""
    if isinstance(settings, Mapping) and "ConfigurationSettings" in settings:
        (described, *_) = settings["ConfigurationSettings"]
        settings = cast(OptionSettings, described["OptionSettings"])
    if isinstance(settings, Mapping):
        for namespace, options in settings.items():
            for option, value in options.items():
                yield (namespace, option), value
        return
    for item in settings:
        keys = {key.replace("_", "").lower(): value for key, value in item.items()}
        try:
            yield (keys["namespace"], keys["optionname"]), keys.get("value")
        except KeyError as error:
            problems.append(f"an option setting without its {error.args[0]}: {dict(item)!r}")


def _sqsd(reader: _Reader) -> SettingsProps:
    props: dict[str, object] = {}
    for eb_name, option in _EB_NAMES.items():
        if isinstance(option.default, str):
            props[option.name] = reader.take(SQSD, eb_name, str)
            continue
        number = reader.take(SQSD, eb_name, whole)
        if number is not None:
            is_duration = option.name in _DURATIONS
            props[option.name] = Duration.seconds(number) if is_duration else number
    # The names are those of the contract, each of them a prop.
    return cast(SettingsProps, props)


def _group(reader: _Reader) -> SettingsProps:
    return {
        "min_capacity": reader.take(ASG, "MinSize", whole),
        "max_capacity": reader.take(ASG, "MaxSize", whole),
    }


def _trigger(reader: _Reader) -> SettingsProps:
    if not any(namespace == TRIGGER for namespace, _ in reader.left):
        return {}
    base = Trigger()
    breach = reader.take(TRIGGER, "BreachDuration", whole)
    period = reader.take_or(base.period_minutes, TRIGGER, "Period", whole)
    periods = reader.take_or(base.evaluation_periods, TRIGGER, "EvaluationPeriods", whole)
    if breach is not None:
        # EB: the time a metric must be beyond its limit; periods of Period minutes cover it.
        periods = max(periods, -(-breach // max(period, 1)))
    trigger = replace(
        base,
        metric_name=reader.take_or(base.metric_name, TRIGGER, "MeasureName", str),
        statistic=reader.take_or(base.statistic, TRIGGER, "Statistic", str),
        # Without a unit it is the measure's: with another the alarm would never see a value.
        unit=reader.take(TRIGGER, "Unit", str),
        period_minutes=period,
        evaluation_periods=periods,
        upper=_side(reader, "Upper", base.upper),
        lower=_side(reader, "Lower", base.lower),
    )
    return {"scaling": WorkerScaling.trigger(trigger)}


def _side(reader: _Reader, name: str, base: Side) -> Side:
    default = (base.increment, base.percent)
    increment, percent = reader.take_or(default, TRIGGER, f"{name}BreachScaleIncrement", change)
    return Side(
        threshold=reader.take_or(base.threshold, TRIGGER, f"{name}Threshold", float),
        increment=increment,
        percent=percent,
    )


def _launch(reader: _Reader) -> SettingsProps:
    size = reader.take(LAUNCH, "RootVolumeSize", whole)
    reader.take(LAUNCH, "DisableIMDSv1", boolean)  # tokens are required in any case
    interval = reader.take(LAUNCH, "MonitoringInterval", one_of("1 minute", "5 minute"))
    return {
        "instance_type": reader.take(LAUNCH, "InstanceType", ec2.InstanceType),
        "root_volume_size": None if size is None else Size.gibibytes(size),
        "root_volume_type": reader.take(LAUNCH, "RootVolumeType", volume_type),
        "security_group": _security_group(reader),
        "detailed_monitoring": None if interval is None else interval == "1 minute",
    }


def _security_group(reader: _Reader) -> ec2.ISecurityGroup | None:
    alone = reader.take(LAUNCH, "DisableDefaultEC2SecurityGroup", boolean)
    groups = reader.take(LAUNCH, "SecurityGroups", names)
    if groups is None:
        if alone and not reader.says("security_group"):
            reader.refuse(
                *(LAUNCH, "DisableDefaultEC2SecurityGroup", "true"),
                "an instance has a group in any case; set SecurityGroups, or pass security_group",
            )
        return None
    if len(groups) == 1 and groups[0].startswith("sg-"):
        return ec2.SecurityGroup.from_security_group_id(reader.scope, "SecurityGroups", groups[0])
    if not reader.says("security_group"):
        reader.problems.append(
            f"{LAUNCH}:SecurityGroups ({', '.join(groups)}) must be the id of one group, such"
            " as sg-0a1b2c3d; merge their rules, or pass security_group"
        )
    return None


def _network(reader: _Reader) -> SettingsProps:
    id = reader.take(VPC, "VPCId", str)
    subnets = reader.take(VPC, "Subnets", names)
    public = reader.take(VPC, "AssociatePublicIpAddress", boolean)
    if (id is None) != (subnets is None):
        reader.problems.append(
            f"{VPC}:VPCId and {VPC}:Subnets are needed together; give both, or pass vpc"
        )
        return {}
    if id is None or subnets is None:
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


def _kind(reader: _Reader) -> SettingsProps:
    kind = reader.take(ENVIRONMENT, "EnvironmentType", one_of("SingleInstance", "LoadBalanced"))
    reader.single = kind == "SingleInstance" or reader.says("single_instance")
    return {"single_instance": True} if kind == "SingleInstance" else {}


def _instances(reader: _Reader) -> SettingsProps:
    spot = reader.take(INSTANCES, "EnableSpot", boolean)
    base = reader.take_or(0, INSTANCES, "SpotFleetOnDemandBase", whole)
    # Elastic Beanstalk's default follows the environment's type, which `_kind` has read.
    default = 0 if reader.single else _ON_DEMAND_PERCENTAGE
    above = reader.take_or(default, INSTANCES, "SpotFleetOnDemandAboveBasePercentage", whole)
    strategy = reader.take_or(_ALLOCATION, INSTANCES, "SpotAllocationStrategy", allocation)
    rebalance = reader.take_or(False, ASG, "EnableCapacityRebalancing", boolean)
    kinds = _instance_types(reader)
    if spot and not kinds:
        reader.problems.append(f"{INSTANCES}:EnableSpot needs InstanceTypes; name some")
        return {}
    if spot:
        capacity = WorkerCapacity.spot(
            kinds,
            on_demand_base=base,
            on_demand_percentage=above,
            allocation_strategy=strategy,
            capacity_rebalance=rebalance,
        )
        return {"capacity": capacity, "instance_type": None}
    # Without Spot Elastic Beanstalk starts the first type of the list only, too.
    return {"instance_type": kinds[0]} if kinds else {}


def _instance_types(reader: _Reader) -> list[ec2.InstanceType]:
    types = reader.take(INSTANCES, "InstanceTypes", names) or []
    architecture = reader.take(INSTANCES, "SupportedArchitectures", one_of("arm64", "x86_64"))
    kinds = [ec2.InstanceType(name) for name in types]
    known = {ec2.InstanceArchitecture.ARM_64: "arm64", ec2.InstanceArchitecture.X86_64: "x86_64"}
    wrong = [
        kind.to_string() for kind in kinds if architecture not in (None, known[kind.architecture])
    ]
    if wrong:
        reader.problems.append(
            f"{INSTANCES}:SupportedArchitectures is {architecture}, but {', '.join(wrong)} is not"
        )
    return kinds


def _command(reader: _Reader) -> SettingsProps:
    """Read how deployments replace instances.

    They replace one instance at a time and await each: never faster, and never less safe, than all
    at once or in batches.
    """
    policy = reader.take_or("AllAtOnce", COMMAND, "DeploymentPolicy", str)
    kind = reader.take_or("Percentage", COMMAND, "BatchSizeType", one_of("Fixed", "Percentage"))
    size = reader.take_or(1 if kind == "Fixed" else 100, COMMAND, "BatchSize", whole)
    timeout = reader.take(COMMAND, "Timeout", whole)
    if not reader.says("update_policy"):
        if policy not in ("AllAtOnce", "Rolling"):
            reader.refuse(COMMAND, "DeploymentPolicy", policy, _POLICIES.get(policy, _NO_POLICY))
        elif policy == "Rolling" and (kind, size) not in (("Fixed", 1), ("Percentage", 100)):
            reader.refuse(
                *(COMMAND, "BatchSize", size),
                "instances are replaced one at a time; set Fixed and 1, or pass update_policy",
            )
    return {"signal_timeout": None if timeout is None else Duration.seconds(timeout)}


def _logs(reader: _Reader) -> SettingsProps:
    """Read what becomes of log lines.

    They are always shipped; those that were streamed and retained must not be deleted with the
    stack unasked.
    """
    streamed = reader.take(LOGS, "StreamLogs", boolean)
    deleted = reader.take(LOGS, "DeleteOnTerminate", boolean)
    if streamed and not deleted and not reader.says("log_group"):
        reader.refuse(
            *(LOGS, "DeleteOnTerminate", "false"),
            "the tier's log group goes with its stack; pass log_group=, made with"
            " RemovalPolicy.RETAIN, or set it to true",
        )
    retention = reader.take(LOGS, "RetentionInDays", days)
    # Where nothing was streamed, the default of a week was not chosen.
    return {"log_retention": retention if streamed else None}


def _application(reader: _Reader) -> SettingsProps:
    return {"health_path": reader.take(APPLICATION, "Application Healthcheck URL", path)}


def _environment(reader: _Reader, props: SettingsProps) -> None:
    """Give the environment properties of the settings to the application."""
    names = [option for namespace, option in reader.left if namespace == PROPERTIES]
    values = {name: str(reader.left.pop((PROPERTIES, name))) for name in names}
    if not values:
        return
    application = props.get("application")
    if application is None:
        reader.problems.append(
            f"{PROPERTIES} ({', '.join(values)}) is for an application that is installed here; pass"
            " application=WorkerApplication.from_asset(...)"
        )
        return
    # What code says wins over what a file says, as for every other prop.
    merged = {**values, **application.environment}
    props["application"] = replace(application, environment=merged)


#: In this order: `_kind` finds out what `_instances` needs to know, and what `_instances` says of
#: the type wins over `_launch`.
_READERS: Final = (
    _sqsd,
    _group,
    _trigger,
    _launch,
    _network,
    _kind,
    _instances,
    _command,
    _logs,
    _application,
)
