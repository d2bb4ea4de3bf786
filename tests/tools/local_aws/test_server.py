"""The gaps of the emulator that tools/local_aws/server.py closes, each through CloudFormation."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tools.local_aws import LocalAws

pytestmark = pytest.mark.local_aws

REPOSITORY = Path(__file__).resolve().parents[3]
ALARM = {
    "ComparisonOperator": "GreaterThanThreshold",
    "EvaluationPeriods": 1,
    "Threshold": 1,
}


def create(aws: LocalAws, **resources: Mapping[str, Any]) -> None:
    client = aws.client("cloudformation")
    client.create_stack(StackName="S", TemplateBody=json.dumps({"Resources": resources}))
    (stack,) = client.describe_stacks(StackName="S")["Stacks"]
    assert stack["StackStatus"] == "CREATE_COMPLETE", stack


def test_an_alarm_on_metric_math_keeps_its_metrics(fresh_aws: LocalAws) -> None:
    queries = [
        {
            "Id": "visible",
            "ReturnData": False,
            "MetricStat": {
                "Metric": {"Namespace": "AWS/SQS", "MetricName": "Visible"},
                "Period": 60,
                "Stat": "Maximum",
            },
        },
        {"Id": "total", "Expression": "visible * 2", "ReturnData": True},
    ]
    create(
        fresh_aws,
        A={"Type": "AWS::CloudWatch::Alarm", "Properties": {**ALARM, "Metrics": queries}},
    )
    (alarm,) = fresh_aws.client("cloudwatch").describe_alarms()["MetricAlarms"]
    assert [query["Id"] for query in alarm["Metrics"]] == ["visible", "total"]
    assert "MetricName" not in alarm
    assert alarm["StateValue"] == "INSUFFICIENT_DATA"


def test_a_composite_alarm_is_made_and_deleted(fresh_aws: LocalAws) -> None:
    plain = {**ALARM, "AlarmName": "child", "Namespace": "N", "MetricName": "M", "Period": 60}
    create(
        fresh_aws,
        Child={"Type": "AWS::CloudWatch::Alarm", "Properties": {**plain, "Statistic": "Sum"}},
        Both={
            "Type": "AWS::CloudWatch::CompositeAlarm",
            "DependsOn": "Child",
            "Properties": {"AlarmRule": 'ALARM("child")'},
        },
    )
    cloudwatch = fresh_aws.client("cloudwatch")
    composite = {"AlarmTypes": ["CompositeAlarm"]}
    (alarm,) = cloudwatch.describe_alarms(**composite)["CompositeAlarms"]
    assert alarm["AlarmRule"] == 'ALARM("child")'
    fresh_aws.client("cloudformation").delete_stack(StackName="S")
    assert cloudwatch.describe_alarms(**composite).get("CompositeAlarms", []) == []


@pytest.mark.parametrize("kind", ["Table", "GlobalTable"])
def test_a_tables_options_are_applied_when_it_is_made(fresh_aws: LocalAws, kind: str) -> None:
    recovery = {"PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": True}}
    properties: dict[str, Any] = {
        "TableName": "leases",
        "BillingMode": "PAY_PER_REQUEST",
        "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
        "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
        "TimeToLiveSpecification": {"AttributeName": "expires_at", "Enabled": True},
    }
    if kind == "Table":
        properties |= recovery
    else:
        properties["Replicas"] = [{"Region": fresh_aws.region}]
    create(fresh_aws, T={"Type": f"AWS::DynamoDB::{kind}", "Properties": properties})
    dynamodb = fresh_aws.client("dynamodb")
    expiry = dynamodb.describe_time_to_live(TableName="leases")["TimeToLiveDescription"]
    assert expiry == {"TimeToLiveStatus": "ENABLED", "AttributeName": "expires_at"}
    if kind == "Table":
        backups = dynamodb.describe_continuous_backups(TableName="leases")
        described = backups["ContinuousBackupsDescription"]["PointInTimeRecoveryDescription"]
        assert described["PointInTimeRecoveryStatus"] == "ENABLED"


@pytest.mark.parametrize("architecture", ["arm64", "x86_64"])
def test_the_images_that_the_cdk_asks_for_are_known(local_aws: LocalAws, architecture: str) -> None:
    name = f"/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-6.1-{architecture}"
    parameter = local_aws.client("ssm").get_parameter(Name=name)["Parameter"]
    assert parameter["Value"].startswith("ami-")
