"""The process ends when the daemon has, whatever its threads still wait for."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time

from tests.fakes.scripted_application import ScriptedApplication

#: A daemon whose resolver never answers.
SCRIPT = """
import socket, sys, time
import sqsd.__main__ as command

command._loop_factory = lambda: None  # uvloop resolves in C
socket.getaddrinfo = lambda *arguments, **options: time.sleep(60)
sys.exit(command.main(sys.argv[1:]))
"""
KEYS = {"AWS_ACCESS_KEY_ID": "AKIAEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret"}


async def test_a_resolver_that_never_answers_does_not_hold_up_the_end() -> None:
    async with ScriptedApplication() as application:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", SCRIPT, "run", "--region=eu-central-1"),
            "--queue-url=https://sqs.eu-central-1.amazonaws.com/123456789012/work",
            *("--drain-timeout=1", "--status-port=null", f"--http-port={application.port}"),
            env={**os.environ, **KEYS},
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        async with asyncio.timeout(60):
            while b"gate.opened" not in await process.stdout.readline():
                pass
            await asyncio.sleep(1)  # the first receive asks the resolver
            process.send_signal(signal.SIGTERM)
            began = time.monotonic()
            rest = await process.stdout.read()
            await process.wait()
        # A second for the drain, ten for a receive that is open, and little for the rest.
        assert time.monotonic() - began < 18
        assert b"daemon.stopped" in rest
        assert process.returncode in (0, 1)
