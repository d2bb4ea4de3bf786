"""Outcomes agree with what becomes of an option: nothing is honoured that is not taken."""

from __future__ import annotations

from typing import Any

import pytest

from worker_tier_bootstrap.beanstalk import Outcome, read_settings, refusals, warnings

SQSD = "aws:elasticbeanstalk:sqsd"
GROUP = "aws:autoscaling:asg"
LAUNCH = "aws:autoscaling:launchconfiguration"
TRIGGER = "aws:autoscaling:trigger"
INSTANCES = "aws:ec2:instances"
LOGS = "aws:elasticbeanstalk:cloudwatch:logs"
PROPERTIES = "aws:elasticbeanstalk:application:environment"
SECRETS = "aws:elasticbeanstalk:application:environmentsecrets"
BOTH = {"UpperThreshold": "80", "LowerThreshold": "20"}


def outcomes(document: Any, **props: Any) -> dict[str, Outcome]:
    return {f.option: f.outcome for f in read_settings(document, **props).findings}


@pytest.mark.parametrize(
    "document",
    [
        {LOGS: {"RetentionInDays": "7"}},
        {LOGS: {"DeleteOnTerminate": "false"}},
        {INSTANCES: {"EnableSpot": "false"}},
        {INSTANCES: {"SpotFleetOnDemandBase": "0"}},
        {INSTANCES: {"SpotFleetOnDemandAboveBasePercentage": "70"}},
        {INSTANCES: {"SpotAllocationStrategy": "capacity-optimized"}},
        {GROUP: {"EnableCapacityRebalancing": "false"}},
        {GROUP: {"EnableCapacityRebalancing": "true"}},
    ],
)
def test_what_nothing_is_taken_from_is_passed_over_and_no_warning(document: Any) -> None:
    reading = read_settings(document)
    (found,) = reading.findings
    assert found.outcome is Outcome.PASSED_OVER
    assert warnings(reading.findings) == []
    assert reading.settings.origins == {}


def test_what_a_dump_says_of_spot_and_lines_that_are_off_is_passed_over() -> None:
    document = {
        INSTANCES: {"EnableSpot": "false", "SpotFleetOnDemandBase": "5", "InstanceTypes": "t3.nano",
                    "SpotFleetOnDemandAboveBasePercentage": "0"},
        GROUP: {"EnableCapacityRebalancing": "false", "MaxSize": "2"},
        LOGS: {"StreamLogs": "false", "DeleteOnTerminate": "false", "RetentionInDays": "7"},
    }  # fmt: skip
    honoured = [o for o, outcome in outcomes(document).items() if outcome is Outcome.HONOURED]
    assert sorted(honoured) == ["InstanceTypes", "MaxSize", "StreamLogs"]
    assert refusals(read_settings(document).findings) == []


def test_what_is_asked_for_beside_spot_and_lines_is_honoured() -> None:
    document = {
        INSTANCES: {"EnableSpot": "true", "SpotFleetOnDemandBase": "1", "InstanceTypes": "t3.nano"},
        GROUP: {"EnableCapacityRebalancing": "true"},
        LOGS: {"StreamLogs": "true", "DeleteOnTerminate": "true", "RetentionInDays": "7"},
    }
    assert set(outcomes(document).values()) == {Outcome.HONOURED}


@pytest.mark.parametrize(
    ("document", "option"),
    [
        ({LOGS: {"StreamLogs": "true", "DeleteOnTerminate": "false"}}, "DeleteOnTerminate"),
        ({INSTANCES: {"EnableSpot": "true"}}, "EnableSpot"),
        ({LAUNCH: {"DisableDefaultEC2SecurityGroup": "true"}}, "DisableDefaultEC2SecurityGroup"),
        ({TRIGGER: {"MeasureName": "CPUUtilization"}}, "MeasureName"),
    ],
)
def test_no_option_is_refused_and_honoured(document: Any, option: str) -> None:
    found = [f.outcome for f in read_settings(document).findings if f.option == option]
    assert found == [Outcome.REFUSED]


def test_a_value_that_would_be_passed_over_must_still_be_one() -> None:
    (found,) = refusals(read_settings({INSTANCES: {"SpotFleetOnDemandBase": "x"}}).findings)
    assert "must be a whole number" in found.message


# ---- thresholds


@pytest.mark.parametrize(
    ("options", "lacks"),
    [
        ({}, "UpperThreshold and LowerThreshold"),
        ({"UpperThreshold": "80"}, "LowerThreshold"),
        ({"LowerThreshold": "20"}, "UpperThreshold"),
    ],
)
@pytest.mark.parametrize("measure", ["CPUUtilization", "DiskReadOps"])
def test_a_measure_without_its_thresholds_is_refused(
    measure: str, options: dict[str, str], lacks: str
) -> None:
    reading = read_settings({TRIGGER: {"MeasureName": measure, **options}})
    (found,) = refusals(reading.findings)
    if lacks == "LowerThreshold":
        assert "must be above LowerThreshold (2000000, its default)" in found.message
        assert found.hint == "set LowerThreshold too"
        return
    assert found.message == (
        f"{TRIGGER}:MeasureName ('{measure}') cannot be honoured: the defaults of its thresholds,"
        " 6000000 and 2000000, are bytes of NetworkOut"
    )
    assert found.hint == f"set {lacks} too"
    followed = {TRIGGER: {"MeasureName": measure, **BOTH}}
    assert refusals(read_settings(followed).findings) == []


@pytest.mark.parametrize("measure", ["NetworkOut", "NetworkIn", "DiskReadBytes"])
def test_a_measure_in_bytes_has_elastic_beanstalks_thresholds(measure: str) -> None:
    assert refusals(read_settings({TRIGGER: {"MeasureName": measure}}).findings) == []


def test_code_that_decides_on_scaling_needs_no_thresholds() -> None:
    document = {TRIGGER: {"MeasureName": "CPUUtilization"}}
    assert refusals(read_settings(document, decided=["scaling"]).findings) == []


@pytest.mark.parametrize("measure", ["Latency", "Frobs"])
@pytest.mark.parametrize("unit", ["Seconds", "Percent", "Bytes"])
def test_a_measure_that_is_refused_says_nothing_about_its_unit(measure: str, unit: str) -> None:
    document = {TRIGGER: {"MeasureName": measure, "Unit": unit, **BOTH}}
    (found,) = refusals(read_settings(document).findings)
    assert found.option == "MeasureName"


def test_the_hint_for_a_balancers_measure_names_its_unit_too() -> None:
    document = {TRIGGER: {"MeasureName": "Latency", "Unit": "Seconds", **BOTH}}
    (found,) = refusals(read_settings(document).findings)
    assert "with thresholds and the Unit of it, or pass scaling" in found.hint
    followed = {TRIGGER: {"MeasureName": "CPUUtilization", "Unit": "Percent", **BOTH}}
    assert refusals(read_settings(followed).findings) == []


# ---- options that are always refused


@pytest.mark.parametrize(
    ("namespace", "option", "words", "hint"),
    [
        (
            SQSD,
            "WorkerQueueURL",
            "a URL does not say what kind of queue",
            "pass queue=ExistingQueue.imported(...)",
        ),
        (
            LAUNCH,
            "IamInstanceProfile",
            "an instance profile is made for the role",
            "pass role=, or",
        ),
        (LAUNCH, "ImageId", "an id does not say which system the image has", "pass machine_image="),
        (LAUNCH, "EC2KeyName", "no port is open for SSH", "set session_manager=True"),
        ("aws:elasticbeanstalk:sns:topics", "Notification Endpoint", "", "notifications_topic"),
        ("aws:rds:dbinstance", "DBPassword", "no database is made here", "leave it out, make the"),
        (
            SECRETS,
            "DB_PASSWORD",
            "values are not fetched from Secrets Manager",
            "leave it out, write the ARN as a property",
        ),
    ],
)
@pytest.mark.parametrize(
    "value", [{"Ref": "P"}, {"Fn::If": ["A", "b", "c"]}, "{{resolve:ssm:a}}", {"a": "b", "c": "d"}]
)
def test_a_function_in_an_option_that_is_always_refused_gets_the_reason_of_the_option(
    namespace: str, option: str, words: str, hint: str, value: Any
) -> None:
    (found,) = refusals(read_settings({namespace: {option: value}}).findings)
    assert words in found.message
    assert hint in found.hint
    assert "write the value" not in found.hint


# ---- forms

ENTRY = f"{{Namespace: {SQSD}, OptionName: HttpPath, Value: /a}}"


@pytest.mark.parametrize(
    "text",
    [
        f"option_settings:\n  namespace: {SQSD}\n  option_name: HttpPath\n  value: /a\n",
        f"namespace: {SQSD}\noption_name: HttpPath\nvalue: /a\n",
        f"OptionSettings: {ENTRY}\n",
        "option_settings:\n  option_name: HttpPath\n  value: /a\n",
    ],
)
def test_an_entry_without_its_hyphen_gets_one_hint(text: str) -> None:
    (found,) = refusals(read_settings(text).findings)
    assert found.message == "an entry of a list stands alone, as a mapping"
    assert found.hint == "write a hyphen before the entry, as in `- namespace: ...`"
    followed = f"option_settings:\n- {ENTRY}\n"
    assert read_settings(followed).settings.sqsd == {"http_path": "/a"}


STREAM = f"- ConfigurationSettings:\n  - OptionSettings:\n    - {ENTRY}\n"


def test_yaml_stream_is_read_like_the_dump() -> None:
    reading = read_settings(STREAM)
    assert refusals(reading.findings) == []
    assert reading.settings.sqsd == {"http_path": "/a"}
    # and several pages have several sets
    (found,) = refusals(read_settings(STREAM + STREAM).findings)
    assert "the document has 2 sets of settings" in found.message


# ---- names that are near


@pytest.mark.parametrize(
    ("namespace", "near"),
    [
        ("aws:elasticbeanstalk:environment:sqsd", SQSD),
        ("aws:elasticbeanstalk:sqs", SQSD),
        ("aws:elasticbeanstalk:sqsdd", SQSD),
        ("aws:elasticbeanstlak:sqsd", SQSD),
        ("elasticbeanstalk:sqsd", SQSD),
        ("sqsd", SQSD),
        ("aws:ec2:asg", GROUP),
        ("aws:elasticbeanstalk:application:enviroment", PROPERTIES),
        ("aws:elasticbeanstalk:application:env", PROPERTIES),
        ("aws:autoscaling:triggers", TRIGGER),
        ("aws:autoscaling:launchconfig", LAUNCH),
    ],
)
def test_a_namespace_that_is_near_is_named(namespace: str, near: str) -> None:
    (found,) = refusals(read_settings({namespace: {"A": "b"}}).findings)
    assert found.hint.startswith(f"the nearest name is {near}; ")


@pytest.mark.parametrize(
    "namespace",
    ["aws:elasticbeanstalk:foo", "aws:elb:whatever", "aws:foo:bar", "aws:elasticbeanstalk:queue",
     "aws:ec2:cpu", "aws:s3:bucket"],
)  # fmt: skip
def test_a_namespace_that_is_like_none_gets_none(namespace: str) -> None:
    (found,) = refusals(read_settings({namespace: {"A": "b"}}).findings)
    assert "nearest" not in found.hint
    assert found.hint


# ---- templates


def template(default: str, ref: str = "P") -> str:
    return (
        f"Parameters: {{P: {{Type: String{default}}}}}\n"
        "Resources:\n  W:\n    Type: AWS::ElasticBeanstalk::Environment\n    Properties:\n"
        "      OptionSettings:\n      - Namespace: aws:elasticbeanstalk:sqsd\n"
        f"        OptionName: HttpPath\n        Value: !Ref {ref}\n"
    )


def test_a_parameter_has_its_default_with_a_warning() -> None:
    reading = read_settings(template(", Default: /a"))
    assert refusals(reading.findings) == []
    assert reading.settings.sqsd == {"http_path": "/a"}
    (found,) = warnings(reading.findings)
    assert found.message == "the template's parameter P has its default here"
    assert found.hint == "if the stack was given another value, write that one in its place"


def test_a_parameter_in_a_substitution_has_its_default() -> None:
    text = template(", Default: a").replace("!Ref P", "!Sub '/${P}/${P}'")
    reading = read_settings(text)
    assert reading.settings.sqsd == {"http_path": "/a/a"}
    assert len(warnings(reading.findings)) == 1


@pytest.mark.parametrize(
    ("default", "ref"), [("", "P"), (", Default: /a, NoEcho: true", "P"), (", Default: /a", "Q")]
)
def test_a_parameter_without_a_default_that_may_be_read_is_refused(default: str, ref: str) -> None:
    (found,) = refusals(read_settings(template(default, ref)).findings)
    assert f"Ref ({ref}) cannot be resolved" in found.message


def test_the_queue_of_elastic_beanstalks_own_stack_names_its_prop() -> None:
    queue = {"Type": "AWS::SQS::Queue", "Properties": {"VisibilityTimeout": 30}}
    document = {
        "Resources": {"AWSEBWorkerQueue": queue},
        "option_settings": {SQSD: {"HttpPath": "/"}},
    }
    (found,) = warnings(read_settings(document).findings)
    assert found.hint == (
        f"set {SQSD}:VisibilityTimeout to what Resources gives AWSEBWorkerQueue, or pass"
        " visibility_timeout=; make other resources in the stack that holds the tier"
    )
    followed = {SQSD: {"HttpPath": "/", "VisibilityTimeout": "30"}}
    assert refusals(read_settings(followed).findings) == []
