"""The work queue and its dead-letter queue: made here, or made elsewhere and described."""

from __future__ import annotations

from typing import Final

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from sqsd.contract import ENQUEUE_ACTIONS
from worker_tier.encryption import grant_key
from worker_tier.errors import InvalidProps
from worker_tier.queues.checks import queue_problems
from worker_tier.queues.dead_letters import DeadLetterQueue, chosen_dead_letters
from worker_tier.queues.existing_queue import ExistingQueue, described

#: SQS's longest: a message keeps its first timestamp when it is dead-lettered, so its time in the
#: work queue counts too, and people need days to look at it.
DEAD_LETTER_RETENTION_DAYS: Final = 14
#: What sending to an encrypted queue and receiving from one needs, without the CDK's wildcards.
SEND_KEY_ACTIONS: Final = ("kms:Decrypt", "kms:GenerateDataKey")
RECEIVE_KEY_ACTIONS: Final = ("kms:Decrypt",)


class WorkerQueues(Construct):
    """A work queue whose failing messages end in a dead-letter queue.

    What is made here refuses requests without TLS and has no physical name. What exists already is
    not touched: its policies, times and encryption stay as they are.

    Args:
        visibility_timeout: how long a received message stays hidden when a receive names no time.
        retention_period: after this long a message nobody deleted is gone.
        max_retries: receives after which SQS moves a message to the dead-letter queue, 1 to 100.
        queue: one that exists: a queue of this app, or `ExistingQueue.imported(...)`. Default: a
            new one.
        dead_letter_queue: for a new work queue, a queue of this app, or a `DeadLetterQueue`.
            Default: a new one.
        fifo: in order within a message group; the dead-letter queue follows. Default: False.
        content_based_deduplication: of a FIFO queue. Default: False.
        deduplication_scope, fifo_throughput_limit: of a FIFO queue; `MESSAGE_GROUP` and
            `PER_MESSAGE_GROUP_ID` give high throughput. Default: `QUEUE`, `PER_QUEUE`.
        delivery_delay: of every message, at most 15 minutes. Default: none.
        max_message_size_bytes: 1 024 to 1 048 576. Default: SQS's own.
        receive_message_wait_time: long poll of receivers that name none. Default: 20 s, SQS's
            longest.
        redrive_allow_policy: which queues may use the work queue for their dead letters. Default:
            none, for the daemon would POST what another system failed at.
        dead_letter_retention_period: 60 s to 14 days. Default: 14 days.
        encryption_key: encrypts both new queues. Default: SQS's own keys.
        data_key_reuse: how long SQS works with one data key of `encryption_key`, 1 min to 24 h.
            Default: SQS's own, 5 min.
        enforce_ssl: new queues refuse requests without TLS. Default: True.
        removal_policy: what deleting the stack does to both. Default: destroys them.

    Raises:
        InvalidProps: with every problem found.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        visibility_timeout: Duration,
        retention_period: Duration,
        max_retries: int,
        queue: sqs.IQueue | ExistingQueue | None = None,
        dead_letter_queue: sqs.IQueue | DeadLetterQueue | None = None,
        fifo: bool | None = None,
        content_based_deduplication: bool | None = None,
        deduplication_scope: sqs.DeduplicationScope | None = None,
        fifo_throughput_limit: sqs.FifoThroughputLimit | None = None,
        delivery_delay: Duration | None = None,
        max_message_size_bytes: int | None = None,
        receive_message_wait_time: Duration | None = None,
        redrive_allow_policy: sqs.RedriveAllowPolicy | None = None,
        dead_letter_retention_period: Duration | None = None,
        encryption_key: kms.IKey | None = None,
        data_key_reuse: Duration | None = None,
        enforce_ssl: bool | None = None,
        removal_policy: RemovalPolicy = RemovalPolicy.DESTROY,
    ) -> None:
        super().__init__(scope, id)
        problems = queue_problems(
            scope=self,
            queue=queue,
            dead_letter_queue=dead_letter_queue,
            fifo=fifo,
            content_based_deduplication=content_based_deduplication,
            deduplication_scope=deduplication_scope,
            fifo_throughput_limit=fifo_throughput_limit,
            delivery_delay=delivery_delay,
            max_message_size_bytes=max_message_size_bytes,
            receive_message_wait_time=receive_message_wait_time,
            redrive_allow_policy=redrive_allow_policy,
            retention_period=retention_period,
            dead_letter_retention_period=dead_letter_retention_period,
            encryption_key=encryption_key,
            data_key_reuse=data_key_reuse,
            enforce_ssl=enforce_ssl,
        )
        if problems:
            raise InvalidProps(self.node.path, problems)
        existing = None if queue is None else described(queue, [])
        if existing is not None:
            #: Where producers send and instances receive.
            self.queue: sqs.IQueue = existing.queue
            #: Where SQS puts a message after `max_retries` receives; None when there is none.
            self.dead_letter_queue: sqs.IQueue | None = existing.dead_letter_queue
            self.fifo = existing.fifo
            self._key, self._dead_letter_key = existing.encryption_key, existing.dead_letter_key
            #: Whether statements added to the queue's policy reach it.
            self.owned = existing.owned
            return
        self.owned, self.fifo, self._key = True, bool(fifo), encryption_key
        self._encryption_key, self._enforce_ssl = encryption_key, enforce_ssl is not False
        self._data_key_reuse = data_key_reuse
        self._removal_policy = removal_policy
        chosen = chosen_dead_letters(dead_letter_queue, [])
        if chosen is None:
            self.dead_letter_queue = self._new_dead_letter_queue(
                dead_letter_retention_period or Duration.days(DEAD_LETTER_RETENTION_DAYS)
            )
            self._dead_letter_key = encryption_key
        else:
            self.dead_letter_queue, self._dead_letter_key = chosen.queue, chosen.encryption_key
        self.queue = sqs.Queue(
            self,
            "Queue",
            dead_letter_queue=None
            if self.dead_letter_queue is None
            else sqs.DeadLetterQueue(queue=self.dead_letter_queue, max_receive_count=max_retries),
            fifo=fifo or None,
            content_based_deduplication=content_based_deduplication,
            deduplication_scope=deduplication_scope,
            fifo_throughput_limit=fifo_throughput_limit,
            delivery_delay=delivery_delay,
            encryption=self._encryption,
            encryption_master_key=encryption_key,
            data_key_reuse=data_key_reuse,
            enforce_ssl=self._enforce_ssl,
            max_message_size_bytes=max_message_size_bytes,
            receive_message_wait_time=receive_message_wait_time or Duration.seconds(20),
            redrive_allow_policy=redrive_allow_policy
            or sqs.RedriveAllowPolicy(redrive_permission=sqs.RedrivePermission.DENY_ALL),
            retention_period=retention_period,
            visibility_timeout=visibility_timeout,
            removal_policy=removal_policy,
        )

    def _new_dead_letter_queue(self, retention_period: Duration) -> sqs.Queue:
        """Any queue of this account and region may be its source: naming the work queue would make
        the two depend on each other.
        """
        return sqs.Queue(
            self,
            "DeadLetterQueue",
            fifo=self.fifo or None,
            encryption=self._encryption,
            encryption_master_key=self._encryption_key,
            data_key_reuse=self._data_key_reuse,
            enforce_ssl=self._enforce_ssl,
            retention_period=retention_period,
            redrive_allow_policy=sqs.RedriveAllowPolicy(
                redrive_permission=sqs.RedrivePermission.ALLOW_ALL
            ),
            removal_policy=self._removal_policy,
        )

    @property
    def _encryption(self) -> sqs.QueueEncryption:
        if self._encryption_key is None:
            return sqs.QueueEncryption.SQS_MANAGED
        return sqs.QueueEncryption.KMS

    @property
    def encryption_key(self) -> kms.IKey | None:
        """The customer key of the work queue, new or existing; None for SQS's own keys."""
        return self._key

    @property
    def dead_letter_key(self) -> kms.IKey | None:
        """The customer key of the dead-letter queue, which may be another; None for SQS's own."""
        return self._dead_letter_key

    def grant_send_messages(self, grantee: iam.IGrantable) -> iam.Grant:
        """Allow sending to the work queue, reading its URL and attributes, and using its key."""
        granted = self.queue.grant(
            grantee, "sqs:SendMessage", "sqs:GetQueueAttributes", "sqs:GetQueueUrl"
        )
        return grant_key(self._key, grantee, SEND_KEY_ACTIONS, granted)

    def grant_consume_messages(self, grantee: iam.IGrantable) -> iam.Grant:
        """Allow receiving from the work queue, deleting, and changing visibility."""
        granted = self.queue.grant(
            grantee,
            "sqs:ReceiveMessage",
            "sqs:ChangeMessageVisibility",
            "sqs:GetQueueUrl",
            "sqs:DeleteMessage",
            "sqs:GetQueueAttributes",
        )
        return grant_key(self._key, grantee, RECEIVE_KEY_ACTIONS, granted)

    def grant_purge(self, grantee: iam.IGrantable) -> iam.Grant:
        """Allow deleting every message of the work queue."""
        return self.queue.grant_purge(grantee)

    def grant_redrive(self, grantee: iam.IGrantable) -> iam.Grant:
        """Allow moving dead letters back into the work queue, and watching or cancelling that.

        `StartMessageMoveTask` needs the rights of a receiver on its source and of a sender on its
        destination (SQS developer guide, "Configuring queue permissions for DLQ redrive").

        Raises:
            InvalidProps: there is no dead-letter queue.
        """
        if self.dead_letter_queue is None:
            raise InvalidProps(
                self.node.path,
                [
                    "grant_redrive needs a dead-letter queue, and there is none; give the queue one"
                    " by dead_letter_queue, or, if it exists, a redrive policy and its description"
                ],
            )
        receive = self.dead_letter_queue.grant(
            grantee,
            "sqs:StartMessageMoveTask",
            "sqs:CancelMessageMoveTask",
            "sqs:ListMessageMoveTasks",
            "sqs:ReceiveMessage",
            "sqs:DeleteMessage",
            "sqs:GetQueueAttributes",
        )
        receive = grant_key(self._dead_letter_key, grantee, RECEIVE_KEY_ACTIONS, receive)
        granted = receive.combine(self.queue.grant(grantee, "sqs:SendMessage"))
        return grant_key(self._key, grantee, SEND_KEY_ACTIONS, granted)

    def grant_bury(self, grantee: iam.IGrantable) -> iam.Grant | None:
        """Allow sending to the dead-letter queue, with its key; None when there is none."""
        if self.dead_letter_queue is None:
            return None
        granted = self.dead_letter_queue.grant(grantee, *ENQUEUE_ACTIONS)
        return grant_key(self._dead_letter_key, grantee, SEND_KEY_ACTIONS, granted)
