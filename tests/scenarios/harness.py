"""A worker tier on this machine: real queue and table in the embedded AWS, real daemon processes.

Only the application is written for the test: it answers what the test says, over real HTTP.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeVar

from sqsd import contract
from tools.local_aws import LocalAws

T = TypeVar("T")
#: Seconds until a wait for something over the wire is a failure. Machines are shared and slow.
PATIENCE = 30.0


def eventually(poll: Callable[[], T], *, seconds: float = PATIENCE, what: str = "") -> T:
    """The first true thing that `poll` returns; fails when it has not come in time."""
    deadline = time.monotonic() + seconds
    while True:
        if found := poll():
            return found
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what or poll}"
        time.sleep(0.05)


@dataclass(frozen=True)
class Post:
    """A request that the application saw; `at` and `until` in monotonic seconds."""

    path: str
    headers: Mapping[str, str]
    body: bytes
    at: float
    until: float

    @property
    def message_id(self) -> str:
        return self.headers[contract.HEADER_MESSAGE_ID.lower()]


#: Instead of a status: close the connection without an answer.
HANG_UP = 0
#: What the application answers: a status, after so many seconds.
Answer = tuple[int, float]


@dataclass
class Application:
    """A web application on a free port; `answer` decides, by path, headers and body."""

    answer: Callable[[str, Mapping[str, str], bytes], Answer] = lambda *_: (200, 0.0)
    posts: list[Post] = field(default_factory=list)
    began: list[str] = field(default_factory=list)
    answered_200: list[str] = field(default_factory=list)
    port: int = 0
    _connections: set[socket.socket] = field(default_factory=set)

    def start(self) -> None:
        """Listen: on the port it had, if it had one."""
        application = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                super().setup()
                application._connections.add(self.connection)

            def finish(self) -> None:
                application._connections.discard(self.connection)
                super().finish()

            def do_POST(self) -> None:
                at = time.monotonic()
                body = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                application.began.append(headers[contract.HEADER_MESSAGE_ID.lower()])
                status, seconds = application.answer(self.path, headers, body)
                time.sleep(seconds)
                if status == HANG_UP:
                    self.close_connection = True
                    return
                post = Post(self.path, headers, body, at, time.monotonic())
                application.posts.append(post)
                if status == 200:
                    application.answered_200.append(post.message_id)
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """As when its process ends: nothing listens, and no connection is left."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        for connection in list(self._connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def bodies(self) -> list[bytes]:
        return [post.body for post in list(self.posts)]


class Daemon:
    """An `sqsd run` process; its standard output is its events.

    Args:
        environment: over that of `aws`; None takes a variable away.
    """

    def __init__(
        self,
        settings: Path,
        aws: LocalAws,
        log: Path,
        environment: Mapping[str, str | None] | None = None,
    ) -> None:
        self._log = log
        self._stopping = False
        #: Where its periodic tasks are.
        self.cron_file = settings.parent / contract.CRON_FILE_NAME
        wanted = {**os.environ, **aws.environment(), **(environment or {})}
        with log.open("w") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "sqsd", "run", "--settings", str(settings)],
                env={name: value for name, value in wanted.items() if value is not None},
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def events(self, name: str | None = None) -> list[dict[str, Any]]:
        """What it logged so far; a line that is still being written is left for the next time."""
        lines = self._log.read_text().split("\n")[:-1]
        events = [json.loads(line) for line in lines if line.startswith("{")]
        return [event for event in events if name in (None, event["event"])]

    def wait_for(self, name: str, count: int = 1) -> list[dict[str, Any]]:
        def enough() -> list[dict[str, Any]]:
            assert self.alive, f"sqsd ended with {self._process.poll()}: {self._log.read_text()}"
            found = self.events(name)
            return found if len(found) >= count else []

        return eventually(enough, what=f"{count} x {name}; so far: {self._log}")

    def signal(self, number: signal.Signals) -> None:
        self._stopping |= number is signal.SIGTERM
        self._process.send_signal(number)

    def stop(self) -> int:
        """SIGTERM, if it has had none; the exit code."""
        if self.alive and not self._stopping:
            self.signal(signal.SIGTERM)
        return self._process.wait(PATIENCE)

    def kill(self) -> None:
        if self.alive:
            self._process.kill()
        self._process.wait(PATIENCE)


class Tier:
    """One tier: queue, dead-letter queue, leader table, application, and any number of daemons."""

    def __init__(self, aws: LocalAws, directory: Path) -> None:
        self.aws = aws
        self._directory = directory
        self.sqs = aws.client("sqs")
        self.dynamodb = aws.client("dynamodb")
        self.name = f"tier-{uuid.uuid4().hex[:8]}"
        self.application = Application()
        self.daemons: list[Daemon] = []
        self.queue_url = self.dead_letter_queue_url = ""
        self.leader_table: str | None = None

    def set_up(
        self, *, max_retries: int = 10, fifo: bool = False, queue_seconds: int = 300
    ) -> None:
        """Make the queues, as the construct would."""
        suffix, more = (".fifo", {"FifoQueue": "true"}) if fifo else ("", {})
        create = self.sqs.create_queue
        self.dead_letter_queue_url = create(QueueName=f"{self.name}-dead{suffix}", Attributes=more)[
            "QueueUrl"
        ]
        arn = self._attributes(self.dead_letter_queue_url)["QueueArn"]
        redrive = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": max_retries})
        self.queue_url = create(
            QueueName=f"{self.name}{suffix}",
            Attributes={
                "RedrivePolicy": redrive,
                "VisibilityTimeout": str(queue_seconds),
                **more,
            },
        )["QueueUrl"]
        self.application.start()

    def add_leader_table(self) -> None:
        self.leader_table = f"{self.name}-leader"
        self.dynamodb.create_table(
            TableName=self.leader_table,
            KeySchema=[{"AttributeName": contract.LEADER_TABLE_KEY, "KeyType": "HASH"}],
            AttributeDefinitions=[
                {"AttributeName": contract.LEADER_TABLE_KEY, "AttributeType": "S"}
            ],
            BillingMode="PAY_PER_REQUEST",
        )

    def start_daemon(
        self,
        *,
        cron: str | None = None,
        environment: Mapping[str, str | None] | None = None,
        **options: Any,
    ) -> Daemon:
        directory = self._directory / f"daemon-{len(self.daemons)}"
        directory.mkdir()
        if cron is not None:
            (directory / contract.CRON_FILE_NAME).write_text(cron)
        defaults = {"http_port": self.application.port, "wait_time_seconds": 1}
        settings = contract.TierSettings(
            resources=contract.TierResources(
                queue_url=self.queue_url,
                region="us-east-1",
                tier_name=self.name,
                dead_letter_queue_url=self.dead_letter_queue_url,
                leader_table=self.leader_table,
            ),
            options=contract.SqsdOptions(**{**defaults, **options}),
            cron_file=None if cron is None else contract.CRON_FILE_NAME,
        )
        path = directory / "tier.json"
        path.write_text(json.dumps(settings.to_document()))
        daemon = Daemon(path, self.aws, directory / "events.log", environment)
        self.daemons.append(daemon)
        return daemon

    def send(self, *bodies: str, **more: Any) -> list[str]:
        """Send messages; their ids."""
        return [
            self.sqs.send_message(QueueUrl=self.queue_url, MessageBody=body, **more)["MessageId"]
            for body in bodies
        ]

    def counts(self) -> dict[str, int]:
        """How many messages are where: `visible`, `in_flight`, `dead`."""
        work = self._attributes(self.queue_url)
        dead = self._attributes(self.dead_letter_queue_url)
        return {
            "visible": int(work["ApproximateNumberOfMessages"]),
            "in_flight": int(work["ApproximateNumberOfMessagesNotVisible"]),
            "dead": int(dead["ApproximateNumberOfMessages"]),
        }

    def _attributes(self, url: str) -> dict[str, str]:
        answer = self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
        attributes: dict[str, str] = answer["Attributes"]
        return attributes

    def tear_down(self) -> None:
        for daemon in self.daemons:
            daemon.kill()
        self.application.stop()
