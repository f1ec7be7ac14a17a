"""Errors of the conversations API: code, message, details. Source: conversations.md, 2."""

from collections.abc import Mapping, Sequence
from math import ceil
from typing import Any, assert_never
from urllib.parse import quote

import msgspec
from starlette.responses import Response

from interlock.kernel.errors import ErrorKind, InterlockError
from interlock.limits.errors import Ruled, TooManyRequestsError

__all__ = [
    "json_answer",
    "limit_headers",
    "problem",
    "problem_of",
    "status_of",
    "validation_problem",
]

_NAME_CHARS = " !#$&'()*+,/:;=?@[]"
"""Besides letters and digits, what a header value may hold as it is."""


def json_answer(
    content: object, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """A JSON answer that no cache keeps."""
    return Response(
        msgspec.json.encode(content),
        status_code=status,
        media_type="application/json",
        headers={"Cache-Control": "no-store", **(headers or {})},
    )


def problem(
    status: int,
    code: str,
    message: str,
    *,
    details: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """An error answer."""
    body = {
        "code": code,
        "message": message,
        "details": dict(details or {}),
        "type": "about:blank",
        "title": code.replace("_", " ").capitalize(),
        "status": status,
    }
    return Response(
        msgspec.json.encode(body),
        status_code=status,
        media_type="application/problem+json",
        headers={"Cache-Control": "no-store", **(headers or {})},
    )


def problem_of(exc: InterlockError) -> Response:
    """The answer to an error of the domain."""
    status, code = status_of(exc)
    details, headers = dict(exc.details), {}
    if exc.retry_after_s is not None:
        wait_s = max(1, ceil(exc.retry_after_s))
        details["retry_after_seconds"] = wait_s
        headers["Retry-After"] = str(wait_s)
    if status == 401:
        headers["WWW-Authenticate"] = "session"
    if isinstance(exc, TooManyRequestsError):
        headers |= limit_headers(exc.ruled)
    if exc.param is not None:
        details.setdefault("errors", [{"field": exc.param, "message": exc.message}])
    message = f"{exc.message}; {exc.hint}" if exc.hint else exc.message
    return problem(
        status, code, message[:1].upper() + message[1:] + ".", details=details, headers=headers
    )


def limit_headers(ruled: Ruled) -> dict[str, str]:
    """What an answer tells of the limit it passed, or did not pass."""
    verdict = ruled.verdict
    return {
        "RateLimit-Limit": str(verdict.limit),
        "RateLimit-Remaining": str(verdict.remaining),
        "RateLimit-Reset": str(ceil(verdict.reset_s)),
        "X-RateLimit-Profile": quote(ruled.profile, safe=_NAME_CHARS),
    }


def validation_problem(errors: Sequence[Mapping[str, str]], *, code: str | None) -> Response:
    """The answer to fields of the wrong form; `code`: where the published answer is 422."""
    status, code = (400, "validation_failed") if code is None else (422, code)
    first = errors[0] if errors else {"field": "body", "message": "cannot be read"}
    message = f"`{first['field']}`: {first['message']}."
    return problem(status, code, message, details={"errors": list(errors)})


def status_of(exc: InterlockError) -> tuple[int, str]:
    """HTTP status and code of an error."""
    code = exc.error_code
    return 423 if code == "account_disabled" else _status(exc.error_kind), code


def _status(kind: ErrorKind) -> int:  # noqa: C901, PLR0911, PLR0912 - a closed table
    match kind:
        case ErrorKind.INVALID:
            return 400
        case ErrorKind.UNAUTHENTICATED:
            return 401
        case ErrorKind.QUOTA | ErrorKind.FORBIDDEN:
            return 403
        case ErrorKind.NOT_FOUND:
            return 404
        case ErrorKind.METHOD:
            return 405
        case ErrorKind.CONFLICT:
            return 409
        case ErrorKind.GONE:
            return 410
        case ErrorKind.TOO_LARGE:
            return 413
        case ErrorKind.HEADERS_TOO_LARGE:
            return 431
        case ErrorKind.UNPROCESSABLE:
            return 422
        case ErrorKind.RATE_LIMITED:
            return 429
        case ErrorKind.INTERNAL:
            return 500
        case ErrorKind.UNSUPPORTED:
            return 501
        case ErrorKind.UPSTREAM:
            return 502
        case ErrorKind.UNAVAILABLE:
            return 503
        case ErrorKind.UPSTREAM_TIMEOUT:
            return 504
        case _:
            assert_never(kind)
