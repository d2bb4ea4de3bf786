"""The systems that instances boot, and their root volumes."""

from __future__ import annotations

import re

import pytest
from aws_cdk import Size
from aws_cdk import aws_ec2 as ec2

from tests.worker_tier.stacks import (
    Synthesized,
    problems_of,
    stack_in,
    tier_with,
    vpc_of,
)
from worker_tier import WorkerMachineImage, WorkerTier
from worker_tier_bootstrap.systems import ARM_64, SYSTEMS, X86_64

#: Instance type -> EC2's name of its processor architecture.
INSTANCE_TYPES = {"t4g.small": "arm64", "t3.small": "x86_64"}


@pytest.mark.parametrize("instance_type", INSTANCE_TYPES)
@pytest.mark.parametrize("key", SYSTEMS)
def test_each_system_has_its_image_and_its_root_device(key: str, instance_type: str) -> None:
    template = tier_with(
        machine_image=WorkerMachineImage.of(key), instance_type=ec2.InstanceType(instance_type)
    )
    system = SYSTEMS[key]
    data = template.one("AWS::EC2::LaunchTemplate")["LaunchTemplateData"]
    (volume,) = data["BlockDeviceMappings"]
    assert volume["DeviceName"] == system.root_device
    assert volume["Ebs"]["Encrypted"] is True
    parameter = template.document["Parameters"][data["ImageId"]["Ref"]]["Default"]
    assert parameter == system.image_parameters[INSTANCE_TYPES[instance_type]]
    # each publisher has its own name of the architecture
    assert re.search("arm64" if instance_type == "t4g.small" else "x86_64|amd64", parameter)


@pytest.mark.parametrize(
    ("image", "parameter", "device"),
    [
        (WorkerMachineImage.amazon_linux_2023(), "al2023-ami-kernel", "/dev/xvda"),
        (WorkerMachineImage.debian_12(), "/debian/release/12/latest/arm64", "/dev/xvda"),
        (WorkerMachineImage.debian_13(), "/debian/release/13/latest/arm64", "/dev/xvda"),
        (WorkerMachineImage.ubuntu_24_04(), "/24.04/stable/current/arm64/", "/dev/sda1"),
    ],
)
def test_a_system_can_be_chosen_by_its_name(
    image: WorkerMachineImage, parameter: str, device: str
) -> None:
    template = tier_with(machine_image=image)
    data = template.one("AWS::EC2::LaunchTemplate")["LaunchTemplateData"]
    assert parameter in template.document["Parameters"][data["ImageId"]["Ref"]]["Default"]
    assert data["BlockDeviceMappings"][0]["DeviceName"] == device


def test_amazons_image_is_the_one_that_the_cdk_knows() -> None:
    # the kernel is part of the name: another one would replace every instance
    kernel = ec2.AmazonLinux2023Kernel.KERNEL_6_1
    for cpu, architecture in (
        (ec2.AmazonLinuxCpuType.ARM_64, ARM_64),
        (ec2.AmazonLinuxCpuType.X86_64, X86_64),
    ):
        name = ec2.AmazonLinux2023ImageSsmParameter.ssm_parameter_name(cpu_type=cpu, kernel=kernel)
        assert SYSTEMS["amzn-2023"].image_parameters[architecture] == name


def test_only_a_system_whose_repositories_have_the_agent_ships_logs() -> None:
    assert {key for key in SYSTEMS if WorkerMachineImage.of(key).ships_logs} == {"amzn-2023"}


def test_an_unknown_system_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"one of amzn-2023, debian-12, .*, got 'debian-1'"):
        WorkerMachineImage.of("debian-1")


def test_an_image_can_be_pinned() -> None:
    image = WorkerMachineImage.custom(
        ec2.MachineImage.generic_linux({"us-east-1": "ami-0a1b2c3d4e5f60718"}),
        root_device="/dev/sda1",
        ships_logs=False,
    )
    stack = stack_in("us-east-1")
    WorkerTier(stack, "Worker", vpc=vpc_of(stack), machine_image=image)
    data = Synthesized(stack).one("AWS::EC2::LaunchTemplate")["LaunchTemplateData"]
    assert data["ImageId"] == "ami-0a1b2c3d4e5f60718"


def test_an_image_is_pinned_by_its_id_and_the_system_it_is_of() -> None:
    image = WorkerMachineImage.pinned("ami-1a2b", like=WorkerMachineImage.ubuntu_24_04())
    data = tier_with(machine_image=image).one("AWS::EC2::LaunchTemplate")["LaunchTemplateData"]
    assert data["ImageId"] == "ami-1a2b"
    assert data["BlockDeviceMappings"][0]["DeviceName"] == "/dev/sda1"


def test_a_plain_image_is_asked_what_it_is_unless_the_cdk_knows_it() -> None:
    (problem,) = problems_of(machine_image=ec2.MachineImage.generic_linux({"us-east-1": "ami-1"}))
    assert problem.startswith("machine_image is a plain image")
    assert "WorkerMachineImage.custom(image, root_device=..., ships_logs=...)" in problem
    image = ec2.MachineImage.latest_amazon_linux2023(cpu_type=ec2.AmazonLinuxCpuType.ARM_64)
    assert tier_with(machine_image=image).one("AWS::EC2::LaunchTemplate")


def test_a_volume_has_another_type_when_asked_for_and_room_for_the_system() -> None:
    template = tier_with(root_volume_type=ec2.EbsDeviceVolumeType.GP2)
    data = template.one("AWS::EC2::LaunchTemplate")["LaunchTemplateData"]
    assert data["BlockDeviceMappings"][0]["Ebs"]["VolumeType"] == "gp2"
    (problem,) = problems_of(root_volume_type=ec2.EbsDeviceVolumeType.IO1)
    assert problem.startswith("root_volume_type is IO1")
    (problem,) = problems_of(root_volume_size=Size.gibibytes(7))
    assert "from 8 to 16384, got 7" in problem
