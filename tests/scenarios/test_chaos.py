"""Daemons and the application killed, stopped and restarted under load; then every message counts.

The order of the faults comes from a fixed seed.
"""

from __future__ import annotations

import itertools
import random
import signal
import threading
import time
from collections import defaultdict
from collections.abc import Mapping
from zlib import crc32

import pytest

from tests.scenarios.harness import HANG_UP, Answer, Daemon, Tier, eventually

pytestmark = [pytest.mark.local_aws, pytest.mark.timeout(240)]

MESSAGES = 1_200
FLEET = 3
SECONDS = 30.0


def unreliable(seed: int) -> Answer:
    """One in ten fails, one in thirty hangs up, some are slow."""
    dice = random.Random(seed)
    kind = dice.random()
    if kind < 0.03:
        return HANG_UP, 0.0
    if kind < 0.13:
        return 500, 0.0
    return 200, dice.choice([0.0, 0.01, 0.01, 0.05, 0.4])


class Fleet:
    """Daemons that each POST below a path of their own, so that the application can tell them."""

    def __init__(self, tier: Tier) -> None:
        self._tier = tier
        self.started = 0
        self.daemons: list[Daemon] = [self.start() for _ in range(FLEET)]

    def start(self) -> Daemon:
        self.started += 1
        return self._tier.start_daemon(
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
                assert daemon.stop() == 0
        self.daemons[victim] = self.start()


def test_whatever_dies_every_message_is_answered_or_dead_or_still_there(tier: Tier) -> None:
    tier.set_up(max_retries=8)
    tier.application.answer = lambda _path, headers, _body: unreliable(
        crc32(f"{headers['x-aws-sqsd-msgid']} {headers['x-aws-sqsd-receive-count']}".encode())
    )
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
    fleet = Fleet(tier)
    producer.start()
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        time.sleep(dice.uniform(0.5, 2.0))
        if dice.random() < 0.3:
            tier.application.stop()
            time.sleep(dice.uniform(0.2, 1.5))
            tier.application.start()
        else:
            fleet.hurt(dice)
    producer.join()
    assert len(sent) == MESSAGES
    # when the dust has settled
    tier.application.answer = lambda *_: (200, 0.0)
    eventually(lambda: (counts := tier.counts())["visible"] == counts["in_flight"] == 0, seconds=90)
    # then each message was answered 200, or waits in the dead-letter queue
    dead = set(dead_letters(tier))
    answered = set(tier.application.answered_200)
    assert sent - answered == dead - answered
    assert answered <= sent
    # and no daemon had one message in two requests at one time
    assert overlaps(tier) == []


def dead_letters(tier: Tier) -> list[str]:
    found: list[str] = []
    while messages := tier.sqs.receive_message(
        QueueUrl=tier.dead_letter_queue_url, MaxNumberOfMessages=10, VisibilityTimeout=600
    ).get("Messages"):
        found += [message["MessageId"] for message in messages]
    return found


def overlaps(tier: Tier) -> list[str]:
    """Messages that one daemon posted again while its own first request ran."""
    spans: Mapping[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
    for post in tier.application.posts:
        spans[post.path, post.message_id].append((post.at, post.until))
    found = []
    for (_, message_id), times in spans.items():
        times.sort()
        if any(later[0] < earlier[1] for earlier, later in itertools.pairwise(times)):
            found.append(message_id)
    return found
