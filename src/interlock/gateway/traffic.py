"""Counts decisions, refusals and upstream attempts for `/metrics`."""

from interlock.providers.model import Target
from interlock.telemetry.metrics import GatewayMetrics

__all__ = ["TrafficCounter"]


class TrafficCounter:
    """Told about every decision, every refusal and every attempt at an upstream."""

    def __init__(self, metrics: GatewayMetrics) -> None:
        self._metrics = metrics

    def decided(self, verdict: str, reason: str) -> None:
        """See `DecisionCounter.decided`."""
        self._metrics.decisions.child("control", verdict, reason).inc()

    def refused(self, code: str) -> None:
        """A request was refused before a model was asked."""
        self._metrics.rejected.child(code).inc()

    def on_attempt(self, target: Target, outcome: str, seconds: float) -> None:
        """See `providers.router.Observer.on_attempt`."""
        del seconds
        self._metrics.upstream_attempts.child(target.provider, target.deployment, outcome).inc()
