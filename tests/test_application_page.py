"""The applications of README.md and docs/guide/application.md, behind the daemon."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sqsd.testing.endpoint import SqsEndpoint
from tools.local_aws.ports import free_port, listening

REPOSITORY = Path(__file__).resolve().parents[1]
PAGE = (REPOSITORY / "docs" / "guide" / "application.md").read_text(encoding="utf-8")
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
BLOCKS = dict(re.findall(r"^<!-- block: (\w+) -->\n```\w+\n(.*?)^```$", PAGE, re.M | re.S))
#: Language -> file, and the command that runs it. The boots run programs like the others.
RUN = {
    "python": ("app.py", [sys.executable, "app.py"]),
    "node": ("app.js", ["node", "app.js"]),
}


@contextmanager
def started(directory: Path, command: list[str]) -> Iterator[int]:
    """Run an application; yields its port once it listens."""
    port = free_port()
    process = subprocess.Popen(
        command, cwd=directory, env=os.environ | {"PORT": str(port)}, stdout=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 30
        while not listening(port) and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        assert listening(port), f"{command} does not listen; exit code {process.poll()}"
        yield port
    finally:
        process.terminate()
        process.wait(10)


def dispatches(directory: Path, command: list[str]) -> bool:
    """Whether an application takes a message off the queue."""
    with started(directory, command) as port, SqsEndpoint() as sqs, sqs.daemon(http_port=port):
        sqs.queue.send('{"order": 1}')
        sqs.wait_until_empty(seconds=30)
        return sqs.queue.dead_letters == []


def test_the_page_has_ten_lines_in_six_languages() -> None:
    assert set(BLOCKS) == {*RUN, "php", "ruby", "java", "go"}


@pytest.mark.parametrize("language", RUN)
def test_an_application_of_the_page_takes_a_message(
    language: str, tmp_path: Path, require_tool: Callable[[str], Path]
) -> None:
    file, command = RUN[language]
    if language == "node":
        require_tool("node")
    (tmp_path / file).write_text(BLOCKS[language], encoding="utf-8")
    assert dispatches(tmp_path, command)


def test_the_application_of_the_readme_takes_a_message(tmp_path: Path) -> None:
    block = re.search(r"^```python\n(import os\n.*?)^```$", README, re.MULTILINE | re.DOTALL)
    assert block is not None
    (tmp_path / "app.py").write_text(block[1], encoding="utf-8")
    assert dispatches(tmp_path, [sys.executable, "app.py"])
