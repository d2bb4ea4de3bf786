"""EB's lines, as its daemon was seen to write them."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqsd import contract
from sqsd.contract import SqsdOptions, events
from sqsd.messages.gate import Probe
from sqsd.messages.message import Attribute
from sqsd.messages.outcome import Broken, Outcome, Unreachable
from sqsd.messages.request import Request, RequestBuilder
from sqsd.observe.eb_log import EbLog, eb_lines
from sqsd.observe.post_log import PostLog
from tests.daemon.messages import requests
from tests.daemon.messages.requests import PLAIN, build, cron

AT = 1_489_409_109.9  # 2017-03-13T12:45:09Z
QUEUE = "https://sqs.eu-west-1.amazonaws.com/123456789012/work"


def written(event: str, **values: Any) -> list[str]:
    stream = io.StringIO()
    EbLog(stream, lambda: AT).emit(event, **values)
    return stream.getvalue().splitlines()


FAILED = {"message_id": "m-1", "receive_count": 3, "dispatch_seconds": 0.5, "app_seconds": 1.25}


@pytest.mark.parametrize(
    ("event", "values", "lines"),
    [
        (
            events.DAEMON_STARTED,
            {"queue": QUEUE, "version": "1"},
            ["init: initializing aws-sqsd 3.0.5 (worker-tier 0.1.0)", f"start: polling {QUEUE}"],
        ),
        (
            events.MESSAGE_RELEASED,
            {**FAILED, "status": 500, "reason": "HTTP 500"},
            ["http-err: m-1 (3) 500 - 1.750"],
        ),
        (
            events.MESSAGE_RELEASED,
            {**FAILED, "reason": Unreachable.REFUSED.value},
            ["socket-err: m-1 (3) Errno::ECONNREFUSED - 1.750"],
        ),
        (
            events.MESSAGE_RELEASED,
            {**FAILED, "reason": Unreachable.CONNECT_TIMEOUT.value},
            ["socket-err: m-1 (3) Errno::ETIMEDOUT - 1.750"],
        ),
        (
            events.MESSAGE_RELEASED,
            {**FAILED, "reason": Broken.INACTIVE.value},
            ["socket-err: m-1 (3) Errno::ETIMEDOUT - 1.750"],
        ),
        (
            events.MESSAGE_RELEASED,
            {**FAILED, "reason": Broken.CLOSED.value},
            ["socket-err: m-1 (3) Errno::ECONNRESET - 1.750"],
        ),
        (
            events.MESSAGE_RELEASED,
            {"message_id": "m-1", "receive_count": 1, "reason": "the daemon is stopping"},
            ["release: m-1 (1) the daemon is stopping"],
        ),
        (
            events.MESSAGE_EXPIRED,
            {"message_id": "m-1", "age_seconds": 345_700},
            ["expired-msg: m-1 was first received 345700 seconds ago. deleting - 0.000"],
        ),
        (
            events.MESSAGE_ATTRIBUTE_SKIPPED,
            {
                "message_id": "m-1",
                "reason": "Message attribute a omitted from HTTP header: unsupported data type"
                " Binary",
            },
            [
                "attribute skipped: Message attribute a omitted from HTTP header: unsupported data"
                " type Binary"
            ],
        ),
        (events.MESSAGE_DELETED, {"message_id": "m-1", "status": 200}, []),
        (
            events.DAEMON_DRAINING,
            {"reason": "SIGTERM", "in_flight": 4},
            ["drain: draining the internal queue...", "drain: 4 messages left"],
        ),
        (events.DAEMON_STOPPED, {"clean": True}, ["stop: stopping the daemon"]),
        (
            events.DAEMON_STOPPED,
            {"clean": False},
            ["timeout: draining timed out", "stop: stopping the daemon"],
        ),
        (
            events.CRON_LOADED,
            {"tasks": ["a", "b"]},
            [
                "schedule-parser: Successfully loaded 2 scheduled tasks from file cron.yaml .",
                "scheduler: Starting scheduler",
                "scheduler: initialized 2 job's pending time",
            ],
        ),
        (
            events.CRON_LOADED,
            {"tasks": [], "file": "/var/app/current/cron.yaml"},
            [
                "schedule-parser: Successfully loaded 0 scheduled tasks from file"
                " /var/app/current/cron.yaml .",
                "scheduler: Starting scheduler",
                "scheduler: initialized 0 job's pending time",
            ],
        ),
        (
            events.CRON_INVALID,
            {"problems": ("line 3: " + "x" * 300, "line 4: y"), "file": "/etc/cron.yaml"},
            [
                f"schedule-parser: Failed of parsing file '/etc/cron.yaml', because: line 3:"
                f" {'x' * 300}",
                "schedule-parser: Failed of parsing file '/etc/cron.yaml', because: line 4: y",
            ],
        ),
        (
            events.CRON_ENQUEUED,
            {"task": "a", "late_seconds": 0.1},
            ["cron: enqueued task=a late_seconds=0.1"],
        ),
        (
            events.CRON_ENQUEUED,
            {"task": "a", "late_seconds": 12.0},
            [
                "scheduler: Sending missed message for 'a'",
                "cron: enqueued task=a late_seconds=12.0",
            ],
        ),
        (events.CRON_REPAIRED, {"task": "a"}, ["scheduler: Sending missed message for 'a'"]),
        (
            events.CRON_FAILED,
            {"task": "a", "reason": "no"},
            ["scheduler: failed to send message for job 'a', because: no"],
        ),
        (events.CRON_FAILED, {"reason": "no"}, ["scheduler: fatal error, because: no"]),
        (
            events.LEASE_STARTED,
            {},
            [
                "leader-election:  initialized leader election",
                "leader-election:  Starting leader election",
                "leader-election:  current role: worker",
            ],
        ),
        (
            events.LEASE_EXPIRED,
            {"expired_at": "2017-03-13T12:45:09Z"},
            ["leader-election:  leader expired at 2017-03-13T12:45:09Z, electing new leader ..."],
        ),
        (events.LEASE_ACQUIRED, {}, ["leader-election:  we're now the leader"]),
        (
            events.LEASE_CONTESTED,
            {},
            ["leader-election:  failed to be elected as leader. current role: worker"],
        ),
        (
            events.LEASE_LOST,
            {"reason": "another instance holds it"},
            ["leader-election:  we've lost leadership. current role: worker"],
        ),
        (
            events.LEASE_LOST,
            {"reason": "not renewed in time", "expired_at": "2017-03-13T12:45:09Z"},
            [
                "leader-election:  timeout, give up leadership. current role: worker",
                "leader-election:  failed to refresh leadership. leadership expired at:"
                " 2017-03-13T12:45:09Z",
            ],
        ),
        (
            events.LEASE_RELEASED,
            {"reason": "PutItem was refused"},
            ["leader-election:  demote requested. giving up leadership. current role: worker"],
        ),
        (
            events.LEASE_RELEASED,
            {"reason": "SendMessage got no answer", "task": "a"},
            [
                "scheduler: dropping leader, due to failed to send message for job 'a'",
                "leader-election:  demote requested. giving up leadership. current role: worker",
            ],
        ),
        (events.LEASE_RELEASED, {"reason": "stopping"}, []),
        (events.LEASE_STOPPED, {}, ["leader-election:  stopping leader election"]),
        (
            events.LEASE_FAILED,
            {"table": "T", "action": "GetItem", "times": 1, "reason": "no", "hint": "do it"},
            ['lease: failed table=T action=GetItem times=1 reason=no hint="do it"'],
        ),
        (
            events.GATE_CLOSED,
            {"reason": "connection refused"},
            ['gate: closed reason="connection refused"'],
        ),
        (events.LIFECYCLE_HELD, {"reason": "x", "at": None}, ["lifecycle: held reason=x"]),
    ],
)
def test_an_event_is_the_line_that_elastic_beanstalk_has_for_it(
    event: str, values: dict[str, Any], lines: list[str]
) -> None:
    assert written(event, **values) == [f"2017-03-13T12:45:09Z {line}" for line in lines]


def all_events() -> list[str]:
    return [
        value
        for name, value in vars(events).items()
        if name.isupper() and isinstance(value, str) and "." in value
    ]


@pytest.mark.parametrize("event", all_events())
def test_every_event_has_a_line_with_a_category_whatever_it_carries(event: str) -> None:
    for text in eb_lines(event, {}):
        assert re.match(r"[a-z -]+: ", text + " "), text


@given(text=st.text(max_size=80))
def test_no_value_makes_a_second_line(text: str) -> None:
    for event in (events.MESSAGE_RELEASED, events.GATE_CLOSED, events.CRON_FAILED):
        lines = written(event, message_id=text, receive_count=1, reason=text, task=text)
        assert len(lines) == 1
        assert lines[0].isprintable()  # nor does it steer a terminal


@pytest.mark.parametrize("sender", ['\\" admin="yes', '\\\\" admin="yes', 'a\\" admin=yes b="c'])
def test_a_quoted_value_cannot_end_its_quotes(sender: str) -> None:
    (line,) = written(events.MESSAGE_DEAD_LETTERED, task=sender, reason="HTTP 422")
    pairs = dict(re.findall(r'(\w+)=("(?:[^"\\]|\\.)*"|\S+)', line))
    assert set(pairs) == {"task", "reason"}
    assert re.sub(r"\\(.)", r"\1", pairs["task"][1:-1]) == sender


class AnnouncedApplication:
    """Notes what the log had when each request came."""

    def __init__(self, stream: io.StringIO) -> None:
        self._stream = stream
        self.lines: list[str] = []

    def post(self, request: Request, done: Callable[[Outcome], None]) -> None:
        self.lines.append(self._stream.getvalue().removeprefix("2017-03-13T12:45:09Z "))

    def abort(self) -> None:
        raise NotImplementedError

    async def probe(self, how: Probe) -> bool:
        raise NotImplementedError


@pytest.mark.parametrize(
    ("attributes", "path"),
    [
        ({}, "/work"),
        (cron(path="/periodic/report"), "/periodic/report"),
        (cron(path="no-slash"), "no-slash"),  # EB adds it on the wire, and nowhere else
        (
            {contract.ATTRIBUTE_PATH: requests.text("/named")},
            "/named",
        ),  # though it is posted to /work
        (cron(path="/x\r\nforged"), "/x%0D%0Aforged"),
        (cron(path="/" + "x" * 9_000), "/" + "x" * 496 + "..."),
    ],
)
def test_each_post_is_announced_when_it_is_made_with_the_path_that_eb_shows(
    attributes: dict[str, Attribute], path: str
) -> None:
    stream = io.StringIO()
    application = AnnouncedApplication(stream)
    post_log = PostLog(application, EbLog(stream, lambda: AT), "http://localhost:80")
    builder = RequestBuilder(SqsdOptions(http_path="/work"), "work")
    post_log.post(build(builder, attributes=attributes), lambda _: None)
    assert application.lines == [f"message: sent to http://localhost:80{path}\n"]


def test_a_post_on_the_dead_letter_path_is_no_dispatch_and_has_no_line_of_ebs() -> None:
    stream = io.StringIO()
    application = AnnouncedApplication(stream)
    post_log = PostLog(application, EbLog(stream, lambda: AT), "http://localhost:80")
    builder = RequestBuilder(SqsdOptions(on_dead_letter_path="/dead"), "work")
    post_log.post(builder.build_dead_letter(PLAIN, "HTTP 500", 0.0, 0.0), lambda _: None)
    assert application.lines == [""]


def test_a_stream_that_cannot_be_written_to_raises_nothing() -> None:
    stream = io.StringIO()
    stream.close()
    EbLog(stream, lambda: AT).emit(events.DAEMON_STOPPED, clean=True)
