"""The CDK's recommended flags change nothing that matters, and its versions are those tested."""

from __future__ import annotations

import json
import re
import tarfile
from collections.abc import Iterator
from importlib.metadata import requires, version
from pathlib import Path
from typing import Any

import aws_cdk
import pytest
from aws_cdk import App, Stack

from tests.worker_tier.examples import STACKS, build_example
from tests.worker_tier.stacks import Synthesized
from tests.worker_tier.variants import VARIANTS, build

ROOT = Path(__file__).resolve().parents[2]
#: By which a test knows that the file is the one it takes it for.
KNOWN_FLAG = "@aws-cdk/aws-iam:minimizePolicies"


@pytest.fixture(scope="module")
def flags() -> dict[str, Any]:
    """What `cdk init` writes into a new app's cdk.json, by this version of the CDK."""
    (library,) = Path(str(aws_cdk.__file__)).parent.glob("_jsii/aws-cdk-lib@*.jsii.tgz")
    with tarfile.open(library, "r|gz") as archive:
        for member in archive:
            if member.name == "package/recommended-feature-flags.json":
                found = archive.extractfile(member)
                assert found is not None
                document: dict[str, Any] = json.load(found)
                return document
    raise AssertionError(f"{library} has no recommended flags")


def test_flags_are_the_cdks_own(flags: dict[str, Any]) -> None:
    assert flags[KNOWN_FLAG] is True
    assert len(flags) > 80


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_recommended_flag_leaves_a_tier_as_it_is(variant: str, flags: dict[str, Any]) -> None:
    def template(context: dict[str, Any]) -> dict[str, Any]:
        stack = Stack(App(context=context), "Test")
        build(stack, variant)
        return Synthesized(stack).document

    without, with_all = template({}), template(flags)
    # permissions may be written in another order or in fewer statements; nothing else may change
    assert comparable(with_all) == comparable(without)
    assert without["Resources"].keys() == with_all["Resources"].keys()


@pytest.mark.parametrize("name", STACKS)
def test_every_example_builds_with_every_recommended_flag(name: str, flags: dict[str, Any]) -> None:
    template = Synthesized(build_example(name, App(context=flags)))
    assert template.one("AWS::AutoScaling::AutoScalingGroup")


def comparable(value: Any) -> Any:
    """A template with each policy as the set of single permissions that it amounts to."""
    if isinstance(value, dict):
        if isinstance(value.get("Statement"), list):
            return sorted({p for s in value["Statement"] for p in permissions(s)})
        return {key: comparable(item) for key, item in value.items()}
    return [comparable(item) for item in value] if isinstance(value, list) else value


def permissions(statement: dict[str, Any]) -> Iterator[str]:
    rest = {k: v for k, v in statement.items() if k not in ("Action", "Resource", "Sid")}
    for action in listed(statement["Action"]):
        for resource in listed(statement.get("Resource")):
            yield json.dumps([action, resource, rest], sort_keys=True)


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def test_the_cdk_that_all_this_ran_with_is_allowed_and_the_oldest_is_named() -> None:
    # `make dist` installs the oldest and synthesizes with it: a floor is a promise
    (requirement,) = [r for r in requires("worker-tier") or [] if r.startswith("aws-cdk-lib")]
    floor = re.match(r"aws-cdk-lib<3,>=([0-9.]+)$", requirement)
    assert floor is not None, requirement
    assert _numbers(version("aws-cdk-lib")) >= _numbers(floor[1])


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".")]
