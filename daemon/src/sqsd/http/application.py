"""Posts messages to the application over persistent connections, and probes it for the gate."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from copy import copy
from email.utils import parsedate_to_datetime
from functools import partial
from math import ceil
from typing import Final

from sqsd.base.descriptors import Descriptors, is_exhausted
from sqsd.contract import SqsdOptions
from sqsd.http.http1 import Answer, Connection, Failure
from sqsd.messages.gate import Probe
from sqsd.messages.outcome import (
    APPLICATION_DOWN_STATUSES,
    Answered,
    Broken,
    Outcome,
    Unreachable,
)
from sqsd.messages.request import Request

#: Addresses of `localhost`; frameworks listen on one or the other. The name is not resolved,
#: because that can block.
_LOOPBACK: Final = ("127.0.0.1", "::1")
#: The `Retry-After` header of a response.
_RETRY_AFTER: Final = re.compile(
    rb"\r\nretry-after:[ \t]*([^\r\n]{1,64}?)[ \t]*\r\n", re.IGNORECASE
)
#: The `Server` header of nginx and its derivatives. By default they drop headers whose names
#: contain `_` or `.`.
_PICKY_PROXY: Final = re.compile(
    rb"\r\nserver:[ \t]*((?:nginx|openresty|tengine)[!-~]{0,40})", re.IGNORECASE
)
#: The `Via` header of the nginx that the bootstrap sets up, which passes all headers on.
_OWN_PROXY: Final = re.compile(rb"\r\nvia:[^\r\n]*worker-tier", re.IGNORECASE)
#: Statuses that send a browser elsewhere; a message that is answered so has failed.
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
#: The `Location` header of a redirect, without query and fragment, which may hold secrets.
_LOCATION: Final = re.compile(rb"\r\nlocation:[ \t]*([!\"$->@-~]{1,200})", re.IGNORECASE)
#: Deadline of a probe whose GET need not be answered, seconds; a proxy without an application
#: answers at once.
_OPTIONAL_GET_SECONDS: Final = 1.0
#: Outcome of a request that was sent and not answered, by the reason.
_BROKEN: Final = {
    Failure.INACTIVE: Broken.INACTIVE,
    Failure.CLOSED: Broken.CLOSED,
    Failure.UNANSWERED: Broken.UNANSWERED,
    Failure.UNSENT: Broken.UNANSWERED,
    Failure.MALFORMED: Broken.MALFORMED,
    Failure.ABORTED: Broken.CUT,
}
#: Called once with the outcome of a POST.
Done = Callable[[Outcome], None]


class LocalApplication:
    """Implements `messages.ports.Application`: opens one connection per concurrent request.

    Construct it inside a running event loop.

    Args:
        options: host, port, timeouts and `health_path` of the application.
        proxy_noticed: called with the `Server` header of a proxy that is known to drop headers,
            each time a probe gets a response from it.
        descriptors: frees file descriptors when there is none left, or None to do nothing then.
        redirected: called with status and location each time a POST is answered by a redirect.
    """

    def __init__(
        self,
        options: SqsdOptions,
        proxy_noticed: Callable[[str], None] = lambda name: None,
        descriptors: Descriptors | None = None,
        redirected: Callable[[int, str], None] = lambda status, location: None,
    ) -> None:
        self._proxy_noticed = proxy_noticed
        self._redirected = redirected
        self._descriptors = descriptors
        if descriptors is not None:
            descriptors.when_short(self._close_idle)
        self._host_header = options.host
        self._port = options.http_port
        self._user_agent = options.user_agent
        self._addresses = _LOOPBACK if options.http_host == "localhost" else (options.http_host,)
        self._health_path = options.health_path
        self._connect_timeout = float(options.connect_timeout)
        self._inactivity = float(options.inactivity_timeout)
        self._loop = asyncio.get_running_loop()
        self._idle: list[Connection] = []
        self._busy: set[Connection] = set()
        self._connecting: set[asyncio.Task[Connection]] = set()

    def with_inactivity_timeout(self, seconds: int) -> LocalApplication:
        """Return this application over the same connections, with another `inactivity_timeout`."""
        other = copy(self)
        other._inactivity = float(seconds)
        return other

    def post(self, request: Request, done: Done) -> None:
        """Send a request on an idle connection or a new one. Calls `done` exactly once."""
        idle = self._idle
        while idle:
            connection = idle.pop()
            if connection.reusable:
                self._send(connection, request, done, fresh=False)
                return
        self._post_on_new_connection(request, done)

    def _post_on_new_connection(self, request: Request, done: Done) -> None:
        task = self._loop.create_task(self._connect(), name="connect")
        self._connecting.add(task)
        task.add_done_callback(partial(self._connected, request, done))

    def abort(self) -> None:
        """Abort every request in flight; each ends as `Broken.CUT`."""
        # Cleared first, so that a connection that was just established sends nothing.
        connecting = list(self._connecting)
        self._connecting.clear()
        for task in connecting:
            task.cancel()
        for connection in list(self._busy):
            connection.abort()

    def close(self) -> None:
        """Abort every request, and close the idle connections."""
        self.abort()
        self._close_idle()

    def _close_idle(self) -> None:
        while self._idle:
            self._idle.pop().abort()

    async def probe(self, how: Probe) -> bool:
        """Return whether the application is up; see `messages.gate.Probe`.

        If `health_path` is set, that page must always answer 2xx.
        """
        try:
            connection = await self._connect()
        except OSError:
            return False
        if how is Probe.PORT and self._health_path is None:
            connection.abort()
            return True
        must_answer = how is Probe.ANSWER or self._health_path is not None
        seconds = self._connect_timeout if must_answer else _OPTIONAL_GET_SECONDS
        request = (
            f"GET {self._health_path or '/'} HTTP/1.1\r\nHost: {self._host_header}\r\n"
            f"User-Agent: {self._user_agent}\r\nConnection: close\r\n\r\n"
        )
        try:
            async with asyncio.timeout(seconds):
                answer = await connection.request(request.encode(), seconds)
        except TimeoutError:  # a response without an end still has a status
            status = connection.status
        else:
            status = answer.status if isinstance(answer, Answer) else 0
            if isinstance(answer, Answer):
                self._report_proxy(answer)
        connection.abort()  # in case the application does not close it, as it was asked to
        if not status:
            return not must_answer
        if self._health_path is None:
            return status not in APPLICATION_DOWN_STATUSES
        return 200 <= status < 300

    def _report_proxy(self, answer: Answer) -> None:
        found = _PICKY_PROXY.search(answer.head)
        if found is not None and _OWN_PROXY.search(answer.head) is None:
            self._proxy_noticed(found[1].decode("ascii"))

    def _report_redirect(self, answer: Answer) -> None:
        found = _LOCATION.search(answer.head)
        self._redirected(answer.status, "" if found is None else found[1].decode("ascii"))

    def _send(self, connection: Connection, request: Request, done: Done, *, fresh: bool) -> None:
        busy = self._busy
        busy.add(connection)

        def finished(result: Answer | Failure) -> None:
            busy.discard(connection)
            if type(result) is Answer:
                if connection.reusable:
                    self._idle.append(connection)
                if result.status in _REDIRECTS:
                    self._report_redirect(result)
                done(_answered(result))
            elif result is Failure.UNSENT and not fresh:
                # The server had closed the idle connection: not one byte reached it.
                self._post_on_new_connection(request, done)
            else:
                done(_BROKEN[result])  # type: ignore[index]

        connection.exchange(request.head + request.body, finished, self._inactivity)

    def _connected(self, request: Request, done: Done, task: asyncio.Task[Connection]) -> None:
        wanted = task in self._connecting
        self._connecting.discard(task)
        error = None if task.cancelled() else task.exception()
        if not wanted or task.cancelled():
            if error is None and not task.cancelled():
                task.result().abort()
            done(Broken.CUT)
        elif error is None:
            self._send(task.result(), request, done, fresh=True)
        elif isinstance(error, OSError):
            done(_unreachable(error))
        else:
            raise error

    async def _connect(self) -> Connection:
        """Return a new connection.

        Raises:
            TimeoutError: there was none after `connect_timeout` seconds.
            OSError: every address refused; this is the first refusal.
        """
        async with asyncio.timeout(self._connect_timeout):
            if self._descriptors is None:
                return await self._connect_to_any()
            return await self._descriptors.connected(self._connect_to_any)

    async def _connect_to_any(self) -> Connection:
        refused: OSError | None = None
        for address in self._addresses:
            try:
                _, connection = await self._loop.create_connection(
                    lambda: Connection(self._loop, keep_body=False), address, self._port
                )
            except OSError as error:
                refused = refused or error
            else:
                return connection
        assert refused is not None
        raise refused


def _unreachable(error: OSError) -> Unreachable:
    if isinstance(error, TimeoutError):
        return Unreachable.CONNECT_TIMEOUT
    return Unreachable.NO_DESCRIPTOR if is_exhausted(error) else Unreachable.REFUSED


def _answered(answer: Answer) -> Answered:
    if answer.status == 200:
        return _OK
    found = _RETRY_AFTER.search(answer.head)
    if found is None:
        return Answered(answer.status)
    return Answered(answer.status, retry_after_seconds(found[1].decode("latin-1"), time.time()))


def retry_after_seconds(value: str, now: float) -> int | None:
    """Return the seconds of a `Retry-After` header, a number or a date (RFC 9110, 10.2.3).

    Returns None for any other value, and for a date that has passed.

    Args:
        value: the header's value.
        now: epoch seconds. The application is on this machine, so one clock serves both.
    """
    if value.isdecimal() and value.isascii():
        return int(value[:9])
    try:
        at = parsedate_to_datetime(value).timestamp()
    except (ValueError, OverflowError):
        return None
    seconds = ceil(at - now)
    return seconds if seconds > 0 else None


_OK: Final = Answered(200)
