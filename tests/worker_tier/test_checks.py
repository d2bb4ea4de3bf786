"""Props that cannot be used: every problem at once, by name, value and range."""

from __future__ import annotations

from typing import Any

import pytest
from aws_cdk import CfnParameter, Duration, Stack
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_sns as sns
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sqsd.contract import SqsdOptions
from tests.worker_tier.stacks import (
    new_stack,
    problems_of,
    vpc_of,
)
from worker_tier import (
    InvalidProps,
    WorkerTier,
)


def test_all_problems_are_reported_at_once_with_the_path() -> None:
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
def test_a_bad_prop_is_reported_by_name_value_and_range(props: dict[str, Any], words: str) -> None:
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


@pytest.mark.parametrize("props", [{"alarms": False}, {"single_instance": True}])
def test_an_alarm_action_without_alarms_is_refused_not_dropped(props: dict[str, Any]) -> None:
    stack = new_stack()
    action = actions.SnsAction(sns.Topic(stack, "Topic"))
    (problem,) = problems_of(alarm_actions=[action], **props)
    assert problem.startswith("alarm_actions are given and there are no alarms")
    tier = WorkerTier(stack, "Worker", vpc=vpc_of(stack), **props)
    with pytest.raises(InvalidProps, match="add_alarm_action: there are no alarms"):
        tier.add_alarm_action(action)
