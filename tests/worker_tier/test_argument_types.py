"""Whatever is passed where another type belongs ends in an error that names it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import fields, replace
from itertools import count
from typing import Any, Final

import pytest
from aws_cdk import CfnParameter, Duration, Size, Stack
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as cloudwatch_actions
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs

from tests.worker_tier.imported_queue import imported
from tests.worker_tier.public_api import CALLABLES, CHECKED, ELSEWHERE
from tests.worker_tier.stacks import new_stack, problems_of, stack_in, vpc_of
from worker_tier import (
    DeadLetterQueue,
    ExistingQueue,
    InvalidProps,
    LeaderTable,
    Monitoring,
    PeriodicTask,
    QueueScaling,
    ScalingFigures,
    Side,
    TierDashboard,
    TierMetrics,
    Trigger,
    WorkerApplication,
    WorkerCapacity,
    WorkerFleet,
    WorkerMachineImage,
    WorkerQueues,
    WorkerScaling,
    WorkerTier,
)
from worker_tier.type_checks import _VALUE_TYPES

_NUMBERS: Final = count()


@pytest.fixture(scope="module")
def stack() -> Stack:
    return new_stack()


@pytest.fixture(scope="module")
def tier(stack: Stack) -> WorkerTier:
    return WorkerTier(stack, "Worker", vpc=vpc_of(stack))


def instance_of(name: str, tier: WorkerTier) -> Any:
    """Something to call a method on."""
    return {
        "WorkerTier": tier,
        "WorkerQueues": tier.queues,
        "WorkerFleet": tier.fleet,
        "Monitoring": tier.monitoring,
        "LeaderTable": LeaderTable(tier, f"Table{next(_NUMBERS)}"),
        "WorkerApplication": WorkerApplication.external(),
    }[name.partition(".")[0]]


def test_every_exception_of_this_test_exists() -> None:
    assert set(CALLABLES) >= ELSEWHERE - {"PackagingError.__init__"}
    assert len(CHECKED) > 40


@pytest.mark.parametrize("name", CHECKED)
def test_every_argument_of_a_wrong_type_is_named_in_one_error(name: str, tier: WorkerTier) -> None:
    function = CHECKED[name]
    parameters = dict(inspect.signature(function).parameters)
    given: list[Any] = []
    if next(iter(parameters)) == "self":
        given.append(None if name.endswith("__init__") else instance_of(name, tier))
        del parameters["self"]
    if name.endswith("__init__"):
        given += [tier, f"Refused{next(_NUMBERS)}"]
        del parameters["scope"], parameters["id"]
    wrong = object()
    rest = [key for key, one in parameters.items() if one.kind is one.VAR_POSITIONAL]
    named = {key: wrong for key in parameters if key not in rest}
    with pytest.raises(InvalidProps) as caught:
        function(*given, *[wrong for _ in rest], **named)
    text = "\n".join(caught.value.problems)
    for key in parameters:
        assert f"{key}[0] must be" in text if key in rest else f"{key} must be" in text, key
    assert len(caught.value.problems) == len(parameters)
    assert text.count(f"got {wrong!r}; pass ") == len(parameters)


# ---- fields of values


def values(stack: Stack) -> dict[type[Any], tuple[str, Any]]:
    """A value of each type, and the prop that takes it."""
    memory = (Size.gibibytes(2), Size.gibibytes(8))
    return {
        ExistingQueue: ("queue", imported(stack)),
        DeadLetterQueue: ("dead_letter_queue", DeadLetterQueue.none()),
        PeriodicTask: ("periodic_tasks", PeriodicTask(name="t", url="/t", schedule="* * * * *")),
        WorkerApplication: ("application", WorkerApplication.external()),
        WorkerCapacity: (
            "capacity",
            WorkerCapacity.requirements(
                architecture=ec2.InstanceArchitecture.ARM_64, vcpus=(1, 2), memory=memory
            ),
        ),
        WorkerMachineImage: ("machine_image", WorkerMachineImage.debian_12()),
        WorkerScaling: ("scaling", WorkerScaling.steps([(100, 1)])),
        Trigger: ("scaling", Trigger()),
        Side: ("scaling", Side(threshold=1, increment=1)),
    }


#: Value types that no prop takes; the constructs that are used alone do, in arguments.
IN_ARGUMENTS: Final = {ScalingFigures, TierMetrics}
FIELDS: Final = [
    pytest.param(kind, one.name, id=f"{kind.__name__}-{one.name}")
    for kind in sorted(_VALUE_TYPES - IN_ARGUMENTS, key=lambda kind: str(kind.__name__))
    for one in fields(kind)
]


@pytest.fixture(scope="module")
def by_type() -> dict[type[Any], tuple[str, Any]]:
    return values(stack_in("us-east-1"))


@pytest.mark.parametrize(("kind", "field"), FIELDS)
def test_a_field_of_a_wrong_type_is_named_with_its_prop(
    kind: type[Any], field: str, by_type: dict[type[Any], tuple[str, Any]]
) -> None:
    prop, good = by_type[kind]
    wrong = object()
    value = replace(good, **{field: wrong})
    path = f"{prop}.{field}"
    if kind is PeriodicTask:
        value, path = [value], f"{prop}[0].{field}"
    elif kind is Trigger:
        value, path = WorkerScaling(triggered_by=value), f"{prop}.triggered_by.{field}"
    elif kind is Side:
        trigger = Trigger(upper=value)
        value, path = WorkerScaling(triggered_by=trigger), f"{prop}.triggered_by.upper.{field}"
    (problem,) = problems_of(**{prop: value})
    assert problem.startswith(f"{path} must be ")
    assert f", got {wrong!r}; pass " in problem


@pytest.mark.parametrize("field", [one.name for one in fields(ScalingFigures)])
def test_a_field_of_figures_is_named_with_its_argument(field: str, tier: WorkerTier) -> None:
    good = ScalingFigures(backlog_per_instance=1.0, idle_below=1.0, may_sleep=False)
    wrong: Any = {field: object()}
    value = replace(good, **wrong)
    with pytest.raises(InvalidProps, match=rf"figures\.{field} must be"):
        QueueScaling(
            tier,
            f"S{next(_NUMBERS)}",
            auto_scaling_group=tier.auto_scaling_group,
            queue=tier.queue,
            figures=value,
            instance_warmup=Duration.minutes(1),
        )


@pytest.mark.parametrize("field", [one.name for one in fields(TierMetrics)])
def test_a_field_of_metrics_is_named_with_its_argument(field: str, tier: WorkerTier) -> None:
    wrong: Any = {field: object()}
    value = replace(tier.metrics, **wrong)
    with pytest.raises(InvalidProps, match=rf"metrics\.{field} must be"):
        Monitoring(tier, f"M{next(_NUMBERS)}", metrics=value)


# ---- as people write it


@pytest.mark.parametrize(
    ("props", "expected"),
    [
        (
            {"capacity": WorkerCapacity.spot},
            "capacity must be a WorkerCapacity, got <function WorkerCapacity.spot at ",
        ),
        (
            {"scaling": WorkerScaling.backlog_per_instance("many")},  # type: ignore[arg-type]
            "scaling.backlog must be a number or None, got 'many'; pass a number such as 1.5",
        ),
        (
            {"capacity": WorkerCapacity.on_demand("t3.small")},  # type: ignore[arg-type]
            "capacity.instance_types[0] must be an InstanceType, got 't3.small'; pass"
            " ec2.InstanceType('t3.small')",
        ),
        (
            {"periodic_tasks": [PeriodicTask(name="t", url="/", schedule="* * * * *", jitter="5")]},  # type: ignore[arg-type]
            "periodic_tasks[0].jitter must be a whole number or None, got '5'; pass an int such as",
        ),
    ],
)
def test_the_problem_says_what_belongs_there(props: dict[str, Any], expected: str) -> None:
    (problem,) = problems_of(**props)
    assert problem.startswith(expected)


def test_all_fields_of_all_values_are_reported_with_the_other_problems() -> None:
    queue: Any = ExistingQueue(
        queue="q",  # type: ignore[arg-type]
        fifo="no",  # type: ignore[arg-type]
        dead_letter_queue=None,
        max_receive_count=None,
        encryption_key=None,
        dead_letter_key=None,
        owned=True,
    )
    capacity = WorkerCapacity.requirements(
        architecture="arm64",  # type: ignore[arg-type]
        vcpus=("1", 2),  # type: ignore[arg-type]
        memory=(1, 2),  # type: ignore[arg-type]
    )
    problems = problems_of(queue=queue, capacity=capacity, http_port=0)
    assert [problem.partition(" ")[0] for problem in problems] == [
        "queue.queue",
        "queue.fifo",
        "capacity.architecture",
        "capacity.vcpus[0]",
        "capacity.memory[0]",
        "capacity.memory[1]",
        "http_port",
    ]


@pytest.mark.parametrize(
    "made",
    [
        lambda stack: WorkerScaling.backlog_per_instance(_number(stack)),
        lambda stack: WorkerScaling.steps([(_number(stack), 1)]),  # type: ignore[list-item]
        lambda stack: WorkerScaling.trigger(
            Trigger(upper=Side(threshold=_number(stack), increment=1))
        ),
    ],
)
def test_a_token_in_a_count_is_refused_as_such(made: Callable[[Stack], WorkerScaling]) -> None:
    stack = new_stack()
    with pytest.raises(InvalidProps, match="is known only when the stack is deployed"):
        WorkerTier(stack, "Worker", vpc=vpc_of(stack), scaling=made(stack))


def _number(stack: Stack) -> float:
    return CfnParameter(stack, f"P{next(_NUMBERS)}", type="Number").value_as_number


@pytest.mark.parametrize("name", ["t4g", "large", ""])
def test_a_name_that_is_no_instance_type_is_refused_by_the_prop(name: str) -> None:
    (problem,) = problems_of(instance_type=ec2.InstanceType(name))
    assert problem.startswith("instance_type must be the name of an EC2 instance type")
    assert repr(name) in problem
    (problem,) = problems_of(capacity=WorkerCapacity.on_demand(ec2.InstanceType(name)))
    assert problem.startswith("instance_types must be the name of an EC2 instance type")


def test_an_instance_type_that_only_the_deployment_knows_is_refused_by_the_prop() -> None:
    stack = new_stack()
    parameter = CfnParameter(stack, "Type").value_as_string
    with pytest.raises(InvalidProps, match="instance_type is known only when"):
        WorkerTier(stack, "Worker", vpc=vpc_of(stack), instance_type=ec2.InstanceType(parameter))


# ---- what passes


def test_whatever_has_a_role_may_be_granted_to(stack: Stack, tier: WorkerTier) -> None:
    function = lambda_.Function(
        stack,
        "Function",
        code=lambda_.Code.from_inline("x"),
        handler="index.handler",
        runtime=lambda_.Runtime.PYTHON_3_13,
    )
    other = WorkerTier(stack, "Other", vpc=vpc_of(new_stack("Net")))
    imported_role = iam.Role.from_role_name(stack, "Imported", "producer")
    user = iam.User(stack, "User")
    for grantee in (function, other, imported_role, user, iam.AccountRootPrincipal()):
        tier.grant_send_messages(grantee)


def test_arguments_of_every_kind_pass(stack: Stack, tier: WorkerTier) -> None:
    topic = sns.Topic(stack, "Topic")
    tier.add_alarm_action(cloudwatch_actions.SnsAction(topic))
    tier.subscribe_to_topic(
        topic, filter_policy={"kind": sns.SubscriptionFilter.string_filter(allowlist=["a"])}
    )
    tier.metric_oldest_message_age(statistic="max", period=Duration.minutes(5))
    tier.metric("MessagesDeleted", statistic=cloudwatch.Stats.SUM)
    TierDashboard(stack, "Page", metrics=tier.metrics, alarms=tier.alarms.values(), log_group=None)
    LeaderTable(stack, "Table", encryption_key=kms.Key(stack, "Key"))
    assert ExistingQueue.made_here(sqs.Queue(stack, "Queue")).owned
    assert isinstance(tier.fleet, WorkerFleet)
    assert isinstance(tier.queues, WorkerQueues)
