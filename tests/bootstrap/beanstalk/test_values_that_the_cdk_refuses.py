"""Values that would end in a traceback of Python, jsii or the CDK are refused by their option."""

from __future__ import annotations

from typing import Any

import pytest

from worker_tier_bootstrap.beanstalk import read_settings, refusals

LAUNCH = "aws:autoscaling:launchconfiguration"
INSTANCES = "aws:ec2:instances"
PROPERTIES = "aws:elasticbeanstalk:application:environment"


@pytest.mark.parametrize("name", ["t2micro", "x.y", "t3.small, t3.micro", "T3.small", ".", "t3."])
def test_what_is_no_instance_type_is_refused(name: str) -> None:
    (found,) = refusals(read_settings({LAUNCH: {"InstanceType": name}}).findings)
    assert f"InstanceType must be an instance type, such as t3.small, got {name!r}" in str(found)
    (found,) = refusals(read_settings({INSTANCES: {"InstanceTypes": "t3.small,x.y"}}).findings)
    assert "InstanceTypes must be an instance type" in str(found)


@pytest.mark.parametrize("name", ["t3.small", "m8i-flex.large", "i7ie.metal-24xl", "c7gn.metal"])
def test_an_instance_type_is_read(name: str) -> None:
    reading = read_settings({LAUNCH: {"InstanceType": f" {name} "}})
    assert refusals(reading.findings) == []
    assert reading.settings.instance_types == (name,)


def test_a_scheduled_action_that_changes_nothing_is_refused() -> None:
    entry = {
        "namespace": "aws:autoscaling:scheduledaction",
        "resource_name": "Day",
        "option_name": "Recurrence",
        "value": "0 8 * * *",
    }
    reading = read_settings([entry])
    (found,) = refusals(reading.findings)
    assert "it lacks MinSize, MaxSize and DesiredCapacity, so it changes nothing" in str(found)
    assert reading.settings.scheduled_actions == ()


HALF = "\ud800"


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        ({PROPERTIES: {"A": HALF}}, "half of a character"),
        ({PROPERTIES: {HALF: "a"}}, "half of a character"),
        ({HALF: {"A": "a"}}, "half of a character"),
        ([{"namespace": HALF, "option_name": "A", "value": "a"}], "half of a character"),
        ('{"A": "\\ud800"}', "half of a character"),
        ('{"\\udfff": "a"}', "half of a character"),
        ('A: "\\ud800"', "half of a character"),
        ('"\\ud800": a', "half of a character"),
        ({PROPERTIES: {"A": '`{"Ref": "\\ud800"}`'}}, "half of a character"),
        ({PROPERTIES: {"A": 10**5000}}, "a number has too many digits"),
        ({10**5000: {"A": "a"}}, "a number has too many digits"),
        ({PROPERTIES: {"A": ["#{Token[TOKEN.1]}"]}}, "a list of the CDK"),
    ],
)
def test_what_no_template_can_hold_is_refused(document: Any, problem: str) -> None:
    (found,) = refusals(read_settings(document).findings)
    assert problem in found.message
    str(found).encode()


def test_a_character_that_is_written_as_two_halves_is_one() -> None:
    reading = read_settings(f'{{"{PROPERTIES}": {{"A": "\\ud83d\\ude00"}}}}')
    assert str(reading.settings.environment["A"]) == "\U0001f600"
