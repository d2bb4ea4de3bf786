"""A whole daemon, as a process, and what an emulator of SQS cannot do to it."""

from __future__ import annotations

import asyncio
import json
import re
import resource
import signal
import time
from email.utils import formatdate
from pathlib import Path
from typing import Any

from sqsd.contract import events
from sqsd.testing.queue import Broken, FailEntries, Refusal
from tests.fakes.world import World, ended, until, world

SECRET = "FwoGZXIvYXdzEDONTPRINTME0123456789"


async def stopped(process: asyncio.subprocess.Process) -> tuple[int, list[dict[str, Any]]]:
    """Told to stop: its exit code, and what it said."""
    process.terminate()
    code, out, error = await ended(process)
    assert error == ""
    return code, [json.loads(line) for line in out.splitlines()]


def of(lines: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    return [event for event in lines if event["event"] == name]


async def start(w: World, *flags: str, **environment: str) -> asyncio.subprocess.Process:
    process = await w.start(asyncio.subprocess.PIPE, *flags, environment=environment)
    await w.ready()
    return process


async def test_entries_that_fail_within_a_batch_are_deleted_in_the_end() -> None:
    async with world() as w:
        process = await start(w)
        w.sqs.fault("DeleteMessageBatch", FailEntries(frozenset({0, 2})), FailEntries({0}))  # type: ignore[arg-type]
        sent = [w.sqs.send(str(n)) for n in range(10)]
        await until(lambda: len(w.sqs.deleted) == 10)
        code, lines = await stopped(process)
        assert (code, w.application.posts) == (0, 10)
        assert len(of(lines, events.MESSAGE_DELETED)) == 10
        assert sorted(w.sqs.deleted) == sorted(sent)


async def test_a_long_poll_that_hangs_is_given_up_and_what_it_took_comes_back() -> None:
    async with world() as w:
        process = await start(w, "--visibility-timeout=3", "--inactivity-timeout=2")
        faults = [Broken.HANG, Broken.LOST, Broken.CUT, Broken.GARBAGE]
        w.sqs.fault("ReceiveMessage", *faults)
        asked = len(w.sqs.called("ReceiveMessage"))
        await until(lambda: len(w.sqs.called("ReceiveMessage")) > asked)  # and hangs
        sent = w.sqs.send("work")
        await until(lambda: w.sqs.deleted == [sent])
        code, lines = await stopped(process)
        assert (code, w.application.posts) == (0, 1)
        assert "no answer within" in of(lines, events.QUEUE_FAILED)[0]["reason"]
        assert of(lines, events.QUEUE_RECOVERED)


async def test_a_token_that_expires_in_the_middle_is_renewed_and_nothing_is_posted_twice(
    tmp_path: Path,
) -> None:
    profile = tmp_path / "credentials"

    def write(token: str) -> None:
        profile.write_text(
            "[default]\naws_access_key_id = AKIAEXAMPLE\naws_secret_access_key = s\n"
            f"aws_session_token = {token}\n"
        )

    write("old")
    async with world() as w:
        process = await start(
            w,
            AWS_SHARED_CREDENTIALS_FILE=str(profile),
            AWS_ACCESS_KEY_ID="",
            AWS_SECRET_ACCESS_KEY="",
        )
        w.application.seconds = 0.5
        sent = [w.sqs.send(str(n)) for n in range(5)]
        await until(lambda: w.application.began == 5)
        # While the requests run the old keys end; the deletes are the first to hear of it.
        write("new")
        w.server.expired_tokens.add("old")
        await until(lambda: sorted(w.sqs.deleted) == sorted(sent))
        code, lines = await stopped(process)
        assert (code, w.application.posts) == (0, 5)
        assert of(lines, events.MESSAGE_DELETE_FAILED) == []


async def test_a_dead_letter_queue_that_refuses_keeps_the_message_and_tells_no_secret() -> None:
    async with world() as w:
        process = await start(
            w,
            '--dead-letter-statuses=["422"]',
            "--error-visibility-timeout=1",
            f"--dead-letter-queue-url=http://127.0.0.1:{w.server.port}/123456789012/dead",
        )
        refusal = Refusal(
            "SignatureDoesNotMatch",
            f"The canonical string should have been 'x-amz-security-token:{SECRET}'",
            403,
        )
        w.sqs.fault("SendMessage", refusal)
        w.application.status = lambda body: 422
        w.sqs.send("poison")
        await until(lambda: w.sqs.dead_letters == ["poison"])
        await until(lambda: w.sqs.deleted)
        pages = [(await w.get(page))[1] for page in ("/status", "/metrics")]
        code, lines = await stopped(process)
        assert code == 0
        (released,) = of(lines, events.MESSAGE_RELEASED)
        assert released["reason"] == "HTTP 422; the dead-letter queue took nothing"
        assert "SignatureDoesNotMatch" in of(lines, events.QUEUE_FAILED)[0]["reason"]
        assert len(of(lines, events.MESSAGE_DEAD_LETTERED)) == 1
        assert SECRET not in repr(lines) + "".join(pages)


async def test_a_failure_in_a_fifo_group_is_not_overtaken() -> None:
    async with world(fifo=True) as w:
        failures = iter([500, 500])
        w.application.status = lambda body: next(failures, 200) if body == b"a2" else 200
        for n in range(1, 5):
            w.sqs.send(f"a{n}", group_id="a")
            w.sqs.send(f"b{n}", group_id="b")
        process = await start(w, "--error-visibility-timeout=1")
        await until(lambda: len(w.sqs.deleted) == 8)
        code, _ = await stopped(process)
        assert code == 0
        of_a = [body for body in w.application.bodies if body.startswith(b"a")]
        assert of_a == [b"a1", b"a2", b"a2", b"a2", b"a3", b"a4"]


async def test_a_second_signal_ends_it_at_once_with_requests_in_the_middle() -> None:
    async with world() as w:
        process = await start(w, "--drain-timeout=300")
        w.application.seconds = 60.0
        w.sqs.send("slow")
        await until(lambda: w.application.began == 1)
        process.send_signal(signal.SIGTERM)
        await until(lambda: w.sqs.calls[-1].action)
        async with asyncio.timeout(30):
            while "draining" not in (await w.get("/readyz"))[1]:  # noqa: ASYNC110 - a process
                await asyncio.sleep(0.05)
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        code, out, _ = await ended(process)
        assert time.monotonic() - began < 20
        lines = [json.loads(line) for line in out.splitlines()]
        assert code == 1
        assert of(lines, events.DAEMON_FORCED)
        assert w.sqs.deleted == []


async def test_a_hostile_message_costs_its_neighbours_nothing() -> None:
    async with world() as w:
        process = await start(w, "--via-sns=true")
        nested = '{"Type": "Notification", "Message": ' + "[" * 200_000
        hostile = w.sqs.send(nested)
        attributes = {
            name: {"DataType": "String", "StringValue": value}
            for name, value in {
                "beanstalk.sqsd.scheduled_time": "0001-01-01 00:00:00 UTC",
                "beanstalk.sqsd.task_name": "a\r\nX-Forged: yes",
                "beanstalk.sqsd.path": "/x HTTP/1.1\r\nX-Forged: yes\r\n\r\n",
                "x\r\nX-Forged": "\x00\ud800",
            }.items()
        }
        forged = w.sqs.send("forged", attributes=attributes)
        others = [w.sqs.send(str(n)) for n in range(20)]
        await until(lambda: len(w.sqs.deleted) == 22)
        code, lines = await stopped(process)
        assert code == 0
        assert sorted(w.sqs.deleted) == sorted([hostile, forged, *others])
        assert of(lines, events.DAEMON_FAILED) == []
        assert nested.encode() in w.application.bodies


async def test_an_application_that_redirects_to_https_is_named_once_for_many_messages() -> None:
    async with world() as w:
        w.application.status = lambda body: 302
        w.application.headers = b"Location: https://example.com/login?token=s\r\n"
        process = await start(w)
        for n in range(5):
            w.sqs.send(str(n))
        await until(lambda: w.application.posts == 5)
        _, lines = await stopped(process)
        (line,) = of(lines, events.APPLICATION_REDIRECTS)
        assert line["reason"] == "the application redirects to https"
        assert (line["status"], line["location"]) == (302, "https://example.com/login")
        assert "User-Agent aws-sqsd" in line["hint"]
        assert len(of(lines, events.MESSAGE_RELEASED)) == 5


async def test_a_machine_with_a_wrong_clock_signs_with_the_time_of_sqs(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("0123456789abcdef" * 4)
    key.chmod(0o400)
    async with world() as w:
        ahead = time.time() + 3_600
        w.server.headers.append(("Date", formatdate(ahead, usegmt=True)))
        process = await start(w, f"--signing-key-file={key}")
        w.sqs.send("work")
        await until(lambda: w.application.heads)
        code, lines = await stopped(process)
        assert code == 0
    found = re.search(r"\r\nX-Aws-Sqsd-Signature: t=(\d+),v1=", w.application.heads[0])
    assert found is not None
    assert abs(int(found[1]) - ahead) < 60
    assert of(lines, events.DAEMON_STARTED)[0]["signing_keys"] == 1


async def test_a_key_that_others_can_read_stops_the_daemon_before_it_receives(
    tmp_path: Path,
) -> None:
    key = tmp_path / "key"
    key.write_text("0123456789abcdef" * 4)
    key.chmod(0o644)
    async with world() as w:
        process = await w.start(asyncio.subprocess.PIPE, f"--signing-key-file={key}")
        code, _, error = await ended(process)
        assert code == 2
        assert f"signing_key_file {key} has mode 0644" in error
        assert w.sqs.calls == []


async def test_with_few_descriptors_fewer_requests_run_and_no_message_loses_a_receive() -> None:
    async with world() as w:
        w.application.seconds = 0.05
        process = await w.start(asyncio.subprocess.PIPE, "--http-connections=100")
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (64, 64))  # long before it asks
        sent = [w.sqs.send(str(n)) for n in range(300)]
        await until(lambda: len(w.sqs.deleted) == len(sent))
        limit = json.loads((await w.get("/status"))[1])["gate"]["http_connections"]
        code, lines = await stopped(process)
    assert code == 0
    assert w.application.posts == 300
    (short,) = of(lines, events.DESCRIPTORS_SHORT)
    assert (short["limit"], short["http_connections"]) == (64, limit)
    assert 1 < limit < 64
    for name in (events.GATE_CLOSED, events.MESSAGE_RELEASED, events.QUEUE_FAILED):
        assert of(lines, name) == []
