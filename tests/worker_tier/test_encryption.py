"""One customer key for all that is kept: who may use it, and for what."""

from __future__ import annotations

import pytest
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms

from tests.worker_tier.stacks import (
    QUEUE,
    Synthesized,
    actions_of,
    new_stack,
    vpc_of,
)
from worker_tier import (
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
