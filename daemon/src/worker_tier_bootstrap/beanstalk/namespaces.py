"""Reads the options that are honoured, namespace by namespace."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from datetime import datetime
from typing import Any, Final, TypeVar

from sqsd.contract import SqsdOptions
from sqsd.contract.options import value_problems
from worker_tier_bootstrap.beanstalk import values
from worker_tier_bootstrap.beanstalk.findings import Finding, Outcome
from worker_tier_bootstrap.beanstalk.functions import Text
from worker_tier_bootstrap.beanstalk.options import (
    APPLICATION,
    COMMAND,
    ENVIRONMENT,
    GROUP,
    INSTANCES,
    LAUNCH,
    LOGS,
    PROPERTIES,
    SCHEDULE,
    SECRETS,
    SQSD,
    TRIGGER,
    VPC,
)
from worker_tier_bootstrap.beanstalk.reader import Given, Reader
from worker_tier_bootstrap.beanstalk.settings import (
    DeploymentSettings,
    EnvironmentSettings,
    NetworkSettings,
    ScheduledAction,
    SpotSettings,
    TriggerSettings,
)
from worker_tier_bootstrap.contract import environment_problems

T = TypeVar("T")
_SQSD_NAMES: Final = {
    f.metadata["eb_name"]: f for f in fields(SqsdOptions) if f.metadata["eb_name"]
}
#: Part of the name of a security group that Elastic Beanstalk made; the tier makes one too.
_OWN_GROUP: Final = "AWSEBSecurityGroup"
#: The unit of the metric whose thresholds Elastic Beanstalk has defaults for.
_BYTES: Final = "Bytes"
_DEFAULT_GROUP: Final = "elasticbeanstalk-default"
#: The share of instances on demand, in percent, of a load-balanced environment with spot.
_ON_DEMAND_PERCENTAGE: Final = 70
_SPOT_OPTIONS: Final = (
    "EnableSpot",
    "SpotFleetOnDemandBase",
    "SpotFleetOnDemandAboveBasePercentage",
    "SpotAllocationStrategy",
)
_DEFAULT_POLICY: Final = "AllAtOnce"
_ONE_AT_A_TIME: Final = "BatchSizeType to Fixed and BatchSize to 1"
#: Deployment policies that are not what happens here: why, and what else to do than set Rolling.
_POLICIES: Final = {
    "Immutable": (
        "a new group starts at MinSize and not at the size that the load needs, so a deployment"
        " would scale in",
        ", or pass update_policy=autoscaling.UpdatePolicy.replacing_update() to accept that",
    ),
    "RollingWithAdditionalBatch": (
        "one instance less is in service during a deployment",
        " and one more in MinSize, or pass update_policy",
    ),
    "TrafficSplitting": ("a worker has no load balancer", ", or pass update_policy"),
}


def typed_settings(reader: Reader) -> EnvironmentSettings:
    """Return the typed settings of all honoured options; take every option of the reader."""
    single = _is_single(reader)
    found: dict[str, Any] = {"single_instance": single, "sqsd": _sqsd(reader)}
    if single or reader.says("single_instance"):
        _pass_over_sizes(reader)
    for read in (_group, _trigger, _launch, _network, _capacity, _command, _logs, _application):
        found |= read(reader)
    for read in (_secrets, _scheduled_actions, _properties):
        found |= read(reader)
    _check_sizes(reader)
    assert not reader.given, f"options that no function here takes: {list(reader.given)}"
    return EnvironmentSettings(**found, origins=reader.origins)


def _is_single(reader: Reader) -> bool:
    kinds = values.one_of("SingleInstance", "LoadBalanced")
    kind = reader.take("single_instance", ENVIRONMENT, "EnvironmentType", kinds)
    return kind == "SingleInstance"


def _pass_over_sizes(reader: Reader) -> None:
    """Pass over size and trigger, which a dump of a single instance lists too."""
    for key in reader.keys(GROUP, TRIGGER):
        if key[1] != "EnableCapacityRebalancing":
            reader.pass_over(reader.given[key], "one instance does not scale")


def _sqsd(reader: Reader) -> dict[str, int | str]:
    found: dict[str, int | str] = {}
    for eb_name, option in _SQSD_NAMES.items():
        is_text = isinstance(option.default, str)
        read = _checked(option.name, str if is_text else values.whole)
        value = reader.take(option.name, SQSD, eb_name, read)
        if value is not None:
            found[option.name] = value
    return found


def _checked(name: str, read: Callable[[str], int | str]) -> Callable[[str], int | str]:
    """Return a reader that also checks the range of a daemon's option."""

    def checked(text: str) -> int | str:
        value = read(text)
        for problem in value_problems({name: value}):
            raise values.InvalidValue(problem.removeprefix(f"{name} ").rpartition(", got ")[0])
        return value

    return checked


def _group(reader: Reader) -> dict[str, Any]:
    return {
        # Elastic Beanstalk documents a MinSize from 1; a tier may be empty.
        "min_capacity": reader.take("min_capacity", GROUP, "MinSize", _instances(0)),
        "max_capacity": reader.take("max_capacity", GROUP, "MaxSize", _instances(1)),
    }


def _instances(least: int) -> Callable[[str], int]:
    return values.between(least, values.MOST_INSTANCES)


def _check_sizes(reader: Reader) -> None:
    """Refuse a size that is above the largest of the group, unless code decides on one of them."""
    if reader.says("min_capacity", "max_capacity", "single_instance"):
        return
    most = reader.read.get((GROUP, "MaxSize"))
    for name in ((GROUP, "MinSize"), (INSTANCES, "SpotFleetOnDemandBase")):
        if (least := reader.read.get(name)) is not None and most is not None:
            _check_order(reader, least, most)


def _check_order(reader: Reader, least: Given, most: Given) -> None:
    """Refuse a number that is above another one."""
    if values.whole(str(least.text)) > values.whole(str(most.text)):
        problem = f"must be at most {most.option} ({most.shown})"
        hint = f"lower {least.option} or raise {most.option}"
        reader.object_to(least, problem, hint)


def _trigger(reader: Reader) -> dict[str, Any]:
    given = {key[1] for key in reader.keys(TRIGGER)}
    if not given:
        return {}

    def take(option: str, read: Callable[[str], T], default: T) -> T:
        value = reader.take("trigger", TRIGGER, option, read)
        return default if value is None else value

    _refuse_balancers(reader)
    base = TriggerSettings()
    minutes = take("BreachDuration", values.between(1, values.MOST_PERIODS), 0)
    period = take("Period", values.between(1, values.MOST_PERIODS), base.period_minutes)
    periods = take(
        "EvaluationPeriods", values.between(1, values.MOST_PERIODS), base.evaluation_periods
    )
    more, more_percent = take("UpperBreachScaleIncrement", values.increase, (1, False))
    fewer, fewer_percent = take("LowerBreachScaleIncrement", values.decrease, (-1, False))
    trigger = TriggerSettings(
        metric_name=take("MeasureName", values.one_of(*values.MEASURES), base.metric_name),
        statistic=take("Statistic", values.one_of(*values.STATISTICS), base.statistic),
        unit=reader.take("trigger", TRIGGER, "Unit", str.strip),
        period_minutes=period,
        # A metric must be beyond its limit for BreachDuration; periods of Period minutes cover it.
        evaluation_periods=max(periods, -(-minutes // period)),
        upper_threshold=take("UpperThreshold", values.threshold, base.upper_threshold),
        upper_increment=more,
        upper_percent=more_percent,
        lower_threshold=take("LowerThreshold", values.threshold, base.lower_threshold),
        lower_increment=fewer,
        lower_percent=fewer_percent,
    )
    _check_trigger(reader, trigger, given)
    return {"trigger": trigger}


def _refuse_balancers(reader: Reader) -> None:
    """Refuse a metric that a load balancer publishes."""
    given = reader.peek(TRIGGER, "MeasureName")
    if given is None or str(given.text).strip() not in values.BALANCER_MEASURES:
        return
    if reader.says("scaling"):
        reader.overrule(given, "scaling")
        return
    reason = "it is measured by a load balancer, and a worker has none"
    measures = " or ".join(values.MEASURES)
    unit = " and the Unit" if reader.peek(TRIGGER, "Unit") is not None else ""
    hint = f"set {measures} with thresholds{unit} of it, or pass scaling"
    reader.refuse(given, reason, hint)


def _check_trigger(reader: Reader, trigger: TriggerSettings, given: set[str]) -> None:
    """Refuse what makes a trigger that CloudWatch refuses, or one that never fires or never rests.

    Options that were refused before are not compared, and none is if code decides on scaling.

    Args:
        given: the names of the options that the document sets, with or without usable values.
    """
    if reader.says("scaling", "single_instance"):
        return
    if "MeasureName" not in given or (TRIGGER, "MeasureName") in reader.read:
        _check_thresholds(reader, trigger, given)
        _check_unit(reader, trigger)
    seconds = 60 * trigger.period_minutes * trigger.evaluation_periods
    longest = values.longest_alarm_seconds(trigger.period_minutes)
    if seconds > longest:
        of = ("EvaluationPeriods", "BreachDuration", "Period")
        first = next(g for name in of if (g := reader.read.get((TRIGGER, name))) is not None)
        message = (
            f"{TRIGGER}: Period ({trigger.period_minutes} min) times"
            f" {trigger.evaluation_periods} evaluation periods is {seconds} s, and CloudWatch"
            f" takes at most {longest} s"
        )
        reader.findings.append(first.finding(Outcome.REFUSED, message, "lower one of them"))


def _check_unit(reader: Reader, trigger: TriggerSettings) -> None:
    unit = reader.read.get((TRIGGER, "Unit"))
    needed = values.MEASURES[trigger.metric_name]
    if unit is not None and trigger.unit != needed:
        problem = f"must be {needed} for {trigger.metric_name}, or the alarm never sees a value"
        reader.object_to(unit, problem, "correct it or leave it out")


def _check_defaults(reader: Reader, trigger: TriggerSettings, given: set[str]) -> None:
    """Refuse a metric in another unit than bytes with a default, which is of bytes."""
    lacks = [name for name in ("UpperThreshold", "LowerThreshold") if name not in given]
    measure = reader.read.get((TRIGGER, "MeasureName"))
    if measure is None or not lacks or values.MEASURES[trigger.metric_name] == _BYTES:
        return
    base = TriggerSettings()
    reason = (
        f"the defaults of its thresholds, {base.upper_threshold:.15g} and"
        f" {base.lower_threshold:.15g}, are bytes of {base.metric_name}"
    )
    reader.refuse(measure, reason, f"set {' and '.join(lacks)} too")


def _check_thresholds(reader: Reader, trigger: TriggerSettings, given: set[str]) -> None:
    lower = reader.read.get((TRIGGER, "LowerThreshold"))
    upper = reader.read.get((TRIGGER, "UpperThreshold"))
    if trigger.lower_threshold < trigger.upper_threshold:
        _check_defaults(reader, trigger, given)
        return
    if lower is not None:
        of = f"{trigger.upper_threshold:.15g}, its default" if upper is None else upper.shown
        hint = "set UpperThreshold too" if upper is None else "move one"
        reader.object_to(lower, f"must be below UpperThreshold ({of})", hint)
    elif upper is not None:
        of = f"{trigger.lower_threshold:.15g}, its default"
        reader.object_to(upper, f"must be above LowerThreshold ({of})", "set LowerThreshold too")


# ---- instances


def _launch(reader: Reader) -> dict[str, Any]:
    types = values.one_of("gp3", "gp2", "standard")
    kind = reader.take("root_volume_type", LAUNCH, "RootVolumeType", types)
    # Elastic Beanstalk documents 10 GB and more for SSDs; images of Linux need 8.
    most = 1_024 if kind == "standard" else 16_384
    size = reader.take("root_volume_size", LAUNCH, "RootVolumeSize", values.between(8, most, "GiB"))
    intervals = values.one_of("1 minute", "5 minute")
    interval = reader.take("detailed_monitoring", LAUNCH, "MonitoringInterval", intervals)
    return {
        "root_volume_size": size,
        "root_volume_type": kind,
        "security_group": _security_group(reader),
        "detailed_monitoring": None if interval is None else interval == "1 minute",
    }


def _security_group(reader: Reader) -> str | None:
    """Return the id of the instances' group, or None for the one that the tier makes."""
    option = "DisableDefaultEC2SecurityGroup"
    disabled = reader.peek(LAUNCH, option)
    alone = reader.take("security_group", LAUNCH, option, values.boolean)
    given = reader.peek(LAUNCH, "SecurityGroups")
    listed = () if given is None else values.names(str(given.text))
    groups = [name for name in listed if _OWN_GROUP not in name and name != _DEFAULT_GROUP]
    if alone and not groups and not reader.says("security_group"):
        assert disabled is not None
        reader.refuse(
            disabled,
            "an instance has a security group in any case",
            "set SecurityGroups, or pass security_group",
        )
    if given is None:
        return None
    if not groups or _is_one_group(groups):
        reader.take("security_group", LAUNCH, "SecurityGroups", str)
        return groups[0] if groups else None
    if reader.says("security_group"):
        reader.overrule(given, "security_group")
        return None
    del reader.given[LAUNCH, "SecurityGroups", None]
    message = f"{given.name} ({', '.join(groups)}) must be the id of one group, such as sg-0a1b2c3d"
    merge = "merge their rules" if len(groups) > 1 else "write its id"
    hint = f"{merge}, or pass security_group"
    reader.findings.append(given.finding(Outcome.REFUSED, message, hint))
    return None


def _is_one_group(groups: list[str]) -> bool:
    return len(groups) == 1 and groups[0].startswith("sg-")


def _network(reader: Reader) -> dict[str, Any]:
    public = reader.take(
        "associate_public_ip_address", VPC, "AssociatePublicIpAddress", values.boolean
    )
    vpc = reader.peek(VPC, "VPCId")
    subnets = reader.peek(VPC, "Subnets")
    half = vpc if subnets is None else subnets if vpc is None else None
    if half is not None and not reader.says("vpc"):
        both = f"{VPC}:VPCId and {VPC}:Subnets"
        reader.refuse(half, f"{both} are needed together", "give both, or pass vpc")
    vpc_id = reader.take("network", VPC, "VPCId", values.vpc)
    subnet_ids = reader.take("network", VPC, "Subnets", values.subnets)
    network = None
    if vpc_id is not None and subnet_ids:
        network = NetworkSettings(vpc_id=vpc_id, subnet_ids=subnet_ids)
    return {"associate_public_ip_address": public, "network": network}


def _capacity(reader: Reader) -> dict[str, Any]:
    """Read what is launched: one type on demand, or several with Spot."""

    def take(option: str, read: Callable[[str], T], namespace: str = INSTANCES) -> T | None:
        return reader.take("instance_types", namespace, option, read)

    asked = reader.peek(INSTANCES, "EnableSpot")
    listed = reader.peek(INSTANCES, "InstanceTypes")
    one = take("InstanceType", values.instance_type, LAUNCH)
    types = take("InstanceTypes", values.instance_types) or (() if one is None else (one,))
    _check_architectures(reader, types, listed)
    spot = take("EnableSpot", values.boolean)
    base = take("SpotFleetOnDemandBase", _instances(0))
    percentage = take("SpotFleetOnDemandAboveBasePercentage", values.between(0, 100))
    strategy = take("SpotAllocationStrategy", values.one_of(*values.STRATEGIES))
    rebalance = take("EnableCapacityRebalancing", values.boolean, GROUP)
    if not spot:
        _pass_over_spot(reader)
    if spot and listed is None and not reader.says("capacity", "instance_type"):
        assert asked is not None
        reader.refuse(asked, "EnableSpot needs InstanceTypes", "set them, or pass capacity")
    if not spot or listed is None:
        return {"instance_types": types}
    settings = SpotSettings(
        on_demand_base=base or 0,
        on_demand_percentage=_default_percentage(reader) if percentage is None else percentage,
        allocation_strategy=strategy or "capacity-optimized",
        capacity_rebalance=bool(rebalance),
    )
    return {"instance_types": types, "spot": settings}


def _pass_over_spot(reader: Reader) -> None:
    """Pass over the options of Spot instances, which are not asked for."""
    reason = "no Spot instances are asked for"
    for option in _SPOT_OPTIONS:
        reader.not_taken("instance_types", INSTANCES, option, reason)
    reader.not_taken("instance_types", GROUP, "EnableCapacityRebalancing", reason)


def _default_percentage(reader: Reader) -> int:
    """Return Elastic Beanstalk's default, which follows the environment's type."""
    (*_, kind) = reader.origins.get("single_instance", (None,))
    single = reader.says("single_instance") or (kind is not None and "Single" in kind.value)
    return 0 if single else _ON_DEMAND_PERCENTAGE


def _check_architectures(reader: Reader, types: tuple[str, ...], listed: Given | None) -> None:
    allowed = reader.take("architectures", INSTANCES, "SupportedArchitectures", values.names)
    if allowed is None or listed is None:
        return
    wrong = [name for name in types if _architecture(name) not in allowed]
    if wrong:
        message = (
            f"{INSTANCES}:SupportedArchitectures is {', '.join(allowed)}, but {', '.join(wrong)} is"
            " not"
        )
        hint = "remove those types from InstanceTypes, or correct SupportedArchitectures"
        reader.findings.append(listed.finding(Outcome.REFUSED, message, hint))


def _architecture(instance_type: str) -> str:
    """Return the processor of a type; a `g` after its generation stands for Graviton."""
    family = instance_type.partition(".")[0]
    letters = family.lstrip("abcdefghijklmnopqrstuvwxyz").lstrip("0123456789")
    return "arm64" if "g" in letters or family == "a1" else "x86_64"


# ---- deployments and logs


def _command(reader: Reader) -> dict[str, Any]:
    """Read how deployments replace instances.

    The tier replaces one instance at a time and awaits each: never faster, and never less safe,
    than all at once or in batches.
    """
    seconds = values.between(1, values.LONGEST_COMMAND, "seconds")
    timeout = reader.take("signal_timeout", COMMAND, "Timeout", seconds)
    if not reader.keys(COMMAND):
        return {"signal_timeout": timeout}
    policy = _policy(reader)
    kinds = values.one_of("Fixed", "Percentage")
    kind = reader.take("deployment", COMMAND, "BatchSizeType", kinds) or "Percentage"
    _refuse_batches(reader, policy, kind)
    sizes = values.between(1, 100) if kind == "Percentage" else _instances(1)
    size = reader.take("deployment", COMMAND, "BatchSize", sizes)
    default = 1 if kind == "Fixed" else 100
    deployment = DeploymentSettings(
        policy=policy, batch_size=default if size is None else size, batch_size_type=kind
    )
    return {"signal_timeout": timeout, "deployment": deployment}


def _policy(reader: Reader) -> str:
    """Return the policy, in any case, or the default in the place of one that is refused."""
    given = reader.peek(COMMAND, "DeploymentPolicy")
    if given is None:
        return _DEFAULT_POLICY
    known = {name.lower(): name for name in (_DEFAULT_POLICY, "Rolling", *_POLICIES)}
    name = known.get(str(given.text).strip().lower(), "")
    if name != _DEFAULT_POLICY and reader.says("update_policy"):
        reader.overrule(given, "update_policy")
        if name in ("Rolling", "RollingWithAdditionalBatch"):
            _overrule_batches(reader)
    elif name in _POLICIES:
        reason, also = _POLICIES[name]
        reader.refuse(given, reason, _rolling(reader) + also)
    elif not name:
        reader.refuse(given, "it must be AllAtOnce or Rolling", _rolling(reader))
    reader.take("deployment", COMMAND, "DeploymentPolicy", str.strip)
    return "Rolling" if name == "Rolling" and not reader.says("update_policy") else _DEFAULT_POLICY


def _rolling(reader: Reader) -> str:
    """Return the hint to replace instances one at a time, with all options that need a change."""
    if reader.peek(COMMAND, "BatchSize") is None and reader.peek(COMMAND, "BatchSizeType") is None:
        return "set Rolling"
    return f"set DeploymentPolicy to Rolling, {_ONE_AT_A_TIME}"


def _overrule_batches(reader: Reader) -> None:
    given = reader.peek(COMMAND, "BatchSize")
    if given is not None and str(given.text).strip() != "100":
        reader.overrule(given, "update_policy")


def _refuse_batches(reader: Reader, policy: str, kind: str) -> None:
    given = reader.peek(COMMAND, "BatchSize")
    if given is None or policy != "Rolling":
        return
    if str(given.text).strip() != ("1" if kind == "Fixed" else "100"):
        del reader.given[COMMAND, "BatchSize", None]
        message = (
            f"{given.name} ({given.text}) cannot be honoured: instances are replaced one at a time"
        )
        hint = f"set {_ONE_AT_A_TIME}, or pass update_policy"
        reader.findings.append(given.finding(Outcome.REFUSED, message, hint))


def _logs(reader: Reader) -> dict[str, Any]:
    """Read what becomes of lines; retained ones must not be deleted with the stack unasked."""
    asked = reader.peek(LOGS, "StreamLogs")
    deletes = reader.peek(LOGS, "DeleteOnTerminate")
    streamed = reader.take("stream_logs", LOGS, "StreamLogs", values.boolean)
    deleted = reader.take("log_group", LOGS, "DeleteOnTerminate", values.boolean)
    retention = reader.take("log_retention", LOGS, "RetentionInDays", values.days)
    if streamed and not deleted and not reader.says("log_group"):
        assert asked is not None
        reader.read.pop((LOGS, "DeleteOnTerminate"), None)
        reader.refuse(
            deletes or replace(asked, option="DeleteOnTerminate", text=Text(("false",))),
            "the tier's log group goes with its stack",
            "pass log_group=, made with RemovalPolicy.RETAIN, or set DeleteOnTerminate to true",
        )
    if not streamed:
        # The values are Elastic Beanstalk's defaults, which were not chosen.
        reason = "lines were not streamed"
        reader.not_taken("log_retention", LOGS, "RetentionInDays", reason)
        reader.not_taken("log_group", LOGS, "DeleteOnTerminate", reason)
    elif not deleted:
        reader.not_taken("log_group", LOGS, "DeleteOnTerminate", "log_group decides")
    return {"log_retention": retention if streamed else None}


def _application(reader: Reader) -> dict[str, Any]:
    option = "Application Healthcheck URL"
    return {"health_path": reader.take("health_path", APPLICATION, option, values.health_path)}


def _secrets(reader: Reader) -> dict[str, Any]:
    """Read ARNs by name; the table refuses them for as long as a tier has no secrets."""
    found: dict[str, str] = {}
    for _, name, _ in reader.keys(SECRETS):
        value = reader.take("secrets", SECRETS, name, values.arn)
        if value is not None:
            found[name] = value
    return {"secrets": found}


# ---- scheduled actions


def _scheduled_actions(reader: Reader) -> dict[str, Any]:
    """Read one action for each ResourceName."""
    groups: dict[str | None, dict[str, Given]] = {}
    for key in reader.keys(SCHEDULE):
        given = reader.given.pop(key)
        groups.setdefault(given.resource, {})[given.option] = given
    actions = [_action(reader, name, group) for name, group in groups.items()]
    return {"scheduled_actions": tuple(action for action in actions if action is not None)}


def _action(reader: Reader, name: str | None, group: Mapping[str, Given]) -> ScheduledAction | None:
    first = next(iter(group.values()))
    what = f"{SCHEDULE} ({name or 'without a ResourceName'}: {', '.join(group)})"
    if over := _why_no_more(group, reader.now):
        reason, hint = over
        message = f"{what} is passed over: {reason}"
        reader.findings.append(first.finding(Outcome.PASSED_OVER, message, hint, loses=True))
        return None
    lacks = _lacks(name, group)
    if name is None or lacks:
        message = f"{what} cannot be honoured: it lacks {lacks}"
        one = "give it one" if name else "write `resource_name` in entries of a list"
        hint = f"{one}, or leave it out and call tier.scale_on_schedule(...) in code"
        reader.findings.append(first.finding(Outcome.REFUSED, message, hint))
        return None
    reader.given |= {(SCHEDULE, option, None): given for option, given in group.items()}
    return _recurrent_action(reader, name)


def _why_no_more(group: Mapping[str, Given], now: datetime) -> tuple[str, str] | None:
    """Return why an action changes nothing from now on, with a hint, or None if it does."""
    if "Suspend" in group and str(group["Suspend"].text).strip().lower() == "true":
        return "it is suspended", "call tier.scale_on_schedule(...) when you want it"
    end = _moment_of(group.get("EndTime"))
    if end is not None and end <= now:
        return "it ended", "remove it"
    start = _moment_of(group.get("StartTime"))
    if "Recurrence" not in group and start is not None and start <= now:
        return "it ran once, in the past", "remove it"
    return None


def _moment_of(given: Given | None) -> datetime | None:
    """Return a time, or None if it is not set or unusable, which is reported where it is read."""
    try:
        return None if given is None else values.moment(str(given.text))
    except values.InvalidValue:
        return None


def _lacks(name: str | None, group: Mapping[str, Given]) -> str:
    """Return what an action needs and does not have, or an empty text."""
    if name is None:
        return "a ResourceName"
    if "Recurrence" not in group:
        return "a Recurrence, so it runs once"
    if group.keys().isdisjoint(("MinSize", "MaxSize", "DesiredCapacity")):
        return "MinSize, MaxSize and DesiredCapacity, so it changes nothing"
    return ""


def _recurrent_action(reader: Reader, name: str) -> ScheduledAction:
    for option in ("MinSize", "MaxSize", "DesiredCapacity", "StartTime", "EndTime"):
        reader.read.pop((SCHEDULE, option), None)  # of the action before

    def take(option: str, read: Callable[[str], T]) -> T | None:
        return reader.take("scheduled_actions", SCHEDULE, option, read)

    take("Suspend", values.boolean)
    action = ScheduledAction(
        name=name,
        recurrence=take("Recurrence", values.recurrence) or "",
        min_capacity=take("MinSize", _instances(0)),
        max_capacity=take("MaxSize", _instances(0)),
        desired_capacity=take("DesiredCapacity", _instances(0)),
        start_time=take("StartTime", values.moment),
        end_time=take("EndTime", values.moment),
    )
    _check_action(reader, action)
    if action.start_time is not None and action.start_time <= reader.now:
        # It is active already, and Auto Scaling refuses a start in the past.
        return replace(action, start_time=None)
    return action


def _check_action(reader: Reader, action: ScheduledAction) -> None:
    """Refuse sizes and times of an action that exclude each other."""
    for low, high in (
        ("MinSize", "MaxSize"),
        ("MinSize", "DesiredCapacity"),
        ("DesiredCapacity", "MaxSize"),
    ):
        least, most = reader.read.get((SCHEDULE, low)), reader.read.get((SCHEDULE, high))
        if least is not None and most is not None:
            _check_order(reader, least, most)
    if action.start_time is None or action.end_time is None:
        return
    if action.end_time <= action.start_time:
        end = reader.read[SCHEDULE, "EndTime"]
        start = reader.read[SCHEDULE, "StartTime"]
        reader.object_to(end, f"must be after StartTime ({start.shown})", "correct one of them")


# ---- environment properties


def _properties(reader: Reader) -> dict[str, Any]:
    """Read environment properties, checked as `environment=` is, and PORT as the port."""
    port = reader.take("port", PROPERTIES, "PORT", _port)
    found: dict[str, Text] = {}
    for key in reader.keys(PROPERTIES):
        given = reader.given.pop(key)
        given = replace(given, text=_without_last_line_end(given.text))
        if (problem := _property_problem(given)) is not None:
            reader.findings.append(problem)
            continue
        reader.honour("environment", given)
        found[given.option] = given.text
    for text in environment_problems({name: str(text) for name, text in found.items()}):
        message = f"{PROPERTIES}: {text}"
        reader.findings.append(
            Finding(outcome=Outcome.REFUSED, message=message, namespace=PROPERTIES)
        )
    return {"port": port, "environment": found}


def _port(text: str) -> int:
    port = values.whole(text)
    if not 1 <= port <= 65_535:
        raise values.InvalidValue("must be a port from 1 to 65535")
    return port


def _without_last_line_end(text: Text) -> Text:
    """Return one line without its end, with which a block of YAML ends, and other text as it is."""
    literal = text.literal
    if literal is None or not literal.endswith("\n") or "\n" in literal[:-1]:
        return text
    return Text((literal.removesuffix("\n").removesuffix("\r"),))


def _rename_hint(name: str) -> str:
    """Return the hint to give a property another name, with one if it is near."""
    plain = "".join(c if c.isascii() and c.isalnum() else "_" for c in name).upper()
    plain = f"_{plain}" if plain[:1].isdecimal() else plain
    if not plain.strip("_") or environment_problems({plain: ""}):
        return "give it a name of letters, digits and _"
    return f"rename it, such as to {plain}"


def _property_problem(given: Given) -> Finding | None:
    """Return what is wrong with the name or the lines of a property, or None."""
    for problem in environment_problems({given.option: ""}):
        message = f"{PROPERTIES}: {problem}"
        return given.finding(Outcome.REFUSED, message, _rename_hint(given.option))
    if any(letter in str(given.text) for letter in "\0\r\n"):
        message = f"{given.name}: an environment property must be text of one line"
        hint = "put the text into a file of the bundle, or into Parameter Store, and pass its name"
        return given.finding(Outcome.REFUSED, message, hint)
    return None
