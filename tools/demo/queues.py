"""What the deployed queues hold: counts while the demo runs, ids at the end."""

from __future__ import annotations

import time
from dataclasses import dataclass

from sqsd.contract import ATTRIBUTE_TASK_NAME
from tools.local_aws import LocalAws

_COUNTS = (
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed",
)
#: While ids are collected, what was collected must not come round again.
_HIDDEN_SECONDS = 300


@dataclass(frozen=True, slots=True)
class Depth:
    """Messages in a queue."""

    visible: int
    in_flight: int
    delayed: int

    @property
    def total(self) -> int:
        return self.visible + self.in_flight + self.delayed


def depth(aws: LocalAws, queue_url: str) -> Depth:
    """How many messages the queue holds; on AWS approximate, exact on the embedded one."""
    answer = aws.client("sqs").get_queue_attributes(
        QueueUrl=queue_url, AttributeNames=list(_COUNTS)
    )
    return Depth(*(int(answer["Attributes"][name]) for name in _COUNTS))


def collect_ids(aws: LocalAws, queue_url: str, *, patience_seconds: float) -> set[str]:
    """Ids of the messages in a queue, without those of periodic tasks.

    Counts as a receive for each. Messages that are invisible for longer than `patience_seconds` are
    not found.
    """
    found: set[str] = set()
    ids: set[str] = set()
    deadline = time.monotonic() + patience_seconds
    while depth(aws, queue_url).total > len(found) and time.monotonic() < deadline:
        answer = aws.client("sqs").receive_message(
            QueueUrl=queue_url,
            MaxNumberOfMessages=10,
            VisibilityTimeout=_HIDDEN_SECONDS,
            WaitTimeSeconds=1,
            MessageAttributeNames=["All"],
        )
        for message in answer.get("Messages", []):
            found.add(message["MessageId"])
            if ATTRIBUTE_TASK_NAME not in message.get("MessageAttributes", {}):
                ids.add(message["MessageId"])
            deadline = time.monotonic() + patience_seconds
    return ids
