"""Writes the results of a benchmark: tables on the terminal, a JSON file and a chart."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from tools.bench.bars import Verdict, cpu_ratio
from tools.bench.figures import Sample, medians
from tools.bench.scenarios import Scenario

#: Above this share of their core the servers, and not the client, may be what limits a run.
SERVERS_BUSY: Final = 0.9
_COLUMNS: Final = (
    ("CPU ms/1,000", "cpu_ms", "{:.1f}", 1),
    ("messages/s", "rate", "{:,.0f}", 1),
    ("to POST p50 ms", "p50_ms", "{:.2f}", 1),
    ("p99 ms", "p99_ms", "{:.2f}", 1),
    ("MB", "peak_mb", "{:.0f}", 1),
    ("start s", "start_seconds", "{:.2f}", 1),
    ("core %", "core_percent", "{:.3f}", 1),
    ("receives/min", "receives_per_minute", "{:.1f}", 1),
    ("growth B/message", "growth", "{:.2f}", 1),
    ("servers busy %", "servers_busy", "{:.0f}", 100),
)


@dataclass
class Results:
    """Everything that was measured, in order."""

    quick: bool
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    load: tuple[float, float, float] = field(default_factory=os.getloadavg)
    samples: dict[str, dict[str, list[Sample]]] = field(default_factory=dict)
    not_measured: dict[str, str] = field(default_factory=dict)

    def add(self, scenario: str, client: str, sample: Sample) -> None:
        self.samples.setdefault(scenario, {}).setdefault(client, []).append(sample)

    def medians(self) -> dict[str, dict[str, Sample]]:
        return {
            scenario: {client: medians(samples) for client, samples in rows.items()}
            for scenario, rows in self.samples.items()
        }


def scenario_table(
    scenario: Scenario,
    rows: Mapping[str, Sample],
    titles: Mapping[str, str],
    missing: Sequence[str],
) -> Table:
    """One scenario's rows, best first as listed, with only the columns that hold something."""
    table = Table(title=f"{scenario.name}: {scenario.title}", title_justify="left")
    table.add_column("client", no_wrap=True)
    columns = [c for c in _COLUMNS if any(getattr(row, c[1]) is not None for row in rows.values())]
    for heading, *_ in columns:
        table.add_column(heading, justify="right")
    peers = [name for name in ("wrk", "sqs-consumer-batch", "boto3-pool") if name in rows]
    for peer in peers:
        table.add_column(f"x {peer}", justify="right")
    for name, row in rows.items():
        cells = [_cell(getattr(row, c[1]), c[2], c[3]) for c in columns]
        cells += [_cell(cpu_ratio(peer)(rows, name), "{:.2f}", 1) for peer in peers]
        table.add_row(titles[name], *cells)
    for name in missing:
        table.add_row(titles[name], "not measured", style="bold red")
    return table


def _cell(value: float | None, form: str, scale: float) -> str:
    return "" if value is None else form.format(value * scale)


def verdict_table(verdicts: Sequence[Verdict], titles: Mapping[str, str]) -> Table:
    """Every bar that could be judged."""
    table = Table(title="bars", title_justify="left")
    for heading in ("scenario", "bar", "client", "measured", "verdict"):
        table.add_column(heading)
    for v in verdicts:
        style = "green" if v.met else "bold red"
        value = "" if v.value is None else f"{v.value:,.3g}" if v.value < 100 else f"{v.value:,.0f}"
        table.add_row(v.bar.scenario, v.bar.text, titles[v.client], value, v.text, style=style)
    return table


def warn_of_busy_servers(results: Mapping[str, Mapping[str, Sample]], console: Console) -> None:
    """Say where the benchmark's own servers may have been the limit of a rate."""
    for scenario, rows in results.items():
        for client, row in rows.items():
            if row.servers_busy is not None and row.servers_busy > SERVERS_BUSY:
                console.print(
                    f"{scenario}, {client}: the fake queue and the application used"
                    f" {row.servers_busy:.0%} of their core; the rate may be theirs, the CPU is not"
                )


def save(results: Results, verdicts: Sequence[Verdict], directory: Path) -> Path:
    """Write the JSON file; give its path."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{results.started:%Y%m%dT%H%M%SZ}.json"
    document: dict[str, Any] = {
        "started": results.started.isoformat(timespec="seconds"),
        "quick": results.quick,
        "machine": _machine(results),
        "not_measured": results.not_measured,
        "medians": {
            scenario: {client: _figures(sample) for client, sample in rows.items()}
            for scenario, rows in results.medians().items()
        },
        "runs": {
            scenario: {client: [asdict(s) for s in samples] for client, samples in rows.items()}
            for scenario, rows in results.samples.items()
        },
        "bars": [
            {"scenario": v.bar.scenario, "bar": v.bar.text, "client": v.client, "value": v.value,
             "verdict": v.text}
            for v in verdicts
        ],
    }  # fmt: skip
    path.write_text(json.dumps(document, indent=1))
    return path


def _figures(sample: Sample) -> dict[str, float]:
    return {k: v for k, v in asdict(sample).items() if v is not None and k != "marks"}


def _machine(results: Results) -> dict[str, Any]:
    return {
        "system": platform.platform(),
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "load_at_start": results.load,
        "load_at_end": os.getloadavg(),
    }


def chart(results: Results, titles: Mapping[str, str], directory: Path) -> Path | None:
    """Draw CPU for 1,000 messages, a panel for each scenario that has it; None if none has."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    panels = {
        scenario: {name: row.cpu_ms for name, row in rows.items() if row.cpu_ms is not None}
        for scenario, rows in results.medians().items()
    }
    panels = {scenario: rows for scenario, rows in panels.items() if len(rows) > 1}
    if not panels:
        return None
    height = 1.0 + sum(0.9 + 0.35 * len(rows) for rows in panels.values())
    ratios = [0.9 + 0.35 * len(rows) for rows in panels.values()]
    figure, axes = plt.subplots(
        len(panels), 1, figsize=(9, height), squeeze=False, height_ratios=ratios, layout="tight"
    )
    for axis, (scenario, rows) in zip(axes[:, 0], panels.items(), strict=True):
        names = list(rows)[::-1]
        colours = ["#d97706" if name.startswith("sqsd") else "#64748b" for name in names]
        bars = axis.barh([titles[n] for n in names], [rows[n] for n in names], color=colours)
        axis.bar_label(bars, fmt="{:.0f}", padding=3)
        axis.set_xscale("log")
        axis.set_title(scenario, loc="left")
        axis.margins(x=0.15)
        axis.spines[["top", "right"]].set_visible(False)
    axes[-1, 0].set_xlabel("CPU milliseconds for 1,000 messages, whole process (logarithmic)")
    path = directory / f"{results.started:%Y%m%dT%H%M%SZ}.png"
    figure.savefig(path, dpi=120)
    plt.close(figure)
    return path
