"""From what happens to what is counted and said: real dispatcher, fake queue and application."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from sqsd import logs
from sqsd.adapters.emf import EmfReport
from sqsd.adapters.sqs import SqsQueue
from sqsd.contract import SqsdOptions
from sqsd.core.cron_yaml import parse_cron_yaml
from sqsd.core.dispatch import Broken, Outcome, Unreachable
from sqsd.core.exposition import exposition
from sqsd.core.message import Message
from sqsd.core.request import RequestBuilder
from sqsd.logs import JsonLog
from sqsd.logs_eb import EbLog
from sqsd.observability import status_pages
from sqsd.ports import EventLog
from sqsd.service.dispatcher import Dispatcher
from sqsd.service.message_counts import ObservedQueue
from sqsd.service.observer import Observer
from sqsd.service.status import HEALTHY_POLL_SECONDS, STUCK_SECONDS, Identity, Status
from sqsd.service.telemetry import REPORT_SECONDS, Telemetry
from tests.fakes.application import FakeApplication
from tests.fakes.clock import VirtualClock, in_virtual_time
from tests.fakes.log import RecordingLog
from tests.fakes.sqs import Broken as BrokenCall
from tests.fakes.sqs import FailEntries, FakeSqs, Refusal

CRON = """
version: 1
cron:
  - {name: late, url: /late, schedule: "0 12 * * *"}
  - {name: soon, url: /soon, schedule: "*/5 * * * *"}
"""


class World:
    """One queue's dispatcher with everything that observes it."""

    def __init__(self, *, fifo: bool = False, log: EventLog | None = None, **options: Any) -> None:
        self.clock = VirtualClock()
        self.sqs = FakeSqs(self.clock, fifo=fifo)
        self.application = FakeApplication()
        self.recording = RecordingLog()
        self.log = Observer(log or self.recording, self.clock)
        chosen = SqsdOptions(**{"http_connections": 10, **options})
        api: Any = self.sqs
        queue = SqsQueue(
            self.sqs.url,
            polls=api,
            control=api,
            clock=self.clock,
            log=self.log,
            visibility_timeout=chosen.visibility_timeout,
        )
        self.dispatcher = Dispatcher(
            options=chosen,
            queue=ObservedQueue(queue, self.log.metrics),
            builder=RequestBuilder(chosen, "work"),
            fifo=fifo,
            application=self.application,
            clock=self.clock,
            log=self.log,
            ready=lambda: self.log.emit(logs.DAEMON_READY),
            jitter=lambda: 0.5,
        )
        self.status = Status(
            identity=Identity(
                version="1.2.3",
                tier_name="orders",
                queue_url=self.sqs.url,
                fifo=fifo,
                http_connections=chosen.http_connections,
            ),
            dispatcher=self.dispatcher,
            observer=self.log,
            clock=self.clock,
            tasks=lambda: parse_cron_yaml(CRON).enabled,
        )
        self.pages = status_pages(self.status, self.log)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[World]:
        task = asyncio.create_task(self.dispatcher.run())
        try:
            yield self
        finally:
            self.dispatcher.drain()
            self.application.abort()
            await task

    @property
    def metrics(self) -> Any:
        return self.log.metrics

    def document(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.pages["/status"]().body)
        return document


@in_virtual_time
async def test_successes_are_counted_with_their_durations() -> None:
    async with World().running() as world:
        world.application.seconds = 0.3
        for number in range(25):
            world.sqs.send(f"work {number}")
        await world.clock.advance(10)
        metrics = world.metrics
        assert metrics.received == metrics.deleted == 25
        assert metrics.retries == 0
        success = metrics.app[2]
        assert success.count == metrics.dwell.count == metrics.dispatch.count == 25
        assert success.total == pytest.approx(25 * 0.3, rel=0.01)
        assert metrics.delete.count == 25


@pytest.mark.parametrize(
    ("outcome", "status_class", "reason"),
    [
        (500, 5, "HTTP 500"),
        (404, 4, "HTTP 404"),
        (302, 3, "HTTP 302"),
        (204, 2, "HTTP 204"),
        (Broken.INACTIVE, 0, Broken.INACTIVE.value),
        (Broken.CLOSED, 0, Broken.CLOSED.value),
        (Unreachable.REFUSED, 0, Unreachable.REFUSED.value),
    ],
)
def test_a_failure_is_counted_by_reason_and_class(
    outcome: Outcome | int, status_class: int, reason: str
) -> None:
    @in_virtual_time
    async def run() -> None:
        async with World().running() as world:
            world.application.answers(outcome)
            world.sqs.send("work")
            await world.clock.advance(5)
            assert set(world.metrics.releases) == {reason}
            assert world.metrics.released == world.metrics.releases[reason] >= 1
            assert world.metrics.app[status_class].count == world.metrics.released
            assert sum(h.count for h in world.metrics.app) == world.metrics.released

    run()


@in_virtual_time
async def test_a_second_receive_is_a_retry() -> None:
    async with World(error_visibility_timeout=1).running() as world:
        world.application.answers(500, 500, 200)
        world.sqs.send("work")
        await world.clock.advance(20)
        assert world.metrics.retries == 2
        assert world.metrics.deleted == 1
        assert world.metrics.released == 2


@in_virtual_time
async def test_an_expired_message_is_no_dispatch() -> None:
    async with World().running() as world:
        now = world.clock.time()
        world.sqs.send("old", first_received_at=now - 400_000)
        await world.clock.advance(5)
        assert world.metrics.expired == 1
        assert world.metrics.deleted == 1
        assert world.metrics.app[0].count == world.metrics.dispatch.count == 0


@in_virtual_time
async def test_heartbeats_are_counted_and_not_logged() -> None:
    async with World(visibility_timeout=30).running() as world:
        world.application.answers(None)
        world.sqs.send("long work")
        await world.clock.advance(100)
        assert world.metrics.heartbeats == len(world.sqs.called("ChangeMessageVisibilityBatch"))
        assert world.metrics.heartbeats >= 5
        world.sqs.fault("ChangeMessageVisibilityBatch", FailEntries(frozenset({0})))
        await world.clock.advance(20)
        assert world.metrics.heartbeats_failed == 1
        assert world.recording.of(logs.HEARTBEAT_SENT) == []


@in_virtual_time
async def test_every_failed_receive_counts_though_few_are_logged() -> None:
    async with World().running() as world:
        await world.clock.advance(1)
        world.sqs.fault("ReceiveMessage", *[Refusal("AccessDenied", "no")] * 5)
        await world.clock.advance(120)
        assert world.metrics.receives_failed == 5
        assert len(world.recording.of(logs.QUEUE_FAILED)) < 5
        assert world.metrics.receives_empty > 0


@in_virtual_time
async def test_failed_deletes_are_counted() -> None:
    async with World().running() as world:
        world.sqs.fault("DeleteMessageBatch", *[FailEntries(frozenset({0}))] * 8)
        world.sqs.send("work")
        await world.clock.advance(100)
        assert world.metrics.delete_failed == 1
        # the application's time is known all the same
        assert world.metrics.app[2].count >= 1


def test_periodic_tasks_and_the_lease_are_counted() -> None:
    @in_virtual_time
    async def run() -> None:
        clock = VirtualClock()
        observer = Observer(RecordingLog(), clock)
        leads: list[bool] = []

        def say(event: str, **values: Any) -> None:
            observer.emit(event, **values)
            leads.append(observer.leader)

        say(logs.LEASE_ACQUIRED, holder="a", term=1)
        observer.emit(logs.CRON_ENQUEUED, task="t", late_seconds=0.25)
        observer.emit(logs.CRON_REPAIRED, task="t", late_seconds=7.0)
        observer.emit(logs.CRON_MISSED, task="t", missed=4)
        observer.emit(logs.CRON_SUPPRESSED, task="t")
        observer.emit(logs.CRON_SKIPPED, task="t", reason="still running")
        observer.emit(logs.LEASE_FAILED, reason="x", times=3)
        sent = clock.monotonic()
        assert observer.last_cron_send == sent
        say(logs.LEASE_LOST, holder="a")
        say(logs.LEASE_ACQUIRED, holder="a", term=2)
        say(logs.LEASE_RELEASED, holder="a", term=2)
        assert leads == [True, False, True, False]
        metrics = observer.metrics
        assert (metrics.cron_enqueued, metrics.cron_repaired, metrics.cron_missed) == (1, 1, 4)
        assert (metrics.cron_suppressed, metrics.cron_skipped) == (1, 1)
        assert metrics.lease_failed == 3
        assert metrics.cron_late.count == 2
        assert metrics.cron_late.total == 7.25
        assert (metrics.lease_acquired, metrics.lease_lost) == (2, 1)

    run()


def test_a_leader_that_has_not_sent_yet_is_silent_since_it_leads_or_since_another_sent() -> None:
    @in_virtual_time
    async def run() -> None:
        world = World()
        observer = world.log
        assert world.status.levels().last_cron_send_age is None, "a follower that never sent"
        observer.emit(logs.LEASE_ACQUIRED, holder="a", term=1)
        await world.clock.advance(40)
        assert world.status.levels().last_cron_send_age == pytest.approx(40, abs=0.1)
        # it learns when the leader before it sent
        observer.emit(logs.CRON_RECALLED, task="t", sent_at=world.clock.time() - 500)
        observer.emit(logs.CRON_RECALLED, task="u", sent_at=world.clock.time() - 300)
        observer.emit(logs.CRON_RECALLED, task="v", sent_at=world.clock.time() - 400)
        assert world.status.levels().last_cron_send_age == pytest.approx(300, abs=0.1)
        observer.emit(logs.CRON_ENQUEUED, task="t", late_seconds=0.25)
        assert world.status.levels().last_cron_send_age == pytest.approx(0, abs=0.1)

    run()


# ---- what it says of itself


@in_virtual_time
async def test_ready_means_that_messages_are_being_taken() -> None:
    world = World()
    world.application.up = False
    async with world.running():
        await world.clock.advance(5)
        assert world.pages["/readyz"]() == (503, *world.pages["/readyz"]()[1:])
        assert "application" in world.pages["/readyz"]().body
        world.application.up = True
        await world.clock.advance(60)
        assert world.pages["/readyz"]().status == 200
        world.dispatcher.drain()
        assert world.pages["/readyz"]().body == "draining\n"
        assert world.pages["/healthz"]().status == 200


@in_virtual_time
async def test_alive_ends_when_a_receive_hangs_and_not_when_the_application_is_down() -> None:
    async with World().running() as world:
        await world.clock.advance(30)
        world.application.up = False
        world.application.answers(Unreachable.REFUSED)
        world.sqs.send("work")
        await world.clock.advance(10 * STUCK_SECONDS)
        assert world.pages["/healthz"]().status == 200
        assert not world.status.polled_lately()
        # the application comes back, but receives hang for ever, deadline and all
        world.application.up = True
        world.application.answers(200)
        await world.clock.advance(30)
        assert world.status.polled_lately()
        hung: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        async def hang(limit: int, wait_seconds: int) -> list[Message]:
            await hung
            return []

        world.dispatcher._queue.receive = hang  # type: ignore[method-assign]
        await world.clock.advance(STUCK_SECONDS + 60)
        page = world.pages["/healthz"]()
        assert page.status == 503
        assert "no receive has completed" in page.body


@in_virtual_time
async def test_the_status_shows_what_is_in_flight_and_since_when() -> None:
    async with World(fifo=True).running() as world:
        world.application.answers(None)
        await world.clock.advance(1)
        for number in range(3):
            world.sqs.send(f"work {number}", group_id=f"group {number % 2}")
        await world.clock.advance(45)
        document = world.document()
        flights = document["in_flight"]
        assert flights["count"] == len(world.application.running) >= 1
        assert flights["states"]["running"] == flights["count"]
        assert 20 < flights["oldest"][0]["age_seconds"] < 46
        assert flights["oldest"][0]["message_id"] in world.application.running
        assert sum(document["lanes"].values()) == flights["count"]
        assert document["gate"]["open"] is True
        assert document["version"] == "1.2.3"


@in_virtual_time
async def test_the_status_shows_when_each_task_is_next() -> None:
    async with World().running() as world:
        assert datetime.fromtimestamp(world.clock.time(), UTC).hour == 0
        assert world.document()["cron"]["next"] == [
            {"task": "soon", "at": "2026-01-01T00:05:00Z"},
            {"task": "late", "at": "2026-01-01T12:00:00Z"},
        ]


@in_virtual_time
async def test_the_status_remembers_the_newest_troubles_and_no_more() -> None:
    async with World(error_visibility_timeout=0).running() as world:
        world.application.answers(500)
        world.sqs.send("work")
        await world.clock.advance(30)
        troubles = world.document()["last_troubles"]
        assert len(troubles) == 20
        assert {trouble["event"] for trouble in troubles} == {logs.MESSAGE_RELEASED}
        assert [t["time"] for t in troubles] == sorted((t["time"] for t in troubles), reverse=True)


@in_virtual_time
async def test_the_metrics_page_can_be_read_by_prometheus_while_messages_flow() -> None:
    async with World().running() as world:
        for number in range(7):
            world.sqs.send(f"work {number}")
        await world.clock.advance(5)
        page = world.pages["/metrics"]()
        found = {f.name: f for f in text_string_to_metric_families(page.body)}
        assert found["sqsd_messages_deleted"].samples[0].value == 7


# ---- reports


def reporting(world: World) -> tuple[list[str], asyncio.Task[None]]:
    """The lines that a report prints while its task runs."""
    lines: list[str] = []
    telemetry = Telemetry(
        report=EmfReport("WorkerTier", "orders"),
        observer=world.log,
        status=world.status,
        application=world.application,
        clock=world.clock,
        write=lines.append,
    )
    return lines, asyncio.create_task(telemetry.run(None))


@in_virtual_time
async def test_a_report_comes_each_minute_and_a_last_one_at_the_end() -> None:
    async with World().running() as world:
        lines, task = reporting(world)
        world.sqs.send("work")
        await world.clock.advance(REPORT_SECONDS - 1)
        assert lines == []
        await world.clock.advance(2)
        assert json.loads(lines[0])["MessagesDeleted"] == 1
        assert json.loads(lines[1])["Health"] == 1
        await world.clock.advance(REPORT_SECONDS)
        assert len(lines) == 4
        world.sqs.send("last work")
        await world.clock.advance(5)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert json.loads(lines[4])["MessagesDeleted"] == 1


@in_virtual_time
async def test_health_is_0_while_the_application_is_down_or_the_queue_is_not_polled() -> None:
    async with World().running() as world:
        lines, task = reporting(world)

        async def health_after(seconds: float) -> int:
            await world.clock.advance(seconds)
            value: int = json.loads(lines[-1])["Health"]
            return value

        assert await health_after(REPORT_SECONDS + 1) == 1
        world.application.up = False
        assert await health_after(REPORT_SECONDS) == 0
        world.application.up = True
        assert await health_after(REPORT_SECONDS) == 1
        # EB counts a queue as polled for three minutes
        world.sqs.fault("ReceiveMessage", *[Refusal("AccessDenied", "no")] * 1_000)
        assert await health_after(HEALTHY_POLL_SECONDS - 60) == 1
        assert await health_after(HEALTHY_POLL_SECONDS) == 0
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


# ---- secrets


BODY, ATTRIBUTE = "BODY-dont-print-me-51b2", "ATTRIBUTE-dont-print-me-77c0"
TOKEN, KEY = "TOKEN+dont/print+me+90aa==", "SECRETKEYdontprintme1234"


@pytest.mark.parametrize("form", ["json", "eb"])
def test_no_body_credential_or_handle_is_ever_written(form: str) -> None:
    @in_virtual_time
    async def run() -> None:
        stream = io.StringIO()
        clock = VirtualClock()
        log = (JsonLog if form == "json" else EbLog)(stream, clock.time)
        world = World(log=log, error_visibility_timeout=1, visibility_timeout=10)
        handles: set[str] = set()
        async with world.running():
            attributes = {
                "plain": {"DataType": "String", "StringValue": ATTRIBUTE},
                "bin": {"DataType": "Binary", "BinaryValue": ATTRIBUTE},
            }
            first = world.sqs.send(BODY, attributes=attributes)
            world.sqs.send(BODY, first_received_at=clock.time() - 400_000)
            world.application.answers(500, Broken.CLOSED, Unreachable.REFUSED, 200)
            await clock.advance(5)
            handles |= {h for h in world.sqs._by_handle if h}
            handle = next(iter(handles))
            world.sqs.fault(
                "ReceiveMessage",
                Refusal("SignatureDoesNotMatch", f"x-amz-security-token:{TOKEN}\nSignature={KEY}"),
                Refusal("InvalidClientTokenId", f"the secret access key: '{KEY}'"),
                BrokenCall.LOST,
            )
            await clock.advance(90)
            world.sqs.fault(
                "DeleteMessageBatch",
                *[Refusal("ReceiptHandleIsInvalid", f'The receipt handle "{handle}" is bad')] * 8,
            )
            world.application.answers(200)
            world.sqs.send(BODY)
            world.sqs.expose(first) if first in world.sqs._messages else None
            await clock.advance(120)
            handles |= {h for h in world.sqs._by_handle if h}
            said = stream.getvalue() + world.pages["/status"]().body
            said += exposition(world.metrics, world.status.levels(), "1")
        said += stream.getvalue()
        assert world.metrics.deleted > 0
        assert world.metrics.receives_failed >= 2
        assert "[redacted]" in said, "the faults never reached the log: this test shows nothing"
        for secret in {BODY, ATTRIBUTE, TOKEN, KEY, *handles}:
            assert secret not in said

    run()


def test_whatever_event_says_why_is_redacted_before_it_is_written_or_kept() -> None:
    @in_virtual_time
    async def run() -> None:
        clock, recording = VirtualClock(), RecordingLog()
        observer = Observer(recording, clock)
        events = [
            value
            for name, value in vars(logs).items()
            if name.isupper() and isinstance(value, str) and "." in value
        ]
        for event in set(events) - {logs.MESSAGE_DELETED}:  # which gives none at all
            observer.emit(
                event,
                reason=f"x-amz-security-token:{TOKEN}",
                count=1,
                failed=0,
                missed=1,
                times=1,
            )
        assert recording.events != []
        assert TOKEN not in repr(recording.events)
        assert TOKEN not in repr(observer.troubles)

    run()
