"""Elastic Beanstalk's option settings -> props: honoured, or refused by name with the reason."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Final

from aws_cdk import Annotations, Duration, Size
from aws_cdk import aws_autoscaling as autoscaling
from aws_cdk import aws_ec2 as ec2
from constructs import Construct

from sqsd.contract import SqsdOptions
from worker_tier.application.application import WorkerApplication
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
#: Of spot fleets, when nothing is said.
_ON_DEMAND_PERCENTAGE: Final = 70
_ALLOCATION: Final = autoscaling.SpotAllocationStrategy.CAPACITY_OPTIMIZED
_NO_POLICY: Final = "it must be AllAtOnce or Rolling"
#: Deployment policies that are not what happens here: why, and what instead.
_POLICIES: Final = {
    "Immutable": "a new group starts at MinSize and not at the size that the load needs, so a"
    " deployment would scale in; set Rolling, or pass"
    " update_policy=autoscaling.UpdatePolicy.replacing_update() to accept that",
    "RollingWithAdditionalBatch": "one instance less is in service during a deployment; set Rolling"
    " and one more in MinSize, or pass update_policy",
    "TrafficSplitting": "a worker has no load balancer; set Rolling",
}
_NOT_SINGLE: Final = frozenset({"min_capacity", "max_capacity", "scaling"})


@dataclass
class _Reader:
    """Takes options out of the settings one by one; what is left at the end is unknown."""

    scope: Construct
    left: dict[tuple[str, str], Any]
    given: Mapping[str, Any]
    problems: list[str]
    single: bool = False

    def refuse(self, namespace: str, option: str, value: Any, why: str) -> None:
        self.problems.append(f"{namespace}:{option} ({value!r}) cannot be honoured: {why}")

    def says(self, prop: str | None) -> bool:
        """Whether code says what is wanted, so that a setting need not."""
        return prop is not None and self.given.get(prop) not in (None, False)

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
    given = {name: value for name, value in given.items() if value is not None}
    reader = _Reader(scope, _flat(settings, problems), given, problems)
    props: dict[str, Any] = {}
    readers = (_sqsd, _group, _trigger, _launch, _network, _kind, _instances, _command, _logs)
    for read in (*readers, _application):
        props |= {name: value for name, value in read(reader).items() if value is not None}
    if props.get("single_instance"):
        # A dump of settings lists the group's and the trigger's too; they mean nothing here.
        props = {name: value for name, value in props.items() if name not in _NOT_SINGLE}
    props |= given
    _environment(reader, props)
    for (namespace, option), value in reader.left.items():
        found = refusal(namespace, option)
        if loses_nothing(namespace, option, value):
            _tell_what_stays_behind(reader, option)
        elif not reader.says(found.answered_by):
            reader.refuse(namespace, option, value, found.reason)
    return props


def _tell_what_stays_behind(reader: _Reader, option: str) -> None:
    """The one thing that may be missed although it is Elastic Beanstalk's default."""
    if option == "IamInstanceProfile" and not reader.says("role"):
        Annotations.of(reader.scope).add_warning_v2(
            "worker-tier:instance-profile",
            "IamInstanceProfile: what the environment's profile allowed the application does not"
            " come along; grant it to the tier, as in bucket.grant_read(tier)",
        )


def _flat(settings: OptionSettings, problems: list[str]) -> dict[tuple[str, str], Any]:
    """(namespace, option) -> value, of any of the forms that people have."""
    if isinstance(settings, Mapping) and "ConfigurationSettings" in settings:
        (described, *_) = settings["ConfigurationSettings"]
        settings = described["OptionSettings"]
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
    found = {key: value for key, value in found.items() if value is not None and value != ""}
    unknown = {
        (ns, o) for (ns, o), v in found.items() if not is_known(ns) and not loses_nothing(ns, o, v)
    }
    for namespace in dict.fromkeys(ns for ns, _ in found if ns in {n for n, _ in unknown}):
        options = [o for ns, o in found if ns == namespace]
        problems.append(
            f"{namespace} ({', '.join(options)}) is not a namespace that is known here; known are"
            f" {', '.join(NAMESPACES)}"
        )
    return {key: value for key, value in found.items() if key not in unknown}


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
        # Without one it is the measure's own: with another the alarm would never see a value.
        unit=reader.take(TRIGGER, "Unit"),
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
    kind = reader.take(LAUNCH, "RootVolumeType", volume_type)
    reader.take(LAUNCH, "DisableIMDSv1", boolean)  # tokens are asked for in any case
    alone = reader.take(LAUNCH, "DisableDefaultEC2SecurityGroup", boolean, False)
    groups = reader.take(LAUNCH, "SecurityGroups", names)
    interval = reader.take(LAUNCH, "MonitoringInterval", one_of("1 minute", "5 minute"))
    if groups is None and alone and not reader.says("security_group"):
        reader.refuse(
            *(LAUNCH, "DisableDefaultEC2SecurityGroup", "true"),
            "an instance has a group in any case; set SecurityGroups, or pass security_group",
        )
    if groups is not None and (len(groups) != 1 or not groups[0].startswith("sg-")):
        if not reader.says("security_group"):
            reader.problems.append(
                f"{LAUNCH}:SecurityGroups ({', '.join(groups)}) must be the id of one group, such"
                " as sg-0a1b2c3d; merge their rules, or pass security_group"
            )
        groups = None
    return {
        "instance_type": reader.take(LAUNCH, "InstanceType", ec2.InstanceType),
        "root_volume_size": None if size is None else Size.gibibytes(size),
        "root_volume_type": kind,
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
    # Elastic Beanstalk's default follows the environment's type.
    default = 0 if reader.single else _ON_DEMAND_PERCENTAGE
    above = reader.take(INSTANCES, "SpotFleetOnDemandAboveBasePercentage", whole, default)
    strategy = reader.take(INSTANCES, "SpotAllocationStrategy", allocation)
    rebalance = reader.take(ASG, "EnableCapacityRebalancing", boolean, False)
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
        capacity = WorkerCapacity.spot(
            kinds,
            on_demand_base=base,
            on_demand_percentage=above,
            allocation_strategy=strategy or _ALLOCATION,
            capacity_rebalance=rebalance,
        )
        return {"capacity": capacity, "instance_type": None}
    # Without spot Elastic Beanstalk starts the first type of the list only, too.
    return {"instance_type": kinds[0]} if kinds else {}


def _kind(reader: _Reader) -> dict[str, Any]:
    kind = reader.take(ENVIRONMENT, "EnvironmentType", one_of("SingleInstance", "LoadBalanced"))
    reader.single = kind == "SingleInstance" or reader.says("single_instance")
    return {"single_instance": True} if kind == "SingleInstance" else {}


def _command(reader: _Reader) -> dict[str, Any]:
    """Deployments are one instance at a time, each awaited: never faster, and never less safe, than
    all at once or in batches.
    """
    policy = reader.take(COMMAND, "DeploymentPolicy", str, "AllAtOnce")
    kind = reader.take(COMMAND, "BatchSizeType", one_of("Fixed", "Percentage"), "Percentage")
    size = reader.take(COMMAND, "BatchSize", whole, 1 if kind == "Fixed" else 100)
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


def _logs(reader: _Reader) -> dict[str, Any]:
    """Lines are always shipped; what was streamed and kept must not go with the stack unasked."""
    streamed = reader.take(LOGS, "StreamLogs", boolean, False)
    goes = reader.take(LOGS, "DeleteOnTerminate", boolean, False)
    if streamed and not goes and not reader.says("log_group"):
        reader.refuse(
            *(LOGS, "DeleteOnTerminate", "false"),
            "the tier's log group goes with its stack; pass log_group=, made with"
            " RemovalPolicy.RETAIN, or set it to true",
        )
    retention = reader.take(LOGS, "RetentionInDays", days)
    # Where nothing was streamed the default, a week, was nobody's wish.
    return {"log_retention": retention if streamed else None}


def _application(reader: _Reader) -> dict[str, Any]:
    return {"health_path": reader.take(APPLICATION, "Application Healthcheck URL", path)}


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
