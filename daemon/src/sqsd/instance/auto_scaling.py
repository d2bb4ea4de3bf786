"""Calls Auto Scaling: the termination hook, and an instance's protection from scale-in.

These are a few calls in an instance's life, so botocore's signer is fast enough; its client would
load the description of the whole service. Source: Auto Scaling API reference, query protocol
2011-01-01.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlencode

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from sqsd.aws.credentials import CredentialSource, Endpoint
from sqsd.aws.hints import statement
from sqsd.base.errors import ACCESS_DENIED_CODES, AwsError, AwsUnreachable
from sqsd.base.ports import Clock
from sqsd.base.redact import redact
from sqsd.http.http1 import Answer, Connection

#: Version of the Auto Scaling API.
_VERSION: Final = "2011-01-01"
#: Deadline of one call, seconds.
_DEADLINE_SECONDS: Final = 5.0
_CONTENT_TYPE: Final = "application/x-www-form-urlencoded; charset=utf-8"
_CODE: Final = re.compile(r"<Code>([^<]+)</Code>")
_MESSAGE: Final = re.compile(r"<Message>([^<]*)</Message>")


class AutoScalingApi:
    """Auto Scaling in one region.

    Args:
        endpoint: the endpoint of Auto Scaling.
        credentials: the keys that sign the calls.
        clock: the clock by which keys are renewed.
        region: the region of the group.
    """

    def __init__(
        self, endpoint: Endpoint, credentials: CredentialSource, clock: Clock, *, region: str
    ) -> None:
        self._endpoint = endpoint
        self._credentials = credentials
        self._clock = clock
        self._region = region
        self._loop = asyncio.get_running_loop()

    async def call(self, action: str, group: str, parameters: Mapping[str, str]) -> None:
        """Make one call about a group; nothing is retried here.

        Raises:
            AwsError: Auto Scaling refused the call.
            AwsUnreachable: there was no usable answer within 5 s.
            NoCredentials: there are no keys.
        """
        body = urlencode(
            {"Action": action, "Version": _VERSION, "AutoScalingGroupName": group, **parameters}
        )
        try:
            async with asyncio.timeout(_DEADLINE_SECONDS):
                answer = await self._exchange(action, body)
        except TimeoutError as error:
            raise AwsUnreachable(action, f"no answer within {_DEADLINE_SECONDS:g} s") from error
        except OSError as error:
            raise AwsUnreachable(action, f"cannot connect: {error}") from error
        if answer.status != 200:
            raise _refused(action, group, answer)

    async def _exchange(self, action: str, body: str) -> Answer:
        keys = await self._credentials.keys(self._clock.monotonic())
        endpoint = self._endpoint
        scheme = "https" if endpoint.tls else "http"
        request = AWSRequest(
            method="POST",
            url=f"{scheme}://{endpoint.host_header}{endpoint.path}",
            data=body,
            headers={"Host": endpoint.host_header, "Content-Type": _CONTENT_TYPE},
        )
        identity = Credentials(keys.access_key, keys.secret_key, keys.token)
        SigV4Auth(identity, "autoscaling", self._region).add_auth(request)
        head = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
        text = (
            f"POST {endpoint.path} HTTP/1.1\r\n{head}Content-Length: {len(body)}\r\n"
            f"Connection: close\r\n\r\n{body}"
        )
        _, connection = await self._loop.create_connection(
            lambda: Connection(self._loop, keep_body=True),
            endpoint.host,
            endpoint.port,
            ssl=endpoint.tls,
            server_hostname=endpoint.host if endpoint.tls else None,
        )
        answer = await connection.request(text.encode(), _DEADLINE_SECONDS)
        if not isinstance(answer, Answer):
            raise AwsUnreachable(action, answer.value)
        return answer


class LifecycleHook:
    """Implements `instance.watcher.TerminationHook`.

    Args:
        hook: name of the lifecycle hook.
    """

    def __init__(self, api: AutoScalingApi, hook: str) -> None:
        self._api = api
        self._hook = hook

    async def heartbeat(self, group: str, instance_id: str) -> None:
        """Restart the hook's timeout; raises what `AutoScalingApi.call` raises."""
        await self._call("RecordLifecycleActionHeartbeat", group, instance_id, {})

    async def complete(self, group: str, instance_id: str) -> None:
        """Let Auto Scaling terminate the instance; raises what `AutoScalingApi.call` raises."""
        more = {"LifecycleActionResult": "CONTINUE"}
        await self._call("CompleteLifecycleAction", group, instance_id, more)

    async def _call(self, action: str, group: str, instance_id: str, more: dict[str, str]) -> None:
        names = {"LifecycleHookName": self._hook, "InstanceId": instance_id}
        await self._api.call(action, group, names | more)


class InstanceProtection:
    """Implements `instance.scale_in_protection.ProtectionApi`."""

    def __init__(self, api: AutoScalingApi) -> None:
        self._api = api

    async def protect(self, group: str, instance_id: str, *, protected: bool) -> None:
        """Set whether a scale-in leaves the instance; raises what `AutoScalingApi.call` raises."""
        parameters = {
            "InstanceIds.member.1": instance_id,
            "ProtectedFromScaleIn": "true" if protected else "false",
        }
        await self._api.call("SetInstanceProtection", group, parameters)


def _refused(action: str, group: str, answer: Answer) -> AwsError:
    text = answer.body.decode("utf-8", "replace")
    found = _CODE.search(text)
    code = found[1] if found else f"HTTP{answer.status}"
    message = _MESSAGE.search(text)
    resource = f"autoScalingGroup:*:autoScalingGroupName/{group}"
    denied = code in ACCESS_DENIED_CODES
    hint = statement((f"autoscaling:{action}",), "autoscaling", resource) if denied else None
    return AwsError(action, code, redact(message[1] if message else text), answer.status, hint)
