"""`python -m tools.bench`: measures the daemon beside other clients and holds it against its bars.

Exit codes: 0 every bar that was judged is met; 1 one is not; 2 the benchmark could not run.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich.console import Console

from tools.bench import report, synth
from tools.bench.bars import judge
from tools.bench.clients import CONSUMERS, DAEMON, OTHER, WRK, Client, other_daemon
from tools.bench.errors import BenchError, NotMeasured
from tools.bench.figures import Sample, compare
from tools.bench.measure import measure, measure_wrk
from tools.bench.processes import ROOT, Cores
from tools.bench.scenarios import SOAK_MESSAGES, Scenario, scenarios, soak

_RESULTS: Final = ROOT / "tools" / "bench" / "results"
_DAEMONS: Final = ("sqsd", "sqsd-fast")
_INTERRUPTED: Final = 130


@dataclass(frozen=True)
class _Plan:
    """What is measured: scenarios, each with the names of its clients, and these clients."""

    scenarios: list[tuple[Scenario, list[str]]]
    clients: dict[str, Client]

    @property
    def titles(self) -> dict[str, str]:
        return _titles(self.clients)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what was asked for; the result is the exit code."""
    chosen = _parser().parse_args(arguments)
    console = Console()
    try:
        if chosen.what == "synth":
            return synth.run(chosen.runs or 5, chosen.results, console)
        plan = _plan(chosen)
        results = report.Results(quick=chosen.quick)
        _run_all(plan, chosen, results, console)
        return _report(plan, results, chosen.results, console)
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
    parser.add_argument(
        "--quick", action="store_true", help="short runs, about a minute; no figures"
    )
    parser.add_argument("--runs", type=int, metavar="N", help="runs of each (5; with --quick 1)")
    parser.add_argument(
        "--only", action="append", default=[], metavar="NAME", help="a scenario or client; repeats"
    )
    parser.add_argument(
        "--against",
        type=Path,
        metavar="CHECKOUT",
        help="measure that checkout's daemon too, in alternation with this one's",
    )
    parser.add_argument("--messages", type=int, default=SOAK_MESSAGES, help="of a soak")
    parser.add_argument("--results", type=Path, default=_RESULTS, help="directory for JSON and PNG")
    return parser


def _plan(chosen: argparse.Namespace) -> _Plan:
    """Decide what is measured.

    Raises:
        BenchError: an `--only` that is neither a scenario nor a client, or an `--against` without
            a daemon.
    """
    clients = {client.name: client for client in CONSUMERS}
    known = [soak(chosen.messages)] if chosen.what else scenarios(quick=chosen.quick)
    scenario_names, client_names = {s.name for s in known}, {WRK, *clients}
    for name in chosen.only:
        if name not in scenario_names | client_names:
            choice = ", ".join(sorted(scenario_names) + sorted(client_names))
            raise BenchError(f"--only {name} is neither a scenario nor a client; known: {choice}")
    only_scenarios = scenario_names & set(chosen.only) or scenario_names
    only_clients = client_names & set(chosen.only) or client_names
    if chosen.against is not None:
        clients[OTHER] = other_daemon(chosen.against)
    rows = []
    for scenario in known:
        if scenario.name in only_scenarios:
            names = [name for name in _clients_of(scenario) if name in only_clients]
            if chosen.against is not None and DAEMON.name in names:
                names.insert(names.index(DAEMON.name) + 1, OTHER)
            rows.append((scenario, names))
    return _Plan(rows, clients)


def _titles(clients: Mapping[str, Client]) -> dict[str, str]:
    return {WRK: "wrk (POSTs only)", **{name: client.title for name, client in clients.items()}}


def _clients_of(scenario: Scenario) -> list[str]:
    names = [c.name for c in CONSUMERS if not scenario.clients or c.name in scenario.clients]
    return [WRK, *names] if scenario.wrk else names


def _run_all(
    plan: _Plan, chosen: argparse.Namespace, results: report.Results, console: Console
) -> None:
    runs = chosen.runs or (1 if chosen.quick or chosen.what else 5)
    cores = Cores()
    for scenario, names in plan.scenarios:
        console.rule(f"{scenario.name}: {scenario.title}")
        times = min(runs, scenario.most_runs)
        for run in range(1, times + 1):
            # Clients alternate, the first of one run being the last of the next, so that neither
            # the machine's moods nor what came before favour one.
            for name in names if run % 2 else reversed(names):
                if name not in results.not_measured:
                    _run_one(plan, scenario, name, f"run {run}/{times}", cores, results)


def _run_one(
    plan: _Plan,
    scenario: Scenario,
    name: str,
    label: str,
    cores: Cores,
    results: report.Results,
) -> None:
    line = _ProgressLine(f"{label}  {plan.titles[name]:<26}")
    started = time.monotonic()
    try:
        if name == WRK:
            sample = measure_wrk(scenario, cores, line.show)
        else:
            sample = measure(plan.clients[name], scenario, cores, line.show)
    except (NotMeasured, BenchError) as why:
        if name in (*_DAEMONS, OTHER):
            raise
        results.not_measured[name] = str(why)
        line.end(f"NOT MEASURED: {why}")
        return
    results.add(scenario.name, name, sample)
    line.end(f"{_in_short(sample)}  ({time.monotonic() - started:.1f} s)")


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


def _report(plan: _Plan, results: report.Results, directory: Path, console: Console) -> int:
    middle = results.medians()
    for scenario, names in plan.scenarios:
        rows = {
            name: middle[scenario.name][name] for name in names if name in middle[scenario.name]
        }
        missing = [name for name in names if name not in rows]
        console.print(report.scenario_table(scenario, rows, plan.titles, missing))
    verdicts = judge(middle, _DAEMONS)
    saved = report.save(results, verdicts, directory)
    drawn = report.chart(results, plan.titles, directory)
    console.print(report.verdict_table(verdicts, plan.titles))
    report.warn_of_busy_servers(middle, console)
    for name, why in results.not_measured.items():
        console.print(f"{plan.titles[name]} was NOT MEASURED: {why}", style="bold red")
    for scenario_name, samples in results.samples.items():
        if OTHER in samples:
            compared = compare(samples[DAEMON.name], samples[OTHER])
            if compared is not None:
                console.print(f"{scenario_name}: {compared.text}", markup=False, soft_wrap=True)
    console.print(f"results: {saved}" + (f", chart: {drawn}" if drawn else ""), soft_wrap=True)
    return 0 if all(v.met for v in verdicts) else 1


class _ProgressLine:
    """One line that is rewritten on a terminal, and printed once where there is none."""

    def __init__(self, label: str) -> None:
        self._label = label
        self._live = sys.stdout.isatty()

    def show(self, text: str) -> None:
        if self._live:
            print(f"\r\x1b[K{self._label}{text}", end="", flush=True)

    def end(self, text: str) -> None:
        start = "\r\x1b[K" if self._live else ""
        print(f"{start}{self._label}{text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
