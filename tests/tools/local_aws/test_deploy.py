"""`deploy`: the real command line, its outputs, and its output when it fails."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tools.local_aws import LocalAws, LocalAwsError
from tools.local_aws import deploy as deploy_module
from tools.local_aws.deploy import deploy

pytestmark = [pytest.mark.local_aws, pytest.mark.cdk]

APP = """
import aws_cdk as cdk
from aws_cdk import aws_sqs as sqs
app = cdk.App()
stack = cdk.Stack(app, "Small")
queue = sqs.Queue(stack, "Queue", visibility_timeout=cdk.Duration.seconds(77))
cdk.CfnOutput(stack, "Url", value=queue.queue_url)
cdk.CfnOutput(stack, "Said", value=app.node.try_get_context("say"))
app.synth()
"""


@pytest.fixture(autouse=True)
def _node(require_tool: Callable[[str], Path]) -> None:
    require_tool("node")


def test_an_app_is_deployed_with_its_context_and_its_outputs_are_returned(
    fresh_aws: LocalAws, tmp_path: Path
) -> None:
    (tmp_path / "app.py").write_text(APP)
    said: list[str] = []
    deployment = deploy(
        fresh_aws,
        directory=tmp_path / "run",
        context={"say": "a = b"},
        app=f"{sys.executable} {tmp_path}/app.py",
        say=said.append,
    )
    assert deployment.stack_name == "Small"
    assert deployment.outputs["Said"] == "a = b"
    attributes = fresh_aws.client("sqs").get_queue_attributes(
        QueueUrl=deployment.outputs["Url"], AttributeNames=["VisibilityTimeout"]
    )
    assert attributes["Attributes"] == {"VisibilityTimeout": "77"}
    assert [line.split(":")[0] for line in said] == ["cdk synth", "cdk bootstrap", "cdk deploy"]


def test_an_app_that_fails_is_one_error_with_its_output(
    fresh_aws: LocalAws, tmp_path: Path
) -> None:
    (tmp_path / "app.py").write_text("raise SystemExit('the vpc is made of cheese')")
    with pytest.raises(LocalAwsError, match=r"cdk synth failed with exit code(?s:.*)of cheese"):
        deploy(fresh_aws, directory=tmp_path / "run", app=f"{sys.executable} {tmp_path}/app.py")


def test_without_the_command_line_the_hint_is_named(
    local_aws: LocalAws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deploy_module, "CDK", tmp_path / "cdk")
    with pytest.raises(LocalAwsError, match="the CDK's command line is not installed"):
        deploy(local_aws, directory=tmp_path / "run")
