"""Reads the instance metadata service, version 2: a token, then GETs over one connection.

Source: EC2 user guide, "Use the Instance Metadata Service to access instance metadata".
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from sqsd.base.errors import InstanceUnknown
from sqsd.base.ports import Clock
from sqsd.http.http1 import Answer, Connection
from sqsd.instance.notices import InstanceIdentity, InstanceNotices

#: Address of the service on every instance.
_ADDRESS: Final = "http://169.254.169.254"
#: Lifetime that is asked for a token, seconds; the longest that the service allows.
TOKEN_SECONDS: Final = 21_600
#: Time before its end at which a token is replaced, seconds.
_TOKEN_MARGIN_SECONDS: Final = 300.0
_TOKEN: Final = re.compile(r"[!-~]{1,1024}")
#: Deadline of one request, seconds.
_DEADLINE_SECONDS: Final = 2.0
_METADATA: Final = "/latest/meta-data/"
_UNPRINTABLE: Final = re.compile(r"[^ -~]")


class Imds:
    """Implements `instance.watcher.InstanceSource`.

    Args:
        clock: measures the lifetime of the token.
        address: address of the service, `http://host[:port]`.
    """

    def __init__(self, clock: Clock, address: str = _ADDRESS) -> None:
        parts = urlsplit(address)
        self._host = parts.hostname or ""
        self._port = parts.port or 80
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._connection: Connection | None = None
        self._token = ""
        self._token_until = 0.0

    async def notices(self, *, timeout: float) -> InstanceNotices:
        """See `InstanceSource`."""
        async with _deadline(timeout):
            state = await self._get("autoscaling/target-lifecycle-state")
            spot = await self._get("spot/instance-action")
            rebalance = await self._get("events/recommendations/rebalance")
        return InstanceNotices(
            spot_action=None if spot is None else spot_action(spot),
            rebalance=rebalance is not None,
            target_state=state,
        )

    async def identity(self) -> InstanceIdentity:
        """See `InstanceSource`."""
        async with _deadline(_DEADLINE_SECONDS):
            instance_id = await self._get("instance-id")
            group = await self._get("tags/instance/aws:autoscaling:groupName")
        if instance_id is None:
            raise InstanceUnknown("the metadata service has no instance-id")
        return InstanceIdentity(instance_id, group)

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.abort()

    async def _get(self, name: str) -> str | None:
        """Return a value, or None if the instance has none at present."""
        for fresh in (False, True):
            token = await self._current_token(fresh=fresh)
            answer = await self._exchange(
                "GET", f"{_METADATA}{name}", f"X-aws-ec2-metadata-token: {token}"
            )
            if answer.status != 401:  # else the token predates a restore or a restart
                break
        if answer.status == 404:
            return None
        if answer.status != 200:
            raise InstanceUnknown(f"the metadata service answers {name} with {answer.status}")
        return answer.body.decode("utf-8", "replace").strip()

    async def _current_token(self, *, fresh: bool) -> str:
        now = self._clock.monotonic()
        if fresh or now >= self._token_until:
            answer = await self._exchange(
                "PUT",
                "/latest/api/token",
                f"X-aws-ec2-metadata-token-ttl-seconds: {TOKEN_SECONDS}\r\nContent-Length: 0",
            )
            token = answer.body.decode("ascii", "replace").strip()
            if answer.status != 200 or _TOKEN.fullmatch(token) is None:
                raise InstanceUnknown(f"the metadata service gives no token: {answer.status}")
            self._token = token
            self._token_until = now + TOKEN_SECONDS - _TOKEN_MARGIN_SECONDS
        return self._token

    async def _exchange(self, method: str, path: str, headers: str) -> Answer:
        connection = self._connection
        if connection is None or not connection.reusable:
            _, connection = await self._loop.create_connection(
                lambda: Connection(self._loop, keep_body=True), self._host, self._port
            )
            self._connection = connection
        request = f"{method} {path} HTTP/1.1\r\nHost: {self._host}\r\n{headers}\r\n\r\n"
        answer = await connection.request(request.encode(), _DEADLINE_SECONDS)
        if not isinstance(answer, Answer):
            raise InstanceUnknown(f"the metadata service: {answer.value}")
        return answer


class _deadline(contextlib.AbstractAsyncContextManager[None]):
    """Raises `InstanceUnknown` if the body fails with an `OSError` or exceeds `seconds`."""

    def __init__(self, seconds: float) -> None:
        self._timeout = asyncio.timeout(seconds)

    async def __aenter__(self) -> None:
        await self._timeout.__aenter__()

    async def __aexit__(self, *exc: object) -> None:
        try:
            await self._timeout.__aexit__(*exc)  # type: ignore[arg-type]
        except TimeoutError as error:
            raise InstanceUnknown("the metadata service does not answer") from error
        if isinstance(exc[1], OSError):
            raise InstanceUnknown(f"the metadata service: {exc[1]}") from exc[1]


def spot_action(document: str) -> str:
    """Return the action of a Spot notice, such as `terminate at 2017-09-18T08:22:00Z`.

    A notice that cannot be parsed still counts: its action is `unknown action`.
    """
    try:
        notice = json.loads(document)
        action = notice["action"]
        at = notice.get("time")
    except (ValueError, TypeError, KeyError, AttributeError):
        action = "unknown action"
        at = None
    text = f"{action} at {at}" if at else f"{action}"
    return _UNPRINTABLE.sub("?", text)[:100]


def imds_address(environment: Mapping[str, str] = os.environ) -> str | None:
    """Return the service's address by the variables of AWS's SDKs, or None if they disable it."""
    if environment.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true":
        return None
    return environment.get("AWS_EC2_METADATA_SERVICE_ENDPOINT") or _ADDRESS
