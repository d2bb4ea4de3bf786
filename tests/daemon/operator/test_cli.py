"""What an operator reads when AWS refuses; `tests/scenarios/test_operator.py` has the rest."""

from __future__ import annotations

import asyncio
import time

import pytest

from sqsd.__main__ import main
from sqsd.testing.queue import FakeSqs, Refusal
from sqsd.testing.queue_server import SqsServer


async def test_a_refusal_names_the_statement_that_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sqs = FakeSqs(time)
    sqs.fault("ReceiveMessage", Refusal("AccessDeniedException", "not you", status=403))
    async with SqsServer(sqs) as server:
        for name, value in {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.port}",
            "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
            "AWS_SECRET_ACCESS_KEY": "secret",
        }.items():
            monkeypatch.setenv(name, value)
        url = f"http://127.0.0.1:{server.port}/123456789012/dead"
        command = ["dead-letters", "list", "--queue-url", url, "--dead-letter-queue-url", url]
        code = await asyncio.to_thread(main, [*command, "--region", "eu-west-1"])
    assert code == 1
    printed = capsys.readouterr().err
    assert '"Action": ["sqs:ReceiveMessage"], "Resource": "arn:*:sqs:*:*:dead"' in printed
    assert "add to the role or user that you are" in printed


def test_without_credentials_the_error_says_how_to_get_some(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    url = "http://127.0.0.1:9/123456789012/work"
    assert main(["send", "x", "--queue-url", url, "--region", "eu-west-1"]) == 1
    assert "no credentials were found; set AWS_PROFILE" in capsys.readouterr().err
