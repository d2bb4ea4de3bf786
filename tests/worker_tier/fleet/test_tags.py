"""Tags of an app do not replace instances, and instances have them all the same."""

from __future__ import annotations

from typing import Any

import pytest
from aws_cdk import App, Aspects, Stack, Tag, Tags
from aws_cdk import aws_ec2 as ec2

from tests.worker_tier.stacks import GROUP, Synthesized, vpc_of
from worker_tier import WorkerCapacity, WorkerTier

TEMPLATE = "AWS::EC2::LaunchTemplate"
TYPES = [ec2.InstanceType("t4g.small"), ec2.InstanceType("m7g.medium")]


def tagged(value: str, **props: Any) -> Synthesized:
    """A tier in an app that is tagged as a pipeline does, before and after it is made."""
    app = App()
    Tags.of(app).add("git-sha", value)
    stack = Stack(app, "Test")
    tier = WorkerTier(stack, "Worker", vpc=vpc_of(stack), **props)
    Tags.of(stack).add("build", value)
    Tags.of(tier).add("deployed-at", value, priority=300)
    return Synthesized(stack)


@pytest.mark.parametrize("props", [{}, {"capacity": WorkerCapacity.spot(TYPES)}])
def test_another_value_of_a_tag_of_the_app_changes_no_launch_template(
    props: dict[str, Any],
) -> None:
    before, after = tagged("0a1b2c3", **props), tagged("4d5e6f7", **props)
    assert before.one(TEMPLATE) == after.one(TEMPLATE)
    assert before.one(GROUP)["Tags"] != after.one(GROUP)["Tags"]


def test_instances_get_the_tags_of_the_app_from_the_group() -> None:
    tags = tagged("0a1b2c3").one(GROUP)["Tags"]
    for name in ("git-sha", "build", "deployed-at"):
        assert {"Key": name, "Value": "0a1b2c3", "PropagateAtLaunch": True} in tags


def test_tags_of_the_launch_template_itself_are_on_instances_and_volumes() -> None:
    stack = Stack(App(), "Test")
    tier = WorkerTier(stack, "Worker", vpc=vpc_of(stack))
    Tags.of(stack).add("git-sha", "0a1b2c3")
    Tags.of(tier.launch_template).add("cost-center", "4711")
    template = Synthesized(stack).one(TEMPLATE)
    specified = template["LaunchTemplateData"]["TagSpecifications"]
    assert [one["ResourceType"] for one in specified] == ["instance", "volume"]
    for one in specified:
        assert {"Key": "cost-center", "Value": "4711"} in one["Tags"]
        assert [tag["Key"] for tag in one["Tags"]] == ["Name", "cost-center"]
    (own,) = template["TagSpecifications"]
    assert own["ResourceType"] == "launch-template"


def test_an_aspect_that_tags_late_changes_no_launch_template_either() -> None:
    found = []
    for value in ("monday", "tuesday"):
        stack = Stack(App(), "Test")
        WorkerTier(stack, "Worker", vpc=vpc_of(stack))
        Aspects.of(stack).add(Tag("audited-at", value), priority=1_000)
        found.append(Synthesized(stack).one(TEMPLATE))
    assert found[0] == found[1]
