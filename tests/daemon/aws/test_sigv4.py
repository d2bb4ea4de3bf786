"""The signer, held against botocore's."""

from __future__ import annotations

from datetime import UTC, datetime
from unittest.mock import patch

import botocore.auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from sqsd.aws.credentials import Keys
from sqsd.aws.sigv4 import Signer

PRINTABLE = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=60)
TIMES = st.integers(946_684_800, 4_102_444_799)


def by_botocore(
    service: str, region: str, url: str, headers: dict[str, str], body: bytes, keys: Keys, at: int
) -> dict[str, str]:
    request = AWSRequest("POST", url, headers=headers, data=body)
    credentials = Credentials(keys.access_key, keys.secret_key, keys.token)
    moment = datetime.fromtimestamp(at, UTC)
    signer = botocore.auth.SigV4Auth(credentials, service, region)
    with patch("botocore.auth.get_current_datetime", return_value=moment.replace(tzinfo=None)):
        signer.add_auth(request)
    return {name.lower(): value for name, value in request.headers.items()}


@given(
    service=st.sampled_from(["sqs", "dynamodb"]),
    region=st.sampled_from(["eu-central-1", "cn-north-1", "us-gov-west-1"]),
    port=st.sampled_from(["", ":4566"]),
    path=st.sampled_from(["/", "/prefix/"]),
    target=st.from_regex(r"[A-Za-z0-9_]{1,20}\.[A-Za-z]{1,30}", fullmatch=True),
    body=st.binary(max_size=300),
    access_key=PRINTABLE,
    secret_key=PRINTABLE,
    token=st.none() | PRINTABLE,
    at=TIMES,
)
def test_signatures_are_botocores(
    service: str,
    region: str,
    port: str,
    path: str,
    target: str,
    body: bytes,
    access_key: str,
    secret_key: str,
    token: str | None,
    at: int,
) -> None:
    host, keys = f"{service}.{region}.example.com{port}", Keys(access_key, secret_key, token)
    content_type = "application/x-amz-json-1.0"
    signer = Signer(service, region, host, path, content_type)
    ours = dict(
        line.split(": ", 1) for line in signer.headers(body, target, keys, at).split("\r\n") if line
    )
    given_headers = {"Host": host, "Content-Type": content_type, "X-Amz-Target": target}
    theirs = by_botocore(service, region, f"https://{host}{path}", given_headers, body, keys, at)
    assert ours["Authorization"] == theirs["authorization"]
    assert ours["X-Amz-Date"] == theirs["x-amz-date"]
    assert ours.get("X-Amz-Security-Token") == theirs.get("x-amz-security-token")


@given(first=TIMES, second=TIMES, renewed=st.booleans())
def test_the_cached_signing_key_is_that_of_the_day_and_the_keys(
    first: int, second: int, renewed: bool
) -> None:
    def signer() -> Signer:
        return Signer("sqs", "eu-west-1", "host", "/", "application/x-amz-json-1.0")

    old, new = Keys("AKIA", "secret", None), Keys("AKIA", "other" if renewed else "secret", None)
    used = signer()
    used.headers(b"{}", "AmazonSQS.ReceiveMessage", old, first)
    again = used.headers(b"{}", "AmazonSQS.ReceiveMessage", new, second)
    assert again == signer().headers(b"{}", "AmazonSQS.ReceiveMessage", new, second)


def test_keys_are_never_shown() -> None:
    assert "secret" not in repr(Keys("AKIA", "secret", "token"))
