"""The dead-letter queue of a new work queue, when it is not to be a new queue."""

from __future__ import annotations

from dataclasses import dataclass

from aws_cdk import Token
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sqs as sqs

from worker_tier.type_checks import example


@example("DeadLetterQueue.imported(...) or DeadLetterQueue.none()")
@dataclass(frozen=True, kw_only=True)
class DeadLetterQueue:
    """A value of `dead_letter_queue`; made by the static methods, not by hand.

    A queue of this app can be given as it is: `dead_letter_queue=sqs.Queue(...)`.
    """

    queue: sqs.IQueue | None
    fifo: bool
    encryption_key: kms.IKey | None

    @staticmethod
    def imported(
        queue: sqs.IQueue, *, fifo: bool, encryption_key: kms.IKey | None
    ) -> DeadLetterQueue:
        """Describe a queue of another app, in this account and region, as SQS requires.

        An import knows its ARN and nothing more, so the facts have no defaults.

        Args:
            fifo: whether it is a FIFO queue; the work queue must be of the same kind.
            encryption_key: `KmsMasterKeyId`; None for SQS's own keys or no encryption.
        """
        return DeadLetterQueue(queue=queue, fifo=fifo, encryption_key=encryption_key)

    @staticmethod
    def none() -> DeadLetterQueue:
        """Do without: a message that fails is delivered again until its retention ends.

        Choose it for work that is worthless when late. A poison message then costs a request each
        time its visibility ends, for days, and no alarm fires; Elastic Beanstalk has no such
        choice. cdk-nag reports the queue by AwsSolutions-SQS3, which is yours to acknowledge.
        """
        return DeadLetterQueue(queue=None, fifo=False, encryption_key=None)


def chosen_dead_letters(
    given: sqs.IQueue | DeadLetterQueue | None, problems: list[str]
) -> DeadLetterQueue | None:
    """Return the choice that a prop stands for.

    Returns None for a new queue, and, with a problem, if the prop cannot be used.
    """
    if given is None:
        return None
    if isinstance(given, sqs.Queue):
        return DeadLetterQueue(
            queue=given, fifo=bool(given.fifo), encryption_key=given.encryption_master_key
        )
    if not isinstance(given, DeadLetterQueue):
        problems.append(
            "dead_letter_queue is imported, so the CDK does not know whether it is a FIFO queue and"
            " which key encrypts it; say so: dead_letter_queue=DeadLetterQueue.imported(queue,"
            " fifo=..., encryption_key=...)"
        )
        return None
    return given


def kind_problem(name: str, queue: sqs.IQueue, fifo: bool) -> list[str]:
    """Return why a queue's name contradicts the kind that it is said to be."""
    queue_name = queue.queue_name
    if Token.is_unresolved(queue_name) or queue_name.endswith(".fifo") == fifo:
        return []
    return [
        f"{name} is {fifo} for the queue {queue_name}, but the names of FIFO queues, and of no"
        " others, end in .fifo; correct fifo or the queue's ARN"
    ]
