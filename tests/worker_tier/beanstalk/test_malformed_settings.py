"""Whatever settings hold, a tier is made from them or refused by name: no traceback."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from aws_cdk import Token
from aws_cdk.assertions import Annotations, Match
from hypothesis import HealthCheck, given, settings

from tests.bootstrap.beanstalk.test_malformed import entries, namespaces
from tests.bootstrap.beanstalk.test_secrets_in_messages import DOCUMENTS, MARKER
from tests.worker_tier.stacks import Synthesized, new_stack, vpc_of
from worker_tier import InvalidProps, WorkerApplication, WorkerTier

PROPERTIES = "aws:elasticbeanstalk:application:environment"
SCHEDULE = "aws:autoscaling:scheduledaction"


def problems_of(document: Any) -> tuple[str, ...]:
    """The problems by which settings are refused; empty if a tier is made and synthesized."""
    stack = new_stack()
    try:
        WorkerTier.from_option_settings(stack, "Worker", document, vpc=vpc_of(stack))
    except InvalidProps as error:
        return error.problems
    Synthesized(stack).all("AWS::SQS::Queue")
    return ()


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(document=namespaces | entries)
def test_settings_of_any_shape_become_a_tier_or_are_refused_by_name(document: Any) -> None:
    for problem in problems_of(document):
        problem.encode()  # raises for half of a character


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"aws:autoscaling:launchconfiguration": {"InstanceType": "t2micro"}}, "an instance type"),
        ({"aws:autoscaling:launchconfiguration": {"InstanceType": "x.y"}}, "an instance type"),
        ({"aws:ec2:instances": {"InstanceTypes": "t3.small,foo"}}, "an instance type"),
        ({PROPERTIES: {"A": "\ud800"}}, "half of a character"),
        ({PROPERTIES: {"\ud800": "a"}}, "half of a character"),
        ({"\ud800": {"A": "a"}}, "half of a character"),
        ({PROPERTIES: {"A": 10**5000}}, "too many digits"),
        (
            {PROPERTIES: {"A": Token.as_list({"Ref": "Zones"})}},
            "a list of the CDK",
        ),
    ],
)
def test_what_would_end_in_a_traceback_is_refused(document: Any, words: str) -> None:
    assert any(words in problem for problem in problems_of(document))


@pytest.mark.parametrize("document", DOCUMENTS.values(), ids=DOCUMENTS.keys())
def test_a_secret_is_in_no_error_and_in_no_warning(document: Any, tmp_path: Path) -> None:
    (tmp_path / "Procfile").write_text("web: python3 -m http.server $PORT\n")
    stack = new_stack()
    reported = ""
    try:
        WorkerTier.from_option_settings(
            stack,
            "Worker",
            document,
            vpc=vpc_of(stack),
            application=WorkerApplication.from_asset(str(tmp_path)),
        )
    except InvalidProps as error:
        reported = str(error)
    warned = Annotations.from_stack(stack).find_warning("*", Match.any_value())
    assert MARKER not in reported + "".join(str(entry.entry.data) for entry in warned)


def test_names_of_scheduled_actions_that_differ_in_a_slash_are_two_actions() -> None:
    options = {"Recurrence": "0 8 * * *", "MinSize": "1"}
    document = [
        {"namespace": SCHEDULE, "resource_name": name, "option_name": option, "value": value}
        for name in ("a/b", "a-b")
        for option, value in options.items()
    ]
    stack = new_stack()
    WorkerTier.from_option_settings(stack, "Worker", document, vpc=vpc_of(stack))
    assert len(Synthesized(stack).all("AWS::AutoScaling::ScheduledAction")) == 2
    (problem,) = problems_of(document[:1])
    assert "(a/b: Recurrence) cannot be honoured: it lacks MinSize" in problem
