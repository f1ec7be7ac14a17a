"""What this surface itself finds wrong: headers, keys, paths, operations not offered.

Messages never contain a header's value or a key.
"""

from collections.abc import Sequence
from typing import ClassVar

from interlock.kernel.errors import ErrorKind, InterlockError

__all__ = [
    "HeaderTooLargeError",
    "InvalidBodyError",
    "InvalidGenerationError",
    "InvalidHeaderError",
    "KeyConfigError",
    "MethodNotAllowedError",
    "NotAllowedError",
    "RouteNotFoundError",
]


class InvalidHeaderError(InterlockError):
    """A request header is not what it should be; `param` names it."""

    kind: ClassVar[ErrorKind] = ErrorKind.INVALID
    code: ClassVar[str] = "invalid_header"

    def __init__(self, header: str, problem: str, *, problems: Sequence[str] = ()) -> None:
        super().__init__(f"{header}: {problem}", param=header)
        self.problems = tuple(problems) or (problem,)
        """Each problem on its own, `field.path: message`, without the header's name."""


class HeaderTooLargeError(InterlockError):
    """A config header is longer than we take."""

    kind: ClassVar[ErrorKind] = ErrorKind.HEADERS_TOO_LARGE
    code: ClassVar[str] = "header_too_large"

    def __init__(self, header: str, limit: int) -> None:
        super().__init__(f"{header}: longer than {limit} bytes", param=header)


class KeyConfigError(InterlockError):
    """The config stored with a gateway key is invalid: nothing is allowed with that key."""

    kind: ClassVar[ErrorKind] = ErrorKind.FORBIDDEN
    code: ClassVar[str] = "key_config_invalid"

    def __init__(self, problem: str) -> None:
        super().__init__(
            f"the config stored with this API key is invalid: {problem}",
            hint="whoever administers the key has to correct it",
        )


class NotAllowedError(InterlockError):
    """A valid key that may not use this endpoint or provider."""

    kind: ClassVar[ErrorKind] = ErrorKind.FORBIDDEN
    code: ClassVar[str] = "forbidden"


class RouteNotFoundError(InterlockError):
    """No such path, or a part of it is unknown."""

    kind: ClassVar[ErrorKind] = ErrorKind.NOT_FOUND
    code: ClassVar[str] = "not_found"


class MethodNotAllowedError(InterlockError):
    """The path exists, for other methods."""

    kind: ClassVar[ErrorKind] = ErrorKind.METHOD
    code: ClassVar[str] = "method_not_allowed"

    def __init__(self, method: str, allow: Sequence[str]) -> None:
        allowed = ", ".join(allow)
        super().__init__(
            f"method {method} is not allowed here, use {allowed}", details={"allow": list(allow)}
        )
        self.allow = tuple(allow)


class InvalidBodyError(InterlockError):
    """The body of a utility route is not what it should be; `param` is the member."""

    kind: ClassVar[ErrorKind] = ErrorKind.INVALID
    code: ClassVar[str] = "invalid_request"


class InvalidGenerationError(InterlockError):
    """The body of `generate` does not fit its schema; `param` is the path of the member."""

    kind: ClassVar[ErrorKind] = ErrorKind.UNPROCESSABLE
    code: ClassVar[str] = "invalid_request"
