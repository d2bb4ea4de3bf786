"""Calls the Auto Scaling group's hook on termination: heartbeats, then completion.

These are a few calls in an instance's life, so botocore's signer is fast enough; its client would
load the description of the whole service. Source: Auto Scaling API reference, query protocol
2011-01-01.
"""

from __future__ import annotations

import asyncio
import re
from typing import Final
from urllib.parse import urlencode

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from sqsd.aws.credentials import CredentialSource, Endpoint
from sqsd.base.errors import AwsError, AwsUnreachable
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


class LifecycleHook:
    """Implements `instance.watcher.TerminationHook`.

    Args:
        endpoint: the endpoint of Auto Scaling.
        credentials: the keys that sign the calls.
        clock: the clock by which keys are renewed.
        region: the region of the group.
        hook: name of the lifecycle hook.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        credentials: CredentialSource,
        clock: Clock,
        *,
        region: str,
        hook: str,
    ) -> None:
        self._endpoint = endpoint
        self._credentials = credentials
        self._clock = clock
        self._region = region
        self._hook = hook
        self._loop = asyncio.get_running_loop()

    async def heartbeat(self, group: str, instance_id: str) -> None:
        """Restart the hook's timeout.

        Raises:
            AwsError: Auto Scaling refused the call.
            AwsUnreachable: there was no usable answer within 5 s.
            NoCredentials: there are no keys.
        """
        await self._call("RecordLifecycleActionHeartbeat", group, instance_id, {})

    async def complete(self, group: str, instance_id: str) -> None:
        """Let Auto Scaling terminate the instance; raises what `heartbeat` raises."""
        more = {"LifecycleActionResult": "CONTINUE"}
        await self._call("CompleteLifecycleAction", group, instance_id, more)

    async def _call(self, action: str, group: str, instance_id: str, more: dict[str, str]) -> None:
        parameters = {
            "Action": action,
            "Version": _VERSION,
            "AutoScalingGroupName": group,
            "LifecycleHookName": self._hook,
            "InstanceId": instance_id,
            **more,
        }
        try:
            async with asyncio.timeout(_DEADLINE_SECONDS):
                answer = await self._exchange(action, urlencode(parameters))
        except TimeoutError as error:
            raise AwsUnreachable(action, f"no answer within {_DEADLINE_SECONDS:g} s") from error
        except OSError as error:
            raise AwsUnreachable(action, f"cannot connect: {error}") from error
        if answer.status != 200:
            text = answer.body.decode("utf-8", "replace")
            code = _CODE.search(text)
            message = _MESSAGE.search(text)
            raise AwsError(
                action,
                code[1] if code else f"HTTP{answer.status}",
                redact(message[1] if message else text),
                answer.status,
            )

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
