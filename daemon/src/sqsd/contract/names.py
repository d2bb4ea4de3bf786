"""Names that the daemon, the constructs and the bootstrap share: table keys, hook, IAM actions."""

from __future__ import annotations

from typing import Final

# ---- leader table ------------------------------------------------------------------------------

#: Partition key of the leader table (a string), as in EB's registry table.
LEADER_TABLE_KEY: Final = "id"
#: Time-to-live attribute of the leader table (a number, epoch seconds).
LEADER_TABLE_TTL: Final = "expires_at"

# ---- the Auto Scaling group ---------------------------------------------------------------------

#: The group's lifecycle hook on termination, which the daemon completes when it has drained.
LIFECYCLE_HOOK: Final = "drain"
#: The action with which a daemon protects its instance from scale-in.
PROTECTION_ACTION: Final = "autoscaling:SetInstanceProtection"

# ---- what the daemon calls, and so what its role must allow -------------------------------------

#: On each queue.
QUEUE_ACTIONS: Final = ("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility")
#: On the work queue, where there are periodic tasks.
ENQUEUE_ACTIONS: Final = ("sqs:SendMessage",)
#: On the leader table.
LEADER_TABLE_ACTIONS: Final = ("dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem")
