"""Fills a work queue: `message 0`, `message 1`, ... as JSON strings, for a minute.

A Lambda function (handler `index.handler`, variable QUEUE_URL), and the demo's producer. It needs
boto3 only, which Lambda's Python has.

The event may hold, all of them optional:
    seconds          how long to send, 0 to 840 (below Lambda's quarter of an hour); default 60
    rate             messages per second, above 0; null for as fast as it goes; default 10
    count            stop after so many messages, even if seconds are left; default null, no limit
    fail_once_every  every n-th message carries the attribute `demo` = `fail-once`; default 0, none
    slow_every       likewise `slow`
    poison           how many of the first messages carry `poison`; default 0
    ids              true to return the message ids too; default false

It returns {"sent": 600, "seconds": 60.0}, with "message_ids" when asked for.
"""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import count
from typing import Any

BATCH = 10  # SQS's limit
MAX_SECONDS = 840
ATTEMPTS = 8
FIRST_BACKOFF_SECONDS = 0.1

#: Called with the ids of the messages of each batch that SQS accepted.
Report = Callable[[Sequence[str]], None]


class InvalidEvent(ValueError):
    """An event that cannot be obeyed; the message lists every problem."""


class NotSent(RuntimeError):
    """SQS kept refusing messages; says which and why."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """The event, checked. See the module's text.

    Raises:
        InvalidEvent: with every problem found.
    """

    seconds: float = 60
    rate: float | None = 10
    count: int | None = None
    fail_once_every: int = 0
    slow_every: int = 0
    poison: int = 0
    ids: bool = False

    def __post_init__(self) -> None:
        checks = {
            f"seconds must be 0 to {MAX_SECONDS}": _number(self.seconds)
            and 0 <= self.seconds <= MAX_SECONDS,
            "rate must be above 0, or null": self.rate is None
            or (_number(self.rate) and self.rate > 0),
            "count must be a whole number of 0 or more, or null": self.count is None
            or _whole(self.count),
            "fail_once_every must be a whole number of 0 or more": _whole(self.fail_once_every),
            "slow_every must be a whole number of 0 or more": _whole(self.slow_every),
            "poison must be a whole number of 0 or more": _whole(self.poison),
            "ids must be true or false": isinstance(self.ids, bool),
        }
        problems = [
            f"{rule}, got {getattr(self, rule.split()[0])!r}"
            for rule, kept in checks.items()
            if not kept
        ]
        if problems:
            raise InvalidEvent("; ".join(problems))

    @classmethod
    def from_event(cls, event: Mapping[str, Any]) -> Options:
        """Read the event; unknown keys are errors, for a misspelt one would pass unseen."""
        known = {field.name for field in fields(cls)}
        if unknown := sorted(event.keys() - known):
            raise InvalidEvent(
                f"unknown: {', '.join(unknown)}; the event may have {', '.join(sorted(known))}"
            )
        return cls(**event)

    def due(self, elapsed_seconds: float) -> int:
        """How many messages should have been sent after that time."""
        limits = [] if self.count is None else [self.count]
        if self.rate is not None:
            limits.append(1 + int(min(elapsed_seconds, self.seconds) * self.rate))
        return min(limits, default=2**63)

    def behaviour(self, number: int) -> str | None:
        """What message `number` asks of the sample application, by its attribute `demo`."""
        if number < self.poison:
            return "poison"
        if self.fail_once_every and number % self.fail_once_every == self.fail_once_every - 1:
            return "fail-once"
        if self.slow_every and number % self.slow_every == self.slow_every - 1:
            return "slow"
        return None


def handler(
    event: Mapping[str, Any], _context: object, report: Report = lambda ids: None
) -> dict[str, Any]:
    """Send messages to the queue of QUEUE_URL as the event says."""
    import boto3

    options = Options.from_event(event)
    queue_url = os.environ["QUEUE_URL"]
    client = boto3.client("sqs")
    started = time.monotonic()
    ids: list[str] = []
    try:
        for batch in produce(client, queue_url, options):
            ids += batch
            report(batch)
    finally:
        client.close()
    answer: dict[str, Any] = {
        "sent": len(ids),
        "seconds": round(time.monotonic() - started, 1),
    }
    return answer | ({"message_ids": ids} if options.ids else {})


def produce(
    client: Any,
    queue_url: str,
    options: Options,
    *,
    monotonic: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[list[str]]:
    """Send batches when they are due; give each one's message ids.

    Raises:
        NotSent: SQS refused a message, or still failed after several attempts.
    """
    started = monotonic()
    sent = 0
    while (elapsed := monotonic() - started) < options.seconds and sent != options.count:
        size = min(BATCH, options.due(elapsed) - sent)
        if size <= 0:
            # The next one is due when `rate x elapsed` reaches `sent`.
            assert options.rate is not None
            wait = min(sent / options.rate, options.seconds) - elapsed
            sleep(max(wait, 0.001))
            continue
        entries = [entry(number, options.behaviour(number)) for number in range(sent, sent + size)]
        yield send(client, queue_url, entries, sleep=sleep)
        sent += size


def entry(number: int, behaviour: str | None) -> dict[str, Any]:
    """One message as SendMessageBatch takes it."""
    made: dict[str, Any] = {"Id": str(number), "MessageBody": json.dumps(f"message {number}")}
    if behaviour is not None:
        attribute = {"DataType": "String", "StringValue": behaviour}
        made["MessageAttributes"] = {"demo": attribute}
    return made


def send(
    client: Any,
    queue_url: str,
    entries: Sequence[Mapping[str, Any]],
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> list[str]:
    """Send one batch; entries that SQS failed to take are sent again, with a growing pause.

    Raises:
        NotSent: an entry is the sender's fault, or the attempts are used up.
    """
    waiting = {made["Id"]: made for made in entries}
    ids: list[str] = []
    for attempt in count(1):
        answer = client.send_message_batch(QueueUrl=queue_url, Entries=list(waiting.values()))
        for accepted in answer.get("Successful", []):
            del waiting[accepted["Id"]]
            ids.append(accepted["MessageId"])
        if not waiting:
            return ids
        failed = answer.get("Failed", [])
        if attempt == ATTEMPTS or any(one.get("SenderFault") for one in failed):
            reasons = sorted({f"{one.get('Code')}: {one.get('Message', '')}" for one in failed})
            raise NotSent(
                f"SQS did not take {len(waiting)} of {len(entries)} messages after {attempt}"
                f" attempts: {'; '.join(reasons) or 'no reason given'}"
            )
        sleep(FIRST_BACKOFF_SECONDS * 2 ** (attempt - 1) * random.uniform(0.5, 1))  # noqa: S311
    raise AssertionError("the attempts end above")


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
