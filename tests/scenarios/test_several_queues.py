"""Several queues in one daemon, over the wire: shares, a quiet queue, and the end."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from sqsd import contract
from sqsd.contract import QueueSettings, SqsdOptions, TierResources, TierSettings
from tests.fakes.scripted_application import free_port
from tests.scenarios.harness import Daemon, Post, Tier, eventually

pytestmark = pytest.mark.local_aws


class Queues:
    """A tier with a second queue; `first` is the tier's own."""

    def __init__(self, tier: Tier, directory: Path) -> None:
        tier.set_up()
        self.tier = tier
        self._directory = directory
        self.second_name = f"{tier.name}-second"
        self.second_url = tier.sqs.create_queue(QueueName=self.second_name)["QueueUrl"]

    def settings(self, weight: int = 1, own: dict[str, Any] | None = None, **options: Any) -> Path:
        """A tier.json in which the first queue has this weight, and the second one 1."""
        tier = self.tier
        chosen = {"http_port": tier.application.port, "wait_time_seconds": 5, **options}
        settings = TierSettings(
            resources=TierResources(
                queue_url=tier.queue_url, region="us-east-1", tier_name=tier.name
            ),
            options=SqsdOptions(**chosen),
            weight=weight,
            more_queues=(QueueSettings(queue_url=self.second_url, options=own or {}),),
        )
        path = self._directory / "tier.json"
        path.write_text(json.dumps(settings.to_document()))
        return path

    def start(self, settings: Path) -> Daemon:
        daemon = Daemon(settings, self.tier.aws, self._directory / "events.log")
        self.tier.daemons.append(daemon)
        daemon.wait_for("daemon.ready")
        return daemon

    def send(self, url: str, count: int) -> None:
        for start in range(0, count, 10):
            self.tier.sqs.send_message_batch(
                QueueUrl=url,
                Entries=[
                    {"Id": str(number), "MessageBody": f"message {start + number}"}
                    for number in range(min(10, count - start))
                ],
            )

    def left(self, url: str) -> int:
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        answer = self.tier.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)
        return sum(int(answer["Attributes"][name]) for name in names)

    def queue_of(self, post: Post) -> str:
        name = post.headers[contract.HEADER_QUEUE.lower()]
        return "second" if name == self.second_name else "first"


@pytest.fixture
def queues(tier: Tier, tmp_path: Path) -> Queues:
    return Queues(tier, tmp_path)


def test_under_load_connections_are_shared_by_weight(queues: Queues) -> None:
    tier = queues.tier
    tier.application.answer = lambda *_: (200, 0.15)
    queues.send(tier.queue_url, 450)
    queues.send(queues.second_url, 450)
    queues.start(queues.settings(weight=3, http_connections=8))
    eventually(lambda: len(tier.application.posts) >= 400)
    # the first ones show how the gate opens, and how appetites grow
    served = Counter(queues.queue_of(post) for post in list(tier.application.posts)[80:400])
    assert 2.2 <= served["first"] / served["second"] <= 4.2, served


def test_a_quiet_queue_is_served_at_once_while_the_other_is_saturated_and_both_drain(
    queues: Queues,
) -> None:
    tier = queues.tier
    tier.application.answer = lambda path, *_: (200, 0.0 if path == "/urgent" else 4.0)
    queues.send(tier.queue_url, 60)
    port = free_port()
    settings = queues.settings(
        weight=9, own={"http_path": "/urgent"}, http_connections=8, status_port=port
    )
    daemon = queues.start(settings)
    # given that the first queue has every connection but one
    eventually(lambda: len(tier.application.began) - len(tier.application.posts) >= 7)
    # when a message comes into the other one
    sent_at = time.monotonic()
    queues.send(queues.second_url, 1)
    (post,) = eventually(lambda: [p for p in list(tier.application.posts) if p.path == "/urgent"])
    # then it waits for none of them, which take 4 s each
    assert post.at - sent_at < 2
    assert queues.left(tier.queue_url) > 0
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/status", timeout=10) as answer:
        document = json.load(answer)
    assert [q["name"] for q in document["queues"]] == [tier.name, queues.second_name]
    # and when it gets SIGTERM, what both have begun is finished
    queues.send(queues.second_url, 3)
    assert daemon.stop() == 0
    began, answered = len(set(tier.application.began)), len(set(tier.application.answered_200))
    assert began == answered
    assert queues.left(tier.queue_url) + queues.left(queues.second_url) == 64 - answered
    named = {event["queue"] for event in daemon.events("message.deleted")}
    assert named == {tier.name, queues.second_name}


def test_each_queue_has_its_inactivity_timeout(queues: Queues) -> None:
    tier = queues.tier
    tier.application.answer = lambda *_: (200, 2.5)
    daemon = queues.start(
        queues.settings(own={"inactivity_timeout": 1, "error_visibility_timeout": 60})
    )
    queues.send(tier.queue_url, 1)
    queues.send(queues.second_url, 1)
    (released,) = daemon.wait_for("message.released")
    (deleted,) = daemon.wait_for("message.deleted")
    assert (released["queue"], deleted["queue"]) == (queues.second_name, tier.name)
    assert released["app_seconds"] < 2.4


def test_what_is_wrong_with_the_queues_is_printed_before_anything_is_received(
    queues: Queues,
) -> None:
    path = queues.settings()
    document = json.loads(path.read_text())
    document["options"]["http_connections"] = 1
    document["more_queues"][0]["options"] = {"status_port": 1, "max_retries": 0}
    path.write_text(json.dumps(document))
    ended = subprocess.run(
        [sys.executable, "-m", "sqsd", "run", "--settings", str(path)],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert ended.returncode == 2
    printed = ended.stderr.splitlines()
    assert len(printed) == 3
    assert all(f"more_queues[0] ({queues.second_name})" in line for line in printed[:2])
    assert "status_port cannot be chosen for one queue" in printed[0]
    assert "max_retries must be" in printed[1]
    assert "http_connections (1) must be at least the number of queues (2)" in printed[2]
