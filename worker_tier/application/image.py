"""The image of a container: its full name, who may pull it, and the processor it is built for."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from aws_cdk import Aws, Token
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_ecr as ecr
from aws_cdk import aws_ecr_assets as ecr_assets
from aws_cdk import aws_iam as iam

#: Lets somebody pull an image.
Grant = Callable[[iam.IGrantable], object]

#: Tag of a repository's image when none is given.
_DEFAULT_TAG: Final = "latest"
#: A tag, and the digest that names one content for ever (OCI distribution specification).
_TAG: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")
#: The scheme of an address, which an image's name has not.
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
#: A part of a name that only the deployment knows, or one without dots.
_PART: Final = r"(?:\$\{Token\[[^\]]*\]\}|[A-Za-z0-9-]+)"
#: Domains of private registries: for IPv4, and for IPv4 and IPv6; those of AWS and of China.
_DOMAINS: Final = (
    r"(?:\$\{Token\[[^\]]*\]\}|amazonaws\.com(?:\.cn)?|on\.aws|on\.amazonwebservices\.com\.cn)"
)
#: Account, region and repository of an image in a private registry of ECR (AWS General Reference,
#: "Amazon ECR endpoints and quotas"). `image_pull` of the bootstrap knows the same hosts.
_PRIVATE: Final = re.compile(
    rf"({_PART})\.dkr[.-]ecr(?:-fips)?\.({_PART})\.{_DOMAINS}"
    r"/((?:\$\{Token\[[^\]]*\]\}|[a-z0-9._/-])+)(?:[:@].*)?"
)
#: What pulling from a repository needs besides a login.
_PULL_ACTIONS: Final = (
    "ecr:BatchCheckLayerAvailability",
    "ecr:BatchGetImage",
    "ecr:GetDownloadUrlForLayer",
)
#: Docker's name of a platform -> the processor of instances that run it.
_PROCESSORS: Final = {
    "linux/amd64": ec2.InstanceArchitecture.X86_64,
    "linux/arm64": ec2.InstanceArchitecture.ARM_64,
    "linux/arm64/v8": ec2.InstanceArchitecture.ARM_64,
}


def image_problems(
    image: str | ecr_assets.DockerImageAsset | ecr.IRepository,
    tag: str | None,
    platform: ecr_assets.Platform | None,
) -> list[str]:
    """Return everything wrong with an image, its tag and its platform."""
    problems = _name_problems(image) if isinstance(image, str) else []
    if tag is not None and isinstance(image, (str, ecr_assets.DockerImageAsset)):
        problems.append(
            f"tag ({tag!r}) is for the images of a repository; write it into the name, or leave it"
            " out for an asset, which has one"
        )
    elif tag is not None and not _is_tag(tag):
        problems.append(
            f"tag must be a tag of up to 128 letters, digits, dots, dashes and underscores, or a"
            f" digest such as sha256:{'0' * 4}..., got {tag!r}"
        )
    if platform is not None and platform.platform not in _PROCESSORS:
        problems.append(
            f"platform must be one of {', '.join(_PROCESSORS)}, for instances are Linux, got"
            f" {platform.platform!r}"
        )
    if platform is None and isinstance(image, ecr_assets.DockerImageAsset):
        problems.append(
            "platform is missing, and an asset is built for the machine that builds it unless it"
            " has one; give the asset and from_container the platform of the instances, such as"
            " ecr_assets.Platform.LINUX_ARM64 for Graviton"
        )
    return problems


def _name_problems(name: str) -> list[str]:
    """Return what is wrong with a name that was given as a text."""
    if found := _SCHEME.match(name):
        bare = name.removeprefix(found[0])
        return [f"image must be a name without {found[0]}, got {name!r}; pass {bare!r}"]
    registry, slash, _ = name.partition("/")
    if not slash:
        registry = registry.partition(":")[0]  # an image of Docker Hub and its tag
    if not Token.is_unresolved(registry) or _PRIVATE.fullmatch(name):
        return []
    return [
        "image is known only when the stack is deployed, so instances would get no right to pull"
        " it, and nothing could compare its platform; pass the asset or the repository itself, as"
        " from_container(asset, platform=...) or from_container(repository, tag=...), or a name"
        " that begins with its registry"
    ]


def processor_of(platform: str | None) -> ec2.InstanceArchitecture | None:
    """Return the processor that a platform runs on, or None if the platform is unknown."""
    return None if platform is None else _PROCESSORS[platform]


def name_and_grant(
    image: str | ecr_assets.DockerImageAsset | ecr.IRepository, tag: str | None
) -> tuple[str, Grant]:
    """Return the full name of an image without problems, and what lets somebody pull it."""
    if isinstance(image, str):
        return image, _grant_for(image)
    if isinstance(image, ecr_assets.DockerImageAsset):
        return image.image_uri, image.repository.grant_pull
    return image.repository_uri_for_tag_or_digest(tag or _DEFAULT_TAG), image.grant_pull


def _is_tag(tag: str) -> bool:
    return Token.is_unresolved(tag) or bool(_TAG.fullmatch(tag) or _DIGEST.fullmatch(tag))


def _grant_for(name: str) -> Grant:
    """Return what lets somebody pull an image by its name: ECR's private registry asks for it."""
    found = _PRIVATE.fullmatch(name)
    if found is None:
        return lambda _: None
    account, region, repository = found.groups()

    def grant_pull(grantee: iam.IGrantable) -> None:
        arn = f"arn:{Aws.PARTITION}:ecr:{region}:{account}:repository/{repository}"
        iam.Grant.add_to_principal(grantee=grantee, actions=[*_PULL_ACTIONS], resource_arns=[arn])
        # A login is for a registry, and can be granted on `*` only.
        iam.Grant.add_to_principal(
            grantee=grantee, actions=["ecr:GetAuthorizationToken"], resource_arns=["*"]
        )

    return grant_pull
