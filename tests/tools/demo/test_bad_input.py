"""What goes wrong ends with one message that names thing and hint, and leaves no process."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.left_behind import MARK_VARIABLE, assert_none_left, processes_with

REPOSITORY = Path(__file__).resolve().parents[3]


@pytest.fixture
def mark() -> Iterator[str]:
    """Marks what a test starts, and checks that nothing of it is left."""
    made = f"mark-{uuid.uuid4()}"
    yield made
    assert_none_left(made, within_seconds=3)


def run_demo(
    mark: str, *arguments: str, path: str | None = None
) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {MARK_VARIABLE: mark}
    if path is not None:
        environment["PATH"] = path
    return subprocess.run(
        [sys.executable, "-m", "tools.demo", *arguments],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )


def app(directory: Path, procfile: str | None = "web: true\n", cron: str | None = None) -> str:
    for name, text in (("Procfile", procfile), ("cron.yaml", cron)):
        if text is not None:
            (directory / name).write_text(text)
    return str(directory)


def assert_one_message(ended: subprocess.CompletedProcess[str], *parts: str) -> None:
    assert ended.returncode == 1, ended.stderr
    assert ended.stderr.startswith("demo: ")
    assert "Traceback" not in ended.stderr
    for part in parts:
        assert part in ended.stderr


def test_an_application_directory_that_does_not_exist(mark: str, tmp_path: Path) -> None:
    ended = run_demo(mark, "--app", str(tmp_path / "nowhere"))
    assert_one_message(ended, f"{tmp_path}/nowhere does not exist", "make demo APP=")
    assert ended.stdout == ""


def test_an_application_directory_without_anything_to_start(mark: str, tmp_path: Path) -> None:
    ended = run_demo(mark, "--app", app(tmp_path, procfile=None))
    assert_one_message(
        ended, f"nothing to start in {tmp_path}", "has no Procfile", "`web: <command>`"
    )


def test_a_cron_yaml_with_mistakes_quotes_every_line(mark: str, tmp_path: Path) -> None:
    cron = (
        'version: 1\ncron:\n  - name: "a"\n    url: "/x"\n    schedule: "0 25 * * *"\n'
        '  - name: "b"\n    url: "http://nowhere"\n    schedule: "* * * * *"\n'
    )
    ended = run_demo(mark, "--app", app(tmp_path, cron=cron))
    assert_one_message(
        ended, f"{tmp_path}/cron.yaml", "line 5", '"0 25 * * *"', "line 7", "nowhere"
    )


@pytest.mark.parametrize("option", ["--port", "--local-aws-port"])
def test_a_port_that_is_taken(mark: str, tmp_path: Path, option: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        ended = run_demo(mark, "--app", app(tmp_path), option, str(port))
    variable = option.removeprefix("--").replace("-", "_").upper()
    assert_one_message(
        ended, f"{variable}: port {port} on 127.0.0.1 is taken", f"make demo {variable}={port + 1}"
    )


def test_one_port_for_two_things(mark: str, tmp_path: Path) -> None:
    ended = run_demo(mark, "--app", app(tmp_path), "--port", "8123", "--local-aws-port", "8123")
    assert_one_message(ended, "PORT and LOCAL_AWS_PORT are both 8123")


def test_a_port_that_is_none(mark: str) -> None:
    ended = run_demo(mark, "--port", "65536")
    assert ended.returncode == 2
    assert "must be a port from 1 to 65535, got '65536'" in ended.stderr


@pytest.mark.local_aws
def test_no_node(mark: str, tmp_path: Path) -> None:
    ended = run_demo(mark, "--app", app(tmp_path), path=str(tmp_path))
    assert_one_message(ended, "Node.js is not on PATH", "install Node.js 22 or later")


# ---- what make checks before anything of ours runs


def make(mark: str, *arguments: str, directory: Path = REPOSITORY, path: str | None = None) -> str:
    """Standard error of a make that must fail."""
    environment = os.environ | {MARK_VARIABLE: mark, "PIP_INDEX_URL": "http://127.0.0.1:9/simple"}
    if path is not None:
        environment["PATH"] = path
    ended = subprocess.run(
        ["make", *arguments],
        cwd=directory,
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert ended.returncode == 2, ended
    return ended.stderr


def program(directory: Path, name: str, text: str) -> Path:
    path = directory / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_a_python_that_is_too_old(
    mark: str, tmp_path: Path, require_tool: Callable[[str], Path]
) -> None:
    require_tool("make")
    old = program(tmp_path, "old", 'test "$1" = --version && echo Python 3.9.2; exit 1')
    said = make(mark, "need-python", f"PYTHON={old}")
    assert "Python 3.11 or later is needed, found Python 3.9.2" in said
    assert "make PYTHON=" in said


def test_a_python_that_is_missing(
    mark: str, tmp_path: Path, require_tool: Callable[[str], Path]
) -> None:
    require_tool("make")
    said = make(mark, "need-python", f"PYTHON={tmp_path}/none")
    assert f"Python 3.11 or later is needed, found no {tmp_path}/none" in said


@pytest.mark.parametrize(
    ("node", "found"),
    [("echo v18.20.4", "found v18.20.4"), ("exit 127", "found none"), ("echo what", "found what")],
)
def test_a_node_that_is_too_old_or_missing(
    mark: str, tmp_path: Path, node: str, found: str, require_tool: Callable[[str], Path]
) -> None:
    require_tool("make")
    program(tmp_path, "node", node)
    said = make(mark, "need-node", path=f"{tmp_path}:{os.environ['PATH']}")
    assert f"Node.js 22 or later is needed for the CDK (20 still works), {found}" in said
    assert "nodejs.org" in said


def test_no_network_on_the_first_run(
    mark: str, tmp_path: Path, require_tool: Callable[[str], Path]
) -> None:
    require_tool("make")
    for name in ("Makefile", "requirements/local-aws.txt", "requirements/dev.txt"):
        shutil.copy(REPOSITORY / name, tmp_path)
    for name in ("pyproject.toml", "package-lock.json", "daemon/pyproject.toml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(REPOSITORY / name, tmp_path / name)
    said = make(mark, "local-aws", f"PYTHON={sys.executable}", directory=tmp_path)
    assert "installing the embedded AWS (about ten seconds the first time) failed" in said
    assert "A first run needs the network" in said
    # and what was begun does not count as done
    assert not list(tmp_path.glob(".venv-local-aws/.installed-*"))


# ---- stopped half-way


def start_demo(mark: str, tmp_path: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tools.demo", "--app", app(tmp_path)],
        cwd=REPOSITORY,
        env=os.environ | {MARK_VARIABLE: mark},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.local_aws
@pytest.mark.cdk
@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 130), (signal.SIGKILL, -signal.SIGKILL)],
)
def test_a_demo_that_is_stopped_leaves_nothing(
    mark: str,
    tmp_path: Path,
    number: signal.Signals,
    code: int,
    require_tool: Callable[[str], Path],
) -> None:
    require_tool("node")
    with start_demo(mark, tmp_path) as demo:
        assert demo.stdout is not None
        assert demo.stderr is not None
        while "cdk synth and bootstrap" not in (line := demo.stdout.readline()):
            assert line, demo.stderr.read()
        # the command line and what it starts are on their way
        assert len(processes_with(mark)) >= 3
        demo.send_signal(number)
        _, said = demo.communicate(timeout=30)
    assert demo.returncode == code
    assert number == signal.SIGKILL or "interrupted; everything it had started was stopped" in said
