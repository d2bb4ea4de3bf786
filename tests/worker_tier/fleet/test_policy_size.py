"""What is granted to a tier is deployable, however much it is."""

from __future__ import annotations

import json
from typing import Any

import jsii
import pytest
from aws_cdk import App, Aspects, IAspect, Stack
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_secretsmanager as secretsmanager
from aws_cdk.assertions import Annotations, Match
from constructs import IConstruct
from hypothesis import given
from hypothesis import strategies as st

from tests.worker_tier.stacks import (
    GROUP,
    POLICY,
    Synthesized,
    actions_of,
    fleet_alone,
    new_stack,
    vpc_of,
)
from worker_tier import WorkerTier
from worker_tier.fleet.policy_size import MAX_CHARACTERS, characters, split

#: The longest name that CloudFormation takes for a stack.
STACK = "S" * 128
#: Type -> ARN of a resource whose generated name is as long as the service takes.
ARNS = {
    "AWS::S3::Bucket": "arn:aws-us-gov:s3:::" + 63 * "b",
    "AWS::DynamoDB::GlobalTable": "arn:aws-us-gov:dynamodb:us-gov-west-1:111122223333:table/{}",
    "AWS::SecretsManager::Secret": "arn:aws-us-gov:secretsmanager:us-gov-west-1:111122223333:"
    "secret:{}-AbCdEf",
    "AWS::SQS::Queue": "arn:aws-us-gov:sqs:us-gov-west-1:111122223333:" + 80 * "q",
    "AWS::KMS::Key": "arn:aws-us-gov:kms:us-gov-west-1:111122223333:key/" + 36 * "k",
    "AWS::Logs::LogGroup": "arn:aws-us-gov:logs:us-gov-west-1:111122223333:log-group:{}:*",
}


def deployed(value: Any, template: Synthesized) -> Any:
    """A value of a template with every reference as CloudFormation resolves it, at its longest."""
    match value:
        case {"Ref": "AWS::Partition"}:
            return "aws-us-gov"
        case {"Ref": "AWS::Region"}:
            return "us-gov-west-1"
        case {"Ref": "AWS::AccountId"}:
            return "111122223333"
        case {"Ref": "AWS::URLSuffix"}:
            return "amazonaws.com.cn"
        case {"Ref": "AWS::StackId"}:
            return (
                f"arn:aws-us-gov:cloudformation:us-gov-west-1:111122223333:stack/{STACK}/"
                + "i" * 36
            )
        case {"Ref": str() as id} | {"Fn::GetAtt": [str() as id, "Arn"]}:
            name = f"{STACK[: 128 - len(id) - 14]}-{id}-{13 * 'R'}"
            return ARNS[template.resources[id]["Type"]].format(name)
        case {"Fn::Join": [separator, parts]}:
            return separator.join(str(deployed(part, template)) for part in parts)
        case {"Fn::Sub": str() as text}:
            return (
                text.replace("${AWS::AccountId}", "111122223333")
                .replace("${AWS::Region}", "us-gov-west-1")
                .replace("${AWS::Partition}", "aws-us-gov")
            )
        case dict():
            return {key: deployed(item, template) for key, item in value.items()}
        case list():
            return [deployed(item, template) for item in value]
    return value


def sizes(template: Synthesized) -> dict[str, int]:
    """Logical id of each managed policy -> characters of its document, as IAM counts them."""
    return {
        id: len(json.dumps(deployed(p["PolicyDocument"], template), separators=(",", ":")))
        for id, p in template.all(POLICY).items()
    }


def tier_with_grants(stack: Stack, number: int, **props: Any) -> WorkerTier:
    """A tier that may use so many buckets, tables and secrets."""
    tier = WorkerTier(stack, "Worker", vpc=vpc_of(stack), **props)
    for count in range(number):
        s3.Bucket(stack, f"Bucket{count}").grant_read_write(tier)
        dynamodb.TableV2(
            stack,
            f"Table{count}",
            partition_key=dynamodb.Attribute(name="id", type=dynamodb.AttributeType.STRING),
        ).grant_read_write_data(tier)
        secretsmanager.Secret(stack, f"Secret{count}").grant_read(tier)
    return tier


@pytest.mark.parametrize("minimized", [False, True])
def test_five_buckets_five_tables_and_five_secrets_are_more_than_one_policy(
    minimized: bool,
) -> None:
    stack = Stack(App(context={"@aws-cdk/aws-iam:minimizePolicies": minimized}), "Test")
    key = kms.Key(stack, "Key")
    tier_with_grants(stack, 5, encryption_key=key)
    template = Synthesized(stack)
    # then the documents are of a size that IAM takes, and one alone would not have been
    found = {id: size for id, size in sizes(template).items() if "FleetPolicy" in id}
    assert len(found) > 1
    assert max(found.values()) <= MAX_CHARACTERS
    assert sum(found.values()) > MAX_CHARACTERS
    # and the role has them all, before the first instance boots
    roles = {json.dumps(template.all(POLICY)[id]["Roles"]) for id in found}
    assert roles == {json.dumps([{"Ref": template.id_of("AWS::IAM::Role")}])}
    assert set(found) <= set(template.resources[template.id_of(GROUP)]["DependsOn"])


def test_no_statement_is_lost_and_none_is_there_twice() -> None:
    stack = new_stack()
    tier = tier_with_grants(stack, 12)
    expected = len(tier.fleet.policy.document.to_json()["Statement"])
    template = Synthesized(stack)
    statements = [
        json.dumps(statement)
        for id, properties in template.all(POLICY).items()
        if "FleetPolicy" in id
        for statement in properties["PolicyDocument"]["Statement"]
    ]
    assert len(statements) == len(set(statements)) == expected


def test_a_tier_with_few_grants_has_the_one_policy_as_before() -> None:
    stack = new_stack()
    tier_with_grants(stack, 1)
    assert len(Synthesized(stack).all(POLICY)) == 2


def test_policies_of_a_stack_that_grants_across_stacks_refer_to_the_other_stack() -> None:
    app = App()
    other, stack = Stack(app, "Data"), Stack(app, "Test")
    tier = WorkerTier(stack, "Worker", vpc=vpc_of(stack))
    for count in range(20):
        s3.Bucket(other, f"Bucket{count}").grant_read_write(tier)
    template = Synthesized(stack)
    text = json.dumps(template.all(POLICY))
    assert text.count("Fn::ImportValue") == 40
    assert len(template.all(POLICY)) > 2


def test_more_policies_than_an_account_allows_for_a_role_are_warned_of() -> None:
    stack = new_stack()
    tier_with_grants(stack, 40)
    Annotations.from_stack(stack).has_warning(
        "*", Match.string_like_regexp("needs 1[0-9] managed policies, and accounts allow 10")
    )


def test_more_policies_than_a_role_can_have_are_refused_at_synth() -> None:
    stack = Stack(App(context={"@aws-cdk/core:stackResourceLimit": 0}), "Test")
    tier = WorkerTier(stack, "Worker", vpc=vpc_of(stack))
    for count in range(60):
        tier.add_to_role_policy(
            iam.PolicyStatement(actions=["s3:GetObject"], resources=[f"arn:{count}{'x' * 2_400}"])
        )
    with pytest.raises(RuntimeError, match=r"needs \d\d managed policies, and a role may have 20"):
        Synthesized(stack)


def test_a_statement_that_no_policy_takes_is_refused_at_synth() -> None:
    stack = new_stack()
    tier = WorkerTier(stack, "Worker", vpc=vpc_of(stack))
    tier.add_to_role_policy(
        iam.PolicyStatement(
            actions=["s3:GetObject"], resources=[f"arn:aws:s3:::bucket-{n}/*" for n in range(300)]
        )
    )
    with pytest.raises(RuntimeError, match=r"a statement of \d+ characters is granted"):
        Synthesized(stack)


def test_a_role_that_is_not_to_be_changed_gets_no_policy() -> None:
    stack = new_stack()
    role = iam.Role.from_role_arn(stack, "R", "arn:aws:iam::111122223333:role/r", mutable=False)
    tier_with_grants(stack, 8, role=role)
    policies = Synthesized(stack).all(POLICY)
    assert len(policies) > 2
    assert all("Roles" not in properties for properties in policies.values())


def test_a_fleet_alone_may_signal_and_so_its_policy_is_not_empty() -> None:
    stack = new_stack()
    fleet_alone(stack)
    statements = Synthesized(stack).statements(POLICY, "FleetPolicy")
    assert "cloudformation:SignalResource" in actions_of(statements)


def test_an_aspect_that_grants_is_counted() -> None:
    stack = new_stack()
    tier = WorkerTier(stack, "Worker", vpc=vpc_of(stack))
    Aspects.of(stack).add(_Granting(tier))
    assert len(Synthesized(stack).all(POLICY)) > 2


@jsii.implements(IAspect)
class _Granting:
    """An aspect of an organization that grants much to every fleet."""

    def __init__(self, tier: WorkerTier) -> None:
        self._tier = tier

    @jsii.member(jsii_name="visit")
    def visit(self, node: IConstruct) -> None:
        if node.node.path == self._tier.fleet.policy.node.path:
            for count in range(50):
                self._tier.add_to_role_policy(
                    iam.PolicyStatement(actions=["s3:GetObject"], resources=[f"{count}{'x' * 200}"])
                )


@given(st.lists(st.integers(1, 7_000), max_size=40))
def test_documents_hold_all_statements_in_order_and_none_is_too_long(lengths: list[int]) -> None:
    statements = [{"Effect": "Allow", "Resource": "x" * length} for length in lengths]
    documents = split(statements)
    assert [statement for document in documents for statement in document] == statements
    for document in documents:
        size = len(
            json.dumps({"Version": "2012-10-17", "Statement": document}, separators=(",", ":"))
        )
        assert size <= MAX_CHARACTERS or len(document) == 1
    assert all(documents) or not statements


def test_values_known_at_deployment_count_at_their_longest() -> None:
    token = "${Token[TOKEN.12]}"
    assert characters({"Resource": token}) == len('{"Resource":""}') + 200 + 1
    region = "arn:${Token[AWS.Partition.3]}:x"
    assert characters({"Resource": region}) == len('{"Resource":"arn::x"}') + 10 + 1
