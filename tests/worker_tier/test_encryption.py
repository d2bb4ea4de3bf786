"""One customer key for all that is kept: who may use it, and for what."""

from __future__ import annotations

from typing import Any

import pytest
from aws_cdk import App, Duration, Environment, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs

from tests.worker_tier.imported_queue import imported
from tests.worker_tier.stacks import (
    KEY,
    QUEUE,
    Synthesized,
    actions_of,
    new_stack,
    problems_of,
    resolved,
    stack_in,
    vpc_of,
)
from worker_tier import (
    InvalidProps,
    WorkerQueues,
    WorkerTier,
)


@pytest.fixture(scope="module")
def encrypted(cron_file: str) -> Synthesized:
    stack = new_stack()
    key = kms.Key(stack, "Key", enable_key_rotation=True)
    WorkerTier(
        stack, "Worker", vpc=vpc_of(stack), encryption_key=key, periodic_tasks=cron_file
    ).grant_send_messages(
        iam.Role(stack, "Producer", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
    )
    return Synthesized(stack)


def test_one_key_encrypts_everything_that_is_stored(encrypted: Synthesized) -> None:
    key = {"Fn::GetAtt": [encrypted.id_of("AWS::KMS::Key"), "Arn"]}
    for queue in encrypted.all(QUEUE).values():
        assert queue["KmsMasterKeyId"] == key
    table = encrypted.one("AWS::DynamoDB::GlobalTable")
    assert table["SSESpecification"] == {"SSEEnabled": True, "SSEType": "KMS"}
    assert table["Replicas"][0]["SSESpecification"] == {"KMSMasterKeyId": key}
    assert encrypted.one("AWS::Logs::LogGroup")["KmsKeyId"] == key
    assert encrypted.one("AWS::SNS::Topic")["KmsMasterKeyId"] == key


def test_the_key_is_used_by_name_of_each_action_never_by_wildcard(encrypted: Synthesized) -> None:
    instances = encrypted.statements("AWS::IAM::ManagedPolicy", "FleetPolicy")
    producer = encrypted.statements("AWS::IAM::Policy", "Producer")
    for statements in (instances, producer):
        used = {action for action in actions_of(statements) if action.startswith("kms:")}
        assert {"kms:Decrypt", "kms:GenerateDataKey"} <= used
        assert not any("*" in action for action in used)


SERVICE_LINKED_ROLE = {
    "Fn::Join": [
        "",
        [
            "arn:",
            {"Ref": "AWS::Partition"},
            ":iam::",
            {"Ref": "AWS::AccountId"},
            ":role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling",
        ],
    ]
}


def test_the_key_allows_each_service_that_works_for_the_tier_once(
    encrypted: Synthesized,
) -> None:
    statements = encrypted.one("AWS::KMS::Key")["KeyPolicy"]["Statement"]
    services = [str(s["Principal"]["Service"]) for s in statements if "Service" in s["Principal"]]
    assert sum("logs." in service for service in services) == 1
    assert sum("cloudwatch." in service for service in services) == 1


def test_auto_scaling_may_use_the_key_by_the_role_that_it_publishes_as(
    encrypted: Synthesized,
) -> None:
    # a statement for the account would only delegate to policies, and that role has none on keys
    statements = encrypted.one("AWS::KMS::Key")["KeyPolicy"]["Statement"]
    (allowed,) = [s for s in statements if s["Principal"].get("AWS") == SERVICE_LINKED_ROLE]
    assert allowed["Effect"] == "Allow"
    assert set(allowed["Action"]) == {"kms:Decrypt", "kms:GenerateDataKey"}
    assert "Condition" not in allowed


# ---- by way of which service


def conditions_of(statements: list[dict[str, Any]]) -> dict[str, Any]:
    """The service by way of which each KMS action is allowed; None if by any."""
    found: dict[str, Any] = {}
    for statement in statements:
        via = statement.get("Condition", {}).get("StringLike", {}).get("kms:ViaService")
        for action in actions_of([statement]):
            if action.startswith("kms:"):
                found[action] = [*found.get(action, []), resolved(via) if via else None]
    return found


def test_instances_and_producers_use_the_key_by_way_of_a_service_only(
    encrypted: Synthesized,
) -> None:
    instances = conditions_of(encrypted.statements("AWS::IAM::ManagedPolicy", "FleetPolicy"))
    services = {via for found in instances.values() for via in found}
    assert services == {"sqs.ref-AWS-Region.*", "dynamodb.ref-AWS-Region.*"}
    assert instances["kms:GenerateDataKey"] == [
        "dynamodb.ref-AWS-Region.*",
        "sqs.ref-AWS-Region.*",
    ]
    producer = conditions_of(encrypted.statements("AWS::IAM::Policy", "Producer"))
    assert {via for found in producer.values() for via in found} == {"sqs.ref-AWS-Region.*"}


def test_every_grant_of_the_queues_is_by_way_of_sqs_in_the_region_of_the_stack() -> None:
    stack = stack_in("cn-north-1")
    key, dead_letter_key = kms.Key(stack, "Key"), kms.Key(stack, "Other")
    dead = sqs.Queue(stack, "Dead", encryption_master_key=dead_letter_key)
    tier = WorkerTier(
        stack,
        "Worker",
        vpc=vpc_of(stack),
        encryption_key=key,
        dead_letter_queue=dead,
        dead_letter_statuses=["410"],
    )
    user = iam.User(stack, "Operator")
    for grant in (tier.grant_send_messages, tier.grant_consume_messages, tier.grant_redrive):
        grant(user).assert_success()
    template = Synthesized(stack)
    for kind in ("AWS::IAM::Policy", "AWS::IAM::ManagedPolicy"):
        for properties in template.all(kind).values():
            found = conditions_of(properties["PolicyDocument"]["Statement"])
            assert {via for vias in found.values() for via in vias} <= {"sqs.cn-north-1.*"}


def test_what_the_cdk_uploaded_is_decrypted_by_way_of_s3() -> None:
    stack = stack_in("us-east-1")
    WorkerTier(stack, "Worker", vpc=vpc_of(stack), asset_key=kms.Key(stack, "Key"))
    found = conditions_of(Synthesized(stack).statements("AWS::IAM::ManagedPolicy", "FleetPolicy"))
    assert found == {"kms:Decrypt": ["s3.us-east-1.*"]}


# ---- topics


def key_statement_for_sns(template: Synthesized) -> dict[str, Any]:
    statements = template.one("AWS::KMS::Key")["KeyPolicy"]["Statement"]
    (found,) = [s for s in statements if s["Principal"].get("Service") == "sns.amazonaws.com"]
    return dict(found)


def test_a_topic_of_another_account_may_use_the_key_for_its_messages() -> None:
    stack = stack_in("us-east-1")
    tier = WorkerTier(stack, "Worker", vpc=vpc_of(stack), encryption_key=kms.Key(stack, "Key"))
    arn = "arn:aws:sns:us-east-1:999988887777:orders"
    tier.subscribe_to_topic(sns.Topic.from_topic_arn(stack, "Orders", arn))
    template = Synthesized(stack)
    allowed = key_statement_for_sns(template)
    assert set(allowed["Action"]) == {"kms:Decrypt", "kms:GenerateDataKey"}
    assert allowed["Condition"] == {
        "StringEquals": {"aws:SourceAccount": "999988887777"},
        "ArnEquals": {"aws:SourceArn": arn},
    }
    policy = template.statements("AWS::SQS::QueuePolicy", "QueuesQueuePolicy")
    (send,) = [s for s in policy if s["Effect"] == "Allow"]
    assert send["Condition"] == {"ArnEquals": {"aws:SourceArn": arn}}


def test_a_topic_that_the_same_key_encrypts_makes_no_circle() -> None:
    stack = new_stack()
    key = kms.Key(stack, "Key")
    tier = WorkerTier(stack, "Worker", vpc=vpc_of(stack), encryption_key=key)
    tier.subscribe_to_topic(sns.Topic(stack, "Topic", master_key=key))
    allowed = key_statement_for_sns(Synthesized(stack))  # which refuses circles
    assert allowed["Condition"] == {
        "StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}
    }


def test_a_topic_of_a_stack_in_another_account_is_admitted_by_that_account() -> None:
    app = App()
    here = Stack(app, "Test", env=Environment(account="111122223333", region="us-east-1"))
    there = Stack(app, "There", env=Environment(account="999988887777", region="us-east-1"))
    topic = sns.Topic(there, "Topic", topic_name="orders")
    tier = WorkerTier(here, "Worker", vpc=vpc_of(here), encryption_key=kms.Key(here, "Key"))
    tier.subscribe_to_topic(topic)
    allowed = key_statement_for_sns(Synthesized(here))
    assert allowed["Condition"] == {"StringEquals": {"aws:SourceAccount": "999988887777"}}


# ---- keys that cannot encrypt what a tier stores


@pytest.mark.parametrize(
    ("spec", "usage"),
    [
        (kms.KeySpec.RSA_2048, kms.KeyUsage.ENCRYPT_DECRYPT),
        (kms.KeySpec.ECC_NIST_P256, kms.KeyUsage.SIGN_VERIFY),
        (kms.KeySpec.HMAC_256, kms.KeyUsage.GENERATE_VERIFY_MAC),
    ],
)
def test_a_key_that_is_not_symmetric_is_refused(spec: kms.KeySpec, usage: kms.KeyUsage) -> None:
    key = kms.Key(new_stack(), "Key", key_spec=spec, key_usage=usage)
    for given in (key, key.add_alias("alias/worker")):
        (problem,) = problems_of(encryption_key=given)
        assert problem.startswith("encryption_key must be a symmetric key for encryption, got ")
        assert key.node.default_child.key_spec in problem  # type: ignore[union-attr]


def test_a_key_that_says_that_it_is_symmetric_is_taken() -> None:
    stack = new_stack()
    key = kms.Key(stack, "Key", key_spec=kms.KeySpec.SYMMETRIC_DEFAULT)
    WorkerTier(stack, "Worker", vpc=vpc_of(stack), encryption_key=key)
    assert len(Synthesized(stack).all(QUEUE)) == 2


def test_a_key_of_another_region_is_refused() -> None:
    stack = stack_in("eu-west-1")
    key = kms.Key.from_key_arn(stack, "Key", KEY)
    with pytest.raises(InvalidProps) as caught:
        WorkerTier(stack, "Worker", vpc=vpc_of(stack), encryption_key=key)
    (problem,) = caught.value.problems
    assert problem.startswith("encryption_key is in us-east-1, and the stack in eu-west-1;")
    with pytest.raises(InvalidProps, match="encryption_key is in us-east-1"):
        WorkerQueues(
            stack,
            "Queues",
            encryption_key=key,
            visibility_timeout=Duration.minutes(1),
            retention_period=Duration.days(1),
            max_retries=3,
        )


def test_a_key_of_another_account_is_taken_in_the_same_region() -> None:
    stack = stack_in("us-east-1")
    key = kms.Key.from_key_arn(stack, "Key", KEY.replace("111122223333", "444455556666"))
    WorkerTier(stack, "Worker", vpc=vpc_of(stack), encryption_key=key)
    assert "444455556666" in str(Synthesized(stack).one("AWS::Logs::LogGroup")["KmsKeyId"])


# ---- aliases


def test_an_alias_of_this_app_stands_for_its_key_because_log_groups_take_no_alias() -> None:
    stack = new_stack()
    alias = kms.Key(stack, "Key").add_alias("alias/worker")
    WorkerTier(stack, "Worker", vpc=vpc_of(stack), encryption_key=alias, asset_key=alias)
    template = Synthesized(stack)
    key = {"Fn::GetAtt": [template.id_of("AWS::KMS::Key"), "Arn"]}
    assert template.one("AWS::Logs::LogGroup")["KmsKeyId"] == key
    for queue in template.all(QUEUE).values():
        assert queue["KmsMasterKeyId"] == key
    statements = template.statements("AWS::IAM::ManagedPolicy", "FleetPolicy")
    assert {str(s["Resource"]) for s in statements if "kms" in str(s["Action"])} == {str(key)}


def test_an_imported_alias_is_refused_where_only_a_key_can_do() -> None:
    stack = new_stack()
    alias = kms.Alias.from_alias_name(stack, "Alias", "alias/worker")
    (problem,) = problems_of(encryption_key=alias)
    assert problem.startswith("encryption_key is an imported alias, but CloudWatch Logs takes")


def test_permissions_on_an_imported_alias_are_for_the_key_that_has_it() -> None:
    stack = stack_in("us-east-1")
    alias = kms.Alias.from_alias_name(stack, "Alias", "alias/assets")
    WorkerTier(
        stack,
        "Worker",
        vpc=vpc_of(stack),
        asset_key=alias,
        queue=imported(stack, encryption_key=alias, dead_letter_key=alias),
    )
    statements = Synthesized(stack).statements("AWS::IAM::ManagedPolicy", "FleetPolicy")
    found = [s for s in statements if "kms:Decrypt" in actions_of([s])]
    assert len(found) == 2  # by way of SQS and of S3
    for statement in found:
        assert resolved(statement["Resource"]).endswith(":kms:us-east-1:111122223333:key/*")
        assert statement["Condition"]["ForAnyValue:StringEquals"] == {
            "kms:ResourceAliases": "alias/assets"
        }
