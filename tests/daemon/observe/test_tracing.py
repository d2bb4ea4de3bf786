"""Spans, with the SDK's own exporter in memory; and nothing at all when nobody asked for them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from sqsd.contract import SqsdOptions
from sqsd.messages.gate import Probe
from sqsd.messages.message import Attribute, Message
from sqsd.messages.outcome import Answered, Broken, Outcome, Unreachable
from sqsd.messages.request import Request, RequestBuilder
from sqsd.observe import tracing
from sqsd.observe.tracing import TracedApplication, Tracing, TracingUnavailable, asked_for

QUEUE_URL = "https://sqs.eu-west-1.amazonaws.com/123456789012/work"
OK = Answered(200)
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_nothing_of_opentelemetry_is_imported_unless_it_is_asked_for() -> None:
    program = (
        "import sys, sqsd.daemon, sqsd.observe.assembly, sqsd.observe.tracing as tracing\n"
        "assert not tracing.asked_for({})\n"
        "found = [name for name in sys.modules if name.startswith('opentelemetry')]\n"
        "assert not found, found\n"
    )
    environment = {k: v for k, v in os.environ.items() if not k.startswith("OTEL_")}
    environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("environment", "asked"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:4318"}, True),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True),
        ({"OTEL_TRACES_EXPORTER": ""}, False),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://x"}, False),
        ({"OTEL_SDK_DISABLED": "true", "OTEL_TRACES_EXPORTER": "otlp"}, False),
        ({"OTEL_SERVICE_NAME": "x"}, False),
    ],
)
def test_the_standard_variables_decide(environment: dict[str, str], asked: bool) -> None:
    assert asked_for(environment) is asked


def test_a_missing_sdk_is_reported_with_its_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("opentelemetry")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with pytest.raises(TracingUnavailable, match=r"worker-tier-daemon\[otel\]"):
        Tracing({"OTEL_TRACES_EXPORTER": "otlp"}, service_name="orders", version="1")


class Application:
    """Implements `ports.Application`; answers as a test says."""

    def __init__(self) -> None:
        self.outcome: Outcome = Answered(200)
        self.posted: list[Request] = []

    def post(self, request: Request, done: Callable[[Outcome], None]) -> None:
        self.posted.append(request)
        done(self.outcome)

    def abort(self) -> None:
        self.outcome = Broken.CUT

    async def probe(self, how: Probe) -> bool:
        return how is Probe.ANSWER


class Traced:
    def __init__(self) -> None:
        if not os.environ.get("CI"):  # where everything must run, a missing SDK is a failure
            pytest.importorskip("opentelemetry.sdk", reason="the extra `otel` is not installed")
        from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

        self.exporter = InMemorySpanExporter()
        self.tracing = Tracing({}, service_name="orders", version="1.2.3", exporter=self.exporter)
        self.application = Application()
        self.traced = TracedApplication(
            self.application, self.tracing.tracer, queue_name="work", queue_url=QUEUE_URL
        )
        self.outcomes: list[Outcome] = []

    def post(self, message: Message, outcome: Outcome = OK) -> Any:
        """Post a message; its span."""
        self.application.outcome = outcome
        request = RequestBuilder(SqsdOptions(), "work").build(message)
        self.traced.post(request, self.outcomes.append)
        self.tracing._provider.force_flush()
        spans = self.exporter.get_finished_spans()
        assert len(spans) == len(self.outcomes)
        return spans[-1]

    def head(self) -> str:
        return self.application.posted[-1].head.decode()


def message(**attributes: str) -> Message:
    return Message(
        message_id="m-1",
        receipt_handle="HANDLE",
        body=b"BODY",
        receive_count=1,
        sender_id="A",
        sent_at=0,
        first_received_at=0,
        received_at=0.0,
        attributes={name: Attribute("String", value) for name, value in attributes.items()},
    )


def test_a_post_is_a_span_with_the_attributes_of_the_conventions() -> None:
    traced = Traced()
    span = traced.post(message())
    assert span.name == "process work"
    assert span.kind.name == "CONSUMER"
    assert span.status.is_ok
    assert dict(span.attributes) == {
        "messaging.system": "aws_sqs",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": "work",
        "messaging.message.id": "m-1",
        "messaging.message.body.size": 4,
        "aws.sqs.queue.url": QUEUE_URL,
        "http.request.method": "POST",
        "http.response.status_code": 200,
        "url.path": "/",
    }
    assert span.resource.attributes["service.name"] == "orders"
    assert traced.outcomes == [Answered(200)]


@pytest.mark.parametrize(
    ("outcome", "error"),
    [
        (Answered(500), "500"),
        (Unreachable.REFUSED, "refused"),
        (Broken.INACTIVE, "inactive"),
    ],
)
def test_a_failure_is_an_error_with_its_type(outcome: Outcome, error: str) -> None:
    traced = Traced()
    span = traced.post(message(), outcome)
    assert not span.status.is_ok
    assert span.attributes["error.type"] == error
    assert traced.outcomes == [outcome]


def test_the_application_is_given_the_span_as_its_parent() -> None:
    traced = Traced()
    span = traced.post(message())
    found = re.findall(r"\r\ntraceparent: ([^\r]*)\r\n", traced.head())
    context = span.get_span_context()
    assert found == [f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"]
    # and the rest of the head is as it was
    plain = RequestBuilder(SqsdOptions(), "work").build(message()).head.decode()
    assert traced.head().replace(f"traceparent: {found[0]}\r\n", "") == plain


def test_a_message_that_brings_a_context_continues_its_trace() -> None:
    traced = Traced()
    span = traced.post(message(traceparent=PARENT))
    _, trace_id, parent_id, _ = PARENT.split("-")
    assert f"{span.get_span_context().trace_id:032x}" == trace_id
    assert f"{span.parent.span_id:016x}" == parent_id
    assert [f"{link.context.span_id:016x}" for link in span.links] == [parent_id]
    assert traced.head().count("\r\ntraceparent: ") == 1


def test_a_header_made_of_the_attribute_gives_way_to_the_span() -> None:
    traced = Traced()
    request = RequestBuilder(SqsdOptions(), "work").build(message())
    head = request.head[:-2] + f"traceparent: {PARENT}\r\n\r\n".encode()
    traced.traced.post(request._replace(head=head), traced.outcomes.append)
    found = re.findall(r"\r\ntraceparent: ([^\r]*)\r\n", traced.head())
    assert len(found) == 1
    assert found[0] != PARENT
    assert found[0].split("-")[1] == PARENT.split("-")[1]


@pytest.mark.parametrize("value", ["", "nonsense", "00-" + "0" * 32 + "-" + "0" * 16 + "-01"])
def test_a_context_that_is_none_starts_a_trace(value: str) -> None:
    span = Traced().post(message(traceparent=value))
    assert span.parent is None
    assert not span.links


def test_no_body_and_no_handle_is_in_a_span() -> None:
    text = Traced().post(message()).to_json()
    assert "BODY" not in text
    assert "HANDLE" not in text


async def test_what_is_not_a_post_goes_through() -> None:
    traced = Traced()
    assert await traced.traced.probe(Probe.ANSWER) is True
    traced.traced.abort()
    assert traced.application.outcome is Broken.CUT


def test_an_exporter_that_is_not_known_is_named() -> None:
    Traced()  # needs the SDK
    with pytest.raises(TracingUnavailable, match="zipkin"):
        tracing.Tracing({"OTEL_TRACES_EXPORTER": "zipkin"}, service_name="orders", version="1")
