"""Periodic tasks over the wire: two daemons, one real table, one real queue."""

from __future__ import annotations

import itertools
import signal
import time
from collections import Counter

import pytest

from tests.scenarios.harness import Daemon, Tier, eventually

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
