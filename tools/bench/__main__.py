"""`python -m tools.bench`: measures the daemon beside other clients and holds it against its bars.

Exit codes: 0 every bar that was judged is met; 1 one is not; 2 the benchmark could not run.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from rich.console import Console

from tools.bench import report, synth
from tools.bench.bars import judge
from tools.bench.clients import CONSUMERS, WRK, Client
from tools.bench.errors import BenchError, NotMeasured
from tools.bench.figures import Sample
from tools.bench.measure import measure, measure_wrk
from tools.bench.processes import ROOT, Cores
from tools.bench.scenarios import SOAK_MESSAGES, Scenario, scenarios, soak

_RESULTS: Final = ROOT / "tools" / "bench" / "results"
_TITLES: Final = {WRK: "wrk (POSTs only)", **{client.name: client.title for client in CONSUMERS}}
_DAEMONS: Final = ("sqsd", "sqsd-fast")
_INTERRUPTED: Final = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what was asked for; the result is the exit code."""
    chosen = _parser().parse_args(arguments)
    console = Console()
    try:
        if chosen.what == "synth":
            return synth.run(chosen.runs or 5, chosen.results, console)
        wanted = _wanted(chosen)
        results = report.Results(quick=chosen.quick)
        _run_all(wanted, chosen, results, console)
        return _tell(wanted, results, chosen.results, console)
    except BenchError as error:
        console.print(f"bench: {error}", style="bold red", markup=False)
        return 2
    except KeyboardInterrupt:
        console.print("bench: interrupted; everything it started has been stopped")
        return _INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tools.bench", description=__doc__)
    parser.add_argument(
        "what", nargs="?", choices=["soak", "synth"], help="a very long run, or synthesis instead"
    )
    parser.add_argument("--quick", action="store_true", help="a look in about a minute; no figures")
    parser.add_argument("--runs", type=int, metavar="N", help="runs of each (5; with --quick 1)")
    parser.add_argument(
        "--only", action="append", default=[], metavar="NAME", help="a scenario or client; repeats"
    )
    parser.add_argument("--messages", type=int, default=SOAK_MESSAGES, help="of a soak")
    parser.add_argument("--results", type=Path, default=_RESULTS, help="directory for JSON and PNG")
    return parser


def _wanted(chosen: argparse.Namespace) -> list[tuple[Scenario, list[str]]]:
    """Scenarios, each with the names of its clients.

    Raises:
        BenchError: an `--only` that is neither.
    """
    known = [soak(chosen.messages)] if chosen.what else scenarios(quick=chosen.quick)
    scenario_names, client_names = {s.name for s in known}, set(_TITLES)
    for name in chosen.only:
        if name not in scenario_names | client_names:
            choice = ", ".join(sorted(scenario_names) + sorted(client_names))
            raise BenchError(f"--only {name} is neither a scenario nor a client; known: {choice}")
    only_scenarios = scenario_names & set(chosen.only) or scenario_names
    only_clients = client_names & set(chosen.only) or client_names
    return [
        (s, [name for name in _clients_of(s) if name in only_clients])
        for s in known
        if s.name in only_scenarios
    ]


def _clients_of(scenario: Scenario) -> list[str]:
    names = [c.name for c in CONSUMERS if not scenario.clients or c.name in scenario.clients]
    return [WRK, *names] if scenario.wrk else names


def _run_all(
    wanted: list[tuple[Scenario, list[str]]],
    chosen: argparse.Namespace,
    results: report.Results,
    console: Console,
) -> None:
    runs = chosen.runs or (1 if chosen.quick or chosen.what else 5)
    cores = Cores()
    for scenario, names in wanted:
        console.rule(f"{scenario.name}: {scenario.title}")
        times = min(runs, scenario.most_runs)
        for run in range(1, times + 1):  # clients alternate, so that the machine's moods hit all
            for name in names:
                if name in results.not_measured:
                    continue
                _run_one(scenario, name, f"run {run}/{times}", cores, results, console)


def _run_one(
    scenario: Scenario,
    name: str,
    label: str,
    cores: Cores,
    results: report.Results,
    console: Console,
) -> None:
    title = _TITLES[name]
    line = _ProgressLine(f"{label}  {title:<26}")
    started = time.monotonic()
    try:
        if name == WRK:
            sample = measure_wrk(scenario, cores, line.show)
        else:
            sample = measure(_client(name), scenario, cores, line.show)
    except (NotMeasured, BenchError) as why:
        if name in _DAEMONS:
            raise
        results.not_measured[name] = str(why)
        line.end(f"NOT MEASURED: {why}")
        return
    results.add(scenario.name, name, sample)
    line.end(f"{_in_short(sample)}  ({time.monotonic() - started:.1f} s)")


def _client(name: str) -> Client:
    return next(client for client in CONSUMERS if client.name == name)


def _in_short(sample: Sample) -> str:
    parts = [
        form.format(value)
        for form, value in (
            ("{:8.1f} ms CPU/1,000", sample.cpu_ms),
            ("{:8,.0f} messages/s", sample.rate),
            ("p99 {:.2f} ms", sample.p99_ms),
            ("{:.0f} MB", sample.peak_mb),
            ("{:.3f} % of a core", sample.core_percent),
        )
        if value is not None
    ]
    return "  ".join(parts)


def _tell(
    wanted: list[tuple[Scenario, list[str]]],
    results: report.Results,
    directory: Path,
    console: Console,
) -> int:
    middle = results.medians()
    for scenario, names in wanted:
        rows = {
            name: middle[scenario.name][name] for name in names if name in middle[scenario.name]
        }
        missing = [name for name in names if name not in rows]
        console.print(report.scenario_table(scenario, rows, _TITLES, missing))
    verdicts = judge(middle, _DAEMONS)
    saved = report.save(results, verdicts, directory)
    drawn = report.chart(results, _TITLES, directory)
    console.print(report.verdict_table(verdicts, _TITLES))
    report.warn_of_busy_servers(middle, console)
    for name, why in results.not_measured.items():
        console.print(f"{_TITLES[name]} was NOT MEASURED: {why}", style="bold red")
    console.print(f"results: {saved}" + (f", chart: {drawn}" if drawn else ""), soft_wrap=True)
    return 0 if all(v.met for v in verdicts) else 1


class _ProgressLine:
    """One line that is rewritten on a terminal, and printed once where there is none."""

    def __init__(self, label: str) -> None:
        self._label, self._live = label, sys.stdout.isatty()

    def show(self, text: str) -> None:
        if self._live:
            print(f"\r\x1b[K{self._label}{text}", end="", flush=True)

    def end(self, text: str) -> None:
        start = "\r\x1b[K" if self._live else ""
        print(f"{start}{self._label}{text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
