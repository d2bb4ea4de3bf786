"""`FakeSqs` on a loopback port, for producers that use boto3 and for a daemon in a process.

Needs the extra `testing`: `pip install 'worker-tier-daemon[testing]'`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any, Final, Self

from sqsd.testing.queue import FakeSqs
from sqsd.testing.queue_server import SqsServer

#: Region of the queue; any other does as well.
REGION: Final = "us-east-1"
#: Time between two checks of a condition, seconds.
_CHECK_SECONDS: Final = 0.02
#: Time in which a daemon must end after SIGTERM, seconds.
_STOP_SECONDS: Final = 30.0


class SqsEndpoint:
    """Serves one queue over HTTP from a background thread. Use it with `with`.

    `queue` may be used from the test's thread: `queue.send("work")`, `queue.bodies()`.

    Args:
        fifo: whether the queue is a FIFO queue.
        max_receives: receives after which SQS dead-letters a message, or None for no limit.
    """

    def __init__(self, *, fifo: bool = False, max_receives: int | None = None) -> None:
        #: The queue, on the machine's clock.
        self.queue = FakeSqs(time, fifo=fifo, max_receives=max_receives)
        #: Endpoint URL, such as `http://127.0.0.1:40123`; empty outside of the `with` block.
        self.url = ""
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="fake SQS", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopped = asyncio.Event()

    @property
    def client_options(self) -> dict[str, Any]:
        """Arguments for `boto3.client("sqs", **endpoint.client_options)`."""
        return {
            "endpoint_url": self.url,
            "region_name": REGION,
            "aws_access_key_id": "test",
            "aws_secret_access_key": "test",
        }

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables for another process that uses an SDK."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_REGION": REGION,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    @contextlib.contextmanager
    def daemon(
        self, *, http_port: int, environment: Mapping[str, str] = os.environ, **options: object
    ) -> Iterator[subprocess.Popen[bytes]]:
        """Run `sqsd` in a process that POSTs this queue's messages to `localhost:http_port`.

        Args:
            http_port: port of the web application.
            environment: variables of the process, besides `self.environment`.
            options: other options, named as in `tier.json`. Here `status_port` is None by default,
                and `wait_time_seconds` 1, so that the daemon ends soon.
        """
        chosen = {"status_port": None, "wait_time_seconds": 1, "http_port": http_port, **options}
        flags = [
            f"--{name.replace('_', '-')}={'null' if value is None else value}"
            for name, value in {
                "queue_url": self.queue.url,
                "region": REGION,
                "dead_letter_queue_url": f"{self.url}/123456789012/dead-letters",
                **chosen,
            }.items()
        ]
        process = subprocess.Popen(  # noqa: S603 - the command is this package's
            [sys.executable, "-m", "sqsd", "run", *flags], env={**environment, **self.environment}
        )
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def wait_until_empty(self, *, seconds: float = 30.0) -> None:
        """Wait until every message has been deleted or dead-lettered.

        Raises:
            TimeoutError: some are still in the queue after `seconds`; the text has their bodies.
        """
        deadline = time.monotonic() + seconds
        while left := self.queue.bodies():
            if time.monotonic() > deadline:
                raise TimeoutError(f"after {seconds:g} s the queue still has {left}")
            time.sleep(_CHECK_SECONDS)

    def __enter__(self) -> Self:
        self._thread.start()
        self._started.wait()
        assert self.url, "the server did not start; the thread's traceback says why"
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join()
        self.url = ""

    def _serve(self) -> None:
        try:
            asyncio.run(self._serve_until_stopped())
        finally:
            self._started.set()

    async def _serve_until_stopped(self) -> None:
        self._loop = asyncio.get_running_loop()
        async with SqsServer(self.queue) as server:
            self.url = f"http://127.0.0.1:{server.port}"
            self.queue.url = f"{self.url}/123456789012/{self.queue.url.rpartition('/')[2]}"
            self._started.set()
            await self._stopped.wait()
