"""`make dev`: a person's own application behind the daemon, and what they see of it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.left_behind import MARK_VARIABLE, assert_none_left

REPOSITORY = Path(__file__).resolve().parents[3]
#: Answers 500 to a body `bad`, and 200 to all else.
APPLICATION = """
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Worker(BaseHTTPRequestHandler):
    def do_GET(self):
        self.do_POST()
    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(500 if body == b"bad" else 200)
        self.end_headers()

ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Worker).serve_forever()
"""


@pytest.fixture
def mark() -> Iterator[str]:
    """Marks what a test starts, and checks that nothing of it is left."""
    made = f"mark-{uuid.uuid4()}"
    yield made
    assert_none_left(made, within_seconds=3)


def run_dev(mark: str, *arguments: str, typed: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tools.demo.dev", *arguments],
        cwd=REPOSITORY,
        env=os.environ | {MARK_VARIABLE: mark},
        input=typed,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )


@pytest.mark.local_aws
def test_a_message_that_fails_is_seen_to_come_back_until_it_is_a_dead_letter(
    mark: str, tmp_path: Path
) -> None:
    (tmp_path / "app.py").write_text(APPLICATION)
    (tmp_path / "Procfile").write_text(f"web: {sys.executable} app.py\n")
    ended = run_dev(mark, "--app", str(tmp_path), typed="good\nbad\n")
    assert ended.returncode == 0, ended.stderr
    assert len(re.findall(r"^message\.deleted .*status=200", ended.stdout, re.MULTILINE)) == 1
    failures = re.findall(r"^message\.released .*receive_count=(\d)", ended.stdout, re.MULTILINE)
    assert failures == ["1", "2", "3"]
    assert "daemon.stopped clean=True" in ended.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "hint"),
    [
        ((), 2, "one of the arguments --app --port is required"),
        (("--port", "0"), 2, "must be a port from 1 to 65535, got '0'"),
        (("--app", "no-such-directory"), 1, "no-such-directory does not exist"),
    ],
)
def test_bad_input_ends_with_one_message(
    mark: str, arguments: tuple[str, ...], code: int, hint: str
) -> None:
    ended = run_dev(mark, *arguments)
    assert ended.returncode == code
    assert hint in ended.stderr
    assert "Traceback" not in ended.stderr
