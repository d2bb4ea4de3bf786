"""One customer managed key for all that is stored: who may use it, and for what."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, overload

from aws_cdk import ArnFormat, Aws, Stack, Token
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sns as sns
from constructs import Construct, IConstruct

from worker_tier.errors import InvalidProps
from worker_tier.type_checks import checked

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
#: Kind and usage of the keys by which services encrypt; both are the default of a key.
_SYMMETRIC: Final = "SYMMETRIC_DEFAULT"
_ENCRYPTING: Final = "ENCRYPT_DECRYPT"
#: Condition that a service works for a resource of this account.
_SAME_ACCOUNT: Final = {"StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID}}


#: Operator and key of the condition that a service makes the call, on behalf of the grantee.
_VIA_SERVICE: Final = ("StringLike", "kms:ViaService")


def grant_key(
    key: kms.IKey | None,
    grantee: iam.IGrantable,
    actions: Sequence[str],
    granted: iam.Grant,
    *,
    via: str,
) -> iam.Grant:
    """Return `granted` combined with the use of `key`, or `granted` alone without a key.

    Args:
        via: the service that calls KMS on behalf of the grantee, such as `sqs.us-east-1.*`
            (`via_service`): the grantee cannot use the key for anything else.
    """
    return granted if key is None else granted.combine(use_key(key, grantee, actions, via=via))


def use_key(
    key: kms.IKey, grantee: iam.IGrantable, actions: Sequence[str], *, via: str
) -> iam.Grant:
    """Allow using a key by way of one service, as for `grant_key`."""
    key = own_key(key)
    operator, name = _VIA_SERVICE
    if not is_imported_alias(key):
        used = key.grant(grantee, *actions)
        for statement in [*used.principal_statements, *used.resource_statements]:
            statement.add_condition(operator, {name: via})
        return used
    keys, alias = key.key_arn.split(":alias/", 1)
    return iam.Grant.add_to_principal(
        grantee=grantee,
        actions=[*actions],
        # A statement on an alias allows nothing; this one is for the key that has it.
        resource_arns=[f"{keys}:key/*"],
        conditions={
            operator: {name: via},
            "ForAnyValue:StringEquals": {"kms:ResourceAliases": f"alias/{alias}"},
        },
    )


def via_service(service: str, scope: IConstruct) -> str:
    """Return the value of `kms:ViaService` for a service in a stack's region.

    It ends in a wildcard, because the domain after the region is another in other partitions; AWS
    sets the value, so nothing else can match.
    """
    return f"{service}.{Stack.of(scope).region}.*"


@overload
def own_key(key: kms.IKey) -> kms.IKey: ...
@overload
def own_key(key: None) -> None: ...
def own_key(key: kms.IKey | None) -> kms.IKey | None:
    """Return the key behind an alias of this app; any other key as it is.

    CloudWatch Logs takes a key's own ARN only, and statements on an alias allow nothing.
    """
    return key.alias_target_key if isinstance(key, kms.Alias) else key


def key_problems(scope: IConstruct, key: kms.IKey | None) -> list[str]:
    """Return why a key cannot encrypt what a tier stores.

    Args:
        scope: what is encrypted, for its region. A key of another account will do.
    """
    if key is None:
        return []
    if is_imported_alias(key):
        return [
            "encryption_key is an imported alias, but CloudWatch Logs takes a key's own ARN only,"
            " and permissions on an alias allow nothing; pass the key: kms.Key.from_key_arn(...),"
            " or kms.Key.from_lookup(..., alias_name=...)"
        ]
    return [*_kind_problems(key), *_region_problems(scope, key)]


def _kind_problems(key: kms.IKey) -> Iterator[str]:
    """Yield why a key of this app cannot encrypt for services: SQS, SNS and others ask for one."""
    resource = own_key(key).node.default_child
    if not isinstance(resource, kms.CfnKey):
        return
    for kind, expected in ((resource.key_spec, _SYMMETRIC), (resource.key_usage, _ENCRYPTING)):
        if kind not in (None, expected):
            yield (
                f"encryption_key must be a symmetric key for encryption, got {kind}; make it"
                " without key_spec and key_usage"
            )
            return


def _region_problems(scope: IConstruct, key: kms.IKey) -> Iterator[str]:
    """Yield that a key is in another region, where both are known at synth."""
    here, there = Stack.of(scope).region, own_key(key).env.region
    if here != there and not Token.is_unresolved(here) and not Token.is_unresolved(there):
        yield (
            f"encryption_key is in {there}, and the stack in {here}; services take keys of their"
            f" own region only, so pass a key, or the replica of a multi-Region key, of {here}"
        )


def is_imported_alias(key: kms.IKey | None) -> bool:
    """Return whether a key is known by an alias of another app only."""
    if key is None or isinstance(key, (kms.Alias, kms.Key)):
        return False
    return ":alias/" in key.key_arn


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


@checked
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


def allow_topic_to_send(key: kms.IKey, topic: sns.ITopic) -> None:
    """Let SNS send what is published to a topic to a queue that `key` encrypts.

    The topic may belong to another account: its account is the condition, not that of the key. A
    topic of this app is not named, for it may be encrypted by the same key, and the two resources
    would then depend on each other; the queue's policy names it.
    """
    conditions: dict[str, dict[str, str]] = {
        "StringEquals": {"aws:SourceAccount": topic.env.account}
    }
    if not isinstance(topic, sns.Topic):
        conditions["ArnEquals"] = {"aws:SourceArn": topic.topic_arn}
    key.add_to_resource_policy(
        iam.PolicyStatement(
            principals=[iam.ServicePrincipal("sns.amazonaws.com")],
            actions=[*_USE_KEY],
            resources=["*"],
            conditions=conditions,
        )
    )
