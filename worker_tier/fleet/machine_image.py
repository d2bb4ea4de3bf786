"""The systems that instances can boot: where each one's newest image is, and its root device."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, cast

import jsii
from aws_cdk import aws_ec2 as ec2
from constructs import Construct

_AMAZON_ROOT: Final = "/dev/xvda"


@dataclass(frozen=True, kw_only=True)
class WorkerMachineImage:
    """A choice of system; made by the static methods, not by hand.

    Args:
        image: the image for a processor architecture.
        root_device: what its root volume is called; a wrong name adds an empty second volume and
            leaves the real one unencrypted.
        ships_logs: its package repositories have the CloudWatch agent, so that the daemon's lines,
            and with them its metrics, reach CloudWatch.
    """

    image: Callable[[ec2.InstanceArchitecture], ec2.IMachineImage]
    root_device: str
    ships_logs: bool

    @staticmethod
    def amazon_linux_2023() -> WorkerMachineImage:
        """The newest Amazon Linux 2023 at each deployment; a newer one replaces the instances."""
        return WorkerMachineImage(
            image=_amazon_linux_2023, root_device=_AMAZON_ROOT, ships_logs=True
        )

    @staticmethod
    def debian_12() -> WorkerMachineImage:
        """Debian 12, the newest image at each deployment, as the project publishes it."""
        return _debian(12)

    @staticmethod
    def debian_13() -> WorkerMachineImage:
        """Debian 13, the newest image at each deployment, as the project publishes it."""
        return _debian(13)

    @staticmethod
    def ubuntu_24_04() -> WorkerMachineImage:
        """Ubuntu 24.04 LTS, the newest image at each deployment, as Canonical publishes it."""
        names = {ec2.InstanceArchitecture.ARM_64: "arm64", ec2.InstanceArchitecture.X86_64: "amd64"}
        return WorkerMachineImage(
            image=lambda kind: _parameter(
                "/aws/service/canonical/ubuntu/server/24.04/stable/current/"
                f"{names[kind]}/hvm/ebs-gp3/ami-id"
            ),
            root_device="/dev/sda1",
            ships_logs=False,
        )

    @staticmethod
    def pinned(image_id: str, *, like: WorkerMachineImage) -> WorkerMachineImage:
        """One image by its id, of one region and processor; no deployment replaces it unasked.

        Args:
            image_id: such as `ami-0a1b2c3d4e5f60718`.
            like: the system it is of, such as `WorkerMachineImage.debian_12()`.
        """
        return replace(like, image=lambda kind: cast(ec2.IMachineImage, _FixedImage(image_id)))

    @staticmethod
    def custom(
        image: ec2.IMachineImage, *, root_device: str, ships_logs: bool
    ) -> WorkerMachineImage:
        """An image of your own, pinned or looked up: one of the systems above, with more on it.

        Args:
            image: for the processor of the instance types.
            root_device: such as `/dev/xvda`; `aws ec2 describe-images` calls it `RootDeviceName`.
            ships_logs: whether the CloudWatch agent is on it or in its repositories.
        """
        return WorkerMachineImage(
            image=lambda kind: image, root_device=root_device, ships_logs=ships_logs
        )


def chosen_image(
    image: ec2.IMachineImage | WorkerMachineImage | None, problems: list[str]
) -> WorkerMachineImage | None:
    """What a `machine_image` prop stands for; None, and a problem, for an image of unknown kind."""
    if image is None:
        return WorkerMachineImage.amazon_linux_2023()
    if isinstance(image, WorkerMachineImage):
        return image
    if isinstance(image, ec2.AmazonLinux2023ImageSsmParameter):
        return WorkerMachineImage.custom(image, root_device=_AMAZON_ROOT, ships_logs=True)
    problems.append(
        "machine_image is a plain image, so the CDK does not know what its root device is called"
        " and whether it ships logs; say so: machine_image=WorkerMachineImage.custom(image,"
        " root_device=..., ships_logs=...) or .pinned(image_id, like=...)"
    )
    return None


def _amazon_linux_2023(kind: ec2.InstanceArchitecture) -> ec2.IMachineImage:
    arm = kind == ec2.InstanceArchitecture.ARM_64
    return ec2.MachineImage.latest_amazon_linux2023(
        cpu_type=ec2.AmazonLinuxCpuType.ARM_64 if arm else ec2.AmazonLinuxCpuType.X86_64
    )


def _debian(release: int) -> WorkerMachineImage:
    names = {ec2.InstanceArchitecture.ARM_64: "arm64", ec2.InstanceArchitecture.X86_64: "amd64"}
    return WorkerMachineImage(
        image=lambda kind: _parameter(
            f"/aws/service/debian/release/{release}/latest/{names[kind]}"
        ),
        root_device=_AMAZON_ROOT,
        ships_logs=False,
    )


def _parameter(name: str) -> ec2.IMachineImage:
    return ec2.MachineImage.from_ssm_parameter(name)


@jsii.implements(ec2.IMachineImage)
class _FixedImage:
    """An image by its id alone; the region it is of need not be known at synth."""

    def __init__(self, id: str) -> None:
        self._id = id

    @jsii.member(jsii_name="getImage")
    def get_image(self, scope: Construct) -> ec2.MachineImageConfig:
        return ec2.MachineImageConfig(
            image_id=self._id,
            os_type=ec2.OperatingSystemType.LINUX,
            user_data=ec2.UserData.for_linux(),
        )
