"""Periodic tasks over the wire: two daemons, one real table, one real queue."""

from __future__ import annotations

import itertools
import json
import signal
import time
import urllib.request
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.scenarios.faults import Relay
from tests.scenarios.harness import Daemon, Tier, eventually
from tools.local_aws import LocalAws
from tools.local_aws.ports import free_port

pytestmark = pytest.mark.local_aws

EVERY_2_SECONDS = """\
version: 1
cron:
  - name: tick
    url: /scheduled
    schedule: "@every 2s"
"""


def occurrences(tier: Tier) -> Counter[str]:
    return Counter(post.headers["x-aws-sqsd-scheduled-at"] for post in tier.application.posts)


def leader(daemons: list[Daemon]) -> Daemon | None:
    """The one that acquired the lease last and has not given it up."""
    newest = [
        (events[-1]["time"], number)
        for number, daemon in enumerate(daemons)
        if daemon.alive and (events := daemon.events("lease.acquired"))
    ]
    return daemons[max(newest)[1]] if newest else None


def test_each_occurrence_reaches_the_application_once_with_two_daemons(tier: Tier) -> None:
    tier.set_up()
    tier.add_leader_table()
    daemons = [tier.start_daemon(cron=EVERY_2_SECONDS) for _ in range(2)]
    eventually(lambda: len(occurrences(tier)) >= 5)
    assert [daemon.stop() for daemon in daemons] == [0, 0]
    assert set(occurrences(tier).values()) == {1}
    # one of them enqueued all, and no occurrence was left out
    enqueued = [len(daemon.events("cron.enqueued")) for daemon in daemons]
    assert sorted(enqueued)[0] == 0
    times = sorted(
        time.mktime(time.strptime(text, "%Y-%m-%dT%H:%M:%SZ")) for text in occurrences(tier)
    )
    assert {after - before for before, after in itertools.pairwise(times)} == {2.0}


def test_a_scheduled_request_is_as_elastic_beanstalk_makes_it(tier: Tier) -> None:
    tier.set_up()
    tier.add_leader_table()
    tier.start_daemon(cron=EVERY_2_SECONDS)
    post = eventually(lambda: list(tier.application.posts))[0]
    assert (post.path, post.body) == ("/scheduled", b"")
    assert post.headers["content-length"] == "0"
    assert post.headers["x-aws-sqsd-taskname"] == "tick"
    assert post.headers["x-aws-sqsd-path"] == "/scheduled"
    assert post.headers["x-aws-sqsd-sender-id"]
    assert time.strptime(post.headers["x-aws-sqsd-scheduled-at"], "%Y-%m-%dT%H:%M:%SZ")
    assert not [name for name in post.headers if name.startswith("x-aws-sqsd-attr-")]


def test_when_the_leader_is_killed_the_other_goes_on_and_misses_nothing(tier: Tier) -> None:
    tier.set_up()
    tier.add_leader_table()
    daemons = [tier.start_daemon(cron=EVERY_2_SECONDS) for _ in range(2)]
    first = eventually(lambda: len(occurrences(tier)) >= 2 and leader(daemons))
    assert isinstance(first, Daemon)
    first.signal(signal.SIGKILL)
    before = len(occurrences(tier))
    # lease 10 s, and then what was missed
    eventually(lambda: len(occurrences(tier)) >= before + 8, seconds=60)
    times = sorted(
        time.mktime(time.strptime(text, "%Y-%m-%dT%H:%M:%SZ")) for text in occurrences(tier)
    )
    assert set(occurrences(tier).values()) == {1}
    assert {after - b for b, after in itertools.pairwise(times)} == {2.0}


def test_a_leader_that_stops_hands_over_at_once(tier: Tier) -> None:
    tier.set_up()
    tier.add_leader_table()
    daemons = [tier.start_daemon(cron=EVERY_2_SECONDS) for _ in range(2)]
    first = eventually(lambda: len(occurrences(tier)) >= 1 and leader(daemons))
    assert isinstance(first, Daemon)
    (other,) = [daemon for daemon in daemons if daemon is not first]
    assert first.stop() == 0
    released = time.monotonic()
    other.wait_for("lease.acquired")
    assert time.monotonic() - released < 5  # far below the lease of 10 s


def test_messages_go_on_when_the_leader_table_is_missing(tier: Tier) -> None:
    tier.set_up()
    tier.leader_table = "no-such-table"
    daemon = tier.start_daemon(cron=EVERY_2_SECONDS)
    tier.send("work")
    eventually(lambda: tier.application.bodies() == [b"work"])
    (event,) = daemon.wait_for("lease.failed")[:1]
    assert "no-such-table" in str(event)
    assert daemon.stop() == 0


def test_a_bad_task_found_at_start_does_not_stop_the_good_one(tier: Tier) -> None:
    tier.set_up()
    tier.add_leader_table()
    bad = EVERY_2_SECONDS + '  - name: broken\n    url: /broken\n    schedule: "61 * * * *"\n'
    daemon = tier.start_daemon(cron=bad)
    eventually(lambda: len(occurrences(tier)) >= 1)
    assert "61" in str(daemon.events("cron.invalid")[0])


def test_on_a_fifo_queue_each_occurrence_arrives_once_and_in_order(tier: Tier) -> None:
    tier.set_up(fifo=True)
    tier.add_leader_table()
    daemons = [tier.start_daemon(cron=EVERY_2_SECONDS) for _ in range(2)]
    eventually(lambda: len(occurrences(tier)) >= 4)
    assert [daemon.stop() for daemon in daemons] == [0, 0]
    arrived = [post.headers["x-aws-sqsd-scheduled-at"] for post in tier.application.posts]
    assert arrived == sorted(set(arrived))
    assert {post.headers["x-aws-sqsd-taskname"] for post in tier.application.posts} == {"tick"}


@pytest.mark.parametrize("fifo", [False, True])
def test_messages_forged_in_advance_cancel_no_occurrence(tier: Tier, fifo: bool) -> None:
    tier.set_up(fifo=fifo)
    tier.add_leader_table()
    # given messages for the occurrences of the next seconds, sent by a stranger before they are due
    begin = int(time.time()) // 2 * 2
    forged = {
        time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at)) for at in range(begin, begin + 16, 2)
    }
    for at in sorted(forged):
        values = {
            "path": "/forged",
            "task_name": "tick",
            "scheduled_time": f"{at[:10]} {at[11:19]} UTC",
        }
        fifo_ids = {"MessageGroupId": "other", "MessageDeduplicationId": f"tick@{at}"}
        tier.send(
            "elasticbeanstalk scheduled job",
            MessageAttributes={
                f"beanstalk.sqsd.{name}": {"DataType": "String", "StringValue": value}
                for name, value in values.items()
            },
            **(fifo_ids if fifo else {}),
        )
    tier.start_daemon(cron=EVERY_2_SECONDS)

    # when their times come
    def genuine() -> set[str]:
        posts = [post for post in tier.application.posts if post.path == "/scheduled"]
        return {post.headers["x-aws-sqsd-scheduled-at"] for post in posts}

    # then the scheduler's messages are POSTed nevertheless
    eventually(lambda: len(genuine() & forged) >= 3, seconds=30)
    assert {post.path for post in tier.application.posts} == {"/forged", "/scheduled"}
    assert tier.daemons[0].events("cron.suppressed") == []


def test_two_tiers_run_the_same_tasks_without_knowing_of_each_other(
    tier: Tier, local_aws: LocalAws, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    other = Tier(local_aws, tmp_path / "other")
    try:
        for each in (tier, other):
            each.set_up()
            each.add_leader_table()
            each.start_daemon(cron=EVERY_2_SECONDS)
        eventually(lambda: min(len(occurrences(tier)), len(occurrences(other))) >= 3)
        for each in (tier, other):
            assert each.daemons[0].events("lease.acquired")
            assert set(occurrences(each).values()) == {1}
    finally:
        other.tear_down()


def test_a_bad_task_is_shown_on_the_status_page(tier: Tier) -> None:
    tier.set_up()
    tier.add_leader_table()
    bad = EVERY_2_SECONDS + '  - name: broken\n    url: /broken\n    schedule: "61 * * * *"\n'
    port = free_port()
    daemon = tier.start_daemon(cron=bad, status_port=port)
    daemon.wait_for("cron.enqueued")
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/status", timeout=10) as answer:
        status = json.load(answer)
    failures = [f for f in status["last_failures"] if f["event"] == "cron.invalid"]
    assert '"61" is out of range' in str(failures[0]["problems"])
    assert [task["task"] for task in status["cron"]["next"]] == ["tick"]
    assert status["cron"]["leader"]
    assert status["cron"]["last_send_age_seconds"] < 10


def status_of(port: int) -> Any:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/status", timeout=10) as answer:
        return json.load(answer)


def test_a_file_that_is_replaced_is_followed_and_what_is_bad_in_it_is_reported(tier: Tier) -> None:
    tier.set_up()
    tier.add_leader_table()
    relay = Relay(tier.aws.endpoint_url)
    port = free_port()
    daemon = tier.start_daemon(
        cron=EVERY_2_SECONDS,
        status_port=port,
        environment={"AWS_ENDPOINT_URL_DYNAMODB": relay.url},
    )

    def tasks() -> set[str]:
        return {post.headers["x-aws-sqsd-taskname"] for post in tier.application.posts}

    try:
        eventually(lambda: len(occurrences(tier)) >= 1)
        # when a good task and a bad one are added
        more = '  - {name: second, url: /second, schedule: "@every 2s"}\n'
        bad = '  - {name: broken, url: /broken, schedule: "61 * * * *"}\n'
        daemon.cron_file.write_text(EVERY_2_SECONDS + more + bad)
        # then the good ones run, and the bad one is reported
        eventually(lambda: tasks() == {"tick", "second"}, seconds=30)
        assert '"61" is out of range' in str(daemon.wait_for("cron.invalid")[0]["problems"])
        assert "61" in str(status_of(port)["cron"]["problems"])
        assert {t["task"] for t in status_of(port)["cron"]["next"]} == {"tick", "second"}
        # a file that is none leaves everything as it is
        daemon.cron_file.write_text("version: 1\ncron: [")
        eventually(lambda: "not YAML" in str(status_of(port)["cron"]["problems"]), seconds=30)
        before = len(tier.application.posts)
        eventually(lambda: len(tier.application.posts) >= before + 4)
        # one without an enabled task ends the calls to the table
        daemon.cron_file.write_text(EVERY_2_SECONDS + "    enabled: false\n")
        daemon.wait_for("lease.stopped")
        assert status_of(port)["cron"] | {"last_send_age_seconds": 0} == {
            "leader": False,
            "leader_for_seconds": None,
            "problems": [],
            "last_send_age_seconds": 0,
            "next": [],
        }
        eventually(lambda: tier.counts()["visible"] + tier.counts()["in_flight"] == 0)
        time.sleep(2)
        silent = len(relay.calls)
        time.sleep(6)
        assert len(relay.calls) == silent
        # and with one again they go on, with nothing made up for
        posts = len(tier.application.posts)
        back = time.time()
        daemon.cron_file.write_text(EVERY_2_SECONDS)
        eventually(lambda: len(tier.application.posts) >= posts + 3, seconds=30)
        for post in tier.application.posts[posts:]:
            at = datetime.fromisoformat(post.headers["x-aws-sqsd-scheduled-at"]).timestamp()
            assert at >= back
        assert set(
            Counter(
                (p.headers["x-aws-sqsd-taskname"], p.headers["x-aws-sqsd-scheduled-at"])
                for p in tier.application.posts
            ).values()
        ) == {1}
        assert daemon.stop() == 0
    finally:
        relay.stop()


@pytest.mark.parametrize("cron", [None, EVERY_2_SECONDS + "    enabled: false\n"])
def test_without_an_enabled_task_the_leader_table_is_never_asked(
    tier: Tier, cron: str | None
) -> None:
    tier.set_up()
    tier.add_leader_table()
    relay = Relay(tier.aws.endpoint_url)
    try:
        daemon = tier.start_daemon(cron=cron, environment={"AWS_ENDPOINT_URL_DYNAMODB": relay.url})
        tier.send("work")
        daemon.wait_for("message.deleted")
        assert daemon.stop() == 0
        assert relay.calls == []
    finally:
        relay.stop()
