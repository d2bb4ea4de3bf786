"""The clients that are measured: how each is started for a scenario, and what it stands for."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tools.bench import environments
from tools.bench.errors import BenchError
from tools.bench.processes import ROOT
from tools.bench.scenarios import Scenario

_QUEUE_NAME: Final = "bench-queue"
_REGION: Final = "eu-west-1"
_PEERS: Final = ROOT / "tools" / "bench" / "peers"
#: Where a checkout, of whatever age, has the daemon's package.
_DAEMON_SOURCE: Final = Path("daemon/src")
#: Name of the daemon of `--against`.
OTHER: Final = "sqsd-other"


@dataclass(frozen=True)
class Place:
    """Where one run takes place: ports on loopback, and a temporary directory."""

    queue_port: int
    app_port: int
    directory: Path

    @property
    def queue_url(self) -> str:
        return f"http://127.0.0.1:{self.queue_port}/000000000000/{_QUEUE_NAME}"


Command = tuple[list[str | Path], dict[str, str]]


@dataclass(frozen=True)
class Client:
    """One row of the table.

    Args:
        name: what `--only` takes.
        title: what the table shows.
        share: of a scenario's messages; slow clients get fewer, so that a run takes seconds.
        command: program and environment; raises NotMeasured when something is missing.
    """

    name: str
    title: str
    share: float
    command: Callable[[Scenario, Place], Command]


def _environment(scenario: Scenario, place: Place, **more: str) -> dict[str, str]:
    return {
        "PATH": os.environ.get("PATH", ""),
        "HOME": str(place.directory),
        "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",  # AWS's own example
        "AWS_DEFAULT_REGION": _REGION,
        "AWS_REGION": _REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_ENDPOINT_URL_SQS": f"http://127.0.0.1:{place.queue_port}",
        "QUEUE_URL": place.queue_url,
        "APP_URL": f"http://127.0.0.1:{place.app_port}/",
        "CONNECTIONS": str(scenario.connections),
        **more,
    }


def _daemon(*, fast: bool, checkout: Path = ROOT) -> Callable[[Scenario, Place], Command]:
    def command(scenario: Scenario, place: Place) -> Command:
        settings = {
            "version": 1,
            "queue_url": place.queue_url,
            "region": _REGION,
            "tier_name": "bench",
            "options": {
                "http_port": place.app_port,
                "http_connections": scenario.connections,
            },
        }
        path = place.directory / "tier.json"
        path.write_text(json.dumps(settings))
        python = environments.daemon_python(fast=fast)
        env = _environment(scenario, place, PYTHONPATH=str(checkout / _DAEMON_SOURCE))
        return [python, "-m", "sqsd", "run", "--settings", path], env

    return command


def _python_peer(program: str) -> Callable[[Scenario, Place], Command]:
    def command(scenario: Scenario, place: Place) -> Command:
        python = environments.peers_python()
        env = _environment(scenario, place, PYTHONPATH=str(ROOT))
        return [python, "-m", f"tools.bench.peers.{program}"], env

    return command


def _node_peer(mode: str) -> Callable[[Scenario, Place], Command]:
    def command(scenario: Scenario, place: Place) -> Command:
        env = _environment(scenario, place, MODE=mode)
        return [environments.node_modules(), _PEERS / "sqs_consumer.mjs"], env

    return command


DAEMON: Final = Client("sqsd", "sqsd", 1.0, _daemon(fast=False))
DAEMON_FAST: Final = Client("sqsd-fast", "sqsd, extra `fast`", 1.0, _daemon(fast=True))
CONSUMERS: Final = (
    DAEMON,
    DAEMON_FAST,
    Client("aiobotocore", "aiobotocore + aiohttp", 0.25, _python_peer("aiobotocore_aiohttp")),
    Client("boto3-pool", "boto3 + urllib3 threads", 0.2, _python_peer("boto3_pool")),
    Client("sqs-consumer-batch", "sqs-consumer, batch", 0.2, _node_peer("batch")),
    Client("sqs-consumer", "sqs-consumer, each", 0.15, _node_peer("each")),
    Client("boto3-requests", "boto3 + requests", 0.1, _python_peer("boto3_requests")),
)
WRK: Final = "wrk"


def other_daemon(checkout: Path) -> Client:
    """The daemon of another checkout, on the same Python and the same packages as ours.

    Raises:
        BenchError: there is no daemon.
    """
    if not (checkout / _DAEMON_SOURCE / "sqsd").is_dir():
        raise BenchError(f"--against {checkout} has no {_DAEMON_SOURCE}/sqsd")
    source = checkout.resolve()
    return Client(OTHER, "sqsd, other checkout", 1.0, _daemon(fast=False, checkout=source))


def wrk_command(scenario: Scenario, place: Place, body: str, seconds: int) -> list[str | Path]:
    """`wrk` with the daemon's POSTs: one thread, headers and body the same throughout."""
    wrk = environments.wrk()
    script = place.directory / "post.lua"
    headers: dict[str, Any] = {
        "Content-Type": "application/json",
        "User-Agent": "aws-sqsd/3.0.5 (worker-tier)",
        "X-Aws-Sqsd-Msgid": "00000000-0000-4000-8000-000000000000",
        "X-Aws-Sqsd-Receive-Count": "1",
        "X-Aws-Sqsd-First-Received-At": "2026-01-01T00:00:00Z",
        "X-Aws-Sqsd-Sent-At": "2026-01-01T00:00:00Z",
        "X-Aws-Sqsd-Queue": _QUEUE_NAME,
        "X-Aws-Sqsd-Path": "/",
        "X-Aws-Sqsd-Sender-Id": "AROAEXAMPLEROLEID:i-0123456789abcdef0",
        "Accept-Encoding": "gzip, compressed",
    }
    lines = [f"wrk.headers[{json.dumps(name)}] = {json.dumps(v)}" for name, v in headers.items()]
    script.write_text("\n".join(['wrk.method = "POST"', f"wrk.body = {json.dumps(body)}", *lines]))
    options = ["-t1", f"-c{scenario.connections}", f"-d{seconds}s", "--timeout", "10s"]
    return [wrk, *options, "-s", script, f"http://127.0.0.1:{place.app_port}/"]
