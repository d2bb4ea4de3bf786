"""What the queues hold at the end, by id."""

from __future__ import annotations

import pytest

from sqsd.contract import ATTRIBUTE_TASK_NAME
from tools.demo import queues
from tools.local_aws import LocalAws

pytestmark = pytest.mark.local_aws


def test_every_message_is_found_by_its_id_and_periodic_tasks_are_left_out(
    fresh_aws: LocalAws,
) -> None:
    sqs = fresh_aws.client("sqs")
    url = sqs.create_queue(QueueName="work")["QueueUrl"]
    sent = {sqs.send_message(QueueUrl=url, MessageBody="x")["MessageId"] for _ in range(23)}
    task = {ATTRIBUTE_TASK_NAME: {"DataType": "String", "StringValue": "task1"}}
    sqs.send_message(QueueUrl=url, MessageBody="x", MessageAttributes=task)
    assert queues.depth(fresh_aws, url) == queues.Depth(visible=24, in_flight=0, delayed=0)
    assert queues.collect_ids(fresh_aws, url, patience_seconds=5) == sent


def test_an_empty_queue_is_known_at_once(fresh_aws: LocalAws) -> None:
    url = fresh_aws.client("sqs").create_queue(QueueName="work")["QueueUrl"]
    assert queues.collect_ids(fresh_aws, url, patience_seconds=0) == set()


def test_a_message_that_comes_back_soon_is_waited_for(fresh_aws: LocalAws) -> None:
    sqs = fresh_aws.client("sqs")
    url = sqs.create_queue(QueueName="work")["QueueUrl"]
    sent = sqs.send_message(QueueUrl=url, MessageBody="x")["MessageId"]
    sqs.receive_message(QueueUrl=url, VisibilityTimeout=1)
    assert queues.collect_ids(fresh_aws, url, patience_seconds=10) == {sent}
