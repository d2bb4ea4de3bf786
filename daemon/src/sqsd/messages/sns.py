"""Unwraps the envelope that SNS puts around a message if raw delivery is off (`via_sns`)."""

from __future__ import annotations

import json
from typing import Any

from sqsd.messages.message import Attribute, Message


def unwrap(message: Message) -> Message:
    """Return the published message: its text as body, its attributes beside those of SQS.

    A message that is not an SNS notification is returned unchanged; EB's daemon ended on one.
    Source: SNS developer guide, "Parsing Amazon SNS message formats".
    """
    envelope = _envelope(message.body)
    if envelope is None:
        return message
    published = envelope.get("MessageAttributes")
    attributes = dict(message.attributes)
    if isinstance(published, dict):
        for name, value in published.items():
            if isinstance(value, dict) and isinstance(value.get("Value"), str):
                attributes[name] = _attribute(str(value.get("Type", "")), value["Value"])
    body = envelope["Message"].encode("utf-8", "surrogatepass")
    return message._replace(body=body, attributes=attributes)


def _envelope(body: bytes) -> dict[str, Any] | None:
    if not body.lstrip().startswith(b"{"):
        return None
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):  # the latter: a thousand nested brackets
        return None
    right = (
        isinstance(document, dict)
        and document.get("Type") == "Notification"
        and isinstance(document.get("TopicArn"), str)
        and isinstance(document.get("Message"), str)
    )
    return document if right else None


def _attribute(kind: str, value: str) -> Attribute:
    if kind == "Binary":
        return Attribute(kind, None, value)
    return Attribute(kind, value)
