"""Settings are read out of the launch template that was deployed, as an instance reads them."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from sqsd.contract import SqsdOptions, TierResources, TierSettings
from tools.demo import instance
from tools.demo.errors import DemoError
from tools.local_aws import LocalAws
from tools.local_aws.deploy import Deployment
from worker_tier_bootstrap.contract import S3Object
from worker_tier_bootstrap.user_data import Signal, render_user_data

pytestmark = pytest.mark.local_aws

SETTINGS = TierSettings(
    resources=TierResources(queue_url="http://queue", region="us-east-1", tier_name="T"),
    options=SqsdOptions(http_port=8123, max_retries=3),
)
CRON = 'version: 1\ncron:\n  - name: "täsk"\n    url: "/x"\n    schedule: "* * * * *"\n'


def deployed(aws: LocalAws, user_data: str) -> Deployment:
    answer = aws.client("ec2").create_launch_template(
        LaunchTemplateName="worker",
        LaunchTemplateData={"UserData": base64.b64encode(user_data.encode()).decode()},
    )
    template = answer["LaunchTemplate"]["LaunchTemplateId"]
    return Deployment(stack_name="Example", outputs={"LaunchTemplateId": template})


def user_data(cron_yaml: str | None) -> str:
    return render_user_data(
        settings=SETTINGS,
        bundle=S3Object(bucket="b", key="k", sha256="0" * 64),
        signal=Signal(stack="s", region="us-east-1", resource="R", awaited=True),
        cron_yaml=cron_yaml,
    )


def test_settings_and_tasks_are_written_as_they_were_rendered(
    fresh_aws: LocalAws, tmp_path: Path
) -> None:
    path = instance.read_settings(fresh_aws, deployed(fresh_aws, user_data(CRON)), tmp_path / "i")
    settings = TierSettings.from_json(path.read_text())
    assert settings.options == SETTINGS.options
    assert settings.cron_file is not None
    assert (path.parent / settings.cron_file).read_text() == CRON


def test_without_tasks_there_is_no_cron_file(fresh_aws: LocalAws, tmp_path: Path) -> None:
    path = instance.read_settings(fresh_aws, deployed(fresh_aws, user_data(None)), tmp_path)
    assert path.exists()
    assert not (path.parent / "cron.yaml").exists()


def test_user_data_without_settings_is_an_error_that_says_what_it_has(
    fresh_aws: LocalAws, tmp_path: Path
) -> None:
    text = "#!/bin/bash\nwrite_file /etc/motd 0644 <<'END'\nhello\nEND\n"
    with pytest.raises(DemoError, match=r"writes no /etc/worker-tier/tier.json, only /etc/motd"):
        instance.read_settings(fresh_aws, deployed(fresh_aws, text), tmp_path)


def test_settings_that_the_daemon_refuses_are_an_error(fresh_aws: LocalAws, tmp_path: Path) -> None:
    broken = user_data(None).replace('"http_port":8123', '"http_port":0')
    with pytest.raises(DemoError, match="http_port must be a whole number from 1 to 65535, got 0"):
        instance.read_settings(fresh_aws, deployed(fresh_aws, broken), tmp_path)
