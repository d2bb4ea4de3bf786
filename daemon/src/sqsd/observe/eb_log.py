"""Writes events in the format of Elastic Beanstalk's daemon, for tools that parse its log.

A line is `<UTC time> <category>: <message>[ - <seconds>]`. Where EB has a line for an event, it is
the same to the letter. Any other event gets a category from its name:
`gate: closed reason="connection refused"`. EB's daemon logs a successful message only when it posts
it, so `message.deleted` is not written. docs/explain/compatibility.md lists the differences.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from sqsd import __version__, contract
from sqsd.base.shortened import shortened
from sqsd.contract import events
from sqsd.contract.events import STOPPING
from sqsd.messages.outcome import Broken, Unreachable
from sqsd.observe.json_log import LineStream

#: What an event carries: names and values.
Values = Mapping[str, Any]
#: Characters of a value that would end it, or begin another, if it were not quoted.
_NEEDS_QUOTES: Final = re.compile(r'[ "=\\]')
#: Longest value that is written whole, characters.
_LONGEST_VALUE: Final = 500
#: Lateness from which a periodic message counts as missed at its time, seconds.
MISSED_SECONDS: Final = 5.0
#: Ruby's names of the errors that EB's HTTP client reports, by the reason of a release.
RUBY_ERRORS: Final = {
    Unreachable.REFUSED.value: "Errno::ECONNREFUSED",
    Unreachable.CONNECT_TIMEOUT.value: "Errno::ETIMEDOUT",
    Broken.INACTIVE.value: "Errno::ETIMEDOUT",
    Broken.CLOSED.value: "Errno::ECONNRESET",
    Broken.UNANSWERED.value: "Errno::ECONNRESET",
    Broken.MALFORMED.value: "Could not parse data entirely",
}


class EbLog:
    """Implements `base.ports.EventLog`: writes events in EB's format.

    Args:
        stream: where the lines go. A stream that fails costs lines and raises nothing.
        time: the wall clock, in epoch seconds.
    """

    def __init__(self, stream: LineStream, time: Callable[[], float]) -> None:
        self._stream = stream
        self._time = time

    def emit(self, event: str, /, **values: Any) -> None:
        for text in eb_lines(event, values):
            self.line(text)

    def line(self, text: str) -> None:
        """Write one line; `text` begins with its category."""
        at = datetime.fromtimestamp(self._time(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        try:
            self._stream.write(f"{at} {_one_line(text)}\n")
            self._stream.flush()
        except (OSError, ValueError):
            return  # as in `JsonLog`


def eb_lines(event: str, values: Values) -> list[str]:
    """Return the lines that EB's daemon writes for an event, without time; none if it is silent."""
    known = _LINES.get(event)
    return [_generic_line(event, values)] if known is None else known(values)


def _started(values: Values) -> list[str]:
    agent = contract.USER_AGENT.replace("/", " ", 1).partition(" (")[0]
    return [
        f"init: initializing {agent} (worker-tier {__version__})",
        f"start: polling {values.get('queue')}",
    ]


def _released(values: Values) -> list[str]:
    of = f"{values.get('message_id')} ({values.get('receive_count')})"
    # EB measures from the receive, so the wait for a connection is included.
    seconds = values.get("dispatch_seconds", 0.0) + values.get("app_seconds", 0.0)
    if values.get("status") is not None:
        return [f"http-err: {of} {values['status']} - {seconds:.3f}"]
    ruby_name = RUBY_ERRORS.get(str(values.get("reason")))
    if ruby_name is not None:
        return [f"socket-err: {of} {ruby_name} - {seconds:.3f}"]
    return [f"release: {of} {brief(values.get('reason'))}"]


def _expired(values: Values) -> list[str]:
    of, seconds = values.get("message_id"), values.get("age_seconds")
    # EB measures from the receive, and a message has expired before it waits for a connection.
    return [f"expired-msg: {of} was first received {seconds} seconds ago. deleting - 0.000"]


def _stopped(values: Values) -> list[str]:
    stop = "stop: stopping the daemon"
    return [stop] if values.get("clean") else ["timeout: draining timed out", stop]


def _draining(values: Values) -> list[str]:
    return [
        "drain: draining the internal queue...",
        f"drain: {values.get('in_flight')} messages left",
    ]


def _cron_loaded(values: Values) -> list[str]:
    count = values.get("tasks", 0)
    count = count if isinstance(count, int) else len(count)
    return [
        f"schedule-parser: Successfully loaded {count} scheduled tasks from file"
        f" {values.get('file', contract.CRON_FILE_NAME)} .",
        "scheduler: Starting scheduler",
        f"scheduler: initialized {count} job's pending time",
    ]


def _cron_invalid(values: Values) -> list[str]:
    file = values.get("file", contract.CRON_FILE_NAME)
    return [
        f"schedule-parser: Failed of parsing file '{file}', because: {brief(problem)}"
        for problem in values.get("problems", ())
    ]


def _cron_failed(values: Values) -> list[str]:
    reason = brief(values.get("reason", ""))
    if values.get("task") is None:  # a defect, not a failure of one task; EB's daemon ends after it
        return [f"scheduler: fatal error, because: {reason}"]
    name = brief(values["task"])
    return [f"scheduler: failed to send message for job '{name}', because: {reason}"]


def _cron_repaired(values: Values) -> list[str]:
    return [f"scheduler: Sending missed message for '{brief(values.get('task', ''))}'"]


def _cron_enqueued(values: Values) -> list[str]:
    """EB's daemon logs a periodic message only when it is sent late."""
    late = values.get("late_seconds", 0.0) > MISSED_SECONDS
    return [*(_cron_repaired(values) if late else ()), _generic_line(events.CRON_ENQUEUED, values)]


def _election(*texts: str) -> Callable[[Values], list[str]]:
    return lambda values: [_elected(text) for text in texts]


def _elected(text: str) -> str:
    # Two blanks after this category, as EB has them.
    return f"leader-election:  {text}"


def _lease_expired(values: Values) -> list[str]:
    return [_elected(f"leader expired at {values.get('expired_at')}, electing new leader ...")]


def _lease_lost(values: Values) -> list[str]:
    expired_at = values.get("expired_at")
    if expired_at is None:
        return [_elected("we've lost leadership. current role: worker")]
    return [
        _elected("timeout, give up leadership. current role: worker"),
        _elected(f"failed to refresh leadership. leadership expired at: {expired_at}"),
    ]


def _lease_released(values: Values) -> list[str]:
    if values.get("reason") == STOPPING:
        return []  # `lease.stopped` follows
    demoted = _elected("demote requested. giving up leadership. current role: worker")
    task = values.get("task")
    if task is None:
        return [demoted]
    why = f"failed to send message for job '{brief(task)}'"
    return [f"scheduler: dropping leader, due to {why}", demoted]


_LINES: Final[Mapping[str, Callable[[Values], list[str]]]] = {
    events.DAEMON_STARTED: _started,
    events.DAEMON_DRAINING: _draining,
    events.DAEMON_STOPPED: _stopped,
    events.MESSAGE_DELETED: lambda values: [],
    events.MESSAGE_RELEASED: _released,
    events.MESSAGE_HELD: _released,
    events.MESSAGE_EXPIRED: _expired,
    events.MESSAGE_ATTRIBUTE_SKIPPED: lambda values: [
        f"attribute skipped: {brief(values.get('reason'))}"
    ],
    events.CRON_LOADED: _cron_loaded,
    events.CRON_INVALID: _cron_invalid,
    events.CRON_ENQUEUED: _cron_enqueued,
    events.CRON_REPAIRED: _cron_repaired,
    events.CRON_FAILED: _cron_failed,
    events.LEASE_STARTED: _election(
        "initialized leader election", "Starting leader election", "current role: worker"
    ),
    events.LEASE_EXPIRED: _lease_expired,
    events.LEASE_CONTESTED: _election("failed to be elected as leader. current role: worker"),
    events.LEASE_ACQUIRED: _election("we're now the leader"),
    events.LEASE_LOST: _lease_lost,
    events.LEASE_RELEASED: _lease_released,
    events.LEASE_STOPPED: _election("stopping leader election"),
}


def _generic_line(event: str, values: Values) -> str:
    category, _, what = event.partition(".")
    pairs = (f" {name}={_quoted(value)}" for name, value in values.items() if value is not None)
    return f"{category}: {what.replace('_', ' ')}{''.join(pairs)}"


def _quoted(value: object) -> str:
    text = brief(value)
    if isinstance(value, str) and (not text or _NEEDS_QUOTES.search(text)):
        escaped = text.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    return text


def brief(value: object) -> str:
    """Return `str(value)`, cut to 500 characters."""
    return shortened(str(value), _LONGEST_VALUE)


def _one_line(text: str) -> str:
    """Escape what could split one line into two or steer a terminal: message data is untrusted."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else _escaped(ord(c)) for c in text)


def _escaped(code: int) -> str:
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
