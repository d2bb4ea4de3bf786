"""Checks values against declared types: props, fields of our value types, arguments of methods.

Python does not enforce types, and the CDK checks its own constructs only, so that without this
module `alarms="no"` would mean True, and `grant_send_messages("role")` would end in an error of
JavaScript. What is checked is what is declared: there is no second list of types.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import datetime
from enum import Enum
from functools import cache, wraps
from math import isfinite
from types import NoneType, UnionType
from typing import (
    Any,
    Final,
    Literal,
    ParamSpec,
    TypeVar,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)

from aws_cdk import Duration, IResolvable, Size, Stack, Token
from aws_cdk import aws_autoscaling as autoscaling
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_ecr as ecr
from aws_cdk import aws_ecr_assets as ecr_assets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from constructs import Construct

# The class of an object that JavaScript made and Python knows by its interfaces only. The CDK's own
# generated code reads it from there too.
from jsii._reference_map import InterfaceDynamicProxy

from worker_tier.errors import InvalidProps
from worker_tier.ranges import UNRESOLVED

#: What a value of each type looks like. An enumeration needs no entry: its members are examples.
#: `example` adds our own value types.
EXAMPLES: Final[dict[type[Any], str]] = {
    bool: "a bool without quotes",
    int: "an int such as 10",
    float: "a number such as 1.5",
    str: "a text in quotes",
    Construct: "a construct such as a Stack",
    Duration: "Duration.seconds(...)",
    Size: "Size.gibibytes(...)",
    datetime: "datetime(...)",
    autoscaling.IAutoScalingGroup: "tier.auto_scaling_group",
    autoscaling.ScalingInterval: "autoscaling.ScalingInterval(...)",
    autoscaling.Schedule: "autoscaling.Schedule.cron(...)",
    autoscaling.UpdatePolicy: "autoscaling.UpdatePolicy.rolling_update(...)",
    cloudwatch.IAlarm: "cloudwatch.Alarm(...)",
    cloudwatch.IAlarmAction: "cloudwatch_actions.SnsAction(topic)",
    cloudwatch.IMetric: "cloudwatch.Metric(...)",
    ec2.IConnectable: "a tier or another connectable construct",
    ec2.IMachineImage: "ec2.MachineImage.latest_amazon_linux2023()",
    ec2.ISecurityGroup: "ec2.SecurityGroup.from_security_group_id(...)",
    ec2.IVpc: "ec2.Vpc.from_lookup(...)",
    ec2.InstanceType: "ec2.InstanceType(...)",
    ec2.SubnetSelection: "ec2.SubnetSelection(...)",
    ecr.IRepository: "ecr.Repository.from_repository_name(...)",
    ecr_assets.DockerImageAsset: "ecr_assets.DockerImageAsset(...)",
    ecr_assets.Platform: "ecr_assets.Platform.LINUX_ARM64",
    iam.IGrantable: "iam.Role(...) or another construct with a role",
    iam.IPrincipal: "iam.ServicePrincipal(...)",
    iam.IRole: "iam.Role.from_role_arn(...)",
    iam.PolicyStatement: "iam.PolicyStatement(...)",
    kms.IKey: "kms.Key.from_key_arn(...)",
    logs.ILogGroup: "logs.LogGroup.from_log_group_name(...)",
    s3.Location: "s3.Location(...)",
    sns.ITopic: "sns.Topic.from_topic_arn(...)",
    sns.SubscriptionFilter: "sns.SubscriptionFilter.string_filter(...)",
    sqs.IQueue: "sqs.Queue(...)",
    sqs.Queue: "sqs.Queue(...)",
    sqs.RedriveAllowPolicy: "sqs.RedriveAllowPolicy(...)",
}
#: Our value types, whose fields are checked with the value.
_VALUE_TYPES: Final[set[type[Any]]] = set()
#: Types that are made from one plain value, and the plain types that they are made from.
_MADE_FROM: Final[Mapping[type[Any], tuple[type[Any], ...]]] = {
    Duration: (int, float),
    Size: (int, float),
    ec2.InstanceType: (str,),
}
#: What errors call the plain types.
_PLAIN: Final[Mapping[Any, str]] = {
    bool: "True or False",
    int: "a whole number",
    float: "a number",
    str: "a string",
    NoneType: "None",
}
#: Types whose elements are checked one by one.
_LISTS: Final = (Sequence, Collection, tuple)
#: What the only element of a list begins with that is a token.
_LIST_MARK: Final = "#{Token["
#: Longest text that an error shows of a value, characters.
_MAX_SHOWN: Final = 120

_Params = ParamSpec("_Params")
_Result = TypeVar("_Result")
_Class = TypeVar("_Class", bound=type[Any])


def example(text: str) -> Callable[[_Class], _Class]:
    """Declare how a value of a class of ours is made, for errors; fields of dataclasses count."""

    def register(cls: _Class) -> _Class:
        EXAMPLES[cls] = text
        if is_dataclass(cls):
            _VALUE_TYPES.add(cls)
        return cls

    return register


def checked(function: Callable[_Params, _Result]) -> Callable[_Params, _Result]:
    """Check the arguments of a public method or function before anything is done with them.

    Raises:
        InvalidProps: with every argument of a wrong type, by name.
    """

    @wraps(function)
    def call(*args: _Params.args, **kwargs: _Params.kwargs) -> _Result:
        if problems := list(_argument_problems(function, args, kwargs)):
            raise InvalidProps(_place(function, args), problems)
        if _makes(function):
            _check_given_place(dict(zip(("self", "scope", "id"), args, strict=False)) | kwargs)
        return function(*args, **kwargs)

    return call


def check_place(scope: Construct, id: str) -> None:
    """Check where a construct is to be made, before anything else about it.

    Raises:
        InvalidProps: the place is no construct of a stack, or the id is none or is taken.
    """
    problems = [
        *type_problems("scope", scope, (Construct,)),
        *type_problems("id", id, (str,)),
    ]
    if not problems and (problem := _id_problem(scope, id)):
        problems.append(problem)
    if problems:
        path = scope.node.path if isinstance(scope, Construct) else "-"
        shown = "?" if _is_unresolved(id) else id
        raise InvalidProps(f"{path}/{shown}", problems)


def _check_given_place(arguments: Mapping[str, object]) -> None:
    """Check where a construct is to be made; of arguments that are missing, Python itself tells."""
    if "scope" in arguments and "id" in arguments:
        check_place(cast(Construct, arguments["scope"]), cast(str, arguments["id"]))


def _id_problem(scope: Construct, id: str) -> str | None:
    if not id:
        return "id must not be empty; name the construct, such as 'Worker'"
    if Token.is_unresolved(id):
        return f"id {UNRESOLVED}"
    if scope.node.try_find_child(id) is not None:
        return f"id {id!r} is taken by another construct in {scope.node.path}; choose another"
    try:
        Stack.of(scope)
    except RuntimeError:  # of JavaScript
        return f"scope must be within a Stack, got {scope.node.path or 'an App'!r}; pass a Stack"
    return None


def type_problems(name: str, value: object, declared: tuple[Any, ...]) -> Iterator[str]:
    """Yield a problem for a value of a wrong type, one for each wrong element, or for each field.

    Args:
        name: what the errors call the value.
        declared: the types that it may have; unions as their members.
    """
    if any(_is_a(value, one) for one in declared):
        yield from _field_problems(name, value)
        return
    inside = next((one for one in declared if _looks_like(value, one)), None)
    if inside is not None:
        for key, item, kinds in _parts_of(value, inside):
            yield from type_problems(f"{name}[{key!r}]", item, kinds)
    elif _is_unresolved(value):
        yield f"{name} {UNRESOLVED}"
    else:
        allowed = " or ".join(map(_described, declared))
        yield f"{name} must be {allowed}, got {_shown(value)}; {_hint(value, declared)}"


def members(hint: Any) -> tuple[Any, ...]:
    """Return the members of a union, or the type itself."""
    return get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)


# ---- what is declared


@cache
def _hints_of(owner: Any) -> Mapping[str, tuple[Any, ...]]:
    """Return the types of a function's parameters, or of a dataclass's fields, by name."""
    return {name: members(hint) for name, hint in get_type_hints(owner).items() if name != "return"}


def _argument_problems(
    function: Callable[..., Any], args: tuple[object, ...], kwargs: Mapping[str, object]
) -> Iterator[str]:
    """Yield a problem for each argument of a wrong type; Python itself reports missing ones."""
    code = function.__code__
    names = code.co_varnames[: code.co_argcount]
    hints = _hints_of(function)
    prefix = f"{function.__name__}: " if names[:1] == ("self",) and not _makes(function) else ""
    for name, value in [*zip(names, args, strict=False), *kwargs.items()]:
        if name in hints:
            yield from type_problems(f"{prefix}{name}", value, hints[name])
    # The rest of the positional arguments have the type of *arguments.
    rest = code.co_varnames[code.co_argcount + code.co_kwonlyargcount :][:1]
    for number, value in enumerate(args[code.co_argcount :]):
        if rest and rest[0] in hints:
            yield from type_problems(f"{prefix}{rest[0]}[{number}]", value, hints[rest[0]])


def _makes(function: Callable[..., Any]) -> bool:
    return function.__name__ == "__init__"


def _place(function: Callable[..., Any], args: tuple[object, ...]) -> str:
    """Return the path of the construct that a function makes or belongs to, or its own name."""
    if _makes(function):
        scope, id = (*args[1:3], None, None)[:2]
        path = scope.node.path if isinstance(scope, Construct) else "-"
        return f"{path}/{id}"
    if args and isinstance(args[0], Construct) and function.__code__.co_varnames[0] == "self":
        return args[0].node.path
    return function.__qualname__


def _field_problems(name: str, value: object) -> Iterator[str]:
    """Yield the problems of the fields of a value type, or of the values in a list."""
    if type(value) in _VALUE_TYPES and is_dataclass(value):
        hints = _hints_of(cast(Any, type(value)))
        for one in fields(value):
            yield from type_problems(
                f"{name}.{one.name}", getattr(value, one.name), hints[one.name]
            )
    elif isinstance(value, (list, tuple)):
        for number, item in enumerate(value):
            yield from _field_problems(f"{name}[{number}]", item)


# ---- whether a value has a type


def _is_a(value: object, declared: Any) -> bool:
    """Return whether a value has a declared type; a bool passes as an int, for ranges refuse it."""
    origin = get_origin(declared)
    if origin is not None:
        return _is_generic(value, declared, origin)
    if declared in (Any, object):
        return True
    if declared is float:
        return _is_number(value)
    parts = value._delegates if isinstance(value, InterfaceDynamicProxy) else [value]
    if hasattr(declared, "__jsii_proxy_class__") and getattr(declared, "_is_protocol", False):
        return any(_implements(part, declared) for part in parts)
    return any(isinstance(part, declared) for part in parts)


def _is_number(value: object) -> bool:
    """Return whether a value is a number that is known now: a token is one of float's values."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number and not _is_unresolved(value)


def _is_generic(value: object, declared: Any, origin: Any) -> bool:
    if origin in (Union, UnionType):
        return any(_is_a(value, one) for one in get_args(declared))
    if origin is Literal:
        return value in get_args(declared)
    if origin is Callable:
        return callable(value)
    return _looks_like(value, declared) and all(
        any(_is_a(item, kind) for kind in kinds) for _, item, kinds in _parts_of(value, declared)
    )


def _looks_like(value: object, declared: Any) -> bool:
    """Return whether a value is a container of the declared kind, whatever is in it."""
    origin = get_origin(declared)
    if origin is Mapping:
        return isinstance(value, Mapping)
    if origin is tuple and Ellipsis not in get_args(declared):
        return _is_list(value) and len(cast(Sequence[Any], value)) == len(get_args(declared))
    if origin is Collection:
        return isinstance(value, Collection) and not isinstance(value, (str, bytes, Mapping))
    return origin in _LISTS and _is_list(value)


def _parts_of(value: Any, declared: Any) -> Iterator[tuple[object, object, tuple[Any, ...]]]:
    """Yield the place of each part of a container, the part, and the types that it may have."""
    kinds = get_args(declared)
    if get_origin(declared) is Mapping:
        for key, item in value.items():
            if _is_a(key, kinds[0]):
                yield key, item, members(kinds[1])
            else:
                yield key, key, members(kinds[0])
    elif get_origin(declared) is tuple and Ellipsis not in kinds:
        for number, (item, kind) in enumerate(zip(value, kinds, strict=True)):
            yield number, item, members(kind)
    else:
        for number, item in enumerate(value):
            yield number, item, members(kinds[0])


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


def _is_list(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes, bytearray))


def _is_unresolved(value: object) -> bool:
    """Return whether a value of a wrong type is a token, which stands for one of any type."""
    if isinstance(value, float) and not isfinite(value):
        return False  # JSON cannot take it to the CDK
    if isinstance(value, (list, tuple)) and len(value) == 1:
        return isinstance(value[0], str) and _is_unresolved(value[0])
    if isinstance(value, str):
        return Token.is_unresolved(value) or value.startswith(_LIST_MARK)
    if isinstance(value, (int, float)):
        return Token.is_unresolved(value)
    return _is_a(value, IResolvable)


# ---- how an error says it


def _described(declared: Any) -> str:
    origin = get_origin(declared)
    if origin is None:
        name: str = declared.__name__
        article = "an" if name[0] in "AEIOU" else "a"
        return _PLAIN.get(declared, f"{article} {name}")
    if origin is Literal:
        return " or ".join(map(repr, get_args(declared)))
    if origin is Callable:
        return "a function"
    if origin is Mapping:
        return f"a mapping of {' to '.join(map(_name, get_args(declared)))}"
    if origin is tuple and Ellipsis not in get_args(declared):
        return f"a tuple of {' and '.join(map(_name, get_args(declared)))}"
    return f"a sequence of {_name(get_args(declared)[0])}"


def _name(declared: Any) -> str:
    return _described(declared) if get_origin(declared) else str(declared.__name__)


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
    possible = [one for one in declared if one is not NoneType]
    return f"pass {' or '.join(_example(value, one) for one in possible)}"


def _example(value: object, declared: Any) -> str:
    """Return what to pass: the given value as the declared type if that can be, or any value."""
    origin, kinds = get_origin(declared), get_args(declared)
    if origin is Literal:
        return repr(kinds[0])
    if origin is Callable:
        return "a function"
    if origin is Mapping:
        return f"{{{_example(None, kinds[0])}: {_example(None, kinds[1])}}}"
    if origin is tuple and Ellipsis not in kinds:
        return f"({', '.join(_example(None, kind) for kind in kinds)})"
    if origin is not None:
        return f"[{_example(None, kinds[0])}]"
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
