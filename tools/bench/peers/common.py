"""What the Python peers share: where to work, and the headers that the daemon sends."""

from __future__ import annotations

import math
import os
from datetime import UTC, datetime
from typing import Any

QUEUE_URL = os.environ["QUEUE_URL"]
APP_URL = os.environ["APP_URL"]
CONNECTIONS = int(os.environ["CONNECTIONS"])
#: One long poll for ten connections, as in the daemon.
POLLERS = math.ceil(CONNECTIONS / 10)
_QUEUE_NAME = QUEUE_URL.rpartition("/")[2]
RECEIVE: dict[str, Any] = {
    "QueueUrl": QUEUE_URL,
    "MaxNumberOfMessages": 10,
    "WaitTimeSeconds": 20,
    "VisibilityTimeout": 300,
    "MessageSystemAttributeNames": ["All"],
    "MessageAttributeNames": ["All"],
}


def headers(message: Any) -> dict[str, str]:
    about = message["Attributes"]
    return {
        "Content-Type": "application/json",
        "User-Agent": "aws-sqsd/3.0.5",
        "X-Aws-Sqsd-Msgid": message["MessageId"],
        "X-Aws-Sqsd-Receive-Count": about["ApproximateReceiveCount"],
        "X-Aws-Sqsd-First-Received-At": _time(about["ApproximateFirstReceiveTimestamp"]),
        "X-Aws-Sqsd-Sent-At": _time(about["SentTimestamp"]),
        "X-Aws-Sqsd-Queue": _QUEUE_NAME,
        "X-Aws-Sqsd-Path": "/",
        "X-Aws-Sqsd-Sender-Id": about["SenderId"],
    }


def _time(milliseconds: str) -> str:
    return datetime.fromtimestamp(int(milliseconds) // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def batches_of_ten(messages: list[Any]) -> list[dict[str, Any]]:
    """Arguments for `delete_message_batch`."""
    return [
        {
            "QueueUrl": QUEUE_URL,
            "Entries": [
                {"Id": str(n), "ReceiptHandle": message["ReceiptHandle"]}
                for n, message in enumerate(messages[start : start + 10])
            ],
        }
        for start in range(0, len(messages), 10)
    ]
