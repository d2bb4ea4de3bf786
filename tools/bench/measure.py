"""One run of one client: servers up, client up, watch, account, everything down."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tools.bench import environments
from tools.bench.clients import Client, Place, wrk_command
from tools.bench.errors import BenchError
from tools.bench.figures import Mark, Sample, growth_bytes_per_message, percentile, span, waits
from tools.bench.processes import Cores, Process, Server
from tools.bench.queue_server import body_of
from tools.bench.scenarios import Kind, Scenario
from tools.bench.wire import cpu_seconds, load_stamps, peak_resident_kb, resident_kb

#: Seconds without any progress after which a client counts as stuck.
_STUCK_SECONDS: Final = 30.0
_POLL_SECONDS: Final = 0.1
#: Marks of a soak: after each twentieth of the messages.
_SOAK_MARKS: Final = 20
_WRK_SECONDS: Final = 3
Progress = Callable[[str], None]


@dataclass(frozen=True)
class _Stage:
    """The two servers of a run, and where it takes place."""

    queue: Server
    sink: Server
    place: Place
    cores: Cores


@contextmanager
def _stage(scenario: Scenario, messages: int, cores: Cores) -> Iterator[_Stage]:
    queue_options = {
        "messages": messages,
        "body_bytes": scenario.body_bytes,
        "rate": scenario.rate,
        "marks": _marks(scenario, messages),
    }
    sink_options = {"messages": messages, "delay": scenario.delay}
    with tempfile.TemporaryDirectory(prefix="sqsd-bench-") as name:
        directory = Path(name)
        python = environments.daemon_python(fast=True)  # it has all that the servers need
        with (
            Server(
                python, "tools.bench.queue_server", queue_options, cores, directory / "queue.log"
            ) as queue,
            Server(python, "tools.bench.sink", sink_options, cores, directory / "sink.log") as sink,
        ):
            yield _Stage(queue, sink, Place(queue.port, sink.port, directory), cores)


def _marks(scenario: Scenario, messages: int) -> list[int]:
    if scenario.kind is Kind.SOAK:
        return [messages * n // _SOAK_MARKS for n in range(1, _SOAK_MARKS + 1)]
    return [max(1, messages // 10), messages - messages // 20] if messages else []


def measure(client: Client, scenario: Scenario, cores: Cores, progress: Progress) -> Sample:
    """Run a client once.

    Raises:
        NotMeasured: the client cannot run here.
        BenchError: it ended, got stuck or broke the account: a message lost, or posted twice.
    """
    messages = (
        int(scenario.messages * client.share)
        if scenario.kind is not Kind.LATENCY
        else (scenario.messages)
    )
    with _stage(scenario, messages, cores) as stage:
        argv, env = client.command(scenario, stage.place)
        log = stage.place.directory / "client.log"
        with Process(argv, core=cores.client, env=env, log=log) as process:
            stage.queue.order("watch", pid=process.pid)
            if scenario.kind is Kind.IDLE:
                return _watch_idle(stage, process, scenario, progress)
            if scenario.kind is Kind.LATENCY:
                _wait_for_receive(stage, process)
            stage.queue.order("send")
            _wait_for_deletes(stage, process, messages, progress)
            return _result(stage, process, scenario, messages)


def _wait_for_receive(stage: _Stage, process: Process) -> dict[str, Any]:
    started = time.monotonic()
    while True:
        status: dict[str, Any] = stage.queue.order("status")
        if status["receives"]:
            time.sleep(0.5)  # what starts lazily has started; nothing is timed meanwhile
            return status
        process.check()
        if time.monotonic() - started > _STUCK_SECONDS:
            raise BenchError(f"no receive within {_STUCK_SECONDS:g} s: {process.tail()}")
        time.sleep(_POLL_SECONDS)


def _wait_for_deletes(stage: _Stage, process: Process, messages: int, progress: Progress) -> None:
    deleted, changed_at = 0, time.monotonic()
    while deleted < messages:
        time.sleep(_POLL_SECONDS)
        process.check()
        status, now = stage.queue.order("status"), time.monotonic()
        if status["deleted"] > deleted:
            deleted, changed_at = status["deleted"], now
        elif now - changed_at > _STUCK_SECONDS:
            raise BenchError(
                f"stuck for {_STUCK_SECONDS:g} s at {deleted} of {messages} deleted"
                f" ({status['received']} received): {process.tail()}"
            )
        progress(f"{deleted:,} of {messages:,} deleted, {resident_kb(process.pid) / 1024:.0f} MB")


def _result(stage: _Stage, process: Process, scenario: Scenario, messages: int) -> Sample:
    queue, sink = stage.queue.order("status"), stage.sink.order("status")
    _account(queue, sink, messages, scenario.body_bytes)
    marks = [Mark(**mark) for mark in queue["marks"]]
    # In a soak every stretch counts; else the first tenth warmed the client up, and in the last
    # twentieth the queue ran empty, so that connections stood idle through no fault of the client.
    whole = span(marks[0], marks[-1])
    handed_out, arrived = _load(stage.queue, stage), _load(stage.sink, stage)
    measured_from = 0 if scenario.kind is Kind.LATENCY else messages // 10
    waited = waits(handed_out[measured_from:], arrived[measured_from:])
    return Sample(
        cpu_ms=whole.cpu_ms_per_thousand,
        rate=whole.messages_per_second,
        p50_ms=percentile(waited, 50) * 1000,
        p99_ms=percentile(waited, 99) * 1000,
        peak_mb=peak_resident_kb(process.pid) / 1024,
        start_seconds=queue["first_receive_at"] - process.started_at,
        servers_busy=whole.queue_busy + sink["busy"],
        app_seconds=sink["mean_delay"],
        receives=queue["receives"],
        received_again=queue["received_again"],
        growth=growth_bytes_per_message(marks) if scenario.kind is Kind.SOAK else None,
        marks=tuple(marks),
    )


def _load(server: Server, stage: _Stage) -> Any:
    path = stage.place.directory / f"{server.port}.stamps"
    server.order("stamps", path=str(path))
    return load_stamps(path)


def _account(queue: dict[str, Any], sink: dict[str, Any], messages: int, body_bytes: int) -> None:
    """Every message was handed out, posted once, whole, and deleted, or figures mean nothing."""
    expected = {
        "deleted": (queue["deleted"], messages),
        "posted": (sink["posted"], messages),
        "posted again": (sink["posted_again"], queue["received_again"]),
        "POSTs of no message": (sink["unknown"], 0),
        "handles refused": (queue["refused"], 0),
        "bytes of bodies": (sink["body_bytes"], sink["posts"] * body_bytes),
    }
    wrong = [f"{what}: {is_} and not {due}" for what, (is_, due) in expected.items() if is_ != due]
    if wrong:
        raise BenchError("the account does not balance: " + "; ".join(wrong))


def _watch_idle(stage: _Stage, process: Process, scenario: Scenario, progress: Progress) -> Sample:
    queue = _wait_for_receive(stage, process)
    time.sleep(1.0)
    started, cpu = time.monotonic(), cpu_seconds(process.pid)
    receives = stage.queue.order("status")["receives"]
    while (left := started + scenario.seconds - time.monotonic()) > 0:
        process.check()
        progress(f"idle for {left:.0f} s more")
        time.sleep(min(1.0, left))
    cpu = cpu_seconds(process.pid) - cpu
    receives = stage.queue.order("status")["receives"] - receives
    elapsed = time.monotonic() - started
    return Sample(
        core_percent=100 * cpu / elapsed,
        receives_per_minute=60 * receives / elapsed,
        peak_mb=resident_kb(process.pid) / 1024,
        start_seconds=queue["first_receive_at"] - process.started_at,
    )


def measure_wrk(scenario: Scenario, cores: Cores, progress: Progress) -> Sample:
    """Run `wrk`, which only POSTs: the yardstick.

    Raises:
        NotMeasured: it is not installed.
        BenchError: it failed.
    """
    with _stage(scenario, 0, cores) as stage:
        body = body_of(scenario.body_bytes)
        argv = wrk_command(scenario, stage.place, body, _WRK_SECONDS)
        log = stage.place.directory / "client.log"
        progress(f"posting for {_WRK_SECONDS} s")
        env = {"PATH": "/usr/bin:/bin"}
        with Process(argv, core=cores.client, env=env, log=log, piped=True) as process:
            code, cpu, output = process.finish()
        sink = stage.sink.order("status")
    if code or "Non-2xx" in output or "Socket errors" in output or not sink["posts"]:
        raise BenchError(f"wrk failed ({code}): {output[-500:]}")
    return Sample(
        cpu_ms=cpu / sink["posts"] * 1e6,
        rate=sink["posts"] / _WRK_SECONDS,
        servers_busy=sink["busy"],
    )
