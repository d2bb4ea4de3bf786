"""The early part's signatures, compared with those of AWS's own SDK; and what it says."""

from __future__ import annotations

import ast
import io
import json
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime
from email.message import Message
from pathlib import Path
from typing import Any

import pytest
from botocore import auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from worker_tier_bootstrap import early, registry
from worker_tier_bootstrap.errors import BootstrapError

KEYS = {"AccessKeyId": "AKIDEXAMPLE", "SecretAccessKey": "wJalrXUtnFEMI", "Token": "to/ken+=="}
NOW = datetime(2026, 11, 23, 7, 8, 9, tzinfo=UTC)
HOST = "cloudformation.eu-west-1.amazonaws.com"


@pytest.fixture
def role(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(early, "role_keys", lambda: KEYS)
    monkeypatch.setattr(time, "gmtime", NOW.timetuple)
    monkeypatch.setattr(auth, "get_current_datetime", lambda: NOW.replace(tzinfo=None))


@pytest.mark.usefixtures("role")
@pytest.mark.parametrize(
    ("service", "signer", "method", "path", "body"),
    [
        ("cloudformation", auth.SigV4Auth, "POST", "/", b"Action=SignalResource&Status=SUCCESS"),
        ("s3", auth.S3SigV4Auth, "GET", "/a%20key/with%2Bothers.zip", b""),
        ("logs", auth.SigV4Auth, "POST", "/", '{"message": "Grüße"}'.encode()),
    ],
)
def test_a_request_is_signed_as_the_sdk_signs_it(
    service: str, signer: Any, method: str, path: str, body: bytes
) -> None:
    more = {"content-type": "application/x-www-form-urlencoded"} if body else {}
    ours = early._signed(service, "eu-west-1", method, HOST, path, more, body)
    request = AWSRequest(method=method, url=f"https://{HOST}{path}", data=body, headers=dict(ours))
    del request.headers["authorization"]
    if service == "s3":
        request.context["payload_signing_enabled"] = True
    credentials = Credentials(KEYS["AccessKeyId"], KEYS["SecretAccessKey"], KEYS["Token"])
    signer(credentials, service, "eu-west-1").add_auth(request)
    assert ours["authorization"] == request.headers["Authorization"]


def test_it_is_python_3_9() -> None:
    source = Path(early.__file__).read_text(encoding="utf-8")
    ast.parse(source, feature_version=(3, 9))


class Answers:
    """What stands for the network: answers by the start of the URL."""

    def __init__(self, answers: dict[str, Any]) -> None:
        self.answers = answers
        self.asked: list[urllib.request.Request] = []

    def __call__(self, request: urllib.request.Request, timeout: float) -> io.BytesIO:
        self.asked.append(request)
        for start, answer in self.answers.items():
            if request.full_url.startswith(start):
                if isinstance(answer, int):
                    said = io.BytesIO(b"<Error><Code>No</Code><Message>never</Message></Error>")
                    raise urllib.error.HTTPError(start, answer, "", Message(), said)
                return io.BytesIO(answer)
        raise urllib.error.URLError("no route")


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Answers:
    base = early.METADATA
    found = Answers(
        {
            f"{base}api/token": b"token",
            f"{base}meta-data/services/domain": b"amazonaws.com.cn",
            f"{base}meta-data/iam/security-credentials/role": json.dumps(KEYS).encode(),
            f"{base}meta-data/iam/security-credentials/": b"role",
            f"{base}meta-data/instance-id": b"i-1",
            f"{base}dynamic/instance-identity/document": b"{}",
            f"{base}dynamic/instance-identity/signature": b"c2ln\nbmF0dXJl",
            "https://assets.s3.cn-north-1.amazonaws.com.cn/daemon.zip": b"content",
            "https://cloudformation.cn-north-1.amazonaws.com.cn/": b"<Response/>",
        }
    )
    monkeypatch.setattr(urllib.request, "urlopen", found)
    return found


SHA256 = "ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73"


def test_an_object_is_fetched_by_its_partitions_own_name(network: Answers, tmp_path: Path) -> None:
    target = tmp_path / "bundle.zip"
    early.fetch("cn-north-1", "assets", "daemon.zip", SHA256, str(target))
    assert target.read_bytes() == b"content"


def test_another_content_is_refused_and_leaves_nothing(network: Answers, tmp_path: Path) -> None:
    with pytest.raises(early.Refused, match="instead of 0000") as caught:
        early.fetch("cn-north-1", "assets", "daemon.zip", "0" * 64, str(tmp_path / "bundle.zip"))
    assert caught.value.definite
    assert list(tmp_path.iterdir()) == []


def test_an_object_that_may_not_be_read_is_told_with_its_name(
    network: Answers, tmp_path: Path
) -> None:
    network.answers["https://assets.s3.cn-north-1.amazonaws.com.cn/daemon.zip"] = 403
    with pytest.raises(early.Refused, match=r"s3://assets/daemon.zip: HTTP 403 No: never"):
        early.fetch("cn-north-1", "assets", "daemon.zip", SHA256, str(tmp_path / "bundle.zip"))


INSTANCE = {"region": "cn-north-1", "stack": "arn:s", "resource": "Group", "awaited": True}


def test_a_signal_names_stack_resource_and_instance(network: Answers) -> None:
    early.signal(dict(INSTANCE), True)
    request = network.asked[-1]
    assert isinstance(request.data, bytes)
    assert request.data.decode() == (
        "StackName=arn%3As&LogicalResourceId=Group&UniqueId=i-1&Status=SUCCESS"
        "&Action=SignalResource&Version=2010-05-15"
    )
    assert str(request.headers["Authorization"]).startswith("AWS4-HMAC-SHA256 ")


def test_an_instance_without_a_role_signals_by_its_identity(network: Answers) -> None:
    network.answers = {
        start: 404 if "security-credentials" in start else answer
        for start, answer in network.answers.items()
    }
    early.signal(dict(INSTANCE), False)
    assert network.asked[-1].headers["Authorization"] == "CFN_V1 e30=:c2lnbmF0dXJl"


def test_a_private_image_is_pulled_by_the_role(network: Answers) -> None:
    answer = {"authorizationData": [{"authorizationToken": "QVdTOnNlY3JldA=="}]}
    network.answers["https://api.ecr.cn-north-1.amazonaws.com.cn/"] = json.dumps(answer).encode()
    host = "123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn"
    login = registry.credentials(f"{host}/worker:v1")
    assert login is not None
    assert json.loads(login) == {"auths": {host: {"auth": "QVdTOnNlY3JldA=="}}}
    assert registry.credentials("public.ecr.aws/nginx/nginx:1.27") is None


def test_a_login_that_is_refused_is_told(network: Answers) -> None:
    network.answers["https://api.ecr.cn-north-1.amazonaws.com.cn/"] = 403
    with pytest.raises(BootstrapError, match="no login for 1234") as caught:
        registry.credentials("123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn/worker:v1")
    assert "ecr:GetAuthorizationToken" in caught.value.cure


def test_where_nothing_waits_nothing_is_signalled(network: Answers, tmp_path: Path) -> None:
    path = tmp_path / "instance.json"
    path.write_text(json.dumps({**INSTANCE, "awaited": False}), encoding="utf-8")
    assert early.main(["signal", str(path), "true", "log"]) == 0
    assert network.asked == []
