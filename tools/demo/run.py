"""The demo from start to end: one stack of things that are stopped in reverse, whatever happens."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tools.demo import application, instance, proxy, queues
from tools.demo.account import Account, Witnessed, settle_account
from tools.demo.application import Source
from tools.demo.daemon import Daemon
from tools.demo.display import Display, Figures, Snapshot, summary_lines
from tools.demo.producer import Producer
from tools.local_aws import LocalAws
from tools.local_aws.deploy import Deployment, deploy
from tools.local_aws.ports import free_port
from tools.local_aws.processes import Child

#: A quarter of a minute of everyday traffic: some fail once, some are slow, one is poison.
MIX: Final[Mapping[str, Any]] = {
    "seconds": 12,
    "rate": 40,
    "fail_once_every": 10,
    "slow_every": 25,
    "poison": 1,
}
#: As fast as it goes, to see the throughput.
BURST: Final[Mapping[str, Any]] = {"seconds": 10, "rate": None, "count": 5000}
#: How long messages may take to settle after the last was sent. The poison one needs its retries.
_SETTLE_SECONDS: Final = 12.0
_REFRESH_SECONDS: Final = 0.5
_PHASES: Final = ("a mix, some failing", "a burst", "settling")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a run was asked for, checked.

    Args:
        source: the application.
        port: where the daemon POSTs to; None takes a free one.
        local_aws_port: None takes a free one.
        directory: for this run only: settings, logs, the cloud assembly.
    """

    source: Source
    port: int | None
    local_aws_port: int | None
    directory: Path


def run(plan: Plan, display: Display) -> int:
    """Run the demo; the exit code: 0 when every message is accounted for and sqsd ended well."""
    with ExitStack() as stack:
        aws = _start_local_aws(plan, stack, display)
        port = free_port() if plan.port is None else plan.port
        deployment = _deploy(aws, plan, port, display)
        settings = instance.read_settings(aws, deployment, plan.directory / "instance")
        display.step("read tier.json out of the launch template's user data")
        witness = _start_application(aws, plan, port, stack, display)
        tier = _Tier(aws, deployment, settings, plan.directory, witness)
        return tier.run(display)


def _start_local_aws(plan: Plan, stack: ExitStack, display: Display) -> LocalAws:
    aws = LocalAws(port=plan.local_aws_port, directory=plan.directory / "local-aws")
    stack.enter_context(aws)
    stack.callback(display.step, "stopping the embedded AWS")
    display.step(f"embedded AWS: up at {aws.endpoint_url}")
    return aws


def _deploy(aws: LocalAws, plan: Plan, port: int, display: Display) -> Deployment:
    display.step("cdk synth and bootstrap ...")
    return deploy(
        aws,
        directory=plan.directory / "cdk",
        context={
            "worker-tier:http_port": str(port),
            "worker-tier:application": str(plan.source.directory),
        },
        say=display.step,
    )


def _start_application(
    aws: LocalAws, plan: Plan, port: int, stack: ExitStack, display: Display
) -> Path | None:
    """Start the application, behind nginx when there is one; returns nginx's directory, or None."""
    nginx = proxy.find_nginx()
    own_port = free_port() if nginx is not None else port
    app = application.start(
        plan.source,
        port=own_port,
        environment=aws.process_environment(),
        directory=plan.directory,
    )
    stack.callback(_stop, app, display.step, "application")
    display.step(f"application: `{plan.source.command}` listens on port {own_port}")
    if nginx is None:
        display.step("nginx: not found, so the daemon POSTs straight to the application")
        return None
    directory = plan.directory / "nginx"
    server = proxy.start(nginx, port=port, application_port=own_port, directory=directory)
    stack.callback(_stop, server, display.step, "nginx")
    display.step(f"nginx: forwards port {port} to the application")
    return directory


def _stop(child: Child, say: Callable[[str], None], name: str) -> None:
    say(f"stopping {name}")
    child.stop()


class _Tier:
    """The deployed tier at work.

    Args:
        witness: nginx's directory, or None without nginx.
    """

    def __init__(
        self,
        aws: LocalAws,
        deployment: Deployment,
        settings: Path,
        directory: Path,
        witness: Path | None,
    ) -> None:
        self._aws = aws
        self._settings = settings
        self._directory = directory
        self._witness = witness
        self._queue = deployment.outputs["QueueUrl"]
        self._dead_letter_queue = deployment.outputs["DeadLetterQueueUrl"]

    def run(self, display: Display) -> int:
        environment = self._aws.process_environment()
        with Daemon(self._settings, environment, self._directory) as daemon:
            daemon.wait_until_started()
            display.step("sqsd: started with the deployed settings; the producer sends")
            with (
                Producer(
                    [MIX, BURST],
                    queue_url=self._queue,
                    environment=environment,
                    directory=self._directory,
                ) as producer,
                display,
            ):
                self._watch(daemon, producer, display)
            display.step("sqsd: SIGTERM, waiting until it has drained")
            memory = daemon.resident_megabytes()
            exit_code = daemon.stop()
            account = self._settle(daemon, producer)
            figures = self._figures(daemon, producer, memory, exit_code)
        display.summary(summary_lines(account, figures))
        with daemon.read() as progress:
            failures = progress.failures[-3:]
        for failure in failures:
            display.step(f"sqsd said: {failure}")
        return 0 if account.balances and exit_code == 0 else 1

    def _watch(self, daemon: Daemon, producer: Producer, display: Display) -> None:
        """Show the numbers until everything sent has ended somewhere, or the time is over."""
        started = time.monotonic()
        deadline: float | None = None
        while True:
            daemon.need_running()
            producer.need_success()
            done = producer.done
            snapshot = self._snapshot(daemon, producer, time.monotonic() - started)
            settled = snapshot.sent <= snapshot.answered + snapshot.dead_lettered
            if done and deadline is None:
                deadline = time.monotonic() + _SETTLE_SECONDS
            over = done and (settled or time.monotonic() > (deadline or 0.0))
            display.show(snapshot, last=over)
            if over:
                return
            time.sleep(_REFRESH_SECONDS)

    def _snapshot(self, daemon: Daemon, producer: Producer, elapsed: float) -> Snapshot:
        phase, sent = _PHASES[len(producer.ended_at)], len(producer.sent())
        work = queues.depth(self._aws, self._queue)
        dead = queues.depth(self._aws, self._dead_letter_queue)
        with daemon.read() as progress:
            return Snapshot(
                elapsed=elapsed,
                phase=phase,
                sent=sent,
                queued=work.visible + work.delayed,
                in_flight=work.in_flight,
                answered=len(progress.answered),
                retried=progress.retried,
                dead_lettered=dead.total,
                cron_fired=progress.cron_fired,
                rate=progress.rate(time.time()),
                p50=progress.latency(0.50),
                p99=progress.latency(0.99),
            )

    def _settle(self, daemon: Daemon, producer: Producer) -> Account:
        # The work queue first: a message without receives left moves on when it is received.
        waiting = queues.collect_ids(self._aws, self._queue, patience_seconds=5)
        dead = queues.collect_ids(self._aws, self._dead_letter_queue, patience_seconds=5)
        with daemon.read() as progress:
            return settle_account(
                Witnessed(
                    sent=producer.sent(),
                    answered=progress.answered,
                    dead_lettered=dead,
                    waiting=waiting,
                    expired=progress.expired,
                    proxy_answered=self._seen_by_proxy(producer),
                )
            )

    def _seen_by_proxy(self, producer: Producer) -> list[str] | None:
        if self._witness is None:
            return None
        # It also saw periodic tasks, whose ids are not known here.
        sent = set(producer.sent())
        return [one for one in proxy.answered_200(self._witness) if one in sent]

    def _figures(
        self, daemon: Daemon, producer: Producer, memory: float | None, exit_code: int
    ) -> Figures:
        with daemon.read() as progress:
            return Figures(
                failed=dict(progress.failed),
                cron_fired=progress.cron_fired,
                tasks_answered=progress.tasks_answered,
                # The burst begins where the mix ended.
                average_rate=progress.average_rate(producer.ended_at[0]),
                peak_rate=progress.peak_rate(),
                p50=progress.latency(0.50),
                p99=progress.latency(0.99),
                resident_megabytes=memory,
                daemon_exit_code=exit_code,
                behind_proxy=self._witness is not None,
            )
