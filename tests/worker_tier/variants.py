"""The tiers that are scanned, frozen and rendered for every partition."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from aws_cdk import Aws, Duration, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_ecr as ecr
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sqs as sqs

from tests.worker_tier.stacks import vpc_of
from worker_tier import (
    ExistingQueue,
    PeriodicTask,
    WorkerApplication,
    WorkerCapacity,
    WorkerMachineImage,
    WorkerScaling,
    WorkerTier,
)

TASK: Final = PeriodicTask(name="tick", url="/tick", schedule="* * * * *")


def _periodic(stack: Stack) -> dict[str, Any]:
    return {"periodic_tasks": [TASK]}


def _fifo_spot_zero(stack: Stack) -> dict[str, Any]:
    types = [ec2.InstanceType("t4g.small"), ec2.InstanceType("m7g.medium")]
    return {
        "fifo": True,
        "content_based_deduplication": True,
        "capacity": WorkerCapacity.spot(types),
        "min_capacity": 0,
    }


def _existing_queue(stack: Stack) -> dict[str, Any]:
    arn = f"arn:{Aws.PARTITION}:sqs:{Aws.REGION}:{Aws.ACCOUNT_ID}:orders"
    queue = ExistingQueue.imported(
        sqs.Queue.from_queue_arn(stack, "Orders", arn),
        fifo=False,
        dead_letter_queue=sqs.Queue.from_queue_arn(stack, "Dead", f"{arn}-dead"),
        max_receive_count=5,
        encryption_key=None,
        dead_letter_key=None,
    )
    return {"queue": queue}


def _encrypted(stack: Stack) -> dict[str, Any]:
    return {
        "encryption_key": kms.Key(stack, "Key", enable_key_rotation=True),
        "periodic_tasks": [TASK],
        "dashboard": True,
        "dead_letter_statuses": ["410"],
    }


def _session_manager_ubuntu(stack: Stack) -> dict[str, Any]:
    return {"session_manager": True, "machine_image": WorkerMachineImage.ubuntu_24_04()}


def _steps_china(stack: Stack) -> dict[str, Any]:
    return {
        "scaling": WorkerScaling.steps([(100, 1), (500, 5)]),
        "instance_principal": iam.ServicePrincipal.from_static_service_principle_name(
            f"ec2.{Aws.URL_SUFFIX}"
        ),
        "drain_timeout": Duration.minutes(10),
    }


def _container(stack: Stack) -> dict[str, Any]:
    images = ecr.Repository.from_repository_name(stack, "Images", "worker")
    return {"application": WorkerApplication.from_container(images, tag="v1")}


#: Name -> the props of a tier, made for a stack.
VARIANTS: Final[dict[str, Callable[[Stack], dict[str, Any]]]] = {
    "plain": lambda stack: {},
    "periodic": _periodic,
    "fifo_spot_zero": _fifo_spot_zero,
    "existing_queue": _existing_queue,
    "encrypted": _encrypted,
    "session_manager_ubuntu": _session_manager_ubuntu,
    "steps_china": _steps_china,
    "container": _container,
    "single_instance": lambda stack: {"single_instance": True},
}


def build(stack: Stack, variant: str) -> WorkerTier:
    """A tier of a variant in a stack."""
    return WorkerTier(stack, "Worker", vpc=vpc_of(stack), **VARIANTS[variant](stack))
