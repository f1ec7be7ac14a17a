"""What can go wrong on the way to a page."""

from typing import ClassVar

from interlock.kernel.errors import ErrorKind, InterlockError

__all__ = [
    "ForgedRequestError",
    "MissingRightError",
    "NothingHereError",
    "RecentSignInError",
    "status_of",
]

_STATUS = {
    ErrorKind.INVALID: 400,
    ErrorKind.UNAUTHENTICATED: 401,
    ErrorKind.QUOTA: 402,
    ErrorKind.FORBIDDEN: 403,
    ErrorKind.NOT_FOUND: 404,
    ErrorKind.METHOD: 405,
    ErrorKind.CONFLICT: 409,
    ErrorKind.TOO_LARGE: 413,
    ErrorKind.HEADERS_TOO_LARGE: 431,
    ErrorKind.UNPROCESSABLE: 422,
    ErrorKind.RATE_LIMITED: 429,
    ErrorKind.INTERNAL: 500,
    ErrorKind.UNSUPPORTED: 501,
    ErrorKind.UPSTREAM: 502,
    ErrorKind.UNAVAILABLE: 503,
    ErrorKind.UPSTREAM_TIMEOUT: 504,
}


class NothingHereError(InterlockError):
    """Nothing with this id, or it belongs to another account: nobody can tell."""

    kind: ClassVar[ErrorKind] = ErrorKind.NOT_FOUND
    code: ClassVar[str] = "nothing_here"

    def __init__(self, wanted: str) -> None:
        super().__init__(f"there is nothing with the id `{wanted[:100]}` here")


class MissingRightError(InterlockError):
    """The person may not do this; says who can grant it."""

    kind: ClassVar[ErrorKind] = ErrorKind.FORBIDDEN
    code: ClassVar[str] = "missing_right"

    def __init__(self, right: str) -> None:
        super().__init__(
            f"this needs the right `{right}`", hint="an administrator of the server can grant it"
        )
        self.right = right


class ForgedRequestError(InterlockError):
    """A change that no page of ours asked for."""

    kind: ClassVar[ErrorKind] = ErrorKind.FORBIDDEN
    code: ClassVar[str] = "csrf"

    def __init__(self) -> None:
        super().__init__(
            "the form was not sent by a page of this session",
            hint="reload the page and send it again",
        )


class RecentSignInError(InterlockError):
    """The person must show a password first. `wrong`: one was shown, and is not right."""

    kind: ClassVar[ErrorKind] = ErrorKind.FORBIDDEN
    code: ClassVar[str] = "recent_sign_in"

    def __init__(self, what: str, effect: str, *, wrong: bool) -> None:
        super().__init__(f"`{what}` needs a recent sign-in")
        self.what = what
        self.effect = effect
        self.wrong = wrong


def status_of(error: InterlockError) -> int:
    """HTTP status of an error."""
    return _STATUS[error.error_kind]
