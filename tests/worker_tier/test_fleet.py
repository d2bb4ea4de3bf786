from __future__ import annotations

from typing import Any

import pytest
from aws_cdk import Duration
from aws_cdk import aws_ec2 as ec2
from hypothesis import given
from hypothesis import strategies as st

from sqsd.contract import ENQUEUE_ACTIONS, QUEUE_ACTIONS
from tests.worker_tier.stacks import Synthesized, actions_of, synthesize, vpc_of
from worker_tier import WorkerTier
from worker_tier.fleet import hook_heartbeat_seconds

GROUP = "AWS::AutoScaling::AutoScalingGroup"
POLICY = "AWS::IAM::ManagedPolicy"


@pytest.fixture
def group(plain: Synthesized) -> dict[str, Any]:
    return plain.one(GROUP)


@pytest.fixture
def launch_data(plain: Synthesized) -> dict[str, Any]:
    data: dict[str, Any] = plain.one("AWS::EC2::LaunchTemplate")["LaunchTemplateData"]
    return data


def test_instances_come_from_a_launch_template_never_from_a_launch_configuration(
    plain: Synthesized, group: dict[str, Any]
) -> None:
    assert plain.all("AWS::AutoScaling::LaunchConfiguration") == {}
    id = plain.id_of("AWS::EC2::LaunchTemplate")
    assert group["LaunchTemplate"]["LaunchTemplateId"] == {"Ref": id}
    assert group["LaunchTemplate"]["Version"] == {"Fn::GetAtt": [id, "LatestVersionNumber"]}


def test_instances_are_small_gravitons_with_the_newest_amazon_linux_2023(
    plain: Synthesized, launch_data: dict[str, Any]
) -> None:
    assert launch_data["InstanceType"] == "t4g.small"
    parameter = plain.document["Parameters"][launch_data["ImageId"]["Ref"]]
    assert parameter["Default"].startswith("/aws/service/ami-amazon-linux-latest/al2023-ami-kernel")
    assert parameter["Default"].endswith("-arm64")


def test_the_image_follows_the_instance_types_processor() -> None:
    template = synthesize(
        lambda stack: WorkerTier(
            stack, "Worker", vpc=vpc_of(stack), instance_type=ec2.InstanceType("m7i.large")
        )
    )
    image = template.one("AWS::EC2::LaunchTemplate")["LaunchTemplateData"]["ImageId"]["Ref"]
    assert template.document["Parameters"][image]["Default"].endswith("-x86_64")


def test_the_metadata_service_wants_a_token_and_answers_the_instance_only(
    launch_data: dict[str, Any],
) -> None:
    assert launch_data["MetadataOptions"] == {
        "HttpTokens": "required",
        "HttpPutResponseHopLimit": 1,
    }


def test_the_root_volume_is_encrypted_and_goes_with_the_instance(
    launch_data: dict[str, Any],
) -> None:
    (volume,) = launch_data["BlockDeviceMappings"]
    assert volume["Ebs"] == {
        "Encrypted": True,
        "DeleteOnTermination": True,
        "VolumeSize": 8,
        "VolumeType": "gp3",
    }


def test_instances_are_monitored_in_detail(launch_data: dict[str, Any]) -> None:
    assert launch_data["Monitoring"] == {"Enabled": True}


def test_nothing_can_connect_to_an_instance(plain: Synthesized) -> None:
    security_group = plain.one("AWS::EC2::SecurityGroup")
    assert "SecurityGroupIngress" not in security_group
    assert plain.all("AWS::EC2::SecurityGroupIngress") == {}
    assert security_group["GroupDescription"]
    assert all(rule["Description"] for rule in security_group["SecurityGroupEgress"])


def test_the_group_has_bounds_and_no_desired_capacity(group: dict[str, Any]) -> None:
    assert (group["MinSize"], group["MaxSize"]) == ("1", "4")
    assert "DesiredCapacity" not in group
    assert "AutoScalingGroupName" not in group


def test_the_group_publishes_its_metrics_which_scaling_reads(group: dict[str, Any]) -> None:
    assert group["MetricsCollection"] == [{"Granularity": "1Minute"}]


def test_the_oldest_version_goes_first(group: dict[str, Any]) -> None:
    assert group["TerminationPolicies"] == ["OldestLaunchTemplate", "Default"]


def test_a_leaving_instance_is_waited_for_from_the_first_one_on(group: dict[str, Any]) -> None:
    (hook,) = group["LifecycleHookSpecificationList"]
    assert hook["LifecycleTransition"] == "autoscaling:EC2_INSTANCE_TERMINATING"
    assert hook["DefaultResult"] == "CONTINUE"
    assert hook["HeartbeatTimeout"] == 360


@given(st.integers(0, 7_200))
def test_the_hook_waits_at_least_as_long_as_the_drain_within_ec2s_limits(drain: int) -> None:
    assert max(30, drain) <= hook_heartbeat_seconds(drain) <= 7_200


def test_all_four_notifications_are_sent_to_a_topic_that_takes_tls_only(
    plain: Synthesized, group: dict[str, Any]
) -> None:
    (notification,) = group["NotificationConfigurations"]
    assert set(notification["NotificationTypes"]) == {
        "autoscaling:EC2_INSTANCE_LAUNCH",
        "autoscaling:EC2_INSTANCE_LAUNCH_ERROR",
        "autoscaling:EC2_INSTANCE_TERMINATE",
        "autoscaling:EC2_INSTANCE_TERMINATE_ERROR",
    }
    assert notification["TopicARN"] == {"Ref": plain.id_of("AWS::SNS::Topic")}
    (statement,) = plain.statements("AWS::SNS::TopicPolicy")
    assert statement["Effect"] == "Deny"
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_a_deployment_waits_for_the_signal_of_each_instance(plain: Synthesized) -> None:
    resource = plain.resources[plain.id_of(GROUP)]
    assert resource["CreationPolicy"] == {"ResourceSignal": {"Count": 1, "Timeout": "PT10M"}}
    rolling = resource["UpdatePolicy"]["AutoScalingRollingUpdate"]
    assert rolling["WaitOnResourceSignals"] is True
    assert rolling["PauseTime"] == "PT10M"
    assert rolling["MinInstancesInService"] == 1
    assert rolling["MaxBatchSize"] == 1
    assert "AlarmNotification" in rolling["SuspendProcesses"]


def test_a_fleet_that_may_be_empty_waits_for_no_signal_and_sends_none(
    may_sleep: Synthesized,
) -> None:
    resource = may_sleep.resources[may_sleep.id_of(GROUP)]
    assert "CreationPolicy" not in resource
    rolling = resource["UpdatePolicy"]["AutoScalingRollingUpdate"]
    assert "WaitOnResourceSignals" not in rolling
    assert rolling["MinInstancesInService"] == 0
    assert "readonly awaited='false'" in may_sleep.user_data()


def test_a_fleet_of_one_size_can_still_be_replaced() -> None:
    template = synthesize(
        lambda stack: WorkerTier(
            stack,
            "Worker",
            vpc=vpc_of(stack),
            min_capacity=2,
            max_capacity=2,
            signal_timeout=Duration.minutes(20),
        )
    )
    resource = template.resources[template.id_of(GROUP)]
    assert resource["CreationPolicy"]["ResourceSignal"] == {"Count": 2, "Timeout": "PT20M"}
    rolling = resource["UpdatePolicy"]["AutoScalingRollingUpdate"]
    assert rolling["MinInstancesInService"] == 1


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


def test_the_signal_names_the_stack_by_pseudo_parameter(plain: Synthesized) -> None:
    # given a template that somebody deploys under another name
    script = plain.user_data()
    # then the instance signals the stack it is in
    assert "readonly stack='ref-AWS-StackName'" in script
    assert f"readonly resource='{plain.id_of(GROUP)}'" in script
