"""Daemons and the application killed, stopped and restarted under load; then every message counts.

The order of the faults comes from a fixed seed.
"""

from __future__ import annotations

import itertools
import json
import random
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.scripted_application import free_port
from tests.scenarios.harness import PATIENCE, Daemon, Tier, eventually

pytestmark = [pytest.mark.local_aws, pytest.mark.timeout(240)]

MESSAGES = 1_200
FLEET = 3
SECONDS = 30.0
PROGRAM = Path(__file__).parent / "apps" / "journal_app.py"


class ProcessApplication:
    """`apps/journal_app.py`: a real process, to be killed with requests in the middle."""

    def __init__(self, directory: Path) -> None:
        self.port = free_port()
        self._journal = directory / "journal"
        self._calm = directory / "calm"
        self._journal.touch()
        self.start()

    def start(self) -> None:
        files = [str(self._journal), str(self._calm)]
        self._process = subprocess.Popen([sys.executable, str(PROGRAM), str(self.port), *files])

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(PATIENCE)

    def hurt(self, dice: random.Random) -> None:
        """Kill it and start another, or let it sleep; requests are cut, or wait."""
        if dice.random() < 0.6:
            self.kill()
            time.sleep(dice.uniform(0.2, 1.5))
            self.start()
        else:
            self._process.send_signal(signal.SIGSTOP)
            time.sleep(dice.uniform(0.5, 3.0))
            self._process.send_signal(signal.SIGCONT)

    def calm_down(self) -> None:
        """From now on answer everything 200."""
        self._calm.touch()

    def journal(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._journal.read_text().splitlines()]

    def answered_200(self) -> set[str]:
        return {entry["id"] for entry in self.journal() if entry.get("status") == 200}


class Fleet:
    """Daemons that each POST below another path, by which the journal names them."""

    def __init__(self, tier: Tier, port: int) -> None:
        self._tier = tier
        self._port = port
        self.started = 0
        self.daemons: list[Daemon] = [self.start() for _ in range(FLEET)]

    def start(self) -> Daemon:
        self.started += 1
        return self._tier.start_daemon(
            http_port=self._port,
            http_path=f"/{self.started}",
            visibility_timeout=6,
            inactivity_timeout=5,
            error_visibility_timeout=1,
            max_retries=8,
            http_connections=8,
            drain_timeout=5,
        )

    def hurt(self, dice: random.Random) -> None:
        """Kill one, let one sleep past its visibility, or stop one in order; and replace it."""
        victim = dice.randrange(FLEET)
        daemon = self.daemons[victim]
        match dice.choice(["kill", "sleep", "stop"]):
            case "kill":
                daemon.kill()
            case "sleep":
                daemon.signal(signal.SIGSTOP)
                time.sleep(7)
                daemon.signal(signal.SIGCONT)
                return
            case "stop":
                # 1: a request of an application that sleeps may have had to be cut.
                assert daemon.stop() in (0, 1)
        self.daemons[victim] = self.start()


def test_whatever_dies_every_message_is_answered_or_dead_or_still_there(
    tier: Tier, tmp_path: Path
) -> None:
    tier.set_up(max_retries=8)
    application = ProcessApplication(tmp_path)
    dice = random.Random(11)
    sent: set[str] = set()

    def produce() -> None:
        for start in range(0, MESSAGES, 10):
            answer = tier.sqs.send_message_batch(
                QueueUrl=tier.queue_url,
                Entries=[{"Id": str(n), "MessageBody": f"message {start + n}"} for n in range(10)],
            )
            sent.update(entry["MessageId"] for entry in answer["Successful"])
            time.sleep(SECONDS / (MESSAGES / 10))

    producer = threading.Thread(target=produce)
    try:
        fleet = Fleet(tier, application.port)
        producer.start()
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            time.sleep(dice.uniform(0.5, 2.0))
            if dice.random() < 0.4:
                application.hurt(dice)
            else:
                fleet.hurt(dice)
        producer.join()
        assert len(sent) == MESSAGES
        # when the dust has settled
        application.calm_down()
        eventually(
            lambda: (counts := tier.counts())["visible"] == counts["in_flight"] == 0, seconds=90
        )
        # then each message was answered 200, or waits in the dead-letter queue
        dead, answered = set(dead_letters(tier)), application.answered_200()
        assert sent - answered == dead - answered
        assert answered <= sent
        # and no daemon had one message in two requests at one time
        assert overlaps(application.journal()) == []
    finally:
        application.kill()


def dead_letters(tier: Tier) -> list[str]:
    found: list[str] = []
    while messages := tier.sqs.receive_message(
        QueueUrl=tier.dead_letter_queue_url, MaxNumberOfMessages=10, VisibilityTimeout=600
    ).get("Messages"):
        found += [message["MessageId"] for message in messages]
    return found


def overlaps(journal: list[dict[str, Any]]) -> list[str]:
    """Messages that one daemon posted again while its own first request ran to an answer.

    A request that was cut has no end in the journal: its daemon knows that it was, and it counts
    as a moment.
    """
    spans: Mapping[tuple[str, str], dict[float, float]] = defaultdict(dict)
    for entry in journal:
        began = entry["began"]
        spans[entry["path"], entry["id"]][began] = entry.get("ended", began)
    return [
        message_id
        for (_, message_id), times in spans.items()
        if any(
            later[0] < earlier[1] for earlier, later in itertools.pairwise(sorted(times.items()))
        )
    ]
