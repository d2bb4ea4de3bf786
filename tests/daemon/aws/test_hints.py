"""What the log says to do about a refusal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqsd.aws.hints import hint_for_keys, hint_for_queue
from sqsd.base.errors import AwsError
from sqsd.base.redact import redact

URL = "https://sqs.eu-west-1.amazonaws.com/123456789012/work"


@pytest.mark.parametrize(
    ("action", "code", "words"),
    [
        ("ReceiveMessage", "QueueDoesNotExist", [URL, "queue_url", "region", "deploy"]),
        ("ReceiveMessage", "AWS.SimpleQueueService.NonExistentQueue", [URL]),
        ("ReceiveMessage", "InvalidAddress", [URL, "another region"]),
        ("ReceiveMessage", "AccessDenied", ['"sqs:ReceiveMessage"', "arn:*:sqs:*:*:work"]),
        ("DeleteMessageBatch", "AccessDeniedException", ['"sqs:DeleteMessage"', '"Allow"']),
        ("ChangeMessageVisibilityBatch", "AccessDenied", ['"sqs:ChangeMessageVisibility"']),
        ("SendMessage", "AccessDenied", ['"sqs:SendMessage"']),
        ("ReceiveMessage", "KMS.AccessDeniedException", ["kms:Decrypt", "kms:GenerateDataKey"]),
        ("ReceiveMessage", "KmsAccessDenied", ["kms:Decrypt"]),
        ("ReceiveMessage", "ExpiredTokenException", ["renew", "role"]),
        ("ReceiveMessage", "UnrecognizedClientException", ["AWS_ACCESS_KEY_ID", "role"]),
        ("ReceiveMessage", "SignatureDoesNotMatch", ["secret key", "clock"]),
    ],
)
def test_a_refusal_has_a_hint_that_names_what_to_change(
    action: str, code: str, words: list[str]
) -> None:
    hint = hint_for_queue(action, code, URL)
    assert hint is not None
    assert [word for word in words if word not in hint] == []


@given(code=st.text(max_size=60), action=st.text(max_size=30), url=st.text(max_size=60))
def test_no_code_breaks_the_advice_and_what_is_unknown_has_none(
    code: str, action: str, url: str
) -> None:
    hint = hint_for_queue(action, code, url)
    assert hint is None or hint
    assert hint_for_queue(action, "ThrottlingException", url) is None
    assert hint_for_keys("ThrottlingException") is None


def test_the_hint_survives_on_its_way_to_the_log() -> None:
    # AWS's own words about a role with a long name, and the longest of our hints.
    words = (
        f"User: arn:aws:sts::123456789012:assumed-role/{'R' * 64}/i-0123456789abcdef0 is not"
        " authorized to perform: sqs:receivemessage on resource: arn:aws:sqs:eu-west-1:"
        f"123456789012:{'q' * 80} because no identity-based policy allows the"
        " sqs:receivemessage action"
    )
    hint = hint_for_queue("ReceiveMessage", "AccessDenied", f"{URL}{'q' * 70}")
    text = str(AwsError("ReceiveMessage", "AccessDenied", words, 403, hint))
    assert redact(text) == text
    assert text.endswith(str(hint))
