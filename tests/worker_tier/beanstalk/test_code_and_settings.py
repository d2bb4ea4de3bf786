"""Props that code gives beside settings win, with a warning; what is passed over is a warning."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import Duration, Size, Stack, Token
from aws_cdk import aws_autoscaling as autoscaling
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from aws_cdk import aws_sns as sns
from aws_cdk.assertions import Annotations as AnnotationAssertions
from aws_cdk.assertions import Match

from tests.worker_tier.imported_queue import imported
from tests.worker_tier.stacks import Synthesized, new_stack, vpc_of
from worker_tier import (
    DeadLetterQueue,
    InvalidProps,
    WorkerApplication,
    WorkerCapacity,
    WorkerMachineImage,
    WorkerScaling,
    WorkerTier,
)
from worker_tier.beanstalk.settings import Deployment
from worker_tier_bootstrap import paths
from worker_tier_bootstrap.beanstalk import Reference
from worker_tier_bootstrap.user_data import files_in_user_data

GROUP = "AWS::AutoScaling::AutoScalingGroup"
PROPERTIES = "aws:elasticbeanstalk:application:environment"
SQSD = "aws:elasticbeanstalk:sqsd"


def warnings_of(stack: Stack) -> list[str]:
    """What `cdk synth` would print of the settings, without what it prints of props."""
    entries = AnnotationAssertions.from_stack(stack).find_warning("*", Match.any_value())
    return [str(e.entry.data) for e in entries if "WorkerSettings" in e.id]


def built(settings: Any, stack: Stack | None = None, **props: Any) -> tuple[WorkerTier, list[str]]:
    stack = stack or new_stack()
    tier = WorkerTier.from_option_settings(
        stack, "Worker", settings, **({"vpc": vpc_of(stack)} | props)
    )
    return tier, warnings_of(stack)


def problems_of(settings: Any, **props: Any) -> tuple[str, ...]:
    with pytest.raises(InvalidProps) as caught:
        built(settings, **props)
    return caught.value.problems


@pytest.fixture
def application(tmp_path: Path) -> WorkerApplication:
    (tmp_path / "Procfile").write_text("web: python3 -m http.server $PORT\n")
    return WorkerApplication.from_asset(str(tmp_path), environment={"MODE": "code", "SAME": "1"})


def instance_of(tier: WorkerTier) -> dict[str, Any]:
    text = files_in_user_data(Synthesized(Stack.of(tier)).user_data())[paths.INSTANCE]
    document = json.loads(text)
    assert isinstance(document["application"], dict)
    return dict(document["application"])


# ---- environment properties


def test_properties_are_checked_as_those_of_code_are(application: WorkerApplication) -> None:
    found = problems_of(
        {PROPERTIES: {"spring.profiles.active": "worker", "KEY": "a\nb", "LONG": "x" * 4090}},
        application=application,
    )
    assert [words in text for words, text in zip(
        ("must have a name of letters", "must be text of one line", "may take 4096"),
        found,
        strict=True,
    )] == [True] * 3  # fmt: skip


def test_port_becomes_the_applications_port_and_functions_become_references(
    application: WorkerApplication,
) -> None:
    # given values that CloudFormation fills in, in backticks and as data
    settings = {
        PROPERTIES: {
            "PORT": "3000",
            "MODE": "file",
            "SAME": "1",
            "WHERE": '`{"Ref" : "AWS::Region"}`',
            "QUEUE": {"Ref": "AWSEBWorkerQueue"},
            "DEAD": {"Fn::GetAtt": ["AWSEBWorkerDeadLetterQueue", "QueueName"]},
        }
    }
    # when a tier is made from them
    tier, warned = built(settings, application=application)
    # then instances get the port, code's value, and what the deployment knows
    found = instance_of(tier)
    template = Synthesized(Stack.of(tier))
    work, dead = sorted(template.all("AWS::SQS::Queue"), key=lambda id: "Dead" in id)
    assert found["port"] == 3000
    assert found["environment"] == {
        "MODE": "code",
        "SAME": "1",
        "WHERE": "ref-AWS-Region",
        "QUEUE": f"ref-{work}",
        "DEAD": f"att-{dead}-QueueName",
    }
    # and only the property that differs is a warning, without its value
    (text,) = warned
    assert "environment['MODE'], given in code, wins over" in text
    assert "file" not in text


@pytest.mark.parametrize("reference", Reference)
def test_every_reference_becomes_what_the_deployment_fills_in(reference: Reference) -> None:
    stack = new_stack()
    deployment = Deployment()
    text = deployment.text(reference)
    deployment.tier = WorkerTier(
        stack, "Worker", vpc=vpc_of(stack), dead_letter_queue=DeadLetterQueue.none()
    )
    assert Token.is_unresolved(text)
    found = Stack.of(deployment.tier).resolve(text)
    if reference.name.startswith("DEAD_LETTER_QUEUE"):
        assert found == ""  # there is none
    else:
        assert found


def test_a_port_of_code_wins(tmp_path: Path) -> None:
    application = WorkerApplication.from_container("public.ecr.aws/nginx/nginx:1.27", port=9090)
    tier, warned = built({PROPERTIES: {"PORT": "3000"}}, application=application)
    assert instance_of(tier)["port"] == 9090
    assert [f"port=9090, given in code, wins over {PROPERTIES}:PORT (3000)" in t for t in warned]


def test_properties_of_an_application_that_is_installed_elsewhere_are_refused() -> None:
    (problem,) = problems_of(
        {PROPERTIES: {"A": "1", "PORT": "80"}}, application=WorkerApplication.external()
    )
    assert f"{PROPERTIES} (A, PORT) is for an application that is installed here" in problem


# ---- code wins


def test_a_prop_wins_over_a_setting_with_a_warning_that_names_both() -> None:
    settings = {
        SQSD: {"MaxRetries": "3", "VisibilityTimeout": "300", "HttpPath": "/x"},
        "aws:autoscaling:launchconfiguration": {"InstanceType": "t3.small", "RootVolumeSize": 20},
        "aws:autoscaling:trigger": {"MeasureName": "CPUUtilization"},
        "aws:autoscaling:asg": {"MinSize": 2, "MaxSize": 4},
    }
    tier, warned = built(
        settings,
        max_retries=7,
        visibility_timeout=Duration.minutes(5),
        instance_type=ec2.InstanceType("t3.small"),
        root_volume_size=Size.gibibytes(30),
        scaling=WorkerScaling.none(),
        min_capacity=2,
        max_capacity=9,
    )
    assert (tier.options.max_retries, tier.options.http_path) == (7, "/x")
    expected = {
        "max_retries": f"max_retries, given in code, wins over {SQSD}:MaxRetries ('3')",
        "root_volume_size": "RootVolumeSize ('20')",
        "scaling": "scaling, given in code, wins over aws:autoscaling:trigger:MeasureName ('CPU",
        "max_capacity": "aws:autoscaling:asg:MaxSize ('4')",
    }
    assert len(warned) == len(expected), warned
    for name, words in expected.items():
        assert any(f"{name}, given in code, wins over" in t and words in t for t in warned), name


def test_props_that_exclude_a_setting_win_over_it() -> None:
    # given settings of one instance of one type, and code that wants a spot fleet
    settings = {
        "aws:elasticbeanstalk:environment": {"EnvironmentType": "SingleInstance"},
        "aws:autoscaling:launchconfiguration": {"InstanceType": "t3.small"},
        "aws:elasticbeanstalk:cloudwatch:logs": {"StreamLogs": "true", "RetentionInDays": "7"},
    }
    stack = new_stack()
    group = logs.LogGroup(stack, "Lines")
    _, warned = built(
        settings,
        stack,
        capacity=WorkerCapacity.spot([ec2.InstanceType("t4g.small")]),
        min_capacity=2,
        log_group=group,
    )
    assert Synthesized(stack).one(GROUP)["MinSize"] == "2"
    texts = "\n".join(warned)
    assert len(warned) == 3, texts
    assert "min_capacity, given in code, wins over aws:elasticbeanstalk:environment" in texts
    assert "capacity, given in code, wins over aws:autoscaling:launchconfiguration" in texts
    assert "log_group, given in code, wins over aws:elasticbeanstalk:cloudwatch:logs" in texts


@pytest.mark.parametrize(("count", "warnings"), [("5", 0), ("10", 1)])
def test_max_retries_beside_an_imported_queue_is_the_queues(count: str, warnings: int) -> None:
    stack = new_stack()
    tier, warned = built(
        {SQSD: {"MaxRetries": count, "WorkerQueueURL": "https://x-AWSEBWorkerQueue-1"}},
        stack,
        queue=imported(stack),
    )
    assert tier.options.max_retries == 5
    found = [
        text for text in warned if f"queue, given in code, wins over {SQSD}:MaxRetries" in text
    ]
    assert len(found) == warnings


def test_max_retries_in_code_may_be_what_an_imported_queue_has() -> None:
    stack = new_stack()
    tier = WorkerTier(stack, "Worker", vpc=vpc_of(stack), queue=imported(stack), max_retries=5)
    assert tier.options.max_retries == 5
    other = new_stack()
    with pytest.raises(InvalidProps, match="max_retries cannot be set for a queue that exists"):
        WorkerTier(other, "Worker", vpc=vpc_of(other), queue=imported(other), max_retries=6)


def test_a_dump_is_built_with_the_props_that_its_refusals_ask_for(
    application: WorkerApplication,
) -> None:
    # given a dump of an environment with a key pair, a topic, a queue and batches of its owner
    dump = json.loads(
        (Path(__file__).parent / "data" / "worker_environment.json").read_text(encoding="utf-8")
    )
    (described,) = dump["ConfigurationSettings"]
    changed = {
        "EC2KeyName": "me",
        "Cooldown": "60",
        "IamInstanceProfile": "orders",
        "BlockDeviceMappings": "/dev/sdj=:100",
        "Notification Topic ARN": "arn:aws:sns:us-east-1:111122223333:orders",
        "DeploymentPolicy": "Immutable",
        "RollingUpdateType": "Immutable",
        "InstanceRefreshEnabled": "true",
        "WorkerQueueURL": "https://sqs.us-east-1.amazonaws.com/111122223333/orders",
        "StreamLogs": "true",
        "SecurityGroups": "sg-1,sg-2",
        "WSGIPath": "project.wsgi",
    }
    for setting in described["OptionSettings"]:
        setting["Value"] = changed.get(setting["OptionName"], setting.get("Value"))
    # when a tier is made with all that the hints name
    stack = new_stack()
    tier = WorkerTier.from_option_settings(
        stack,
        "Worker",
        dump,
        application=application,
        machine_image=WorkerMachineImage.amazon_linux_2023(),
        session_manager=True,
        default_instance_warmup=Duration.minutes(1),
        role=iam.Role(stack, "Role", assumed_by=iam.ServicePrincipal("ec2.amazonaws.com")),
        root_volume_size=Size.gibibytes(20),
        notifications_topic=sns.Topic(stack, "Topic"),
        update_policy=autoscaling.UpdatePolicy.replacing_update(),
        max_instance_lifetime=Duration.days(7),
        queue=imported(stack),
        log_group=logs.LogGroup(stack, "Lines"),
        security_group=ec2.SecurityGroup(stack, "Group", vpc=vpc_of(stack)),
    )
    # then nothing is refused, and each setting that lost is a warning that names both
    assert tier.options.max_retries == 5
    warned = "\n".join(warnings_of(stack))
    for option in changed.keys() - {"StreamLogs", "WSGIPath"}:
        assert f":{option} (" in warned, option


def test_max_retries_means_nothing_without_a_dead_letter_queue() -> None:
    _, warned = built({SQSD: {"MaxRetries": "10"}}, dead_letter_queue=DeadLetterQueue.none())
    assert any("dead_letter_queue, given in code, wins over" in text for text in warned)


def test_the_network_of_code_wins_and_its_subnets_stay_its_own() -> None:
    settings = {"aws:ec2:vpc": {"VPCId": "vpc-1", "Subnets": "subnet-aaa,subnet-bbb"}}
    stack = new_stack()
    _, warned = built(settings, stack)
    assert "subnet-aaa" not in str(Synthesized(stack).one(GROUP)["VPCZoneIdentifier"])
    assert any("vpc, given in code, wins over aws:ec2:vpc:VPCId ('vpc-1')" in t for t in warned)
    # and half of a network beside it is no mistake
    half = new_stack()
    assert built({"aws:ec2:vpc": {"VPCId": "vpc-1"}}, half)[0]


def test_half_of_a_network_is_refused() -> None:
    (found,) = problems_of({"aws:ec2:vpc": {"VPCId": "vpc-1"}}, vpc=None)
    assert "are needed together; give both, or pass vpc" in found
    (found,) = problems_of({}, vpc=None)[-1:]
    assert "vpc is needed" in found


# ---- what is passed over, and what is added to a tier that is built


def test_what_is_passed_over_is_a_warning_that_says_what_is_here_instead() -> None:
    _, warned = built(
        {
            "aws:ec2:vpc": {"ELBSubnets": "subnet-1"},
            "aws:elbv2:listener:443": {"Protocol": "HTTPS", "SSLPolicy": "x"},
            "aws:elasticbeanstalk:hostmanager": {"LogPublicationControl": "true"},
            "aws:elasticbeanstalk:xray": {"XRayEnabled": "false"},
        }
    )
    assert len(warned) == 3, warned
    assert any(
        "ELBSubnets ('subnet-1') is passed over: a worker has no load bal" in t for t in warned
    )
    assert any("(Protocol, SSLPolicy) are passed over: a worker has no load" in t for t in warned)
    assert any("no files are copied to S3; export the log group" in t for t in warned)


def test_what_is_no_option_is_a_warning_and_what_is_no_entry_a_problem_each() -> None:
    text = "option_settings:\n  aws:elasticbeanstalk:sqsd: {HttpPath: /x}\n"
    _, warned = built(f"{text}packages: {{}}\ncontainer_commands: {{}}\nfiles: {{}}\n")
    assert len(warned) == 3, warned
    for key in ("packages", "container_commands", "files"):
        assert sum(f"`{key}` is no option setting" in text for text in warned) == 1
    assert len(problems_of(["a", "b", {"value": "c"}])) == 3


def test_scheduled_actions_are_added_each_by_its_name() -> None:
    def entry(name: str, option: str, value: str) -> dict[str, str]:
        return {
            "Namespace": "aws:autoscaling:scheduledaction",
            "ResourceName": name,
            "OptionName": option,
            "Value": value,
        }

    stack = new_stack()
    built(
        [
            entry("Day", "MinSize", "2"),
            entry("Day", "Recurrence", "0 8 * * *"),
            entry("Night", "MinSize", "1"),
            entry("Night", "Recurrence", "0 20 * * *"),
            entry("Night", "StartTime", "2099-12-01T00:00:00Z"),
        ],
        stack,
    )
    actions = Synthesized(stack).all("AWS::AutoScaling::ScheduledAction")
    found = {(a["MinSize"], a["Recurrence"], a.get("StartTime")) for a in actions.values()}
    assert found == {(2, "0 8 * * *", None), (1, "0 20 * * *", "2099-12-01T00:00:00Z")}


def test_a_procfile_decides_in_the_place_of_python_options(application: WorkerApplication) -> None:
    settings = {"aws:elasticbeanstalk:container:python": {"WSGIPath": "project.wsgi"}}
    assert built(settings, application=application)[1] == []
    (problem,) = problems_of(settings)
    assert "WSGIPath ('project.wsgi') cannot be honoured" in problem


# ---- files


def test_a_file_is_read_by_its_path_and_named_in_every_message(tmp_path: Path) -> None:
    path = tmp_path / "options.config"
    path.write_text("option_settings:\n  aws:elasticbeanstalk:sqsd:\n    Speed: 11\n")
    (problem,) = problems_of(path)
    assert problem.startswith(f"{path}: {SQSD}:Speed (not shown) cannot be honoured")
    assert problem.endswith("(line 3, column 5)")
    path.write_text("option_settings:\n  aws:elasticbeanstalk:sqsd:\n    HttpPath: /x\n")
    assert built(path)[0].options.http_path == "/x"
    assert built(path.read_text(), new_stack())[0].options.http_path == "/x"


def test_a_file_that_cannot_be_read_is_a_problem_of_the_tier(tmp_path: Path) -> None:
    (problem,) = problems_of(tmp_path / "missing.yaml")
    assert "missing.yaml cannot be read: " in problem
    (tmp_path / "latin.yaml").write_bytes(b"a: \xe9")
    (problem,) = problems_of(tmp_path / "latin.yaml")
    assert "latin.yaml cannot be read: " in problem


def test_a_files_name_as_text_is_refused_with_a_hint() -> None:
    (problem,) = problems_of("settings.json")
    assert "pathlib.Path to read a file" in problem
