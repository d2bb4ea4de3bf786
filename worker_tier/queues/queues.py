"""The work queue and its dead-letter queue: made here, or made elsewhere and described."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Unpack

from aws_cdk import Duration, Token
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from sqsd.contract import ENQUEUE_ACTIONS
from worker_tier.encryption import (
    allow_topic_to_send,
    grant_key,
    key_problems,
    own_key,
    via_service,
)
from worker_tier.errors import InvalidProps
from worker_tier.props import WorkerQueuesProps
from worker_tier.props_help import with_props
from worker_tier.props_types import checked_props
from worker_tier.queues.checks import queue_problems
from worker_tier.queues.dead_letters import DeadLetterQueue, chosen_dead_letters
from worker_tier.queues.existing_queue import ExistingQueue, described
from worker_tier.removal import removal_problems, removed_with_the_stack
from worker_tier.type_checks import check_place, checked

#: Longest retention that SQS has, days. A message keeps its first timestamp when it is
#: dead-lettered, so its time in the work queue counts too, and people need days to examine it.
DEAD_LETTER_RETENTION_DAYS: Final = 14
#: Longest long poll that SQS has, s.
_LONG_POLL_SECONDS: Final = 20
#: KMS actions that sending to an encrypted queue needs, without the CDK's wildcards.
SEND_KEY_ACTIONS: Final = ("kms:Decrypt", "kms:GenerateDataKey")
#: KMS actions that receiving from an encrypted queue needs.
RECEIVE_KEY_ACTIONS: Final = ("kms:Decrypt",)


class WorkerQueues(Construct):
    """A work queue whose failing messages end in a dead-letter queue.

    Queues that are made here refuse requests without TLS and have no physical name. A queue that
    exists is not changed: its policies, times and encryption stay as they are.

    Args:
        props: those of `worker_tier.props.WorkerQueuesProps`.

    Raises:
        InvalidProps: with every problem found.
    """

    def __init__(self, scope: Construct, id: str, **props: Unpack[WorkerQueuesProps]) -> None:
        check_place(scope, id)
        super().__init__(scope, id)
        problems: list[str] = []
        usable = checked_props(props, WorkerQueuesProps, "WorkerQueues", problems)
        retention_period = usable.get("retention_period")
        problems += queue_problems(self, usable, retention_period=retention_period)
        problems += removal_problems(usable)
        problems += key_problems(self, usable.get("encryption_key"))
        if problems:
            raise InvalidProps(self.node.path, problems)
        #: The service by which users of the queues use their keys, as `kms:ViaService` names it.
        self.via = via_service("sqs", self)
        given = props.get("queue")
        facts = self._new_queues(props) if given is None else described(given, [])
        assert facts is not None, "queue_problems let a queue pass that is not described"
        #: The queue that producers send to and instances receive from.
        self.queue = facts.queue
        #: The queue that SQS moves a message to after `max_retries` receives, or None.
        self.dead_letter_queue = facts.dead_letter_queue
        #: Whether both are FIFO queues.
        self.fifo = facts.fifo
        #: Whether statements that are added to the work queue's policy reach it.
        self.owned = facts.owned
        #: The customer managed key of the work queue, or None if SQS manages its key.
        self.encryption_key = facts.encryption_key
        #: The customer managed key of the dead-letter queue, which may be another, or None.
        self.dead_letter_key = facts.dead_letter_key

    def _new_queues(self, props: WorkerQueuesProps) -> ExistingQueue:
        """Make the work queue, and its dead-letter queue unless one was given."""
        key = own_key(props.get("encryption_key"))
        dead_letters = chosen_dead_letters(props.get("dead_letter_queue"), [])
        if dead_letters is None:
            dead_letters = DeadLetterQueue(
                queue=self._new_dead_letter_queue(props),
                fifo=bool(props.get("fifo")),
                encryption_key=key,
            )
        return ExistingQueue(
            queue=self._new_work_queue(props, dead_letters.queue),
            fifo=bool(props.get("fifo")),
            dead_letter_queue=dead_letters.queue,
            max_receive_count=None if dead_letters.queue is None else props["max_retries"],
            encryption_key=key,
            dead_letter_key=dead_letters.encryption_key,
            owned=True,
        )

    def _new_work_queue(
        self, props: WorkerQueuesProps, dead_letters: sqs.IQueue | None
    ) -> sqs.Queue:
        redrive = None
        if dead_letters is not None:
            redrive = sqs.DeadLetterQueue(
                queue=dead_letters, max_receive_count=props["max_retries"]
            )
        wait = props.get("receive_message_wait_time")
        allowed = props.get("redrive_allow_policy")
        queue = sqs.Queue(
            self,
            "Queue",
            dead_letter_queue=redrive,
            fifo=props.get("fifo") or None,
            content_based_deduplication=props.get("content_based_deduplication"),
            deduplication_scope=props.get("deduplication_scope"),
            fifo_throughput_limit=props.get("fifo_throughput_limit"),
            delivery_delay=props.get("delivery_delay"),
            encryption=_encryption(props),
            encryption_master_key=own_key(props.get("encryption_key")),
            data_key_reuse=props.get("data_key_reuse"),
            enforce_ssl=props.get("enforce_ssl") is not False,
            max_message_size_bytes=props.get("max_message_size_bytes"),
            receive_message_wait_time=Duration.seconds(_LONG_POLL_SECONDS)
            if wait is None
            else wait,
            redrive_allow_policy=_allow_policy(sqs.RedrivePermission.DENY_ALL)
            if allowed is None
            else allowed,
            retention_period=props["retention_period"],
            visibility_timeout=props["visibility_timeout"],
        )
        removed_with_the_stack(queue, props)
        return queue

    def _new_dead_letter_queue(self, props: WorkerQueuesProps) -> sqs.Queue:
        """Make a dead-letter queue that any queue of this account and region may use.

        Naming the work queue would make the two depend on each other.
        """
        retention = props.get("dead_letter_retention_period")
        queue = sqs.Queue(
            self,
            "DeadLetterQueue",
            fifo=props.get("fifo") or None,
            encryption=_encryption(props),
            encryption_master_key=own_key(props.get("encryption_key")),
            data_key_reuse=props.get("data_key_reuse"),
            enforce_ssl=props.get("enforce_ssl") is not False,
            retention_period=Duration.days(DEAD_LETTER_RETENTION_DAYS)
            if retention is None
            else retention,
            redrive_allow_policy=_allow_policy(sqs.RedrivePermission.ALLOW_ALL),
        )
        removed_with_the_stack(queue, props)
        return queue

    @checked
    def grant_send_messages(self, grantee: iam.IGrantable) -> iam.Grant:
        """Allow sending to the work queue, reading its URL and attributes, and using its key."""
        granted = self.queue.grant(
            grantee, "sqs:SendMessage", "sqs:GetQueueAttributes", "sqs:GetQueueUrl"
        )
        return grant_key(self.encryption_key, grantee, SEND_KEY_ACTIONS, granted, via=self.via)

    @checked
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
        return grant_key(self.encryption_key, grantee, RECEIVE_KEY_ACTIONS, granted, via=self.via)

    @checked
    def grant_purge(self, grantee: iam.IGrantable) -> iam.Grant:
        """Allow deleting every message of the work queue."""
        return self.queue.grant_purge(grantee)

    @checked
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
        receive = grant_key(
            self.dead_letter_key, grantee, RECEIVE_KEY_ACTIONS, receive, via=self.via
        )
        granted = receive.combine(self.queue.grant(grantee, "sqs:SendMessage"))
        return grant_key(self.encryption_key, grantee, SEND_KEY_ACTIONS, granted, via=self.via)

    @checked
    def grant_dead_letter(self, grantee: iam.IGrantable) -> iam.Grant | None:
        """Allow sending to the dead-letter queue, with its key; return None if there is none."""
        if self.dead_letter_queue is None:
            return None
        granted = self.dead_letter_queue.grant(grantee, *ENQUEUE_ACTIONS)
        return grant_key(self.dead_letter_key, grantee, SEND_KEY_ACTIONS, granted, via=self.via)

    @checked
    def subscribe_to_topic(
        self,
        topic: sns.ITopic,
        *,
        filter_policy: Mapping[str, sns.SubscriptionFilter] | None = None,
        raw_message_delivery: bool = True,
        scope: Construct | None = None,
    ) -> sns.CfnSubscription:
        """Let a topic send to the work queue.

        Policy and subscription are made on this side, so the topic may be in any stack, even in one
        that uses the queue: the CDK's own subscription makes a cycle there (aws-cdk #1534).

        Args:
            filter_policy: conditions on message attributes. Default: every message.
            raw_message_delivery: whether SNS sends the message alone instead of its envelope, which
                needs `via_sns`. Default: True.
            scope: the construct that the subscription is made in. Default: this one.

        Raises:
            InvalidProps: the work queue is imported, so its policy is out of reach; or it is a FIFO
                queue and the topic is a standard topic.
        """
        owner = self if scope is None else scope
        id = f"Topic{topic.node.addr[-8:]}"
        problem = self._subscription_problem(topic)
        if problem is None and owner.node.try_find_child(id) is not None:
            problem = (
                f"subscribe_to_topic: {topic.node.path} is subscribed already; subscribe it once,"
                " with a filter_policy that has all conditions"
            )
        if problem is not None:
            raise InvalidProps(owner.node.path, [problem])
        self.queue.add_to_resource_policy(
            iam.PolicyStatement(
                actions=["sqs:SendMessage"],
                principals=[iam.ServicePrincipal("sns.amazonaws.com")],
                resources=[self.queue.queue_arn],
                conditions={"ArnEquals": {"aws:SourceArn": topic.topic_arn}},
            )
        )
        if self.encryption_key is not None:
            allow_topic_to_send(self.encryption_key, topic)
        conditions = filter_policy or {}
        return sns.CfnSubscription(
            owner,
            id,
            topic_arn=topic.topic_arn,
            protocol="sqs",
            endpoint=self.queue.queue_arn,
            raw_message_delivery=raw_message_delivery,
            filter_policy={name: filter.conditions for name, filter in conditions.items()} or None,
        )

    def _subscription_problem(self, topic: sns.ITopic) -> str | None:
        known = isinstance(topic, sns.Topic) or not Token.is_unresolved(topic.topic_arn)
        if self.fifo and known and not topic.fifo:
            return (
                f"subscribe_to_topic: {topic.node.path} is a standard topic, and SNS delivers"
                " into FIFO queues from FIFO topics only; make it one with fifo=True"
            )
        if not self.owned:
            return (
                "subscribe_to_topic needs a queue of this app, whose policy then admits the"
                " topic; subscribe where the queue is made"
            )
        return None


# For `help(WorkerQueues)`.
WorkerQueues.__doc__ = with_props(WorkerQueues.__doc__, WorkerQueuesProps)


def _encryption(props: WorkerQueuesProps) -> sqs.QueueEncryption:
    if props.get("encryption_key") is None:
        return sqs.QueueEncryption.SQS_MANAGED
    return sqs.QueueEncryption.KMS


def _allow_policy(permission: sqs.RedrivePermission) -> sqs.RedriveAllowPolicy:
    return sqs.RedriveAllowPolicy(redrive_permission=permission)
