"""Every block of docs/quickstart.md is run here, or says that it needs an AWS account."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.worker_tier.stacks import Synthesized

REPOSITORY = Path(__file__).resolve().parents[1]
PAGE = (REPOSITORY / "docs" / "quickstart.md").read_text(encoding="utf-8")
#: Name of a block, as the comment above it says -> its text.
BLOCKS = dict(
    re.findall(r"^<!-- block: ([^\n]+) -->\n```\w+\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
)
ACCOUNT = ", needs an AWS account"
#: Names of blocks -> the test here that runs them.
RUN = {
    "demo": "test_the_demo_is_what_its_own_test_runs",
    "hello/app.py": "test_the_application_behind_the_daemon_answers_as_the_page_says",
    "hello/Procfile": "test_the_application_behind_the_daemon_answers_as_the_page_says",
    "dev": "test_the_application_behind_the_daemon_answers_as_the_page_says",
    "output": "test_the_application_behind_the_daemon_answers_as_the_page_says",
    "stack": "test_the_stack_synthesizes",
}


def made(target: str, *variables: str) -> str:
    """The commands that a target of the Makefile runs, without running them."""
    ended = subprocess.run(
        ["make", "--dry-run", target, *variables],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    return ended.stdout


def hello(directory: Path) -> Path:
    """The application of the page, in a directory `hello`."""
    for name in ("app.py", "Procfile"):
        file = directory / "hello" / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(BLOCKS[f"hello/{name}"], encoding="utf-8")
    return directory / "hello"


def test_every_block_is_run_or_needs_an_account() -> None:
    assert PAGE.count("```") == 2 * len(BLOCKS), "a block has no name above it"
    assert {name for name in BLOCKS if not name.endswith(ACCOUNT)} == set(RUN)
    assert set(RUN.values()) <= set(globals())


def test_the_demo_is_what_its_own_test_runs() -> None:
    assert BLOCKS["demo"] == "make demo\n"
    assert "-m tools.demo " in made("demo")


@pytest.mark.local_aws
def test_the_application_behind_the_daemon_answers_as_the_page_says(tmp_path: Path) -> None:
    typed, _, command = BLOCKS["dev"].strip().partition(" | ")
    assert command == "make dev APP=hello"
    assert "-m tools.demo.dev --app 'hello'" in made("dev", "APP=hello")
    ended = subprocess.run(
        ["sh", "-c", f"{typed} | {sys.executable} -m tools.demo.dev --app {hello(tmp_path)}"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    for line in BLOCKS["output"].splitlines():
        expected = ".*".join(map(re.escape, line.split("...")))
        assert re.search(f"^{expected}", ended.stdout, re.MULTILINE), ended.stdout


@pytest.mark.cdk
def test_the_stack_synthesizes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hello(tmp_path)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(compile(BLOCKS["stack"], "docs/quickstart.md", "exec"), names)  # noqa: S102 - the page's
    kinds = [one["Type"] for one in Synthesized(names["stack"]).resources.values()]
    assert kinds.count("AWS::SQS::Queue") == 2
    assert "AWS::AutoScaling::AutoScalingGroup" in kinds
