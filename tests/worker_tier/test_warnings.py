"""What is built as asked, and warned of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import Duration, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sqs as sqs
from aws_cdk.assertions import Annotations as AnnotationAssertions
from aws_cdk.assertions import Match

from tests.worker_tier.stacks import (
    KEY,
    Synthesized,
    new_stack,
    vpc_of,
)
from worker_tier import (
    ExistingQueue,
    WorkerApplication,
    WorkerCapacity,
    WorkerTier,
)

#: A tier without an application, and without an image that has one, is warned of.
SOMEBODYS = WorkerApplication.external()


def warnings_of(stack: Stack) -> list[str]:
    found = AnnotationAssertions.from_stack(stack).find_warning("*", Match.any_value())
    texts = [str(message.entry.data) for message in found]
    return [text for text in texts if "[ack: worker-tier:" in text]  # not those of the CDK


def test_an_ordinary_tier_warns_of_nothing() -> None:
    stack = new_stack()
    spot = WorkerCapacity.spot([ec2.InstanceType("t4g.small")])
    WorkerTier(stack, "Worker", vpc=vpc_of(stack), capacity=spot, application=SOMEBODYS)
    assert warnings_of(stack) == []


@pytest.mark.parametrize(
    ("props", "words"),
    [
        (
            lambda stack: {"role": iam.Role.from_role_arn(stack, "Own", ROLE, mutable=False)},
            "attach the tier's two policies",
        ),
        (
            lambda stack: {"encryption_key": kms.Key.from_key_arn(stack, "Key", KEY)},
            "encryption_key is imported, so its policy cannot be changed from here",
        ),
        (
            lambda stack: {"application_aws_access": False},
            "see that it does not run as root",
        ),
        (lambda stack: {"scale_in_protection": True}, "keeps deployments waiting"),
        (lambda stack: {"protect_busy_instance": True}, "waiting for instances with long requests"),
        (
            lambda stack: {"http_host": "10.0.0.7", "signing_key_file": "/etc/key"},
            "leave the instance in plain HTTP",
        ),
        (
            lambda stack: {
                "capacity": WorkerCapacity.spot([ec2.InstanceType("t4g.small")]),
                "drain_timeout": Duration.minutes(10),
            },
            "drain_timeout (600 s) is more than the 120 s",
        ),
    ],
)
def test_what_may_not_be_meant_is_warned_of(
    props: Callable[[Stack], dict[str, Any]], words: str
) -> None:
    stack = new_stack()
    WorkerTier(stack, "Worker", vpc=vpc_of(stack), application=SOMEBODYS, **props(stack))
    (warning,) = warnings_of(stack)
    assert words in warning


ROLE = "arn:aws:iam::111122223333:role/own"


def test_nothing_is_attached_to_a_role_that_is_not_to_be_changed() -> None:
    stack = new_stack()
    role = iam.Role.from_role_arn(stack, "Own", ROLE, mutable=False)
    WorkerTier(stack, "Worker", vpc=vpc_of(stack), role=role)
    policies = Synthesized(stack).all("AWS::IAM::ManagedPolicy")
    assert len(policies) == 2
    assert not any(policy.get("Roles") for policy in policies.values())


def test_a_queue_whose_place_is_known_in_a_stack_for_any_place_is_warned_of() -> None:
    stack = new_stack()
    queue = ExistingQueue.imported(
        sqs.Queue.from_queue_arn(stack, "Q", "arn:aws:sqs:us-east-1:111122223333:orders"),
        fifo=False,
        dead_letter_queue=None,
        max_receive_count=None,
        encryption_key=None,
        dead_letter_key=None,
    )
    WorkerTier(stack, "Worker", vpc=vpc_of(stack), queue=queue, application=SOMEBODYS)
    region, account = sorted(warnings_of(stack), key=lambda text: "account" in text)
    assert "queue is of the region us-east-1, and the stack is for any" in region
    assert "queue is of the account 111122223333" in account


@pytest.mark.parametrize("hook", [".platform/hooks/postdeploy/1.sh", "README"])
def test_properties_that_hooks_of_root_do_not_get_are_named(tmp_path: Path, hook: str) -> None:
    (tmp_path / hook).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / hook).write_text("#!/bin/sh\n")
    (tmp_path / "Procfile").write_text("web: ./run\n")
    stack = new_stack()
    application = WorkerApplication.from_asset(
        str(tmp_path), environment={"PYTHONPATH": "/var/app/current", "MODE": "x"}
    )
    WorkerTier(stack, "Worker", vpc=vpc_of(stack), application=application)
    found = [text for text in warnings_of(stack) if "worker-tier:hook-properties" in text]
    if hook == "README":
        assert found == []
    else:
        (text,) = found
        assert "PYTHONPATH" in text
        assert "MODE" not in text
        assert "/var/app/current" not in text
