"""Errors on the wire: one body that the typed client, OpenAI and Anthropic SDKs all read.

Maps every `ErrorKind` to a status and a type. Upstream failures keep what the caller
can act on (status of a refused request, code, retry hint, the provider's own words)
and lose what may be a secret.

Source: gateway.md section 16.
"""

import math
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Final, NamedTuple, assert_never

import msgspec

from interlock.kernel.errors import ErrorKind, InterlockError
from interlock.providers.model import UpstreamError
from interlock.providers.wire.exchange import FormatName

__all__ = ["ErrorResponse", "error_response", "header_lines", "internal_error", "redact"]

Headers = tuple[tuple[bytes, bytes], ...]


class ErrorResponse(NamedTuple):
    """Status, header pairs (lower-case names, no content-length), body."""

    status: int
    headers: Headers
    body: bytes


_KEPT_UPSTREAM: Final = frozenset({400, 404, 413, 422, 429})
"""Upstream statuses that speak of the caller's request and so stay what they are."""

_UPSTREAMS_OWN: Final = frozenset({ErrorKind.UPSTREAM, ErrorKind.INVALID})
"""Kinds that leave the status to the upstream; others were chosen by who knew better."""

_FINAL_STATUSES: Final = frozenset({401, 501})
_FINAL_CODES: Final = frozenset({"history_mismatch", "provider_not_configured"})
"""Refusals that stay the same however often one asks, though clients retry their status."""

_MAX_MESSAGE: Final = 4000
_MAX_UPSTREAM_BODY: Final = 64 << 10

_IDENTIFIER: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")
_SECRETS: Final = re.compile(
    r"(?i:\bbearer\s+)\S+"
    r"|\b(?:sk|sq|pk|rk|gsk|xai|hf|ghp|gho|glpat|pat)[-_][\w\-.*]{6,}"
    r"|\bAIza[\w\-]{20,}"
    r"|\bAKIA[0-9A-Z]{12,}"
    r"|\beyJ[\w\-]{8,}\.[\w\-]{8,}(?:\.[\w\-]*)?"
    r"|(?i:\b(?:x-)?(?:api[_-]?key|access[_-]?token|secret|password)\b[\"']?\s*[:=]\s*[\"']?)"
    r"[^\s\"',;&}]{6,}"
)
_REDACTED: Final = "[REDACTED]"


def error_response(
    exc: InterlockError,
    *,
    request_id: str,
    format: FormatName | None = None,  # noqa: A002 - the word of the product for it
    secrets: Collection[str] = (),
) -> ErrorResponse:
    """The answer that tells `exc` to any of the clients.

    `format` is the wire format of the route, if it has one; it decides only under which
    header names the request id is repeated. `secrets` (a caller's own provider key) are
    taken out of upstream texts literally, on top of everything that looks like a key.
    """
    status, error_type = _status(exc.error_kind)
    message, code, param = exc.message, exc.error_code, exc.param
    if isinstance(exc, UpstreamError):
        if exc.error_kind in _UPSTREAMS_OWN and exc.status in _KEPT_UPSTREAM:
            status = exc.status
            error_type = _type_of_status(status)
        told = _upstream_error(exc.body)
        message = _joined(message, told.message)
        if status in _KEPT_UPSTREAM:
            code = told.code or code
            param = param or told.param
        message = redact(message, secrets)
    if exc.hint:
        message = f"{message}; {exc.hint}"
    headers = []
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    if exc.retry_after_s is not None:
        headers.append((b"retry-after", b"%d" % max(0, math.ceil(min(exc.retry_after_s, 1e9)))))
    elif status in _FINAL_STATUSES or code in _FINAL_CODES:
        headers.append((b"x-should-retry", b"false"))
    allow = exc.details.get("allow")
    if status == 405 and isinstance(allow, list | tuple):
        headers.append((b"allow", ", ".join(map(str, allow)).encode()))
    body = _body(error_type, code, message, request_id=request_id, param=param, details=exc.details)
    return ErrorResponse(status, (*_common(request_id, format), *headers), body)


def internal_error(
    request_id: str,
    format: FormatName | None = None,  # noqa: A002 - as above
) -> ErrorResponse:
    """The answer to an unexpected exception; says nothing about it but where to look."""
    message = f"internal error; the server's log has details under request id {request_id}"
    body = _body("api_error", "internal_error", message, request_id=request_id)
    return ErrorResponse(500, _common(request_id, format), body)


def header_lines(headers: Sequence[tuple[bytes, bytes]]) -> bytes:
    """Header pairs as they stand in an HTTP/1.1 message, each line with its CRLF."""
    return b"".join(b"%b: %b\r\n" % pair for pair in headers)


def redact(text: str, secrets: Collection[str] = ()) -> str:
    """`text` without `secrets` and without anything that looks like a key or token."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, _REDACTED)
    return _SECRETS.sub(_REDACTED, text)


def _status(kind: ErrorKind) -> tuple[int, str]:  # noqa: C901, PLR0911, PLR0912 - a closed table
    match kind:
        case ErrorKind.INVALID:
            return 400, "invalid_request_error"
        case ErrorKind.UNAUTHENTICATED:
            return 401, "authentication_error"
        case ErrorKind.QUOTA:
            return 402, "permission_error"
        case ErrorKind.FORBIDDEN:
            return 403, "permission_error"
        case ErrorKind.NOT_FOUND:
            return 404, "not_found_error"
        case ErrorKind.METHOD:
            return 405, "invalid_request_error"
        case ErrorKind.CONFLICT:
            return 409, "invalid_request_error"
        case ErrorKind.GONE:
            return 410, "not_found_error"
        case ErrorKind.TOO_LARGE:
            return 413, "request_too_large"
        case ErrorKind.HEADERS_TOO_LARGE:
            return 431, "request_too_large"
        case ErrorKind.UNPROCESSABLE:
            return 422, "invalid_request_error"
        case ErrorKind.RATE_LIMITED:
            return 429, "rate_limit_error"
        case ErrorKind.INTERNAL:
            return 500, "api_error"
        case ErrorKind.UNSUPPORTED:
            return 501, "api_error"
        case ErrorKind.UPSTREAM:
            return 502, "api_error"
        case ErrorKind.UNAVAILABLE:
            return 503, "overloaded_error"
        case ErrorKind.UPSTREAM_TIMEOUT:
            return 504, "timeout_error"
        case _:
            assert_never(kind)


def _type_of_status(status: int) -> str:
    special = {404: "not_found_error", 413: "request_too_large", 429: "rate_limit_error"}
    return special.get(status, "invalid_request_error")


class _Told(NamedTuple):
    """What an upstream's error body says, as far as it can be understood."""

    message: str = ""
    code: str | None = None
    param: str | None = None


def _upstream_error(body: bytes) -> _Told:
    """Reads `{"error": {...}}`, `{"error": "text"}`, `{"message"|"detail": "text"}`."""
    if not body or len(body) > _MAX_UPSTREAM_BODY:
        return _Told()
    try:
        tree = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _Told()
    if not isinstance(tree, dict):
        return _Told()
    error = tree.get("error")
    if not isinstance(error, dict):
        error = {"message": error} if isinstance(error, str) else tree
    message = error.get("message") or error.get("detail")
    code, param = error.get("code"), error.get("param")
    return _Told(
        message=message if isinstance(message, str) else "",
        code=code if isinstance(code, str) and _IDENTIFIER.fullmatch(code) else None,
        param=param if isinstance(param, str) and param else None,
    )


def _joined(message: str, detail: str) -> str:
    """`message` with `detail`, unless it says so already (perhaps shortened, on one line)."""
    start = " ".join(detail.split())[:200]
    return message if not start or start in message else f"{message}: {detail}"


def _common(request_id: str, wire: FormatName | None) -> Headers:
    """Headers of every error; the Anthropic SDK looks for the request id under another name."""
    encoded = request_id.encode("ascii", "replace")
    headers = ((b"content-type", b"application/json"), (b"x-request-id", encoded))
    return (*headers, (b"request-id", encoded)) if wire == "messages" else headers


def _body(
    error_type: str,
    code: str,
    message: str,
    *,
    request_id: str,
    param: str | None = None,
    details: Mapping[str, object] | None = None,
) -> bytes:
    message = _text(message)
    if len(message) > _MAX_MESSAGE:
        message = message[:_MAX_MESSAGE] + "..."
    error: dict[str, object] = {
        "type": error_type,
        "code": code,
        "param": None if param is None else _text(param),
        "message": message,
    }
    if details:
        error["details"] = details
    tree = {
        "type": "error",
        "detail": message,
        "message": message,
        "error": error,
        "request_id": request_id,
    }
    try:
        return msgspec.json.encode(tree, enc_hook=str)
    except (UnicodeEncodeError, TypeError, ValueError, OverflowError, RecursionError):
        error.pop("details", None)
        return msgspec.json.encode(tree)


def _text(value: str) -> str:
    """A string that surely encodes: lone surrogates become question marks."""
    return value.encode("utf-8", "replace").decode()
