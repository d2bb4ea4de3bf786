"""One customer key for all that is kept: who may use it, and for what."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from aws_cdk import ArnFormat, Aws, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sns as sns
from constructs import Construct

from worker_tier.errors import InvalidProps

#: What reading and writing an encrypted table needs, each action named (DynamoDB developer guide,
#: "Authorizing use of your customer managed key").
TABLE_KEY_ACTIONS: Final = (
    "kms:Decrypt",
    "kms:DescribeKey",
    "kms:Encrypt",
    "kms:GenerateDataKey",
    "kms:ReEncryptFrom",
    "kms:ReEncryptTo",
)

_SAME_ACCOUNT: Final = {"StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID}}


def grant_key(
    key: kms.IKey | None, grantee: iam.IGrantable, actions: Sequence[str], granted: iam.Grant
) -> iam.Grant:
    """`granted`, and the use of `key` that goes with it; without a key `granted` alone."""
    return granted if key is None else granted.combine(key.grant(grantee, *actions))


def admit_services(scope: Construct, key: kms.IKey) -> None:
    """Let the services that work on a tier's behalf use its key, for this account's sake only.

    They are CloudWatch Logs, for the log group; Auto Scaling, for the topic that it notifies; and
    CloudWatch, for alarms that tell a topic of the same key. For an imported key this does nothing:
    its policy is its owner's, who needs the same statements.

    Auto Scaling publishes as its service-linked role, which has no right to any key of a customer,
    and a statement for the account only hands the decision to such policies. So the role itself is
    named; it must exist, as in every account that had an Auto Scaling group or ran `aws iam
    create-service-linked-role --aws-service-name autoscaling.amazonaws.com`. A principal `*` with
    the role as a condition would do without, and every scanner takes it for a public key.
    """
    stack = Stack.of(scope)
    use = ["kms:Decrypt", "kms:GenerateDataKey"]
    role = stack.format_arn(
        service="iam",
        region="",
        resource="role",
        resource_name="aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling",
    )
    for statement in (
        iam.PolicyStatement(
            # Named by region, and ending in .cn in China.
            principals=[
                iam.ServicePrincipal.from_static_service_principle_name(
                    f"logs.{Aws.REGION}.{Aws.URL_SUFFIX}"
                )
            ],
            actions=[
                *use,
                "kms:Encrypt",
                "kms:DescribeKey",
                "kms:ReEncryptFrom",
                "kms:ReEncryptTo",
            ],
            resources=["*"],  # in a key's policy: that key
            conditions={
                "ArnLike": {
                    "kms:EncryptionContext:aws:logs:arn": stack.format_arn(
                        service="logs",
                        resource="log-group",
                        resource_name="*",
                        arn_format=ArnFormat.COLON_RESOURCE_NAME,
                    )
                }
            },
        ),
        iam.PolicyStatement(principals=[iam.ArnPrincipal(role)], actions=use, resources=["*"]),
        _for_alarms(),
    ):
        key.add_to_resource_policy(statement)


def admit_alarms(topic: sns.ITopic, *, encryption_key: kms.IKey | None = None) -> None:
    """Let alarms of this account tell a topic.

    A topic without a policy of its own needs nothing. One with `enforce_ssl` has a policy, which
    takes the place of SNS's default: then CloudWatch, which publishes as a service, is refused, and
    an alarm that fires tells nobody. Auto Scaling publishes as a role of the account, which may.

    Args:
        encryption_key: the topic's, which CloudWatch must be let use. Default: not encrypted, or by
            a key that admits CloudWatch already.

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
                "admit_alarms is for a topic of this app, and this one is imported; where it is"
                " made, let cloudwatch.amazonaws.com call sns:Publish for aws:SourceAccount"
            ],
        )
    if encryption_key is not None:
        encryption_key.add_to_resource_policy(_for_alarms())


def _for_alarms() -> iam.PolicyStatement:
    """In a key's policy: CloudWatch, for alarms of this account."""
    return iam.PolicyStatement(
        principals=[iam.ServicePrincipal("cloudwatch.amazonaws.com")],
        actions=["kms:Decrypt", "kms:GenerateDataKey"],
        resources=["*"],
        conditions=_SAME_ACCOUNT,
    )


def admit_publisher(key: kms.IKey, service: str) -> None:
    """Let a service such as `sns.amazonaws.com` send to a queue that `key` encrypts."""
    key.add_to_resource_policy(
        iam.PolicyStatement(
            principals=[iam.ServicePrincipal(service)],
            actions=["kms:Decrypt", "kms:GenerateDataKey"],
            resources=["*"],
            conditions=_SAME_ACCOUNT,
        )
    )
