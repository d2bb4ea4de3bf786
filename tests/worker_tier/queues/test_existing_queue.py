"""A queue that was made elsewhere: used as it is, its facts asked for and never guessed."""

from __future__ import annotations

from typing import Any

import pytest
from aws_cdk import App, CfnParameter, Duration, Environment, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sqs as sqs

from sqsd.contract import SETTINGS_PATH, SqsdOptions, TierSettings
from tests.worker_tier.imported_queue import ARN, imported
from tests.worker_tier.stacks import (
    QUEUE,
    Synthesized,
    actions_of,
    new_stack,
    problems_of,
    stack_in,
    vpc_of,
)
from worker_tier import (
    DeadLetterQueue,
    InvalidProps,
    WorkerScaling,
    WorkerTier,
)
from worker_tier_bootstrap.user_data import files_in_user_data


def test_a_queue_of_this_app_is_used_as_it_is_with_all_its_facts() -> None:
    stack = new_stack()
    dead = sqs.Queue(stack, "Dead", fifo=True)
    own = sqs.Queue(
        stack,
        "Own",
        fifo=True,
        dead_letter_queue=sqs.DeadLetterQueue(queue=dead, max_receive_count=7),
        encryption_master_key=kms.Key(stack, "Key"),
    )
    tier = WorkerTier(stack, "Worker", vpc=vpc_of(stack), queue=own)
    template = Synthesized(stack)
    assert len(template.all(QUEUE)) == 2
    assert tier.options.max_retries == 7
    assert tier.queues.fifo
    assert tier.queues.dead_letter_queue is dead
    settings = TierSettings.from_json(files_in_user_data(template.user_data())[SETTINGS_PATH])
    assert settings.resources.queue_url == f"ref-{template.id_of(QUEUE, 'Own')}"
    statements = template.statements("AWS::IAM::ManagedPolicy", "FleetPolicy")
    assert "kms:Decrypt" in actions_of(statements)


def test_an_imported_queue_is_consumed_watched_and_scaled_on_and_left_alone() -> None:
    stack = stack_in("us-east-1")
    tier = WorkerTier(stack, "Worker", vpc=vpc_of(stack), queue=imported(stack))
    template = Synthesized(stack)
    assert template.all(QUEUE) == {}
    assert template.all("AWS::SQS::QueuePolicy") == {}
    dimensions = template.one("AWS::CloudWatch::Alarm", "DeadLetters")["Dimensions"]
    assert dimensions == [{"Name": "QueueName", "Value": "orders-dead"}]
    assert template.all("AWS::AutoScaling::ScalingPolicy")
    statements = template.statements("AWS::IAM::ManagedPolicy", "FleetPolicy")
    assert ARN in [statement["Resource"] for statement in statements]
    assert tier.options.max_retries == 5


def test_facts_of_an_import_are_asked_for_and_never_guessed() -> None:
    queue = sqs.Queue.from_queue_arn(new_stack(), "Orders", ARN)
    (problem,) = problems_of(queue=queue)
    assert problem.startswith("queue is imported, so the CDK does not know")
    for fact in (
        "fifo=",
        "dead_letter_queue=",
        "max_receive_count=",
        "encryption_key=",
        "dead_letter_key=",
    ):
        assert fact in problem


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"fifo": True}, "fifo is True for the queue orders, but the names of FIFO queues"),
        (
            {"max_receive_count": None},
            "two halves of a redrive policy, got only the former",
        ),
        (
            {"dead_letter_queue": None},
            "two halves of a redrive policy, got only the latter",
        ),
        ({"max_receive_count": 1_001}, "max_receive_count must be a whole number from 1 to 1000"),
    ],
)
def test_facts_that_contradict_are_refused(facts: dict[str, Any], words: str) -> None:
    (problem,) = problems_of(queue=imported(new_stack(), **facts))
    assert words in problem


def test_an_existing_queue_without_dead_letters_is_allowed_and_has_no_alarm_on_them() -> None:
    stack = new_stack()
    queue = imported(stack, dead_letter_queue=None, max_receive_count=None)
    tier = WorkerTier(stack, "Worker", vpc=vpc_of(stack), queue=queue)
    assert "DeadLetters" not in tier.alarms
    role = iam.Role(stack, "Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
    with pytest.raises(InvalidProps, match="grant_redrive needs a dead-letter queue"):
        tier.grant_redrive(role)
    assert tier.dead_letter_queue is None
    with pytest.raises(InvalidProps, match="metric_dead_letters: there is no such queue"):
        tier.metric_dead_letters()
    (problem,) = problems_of(queue=queue, dead_letter_statuses=["410"])
    assert problem.startswith("dead_letter_statuses (410) need a dead-letter queue")
    (problem,) = problems_of(queue=queue, on_dead_letter_path="/gone")
    assert problem.startswith("on_dead_letter_path (/gone) needs a dead-letter queue")


@pytest.mark.parametrize(
    ("prop", "value"),
    [
        ("fifo", True),
        ("max_retries", 3),
        ("delivery_delay", Duration.seconds(1)),
        ("max_message_size_bytes", 2_048),
        ("dead_letter_retention_period", Duration.days(1)),
        ("enforce_ssl", True),
    ],
)
def test_what_an_existing_queue_cannot_honour_is_refused_by_name(prop: str, value: Any) -> None:
    (problem,) = problems_of(queue=imported(new_stack()), **{prop: value})
    assert problem.startswith(f"{prop} cannot be set for a queue that exists")


def test_a_queue_of_another_region_is_refused() -> None:
    stack = stack_in("eu-west-1")
    with pytest.raises(InvalidProps, match="queue is in us-east-1 and the stack in eu-west-1"):
        WorkerTier(stack, "Worker", vpc=vpc_of(stack), queue=imported(stack))


def test_a_queue_of_another_account_is_refused_unless_nothing_watches_it() -> None:
    stack = Stack(App(), "Test", env=Environment(account="444455556666", region="us-east-1"))
    queue = imported(stack)
    with pytest.raises(InvalidProps, match="belongs to account 111122223333 and the stack to 4444"):
        WorkerTier(stack, "Worker", vpc=vpc_of(stack), queue=queue)
    with pytest.raises(InvalidProps, match="so nothing would ever scale or alarm"):
        WorkerTier(
            stack, "Scales", vpc=ec2.Vpc(stack, "A"), queue=queue, scaling=WorkerScaling.none()
        )
    tier = WorkerTier(
        stack,
        "Unwatched",
        vpc=ec2.Vpc(stack, "B"),
        queue=queue,
        scaling=WorkerScaling.none(),
        alarms=False,
    )
    assert tier.alarms == {}


def test_a_number_of_receives_that_only_the_deployment_knows_is_not_compared() -> None:
    stack = new_stack()
    count = CfnParameter(stack, "Receives", type="Number").value_as_number
    dead = sqs.Queue(stack, "Dead")
    own = sqs.Queue(
        stack,
        "Own",
        dead_letter_queue=sqs.DeadLetterQueue(queue=dead, max_receive_count=count),
    )
    tier = WorkerTier(stack, "Worker", vpc=vpc_of(stack), queue=own)
    assert tier.options.max_retries == SqsdOptions().max_retries
    assert tier.dead_letter_queue is dead


def test_an_imported_dead_letter_queues_facts_are_asked_for() -> None:
    stack = new_stack()
    dead = sqs.Queue.from_queue_arn(stack, "Dead", f"{ARN}-dead")
    (problem,) = problems_of(dead_letter_queue=dead)
    assert "DeadLetterQueue.imported(queue, fifo=..., encryption_key=...)" in problem
    (problem,) = problems_of(
        fifo=True,
        dead_letter_queue=DeadLetterQueue.imported(dead, fifo=True, encryption_key=None),
    )
    assert "fifo of dead_letter_queue is True for the queue orders-dead" in problem
