"""Counters of the process, cheap where they are counted, exact where they are read.

A series is a plain object whose `inc` adds to a number; its label lookup is one
dictionary access, which callers on the hot path do once and keep. Nothing is
formatted before `render` is called.

A series is written by one thread. The number of series per metric is bounded:
label values may come from callers (a model name), and what is beyond the bound is
counted under `other`.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from typing import Generic, TypeVar

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

__all__ = [
    "CONTENT_TYPE",
    "Counter",
    "GatewayMetrics",
    "Gauge",
    "Histogram",
    "HistogramSeries",
    "Series",
]

CONTENT_TYPE = CONTENT_TYPE_LATEST

S = TypeVar("S")

_MAX_SERIES = 2000
_OTHER = "other"
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
_OVERHEAD = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5)


class Series:
    """One number. Not to be written by two threads."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: float = 0

    def inc(self, amount: float = 1) -> None:
        """Adds to it."""
        self.value += amount

    def dec(self, amount: float = 1) -> None:
        """Subtracts from it; only a gauge may."""
        self.value -= amount


class HistogramSeries:
    """Counts by size. Not to be written by two threads."""

    __slots__ = ("_bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Counts one value."""
        self.counts[bisect_left(self._bounds, value)] += 1
        self.total += value


class _Family(Generic[S]):
    """All series of one metric, by label values."""

    def __init__(self, name: str, text: str, labels: Sequence[str], make: Callable[[], S]) -> None:
        self.name = name
        self.text = text
        self.labels = tuple(labels)
        self._make = make
        self._series: dict[tuple[str, ...], S] = {}

    def child(self, *values: str) -> S:
        """The series of these label values, in the order of the labels."""
        found = self._series.get(values)
        return found if found is not None else self._new(values)

    def items(self) -> list[tuple[tuple[str, ...], S]]:
        """All series as they are now."""
        return list(self._series.items())

    def _new(self, values: tuple[str, ...]) -> S:
        if len(values) != len(self.labels):
            raise ValueError(f"`{self.name}` has the labels {self.labels}")
        if len(self._series) >= _MAX_SERIES and self.labels:
            values = (_OTHER,) * len(self.labels)
        return self._series.setdefault(values, self._make())


class Counter(_Family[Series]):
    """A metric that only grows."""

    def __init__(self, name: str, text: str, labels: Sequence[str] = ()) -> None:
        super().__init__(name, text, labels, Series)

    def collect(self) -> Metric:
        """The metric as the exposition format wants it."""
        family = CounterMetricFamily(self.name, self.text, labels=self.labels)
        for values, series in self.items():
            family.add_metric(values, series.value)
        return family


class Gauge(_Family[Series]):
    """A metric that goes up and down."""

    def __init__(self, name: str, text: str, labels: Sequence[str] = ()) -> None:
        super().__init__(name, text, labels, Series)

    def collect(self) -> Metric:
        """The metric as the exposition format wants it."""
        family = GaugeMetricFamily(self.name, self.text, labels=self.labels)
        for values, series in self.items():
            family.add_metric(values, series.value)
        return family


class Histogram(_Family[HistogramSeries]):
    """A metric that counts values by size."""

    def __init__(
        self,
        name: str,
        text: str,
        labels: Sequence[str] = (),
        *,
        bounds: Sequence[float] = _SECONDS,
    ) -> None:
        self._bounds = tuple(bounds)
        super().__init__(name, text, labels, lambda: HistogramSeries(self._bounds))

    def collect(self) -> Metric:
        """The metric as the exposition format wants it."""
        family = HistogramMetricFamily(self.name, self.text, labels=self.labels)
        names = [*map(str, self._bounds), "+Inf"]
        for values, series in self.items():
            counts = list(series.counts)
            cumulative = [sum(counts[: index + 1]) for index in range(len(counts))]
            buckets = list(zip(names, cumulative, strict=True))
            family.add_metric(values, buckets=buckets, sum_value=series.total)
        return family


class GatewayMetrics:
    """What the server counts. Names and labels are part of the product: see the reference."""

    def __init__(self) -> None:
        self.requests = Counter(
            "interlock_requests",
            "Requests answered.",
            ("surface", "endpoint", "provider", "status"),
        )
        self.tokens = Counter(
            "interlock_tokens",
            "Tokens by kind (input, output, cache_read, cache_write, reasoning).",
            ("provider", "model", "kind"),
        )
        self.cost = Counter(
            "interlock_cost_dollars", "Cost of tokens with a known price.", ("provider", "model")
        )
        self.decisions = Counter(
            "interlock_decisions", "Decided tool calls.", ("surface", "verdict", "reason")
        )
        self.upstream_attempts = Counter(
            "interlock_upstream_attempts",
            "Attempts to reach an upstream, by outcome.",
            ("provider", "deployment", "outcome"),
        )
        self.rejected = Counter(
            "interlock_rejected_requests",
            "Model calls refused for their key, path, headers or limits.",
            ("code",),
        )
        self.duration = Histogram(
            "interlock_request_duration_seconds",
            "From the request to the end of the answer.",
            ("endpoint", "provider"),
        )
        self.first_byte = Histogram(
            "interlock_first_byte_seconds",
            "From the request to the first byte of the answer.",
            ("endpoint", "provider"),
        )
        self.overhead = Histogram(
            "interlock_overhead_seconds",
            "Time of a request not spent waiting for the upstream.",
            ("endpoint",),
            bounds=_OVERHEAD,
        )
        self._families: list[Counter | Gauge | Histogram] = [
            self.requests,
            self.tokens,
            self.cost,
            self.decisions,
            self.upstream_attempts,
            self.rejected,
            self.duration,
            self.first_byte,
            self.overhead,
        ]
        self._readers: list[tuple[str, str, bool, Callable[[], float]]] = []
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def read(
        self, name: str, text: str, value: Callable[[], float], *, total: bool = False
    ) -> None:
        """Adds a metric somebody else keeps; `total`: it only grows. Read at `render`."""
        self._readers.append((name, text, total, value))

    def register(self, family: Counter | Gauge | Histogram) -> None:
        """Adds a metric of another package."""
        self._families.append(family)

    def catalogue(self) -> list[tuple[str, str, tuple[str, ...], str]]:
        """Name as exposed, type, labels and meaning of every metric, for the reference."""
        found: list[tuple[str, str, tuple[str, ...], str]] = []
        for family in self._families:
            kind = type(family).__name__.lower()
            name = f"{family.name}_total" if kind == "counter" else family.name
            found.append((name, kind, family.labels, family.text))
        for name, text, total, _ in self._readers:
            shown = (f"{name}_total", "counter") if total else (name, "gauge")
            found.append((*shown, (), text))
        return found

    def collect(self) -> Iterator[Metric]:
        """All metrics; called by the registry."""
        for family in self._families:
            yield family.collect()
        for name, text, total, value in self._readers:
            kind = CounterMetricFamily if total else GaugeMetricFamily
            yield kind(name, text, value=float(value()))

    def render(self) -> bytes:
        """The text exposition of everything; its type is `CONTENT_TYPE`."""
        return generate_latest(self._registry)
