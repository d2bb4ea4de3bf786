"""A real daemon process between a fake SQS over the wire and a small application."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable
from typing import Any

from sqsd.base.clock import SystemClock
from sqsd.testing.queue import FakeSqs
from sqsd.testing.queue_server import SqsServer
from tests.fakes.scripted_application import free_port

#: Seconds until a wait for a process is a failure. Machines are shared and slow.
PATIENCE = 30.0


class Application:
    """Answers a GET with 200, and a POST after `seconds` with what `status` says of its body."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.status: Callable[[bytes], int] = lambda body: 200
        self.headers = b""
        self.bodies: list[bytes] = []
        self.heads: list[str] = []
        self.posts = 0
        self.began = 0
        self._conversations: set[asyncio.Task[None]] = set()

    def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A connection was made."""
        task = asyncio.create_task(self._converse(reader, writer))
        self._conversations.add(task)
        task.add_done_callback(self._conversations.discard)

    async def close(self) -> None:
        """End every conversation, also those in the middle of an answer."""
        for task in self._conversations:
            task.cancel()
        await asyncio.gather(*self._conversations, return_exceptions=True)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(EOFError, OSError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                length = next(
                    int(line.partition(":")[2])
                    for line in [*head.split("\r\n"), "content-length: 0"]
                    if line.lower().startswith("content-length")
                )
                body, status = await reader.readexactly(length), 200
                if head.startswith("POST "):
                    self.began += 1
                    self.bodies.append(body)
                    self.heads.append(head)
                    await asyncio.sleep(self.seconds)
                    self.posts += 1
                    status = self.status(body)
                writer.write(
                    b"HTTP/1.1 %d Said\r\n%bContent-Length: 0\r\n\r\n" % (status, self.headers)
                )


class World:
    """A queue, an application and daemons on them."""

    def __init__(
        self, sqs: FakeSqs, server: SqsServer, app_port: int, application: Application
    ) -> None:
        self.sqs = sqs
        self.server = server
        self.app_port = app_port
        self.application = application
        self.queue_name = "work.fifo" if sqs.fifo else "work"
        self.status_port = free_port()
        self.processes: list[asyncio.subprocess.Process] = []

    async def start(
        self, output: Any, *flags: str, environment: dict[str, str] | None = None
    ) -> asyncio.subprocess.Process:
        port = self.server.port
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "sqsd",
            "run",
            f"--queue-url=http://127.0.0.1:{port}/123456789012/{self.queue_name}",
            "--region=eu-west-1",
            "--tier-name=orders",
            f"--http-port={self.app_port}",
            f"--status-port={self.status_port}",
            "--wait-time-seconds=1",
            *flags,
            env={
                **os.environ,
                "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
                "AWS_SECRET_ACCESS_KEY": "SECRET-KEY-DONT-PRINT-ME",
                "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
                "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
                **(environment or {}),
            },
            stdout=output,
            stderr=asyncio.subprocess.PIPE,
        )
        self.processes.append(process)
        return process

    async def get(self, path: str) -> tuple[int, str]:
        def ask() -> tuple[int, str]:
            try:
                with urllib.request.urlopen(
                    f"http://127.0.0.1:{self.status_port}{path}", timeout=5
                ) as answer:
                    return answer.status, answer.read().decode()
            except urllib.error.HTTPError as error:
                with error:
                    return error.code, error.read().decode()
            except OSError:
                return 0, ""

        return await asyncio.to_thread(ask)

    async def ready(self) -> None:
        async with asyncio.timeout(PATIENCE):
            while (await self.get("/readyz"))[0] != 200:  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.05)


@contextlib.asynccontextmanager
async def world(*, fifo: bool = False) -> AsyncIterator[World]:
    sqs, application = FakeSqs(SystemClock(), fifo=fifo), Application()
    server = await asyncio.start_server(application.serve, "127.0.0.1", 0)
    async with SqsServer(sqs) as queue:
        made = World(sqs, queue, server.sockets[0].getsockname()[1], application)
        try:
            yield made
        finally:
            for process in made.processes:
                if process.returncode is None:
                    process.kill()
                await process.communicate()
            server.close()
            await application.close()


async def until(look: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not look():  # noqa: ASYNC110 - what is waited for happens in another process
            await asyncio.sleep(0.02)


async def ended(process: asyncio.subprocess.Process) -> tuple[int, str, str]:
    """Exit code, standard output and error output of a process that is about to end."""
    async with asyncio.timeout(PATIENCE):
        out, error = await process.communicate()
    assert process.returncode is not None
    return process.returncode, (out or b"").decode(), error.decode()
