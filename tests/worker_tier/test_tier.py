from __future__ import annotations

import inspect
import json
import pydoc
import re
from dataclasses import fields
from pathlib import Path
from typing import Any, Unpack, get_type_hints

import pytest
from aws_cdk import Duration, RemovalPolicy

from sqsd.contract import SqsdOptions
from tests.worker_tier.stacks import (
    Synthesized,
    new_stack,
    problems_of,
    stack_in,
    synthesize,
    tier_with,
    vpc_of,
)
from worker_tier import (
    InvalidProps,
    LogFormat,
    Platform,
    RetryPolicy,
    TierProps,
    WorkerApplication,
    WorkerFleet,
    WorkerQueues,
    WorkerTier,
)
from worker_tier.options import NONE_SWITCHES_OFF
from worker_tier.props import SqsdProps
from worker_tier_bootstrap import paths
from worker_tier_bootstrap.platforms import PLATFORMS
from worker_tier_bootstrap.user_data import files_in_user_data

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


def test_every_option_of_the_daemon_is_a_prop_of_its_name() -> None:
    options = {field.name for field in fields(SqsdOptions)}
    assert set(SqsdProps.__annotations__) == options
    assert options <= set(TierProps.__annotations__)
    # the default is the contract's, written down there only
    stack = new_stack()
    assert WorkerTier(stack, "Worker", vpc=vpc_of(stack)).options == SqsdOptions()


def test_a_prop_that_is_none_is_as_one_that_is_not_given() -> None:
    # given every prop there is as None, but for those that None switches off
    names = set(TierProps.__annotations__) - NONE_SWITCHES_OFF - {"vpc"}
    assert len(names) > 70
    nothing: dict[str, Any] = dict.fromkeys(names)
    # then the template is that of a tier with nothing chosen
    assert tier_with(**nothing).document == tier_with().document


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


def test_queues_are_retained_when_asked_for() -> None:
    template = tier_with(removal_policy=RemovalPolicy.RETAIN)
    for id in template.all("AWS::SQS::Queue"):
        assert template.resources[id]["DeletionPolicy"] == "Retain"


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
    text = files_in_user_data(tier_with(application=application).user_data())[paths.INSTANCE]
    assert json.loads(text)["application"]["platform"] == "python"


@pytest.mark.parametrize(
    ("given", "access"),
    [
        ({}, True),
        ({"application_aws_access": None}, True),
        ({"application_aws_access": False}, False),
    ],
)
def test_whether_the_application_may_use_the_role_reaches_the_instance(
    given: dict[str, Any], access: bool
) -> None:
    # also where the machine image has the application
    text = files_in_user_data(tier_with(**given).user_data())[paths.INSTANCE]
    assert json.loads(text)["application_aws_access"] is access


def test_the_environment_of_the_application_can_be_read(tmp_path: Path) -> None:
    (tmp_path / "Procfile").write_text("web: python3 -m http.server $PORT\n")
    application = WorkerApplication.from_asset(str(tmp_path), environment={"A": "1"})
    stack = new_stack()
    tier = WorkerTier(stack, "Worker", vpc=vpc_of(stack), application=application)
    tier.add_environment("B", "2")
    assert tier.environment == {"A": "1", "B": "2"}


# ---- what can be read of the props


def test_the_constructor_takes_the_listed_props_and_nothing_else() -> None:
    *named, props = inspect.signature(WorkerTier.__init__).parameters.values()
    assert [parameter.name for parameter in named] == ["self", "scope", "id"]
    assert props.kind is inspect.Parameter.VAR_KEYWORD
    assert get_type_hints(WorkerTier.__init__)["props"] == Unpack[TierProps]


def test_help_describes_every_prop_with_its_default() -> None:
    shown = pydoc.plain(pydoc.render_doc(WorkerTier))
    entries = re.split(r"^ \|      (?=\w+: )", shown, flags=re.MULTILINE)
    described = {entry.partition(":")[0]: entry for entry in entries[1:]}
    for name in TierProps.__annotations__:
        assert name == "vpc" or "Default:" in re.sub(r"\s+\|?\s*", " ", described[name]), name


def test_every_option_that_elastic_beanstalk_has_is_described_with_its_name_there() -> None:
    shown = " ".join(str(WorkerTier.__doc__).split())
    for field in fields(SqsdOptions):
        if field.metadata["eb_name"] is not None:
            assert f"Elastic Beanstalk: `{field.metadata['eb_name']}`." in shown, field.name


# ---- props that are not listed


def test_an_unknown_prop_is_refused_with_the_nearest_name_and_with_every_other_problem() -> None:
    unknown, foreign, port = problems_of(visibility_timout=Duration.seconds(1), zzz=1, http_port=0)
    assert unknown == (
        "visibility_timout is not a prop of WorkerTier; did you mean visibility_timeout?"
    )
    assert foreign == "zzz is not a prop of WorkerTier; help(WorkerTier) lists all props"
    assert port.startswith("http_port must be")


def test_a_missing_network_is_refused_by_name() -> None:
    nothing: dict[str, Any] = {}
    with pytest.raises(InvalidProps, match="vpc is missing, and WorkerTier needs it") as caught:
        WorkerTier(new_stack(), "Worker", **nothing)
    assert len(caught.value.problems) == 1


@pytest.mark.parametrize("part", [WorkerQueues, WorkerFleet])
def test_a_part_refuses_an_unknown_prop_and_names_every_missing_one(part: type[Any]) -> None:
    with pytest.raises(InvalidProps) as caught:
        part(new_stack(), "Part", encryption_kye=None)
    unknown, *missing = caught.value.problems
    assert unknown == (
        f"encryption_kye is not a prop of {part.__name__}; did you mean encryption_key?"
    )
    assert len(missing) == {"WorkerQueues": 3, "WorkerFleet": 6}[part.__name__]
    assert all(" is missing, and " in problem for problem in missing)
