"""Calls to one AWS service by its JSON protocol: signed, over pooled connections, with a deadline.

The protocol is written by hand, because botocore's client costs more than the rest of the daemon
together (ADR 2). Nothing is retried here: only the caller knows whether a call may be made twice.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import Any, Final

from sqsd.aws.credentials import CredentialSource, Endpoint, Keys
from sqsd.aws.sigv4 import Signer
from sqsd.base.descriptors import Descriptors
from sqsd.base.errors import AwsError, AwsUnreachable
from sqsd.base.ports import Clock
from sqsd.http.http1 import Answer, Connection, Failure

_text_of = json.JSONEncoder(separators=(",", ":")).encode

try:  # an extra: faster, and never needed
    import orjson
except ImportError:
    _decode: Callable[[bytes], Any] = json.loads

    def _encode(value: Any) -> bytes:
        return _text_of(value).encode()
else:

    def _encode(value: Any) -> bytes:
        try:
            return orjson.dumps(value)
        except TypeError:  # as below
            return _text_of(value).encode()

    def _decode(data: bytes) -> Any:
        try:
            return orjson.loads(data)
        except ValueError:  # a lone surrogate, say, which the standard library reads
            return json.loads(data)


#: Longest idle time of a connection that is used again, in seconds; a NAT may forget it later.
_IDLE_SECONDS: Final = 20.0
#: Error codes for which new keys may help, unlike a lack of permission.
_KEY_ERRORS: Final = frozenset(
    {"ExpiredToken", "ExpiredTokenException", "UnrecognizedClientException", "InvalidClientTokenId"}
)
#: Error codes that a wrong local clock causes; the answer's Date header shows the difference.
_CLOCK_ERRORS: Final = frozenset(
    {"RequestTimeTooSkewed", "InvalidSignatureException", "SignatureDoesNotMatch", "RequestExpired"}
)
#: The action whose requests repeat, so that a signed request can be sent again.
_REPEATED: Final = "ReceiveMessage"
#: Time between two readings of AWS's clock, in seconds.
_CLOCK_SECONDS: Final = 60.0
#: The name of an error, without a namespace before `#` and a URL after `:`.
_ERROR_TYPE: Final = re.compile(
    rb"\r\nx-amzn-errortype:[ \t]*([A-Za-z0-9_.#]{1,200})[^\r\n]*\r\n", re.IGNORECASE
)
_DATE: Final = re.compile(rb"\r\ndate:[ \t]*([^\r\n]+)\r\n", re.IGNORECASE)


class JsonApi:
    """One AWS service in one region. Implements `ports.TimedApi`.

    Each instance has its own connections, so that long polls never delay other calls.

    Args:
        version: of the JSON protocol, `1.0` for SQS and DynamoDB.
        prefix: of the X-Amz-Target header, such as `AmazonSQS`.
        descriptors: frees file descriptors when there is none left, or None to do nothing then.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        credentials: CredentialSource,
        clock: Clock,
        *,
        service: str,
        region: str,
        prefix: str,
        version: str = "1.0",
        descriptors: Descriptors | None = None,
    ) -> None:
        content_type = f"application/x-amz-json-{version}"
        self._endpoint = endpoint
        self._credentials = credentials
        self._clock = clock
        self._prefix = prefix
        self._signer = Signer(service, region, endpoint.host_header, endpoint.path, content_type)
        self._start = (
            f"POST {endpoint.path} HTTP/1.1\r\nHost: {endpoint.host_header}\r\n"
            f"Content-Type: {content_type}\r\nUser-Agent: worker-tier-sqsd\r\n"
        )
        self._descriptors = descriptors
        if descriptors is not None:
            descriptors.when_short(self._close_idle)
        self._loop = asyncio.get_running_loop()
        self._idle: list[Connection] = []
        self._busy: set[Connection] = set()
        self._clock_offset = 0.0
        self._read_clock_at = 0.0
        #: Whole receives by their bodies, signed in one second with the same keys.
        self._signed: dict[bytes, bytes] = {}
        self._signed_for: tuple[int, Keys] | None = None

    @property
    def clock_offset(self) -> float:
        """See `ports.TimedApi`; to two seconds, read once a minute."""
        return self._clock_offset

    async def call(
        self, action: str, request: Mapping[str, Any], *, timeout: float
    ) -> dict[str, Any]:
        """See `ports.AwsApi.call`; also raises `NoCredentials`."""
        body = _encode(request)
        left = timeout
        keys = self._credentials.known(self._clock.monotonic())
        connection = None if keys is None else self._idle_connection()
        if keys is None or connection is None:
            until = self._loop.time() + timeout
            try:
                async with asyncio.timeout_at(until):
                    keys = keys or await self._credentials.keys(self._clock.monotonic())
                    connection = self._idle_connection() or await self._connect(action)
            except TimeoutError as error:
                raise AwsUnreachable(action, f"no answer within {timeout:g} s") from error
            left = until - self._loop.time()
        sent = self._send(connection, self._request(action, body, keys), left)
        return await self._answer(action, keys, connection, sent, timeout)

    def close(self) -> None:
        """Close every connection; calls under way end as `AwsUnreachable`."""
        for connection in [*self._busy]:
            connection.abort()
        self._close_idle()

    def _close_idle(self) -> None:
        while self._idle:
            self._idle.pop().abort()

    def _send(
        self, connection: Connection, request: bytes, seconds: float
    ) -> asyncio.Future[Answer | Failure]:
        self._busy.add(connection)
        result: asyncio.Future[Answer | Failure] = self._loop.create_future()

        def done(answer: Answer | Failure) -> None:
            self._busy.discard(connection)
            if connection.reusable:
                self._idle.append(connection)
            if not result.done():
                result.set_result(answer)

        # The connection's own deadline: one timer serves many calls.
        connection.exchange(request, done, seconds, whole=True)
        return result

    async def _answer(
        self,
        action: str,
        keys: Keys,
        connection: Connection,
        sent: asyncio.Future[Answer | Failure],
        timeout: float,
    ) -> dict[str, Any]:
        """Wait for the answer and read it; a cancellation closes the connection."""
        try:
            result = await sent
        except asyncio.CancelledError:
            if sent.cancelled():  # else it was answered, and may serve another call by now
                connection.abort()
            raise
        if not isinstance(result, Answer):
            late = result is Failure.INACTIVE
            raise AwsUnreachable(
                action, f"no answer within {timeout:g} s" if late else result.value
            )
        if result.status != 200:
            raise self._refusal(action, result, keys)
        document = self._document(action, result)
        # A success is AWS's own. A proxy between may answer too, and have any time.
        if (now := self._loop.time()) >= self._read_clock_at:
            self._read_clock_at = now + _CLOCK_SECONDS
            self._correct_clock(result)
        return document

    def _request(self, action: str, body: bytes, keys: Keys) -> bytes:
        at = int(self._clock.time() + self._clock_offset)
        # Signatures have whole seconds, and receives repeat: on a busy queue most are signed.
        if self._signed_for != (at, keys):
            self._signed_for = (at, keys)
            self._signed.clear()
        elif (known := self._signed.get(body)) is not None:
            return known
        signed = self._signer.headers(body, f"{self._prefix}.{action}", keys, at)
        head = f"{self._start}{signed}Content-Length: {len(body)}\r\n\r\n"
        request = head.encode() + body
        if action == _REPEATED:
            self._signed[body] = request
        return request

    def _idle_connection(self) -> Connection | None:
        oldest = self._loop.time() - _IDLE_SECONDS
        while self._idle:
            connection = self._idle.pop()
            if connection.reusable and connection.idle_since > oldest:
                return connection
            connection.abort()
        return None

    async def _connect(self, action: str) -> Connection:
        endpoint = self._endpoint
        try:
            if self._descriptors is None:
                return await self._connect_once()
            return await self._descriptors.connected(self._connect_once)
        except OSError as error:
            if isinstance(error, TimeoutError):
                raise
            raise AwsUnreachable(
                action, f"cannot connect to {endpoint.host}:{endpoint.port}: {error}"
            ) from error

    async def _connect_once(self) -> Connection:
        endpoint = self._endpoint
        _, connection = await self._loop.create_connection(
            lambda: Connection(self._loop, keep_body=True),
            endpoint.host,
            endpoint.port,
            ssl=endpoint.tls,
            server_hostname=endpoint.host if endpoint.tls else None,
        )
        return connection

    def _document(self, action: str, answer: Answer) -> dict[str, Any]:
        try:
            document = _decode(answer.body) if answer.body else {}
        except (ValueError, RecursionError) as error:  # the latter: a thousand nested brackets
            raise AwsUnreachable(action, f"the answer is not JSON: {error}") from error
        if not isinstance(document, dict):
            raise AwsUnreachable(action, "the answer is not a JSON object")
        return document

    def _refusal(self, action: str, answer: Answer, keys: Keys) -> AwsError:
        try:
            document = _decode(answer.body)
            assert isinstance(document, dict)
            code = str(document.get("__type") or document.get("code") or "") or _error_type(answer)
            text = str(document.get("message") or document.get("Message") or "")
        except (ValueError, RecursionError, AssertionError):
            code, text = _error_type(answer), answer.body[:200].decode("utf-8", "replace")
        code = code.rpartition("#")[2] or f"HTTP{answer.status}"
        if code in _KEY_ERRORS:
            self._credentials.forget(keys)
        elif code in _CLOCK_ERRORS:
            self._correct_clock(answer)
        return AwsError(action, code, text, answer.status)

    def _correct_clock(self, answer: Answer) -> None:
        found = _DATE.search(answer.head)
        if found is None:
            return
        try:
            theirs = parsedate_to_datetime(found[1].decode("ascii", "replace")).timestamp()
        except (ValueError, OverflowError):
            return
        offset = theirs - self._clock.time()
        # A Date header has whole seconds, so a smaller difference may not be one.
        self._clock_offset = offset if abs(offset) > 2 else 0.0


def _error_type(answer: Answer) -> str:
    """Return the error's name from the header that some errors have it in alone, or nothing."""
    found = _ERROR_TYPE.search(answer.head)
    return "" if found is None else found[1].decode("latin-1")
