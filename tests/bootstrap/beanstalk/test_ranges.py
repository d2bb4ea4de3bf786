"""Values that only the deployment would refuse are refused here, by their option and place."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from worker_tier_bootstrap.beanstalk import Reading, read_settings, refusals, warnings

GROUP = "aws:autoscaling:asg"
TRIGGER = "aws:autoscaling:trigger"
LAUNCH = "aws:autoscaling:launchconfiguration"
INSTANCES = "aws:ec2:instances"
COMMAND = "aws:elasticbeanstalk:command"
SCHEDULE = "aws:autoscaling:scheduledaction"
VPC = "aws:ec2:vpc"
NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
CPU = {"MeasureName": "CPUUtilization", "UpperThreshold": "80", "LowerThreshold": "20"}


def refused(document: Any) -> list[str]:
    return [str(finding) for finding in refusals(read_settings(document, now=NOW).findings)]


#: Options as Elastic Beanstalk documents them: namespace, option, least, most, others it needs.
RANGES: list[tuple[str, str, int, int, dict[str, str]]] = [
    (GROUP, "MaxSize", 1, 10_000, {"MinSize": "0"}),
    (GROUP, "MinSize", 0, 10_000, {"MaxSize": "10000"}),
    (LAUNCH, "RootVolumeSize", 8, 16_384, {}),
    (LAUNCH, "RootVolumeSize", 8, 1_024, {"RootVolumeType": "standard"}),
    (INSTANCES, "SpotFleetOnDemandBase", 0, 10_000, {}),
    (INSTANCES, "SpotFleetOnDemandAboveBasePercentage", 0, 100, {}),
    (TRIGGER, "BreachDuration", 1, 600, CPU),
    (TRIGGER, "Period", 1, 600, CPU),
    (TRIGGER, "EvaluationPeriods", 1, 600, CPU | {"Period": "1"}),
    (TRIGGER, "UpperThreshold", 0, 20_000_000, {}),
    (TRIGGER, "LowerThreshold", 0, 20_000_000, {}),
    (COMMAND, "Timeout", 1, 3_600, {}),
    (COMMAND, "BatchSize", 1, 100, {"BatchSizeType": "Percentage"}),
    (COMMAND, "BatchSize", 1, 10_000, {"BatchSizeType": "Fixed"}),
]


@pytest.mark.parametrize("row", RANGES, ids=lambda row: f"{row[1]} to {row[3]}")
def test_a_number_out_of_its_documented_range_is_refused(
    row: tuple[str, str, int, int, dict[str, str]],
) -> None:
    namespace, option, least, most, others = row
    for value in (least - 1, most + 1, -(10**9), 10**11):
        (found,) = refused({namespace: others | {option: str(value)}})
        assert found.startswith(f"{namespace}:{option} must be a "), found
        assert f" from {least} to {most}, got '{value}'" in found
    for value in (least, most):
        texts = refused({namespace: others | {option: str(value)}})
        assert not any(option in text and "from" in text for text in texts), texts


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({GROUP: {"MinSize": "5", "MaxSize": "2"}},
         "MinSize ('5') must be at most MaxSize ('2'); lower MinSize or raise MaxSize"),
        ({INSTANCES: {"EnableSpot": "true", "InstanceTypes": "t3.small",
                      "SpotFleetOnDemandBase": "3"}, GROUP: {"MaxSize": "2"}},
         "SpotFleetOnDemandBase ('3') must be at most MaxSize ('2')"),
        ({INSTANCES: {"InstanceTypes": ",".join(["t3.small"] * 41)}},
         "InstanceTypes must have 1 to 40 instance types"),
        ({INSTANCES: {"InstanceTypes": " , "}}, "InstanceTypes must have 1 to 40 instance types"),
        # a trigger
        ({TRIGGER: {"UpperThreshold": "10", "LowerThreshold": "20"}},
         "LowerThreshold ('20') must be below UpperThreshold ('10')"),
        ({TRIGGER: {"MeasureName": "CPUUtilization", "UpperThreshold": "80"}},
         "UpperThreshold ('80') must be above LowerThreshold (2000000, its default); set "
         "LowerThreshold"),
        ({TRIGGER: {"LowerThreshold": "7000000"}},
         "LowerThreshold ('7000000') must be below UpperThreshold (6000000, its default); set "
         "UpperThreshold"),
        ({TRIGGER: {"UpperThreshold": "20", "LowerThreshold": "20"}}, "must be below"),
        ({TRIGGER: {"UpperBreachScaleIncrement": "-1"}},
         "UpperBreachScaleIncrement must be above 0, for the fleet grows by it, got '-1'"),
        ({TRIGGER: {"LowerBreachScaleIncrement": "10%"}},
         "LowerBreachScaleIncrement must be below 0, for the fleet shrinks by it, got '10%'"),
        ({TRIGGER: CPU | {"Unit": "Bytes"}},
         "Unit ('Bytes') must be Percent for CPUUtilization, or the alarm never sees a value"),
        ({TRIGGER: {"Unit": "Count/Second"}}, "Unit ('Count/Second') must be Bytes for NetworkOut"),
        ({TRIGGER: CPU | {"Period": "59", "EvaluationPeriods": "25"}},
         "Period (59 min) times 25 evaluation periods is 88500 s, and CloudWatch takes at most "
         "86400 s"),
        ({TRIGGER: CPU | {"Period": "600", "EvaluationPeriods": "17"}}, "at most 604800 s"),
        ({TRIGGER: {"MeasureName": "Latency"}},
         "MeasureName ('Latency') cannot be honoured: it is measured by a load balancer"),
        # a network
        ({VPC: {"VPCId": "my vpc", "Subnets": "subnet-1"}}, "VPCId must be the id of a VPC"),
        ({VPC: {"VPCId": "vpc-1", "Subnets": "subnet-1,b"}}, "Subnets must be ids of subnets"),
        ({VPC: {"VPCId": "vpc-1", "Subnets": ","}}, "Subnets must be ids of subnets"),
    ],
)  # fmt: skip
def test_what_the_deployment_would_refuse_is_refused_here(
    settings: dict[str, Any], words: str
) -> None:
    (found,) = refused(settings)
    assert words in found


def test_the_longest_alarms_that_cloudwatch_takes_are_read() -> None:
    for period, periods in ((59, 24), (60, 168), (600, 16)):
        settings = CPU | {"Period": str(period), "EvaluationPeriods": str(periods)}
        assert refused({TRIGGER: settings}) == []


def test_props_that_decide_make_bounds_of_the_other_meaningless() -> None:
    settings = {GROUP: {"MinSize": "5", "MaxSize": "2"}, TRIGGER: {"LowerThreshold": "7000000"}}
    reading = read_settings(settings, decided=["max_capacity", "scaling"])
    assert refusals(reading.findings) == []


# ---- scheduled actions


def action(**options: str) -> Reading:
    options = {"MinSize": "1", "Recurrence": "0 8 * * *"} | options
    entries = [
        {"namespace": SCHEDULE, "resource_name": "Day", "option_name": name, "value": value}
        for name, value in options.items()
    ]
    return read_settings(entries, now=NOW)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"Recurrence": "0 8 * * ? *"}, 'write "0 8 * * *"'),
        ({"Recurrence": "cron(0 8 * * ? *)"}, 'write "0 8 * * *"'),
        ({"Recurrence": "0 25 * * *"}, 'hour: "25" is out of range'),
        ({"Recurrence": " "}, "Recurrence of Day must be five fields of cron"),
        ({"Recurrence": "@daily"}, 'five fields of cron, such as "0 0 * * *", got \'@daily\''),
        ({"Recurrence": "@every 5m"}, "Recurrence of Day must be five fields of cron"),
        ({"MinSize": "5", "MaxSize": "2"}, "MinSize of Day ('5') must be at most MaxSize ('2')"),
        ({"MinSize": "5", "DesiredCapacity": "2"},
         "MinSize of Day ('5') must be at most DesiredCapacity ('2')"),
        ({"MaxSize": "5", "DesiredCapacity": "7"},
         "DesiredCapacity of Day ('7') must be at most MaxSize ('5')"),
        ({"MinSize": "-1"}, "MinSize of Day must be a whole number from 0 to 10000, got '-1'"),
        ({"MaxSize": "10001"}, "MaxSize of Day must be a whole number from 0 to 10000"),
        ({"DesiredCapacity": "x"}, "DesiredCapacity of Day must be a whole number, got 'x'"),
        ({"StartTime": "2027-01-02T00:00:00Z", "EndTime": "2027-01-01T00:00:00Z"},
         "EndTime of Day ('2027-01-01T00:00:00Z') must be after StartTime"),
        ({"StartTime": "2027-01-02T00:00:00Z", "EndTime": "2027-01-02T00:00:00Z"}, "must be after"),
        ({"StartTime": "tomorrow"}, "StartTime of Day must be a time such as 2026-04-28T04:07:02Z"),
        ({"StartTime": "2027-W01-1"}, "StartTime of Day must be a time such as"),
        ({"StartTime": "20270101T000000Z"}, "StartTime of Day must be a time such as"),
        ({"StartTime": "2027-02-30T00:00:00Z"}, "StartTime of Day must be a time of the calendar"),
        ({"EndTime": "2027-02-03T25:00:00Z"}, "EndTime of Day must be a time of the calendar"),
        ({"EndTime": "9999-12-31T23:00:00-12:00"}, "EndTime of Day must be a time of the calendar"),
    ],
)  # fmt: skip
def test_an_action_that_auto_scaling_would_refuse_is_refused_by_its_name(
    options: dict[str, str], words: str
) -> None:
    texts = [str(finding) for finding in refusals(action(**options).findings)]
    assert len(texts) == 1, texts
    assert words in texts[0]
    assert "Day" in texts[0]


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2027-04-28T04:07:2Z", datetime(2027, 4, 28, 4, 7, 2, tzinfo=UTC)),
        ("2027-04-28T04:07:02", datetime(2027, 4, 28, 4, 7, 2, tzinfo=UTC)),
        ("2027-04-28T04:07Z", datetime(2027, 4, 28, 4, 7, tzinfo=UTC)),
        ("2027-04-28", datetime(2027, 4, 28, tzinfo=UTC)),
        ("2027-04-28 04:07:02", datetime(2027, 4, 28, 4, 7, 2, tzinfo=UTC)),
        ("2027-04-28T04:07:02+02:00", datetime(2027, 4, 28, 2, 7, 2, tzinfo=UTC)),
        ("2027-04-28T04:07:02.5-01:30", datetime(2027, 4, 28, 5, 37, 2, tzinfo=UTC)),
    ],
)
def test_a_time_is_read_in_every_form_that_elastic_beanstalk_documents(
    text: str, moment: datetime
) -> None:
    (found,) = action(StartTime=text).settings.scheduled_actions
    assert found.start_time == moment
    assert action(StartTime=text).settings.scheduled_actions[0].end_time is None


def test_a_start_in_the_past_which_auto_scaling_refuses_is_left_out() -> None:
    # given an action that began long ago and recurs
    reading = action(StartTime="2015-04-28T04:07:02Z")
    # then it recurs from now on, and nothing is lost
    (found,) = reading.settings.scheduled_actions
    assert found.start_time is None
    assert found.recurrence == "0 8 * * *"
    assert refusals(reading.findings) == warnings(reading.findings) == []
    assert any("StartTime of Day" in f.message for f in reading.findings)


def test_an_action_that_has_ended_is_passed_over_with_a_warning() -> None:
    reading = action(StartTime="2015-04-28T04:07:02Z", EndTime="2016-01-01T00:00:00Z")
    assert reading.settings.scheduled_actions == ()
    assert refusals(reading.findings) == []
    (found,) = warnings(reading.findings)
    assert "(Day: MinSize, Recurrence, StartTime, EndTime) is passed over: it ended" in str(found)


def test_an_action_without_a_recurrence_whose_time_has_passed_is_passed_over() -> None:
    entries = [
        {"namespace": SCHEDULE, "resource_name": "Once", "option_name": name, "value": value}
        for name, value in {"MinSize": "1", "StartTime": "2015-04-28T04:07:02Z"}.items()
    ]
    reading = read_settings(entries, now=NOW)
    assert refusals(reading.findings) == []
    (found,) = warnings(reading.findings)
    assert "(Once: MinSize, StartTime) is passed over: it ran once" in str(found)
    later = read_settings([*entries[:1], entries[1] | {"value": "2027-01-01"}], now=NOW)
    assert "it lacks a Recurrence, so it runs once" in str(refusals(later.findings)[0])
