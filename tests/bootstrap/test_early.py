"""The early part's signatures, compared with those of AWS's own SDK; and what it says."""

from __future__ import annotations

import ast
import errno
import http.client
import http.server
import io
import json
import os
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from email.message import Message
from pathlib import Path
from typing import Any

import pytest
from botocore import auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from sqsd.contract import TierResources, TierSettings
from worker_tier_bootstrap import early, image_pull
from worker_tier_bootstrap.contract import Instance, S3Object
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


class Answer(io.BytesIO):
    """A body, and how long its sender said that it is."""

    def __init__(self, body: bytes, length: int | None = None) -> None:
        super().__init__(body)
        self.headers = {"Content-Length": str(len(body) if length is None else length)}


def refusal(status: int, code: str) -> urllib.error.HTTPError:
    said = f"<Error><Code>{code}</Code><Message>never</Message></Error>".encode()
    return urllib.error.HTTPError("https://", status, "", Message(), io.BytesIO(said))


class Answers:
    """Stands for the network: responses by the beginning of the URL."""

    def __init__(self, answers: dict[str, Any]) -> None:
        self.answers = answers
        self.asked: list[urllib.request.Request] = []

    def __call__(self, request: urllib.request.Request, timeout: float) -> Answer:
        self.asked.append(request)
        for start, answers in self.answers.items():
            if request.full_url.startswith(start):
                answer = answers.pop(0) if isinstance(answers, list) else answers
                if isinstance(answer, Exception):
                    raise answer
                if isinstance(answer, Answer):
                    return answer
                if isinstance(answer, int):
                    raise refusal(answer, "No")
                return Answer(answer)
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

    def open_(_: object, request: Any, data: object = None, timeout: float = 0) -> Answer:
        return found(request, timeout)

    monkeypatch.setattr(urllib.request.OpenerDirector, "open", open_)
    return found


class _Server(http.server.BaseHTTPRequestHandler):
    """A metadata service, and a proxy: each collects the paths that it was asked for."""

    asked: list[str]

    def do_PUT(self) -> None:
        self.asked.append(self.path)
        self._answer("token")

    def do_GET(self) -> None:
        self.asked.append(self.path)
        self._answer("i-1" if self.headers["X-aws-ec2-metadata-token"] == "token" else "no token")

    def _answer(self, text: str) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def served() -> Iterator[Callable[[], tuple[str, list[str]]]]:
    """Starts servers; each has an address, and the paths that it was asked for."""
    started: list[http.server.HTTPServer] = []

    def start() -> tuple[str, list[str]]:
        asked: list[str] = []
        kind = type("Server", (_Server,), {"asked": asked})
        server = http.server.HTTPServer(("127.0.0.1", 0), kind)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        started.append(server)
        return f"http://127.0.0.1:{server.server_port}", asked

    yield start
    for server in started:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY", "all_proxy"])
def test_the_metadata_service_is_never_asked_through_a_proxy(
    served: Callable[[], tuple[str, list[str]]], monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    service, asked = served()
    proxy, asked_of_proxy = served()
    for name in ("no_proxy", "NO_PROXY", "REQUEST_METHOD"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, proxy)
    monkeypatch.setattr(early, "METADATA", f"{service}/latest/")
    assert early.metadata("meta-data/instance-id") == "i-1"
    assert asked == ["/latest/api/token", "/latest/meta-data/instance-id"]
    # which would have seen the role's keys, and could have answered with others
    assert asked_of_proxy == []


def test_aws_itself_is_asked_through_the_proxy_that_is_set(
    served: Callable[[], tuple[str, list[str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy, asked_of_proxy = served()
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.setenv("http_proxy", proxy)
    early._open("http://s3.example/x", "GET", {})
    assert asked_of_proxy == ["http://s3.example/x"]


SHA256 = "ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73"


def test_an_object_is_fetched_by_its_partitions_own_name(network: Answers, tmp_path: Path) -> None:
    target = tmp_path / "bundle.zip"
    early.fetch("cn-north-1", "assets", "daemon.zip", SHA256, str(target))
    assert target.read_bytes() == b"content"


def test_an_object_is_on_the_disk_before_it_has_its_name(
    network: Answers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    monkeypatch.setattr(os, "fsync", lambda _: seen.append([p.name for p in tmp_path.iterdir()]))
    early.fetch("cn-north-1", "assets", "daemon.zip", SHA256, str(tmp_path / "bundle.zip"))
    assert seen == [["bundle.zip.part"]]
    assert (tmp_path / "bundle.zip").exists()


def test_another_content_is_refused_and_leaves_nothing(network: Answers, tmp_path: Path) -> None:
    with pytest.raises(early.Refused, match="instead of 0000") as caught:
        early.fetch("cn-north-1", "assets", "daemon.zip", "0" * 64, str(tmp_path / "bundle.zip"))
    assert caught.value.definite
    assert list(tmp_path.iterdir()) == []


def test_an_object_that_may_not_be_read_is_reported_with_its_name(
    network: Answers, tmp_path: Path
) -> None:
    network.answers["https://assets.s3.cn-north-1.amazonaws.com.cn/daemon.zip"] = 403
    with pytest.raises(early.Refused, match=r"s3://assets/daemon.zip: HTTP 403 No: never"):
        early.fetch("cn-north-1", "assets", "daemon.zip", SHA256, str(tmp_path / "bundle.zip"))


OBJECT = "https://assets.s3.cn-north-1.amazonaws.com.cn/daemon.zip"


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (Answer(b"cont", 7), "ended after 4 of 7 bytes"),
        (http.client.IncompleteRead(b"cont", 3), "IncompleteRead"),
        (http.client.RemoteDisconnected("no word"), "no word"),
        (503, "HTTP 503"),
        (refusal(400, "Throttling"), "Throttling"),
    ],
)
def test_a_transfer_that_is_cut_is_worth_another_try(
    network: Answers, tmp_path: Path, answer: object, says: str
) -> None:
    network.answers[OBJECT] = answer
    with pytest.raises(early.Refused, match=says) as caught:
        early.fetch("cn-north-1", "assets", "daemon.zip", SHA256, str(tmp_path / "bundle.zip"))
    assert not caught.value.definite


def test_a_full_disk_while_fetching_is_reported(
    network: Answers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> str:
        (tmp_path / "bundle.zip.part").touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(early, "_copy", full)
    with pytest.raises(early.Refused, match=r"the disk is full at .*root_volume_size") as caught:
        early.fetch("cn-north-1", "assets", "daemon.zip", SHA256, str(tmp_path / "bundle.zip"))
    assert caught.value.definite
    assert list(tmp_path.iterdir()) == []


def test_a_metadata_service_that_is_silent_does_not_mean_that_there_is_no_role(
    network: Answers,
) -> None:
    role = f"{early.METADATA}meta-data/iam/security-credentials/"
    network.answers = {
        f"{early.METADATA}api/token": b"token",
        role: [TimeoutError("timed out"), 404],
    }
    with pytest.raises(early.Refused, match="has no role") as caught:
        early.role_keys()
    assert not caught.value.definite
    with pytest.raises(early.Refused, match="attach an instance profile") as caught:
        early.role_keys()
    assert caught.value.definite


#: By the types of both documents, for the early part reads them by their keys.
INSTANCE = Instance(
    stack="arn:s",
    region="cn-north-1",
    resource="Group",
    awaited=True,
    deadline_seconds=600,
    bundle=S3Object(bucket="assets", key="daemon.zip", sha256="0" * 64),
).to_document()


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
    login = image_pull.credentials(f"{host}/worker:v1")
    assert login is not None
    assert json.loads(login) == {"auths": {host: {"auth": "QVdTOnNlY3JldA=="}}}
    assert image_pull.credentials("public.ecr.aws/nginx/nginx:1.27") is None


@pytest.mark.parametrize(
    "host",
    [
        "123456789012.dkr.ecr-fips.us-east-1.amazonaws.com",
        "123456789012.dkr-ecr.us-east-1.on.aws",
        "123456789012.dkr-ecr-fips.us-east-1.on.aws",
    ],
)
def test_every_host_of_a_private_registry_has_a_login(network: Answers, host: str) -> None:
    answer = {"authorizationData": [{"authorizationToken": "QVdTOnNlY3JldA=="}]}
    network.answers["https://api.ecr.us-east-1.amazonaws.com"] = json.dumps(answer).encode()
    login = image_pull.credentials(f"{host}/worker:v1")
    assert login is not None
    assert json.loads(login) == {"auths": {host: {"auth": "QVdTOnNlY3JldA=="}}}


@pytest.mark.parametrize(
    "host",
    [
        "123456789012.dkr.ecr.us-east-1.amazonaws.com.example.org",
        "123456789012.dkr-ecr.us-east-1.on.aws.example.org",
        "123456789012.dkr.ecr.example.org",
    ],
)
def test_no_other_host_gets_the_login(network: Answers, host: str) -> None:
    asked = len(network.asked)
    assert image_pull.credentials(f"{host}/worker:v1") is None
    assert len(network.asked) == asked


def test_a_refused_login_is_reported(network: Answers) -> None:
    network.answers["https://api.ecr.cn-north-1.amazonaws.com.cn/"] = 403
    with pytest.raises(BootstrapError, match="no login for 1234") as caught:
        image_pull.credentials("123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn/worker:v1")
    assert "ecr:GetAuthorizationToken" in caught.value.hint


def test_where_nothing_waits_nothing_is_signalled(network: Answers, tmp_path: Path) -> None:
    path = tmp_path / "instance.json"
    path.write_text(json.dumps({**INSTANCE, "awaited": False}), encoding="utf-8")
    assert early.main(["signal", str(path), "true", "log"]) == 0
    assert network.asked == []


SIGNALLED = "https://cloudformation.cn-north-1.amazonaws.com.cn/"


def command(tmp_path: Path, *arguments: str, log_group: str | None = None) -> int:
    """The early part's command on an instance with these settings."""
    path = tmp_path / "instance.json"
    path.write_text(json.dumps(INSTANCE), encoding="utf-8")
    resources = TierResources(
        queue_url="https://q", region="cn-north-1", tier_name="T", log_group=log_group
    )
    document = TierSettings(resources=resources).to_document()
    (tmp_path / "tier.json").write_text(json.dumps(document), encoding="utf-8")
    return early.main(["signal", str(path), *arguments])


def test_the_daemons_bundle_is_fetched_from_where_the_instance_file_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched: list[tuple[str, ...]] = []
    monkeypatch.setattr(early, "fetch", lambda *arguments: fetched.append(arguments))
    path = tmp_path / "instance.json"
    path.write_text(json.dumps(INSTANCE), encoding="utf-8")
    assert early.main(["fetch", str(path), "/bundle.zip"]) == 0
    assert fetched == [("cn-north-1", "assets", "daemon.zip", "0" * 64, "/bundle.zip")]


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    return slept


def test_a_signal_is_repeated_while_that_may_help(
    network: Answers, tmp_path: Path, slept: list[float]
) -> None:
    busy = [refusal(400, "Throttling"), 503, TimeoutError("timed out"), 500]
    network.answers[SIGNALLED] = [*busy, b"<Response/>"]
    assert command(tmp_path, "true") == 0
    assert slept == [1, 2, 4, 8]


@pytest.mark.parametrize(("status", "tries", "code"), [(400, 1, 3), (503, 6, 1)])
def test_a_signal_that_is_refused_is_given_up_at_last(
    network: Answers, tmp_path: Path, slept: list[float], status: int, tries: int, code: int
) -> None:
    network.answers[SIGNALLED] = [status] * 10
    assert command(tmp_path, "false", str(tmp_path / "log"), str(tmp_path / "outcome")) == code
    assert len(slept) == tries - 1


def test_the_reason_is_reported_even_if_the_log_does_not_have_it_yet(
    network: Answers, tmp_path: Path
) -> None:
    network.answers["https://logs.cn-north-1.amazonaws.com.cn/"] = [b"{}"] * 4
    log, outcome = tmp_path / "log", tmp_path / "outcome"
    log.write_bytes(b"one\ntwo d\xe9\n")
    outcome.write_text("step build: no compiler\nHint: install it.\n", encoding="utf-8")
    assert command(tmp_path, "false", str(log), str(outcome), log_group="g") == 0
    put = [r for r in network.asked if r.headers.get("X-amz-target", "").endswith("PutLogEvents")]
    assert isinstance(put[0].data, bytes)
    messages = [event["message"] for event in json.loads(put[0].data)["logEvents"]]
    assert messages == [
        "one",
        "two d\ufffd",
        "failed: step build: no compiler",
        "failed: Hint: install it.",
    ]


@pytest.mark.parametrize("end", ["\r", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029"])
def test_what_a_build_prints_is_no_event_apart_in_the_log_group(
    end: str, network: Answers, tmp_path: Path
) -> None:
    # given a build that printed a metric after what some readers take for the end of a line
    network.answers["https://logs.cn-north-1.amazonaws.com.cn/"] = [b"{}"] * 4
    metric = '{"_aws":{"Timestamp":1,"CloudWatchMetrics":[]}}'
    line = f"2026-01-01T00:00:00Z npm says{end}{metric}"
    log, outcome = tmp_path / "log", tmp_path / "outcome"
    log.write_bytes(f"before\n{line}\n".encode())
    outcome.write_bytes(f"it failed{end}{metric}\n".encode())
    # when the end of the log is reported
    assert command(tmp_path, "false", str(log), str(outcome), log_group="g") == 0
    # then every event is a whole line of the log
    put = [r for r in network.asked if r.headers.get("X-amz-target", "").endswith("PutLogEvents")]
    assert isinstance(put[0].data, bytes)
    messages = [event["message"] for event in json.loads(put[0].data)["logEvents"]]
    assert messages == ["before", line, f"failed: it failed{end}{metric}"]
