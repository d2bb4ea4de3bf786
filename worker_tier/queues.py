"""The work queue and its dead-letter queue."""

from __future__ import annotations

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sqs as sqs
from constructs import Construct

#: SQS's longest: a message keeps its first timestamp when it is dead-lettered, so its time in the
#: work queue counts too, and people need days to look at it.
DEAD_LETTER_RETENTION_DAYS = 14


class WorkerQueues(Construct):
    """A work queue whose failing messages end in a dead-letter queue.

    Both are encrypted with SQS's own keys, refuse requests without TLS, and have no physical name.

    Args:
        visibility_timeout: how long a received message stays hidden when a receive names no time.
        retention_period: after this long a message nobody deleted is gone.
        max_retries: receives after which SQS moves a message to the dead-letter queue, 1 to 100.
        receive_message_wait_time: default long poll of receivers. Default: 20 s, SQS's longest.
        removal_policy: what deleting the stack does to both. Default: destroys them.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        visibility_timeout: Duration,
        retention_period: Duration,
        max_retries: int,
        receive_message_wait_time: Duration | None = None,
        removal_policy: RemovalPolicy = RemovalPolicy.DESTROY,
    ) -> None:
        super().__init__(scope, id)
        #: Where SQS puts a message after `max_retries` receives. Any queue of this account and
        #: region may be its source: naming the one below would make the two queues depend on each
        #: other.
        self.dead_letter_queue = sqs.Queue(
            self,
            "DeadLetterQueue",
            encryption=sqs.QueueEncryption.SQS_MANAGED,
            enforce_ssl=True,
            retention_period=Duration.days(DEAD_LETTER_RETENTION_DAYS),
            redrive_allow_policy=sqs.RedriveAllowPolicy(
                redrive_permission=sqs.RedrivePermission.ALLOW_ALL
            ),
            removal_policy=removal_policy,
        )
        #: Where producers send and instances receive. Nothing may use it as a dead-letter queue:
        #: the daemon would POST what another system failed at.
        self.queue = sqs.Queue(
            self,
            "Queue",
            dead_letter_queue=sqs.DeadLetterQueue(
                queue=self.dead_letter_queue, max_receive_count=max_retries
            ),
            encryption=sqs.QueueEncryption.SQS_MANAGED,
            enforce_ssl=True,
            receive_message_wait_time=receive_message_wait_time or Duration.seconds(20),
            redrive_allow_policy=sqs.RedriveAllowPolicy(
                redrive_permission=sqs.RedrivePermission.DENY_ALL
            ),
            retention_period=retention_period,
            visibility_timeout=visibility_timeout,
            removal_policy=removal_policy,
        )

    def grant_send_messages(self, grantee: iam.IGrantable) -> iam.Grant:
        """Allow sending to the work queue, and reading its URL and attributes."""
        return self.queue.grant_send_messages(grantee)

    def grant_consume_messages(self, grantee: iam.IGrantable) -> iam.Grant:
        """Allow receiving from the work queue, deleting, and changing visibility."""
        return self.queue.grant_consume_messages(grantee)

    def grant_purge(self, grantee: iam.IGrantable) -> iam.Grant:
        """Allow deleting every message of the work queue."""
        return self.queue.grant_purge(grantee)

    def grant_redrive(self, grantee: iam.IGrantable) -> iam.Grant:
        """Allow moving dead letters back into the work queue, and watching or cancelling that.

        `StartMessageMoveTask` needs the rights of a receiver on its source and of a sender on its
        destination (SQS developer guide, "Configuring queue permissions for DLQ redrive").
        """
        receive = self.dead_letter_queue.grant(
            grantee,
            "sqs:StartMessageMoveTask",
            "sqs:CancelMessageMoveTask",
            "sqs:ListMessageMoveTasks",
            "sqs:ReceiveMessage",
            "sqs:DeleteMessage",
            "sqs:GetQueueAttributes",
        )
        return receive.combine(self.queue.grant(grantee, "sqs:SendMessage"))
