"""Spans through the OpenTelemetry SDK, sent by OTLP over HTTP.

Imported only when an endpoint is configured: the SDK is an optional dependency.
"""

import contextlib
from collections.abc import Mapping
from types import TracebackType

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import Span as OtelSpan
from opentelemetry.trace import Status, StatusCode, use_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from interlock.telemetry.redaction import mask_text
from interlock.telemetry.settings import TelemetrySettings
from interlock.telemetry.tracing import Span, Value

__all__ = ["OtelTracer", "connect"]


def connect(settings: TelemetrySettings) -> "OtelTracer":
    """A tracer that sends to `settings.otlp_endpoint`, in the background."""
    headers = settings.otlp_headers.get_secret_value() if settings.otlp_headers else ""
    exporter = OTLPSpanExporter(
        endpoint=(settings.otlp_endpoint or "").rstrip("/") + "/v1/traces",
        headers={
            name.strip(): value.strip()
            for name, _, value in (pair.partition("=") for pair in headers.split(","))
            if name.strip()
        },
    )
    provider = TracerProvider(
        resource=Resource.create({"service.name": settings.service_name}),
        sampler=ParentBased(TraceIdRatioBased(settings.trace_sample)),
        shutdown_on_exit=False,
    )
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return OtelTracer(provider)


class OtelTracer:
    """Spans through an OpenTelemetry provider."""

    active = True

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("interlock")
        self._extract = TraceContextTextMapPropagator().extract

    def span(
        self,
        name: str,
        *,
        parent: str | None = None,
        attributes: Mapping[str, Value] | None = None,
    ) -> Span:
        """See `Tracer.span`."""
        context = self._extract({"traceparent": parent}) if parent else None
        return _OtelSpan(self._tracer.start_span(name, context=context, attributes=attributes))

    def close(self) -> None:
        """See `Tracer.close`."""
        self._provider.shutdown()


class _OtelSpan:
    """A recorded span; current for the spans started inside its `with` block."""

    def __init__(self, span: OtelSpan) -> None:
        self._span = span
        self._scope: contextlib.AbstractContextManager[object] | None = None
        self._ended = False
        self.trace_id: str | None = format(span.get_span_context().trace_id, "032x")

    def set(self, attributes: Mapping[str, Value]) -> None:
        """See `Span.set`."""
        for name, value in attributes.items():
            self._span.set_attribute(name, value)

    def fail(self, code: str, message: str = "") -> None:
        """See `Span.fail`."""
        self._span.set_attribute("error.type", code)
        self._span.set_status(Status(StatusCode.ERROR, mask_text(message) or None))

    def end(self) -> None:
        """See `Span.end`."""
        if not self._ended:
            self._ended = True
            self._span.end()

    def __enter__(self) -> "_OtelSpan":
        self._scope = use_span(self._span, record_exception=False, set_status_on_exception=False)
        self._scope.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            # Only the kind of error: its text may quote what a caller sent.
            self.fail(getattr(error, "error_code", type(error).__name__))
        if self._scope is not None:
            self._scope.__exit__(kind, error, trace)
        self.end()
