"""The web application of a worker tier, as WSGI: each message of the queue arrives as a POST.

200 deletes the message, any other answer returns it to the queue. Any WSGI server can run
`application`; started as a program it serves itself, with the standard library only.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

LOG_FILE = os.environ.get("SAMPLE_APP_LOG", "/tmp/sample-app.log")  # noqa: S108 - the scenario's
#: Size (bytes) at which the log is begun anew: it has the messages' bodies.
LOG_BYTES = int(os.environ.get("SAMPLE_APP_LOG_BYTES", "10485760"))
SLOW_SECONDS = 1.5

StartResponse = Callable[[str, list[tuple[str, str]]], object]
_lines = threading.Lock()


def application(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
    """Answer one request."""
    method, path = environ["REQUEST_METHOD"], environ.get("PATH_INFO", "/")
    headers = request_headers(environ)
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    if method == "POST" and path == "/scheduled":
        return _receive_task(headers, start_response)
    if method == "POST":
        return _receive_message(headers, body, start_response)
    if method in ("GET", "HEAD"):
        page = b"The worker is running. It takes messages as POST.\n"
        return _answer(start_response, "200 OK", page if method == "GET" else b"")
    return _answer(start_response, "405 Method Not Allowed", b"Only GET and POST are served.\n")


def request_headers(environ: dict[str, Any]) -> dict[str, str]:
    """The request's headers from WSGI's variables, names in lower case."""
    named = {
        key.removeprefix("HTTP_"): value
        for key, value in environ.items()
        if key.startswith("HTTP_") or (key in ("CONTENT_TYPE", "CONTENT_LENGTH") and value)
    }
    return {key.replace("_", "-").lower(): value for key, value in named.items()}


def behaviour(headers: dict[str, str]) -> tuple[str, float]:
    """What the message attribute `demo` asks for: status, and seconds until the answer."""
    match headers.get("x-aws-sqsd-attr-demo"):
        case "fail-once" if headers.get("x-aws-sqsd-receive-count") == "1":
            return "500 Internal Server Error", 0
        case "poison":
            return "500 Internal Server Error", 0
        case "slow":
            return "200 OK", SLOW_SECONDS
        case _:
            return "200 OK", 0


def _receive_task(headers: dict[str, str], start_response: StartResponse) -> Iterable[bytes]:
    name = headers.get("x-aws-sqsd-taskname")
    scheduled_at = headers.get("x-aws-sqsd-scheduled-at")
    _write(f"{_now()} - Received task {name} scheduled at {scheduled_at}\n")
    return _answer(start_response, "200 OK", b"")


def _receive_message(
    headers: dict[str, str], body: bytes, start_response: StartResponse
) -> Iterable[bytes]:
    text = body.decode("utf-8", errors="replace")
    _write(
        f"{_now()} - Received message: {text}\n"
        f"Record Http headers: {json.dumps(headers, separators=(',', ':'))}\n"
    )
    status, delay = behaviour(headers)
    time.sleep(delay)
    return _answer(start_response, status, b"")


def _answer(start_response: StartResponse, status: str, body: bytes) -> Iterable[bytes]:
    headers = [
        ("Content-Type", "text/plain; charset=utf-8"),
        ("Content-Length", str(len(body))),
    ]
    if status.startswith("405"):
        headers.append(("Allow", "GET, HEAD, POST"))
    start_response(status, headers)
    return [body]


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _write(text: str) -> None:
    line = text.encode()
    with _lines:
        log = Path(LOG_FILE)
        logged = log.stat().st_size if log.exists() else 0
        if logged and logged + len(line) > LOG_BYTES:
            log.replace(f"{LOG_FILE}.1")  # over the one before
        # Nobody else may read what is in the messages.
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(descriptor, "ab") as file:
            file.write(line)


class _ThreadingServer(ThreadingMixIn, WSGIServer):
    """A thread a request, waited for at the end."""

    daemon_threads = False
    request_queue_size = 128


class _QuietHandler(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Write no access log: the application logs each message itself."""


def main() -> None:
    """Serve until SIGTERM, then finish what was begun."""
    host = os.environ.get("HOST", "127.0.0.1")
    port = int(os.environ.get("PORT", "3000"))
    try:
        server = make_server(host, port, application, _ThreadingServer, _QuietHandler)
    except OSError as error:
        sys.exit(f"cannot listen on {host}:{port}: {error.strerror}; set PORT to a free port")

    def stop(*_: object) -> None:
        # From a thread of its own, for `shutdown` waits for the loop that a signal interrupts.
        threading.Thread(target=server.shutdown).start()

    signal.signal(signal.SIGTERM, stop)
    print(f"listening on {host}:{port}, logging to {LOG_FILE}", flush=True)
    with server:
        server.serve_forever(poll_interval=0.1)


if __name__ == "__main__":
    main()
