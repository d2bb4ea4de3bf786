"""Finds credentials and endpoints by botocore's rules, without blocking the event loop (ADR 2)."""

from __future__ import annotations

import asyncio
import math
import os
import ssl
from collections.abc import MutableMapping
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

import botocore.session
from botocore.configprovider import ConfiguredEndpointProvider
from botocore.credentials import Credentials as BotocoreCredentials
from botocore.credentials import RefreshableCredentials
from botocore.endpoint_provider import EndpointProvider

from sqsd.base.errors import NoCredentials

#: Time between two checks whether the provider renews its keys, seconds; botocore renews 15 minutes
#: before they expire.
_RENEWAL_CHECK_SECONDS: Final = 5.0
#: Hosts of the instance metadata service, as they are in a URL.
_METADATA_HOSTS: Final = ("169.254.169.254", "[fd00:ec2::254]")


class Keys(NamedTuple):
    """Holds the keys that sign a request. Their repr hides them, so they are never logged."""

    access_key: str
    secret_key: str
    token: str | None

    def __repr__(self) -> str:
        return "Keys(...)"


def new_session() -> botocore.session.Session:
    """Return a session that never asks the metadata service through a proxy.

    botocore would: the variables `http_proxy` and `HTTP_PROXY` hold for it like for any address,
    and the proxy would be shown the token, and could answer with keys. So the process's `no_proxy`
    gets the service's addresses.
    """
    _exempt_metadata_from_proxies(os.environ)
    return botocore.session.Session()


def _exempt_metadata_from_proxies(environment: MutableMapping[str, str]) -> None:
    # Where both are set, urllib uses the one in lower case, so that one gets the rest.
    given = environment.get("no_proxy", environment.get("NO_PROXY", ""))
    exempt = [name.strip() for name in given.split(",") if name.strip()]
    if exempt == ["*"]:
        return
    endpoint = urlsplit(environment.get("AWS_EC2_METADATA_SERVICE_ENDPOINT", "")).netloc
    wanted = [*_METADATA_HOSTS, *([endpoint] if endpoint else [])]
    environment["no_proxy"] = ",".join(dict.fromkeys([*exempt, *wanted]))


class CredentialSource:
    """Gives keys from the standard chain: environment, profile, container, instance.

    All calls share it. Providers may wait for the network, so they run in a thread. Between
    renewals, `known` costs one comparison.
    """

    def __init__(self, session: botocore.session.Session) -> None:
        self._session = session
        self._provider: BotocoreCredentials | None = None
        self._expired = False
        self._keys: Keys | None = None
        self._check_at = 0.0
        self._renewing = asyncio.Lock()

    def known(self, now: float) -> Keys | None:
        """Return keys that can be used at once, or None if `keys` must be awaited.

        Args:
            now: monotonic seconds.
        """
        return self._keys if now < self._check_at else None

    async def keys(self, now: float) -> Keys:
        """Return usable keys; `now` in monotonic seconds.

        Raises:
            NoCredentials: no provider of the chain has keys, or a renewal failed.
        """
        if (known := self.known(now)) is not None:
            return known
        async with self._renewing:
            if self._keys is None or now >= self._check_at:
                self._keys = await asyncio.to_thread(self._load)
                renews = isinstance(self._provider, RefreshableCredentials)
                self._check_at = now + (_RENEWAL_CHECK_SECONDS if renews else math.inf)
            return self._keys

    def forget(self, refused: Keys) -> None:
        """Drop keys that AWS refused as expired or unknown; the next call runs the chain again.

        A late refusal of keys that have been renewed since changes nothing.
        """
        if self._keys is not None and self._keys != refused:
            return
        self._provider = None
        self._keys = None
        self._expired = True

    def _load(self) -> Keys:
        try:
            # This runs in a thread while `forget` may be called, so the provider is read once.
            provider = self._provider
            if provider is None:
                session = self._session
                if self._expired:  # a session caches the provider of the expired keys
                    session = botocore.session.Session(profile=session.profile)
                self._provider = provider = session.get_credentials()
            if provider is None:
                raise NoCredentials(
                    "no AWS credentials found: give the instance a role, or set"
                    " AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
                )
            frozen = provider.get_frozen_credentials()
        except NoCredentials:
            raise
        except Exception as error:  # providers raise anything: ClientError, OSError, KeyError
            raise NoCredentials(f"AWS credentials cannot be loaded: {error}") from error
        return Keys(str(frozen.access_key), str(frozen.secret_key), frozen.token)


class Endpoint(NamedTuple):
    """Holds the address of a service; `tls` is None for plain HTTP, which only a local AWS has."""

    host: str
    port: int
    path: str
    tls: ssl.SSLContext | None

    @property
    def host_header(self) -> str:
        """Value of the `Host` header."""
        standard = 443 if self.tls else 80
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == standard else f"{host}:{self.port}"


def resolve_endpoint(session: botocore.session.Session, service: str, region: str) -> Endpoint:
    """Return a service's endpoint by AWS's rules: partition, FIPS and dual stack as configured.

    `AWS_ENDPOINT_URL_<SERVICE>`, `AWS_ENDPOINT_URL` and the profile's `endpoint_url` win over the
    rules.

    Raises:
        BotoCoreError: the rules refuse the region.
    """
    loader = session.get_component("data_loader")
    rules = loader.load_service_model(service, "endpoint-rule-set-1")
    partitions = loader.load_data("partitions")
    parameters: dict[str, Any] = {
        "Region": region,
        "UseFIPS": _flag(session, "use_fips_endpoint"),
        "UseDualStack": _flag(session, "use_dualstack_endpoint"),
    }
    override = _override(session, service)
    if override is not None:
        parameters["Endpoint"] = override
    url = EndpointProvider(rules, partitions).resolve_endpoint(**parameters).url
    return _parse(url, session)


def _flag(session: botocore.session.Session, name: str) -> bool:
    return bool(session.get_config_variable(name))


def _override(session: botocore.session.Session, service: str) -> str | None:
    if session.get_config_variable("ignore_configured_endpoint_urls"):
        return None
    provider = ConfiguredEndpointProvider(
        full_config=session.full_config,
        scoped_config=session.get_scoped_config(),
        client_name=service,
        environ=os.environ,
    )
    url: str | None = provider.provide()
    return url


def _parse(url: str, session: botocore.session.Session) -> Endpoint:
    parts = urlsplit(url)
    tls = None
    if parts.scheme == "https":
        tls = ssl.create_default_context(cafile=session.get_config_variable("ca_bundle"))
    port = parts.port or (443 if tls else 80)
    return Endpoint(parts.hostname or "", port, parts.path or "/", tls)
