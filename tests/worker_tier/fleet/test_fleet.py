from __future__ import annotations

import json
from typing import Any

import pytest
from aws_cdk import Duration, Size, aws_autoscaling
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_ec2 as ec2
from hypothesis import given
from hypothesis import strategies as st

from sqsd.instance.watcher import HEARTBEAT_SECONDS
from tests.worker_tier.stacks import (
    GROUP,
    POLICY,
    Synthesized,
    actions_of,
    fleet_alone,
    new_stack,
    problems_of,
    synthesize,
    tier_with,
    vpc_of,
)
from worker_tier import InvalidProps, WorkerTier
from worker_tier.fleet.updates import hook_heartbeat_seconds
from worker_tier_bootstrap import paths
from worker_tier_bootstrap.user_data import files_in_user_data


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
    assert hook["HeartbeatTimeout"] == 120


@given(st.integers(0, 11_940))
def test_a_silent_daemon_holds_up_a_deletion_for_two_minutes_and_one_that_beats_is_waited_for(
    drain: int,
) -> None:
    heartbeat = hook_heartbeat_seconds(drain)
    assert 30 <= heartbeat <= 120
    # several beats may be lost, and Auto Scaling's hundred renewals outlast the longest drain
    assert heartbeat >= 3 * HEARTBEAT_SECONDS
    assert 100 * heartbeat > drain


@pytest.mark.parametrize(
    ("drain", "heartbeat"),
    [
        (7_200, 120),
        (11_940, 120),  # 3 h 19 min, and a minute's margin: a hundred renewals of two minutes
        (11_941, 121),
        (14 * 3_600, 505),
        (172_800, 1_729),
    ],
)
def test_the_hook_s_heartbeat_grows_only_with_drains_that_two_minutes_cannot_serve(
    drain: int, heartbeat: int
) -> None:
    assert hook_heartbeat_seconds(drain) == heartbeat
    # Auto Scaling's limits: two hours for a heartbeat, 48 hours for a hook
    assert heartbeat <= 7_200
    assert min(100 * heartbeat, 172_800) >= drain


def test_every_drain_that_the_contract_takes_can_be_renewed_for() -> None:
    template = tier_with(drain_timeout=Duration.hours(2))
    (hook,) = template.one(GROUP)["LifecycleHookSpecificationList"]
    assert hook["HeartbeatTimeout"] == 120
    (statement,) = template.statements(POLICY, "LifecyclePolicy")
    assert "autoscaling:RecordLifecycleActionHeartbeat" in actions_of([statement])


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
    (deny,) = [s for s in plain.statements("AWS::SNS::TopicPolicy") if s["Effect"] == "Deny"]
    assert deny["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


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
    # each new instance gets its warm-up, so that not all of them boot at once
    assert rolling["PauseTime"] == "PT2M"
    assert instance_of(may_sleep)["awaited"] is False


def test_an_instance_refresh_is_taken_with_its_alarms() -> None:
    stack = new_stack()
    alarm = cloudwatch.Alarm(
        stack,
        "Errors",
        metric=cloudwatch.Metric(namespace="Mine", metric_name="Errors"),
        threshold=1,
        evaluation_periods=1,
    )
    policy = aws_autoscaling.UpdatePolicy.instance_refresh(
        strategy=aws_autoscaling.InstanceRefreshStrategy.ROLLING, alarms=[alarm]
    )
    WorkerTier(stack, "Worker", vpc=vpc_of(stack), update_policy=policy)
    template = Synthesized(stack)
    update = template.resources[template.id_of(GROUP)]["UpdatePolicy"]
    assert "AutoScalingRollingUpdate" not in update
    assert template.id_of("AWS::CloudWatch::Alarm", "Errors") in str(update)


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


def test_the_signal_names_the_stack_by_pseudo_parameter(plain: Synthesized) -> None:
    # given a template that is deployed under another name
    instance = instance_of(plain)
    # then the instance signals the stack it is in
    assert instance["stack"] == "ref-AWS-StackId"
    assert instance["resource"] == plain.id_of(GROUP)


def instance_of(template: Synthesized) -> dict[str, Any]:
    """Return what an instance knows of itself."""
    document: dict[str, Any] = json.loads(files_in_user_data(template.user_data())[paths.INSTANCE])
    return document


def test_a_single_instance_has_neither_alarms_nor_policies_nor_a_second_instance() -> None:
    template = tier_with(single_instance=True)
    assert (template.one(GROUP)["MinSize"], template.one(GROUP)["MaxSize"]) == ("1", "1")
    assert template.all("AWS::CloudWatch::Alarm") == {}
    assert template.all("AWS::AutoScaling::ScalingPolicy") == {}


def test_a_single_instance_can_have_the_alarms_for_people() -> None:
    template = tier_with(single_instance=True, alarms=True)
    assert len(template.all("AWS::CloudWatch::Alarm")) == 4


def test_a_single_instance_has_no_bounds_to_choose() -> None:
    (problem,) = problems_of(single_instance=True, max_capacity=2)
    assert problem.startswith("max_capacity cannot be set with single_instance")


def test_instances_are_checked_to_their_volumes(group: dict[str, Any]) -> None:
    assert group["HealthCheckType"] == "EBS"


def test_life_protection_hops_volume_and_monitoring_can_be_chosen() -> None:
    template = tier_with(
        max_instance_lifetime=Duration.days(7),
        scale_in_protection=True,
        http_put_response_hop_limit=2,
        root_volume_size=Size.gibibytes(20),
        detailed_monitoring=False,
        default_instance_warmup=Duration.minutes(5),
    )
    group = template.one(GROUP)
    assert group["MaxInstanceLifetime"] == 604_800
    assert group["NewInstancesProtectedFromScaleIn"] is True
    assert group["DefaultInstanceWarmup"] == 300
    data = template.one("AWS::EC2::LaunchTemplate")["LaunchTemplateData"]
    assert data["MetadataOptions"]["HttpPutResponseHopLimit"] == 2
    assert data["BlockDeviceMappings"][0]["Ebs"]["VolumeSize"] == 20
    assert data["Monitoring"] == {"Enabled": False}


@pytest.mark.parametrize(
    ("props", "words"),
    [
        ({"max_instance_lifetime": Duration.hours(1)}, "max_instance_lifetime (s) must be"),
        ({"http_put_response_hop_limit": 65}, "http_put_response_hop_limit must be"),
        ({"root_volume_size": Size.mebibytes(1_500)}, "root_volume_size must be a whole number"),
        ({"default_instance_warmup": Duration.days(2)}, "default_instance_warmup (seconds) must"),
    ],
)
def test_a_fleets_prop_out_of_range_is_refused_by_name(props: dict[str, Any], words: str) -> None:
    (problem,) = problems_of(**props)
    assert words in problem


def test_deployments_can_go_another_way() -> None:
    policy = aws_autoscaling.UpdatePolicy.replacing_update()
    template = tier_with(update_policy=policy)
    update = template.resources[template.id_of(GROUP)]["UpdatePolicy"]
    assert update["AutoScalingReplacingUpdate"] == {"WillReplace": True}
    assert "AutoScalingRollingUpdate" not in update


def test_a_fleet_alone_reports_its_problems_with_its_path() -> None:
    stack = new_stack()
    with pytest.raises(InvalidProps, match=r"Test/Fleet cannot be built(?s:.*)max_instance_life"):
        fleet_alone(stack, max_instance_lifetime=Duration.seconds(1))
