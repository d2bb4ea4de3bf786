from __future__ import annotations

from typing import Any

import pytest
from aws_cdk import App, Duration, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs

from tests.worker_tier.imported_queue import imported
from tests.worker_tier.stacks import (
    QUEUE,
    Synthesized,
    actions_of,
    new_stack,
    problems_of,
    stack_in,
    tier_with,
    vpc_of,
)
from worker_tier import (
    DeadLetterQueue,
    InvalidProps,
    WorkerQueues,
    WorkerTier,
)


@pytest.fixture
def work(plain: Synthesized) -> dict[str, Any]:
    return plain.one(QUEUE, "QueuesQueue")


@pytest.fixture
def dead(plain: Synthesized) -> dict[str, Any]:
    return plain.one(QUEUE, "DeadLetterQueue")


def test_a_message_goes_to_the_dead_letter_queue_after_max_retries(
    plain: Synthesized, work: dict[str, Any]
) -> None:
    dead_id = plain.id_of(QUEUE, "DeadLetterQueue")
    assert work["RedrivePolicy"] == {
        "deadLetterTargetArn": {"Fn::GetAtt": [dead_id, "Arn"]},
        "maxReceiveCount": 10,
    }


def test_the_work_queue_keeps_the_times_of_the_options(work: dict[str, Any]) -> None:
    assert work["VisibilityTimeout"] == 300
    assert work["MessageRetentionPeriod"] == 345_600
    assert work["ReceiveMessageWaitTimeSeconds"] == 20


def test_dead_letters_are_retained_for_14_days(dead: dict[str, Any]) -> None:
    assert dead["MessageRetentionPeriod"] == 14 * 24 * 60 * 60


def test_nothing_may_dead_letter_into_the_work_queue(
    work: dict[str, Any], dead: dict[str, Any]
) -> None:
    assert work["RedriveAllowPolicy"] == {"redrivePermission": "denyAll"}
    assert dead["RedriveAllowPolicy"] == {"redrivePermission": "allowAll"}


def test_both_queues_are_encrypted_and_unnamed(plain: Synthesized) -> None:
    queues = plain.all(QUEUE)
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
    assert guarded == set(plain.all(QUEUE))


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
    assert by_queue[template.id_of(QUEUE, "QueuesQueue")] == {"sqs:SendMessage"}
    assert "sqs:ReceiveMessage" in by_queue[template.id_of(QUEUE, "DeadLetterQueue")]


# ---- what can be chosen


def test_a_fifo_queue_has_a_fifo_dead_letter_queue() -> None:
    template = tier_with(
        fifo=True,
        content_based_deduplication=True,
        deduplication_scope=sqs.DeduplicationScope.MESSAGE_GROUP,
        fifo_throughput_limit=sqs.FifoThroughputLimit.PER_MESSAGE_GROUP_ID,
    )
    work = template.one(QUEUE, "QueuesQueue")
    assert work["FifoQueue"] is True
    assert work["ContentBasedDeduplication"] is True
    assert work["DeduplicationScope"] == "messageGroup"
    assert work["FifoThroughputLimit"] == "perMessageGroupId"
    assert template.one(QUEUE, "DeadLetterQueue")["FifoQueue"] is True


def test_every_other_attribute_of_a_queue_can_be_set() -> None:
    template = tier_with(
        delivery_delay=Duration.seconds(30),
        max_message_size_bytes=65_536,
        dead_letter_retention_period=Duration.days(7),
        receive_message_wait_time=Duration.seconds(5),
        redrive_allow_policy=sqs.RedriveAllowPolicy(
            redrive_permission=sqs.RedrivePermission.ALLOW_ALL
        ),
        enforce_ssl=False,
        max_retries=3,
    )
    work = template.one(QUEUE, "QueuesQueue")
    assert (work["DelaySeconds"], work["MaximumMessageSize"]) == (30, 65_536)
    assert work["ReceiveMessageWaitTimeSeconds"] == 5
    assert work["RedriveAllowPolicy"] == {"redrivePermission": "allowAll"}
    assert work["RedrivePolicy"]["maxReceiveCount"] == 3
    assert template.one(QUEUE, "DeadLetterQueue")["MessageRetentionPeriod"] == 604_800
    assert template.all("AWS::SQS::QueuePolicy") == {}


@pytest.mark.parametrize(
    ("props", "words"),
    [
        ({"delivery_delay": Duration.minutes(16)}, "delivery_delay (s) must be"),
        ({"max_message_size_bytes": 100}, "max_message_size_bytes must be"),
        ({"dead_letter_retention_period": Duration.days(15)}, "dead_letter_retention_period (s)"),
        ({"content_based_deduplication": True}, "is for FIFO queues, and fifo is not True"),
        ({"dead_letter_statuses": ["200"]}, "dead_letter_statuses must not hold 200"),
        ({"receive_message_wait_time": Duration.seconds(21)}, "receive_message_wait_time (s) must"),
        ({"data_key_reuse": Duration.hours(1)}, "data_key_reuse is about a key of yours"),
        (
            {
                "fifo": True,
                "fifo_throughput_limit": sqs.FifoThroughputLimit.PER_MESSAGE_GROUP_ID,
            },
            "together with deduplication_scope=DeduplicationScope.MESSAGE_GROUP only",
        ),
        (
            {"dead_letter_retention_period": Duration.days(3)},
            "dead_letter_retention_period (259200 s) must not be below retention_period (345600 s)",
        ),
        (
            {
                "dead_letter_retention_period": Duration.days(4),
                "retention_period": Duration.days(5),
            },
            "must not be below retention_period (432000 s)",
        ),
    ],
)
def test_a_queues_prop_that_cannot_be_used_is_reported_by_name(
    props: dict[str, Any], words: str
) -> None:
    (problem,) = problems_of(**props)
    assert words in problem


def test_a_fifo_queues_dead_letters_count_their_time_anew() -> None:
    template = tier_with(fifo=True, dead_letter_retention_period=Duration.days(1))
    assert template.one(QUEUE, "DeadLetterQueue")["MessageRetentionPeriod"] == 86_400


def test_a_data_key_can_be_reused_for_longer() -> None:
    stack = new_stack()
    WorkerTier(
        stack,
        "Worker",
        vpc=vpc_of(stack),
        encryption_key=kms.Key(stack, "Key"),
        data_key_reuse=Duration.hours(12),
    )
    for queue in Synthesized(stack).all(QUEUE).values():
        assert queue["KmsDataKeyReusePeriodSeconds"] == 43_200


def test_a_dead_letter_queue_of_ones_own_is_used_and_must_be_of_the_same_kind() -> None:
    stack = new_stack()
    own = sqs.Queue(stack, "Own")
    WorkerTier(stack, "Worker", vpc=vpc_of(stack), dead_letter_queue=own)
    template = Synthesized(stack)
    assert len(template.all(QUEUE)) == 2
    redrive = template.one(QUEUE, "QueuesQueue")["RedrivePolicy"]
    assert redrive["deadLetterTargetArn"] == {"Fn::GetAtt": [template.id_of(QUEUE, "Own"), "Arn"]}
    fifo = sqs.Queue(stack, "Fifo", fifo=True)
    (problem,) = problems_of(dead_letter_queue=fifo)
    assert problem.startswith("dead_letter_queue is a FIFO queue, but the work queue is a standard")


# ---- dead letters elsewhere, or nowhere


def test_a_work_queue_can_do_without_dead_letters() -> None:
    stack = new_stack()
    tier = WorkerTier(
        stack, "Worker", vpc=vpc_of(stack), dead_letter_queue=DeadLetterQueue.none(), dashboard=True
    )
    template = Synthesized(stack)
    assert "RedrivePolicy" not in template.one(QUEUE)
    assert tier.dead_letter_queue is None
    assert "DeadLetters" not in tier.alarms


@pytest.mark.parametrize(
    ("props", "words"),
    [
        ({"max_retries": 3}, "max_retries counts receives before the dead-letter queue"),
        ({"dead_letter_statuses": ["410"]}, "dead_letter_statuses (410) need a dead-letter"),
        ({"on_dead_letter_path": "/gone"}, "on_dead_letter_path (/gone) needs a dead-letter queue"),
        ({"dead_letter_retention_period": Duration.days(9)}, "dead_letter_retention_period is for"),
    ],
)
def test_what_needs_dead_letters_is_refused_without_them(props: dict[str, Any], words: str) -> None:
    (problem,) = problems_of(dead_letter_queue=DeadLetterQueue.none(), **props)
    assert problem.startswith(words)


@pytest.mark.parametrize("how", ["owned", "described"])
def test_a_dead_letter_queue_with_a_key_of_its_own_can_be_used(how: str) -> None:
    # given a daemon that sends to it, and an operator who redrives from it
    stack = new_stack()
    work_key, dead_key = kms.Key(stack, "WorkKey"), kms.Key(stack, "DeadKey")
    props: dict[str, Any] = {"encryption_key": work_key}
    if how == "owned":
        props["dead_letter_queue"] = sqs.Queue(stack, "Dead", encryption_master_key=dead_key)
    else:
        props = {"queue": imported(stack, encryption_key=work_key, dead_letter_key=dead_key)}
    tier = WorkerTier(
        stack, "Worker", vpc=vpc_of(stack), dead_letter_statuses=["410"], alarms=False, **props
    )
    operator = iam.Role(stack, "Operator", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
    tier.grant_redrive(operator)
    # then both may use both keys
    template = Synthesized(stack)
    of_dead = {"Fn::GetAtt": [template.id_of("AWS::KMS::Key", "DeadKey"), "Arn"]}
    of_work = {"Fn::GetAtt": [template.id_of("AWS::KMS::Key", "WorkKey"), "Arn"]}
    both = {"kms:Decrypt", "kms:GenerateDataKey"}
    instances = template.statements("AWS::IAM::ManagedPolicy", "FleetPolicy")
    assert actions_on(instances, of_dead) == both
    people = template.statements("AWS::IAM::Policy", "Operator")
    assert actions_on(people, of_dead) == {"kms:Decrypt"}
    assert actions_on(people, of_work) == both


def actions_on(statements: list[dict[str, Any]], resource: dict[str, Any]) -> set[str]:
    return actions_of([s for s in statements if s["Resource"] == resource])


# ---- topics


def test_a_topic_of_another_stack_that_uses_the_tier_can_be_subscribed_to_without_a_cycle() -> None:
    # given a stack that grants on the tier's queue, and holds the topic
    app = App()
    workers, producers = Stack(app, "Workers"), Stack(app, "Producers")
    key = kms.Key(workers, "Key")
    tier = WorkerTier(workers, "Worker", vpc=vpc_of(workers), encryption_key=key)
    topic = sns.Topic(producers, "Topic")
    tier.subscribe_to_topic(
        topic, filter_policy={"kind": sns.SubscriptionFilter.string_filter(allowlist=["order"])}
    )
    # then the tier's stack needs the topic's, and not the other way round
    template = Synthesized(workers)
    subscription = template.one("AWS::SNS::Subscription")
    assert subscription["FilterPolicy"] == {"kind": ["order"]}
    assert subscription["RawMessageDelivery"] is True
    assert producers not in workers.dependencies or workers not in producers.dependencies
    policy = template.one("AWS::SQS::QueuePolicy", "QueuesQueuePolicy")
    (allow,) = [s for s in policy["PolicyDocument"]["Statement"] if s["Effect"] == "Allow"]
    assert allow["Principal"] == {"Service": "sns.amazonaws.com"}
    assert "aws:SourceArn" in allow["Condition"]["ArnEquals"]


def test_a_topic_cannot_be_subscribed_to_for_an_imported_queue() -> None:
    stack = stack_in("us-east-1")
    tier = WorkerTier(stack, "Worker", vpc=vpc_of(stack), queue=imported(stack))
    with pytest.raises(InvalidProps, match="subscribe where the queue is made"):
        tier.subscribe_to_topic(sns.Topic(stack, "Topic"))


def test_a_standard_topic_cannot_send_into_a_fifo_queue() -> None:
    stack = new_stack()
    tier = WorkerTier(stack, "Worker", vpc=vpc_of(stack), fifo=True)
    with pytest.raises(InvalidProps, match="SNS delivers into FIFO queues from FIFO topics only"):
        tier.subscribe_to_topic(sns.Topic(stack, "Standard"))
    tier.subscribe_to_topic(sns.Topic(stack, "Fifo", fifo=True))
    assert len(Synthesized(stack).all("AWS::SNS::Subscription")) == 1
