"""Elastic Beanstalk's option settings -> props of a tier.

`worker_tier_bootstrap.beanstalk` reads them and decides what becomes of each; here typed settings
become props. A prop that code gives wins over a setting, with a warning that names both.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Protocol, cast

import jsii
from aws_cdk import (
    Annotations,
    Aws,
    Duration,
    IStableStringProducer,
    Lazy,
    Size,
    SizeRoundingBehavior,
)
from aws_cdk import aws_autoscaling as autoscaling
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_logs as logs
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from worker_tier.application.application import SourceBundle, WorkerApplication
from worker_tier.errors import InvalidApplication
from worker_tier.fleet.capacity import WorkerCapacity
from worker_tier.options import NONE_SWITCHES_OFF
from worker_tier.props import SettingsProps, TierProps
from worker_tier.queues.dead_letters import DeadLetterQueue
from worker_tier.queues.existing_queue import described
from worker_tier.scaling.figures import WorkerScaling
from worker_tier.scaling.trigger import Side, Trigger
from worker_tier_bootstrap.beanstalk import (
    IMAGE,
    PROCFILE,
    EnvironmentSettings,
    NetworkSettings,
    Origin,
    Reading,
    Reference,
    ScheduledAction,
    SpotSettings,
    TriggerSettings,
    UnreadableDocument,
    decoded,
    read_settings,
    refusals,
    sentences,
    warnings,
)
from worker_tier_bootstrap.contract import CONTAINER, EXTERNAL

#: The text or the bytes of a YAML or JSON document, a file that holds one, or the data of one:
#: namespace -> option -> value, a list of entries, or what Elastic Beanstalk's tools write.
OptionSettings = str | bytes | Path | Mapping[str, Any] | Iterable[Mapping[str, Any]]

_PROPERTIES: Final = "aws:elasticbeanstalk:application:environment"
_VPC: Final = "aws:ec2:vpc"
_DURATIONS: Final = frozenset(
    {
        "connect_timeout",
        "inactivity_timeout",
        "visibility_timeout",
        "error_visibility_timeout",
        "retention_period",
    }
)
#: Suffixes of files that may hold settings, and how many of a directory are named.
_SUFFIXES: Final = (".config", ".yml", ".yaml", ".json")
_MOST_FILES: Final = 10
#: Days -> CloudWatch's name for them.
_RETENTION: Final = {
    1: "ONE_DAY", 3: "THREE_DAYS", 5: "FIVE_DAYS", 7: "ONE_WEEK", 14: "TWO_WEEKS",
    30: "ONE_MONTH", 60: "TWO_MONTHS", 90: "THREE_MONTHS", 120: "FOUR_MONTHS", 150: "FIVE_MONTHS",
    180: "SIX_MONTHS", 365: "ONE_YEAR", 400: "THIRTEEN_MONTHS", 545: "EIGHTEEN_MONTHS",
    731: "TWO_YEARS", 1827: "FIVE_YEARS", 3653: "TEN_YEARS",
}  # fmt: skip
#: Prop of a tier -> the field of the typed settings that it comes from, where names differ.
_FIELDS: Final = {
    "capacity": "instance_types",
    "instance_type": "instance_types",
    "scaling": "trigger",
    "vpc": "network",
    "vpc_subnets": "network",
}
#: Prop that settings ask for -> props that, given in code, leave no place for it.
_EXCLUDED_BY: Final = {
    "capacity": ("instance_type",),
    "instance_type": ("capacity",),
    "log_retention": ("log_group",),
    "max_capacity": ("single_instance",),
    "min_capacity": ("single_instance",),
    "scaling": ("single_instance",),
    "single_instance": ("min_capacity", "max_capacity", "scaling"),
}


#: Field of the typed settings that a source bundle does not decide on -> what to pass in code.
_CODE_ONLY: Final = {
    "min_capacity": "min_capacity=",
    "max_capacity": "max_capacity=",
    "single_instance": "single_instance=True",
    "instance_types": "instance_type=",
    "spot": "capacity=WorkerCapacity.spot(...)",
    "security_group": "security_group=",
    "network": "vpc= and vpc_subnets=",
    "associate_public_ip_address": "associate_public_ip_address=",
    "scheduled_actions": "them to tier.scale_on_schedule(...)",
}


class Tier(Protocol):
    """Is what this module needs of a tier: `WorkerTier`."""

    @property
    def queue(self) -> sqs.IQueue: ...

    @property
    def dead_letter_queue(self) -> sqs.IQueue | None: ...

    def scale_on_schedule(
        self,
        id: str,
        *,
        schedule: autoscaling.Schedule,
        min_capacity: int | None = None,
        max_capacity: int | None = None,
        desired_capacity: int | None = None,
        start_time: datetime | None = None,
        end_time: datetime | None = None,
    ) -> autoscaling.ScheduledAction: ...


@jsii.implements(IStableStringProducer)
class _QueueText:
    """Produces a text about the tier's queues, which are made after the props that hold it."""

    def __init__(self, deployment: Deployment, reference: Reference) -> None:
        self._deployment = deployment
        self._reference = reference

    def produce(self) -> str:
        return self._deployment.of_queues(self._reference)


@dataclass
class Deployment:
    """Fills in what only the deployment knows: region, account, stack and queues."""

    tier: Tier | None = None

    def text(self, reference: Reference) -> str:
        """Return a token that CloudFormation replaces by what a reference names."""
        if reference.value.startswith("AWS::"):
            return str(getattr(Aws, reference.name))
        return Lazy.string(cast(Any, _QueueText(self, reference)))

    def of_queues(self, reference: Reference) -> str:
        """Return the URL, ARN or name of the work queue or of the dead-letter queue.

        Without a dead-letter queue its texts are empty.
        """
        assert self.tier is not None
        name, _, attribute = reference.value.partition(".")
        is_work = name == Reference.QUEUE_URL.value
        queue = self.tier.queue if is_work else self.tier.dead_letter_queue
        return "" if queue is None else _of_queue(queue, attribute)


def _of_queue(queue: sqs.IQueue, attribute: str) -> str:
    texts = {"Arn": queue.queue_arn, "QueueName": queue.queue_name}
    return texts.get(attribute, queue.queue_url)


@dataclass(frozen=True, kw_only=True)
class Converted:
    """Holds what settings and code ask for together.

    Args:
        props: of the tier.
        refused: namespaces and options that were refused.
        origins: prop -> the options that it comes from.
        source: the name of the file of settings with a colon, or an empty text.
        scheduled_actions: to be added once the tier is built.
        deployment: gets the tier once it is built.
    """

    props: SettingsProps
    refused: set[tuple[str, str]]
    origins: Mapping[str, tuple[Origin, ...]]
    source: str
    scheduled_actions: tuple[ScheduledAction, ...]
    deployment: Deployment

    @property
    def names_a_network(self) -> bool:
        """Whether settings name a network, be it one that was refused."""
        return not self.refused.isdisjoint((_VPC, name) for name in ("VPCId", "Subnets"))

    def explained(self, problem: str) -> str:
        """Return a problem of the tier with the options that the props it names come from."""
        named = [
            f"{prop} is {', '.join(origin.with_place for origin in origins)}"
            for prop, origins in self.origins.items()
            if origins and prop in self.props and re.search(rf"\b{prop}\b", problem)
        ]
        return f"{problem} ({self.source}{'; '.join(named)})" if named else problem

    def finish(self, tier: Tier) -> None:
        """Add to a tier that was built what is no prop.

        Raises:
            InvalidProps: a scheduled action would empty a fleet that runs periodic tasks.
        """
        self.deployment.tier = tier
        for action in self.scheduled_actions:
            _add_action(tier, action)


def _add_action(tier: Tier, action: ScheduledAction) -> None:
    tier.scale_on_schedule(
        _construct_id(action.name),
        schedule=autoscaling.Schedule.expression(action.recurrence),
        min_capacity=action.min_capacity,
        max_capacity=action.max_capacity,
        desired_capacity=action.desired_capacity,
        start_time=action.start_time,
        end_time=action.end_time,
    )


def _construct_id(name: str) -> str:
    """Return a construct's id for a name, in which no slash may stand, and for no other name."""
    if "/" not in name:
        return name
    return f"{name.replace('/', '-')}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def convert(
    scope: Construct, settings: OptionSettings, given: SettingsProps, problems: list[str]
) -> Converted:
    """Return the props that settings ask for, and those that code gives, which win.

    Warns of each setting that is passed over and may be missed.

    Args:
        scope: for the network and security groups that settings name by id, and for warnings.
        given: None means that code does not give a prop.
        problems: gets every option that cannot be honoured, by name and with the reason.
    """
    given = _without_none(given)
    source, document = _document(settings, problems)
    reading = read_settings(document, decided=_decided(given))
    refused = _report(scope, reading, source, problems)
    merger = _Merger(scope, reading.settings, given, problems, refused, Deployment())
    return Converted(
        props=merger.merged(),
        refused=refused,
        origins={
            prop: reading.settings.origins.get(_FIELDS.get(prop, prop), ())
            for prop in (*reading.settings.origins, *_FIELDS)
            if prop not in given
        },
        source=source,
        scheduled_actions=reading.settings.scheduled_actions,
        deployment=merger.deployment,
    )


def with_bundle_settings(tier: Tier, given: TierProps, problems: list[str]) -> TierProps:
    """Return the props of a tier with what `.ebextensions` of its source bundle sets.

    A prop that code gives wins. Capacity, instance type and network are decided in code alone: what
    the bundle says of them is a warning.

    Args:
        tier: for warnings, and for what settings refer to.
        problems: gets every option that cannot be honoured, by name and with the reason.
    """
    application = given.get("application")
    if not isinstance(application, WorkerApplication):
        return given
    if not isinstance(application.bundle, SourceBundle):
        return given  # none, or a wrong type, which the checks of the props name
    own = _without_none(cast(SettingsProps, given))
    reading = application.bundle.assessment.option_settings(_decided(own))
    if reading is None:
        return given
    scope = cast(Construct, tier)
    refused = _report(scope, reading, "", problems)
    settings = _without_code_only(scope, reading.settings, own)
    merger = _Merger(scope, settings, own, problems, refused, Deployment(tier))
    return cast(TierProps, {**given, **merger.merged()})


def _without_code_only(
    scope: Construct, settings: EnvironmentSettings, given: SettingsProps
) -> EnvironmentSettings:
    """Return settings without those that only code decides on; warn of each that is set."""
    unset = EnvironmentSettings()
    for name, hint in _CODE_ONLY.items():
        value = getattr(settings, name)
        if value == getattr(unset, name) or _is_given(name, value, given):
            continue
        named = ", ".join(map(str, settings.origins.get(name, ()))) or f"the {name} of its settings"
        _warn(
            scope,
            f"{name}-of-the-bundle",
            f"the source bundle asks for {named}, which is passed over: code decides on capacity,"
            f" instance type and network; pass {hint}",
        )
    return replace(settings, **{name: getattr(unset, name) for name in _CODE_ONLY})


def _is_given(name: str, value: object, given: SettingsProps) -> bool:
    """Return whether code gives what a setting asks for."""
    match value:
        case (str() as first, *_):
            return _plain(given.get("instance_type")) == first
        case NetworkSettings():
            vpc = given.get("vpc")
            return vpc is not None and vpc.vpc_id == value.vpc_id
        case _:
            return _same(given.get(name), value)


def _report(
    scope: Construct, reading: Reading, source: str, problems: list[str]
) -> set[tuple[str, str]]:
    """Report what is refused and what may be missed; return what was refused by its name."""
    problems += [source + text for _, text in sentences(refusals(reading.findings))]
    for finding, text in sentences(warnings(reading.findings)):
        option = f"{finding.namespace}:{finding.option}" if finding.option else "option-settings"
        _warn(scope, option, source + text)
    return {(finding.namespace, finding.option) for finding in refusals(reading.findings)}


def _document(settings: OptionSettings, problems: list[str]) -> tuple[str, object]:
    """Return the name of the file of settings, for messages, and their text or data."""
    if not isinstance(settings, Path):
        return "", settings
    source = f"{settings}: "
    try:
        return source, decoded(settings.read_bytes())
    except IsADirectoryError:
        files = sorted(f.name for f in settings.iterdir() if f.suffix in _SUFFIXES)
        named = f": {', '.join(files[:_MOST_FILES])}" if files else ""
        problems.append(f"{settings} is a directory; pass one of its files{named}")
    except OSError as error:
        problems.append(f"{settings} cannot be read: {error}")
    except UnreadableDocument as error:
        problems.append(f"{settings} cannot be read: {error.problem}; {error.hint}")
    return source, {_PROPERTIES: {}}


def _without_none(props: SettingsProps) -> SettingsProps:
    """Return the props that are given: None is a value for those only that it switches off."""
    given = {
        name: value
        for name, value in props.items()
        if value is not None or name in NONE_SWITCHES_OFF
    }
    return cast(SettingsProps, given)


def _decided(given: SettingsProps) -> set[str]:
    """Return what decides in the place of settings."""
    decided = {name for name, value in given.items() if value is not None and value is not False}
    application = given.get("application")
    bundle = None if application is None else application.bundle
    if bundle is not None and bundle.assessment.contents.has(PROCFILE):
        decided.add(PROCFILE)
    if application is not None and application.kind == CONTAINER:
        decided.add(IMAGE)
    return decided


def _warn(scope: Construct, name: str, text: str) -> None:
    plain = name.replace(" ", "-")
    Annotations.of(scope).add_warning_v2(f"worker-tier:{plain}", text)


@dataclass
class _Merger:
    """Merges typed settings with the props that code gives."""

    scope: Construct
    settings: EnvironmentSettings
    given: SettingsProps
    problems: list[str]
    refused: set[tuple[str, str]]
    deployment: Deployment

    def merged(self) -> SettingsProps:
        """Return all props."""
        asked = {name: value for name, value in self._asked() if value is not None}
        found = {name: v for name, v in asked.items() if not self._is_decided(name, v)}
        props = cast(SettingsProps, found | dict(self.given))
        self._add_properties(props)
        return props

    def _asked(self) -> Iterator[tuple[str, object]]:
        """Yield prop and value of each setting, None for an option that is not set.

        `secrets` and `deployment` of the settings wait for props of these names.
        """
        settings = self.settings
        for name, value in settings.sqsd.items():
            yield name, Duration.seconds(int(value)) if name in _DURATIONS else value
        yield "min_capacity", settings.min_capacity
        yield "max_capacity", settings.max_capacity
        yield "single_instance", settings.single_instance or None
        yield "associate_public_ip_address", settings.associate_public_ip_address
        yield "detailed_monitoring", settings.detailed_monitoring
        yield "health_path", settings.health_path
        yield "root_volume_size", _optional(Size.gibibytes, settings.root_volume_size)
        yield "root_volume_type", _optional(_volume_type, settings.root_volume_type)
        yield "signal_timeout", _optional(Duration.seconds, settings.signal_timeout)
        yield "log_retention", _optional(_retention, settings.log_retention)
        yield "scaling", _optional(_scaling, settings.trigger)
        yield _capacity(settings)
        yield "security_group", self._security_group(settings.security_group)
        yield from self._network(settings.network)

    # ---- code wins

    def _is_decided(self, name: str, value: object) -> bool:
        """Return whether code decides in the place of a setting; warn if it decides otherwise."""
        if name in self.given:
            winner = name
            other = not _same(self.given.get(name), value)
        else:
            winner, other = self._excluding(name, value)
        if other:
            self._warn_of_winner(winner, name)
        return bool(winner)

    def _excluding(self, name: str, value: object) -> tuple[str, bool]:
        """Return the prop that leaves no place for a setting, and whether it decides otherwise."""
        if name == "max_retries":
            return self._queue_that_decides(value)
        # False for `single_instance` leaves a place for the size of the group.
        given = [p for p in _EXCLUDED_BY.get(name, ()) if self.given.get(p) not in (None, False)]
        return (given[0], True) if given else ("", False)

    def _queue_that_decides(self, value: object) -> tuple[str, bool]:
        """Return the prop that decides on receives, and whether it decides otherwise."""
        if _is_no_queue(self.given.get("dead_letter_queue")):
            return "dead_letter_queue", True
        queue = self.given.get("queue")
        if queue is None:
            return "", False
        facts = described(queue, [])
        return "queue", facts is not None and facts.max_receive_count != value

    def _warn_of_winner(self, winner: str, name: str) -> None:
        origins = self.settings.origins.get(_FIELDS.get(name, name), ())
        named = ", ".join(map(str, origins)) or f"what settings say of {name}"
        _warn(
            self.scope,
            f"{name}-from-code",
            f"{winner}, given in code, wins over {named}; remove one of the two",
        )

    # ---- what settings name by id

    def _security_group(self, id: str | None) -> ec2.ISecurityGroup | None:
        if id is None:
            return None
        given = self.given.get("security_group")
        if given is None:
            return ec2.SecurityGroup.from_security_group_id(self.scope, "SecurityGroups", id)
        if given.security_group_id != id:
            self._warn_of_winner("security_group", "security_group")
        return None

    def _network(self, network: NetworkSettings | None) -> Iterator[tuple[str, object]]:
        if network is None:
            return
        given = self.given.get("vpc")
        if given is None:
            yield "vpc", self._vpc(network)
        if given is None or given.vpc_id == network.vpc_id:
            yield "vpc_subnets", self._subnets(network)
        else:
            self._warn_of_winner("vpc", "vpc")

    def _vpc(self, network: NetworkSettings) -> ec2.IVpc:
        # Zones are asked for by the CDK and follow from the subnets in CloudFormation.
        zones = [f"zone-{number}" for number in range(len(network.subnet_ids))]
        return ec2.Vpc.from_vpc_attributes(
            self.scope, "Vpc", vpc_id=network.vpc_id, availability_zones=zones
        )

    def _subnets(self, network: NetworkSettings) -> ec2.SubnetSelection:
        subnets = [
            ec2.Subnet.from_subnet_id(self.scope, f"Subnet{number}", id)
            for number, id in enumerate(network.subnet_ids)
        ]
        return ec2.SubnetSelection(subnets=subnets)

    # ---- environment properties

    def _add_properties(self, props: SettingsProps) -> None:
        """Give environment properties and the port to the application."""
        names = [*self.settings.environment, *([] if self.settings.port is None else ["PORT"])]
        application = props.get("application")
        if application is not None and application.kind != EXTERNAL:
            if names:
                props["application"] = self._with_properties(application)
        elif names:
            self.problems.append(
                f"{_PROPERTIES} ({', '.join(names)}) is for an application that is installed here;"
                " pass application=WorkerApplication.from_asset(...)"
            )

    def _with_properties(self, application: WorkerApplication) -> WorkerApplication:
        port = self.settings.port
        texts = {n: t.filled(self.deployment.text) for n, t in self.settings.environment.items()}
        self._warn_of_properties(application, texts)
        if port is not None and application.port not in (None, port):
            self._warn_of_property("PORT", f"port={application.port}", f" ({port})")
        try:
            return application.with_defaults(texts, port=port)
        except InvalidApplication as error:
            # The finding about the size of all names no option; it is reported already.
            if (_PROPERTIES, "") not in self.refused:
                self.problems += [f"{_PROPERTIES}: {problem}" for problem in error.problems]
            return application

    def _warn_of_properties(self, application: WorkerApplication, texts: Mapping[str, str]) -> None:
        environment = application.environment
        for name, text in texts.items():
            if environment.get(name, text) != text:
                self._warn_of_property(name, f"environment[{name!r}]")

    def _warn_of_property(self, name: str, winner: str, value: str = "") -> None:
        text = f"{winner}, given in code, wins over {_PROPERTIES}:{name}{value}"
        _warn(self.scope, f"{name}-from-code", f"{text}; remove one of the two")


# ---- typed settings -> values of the CDK


def _optional(make: Any, value: Any) -> Any:
    """Return `make(value)`, or None if the option is not set."""
    return None if value is None else make(value)


def _volume_type(name: str) -> ec2.EbsDeviceVolumeType:
    return ec2.EbsDeviceVolumeType[name.upper()]


def _retention(days: int) -> logs.RetentionDays:
    return logs.RetentionDays[_RETENTION[days]]


def _scaling(trigger: TriggerSettings) -> WorkerScaling:
    upper = Side(
        threshold=trigger.upper_threshold,
        increment=trigger.upper_increment,
        percent=trigger.upper_percent,
    )
    lower = Side(
        threshold=trigger.lower_threshold,
        increment=trigger.lower_increment,
        percent=trigger.lower_percent,
    )
    return WorkerScaling.trigger(
        Trigger(
            metric_name=trigger.metric_name,
            statistic=trigger.statistic,
            unit=trigger.unit,
            period_minutes=trigger.period_minutes,
            evaluation_periods=trigger.evaluation_periods,
            upper=upper,
            lower=lower,
        )
    )


def _capacity(settings: EnvironmentSettings) -> tuple[str, object]:
    kinds = [ec2.InstanceType(name) for name in settings.instance_types]
    if settings.spot is not None:
        return "capacity", _spot(kinds, settings.spot)
    # Without Spot Elastic Beanstalk starts the first type of the list only, too.
    return "instance_type", kinds[0] if kinds else None


def _spot(kinds: list[ec2.InstanceType], spot: SpotSettings) -> WorkerCapacity:
    strategy = spot.allocation_strategy.upper().replace("-", "_")
    return WorkerCapacity.spot(
        kinds,
        on_demand_base=spot.on_demand_base,
        on_demand_percentage=spot.on_demand_percentage,
        allocation_strategy=autoscaling.SpotAllocationStrategy[strategy],
        capacity_rebalance=spot.capacity_rebalance,
    )


def _is_no_queue(dead_letters: object) -> bool:
    return isinstance(dead_letters, DeadLetterQueue) and dead_letters.queue is None


def _same(given: object, value: object) -> bool:
    """Return whether a prop that code gives is what a setting asks for."""
    return _plain(given) == _plain(value)


def _plain(value: object) -> object:
    """Return a value that can be compared, for those of the CDK that cannot."""
    match value:
        case Duration() if not value.is_unresolved():
            return value.to_milliseconds(integral=False)
        case Size() if not value.is_unresolved():
            return value.to_bytes(rounding=SizeRoundingBehavior.NONE)
        case ec2.InstanceType():
            return value.to_string()
        case _:
            return value
