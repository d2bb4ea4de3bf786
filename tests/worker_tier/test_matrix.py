"""The same code renders for every partition, and what it renders is frozen.

A golden template that changed on purpose is written anew by
`UPDATE_GOLDEN=1 pytest tests/worker_tier/test_matrix.py`; the difference is part of the review.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App, Environment, Stack
from cfnlint.jsonschema import StandardValidator  # type: ignore[import-untyped]

from sqsd.contract import SETTINGS_PATH
from tests.worker_tier.stacks import Synthesized
from tests.worker_tier.variants import VARIANTS, build
from tools.reference.tier_json import SCHEMA_FILE
from worker_tier_bootstrap.user_data import files_in_user_data

GOLDEN = Path(__file__).parent / "golden"
#: None: a stack for no account and region in particular.
REGIONS = [None, "us-east-1", "cn-north-1", "us-gov-west-1"]
#: Principals that have the same name in every partition.
UNIVERSAL = ("ec2.amazonaws.com", "cloudwatch.amazonaws.com", "lambda.amazonaws.com")


def template_of(variant: str, region: str | None) -> Synthesized:
    env = None if region is None else Environment(account="111122223333", region=region)
    stack = Stack(App(), "Test", env=env)
    build(stack, variant)
    return Synthesized(stack)


@pytest.mark.parametrize("region", REGIONS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_template_names_no_partition_but_its_own(variant: str, region: str | None) -> None:
    resources = json.dumps(template_of(variant, region).resources)
    for name in UNIVERSAL:
        resources = resources.replace(f'"{name}"', "")
    # the path of a role that AWS makes, the same everywhere
    resources = resources.replace("aws-service-role/autoscaling.amazonaws.com", "")
    assert "arn:aws" not in resources
    assert "amazonaws.com" not in resources


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_region_gets_the_same_resources(variant: str) -> None:
    ids = {tuple(sorted(template_of(variant, region).resources)) for region in REGIONS}
    assert len(ids) == 1


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_template_is_what_it_was(variant: str) -> None:
    found = normal(template_of(variant, None).document)
    file = GOLDEN / f"{variant}.json"
    if os.environ.get("UPDATE_GOLDEN"):
        file.parent.mkdir(exist_ok=True)
        file.write_text(found, encoding="utf-8")
    assert found == file.read_text(encoding="utf-8"), (
        f"the template of {variant} changed; if on purpose, run UPDATE_GOLDEN=1 pytest"
        " tests/worker_tier/test_matrix.py and read the difference"
    )


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_tier_json_of_a_template_fits_the_published_schema(variant: str) -> None:
    written = files_in_user_data(template_of(variant, None).user_data())[SETTINGS_PATH]
    validator = StandardValidator(json.loads(SCHEMA_FILE.read_text(encoding="utf-8")))
    assert [error.message for error in validator.iter_errors(json.loads(written))] == []


def normal(document: dict[str, Any]) -> str:
    """A template without what changes with every change of the daemon: hashes and user data.

    User data has tests of its own; here its references count, not its text.
    """
    for resource in document["Resources"].values():
        data = resource.get("Properties", {}).get("LaunchTemplateData")
        if data is not None:
            data["UserData"] = sorted({json.dumps(r) for r in references(data["UserData"])})
    text = json.dumps(document, indent=1, sort_keys=True)
    return re.sub(r"[0-9a-f]{64}", "<hash>", text) + "\n"


def references(value: Any) -> list[Any]:
    """Every reference in an intrinsic, however deep."""
    if isinstance(value, dict):
        (key,) = value
        if key in ("Ref", "Fn::GetAtt"):
            return [value]
        return references(value[key])
    if isinstance(value, list):
        return [reference for item in value for reference in references(item)]
    return []


def test_a_stack_is_the_same_however_often_it_is_synthesized() -> None:
    first, second = (template_of("encrypted", None).document for _ in range(2))
    assert first == second
