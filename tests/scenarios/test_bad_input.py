"""What people get wrong, over the wire: a message that names thing and hint, no loop, no loss."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.scenarios.faults import RefusingEndpoint
from tests.scenarios.harness import Daemon, Tier, eventually

pytestmark = pytest.mark.local_aws

NOTHING_LEFT = {"visible": 0, "in_flight": 0, "dead": 0}
TICK = 'version: 1\ncron:\n  - {name: tick, url: /scheduled, schedule: "@every 2s"}\n'
#: Without any of these botocore finds no keys.
NO_KEYS = {"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None, "AWS_SESSION_TOKEN": None}


@contextmanager
def refusing(tier: Tier, **refusals: tuple[str, str]) -> Iterator[RefusingEndpoint]:
    endpoint = RefusingEndpoint(tier.aws.endpoint_url, **refusals)
    try:
        yield endpoint
    finally:
        endpoint.stop()


def reason(daemon: Daemon, event: str = "queue.failed") -> str:
    return str(daemon.wait_for(event)[0]["reason"])


def assert_asked_ever_more_seldom(times: list[float]) -> None:
    """Pauses double from half a second, each between a half and the whole of its figure."""
    pauses = [after - before for before, after in itertools.pairwise(times)]
    assert pauses[0] >= 0.2
    assert pauses[2] > pauses[0]


def test_a_queue_that_does_not_exist_is_named_and_awaited(tier: Tier) -> None:
    tier.set_up()
    missing = f"{tier.name}-later"
    tier.queue_url = tier.queue_url.replace(tier.name, missing)
    with refusing(tier) as endpoint:
        daemon = tier.start_daemon(environment={"AWS_ENDPOINT_URL": endpoint.url})
        logged = reason(daemon)
        assert f"there is no queue {tier.queue_url}" in logged
        assert "correct queue_url or region" in logged
        eventually(lambda: len(endpoint.called("ReceiveMessage")) >= 4)
        assert_asked_ever_more_seldom(endpoint.called("ReceiveMessage"))
        assert len(daemon.events("queue.failed")) == 1
        # and once there is one, its messages are dispatched
        tier.sqs.create_queue(QueueName=missing)
        tier.send("work")
        daemon.wait_for("message.deleted")
        assert daemon.events("queue.recovered")
        assert daemon.stop() == 0


def test_when_the_role_may_not_receive_the_log_names_the_statement_it_lacks(tier: Tier) -> None:
    tier.set_up()
    (message_id,) = tier.send("work")
    refusal = "User: worker is not authorized to perform: sqs:receivemessage"
    with refusing(tier, ReceiveMessage=("AccessDenied", refusal)) as endpoint:
        daemon = tier.start_daemon(environment={"AWS_ENDPOINT_URL": endpoint.url})
        logged = reason(daemon)
        assert refusal in logged
        assert '"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility"' in logged
        assert f"arn:*:sqs:*:*:{tier.name}" in logged
        eventually(lambda: len(endpoint.called("ReceiveMessage")) >= 4)
        assert_asked_ever_more_seldom(endpoint.called("ReceiveMessage"))
        # the message was not received, so it is dispatched at its first receive
        endpoint.refusals.clear()
        eventually(lambda: tier.application.posts)
        (post,) = tier.application.posts
        assert (post.message_id, post.headers["x-aws-sqsd-receive-count"]) == (message_id, "1")


def test_a_role_that_may_not_delete_loses_nothing_and_repeats_nothing(tier: Tier) -> None:
    tier.set_up()
    refusal = ("AccessDeniedException", "not authorized to perform: sqs:deletemessage")
    with refusing(tier, DeleteMessageBatch=refusal) as endpoint:
        daemon = tier.start_daemon(environment={"AWS_ENDPOINT_URL": endpoint.url})
        tier.send("work")
        assert '"sqs:DeleteMessage"' in reason(daemon)
        eventually(lambda: len(endpoint.called("DeleteMessageBatch")) >= 3)
        assert tier.counts()["in_flight"] == 1
        endpoint.refusals.clear()
        eventually(lambda: tier.counts() == NOTHING_LEFT)
        assert tier.application.bodies() == [b"work"]
        assert daemon.stop() == 0


@pytest.mark.parametrize(
    ("code", "hint"),
    [
        ("ExpiredTokenException", "the session has ended: renew it"),
        ("UnrecognizedClientException", "AWS does not know the access key"),
    ],
)
def test_keys_that_aws_refuses_are_logged_and_asked_for_anew(
    tier: Tier, code: str, hint: str
) -> None:
    tier.set_up()
    tier.send("work")
    with refusing(tier, ReceiveMessage=(code, "The security token is not valid")) as endpoint:
        daemon = tier.start_daemon(environment={"AWS_ENDPOINT_URL": endpoint.url})
        assert hint in reason(daemon)
        eventually(lambda: len(endpoint.called("ReceiveMessage")) >= 4)
        assert_asked_ever_more_seldom(endpoint.called("ReceiveMessage"))
        endpoint.refusals.clear()
        eventually(lambda: tier.counts() == NOTHING_LEFT)
        assert tier.application.bodies() == [b"work"]


def test_without_credentials_the_log_says_where_they_may_come_from(tier: Tier) -> None:
    tier.set_up()
    tier.send("work")
    daemon = tier.start_daemon(environment=NO_KEYS)
    logged = reason(daemon)
    assert "no AWS credentials found" in logged
    assert "AWS_ACCESS_KEY_ID" in logged
    assert daemon.stop() == 0
    assert tier.counts() == {"visible": 1, "in_flight": 0, "dead": 0}


@pytest.mark.parametrize(
    ("code", "hint"),
    [
        (
            "AccessDeniedException",
            '"Action": ["dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem"]',
        ),
        ("ExpiredTokenException", "renew it where the keys come from"),
    ],
)
def test_a_leader_table_that_refuses_is_logged_and_messages_go_on(
    tier: Tier, code: str, hint: str
) -> None:
    tier.set_up()
    tier.add_leader_table()
    refusals: dict[str, Any] = dict.fromkeys(("GetItem", "PutItem", "UpdateItem"), (code, "no"))
    with refusing(tier, **refusals) as endpoint:
        daemon = tier.start_daemon(
            cron=TICK, environment={"AWS_ENDPOINT_URL_DYNAMODB": endpoint.url}
        )
        tier.send("work")
        (event,) = daemon.wait_for("lease.failed")
        assert (event["table"], event["action"]) == (tier.leader_table, "GetItem")
        assert hint in event["hint"]
        if code == "AccessDeniedException":
            assert f"table/{tier.leader_table}" in event["hint"]
        eventually(lambda: tier.application.bodies() == [b"work"])
        eventually(lambda: len(endpoint.calls) >= 3)
        # and once it is allowed, tasks run
        endpoint.refusals.clear()
        eventually(lambda: any(post.path == "/scheduled" for post in tier.application.posts))
        daemon.wait_for("lease.recovered")
