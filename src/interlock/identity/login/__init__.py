"""Login sessions of browsers and command-line clients: one opaque token in a cookie.

Owns how a session begins, slides, rotates and ends, and how often one may guess a
password. Knows no HTTP: cookies and headers are the business of `web.credentials`.
"""

from interlock.identity.login.errors import (
    InvalidCredentialsError,
    InvalidSessionError,
    LoginThrottledError,
    SessionExpiredError,
    SuspiciousSessionError,
)
from interlock.identity.login.model import Issued, LoginSession, Origin, Resolved
from interlock.identity.login.service import LoginSessions
from interlock.identity.login.settings import AuthSettings, SessionSettings

__all__ = [
    "AuthSettings",
    "InvalidCredentialsError",
    "InvalidSessionError",
    "Issued",
    "LoginSession",
    "LoginSessions",
    "LoginThrottledError",
    "Origin",
    "Resolved",
    "SessionExpiredError",
    "SessionSettings",
    "SuspiciousSessionError",
]
