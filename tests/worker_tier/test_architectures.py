"""Apps of the kinds that architects build synthesize, without circles and with all rights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jsii
import pytest
from aws_cdk import (
    App,
    Aspects,
    CfnResource,
    Environment,
    IAspect,
    NestedStack,
    RemovalPolicy,
    Stack,
    Stage,
    Tags,
)
from aws_cdk import aws_cloudwatch_actions as cloudwatch_actions
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_s3_notifications as s3_notifications
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from constructs import IConstruct

from tests.worker_tier.stacks import POLICY, QUEUE, Synthesized, vpc_of
from tests.worker_tier.variants import TASK
from worker_tier import WorkerTier, allow_alarms_to_publish

ENV = Environment(account="111122223333", region="us-east-1")


def everything_in_other_stacks(app: App) -> Stack:
    """Network, key, role, alarm topic and producer each have a stack of their own."""
    network, keys, people = Stack(app, "Network"), Stack(app, "Keys"), Stack(app, "People")
    stack = Stack(app, "Test")
    topic = sns.Topic(people, "Alarms", enforce_ssl=True)
    allow_alarms_to_publish(topic)
    tier = WorkerTier(
        stack,
        "Worker",
        vpc=ec2.Vpc(network, "Vpc"),
        encryption_key=kms.Key(keys, "Key"),
        role=iam.Role(keys, "Role", assumed_by=iam.ServicePrincipal("ec2.amazonaws.com")),
        alarm_actions=[cloudwatch_actions.SnsAction(topic)],
        periodic_tasks=[TASK],
    )
    tier.grant_send_messages(iam.User(Stack(app, "Producer"), "Producer"))
    return stack


def several_tiers_share_key_topic_and_dead_letters(app: App) -> Stack:
    stack = Stack(app, "Test")
    key = kms.Key(stack, "Key")
    topic = sns.Topic(stack, "Topic", master_key=key)
    dead = sqs.Queue(stack, "Dead", encryption_master_key=key)
    network = vpc_of(stack)
    for name in ("Orders", "Mails", "Reports"):
        tier = WorkerTier(
            stack,
            name,
            vpc=network,
            encryption_key=key,
            dead_letter_queue=dead,
            notifications_topic=topic,
            alarm_actions=[cloudwatch_actions.SnsAction(topic)],
            dashboard=True,
        )
        tier.subscribe_to_topic(topic)
    return stack


def a_tier_in_a_nested_stack_with_much_of_its_parent(app: App) -> Stack:
    parent = Stack(app, "Parent")
    stack = NestedStack(parent, "Nested")
    tier = WorkerTier(stack, "Worker", vpc=ec2.Vpc(parent, "Vpc"), periodic_tasks=[TASK])
    for number in range(20):
        s3.Bucket(parent, f"Bucket{number}").grant_read_write(tier)
    tier.grant_send_messages(iam.User(parent, "Producer"))
    return stack


def the_same_tier_in_two_stages(app: App) -> Stack:
    WorkerTier(Stack(Stage(app, "Dev"), "Test"), "Worker", vpc=_network())
    stack = Stack(Stage(app, "Prod", env=ENV), "Test")
    WorkerTier(stack, "Worker", vpc=vpc_of(stack))
    return stack


def _network() -> ec2.IVpc:
    return vpc_of(Stack(App(), "Net"))


def every_flag_that_changes_policies_and_aspects(app: App) -> Stack:
    for flag in (
        "@aws-cdk/aws-iam:minimizePolicies",
        "@aws-cdk/core:aspectStabilization",
        "@aws-cdk/core:explicitStackTags",
        "@aws-cdk/core:checkSecretUsage",
    ):
        app.node.set_context(flag, True)
    stack = Stack(app, "Test", tags={"team": "orders"})
    tier = WorkerTier(stack, "Worker", vpc=vpc_of(stack))
    for number in range(20):
        s3.Bucket(stack, f"Bucket{number}").grant_read_write(tier)
    Tags.of(app).add("git-sha", "0a1b2c3")
    return stack


@jsii.implements(IAspect)
class _Retain:
    @jsii.member(jsii_name="visit")
    def visit(self, node: IConstruct) -> None:
        if isinstance(node, CfnResource):
            node.apply_removal_policy(RemovalPolicy.RETAIN)


def the_rules_of_an_organization(app: App) -> Stack:
    stack = Stack(app, "Test")
    WorkerTier(stack, "Worker", vpc=vpc_of(stack), periodic_tasks=[TASK])
    boundary = iam.ManagedPolicy.from_managed_policy_name(stack, "Boundary", "boundary")
    iam.PermissionsBoundary.of(app).apply(boundary)
    retain: Any = _Retain()
    Aspects.of(app).add(retain)
    return stack


def a_queue_of_another_stack_that_the_tier_also_sends_to(app: App) -> Stack:
    queues, stack = Stack(app, "Queues"), Stack(app, "Test")
    dead = sqs.DeadLetterQueue(queue=sqs.Queue(queues, "Dead"), max_receive_count=3)
    key = kms.Key(queues, "Key")
    queue = sqs.Queue(queues, "Queue", dead_letter_queue=dead, encryption_master_key=key)
    tier = WorkerTier(stack, "Worker", vpc=vpc_of(stack), queue=queue)
    tier.grant_send_messages(tier)
    return stack


def events_of_a_bucket_into_an_encrypted_queue(app: App) -> Stack:
    stack = Stack(app, "Test")
    tier = WorkerTier(stack, "Worker", vpc=vpc_of(stack), encryption_key=kms.Key(stack, "Key"))
    bucket = s3.Bucket(stack, "Bucket")
    bucket.add_event_notification(
        s3.EventType.OBJECT_CREATED, s3_notifications.SqsDestination(tier.queue)
    )
    return stack


@pytest.mark.parametrize(
    "build",
    [
        everything_in_other_stacks,
        several_tiers_share_key_topic_and_dead_letters,
        a_tier_in_a_nested_stack_with_much_of_its_parent,
        the_same_tier_in_two_stages,
        every_flag_that_changes_policies_and_aspects,
        the_rules_of_an_organization,
        a_queue_of_another_stack_that_the_tier_also_sends_to,
        events_of_a_bucket_into_an_encrypted_queue,
    ],
)
def test_an_architects_app_synthesizes(build: Callable[[App], Stack]) -> None:
    template = Synthesized(build(App()))  # which refuses circles
    policies = [p for id, p in template.all(POLICY).items() if "FleetPolicy" in id]
    # every policy of instances is attached to a role, and knows the queue
    assert policies
    assert all(len(policy["Roles"]) == 1 for policy in policies)
    assert "sqs:ReceiveMessage" in str(policies)
    for id in template.all(QUEUE):
        if "Queues" in id:
            assert template.resources[id]["UpdateReplacePolicy"] == "Retain"
