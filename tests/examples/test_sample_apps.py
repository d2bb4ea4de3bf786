"""The sample applications, in both languages, over real HTTP: one behaviour, asserted once."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tools.local_aws.ports import free_port

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
#: Limit of the sample applications' log in these tests.
LOG_BYTES = 4_000
MESSAGE_HEADERS = {
    "Content-Type": "application/json",
    "User-Agent": "aws-sqsd/3.0.5",
    "X-Aws-Sqsd-Msgid": "5f6b2c0e-0000-4000-8000-000000000000",
    "X-Aws-Sqsd-Receive-Count": "1",
}


@dataclass(frozen=True)
class RunningApp:
    """A sample application that answers on `port`."""

    port: int
    log: Path
    process: subprocess.Popen[bytes]

    def request(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, path, body, dict(headers or {}))
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def log_lines(self) -> list[str]:
        """The log once the application has ended, so that nothing is still on its way."""
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(10) == 0
        return self.log.read_text(encoding="utf-8").splitlines()


def procfile_command(directory: Path) -> list[str]:
    text = (directory / "Procfile").read_text(encoding="utf-8")
    command = text.removeprefix("web: ").split()
    return [sys.executable if command[0] == "python3" else command[0], *command[1:]]


@pytest.fixture(params=["node_worker", "python_worker"])
def app(
    request: pytest.FixtureRequest, tmp_path: Path, require_tool: Callable[[str], Path]
) -> Iterator[RunningApp]:
    directory = EXAMPLES / request.param
    if request.param == "node_worker":
        require_tool("node")
    port, log = free_port(), tmp_path / "sample-app.log"
    with subprocess.Popen(
        procfile_command(directory),
        cwd=directory,
        env=os.environ
        | {"PORT": str(port), "SAMPLE_APP_LOG": str(log), "SAMPLE_APP_LOG_BYTES": str(LOG_BYTES)},
        stdout=subprocess.PIPE,
    ) as process:
        try:
            # its first line says that it listens
            assert process.stdout is not None
            assert b"listening on 127.0.0.1" in process.stdout.readline()
            yield RunningApp(port, log, process)
        finally:
            process.kill()


def test_a_message_is_answered_with_200_and_logged_with_its_headers(app: RunningApp) -> None:
    status, _ = app.request("POST", "/", b'"message 0"', MESSAGE_HEADERS)
    assert status == 200
    received, headers = app.log_lines()
    moment, text = received.split(" - ", 1)
    assert text == 'Received message: "message 0"'
    assert moment.endswith("Z")
    assert "T" in moment
    recorded = json.loads(headers.removeprefix("Record Http headers: "))
    assert recorded["x-aws-sqsd-msgid"] == MESSAGE_HEADERS["X-Aws-Sqsd-Msgid"]
    assert recorded["content-type"] == "application/json"
    assert recorded["content-length"] == "11"


def test_the_log_of_bodies_is_private_and_does_not_grow_for_ever(app: RunningApp) -> None:
    for number in range(12):
        body = f"message {number} ".encode() + b"x" * 1_000
        assert app.request("POST", "/", body, MESSAGE_HEADERS)[0] == 200
    lines = app.log_lines()
    older = app.log.with_name(f"{app.log.name}.1")
    assert sorted(path.name for path in app.log.parent.iterdir()) == [app.log.name, older.name]
    for path in (app.log, older):
        assert path.stat().st_size <= LOG_BYTES
        assert path.stat().st_mode & 0o777 == 0o600
    # no record is cut, and the newest is there
    assert "message 11 " in lines[-2]
    assert older.read_text(encoding="utf-8").splitlines()[-1].startswith("Record Http headers: ")


def test_a_body_of_many_scripts_is_logged_as_it_was_sent(app: RunningApp) -> None:
    text = "naïve 水 \U0001f600"
    assert app.request("POST", "/", text.encode(), MESSAGE_HEADERS)[0] == 200
    assert app.log_lines()[0].endswith(f"Received message: {text}")


def test_a_periodic_task_is_logged_by_name_and_time(app: RunningApp) -> None:
    headers = {
        **MESSAGE_HEADERS,
        "X-Aws-Sqsd-Taskname": "task1",
        "X-Aws-Sqsd-Scheduled-At": "2023-01-15T07:42:00Z",
    }
    assert app.request("POST", "/scheduled", b"", headers)[0] == 200
    (line,) = app.log_lines()
    assert line.endswith(" - Received task task1 scheduled at 2023-01-15T07:42:00Z")


def test_get_answers_a_page(app: RunningApp) -> None:
    status, page = app.request("GET", "/")
    assert status == 200
    assert b"worker is running" in page


def test_other_methods_are_refused(app: RunningApp) -> None:
    assert app.request("DELETE", "/")[0] == 405


@pytest.mark.parametrize(
    ("behaviour", "receive_count", "status"),
    [
        ("fail-once", "1", 500),
        ("fail-once", "2", 200),
        ("fail-once", "10", 200),
        ("poison", "1", 500),
        ("poison", "9", 500),
        ("slow", "1", 200),
        ("of no known kind", "1", 200),
    ],
)
def test_the_demo_attribute_chooses_how_it_answers(
    app: RunningApp, behaviour: str, receive_count: str, status: int
) -> None:
    headers = {
        **MESSAGE_HEADERS,
        "X-Aws-Sqsd-Attr-Demo": behaviour,
        "X-Aws-Sqsd-Receive-Count": receive_count,
    }
    started = time.monotonic()
    assert app.request("POST", "/", b"x", headers)[0] == status
    took = time.monotonic() - started
    assert (took >= 1.4) == (behaviour == "slow")


def test_a_taken_port_is_one_message_with_the_hint(app: RunningApp) -> None:
    again = subprocess.run(
        app.process.args,
        env=os.environ | {"PORT": str(app.port), "SAMPLE_APP_LOG": str(app.log)},
        cwd=EXAMPLES / ("node_worker" if "node" in str(app.process.args) else "python_worker"),
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert again.returncode == 1
    assert f"cannot listen on 127.0.0.1:{app.port}" in again.stderr
    assert "set PORT to a free port" in again.stderr
    assert again.stderr.count("\n") == 1


@pytest.mark.parametrize("name", ["node_worker", "python_worker"])
def test_the_cron_file_has_elastic_beanstalks_task_and_one_below_a_minute(name: str) -> None:
    document = yaml.safe_load((EXAMPLES / name / "cron.yaml").read_text(encoding="utf-8"))
    assert document["version"] == 1
    assert [(task["name"], task["url"], task["schedule"]) for task in document["cron"]] == [
        ("task1", "/scheduled", "* * * * *"),
        ("every-ten-seconds", "/scheduled", "@every 10s"),
    ]
