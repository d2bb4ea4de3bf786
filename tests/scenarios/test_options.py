"""Options of ours, over the wire."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from sqsd import contract
from tests.scenarios.harness import Tier, eventually

pytestmark = pytest.mark.local_aws

KEY: Final = "0123456789abcdef" * 2


def is_signed() -> Any:
    """The Python function of docs/guide/signed-requests.md."""
    page = Path(__file__).parents[2] / "docs" / "guide" / "signed-requests.md"
    (program,) = re.findall(r"^```python\n(.*?)^```$", page.read_text(), re.S | re.M)
    module: dict[str, Any] = {}
    exec(program, module)  # noqa: S102 - it is this repository's
    return module["is_signed"]


def test_a_signed_request_with_every_extra_header(tier: Tier, tmp_path: Path) -> None:
    tier.set_up(fifo=True)
    key = tmp_path / "key"
    key.write_text(f"{KEY}\n{KEY[::-1]}\n")
    key.chmod(0o400)
    handles: list[str] = []

    def answer(_path: str, headers: Mapping[str, str], _body: bytes) -> tuple[int, float]:
        handles.append(headers["x-aws-sqsd-receipt-handle"])
        return 200, 2.0

    tier.application.answer = answer
    tier.start_daemon(signing_key_file=str(key), extra_headers=contract.EXTRA_HEADERS)
    parent = f"00-{'a' * 32}-{'b' * 16}-01"
    tier.send(
        "work",
        MessageGroupId="group",
        MessageDeduplicationId="once",
        MessageAttributes={"traceparent": {"DataType": "String", "StringValue": parent}},
    )
    # the handle is one that SQS takes while the message is in flight
    (handle,) = eventually(lambda: list(handles))
    tier.sqs.change_message_visibility(
        QueueUrl=tier.queue_url, ReceiptHandle=handle, VisibilityTimeout=60
    )
    (post,) = eventually(lambda: list(tier.application.posts))
    # the program of the documentation, on what a real server received, with either key
    headers = [(name, value) for name, value in post.headers.items()]
    for one in (KEY, KEY[::-1]):
        assert is_signed()(one.encode(), "POST", "/", headers, post.body)
    assert not is_signed()(b"another", "POST", "/", headers, post.body)
    assert post.headers["x-aws-sqsd-message-group-id"] == "group"
    assert post.headers["x-aws-sqsd-message-deduplication-id"] == "once"
    assert post.headers["traceparent"] == parent
    assert post.headers["x-aws-sqsd-visibility-deadline"] > post.headers["x-aws-sqsd-sent-at"]


def test_an_sns_envelope_is_taken_off(tier: Tier) -> None:
    tier.set_up()
    tier.start_daemon(via_sns=True)
    envelope = {
        "Type": "Notification",
        "TopicArn": "arn:aws:sns:us-east-1:111111111111:topic",
        "Message": "published",
        "MessageAttributes": {"kind": {"Type": "String", "Value": "order"}},
    }
    tier.send(json.dumps(envelope), "plain")
    eventually(lambda: sorted(tier.application.bodies()) == [b"plain", b"published"])
    (post,) = [post for post in tier.application.posts if post.body == b"published"]
    assert post.headers["x-aws-sqsd-attr-kind"] == "order"


def test_a_status_buries_at_once_with_the_reason(tier: Tier) -> None:
    tier.set_up()
    tier.application.answer = lambda *_: (422, 0.0)
    tier.start_daemon(dead_letter_statuses=("422",))
    (message_id,) = tier.send("malformed")
    eventually(lambda: tier.counts() == {"visible": 0, "in_flight": 0, "dead": 1})
    assert len(tier.application.posts) == 1
    answer = tier.sqs.receive_message(
        QueueUrl=tier.dead_letter_queue_url, MessageAttributeNames=["All"]
    )
    (dead,) = answer["Messages"]
    attributes = {k: v["StringValue"] for k, v in dead["MessageAttributes"].items()}
    assert dead["Body"] == "malformed"
    assert attributes == {
        contract.ATTRIBUTE_REASON: "HTTP 422",
        contract.ATTRIBUTE_FIRST_MESSAGE_ID: message_id,
    }


def test_a_message_whose_last_attempt_failed_is_posted_on_its_way_to_the_dead_letters(
    tier: Tier,
) -> None:
    tier.set_up(max_retries=2)
    tier.application.answer = lambda path, *_: (200 if path == "/gone" else 500, 0.0)
    tier.start_daemon(on_dead_letter_path="/gone", max_retries=2, error_visibility_timeout=1)
    (message_id,) = tier.send("malformed")
    eventually(lambda: tier.counts() == {"visible": 0, "in_flight": 0, "dead": 1})
    assert [post.path for post in tier.application.posts] == ["/", "/", "/gone"]
    last = tier.application.posts[-1]
    assert last.body == b"malformed"
    assert last.headers["x-aws-sqsd-msgid"] == message_id
    assert last.headers["x-aws-sqsd-receive-count"] == "2"
    assert last.headers["x-aws-sqsd-dead-letter-reason"] == "HTTP 500"


def test_a_daemon_that_dies_during_that_post_loses_no_message(tier: Tier) -> None:
    # given a daemon that is killed before the application answers the POST
    tier.set_up()
    began: list[str] = []

    def answer(path: str, _headers: Mapping[str, str], _body: bytes) -> tuple[int, float]:
        began.append(path)
        return (422, 0.0) if path == "/" else (200, 60.0 if len(began) == 2 else 0.0)

    tier.application.answer = answer
    options: dict[str, Any] = {
        "on_dead_letter_path": "/gone",
        "dead_letter_statuses": ("422",),
        "visibility_timeout": 3,
        "inactivity_timeout": 2,
    }
    daemon = tier.start_daemon(**options)
    tier.send("malformed")
    eventually(lambda: began == ["/", "/gone"])
    daemon.kill()
    # when another one receives the message
    tier.start_daemon(**options)
    # then the application learns of it, and the dead-letter queue has it once
    eventually(lambda: tier.counts() == {"visible": 0, "in_flight": 0, "dead": 1})
    assert began == ["/", "/gone", "/", "/gone"]
