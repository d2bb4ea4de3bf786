from __future__ import annotations

from typing import Any

import pytest
from aws_cdk import Duration
from aws_cdk import aws_iam as iam

from tests.worker_tier.stacks import Synthesized, actions_of, new_stack
from worker_tier import WorkerQueues

KIND = "AWS::SQS::Queue"


@pytest.fixture
def work(plain: Synthesized) -> dict[str, Any]:
    return plain.one(KIND, "QueuesQueue")


@pytest.fixture
def dead(plain: Synthesized) -> dict[str, Any]:
    return plain.one(KIND, "DeadLetterQueue")


def test_a_message_goes_to_the_dead_letter_queue_after_max_retries(
    plain: Synthesized, work: dict[str, Any]
) -> None:
    dead_id = plain.id_of(KIND, "DeadLetterQueue")
    assert work["RedrivePolicy"] == {
        "deadLetterTargetArn": {"Fn::GetAtt": [dead_id, "Arn"]},
        "maxReceiveCount": 10,
    }


def test_the_work_queue_keeps_the_times_of_the_options(work: dict[str, Any]) -> None:
    assert work["VisibilityTimeout"] == 300
    assert work["MessageRetentionPeriod"] == 345_600
    assert work["ReceiveMessageWaitTimeSeconds"] == 20


def test_dead_letters_are_kept_for_14_days(dead: dict[str, Any]) -> None:
    assert dead["MessageRetentionPeriod"] == 14 * 24 * 60 * 60


def test_nothing_may_dead_letter_into_the_work_queue(
    work: dict[str, Any], dead: dict[str, Any]
) -> None:
    assert work["RedriveAllowPolicy"] == {"redrivePermission": "denyAll"}
    assert dead["RedriveAllowPolicy"] == {"redrivePermission": "allowAll"}


def test_both_queues_are_encrypted_and_unnamed(plain: Synthesized) -> None:
    queues = plain.all(KIND)
    assert len(queues) == 2
    for properties in queues.values():
        assert properties["SqsManagedSseEnabled"] is True
        assert "QueueName" not in properties


def test_both_queues_refuse_every_request_without_tls(plain: Synthesized) -> None:
    policies = plain.all("AWS::SQS::QueuePolicy")
    guarded = set()
    for properties in policies.values():
        (statement,) = properties["PolicyDocument"]["Statement"]
        assert statement["Effect"] == "Deny"
        assert statement["Action"] == "sqs:*"
        assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
        guarded |= {queue["Ref"] for queue in properties["Queues"]}
    assert guarded == set(plain.all(KIND))


@pytest.mark.parametrize(
    ("grant", "allowed"),
    [
        ("grant_send_messages", "sqs:SendMessage"),
        ("grant_consume_messages", "sqs:ReceiveMessage"),
        ("grant_purge", "sqs:PurgeQueue"),
        ("grant_redrive", "sqs:StartMessageMoveTask"),
    ],
)
def test_grants_allow_what_they_are_named_for_and_no_wildcard(grant: str, allowed: str) -> None:
    stack = new_stack()
    queues = WorkerQueues(
        stack,
        "Queues",
        visibility_timeout=Duration.seconds(30),
        retention_period=Duration.days(4),
        max_retries=3,
    )
    role = iam.Role(stack, "Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
    getattr(queues, grant)(role).assert_success()
    statements = Synthesized(stack).statements("AWS::IAM::Policy")
    assert allowed in actions_of(statements)
    assert not any("*" in action for action in actions_of(statements))


def test_redrive_may_send_to_the_work_queue_only_and_receive_from_the_dead_letter_queue_only() -> (
    None
):
    stack = new_stack()
    queues = WorkerQueues(
        stack,
        "Queues",
        visibility_timeout=Duration.seconds(30),
        retention_period=Duration.days(4),
        max_retries=3,
    )
    role = iam.Role(stack, "Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
    queues.grant_redrive(role)
    template = Synthesized(stack)
    by_queue = {
        statement["Resource"]["Fn::GetAtt"][0]: actions_of([statement])
        for statement in template.statements("AWS::IAM::Policy")
    }
    assert by_queue[template.id_of(KIND, "QueuesQueue")] == {"sqs:SendMessage"}
    assert "sqs:ReceiveMessage" in by_queue[template.id_of(KIND, "DeadLetterQueue")]
