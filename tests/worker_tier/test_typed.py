"""An app of a user type-checks under `mypy --strict` against the wheels, not against this tree."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.worker_tier.test_wheel import environment as installed  # noqa: F401 - a fixture

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.cdk, pytest.mark.timeout(300)]

APP = """
from aws_cdk import App, CfnOutput, Duration, Stack
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sns as sns
from constructs import Construct

from worker_tier import PeriodicTask, WorkerApplication, WorkerCapacity, WorkerScaling, WorkerTier


class Mine(Stack):
    def __init__(self, scope: Construct, id: str, *, function: lambda_.IFunction) -> None:
        super().__init__(scope, id)
        tier = WorkerTier(
            self,
            "Worker",
            vpc=ec2.Vpc(self, "Vpc"),
            application=WorkerApplication.from_asset("app", port=3000),
            capacity=WorkerCapacity.spot([ec2.InstanceType("t4g.small")]),
            scaling=WorkerScaling.target_latency(Duration.minutes(1), Duration.seconds(2)),
            alarm_actions=[actions.SnsAction(sns.Topic(self, "Alarms"))],
            inactivity_timeout=Duration.seconds(60),
        )
        tier.add_periodic_task(PeriodicTask(name="tick", url="/tick", schedule="* * * * *"))
        tier.grant_send_messages(function)
        ec2.Connections(security_groups=[]).allow_default_port_from(tier)
        CfnOutput(self, "QueueUrl", value=tier.queue.queue_url)
"""
#: A mistake, and what mypy calls it: that it is seen shows that the types are there at all.
MISTAKE = """
WorkerTier(Stack(App(), "S"), "Worker", vpc="vpc-1", visibility_timeout=300)
"""


def mypy(environment: Path, directory: Path, text: str) -> subprocess.CompletedProcess[str]:
    (directory / "app.py").write_text(text)
    return subprocess.run(
        [
            *(sys.executable, "-m", "mypy", "--strict", "--config-file", ""),
            *("--python-executable", environment / "bin" / "python"),
            # kept, for reading the CDK's types anew takes a minute and more
            *("--cache-dir", ROOT / ".cache" / "mypy-of-a-user", "app.py"),
        ],
        capture_output=True,
        text=True,
        timeout=280,
        cwd=directory,
    )


def test_an_app_of_a_user_is_clean_and_its_mistakes_are_seen(
    installed: Path,  # noqa: F811 - that fixture
    tmp_path: Path,
) -> None:
    clean = mypy(installed, tmp_path, APP)
    assert clean.returncode == 0, clean.stdout + clean.stderr
    wrong = mypy(installed, tmp_path, APP + MISTAKE)
    assert '"vpc" to "WorkerTier" has incompatible type "str"' in wrong.stdout
    assert '"visibility_timeout" to "WorkerTier" has incompatible type "int"' in wrong.stdout
