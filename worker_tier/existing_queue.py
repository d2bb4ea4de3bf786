"""A queue that was made elsewhere, and what the CDK cannot know of it."""

from __future__ import annotations

from dataclasses import dataclass

from aws_cdk import Stack, Token
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from worker_tier.options import in_range

_MAX_RECEIVES = 1_000


@dataclass(frozen=True, kw_only=True)
class ExistingQueue:
    """A work queue with its facts; made by `owned` or `imported`, not by hand.

    Args:
        owned: made by this app, so that its policy can still get statements.
    """

    queue: sqs.IQueue
    fifo: bool
    dead_letter_queue: sqs.IQueue | None
    max_receive_count: int | None
    encryption_key: kms.IKey | None
    owned: bool

    @staticmethod
    def made_here(queue: sqs.Queue) -> ExistingQueue:
        """A queue of this app; everything is read from it. `queue=` takes it as it is, too."""
        dead_letters = queue.dead_letter_queue
        return ExistingQueue(
            queue=queue,
            fifo=bool(queue.fifo),
            dead_letter_queue=None if dead_letters is None else dead_letters.queue,
            max_receive_count=None if dead_letters is None else int(dead_letters.max_receive_count),
            encryption_key=queue.encryption_master_key,
            owned=True,
        )

    @staticmethod
    def imported(
        queue: sqs.IQueue,
        *,
        fifo: bool,
        dead_letter_queue: sqs.IQueue | None,
        max_receive_count: int | None,
        encryption_key: kms.IKey | None,
    ) -> ExistingQueue:
        """A queue of another app or account, such as `Queue.from_queue_arn` gives.

        An import knows its ARN and nothing more, so the facts have no defaults: a wrong guess would
        lose messages or deny the instances their queue. `aws sqs get-queue-attributes
        --attribute-names All` shows them all.

        Args:
            fifo: whether it is a FIFO queue.
            dead_letter_queue: the target of its redrive policy; None when it has none.
            max_receive_count: of its redrive policy, 1 to 1 000; None when it has none.
            encryption_key: `KmsMasterKeyId`; None for SQS's own keys or no encryption.
        """
        return ExistingQueue(
            queue=queue,
            fifo=fifo,
            dead_letter_queue=dead_letter_queue,
            max_receive_count=max_receive_count,
            encryption_key=encryption_key,
            owned=False,
        )


def described(queue: sqs.IQueue | ExistingQueue, problems: list[str]) -> ExistingQueue | None:
    """A queue with its facts; None, and a problem, when they are unknown or contradict."""
    if isinstance(queue, sqs.Queue):
        return ExistingQueue.made_here(queue)
    if not isinstance(queue, ExistingQueue):
        problems.append(
            "queue is imported, so the CDK does not know whether it is a FIFO queue, where its dead"
            " letters go and which key encrypts it; say so:"
            " queue=ExistingQueue.imported(queue, fifo=..., dead_letter_queue=...,"
            " max_receive_count=..., encryption_key=...)"
        )
        return None
    found = _contradictions(queue)
    problems += found
    return None if found else queue


def _contradictions(facts: ExistingQueue) -> list[str]:
    found: list[str] = []
    in_range("max_receive_count", facts.max_receive_count, 1, _MAX_RECEIVES, found)
    if (facts.dead_letter_queue is None) != (facts.max_receive_count is None):
        found.append(
            "dead_letter_queue and max_receive_count are the two halves of a redrive policy, got"
            f" only {'the latter' if facts.dead_letter_queue is None else 'the former'}; give both,"
            " or None for both"
        )
    name = facts.queue.queue_name
    if not Token.is_unresolved(name) and name.endswith(".fifo") != facts.fifo:
        found.append(
            f"fifo is {facts.fifo} for the queue {name}, but the names of FIFO queues, and of no"
            " others, end in .fifo; correct fifo or the queue's ARN"
        )
    return found


def region_problem(scope: Construct, queue: sqs.IQueue | ExistingQueue) -> list[str]:
    """Why a queue is out of reach: alarms and policies read metrics of their own region only."""
    found = queue.queue if isinstance(queue, ExistingQueue) else queue
    there, here = found.env.region, Stack.of(scope).region
    if Token.is_unresolved(there) or Token.is_unresolved(here) or there == here:
        return []
    return [
        f"queue is in {there} and the stack in {here}, but scaling policies and alarms see metrics"
        " of their own region only; deploy the tier in the queue's region"
    ]
