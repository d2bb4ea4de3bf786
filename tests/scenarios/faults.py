"""Relays to AWS that fail: they forward calls, or answer as AWS does during an outage."""

from __future__ import annotations

import json
import random
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

#: Status and body.
Reply = tuple[int, bytes]
_THROTTLED = b'{"__type":"com.amazonaws.dynamodb.v20120810#ThrottlingException","message":"slow"}'
_BROKEN = b'{"__type":"com.amazonaws.dynamodb.v20120810#InternalServerError","message":"oops"}'
#: Longer than a daemon waits for any call to the leader table.
_HANG_SECONDS = 5.0
_PASSED_ON = ("content-type", "x-amz-target", "x-amz-date", "authorization", "host")


class Relay:
    """Stands between a daemon and `target` on a loopback port; forwards what comes.

    `calls` has the monotonic time and the action of each call, in their order.
    """

    def __init__(self, target: str) -> None:
        self._target = target
        self.calls: list[tuple[float, str]] = []
        relay = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                action = self.headers["X-Amz-Target"].rpartition(".")[2]
                relay.calls.append((time.monotonic(), action))
                reply = relay.reply(action, lambda: relay._forward(self.headers, body))
                if reply is None:
                    self.close_connection = True
                    return
                status, answer = reply
                self.send_response(status)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, format: str, *args: object) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def reply(self, action: str, forward: Callable[[], Reply]) -> Reply | None:
        """The answer to a call, or None if the connection is to be cut."""
        return forward()

    def called(self, action: str) -> list[float]:
        """When this action was called."""
        return [at for at, name in list(self.calls) if name == action]

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _forward(self, headers: Message, body: bytes) -> Reply:
        passed = {name: value for name, value in headers.items() if name.lower() in _PASSED_ON}
        request = urllib.request.Request(self._target, data=body, headers=passed)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()


class RefusingEndpoint(Relay):
    """Refuses the actions in `refusals`, each with a code and a message, until they are removed."""

    def __init__(self, target: str, **refusals: tuple[str, str]) -> None:
        self.refusals = refusals
        super().__init__(target)

    def reply(self, action: str, forward: Callable[[], Reply]) -> Reply:
        refusal = self.refusals.get(action)
        if refusal is None:
            return forward()
        code, message = refusal
        return 403, json.dumps({"__type": f"com.amazonaws#{code}", "message": message}).encode()


class FaultyEndpoint(Relay):
    """A share of the calls is refused, hangs, or has its connection cut; the seed says which.

    A call that fails may have been carried out before: then it is its answer that is lost.
    """

    def __init__(self, target: str, share: float, seed: int) -> None:
        self._dice = random.Random(seed)
        self._lock = threading.Lock()
        self._share = share
        self.refused = 0
        self.hung = 0
        self.cut = 0
        super().__init__(target)

    def reply(self, action: str, forward: Callable[[], Reply]) -> Reply | None:
        with self._lock:
            fails = self._dice.random() < self._share
            after = self._dice.random() < 0.5
            how = self._dice.choice(("refused", "refused", "hung", "cut"))
        if not fails:
            return forward()
        if after:
            forward()
        match how:
            case "refused":
                self.refused += 1
                return (500, _BROKEN) if after else (400, _THROTTLED)
            case "hung":
                self.hung += 1
                time.sleep(_HANG_SECONDS)
                return None
            case _:
                self.cut += 1
                return None
