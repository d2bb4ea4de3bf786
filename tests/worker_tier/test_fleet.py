from __future__ import annotations

import json
from typing import Any

import pytest
from aws_cdk import Aws, Duration, Size, aws_autoscaling
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from hypothesis import given
from hypothesis import strategies as st

from sqsd.contract import ENQUEUE_ACTIONS, QUEUE_ACTIONS
from sqsd.service.lifecycle import HEARTBEAT_SECONDS
from tests.worker_tier.stacks import (
    Synthesized,
    actions_of,
    new_stack,
    problems_of,
    stack_in,
    synthesize,
    tier_with,
    vpc_of,
)
from worker_tier import InvalidProps, WorkerCapacity, WorkerFleet, WorkerMachineImage, WorkerTier
from worker_tier.bootstrap import files_in_user_data
from worker_tier.updates import hook_heartbeat_seconds
from worker_tier_bootstrap.contract import INSTANCE_PATH

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
    assert hook["HeartbeatTimeout"] == 120


@given(st.integers(0, 7_200))
def test_a_silent_daemon_holds_up_a_deletion_for_two_minutes_and_one_that_beats_is_waited_for(
    drain: int,
) -> None:
    heartbeat = hook_heartbeat_seconds(drain)
    assert 30 <= heartbeat <= 120
    # several beats may be lost, and Auto Scaling's hundred renewals outlast the longest drain
    assert heartbeat >= 3 * HEARTBEAT_SECONDS
    assert 100 * heartbeat > drain


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


def test_the_signal_names_the_stack_by_pseudo_parameter(plain: Synthesized) -> None:
    # given a template that somebody deploys under another name
    instance = instance_of(plain)
    # then the instance signals the stack it is in
    assert instance["stack"] == "ref-AWS-StackId"
    assert instance["resource"] == plain.id_of(GROUP)


def instance_of(template: Synthesized) -> dict[str, Any]:
    """What an instance is told of itself."""
    document: dict[str, Any] = json.loads(files_in_user_data(template.user_data())[INSTANCE_PATH])
    return document


# ---- what can be chosen

SPOT = WorkerCapacity.spot(
    [ec2.InstanceType("t4g.small"), ec2.InstanceType("m7g.medium")], on_demand_base=1
)


def test_spot_spreads_over_types_and_replaces_instances_at_risk_before_they_go() -> None:
    template = tier_with(capacity=SPOT)
    group = template.one(GROUP)
    policy = group["MixedInstancesPolicy"]
    assert "LaunchTemplate" not in group
    overrides = policy["LaunchTemplate"]["Overrides"]
    assert [override["InstanceType"] for override in overrides] == ["t4g.small", "m7g.medium"]
    assert policy["InstancesDistribution"] == {
        "OnDemandBaseCapacity": 1,
        "OnDemandPercentageAboveBaseCapacity": 0,
        "SpotAllocationStrategy": "price-capacity-optimized",
    }
    assert group["CapacityRebalance"] is True
    # the hook, the signals and the metrics are the same as on demand
    assert group["LifecycleHookSpecificationList"]
    assert template.resources[template.id_of(GROUP)]["CreationPolicy"]


def test_a_capacity_can_be_described_instead_of_named() -> None:
    capacity = WorkerCapacity.requirements(
        architecture=ec2.InstanceArchitecture.ARM_64,
        vcpus=(2, 4),
        memory=(Size.gibibytes(2), Size.gibibytes(16)),
    )
    template = tier_with(capacity=capacity)
    (override,) = template.one(GROUP)["MixedInstancesPolicy"]["LaunchTemplate"]["Overrides"]
    requirements = override["InstanceRequirements"]
    assert requirements["VCpuCount"] == {"Min": 2, "Max": 4}
    assert requirements["MemoryMiB"] == {"Min": 2_048, "Max": 16_384}
    assert requirements["CpuManufacturers"] == ["amazon-web-services"]
    data = template.one("AWS::EC2::LaunchTemplate")["LaunchTemplateData"]
    assert "InstanceType" not in data
    assert template.document["Parameters"][data["ImageId"]["Ref"]]["Default"].endswith("arm64")


@pytest.mark.parametrize(
    ("capacity", "words"),
    [
        (WorkerCapacity.spot([]), "instance_types must have at least one type"),
        (
            WorkerCapacity.spot([ec2.InstanceType("t4g.small"), ec2.InstanceType("t3.small")]),
            "instance_types must be of one processor architecture, got t4g.small, t3.small",
        ),
        (
            WorkerCapacity.spot([ec2.InstanceType("t4g.small")], on_demand_percentage=101),
            "on_demand_percentage must be a whole number from 0 to 100, got 101",
        ),
        (
            WorkerCapacity.requirements(
                architecture=ec2.InstanceArchitecture.X86_64,
                vcpus=(4, 2),
                memory=(Size.gibibytes(1), Size.gibibytes(2)),
            ),
            "vcpus must be at least 1 and at most its own maximum, got 4, 2",
        ),
    ],
)
def test_a_capacity_that_cannot_start_is_refused(capacity: WorkerCapacity, words: str) -> None:
    (problem,) = problems_of(capacity=capacity)
    assert words in problem


def test_one_way_of_naming_the_type_is_enough() -> None:
    (problem,) = problems_of(capacity=SPOT, instance_type=ec2.InstanceType("t4g.small"))
    assert problem.startswith("instance_type and capacity both say what to launch")


@pytest.mark.parametrize(
    ("image", "parameter", "device"),
    [
        (WorkerMachineImage.amazon_linux_2023(), "al2023-ami-kernel", "/dev/xvda"),
        (WorkerMachineImage.debian_12(), "/debian/release/12/latest/arm64", "/dev/xvda"),
        (WorkerMachineImage.debian_13(), "/debian/release/13/latest/arm64", "/dev/xvda"),
        (WorkerMachineImage.ubuntu_24_04(), "/24.04/stable/current/arm64/", "/dev/sda1"),
    ],
)
def test_each_system_has_its_image_and_its_root_device(
    image: WorkerMachineImage, parameter: str, device: str
) -> None:
    template = tier_with(machine_image=image)
    data = template.one("AWS::EC2::LaunchTemplate")["LaunchTemplateData"]
    assert parameter in template.document["Parameters"][data["ImageId"]["Ref"]]["Default"]
    (volume,) = data["BlockDeviceMappings"]
    assert volume["DeviceName"] == device
    assert volume["Ebs"]["Encrypted"] is True


def test_an_image_can_be_pinned() -> None:
    image = WorkerMachineImage.custom(
        ec2.MachineImage.generic_linux({"us-east-1": "ami-0a1b2c3d4e5f60718"}),
        root_device="/dev/sda1",
        ships_logs=False,
    )
    stack = stack_in("us-east-1")
    WorkerTier(stack, "Worker", vpc=vpc_of(stack), machine_image=image)
    data = Synthesized(stack).one("AWS::EC2::LaunchTemplate")["LaunchTemplateData"]
    assert data["ImageId"] == "ami-0a1b2c3d4e5f60718"


def test_an_image_is_pinned_by_its_id_and_the_system_it_is_of() -> None:
    image = WorkerMachineImage.pinned("ami-1a2b", like=WorkerMachineImage.ubuntu_24_04())
    data = tier_with(machine_image=image).one("AWS::EC2::LaunchTemplate")["LaunchTemplateData"]
    assert data["ImageId"] == "ami-1a2b"
    assert data["BlockDeviceMappings"][0]["DeviceName"] == "/dev/sda1"


def test_a_plain_image_is_asked_what_it_is_unless_the_cdk_knows_it() -> None:
    (problem,) = problems_of(machine_image=ec2.MachineImage.generic_linux({"us-east-1": "ami-1"}))
    assert problem.startswith("machine_image is a plain image")
    assert "WorkerMachineImage.custom(image, root_device=..., ships_logs=...)" in problem
    image = ec2.MachineImage.latest_amazon_linux2023(cpu_type=ec2.AmazonLinuxCpuType.ARM_64)
    assert tier_with(machine_image=image).one("AWS::EC2::LaunchTemplate")


def test_a_volume_has_another_type_when_asked_for_and_room_for_the_system() -> None:
    template = tier_with(root_volume_type=ec2.EbsDeviceVolumeType.GP2)
    data = template.one("AWS::EC2::LaunchTemplate")["LaunchTemplateData"]
    assert data["BlockDeviceMappings"][0]["Ebs"]["VolumeType"] == "gp2"
    (problem,) = problems_of(root_volume_type=ec2.EbsDeviceVolumeType.IO1)
    assert problem.startswith("root_volume_type is IO1")
    (problem,) = problems_of(root_volume_size=Size.gibibytes(7))
    assert "from 8 to 16384, got 7" in problem


def test_how_spot_instances_are_chosen_can_be_chosen() -> None:
    capacity = WorkerCapacity.spot(
        [ec2.InstanceType("t4g.small")],
        allocation_strategy=aws_autoscaling.SpotAllocationStrategy.LOWEST_PRICE,
        capacity_rebalance=False,
    )
    group = tier_with(capacity=capacity).one(GROUP)
    distribution = group["MixedInstancesPolicy"]["InstancesDistribution"]
    assert distribution["SpotAllocationStrategy"] == "lowest-price"
    assert "CapacityRebalance" not in group


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


def test_a_fleet_alone_tells_its_problems_with_its_own_path() -> None:
    stack = new_stack()
    with pytest.raises(InvalidProps, match=r"Test/Fleet cannot be built(?s:.*)max_instance_life"):
        WorkerFleet(
            stack,
            "Fleet",
            vpc=vpc_of(stack),
            min_capacity=1,
            max_capacity=1,
            drain_timeout_seconds=30,
            signal_timeout=Duration.minutes(5),
            instance_warmup=Duration.minutes(1),
            max_instance_lifetime=Duration.seconds(1),
        )
