"""A value that cannot be used ends in an error that names it, never in one of JavaScript."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from aws_cdk import App, CfnParameter, Duration, Size, Stack
from aws_cdk import aws_autoscaling as autoscaling
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs

from tests.worker_tier.stacks import new_stack, vpc_of
from worker_tier import (
    InvalidApplication,
    InvalidProps,
    LeaderTable,
    WorkerApplication,
    WorkerQueues,
    WorkerTier,
)

rolling = autoscaling.UpdatePolicy.rolling_update
EIGHT = autoscaling.Schedule.cron(hour="8", minute="0")
step = autoscaling.ScalingInterval
PERMISSION = sqs.RedrivePermission


def number(stack: Stack) -> float:
    return CfnParameter(stack, "Number", type="Number").value_as_number


def text(stack: Stack) -> str:
    return CfnParameter(stack, "Text").value_as_string


def refused(build: Callable[[], object]) -> str:
    """The problems that something is refused for, one a line."""
    with pytest.raises((InvalidProps, InvalidApplication)) as caught:
        build()
    error = caught.value
    assert isinstance(error, (InvalidProps, InvalidApplication))
    found = "\n".join(error.problems)
    assert "e+289" not in found
    assert "Token[" not in str(error)
    return found


# ---- where a construct is made


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        (lambda stack: ("x", "Id"), "scope must be a Construct, got 'x'; pass a construct"),
        (lambda stack: (stack, 5), "id must be a string, got 5; pass a text in quotes"),
        (lambda stack: (stack, ""), "id must not be empty"),
        (lambda stack: (stack, text(stack)), "id is known only when the stack is deployed"),
        (lambda stack: (stack, "Vpc"), "id 'Vpc' is taken by another construct in Test"),
        (lambda stack: (stack.node.root, "Id"), "scope must be within a Stack"),
    ],
    ids=["no construct", "no text", "empty", "token", "taken", "no stack"],
)
@pytest.mark.parametrize("kind", [WorkerTier, WorkerQueues, LeaderTable, "from_option_settings"])
def test_a_construct_in_no_place_is_refused(
    kind: Any, place: Callable[[Stack], tuple[Any, Any]], expected: str
) -> None:
    stack = new_stack()
    vpc = vpc_of(stack)
    scope, id = place(stack)
    if kind == "from_option_settings":
        found = refused(lambda: WorkerTier.from_option_settings(scope, id, {}, vpc=vpc))
    else:
        props = {"vpc": vpc} if kind is WorkerTier else {}
        found = refused(lambda: kind(scope, id, **props))
    assert found.startswith(expected)


# ---- props

PROPS: list[tuple[str, Callable[[Stack], dict[str, Any]], str]] = [
    (
        "batch token",
        lambda stack: {"update_policy": rolling(max_batch_size=number(stack))},
        "max_batch_size of update_policy is known only when the stack is deployed",
    ),
    (
        "in service token",
        lambda stack: {"update_policy": rolling(min_instances_in_service=number(stack))},
        "min_instances_in_service of update_policy is known only when",
    ),
    (
        "percentage 0",
        lambda stack: {"update_policy": rolling(min_success_percentage=0)},
        "min_success_percentage of update_policy must be 1 to 100, got 0; with 0 a release",
    ),
    (
        "pause token",
        lambda stack: {"update_policy": rolling(pause_time=Duration.seconds(number(stack)))},
        "pause_time of update_policy is known only when the stack is deployed",
    ),
    (
        "size token",
        lambda stack: {"root_volume_size": Size.mebibytes(number(stack))},
        "root_volume_size is known only when the stack is deployed",
    ),
    (
        "no public subnets",
        lambda stack: {"vpc_subnets": ec2.SubnetSelection(subnet_type=ec2.SubnetType.PUBLIC)},
        "vpc_subnets selects no subnet of the network: There are no 'Public' subnet groups",
    ),
    (
        "no such subnets",
        lambda stack: {"vpc_subnets": ec2.SubnetSelection(subnet_group_name="nope")},
        "vpc_subnets selects no subnet of the network: There are no subnet groups with name 'nope'",
    ),
    (
        "empty subnets",
        lambda stack: {"vpc_subnets": ec2.SubnetSelection(subnets=[])},
        "vpc_subnets selects no subnet of the network",
    ),
    (
        "no such zone",
        lambda stack: {"vpc_subnets": ec2.SubnetSelection(availability_zones=["zz"])},
        "vpc_subnets selects no subnet of the network",
    ),
    (
        "by no queue",
        lambda stack: {
            "redrive_allow_policy": sqs.RedriveAllowPolicy(redrive_permission=PERMISSION.BY_QUEUE)
        },
        "redrive_allow_policy is BY_QUEUE, which takes 1 to 10 source_queues, got 0",
    ),
    (
        "by denied queues",
        lambda stack: {
            "redrive_allow_policy": sqs.RedriveAllowPolicy(
                redrive_permission=PERMISSION.DENY_ALL, source_queues=[sqs.Queue(stack, "Q")]
            )
        },
        "redrive_allow_policy is DENY_ALL, which takes no source_queues, got 1",
    ),
    (
        "list token",
        lambda stack: {
            "http_port": CfnParameter(stack, "L", type="CommaDelimitedList").value_as_list
        },
        "http_port is known only when the stack is deployed",
    ),
    (
        "bundle by hand",
        lambda stack: {"application": WorkerApplication(kind="bundle")},
        "application.bundle is missing; make it by WorkerApplication.from_asset(...)",
    ),
    (
        "kind by hand",
        lambda stack: {"application": WorkerApplication(kind="zzz")},
        "application.kind must be one of ",
    ),
    (
        "image by hand",
        lambda stack: {"application": WorkerApplication(kind="container")},
        "application.image must name an image",
    ),
    (
        "grant by hand",
        lambda stack: {
            "application": WorkerApplication(kind="container", image="nginx", grant=lambda: 1)  # type: ignore[misc,arg-type]
        },
        "application.grant must be a function of one argument, the grantee",
    ),
]


@pytest.mark.parametrize(
    ("props", "expected"),
    [pytest.param(props, expected, id=name) for name, props, expected in PROPS],
)
def test_a_prop_that_cannot_be_had_is_named(
    props: Callable[[Stack], dict[str, Any]], expected: str
) -> None:
    stack = new_stack()
    given = props(stack)
    found = refused(lambda: WorkerTier(stack, "Worker", **({"vpc": vpc_of(stack)} | given)))
    assert found.startswith(expected)


def test_a_subnet_that_is_known_by_its_id_only_is_taken() -> None:
    stack = new_stack()
    subnet = ec2.Subnet.from_subnet_id(stack, "Subnet", "subnet-0a1b2c3d4e5f60718")
    chosen = ec2.SubnetSelection(subnets=[subnet])
    tier = WorkerTier(stack, "Worker", vpc=vpc_of(stack), vpc_subnets=chosen)
    group = tier.auto_scaling_group.node.default_child
    assert isinstance(group, autoscaling.CfnAutoScalingGroup)
    assert group.vpc_zone_identifier == ["subnet-0a1b2c3d4e5f60718"]


def test_a_property_that_utf_8_cannot_have_is_refused() -> None:
    found = refused(
        lambda: WorkerApplication.from_container("nginx:1", environment={"A": "\ud800"})
    )
    assert found.startswith("environment property A must be text that UTF-8 can have")


# ---- methods


@pytest.fixture(scope="module")
def tier() -> WorkerTier:
    stack = new_stack()
    tier = WorkerTier(stack, "Worker", vpc=vpc_of(stack))
    tier.scale_on_schedule("Taken", schedule=EIGHT, min_capacity=1)
    tier.scale_on_metric(
        "Taken",
        metric=tier.metric_outstanding(),
        scaling_steps=[step(change=0, upper=5), step(change=1, lower=5)],
    )
    return tier


def scheduled(tier: WorkerTier, id: str = "New", **given: Any) -> object:
    return tier.scale_on_schedule(id, schedule=EIGHT, **given)


def on_metric(tier: WorkerTier, *steps: Any, id: str = "New", **given: Any) -> object:
    metric = tier.metric_outstanding()
    return tier.scale_on_metric(id, metric=metric, scaling_steps=list(steps), **given)


METHODS: list[tuple[str, Callable[[WorkerTier], object], str]] = [
    ("no size", scheduled, "scale_on_schedule('New'): min_capacity, desired_capacity, max_"),
    (
        "taken id",
        lambda tier: scheduled(tier, "Taken", min_capacity=1),
        "scale_on_schedule('Taken'): id is taken by another schedule; choose another",
    ),
    (
        "empty id",
        lambda tier: scheduled(tier, "", min_capacity=1),
        "scale_on_schedule(''): id must not be empty",
    ),
    (
        "negative",
        lambda tier: scheduled(tier, min_capacity=-1),
        "scale_on_schedule('New'): min_capacity must be a whole number from 0 to 10000, got -1",
    ),
    (
        "crossed",
        lambda tier: scheduled(tier, min_capacity=9, max_capacity=2),
        "scale_on_schedule('New'): min_capacity (9) must be at most max_capacity (2)",
    ),
    (
        "desired",
        lambda tier: scheduled(tier, desired_capacity=9, max_capacity=2),
        "scale_on_schedule('New'): desired_capacity (9) must be at most max_capacity (2)",
    ),
    (
        "naive",
        lambda tier: scheduled(tier, min_capacity=1, start_time=datetime(2027, 1, 1)),  # noqa: DTZ001
        "scale_on_schedule('New'): start_time must have a time zone, got datetime.datetime(2027",
    ),
    (
        "end before start",
        lambda tier: scheduled(
            tier,
            min_capacity=1,
            start_time=datetime(2027, 2, 1, tzinfo=UTC),
            end_time=datetime(2027, 1, 1, tzinfo=UTC),
        ),
        "scale_on_schedule('New'): start_time (2027-02-01",
    ),
    ("no steps", on_metric, "scale_on_metric('New'): scaling_steps must be at least two, got 0"),
    (
        "same step twice",
        lambda tier: on_metric(tier, step(change=1, lower=5), step(change=2, lower=5)),
        "scale_on_metric('New'): scaling_steps overlap at 5",
    ),
    (
        "overlap",
        lambda tier: on_metric(tier, step(change=1, upper=5), step(change=2, lower=3)),
        "scale_on_metric('New'): scaling_steps must follow each other without overlap",
    ),
    (
        "step without bounds",
        lambda tier: on_metric(tier, step(change=1), step(change=2, lower=3)),
        "scale_on_metric('New'): scaling_steps must follow each other without overlap",
    ),
    (
        "no periods",
        lambda tier: on_metric(
            tier, step(change=0, upper=5), step(change=2, lower=10), evaluation_periods=0
        ),
        "scale_on_metric('New'): evaluation_periods must be a whole number from 1 to",
    ),
    (
        "taken metric id",
        lambda tier: on_metric(tier, step(change=0, upper=5), step(change=2, lower=10), id="Taken"),
        "scale_on_metric('Taken'): id is taken by another policy; choose another",
    ),
    (
        "period",
        lambda tier: tier.metric("X", statistic="Sum", period=Duration.seconds(7)),
        "metric: period must be 1, 5, 10, 30 or a multiple of 60 seconds, got 7 s; round it",
    ),
    (
        "period of an expression",
        lambda tier: tier.metric_outstanding(period=Duration.seconds(7)),
        "metric_outstanding: period must be 1, 5, 10, 30 or a multiple of 60 seconds",
    ),
    (
        "statement of nothing",
        lambda tier: tier.add_to_role_policy(iam.PolicyStatement()),
        "add_to_role_policy: statement has no actions; name some\n"
        "add_to_role_policy: statement has no resources; name some",
    ),
    (
        "statement for nothing",
        lambda tier: tier.add_to_role_policy(iam.PolicyStatement(actions=["s3:GetObject"])),
        "add_to_role_policy: statement has no resources; name some",
    ),
]


@pytest.mark.parametrize(
    ("call", "expected"),
    [pytest.param(call, expected, id=name) for name, call, expected in METHODS],
)
def test_an_argument_that_cannot_be_had_is_named(
    tier: WorkerTier, call: Callable[[WorkerTier], object], expected: str
) -> None:
    assert refused(lambda: call(tier)).startswith(expected)


def test_a_topic_is_subscribed_once(tier: WorkerTier) -> None:
    topic = sns.Topic(Stack.of(tier), "Topic")
    tier.subscribe_to_topic(topic)
    found = refused(lambda: tier.subscribe_to_topic(topic))
    assert found.startswith("subscribe_to_topic: Test/Topic is subscribed already; ")


def test_a_schedule_that_was_refused_does_not_stop_periodic_tasks() -> None:
    stack = Stack(App(), "Test")
    tier = WorkerTier(stack, "Worker", vpc=vpc_of(stack))
    refused(lambda: scheduled(tier, min_capacity=0, max_capacity=-1))
    assert not tier._sleeps_by_schedule
