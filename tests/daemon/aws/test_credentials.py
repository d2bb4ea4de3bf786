"""The credential chain and the endpoint rules: botocore's, off the event loop."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore.credentials import RefreshableCredentials
from botocore.exceptions import BotoCoreError, ClientError
from botocore.utils import should_bypass_proxies

from sqsd.aws.credentials import CredentialSource, Endpoint, new_session, resolve_endpoint
from sqsd.base.errors import NoCredentials
from sqsd.testing.loopback import LoopbackServer
from tests.fakes.imds import FakeImds


@pytest.fixture
def environment_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAENV")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")


@pytest.mark.usefixtures("environment_keys")
async def test_keys_come_from_the_environment_and_are_cached() -> None:
    source = CredentialSource(botocore.session.Session())
    keys = await source.keys(0.0)
    assert (keys.access_key, keys.secret_key, keys.token) == ("AKIAENV", "secret", None)
    assert await source.keys(10_000_000.0) is keys


async def test_keys_come_from_a_profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    credentials = tmp_path / "credentials"
    credentials.write_text(
        "[worker]\naws_access_key_id = AKIAPROFILE\naws_secret_access_key = s\n"
        "aws_session_token = t\n"
    )
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(credentials))
    monkeypatch.setenv("AWS_PROFILE", "worker")
    keys = await CredentialSource(botocore.session.Session()).keys(0.0)
    assert (keys.access_key, keys.token) == ("AKIAPROFILE", "t")


async def test_an_empty_chain_says_what_to_do() -> None:
    with pytest.raises(NoCredentials, match="no AWS credentials found: give the instance a role"):
        await CredentialSource(botocore.session.Session()).keys(0.0)


async def test_an_unknown_profile_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(NoCredentials, match="nobody"):
        await CredentialSource(botocore.session.Session()).keys(0.0)


class Role:
    """Temporary keys that a provider renews, and where that happens."""

    def __init__(self, lifetime: timedelta = timedelta(hours=6)) -> None:
        self.renewals = 0
        self.threads: list[threading.Thread] = []
        self.error: Exception | None = None
        self.lifetime = lifetime
        self.while_it_renews: Callable[[], None] = lambda: None

    def renew(self) -> dict[str, str]:
        self.renewals += 1
        self.threads.append(threading.current_thread())
        if self.error is not None:
            raise self.error
        self.while_it_renews()
        return {
            "access_key": f"ASIA{self.renewals}",
            "secret_key": "s",
            "token": f"token{self.renewals}",
            "expiry_time": (datetime.now(UTC) + self.lifetime).isoformat(),
        }

    def session(self) -> Any:
        provider = RefreshableCredentials.create_from_metadata(
            self.renew(), refresh_using=self.renew, method="test"
        )
        session = botocore.session.Session()
        session.get_credentials = lambda: provider  # type: ignore[method-assign]
        return session


async def test_temporary_keys_are_checked_again_and_renewed_in_a_thread() -> None:
    role = Role(lifetime=timedelta(minutes=5))  # below botocore's advisory 15: renewed when asked
    source = CredentialSource(role.session())
    assert (await source.keys(100.0)).access_key == "ASIA2"
    assert (await source.keys(104.0)).access_key == "ASIA2"  # not looked at again so soon
    assert (await source.keys(105.0)).access_key == "ASIA3"
    assert threading.main_thread() not in role.threads[1:]


async def test_many_callers_share_one_renewal() -> None:
    role = Role(lifetime=timedelta(minutes=5))
    source = CredentialSource(role.session())
    keys = await asyncio.gather(*(source.keys(100.0) for _ in range(20)))
    assert {k.access_key for k in keys} == {"ASIA2"}


@pytest.mark.parametrize(
    "error",
    [
        BotoCoreError(),
        ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "AssumeRole"),
        RuntimeError(
            "Credentials were refreshed, but the refreshed credentials are still expired."
        ),
        FileNotFoundError("credential_process"),
        KeyError("AccessKeyId"),
    ],
)
async def test_whatever_a_provider_raises_is_no_credentials_and_passes(error: Exception) -> None:
    role = Role(lifetime=timedelta(seconds=1))  # so near its end that a failed renewal is fatal
    source = CredentialSource(role.session())
    role.error = error
    with pytest.raises(NoCredentials, match="AWS credentials cannot be loaded"):
        await source.keys(100.0)
    role.error = None
    role.lifetime = timedelta(hours=6)
    assert (await source.keys(101.0)).access_key.startswith("ASIA")


@pytest.mark.usefixtures("environment_keys")
async def test_forgotten_keys_are_asked_for_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    source = CredentialSource(botocore.session.Session())
    await source.keys(0.0)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIANEW")
    old = await source.keys(1.0)
    assert old.access_key == "AKIAENV"
    source.forget(old)
    new = await source.keys(2.0)
    assert new.access_key == "AKIANEW"
    source.forget(old)  # the answer to a call that was signed before
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIANEWER")
    assert await source.keys(3.0) == new


async def test_keys_that_are_forgotten_while_they_are_loaded_are_no_error() -> None:
    role = Role(lifetime=timedelta(minutes=1))
    source = CredentialSource(role.session())
    first = await source.keys(0.0)
    role.lifetime = timedelta(hours=6)
    # The provider renews in a thread, and in the middle of it a refusal of the old keys arrives.
    role.while_it_renews = lambda: source.forget(first)
    assert (await source.keys(100.0)).access_key.startswith("ASIA")


# ---- endpoints


def endpoint(service: str, region: str) -> Endpoint:
    return resolve_endpoint(botocore.session.Session(), service, region)


@pytest.mark.parametrize(
    ("service", "region", "host"),
    [
        ("sqs", "eu-central-1", "sqs.eu-central-1.amazonaws.com"),
        ("sqs", "cn-north-1", "sqs.cn-north-1.amazonaws.com.cn"),
        ("sqs", "us-gov-west-1", "sqs.us-gov-west-1.amazonaws.com"),
        ("dynamodb", "eu-central-1", "dynamodb.eu-central-1.amazonaws.com"),
        ("dynamodb", "cn-northwest-1", "dynamodb.cn-northwest-1.amazonaws.com.cn"),
    ],
)
def test_every_partition_has_its_endpoints(service: str, region: str, host: str) -> None:
    found = endpoint(service, region)
    assert (found.host, found.port, found.path) == (host, 443, "/")
    assert found.tls is not None
    assert found.host_header == host


@pytest.mark.parametrize(
    ("name", "region", "host"),
    [
        ("AWS_USE_FIPS_ENDPOINT", "us-east-1", "sqs-fips.us-east-1.amazonaws.com"),
        ("AWS_USE_DUALSTACK_ENDPOINT", "eu-west-1", "sqs.eu-west-1.api.aws"),
        ("AWS_USE_DUALSTACK_ENDPOINT", "cn-north-1", "sqs.cn-north-1.api.amazonwebservices.com.cn"),
    ],
)
def test_fips_and_dual_stack_are_as_configured(
    name: str, region: str, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "true")
    assert endpoint("sqs", region).host == host


def test_an_override_comes_first_and_the_services_own_before_the_general(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:4566")
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", "http://localhost:8000/prefix")
    sqs, table = endpoint("sqs", "eu-west-1"), endpoint("dynamodb", "eu-west-1")
    assert sqs == Endpoint("127.0.0.1", 4566, "/", None)
    assert sqs.host_header == "127.0.0.1:4566"
    assert table == Endpoint("localhost", 8000, "/prefix", None)
    monkeypatch.setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true")
    assert endpoint("sqs", "eu-west-1").host == "sqs.eu-west-1.amazonaws.com"


def test_an_override_may_be_in_the_profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "config"
    config.write_text("[profile local]\nendpoint_url = http://127.0.0.1:9999\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("AWS_PROFILE", "local")
    assert endpoint("sqs", "eu-west-1").port == 9999


@pytest.mark.parametrize(
    ("url", "header"),
    [
        ("http://[::1]:4566", "[::1]:4566"),
        ("http://[::1]", "[::1]"),
        ("http://localhost", "localhost"),
        ("http://localhost:80", "localhost"),
    ],
)
def test_the_host_header_is_as_http_wants_it(
    url: str, header: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    assert endpoint("sqs", "eu-west-1").host_header == header


def test_rules_that_refuse_say_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:4566")
    monkeypatch.setenv("AWS_USE_FIPS_ENDPOINT", "true")
    with pytest.raises(BotoCoreError, match="FIPS"):
        endpoint("sqs", "us-east-1")


# ---- the metadata service and proxies


@pytest.fixture
def no_exemptions(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable of proxies is set, and what a test's code sets is gone after it."""
    for name in ("no_proxy", "http_proxy", "https_proxy"):
        for variable in (name, name.upper()):
            monkeypatch.setenv(variable, "")
            monkeypatch.delenv(variable)


class Proxy(LoopbackServer):
    """A proxy that answers nothing; whoever asks it for the role's keys would show it the token."""

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")


def _as_a_role(imds: FakeImds) -> None:
    expires = (datetime.now(UTC) + timedelta(hours=6)).strftime("%Y-%m-%dT%H:%M:%SZ")
    imds.values["iam/security-credentials/"] = "worker"
    imds.values["iam/security-credentials/worker"] = json.dumps(
        {"AccessKeyId": "AKIAROLE", "SecretAccessKey": "s", "Token": "t", "Expiration": expires}
    )


@pytest.mark.usefixtures("no_exemptions")
@pytest.mark.parametrize("lower", [True, False])
@pytest.mark.parametrize("others", [None, "example.com,.internal"])
async def test_the_roles_keys_are_never_asked_for_through_a_proxy(
    monkeypatch: pytest.MonkeyPatch, lower: bool, others: str | None
) -> None:
    async with FakeImds() as imds, Proxy() as proxy:
        _as_a_role(imds)
        for name in ("AWS_EC2_METADATA_DISABLED", "AWS_PROFILE"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", imds.address)
        for name in ("http_proxy", "https_proxy"):
            monkeypatch.setenv(name if lower else name.upper(), f"http://127.0.0.1:{proxy.port}")
        if others is not None:
            monkeypatch.setenv("no_proxy" if lower else "NO_PROXY", others)
        keys = await CredentialSource(new_session()).keys(0.0)
        assert (keys.access_key, keys.token) == ("AKIAROLE", "t")
        assert proxy.connections == 0
        # and what was exempt before still is
        for host in (others or "").split(",") if others else []:
            assert should_bypass_proxies(f"http://a{host}/" if host[0] == "." else f"http://{host}")
        assert not should_bypass_proxies("http://s3.eu-west-1.amazonaws.com/")


@pytest.mark.usefixtures("no_exemptions")
@pytest.mark.parametrize("address", ["http://169.254.169.254/", "http://[fd00:ec2::254]/"])
def test_both_addresses_of_the_metadata_service_are_exempt_from_proxies(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.delenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", raising=False)
    monkeypatch.setenv("http_proxy", "http://proxy.internal:3128")
    new_session()
    new_session()
    assert should_bypass_proxies(address)
    # once, however many sessions there are
    assert os.environ["no_proxy"].count("169.254.169.254") == 1


@pytest.mark.usefixtures("no_exemptions")
def test_where_nothing_goes_through_a_proxy_nothing_changes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("no_proxy", "*")
    new_session()
    assert os.environ["no_proxy"] == "*"
