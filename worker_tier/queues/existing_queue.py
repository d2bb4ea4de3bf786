"""A queue that was made elsewhere, with the facts that the CDK cannot know."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from aws_cdk import Stack, Token
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from worker_tier.queues.dead_letters import kind_problem
from worker_tier.ranges import in_range
from worker_tier.type_checks import checked, example

#: Greatest `maxReceiveCount` that SQS accepts.
_MAX_RECEIVES: Final = 1_000


@example("ExistingQueue.imported(...)")
@dataclass(frozen=True, kw_only=True)
class ExistingQueue:
    """A work queue with its facts; made by `made_here` or `imported`, not by hand.

    Args:
        queue: the work queue.
        fifo: whether it is a FIFO queue.
        dead_letter_queue: the target of its redrive policy, or None.
        max_receive_count: that of its redrive policy, or None if there is none or only the
            deployment knows it.
        encryption_key: its customer managed key, or None.
        dead_letter_key: the customer managed key of the dead-letter queue, or None.
        owned: whether this app makes it, so that statements can be added to its policy.
    """

    queue: sqs.IQueue
    fifo: bool
    dead_letter_queue: sqs.IQueue | None
    max_receive_count: int | None
    encryption_key: kms.IKey | None
    dead_letter_key: kms.IKey | None
    owned: bool

    @staticmethod
    @checked
    def made_here(queue: sqs.Queue) -> ExistingQueue:
        """Describe a queue of this app by its own attributes; `queue=` accepts it directly, too."""
        dead_letters = queue.dead_letter_queue
        target = None if dead_letters is None else dead_letters.queue
        return ExistingQueue(
            queue=queue,
            fifo=bool(queue.fifo),
            dead_letter_queue=target,
            max_receive_count=None if dead_letters is None else _count(dead_letters),
            encryption_key=queue.encryption_master_key,
            # An imported dead-letter queue has no key here; `imported` can name it.
            dead_letter_key=None if target is None else target.encryption_master_key,
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
        dead_letter_key: kms.IKey | None,
    ) -> ExistingQueue:
        """Describe a queue of another app, such as `Queue.from_queue_arn` returns.

        It may be of another account, whose policies then admit this one, but not be watched from
        here: `scaling=WorkerScaling.none(), alarms=False`.

        An import knows its ARN and nothing more, so the facts have no defaults: a wrong guess would
        lose messages or deny the instances their queue. `aws sqs get-queue-attributes
        --attribute-names All` shows them all.

        Args:
            fifo: whether it is a FIFO queue.
            dead_letter_queue: the target of its redrive policy, or None if it has none.
            max_receive_count: that of its redrive policy, 1 to 1 000, or None if it has none.
            encryption_key: `KmsMasterKeyId`; None for SQS's own keys or no encryption.
            dead_letter_key: the same of the dead-letter queue.
        """
        return ExistingQueue(
            queue=queue,
            fifo=fifo,
            dead_letter_queue=dead_letter_queue,
            max_receive_count=max_receive_count,
            encryption_key=encryption_key,
            dead_letter_key=dead_letter_key,
            owned=False,
        )


def described(queue: sqs.IQueue | ExistingQueue, problems: list[str]) -> ExistingQueue | None:
    """Return a queue with its facts, or None, and a problem, if they are unknown or contradict."""
    if isinstance(queue, sqs.Queue):
        return ExistingQueue.made_here(queue)
    if not isinstance(queue, ExistingQueue):
        problems.append(
            "queue is imported, so the CDK does not know whether it is a FIFO queue, where its dead"
            " letters go and which key encrypts it; say so:"
            " queue=ExistingQueue.imported(queue, fifo=..., dead_letter_queue=...,"
            " max_receive_count=..., encryption_key=..., dead_letter_key=...)"
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
    if facts.dead_letter_queue is None and facts.dead_letter_key is not None:
        found.append(
            "dead_letter_key is given without a dead_letter_queue; give both, or None for both"
        )
    found += kind_problem("fifo", facts.queue, facts.fifo)
    return found


def _count(dead_letters: sqs.DeadLetterQueue) -> int | None:
    """Return `maxReceiveCount`, or None if it is a token, which only the deployment resolves."""
    count = dead_letters.max_receive_count
    return None if Token.is_unresolved(count) else int(count)


def region_problem(scope: Construct, queue: sqs.IQueue | ExistingQueue) -> list[str]:
    """Return why a queue is out of reach: alarms and policies read metrics of one region."""
    there, here = _bare(queue).env.region, Stack.of(scope).region
    if not _differ(there, here):
        return []
    return [
        f"queue is in {there} and the stack in {here}, but scaling policies and alarms see metrics"
        " of the stack's region only; deploy the tier in the queue's region"
    ]


def account_problem(scope: Construct, queue: sqs.IQueue | ExistingQueue) -> list[str]:
    """Return why a queue can be worked on but not watched: its owner's account has its metrics."""
    there, here = _bare(queue).env.account, Stack.of(scope).account
    if not _differ(there, here):
        return []
    return [
        f"queue belongs to account {there} and the stack to {here}, and SQS's metrics are in the"
        " owner's account, so nothing would ever scale or alarm; set"
        " scaling=WorkerScaling.none() and alarms=False, or deploy the tier in the queue's account"
    ]


def place_warnings(scope: Construct, queue: sqs.IQueue | ExistingQueue) -> list[str]:
    """Return what cannot be compared because only the queue's region or account is known."""
    stack, found = Stack.of(scope), _bare(queue)
    pairs = (
        ("region", found.env.region, stack.region),
        ("account", found.env.account, stack.account),
    )
    return [
        f"queue is of the {name} {there}, and the stack is for any; in another one it is not found,"
        " or not watched: give the stack an env"
        for name, there, here in pairs
        if Token.is_unresolved(here) and not Token.is_unresolved(there)
    ]


def _differ(there: str, here: str) -> bool:
    """Return whether two places are known and differ."""
    return not (Token.is_unresolved(there) or Token.is_unresolved(here) or there == here)


def _bare(queue: sqs.IQueue | ExistingQueue) -> sqs.IQueue:
    """Return the queue without its facts."""
    return queue.queue if isinstance(queue, ExistingQueue) else queue
