"""Keeps the tags of an app off the launch template, any change of which replaces every instance.

`Tags.of(app).add("git-sha", ...)` reaches all resources. The CDK's launch template repeats its tags
in the data of its version, so a new commit would be a new version, and a deployment that changes
nothing would replace the fleet. Instances get the same tags from the Auto Scaling group, which
propagates them when it launches, and a change of which replaces nothing.

Auto Scaling propagates no tags to volumes. Tags that are added to the launch template itself
(`Tags.of(tier.launch_template)`) are meant for it, and stay on instances and volumes.
"""

from __future__ import annotations

from typing import Any, Final, cast

import jsii
from aws_cdk import Aspects, CfnResource, IStableAnyProducer, Lazy, Tag
from aws_cdk import aws_ec2 as ec2

#: What a launch template tags at launch.
_LAUNCHED: Final = ("instance", "volume")


def tag_by_the_group(template: ec2.LaunchTemplate) -> None:
    """Let a launch template have the tags that are added to it alone."""
    resource = cast(CfnResource, template.node.default_child)
    for path, kinds in (
        ("LaunchTemplateData.TagSpecifications", _LAUNCHED),
        ("TagSpecifications", ("launch-template",)),
    ):
        specifications = _Specifications(template, kinds)
        resource.add_property_override(path, Lazy.any(cast(IStableAnyProducer, specifications)))


@jsii.implements(IStableAnyProducer)
class _Specifications:
    """The tags that were added to a launch template alone, when the template is written."""

    def __init__(self, template: ec2.LaunchTemplate, kinds: tuple[str, ...]) -> None:
        self._template = template
        self._kinds = kinds

    @jsii.member(jsii_name="produce")
    def produce(self) -> Any:
        # The last one of a key wins, as it does for the CDK.
        tags = {
            aspect.key: aspect.value
            for aspect in Aspects.of(self._template).all
            if isinstance(aspect, Tag)
        }
        listed = [{"Key": key, "Value": value} for key, value in sorted(tags.items())]
        return [{"ResourceType": kind, "Tags": listed} for kind in self._kinds]
