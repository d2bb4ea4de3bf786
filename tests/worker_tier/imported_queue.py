"""A queue that was made elsewhere."""

from __future__ import annotations

from typing import Any

from aws_cdk import Stack
from aws_cdk import aws_sqs as sqs

from worker_tier import (
    ExistingQueue,
)

ARN = "arn:aws:sqs:us-east-1:111122223333:orders"


def imported(stack: Stack, **facts: Any) -> ExistingQueue:
    dead = sqs.Queue.from_queue_arn(stack, "Dead", f"{ARN}-dead")
    known: dict[str, Any] = {
        "fifo": False,
        "dead_letter_queue": dead,
        "max_receive_count": 5,
        "encryption_key": None,
        "dead_letter_key": None,
    }
    queue = sqs.Queue.from_queue_arn(stack, "Orders", ARN)
    return ExistingQueue.imported(queue, **(known | facts))
