"""What the daemon's suites share: a Hypothesis profile, a queue over the wire, keys, a poster."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import botocore.session
import pytest
from hypothesis import HealthCheck, settings

from sqsd.aws.credentials import CredentialSource, resolve_endpoint
from sqsd.aws.json_api import JsonApi
from sqsd.testing.clock import FakeClock
from sqsd.testing.queue import FakeSqs
from tests.daemon.http.posters import Poster

# A shared machine makes single examples slow now and then; that is not what these tests are about.
settings.register_profile(
    "sqsd",
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("sqsd")


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
