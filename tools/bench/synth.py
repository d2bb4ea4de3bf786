"""How long synthesis takes: the example app, a further tier in one process, the template suite.

`python -m tools.bench synth`. Times are of wall clock, so of a quiet machine; each stands beside
the CPU time of the processes themselves, which other work on the machine moves less, and the load
is output.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from tools.bench.errors import BenchError
from tools.bench.processes import ROOT

_CDK: Final = ROOT / "node_modules" / ".bin" / "cdk"
_QUIET: Final = {
    "CDK_DISABLE_CLI_TELEMETRY": "true",
    "JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION": "20",
    "AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED": "true",
}
#: Tests of templates: not those that deploy, install wheels or run other programs of the CDK.
_SUITE: Final = ("-q", "-n", "2", "-m", "not local_aws and not cdk and not long")
_LONGEST_SECONDS: Final = 900
#: A tier's constructs, and a plain queue's for comparison: seconds of each, one process.
_LATER: Final = """
import json, time
from aws_cdk import App, Stack, aws_ec2 as ec2, aws_sqs as sqs
from worker_tier import WorkerApplication, WorkerTier

app = App()

def seconds(number):
    stack = Stack(app, f"S{number}")
    vpc = ec2.Vpc.from_vpc_attributes(stack, "Vpc", vpc_id="vpc-1", availability_zones=["a", "b"],
        private_subnet_ids=["subnet-1", "subnet-2"], private_subnet_route_table_ids=["r1", "r2"])
    started = time.perf_counter()
    WorkerTier(stack, "Worker", vpc=vpc, application=WorkerApplication.external())
    tier = time.perf_counter() - started
    started = time.perf_counter()
    for queue in range(20):
        sqs.Queue(stack, f"Queue{queue}")
    return tier, (time.perf_counter() - started) / 20

first, *later = [seconds(number) for number in range(11)]
print(json.dumps({"first": first, "later": later}))
"""


@dataclass(frozen=True, kw_only=True)
class Figure:
    """What was measured, held against its bar.

    Args:
        seconds: of wall clock, the median of `samples`.
        cpu_seconds: of all processes that took part, or None if not measured.
        ratio: to something that moves with the machine, and what that is.
    """

    name: str
    seconds: float
    bar_seconds: float
    samples: list[float]
    cpu_seconds: float | None = None
    ratio: float | None = None
    ratio_to: str = ""

    @property
    def met(self) -> bool:
        return self.seconds < self.bar_seconds


def run(runs: int, directory: Path, console: Console) -> int:
    """Measure all; exit code 0 when every bar is met, else 1.

    Raises:
        BenchError: something that is measured failed.
    """
    load = os.getloadavg()[0]
    figures = []
    for measure in (_app, _later, _suite):
        figures.append(measure(runs))
        console.print(f"{figures[-1].name}: {figures[-1].seconds:.3g} s")
    directory.mkdir(parents=True, exist_ok=True)
    saved = directory / f"synth-{time.strftime('%Y%m%dT%H%M%S')}.json"
    loads = [round(load, 2), round(os.getloadavg()[0], 2)]
    document = {
        "cores": os.cpu_count(),
        "load_before_and_after": loads,
        "figures": [asdict(figure) | {"met": figure.met} for figure in figures],
    }
    saved.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    console.print(_table(figures, f"load {loads[0]} before, {loads[1]} after"))
    console.print(f"results: {saved}", soft_wrap=True)
    return 0 if all(figure.met for figure in figures) else 1


def _table(figures: list[Figure], title: str) -> Table:
    table = Table("", "seconds", "bar", "CPU s", "ratio", "", title=title)
    for figure in figures:
        table.add_row(
            figure.name,
            f"{figure.seconds:.3g}",
            f"< {figure.bar_seconds:g}",
            "" if figure.cpu_seconds is None else f"{figure.cpu_seconds:.3g}",
            "" if figure.ratio is None else f"{figure.ratio:.0f} x {figure.ratio_to}",
            "met" if figure.met else "NOT MET",
        )
    return table


def _app(runs: int) -> Figure:
    """`cdk synth` of app.py as users run it, with the CDK's validator; the first run warms up."""
    command = (str(_CDK), "synth", "--quiet", "--output", str(ROOT / ".cache" / "bench" / "synth"))
    samples = [_timed(command, _QUIET) for _ in range(runs + 1)][1:]
    walls, cpus = zip(*samples, strict=True)
    return Figure(
        name="synthesis of app.py, warm",
        seconds=statistics.median(walls),
        bar_seconds=15,
        samples=list(walls),
        cpu_seconds=statistics.median(cpus),
    )


def _later(runs: int) -> Figure:
    """Tiers after the first of a process, over all runs."""
    samples: list[tuple[float, float]] = []
    for _ in range(runs):
        text = _run((sys.executable, "-c", _LATER), _QUIET | {"CDK_VALIDATION": "false"})
        samples += [tuple(pair) for pair in json.loads(text.splitlines()[-1])["later"]]
    tiers = [tier for tier, _ in samples]
    queue = statistics.median(queue for _, queue in samples)
    return Figure(
        name="a further tier in one process",
        seconds=statistics.median(tiers),
        bar_seconds=0.2,
        samples=tiers,
        ratio=statistics.median(tiers) / queue,
        ratio_to="a plain Queue",
    )


def _suite(runs: int) -> Figure:
    """The tests of templates, once: they are many."""
    command = (sys.executable, "-m", "pytest", *_SUITE, str(ROOT / "tests" / "worker_tier"))
    wall, cpu = _timed(command, _QUIET)
    return Figure(
        name="the template tests, two processes",
        seconds=wall,
        bar_seconds=60,
        samples=[wall],
        cpu_seconds=cpu,
    )


def _timed(command: tuple[str, ...], environment: Mapping[str, str]) -> tuple[float, float]:
    """Seconds of wall clock, and of CPU of the program and all that it started."""
    before, started = _cpu_of_children(), time.perf_counter()
    _run(command, environment)
    return time.perf_counter() - started, _cpu_of_children() - before


def _cpu_of_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _run(command: tuple[str, ...], environment: Mapping[str, str]) -> str:
    try:
        ended = subprocess.run(
            command,
            check=False,
            cwd=ROOT,
            env=os.environ | environment,
            capture_output=True,
            text=True,
            timeout=_LONGEST_SECONDS,
        )
    except FileNotFoundError:
        raise BenchError(f"{command[0]} is not here; run `make synth` once") from None
    if ended.returncode != 0:
        output = (ended.stdout + ended.stderr)[-1_500:]
        raise BenchError(f"`{' '.join(command)[:120]}` failed ({ended.returncode}):\n{output}")
    return ended.stdout
