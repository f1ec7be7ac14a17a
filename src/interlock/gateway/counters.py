"""What the gateway counts for `/metrics`, in the metrics' own words.

One object for requests, decisions and upstream attempts; each call is a few dictionary
look-ups, because two of them are made for every request.
"""

from interlock.gateway.records import UsageRecord
from interlock.providers.model import Target
from interlock.telemetry.metrics import GatewayMetrics, HistogramSeries, Series

__all__ = ["MetricCounters"]

_KINDS = ("input", "output", "cache_read", "cache_write", "reasoning")
_MAX_BOUND = 4096


class _Bound:
    """Series of one (endpoint, provider, model)."""

    __slots__ = ("cost", "duration", "first_byte", "overhead", "tokens")

    def __init__(self, metrics: GatewayMetrics, record: UsageRecord) -> None:
        labels = (record.provider, record.upstream_model)
        self.tokens: list[Series] = [metrics.tokens.child(*labels, kind) for kind in _KINDS]
        self.cost = metrics.cost.child(*labels)
        self.duration: HistogramSeries = metrics.duration.child(record.endpoint, record.provider)
        self.first_byte: HistogramSeries = metrics.first_byte.child(
            record.endpoint, record.provider
        )
        self.overhead: HistogramSeries = metrics.overhead.child(record.endpoint)


class MetricCounters:
    """Counts into `GatewayMetrics`."""

    def __init__(self, metrics: GatewayMetrics) -> None:
        self._metrics = metrics
        self._bound: dict[tuple[str, str, str], _Bound] = {}

    def used(self, record: UsageRecord) -> None:
        """One more request, with its tokens, price and times."""
        key = (record.endpoint, record.provider, record.upstream_model)
        bound = self._bound.get(key)
        if bound is None:
            bound = _Bound(self._metrics, record)
            if len(self._bound) < _MAX_BOUND:
                self._bound[key] = bound
        self._metrics.requests.child(
            record.surface, record.endpoint, record.provider, str(record.status)
        ).inc()
        amounts = (
            record.input_tokens,
            record.output_tokens,
            record.cache_read_tokens,
            record.cache_write_tokens,
            record.reasoning_tokens,
        )
        for series, amount in zip(bound.tokens, amounts, strict=True):
            if amount:
                series.inc(amount)
        if record.cost:
            bound.cost.inc(record.cost)
        bound.duration.observe(record.duration_s)
        if record.first_byte_s is not None:
            bound.first_byte.observe(record.first_byte_s)
        bound.overhead.observe(max(0.0, record.duration_s - record.upstream_s))

    def decided(self, verdict: str, reason: str) -> None:
        """One more decision."""
        self._metrics.decisions.child("control", verdict, reason).inc()

    def on_attempt(self, target: Target, outcome: str, seconds: float) -> None:
        """One more attempt at an upstream."""
        del seconds
        self._metrics.upstream_attempts.child(target.provider, target.deployment, outcome).inc()
