"""A library for Elastic Beanstalk, written by others, accepts our requests."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.scenarios.harness import PATIENCE, Tier, eventually

pytestmark = pytest.mark.local_aws

APP = Path(__file__).parent / "apps" / "django_worker.py"
CRON = """\
version: 1
cron:
  - name: nightly
    url: /worker/sqs/
    schedule: "@every 2s"
"""


def test_django_eb_sqs_worker_runs_its_tasks_and_periodic_tasks(tier: Tier, tmp_path: Path) -> None:
    tier.set_up()
    tier.add_leader_table()
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    output = tmp_path / "tasks.jsonl"
    log = (tmp_path / "django.log").open("w")
    site = subprocess.Popen(
        [sys.executable, str(APP), str(port), str(output)],
        env={**os.environ, **tier.aws.environment(), "QUEUE_NAME": tier.name},
        stdout=log,
        stderr=subprocess.STDOUT,
    )
    try:
        daemon = tier.start_daemon(cron=CRON, http_port=port, http_path="/worker/sqs/")

        def done() -> list[dict[str, Any]]:
            assert site.poll() is None, (tmp_path / "django.log").read_text()
            lines = output.read_text().splitlines() if output.exists() else []
            return [json.loads(line) for line in lines]

        eventually(
            lambda: (
                sum(entry["task"] == "add" for entry in done()) >= 5
                and any(entry["task"] == "nightly" for entry in done())
            ),
            what="every task of the site",
        )
        sums = sorted(entry["result"] for entry in done() if entry["task"] == "add")
        assert sums == [100, 101, 102, 103, 104]
        assert daemon.stop() == 0
        released = daemon.events("message.released")
        # A periodic task may have come due while it stopped.
        assert [e for e in released if e["reason"] != "the daemon is stopping"] == []
    finally:
        site.terminate()
        site.wait(PATIENCE)
        log.close()
