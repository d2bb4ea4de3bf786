"""Fixtures of more than one module here: a queue over the wire, keys, and who posts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import botocore.session
import pytest

from sqsd.adapters.aws import JsonApi
from sqsd.adapters.credentials import CredentialSource, resolve_endpoint
from tests.daemon.adapters.posters import Poster
from tests.fakes.clock import FakeClock
from tests.fakes.sqs import FakeSqs


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> Callable[[str | None], None]:
    """Set the environment's keys, with a session token or without."""

    def set_keys(token: str | None = None) -> None:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        if token is None:
            monkeypatch.delenv("AWS_SESSION_TOKEN", raising=False)
        else:
            monkeypatch.setenv("AWS_SESSION_TOKEN", token)

    set_keys()
    return set_keys


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def sqs(clock: FakeClock) -> FakeSqs:
    return FakeSqs(clock)


@pytest.fixture
def api_for(
    keys: object, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., JsonApi]:
    def api(port: int, *, scheme: str = "http") -> JsonApi:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"{scheme}://127.0.0.1:{port}")
        session = botocore.session.Session()
        return JsonApi(
            resolve_endpoint(session, "sqs", "eu-central-1"),
            CredentialSource(session),
            clock,
            service="sqs",
            region="eu-central-1",
            prefix="AmazonSQS",
        )

    return api


@pytest.fixture
async def posters() -> AsyncIterator[list[Poster]]:
    made: list[Poster] = []
    yield made
    for one in made:
        one.application.close()
    await asyncio.sleep(0.01)
