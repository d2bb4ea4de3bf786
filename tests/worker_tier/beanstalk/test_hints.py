"""Whoever does what a hint says has settings that are accepted: no hint leads to a refusal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import Duration, RemovalPolicy, Size, Stack
from aws_cdk import aws_autoscaling as autoscaling
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions

from tests.worker_tier.imported_queue import imported
from tests.worker_tier.stacks import new_stack, vpc_of
from worker_tier import (
    InvalidProps,
    WorkerApplication,
    WorkerCapacity,
    WorkerMachineImage,
    WorkerScaling,
    WorkerTier,
)
from worker_tier_bootstrap.beanstalk import OPTIONS, Outcome, read_settings, refusals
from worker_tier_bootstrap.beanstalk.options import ANY_NAME

Settings = dict[str, dict[str, Any]]
LAUNCH = "aws:autoscaling:launchconfiguration"
COMMAND = "aws:elasticbeanstalk:command"
ROLLING = "aws:autoscaling:updatepolicy:rollingupdate"
LOGS = "aws:elasticbeanstalk:cloudwatch:logs"
TRIGGER = "aws:autoscaling:trigger"
INSTANCES = "aws:ec2:instances"
PROPERTIES = "aws:elasticbeanstalk:application:environment"
SECRETS = "aws:elasticbeanstalk:application:environmentsecrets"
SCHEDULE = "aws:autoscaling:scheduledaction"
ARN = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:db-AbCdEf"


class Try:
    """Is an attempt to make a tier, which a hint changes.

    Args:
        directory: the application's bundle.
    """

    def __init__(self, settings: Settings, directory: Path) -> None:
        self.settings = deepcopy(settings)
        self.directory = directory
        self.stack = new_stack()
        self.props: dict[str, Any] = {"vpc": vpc_of(self.stack)}
        self.afterwards: list[Callable[[WorkerTier], object]] = []
        (directory / "application.py").write_text("application = None\n")

    def leave_out(self, namespace: str, option: str) -> None:
        del self.settings[namespace][option]

    def set(self, namespace: str, **options: str) -> None:
        self.settings.setdefault(namespace, {}).update(options)

    def make(self) -> WorkerTier:
        self.props.setdefault("application", WorkerApplication.from_asset(str(self.directory)))
        tier = WorkerTier.from_option_settings(self.stack, "Worker", self.settings, **self.props)
        for do in self.afterwards:
            do(tier)
        return tier


Apply = Callable[[Try, str, str], None]


def leave_out(attempt: Try, namespace: str, option: str) -> None:
    attempt.leave_out(namespace, option)


def passing(**makers: Callable[[Stack], Any]) -> Apply:
    """Passes props."""

    def apply(attempt: Try, namespace: str, option: str) -> None:
        attempt.props |= {name: make(attempt.stack) for name, make in makers.items()}

    return apply


def procfile(attempt: Try, namespace: str, option: str) -> None:
    (attempt.directory / "Procfile").write_text("web: npm start\n")


def container(attempt: Try, namespace: str, option: str) -> None:
    image = "public.ecr.aws/docker/library/node:22"
    attempt.props["application"] = WorkerApplication.from_container(image, port=8080)


def setting(namespace: str, **options: str) -> Apply:
    return lambda attempt, _, __: attempt.set(namespace, **options)


def without(*then: Apply) -> Apply:
    """Leaves the option out and does something else besides."""

    def apply(attempt: Try, namespace: str, option: str) -> None:
        attempt.leave_out(namespace, option)
        for do in then:
            do(attempt, namespace, option)

    return apply


def afterwards(do: Callable[[WorkerTier], object]) -> Apply:
    return lambda attempt, _, __: attempt.afterwards.append(do)


def update_policy(_: Stack) -> autoscaling.UpdatePolicy:
    return autoscaling.UpdatePolicy.replacing_update()


def role(stack: Stack) -> iam.Role:
    return iam.Role(stack, "Role", assumed_by=iam.ServicePrincipal("ec2.amazonaws.com"))


def retained_lines(stack: Stack) -> logs.LogGroup:
    return logs.LogGroup(stack, "Lines", removal_policy=RemovalPolicy.RETAIN)


def topic(stack: Stack) -> sns.ITopic:
    return sns.Topic.from_topic_arn(stack, "Topic", "arn:aws:sns:us-east-1:111122223333:orders")


def subscribe(tier: WorkerTier) -> None:
    tier.notifications_topic.add_subscription(subscriptions.EmailSubscription("ops@example.com"))


def security_group(stack: Stack) -> ec2.ISecurityGroup:
    return ec2.SecurityGroup.from_security_group_id(stack, "Group", "sg-0a1b2c3d")


def index_php(attempt: Try, namespace: str, option: str) -> None:
    line = "<?php require __DIR__ . '/public/index.php';"
    (attempt.directory / "index.php").write_text(line)
    (attempt.directory / "application.py").unlink()  # of the directories that this hint is for


#: Words of a hint of the table -> each of the things that it offers. A hint has to have one.
OFFERS: dict[str, tuple[Apply, ...]] = {
    "pass queue=ExistingQueue.imported(...)": (passing(queue=imported),),
    "pass vpc_subnets": (passing(vpc_subnets=lambda _: ec2.SubnetSelection(one_per_az=True)),),
    "pass default_instance_warmup": (
        passing(default_instance_warmup=lambda _: Duration.minutes(1)),
    ),
    "pass root_volume_size, or leave it out and set RootVolumeSize": (
        passing(root_volume_size=lambda _: Size.gibibytes(20)),
        without(setting(LAUNCH, RootVolumeSize="20")),
    ),
    "set session_manager=True": (passing(session_manager=lambda _: True),),
    "pass role=, or leave it out and grant": (
        passing(role=role),
        without(afterwards(lambda tier: topic(Stack.of(tier)).grant_publish(tier))),
    ),
    "machine_image=WorkerMachineImage.pinned(...) or .amazon_linux_2023()": (
        passing(machine_image=lambda _: WorkerMachineImage.amazon_linux_2023()),
    ),
    "set Health, or pass update_policy=autoscaling.UpdatePolicy.replacing_update()": (
        setting(ROLLING, RollingUpdateType="Health"),
        passing(update_policy=update_policy),
    ),
    "leave it out and subscribe it in code, as in tier.notifications_topic.add_subscription": (
        without(afterwards(subscribe)),
        passing(notifications_topic=topic),
    ),
    "pass notifications_topic=": (passing(notifications_topic=topic),),
    "write a Procfile": (procfile,),
    "in a Procfile": (procfile,),
    "leave it out, or pass application=WorkerApplication.from_container": (leave_out, container),
    "leave it out, and change php.ini with tier.add_user_data(...)": (
        without(afterwards(lambda tier: tier.add_user_data("true"))),
    ),
    "add an index.php there": (without(index_php),),
    "write the ARN as a property": (
        without(lambda attempt, _, option: attempt.set(PROPERTIES, **{option: ARN})),
    ),
    "make the database in another stack and pass its address in the environment": (
        without(setting(PROPERTIES, DB_HOST="db.example.com")),
    ),
    "leave it out": (leave_out,),
}
#: Hint and what decides -> the last of the refused options that have them in common.
ROWS = {
    (option.hint, option.decided_by): (namespace.replace(":*", ":name"), name)
    for namespace, rows in OPTIONS.items()
    for name, option in rows.items()
    if option.outcome is Outcome.REFUSED
}


def offers_of(hint: str) -> Iterator[Apply]:
    """What a hint offers; the most words of `OFFERS` that it has say it."""
    words = max((words for words in OFFERS if words in hint), key=len, default=None)
    assert words is not None, f"{hint}: this hint is not applied by any test"
    yield from OFFERS[words]


def refusals_of(attempt: Try) -> tuple[str, ...]:
    with pytest.raises(InvalidProps) as caught:
        attempt.make()
    return caught.value.problems


def test_every_hint_of_the_table_is_applied_by_a_test_and_no_other() -> None:
    used = {words for hint, _ in ROWS for words in OFFERS if words in hint}
    assert used == OFFERS.keys()


@pytest.mark.parametrize("row", ROWS.items(), ids=lambda row: ":".join(row[1]))
def test_what_the_hint_of_a_refused_option_offers_is_accepted(
    row: tuple[tuple[str, tuple[str, ...]], tuple[str, str]], tmp_path: Path
) -> None:
    (hint, _), (namespace, name) = row
    option = "DB_PASSWORD" if name == ANY_NAME else name
    settings = {namespace: {option: "other"}}
    (problem,) = refusals_of(Try(settings, tmp_path))
    assert hint in problem
    for number, apply in enumerate(offers_of(hint)):
        directory = tmp_path / str(number)
        directory.mkdir()
        attempt = Try(settings, directory)
        apply(attempt, namespace, option)
        if apply is leave_out:  # nothing is left that a tier could refuse
            assert refusals(read_settings(attempt.settings).findings) == []
        else:
            assert attempt.make()


def deployment(**options: str) -> Settings:
    return {COMMAND: options}


ONE_AT_A_TIME = setting(COMMAND, DeploymentPolicy="Rolling", BatchSizeType="Fixed", BatchSize="1")
JUST_ROLLING = setting(COMMAND, DeploymentPolicy="Rolling")
POLICY = passing(update_policy=update_policy)

#: Settings that are refused for a value or for each other, words of the hint, and what it offers.
VALUES: list[tuple[Settings, str, tuple[Apply, ...]]] = [
    (deployment(DeploymentPolicy="Immutable"), "; set Rolling, or pass update_policy=",
     (JUST_ROLLING, POLICY)),
    (deployment(DeploymentPolicy="Immutable", BatchSizeType="Percentage", BatchSize="30"),
     "; set DeploymentPolicy to Rolling, BatchSizeType to Fixed and BatchSize to 1, or pass upd",
     (ONE_AT_A_TIME, POLICY)),
    (deployment(DeploymentPolicy="Immutable", BatchSizeType="Fixed"),
     "; set DeploymentPolicy to Rolling, BatchSizeType to Fixed and BatchSize to 1, or pass upd",
     (ONE_AT_A_TIME, POLICY)),
    (deployment(DeploymentPolicy="RollingWithAdditionalBatch", BatchSize="2"),
     "; set DeploymentPolicy to Rolling, BatchSizeType to Fixed and BatchSize to 1 and one more in"
     " MinSize, or pass update_policy", (ONE_AT_A_TIME, POLICY)),
    (deployment(DeploymentPolicy="TrafficSplitting", BatchSize="20"),
     "; set DeploymentPolicy to Rolling, BatchSizeType to Fixed and BatchSize to 1, or pass upd",
     (ONE_AT_A_TIME, POLICY)),
    (deployment(DeploymentPolicy="Fast"), "must be AllAtOnce or Rolling; set Rolling",
     (JUST_ROLLING,)),
    (deployment(DeploymentPolicy="Fast", BatchSize="20"),
     "; set DeploymentPolicy to Rolling, BatchSizeType to Fixed and BatchSize to 1",
     (ONE_AT_A_TIME,)),
    (deployment(DeploymentPolicy="rolling", BatchSize="20"),
     "; set BatchSizeType to Fixed and BatchSize to 1, or pass update_policy",
     (setting(COMMAND, BatchSizeType="Fixed", BatchSize="1"), POLICY)),
    ({ROLLING: {"RollingUpdateType": "Immutable"}, COMMAND: {"DeploymentPolicy": "Rolling"}},
     "; set Health", (setting(ROLLING, RollingUpdateType="Health"), POLICY)),
    ({LOGS: {"StreamLogs": "true"}},
     "; pass log_group=, made with RemovalPolicy.RETAIN, or set DeleteOnTerminate to true",
     (passing(log_group=retained_lines), setting(LOGS, DeleteOnTerminate="true"))),
    ({LAUNCH: {"SecurityGroups": "a,b"}}, "; merge their rules, or pass security_group",
     (setting(LAUNCH, SecurityGroups="sg-1"),
      passing(security_group=security_group))),
    ({LAUNCH: {"DisableDefaultEC2SecurityGroup": "true"}},
     "; set SecurityGroups, or pass security_group",
     (setting(LAUNCH, SecurityGroups="sg-1"),
      passing(security_group=security_group))),
    ({INSTANCES: {"EnableSpot": "true"}}, "needs InstanceTypes; set them, or pass capacity",
     (setting(INSTANCES, InstanceTypes="t3.small"),
      passing(capacity=lambda _: WorkerCapacity.spot([ec2.InstanceType("t3.small")])))),
    ({INSTANCES: {"InstanceTypes": "t3.small", "SupportedArchitectures": "arm64"}},
     "; remove those types from InstanceTypes, or correct SupportedArchitectures",
     (setting(INSTANCES, InstanceTypes="t4g.small"),
      setting(INSTANCES, SupportedArchitectures="x86_64"))),
    ({TRIGGER: {"MeasureName": "RequestCount", "UpperThreshold": "100", "LowerThreshold": "10"}},
     "; set CPUUtilization or NetworkIn or", (setting(TRIGGER, MeasureName="CPUUtilization"),
      passing(scaling=lambda _: WorkerScaling.none()))),
    ({TRIGGER: {"MeasureName": "CPUUtilization", "UpperThreshold": "80"}},
     "; set LowerThreshold too", (setting(TRIGGER, LowerThreshold="20"),)),
    ({TRIGGER: {"MeasureName": "CPUUtilization"}},
     "; set UpperThreshold and LowerThreshold too",
     (setting(TRIGGER, UpperThreshold="80", LowerThreshold="20"),)),
    ({TRIGGER: {"MeasureName": "CPUUtilization", "Unit": "Bytes", "UpperThreshold": "80",
                "LowerThreshold": "20"}},
     "; correct it or leave it out",
     (setting(TRIGGER, Unit="Percent"), lambda attempt, _, __: attempt.leave_out(TRIGGER, "Unit"))),
    ({"aws:autoscaling:asg": {"MinSize": "5", "MaxSize": "2"}},
     "; lower MinSize or raise MaxSize",
     (setting("aws:autoscaling:asg", MinSize="2"), setting("aws:autoscaling:asg", MaxSize="5"))),
    ({"aws:autoscaling:asg": {"MaxSize": {"Fn::ImportValue": "x"}}},
     "; write the value that the environment has, or pass max_capacity in code",
     (setting("aws:autoscaling:asg", MaxSize="5"), passing(max_capacity=lambda _: 5))),
]  # fmt: skip


@pytest.mark.parametrize(("settings", "hint", "offers"), VALUES)
def test_what_the_hint_of_a_refused_value_offers_is_accepted(
    settings: Settings, hint: str, offers: tuple[Apply, ...], tmp_path: Path
) -> None:
    (problem,) = refusals_of(Try(settings, tmp_path))
    assert hint in problem
    for number, apply in enumerate(offers):
        directory = tmp_path / str(number)
        directory.mkdir()
        attempt = Try(settings, directory)
        apply(attempt, "", "")
        assert attempt.make()
