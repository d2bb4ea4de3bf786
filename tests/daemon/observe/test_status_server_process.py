"""A whole daemon, as a process: what it says on its port and its output, and when it leaves."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from tests.fakes.autoscaling import AutoScaling
from tests.fakes.imds import FakeImds
from tests.fakes.world import PATIENCE, ended, until, world


async def test_a_daemon_explains_itself_on_its_port_and_reports_at_the_end() -> None:
    async with world() as w:
        process = await w.start(asyncio.subprocess.PIPE)
        for number in range(12):
            w.sqs.send(f"BODY-DONT-PRINT-ME {number}")
        await w.ready()
        await until(lambda: len(w.sqs.deleted) == 12)
        status, text = await w.get("/metrics")
        found = {f.name: f for f in text_string_to_metric_families(text)}
        assert status == 200
        assert found["sqsd_messages_deleted"].samples[0].value == 12
        assert found["sqsd_gate_open"].samples[0].value == 1
        assert (await w.get("/healthz"))[0] == 200
        document = json.loads((await w.get("/status"))[1])
        assert document["tier_name"] == "orders"
        assert document["totals"]["deleted"] == 12
        process.terminate()
        code, out, error = await ended(process)
        assert (code, error) == (0, "")
        lines = [json.loads(line) for line in out.splitlines()]
        reports = [line for line in lines if line["event"] == "metrics.reported"]
        assert sum(line.get("MessagesDeleted", 0) for line in reports) == 12
        assert [line["Health"] for line in reports if "Health" in line] == [1]
        assert lines[-1]["event"] == "daemon.stopped"
        assert "DONT-PRINT-ME" not in out


async def test_in_ebs_format_the_log_reads_as_on_elastic_beanstalk() -> None:
    async with world() as w:
        process = await w.start(
            asyncio.subprocess.PIPE, "--log-format=eb", "--metrics-namespace=null"
        )
        message_id = w.sqs.send("work")
        await until(lambda: w.sqs.deleted == [message_id])
        process.terminate()
        code, out, _ = await ended(process)
        assert code == 0
        texts = [line.split(" ", 1)[1] for line in out.splitlines()]
        assert texts[0].startswith("init: initializing aws-sqsd 3.0.5")
        assert texts[1].startswith("start: polling http://127.0.0.1:")
        assert f"message: sent to http://localhost:{w.app_port}/" in texts
        assert texts[-1] == "stop: stopping the daemon"


async def dispatches_with(output: Any, *flags: str) -> str:
    """Send, see it deleted, stop; the error output."""
    async with world() as w:
        process = await w.start(output, *flags)
        for number in range(30):
            w.sqs.send(f"work {number}")
        await until(lambda: len(w.sqs.deleted) == 30)
        failure = json.loads((await w.get("/status"))[1])["log_failure"]
        process.terminate()
        code, _, error = await ended(process)
        assert (code, error) == (0, "")
        return str(failure)


async def test_a_full_disk_disturbs_no_message() -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    try:
        assert "make room on the disk" in await dispatches_with(full)
    finally:
        os.close(full)


async def test_a_reader_that_left_disturbs_no_message() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        assert "what read standard output has ended" in await dispatches_with(writing)
    finally:
        os.close(writing)


async def test_a_reader_that_is_stuck_disturbs_no_message() -> None:
    reading, writing = os.pipe()
    try:
        os.set_blocking(writing, False)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(writing, b"x" * 4096)
        os.set_blocking(writing, True)
        await dispatches_with(writing)
    finally:
        os.close(reading)
        os.close(writing)


async def test_a_port_that_is_taken_disturbs_no_message() -> None:
    async with world() as w:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", w.status_port))
            taken.listen()
            process = await w.start(asyncio.subprocess.PIPE)
            w.sqs.send("work")
            await until(lambda: w.sqs.deleted)
            process.terminate()
            code, out, _ = await ended(process)
        assert code == 0
        (failed,) = [
            event
            for line in out.splitlines()
            if (event := json.loads(line))["event"] == "status.failed"
        ]
        assert str(w.status_port) in failed["reason"]
        assert "status_port" in failed["reason"]


async def test_a_daemon_on_an_instance_that_is_terminated_finishes_says_so_and_waits() -> None:
    auto_scaling = AutoScaling()
    await auto_scaling.start()
    async with FakeImds() as imds, world() as w:
        imds.values["tags/instance/aws:autoscaling:groupName"] = "orders-Group"
        imds.values["autoscaling/target-lifecycle-state"] = "Warmed:Stopped"
        w.application.seconds = 1.0
        w.sqs.send("work")
        process = await w.start(
            asyncio.subprocess.PIPE,
            "--lifecycle-hook=drain",
            environment={
                "AWS_ENDPOINT_URL_AUTO_SCALING": f"http://127.0.0.1:{auto_scaling.port}",
                "AWS_EC2_METADATA_DISABLED": "false",
                "AWS_EC2_METADATA_SERVICE_ENDPOINT": imds.address,
            },
        )
        # in reserve: two looks, and no receive between them
        await until(lambda: imds.asked("spot/instance-action") >= 2)
        assert w.sqs.called("ReceiveMessage") == []
        assert (await w.get("/readyz"))[0] == 503
        # in service: it works
        imds.values["autoscaling/target-lifecycle-state"] = "InService"
        await until(lambda: w.application.began)
        # to be terminated: it finishes what it has, and takes nothing
        imds.values["autoscaling/target-lifecycle-state"] = "Terminated"
        await until(lambda: w.sqs.deleted)
        async with asyncio.timeout(PATIENCE):
            while "draining" not in (await w.get("/readyz"))[1]:  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.05)
        await until(lambda: "CompleteLifecycleAction" in auto_scaling.actions())
        w.sqs.send("late work")
        looks = imds.asked("spot/instance-action")
        await until(lambda: imds.asked("spot/instance-action") > looks)
        assert w.sqs.visible() == ["late work"]
        assert process.returncode is None
        process.send_signal(signal.SIGTERM)
        code, out, _ = await ended(process)
        assert code == 0
        events = [json.loads(line)["event"] for line in out.splitlines()]
        for event in ("held", "resumed", "noticed", "completed"):
            assert events.count(f"lifecycle.{event}") == 1
    assert auto_scaling.actions()[-1] == "CompleteLifecycleAction"
    assert "AutoScalingGroupName=orders-Group" in auto_scaling.requests[-1][1]
    await auto_scaling.stop()


async def test_a_daemon_takes_away_the_protection_that_a_killed_one_left_and_stops_in_time() -> (
    None
):
    auto_scaling = AutoScaling()
    await auto_scaling.start()
    async with FakeImds() as imds, world() as w:
        imds.values["tags/instance/aws:autoscaling:groupName"] = "orders-Group"
        imds.values["autoscaling/target-lifecycle-state"] = "InService"
        process = await w.start(
            asyncio.subprocess.PIPE,
            "--protect-busy-instance=true",
            environment={
                "AWS_ENDPOINT_URL_AUTO_SCALING": f"http://127.0.0.1:{auto_scaling.port}",
                "AWS_EC2_METADATA_DISABLED": "false",
                "AWS_EC2_METADATA_SERVICE_ENDPOINT": imds.address,
            },
        )
        await until(auto_scaling.protections)
        w.sqs.send("work")
        await until(lambda: w.sqs.deleted)
        process.send_signal(signal.SIGTERM)
        code, _, _ = await ended(process)
        assert code == 0
    assert auto_scaling.protections() == ["false"]
    await auto_scaling.stop()
