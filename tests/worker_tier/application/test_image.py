"""An image that instances could not pull or run is refused at synth, or made right."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App, Aws, CfnParameter, Environment, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_ecr as ecr
from aws_cdk import aws_ecr_assets as ecr_assets

from tests.worker_tier.stacks import (
    POLICY,
    Synthesized,
    actions_of,
    new_stack,
    problems_of,
    resolved,
    tier_with,
    vpc_of,
)
from worker_tier import (
    InvalidApplication,
    InvalidProps,
    WorkerApplication,
    WorkerCapacity,
    WorkerMachineImage,
    WorkerTier,
)
from worker_tier_bootstrap import paths
from worker_tier_bootstrap.user_data import files_in_user_data

DIGEST = "sha256:" + 64 * "a"
ARM, AMD = ecr_assets.Platform.LINUX_ARM64, ecr_assets.Platform.LINUX_AMD64
X86 = ec2.InstanceType("m7i.large")


def image_in(template: Synthesized) -> str:
    document = json.loads(files_in_user_data(template.user_data())[paths.INSTANCE])
    return str(document["application"]["image"])


def with_repository(tag: str | None, **options: Any) -> Synthesized:
    stack = new_stack()
    images = ecr.Repository.from_repository_name(stack, "Images", "worker")
    application = WorkerApplication.from_container(images, tag=tag, **options)
    WorkerTier(stack, "Worker", vpc=vpc_of(stack), application=application)
    return Synthesized(stack)


@pytest.fixture
def asset(tmp_path: Path) -> Callable[[Stack, ecr_assets.Platform], ecr_assets.DockerImageAsset]:
    (tmp_path / "Dockerfile").write_text("FROM scratch\n", encoding="utf-8")
    return lambda stack, platform: ecr_assets.DockerImageAsset(
        stack, "Image", directory=str(tmp_path), platform=platform
    )


# ---- names


@pytest.mark.parametrize(
    ("tag", "end"), [(None, "/worker:latest"), ("v1", "/worker:v1"), (DIGEST, f"/worker@{DIGEST}")]
)
def test_a_tag_follows_a_colon_and_a_digest_an_at(tag: str | None, end: str) -> None:
    assert image_in(with_repository(tag)).endswith(end)


@pytest.mark.parametrize("tag", ["", "-v1", "v 1", "sha256:abc", "v1@x", "a" * 129])
def test_what_is_neither_a_tag_nor_a_digest_is_refused(tag: str) -> None:
    with pytest.raises(InvalidApplication, match="tag must be a tag of up to 128 letters"):
        with_repository(tag)


def test_a_tag_beside_a_name_is_refused_instead_of_ignored() -> None:
    with pytest.raises(InvalidApplication, match="write it into the name"):
        WorkerApplication.from_container("nginx", tag="1.27")


# ---- the right to pull


@pytest.mark.parametrize(
    ("uri", "arn"),
    [
        (
            "111122223333.dkr.ecr.us-east-1.amazonaws.com/team/worker:v1",
            "arn:ref-AWS-Partition:ecr:us-east-1:111122223333:repository/team/worker",
        ),
        (
            f"111122223333.dkr.ecr.cn-north-1.amazonaws.com.cn/worker@{DIGEST}",
            "arn:ref-AWS-Partition:ecr:cn-north-1:111122223333:repository/worker",
        ),
        (
            f"{Aws.ACCOUNT_ID}.dkr.ecr.{Aws.REGION}.{Aws.URL_SUFFIX}/worker",
            "arn:ref-AWS-Partition:ecr:ref-AWS-Region:ref-AWS-AccountId:repository/worker",
        ),
        (
            "111122223333.dkr.ecr-fips.us-gov-west-1.amazonaws.com/worker:v1",
            "arn:ref-AWS-Partition:ecr:us-gov-west-1:111122223333:repository/worker",
        ),
        (
            "111122223333.dkr-ecr.us-east-1.on.aws/worker:v1",
            "arn:ref-AWS-Partition:ecr:us-east-1:111122223333:repository/worker",
        ),
        (
            "111122223333.dkr-ecr-fips.us-east-1.on.aws/worker:v1",
            "arn:ref-AWS-Partition:ecr:us-east-1:111122223333:repository/worker",
        ),
    ],
    ids=["aws", "aws-cn", "tokens", "fips", "dual-stack", "dual-stack-fips"],
)
def test_instances_may_pull_from_the_private_registry_that_a_name_has(uri: str, arn: str) -> None:
    template = tier_with(application=WorkerApplication.from_container(uri))
    statements = template.statements(POLICY, "PullPolicy")
    (login,) = [s for s in statements if s["Resource"] == "*"]
    assert actions_of([login]) == {"ecr:GetAuthorizationToken"}
    (pull,) = [s for s in statements if s is not login]
    assert resolved(pull["Resource"]) == arn
    assert actions_of([pull]) == {
        "ecr:BatchCheckLayerAvailability",
        "ecr:BatchGetImage",
        "ecr:GetDownloadUrlForLayer",
    }


def test_instances_may_pull_by_the_uri_of_a_repository_of_this_app() -> None:
    stack = new_stack()
    images = ecr.Repository(stack, "Images")
    application = WorkerApplication.from_container(f"{images.repository_uri}:v1")
    WorkerTier(stack, "Worker", vpc=vpc_of(stack), application=application)
    template = Synthesized(stack)
    (pull,) = [s for s in template.statements(POLICY, "PullPolicy") if s["Resource"] != "*"]
    name = f":repository/ref-{template.id_of('AWS::ECR::Repository')}"
    assert resolved(pull["Resource"]).endswith(name)


@pytest.mark.parametrize(
    "name", ["public.ecr.aws/nginx/nginx:1.27", "ghcr.io/acme/worker", "nginx"]
)
def test_an_image_of_another_registry_needs_no_rights(name: str) -> None:
    template = tier_with(application=WorkerApplication.from_container(name))
    assert len(template.all(POLICY)) == 2


@pytest.mark.parametrize("registry", ["", "/worker", "/worker:v1"])
def test_a_name_whose_registry_only_the_deployment_knows_is_refused(registry: str) -> None:
    image = CfnParameter(new_stack(), "Image").value_as_string
    with pytest.raises(InvalidApplication) as caught:
        WorkerApplication.from_container(f"{image}{registry}")
    (problem,) = caught.value.problems
    assert problem.startswith("image is known only when the stack is deployed, so ")
    assert "pass the asset or the repository itself" in problem
    assert "Token[" not in str(caught.value)


def test_the_uri_of_an_asset_is_refused_for_the_asset_itself(
    asset: Callable[[Stack, ecr_assets.Platform], ecr_assets.DockerImageAsset],
) -> None:
    with pytest.raises(InvalidApplication, match="pass the asset or the repository itself"):
        WorkerApplication.from_container(asset(new_stack(), AMD).image_uri)


@pytest.mark.parametrize("name", ["ghcr.io/acme/worker:{}", "nginx:{}", "ghcr.io/{}/worker:1"])
def test_a_part_of_a_name_after_its_registry_may_be_a_parameter(name: str) -> None:
    part = CfnParameter(new_stack(), "Part").value_as_string
    assert WorkerApplication.from_container(name.format(part)).image == name.format(part)


@pytest.mark.parametrize("scheme", ["https://", "http://", "docker://", "oci://"])
def test_an_address_is_refused_for_the_name_in_it(scheme: str) -> None:
    name = "111122223333.dkr.ecr.us-east-1.amazonaws.com/worker:v1"
    with pytest.raises(InvalidApplication) as caught:
        WorkerApplication.from_container(f"{scheme}{name}")
    (problem,) = caught.value.problems
    assert problem == (
        f"image must be a name without {scheme}, got {scheme + name!r}; pass {name!r}"
    )


# ---- the processor


def test_an_asset_for_the_processor_of_the_instances_is_taken(
    asset: Callable[[Stack, ecr_assets.Platform], ecr_assets.DockerImageAsset],
) -> None:
    stack = new_stack()
    application = WorkerApplication.from_container(asset(stack, ARM), platform=ARM)
    WorkerTier(stack, "Worker", vpc=vpc_of(stack), application=application)
    assert ":" in image_in(Synthesized(stack))


def test_an_asset_for_another_processor_is_refused(
    asset: Callable[[Stack, ecr_assets.Platform], ecr_assets.DockerImageAsset],
) -> None:
    stack = new_stack()
    application = WorkerApplication.from_container(asset(stack, AMD), platform=AMD)
    with pytest.raises(InvalidProps) as caught:
        WorkerTier(stack, "Worker", vpc=vpc_of(stack), application=application)
    (problem,) = caught.value.problems
    assert problem.startswith(
        "the application's image is for linux/amd64, and the instances have ARM_64 processors;"
    )
    WorkerTier(
        stack, "Intel", vpc=vpc_of(new_stack("N")), application=application, instance_type=X86
    )


def test_an_asset_whose_platform_nobody_names_is_refused(
    asset: Callable[[Stack, ecr_assets.Platform], ecr_assets.DockerImageAsset],
) -> None:
    with pytest.raises(InvalidApplication, match="platform is missing"):
        WorkerApplication.from_container(asset(new_stack(), AMD))


def test_an_image_for_windows_is_refused() -> None:
    windows = ecr_assets.Platform.custom("windows/amd64")
    with pytest.raises(InvalidApplication, match="for instances are Linux"):
        WorkerApplication.from_container("acme/worker", platform=windows)


def test_a_platform_is_compared_with_a_capacity_too() -> None:
    application = WorkerApplication.from_container("acme/worker:1", platform=ARM)
    (problem,) = problems_of(application=application, capacity=WorkerCapacity.spot([X86]))
    assert problem.startswith("the application's image is for linux/arm64, and the instances have")


# ---- the system


def test_amazon_linux_for_another_processor_is_refused() -> None:
    # the CDK's default is x86_64, and that of the instances Graviton
    stack = new_stack()
    with pytest.raises(InvalidProps, match=r"for x86_64, and the instances have arm64 processors"):
        WorkerTier(
            stack,
            "Worker",
            vpc=vpc_of(stack),
            machine_image=ec2.MachineImage.latest_amazon_linux2023(),
        )
    for props in (
        {"instance_type": X86, "machine_image": ec2.MachineImage.latest_amazon_linux2023()},
        {
            "machine_image": ec2.MachineImage.latest_amazon_linux2023(
                cpu_type=ec2.AmazonLinuxCpuType.ARM_64
            )
        },
    ):
        tier_with(**props)


@pytest.mark.parametrize(
    "image",
    [
        lambda: ec2.MachineImage.from_ssm_parameter("/images/worker-x86_64"),
        lambda: ec2.MachineImage.resolve_ssm_parameter_at_launch("/images/worker-amd64"),
    ],
)
def test_an_image_of_your_own_for_another_processor_is_refused_if_its_name_tells(
    image: Callable[[], ec2.IMachineImage],
) -> None:
    stack = new_stack()
    custom = WorkerMachineImage.custom(image(), root_device="/dev/xvda", ships_logs=True)
    with pytest.raises(InvalidProps, match="and the instances have arm64 processors"):
        WorkerTier(stack, "Worker", vpc=vpc_of(stack), machine_image=custom)
    tier_with(machine_image=custom, instance_type=X86)


def test_a_windows_image_is_refused() -> None:
    env = Environment(account="111122223333", region="us-east-1")
    stack = Stack(App(), "Test", env=env)
    windows = ec2.MachineImage.latest_windows(
        ec2.WindowsVersion.WINDOWS_SERVER_2022_ENGLISH_FULL_BASE
    )
    custom = WorkerMachineImage.custom(windows, root_device="/dev/sda1", ships_logs=False)
    with pytest.raises(InvalidProps, match="machine_image is a Windows image"):
        WorkerTier(stack, "Worker", vpc=vpc_of(stack), machine_image=custom)
