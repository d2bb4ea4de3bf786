"""`python -m tools.simulation [--out DIRECTORY]`: each load on each contender, table and plots."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from pathlib import Path

# Before the CDK is imported: these templates are tested elsewhere.
os.environ.setdefault("CDK_VALIDATION", "false")
os.environ.setdefault("JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION", "20")

import matplotlib

matplotlib.use("agg")
from matplotlib import pyplot

from tools.simulation.contenders import CONNECTIONS, LATENCY, contenders
from tools.simulation.loads import LOADS, Load
from tools.simulation.world import Result, World

_HEAD = (
    "| load | policies | minutes over 60 s | messages over 60 s | killed in flight"
    " | instance-hours |"
)


def simulate(load: Load) -> dict[str, Result]:
    """Every contender's result under a load, by name."""
    return {
        contender.name: World(
            load=load,
            scaler=contender.scaler(),
            connections=CONNECTIONS,
            grace=contender.grace,
            boot=contender.boot,
            latency=LATENCY,
        ).run()
        for contender in contenders(load)
    }


def row(load: str, name: str, result: Result) -> str:
    """A line of the table."""
    late = 100 * result.messages_late / max(1, result.messages)
    return (
        f"| {load} | {name} | {result.minutes_late} | {late:.1f} % | {result.killed} |"
        f" {result.instance_hours:.1f} |"
    )


def plot(load: Load, results: Mapping[str, Result], path: Path) -> None:
    """What arrived, what waited, and how large each fleet was."""
    figure, (rates, waits, sizes) = pyplot.subplots(3, 1, sharex=True, figsize=(8, 7))
    first = next(iter(results.values()))
    rates.plot(first.times, first.rates, color="black")
    rates.set_ylabel("messages/s")
    rates.set_title(load.name)
    for name, result in results.items():
        waits.plot(result.times, result.waiting, label=name)
        sizes.plot(result.times, result.instances, label=name, drawstyle="steps-post")
    waits.set_ylabel("waiting")
    waits.set_yscale("symlog")
    sizes.set_ylabel("instances")
    sizes.set_xlabel("hours")
    sizes.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=70)
    pyplot.close(figure)


def main() -> None:
    """Run all, print the table, write the plots."""
    parser = argparse.ArgumentParser(prog="python -m tools.simulation", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("dist/scaling"), help="(%(default)s)")
    out: Path = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    print(_HEAD)
    print("|---" * 6 + "|")
    for load in LOADS:
        results = simulate(load)
        for name, result in results.items():
            print(row(load.name, name, result), flush=True)
        plot(load, results, out / f"{load.name.replace(',', '').replace(' ', '-')}.png")


if __name__ == "__main__":
    main()
