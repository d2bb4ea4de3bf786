"""`python -m tools.demo.dev`, which `make dev` runs: your application behind the daemon, locally.

It starts an embedded AWS with a queue and a dead-letter queue, and the daemon; the application it
starts by its Procfile, or it is running already. Each line of standard input is sent as a message,
and every outcome is printed. Ctrl-C, or Ctrl-D, drains and ends everything.

Exit codes: 0 it was ended and the daemon finished all messages in flight; 1 something failed, with
one message; 2 wrong arguments.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from tools.demo import application, queues
from tools.demo.application import read_source
from tools.demo.errors import DemoError
from tools.local_aws import LocalAws, LocalAwsError
from tools.local_aws.errors import tail
from tools.local_aws.ports import free_port, listening, port_argument
from tools.local_aws.processes import Child, end_all

#: Receives before a message is dead-lettered; few, so that a poison message is seen to be.
_MAX_RECEIVES: Final = 3
#: Seconds until a failed message is visible again; few, so that its retry is seen.
_ERROR_VISIBILITY_SECONDS: Final = 2
#: How long messages from a pipe may take until all are settled, s.
_SETTLE_SECONDS: Final = 60.0
#: How long the daemon may take to drain, s: its long poll, and the requests in flight.
_DRAIN_SECONDS: Final = 10
_POLL_SECONDS: Final = 0.2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until standard input ends."""
    chosen = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with tempfile.TemporaryDirectory(prefix="worker-tier-dev-") as directory:
            return _run(chosen, Path(directory))
    except (DemoError, LocalAwsError) as error:
        print(f"dev: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        end_all()
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tools.demo.dev",
        description="Run your application behind the daemon: make dev APP=DIR, or PORT=N.",
    )
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument(
        "--app", type=Path, metavar="DIR", help="directory with a Procfile; started on PORT"
    )
    which.add_argument(
        "--port", type=port_argument, metavar="N", help="where your application listens already"
    )
    parser.add_argument("--path", default="/", help="path of the POSTs (default: %(default)s)")
    return parser


def _run(chosen: argparse.Namespace, directory: Path) -> int:
    source = None if chosen.app is None else read_source(chosen.app)
    with ExitStack() as stack:
        aws = stack.enter_context(LocalAws(directory=directory / "local-aws"))
        queue = _make_queue(aws)
        port: int = free_port() if source is not None else chosen.port
        environment = aws.process_environment()
        if source is not None:
            child = application.start(
                source, port=port, environment=environment, directory=directory
            )
            stack.callback(child.stop)
            _say(f"your application: `{source.command}` listens on port {port}")
        elif not listening(port):
            _say(f"nothing listens on port {port} yet; messages wait until your application does")
        daemon = _start_daemon(queue, port, chosen.path, aws, directory)
        stack.callback(daemon.stop)
        follower = threading.Thread(target=_print_events, args=(daemon.stdout,), daemon=True)
        follower.start()
        _say(f"the queue: {queue} (endpoint {aws.endpoint_url}, any keys)")
        _say("type a message and press Enter; Ctrl-D ends")
        _send_lines(aws, queue, daemon)
        code = _drain(daemon)
        follower.join()
    return code


def _make_queue(aws: LocalAws) -> str:
    sqs = aws.client("sqs")
    dead = sqs.create_queue(QueueName="dev-dead-letters")["QueueUrl"]
    attributes = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]
    redrive = {"deadLetterTargetArn": attributes["QueueArn"], "maxReceiveCount": _MAX_RECEIVES}
    made = sqs.create_queue(QueueName="dev", Attributes={"RedrivePolicy": json.dumps(redrive)})
    return str(made["QueueUrl"])


def _start_daemon(queue: str, port: int, path: str, aws: LocalAws, directory: Path) -> Child:
    flags = {
        "queue-url": queue,
        "region": aws.region,
        "http-port": port,
        "http-path": path,
        "error-visibility-timeout": _ERROR_VISIBILITY_SECONDS,
        "max-retries": _MAX_RECEIVES,
        "drain-timeout": _DRAIN_SECONDS,
        "wait-time-seconds": 1,
        "metrics-namespace": "null",
        "status-port": "null",
    }
    return Child(
        [sys.executable, "-P", "-m", "sqsd", "run", *(f"--{k}={v}" for k, v in flags.items())],
        env=aws.process_environment(),
        log=directory / "sqsd.log",
        piped=True,
        cwd=directory,
    )


def _send_lines(aws: LocalAws, queue: str, daemon: Child) -> None:
    for line in sys.stdin:
        if body := line.rstrip("\n"):
            aws.client("sqs").send_message(QueueUrl=queue, MessageBody=body)
        if daemon.exit_code() is not None:
            raise DemoError(f"sqsd ended; the end of what it said:\n{tail(daemon.log)}")
    if sys.stdin.isatty():
        return
    # Messages of a pipe are all sent at once: their outcomes are what was asked for.
    deadline = time.monotonic() + _SETTLE_SECONDS
    while queues.depth(aws, queue).total and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)


def _drain(daemon: Child) -> int:
    daemon.terminate()
    return daemon.wait(_DRAIN_SECONDS * 2)


def _print_events(lines: Iterable[bytes]) -> None:
    for line in lines:
        try:
            event: dict[str, Any] = json.loads(line)
        except ValueError:
            continue
        values = " ".join(
            f"{name}={value}" for name, value in event.items() if name not in ("time", "event")
        )
        _say(f"{event.get('event')} {values}")


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
