"""Source bundles in a tier: what is refused, what is printed at synth, and what they set."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import Duration, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk.assertions import Annotations as AnnotationAssertions
from aws_cdk.assertions import Match

from sqsd.contract import SETTINGS_PATH, TierSettings
from tests.bootstrap.assessment.bundles import write, zipped
from tests.worker_tier.stacks import CRON_YAML, QUEUE, Synthesized, new_stack, vpc_of
from worker_tier import InvalidApplication, InvalidProps, WorkerApplication, WorkerTier
from worker_tier_bootstrap import paths
from worker_tier_bootstrap.user_data import files_in_user_data

CONFIG = ".ebextensions/01-worker.config"
NODE = {"package.json": '{"scripts": {"start": "node app.js"}}', "app.js": ""}


def settings(namespace: str, **options: object) -> str:
    return json.dumps({"option_settings": {namespace: options}})


SQSD = "aws:elasticbeanstalk:sqsd"
PROPERTIES = "aws:elasticbeanstalk:application:environment"


class Tier:
    """A tier of a source bundle, and what `cdk synth` prints and writes."""

    def __init__(self, directory: Path, **props: Any) -> None:
        self.stack = new_stack()
        application = WorkerApplication.from_asset(str(directory), **props.pop("asset", {}))
        WorkerTier(
            self.stack, "Worker", **({"vpc": vpc_of(self.stack)} | props), application=application
        )
        self.template = Synthesized(self.stack)
        self.files = files_in_user_data(self.template.user_data())
        self.options = TierSettings.from_json(self.files[SETTINGS_PATH]).options
        self.application = json.loads(self.files[paths.INSTANCE])["application"]

    @property
    def warnings(self) -> list[str]:
        entries = AnnotationAssertions.from_stack(self.stack).find_warning("*", Match.any_value())
        return [str(e.entry.data) for e in entries if e.id == "/Test/Worker"]

    @property
    def infos(self) -> list[str]:
        entries = AnnotationAssertions.from_stack(self.stack).find_info("*", Match.any_value())
        return [str(e.entry.data) for e in entries]


def problems_of(directory: Path, **arguments: Any) -> list[str]:
    with pytest.raises(InvalidApplication) as caught:
        WorkerApplication.from_asset(str(directory), **arguments)
    return list(caught.value.problems)


def test_synth_says_once_which_platform_was_chosen_and_by_which_file(tmp_path: Path) -> None:
    tier = Tier(write(tmp_path / "app", NODE))
    (info,) = tier.infos
    assert "runs on Node.js by app.js, package.json; no ignore file decides" in info
    assert not tier.warnings


def test_an_instance_gets_the_platform_that_synth_chose(tmp_path: Path) -> None:
    # Files in folders tell synth what an instance cannot see at the top of the bundle.
    files = {
        "site/a.runtimeconfig.json": "{}",
        "site/a.dll": "",
        "Procfile": "web: dotnet site/a.dll",
    }
    assert Tier(write(tmp_path / "app", files)).application["platform"] == "dotnet"


def test_the_port_of_a_detected_platform_is_known_at_synth(tmp_path: Path) -> None:
    write(tmp_path / "app", NODE)
    with pytest.raises(InvalidProps, match=r"port \(8080\) must not be http_port \(8080\)"):
        Tier(tmp_path / "app", http_port=8080)


@pytest.mark.parametrize(
    ("files", "says"),
    [
        (NODE | {"manage.py": "", "requirements.txt": ""}, "files of several platforms"),
        (NODE | {"Dockerfile": "FROM node"}, "files of several platforms"),
        ({"Dockerfile": "FROM node"}, "a Dockerfile is not built on instances"),
        ({"docker-compose.yml": ""}, "docker-compose.yml describes several containers"),
        (
            {"Dockerrun.aws.json": '{"AWSEBDockerrunVersion": 2}'},
            "Dockerrun.aws.json of version 2 describes a task of ECS",
        ),
        ({"Gemfile": "", "config.ru": "", "vendor/.keep": ""}, "the gems of the Gemfile"),
        ({"Pipfile": "", "application.py": ""}, "the packages of Pipfile are not installed"),
        (NODE | {CONFIG: "container_commands: {01_migrate: {command: x}}"}, "does not run 01_migr"),
        (NODE | {CONFIG: "packages: {yum: {jq: []}}"}, "`packages` does not install jq (yum)"),
        (NODE | {CONFIG: "Resources: {Topic: {Type: 'AWS::SNS::Topic'}}"}, "does not make Topic"),
        (
            NODE | {".platform/nginx/conf.d/elasticbeanstalk/a.conf": "location / {}"},
            "declares `location /`",
        ),
    ],
)
def test_what_an_instance_would_do_otherwise_is_refused_at_synth(
    tmp_path: Path, files: dict[str, str], says: str
) -> None:
    (problem,) = problems_of(write(tmp_path / "app", files))
    assert says in problem


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({".platform/nginx/nginx.conf": ""}, ".platform/nginx/nginx.conf is not used"),
        ({"cron.yml": ""}, "cron.yml is not read, so there are no periodic tasks by it"),
        ({".ebextensions/a.yml": ""}, ".ebextensions/a.yml is not read"),
        ({".platform/hooks/prebuild/a.sh": "#!/bin/sh"}, "is not executable, and is run all the"),
        ({"package.json": '{"scripts": {"start": "node b.js"}}'}, "starts b.js as web, which is"),
    ],
)
def test_what_happens_otherwise_is_a_warning_of_synth(
    tmp_path: Path, files: dict[str, str], says: str
) -> None:
    (warning,) = Tier(write(tmp_path / "app", NODE | files)).warnings
    assert says in warning


def test_all_problems_of_a_bundle_are_reported_at_once(tmp_path: Path) -> None:
    files = {
        "Procfile": "web node",
        CONFIG: "commands: [",
        "package.json": "{",
        ".platform/hooks/prebuild/x/y": "",
    }
    problems = problems_of(write(tmp_path / "app", files), port=70_000)
    assert len(problems) == 5


def test_code_chooses_between_two_platforms(tmp_path: Path) -> None:
    write(tmp_path / "app", NODE | {"manage.py": "", "requirements.txt": ""})
    tier = Tier(tmp_path / "app", asset={"platform": "node"})
    assert tier.application["platform"] == "node"
    assert "runs on Node.js by platform=" in tier.infos[0]


def test_an_archive_is_an_application(tmp_path: Path) -> None:
    tier = Tier(zipped(tmp_path / "app.zip", NODE | {"cron.yaml": CRON_YAML}))
    assert tier.application["platform"] == "node"
    assert tier.files["/etc/worker-tier/cron.yaml"] == CRON_YAML
    assert tier.template.all("AWS::DynamoDB::GlobalTable")


def test_a_cron_yaml_that_is_not_utf8_is_refused_with_its_path(tmp_path: Path) -> None:
    write(tmp_path / "app", NODE | {"cron.yaml": b"version: 1 # \xe9"})
    with pytest.raises(InvalidProps, match=r"app/cron\.yaml is not UTF-8 at byte 13"):
        Tier(tmp_path / "app")


def test_a_cron_yaml_that_is_ignored_makes_no_periodic_tasks(tmp_path: Path) -> None:
    write(tmp_path / "app", NODE | {"cron.yaml": CRON_YAML, ".ebignore": "cron.yaml"})
    assert not Tier(tmp_path / "app").template.all("AWS::DynamoDB::GlobalTable")


def test_a_bundle_that_is_too_large_is_one_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "app", NODE)
    pack = "worker_tier.application.application.pack"
    from worker_tier_bootstrap.assessment import packing

    monkeypatch.setattr(pack, lambda contents, path: packing.pack(contents, path, limit_bytes=10))
    with pytest.raises(InvalidApplication, match="has more than 10 bytes as an archive"):
        Tier(tmp_path / "app")


# ---- option settings of .ebextensions


def test_option_settings_of_the_bundle_set_the_tier(tmp_path: Path) -> None:
    write(tmp_path / "app", NODE)
    write(
        tmp_path / "app",
        {
            CONFIG: settings(
                SQSD,
                HttpPath="/worker/queue",
                VisibilityTimeout=1800,
                InactivityTimeout=1799,
                MaxRetries=3,
            ),
            ".ebextensions/02.config": settings(PROPERTIES, NODE_ENV="worker", PORT=3000),
        },
    )
    tier = Tier(tmp_path / "app")
    assert tier.options.http_path == "/worker/queue"
    assert tier.options.visibility_timeout == 1800
    assert tier.options.inactivity_timeout == 1799
    assert tier.template.one(QUEUE, "QueuesQueue")["VisibilityTimeout"] == 1800
    redrive = tier.template.one(QUEUE, "QueuesQueue")["RedrivePolicy"]
    assert redrive["maxReceiveCount"] == 3
    assert tier.application["environment"] == {"NODE_ENV": "worker"}
    assert tier.application["port"] == 3000
    assert not tier.warnings


def test_a_prop_wins_over_the_bundle_with_a_warning(tmp_path: Path) -> None:
    files = {
        CONFIG: settings(SQSD, HttpPath="/bundle", InactivityTimeout=100),
        ".ebextensions/02.config": settings(PROPERTIES, MODE="bundle"),
    }
    tier = Tier(
        write(tmp_path / "app", NODE | files),
        http_path="/code",
        inactivity_timeout=Duration.seconds(100),
        asset={"environment": {"MODE": "code"}},
    )
    assert tier.options.http_path == "/code"
    assert tier.application["environment"] == {"MODE": "code"}
    path, mode = tier.warnings
    assert f"http_path, given in code, wins over {SQSD}:HttpPath ('/bundle')" in path
    assert f"environment['MODE'], given in code, wins over {PROPERTIES}:MODE" in mode


def test_capacity_instance_type_and_network_of_a_bundle_only_warn(tmp_path: Path) -> None:
    files = {
        CONFIG: settings("aws:autoscaling:asg", MinSize=2, MaxSize=9),
        ".ebextensions/02.config": settings("aws:ec2:instances", InstanceTypes="c7g.large"),
        ".ebextensions/03.config": settings("aws:ec2:vpc", VPCId="vpc-1", Subnets="subnet-1"),
    }
    tier = Tier(write(tmp_path / "app", NODE | files))
    plain = Tier(write(tmp_path / "plain", NODE))
    group = "AWS::AutoScaling::AutoScalingGroup"
    assert tier.template.one(group)["MinSize"] == plain.template.one(group)["MinSize"]
    assert tier.template.one(group)["MaxSize"] == plain.template.one(group)["MaxSize"]
    assert "c7g.large" not in json.dumps(tier.template.document)
    named = ["MinSize ('2')", "MaxSize ('9')", "InstanceTypes ('c7g.large')", "VPCId ('vpc-1')"]
    assert len(tier.warnings) == len(named)
    for name in named:
        (warning,) = [text for text in tier.warnings if name in text]
        assert "is passed over: code decides on capacity, instance type and network" in warning


def test_what_code_gives_as_the_bundle_asks_for_is_no_warning(tmp_path: Path) -> None:
    files = {
        CONFIG: settings("aws:autoscaling:asg", MinSize=2, MaxSize=9),
        ".ebextensions/02.config": settings("aws:ec2:instances", InstanceTypes="c7g.large"),
    }
    tier = Tier(
        write(tmp_path / "app", NODE | files),
        min_capacity=2,
        max_capacity=9,
        instance_type=ec2.InstanceType("c7g.large"),
    )
    assert not tier.warnings


def test_an_option_of_the_bundle_that_cannot_be_honoured_is_refused_with_every_other_problem(
    tmp_path: Path,
) -> None:
    text = settings("aws:elasticbeanstalk:container:php:phpini", document_root="/public")
    write(tmp_path / "app", {"index.php": "<?php", CONFIG: text})
    with pytest.raises(InvalidProps) as caught:
        Tier(tmp_path / "app", min_capacity=-1)
    document_root, capacity = caught.value.problems
    assert "document_root" in document_root
    assert f"({CONFIG}, line 1, " in document_root
    assert "min_capacity" in capacity


def test_a_property_of_the_bundle_may_name_the_queue_of_the_tier(tmp_path: Path) -> None:
    text = settings(PROPERTIES, QUEUE='`{"Ref": "AWSEBWorkerQueue"}`')
    tier = Tier(write(tmp_path / "app", NODE | {CONFIG: text}))
    assert "WorkerQueuesQueue" in json.dumps(tier.application["environment"]["QUEUE"])


def test_settings_of_the_environment_win_over_those_of_the_bundle(tmp_path: Path) -> None:
    files = {CONFIG: settings(SQSD, HttpPath="/bundle", MaxRetries=3)}
    stack: Stack = new_stack()
    tier = WorkerTier.from_option_settings(
        stack,
        "Worker",
        {SQSD: {"HttpPath": "/environment"}},
        vpc=vpc_of(stack),
        application=WorkerApplication.from_asset(str(write(tmp_path / "app", NODE | files))),
    )
    assert (tier.options.http_path, tier.options.max_retries) == ("/environment", 3)
