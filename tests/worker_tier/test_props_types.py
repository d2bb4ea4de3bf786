"""Props of a wrong type are refused by name, and every value that the CDK accepts passes."""

from __future__ import annotations

import pydoc
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from enum import Enum
from itertools import count
from pathlib import Path
from typing import Any, Final, Literal, get_args, get_origin, get_type_hints

import aws_cdk
import jsii
import pytest
from aws_cdk import CfnParameter, Duration, Environment, Fn, Stack, Token
from aws_cdk import aws_autoscaling as autoscaling
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as cloudwatch_actions
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

import worker_tier
from tests.worker_tier.public_api import CHECKED
from tests.worker_tier.stacks import new_stack, problems_of, vpc_of
from worker_tier import (
    InvalidProps,
    TierProps,
    WorkerFleet,
    WorkerQueues,
    WorkerScaling,
    WorkerTier,
)
from worker_tier.props import SettingsProps, WorkerFleetProps, WorkerQueuesProps
from worker_tier.props_types import checked_props, declared_types
from worker_tier.type_checks import _VALUE_TYPES, EXAMPLES

#: The constructs that take a group of props, and the group.
TAKEN: Final[Mapping[type[Any], Any]] = {
    WorkerTier: TierProps,
    WorkerQueues: WorkerQueuesProps,
    WorkerFleet: WorkerFleetProps,
}
EVERY_PROP: Final = [
    pytest.param(construct, name, id=f"{construct.__name__}-{name}")
    for construct, group in TAKEN.items()
    for name in declared_types(group)
]
_NUMBERS: Final = count()


@pytest.fixture(scope="module")
def stack() -> Stack:
    return new_stack()


@pytest.fixture(scope="module")
def network(stack: Stack) -> ec2.IVpc:
    return vpc_of(stack)


@pytest.fixture(scope="module")
def needed(network: ec2.IVpc) -> Mapping[str, Any]:
    """Values of every prop that some construct requires."""
    return {
        "vpc": network,
        "visibility_timeout": Duration.seconds(300),
        "retention_period": Duration.days(4),
        "max_retries": 10,
        "min_capacity": 1,
        "max_capacity": 4,
        "drain_timeout_seconds": 300,
        "signal_timeout": Duration.minutes(10),
        "instance_warmup": Duration.minutes(2),
    }


def _problems(
    stack: Stack, needed: Mapping[str, Any], construct: type[Any], **props: Any
) -> tuple[str, ...]:
    """Why a construct cannot be built from these props and the ones that it requires."""
    required = {name: needed[name] for name in TAKEN[construct].__required_keys__}
    with pytest.raises(InvalidProps) as caught:
        construct(stack, f"Refused{next(_NUMBERS)}", **(required | props))
    return caught.value.problems


# ---- what is refused


@pytest.mark.parametrize(("construct", "name"), EVERY_PROP)
def test_a_value_of_a_wrong_type_is_refused_by_the_name_of_its_prop(
    stack: Stack, needed: Mapping[str, Any], construct: type[Any], name: str
) -> None:
    # given an object of no type that any prop has, and a plain value of a wrong type
    nothing = object()
    plain = 3 if str in declared_types(TAKEN[construct])[name] else "no"
    for value in (nothing, plain):
        # when it is passed
        (problem,) = _problems(stack, needed, construct, **{name: value})
        # then the one problem has the prop's name, the value, and what to pass
        assert problem.startswith((f"{name} must be a", f"{name} must be True or False"))
        assert f", got {value!r}; p" in problem


@pytest.mark.parametrize(
    ("props", "expected"),
    [
        (
            {"signal_timeout": 600},
            "signal_timeout must be a Duration, got 600; pass Duration.seconds(600)",
        ),
        (
            {"root_volume_size": 8},
            "root_volume_size must be a Size, got 8; pass Size.gibibytes(8)",
        ),
        (
            {"instance_type": "t4g.small"},
            "instance_type must be an InstanceType, got 't4g.small'; pass"
            " ec2.InstanceType('t4g.small')",
        ),
        (
            {"session_manager": "no"},
            "session_manager must be True or False, got 'no'; pass a bool without quotes",
        ),
        (
            {"removal_policy": "retain"},
            "removal_policy must be a RemovalPolicy, got 'retain'; pass RemovalPolicy.RETAIN",
        ),
        (
            {"log_retention": 30},
            "log_retention must be a RetentionDays, got 30; pass a member such as"
            " RetentionDays.ONE_DAY",
        ),
        (
            {"queue": "orders"},
            "queue must be an IQueue or an ExistingQueue, got 'orders'; pass sqs.Queue(...) or"
            " ExistingQueue.imported(...)",
        ),
        (
            {"delete_statuses": "204"},
            "delete_statuses must be a sequence of str, got '204'; put it in a list",
        ),
        (
            {"http_port": "80"},
            "http_port must be a whole number, got '80'; pass an int such as 10",
        ),
    ],
)
def test_the_problem_says_what_the_prop_takes_and_how_to_write_it(
    props: dict[str, Any], expected: str
) -> None:
    assert problems_of(**props) == (expected,)


@pytest.mark.parametrize("text", ["no", "false", "yes", "True", "", 0, 1])
def test_a_switch_takes_nothing_but_a_bool(
    stack: Stack, needed: Mapping[str, Any], text: object
) -> None:
    switches = [name for name, types in declared_types(TierProps).items() if types == (bool,)]
    assert len(switches) == 16
    problems = _problems(stack, needed, WorkerTier, **dict.fromkeys(switches, text))
    assert [problem.partition(" ")[0] for problem in problems] == switches


def test_wrong_elements_of_a_list_are_named_by_their_place(stack: Stack) -> None:
    topic = sns.Topic(stack, "Topic")
    first, second = problems_of(
        extra_headers=["traceparent", 3], alarm_actions=[cloudwatch_actions.SnsAction(topic), topic]
    )
    assert first == "extra_headers[1] must be a string, got 3; pass a text in quotes"
    assert second.startswith("alarm_actions[1] must be an IAlarmAction, got <aws_cdk.aws_sns.Topic")
    assert second.endswith("; pass cloudwatch_actions.SnsAction(topic)")
    (none,) = problems_of(delete_statuses=[None])
    assert none.startswith("delete_statuses[0] must be a string, got None")


def test_an_imported_resource_of_another_service_is_shown_by_its_interface(
    network: ec2.IVpc,
) -> None:
    imported = ec2.Vpc.from_vpc_attributes(
        new_stack(), "Net", vpc_id="vpc-1", availability_zones=["a"]
    )
    (problem,) = problems_of(encryption_key=imported)
    assert problem.startswith("encryption_key must be an IKey, got <Resource, IVpc>; pass kms.Key.")


def test_a_class_in_place_of_its_object_is_refused() -> None:
    (problem,) = problems_of(encryption_key=kms.Key)
    assert problem.startswith("encryption_key must be an IKey, got <class ")


def test_a_long_value_is_cut() -> None:
    (problem,) = problems_of(http_port="8" * 10_000)
    assert len(problem) < 250


def test_types_names_and_ranges_are_reported_at_once_with_the_path() -> None:
    stack = new_stack()
    with pytest.raises(InvalidProps) as caught:
        WorkerTier(stack, "Worker", vpc=3, alarms="no", zzz=1, http_port=0)  # type: ignore[call-arg, arg-type]
    assert caught.value.path == "Test/Worker"
    starts = {problem.partition(" ")[0] for problem in caught.value.problems}
    assert starts == {"vpc", "alarms", "zzz", "http_port"}
    assert len(caught.value.problems) == 4


@pytest.mark.parametrize("construct", TAKEN)
def test_none_is_missing_for_a_required_prop_and_the_default_of_any_other(
    construct: type[Any],
) -> None:
    group = TAKEN[construct]
    problems: list[str] = []
    nothing: Any = dict.fromkeys(declared_types(group))
    checked_props(nothing, group, construct.__name__, problems)
    assert {problem.partition(" ")[0] for problem in problems} == set(group.__required_keys__)
    assert all(" is missing, and " in problem for problem in problems)


def test_props_beside_option_settings_are_checked_together_with_the_settings() -> None:
    with pytest.raises(InvalidProps) as caught:
        WorkerTier.from_option_settings(
            new_stack(),
            "Worker",
            {"aws:autoscaling:asg": {"MinSize": "many"}},
            vpc="vpc-1",  # type: ignore[arg-type]
            alarms="no",  # type: ignore[arg-type]
            zzz=1,  # type: ignore[call-arg]
        )
    assert caught.value.path == "Test/Worker"
    starts = [problem.partition(" ")[0] for problem in caught.value.problems]
    assert starts == ["zzz", "alarms", "vpc", "aws:autoscaling:asg:MinSize"]


def test_a_duration_inside_a_value_is_checked_too() -> None:
    values: tuple[Any, Any] = (60, 1)
    problems = problems_of(scaling=WorkerScaling.target_latency(*values))
    assert [problem.partition(", ")[0] for problem in problems] == [
        "scaling.acceptable_latency must be a Duration or None",
        "scaling.message_processing_time must be a Duration or None",
    ]


# ---- what is known only when the stack is deployed


@pytest.mark.parametrize(
    ("name", "token"),
    [
        ("alarms", lambda stack: CfnParameter(stack, "P").value_as_string),
        ("alarms", lambda stack: Token.as_any({"Ref": "P"})),
        ("alarms", lambda stack: Fn.condition_equals("a", "b")),
        ("visibility_timeout", lambda stack: CfnParameter(stack, "P").value_as_string),
        ("max_retries", lambda stack: CfnParameter(stack, "P", type="Number").value_as_number),
        ("removal_policy", lambda stack: CfnParameter(stack, "P").value_as_string),
        ("http_path", lambda stack: Token.as_any({"Ref": "P"})),
    ],
)
def test_a_token_is_refused_because_its_value_is_not_known_yet(
    name: str, token: Callable[[Stack], object]
) -> None:
    (problem,) = problems_of(**{name: token(new_stack())})
    assert problem.startswith(f"{name} is known only when the stack is deployed")


@pytest.mark.parametrize("number", [float("nan"), float("inf"), 1.5])
def test_a_number_that_is_no_whole_number_is_not_taken_for_a_token(number: float) -> None:
    (problem,) = problems_of(http_port=number)
    assert problem.startswith(f"http_port must be a whole number, got {number!r}")


# ---- what is accepted


@jsii.implements(cloudwatch.IAlarmAction)
class _OwnAction:
    """An alarm action that is written in Python."""

    @jsii.member(jsii_name="bind")
    def bind(
        self, scope: Construct, alarm: cloudwatch.IAlarm
    ) -> cloudwatch.AlarmActionConfig:  # pragma: no cover - only its type is read
        return cloudwatch.AlarmActionConfig(alarm_action_arn="arn:aws:sns:us-east-1:1:alarms")


class _OwnKey(kms.Key):
    """A resource of the CDK that is subclassed in Python."""


_ARN: Final = "arn:aws:{}:us-east-1:111122223333:{}"


def _dead_letters_of(stack: Stack) -> sqs.IQueue:
    queue = sqs.Queue(
        stack,
        "Q",
        dead_letter_queue=sqs.DeadLetterQueue(
            queue=sqs.Queue.from_queue_arn(stack, "D", _ARN.format("sqs", "d")), max_receive_count=2
        ),
    )
    assert queue.dead_letter_queue is not None
    return queue.dead_letter_queue.queue


ACCEPTED: Final[list[tuple[str, Callable[[Stack], object]]]] = [
    ("vpc", lambda s: ec2.Vpc(s, "X")),
    ("vpc", lambda s: ec2.Vpc.from_lookup(s, "X", vpc_id="vpc-1")),
    (
        "vpc",
        lambda s: ec2.Vpc.from_vpc_attributes(s, "X", vpc_id="vpc-1", availability_zones=["a"]),
    ),
    ("encryption_key", lambda s: kms.Key(s, "X")),
    ("encryption_key", lambda s: _OwnKey(s, "X")),
    ("encryption_key", lambda s: kms.Key.from_key_arn(s, "X", _ARN.format("kms", "key/k"))),
    ("encryption_key", lambda s: kms.Key.from_lookup(s, "X", alias_name="alias/a")),
    ("asset_key", lambda s: kms.Alias.from_alias_name(s, "X", "alias/a")),
    ("asset_key", lambda s: kms.Key(s, "X").add_alias("alias/a")),
    ("queue", lambda s: sqs.Queue(s, "X")),
    ("queue", lambda s: sqs.Queue.from_queue_arn(s, "X", _ARN.format("sqs", "q"))),
    ("dead_letter_queue", _dead_letters_of),
    ("dead_letter_queue", lambda s: worker_tier.DeadLetterQueue.none()),
    ("role", lambda s: iam.Role(s, "X", assumed_by=iam.AnyPrincipal())),
    ("role", lambda s: iam.Role.from_role_name(s, "X", "worker")),
    ("role", lambda s: iam.Role.from_role_arn(s, "X", _ARN.format("iam", "role/r"), mutable=False)),
    (
        "role",
        lambda s: iam.Role(s, "X", assumed_by=iam.AnyPrincipal()).without_policy_updates(),
    ),
    ("instance_principal", lambda s: iam.ServicePrincipal("ec2.amazonaws.com")),
    ("instance_principal", lambda s: iam.ArnPrincipal("arn:aws:iam::111122223333:root")),
    (
        "instance_principal",
        lambda s: iam.ServicePrincipal("ec2.amazonaws.com").with_conditions({}),
    ),
    ("instance_principal", lambda s: iam.CompositePrincipal(iam.AccountRootPrincipal())),
    ("security_group", lambda s: ec2.SecurityGroup(s, "X", vpc=ec2.Vpc(s, "Net"))),
    ("security_group", lambda s: ec2.SecurityGroup.from_security_group_id(s, "X", "sg-1")),
    ("log_group", lambda s: logs.LogGroup(s, "X")),
    ("log_group", lambda s: logs.LogGroup.from_log_group_name(s, "X", "lines")),
    ("notifications_topic", lambda s: sns.Topic(s, "X")),
    ("notifications_topic", lambda s: sns.Topic.from_topic_arn(s, "X", _ARN.format("sns", "t"))),
    ("alarm_actions", lambda s: [cloudwatch_actions.SnsAction(sns.Topic(s, "X")), _OwnAction()]),
    ("alarm_actions", lambda s: ()),
    ("machine_image", lambda s: ec2.MachineImage.latest_amazon_linux2023()),
    ("machine_image", lambda s: ec2.MachineImage.from_ssm_parameter("/image")),
    ("machine_image", lambda s: ec2.MachineImage.generic_linux({"us-east-1": "ami-1"})),
    ("machine_image", lambda s: worker_tier.WorkerMachineImage.debian_12()),
    ("update_policy", lambda s: autoscaling.UpdatePolicy.rolling_update()),
    ("instance_type", lambda s: ec2.InstanceType.of(ec2.InstanceClass.T4G, ec2.InstanceSize.SMALL)),
    ("daemon_location", lambda s: s3.Location(bucket_name="b", object_key="k")),
    ("vpc_subnets", lambda s: ec2.SubnetSelection(subnet_type=ec2.SubnetType.PUBLIC)),
    ("redrive_allow_policy", lambda s: sqs.RedriveAllowPolicy()),
    ("visibility_timeout", lambda s: Duration.minutes(5).plus(Duration.seconds(1))),
    ("root_volume_size", lambda s: aws_cdk.Size.gibibytes(8)),
    ("http_path", lambda s: CfnParameter(s, "X").value_as_string),
    ("delete_statuses", lambda s: ["204"]),
    ("delete_statuses", lambda s: ("204", "2xx")),
    ("periodic_tasks", lambda s: "cron.yaml"),
    (
        "periodic_tasks",
        lambda s: [worker_tier.PeriodicTask(name="t", url="/", schedule="* * * * *")],
    ),
    ("log_format", lambda s: "eb"),
    ("retry_policy", lambda s: worker_tier.RetryPolicy.EB),
]


@pytest.mark.parametrize(
    ("name", "made"), ACCEPTED, ids=[f"{name}-{n}" for n, (name, _) in enumerate(ACCEPTED)]
)
def test_whatever_the_cdk_accepts_passes_as_it_is(
    name: str, made: Callable[[Stack], object]
) -> None:
    stack = Stack(new_stack(), "In", env=Environment(account="111122223333", region="us-east-1"))
    value = made(stack)
    problems: list[str] = []
    props: Any = {name: value}
    usable: Any = checked_props(props, SettingsProps, "WorkerTier", problems)
    assert problems == []
    assert usable[name] is value


def test_every_interface_of_the_cdk_is_among_what_was_accepted() -> None:
    accepted = {name for name, _ in ACCEPTED}
    for name, types in declared_types(SettingsProps).items():
        inner = [element for one in types for element in get_args(one) or (one,)]
        if any(getattr(one, "_is_protocol", False) for one in inner):
            assert name in accepted, name


# ---- what the problems and the help name


def _flat(hint: Any) -> Iterator[Any]:
    """Every class in a type, however deep."""
    if get_origin(hint) is Literal or hint in (Any, object, type(None), ...):
        return
    if get_origin(hint) is None and not isinstance(hint, list):
        yield hint
    for inner in hint if isinstance(hint, list) else get_args(hint):
        yield from _flat(inner)


def test_every_type_that_is_checked_has_an_example_and_no_other_type_has_one() -> None:
    hints = [one for group in TAKEN.values() for one in get_type_hints(group).values()]
    for checked in [*CHECKED.values(), *_VALUE_TYPES]:
        found = get_type_hints(checked)
        hints += [hint for name, hint in found.items() if name != "return"]
    types = {one for hint in hints for one in _flat(hint)}
    # a function's own parameters are not checked
    types -= {ec2.InstanceArchitecture}
    assert {one for one in types if not issubclass(one, Enum)} == set(EXAMPLES)


def test_what_examples_call_exists() -> None:
    known = {
        **vars(aws_cdk),
        **{name: getattr(worker_tier, name) for name in worker_tier.__all__},
        "Path": Path,
        "autoscaling": autoscaling,
        "cloudwatch": cloudwatch,
        "datetime": datetime,
        "ecr": ecr,
        "ecr_assets": ecr_assets,
        "cloudwatch_actions": cloudwatch_actions,
        "ec2": ec2,
        "iam": iam,
        "kms": kms,
        "logs": logs,
        "s3": s3,
        "sns": sns,
        "sqs": sqs,
    }
    called = [call for text in EXAMPLES.values() for call in re.findall(r"([\w.]+)\(", text)]
    assert len(called) > 20
    for call in called:
        first, *path = call.split(".")
        value = known[first]
        for attribute in path:
            value = getattr(value, attribute)
        assert callable(value), call


@pytest.mark.parametrize("construct", TAKEN)
def test_help_lists_every_prop_of_a_construct_and_no_other(construct: type[Any]) -> None:
    shown = pydoc.plain(pydoc.render_doc(construct))
    props = shown.partition("Props:\n")[2].partition("\n |  \n")[0]
    listed = re.findall(r"^ \|      (\w+): ", props, flags=re.MULTILINE)
    assert set(listed) == set(declared_types(TAKEN[construct]))
    assert len(listed) == len(set(listed))
