"""Every example synthesizes as its README says, and has what it is an example of."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App, Environment

from tests.worker_tier.stacks import Synthesized, resolved

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
#: Directory -> class of the stack, its arguments.
STACKS: dict[str, tuple[str, dict[str, Any]]] = {
    "minimal": ("Minimal", {}),
    "existing_queue": ("Existing", {"queue_name": "orders", "key_id": "0a1b"}),
    "fifo_spot_zero": ("FifoSpotZero", {}),
    "periodic": ("Periodic", {"mail": "me@example.com"}),
    "producer_lambda": ("ProducerLambda", {}),
    "china": ("China", {"env": Environment(account="111122223333", region="cn-north-1")}),
}


def synthesized(name: str) -> Synthesized:
    path = EXAMPLES / name / "app.py"
    spec = importlib.util.spec_from_file_location(f"example_{name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    class_name, props = STACKS[name]
    return Synthesized(getattr(module, class_name)(App(), "Example", **props))


def test_every_example_with_a_stack_is_here_and_tells_how_to_deploy_it() -> None:
    assert {path.parent.name for path in EXAMPLES.glob("*/app.py")} - {"python_worker"} == set(
        STACKS
    )
    for name in STACKS:
        readme = (EXAMPLES / name / "README.md").read_text(encoding="utf-8")
        assert f'cdk deploy --app "python examples/{name}/app.py"' in readme


@pytest.mark.parametrize("name", STACKS)
def test_an_example_is_one_tier(name: str) -> None:
    template = synthesized(name)
    assert len(template.all("AWS::AutoScaling::AutoScalingGroup")) == 1


def test_the_fifo_example_is_ordered_cheap_and_may_be_empty() -> None:
    template = synthesized("fifo_spot_zero")
    assert all(queue["FifoQueue"] for queue in template.all("AWS::SQS::Queue").values())
    group = template.one("AWS::AutoScaling::AutoScalingGroup")
    assert group["MinSize"] == "0"
    distribution = group["MixedInstancesPolicy"]["InstancesDistribution"]
    assert distribution["OnDemandPercentageAboveBaseCapacity"] == 0
    assert template.one("AWS::AutoScaling::ScalingPolicy", "Wake")


def test_the_periodic_example_has_both_kinds_of_tasks() -> None:
    script = synthesized("periodic").user_data()
    assert "nightly-report" in script
    assert "Europe/Berlin" in script


def test_the_existing_queue_is_left_alone_and_its_key_is_used() -> None:
    template = synthesized("existing_queue")
    assert template.all("AWS::SQS::Queue") == {}
    text = json.dumps(template.statements("AWS::IAM::ManagedPolicy", "FleetPolicy"))
    assert "kms:Decrypt" in text


def test_china_needs_no_way_out_and_names_its_own_endpoints() -> None:
    template = synthesized("china")
    assert template.all("AWS::EC2::NatGateway") == {}
    endpoints = template.all("AWS::EC2::VPCEndpoint").values()
    names = {
        name if isinstance(name := endpoint["ServiceName"], str) else resolved(name)
        for endpoint in endpoints
    }
    assert "cn.com.amazonaws.cn-north-1.sqs" in names or "com.amazonaws.cn-north-1.sqs" in names
    assert len(names) == 6


def test_an_example_runs_as_a_program(tmp_path: Path) -> None:
    completed = subprocess.run(
        [sys.executable, EXAMPLES / "minimal" / "app.py"],
        capture_output=True,
        text=True,
        timeout=100,
        env=os.environ | {"CDK_OUTDIR": str(tmp_path)},
    )
    assert completed.returncode == 0, completed.stderr
    assert (tmp_path / "MinimalExample.template.json").is_file()
