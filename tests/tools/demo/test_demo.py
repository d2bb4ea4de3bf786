"""The demo itself, from synth to summary, as `make demo` runs it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.left_behind import MARK_VARIABLE, assert_none_left

REPOSITORY = Path(__file__).resolve().parents[3]


def number(pattern: str, text: str) -> int:
    found = re.search(pattern, text)
    assert found, f"no {pattern!r} in:\n{text}"
    return int(found[1])


@pytest.mark.local_aws
@pytest.mark.cdk
@pytest.mark.timeout(240)
def test_the_demo_deploys_dispatches_and_accounts_for_every_message(
    require_tool: Callable[[str], Path],
) -> None:
    require_tool("node")
    mark = f"mark-{uuid.uuid4()}"
    # when the demo runs
    ended = subprocess.run(
        [sys.executable, "-m", "tools.demo"],
        cwd=REPOSITORY,
        env=os.environ | {MARK_VARIABLE: mark},
        capture_output=True,
        text=True,
        timeout=220,
    )
    said = ended.stdout + ended.stderr
    # then every message sent was answered or, the poison one, dead-lettered
    assert ended.returncode == 0, said
    sent = number(r"\n  sent +(\d+)", said)
    answered = number(r"\n  answered 200 +(\d+)", said)
    assert sent > 1000
    assert f"{sent} = {answered} + 1 + 0: balanced" in said
    assert answered == sent - 1
    assert number(r"dispatched twice: (\d+)", said) == 0
    # and those that fail once were tried again, and periodic tasks ran
    assert number(r"tried again: (\d+)", said) >= 40
    assert number(r"periodic tasks: enqueued (\d+)", said) >= 1
    assert "sqsd: exit code 0" in said
    # and a plain reader of its output got the numbers on the way
    assert len(re.findall(r"throughput \d+/s", said)) >= 3
    # and nothing is left
    assert_none_left(mark)
