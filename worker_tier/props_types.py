"""Checks that every prop has a name and a type that its group lists, before anything reads it.

`worker_tier.props` is the only list: the types are those that it declares. Python does not enforce
them, and the CDK checks its own constructs only, so that without this module `alarms="no"` would
mean True, and `signal_timeout=600` would end in an AttributeError that names no prop.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from functools import cache
from math import isfinite
from typing import Any, Final, TypeVar, cast, get_args, get_origin, get_type_hints

from aws_cdk import Duration, IResolvable, Size, Token
from aws_cdk import aws_autoscaling as autoscaling
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs

# The class of an object that JavaScript made and Python knows by its interfaces only. The CDK's own
# generated code reads it from there too.
from jsii._reference_map import InterfaceDynamicProxy

from worker_tier.application.application import WorkerApplication
from worker_tier.fleet.capacity import WorkerCapacity
from worker_tier.fleet.machine_image import WorkerMachineImage
from worker_tier.periodic import PeriodicTask
from worker_tier.props import name_problems
from worker_tier.queues.dead_letters import DeadLetterQueue
from worker_tier.queues.existing_queue import ExistingQueue
from worker_tier.ranges import UNRESOLVED
from worker_tier.scaling.figures import WorkerScaling

#: What a value of each type looks like. An enumeration needs no entry: its members are examples.
EXAMPLES: Final[Mapping[type[Any], str]] = {
    bool: "a bool without quotes",
    int: "an int such as 10",
    str: "a text in quotes",
    Duration: "Duration.seconds(...)",
    Size: "Size.gibibytes(...)",
    DeadLetterQueue: "DeadLetterQueue.imported(...) or DeadLetterQueue.none()",
    ExistingQueue: "ExistingQueue.imported(...)",
    PeriodicTask: "PeriodicTask(name=..., url=..., schedule=...)",
    WorkerApplication: "WorkerApplication.from_asset(...)",
    WorkerCapacity: "WorkerCapacity.spot(...)",
    WorkerMachineImage: "WorkerMachineImage.pinned(...)",
    WorkerScaling: "WorkerScaling.target_latency(...)",
    autoscaling.UpdatePolicy: "autoscaling.UpdatePolicy.rolling_update(...)",
    cloudwatch.IAlarmAction: "cloudwatch_actions.SnsAction(topic)",
    ec2.IMachineImage: "ec2.MachineImage.latest_amazon_linux2023()",
    ec2.ISecurityGroup: "ec2.SecurityGroup.from_security_group_id(...)",
    ec2.IVpc: "ec2.Vpc.from_lookup(...)",
    ec2.InstanceType: "ec2.InstanceType(...)",
    ec2.SubnetSelection: "ec2.SubnetSelection(...)",
    iam.IPrincipal: "iam.ServicePrincipal(...)",
    iam.IRole: "iam.Role.from_role_arn(...)",
    kms.IKey: "kms.Key.from_key_arn(...)",
    logs.ILogGroup: "logs.LogGroup.from_log_group_name(...)",
    s3.Location: "s3.Location(...)",
    sns.ITopic: "sns.Topic.from_topic_arn(...)",
    sqs.IQueue: "sqs.Queue(...)",
    sqs.RedriveAllowPolicy: "sqs.RedriveAllowPolicy(...)",
}
#: Types that are made from one plain value, and the plain types that they are made from.
_MADE_FROM: Final[Mapping[type[Any], tuple[type[Any], ...]]] = {
    Duration: (int, float),
    Size: (int, float),
    ec2.InstanceType: (str,),
}
#: What errors call the plain types.
_PLAIN: Final[Mapping[type[Any], str]] = {
    bool: "True or False",
    int: "a whole number",
    str: "a string",
}
#: Longest text that an error shows of a value, characters.
_MAX_SHOWN: Final = 120

_Group = TypeVar("_Group", bound=Mapping[str, Any])


def checked_props(given: _Group, taken: type[Any], construct: str, problems: list[str]) -> _Group:
    """Return the props that are listed and have a listed type.

    The others are left out, so that the checks after this one can run; nothing may be built then.

    Args:
        given: the props that were given. None has no type: it means the default.
        taken: the TypedDict that lists the construct's props.
        construct: the construct's class, by name.
        problems: appended are a problem for each unknown name, for each prop that is missing, and
            for each value of another type.
    """
    problems += name_problems(given, taken, construct)
    usable: dict[str, Any] = {}
    # To mypy a class object of type[Any] is not hashable, which a cache needs.
    for name, declared in declared_types(cast(Any, taken)).items():
        value = given.get(name)
        found = [] if value is None else list(_type_problems(name, value, declared))
        problems += found
        if name in given and not found:
            usable[name] = value
    # Every key and value is one of `given`.
    return cast(_Group, usable)


@cache
def declared_types(group: type[Any]) -> Mapping[str, tuple[Any, ...]]:
    """Return the types that a group lists for each of its props, without None."""
    return {
        name: tuple(one for one in get_args(hint) or (hint,) if one is not type(None))
        for name, hint in get_type_hints(group).items()
    }


def _type_problems(name: str, value: object, declared: tuple[Any, ...]) -> Iterator[str]:
    """Yield a problem if a value has none of the declared types, or one for each wrong element."""
    if any(_is_a(value, one) for one in declared):
        return
    elements = next((element for one in declared if (element := _element_of(one))), None)
    if elements is not None and _is_list(value):
        for number, item in enumerate(cast(Sequence[object], value)):
            yield from _type_problems(f"{name}[{number}]", item, (elements,))
    elif _is_unresolved(value):
        yield f"{name} {UNRESOLVED}"
    else:
        allowed = " or ".join(map(_described, declared))
        yield f"{name} must be {allowed}, got {_shown(value)}; {_hint(value, declared)}"


# ---- whether a value has a type


def _is_a(value: object, declared: Any) -> bool:
    """Return whether a value has a declared type; a bool passes as an int, for ranges refuse it."""
    element = _element_of(declared)
    if element is not None:
        return _is_list(value) and all(_is_a(item, element) for item in cast(Any, value))
    parts = value._delegates if isinstance(value, InterfaceDynamicProxy) else [value]
    if hasattr(declared, "__jsii_proxy_class__") and getattr(declared, "_is_protocol", False):
        return any(_implements(part, declared) for part in parts)
    return any(isinstance(part, declared) for part in parts)


def _implements(part: object, interface: Any) -> bool:
    """Return whether an object implements an interface of the CDK, by its class's declaration.

    An `isinstance` does not find that out: the interfaces are protocols without a check at run
    time. Like the CDK this goes by what a class declares (`@jsii.implements`), and asks no property
    of the object, which would be a call into JavaScript for each.
    """
    if isinstance(part, interface.__jsii_proxy_class__()):
        return True
    declared = getattr(type(part), "__jsii_ifaces__", ())
    return any(interface in one.__mro__ for one in declared)


def _element_of(declared: Any) -> Any:
    """Return the type of a sequence's elements, or None if the type is not a sequence."""
    return get_args(declared)[0] if get_origin(declared) is Sequence else None


def _is_list(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes, bytearray))


def _is_unresolved(value: object) -> bool:
    """Return whether a value of a wrong type is a token, which stands for one of any type."""
    if isinstance(value, float) and not isfinite(value):
        return False  # JSON cannot take it to the CDK
    if isinstance(value, (str, int, float)):
        return Token.is_unresolved(value)
    return _is_a(value, IResolvable)


# ---- how an error says it


def _described(declared: Any) -> str:
    element = _element_of(declared)
    if element is not None:
        return f"a sequence of {element.__name__}"
    name: str = declared.__name__
    article = "an" if name[0] in "AEIOU" else "a"
    return _PLAIN.get(declared, f"{article} {name}")


def _shown(value: object) -> str:
    """Return the value as Python writes it, or the interfaces by which Python knows it."""
    if isinstance(value, InterfaceDynamicProxy):
        names = [type(part).__name__.removeprefix("_") for part in value._delegates]
        return f"<{', '.join(name.removesuffix('Proxy') for name in names)}>"
    text = repr(value)
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}..."


def _hint(value: object, declared: tuple[Any, ...]) -> str:
    if any(_is_a([value], one) for one in declared):
        return "put it in a list"
    return f"pass {' or '.join(_example(value, one) for one in declared)}"


def _example(value: object, declared: Any) -> str:
    """Return what to pass: the given value as the declared type if that can be, or any value."""
    element = _element_of(declared)
    if element is not None:
        return f"[{_example(None, element)}]"
    if issubclass(declared, Enum):
        return _member(value, declared)
    if type(value) in _MADE_FROM.get(declared, ()):
        return EXAMPLES[declared].replace("...", repr(value))
    return EXAMPLES[declared]


def _member(value: object, declared: type[Enum]) -> str:
    """Return the member of an enumeration that a text names, in any case, or the first one."""
    name = str(value).upper()
    if name in declared.__members__:
        return f"{declared.__name__}.{name}"
    return f"a member such as {declared.__name__}.{next(iter(declared.__members__))}"
