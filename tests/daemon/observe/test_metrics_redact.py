"""AWS's error texts quote what they refuse; the log must not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqsd.base.redact import LONGEST, redact

SECRET = "Hush+SECRET/0123456789=="


@pytest.mark.parametrize(
    "text",
    [
        f'The input receipt handle "{SECRET}" is not a valid receipt handle.',
        f"Value {SECRET} for parameter ReceiptHandle is invalid. Reason: it has expired.",
        f"ReceiptHandle={SECRET}",
        f'{{"ReceiptHandle": "{SECRET}"}}',
        f"host:sqs.amazonaws.com\nx-amz-security-token:{SECRET}\nx-amz-target:x",
        f"AWS4-HMAC-SHA256 Credential=AKIA/20260101, SignedHeaders=host, Signature={SECRET}",
        f"SecretAccessKey: {SECRET}",
        f"the session token: '{SECRET}' has expired",
        "the token " + SECRET * 8 + " is malformed",
    ],
)
def test_what_is_secret_is_taken_out_wherever_aws_quotes_it(text: str) -> None:
    assert SECRET not in redact(text)
    assert "[redacted]" in redact(text)


def test_access_keys_are_taken_out() -> None:
    assert "ASIAIOSFODNN7EXAMPLE" not in redact("The key ASIAIOSFODNN7EXAMPLE is not known")


@pytest.mark.parametrize(
    "text",
    [
        "User: arn:aws:sts::123456789012:assumed-role/tier-role/i-0abc is not authorized to"
        " perform: sqs:receivemessage on resource: arn:aws:sqs:eu-west-1:123456789012:work",
        "The security token included in the request is invalid.",
        "The request signature we calculated does not match the signature you provided.",
        "cannot connect to sqs.eu-west-1.amazonaws.com:443: [Errno 111] Connection refused",
        "ReceiveMessage got no answer: no answer within 30 s",
    ],
)
def test_what_helps_is_left_as_it_is(text: str) -> None:
    assert redact(text) == text


@given(text=st.text(max_size=2_000))
def test_any_text_comes_out_bounded(text: str) -> None:
    assert len(redact(text)) <= LONGEST
