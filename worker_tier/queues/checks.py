"""What the props of a work queue may be, checked before anything is built from them."""

from __future__ import annotations

from typing import Final

from aws_cdk import Duration
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from sqsd.contract import SqsdOptions
from worker_tier.props import KeyedQueueProps, QueueProps, names_of
from worker_tier.queues.dead_letters import chosen_dead_letters, kind_problem
from worker_tier.queues.existing_queue import ExistingQueue, described, region_problem
from worker_tier.ranges import in_range, seconds_in_range

#: Limits of SQS: longest delivery delay and longest long poll, s.
_MAX_DELAY_SECONDS: Final = 900
_MAX_WAIT_SECONDS: Final = 20
#: Limits of SQS: reuse of a data key, s; retention of a message, s; size of a message, bytes.
_DATA_KEY_SECONDS: Final = (60, 86_400)
_RETENTION_SECONDS: Final = (60, 1_209_600)
_MESSAGE_BYTES: Final = (1_024, 1_048_576)
#: Most queues that a redrive allow policy of SQS can name.
_MOST_SOURCES: Final = 10


def queue_problems(
    scope: Construct, props: KeyedQueueProps, *, retention_period: Duration | None
) -> list[str]:
    """Return everything wrong with the props of a work queue.

    Args:
        scope: the construct that uses the queue, for its region.
        props: the props of the queue.
        retention_period: that of the new work queue. None means the contract's default.
    """
    queue = props.get("queue")
    if queue is not None:
        return _existing_queue_problems(scope, queue, props)
    return [
        *_fifo_problems(props),
        *_range_problems(props),
        *_retention_problems(props, retention_period),
        *_dead_letter_problems(props),
        *_redrive_problems(props.get("redrive_allow_policy")),
    ]


def _redrive_problems(policy: sqs.RedriveAllowPolicy | None) -> list[str]:
    """Return why the queues that may use this one for dead letters contradict the permission."""
    if policy is None:
        return []
    permission, number = policy.redrive_permission, len(policy.source_queues or ())
    if permission in (None, sqs.RedrivePermission.BY_QUEUE):
        allowed = 1 <= number <= _MOST_SOURCES
        takes = f"is BY_QUEUE, which takes 1 to {_MOST_SOURCES} source_queues"
    else:
        allowed = number == 0
        takes = f"is {permission.name}, which takes no source_queues"
    return [] if allowed else [f"redrive_allow_policy {takes}, got {number}; change one of the two"]


def _existing_queue_problems(
    scope: Construct, queue: sqs.IQueue | ExistingQueue, props: KeyedQueueProps
) -> list[str]:
    problems: list[str] = []
    described(queue, problems)
    problems += region_problem(scope, queue)
    for name in names_of(QueueProps):
        if name != "queue" and props.get(name) is not None:
            problems.append(
                f"{name} cannot be set for a queue that exists; set it where the queue is made, or"
                " leave queue out to get a new one"
            )
    return problems


def _fifo_problems(props: KeyedQueueProps) -> list[str]:
    limit = props.get("fifo_throughput_limit")
    scope = props.get("deduplication_scope")
    if not props.get("fifo"):
        fifo_only = {
            "content_based_deduplication": props.get("content_based_deduplication"),
            "deduplication_scope": scope,
            "fifo_throughput_limit": limit,
        }
        return [
            f"{name} is for FIFO queues, and fifo is not True; set fifo=True or leave {name} out"
            for name, value in fifo_only.items()
            if value is not None
        ]
    per_group = limit == sqs.FifoThroughputLimit.PER_MESSAGE_GROUP_ID
    if per_group and scope != sqs.DeduplicationScope.MESSAGE_GROUP:
        return [
            "fifo_throughput_limit is PER_MESSAGE_GROUP_ID, which SQS takes together with"
            " deduplication_scope=DeduplicationScope.MESSAGE_GROUP only; set both"
        ]
    return []


def _range_problems(props: KeyedQueueProps) -> list[str]:
    problems: list[str] = []
    reuse = props.get("data_key_reuse")
    if reuse is not None and props.get("encryption_key") is None:
        problems.append(
            "data_key_reuse is about a key of yours, and encryption_key is not given; give both or"
            " leave data_key_reuse out"
        )
    wait = props.get("receive_message_wait_time")
    delay = props.get("delivery_delay")
    seconds_in_range("data_key_reuse", reuse, *_DATA_KEY_SECONDS, problems)
    seconds_in_range("receive_message_wait_time", wait, 0, _MAX_WAIT_SECONDS, problems)
    seconds_in_range("delivery_delay", delay, 0, _MAX_DELAY_SECONDS, problems)
    size = props.get("max_message_size_bytes")
    in_range("max_message_size_bytes", size, *_MESSAGE_BYTES, problems)
    return problems


def _retention_problems(props: KeyedQueueProps, retention_period: Duration | None) -> list[str]:
    problems: list[str] = []
    given = props.get("dead_letter_retention_period")
    dead_letter_seconds = seconds_in_range(
        "dead_letter_retention_period", given, *_RETENTION_SECONDS, problems
    )
    if dead_letter_seconds is not None and not props.get("fifo"):
        problems += _short_retention(dead_letter_seconds, retention_period)
    return problems


def _short_retention(dead_letter_seconds: int, retention_period: Duration | None) -> list[str]:
    """Return a problem if dead letters of a standard queue would expire at once.

    A standard queue's message keeps its first timestamp when it is dead-lettered, so its time in
    the work queue counts too (SQS developer guide, "Understanding message retention periods").
    """
    if retention_period is None:
        seconds = SqsdOptions().retention_period
    elif retention_period.is_unresolved():
        return []  # reported with the problems of the daemon's options
    else:
        seconds = int(retention_period.to_seconds(integral=False))
    if dead_letter_seconds >= seconds:
        return []
    return [
        f"dead_letter_retention_period ({dead_letter_seconds} s) must not be below retention_period"
        f" ({seconds} s): a dead letter keeps the time at which it was first sent, so it would be"
        " gone at once; raise the one or lower the other"
    ]


def _dead_letter_problems(props: KeyedQueueProps) -> list[str]:
    problems: list[str] = []
    given = props.get("dead_letter_queue")
    chosen = chosen_dead_letters(given, problems)
    if given is not None and props.get("dead_letter_retention_period") is not None:
        problems.append(
            "dead_letter_retention_period is for a new dead-letter queue, and dead_letter_queue"
            " says that there is none; set it where the queue is made, or leave it out"
        )
    if chosen is None or chosen.queue is None:
        return problems
    problems += kind_problem("fifo of dead_letter_queue", chosen.queue, chosen.fifo)
    if chosen.fifo != bool(props.get("fifo")):
        kinds = ("a FIFO", "a standard") if chosen.fifo else ("a standard", "a FIFO")
        problems.append(
            f"dead_letter_queue is {kinds[0]} queue, but the work queue is {kinds[1]} queue, and"
            " SQS wants the same kind; set fifo to match or choose another dead_letter_queue"
        )
    return problems
