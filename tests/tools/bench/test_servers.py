"""The benchmark's servers: a queue that speaks SQS's protocol, an application, and tiny runs."""

from __future__ import annotations

import json
import re
import socket
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.config import Config
from botocore.session import Session

from tools.bench.__main__ import main
from tools.bench.errors import BenchError
from tools.bench.measure import _account, _marks
from tools.bench.processes import ROOT, Cores, Server
from tools.bench.queue_server import body_of
from tools.bench.scenarios import scenarios, soak
from tools.bench.wire import ID_PREFIX

PYTHON = Path(sys.executable)
URL = "http://localhost/000000000000/bench-queue"


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[Server]:
    options = {"messages": 12, "body_bytes": 200, "marks": [12]}
    with Server(
        PYTHON, "tools.bench.queue_server", options, Cores(), tmp_path / "queue.log"
    ) as server:
        yield server


@pytest.fixture
def sqs(queue: Server) -> Iterator[Any]:
    client = Session().create_client(
        "sqs",
        region_name="eu-west-1",
        endpoint_url=f"http://127.0.0.1:{queue.port}",
        aws_access_key_id="a",
        aws_secret_access_key="b",
        config=Config(retries={"total_max_attempts": 1}),
    )
    yield client
    client.close()


def receive(sqs: Any, wait: int = 0) -> list[Any]:
    answer = sqs.receive_message(QueueUrl=URL, MaxNumberOfMessages=10, WaitTimeSeconds=wait)
    messages: list[Any] = answer.get("Messages", [])
    return messages


def entries(messages: list[Any]) -> list[dict[str, str]]:
    return [{"Id": str(n), "ReceiptHandle": m["ReceiptHandle"]} for n, m in enumerate(messages)]


def test_the_sdk_receives_ten_at_a_time_with_bodies_that_pass_its_checksum(sqs: Any) -> None:
    first, second, third = receive(sqs), receive(sqs), receive(sqs)
    assert [len(first), len(second), len(third)] == [10, 2, 0]
    assert {m["Body"] for m in first} == {body_of(200)}
    assert len({m["MessageId"] for m in first + second}) == 12


def test_each_entry_of_a_batch_is_answered_for_itself(sqs: Any, queue: Server) -> None:
    batch = [*entries(receive(sqs)[:2]), {"Id": "9", "ReceiptHandle": "no such handle"}]
    answer = sqs.delete_message_batch(QueueUrl=URL, Entries=batch)
    assert [e["Id"] for e in answer["Successful"]] == ["0", "1"]
    assert [e["Id"] for e in answer["Failed"]] == ["9"]
    status = queue.order("status")
    assert (status["received"], status["deleted"], status["refused"]) == (10, 2, 1)


def test_a_message_made_visible_again_is_received_again_and_counted(
    sqs: Any, queue: Server
) -> None:
    message = (receive(sqs) + receive(sqs))[-1]
    changes = [{**entries([message])[0], "VisibilityTimeout": 0}]
    sqs.change_message_visibility_batch(QueueUrl=URL, Entries=changes)
    again = receive(sqs, wait=5)
    assert [m["MessageId"] for m in again] == [message["MessageId"]]
    assert queue.order("status")["received_again"] == 1


def test_a_long_poll_waits_for_its_time_and_then_answers_empty(sqs: Any) -> None:
    receive(sqs), receive(sqs)
    started = time.monotonic()
    assert receive(sqs, wait=1) == []
    assert time.monotonic() - started >= 0.9


def test_the_application_counts_posts_and_takes_the_time_it_is_given(tmp_path: Path) -> None:
    options = {"messages": 2, "delay": 0.05}
    with Server(PYTHON, "tools.bench.sink", options, Cores(), tmp_path / "sink.log") as sink:
        message_id = "b0000000-0000-4000-8000-000000000001"
        for _ in range(2):
            request = urllib.request.Request(
                f"http://127.0.0.1:{sink.port}/", b"job", {"X-Aws-Sqsd-Msgid": message_id}
            )
            with urllib.request.urlopen(request) as answer:
                assert answer.status == 200
        status = sink.order("status")
    assert (status["posts"], status["posted"], status["posted_again"]) == (2, 1, 1)
    assert status["body_bytes"] == 6
    assert status["mean_delay"] == pytest.approx(0.05, abs=0.005)


@pytest.mark.parametrize("count", [1, 20])
def test_posts_are_answered_in_their_order_each_after_its_own_time(
    tmp_path: Path, count: int
) -> None:
    options = {"messages": count, "delay": 0.02}
    with Server(PYTHON, "tools.bench.sink", options, Cores(), tmp_path / "sink.log") as sink:
        post = b"POST / HTTP/1.1\r\nX-Aws-Sqsd-Msgid: %b%012d\r\nContent-Length: 0\r\n\r\n"
        channels, sent = [], []
        for number in range(count):
            channels.append(socket.create_connection(("127.0.0.1", sink.port)))
            sent.append(time.monotonic())
            channels[-1].sendall(post % (ID_PREFIX.encode(), number))
            time.sleep(0.0003)
        for channel, at in zip(channels, sent, strict=True):
            assert channel.recv(1000).startswith(b"HTTP/1.1 200 ")
            assert time.monotonic() - at >= 0.0199
            channel.close()
        assert sink.order("status")["posted"] == count


def test_a_run_whose_account_does_not_balance_gives_no_figures() -> None:
    queue = {"deleted": 9, "received_again": 0, "refused": 0}
    sink = {"posted": 10, "posted_again": 0, "unknown": 0, "posts": 10, "body_bytes": 2_000}
    with pytest.raises(BenchError, match="deleted: 9 and not 10"):
        _account(queue, sink, 10, 200)


def test_a_tiny_soak_ends_with_a_file_of_results_and_a_verdict(
    tmp_path: Path,
) -> None:
    asked = ["soak", "--messages", "400", "--only", "sqsd", "--results", str(tmp_path)]
    assert main(asked) in (0, 1)  # 400 messages are too few to say whether memory grows
    document = json.loads(next(tmp_path.glob("*.json")).read_text())
    (run,) = document["runs"]["soak"]["sqsd"]
    assert run["marks"][-1]["deleted"] == 400
    assert run["cpu_ms"] > 0
    (bar,) = document["bars"]
    assert bar["value"] == run["growth"]


def test_another_checkouts_daemon_is_measured_too_and_compared(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    asked = ["soak", "--messages", "400", "--only", "sqsd", "--results", str(tmp_path)]
    checkout = tmp_path / "other"
    (checkout / "daemon").mkdir(parents=True)
    (checkout / "daemon" / "src").symlink_to(ROOT / "daemon" / "src")
    assert main([*asked, "--against", str(checkout)]) in (0, 1)
    document = json.loads(next(tmp_path.glob("*.json")).read_text())
    assert {name: len(runs) for name, runs in document["runs"]["soak"].items()} == {
        "sqsd": 1,
        "sqsd-other": 1,
    }
    printed = " ".join(capfd.readouterr().out.split())
    assert re.search(r"soak: CPU for a message is \d\.\d{3} x the other checkout's", printed)


def test_a_checkout_without_a_daemon_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--only", "sqsd", "--against", str(tmp_path)]) == 2
    assert "has no daemon/src/sqsd" in " ".join(capsys.readouterr().out.split())


def test_neither_warming_up_nor_running_empty_is_measured() -> None:
    (scenario,) = [one for one in scenarios(quick=True) if one.name == "app-20ms"]
    assert _marks(scenario, 3_200) == [320, 3_040]
    # what is left at the end still fills every connection, and a batch of deletes for each receive
    assert 2 * scenario.connections < 3_200 - 3_040
    assert _marks(soak(2_000), 2_000) == list(range(100, 2_001, 100))
    assert _marks(next(one for one in scenarios(quick=True) if not one.messages), 0) == []


def test_an_unknown_name_ends_at_once_and_says_what_there_is(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["--only", "nonsense"]) == 2
    printed = " ".join(capsys.readouterr().out.split())
    assert "nonsense is neither a scenario nor a client" in printed
    assert "sqs-consumer" in printed
