"""What an operator does to a tier, over the wire: the real command, the real SDK, a real queue."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import pytest

from sqsd import contract
from sqsd.__main__ import main
from sqsd.operator.aws import OperatorAws
from sqsd.operator.cli import print_leader
from tests.scenarios.harness import Tier, eventually

pytestmark = pytest.mark.local_aws

SECRET = "the customer's card number"


@pytest.fixture
def here(tier: Tier, monkeypatch: pytest.MonkeyPatch) -> Tier:
    """A tier, and an environment in which commands find it."""
    tier.set_up()
    for name, value in tier.aws.process_environment().items():
        monkeypatch.setenv(name, value)
    return tier


def send_dead(tier: Tier, body: str = SECRET, **attributes: str) -> str:
    """A message in the dead-letter queue; its id."""
    typed = {n: {"DataType": "String", "StringValue": v} for n, v in attributes.items()}
    answer = tier.sqs.send_message(
        QueueUrl=tier.dead_letter_queue_url, MessageBody=body, MessageAttributes=typed
    )
    return str(answer["MessageId"])


def sqsd(tier: Tier, *arguments: str) -> int:
    return main([*arguments, "--queue-url", tier.queue_url, "--region", "us-east-1"])


def test_a_list_names_each_and_takes_none(here: Tier, capsys: pytest.CaptureFixture[str]) -> None:
    # given one that the daemon sent, and more than SQS gives at a time
    reason = {contract.ATTRIBUTE_REASON: "status 422", contract.ATTRIBUTE_TASK_NAME: "nightly"}
    first = send_dead(here, **reason)
    more = [send_dead(here) for _ in range(11)]
    # when they are listed, the dead-letter queue found by the work queue's policy
    assert sqsd(here, "dead-letters", "list") == 0
    # then there is a line for each, without its body
    printed = capsys.readouterr().out
    header, *lines = printed.splitlines()
    assert header.split() == ["MESSAGE", "AGE", "RECEIVES", "TASK", "REASON"]
    assert {line.split()[0] for line in lines} == {first, *more}
    (line,) = [line for line in lines if line.startswith(first)]
    assert re.fullmatch(rf"{first}  \d+ s +1 +nightly  status 422", line)
    assert SECRET not in printed
    # and all can be received at once
    assert here.counts()["dead"] == 12


def test_bodies_are_printed_when_asked_for(here: Tier, capsys: pytest.CaptureFixture[str]) -> None:
    message_id = send_dead(here, "one\ntwo", tenant="a")
    assert sqsd(here, "dead-letters", "list", "--body") == 0
    assert "one\\ntwo" in capsys.readouterr().out
    assert sqsd(here, "dead-letters", "show", message_id) == 0
    shown = capsys.readouterr().out
    assert re.search(r"^attribute tenant +a$", shown, re.MULTILINE)
    assert "two" not in shown


def test_an_id_that_is_not_there_is_printed(here: Tier, capsys: pytest.CaptureFixture[str]) -> None:
    send_dead(here)
    assert sqsd(here, "dead-letters", "show", "0a1b") == 1
    assert "none of 1 messages" in capsys.readouterr().err


def test_a_redrive_keeps_attributes(here: Tier, capsys: pytest.CaptureFixture[str]) -> None:
    send_dead(here, tenant="a")
    assert sqsd(here, "dead-letters", "redrive", "--rate", "10") == 0
    assert "about 1 messages" in capsys.readouterr().out
    assert here.counts() == {"visible": 1, "in_flight": 0, "dead": 0}
    here.start_daemon()
    (post,) = eventually(lambda: list(here.application.posts))
    assert (post.body.decode(), post.headers["x-aws-sqsd-attr-tenant"]) == (SECRET, "a")


@pytest.mark.parametrize(
    ("flags", "answer", "code", "left"),
    [
        ([], "yes\n", 0, 0),
        ([], "no\n", 1, 1),
        ([], "", 1, 1),
        (["--yes"], "", 0, 0),
    ],
)
def test_a_purge_is_agreed_to(
    here: Tier, monkeypatch: pytest.MonkeyPatch, flags: list[str], answer: str, code: int, left: int
) -> None:
    send_dead(here)
    monkeypatch.setattr("sys.stdin", io.StringIO(answer))
    assert sqsd(here, "dead-letters", "purge", *flags) == code
    assert here.counts()["dead"] == left


def test_a_message_is_sent_with_its_attributes(
    here: Tier, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sqsd(here, "send", '{"order": 1}', "--attribute", "tenant=a=b") == 0
    message_id = capsys.readouterr().out.strip()
    here.start_daemon()
    (post,) = eventually(lambda: list(here.application.posts))
    assert (post.message_id, post.body) == (message_id, b'{"order": 1}')
    assert post.headers["x-aws-sqsd-attr-tenant"] == "a=b"


def test_a_deployed_stack_names_the_queues(here: Tier, capsys: pytest.CaptureFixture[str]) -> None:
    # given a stack with the outputs that `app.py` and `make template` have
    outputs = {"QueueUrl": here.queue_url, "DeadLetterQueueUrl": here.dead_letter_queue_url}
    template = {
        "Resources": {"Topic": {"Type": "AWS::SNS::Topic"}},
        "Outputs": {name: {"Value": value} for name, value in outputs.items()},
    }
    cloudformation = here.aws.client("cloudformation")
    cloudformation.create_stack(StackName=here.name, TemplateBody=json.dumps(template))
    message_id = send_dead(here)
    assert main(["dead-letters", "list", "--stack", here.name]) == 0
    assert message_id in capsys.readouterr().out
    assert main(["leader", "--stack", here.name]) == 2
    assert "only a tier with periodic tasks has one" in capsys.readouterr().err


def test_a_leader_that_renews_its_lease_lives(
    here: Tier, capsys: pytest.CaptureFixture[str]
) -> None:
    here.add_leader_table()
    leader = ("leader", "--leader-table", str(here.leader_table))
    assert sqsd(here, *leader) == 1
    assert "no daemon leads" in capsys.readouterr().out
    # given a daemon that leads; the wait for a renewal is a wait for the table to change
    cron = 'version: 1\ncron:\n - {name: "a", url: "/a", schedule: "0 0 1 1 *"}\n'
    daemon = here.start_daemon(cron=cron)
    daemon.wait_for("lease.acquired")
    key = {contract.LEADER_TABLE_KEY: {"S": "lease"}}

    def version() -> Any:
        item = here.dynamodb.get_item(TableName=here.leader_table, Key=key)["Item"]
        return item["version"]

    def renewed(_: float) -> None:
        before = version()
        eventually(lambda: version() != before)

    resources = contract.TierResources(
        queue_url=here.queue_url,
        region="us-east-1",
        tier_name=here.name,
        leader_table=here.leader_table,
    )
    assert print_leader(OperatorAws(resources).lease, renewed) == 0
    printed = capsys.readouterr().out
    assert re.search(r"^\S+ leads \(term 1\)$", printed, re.MULTILINE)
    assert "the lease was renewed meanwhile" in printed
    # and when it is not renewed, that is printed
    daemon.kill()
    assert print_leader(OperatorAws(resources).lease, lambda _: None) == 1
    assert "has not renewed the lease in" in capsys.readouterr().out


def test_a_queue_that_is_not_there_is_printed_with_the_hint(
    here: Tier, capsys: pytest.CaptureFixture[str]
) -> None:
    url = here.queue_url + "-no"
    assert main(["send", "x", "--queue-url", url, "--region", "us-east-1"]) == 1
    printed = capsys.readouterr().err
    assert "correct queue_url or region" in printed
    assert "Traceback" not in printed


def test_arguments_that_cannot_be_used_are_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["dead-letters", "list", "--settings", str(tmp_path / "no.json")]) == 2
    assert "cannot be read" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["send", "x", "--attribute", "tenant"])
    assert "must be NAME=VALUE" in capsys.readouterr().err
