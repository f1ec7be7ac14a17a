"""Counts finished requests for `/metrics` and for the limits of their keys.

Each is a few dictionary look-ups, because both are made for every request.
"""

from interlock.gateway.records import UsageRecord
from interlock.limits.service import Limits
from interlock.telemetry.metrics import GatewayMetrics, HistogramSeries, Series

__all__ = ["LimitCounter", "MetricsCounter"]

_KINDS = ("input", "output", "cache_read", "cache_write", "reasoning")
_MAX_BOUND = 4096


class _Bound:
    """Series of one (endpoint, provider, model)."""

    __slots__ = ("cost", "duration", "first_byte", "overhead", "requests", "tokens")

    def __init__(self, metrics: GatewayMetrics, record: UsageRecord) -> None:
        # What the upstream calls the model: callers invent names, upstreams do not.
        labels = (record.provider, record.upstream_model)
        self.tokens: list[Series] = [metrics.tokens.child(*labels, kind) for kind in _KINDS]
        self.cost = metrics.cost.child(*labels)
        self.duration: HistogramSeries = metrics.duration.child(record.endpoint, record.provider)
        self.first_byte: HistogramSeries = metrics.first_byte.child(
            record.endpoint, record.provider
        )
        self.overhead: HistogramSeries = metrics.overhead.child(record.endpoint)
        self.requests: dict[int, Series] = {}
        """By status."""


class MetricsCounter:
    """Adds a request's tokens, cost and times to the metrics."""

    def __init__(self, metrics: GatewayMetrics) -> None:
        self._metrics = metrics
        self._bound: dict[tuple[str, str, str], _Bound] = {}

    def used(self, record: UsageRecord) -> None:
        """See `UsageCounter.used`. A side call adds its tokens and is no request of its own."""
        key = (record.endpoint, record.provider, record.upstream_model)
        bound = self._bound.get(key)
        if bound is None:
            bound = _Bound(self._metrics, record)
            if len(self._bound) < _MAX_BOUND:
                self._bound[key] = bound
        amounts = (
            record.input_tokens,
            record.output_tokens,
            record.cache_read_tokens,
            record.cache_write_tokens,
            record.reasoning_tokens,
        )
        for series, amount in zip(bound.tokens, amounts):  # noqa: B905 - both are of `_KINDS`
            if amount:
                series.value += amount
        if record.cost:
            bound.cost.inc(record.cost)
        if record.role != "main":
            return
        requests = bound.requests.get(record.status)
        if requests is None:
            requests = bound.requests[record.status] = self._metrics.requests.child(
                record.surface, record.endpoint, record.provider, str(record.status)
            )
        requests.inc()
        bound.duration.observe(record.duration_s)
        if record.first_byte_s is not None:
            bound.first_byte.observe(record.first_byte_s)
        bound.overhead.observe(max(0.0, record.duration_s - record.upstream_s))


class LimitCounter:
    """Takes a request's tokens from its key's limits."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits

    def used(self, record: UsageRecord) -> None:
        """See `UsageCounter.used`."""
        self._limits.spent(record.key_id, tokens=record.input_tokens + record.output_tokens)
