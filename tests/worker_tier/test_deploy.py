"""The real command line on the embedded AWS: made, changed, spoiled and rolled back, removed."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sqsd import contract
from sqsd.contract import SETTINGS_PATH, TierSettings
from tools.local_aws import LocalAws, LocalAwsError
from tools.local_aws.deploy import CDK, Deployment, cdk_environment, deploy
from worker_tier import WorkerApplication, standalone
from worker_tier_bootstrap.user_data import files_in_user_data

pytestmark = [pytest.mark.local_aws, pytest.mark.cdk, pytest.mark.timeout(240)]

ROOT = Path(__file__).resolve().parents[2]
APP = f"{sys.executable} -c 'import tests.worker_tier.deployed'"
NAME = "Deployed"


@pytest.fixture(scope="module")
def aws(local_aws: LocalAws, require_tool: Callable[[str], Path]) -> Iterator[LocalAws]:
    require_tool("node")
    local_aws.reset()
    yield local_aws
    local_aws.reset()


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("deploy")


@pytest.fixture(scope="module")
def deployment(aws: LocalAws, directory: Path) -> Deployment:
    return deploy(aws, directory=directory, app=APP)


def attributes(aws: LocalAws, url: str) -> dict[str, str]:
    answer = aws.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
    return dict(answer["Attributes"])


def group(aws: LocalAws, name: str) -> dict[str, Any]:
    groups = aws.client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=[name])
    (found,) = groups["AutoScalingGroups"]
    return dict(found)


def user_data(aws: LocalAws, template: str) -> str:
    answer = aws.client("ec2").describe_launch_template_versions(
        LaunchTemplateId=template, Versions=["$Latest"]
    )
    (version,) = answer["LaunchTemplateVersions"]
    return base64.b64decode(version["LaunchTemplateData"]["UserData"]).decode()


def stack_status(aws: LocalAws, name: str) -> str:
    (stack,) = aws.client("cloudformation").describe_stacks(StackName=name)["Stacks"]
    return str(stack["StackStatus"])


def test_the_queues_are_what_the_template_says(aws: LocalAws, deployment: Deployment) -> None:
    work = attributes(aws, deployment.outputs["QueueUrl"])
    dead = attributes(aws, deployment.outputs["DeadLetterQueueUrl"])
    assert (work["VisibilityTimeout"], work["MessageRetentionPeriod"]) == ("300", "345600")
    redrive = json.loads(work["RedrivePolicy"])
    assert redrive["deadLetterTargetArn"] == dead["QueueArn"]
    assert int(redrive["maxReceiveCount"]) == 3
    assert dead["MessageRetentionPeriod"] == "1209600"
    for queue in (work, dead):
        assert queue["SqsManagedSseEnabled"] == "true"
        (deny,) = json.loads(queue["Policy"])["Statement"]
        assert (deny["Effect"], deny["Resource"]) == ("Deny", queue["QueueArn"])


def test_the_daemon_gets_the_resources_that_exist(aws: LocalAws, deployment: Deployment) -> None:
    files = files_in_user_data(user_data(aws, deployment.outputs["Template"]))
    settings = TierSettings.from_json(files[SETTINGS_PATH])
    resources = settings.resources
    assert resources.queue_url == deployment.outputs["QueueUrl"]
    assert resources.dead_letter_queue_url == deployment.outputs["DeadLetterQueueUrl"]
    assert resources.tier_name == f"{deployment.stack_name}-Worker"
    table = aws.client("dynamodb").describe_table(TableName=resources.leader_table)["Table"]
    assert table["KeySchema"] == [{"AttributeName": contract.LEADER_TABLE_KEY, "KeyType": "HASH"}]
    expiry = aws.client("dynamodb").describe_time_to_live(TableName=resources.leader_table)
    assert expiry["TimeToLiveDescription"]["AttributeName"] == contract.LEADER_TABLE_TTL
    found = aws.client("logs").describe_log_groups(logGroupNamePrefix=resources.log_group)
    assert [g["retentionInDays"] for g in found["logGroups"]] == [30]


def test_instances_find_the_right_bundle_where_their_user_data_says(
    aws: LocalAws, deployment: Deployment
) -> None:
    script = user_data(aws, deployment.outputs["Template"])
    instance = next(
        json.loads(text)
        for path, text in files_in_user_data(script).items()
        if path.endswith("instance.json")
    )
    bundle = instance["bundle"]
    answer = aws.client("s3").get_object(Bucket=bundle["bucket"], Key=bundle["key"])
    assert hashlib.sha256(answer["Body"].read()).hexdigest() == bundle["sha256"]


def test_the_group_has_its_bounds_and_policies(aws: LocalAws, deployment: Deployment) -> None:
    name = deployment.outputs["Group"]
    found = group(aws, name)
    assert (found["MinSize"], found["MaxSize"]) == (1, 4)
    scaling = aws.client("autoscaling")
    policies = scaling.describe_policies(AutoScalingGroupName=name)["ScalingPolicies"]
    kinds = sorted(policy["PolicyType"] for policy in policies)
    assert kinds == ["StepScaling", "TargetTrackingScaling"]


def test_every_alarm_exists_and_the_ones_that_scale_name_a_policy_of_the_group(
    aws: LocalAws, deployment: Deployment
) -> None:
    alarms = aws.client("cloudwatch").describe_alarms()["MetricAlarms"]
    ours = [alarm for alarm in alarms if alarm["AlarmName"].startswith(NAME)]
    names = " ".join(alarm["AlarmName"] for alarm in ours)
    for name in ("DeadLetters", "OldestMessage", "NoWorker", "NoLeader", "Unhealthy", "ScaleIn"):
        assert name in names
    (scales,) = [alarm for alarm in ours if "ScaleIn" in alarm["AlarmName"]]
    policies = aws.client("autoscaling").describe_policies(
        AutoScalingGroupName=deployment.outputs["Group"]
    )["ScalingPolicies"]
    assert set(scales["AlarmActions"]) <= {policy["PolicyARN"] for policy in policies}


def test_an_update_changes_the_group_in_place_and_keeps_the_queue(
    aws: LocalAws, deployment: Deployment, tmp_path: Path
) -> None:
    updated = deploy(aws, directory=tmp_path, app=APP, context={"max": "7"})
    assert updated.outputs == deployment.outputs
    assert group(aws, deployment.outputs["Group"])["MaxSize"] == 7


def test_a_failed_update_rolls_back_to_what_was_there(
    aws: LocalAws, deployment: Deployment, tmp_path: Path
) -> None:
    before = attributes(aws, deployment.outputs["QueueUrl"])
    with pytest.raises(LocalAwsError, match="cdk deploy failed"):
        deploy(aws, directory=tmp_path, app=APP, context={"broken": "1", "max": "9"})
    assert stack_status(aws, deployment.stack_name) == "UPDATE_ROLLBACK_COMPLETE"
    after = attributes(aws, deployment.outputs["QueueUrl"])
    assert after["VisibilityTimeout"] == before["VisibilityTimeout"] == "300"
    assert group(aws, deployment.outputs["Group"])["MaxSize"] != 9


def test_queues_that_an_update_replaces_are_still_there_to_be_drained_and_deleted(
    aws: LocalAws, deployment: Deployment, tmp_path: Path
) -> None:
    # given a message in the work queue, and one in the dead-letter queue
    client = aws.client("sqs")
    old = [deployment.outputs["QueueUrl"], deployment.outputs["DeadLetterQueueUrl"]]
    for url in old:
        client.send_message(QueueUrl=url, MessageBody="an order")
    # when the queues become FIFO queues
    updated = deploy(aws, directory=tmp_path, app=APP, context={"fifo": "1"})
    assert updated.outputs["QueueUrl"].endswith(".fifo")
    # then the stack has other queues, and the steps of the documents find the old ones
    listed = client.list_queues(QueueNamePrefix=f"{NAME}-")["QueueUrls"]
    resources = aws.client("cloudformation").describe_stack_resources(StackName=NAME)
    ours = [
        resource["PhysicalResourceId"]
        for resource in resources["StackResources"]
        if resource["ResourceType"] == "AWS::SQS::Queue"
    ]
    assert sorted(set(listed) - set(ours)) == sorted(old)
    # and their messages are there
    for url in old:
        found = client.get_queue_attributes(
            QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"]
        )
        assert found["Attributes"]["ApproximateNumberOfMessages"] == "1"
        (message,) = client.receive_message(QueueUrl=url)["Messages"]
        assert message["Body"] == "an order"
        client.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        client.delete_queue(QueueUrl=url)
    # and when the change is taken back, it is the same with the FIFO queues
    deploy(aws, directory=tmp_path / "back", app=APP)
    for url in ours:
        client.delete_queue(QueueUrl=url)


def test_destroying_leaves_nothing(aws: LocalAws, deployment: Deployment, directory: Path) -> None:
    assert stack_status(aws, deployment.stack_name)
    completed = subprocess.run(
        [CDK, "destroy", "--all", "--force", "--app", str(directory / "cdk.out")],
        env=cdk_environment(aws),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert completed.returncode == 0, completed.stderr
    assert not aws.client("sqs").list_queues(QueueNamePrefix=NAME).get("QueueUrls")
    groups = aws.client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]
    assert [g for g in groups if g["AutoScalingGroupName"].startswith(NAME)] == []
    tables = aws.client("dynamodb").list_tables()["TableNames"]
    assert [table for table in tables if table.startswith(NAME)] == []


def test_a_template_without_the_cdk_deploys_under_any_name(
    fresh_aws: LocalAws, tmp_path: Path, cron_file: str
) -> None:
    # given the three files, the archives in a bucket, and an account that was never bootstrapped
    application = WorkerApplication.from_asset(str(ROOT / "examples" / "node_worker"))
    written, *archives = standalone.write(tmp_path, application, periodic_tasks=cron_file)
    assert len(archives) == 2
    s3, cloudformation = fresh_aws.client("s3"), fresh_aws.client("cloudformation")
    s3.create_bucket(Bucket="my-files")
    for archive in archives:
        s3.upload_file(str(archive), "my-files", f"workers/{archive.name}")
    parameters = {
        "VpcId": "vpc-0a1b2c3d4e5f60718",
        "SubnetIds": "subnet-0a1b2c3d4e5f60718,subnet-1a1b2c3d4e5f60718",
        "BundleBucket": "my-files",
        "BundlePrefix": "workers/",
    }
    # when CloudFormation gets it under a name of the user's choice
    cloudformation.create_stack(
        StackName="orders-workers",
        TemplateBody=written.read_text(encoding="utf-8"),
        Capabilities=["CAPABILITY_IAM"],
        Parameters=[
            {"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()
        ],
    )
    # then it is up, and instances know this stack, this queue and these archives
    (stack,) = cloudformation.describe_stacks(StackName="orders-workers")["Stacks"]
    assert stack["StackStatus"] == "CREATE_COMPLETE", stack
    outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
    files = files_in_user_data(user_data(fresh_aws, outputs["LaunchTemplateId"]))
    settings = TierSettings.from_json(files[SETTINGS_PATH])
    assert settings.resources.queue_url == outputs["QueueUrl"]
    assert settings.resources.tier_name == "orders-workers-Worker"
    instance = next(json.loads(t) for p, t in files.items() if p.endswith("instance.json"))
    assert instance["stack"] == stack["StackId"]
    for bundle in (instance["bundle"], instance["application"]["bundle"]):
        body = s3.get_object(Bucket=bundle["bucket"], Key=bundle["key"])["Body"].read()
        assert hashlib.sha256(body).hexdigest() == bundle["sha256"]
    found = group(fresh_aws, outputs["AutoScalingGroupName"])
    assert found["VPCZoneIdentifier"] == parameters["SubnetIds"]
