"""What the daemon and the constructs share: options, headers, table keys, `tier.json`.

The daemon reads what is written down here, so it owns it; the constructs import this module and
render it. Standard library only, for it is also loaded by `cdk synth` (ADR 3).

Names, defaults and ranges of options are Elastic Beanstalk's (EB developer guide, general options,
namespace `aws:elasticbeanstalk:sqsd`); durations are whole seconds. What EB has no name for is
marked "ours" and listed in docs/compatibility.md.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import MISSING, Field, asdict, dataclass, field, fields
from typing import Any, Final, Self

from sqsd import option_checks as check

# ---- settings file ---------------------------------------------------------------------------

SETTINGS_VERSION: Final = 1
#: Where an instance keeps the file that the constructs render.
SETTINGS_PATH: Final = "/etc/worker-tier/tier.json"

# ---- the request an application sees -----------------------------------------------------------

#: EB 3.0.4's product token first: frameworks test that the header starts with `aws-sqsd`.
USER_AGENT: Final = "aws-sqsd/3.0.4 (worker-tier)"
HEADER_MESSAGE_ID: Final = "X-Aws-Sqsd-Msgid"
HEADER_RECEIVE_COUNT: Final = "X-Aws-Sqsd-Receive-Count"
HEADER_FIRST_RECEIVED_AT: Final = "X-Aws-Sqsd-First-Received-At"
HEADER_SENT_AT: Final = "X-Aws-Sqsd-Sent-At"
HEADER_QUEUE: Final = "X-Aws-Sqsd-Queue"
HEADER_PATH: Final = "X-Aws-Sqsd-Path"
HEADER_SENDER_ID: Final = "X-Aws-Sqsd-Sender-Id"
HEADER_SCHEDULED_AT: Final = "X-Aws-Sqsd-Scheduled-At"
HEADER_TASK_NAME: Final = "X-Aws-Sqsd-Taskname"
HEADER_ATTRIBUTE_PREFIX: Final = "X-Aws-Sqsd-Attr-"
#: Ours: names the attribute headers whose values had to be percent-encoded to travel in HTTP.
HEADER_ENCODED: Final = "X-Aws-Sqsd-Encoded"
#: Ours: `t=<epoch seconds>,v1=<hex of HMAC-SHA256 over "<t>.POST.<path>." and the body>`.
HEADER_SIGNATURE: Final = "X-Aws-Sqsd-Signature"
#: Ours, each sent only when `extra_headers` names it.
EXTRA_HEADERS: Final = (
    "X-Aws-Sqsd-Receipt-Handle",
    "X-Aws-Sqsd-Visibility-Deadline",
    "X-Aws-Sqsd-Message-Group-Id",
    "X-Aws-Sqsd-Message-Deduplication-Id",
    "X-Amzn-Trace-Id",
    "traceparent",
)
ACCEPT_ENCODING: Final = "gzip, compressed"

# ---- periodic tasks ----------------------------------------------------------------------------

CRON_FILE_NAME: Final = "cron.yaml"
CRON_BODY: Final = "elasticbeanstalk scheduled job"
#: Attributes that begin with this are the daemon's own and never become headers.
RESERVED_ATTRIBUTE_PREFIX: Final = "beanstalk.sqsd"
ATTRIBUTE_PATH: Final = "beanstalk.sqsd.path"
ATTRIBUTE_TASK_NAME: Final = "beanstalk.sqsd.task_name"
ATTRIBUTE_SCHEDULED_TIME: Final = "beanstalk.sqsd.scheduled_time"
#: How `scheduled_time` is written: `2017-03-22 23:10:00 UTC`.
SCHEDULED_TIME_FORMAT: Final = "%Y-%m-%d %H:%M:%S UTC"

# ---- dead letters that the daemon sends ------------------------------------------------------

#: Why a message of `dead_letter_statuses` was given up, and its id in the work queue.
ATTRIBUTE_REASON: Final = "worker-tier.reason"
ATTRIBUTE_FIRST_MESSAGE_ID: Final = "worker-tier.message_id"

# ---- leader table ------------------------------------------------------------------------------

#: Partition key (a string), as in EB's own registry table.
LEADER_TABLE_KEY: Final = "id"
#: Time-to-live attribute (a number, epoch seconds).
LEADER_TABLE_TTL: Final = "expires_at"

# ---- what the daemon calls, and so what its role must allow -------------------------------------

QUEUE_ACTIONS: Final = ("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility")
#: Only with periodic tasks, on the work queue.
ENQUEUE_ACTIONS: Final = ("sqs:SendMessage",)
LEADER_TABLE_ACTIONS: Final = ("dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem")


class InvalidSettings(ValueError):
    """Settings that cannot be used; `problems` has every one of them, not only the first."""

    def __init__(self, problems: list[str], source: str = "settings") -> None:
        self.problems = tuple(problems)
        self.source = source
        super().__init__(f"{source}: " + "; ".join(problems))


def _option(default: Any, rule: check.Check, meaning: str, eb_name: str | None = None) -> Any:
    """A field with its range, its meaning and EB's name for it (None: ours) as metadata."""
    metadata = {"check": rule, "meaning": meaning, "eb_name": eb_name}
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, kw_only=True, slots=True)
class SqsdOptions:
    """What an operator may choose.

    Raises:
        InvalidSettings: with every problem found, not only the first.
    """

    http_path: str = _option("/", check.path, "path of every ordinary POST", "HttpPath")
    http_host: str = _option(
        "localhost",
        check.host,
        "where the application is; sign requests when it is not on localhost",
    )
    http_port: int = _option(80, check.whole_number(1, 65_535), "port on localhost; EB has only 80")
    mime_type: str = _option("application/json", check.media_type, "Content-Type sent", "MimeType")
    http_connections: int = _option(
        50, check.whole_number(1, 100), "POSTs at one time on an instance", "HttpConnections"
    )
    connect_timeout: int = _option(
        5, check.whole_number(1, 60), "seconds to connect to the application", "ConnectTimeout"
    )
    inactivity_timeout: int = _option(
        299,
        check.whole_number(1, 36_000),
        "seconds without a byte after which a request is given up",
        "InactivityTimeout",
    )
    visibility_timeout: int = _option(
        300,
        check.whole_number(0, 43_200),
        "seconds a received message stays hidden",
        "VisibilityTimeout",
    )
    error_visibility_timeout: int | None = _option(
        None,
        check.or_none(check.whole_number(0, 43_200)),
        "seconds until a failed message is visible again; null leaves it to visibility_timeout",
        "ErrorVisibilityTimeout",
    )
    retention_period: int = _option(
        345_600,
        check.whole_number(60, 1_209_600),
        "seconds after its first receive at which a message is deleted without a POST",
        "RetentionPeriod",
    )
    max_retries: int = _option(
        10, check.whole_number(1, 100), "receives before the dead-letter queue", "MaxRetries"
    )
    wait_time_seconds: int = _option(
        20,
        check.whole_number(0, 20),
        "seconds a receive waits on an empty queue; SQS's WaitTimeSeconds",
    )
    retry_policy: str = _option(
        "eb",
        check.one_of("eb", "backoff"),
        "eb: error_visibility_timeout each time; backoff: doubled with each receive, with jitter",
    )
    delete_statuses: tuple[str, ...] = _option(
        (),
        check.list_of(check.status),
        "statuses besides 200 that delete a message, such as 204 or 2xx",
    )
    dead_letter_statuses: tuple[str, ...] = _option(
        (),
        check.list_of(check.status),
        "statuses that send a message to the dead-letter queue at once",
    )
    delete_expired: bool = _option(
        True, check.boolean, "delete messages past retention_period; false leaves them to the queue"
    )
    health_path: str | None = _option(
        None,
        check.or_none(check.path),
        "GET path that answers 2xx when the application can take messages",
    )
    extra_headers: tuple[str, ...] = _option(
        (), check.list_of(check.one_of(*EXTRA_HEADERS)), "headers sent besides EB's"
    )
    via_sns: bool = _option(False, check.boolean, "POST the Message of an SNS envelope as the body")
    signing_key_file: str | None = _option(
        None,
        check.or_none(check.file_path),
        "file with the secret that signs requests (HMAC-SHA256)",
    )
    heartbeat: bool = _option(
        True, check.boolean, "extend the visibility of messages whose request still runs"
    )
    drain_timeout: int = _option(
        300,
        check.whole_number(0, 7_200),
        "seconds that requests in flight get when the daemon stops",
    )
    drain_on_rebalance: bool = _option(
        False, check.boolean, "drain on EC2's rebalance recommendation, not only on a Spot notice"
    )
    log_format: str = _option(
        "json",
        check.one_of("json", "eb"),
        "json: one object a line; eb: the lines that EB's daemon writes",
    )
    metrics_namespace: str | None = _option(
        "WorkerTier",
        check.or_none(check.metrics_namespace),
        "CloudWatch namespace of the metrics printed once a minute; null prints none",
    )
    status_port: int | None = _option(
        7773,  # "sqsd" on a telephone's keys
        check.or_none(check.whole_number(1, 65_535)),
        "loopback port of /healthz, /readyz, /metrics and /status; null for none",
    )

    def __post_init__(self) -> None:
        problems = [
            f"{name} must be {allowed}, got {value!r}"
            for f in fields(self)
            if (allowed := f.metadata["check"](value := getattr(self, (name := f.name))))
        ]
        if not problems:
            problems = self._combinations_that_lose_messages()
        if problems:
            raise InvalidSettings(problems, "sqsd options")

    def _combinations_that_lose_messages(self) -> list[str]:
        problems = []
        if not self.heartbeat and self.inactivity_timeout >= self.visibility_timeout:
            problems.append(
                f"inactivity_timeout ({self.inactivity_timeout} s) must be below visibility_timeout"
                f" ({self.visibility_timeout} s) when heartbeat is off, or a message is delivered"
                " again while its first request runs; raise one, lower the other, or turn"
                " heartbeat on"
            )
        if self.heartbeat and self.visibility_timeout < 2:
            problems.append(
                f"visibility_timeout ({self.visibility_timeout} s) must be 2 s or more with"
                " heartbeat, which renews it at half its length; raise it or turn heartbeat off"
            )
        if both := sorted(set(self.delete_statuses) & set(self.dead_letter_statuses)):
            problems.append(
                f"{', '.join(both)} cannot be in delete_statuses and in dead_letter_statuses;"
                " leave it out of one"
            )
        if "200" in self.dead_letter_statuses or "2xx" in self.dead_letter_statuses:
            problems.append(
                "dead_letter_statuses must not hold 200, which means success, got"
                f" {self.dead_letter_statuses!r}"
            )
        needed = self.visibility_timeout * self.max_retries
        if self.retention_period < needed:
            problems.append(
                f"retention_period ({self.retention_period} s) must be at least visibility_timeout"
                f" x max_retries ({self.visibility_timeout} s x {self.max_retries} = {needed} s),"
                " or a failing message is deleted before it reaches the dead-letter queue; raise"
                " retention_period or lower one of the others"
            )
        return problems


@dataclass(frozen=True, kw_only=True, slots=True)
class TierResources:
    """What only CloudFormation knows. In a template these are tokens, so nothing is checked."""

    queue_url: str
    region: str
    #: Names the tier in metrics and logs: the stack's name.
    tier_name: str
    dead_letter_queue_url: str | None = None
    leader_table: str | None = None
    #: The group's hook on termination: the daemon holds it while it drains, and completes it then.
    lifecycle_hook: str | None = None
    #: The group's name; without it the daemon asks the instance's tag `aws:autoscaling:groupName`,
    #: for a launch template cannot name the group that refers to it.
    auto_scaling_group: str | None = None
    #: CloudWatch Logs group to which the instance's agent ships the daemon's lines, with metrics.
    log_group: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class TierSettings:
    """All that `sqsd run` is told: the content of `tier.json`.

    `cron_file` is read when the daemon starts; a relative path counts from the settings file's own
    directory. With a cron file that holds an enabled task, `resources.leader_table` is needed.
    """

    resources: TierResources
    options: SqsdOptions = SqsdOptions()
    cron_file: str | None = None

    def to_document(self) -> dict[str, Any]:
        """The JSON object of `tier.json`; options at their default are written too."""
        return {
            "version": SETTINGS_VERSION,
            **asdict(self.resources),
            "cron_file": self.cron_file,
            "options": asdict(self.options),
        }

    @classmethod
    def from_json(cls, text: str, source: str = "tier.json") -> Self:
        """Read `tier.json`.

        Raises:
            InvalidSettings: names `source` and lists every problem found.
        """
        return cls.from_document(parse_document(text, source), source)

    @classmethod
    def from_document(cls, document: Mapping[str, Any], source: str) -> Self:
        """Read settings from the object that `to_document` gives.

        Raises:
            InvalidSettings: as `from_json` does.
        """
        problems = _version_problems(document)
        known = {f.name: f for f in fields(TierResources)}
        problems += _unknown_keys(document, {"version", "cron_file", "options", *known}, "key")
        problems += [
            problem for name, f in known.items() if (problem := _text_problem(document, name, f))
        ]
        cron_file = document.get("cron_file")
        if cron_file is not None and not (isinstance(cron_file, str) and cron_file):
            problems.append(f"cron_file must be a path or null, got {cron_file!r}")
        options = _read_options(document.get("options", {}), problems)
        if problems or options is None:
            raise InvalidSettings(problems, source)
        if options.dead_letter_statuses and not document.get("dead_letter_queue_url"):
            problem = "dead_letter_statuses need dead_letter_queue_url; name the queue"
            raise InvalidSettings([problem], source)
        resources = TierResources(**{name: document.get(name) for name in known})  # type: ignore[arg-type]
        return cls(resources=resources, options=options, cron_file=cron_file)


def parse_document(text: str, source: str) -> dict[str, Any]:
    """The JSON object in a text.

    Raises:
        InvalidSettings: there is none.
    """
    try:
        document = json.loads(text)
    except ValueError as error:
        raise InvalidSettings([f"not JSON: {error}"], source) from error
    if not isinstance(document, dict):
        raise InvalidSettings([f"must be a JSON object, got {document!r:.60}"], source)
    return document


def _version_problems(document: Mapping[str, Any]) -> list[str]:
    version = document.get("version")
    if version == SETTINGS_VERSION:
        return []
    return [
        f"version must be {SETTINGS_VERSION}, got {version!r}: deploy the stack again with the"
        " worker-tier release that this daemon belongs to"
    ]


def _unknown_keys(document: Mapping[str, Any], known: set[str], what: str) -> list[str]:
    return [
        f"unknown {what} {name!r}; known: {', '.join(sorted(known))}"
        for name in sorted(document.keys() - known)
    ]


def _text_problem(document: Mapping[str, Any], name: str, f: Field[Any]) -> str | None:
    value = document.get(name)
    if value is None and f.default is not MISSING:
        return None
    if isinstance(value, str) and value:
        return None
    return f"{name} must be a text that is not empty, got {value!r}"


def _read_options(document: Any, problems: list[str]) -> SqsdOptions | None:
    if not isinstance(document, dict):
        problems.append(f"options must be a JSON object, got {document!r:.60}")
        return None
    known = {f.name for f in fields(SqsdOptions)}
    problems += _unknown_keys(document, known, "option")
    try:
        chosen: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in document.items()
            if name in known
        }
        return SqsdOptions(**chosen)
    except InvalidSettings as error:
        problems.extend(error.problems)
        return None
