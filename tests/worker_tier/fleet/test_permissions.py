"""What instances may call, each action on one resource."""

from __future__ import annotations

import pytest
from aws_cdk import Aws
from aws_cdk import aws_iam as iam

from sqsd.contract import ENQUEUE_ACTIONS, QUEUE_ACTIONS
from tests.worker_tier.stacks import (
    GROUP,
    POLICY,
    Synthesized,
    actions_of,
    new_stack,
    tier_with,
    vpc_of,
)
from worker_tier import InvalidProps, WorkerTier


def test_instances_may_call_what_the_daemon_and_the_bootstrap_call_and_nothing_else(
    with_tasks: Synthesized,
) -> None:
    statements = with_tasks.statements(POLICY, "FleetPolicy")
    by_resource: dict[str, set[str]] = {}
    for statement in statements:
        by_resource.setdefault(str(statement["Resource"]), set()).update(actions_of([statement]))
    queue = with_tasks.id_of("AWS::SQS::Queue", "QueuesQueue")
    assert by_resource.pop(str({"Fn::GetAtt": [queue, "Arn"]})) == {
        *QUEUE_ACTIONS,
        *ENQUEUE_ACTIONS,
    }
    table = with_tasks.id_of("AWS::DynamoDB::GlobalTable")
    by_resource.pop(str({"Fn::GetAtt": [table, "Arn"]}))
    log_group = with_tasks.id_of("AWS::Logs::LogGroup")
    assert by_resource.pop(str({"Fn::GetAtt": [log_group, "Arn"]})) == {
        "logs:CreateLogStream",
        "logs:PutLogEvents",
    }
    # its own stack, and nothing but telling it how the boot ended and asking for its own group
    assert by_resource.pop(str({"Ref": "AWS::StackId"})) == {
        "cloudformation:DescribeStackResource",
        "cloudformation:SignalResource",
    }
    ((resource, actions),) = by_resource.items()
    assert actions == {"s3:GetObject"}
    assert ".zip" in resource


def test_no_policy_has_a_wildcard_and_the_role_has_no_policy_of_its_own(
    with_tasks: Synthesized,
) -> None:
    assert with_tasks.all("AWS::IAM::Policy") == {}
    for role in with_tasks.all("AWS::IAM::Role").values():
        assert "ManagedPolicyArns" not in role
        assert "Policies" not in role
    for policy in with_tasks.all(POLICY).values():
        for statement in policy["PolicyDocument"]["Statement"]:
            assert statement["Effect"] == "Allow"
            assert "*" not in str(statement["Action"])
            assert "*" not in str(statement["Resource"])


def test_an_instance_may_end_its_own_wait_in_its_own_group_only(plain: Synthesized) -> None:
    (statement,) = plain.statements(POLICY, "LifecyclePolicy")
    assert actions_of([statement]) == {
        "autoscaling:CompleteLifecycleAction",
        "autoscaling:RecordLifecycleActionHeartbeat",
    }
    assert statement["Resource"] == {"Fn::GetAtt": [plain.id_of(GROUP), "AutoScalingGroupARN"]}


def test_instances_boot_after_their_policy(plain: Synthesized) -> None:
    assert plain.id_of(POLICY, "FleetPolicy") in plain.resources[plain.id_of(GROUP)]["DependsOn"]


def test_a_role_made_elsewhere_gets_the_two_policies_and_no_other_is_made() -> None:
    stack = new_stack()
    role = iam.Role.from_role_arn(stack, "Own", "arn:aws:iam::111122223333:role/own")
    WorkerTier(stack, "Worker", vpc=vpc_of(stack), role=role)
    template = Synthesized(stack)
    assert template.all("AWS::IAM::Role") == {}
    assert [policy["Roles"] for policy in template.all(POLICY).values()] == [["own"], ["own"]]


def test_a_role_of_this_app_gets_the_two_policies_and_keeps_nothing_else() -> None:
    stack = new_stack()
    role = iam.Role(stack, "Own", assumed_by=iam.ServicePrincipal("ec2.amazonaws.com"))
    WorkerTier(stack, "Worker", vpc=vpc_of(stack), role=role)
    template = Synthesized(stack)
    own = {"Ref": template.id_of("AWS::IAM::Role")}
    assert [policy["Roles"] for policy in template.all(POLICY).values()] == [[own], [own]]
    assert template.all("AWS::IAM::Policy") == {}


def test_china_can_have_its_own_service_principal() -> None:
    # given that accounts differ in which of the two names they take
    principal = iam.ServicePrincipal.from_static_service_principle_name(f"ec2.{Aws.URL_SUFFIX}")
    template = tier_with(instance_principal=principal)
    (statement,) = template.one("AWS::IAM::Role")["AssumeRolePolicyDocument"]["Statement"]
    assert statement["Principal"]["Service"] == {
        "Fn::Join": ["", ["ec2.", {"Ref": "AWS::URLSuffix"}]]
    }


def test_session_manager_is_let_in_only_when_asked_for(plain: Synthesized) -> None:
    assert "ManagedPolicyArns" not in plain.one("AWS::IAM::Role")
    (arn,) = tier_with(session_manager=True).one("AWS::IAM::Role")["ManagedPolicyArns"]
    assert "AmazonSSMManagedInstanceCore" in str(arn)
    assert {"Ref": "AWS::Partition"} in arn["Fn::Join"][1]


def test_instances_may_protect_themselves_in_their_own_group_and_only_if_that_is_asked_for(
    with_tasks: Synthesized,
) -> None:
    assert "SetInstanceProtection" not in str(with_tasks.all(POLICY))
    template = tier_with(protect_busy_instance=True)
    group = template.id_of(GROUP)
    # not of the lifecycle policy, which is deleted before the group: a busy instance would stay
    assert "SetInstanceProtection" not in str(template.statements(POLICY, "LifecyclePolicy"))
    (statement,) = [
        statement
        for statement in template.statements(POLICY, "FleetPolicy")
        if "autoscaling:SetInstanceProtection" in actions_of([statement])
    ]
    assert actions_of([statement]) == {"autoscaling:SetInstanceProtection"}
    assert statement["Condition"] == {
        "StringEquals": {
            "aws:ResourceTag/aws:cloudformation:stack-id": {"Ref": "AWS::StackId"},
            "aws:ResourceTag/aws:cloudformation:logical-id": group,
        }
    }
    assert statement["Resource"]["Fn::Join"][1][-1] == ":autoScalingGroup:*:autoScalingGroupName/*"


def test_protection_for_good_and_for_a_while_exclude_each_other() -> None:
    stack = new_stack()
    with pytest.raises(InvalidProps, match="scale_in_protection protects every instance for good"):
        WorkerTier(
            stack,
            "Worker",
            vpc=vpc_of(stack),
            scale_in_protection=True,
            protect_busy_instance=True,
        )
