"""What the chat API itself counts. Names are published: conversations.md section 18."""

from collections.abc import Callable

from interlock.telemetry.metrics import Counter, Gauge, Histogram

__all__ = ["ProbeMetrics"]


class ProbeMetrics:
    """Probes of health and readiness."""

    def __init__(self, register: Callable[[Counter | Gauge | Histogram], None]) -> None:
        self._checks = Counter(
            "health_checks",
            "Probes by endpoint (health, healthz, readyz) and status of the answer.",
            ("endpoint", "status"),
        )
        register(self._checks)

    def checked(self, endpoint: str, status: int) -> None:
        """Counts one."""
        self._checks.child(endpoint, str(status)).inc()
