"""One customer managed key for all that is stored: who may use it, and for what."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from aws_cdk import ArnFormat, Aws, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sns as sns
from constructs import Construct

from worker_tier.errors import InvalidProps

#: KMS actions that reading and writing an encrypted table needs (DynamoDB developer guide,
#: "Authorizing use of your customer managed key").
TABLE_KEY_ACTIONS: Final = (
    "kms:Decrypt",
    "kms:DescribeKey",
    "kms:Encrypt",
    "kms:GenerateDataKey",
    "kms:ReEncryptFrom",
    "kms:ReEncryptTo",
)

#: What a service needs to encrypt and decrypt with a key.
_USE_KEY: Final = ("kms:Decrypt", "kms:GenerateDataKey")
#: Condition that a service works for a resource of this account.
_SAME_ACCOUNT: Final = {"StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID}}


def grant_key(
    key: kms.IKey | None, grantee: iam.IGrantable, actions: Sequence[str], granted: iam.Grant
) -> iam.Grant:
    """Return `granted` combined with the use of `key`, or `granted` alone without a key."""
    return granted if key is None else granted.combine(key.grant(grantee, *actions))


def allow_services(scope: Construct, key: kms.IKey) -> None:
    """Let the services that work for a tier use its key, for resources of this account only.

    They are CloudWatch Logs, Auto Scaling (for its notifications) and CloudWatch (for alarms). An
    imported key stays as it is: its owner's policy needs the same statements.
    """
    for statement in (_logs_statement(scope), _auto_scaling_statement(scope), _alarms_statement()):
        key.add_to_resource_policy(statement)


def _logs_statement(scope: Construct) -> iam.PolicyStatement:
    log_groups = Stack.of(scope).format_arn(
        service="logs",
        resource="log-group",
        resource_name="*",
        arn_format=ArnFormat.COLON_RESOURCE_NAME,
    )
    return iam.PolicyStatement(
        # Named by region, and ending in .cn in China.
        principals=[
            iam.ServicePrincipal.from_static_service_principle_name(
                f"logs.{Aws.REGION}.{Aws.URL_SUFFIX}"
            )
        ],
        actions=[
            *_USE_KEY,
            "kms:Encrypt",
            "kms:DescribeKey",
            "kms:ReEncryptFrom",
            "kms:ReEncryptTo",
        ],
        resources=["*"],  # in a key's policy: that key
        conditions={"ArnLike": {"kms:EncryptionContext:aws:logs:arn": log_groups}},
    )


def _auto_scaling_statement(scope: Construct) -> iam.PolicyStatement:
    """Return a statement for Auto Scaling's service-linked role.

    Auto Scaling publishes as that role, which has no right to any customer managed key, and a
    statement for the account only hands the decision to such policies. So the role is named; it
    must exist, as in every account that had an Auto Scaling group or ran `aws iam
    create-service-linked-role --aws-service-name autoscaling.amazonaws.com`. A principal `*` with
    the role as a condition would do without it, but every scanner takes that for a public key.
    """
    role = Stack.of(scope).format_arn(
        service="iam",
        region="",
        resource="role",
        resource_name="aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling",
    )
    return iam.PolicyStatement(
        principals=[iam.ArnPrincipal(role)], actions=[*_USE_KEY], resources=["*"]
    )


def allow_alarms_to_publish(topic: sns.ITopic, *, encryption_key: kms.IKey | None = None) -> None:
    """Let alarms of this account publish to a topic.

    A topic without a policy needs nothing. A topic with `enforce_ssl` has a policy, which replaces
    SNS's default: then CloudWatch, which publishes as a service, is refused, and an alarm that
    fires notifies no one. Auto Scaling publishes as a role of the account and is allowed.

    Args:
        encryption_key: the key of the topic, which CloudWatch must be able to use. Default: the
            topic is not encrypted, or its key allows CloudWatch already.

    Raises:
        InvalidProps: the topic is imported, so its policy is out of reach.
    """
    added = topic.add_to_resource_policy(
        iam.PolicyStatement(
            principals=[iam.ServicePrincipal("cloudwatch.amazonaws.com")],
            actions=["sns:Publish"],
            resources=[topic.topic_arn],
            conditions=_SAME_ACCOUNT,
        )
    )
    if not added.statement_added:
        raise InvalidProps(
            topic.node.path,
            [
                "allow_alarms_to_publish is for a topic of this app, and this one is imported;"
                " where it is made, let cloudwatch.amazonaws.com call sns:Publish for"
                " aws:SourceAccount"
            ],
        )
    if encryption_key is not None:
        encryption_key.add_to_resource_policy(_alarms_statement())


def _alarms_statement() -> iam.PolicyStatement:
    """Return a statement of a key's policy: CloudWatch may use it, for alarms of this account."""
    return iam.PolicyStatement(
        principals=[iam.ServicePrincipal("cloudwatch.amazonaws.com")],
        actions=[*_USE_KEY],
        resources=["*"],
        conditions=_SAME_ACCOUNT,
    )


def allow_service_to_send(key: kms.IKey, service: str) -> None:
    """Let a service such as `sns.amazonaws.com` send to a queue that `key` encrypts."""
    key.add_to_resource_policy(
        iam.PolicyStatement(
            principals=[iam.ServicePrincipal(service)],
            actions=[*_USE_KEY],
            resources=["*"],
            conditions=_SAME_ACCOUNT,
        )
    )
