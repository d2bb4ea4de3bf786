"""The stack that instances boot for, deployed to the embedded AWS.

It comes in several versions, as people change their application: each is a separate assembly,
deployed over the one before. Nothing here needs the CDK, which takes seconds to start; `assembly`
makes what this deploys.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tools.local_aws import LocalAws

STACK: Final = "Boot"
_ASSETS: Final = "cdk-hnb659fds-assets-{account}-{region}"


@dataclass(frozen=True)
class Deployed:
    """A version of the stack as the embedded AWS has it."""

    user_data: str
    queue_url: str
    dead_letter_queue_url: str
    group: str
    log_group: str


def deploy(aws: LocalAws, assembly: Path) -> Deployed:
    """Create the stack, or update it, with its assets."""
    template = json.loads((assembly / f"{STACK}.template.json").read_text(encoding="utf-8"))
    _upload_assets(aws, assembly)
    cloudformation = aws.client("cloudformation")
    arguments = {
        "StackName": STACK,
        "TemplateBody": json.dumps(template),
        "Capabilities": ["CAPABILITY_IAM"],
    }
    if _exists(cloudformation):
        cloudformation.update_stack(**arguments)
        cloudformation.get_waiter("stack_update_complete").wait(StackName=STACK)
    else:
        aws.client("ssm").put_parameter(
            Name="/cdk-bootstrap/hnb659fds/version", Value="99", Type="String"
        )
        cloudformation.create_stack(**arguments)
        cloudformation.get_waiter("stack_create_complete").wait(StackName=STACK)
    return _read(aws, cloudformation, template)


def _upload_assets(aws: LocalAws, assembly: Path) -> None:
    s3 = aws.client("s3")
    bucket = _ASSETS.format(account=aws.account, region=aws.region)
    s3.create_bucket(Bucket=bucket)
    manifest = json.loads((assembly / f"{STACK}.assets.json").read_text(encoding="utf-8"))
    for file in manifest["files"].values():
        if file["source"]["packaging"] != "file":
            continue
        (destination,) = file["destinations"].values()
        content = (assembly / file["source"]["path"]).read_bytes()
        s3.put_object(Bucket=bucket, Key=destination["objectKey"], Body=content)


def _exists(cloudformation: Any) -> bool:
    summaries = cloudformation.list_stacks()["StackSummaries"]
    return any(
        stack["StackName"] == STACK and not stack["StackStatus"].startswith("DELETE")
        for stack in summaries
    )


def _read(aws: LocalAws, cloudformation: Any, template: dict[str, Any]) -> Deployed:
    resources = cloudformation.describe_stack_resources(StackName=STACK)["StackResources"]
    physical = {r["LogicalResourceId"]: r["PhysicalResourceId"] for r in resources}

    def only(kind: str, wanted: Callable[[str], bool] = lambda _: True) -> str:
        (id,) = [id for id, r in template["Resources"].items() if r["Type"] == kind and wanted(id)]
        return str(physical[id])

    launch_template = only("AWS::EC2::LaunchTemplate")
    versions = aws.client("ec2").describe_launch_template_versions(
        LaunchTemplateId=launch_template, Versions=["$Latest"]
    )["LaunchTemplateVersions"]
    user_data = base64.b64decode(versions[0]["LaunchTemplateData"]["UserData"]).decode()
    return Deployed(
        user_data=user_data,
        queue_url=only("AWS::SQS::Queue", lambda id: "DeadLetter" not in id),
        dead_letter_queue_url=only("AWS::SQS::Queue", lambda id: "DeadLetter" in id),
        group=only("AWS::AutoScaling::AutoScalingGroup"),
        log_group=only("AWS::Logs::LogGroup"),
    )
