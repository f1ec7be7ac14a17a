"""Spans of requests and model calls, only when an exporter is configured.

Without one, `Tracer` is `NoTracer`: `active` is False and callers skip the rest.
The OpenTelemetry SDK is an optional dependency, used by `telemetry.otel` alone.
Spans carry names and counts, never prompt text, arguments or keys.

Source: OpenTelemetry semantic conventions for generative AI.
"""

from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import ClassVar, Protocol, TypeAlias

from interlock.kernel.errors import ErrorKind, InterlockError
from interlock.telemetry.settings import TelemetrySettings

__all__ = [
    "NoTracer",
    "Span",
    "Tracer",
    "TracingUnavailableError",
    "Value",
    "configure_tracing",
    "genai",
]

Value: TypeAlias = str | int | float | bool


class TracingUnavailableError(InterlockError):
    """Raised when traces are configured and the packages for it are not installed."""

    kind: ClassVar[ErrorKind] = ErrorKind.UNSUPPORTED
    code: ClassVar[str] = "tracing_unavailable"

    def __init__(self) -> None:
        super().__init__(
            "telemetry.otlp_endpoint is set, but OpenTelemetry is not installed",
            hint="install `interlock[otel]`, or remove the setting",
            param="telemetry.otlp_endpoint",
        )


class Span(Protocol):
    """One traced operation."""

    trace_id: str | None
    """32 hexadecimal digits; None: not traced."""

    def set(self, attributes: Mapping[str, Value]) -> None:
        """Adds attributes."""
        ...

    def fail(self, code: str, message: str = "") -> None:
        """Marks it as failed."""
        ...

    def end(self) -> None:
        """Ends it; idempotent. A span used as a context manager ends itself."""
        ...

    def __enter__(self) -> "Span": ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class Tracer(Protocol):
    """Starts spans."""

    active: bool
    """False: nothing is recorded; skip building attributes."""

    def span(
        self,
        name: str,
        *,
        parent: str | None = None,
        attributes: Mapping[str, Value] | None = None,
    ) -> Span:
        """Starts a span; `parent` is a `traceparent` header, else the current span."""
        ...

    def close(self) -> None:
        """Sends what is left; may take some seconds."""
        ...


class _NoSpan:
    """The span of a tracer that traces nothing; one for all."""

    __slots__ = ()
    trace_id: str | None = None

    def set(self, attributes: Mapping[str, Value]) -> None:
        """Ignores them."""

    def fail(self, code: str, message: str = "") -> None:
        """Ignores it."""

    def end(self) -> None:
        """Does nothing."""

    def __enter__(self) -> "_NoSpan":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return None


_NO_SPAN = _NoSpan()


class NoTracer:
    """Traces nothing."""

    active = False

    def span(
        self,
        name: str,
        *,
        parent: str | None = None,
        attributes: Mapping[str, Value] | None = None,
    ) -> Span:
        """The span that is nothing."""
        return _NO_SPAN

    def close(self) -> None:
        """Does nothing."""


def configure_tracing(settings: TelemetrySettings) -> Tracer:
    """The tracer of the process.

    Raises:
        TracingUnavailableError: an endpoint is set, the SDK is missing.
    """
    if settings.otlp_endpoint is None:
        return NoTracer()
    try:
        from interlock.telemetry.otel import connect  # noqa: PLC0415 - optional dependency
    except ImportError as error:
        raise TracingUnavailableError from error
    return connect(settings)


def genai(
    *,
    operation: str,
    provider: str,
    model: str,
    upstream_model: str | None = None,
    input_tokens: int | None = None,
    output_tokens: int | None = None,
    finish_reasons: Iterator[str] | tuple[str, ...] = (),
) -> dict[str, Value]:
    """Attributes of a model call; what is not known is left out."""
    found: dict[str, Value | None] = {
        "gen_ai.operation.name": operation,
        "gen_ai.provider.name": provider,
        "gen_ai.request.model": model,
        "gen_ai.response.model": upstream_model,
        "gen_ai.usage.input_tokens": input_tokens,
        "gen_ai.usage.output_tokens": output_tokens,
        "gen_ai.response.finish_reasons": ",".join(finish_reasons) or None,
    }
    return {name: value for name, value in found.items() if value is not None}
