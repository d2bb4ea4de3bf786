"""The bars that the daemon has to reach, and whether it does: values in, verdicts out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from tools.bench.figures import Sample

#: Medians of one scenario, by client; a client that was not measured is absent.
Medians = Mapping[str, Sample]


@dataclass(frozen=True)
class Bar:
    """One bar.

    Args:
        figure: computes what is judged from medians and the daemon's name; it returns None
            if that cannot be measured.
        low, high: the figure must lie between them, both included.
    """

    scenario: str
    text: str
    figure: Callable[[Medians, str], float | None]
    low: float = float("-inf")
    high: float = float("inf")


@dataclass(frozen=True)
class Verdict:
    """A bar held against one of the daemon's rows. Without a `value` it is not met."""

    bar: Bar
    client: str
    value: float | None

    @property
    def met(self) -> bool:
        return self.value is not None and self.bar.low <= self.value <= self.bar.high

    @property
    def text(self) -> str:
        if self.value is None:
            return "not measured"
        return "met" if self.met else "NOT met"


def _own(name: str) -> Callable[[Medians, str], float | None]:
    def figure(medians: Medians, client: str) -> float | None:
        return getattr(medians[client], name) if client in medians else None

    return figure


def cpu_ratio(other: str) -> Callable[[Medians, str], float | None]:
    """The daemon's CPU for a message as a multiple of another client's."""

    def figure(medians: Medians, client: str) -> float | None:
        if client not in medians or other not in medians:
            return None
        own, theirs = medians[client].cpu_ms, medians[other].cpu_ms
        return own / theirs if own is not None and theirs else None

    return figure


BARS: Final = (
    Bar("instant", "CPU at most 8 x wrk's for the same POSTs", cpu_ratio("wrk"), high=8),
    Bar(
        "instant",
        "CPU at most 1/5 of sqs-consumer + fetch (its cheapest form)",
        cpu_ratio("sqs-consumer-batch"),
        high=1 / 5,
    ),
    Bar(
        "instant",
        "CPU at most 1/6 of a boto3 + urllib3 thread pool",
        cpu_ratio("boto3-pool"),
        high=1 / 6,
    ),
    Bar("instant", "at least 8,000 messages/s on one core", _own("rate"), low=8_000),
    Bar("app-20ms", "at least 95 % of 50/0.020 messages/s", _own("rate"), low=0.95 * 50 / 0.020),
    Bar("large", "resident memory under 80 MB", _own("peak_mb"), high=80),
    Bar("latency", "receive to POST, p99 under 5 ms", _own("p99_ms"), high=5),
    Bar("idle", "resident memory under 45 MB", _own("peak_mb"), high=45),
    Bar("idle", "under 0.2 % of a core", _own("core_percent"), high=0.2),
    # A window seldom begins with a poll; a part of one more may fall into it.
    Bar("idle", "at most 3 receives a minute", _own("receives_per_minute"), high=3.05),
    Bar("idle", "first receive within 0.8 s of exec", _own("start_seconds"), high=0.8),
    Bar("soak", "memory grows by less than 1 byte a message", _own("growth"), high=1),
)


def judge(medians: Mapping[str, Medians], clients: tuple[str, ...]) -> list[Verdict]:
    """Hold each measured row of the daemon against the bars of each measured scenario."""
    return [
        Verdict(bar, client, bar.figure(medians[bar.scenario], client))
        for bar in BARS
        if bar.scenario in medians
        for client in clients
        if client in medians[bar.scenario]
    ]
