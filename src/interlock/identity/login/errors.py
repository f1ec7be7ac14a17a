"""Why a log-in or a session is refused. Codes: conversations.md section 2."""

from typing import ClassVar

from interlock.kernel.errors import ErrorKind, InterlockError

__all__ = [
    "InvalidCredentialsError",
    "InvalidSessionError",
    "LoginThrottledError",
    "SessionExpiredError",
    "SignInAgainError",
    "SuspiciousSessionError",
]


class InvalidCredentialsError(InterlockError):
    """Raised for an unknown user and for a wrong password alike."""

    kind: ClassVar[ErrorKind] = ErrorKind.UNAUTHENTICATED
    code: ClassVar[str] = "invalid_credentials"

    def __init__(self) -> None:
        super().__init__("the user name or the password is wrong")


class LoginThrottledError(InterlockError):
    """Raised after too many attempts from one address or on one account."""

    kind: ClassVar[ErrorKind] = ErrorKind.RATE_LIMITED
    code: ClassVar[str] = "rate_limit_exceeded"

    def __init__(self, retry_after_s: float) -> None:
        super().__init__("too many attempts to sign in", retry_after_s=retry_after_s)


class InvalidSessionError(InterlockError):
    """Raised for a session that is unknown, revoked or replaced."""

    kind: ClassVar[ErrorKind] = ErrorKind.UNAUTHENTICATED
    code: ClassVar[str] = "invalid_session"

    def __init__(self) -> None:
        super().__init__("the session is not valid", hint="sign in again")


class SessionExpiredError(InterlockError):
    """Raised when the idle or the absolute window of a session is over."""

    kind: ClassVar[ErrorKind] = ErrorKind.UNAUTHENTICATED
    code: ClassVar[str] = "session_expired"

    def __init__(self) -> None:
        super().__init__("the session is over", hint="sign in again")


class SuspiciousSessionError(InterlockError):
    """Raised when a session is suddenly used from elsewhere; a refresh accepts the new place."""

    kind: ClassVar[ErrorKind] = ErrorKind.UNAUTHENTICATED
    code: ClassVar[str] = "session_suspicious"

    def __init__(self) -> None:
        super().__init__("the session is used from another place than before")


class SignInAgainError(InterlockError):
    """Raised when an action needs a password shown a moment ago."""

    kind: ClassVar[ErrorKind] = ErrorKind.FORBIDDEN
    code: ClassVar[str] = "sign_in_again"

    def __init__(self) -> None:
        super().__init__("this needs a recent sign-in", hint="enter your password again")
