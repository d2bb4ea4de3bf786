"""The systems that instances can boot: each one's newest machine image, and its root device."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, cast

import jsii
from aws_cdk import CfnParameter, Stack
from aws_cdk import aws_ec2 as ec2
from constructs import Construct

from worker_tier.type_checks import checked, example
from worker_tier_bootstrap.systems import ARM_64, SYSTEMS, X86_64

#: Key of the default system in `SYSTEMS`.
_DEFAULT: Final = "amzn-2023"
#: The CDK's name of a processor architecture -> EC2's.
_ARCHITECTURES: Final = {
    ec2.InstanceArchitecture.ARM_64: ARM_64,
    ec2.InstanceArchitecture.X86_64: X86_64,
}
#: What names of public parameters call a processor architecture, letters and digits alone.
_PROCESSOR_NAMES: Final = {
    ec2.InstanceArchitecture.ARM_64: ("arm64", "aarch64"),
    ec2.InstanceArchitecture.X86_64: ("x8664", "amd64"),
}


@example("WorkerMachineImage.pinned(...)")
@dataclass(frozen=True, kw_only=True)
class WorkerMachineImage:
    """A choice of operating system; made by the static methods, not by hand.

    Args:
        image: returns the image for a processor architecture.
        root_device: device name of its root volume. A wrong name adds an empty second volume and
            leaves the real one unencrypted.
        ships_logs: whether its package repositories have the CloudWatch agent, so that the daemon's
            lines, and with them its metrics, reach CloudWatch.
    """

    image: Callable[[ec2.InstanceArchitecture], ec2.IMachineImage]
    root_device: str
    ships_logs: bool

    @staticmethod
    @checked
    def of(system: str) -> WorkerMachineImage:
        """Choose a system by its key, the newest image at each deployment.

        A newer image replaces the instances.

        Args:
            system: a key of `worker_tier_bootstrap.systems.SYSTEMS`, such as `debian-12`.

        Raises:
            ValueError: there is no such system; the text names all.
        """
        row = SYSTEMS.get(system)
        if row is None:
            raise ValueError(f"system must be one of {', '.join(SYSTEMS)}, got {system!r}")
        return WorkerMachineImage(
            image=lambda kind: ec2.MachineImage.from_ssm_parameter(
                row.image_parameters[_ARCHITECTURES[kind]]
            ),
            root_device=row.root_device,
            ships_logs=row.ships_logs,
        )

    @staticmethod
    def amazon_linux_2023() -> WorkerMachineImage:
        """The newest Amazon Linux 2023 at each deployment; a newer one replaces the instances."""
        return WorkerMachineImage.of("amzn-2023")

    @staticmethod
    def debian_12() -> WorkerMachineImage:
        """Debian 12, the newest image at each deployment, as the project publishes it."""
        return WorkerMachineImage.of("debian-12")

    @staticmethod
    def debian_13() -> WorkerMachineImage:
        """Debian 13, the newest image at each deployment, as the project publishes it."""
        return WorkerMachineImage.of("debian-13")

    @staticmethod
    def ubuntu_24_04() -> WorkerMachineImage:
        """Ubuntu 24.04 LTS, the newest image at each deployment, as Canonical publishes it."""
        return WorkerMachineImage.of("ubuntu-24.04")

    @staticmethod
    @checked
    def pinned(image_id: str, *, like: WorkerMachineImage) -> WorkerMachineImage:
        """One image by its id, of one region and processor; no deployment replaces it unasked.

        Args:
            image_id: such as `ami-0a1b2c3d4e5f60718`.
            like: the image's system, such as `WorkerMachineImage.debian_12()`.
        """
        return replace(like, image=lambda kind: cast(ec2.IMachineImage, _FixedImage(image_id)))

    @staticmethod
    @checked
    def custom(
        image: ec2.IMachineImage, *, root_device: str, ships_logs: bool
    ) -> WorkerMachineImage:
        """Your own image, pinned or looked up: one of the systems above, with more on it.

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
    """Return what a `machine_image` prop stands for.

    Returns:
        The choice, or None if the image's system is unknown; `problems` then says so.
    """
    if image is None:
        return WorkerMachineImage.of(_DEFAULT)
    if isinstance(image, WorkerMachineImage):
        return image
    if isinstance(image, ec2.AmazonLinux2023ImageSsmParameter):
        amazon = WorkerMachineImage.amazon_linux_2023()
        return replace(amazon, image=lambda kind: cast(ec2.IMachineImage, image))
    problems.append(
        "machine_image is a plain image, so the CDK does not know what its root device is called"
        " and whether it ships logs; say so: machine_image=WorkerMachineImage.custom(image,"
        " root_device=..., ships_logs=...) or .pinned(image_id, like=...)"
    )
    return None


def image_problems(template: ec2.LaunchTemplate, processor: ec2.InstanceArchitecture) -> list[str]:
    """Return why the image of a launch template cannot boot the instances.

    The CDK finds out what an image is when it is bound to a launch template, and its processor is
    part of the name of a public parameter only; that of an image by its id is unknown.
    """
    if template.os_type == ec2.OperatingSystemType.WINDOWS:
        return [
            "machine_image is a Windows image, and the daemon runs on Linux; choose one of"
            " WorkerMachineImage, such as WorkerMachineImage.amazon_linux_2023()"
        ]
    found = Stack.of(template).resolve(template.image_id)
    other = next(kind for kind in _ARCHITECTURES if kind != processor)
    if not any(word in _letters(str(found)) for word in _PROCESSOR_NAMES[other]):
        return []
    name = _parameter_of(template, found)
    if name is None:
        return []
    return [
        f"machine_image is the image {name}, for {_ARCHITECTURES[other]}, and the instances have"
        f" {_ARCHITECTURES[processor]} processors; choose an image for them, such as"
        " ec2.MachineImage.latest_amazon_linux2023(cpu_type=ec2.AmazonLinuxCpuType."
        f"{processor.name}), or another instance_type"
    ]


def _letters(text: str) -> str:
    """Return the letters and digits of a text, of which a logical id consists."""
    return "".join(filter(str.isalnum, text))


def _parameter_of(template: ec2.LaunchTemplate, image_id: object) -> str | None:
    """Return the public parameter that names a launch template's image, or None if none does."""
    stack = Stack.of(template)
    match image_id:
        case {"Ref": str() as id}:
            parameters = (one for one in stack.node.children if isinstance(one, CfnParameter))
            named = (one for one in parameters if stack.resolve(one.logical_id) == id)
            return next((str(one.default) for one in named if one.default is not None), None)
        case str() as text:
            return text if text.startswith("resolve:ssm:") else None
    return None


@jsii.implements(ec2.IMachineImage)
class _FixedImage:
    """An image by its id alone, whose region need not be known at synth."""

    def __init__(self, id: str) -> None:
        self._id = id

    @jsii.member(jsii_name="getImage")
    def get_image(self, scope: Construct) -> ec2.MachineImageConfig:
        return ec2.MachineImageConfig(
            image_id=self._id,
            os_type=ec2.OperatingSystemType.LINUX,
            user_data=ec2.UserData.for_linux(),
        )
