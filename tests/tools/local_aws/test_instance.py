"""The embedded AWS: on loopback only, clean, and gone with whoever started it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import uuid
from pathlib import Path

import boto3
import pytest

from tests.left_behind import MARK_VARIABLE, assert_none_left, processes_with
from tools.local_aws import LocalAws, LocalAwsError
from tools.local_aws import instance as instance_module
from tools.local_aws.ports import listening

pytestmark = pytest.mark.local_aws

REPOSITORY = Path(__file__).resolve().parents[3]
STARTER = """
import sys, time
from pathlib import Path
from tools.local_aws import LocalAws
aws = LocalAws(directory=Path(sys.argv[1])).start()
print(aws.port, flush=True)
time.sleep(60)
"""


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_it_listens_on_loopback_only_and_ends_with_stop() -> None:
    with LocalAws() as aws:
        pid, port, directory = aws.pid, aws.port, aws.directory
        assert listening(port)
        addresses = {
            line.split()[1]
            for line in Path("/proc/net/tcp").read_text().splitlines()[1:]
            if line.split()[3] == "0A" and line.split()[1].endswith(f":{port:04X}")
        }
        assert addresses == {f"0100007F:{port:04X}"}
    assert not listening(port)
    assert not alive(pid)
    assert not directory.exists()


def test_it_ends_when_an_exception_leaves_the_block() -> None:
    pids = []

    def interrupted() -> None:
        with LocalAws() as aws:
            pids.append(aws.pid)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not alive(*pids)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_it_ends_when_its_starter_is_killed(tmp_path: Path, number: signal.Signals) -> None:
    mark = f"mark-{uuid.uuid4()}"
    with subprocess.Popen(
        [sys.executable, "-c", STARTER, str(tmp_path)],
        cwd=REPOSITORY,
        env=os.environ | {MARK_VARIABLE: mark},
        stdout=subprocess.PIPE,
    ) as starter:
        assert starter.stdout is not None
        port = int(starter.stdout.readline())
        assert listening(port)
        assert len(processes_with(mark)) >= 3
        starter.send_signal(number)
    assert_none_left(mark)
    assert not listening(port)


def test_two_run_side_by_side_and_know_nothing_of_each_other(local_aws: LocalAws) -> None:
    with LocalAws() as other:
        other.client("sqs").create_queue(QueueName="only-there")
        assert not local_aws.client("sqs").list_queues(QueueNamePrefix="only").get("QueueUrls")


def test_a_port_that_is_taken_is_named_with_the_hint() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(LocalAwsError, match=f"port {port} on 127.0.0.1 is taken"):
            LocalAws(port=port).start()


def test_a_server_that_dies_shows_the_end_of_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "server.py"
    program.write_text("import sys; sys.exit('the disk is full of eels')")
    monkeypatch.setattr(instance_module, "_SERVER", program)
    with pytest.raises(LocalAwsError, match=r"exit code 1(?s:.*)full of eels"):
        LocalAws(directory=tmp_path).start()


def test_without_its_environment_the_hint_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(instance_module, "PYTHON", tmp_path / "python")
    with pytest.raises(LocalAwsError, match="run `make local-aws`"):
        LocalAws().start()


def test_reset_empties_the_account(fresh_aws: LocalAws) -> None:
    sqs = fresh_aws.client("sqs")
    sqs.create_queue(QueueName="work")
    fresh_aws.reset()
    assert not sqs.list_queues().get("QueueUrls")


def test_a_childs_environment_points_at_this_account_and_at_nothing_of_the_users(
    local_aws: LocalAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    users = {
        "AWS_PROFILE": "production",
        "AWS_SESSION_TOKEN": "x",
        "AWS_CA_BUNDLE": "/y",
        "HOME": "/h",
    }
    environment = local_aws.process_environment(users)
    assert environment["HOME"] == "/h"
    assert not {"AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_CA_BUNDLE"} & environment.keys()
    for name, value in local_aws.environment().items():
        monkeypatch.setenv(name, value)
    client = boto3.client("sts")
    assert client.get_caller_identity()["Account"] == local_aws.account
    client.close()
