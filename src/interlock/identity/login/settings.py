"""Windows of login sessions and checks at the log-in.

Names and defaults: conversations.md section 17.
"""

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

__all__ = ["AuthSettings", "SessionSettings"]

_COOKIE_NAME = r"^[A-Za-z0-9!#$%&'*+.^_`|~\-]{1,64}$"


class SessionSettings(BaseModel):
    """How long a login session lives and what its cookies are called."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    idle_seconds: int = Field(default=28_800, gt=0)
    """A session not used for this long is over."""
    absolute_seconds: int = Field(default=604_800, gt=0)
    """A session older than this is over, used or not; at least `idle_seconds`."""
    session_cookie_name: str = Field(default="SESSION_ID", pattern=_COOKIE_NAME)
    csrf_cookie_name: str = Field(default="CSRF-TOKEN", pattern=_COOKIE_NAME)
    max_sessions_per_user: int = Field(default=5, ge=0)
    """A further log-in ends the oldest session; 0: any number."""
    rotation_grace_seconds: int = Field(default=60, ge=0, le=3600)
    """How long the former token of a rotated session still works."""

    @model_validator(mode="after")
    def _windows(self) -> Self:
        if self.absolute_seconds < self.idle_seconds:
            raise ValueError("`absolute_seconds` must be at least `idle_seconds`")
        if self.session_cookie_name == self.csrf_cookie_name:
            raise ValueError("the two cookies need different names")
        return self


class AuthSettings(BaseModel):
    """What is checked about people who sign in."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    suspicious_check: bool = False
    """Refuse a session that is suddenly used by another browser or from another address."""
    login_failures: int = Field(default=10, ge=1, le=1000)
    """Failed attempts on one account within the window before further ones are refused."""
    login_failure_window_seconds: int = Field(default=900, ge=1)
    recent_seconds: int = Field(default=600, ge=1)
    """How long a shown password counts for actions that need a recent one."""
    setup: bool = False
    """`POST /api/setup` makes the first administrator; else the first start makes one."""
