"""What the person at the terminal sees: steps, a live table or plain lines, the summary."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.table import Table

from tools.demo.account import Account

#: Seconds between plain lines.
_LINE_SECONDS = 2.0


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """The numbers of one moment; latencies in seconds, None while there are none."""

    elapsed: float
    phase: str
    sent: int
    queued: int
    in_flight: int
    answered: int
    retried: int
    dead_lettered: int
    cron_fired: int
    rate: float
    p50: float | None
    p99: float | None

    def cells(self) -> list[tuple[str, str]]:
        """Names and values, in the order shown."""
        return [
            ("sent", f"{self.sent}"),
            ("queued", f"{self.queued}"),
            ("in flight", f"{self.in_flight}"),
            ("200", f"{self.answered}"),
            ("retried", f"{self.retried}"),
            ("dead-lettered", f"{self.dead_lettered}"),
            ("cron fired", f"{self.cron_fired}"),
            ("throughput", f"{self.rate:.0f}/s"),
            ("dispatch p50", milliseconds(self.p50)),
            ("dispatch p99", milliseconds(self.p99)),
        ]


def milliseconds(seconds: float | None) -> str:
    """`1.2 ms`, or a dash."""
    return "-" if seconds is None else f"{seconds * 1000:.1f} ms"


class Display:
    """Prints to standard output; on a terminal the table is redrawn in place."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False)
        self._started = time.monotonic()
        self._live: Live | None = None
        self._next_line = 0.0

    def step(self, text: str) -> None:
        """Say what was done or is being waited for."""
        elapsed = time.monotonic() - self._started
        self._console.print(f"[{elapsed:5.1f} s] {text}", markup=False, soft_wrap=True)
        # Read by a pipe as it happens, not at the end.
        sys.stdout.flush()

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live = Live(console=self._console, auto_refresh=False)
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def show(self, snapshot: Snapshot, *, last: bool = False) -> None:
        """Redraw the table; without a terminal, a line every two seconds and the last one."""
        if self._live is not None:
            self._live.update(_table(snapshot), refresh=True)
        elif last or snapshot.elapsed >= self._next_line:
            self._next_line = snapshot.elapsed + _LINE_SECONDS
            self.step(", ".join(f"{name} {value}" for name, value in snapshot.cells()))

    def summary(self, lines: list[str]) -> None:
        """Print the lines below an empty one."""
        self._console.print()
        for line in lines:
            self._console.print(line, markup=False, soft_wrap=True)
        sys.stdout.flush()


def _table(snapshot: Snapshot) -> Table:
    table = Table(title=f"{snapshot.phase}, {snapshot.elapsed:.0f} s", title_justify="left")
    for name, _ in snapshot.cells():
        table.add_column(name, justify="right", no_wrap=True)
    table.add_row(*(value for _, value in snapshot.cells()))
    return table


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What the summary shows beside the account."""

    failed: Mapping[int | None, int]
    cron_fired: int
    tasks_answered: int
    average_rate: float
    peak_rate: float
    p50: float | None
    p99: float | None
    resident_megabytes: float | None
    daemon_exit_code: int
    behind_proxy: bool


def summary_lines(account: Account, figures: Figures) -> list[str]:
    """The lines of a demo's summary."""
    memory = figures.resident_megabytes
    lines = [
        "Every message sent, accounted for:",
        f"  sent             {account.sent:>7}",
        f"  answered 200     {account.answered:>7}",
        f"  dead-lettered    {account.dead_lettered:>7}",
        f"  still queued     {account.waiting:>7}",
        *([f"  expired          {account.expired:>7}"] if account.expired else []),
        f"  {_sum(account)}",
        "",
        f"  returned to the queue and tried again: {_failures(figures.failed)}",
        f"  dispatched twice: {len(account.dispatched_twice)}"
        + (" (as the proxy saw it)" if figures.behind_proxy else " (as the daemon saw it)"),
        f"  periodic tasks: enqueued {figures.cron_fired}, answered 200 {figures.tasks_answered}",
        f"  throughput of the burst: {figures.average_rate:.0f} messages/s on average,"
        f" {figures.peak_rate:.0f} in the best second",
        f"  dispatch latency, receive to POST: p50 {milliseconds(figures.p50)},"
        f" p99 {milliseconds(figures.p99)}",
        f"  sqsd: exit code {figures.daemon_exit_code}, resident memory"
        + (" unknown" if memory is None else f" {memory:.0f} MB"),
    ]
    return lines + [f"  PROBLEM: {problem}" for problem in account.problems]


def _failures(failed: Mapping[int | None, int]) -> str:
    """`51 (500: 50, no answer: 1)`."""
    named = [
        f"{'no answer' if status is None else status}: {times}"
        for status, times in sorted(failed.items(), key=lambda item: -item[1])
    ]
    return f"{sum(failed.values())}" + (f" ({', '.join(named)})" if named else "")


def _sum(account: Account) -> str:
    parts = [account.answered, account.dead_lettered, account.waiting]
    if account.expired:
        parts.append(account.expired)
    total = sum(parts)
    sign = "=" if account.balances and total == account.sent else "!="
    verdict = "balanced" if account.balances else "NOT BALANCED"
    return f"{account.sent} {sign} {' + '.join(map(str, parts))}: {verdict}"
