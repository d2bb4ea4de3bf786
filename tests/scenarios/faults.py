"""A way to AWS that fails now and then: forwards calls, or answers as an AWS in trouble does."""

from __future__ import annotations

import random
import threading
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_THROTTLED = b'{"__type":"com.amazonaws.dynamodb.v20120810#ThrottlingException","message":"slow"}'
_BROKEN = b'{"__type":"com.amazonaws.dynamodb.v20120810#InternalServerError","message":"oops"}'
_PASSED_ON = ("content-type", "x-amz-target", "x-amz-date", "authorization", "host")


class FaultyEndpoint:
    """Forwards to `target`; a share of the calls is refused instead, the seed says which.

    A refused call may have been carried out before: then it is its answer that is lost.
    """

    def __init__(self, target: str, share: float, seed: int) -> None:
        dice, lock = random.Random(seed), threading.Lock()
        endpoint = self
        self.refused = self.forwarded = 0

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                with lock:
                    fails, after = dice.random() < share, dice.random() < 0.5
                if fails and not after:
                    endpoint.refused += 1
                    self._answer(400, _THROTTLED)
                    return
                status, answer = self._forward(body)
                if fails:
                    endpoint.refused += 1
                    self._answer(500, _BROKEN)
                    return
                endpoint.forwarded += 1
                self._answer(status, answer)

            def _forward(self, body: bytes) -> tuple[int, bytes]:
                headers = {
                    name: value
                    for name, value in self.headers.items()
                    if name.lower() in _PASSED_ON
                }
                request = urllib.request.Request(target, data=body, headers=headers)
                try:
                    with urllib.request.urlopen(request, timeout=10) as answer:
                        return answer.status, answer.read()
                except urllib.error.HTTPError as error:
                    with error:
                        return error.code, error.read()

            def _answer(self, status: int, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
