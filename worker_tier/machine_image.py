"""The systems that instances can boot: where each one's newest image is, and its root device."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from aws_cdk import aws_ec2 as ec2

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


def chosen_image(image: ec2.IMachineImage | WorkerMachineImage | None) -> WorkerMachineImage:
    """What a `machine_image` prop stands for: a plain image is taken for an Amazon Linux."""
    if image is None:
        return WorkerMachineImage.amazon_linux_2023()
    if isinstance(image, WorkerMachineImage):
        return image
    return WorkerMachineImage.custom(image, root_device=_AMAZON_ROOT, ships_logs=True)


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
