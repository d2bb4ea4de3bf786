"""What is measured: how many messages, of what size, and what the application does with them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final


class Kind(Enum):
    THROUGHPUT = "all messages are there from the start"
    LATENCY = "messages come at random times"
    IDLE = "there are no messages"
    SOAK = "very many messages"


@dataclass(frozen=True)
class Scenario:
    """One situation.

    Args:
        messages: in the queue; of them the first tenth, for warming up, and the last twentieth, in
            which the queue runs empty, are not measured.
        delay: seconds the application takes.
        rate: messages a second in a LATENCY run.
        seconds: how long an IDLE run is watched.
        clients: names of those that are measured; empty: all.
        most_runs: figures that hold still need fewer repetitions than were asked for.
    """

    name: str
    title: str
    kind: Kind
    messages: int
    body_bytes: int = 200
    delay: float = 0.0
    connections: int = 10
    rate: float = 0.0
    seconds: float = 0.0
    clients: tuple[str, ...] = ()
    wrk: bool = False
    most_runs: int = 1_000


_DAEMONS: Final = ("sqsd", "sqsd-fast")
#: Peers in the slower scenarios: the best of Python's and of Node's clients.
_SOME: Final = (*_DAEMONS, "boto3-pool", "sqs-consumer-batch")
SOAK_MESSAGES: Final = 1_000_000


def scenarios(*, quick: bool) -> list[Scenario]:
    """Those of `python -m tools.bench`; `quick` shortens each too much for figures."""
    share = 0.2 if quick else 1.0
    return [
        Scenario(
            name="instant",
            title="200 B bodies, instant application, 10 connections",
            kind=Kind.THROUGHPUT,
            messages=int(22_000 * share),
            wrk=True,
        ),
        Scenario(
            name="app-20ms",
            title="200 B bodies, 20 ms application, 50 connections",
            kind=Kind.THROUGHPUT,
            messages=int(16_000 * share),
            delay=0.020,
            connections=50,
            clients=_DAEMONS if quick else _SOME,
            wrk=True,
        ),
        Scenario(
            name="large",
            title="10 KB bodies, instant application, 100 connections",
            kind=Kind.THROUGHPUT,
            messages=int(16_000 * share),
            body_bytes=10_240,
            connections=100,
            clients=_DAEMONS if quick else _SOME,
        ),
        Scenario(
            name="latency",
            title="50 messages a second at random times, instant application",
            kind=Kind.LATENCY,
            messages=int(1_000 * share),
            rate=50.0,
            most_runs=3,
            clients=_DAEMONS if quick else _SOME,
        ),
        Scenario(
            name="idle",
            title="empty queue",
            kind=Kind.IDLE,
            messages=0,
            seconds=10.0 if quick else 60.0,
            most_runs=1,
            clients=_DAEMONS,
        ),
    ]


def soak(messages: int) -> Scenario:
    """One very long run of the daemon."""
    return Scenario(
        name="soak",
        title=f"{messages:,} messages of 200 B, instant application, 10 connections",
        kind=Kind.SOAK,
        messages=messages,
        clients=_DAEMONS,
    )
