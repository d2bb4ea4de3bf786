"""Every example synthesizes as its README says, and has what it is an example of."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App
from aws_cdk.assertions import Annotations, Match

from tests.worker_tier.examples import ALL, EXAMPLES, STACKS, build_example
from tests.worker_tier.stacks import Synthesized, new_stack, resolved, vpc_of
from worker_tier import WorkerApplication, WorkerMachineImage, WorkerTier
from worker_tier_bootstrap import paths
from worker_tier_bootstrap.user_data import files_in_user_data


@cache
def synthesized(name: str) -> Synthesized:
    return Synthesized(build_example(name, App()))


def test_every_example_with_a_stack_is_here_and_says_how_to_deploy_it() -> None:
    assert {path.parent.name for path in EXAMPLES.glob("*/app.py")} - {"python_worker"} == set(
        STACKS
    )
    for name in STACKS:
        readme = (EXAMPLES / name / "README.md").read_text(encoding="utf-8")
        assert f'cdk deploy --app "python examples/{name}/app.py"' in readme


@pytest.mark.parametrize("name", ALL)
def test_an_example_is_one_tier_with_something_that_answers(name: str) -> None:
    template = synthesized(name)
    assert len(template.all("AWS::AutoScaling::AutoScalingGroup")) == 1
    # an instance without an application receives nothing, and its boot never succeeds
    written = json.loads(files_in_user_data(template.user_data())[paths.INSTANCE])
    assert written["application"]["kind"] == "bundle"


def test_a_tier_that_nothing_would_answer_for_is_warned_of() -> None:
    def warnings(**props: Any) -> list[str]:
        stack = new_stack()
        WorkerTier(stack, "Worker", vpc=vpc_of(stack), **props)
        found = Annotations.from_stack(stack).find_warning("/Test/Worker", Match.any_value())
        return [str(message.entry.data) for message in found]

    (warning,) = warnings()
    assert "pass application=WorkerApplication.from_asset(...)" in warning
    assert warnings(application=WorkerApplication.external()) == []
    assert warnings(machine_image=WorkerMachineImage.debian_12()) == []


def test_the_periodic_examples_topic_lets_alarms_publish() -> None:
    template = synthesized("periodic")
    topic = template.id_of("AWS::SNS::Topic", "Alarms")
    policies = template.all("AWS::SNS::TopicPolicy").values()
    (policy,) = [p for p in policies if p["Topics"] == [{"Ref": topic}]]
    allowed = [s for s in policy["PolicyDocument"]["Statement"] if s["Effect"] == "Allow"]
    assert allowed == [
        {
            "Action": "sns:Publish",
            "Condition": {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}},
            "Effect": "Allow",
            "Principal": {"Service": "cloudwatch.amazonaws.com"},
            "Resource": {"Ref": topic},
            "Sid": "1",
        }
    ]


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
