"""nginx in front of the application, and its log as a witness."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tools.demo import proxy
from tools.demo.errors import DemoError
from tools.local_aws.ports import free_port


class Echo(BaseHTTPRequestHandler):
    """Answers the status that the path names, and remembers the request."""

    protocol_version = "HTTP/1.1"
    seen: list[tuple[dict[str, str], bytes]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.seen.append(({name.lower(): value for name, value in self.headers.items()}, body))
        self.send_response(int(self.path.removeprefix("/")))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Be quiet."""


@pytest.fixture
def upstream() -> Iterator[ThreadingHTTPServer]:
    Echo.seen = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def nginx(require_tool: Callable[[str], Path]) -> Path:
    return proxy.find_nginx() or require_tool("nginx")


def post(port: int, path: str, body: bytes, headers: dict[str, str]) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("POST", path, body, headers)
        answer = connection.getresponse()
        answer.read()
        return answer.status
    finally:
        connection.close()


def test_requests_pass_with_their_headers_and_each_is_witnessed(
    upstream: ThreadingHTTPServer, nginx: Path, tmp_path: Path
) -> None:
    port = free_port()
    directory = tmp_path / "nginx"
    server = proxy.start(
        nginx, port=port, application_port=upstream.server_port, directory=directory
    )
    try:
        sent = [("a", "1", 500), ("a", "2", 200), ("b", "1", 200), ("c", "1", 404)]
        for message_id, count, status in sent:
            headers = {
                "Host": "localhost",
                "X-Aws-Sqsd-Msgid": message_id,
                "X-Aws-Sqsd-Receive-Count": count,
            }
            assert post(port, f"/{status}", b"x" * 100_000, headers) == status
        assert post(port, "/200", b"", {"Host": "localhost"}) == 200
    finally:
        server.stop()
    assert proxy.answered_200(directory) == ["a", "b"]
    headers, body = Echo.seen[0]
    assert len(body) == 100_000
    assert headers["x-aws-sqsd-msgid"] == "a"
    assert headers["host"] == "localhost"
    assert headers["x-real-ip"] == headers["x-forwarded-for"] == "127.0.0.1"


def test_a_port_that_is_taken_is_reported_with_nginxs_output(
    upstream: ThreadingHTTPServer, nginx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # the check whether it listens would find the other program
    monkeypatch.setattr(proxy, "listening", lambda port: False)
    with pytest.raises(DemoError, match="Address already in use"):
        proxy.start(
            nginx,
            port=upstream.server_port,
            application_port=free_port(),
            directory=tmp_path / "nginx",
        )


def test_lines_that_are_no_answer_200_to_a_message_are_left_out() -> None:
    lines = ["a 1 500", "a 2 200", "- - 200", "b 1 200", "b 2 200", "", "half"]
    assert proxy.ids_answered_200(lines) == ["a", "b", "b"]
