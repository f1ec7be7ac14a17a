import importlib
import sys

import pytest

from interlock.telemetry.settings import TelemetrySettings
from interlock.telemetry.tracing import (
    NoTracer,
    Tracer,
    TracingUnavailableError,
    configure_tracing,
    genai,
)


def test_without_an_endpoint_nothing_is_traced_nor_imported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "interlock.telemetry.otel", None)
    tracer = configure_tracing(TelemetrySettings())

    assert isinstance(tracer, NoTracer)
    with tracer.span("chat") as span:
        assert span.trace_id is None
    assert tracer.span("a") is tracer.span("b")


def test_an_endpoint_without_the_packages_is_an_error_that_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "interlock.telemetry.otel", None)

    with pytest.raises(TracingUnavailableError) as caught:
        configure_tracing(TelemetrySettings(otlp_endpoint="http://127.0.0.1:4318"))

    assert "interlock[otel]" in str(caught.value.hint)


def failing_request(tracer: Tracer, parent: str) -> None:
    with (
        tracer.span("request", parent=parent) as outer,
        tracer.span("chat gpt", attributes=genai(operation="chat", provider="p", model="m")),
    ):
        assert outer.trace_id == "0af7651916cd43dd8448eb211c80319c"
        raise ValueError("some prompt text")


def test_spans_nest_fail_and_continue_the_trace_of_the_caller() -> None:
    sdk = pytest.importorskip("opentelemetry.sdk.trace", reason="the otel extra is not installed")
    export = importlib.import_module("opentelemetry.sdk.trace.export")
    memory = importlib.import_module("opentelemetry.sdk.trace.export.in_memory_span_exporter")
    otel = importlib.import_module("interlock.telemetry.otel")
    exporter = memory.InMemorySpanExporter()
    provider = sdk.TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(export.SimpleSpanProcessor(exporter))
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

    with pytest.raises(ValueError, match="prompt"):
        failing_request(otel.OtelTracer(provider), parent)

    inner_done, outer_done = exporter.get_finished_spans()
    assert inner_done.parent is not None
    assert inner_done.parent.span_id == outer_done.context.span_id
    assert dict(inner_done.attributes or {}) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "p",
        "gen_ai.request.model": "m",
        "error.type": "ValueError",
    }
    assert "prompt text" not in inner_done.to_json()
