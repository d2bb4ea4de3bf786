"""What becomes of a message, over the wire: a real queue, a real daemon, a real application."""

from __future__ import annotations

import itertools
import signal
import time
from collections import Counter

import pytest

from sqsd import contract
from tests.scenarios.harness import HANG_UP, Post, Tier, eventually

pytestmark = pytest.mark.local_aws

NOTHING_LEFT = {"visible": 0, "in_flight": 0, "dead": 0}


def test_a_message_answered_200_is_deleted(tier: Tier) -> None:
    tier.set_up()
    tier.start_daemon()
    (message_id,) = tier.send("work")
    eventually(lambda: tier.counts() == NOTHING_LEFT and tier.application.posts)
    (post,) = tier.application.posts
    assert post.body == b"work"
    assert post.message_id == message_id


def test_the_application_sees_every_header_of_elastic_beanstalk(tier: Tier) -> None:
    tier.set_up()
    tier.start_daemon(http_path="/work?source=queue")
    tier.send(
        "message 0",
        MessageAttributes={
            "traceId": {"DataType": "String", "StringValue": "abc"},
            "size": {"DataType": "Number.int", "StringValue": "12"},
            "blob": {"DataType": "Binary", "BinaryValue": b"\x00"},
        },
    )
    (post,) = eventually(lambda: list(tier.application.posts))
    headers = dict(post.headers)
    assert post.path == "/work?source=queue"
    for moment in ("first-received-at", "sent-at"):
        text = headers.pop(f"x-aws-sqsd-{moment}")
        assert time.strptime(text, "%Y-%m-%dT%H:%M:%SZ")
    assert headers.pop("x-aws-sqsd-msgid")
    assert headers.pop("x-aws-sqsd-sender-id")
    assert headers == {
        "content-type": "application/json",
        "user-agent": contract.USER_AGENT,
        "x-aws-sqsd-receive-count": "1",
        "x-aws-sqsd-queue": tier.name,
        "x-aws-sqsd-path": "/work?source=queue",
        "x-aws-sqsd-attr-traceid": "abc",
        "x-aws-sqsd-attr-size": "12",
        "host": f"localhost:{tier.application.port}",
        "accept-encoding": "gzip, compressed",
        "content-length": "9",
    }


def test_a_message_answered_500_comes_back_after_error_visibility_timeout(tier: Tier) -> None:
    tier.set_up()
    tier.application.answer = lambda _path, headers, _body: (
        500 if headers["x-aws-sqsd-receive-count"] == "1" else 200,
        0.0,
    )
    tier.start_daemon(error_visibility_timeout=2)
    tier.send("work")
    eventually(lambda: len(tier.application.posts) == 2 and tier.counts() == NOTHING_LEFT)
    first, second = tier.application.posts
    assert first.message_id == second.message_id
    assert 1.9 <= second.at - first.until < 8


def test_without_error_visibility_timeout_a_failed_message_waits_out_its_visibility(
    tier: Tier,
) -> None:
    tier.set_up()
    tier.application.answer = lambda _path, headers, _body: (
        500 if headers["x-aws-sqsd-receive-count"] == "1" else 200,
        0.0,
    )
    tier.start_daemon(visibility_timeout=4, inactivity_timeout=3)
    tier.send("work")
    eventually(lambda: len(tier.application.posts) == 2)
    first, second = tier.application.posts
    assert 3.5 <= second.at - first.at < 10


@pytest.mark.parametrize("status", [201, 204, 302, 404, 429])
def test_only_200_deletes(tier: Tier, status: int) -> None:
    tier.set_up()
    tier.application.answer = lambda *_: (status, 0.0)
    daemon = tier.start_daemon()
    tier.send("work")
    (event,) = daemon.wait_for("message.released")
    assert event["status"] == status
    assert daemon.stop() == 0
    assert tier.counts() == {"visible": 0, "in_flight": 1, "dead": 0}


def test_only_the_poison_message_reaches_the_dead_letter_queue(tier: Tier) -> None:
    tier.set_up(max_retries=3)
    tier.application.answer = lambda _path, _headers, body: (
        500 if body == b"poison" else 200,
        0.0,
    )
    tier.start_daemon(error_visibility_timeout=0, max_retries=3)
    tier.send("poison", "good", "better")
    eventually(lambda: tier.counts() == {"visible": 0, "in_flight": 0, "dead": 1})
    assert tier.application.bodies().count(b"poison") == 3
    assert sorted(set(tier.application.bodies())) == [b"better", b"good", b"poison"]


def test_a_slow_message_is_held_by_heartbeats_beyond_its_visibility(tier: Tier) -> None:
    tier.set_up()
    tier.application.answer = lambda *_: (200, 5.0)
    tier.start_daemon(visibility_timeout=2, inactivity_timeout=20)
    tier.send("slow")
    eventually(lambda: tier.application.posts and tier.counts() == NOTHING_LEFT)
    assert len(tier.application.posts) == 1


def test_sigterm_finishes_what_runs_and_loses_nothing(tier: Tier) -> None:
    tier.set_up()
    tier.application.answer = lambda *_: (200, 0.3)
    daemon = tier.start_daemon(http_connections=4)
    sent = set(tier.send(*(f"message {number}" for number in range(40))))
    daemon.wait_for("message.deleted", 5)
    # when it gets SIGTERM amid the work
    began = set(tier.application.began)
    assert daemon.stop() == 0
    # then every request that had begun was answered and deleted, and the rest is in the queue
    deleted = {event["message_id"] for event in daemon.events("message.deleted")}
    assert began <= deleted
    assert {post.message_id for post in tier.application.posts} == deleted
    counts = tier.counts()
    assert counts["dead"] == counts["in_flight"] == 0
    assert counts["visible"] == len(sent) - len(deleted)
    # and the next daemon does the rest, each message once
    tier.start_daemon()
    eventually(lambda: tier.counts() == NOTHING_LEFT)
    ids = [post.message_id for post in tier.application.posts]
    assert sorted(ids) == sorted(sent)


def test_what_comes_while_a_daemon_stops_costs_one_receive_however_many_polls_are_open(
    tier: Tier,
) -> None:
    tier.set_up()
    daemon = tier.start_daemon(wait_time_seconds=15)
    tier.send(*(f"message {number}" for number in range(100)))
    daemon.wait_for("message.deleted", 100)
    # after such a burst several receives wait for more, for up to fifteen seconds
    daemon.signal(signal.SIGTERM)
    daemon.wait_for("daemon.draining")
    (late,) = tier.send("late")
    assert daemon.stop() == 0
    assert late not in tier.application.began
    (message,) = tier.sqs.receive_message(
        QueueUrl=tier.queue_url, AttributeNames=["ApproximateReceiveCount"]
    )["Messages"]
    assert message["MessageId"] == late
    assert int(message["Attributes"]["ApproximateReceiveCount"]) == 2  # the daemon's, and ours
    (released,) = daemon.events("message.released")
    assert released["receive_count"] == 1


def test_an_application_that_restarts_costs_few_receives_however_many_polls_are_open(
    tier: Tier,
) -> None:
    tier.set_up(max_retries=3)
    daemon = tier.start_daemon(wait_time_seconds=20)
    tier.send(*(f"message {number}" for number in range(100)))
    daemon.wait_for("message.deleted", 100)
    # after such a burst several receives wait for more
    tier.application.stop()
    (first,) = tier.send("finds no application")
    daemon.wait_for("gate.closed")
    sent = [first, *tier.send("late", "later")]
    daemon.wait_for("gate.waiting")  # for ten seconds
    tier.application.start()
    daemon.wait_for("message.deleted", 103)
    assert tier.counts() == NOTHING_LEFT
    posts = {post.message_id: post for post in tier.application.posts[100:]}
    counts = [int(posts[message_id].headers["x-aws-sqsd-receive-count"]) for message_id in sent]
    # Its first found no application; each poll that ended before it was back costs another.
    assert counts[0] <= 3
    assert max(counts[1:]) <= 2


def test_a_killed_daemon_costs_messages_in_flight_one_receive_and_no_more(tier: Tier) -> None:
    tier.set_up()
    tier.application.answer = lambda *_: (200, 0.5)
    daemon = tier.start_daemon(visibility_timeout=3, inactivity_timeout=2, http_connections=4)
    sent = set(tier.send(*(f"message {number}" for number in range(12))))
    daemon.wait_for("message.deleted", 3)
    daemon.signal(signal.SIGKILL)
    tier.start_daemon(visibility_timeout=30)
    eventually(lambda: tier.counts() == NOTHING_LEFT)
    assert {post.message_id for post in tier.application.posts} == sent
    assert all(int(p.headers["x-aws-sqsd-receive-count"]) <= 2 for p in tier.application.posts)


def test_nothing_is_received_while_the_application_is_down(tier: Tier) -> None:
    tier.set_up(max_retries=3)
    tier.application.stop()
    daemon = tier.start_daemon(max_retries=3)
    tier.send(*(f"message {number}" for number in range(5)))
    daemon.wait_for("daemon.started")
    time.sleep(2)
    # they were not received again
    assert tier.counts() == {"visible": 5, "in_flight": 0, "dead": 0}
    # and once it is up, all of them are dispatched at their first receive
    tier.application.start()
    eventually(lambda: tier.counts() == NOTHING_LEFT)
    assert {p.headers["x-aws-sqsd-receive-count"] for p in tier.application.posts} == {"1"}


@pytest.mark.parametrize("statuses", [(503,), (504,), (200, 502), (HANG_UP, 500)])
def test_a_queue_of_failures_spends_no_more_receives_than_elastic_beanstalk(
    tier: Tier, statuses: tuple[int, ...]
) -> None:
    visibility_timeout = 5
    turn = itertools.count()
    tier.application.answer = lambda *_: (statuses[next(turn) % len(statuses)], 0.0)
    tier.set_up()
    began = time.monotonic()
    tier.start_daemon(visibility_timeout=visibility_timeout, inactivity_timeout=4)
    tier.send(*(f"message {n}" for n in range(200)))
    eventually(lambda: len(set(tier.application.began)) == 200)
    time.sleep(2 * visibility_timeout)
    most = 1 + int((time.monotonic() - began) / visibility_timeout)
    assert max(Counter(tier.application.began).values()) <= most
    assert tier.counts()["dead"] == 0


@pytest.mark.long
@pytest.mark.timeout(600)
def test_minutes_of_failures_spend_no_more_receives_than_elastic_beanstalk(tier: Tier) -> None:
    visibility_timeout, phase_seconds = 20, 60
    turn = itertools.count()
    answers: list[tuple[int, ...]] = [(503,)]
    tier.application.answer = lambda *_: (answers[-1][next(turn) % len(answers[-1])], 0.0)
    tier.set_up(max_retries=100)
    sent = set(tier.send(*(f"message {n}" for n in range(1_000))))
    tier.start_daemon(visibility_timeout=visibility_timeout, inactivity_timeout=15, max_retries=100)
    for statuses in ((503,), (504,), (200, 502)):
        answers.append(statuses)
        time.sleep(phase_seconds)
    # Elastic Beanstalk's daemon leaves a failed message to its visibility timeout
    attempts: dict[str, list[Post]] = {}
    for post in list(tier.application.posts):
        attempts.setdefault(post.message_id, []).append(post)
    for posts in attempts.values():
        # Visibility counts from the receive, after which a message may wait for a connection.
        elapsed = posts[-1].at - posts[0].at + 3
        assert len(posts) <= 1 + elapsed / visibility_timeout
    assert max(map(len, attempts.values())) >= 3 * phase_seconds // visibility_timeout // 2
    assert len(tier.daemons[0].events("gate.closed")) <= 4
    # and no message is lost, nor dead, nor processed again after a 200
    answers.append((200,))
    eventually(lambda: tier.counts() == NOTHING_LEFT, seconds=2 * visibility_timeout)
    assert sorted(tier.application.answered_200) == sorted(sent)
