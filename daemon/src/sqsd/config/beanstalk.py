"""Converts Elastic Beanstalk's settings file (`/etc/aws-sqsd.d/default.yaml`) to our settings.

A file copied from a Beanstalk instance works as it is. A value that EB's daemon accepts and ours
would refuse is moved into our range, and a note says so.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Final

from sqsd import contract
from sqsd.contract import SqsdOptions, TierResources

_OPTIONS: Final[Mapping[str, Any]] = {f.name: f.default for f in fields(SqsdOptions)}
_RESOURCES: Final = frozenset(f.name for f in fields(TierResources))
#: EB's key -> our name, where they differ.
_RENAMED: Final = {"registry_table": "leader_table", "environment_name": "tier_name"}
#: EB's keys that have no effect here -> the reason.
_WITHOUT_EFFECT: Final = {
    "threads": "there are no threads",
    "keepalive": "connections are always reused",
    "sqs_batch_delete": "deletes are always batched",
    "sqs_ssl": "the endpoint's scheme decides",
    "dynamodb_ssl": "the endpoint's scheme decides",
    "sqs_verify_checksums": "checksums are always verified",
    "verbose": "every outcome is one line",
    "debug": "every outcome is one line",
    "quiet": "every outcome is one line",
    "message_resend_grace_period": "set catch_up in cron.yaml",
}
#: EB's health check: `TCP:80`, or `HTTP:80/health`.
_HEALTH_CHECK: Final = re.compile(r"(?:TCP:(?P<tcp>\d+)|HTTP:(?P<http>\d+)(?P<path>/\S*))")
#: Shortest visibility timeout that a heartbeat can renew at half its time, seconds.
_SHORTEST_VISIBILITY: Final = 2
#: Longest inactivity timeout, seconds.
_LONGEST_INACTIVITY: Final = 36_000


def from_beanstalk(
    document: Mapping[Any, Any], notes: list[str], problems: list[str]
) -> dict[str, Any]:
    """Return the object of `tier.json` that EB's flat keys amount to.

    Args:
        document: EB's keys and values.
        notes: list to which a sentence is added for each key that has no effect or another one.
        problems: list to which each value that cannot be used is added.
    """
    result: dict[str, Any] = {"version": contract.SETTINGS_VERSION}
    options: dict[str, Any] = {}
    # Ruby writes symbols as `:queue_url:`.
    for name, value in ((str(key).strip(":"), value) for key, value in document.items()):
        if name == "http_url":
            if value not in ("http://localhost", "http://127.0.0.1"):
                problems.append(f"http_url must be http://localhost, got {value!r}")
        elif name == "healthcheck":
            _health_check(value, document, options, notes)
        elif name in _OPTIONS:
            off = name == "error_visibility_timeout" and isinstance(value, int) and value < 0
            options[name] = None if off else value  # a negative number is EB's "off"
        elif name in _RESOURCES or name == "cron_file":
            result[name] = value
        elif name in _RENAMED:
            result[_RENAMED[name]] = value
        else:
            why = _WITHOUT_EFFECT.get(name, "this daemon has no such setting")
            notes.append(f"{name} has no effect: {why}")
    _fit(options, notes)
    result["options"] = options
    return result


def _health_check(
    value: Any, document: Mapping[Any, Any], options: dict[str, Any], notes: list[str]
) -> None:
    found = _HEALTH_CHECK.fullmatch(str(value))
    port = document.get("http_port", document.get(":http_port", _OPTIONS["http_port"]))
    if found is None or str(port) != (found["tcp"] or found["http"]):
        notes.append(
            f"healthcheck {value!r} has no effect: the application's port is probed; set"
            " health_path to probe a page instead"
        )
    elif found["path"]:
        options["health_path"] = found["path"]


def _fit(options: dict[str, Any], notes: list[str]) -> None:
    """Move values that EB's daemon accepts into our ranges."""
    visibility = options.get("visibility_timeout", _OPTIONS["visibility_timeout"])
    if type(visibility) is not int:
        return
    if 0 <= visibility < _SHORTEST_VISIBILITY:
        notes.append(
            f"visibility_timeout {visibility} is taken as {_SHORTEST_VISIBILITY}, and renewed while"
            " a request runs: with EB's daemon a message came again while it was being processed"
        )
        options["visibility_timeout"] = visibility = _SHORTEST_VISIBILITY
    # EB's daemon uses the visibility timeout as the inactivity timeout.
    if "inactivity_timeout" not in options and "visibility_timeout" in options:
        options["inactivity_timeout"] = max(1, min(visibility, _LONGEST_INACTIVITY))
    retention = options.get("retention_period", _OPTIONS["retention_period"])
    if "max_retries" in options or type(retention) is not int:
        return
    receives = max(1, retention // max(1, visibility))
    if receives < _OPTIONS["max_retries"]:
        notes.append(
            f"max_retries is not in this file; within retention_period ({retention} s) a message"
            f" that is hidden for {visibility} s each time is received {receives} times at the"
            " most, and receives_left counts from that"
        )
        options["max_retries"] = receives
