"""Makes an operator's calls to AWS, by botocore's client; the daemon never uses it."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import botocore.session
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, UnknownServiceError

from sqsd.aws import hints
from sqsd.aws.credentials import new_session
from sqsd.base.errors import ACCESS_DENIED_CODES, AwsError, AwsUnreachable, NoCredentials
from sqsd.contract import BATCH_ENTRIES, LEADER_TABLE_KEY, TierResources
from sqsd.cron.lease import LEASE_ID, LeaseRecord
from sqsd.cron.table import lease_record
from sqsd.operator.dead_letters import DeadLetter

#: Visibility timeout of the messages that are listed, seconds; they are released at the end.
_LISTING_VISIBILITY_TIMEOUT: Final = 60
#: Receives in a row without a new message after which a listing ends: the messages that were
#: received first are visible again before all of a large queue is read.
_MOST_REPEATS: Final = 3
#: Permissions that a redrive needs: SQS acts in the name of the caller.
_REDRIVE_ACTIONS: Final = (
    "sqs:StartMessageMoveTask",
    "sqs:ReceiveMessage",
    "sqs:DeleteMessage",
    "sqs:GetQueueAttributes",
)
#: Whose permissions a hint is about.
_YOURS: Final = "the role or user that you are"
#: Output of a stack -> name of the resource in `tier.json`.
OUTPUTS: Final = {
    "QueueUrl": "queue_url",
    "DeadLetterQueueUrl": "dead_letter_queue_url",
    "LeaderTableName": "leader_table",
}


class OperatorAws:
    """Makes calls about one tier.

    Every method may raise `AwsError` with a hint, `AwsUnreachable` and `NoCredentials`.
    """

    def __init__(self, resources: TierResources) -> None:
        self._resources = resources
        self._session = new_session()
        self._sqs = _client(self._session, "sqs", resources.region)

    def dead_letter_queue(self) -> str:
        """Return the dead-letter queue's URL, from the settings or the queue's redrive policy.

        Raises:
            AwsError: the queue has no dead-letter queue.
        """
        if self._resources.dead_letter_queue_url is not None:
            return self._resources.dead_letter_queue_url
        url = self._resources.queue_url
        policy = json.loads(self._attribute(url, "RedrivePolicy") or "{}")
        arn = policy.get("deadLetterTargetArn")
        if arn is None:
            raise AwsError(
                "GetQueueAttributes",
                "NoDeadLetterQueue",
                f"{url} has no redrive policy",
                200,
                "name the queue with --dead-letter-queue-url",
            )
        *_, account, name = arn.split(":")
        with _translated_errors("GetQueueUrl", name):
            answer = self._sqs.get_queue_url(QueueName=name, QueueOwnerAWSAccountId=account)
        return str(answer["QueueUrl"])

    def dead_letters(self, url: str, most: int) -> Generator[DeadLetter, None, None]:
        """Yield at most `most` messages of a queue, each once, as they are received.

        All are released when the iterator ends or is closed; none is in memory until then.
        """
        handles: dict[str, str] = {}
        repeats = 0
        try:
            while len(handles) < most and repeats < _MOST_REPEATS:
                with _translated_errors("ReceiveMessage", url):
                    answer = self._sqs.receive_message(
                        QueueUrl=url,
                        MaxNumberOfMessages=min(BATCH_ENTRIES, most - len(handles)),
                        VisibilityTimeout=_LISTING_VISIBILITY_TIMEOUT,
                        WaitTimeSeconds=1,
                        MessageSystemAttributeNames=["All"],
                        MessageAttributeNames=["All"],
                    )
                messages = answer.get("Messages", [])
                if not messages:
                    break
                new = [m for m in messages if m["MessageId"] not in handles]
                handles.update((m["MessageId"], m["ReceiptHandle"]) for m in messages)
                repeats = 0 if new else repeats + 1
                yield from map(_letter, new)
        finally:
            self._release(url, list(handles.values()))

    def redrive(self, source: str, most_a_second: int | None) -> str:
        """Let SQS move all messages of `source` to the work queue. Returns the task's handle."""
        arns = [self._attribute(url, "QueueArn") for url in (source, self._resources.queue_url)]
        request: dict[str, Any] = {"SourceArn": arns[0], "DestinationArn": arns[1]}
        if most_a_second is not None:
            request["MaxNumberOfMessagesPerSecond"] = most_a_second
        with _translated_errors("StartMessageMoveTask", source):
            return str(self._sqs.start_message_move_task(**request)["TaskHandle"])

    def purge(self, url: str) -> None:
        """Delete all messages of a queue."""
        with _translated_errors("PurgeQueue", url):
            self._sqs.purge_queue(QueueUrl=url)

    def waiting(self, url: str) -> int:
        """Return about how many messages of a queue are visible."""
        return int(self._attribute(url, "ApproximateNumberOfMessages") or 0)

    def send(self, body: str, attributes: Mapping[str, str], more: Mapping[str, str | int]) -> str:
        """Send a message with attributes of type String to the work queue. Returns its id."""
        url = self._resources.queue_url
        typed = {n: {"DataType": "String", "StringValue": v} for n, v in attributes.items()}
        with _translated_errors("SendMessage", url):
            answer = self._sqs.send_message(
                QueueUrl=url, MessageBody=body, MessageAttributes=typed, **more
            )
        return str(answer["MessageId"])

    def lease(self) -> LeaseRecord | None:
        """Return the lease in the leader table, or None if there is none."""
        table = self._resources.leader_table
        dynamodb = _client(self._session, "dynamodb", self._resources.region)
        with _translated_errors("GetItem", str(table), "dynamodb"):
            answer = dynamodb.get_item(
                TableName=table, Key={LEADER_TABLE_KEY: {"S": LEASE_ID}}, ConsistentRead=True
            )
        item = answer.get("Item")
        return None if item is None else lease_record(item)

    def _attribute(self, url: str, name: str) -> str | None:
        with _translated_errors("GetQueueAttributes", url):
            answer = self._sqs.get_queue_attributes(QueueUrl=url, AttributeNames=[name])
        value: str | None = answer.get("Attributes", {}).get(name)
        return value

    def _release(self, url: str, handles: Sequence[str]) -> None:
        for start in range(0, len(handles), BATCH_ENTRIES):
            entries = [
                {"Id": str(number), "ReceiptHandle": handle, "VisibilityTimeout": 0}
                for number, handle in enumerate(handles[start : start + BATCH_ENTRIES])
            ]
            with _translated_errors("ChangeMessageVisibilityBatch", url):
                self._sqs.change_message_visibility_batch(QueueUrl=url, Entries=entries)


def outputs_of(stack: str, region: str | None) -> dict[str, str]:
    """Return the resources of `tier.json` from a deployed stack's outputs, and its region.

    Raises:
        AwsError: CloudFormation refused the call; with a hint.
        AwsUnreachable: there was no usable answer, or no region is set.
        NoCredentials: there are no keys.
    """
    session = new_session()
    client = _client(session, "cloudformation", region)
    with _translated_errors("DescribeStacks", stack, "cloudformation"):
        answer = client.describe_stacks(StackName=stack)
    outputs = {o["OutputKey"]: o["OutputValue"] for o in answer["Stacks"][0].get("Outputs", [])}
    found = {name: outputs[key] for key, name in OUTPUTS.items() if key in outputs}
    return {"region": client.meta.region_name, **found}


def _client(session: botocore.session.Session, service: str, region: str | None) -> Any:
    try:
        return session.create_client(service, region_name=region)
    except UnknownServiceError:
        raise AwsUnreachable(
            service, "this installation of botocore does not know it; run sqsd elsewhere"
        ) from None
    except BotoCoreError as error:
        raise AwsUnreachable(service, f"{error}; name it with --region or AWS_REGION") from error


@contextmanager
def _translated_errors(action: str, resource: str, service: str = "sqs") -> Iterator[None]:
    """Translate botocore's errors to this package's, with a hint."""
    try:
        yield
    except NoCredentialsError as error:
        raise NoCredentials(
            f"{action}: no credentials were found; set AWS_PROFILE, or sign in"
        ) from error
    except ClientError as error:
        details = error.response.get("Error", {})
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        code = str(details.get("Code", "")).rpartition(".")[2]
        hint = hints.hint_for_queue(action, code, resource) if service == "sqs" else None
        if code in ACCESS_DENIED_CODES:
            needed: Sequence[str] = (f"{service}:{action.removesuffix('Batch')}",)
            if action == "StartMessageMoveTask":
                needed = _REDRIVE_ACTIONS
            names = {"dynamodb": f"table/{resource}", "cloudformation": f"stack/{resource}/*"}
            name = names.get(service, resource.rstrip("/").rpartition("/")[2])
            hint = hints.statement(needed, service, name, _YOURS)
        message = str(details.get("Message", ""))
        raise AwsError(action, code, message, status, hint) from error
    except BotoCoreError as error:
        raise AwsUnreachable(action, str(error)) from error


def _letter(message: Mapping[str, Any]) -> DeadLetter:
    system = message.get("Attributes", {})
    return DeadLetter(
        message_id=message["MessageId"],
        body=message["Body"],
        sent_at=int(system.get("SentTimestamp", 0)) / 1_000,
        receive_count=int(system.get("ApproximateReceiveCount", 0)),
        group_id=system.get("MessageGroupId"),
        attributes={
            name: value["StringValue"]
            if "StringValue" in value
            else f"{len(value.get('BinaryValue', b''))} bytes"
            for name, value in message.get("MessageAttributes", {}).items()
        },
    )
