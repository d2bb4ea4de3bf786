"""The daemon's options: names, defaults, ranges and meanings.

They are Elastic Beanstalk's (EB developer guide, general options, namespace
`aws:elasticbeanstalk:sqsd`); durations are whole seconds. Options that EB does not have are listed
in docs/explain/compatibility.md. Import the names of this module from `sqsd.contract`.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, field, fields
from typing import Any, Final

from sqsd.contract import checks as check
from sqsd.contract.wire import EXTRA_HEADERS, USER_AGENT

#: Options of the application or the whole process: all queues of a daemon share their values.
SHARED_OPTIONS: Final = frozenset(
    {
        "http_host",
        "host_header",
        "http_port",
        "http_connections",
        "connect_timeout",
        "health_path",
        "signing_key_file",
        "drain_timeout",
        "drain_on_rebalance",
        "protect_busy_instance",
        "log_format",
        "metrics_namespace",
        "status_port",
    }
)


class InvalidSettings(ValueError):
    """Settings cannot be used; `problems` lists every reason, not only the first."""

    def __init__(self, problems: list[str], source: str = "settings") -> None:
        self.problems = tuple(problems)
        self.source = source
        super().__init__(f"{source}: " + "; ".join(problems))


def _option(default: Any, rule: check.Check, meaning: str, eb_name: str | None = None) -> Any:
    """Define a field with its range, meaning and EB's name, or None if EB has no such option."""
    metadata = {"check": rule, "meaning": meaning, "eb_name": eb_name}
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, kw_only=True, slots=True)
class SqsdOptions:
    """Holds the options that an operator may choose; durations are whole seconds.

    Raises:
        InvalidSettings: with every problem found, not only the first.
    """

    http_path: str = _option("/", check.path, "path of every ordinary POST", "HttpPath")
    http_host: str = _option(
        "localhost",
        check.host,
        "where the daemon connects, in plain HTTP; not on loopback only with signing_key_file",
    )
    host_header: str | None = _option(
        None,
        check.or_none(check.host_header),
        "Host header sent; null for http_host, with http_port unless that is 80",
    )
    http_port: int = _option(80, check.whole_number(1, 65_535), "port on localhost; EB has only 80")
    mime_type: str = _option("application/json", check.media_type, "Content-Type sent", "MimeType")
    user_agent: str = _option(
        USER_AGENT, check.header_value, "User-Agent sent; some applications test how it begins"
    )
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
    on_dead_letter_path: str | None = _option(
        None,
        check.or_none(check.path),
        "path that a message is POSTed on when its last attempt has failed, before the dead-letter"
        " queue has it; null for none",
    )
    backpressure_statuses: tuple[str, ...] = _option(
        (),
        check.list_of(check.status),
        "statuses with which the application asks for a message again later, such as 429: it is"
        " held and posted again after Retry-After, or after a growing pause",
    )
    status_delays: tuple[str, ...] = _option(
        (),
        check.list_of(check.status_delay),
        "seconds, or backoff, until a message that failed with a status is visible again, such as"
        " 409=30 or 5xx=backoff; others go by retry_policy",
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
    attribute_header_bytes: int = _option(
        65_536,
        check.whole_number(1_024, 1_048_576),
        "most bytes of names and values of the headers made of message attributes; attributes"
        " beyond it are left out and logged",
    )
    via_sns: bool = _option(False, check.boolean, "POST the Message of an SNS envelope as the body")
    signing_key_file: str | None = _option(
        None,
        check.or_none(check.file_path),
        "file with the key that signs requests (HMAC-SHA256), or with two of them",
    )
    heartbeat: bool = _option(
        True, check.boolean, "extend the visibility of messages whose request still runs"
    )
    drain_timeout: int = _option(
        300,
        check.whole_number(0, 172_800),
        "seconds that requests in flight get when the daemon stops",
    )
    drain_on_rebalance: bool = _option(
        False, check.boolean, "drain on EC2's rebalance recommendation, not only on a Spot notice"
    )
    protect_busy_instance: bool = _option(
        False,
        check.boolean,
        "protect the instance from scale-in while a request runs that takes 10 s or more",
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

    @property
    def host(self) -> str:
        """Value of the Host header."""
        if self.host_header is not None:
            return self.host_header
        return self.http_host if self.http_port == 80 else f"{self.http_host}:{self.http_port}"

    def __post_init__(self) -> None:
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        wrong = {name for name in values if value_problems({name: values[name]})}
        problems = value_problems(values) + self._combinations_that_lose_messages(wrong)
        if problems:
            raise InvalidSettings(problems, "sqsd options")

    def _combinations_that_lose_messages(self, wrong: Set[str]) -> list[str]:
        """Return problems of combinations; options in `wrong` have no valid value to compare."""

        def usable(*names: str) -> bool:
            return wrong.isdisjoint(names)

        problems = []
        if (
            usable("heartbeat", "inactivity_timeout", "visibility_timeout")
            and not self.heartbeat
            and self.inactivity_timeout >= self.visibility_timeout
        ):
            problems.append(
                f"inactivity_timeout ({self.inactivity_timeout} s) must be below visibility_timeout"
                f" ({self.visibility_timeout} s) when heartbeat is off, or a message is delivered"
                " again while its first request runs; raise one, lower the other, or turn"
                " heartbeat on"
            )
        if (
            usable("heartbeat", "visibility_timeout")
            and self.heartbeat
            and self.visibility_timeout < 2
        ):
            problems.append(
                f"visibility_timeout ({self.visibility_timeout} s) must be 2 s or more with"
                " heartbeat, which renews it at half its length; raise it or turn heartbeat off"
            )
        if usable("http_host", "signing_key_file"):
            problems += self._unsigned_off_this_machine()
        statuses = ("delete_statuses", "dead_letter_statuses", "status_delays")
        if usable(*statuses, "backpressure_statuses"):
            problems += self._statuses_that_contradict_backpressure()
        if usable(*statuses):
            problems += self._statuses_that_contradict_each_other()
        if usable("retention_period", "visibility_timeout", "max_retries"):
            problems += self._too_short_a_retention()
        return problems

    def _unsigned_off_this_machine(self) -> list[str]:
        if check.is_loopback(self.http_host) or self.signing_key_file is not None:
            return []
        return [
            f"http_host ({self.http_host}) is where the daemon connects, in plain HTTP, and it is"
            " not this machine, so the application cannot know who POSTs: set signing_key_file; for"
            " another Host header set host_header instead"
        ]

    def _statuses_that_contradict_each_other(self) -> list[str]:
        problems = []
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
        delayed = [delay.partition("=")[0] for delay in self.status_delays]
        if twice := sorted({status for status in delayed if delayed.count(status) > 1}):
            problems.append(
                f"status_delays name {', '.join(twice)} more than once; leave one entry for each"
            )
        if settled := sorted({*delayed} & {*self.delete_statuses, *self.dead_letter_statuses}):
            problems.append(
                f"{', '.join(settled)} in status_delays cannot be in delete_statuses or"
                " dead_letter_statuses too; leave it out of one"
            )
        if "200" in delayed:
            problems.append("status_delays must not hold 200, which means success; leave it out")
        return problems

    def _statuses_that_contradict_backpressure(self) -> list[str]:
        problems = []
        if {"200", "2xx"} & set(self.backpressure_statuses):
            problems.append(
                "backpressure_statuses must not hold 200, which means success, got"
                f" {self.backpressure_statuses!r}"
            )
        delayed = (delay.partition("=")[0] for delay in self.status_delays)
        others = {*delayed, *self.delete_statuses, *self.dead_letter_statuses}
        if both := sorted(others & set(self.backpressure_statuses)):
            problems.append(
                f"{', '.join(both)} in backpressure_statuses cannot be in delete_statuses,"
                " dead_letter_statuses or status_delays too; leave it out of one"
            )
        return problems

    def _too_short_a_retention(self) -> list[str]:
        needed = self.visibility_timeout * self.max_retries
        if self.retention_period >= needed:
            return []
        return [
            f"retention_period ({self.retention_period} s) must be at least visibility_timeout"
            f" x max_retries ({self.visibility_timeout} s x {self.max_retries} = {needed} s),"
            " or a failing message is deleted before it reaches the dead-letter queue; raise"
            " retention_period, or lower visibility_timeout or max_retries"
        ]


def value_problems(values: Mapping[str, Any]) -> list[str]:
    """Return problems of single options, given by name; combinations are not checked."""
    checks = {f.name: f.metadata["check"] for f in fields(SqsdOptions)}
    return [
        f"{name} must be {allowed}, got {value!r}"
        for name, value in values.items()
        if (allowed := checks[name](value))
    ]
