"""What an instance would find in its user data, read out of the deployed launch template."""

from __future__ import annotations

import base64
from pathlib import Path

from sqsd.contract import SETTINGS_PATH, InvalidSettings, TierSettings
from tools.demo.errors import DemoError
from tools.local_aws import LocalAws
from tools.local_aws.deploy import Deployment
from worker_tier_bootstrap.user_data import files_in_user_data

_OUTPUT = "LaunchTemplateId"


def read_settings(aws: LocalAws, deployment: Deployment, directory: Path) -> Path:
    """Write `tier.json`, and `cron.yaml` when there is one, as the instance's own script would.

    Returns: the path of tier.json.

    Raises:
        DemoError: the deployed stack has no settings that the daemon can use.
    """
    written = files_in_user_data(_user_data(aws, deployment))
    if SETTINGS_PATH not in written:
        raise DemoError(
            f"the user data of {deployment.stack_name}'s launch template writes no {SETTINGS_PATH},"
            f" only {', '.join(sorted(written)) or 'nothing'}"
        )
    directory.mkdir(parents=True, exist_ok=True)
    for path, content in written.items():
        if Path(path).parent == Path(SETTINGS_PATH).parent:
            (directory / Path(path).name).write_text(content, encoding="utf-8")
    settings = directory / Path(SETTINGS_PATH).name
    _check(settings)
    return settings


def _user_data(aws: LocalAws, deployment: Deployment) -> str:
    template = deployment.outputs.get(_OUTPUT)
    if template is None:
        raise DemoError(f"stack {deployment.stack_name} has no output {_OUTPUT}; app.py makes it")
    answer = aws.client("ec2").describe_launch_template_versions(
        LaunchTemplateId=template, Versions=["$Latest"]
    )
    (version,) = answer["LaunchTemplateVersions"]
    return base64.b64decode(version["LaunchTemplateData"]["UserData"]).decode()


def _check(path: Path) -> None:
    try:
        TierSettings.from_json(path.read_text(encoding="utf-8"), str(path))
    except InvalidSettings as error:
        raise DemoError(f"the deployed settings cannot be used: {error}") from error
