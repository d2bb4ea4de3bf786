"""What a work queue's props may be, before anything is built of them."""

from __future__ import annotations

from typing import Final

from aws_cdk import Duration
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from sqsd.contract import SqsdOptions
from worker_tier.options import in_range, seconds_in_range
from worker_tier.queues.dead_letters import DeadLetterQueue, chosen_dead_letters, kind_problem
from worker_tier.queues.existing_queue import ExistingQueue, described, region_problem

_MAX_DELAY_SECONDS: Final = 900
_MAX_WAIT_SECONDS: Final = 20
_DATA_KEY_SECONDS: Final = (60, 86_400)
_RETENTION_SECONDS: Final = (60, 1_209_600)
_MESSAGE_BYTES: Final = (1_024, 1_048_576)


def queue_problems(
    *,
    scope: Construct,
    queue: sqs.IQueue | ExistingQueue | None,
    dead_letter_queue: sqs.IQueue | DeadLetterQueue | None,
    fifo: bool | None,
    content_based_deduplication: bool | None,
    deduplication_scope: sqs.DeduplicationScope | None,
    fifo_throughput_limit: sqs.FifoThroughputLimit | None,
    delivery_delay: Duration | None,
    max_message_size_bytes: int | None,
    receive_message_wait_time: Duration | None,
    redrive_allow_policy: sqs.RedriveAllowPolicy | None,
    retention_period: Duration | None,
    dead_letter_retention_period: Duration | None,
    encryption_key: kms.IKey | None,
    data_key_reuse: Duration | None,
    enforce_ssl: bool | None,
) -> list[str]:
    """Everything wrong with a work queue's props; an empty list when they can be built."""
    problems: list[str] = []
    fifo_only = {
        "content_based_deduplication": content_based_deduplication,
        "deduplication_scope": deduplication_scope,
        "fifo_throughput_limit": fifo_throughput_limit,
    }
    new_only = {
        **fifo_only,
        "dead_letter_queue": dead_letter_queue,
        "fifo": fifo,
        "delivery_delay": delivery_delay,
        "max_message_size_bytes": max_message_size_bytes,
        "receive_message_wait_time": receive_message_wait_time,
        "redrive_allow_policy": redrive_allow_policy,
        "data_key_reuse": data_key_reuse,
        "dead_letter_retention_period": dead_letter_retention_period,
        "enforce_ssl": enforce_ssl,
    }
    if queue is not None:
        described(queue, problems)
        problems += region_problem(scope, queue)
        problems += [
            f"{name} cannot be set for a queue that exists; set it where the queue is made, or"
            " leave queue out to get a new one"
            for name, value in new_only.items()
            if value is not None
        ]
        return problems
    if not fifo:
        problems += [
            f"{name} is for FIFO queues, and fifo is not True; set fifo=True or leave {name} out"
            for name, value in fifo_only.items()
            if value is not None
        ]
    elif (
        fifo_throughput_limit == sqs.FifoThroughputLimit.PER_MESSAGE_GROUP_ID
        and deduplication_scope != sqs.DeduplicationScope.MESSAGE_GROUP
    ):
        problems.append(
            "fifo_throughput_limit is PER_MESSAGE_GROUP_ID, which SQS takes together with"
            " deduplication_scope=DeduplicationScope.MESSAGE_GROUP only; set both"
        )
    if data_key_reuse is not None and encryption_key is None:
        problems.append(
            "data_key_reuse is about a key of yours, and encryption_key is not given; give both or"
            " leave data_key_reuse out"
        )
    seconds_in_range("data_key_reuse", data_key_reuse, *_DATA_KEY_SECONDS, problems)
    seconds_in_range(
        "receive_message_wait_time", receive_message_wait_time, 0, _MAX_WAIT_SECONDS, problems
    )
    seconds_in_range("delivery_delay", delivery_delay, 0, _MAX_DELAY_SECONDS, problems)
    kept = seconds_in_range(
        "dead_letter_retention_period", dead_letter_retention_period, *_RETENTION_SECONDS, problems
    )
    if kept is not None and not fifo:
        problems += _short_retention(kept, retention_period)
    in_range("max_message_size_bytes", max_message_size_bytes, *_MESSAGE_BYTES, problems)
    problems += _dead_letter_problems(dead_letter_queue, bool(fifo), dead_letter_retention_period)
    return problems


def _short_retention(kept: int, retention_period: Duration | None) -> list[str]:
    """A standard queue's message keeps its first timestamp when it is dead-lettered, so its time in
    the work queue counts too (SQS developer guide, "Understanding message retention periods").
    """
    if retention_period is None:
        there = SqsdOptions().retention_period
    elif retention_period.is_unresolved():
        return []  # told elsewhere
    else:
        there = int(retention_period.to_seconds(integral=False))
    if kept >= there:
        return []
    return [
        f"dead_letter_retention_period ({kept} s) must not be below retention_period ({there} s): a"
        " dead letter keeps the time at which it was first sent, so it would be gone at once; raise"
        " the one or lower the other"
    ]


def _dead_letter_problems(
    given: sqs.IQueue | DeadLetterQueue | None, fifo: bool, retention: Duration | None
) -> list[str]:
    problems: list[str] = []
    chosen = chosen_dead_letters(given, problems)
    if given is not None and retention is not None:
        problems.append(
            "dead_letter_retention_period is for a new dead-letter queue, and dead_letter_queue"
            " says that there is none; set it where the queue is made, or leave it out"
        )
    if chosen is None or chosen.queue is None:
        return problems
    problems += kind_problem("fifo of dead_letter_queue", chosen.queue, chosen.fifo)
    if chosen.fifo != fifo:
        kinds = ("a FIFO", "a standard") if chosen.fifo else ("a standard", "a FIFO")
        problems.append(
            f"dead_letter_queue is {kinds[0]} queue, but the work queue is {kinds[1]} queue, and"
            " SQS wants the same kind; set fifo to match or choose another dead_letter_queue"
        )
    return problems
