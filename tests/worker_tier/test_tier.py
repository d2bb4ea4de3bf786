from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import CfnParameter, Duration, RemovalPolicy, Stack
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_ecr as ecr
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from aws_cdk.assertions import Annotations as AnnotationAssertions
from aws_cdk.assertions import Match
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sqsd.contract import SETTINGS_PATH, SqsdOptions, TierSettings
from sqsd.core.cron import Task
from sqsd.core.cron_yaml import parse_cron_yaml
from tests.worker_tier.stacks import (
    CRON_YAML,
    Synthesized,
    actions_of,
    new_stack,
    problems_of,
    stack_in,
    synthesize,
    tier_with,
    vpc_of,
)
from worker_tier import (
    ExistingQueue,
    InvalidProps,
    LogFormat,
    PeriodicTask,
    Platform,
    RetryPolicy,
    TierProps,
    WorkerApplication,
    WorkerCapacity,
    WorkerTier,
)
from worker_tier.bootstrap import CRON_PATH, files_in_user_data
from worker_tier.props.options import NONE_SWITCHES_OFF
from worker_tier_bootstrap.contract import INSTANCE_PATH
from worker_tier_bootstrap.platforms import PLATFORMS

# ---- what exists

#: A changed id replaces what it names: a queue with its messages, a group with its instances. Add
#: to this list; change or remove nothing in it without a major version.
LOGICAL_IDS = {
    "WorkerFleetAutoScalingGroupASG7DE37F51": "AWS::AutoScaling::AutoScalingGroup",
    "WorkerFleetLaunchTemplate7DA5D9F8": "AWS::EC2::LaunchTemplate",
    "WorkerFleetLaunchTemplateProfile7F73B3BD": "AWS::IAM::InstanceProfile",
    "WorkerFleetLifecyclePolicyE20A6B11": "AWS::IAM::ManagedPolicy",
    "WorkerFleetNotifications350D0564": "AWS::SNS::Topic",
    "WorkerFleetNotificationsPolicy9EE57EDA": "AWS::SNS::TopicPolicy",
    "WorkerFleetPolicy337EE8E9": "AWS::IAM::ManagedPolicy",
    "WorkerFleetRoleFC8E9413": "AWS::IAM::Role",
    "WorkerFleetSecurityGroup826AD8D4": "AWS::EC2::SecurityGroup",
    "WorkerLeaderTable7E0EC149": "AWS::DynamoDB::GlobalTable",
    "WorkerLogs4B5B6506": "AWS::Logs::LogGroup",
    "WorkerMonitoringDeadLettersF4364323": "AWS::CloudWatch::Alarm",
    "WorkerMonitoringNoLeaderDE922448": "AWS::CloudWatch::Alarm",
    "WorkerMonitoringNoWorker4699694D": "AWS::CloudWatch::Alarm",
    "WorkerMonitoringOldestMessageB5E73FF4": "AWS::CloudWatch::Alarm",
    "WorkerMonitoringUnhealthy0717542D": "AWS::CloudWatch::Alarm",
    "WorkerQueuesDeadLetterQueueFBE2140E": "AWS::SQS::Queue",
    "WorkerQueuesDeadLetterQueuePolicy2B72F3B4": "AWS::SQS::QueuePolicy",
    "WorkerQueuesQueueA1A7CF80": "AWS::SQS::Queue",
    "WorkerQueuesQueuePolicyF05AFF86": "AWS::SQS::QueuePolicy",
    "WorkerScalingScaleInAlarmAE5463AA": "AWS::CloudWatch::Alarm",
    "WorkerScalingScaleInE27746A3": "AWS::AutoScaling::ScalingPolicy",
    "WorkerScalingScaleOut071D7457": "AWS::AutoScaling::ScalingPolicy",
}


def test_logical_ids_are_what_they_always_were(with_tasks: Synthesized) -> None:
    found = {id: resource["Type"] for id, resource in with_tasks.resources.items()}
    assert found == LOGICAL_IDS


def test_feature_flags_change_no_logical_id(cron_file: str) -> None:
    cdk_json = Path(__file__).resolve().parents[2] / "cdk.json"
    context = json.loads(cdk_json.read_text(encoding="utf-8"))["context"]
    assert any(key.startswith("@aws-cdk/") for key in context)
    template = synthesize(
        lambda stack: WorkerTier(stack, "Worker", vpc=vpc_of(stack), periodic_tasks=cron_file),
        **context,
    )
    assert set(template.resources) == set(LOGICAL_IDS)


def test_nothing_has_a_physical_name(with_tasks: Synthesized) -> None:
    names = {"QueueName", "TableName", "RoleName", "GroupName", "TopicName", "AlarmName"}
    names |= {"AutoScalingGroupName", "ManagedPolicyName", "LaunchTemplateName", "PolicyName"}
    for id, resource in with_tasks.resources.items():
        if resource["Type"] == "AWS::AutoScaling::ScalingPolicy":
            continue  # names its group, by reference
        assert not names & set(resource.get("Properties", {})), id


@pytest.mark.parametrize("region", ["us-east-1", "cn-north-1", "us-gov-west-1"])
def test_templates_name_no_partition(region: str) -> None:
    stack = stack_in(region)
    WorkerTier(stack, "Worker", vpc=vpc_of(stack))
    document = str(Synthesized(stack).document["Resources"])
    assert "arn:aws" not in document
    for universal in ("ec2.amazonaws.com", "cloudwatch.amazonaws.com"):
        document = document.replace(universal, "")
    assert "amazonaws.com" not in document


def test_a_second_tier_in_a_stack_shares_nothing_with_the_first() -> None:
    stack = new_stack()
    network = vpc_of(stack)
    one, two = (WorkerTier(stack, name, vpc=network) for name in ("One", "Two"))
    assert one.queue.node.path != two.queue.node.path
    assert len(Synthesized(stack).all("AWS::SQS::Queue")) == 4


# ---- grants


def test_a_producer_may_send() -> None:
    stack = new_stack()
    tier = WorkerTier(stack, "Worker", vpc=vpc_of(stack))
    role = iam.Role(stack, "Producer", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
    tier.grant_send_messages(role).assert_success()
    assert "sqs:SendMessage" in actions_of(Synthesized(stack).statements("AWS::IAM::Policy"))


def test_what_is_granted_to_a_tier_is_granted_to_its_instances() -> None:
    stack = new_stack()
    tier = WorkerTier(stack, "Worker", vpc=vpc_of(stack))
    bucket = s3.Bucket(stack, "Bucket")
    bucket.grant_read(tier).assert_success()
    tier.add_to_role_policy(iam.PolicyStatement(actions=["ses:SendEmail"], resources=["arn:x"]))
    template = Synthesized(stack)
    statements = template.statements("AWS::IAM::ManagedPolicy", "FleetPolicy")
    assert template.id_of("AWS::S3::Bucket") in str(statements)
    assert "ses:SendEmail" in actions_of(statements)


def test_a_tier_can_be_let_into_a_database() -> None:
    stack = new_stack()
    network = vpc_of(stack)
    tier = WorkerTier(stack, "Worker", vpc=network)
    database = ec2.SecurityGroup(stack, "Database", vpc=network)
    database.connections.allow_from(tier, ec2.Port.tcp(5432), "workers")
    template = Synthesized(stack)
    rule = template.one("AWS::EC2::SecurityGroupIngress")
    own = template.id_of("AWS::EC2::SecurityGroup", "WorkerFleet")
    assert rule["SourceSecurityGroupId"] == {"Fn::GetAtt": [own, "GroupId"]}


def test_the_endpoints_of_an_isolated_network_can_be_made_in_one_call() -> None:
    stack = new_stack()
    WorkerTier.add_vpc_endpoints(ec2.Vpc(stack, "Network", max_azs=2), session_manager=True)
    endpoints = Synthesized(stack).all("AWS::EC2::VPCEndpoint").values()
    names = [str(endpoint["ServiceName"]) for endpoint in endpoints]
    for service in (
        "s3",
        "dynamodb",
        "sqs",
        "cloudformation",
        "logs",
        "autoscaling",
        "ssmmessages",
    ):
        assert any(service in name for name in names), service


# ---- periodic tasks as values

TASK = PeriodicTask(name="nightly", url="/nightly", schedule="0 2 * * *", timezone="Asia/Shanghai")


def test_tasks_as_values_become_the_cron_yaml_of_the_instances() -> None:
    template = tier_with(periodic_tasks=[TASK])
    text = files_in_user_data(template.user_data())[CRON_PATH]
    (task,) = parse_cron_yaml(text, "cron.yaml").tasks
    assert (task.name, task.enabled) == ("nightly", True)
    assert template.all("AWS::DynamoDB::GlobalTable")


def test_a_task_as_a_value_has_every_key_of_the_file() -> None:
    assert {field.name for field in fields(PeriodicTask)} == {field.name for field in fields(Task)}


def test_a_task_added_later_makes_the_leader_table_its_rights_and_its_alarm(
    cron_file: str, with_tasks: Synthesized
) -> None:
    stack = new_stack()
    tier = WorkerTier(stack, "Worker", vpc=vpc_of(stack))
    assert tier.leader_table is None
    tier.add_periodic_task(TASK)
    tier.add_periodic_task(PeriodicTask(name="hourly", url="/hourly", schedule="0 * * * *"))
    template = Synthesized(stack)
    assert set(template.resources) == set(with_tasks.resources)
    text = files_in_user_data(template.user_data())[CRON_PATH]
    assert [task.name for task in parse_cron_yaml(text, "t").tasks] == ["nightly", "hourly"]
    settings = TierSettings.from_json(files_in_user_data(template.user_data())[SETTINGS_PATH])
    assert settings.resources.leader_table
    assert settings.cron_file == "cron.yaml"


def test_a_task_that_cannot_be_added_is_refused_and_changes_nothing() -> None:
    stack = new_stack()
    tier = WorkerTier(stack, "Worker", vpc=vpc_of(stack), min_capacity=0)
    with pytest.raises(InvalidProps, match="min_capacity is 0"):
        tier.add_periodic_task(TASK)
    with pytest.raises(InvalidProps, match="add_periodic_task"):
        tier.add_periodic_task(PeriodicTask(name="x", url="/", schedule="61 * * * *"))
    template = Synthesized(stack)
    assert template.all("AWS::DynamoDB::GlobalTable") == {}
    assert CRON_PATH not in files_in_user_data(template.user_data())


# ---- props that cannot be used


def test_every_option_of_the_daemon_is_a_prop_of_its_name() -> None:
    props = inspect.signature(WorkerTier.__init__).parameters
    for field in fields(SqsdOptions):
        assert props[field.name].kind is inspect.Parameter.KEYWORD_ONLY
        # the default is the contract's, written down there only
        default = field.default if field.name in NONE_SWITCHES_OFF else None
        assert props[field.name].default == default


def test_all_problems_are_told_at_once_with_the_place() -> None:
    stack = new_stack()
    with pytest.raises(InvalidProps) as caught:
        WorkerTier(
            stack,
            "Worker",
            vpc=vpc_of(stack),
            http_port=0,
            http_path="no slash",
            visibility_timeout=Duration.hours(13),
            min_capacity=5,
            max_capacity=2,
            periodic_tasks="no/such/cron.yaml",
            signal_timeout=Duration.minutes(61),
        )
    text = str(caught.value)
    assert len(caught.value.problems) == 6
    for word in ("Test/Worker", "http_port", "http_path", "visibility_timeout", "min_capacity (5)"):
        assert word in text
    assert "no/such/cron.yaml cannot be read: No such file or directory" in text
    assert "signal_timeout (seconds) must be a whole number from 1 to 3600, got 3660" in text


@pytest.mark.parametrize(
    ("props", "words"),
    [
        ({"max_retries": 0}, "max_retries must be a whole number from 1 to 100, got 0"),
        ({"max_retries": True}, "max_retries must be a whole number from 1 to 100, got True"),
        ({"connect_timeout": Duration.millis(1_500)}, "connect_timeout must be whole seconds"),
        ({"max_capacity": 0}, "max_capacity must be a whole number from 1 to 10000, got 0"),
        ({"min_capacity": -1}, "min_capacity must be a whole number from 0 to 10000, got -1"),
        (
            {"retention_period": Duration.seconds(60)},
            "retention_period (60 s) must be at least visibility_timeout x max_retries",
        ),
        (
            {"heartbeat": False, "inactivity_timeout": Duration.seconds(300)},
            "inactivity_timeout (300 s) must be below visibility_timeout (300 s)",
        ),
    ],
)
def test_a_bad_prop_is_told_by_name_value_and_range(props: dict[str, Any], words: str) -> None:
    (problem,) = problems_of(**props)
    assert words in problem


@pytest.mark.parametrize(
    "prop", ["http_port", "http_path", "visibility_timeout", "max_capacity", "signal_timeout"]
)
def test_a_value_known_only_at_deployment_is_refused_not_compared(prop: str) -> None:
    parameter = CfnParameter(new_stack(), "Parameter", type="Number")
    values: dict[str, Any] = {
        "http_port": parameter.value_as_number,
        "http_path": parameter.value_as_string,
        "visibility_timeout": Duration.seconds(parameter.value_as_number),
        "max_capacity": parameter.value_as_number,
        "signal_timeout": Duration.seconds(parameter.value_as_number),
    }
    (problem,) = problems_of(**{prop: values[prop]})
    assert problem.startswith(f"{prop} is known only when the stack is deployed")


def test_an_empty_fleet_cannot_run_periodic_tasks(cron_file: str) -> None:
    (problem,) = problems_of(min_capacity=0, periodic_tasks=cron_file)
    assert cron_file in problem
    assert "set min_capacity to 1 or more" in problem


def test_an_empty_fleet_can_have_a_file_without_enabled_tasks(tmp_path: Path) -> None:
    file = tmp_path / "cron.yaml"
    file.write_text(CRON_YAML + "   enabled: false\n", encoding="utf-8")
    synthesize(
        lambda stack: WorkerTier(
            stack, "Worker", vpc=vpc_of(stack), min_capacity=0, periodic_tasks=str(file)
        )
    )


def test_each_mistake_in_a_cron_yaml_is_told_with_file_and_line(tmp_path: Path) -> None:
    file = tmp_path / "cron.yaml"
    file.write_text(
        CRON_YAML.replace("* * * * *", "61 * * * *").replace("/scheduled", "scheduled"),
        encoding="utf-8",
    )
    problems = problems_of(periodic_tasks=str(file))
    assert len(problems) == 2
    for problem in problems:
        assert problem.startswith(f"periodic_tasks: {file}, line ")


def test_a_cron_yaml_that_is_not_utf_8_is_told(tmp_path: Path) -> None:
    file = tmp_path / "cron.yaml"
    file.write_bytes(b"version: 1\n# caf\xe9\n")
    assert problems_of(periodic_tasks=str(file)) == (
        f"periodic_tasks: {file} is not UTF-8 at byte 16",
    )


def test_a_cron_yaml_too_large_for_user_data_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "cron.yaml"
    file.write_text(CRON_YAML + "# words\n" * 2_000, encoding="utf-8")
    (problem,) = problems_of(periodic_tasks=str(file))
    assert "shorten cron.yaml" in problem


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    port=st.integers(-5, 70_000),
    retries=st.integers(-5, 200),
    path=st.sampled_from(["/", "/work", "work", "/a b", ""]),
)
def test_props_are_refused_exactly_when_the_contract_refuses_them(
    port: int, retries: int, path: str
) -> None:
    try:
        SqsdOptions(http_port=port, max_retries=retries, http_path=path)
    except ValueError:
        assert problems_of(http_port=port, max_retries=retries, http_path=path)
    else:
        stack: Stack = new_stack()
        tier = WorkerTier(
            stack,
            "Worker",
            vpc=vpc_of(stack),
            http_port=port,
            max_retries=retries,
            http_path=path,
        )
        assert tier.options.http_port == port


# ---- what can be added later


def test_commands_added_run_before_anything_is_handed_over_and_keep_their_order() -> None:
    stack = new_stack()
    tier = WorkerTier(stack, "Worker", vpc=vpc_of(stack))
    tier.add_user_data("echo one", "echo two")
    tier.add_user_data("echo three")
    script = Synthesized(stack).user_data()
    places = [script.index(text) for text in ("one", "two", "three", "begin 'hand over'")]
    assert places == sorted(places)
    # strict mode, so that a command that fails fails the boot
    assert script.startswith("#!/bin/bash\nset -Eeuo pipefail\n")


def test_an_environment_property_is_added_once_and_to_an_application_only(tmp_path: Path) -> None:
    (tmp_path / "Procfile").write_text("web: python3 -m http.server $PORT\n")
    application = WorkerApplication.from_asset(str(tmp_path))
    stack = new_stack()
    tier = WorkerTier(stack, "Worker", vpc=vpc_of(stack), application=application)
    tier.add_environment("STAGE", "production")
    with pytest.raises(InvalidProps, match="STAGE is set already"):
        tier.add_environment("STAGE", "test")
    assert '"STAGE":"production"' in Synthesized(stack).user_data().replace(": ", ":")
    other = WorkerTier(new_stack(), "Worker", vpc=vpc_of(new_stack("Net")))
    with pytest.raises(InvalidProps, match="pass application="):
        other.add_environment("STAGE", "test")


def test_queues_are_kept_when_asked_for() -> None:
    template = tier_with(removal_policy=RemovalPolicy.RETAIN)
    for id in template.all("AWS::SQS::Queue"):
        assert template.resources[id]["DeletionPolicy"] == "Retain"


# ---- warnings

#: A tier without an application, and without an image that has one, is warned of.
SOMEBODYS = WorkerApplication.external()


def warnings_of(stack: Stack) -> list[str]:
    found = AnnotationAssertions.from_stack(stack).find_warning("*", Match.any_value())
    texts = [str(message.entry.data) for message in found]
    return [text for text in texts if "[ack: worker-tier:" in text]  # not those of the CDK


def test_an_ordinary_tier_warns_of_nothing() -> None:
    stack = new_stack()
    spot = WorkerCapacity.spot([ec2.InstanceType("t4g.small")])
    WorkerTier(stack, "Worker", vpc=vpc_of(stack), capacity=spot, application=SOMEBODYS)
    assert warnings_of(stack) == []


@pytest.mark.parametrize(
    ("props", "words"),
    [
        (
            lambda stack: {"role": iam.Role.from_role_arn(stack, "Own", ROLE, mutable=False)},
            "attach the tier's two policies",
        ),
        (
            lambda stack: {"encryption_key": kms.Key.from_key_arn(stack, "Key", KEY)},
            "encryption_key is imported, so its policy cannot be changed from here",
        ),
        (lambda stack: {"scale_in_protection": True}, "keeps deployments waiting"),
        (
            lambda stack: {
                "capacity": WorkerCapacity.spot([ec2.InstanceType("t4g.small")]),
                "drain_timeout": Duration.minutes(10),
            },
            "drain_timeout (600 s) is more than the 120 s",
        ),
    ],
)
def test_what_may_not_be_meant_is_warned_of(
    props: Callable[[Stack], dict[str, Any]], words: str
) -> None:
    stack = new_stack()
    WorkerTier(stack, "Worker", vpc=vpc_of(stack), application=SOMEBODYS, **props(stack))
    (warning,) = warnings_of(stack)
    assert words in warning


ROLE = "arn:aws:iam::111122223333:role/own"
KEY = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"


def test_nothing_is_attached_to_a_role_that_is_not_to_be_changed() -> None:
    stack = new_stack()
    role = iam.Role.from_role_arn(stack, "Own", ROLE, mutable=False)
    WorkerTier(stack, "Worker", vpc=vpc_of(stack), role=role)
    policies = Synthesized(stack).all("AWS::IAM::ManagedPolicy")
    assert len(policies) == 2
    assert not any(policy.get("Roles") for policy in policies.values())


def test_a_queue_whose_place_is_known_in_a_stack_for_any_place_is_warned_of() -> None:
    stack = new_stack()
    queue = ExistingQueue.imported(
        sqs.Queue.from_queue_arn(stack, "Q", "arn:aws:sqs:us-east-1:111122223333:orders"),
        fifo=False,
        dead_letter_queue=None,
        max_receive_count=None,
        encryption_key=None,
        dead_letter_key=None,
    )
    WorkerTier(stack, "Worker", vpc=vpc_of(stack), queue=queue, application=SOMEBODYS)
    region, account = sorted(warnings_of(stack), key=lambda text: "account" in text)
    assert "queue is of the region us-east-1, and the stack is for any" in region
    assert "queue is of the account 111122223333" in account


# ---- an application in a container


def test_a_container_reaches_the_metadata_service_and_its_image() -> None:
    stack = new_stack()
    images = ecr.Repository(stack, "Images")
    application = WorkerApplication.from_container(images, tag="v1")
    WorkerTier(stack, "Worker", vpc=vpc_of(stack), application=application)
    template = Synthesized(stack)
    data = template.one("AWS::EC2::LaunchTemplate")["LaunchTemplateData"]
    assert data["MetadataOptions"]["HttpPutResponseHopLimit"] == 2
    statements = template.statements("AWS::IAM::ManagedPolicy", "PullPolicy")
    wide = [statement for statement in statements if statement["Resource"] == "*"]
    assert actions_of(wide) == {"ecr:GetAuthorizationToken"}
    # and it may pull before it boots
    group = template.resources[template.id_of("AWS::AutoScaling::AutoScalingGroup")]
    assert template.id_of("AWS::IAM::ManagedPolicy", "PullPolicy") in group["DependsOn"]


def test_an_image_that_anybody_may_pull_needs_no_rights() -> None:
    application = WorkerApplication.from_container("public.ecr.aws/nginx/nginx:1.27")
    template = tier_with(application=application, http_put_response_hop_limit=3)
    assert len(template.all("AWS::IAM::ManagedPolicy")) == 2
    data = template.one("AWS::EC2::LaunchTemplate")["LaunchTemplateData"]
    assert data["MetadataOptions"]["HttpPutResponseHopLimit"] == 3


@pytest.mark.parametrize(
    ("flag", "services"),
    [
        ("container", {"ecr.api", "ecr.dkr"}),
        ("secrets", {"secretsmanager", "ssm"}),
        ("encryption_key", {"kms"}),
    ],
)
def test_endpoints_follow_what_the_application_calls(flag: str, services: set[str]) -> None:
    bare = WorkerTier.required_interface_endpoints()
    more = WorkerTier.required_interface_endpoints(**{flag: True})
    added = {more[name].short_name for name in more.keys() - bare.keys()}
    assert added == services


# ---- the rest of what can be chosen


def test_instances_decrypt_what_the_cdk_uploaded_with_a_key() -> None:
    stack = new_stack()
    key = kms.Key.from_key_arn(stack, "AssetKey", KEY)
    WorkerTier(stack, "Worker", vpc=vpc_of(stack), asset_key=key)
    statements = Synthesized(stack).statements("AWS::IAM::ManagedPolicy", "FleetPolicy")
    assert actions_of([s for s in statements if s["Resource"] == KEY]) == {"kms:Decrypt"}


def test_choices_have_names_and_their_texts_still_count() -> None:
    stack = new_stack()
    tier = WorkerTier(
        stack,
        "Worker",
        vpc=vpc_of(stack),
        retry_policy=RetryPolicy.BACKOFF,
        log_format="eb",
    )
    assert (tier.options.retry_policy, tier.options.log_format) == ("backoff", LogFormat.EB)
    assert type(tier.options.retry_policy) is str
    (problem,) = problems_of(retry_policy="sometimes")
    assert "retry_policy" in problem
    check = SqsdOptions.__dataclass_fields__["retry_policy"].metadata["check"]
    assert all(check(choice.value) is None for choice in RetryPolicy)
    check = SqsdOptions.__dataclass_fields__["log_format"].metadata["check"]
    assert all(check(choice.value) is None for choice in LogFormat)


def test_every_platform_has_a_name_and_reaches_the_instance(tmp_path: Path) -> None:
    assert {platform.value for platform in Platform} == set(PLATFORMS)
    (tmp_path / "Procfile").write_text("web: python3 -m http.server $PORT\n")
    application = WorkerApplication.from_asset(str(tmp_path), platform=Platform.PYTHON)
    text = files_in_user_data(tier_with(application=application).user_data())[INSTANCE_PATH]
    assert json.loads(text)["application"]["platform"] == "python"


def test_the_environment_of_the_application_can_be_read(tmp_path: Path) -> None:
    (tmp_path / "Procfile").write_text("web: python3 -m http.server $PORT\n")
    application = WorkerApplication.from_asset(str(tmp_path), environment={"A": "1"})
    stack = new_stack()
    tier = WorkerTier(stack, "Worker", vpc=vpc_of(stack), application=application)
    tier.add_environment("B", "2")
    assert tier.environment == {"A": "1", "B": "2"}


def test_the_type_of_the_props_is_that_of_the_signature() -> None:
    signature = inspect.signature(WorkerTier.__init__).parameters
    taken = {n: p.annotation for n, p in signature.items() if p.kind is p.KEYWORD_ONLY}
    assert TierProps.__annotations__.keys() == taken.keys()
    told = {name: hint.__forward_arg__ for name, hint in TierProps.__annotations__.items()}
    assert told == taken


@pytest.mark.parametrize("props", [{"alarms": False}, {"single_instance": True}])
def test_an_alarm_action_without_alarms_is_refused_not_dropped(props: dict[str, Any]) -> None:
    stack = new_stack()
    action = actions.SnsAction(sns.Topic(stack, "Topic"))
    (problem,) = problems_of(alarm_actions=[action], **props)
    assert problem.startswith("alarm_actions are given and there are no alarms")
    tier = WorkerTier(stack, "Worker", vpc=vpc_of(stack), **props)
    with pytest.raises(InvalidProps, match="add_alarm_action: there are no alarms"):
        tier.add_alarm_action(action)
