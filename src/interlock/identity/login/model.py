"""A login session, where it is used from, and what is handed out for it. Frozen values."""

from dataclasses import dataclass, field

from interlock.identity.model import User

__all__ = ["Issued", "LoginSession", "Origin", "Resolved"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a request came from."""

    address: str = ""
    """Of the client, forwarded ones only from trusted proxies."""
    user_agent: str = ""
    fingerprint: str = ""
    """`X-Client-Fingerprint`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginSession:
    """A session as it is stored; instants are seconds since the epoch."""

    id: str
    family: str
    """The same for all sessions that came of one log-in by rotation."""
    user_id: str
    issued_at: float
    signed_in_at: float
    """When a password or an identity provider was last shown."""
    last_seen_at: float
    expires_at: float
    absolute_expires_at: float
    flagged: bool
    """To be rotated with the next request."""
    origin: Origin


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """A session with the two values its client must keep; they are stored nowhere."""

    token: str = field(repr=False)
    csrf: str = field(repr=False)
    session: LoginSession
    user: User
    rotated: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """A session found by its token, and good."""

    session: LoginSession
    user: User
    csrf: str = field(repr=False)
    """The value that belongs to the token that was shown."""
    also_csrf: frozenset[str] = field(default_factory=frozenset, repr=False)
    """SHA-256 (hex) of values of the neighbouring token that count within the grace period."""
    resend: bool
    """Both cookies should be sent again, with the new lifetime."""
    flagged: bool
    """The session must be rotated with this request."""
    replaced: bool = False
    """The token shown is the former one, still good for a moment: send no cookies for it."""
