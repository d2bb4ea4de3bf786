"""No change of a prop deletes messages unasked, and the documents name those that replace data."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, cast

import pytest
from aws_cdk import App, Duration, RemovalPolicies, RemovalPolicy, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from cfnlint.schema import PROVIDER_SCHEMA_MANAGER  # type: ignore[import-untyped]

from tests.worker_tier.stacks import (
    GROUP,
    QUEUE,
    Synthesized,
    fleet_alone,
    new_stack,
    problems_of,
    tier_with,
    vpc_of,
)
from tests.worker_tier.variants import TASK
from worker_tier import DeadLetterQueue, WorkerTier
from worker_tier.props import (
    EncryptionProps,
    MonitoringProps,
    PeriodicTaskProps,
    QueueProps,
    RemovalProps,
    names_of,
)

STACK_PAGE: Final = Path(__file__).resolve().parents[2] / "docs" / "guide" / "deploy.md"
#: What stores something that a deletion loses.
DATA: Final = (QUEUE, "AWS::DynamoDB::GlobalTable", "AWS::Logs::LogGroup", "AWS::SNS::Topic")
#: Groups of props that are about what stores something; other props are only read by instances.
ABOUT_DATA: Final = (QueueProps, RemovalProps, EncryptionProps, PeriodicTaskProps, MonitoringProps)


def test_a_queue_that_an_update_replaces_is_retained_whatever_the_policy() -> None:
    for policy in (None, RemovalPolicy.DESTROY, RemovalPolicy.RETAIN):
        template = tier_with(removal_policy=policy, fifo=True)
        ids = template.all(QUEUE)
        assert len(ids) == 2
        assert {template.resources[id]["UpdateReplacePolicy"] for id in ids} == {"Retain"}


def destroy_the_whole_app(tier: WorkerTier) -> None:
    RemovalPolicies.of(tier.node.root).destroy()


def destroy_the_queues(tier: WorkerTier) -> None:
    assert tier.dead_letter_queue is not None
    tier.queue.apply_removal_policy(RemovalPolicy.DESTROY)
    tier.dead_letter_queue.apply_removal_policy(RemovalPolicy.DESTROY)


def destroy_by_the_resource(tier: WorkerTier) -> None:
    for queue in tier.queues.node.children:
        resource = cast(sqs.CfnQueue, queue.node.default_child)
        resource.apply_removal_policy(RemovalPolicy.DESTROY, apply_to_update_replace_policy=True)


@pytest.mark.parametrize(
    "destroy", [destroy_the_whole_app, destroy_the_queues, destroy_by_the_resource]
)
def test_an_app_that_destroys_everything_decides_about_deletions_only(
    destroy: Callable[[WorkerTier], None],
) -> None:
    stack = new_stack()
    tier = WorkerTier(stack, "Worker", vpc=vpc_of(stack), removal_policy=RemovalPolicy.RETAIN)
    destroy(tier)
    template = Synthesized(stack)
    queues = [template.resources[id] for id in template.all(QUEUE)]
    assert len(queues) == 2
    for queue in queues:
        assert queue["DeletionPolicy"] == "Delete"
        assert queue["UpdateReplacePolicy"] == "Retain"


@pytest.mark.parametrize(
    ("policy", "deletion"),
    [
        (None, "Delete"),
        (RemovalPolicy.DESTROY, "Delete"),
        (RemovalPolicy.RETAIN, "Retain"),
        (RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE, "RetainExceptOnCreate"),
    ],
)
def test_the_removal_policy_covers_all_that_stores_something(
    policy: RemovalPolicy | None, deletion: str
) -> None:
    template = tier_with(removal_policy=policy, periodic_tasks=[TASK])
    found = {
        id: resource["DeletionPolicy"]
        for id, resource in template.resources.items()
        if resource["Type"] in DATA
    }
    assert len(found) == 5  # two queues, the leader table, the log group, the topic
    assert set(found.values()) == {deletion}
    # and instances end with the stack in any case
    assert "DeletionPolicy" not in template.resources[template.id_of(GROUP)]


def test_a_table_that_is_made_by_a_task_in_code_has_the_policy_too() -> None:
    stack = new_stack()
    tier = WorkerTier(stack, "Worker", vpc=vpc_of(stack), removal_policy=RemovalPolicy.RETAIN)
    tier.add_periodic_task(TASK)
    template = Synthesized(stack)
    table = template.resources[template.id_of("AWS::DynamoDB::GlobalTable")]
    assert table["DeletionPolicy"] == "Retain"


def test_a_snapshot_is_refused_because_nothing_here_has_one() -> None:
    (problem,) = problems_of(removal_policy=RemovalPolicy.SNAPSHOT)
    assert problem.startswith(
        "removal_policy must be one of DESTROY, RETAIN, RETAIN_ON_UPDATE_OR_DELETE, got SNAPSHOT"
    )


def test_a_fleet_alone_takes_the_policy_for_its_topic() -> None:
    stack = new_stack()
    fleet_alone(stack, removal_policy=RemovalPolicy.RETAIN).set_user_data("#!/bin/bash\n")
    template = Synthesized(stack)
    assert template.resources[template.id_of("AWS::SNS::Topic")]["DeletionPolicy"] == "Retain"


# ---- what replaces data


def changes(stack: Stack) -> dict[str, Any]:
    """Another value for every prop that is about what stores something."""
    queue = sqs.Queue(stack, "Other")
    return {
        "queue": queue,
        "dead_letter_queue": DeadLetterQueue.none(),
        "fifo": True,
        "content_based_deduplication": {"fifo": True, "content_based_deduplication": True},
        "deduplication_scope": {
            "fifo": True,
            "deduplication_scope": sqs.DeduplicationScope.MESSAGE_GROUP,
        },
        "fifo_throughput_limit": {
            "fifo": True,
            "fifo_throughput_limit": sqs.FifoThroughputLimit.PER_QUEUE,
        },
        "delivery_delay": Duration.seconds(3),
        "max_message_size_bytes": 2_048,
        "receive_message_wait_time": Duration.seconds(3),
        "redrive_allow_policy": sqs.RedriveAllowPolicy(
            redrive_permission=sqs.RedrivePermission.ALLOW_ALL
        ),
        "dead_letter_retention_period": Duration.days(9),
        "data_key_reuse": {
            "encryption_key": kms.Key(stack, "K1"),
            "data_key_reuse": Duration.minutes(9),
        },
        "enforce_ssl": False,
        "removal_policy": RemovalPolicy.RETAIN,
        "encryption_key": kms.Key(stack, "K2"),
        "periodic_tasks": [],
        "oldest_message_age": Duration.hours(2),
        "alarms": False,
        "alarm_actions": [],
        "log_group": logs.LogGroup(stack, "Lines"),
        "log_retention": logs.RetentionDays.ONE_DAY,
        "dashboard": True,
        # of other groups, but they go into queues and topic
        "visibility_timeout": Duration.seconds(400),
        "retention_period": Duration.days(5),
        "max_retries": 3,
        "notifications_topic": sns.Topic(stack, "Topic"),
        "role": iam.Role(stack, "Role", assumed_by=iam.ServicePrincipal("ec2.amazonaws.com")),
    }


def data_of(template: Synthesized, tier: str) -> dict[str, tuple[str, dict[str, Any]]]:
    """Path in the tier -> type and properties of all that stores something."""
    found = {}
    for resource in template.resources.values():
        path = resource.get("Metadata", {}).get("aws:cdk:path", "")
        if resource["Type"] in DATA and path.startswith(f"Test/{tier}/"):
            place = path.removeprefix(f"Test/{tier}/")
            found[place] = (resource["Type"], resource.get("Properties", {}))
    return found


def lost(before: dict[str, Any], after: dict[str, Any]) -> set[str]:
    """Paths of what an update replaces, by CloudFormation's own schema, or takes away."""
    found = set()
    for path, (kind, properties) in before.items():
        schema = PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", kind).schema
        fixed = {
            pointer.split("/")[2]
            for key in ("createOnlyProperties", "conditionalCreateOnlyProperties")
            for pointer in schema.get(key) or ()
        }
        assert fixed, kind
        now = after.get(path)
        if now is None or any(properties.get(name) != now[1].get(name) for name in fixed):
            found.add(path)
    return found


def test_the_documents_name_every_prop_whose_change_replaces_or_removes_data() -> None:
    # given a tier, and for each prop a tier in which this one has another value
    context = {"@aws-cdk/core:stackResourceLimit": 0, "aws:cdk:enable-path-metadata": True}
    stack = Stack(App(context=context), "Test")
    network = vpc_of(stack)
    base: dict[str, Any] = {"vpc": network, "periodic_tasks": [TASK], "single_instance": True}
    WorkerTier(stack, "Before", **base)
    others = changes(stack)
    for name, value in others.items():
        props = value if isinstance(value, dict) else {name: value}
        WorkerTier(stack, f"After-{name}", **(base | props))
    assert {name for group in ABOUT_DATA for name in names_of(group)} <= set(others)
    # when the templates are compared
    template = Synthesized(stack)
    before = data_of(template, "Before")
    assert len(before) == 5
    found = {
        name: places
        for name in others
        if (places := lost(before, data_of(template, f"After-{name}")))
    }
    # those that need fifo to be set lose what fifo loses
    for name in ("content_based_deduplication", "deduplication_scope", "fifo_throughput_limit"):
        assert found.pop(name) == found["fifo"]
    # then the page has a row for each that loses something, and for no other
    assert set(documented_rows()) == set(found)
    assert found["fifo"] == {"Queues/Queue/Resource", "Queues/DeadLetterQueue/Resource"}


def documented_rows() -> list[str]:
    """The props in the first column of the table under "What replaces data"."""
    section = STACK_PAGE.read_text(encoding="utf-8").partition("## What replaces data\n")[2]
    table = section.partition("\n## ")[0]
    return re.findall(r"^\| `(\w+)`", table, flags=re.MULTILINE)
