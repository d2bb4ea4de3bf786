"""One customer key for all that is kept: who may use it, and for what."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from aws_cdk import ArnFormat, Aws, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from constructs import Construct

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
    """
    stack = Stack.of(scope)
    use = ["kms:Decrypt", "kms:GenerateDataKey"]
    same_account = {"StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID}}
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
        iam.PolicyStatement(
            # Not the role itself as the principal: until an account has its first group the role
            # does not exist, and a key's policy refuses principals that do not.
            principals=[iam.AccountRootPrincipal()],
            actions=use,
            resources=["*"],
            conditions={"ArnEquals": {"aws:PrincipalArn": role}},
        ),
        iam.PolicyStatement(
            principals=[iam.ServicePrincipal("cloudwatch.amazonaws.com")],
            actions=use,
            resources=["*"],
            conditions=same_account,
        ),
    ):
        key.add_to_resource_policy(statement)


def admit_publisher(key: kms.IKey, service: str) -> None:
    """Let a service such as `sns.amazonaws.com` send to a queue that `key` encrypts."""
    key.add_to_resource_policy(
        iam.PolicyStatement(
            principals=[iam.ServicePrincipal(service)],
            actions=["kms:Decrypt", "kms:GenerateDataKey"],
            resources=["*"],
            conditions={"StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID}},
        )
    )
