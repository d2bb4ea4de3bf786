"""Makes a span for each POST, if OpenTelemetry's SDK is installed and configured.

It is configured if a standard variable asks for traces: `OTEL_EXPORTER_OTLP_ENDPOINT`,
`OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` or `OTEL_TRACES_EXPORTER`. Otherwise nothing of OpenTelemetry
is imported. A message attribute `traceparent` names the span's parent; the application gets a
`traceparent` header that names the span, in place of the header that the attribute would become.

Source: OpenTelemetry semantic conventions, "Messaging spans" and "AWS SQS".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from sqsd.base.shortened import shortened
from sqsd.contract import HEADER_ATTRIBUTE_PREFIX, HEADER_MESSAGE_ID, HEADER_TRACE_PARENT
from sqsd.messages.gate import Probe
from sqsd.messages.outcome import Answered, Outcome
from sqsd.messages.ports import Application
from sqsd.messages.request import Request

if TYPE_CHECKING:
    from opentelemetry.trace import Span, Tracer

#: Environment variables that ask for traces.
_ASKS_FOR_TRACES: Final = (
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_TRACES_EXPORTER",
)
#: Longest value of a span's attribute that a sender chose, in characters.
_LONGEST_VALUE: Final = 256
#: The message id in the head of a request.
_MESSAGE_ID: Final = re.compile(rb"\r\n%b: ([^\r\n]*)\r\n" % HEADER_MESSAGE_ID.encode())
#: The trace context in the head of a request: from the message attribute, or from the header that
#: `extra_headers` makes of it.
_PARENT: Final = re.compile(
    rb"\r\n(?:%b)?%b: ([0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2})\r\n"
    % (HEADER_ATTRIBUTE_PREFIX.encode(), HEADER_TRACE_PARENT.encode()),
    re.IGNORECASE,
)
#: A `traceparent` header that the request had before the span.
_REPLACED_HEADER: Final = re.compile(
    rb"\r\n%b: [^\r\n]*(?=\r\n)" % HEADER_TRACE_PARENT.encode(), re.IGNORECASE
)


class TracingUnavailable(Exception):
    """Traces are configured but cannot be made; the text says what to do."""


def asked_for(environment: Mapping[str, str]) -> bool:
    """Return whether the environment configures traces."""
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    if environment.get("OTEL_TRACES_EXPORTER", "").strip().lower() == "none":
        return False
    return any(environment.get(name, "").strip() for name in _ASKS_FOR_TRACES)


class Tracing:
    """Holds OpenTelemetry's SDK, which exports spans in a separate thread.

    Args:
        environment: the variables that configure the SDK.
        service_name: name of the service if `OTEL_SERVICE_NAME` is not set.
        version: version of the daemon.
        exporter: exporter to use in place of the configured one; for tests.

    Raises:
        TracingUnavailable: the SDK or the exporter is not installed.
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        *,
        service_name: str,
        version: str,
        exporter: Any = None,
    ) -> None:
        try:
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor

            exporter = exporter or _exporter(environment)
        except ImportError as error:
            raise TracingUnavailable(
                f"{error}; install the extra: pip install 'worker-tier-daemon[otel]',"
                " or unset OTEL_EXPORTER_OTLP_ENDPOINT and OTEL_TRACES_EXPORTER"
            ) from error
        named = environment.get("OTEL_SERVICE_NAME") or service_name
        self._provider = TracerProvider(resource=Resource.create({"service.name": named}))
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self.tracer: Tracer = self._provider.get_tracer("sqsd", version)

    def close(self) -> None:
        """Export the remaining spans."""
        self._provider.shutdown()


def _exporter(environment: Mapping[str, str]) -> Any:
    wanted = environment.get("OTEL_TRACES_EXPORTER", "otlp").strip().lower() or "otlp"
    if wanted == "console":
        from opentelemetry.sdk.trace.export import ConsoleSpanExporter

        return ConsoleSpanExporter()
    if wanted != "otlp":
        raise TracingUnavailable(
            f"OTEL_TRACES_EXPORTER must be otlp, console or none, got {wanted!r}"
        )
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter()


class TracedApplication:
    """Implements `messages.ports.Application`: wraps each POST of `application` in a span."""

    def __init__(
        self, application: Application, tracer: Tracer, *, queue_name: str, queue_url: str
    ) -> None:
        from opentelemetry.trace import SpanKind, Status, StatusCode

        self._application = application
        self._tracer = tracer
        self._kind = SpanKind.CONSUMER
        self._error = Status(StatusCode.ERROR)
        self._name = f"process {queue_name}"
        self._attributes = {
            "messaging.system": "aws_sqs",
            "messaging.operation.name": "process",
            "messaging.operation.type": "process",
            "messaging.destination.name": queue_name,
            "aws.sqs.queue.url": queue_url,
            "http.request.method": "POST",
        }

    def post(self, request: Request, done: Callable[[Outcome], None]) -> None:
        span = self._start(request)

        def ended(outcome: Outcome) -> None:
            self._finish(span, outcome)
            done(outcome)

        head = _with_parent(request.head, _context_header(span))
        self._application.post(request._replace(head=head), ended)

    def abort(self) -> None:
        self._application.abort()

    async def probe(self, how: Probe) -> bool:
        return await self._application.probe(how)

    def _start(self, request: Request) -> Span:
        from opentelemetry.trace import Link

        parent = _parent(request.head)
        found = _MESSAGE_ID.search(request.head)
        attributes: dict[str, Any] = {
            **self._attributes,
            "url.path": shortened(request.path, _LONGEST_VALUE),
            "messaging.message.body.size": len(request.body),
        }
        if found is not None:
            attributes["messaging.message.id"] = found[1].decode("utf-8", "replace")
        if request.task_name is not None:
            attributes["sqsd.task"] = shortened(request.task_name, _LONGEST_VALUE)
        if parent is None:
            return self._tracer.start_span(self._name, kind=self._kind, attributes=attributes)
        # The conventions ask for a link to the message's creation, and allow it as the parent.
        context, origin = parent
        return self._tracer.start_span(
            self._name, context, self._kind, attributes=attributes, links=[Link(origin)]
        )

    def _finish(self, span: Span, outcome: Outcome) -> None:
        if isinstance(outcome, Answered):
            span.set_attribute("http.response.status_code", outcome.status)
            if outcome.status != 200:
                span.set_attribute("error.type", str(outcome.status))
                span.set_status(self._error)
        else:
            span.set_attribute("error.type", outcome.name.lower())
            span.set_status(self._error)
        span.end()


def _parent(head: bytes) -> tuple[Any, Any] | None:
    """Return the context that a `traceparent` in the head names, and its span context; or None."""
    from opentelemetry.trace import get_current_span
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    found = _PARENT.search(head)
    if found is None:
        return None
    carrier = {HEADER_TRACE_PARENT: found[1].decode("ascii")}
    context = TraceContextTextMapPropagator().extract(carrier)
    origin = get_current_span(context).get_span_context()
    return (context, origin) if origin.is_valid else None


def _context_header(span: Span) -> bytes:
    context = span.get_span_context()
    return (
        f"\r\n{HEADER_TRACE_PARENT}: 00-{context.trace_id:032x}-{context.span_id:016x}"
        f"-{int(context.trace_flags):02x}"
    ).encode()


def _with_parent(head: bytes, header: bytes) -> bytes:
    """Return the head with `header` at its end, as its only `traceparent`."""
    return _REPLACED_HEADER.sub(b"", head)[:-4] + header + b"\r\n\r\n"
