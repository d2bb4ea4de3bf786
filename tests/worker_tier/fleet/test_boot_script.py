"""Whoever adds to user data: it runs before the signal, and its size is checked at synth."""

from __future__ import annotations

import re

import pytest
from aws_cdk import Aws, CfnParameter, Stack
from aws_cdk import aws_autoscaling as autoscaling
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_s3_assets as s3_assets
from aws_cdk.assertions import Annotations, Match

from tests.worker_tier.stacks import Synthesized, fleet_alone, new_stack, vpc_of
from worker_tier import (
    InvalidProps,
    PeriodicTask,
    WorkerApplication,
    WorkerCapacity,
    WorkerTier,
)
from worker_tier_bootstrap.user_data import USER_DATA_LIMIT_BYTES

HAND_OVER = "begin 'hand over'\n"


@pytest.fixture
def stack() -> Stack:
    return new_stack()


@pytest.fixture
def tier(stack: Stack) -> WorkerTier:
    return WorkerTier(stack, "Worker", vpc=vpc_of(stack))


def data_of(owner: ec2.LaunchTemplate | autoscaling.AutoScalingGroup) -> ec2.UserData:
    """User data as the CDK's own constructs hand it out."""
    assert owner.user_data is not None
    return owner.user_data


def before_the_signal(stack: Stack) -> str:
    """The part of the script that runs before the engine starts the daemon and signals."""
    head, hand_over, rest = Synthesized(stack).user_data().partition(HAND_OVER)
    assert hand_over
    assert HAND_OVER not in rest
    return head


def test_commands_run_before_the_signal_in_their_order_whatever_adds_them(
    stack: Stack, tier: WorkerTier
) -> None:
    tier.add_user_data("echo first")
    data_of(tier.launch_template).add_commands("echo second", "echo third")
    tier.auto_scaling_group.add_user_data("echo fourth")
    head = before_the_signal(stack)
    assert head.endswith("echo first\necho second\necho third\necho fourth\n")


def test_commands_of_a_fleet_of_several_types_run_before_the_signal_too(stack: Stack) -> None:
    types = [ec2.InstanceType("t4g.small"), ec2.InstanceType("m7g.medium")]
    tier = WorkerTier(stack, "Worker", vpc=vpc_of(stack), capacity=WorkerCapacity.spot(types))
    data_of(tier.launch_template).add_commands("echo one")
    assert before_the_signal(stack).endswith("echo one\n")


def test_downloads_and_programs_of_the_cdk_run_before_the_signal(
    stack: Stack, tier: WorkerTier
) -> None:
    data = tier.auto_scaling_group.user_data
    path = data.add_s3_download_command(bucket=s3.Bucket(stack, "Files"), bucket_key="set-up")
    data.add_execute_file_command(file_path=path, arguments="--all")
    head = before_the_signal(stack)
    assert "aws s3 cp 's3://" in head
    assert f"chmod +x '{path}'\n'{path}' --all\n" in head


@pytest.mark.parametrize("through", ["launch_template", "auto_scaling_group"])
def test_user_data_that_ec2_would_refuse_is_refused_at_synth(through: str) -> None:
    stack = new_stack()
    tier = WorkerTier(stack, "Worker", vpc=vpc_of(stack))
    owner = tier.launch_template if through == "launch_template" else tier.auto_scaling_group
    data_of(owner).add_commands("echo " + "x" * USER_DATA_LIMIT_BYTES)
    with pytest.raises(RuntimeError, match=r"\[Test/Worker/Fleet\] user data is \d+ bytes"):
        Synthesized(stack)


def test_commands_are_counted_with_what_add_user_data_adds(tier: WorkerTier) -> None:
    data_of(tier.launch_template).add_commands("echo " + "x" * 10_000)
    with pytest.raises(InvalidProps, match="user data is"):
        tier.add_user_data("echo " + "y" * 5_000)


def test_a_signal_besides_the_bootstraps_is_refused(tier: WorkerTier) -> None:
    group = tier.auto_scaling_group
    with pytest.raises(InvalidProps, match="an instance signals once"):
        group.user_data.add_signal_on_exit_command(group)
    with pytest.raises(InvalidProps, match="must not call cfn-signal"):
        group.user_data.add_commands("/opt/aws/bin/cfn-signal -e 0")
    # cfn-init of the CDK signals when it has ended, which is before the daemon receives
    init = ec2.CloudFormationInit.from_elements(ec2.InitCommand.shell_command("true"))
    with pytest.raises(RuntimeError, match="must not call cfn-signal"):
        group.apply_cloud_formation_init(init)


@pytest.mark.parametrize(
    "command",
    [
        "aws cloudformation signal-resource --stack-name s --status SUCCESS",
        "aws cloudformation \\\n  signal-resource --stack-name s",
        "curl 'https://cloudformation.eu-west-1.amazonaws.com/?Action=SignalResource&StackName=s'",
        "python3 -c 'import boto3; boto3.client(\"cloudformation\").signal_resource()'",
    ],
)
def test_a_signal_by_the_api_is_refused_too(tier: WorkerTier, command: str) -> None:
    with pytest.raises(InvalidProps, match="an instance signals once"):
        tier.add_user_data("true", command)
    with pytest.raises(InvalidProps, match="an instance signals once"):
        tier.auto_scaling_group.user_data.add_commands(command)


def test_a_command_that_utf_8_cannot_have_is_refused(stack: Stack, tier: WorkerTier) -> None:
    with pytest.raises(InvalidProps) as caught:
        tier.add_user_data("echo \ud800")
    (problem,) = caught.value.problems
    assert problem == (
        "user data must be text that UTF-8 can have, got '\\ud800' in 'echo \\ud800'; write the"
        " character itself"
    )
    tier.add_user_data("echo \U0001f680")
    assert before_the_signal(stack).endswith("echo \U0001f680\n")


# ---- what was refused is not there


def test_a_command_that_was_refused_does_not_stay(stack: Stack, tier: WorkerTier) -> None:
    with pytest.raises(InvalidProps, match="user data is"):
        tier.add_user_data("x" * 20_000)
    with pytest.raises(InvalidProps, match="an instance signals once"):
        tier.add_user_data("echo no", "cfn-signal")
    tier.add_user_data("echo small")
    assert before_the_signal(stack).endswith("begin 'add_user_data'\necho small\n")


def test_a_property_that_was_refused_does_not_stay() -> None:
    stack = new_stack()
    application = WorkerApplication.from_container("nginx:1.27")
    tier = WorkerTier(stack, "Worker", vpc=vpc_of(stack), application=application)
    with pytest.raises(InvalidProps, match="user data is"):
        tier.add_environment("LARGE", "x" * 4_000)
    assert tier.environment == {}
    tier.add_environment("LARGE", "small")
    assert tier.environment == {"LARGE": "small"}


def test_a_periodic_task_that_was_refused_leaves_no_table(stack: Stack, tier: WorkerTier) -> None:
    tier.add_user_data("#" + "x" * 3_500)
    first = PeriodicTask(name="first", url="/" + "x" * 500, schedule="* * * * *")
    with pytest.raises(InvalidProps, match="user data is"):
        tier.add_periodic_task(first)
    assert tier.leader_table is None
    assert not Synthesized(stack).all("AWS::DynamoDB::GlobalTable")
    assert "/xxx" not in tier.fleet.user_data.render()


def test_a_small_task_after_a_refused_one_is_the_only_one(tier: WorkerTier) -> None:
    tier.add_user_data("#" + "x" * 3_000)
    with pytest.raises(InvalidProps, match="user data is"):
        tier.add_periodic_task(PeriodicTask(name="a", url="/" + "x" * 900, schedule="* * * * *"))
    tier.add_periodic_task(PeriodicTask(name="b", url="/b", schedule="* * * * *"))
    assert tier.leader_table is not None
    script = tier.fleet.user_data.render()
    assert "/xxx" not in script
    assert "/b" in script


# ---- values that are known at deployment only


def parameters(stack: Stack, count: int) -> list[str]:
    return [CfnParameter(stack, f"P{number}").value_as_string for number in range(count)]


def size_warnings(stack: Stack) -> list[str]:
    found = Annotations.from_stack(stack).find_warning(
        "*", Match.string_like_regexp("user data has")
    )
    return [str(one.entry.data) for one in found]


def test_many_values_of_the_deployment_are_counted_and_may_be_too_many() -> None:
    stack = new_stack()
    environment = {f"A{n}": value for n, value in enumerate(parameters(stack, 20))}
    application = WorkerApplication.from_container("nginx:1.27", environment=environment)
    WorkerTier(stack, "Worker", vpc=vpc_of(stack), application=application)
    (warning,) = size_warnings(stack)
    assert re.match(
        r"user data has 20 values that only the deployment knows, and may take \d{5} bytes with 200"
        r" bytes for each, and EC2 takes 16384; ",
        warning,
    )


@pytest.mark.parametrize("through", ["add_user_data", "launch_template"])
def test_values_in_commands_are_counted_too(through: str) -> None:
    stack = new_stack()
    tier = WorkerTier(stack, "Worker", vpc=vpc_of(stack))
    commands = [f"echo {value}" for value in parameters(stack, 40)]
    if through == "add_user_data":
        tier.add_user_data(*commands)
    else:
        data_of(tier.launch_template).add_commands(*commands)
    (warning,) = size_warnings(stack)
    assert warning.startswith("user data has 40 values that only the deployment knows")


def test_a_few_values_of_the_deployment_are_no_reason_to_warn() -> None:
    stack = new_stack()
    environment = {f"A{n}": value for n, value in enumerate(parameters(stack, 8))}
    environment |= {"REGION": Aws.REGION, "ACCOUNT": Aws.ACCOUNT_ID}
    application = WorkerApplication.from_container("nginx:1.27", environment=environment)
    WorkerTier(stack, "Worker", vpc=vpc_of(stack), application=application)
    assert size_warnings(stack) == []


def test_the_text_around_a_value_of_the_deployment_is_counted_as_it_will_be() -> None:
    stack = new_stack()
    (value,) = parameters(stack, 1)
    environment = {"A": "x" * 3_900 + value}
    application = WorkerApplication.from_container("nginx:1.27", environment=environment)
    with pytest.raises(InvalidProps, match="user data is"):
        WorkerTier(stack, "Worker", vpc=vpc_of(stack), application=application)


def test_commands_at_the_end_of_the_script_are_refused(tier: WorkerTier) -> None:
    with pytest.raises(InvalidProps, match="use add_commands"):
        data_of(tier.launch_template).add_on_exit_commands("echo bye")


def test_a_fleet_with_a_script_of_its_own_runs_what_is_added_first(stack: Stack) -> None:
    fleet = fleet_alone(stack)
    fleet.auto_scaling_group.add_user_data("echo added")
    fleet.set_user_data("#!/bin/bash\necho script\n")
    assert Synthesized(stack).user_data() == "#!/bin/bash\necho added\necho script\n"


def test_an_asset_that_an_instance_fetches_is_readable_by_it(
    stack: Stack, tier: WorkerTier, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.mktemp("asset") / "set-up.sh"
    file.write_text("true\n", encoding="utf-8")
    asset = s3_assets.Asset(stack, "SetUp", path=str(file))
    asset.grant_read(tier)
    tier.auto_scaling_group.user_data.add_s3_download_command(
        bucket=asset.bucket, bucket_key=asset.s3_object_key
    )
    assert asset.s3_object_key in before_the_signal(stack)
