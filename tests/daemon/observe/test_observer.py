"""From what happens to what is counted and said: real dispatcher, fake queue and application."""

from __future__ import annotations

import io
from typing import Any

import pytest

from sqsd.contract import events
from sqsd.messages.outcome import Broken, Outcome, Unreachable
from sqsd.observe.eb_log import EbLog
from sqsd.observe.json_log import JsonLog
from sqsd.observe.observer import Observer
from sqsd.observe.prometheus import exposition
from sqsd.testing.clock import VirtualClock, in_virtual_time
from sqsd.testing.log import RecordingLog
from sqsd.testing.queue import Broken as BrokenCall
from sqsd.testing.queue import FailEntries, Refusal
from tests.daemon.observe.observed import World


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
        (Broken.UNANSWERED, 0, Broken.UNANSWERED.value),
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
async def test_a_request_without_a_connection_is_counted_and_is_no_release() -> None:
    async with World().running() as world:
        await world.clock.advance(1)
        world.application.answers(Unreachable.REFUSED)
        world.application.up = False
        world.sqs.send("work")
        await world.clock.advance(5)
        assert world.metrics.app[0].count == 1
        assert world.metrics.released == 0


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
        assert world.recording.of(events.HEARTBEAT_SENT) == []


@in_virtual_time
async def test_every_failed_receive_counts_though_few_are_logged() -> None:
    async with World().running() as world:
        await world.clock.advance(1)
        world.sqs.fault("ReceiveMessage", *[Refusal("AccessDenied", "no")] * 5)
        await world.clock.advance(120)
        assert world.metrics.receives_failed == 5
        assert len(world.recording.of(events.QUEUE_FAILED)) < 5
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

        say(events.LEASE_ACQUIRED, holder="a", term=1)
        observer.emit(events.CRON_ENQUEUED, task="t", late_seconds=0.25)
        observer.emit(events.CRON_REPAIRED, task="t", late_seconds=7.0)
        observer.emit(events.CRON_MISSED, task="t", missed=4)
        observer.emit(events.CRON_SUPPRESSED, task="t")
        observer.emit(events.CRON_SKIPPED, task="t", reason="still running")
        observer.emit(events.LEASE_FAILED, reason="x", times=3)
        sent = clock.monotonic()
        assert observer.last_cron_send == sent
        say(events.LEASE_LOST, holder="a")
        say(events.LEASE_ACQUIRED, holder="a", term=2)
        say(events.LEASE_RELEASED, holder="a", term=2)
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
        observer.emit(events.LEASE_ACQUIRED, holder="a", term=1)
        await world.clock.advance(40)
        assert world.status.levels().last_cron_send_age == pytest.approx(40, abs=0.1)
        # it learns when the leader before it sent
        observer.emit(events.CRON_RECALLED, task="t", sent_at=world.clock.time() - 500)
        observer.emit(events.CRON_RECALLED, task="u", sent_at=world.clock.time() - 300)
        observer.emit(events.CRON_RECALLED, task="v", sent_at=world.clock.time() - 400)
        assert world.status.levels().last_cron_send_age == pytest.approx(300, abs=0.1)
        observer.emit(events.CRON_ENQUEUED, task="t", late_seconds=0.25)
        assert world.status.levels().last_cron_send_age == pytest.approx(0, abs=0.1)

    run()


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


def test_the_reason_of_every_event_is_redacted_before_it_is_written_or_remembered() -> None:
    @in_virtual_time
    async def run() -> None:
        clock, recording = VirtualClock(), RecordingLog()
        observer = Observer(recording, clock)
        lines = [
            value
            for name, value in vars(events).items()
            if name.isupper() and isinstance(value, str) and "." in value
        ]
        for event in set(lines) - {events.MESSAGE_DELETED}:  # which gives none at all
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
        assert TOKEN not in repr(observer.failures)

    run()
