"""What signing in counts. Names are published: conversations.md section 18."""

from collections.abc import Callable, Mapping
from typing import Literal

from interlock.telemetry.metrics import Counter, Gauge, Histogram

__all__ = ["LoginMetrics", "LoginResult", "RotationReason"]

LoginResult = Literal["success", "invalid_credentials", "disabled", "error"]
RotationReason = Literal["login", "refresh", "flagged"]
_ROLES = ("admin", "member", "read_only")


class LoginMetrics:
    """Log-ins, rotations and sessions that go on."""

    def __init__(self, register: Callable[[Counter | Gauge | Histogram], None]) -> None:
        self._logins = Counter(
            "rustygpt_auth_logins",
            "Attempts to sign in by result (success, invalid_credentials, disabled, error).",
            ("result",),
        )
        self._rotations = Counter(
            "rustygpt_auth_session_rotations",
            "New tokens of sessions by reason (login, refresh, flagged).",
            ("reason",),
        )
        self._active = Gauge(
            "rustygpt_auth_active_sessions", "Sessions that go on, by role.", ("role",)
        )
        for one in (self._logins, self._rotations, self._active):
            register(one)

    def login(self, result: LoginResult) -> None:
        """Counts an attempt."""
        self._logins.child(result).inc()

    def rotation(self, reason: RotationReason) -> None:
        """Counts a new token."""
        self._rotations.child(reason).inc()

    def active(self, by_role: Mapping[str, int]) -> None:
        """Notes how many sessions go on."""
        for role in _ROLES:
            self._active.child(role).value = by_role.get(role, 0)
