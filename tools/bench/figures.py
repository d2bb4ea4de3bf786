"""Arithmetic on what was measured: spans, percentiles, medians, growth. Values in, values out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from statistics import linear_regression, median
from typing import Any


@dataclass(frozen=True)
class Mark:
    """The state of a run when so many messages had been deleted; seconds, kB."""

    deleted: float
    at: float
    server_cpu: float
    cpu: float
    resident_kb: float


@dataclass(frozen=True)
class Span:
    """What happened between two marks."""

    cpu_ms_per_thousand: float
    messages_per_second: float
    #: Share of a core that the fake queue used.
    queue_busy: float


@dataclass(frozen=True)
class Sample:
    """The figures of one run; None where the run does not give one.

    Args:
        cpu_ms: CPU milliseconds, user and system, of the whole process for 1,000 messages.
        rate: messages a second.
        p50_ms, p99_ms: from the queue's hand-out to the application's receipt.
        peak_mb: most resident memory; in an idle run, resident memory at its end.
        start_seconds: from exec to the first receive.
        servers_busy: share of one core that queue and application used together.
        app_seconds: what the application really took, on average.
        growth: bytes of resident memory more for each message of a soak.
    """

    cpu_ms: float | None = None
    rate: float | None = None
    p50_ms: float | None = None
    p99_ms: float | None = None
    peak_mb: float | None = None
    start_seconds: float | None = None
    servers_busy: float | None = None
    app_seconds: float | None = None
    receives: float | None = None
    received_again: float | None = None
    core_percent: float | None = None
    receives_per_minute: float | None = None
    growth: float | None = None
    marks: tuple[Mark, ...] = ()


def span(first: Mark, last: Mark) -> Span:
    messages, seconds = last.deleted - first.deleted, last.at - first.at
    return Span(
        cpu_ms_per_thousand=(last.cpu - first.cpu) / messages * 1e6,
        messages_per_second=messages / seconds,
        queue_busy=(last.server_cpu - first.server_cpu) / seconds,
    )


def waits(handed_out: Sequence[float], arrived: Sequence[float]) -> list[float]:
    """Seconds from one to the other for each message that has both."""
    pairs = zip(handed_out, arrived, strict=True)
    return [end - start for start, end in pairs if start and end]


def percentile(values: Sequence[float], percent: float) -> float:
    """The value that so many per cent of the values do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def medians(samples: Sequence[Sample]) -> Sample:
    """A sample whose every figure is the median of the samples' figures."""
    middle: dict[str, Any] = {}
    for field in fields(Sample):
        if field.name != "marks":
            values = [v for s in samples if (v := getattr(s, field.name)) is not None]
            middle[field.name] = median(values) if values else None
    return Sample(**middle)


def growth_bytes_per_message(marks: Sequence[Mark]) -> float:
    """Slope of resident memory over messages, after the first fifth: what a leak would show."""
    settled = marks[len(marks) // 5 :]
    slope = linear_regression([m.deleted for m in settled], [m.resident_kb for m in settled]).slope
    return slope * 1024


@dataclass(frozen=True)
class Comparison:
    """CPU for a message here as a multiple of what it is there, run by run.

    Args:
        ratio: the median of the runs' ratios.
        low, high: the least and the greatest of them.
    """

    ratio: float
    low: float
    high: float
    runs: int

    @property
    def text(self) -> str:
        return (
            f"CPU for a message is {self.ratio:.3f} x the other checkout's"
            f" (median of {self.runs}; from {self.low:.3f} to {self.high:.3f})"
        )


def compare(here: Sequence[Sample], there: Sequence[Sample]) -> Comparison | None:
    """Compare runs in pairs: the first here with the first there, and so on; None without CPU.

    A pair ran within seconds, so what slows the machine for longer slows both.
    """
    ratios = [
        a.cpu_ms / b.cpu_ms
        for a, b in zip(here, there, strict=True)
        if a.cpu_ms is not None and b.cpu_ms
    ]
    if not ratios:
        return None
    return Comparison(median(ratios), min(ratios), max(ratios), len(ratios))
