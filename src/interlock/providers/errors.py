"""Why a name leads to no upstream, and what an upstream's answer means to a caller.

Source of the mapping: gateway.md, section 16.
"""

from collections.abc import Iterable
from datetime import datetime
from enum import Enum
from typing import ClassVar

import msgspec

from interlock.kernel.errors import ErrorKind, InterlockError
from interlock.providers.http.errors import TransportError
from interlock.providers.http.exchange import Exchange, HeaderView
from interlock.providers.model import Target, UpstreamError
from interlock.providers.ratelimit import retry_after
from interlock.providers.redaction import redact

__all__ = [
    "Again",
    "ByokNotAllowedError",
    "ModelNotAllowedError",
    "OperationUnsupportedError",
    "ProviderNotConfiguredError",
    "UnknownProviderError",
    "status_error",
    "transport_error",
]

_MAX_MESSAGE = 500


class UnknownProviderError(InterlockError):
    """No provider of that name exists."""

    kind: ClassVar[ErrorKind] = ErrorKind.NOT_FOUND
    code: ClassVar[str] = "not_found"

    def __init__(self, name: str) -> None:
        super().__init__(f"provider `{name[:64]}` does not exist", param="provider")


class ProviderNotConfiguredError(InterlockError):
    """The provider exists, but the server cannot use it as it is configured."""

    kind: ClassVar[ErrorKind] = ErrorKind.UNAVAILABLE
    code: ClassVar[str] = "provider_not_configured"

    def __init__(self, name: str, *, reachable: bool) -> None:
        hint = (
            "bring your own key, or configure one on the server"
            if reachable
            else f"set `providers.{name}.base_url`"
        )
        super().__init__(f"provider `{name}` is not configured", hint=hint, param="provider")


class ModelNotAllowedError(InterlockError):
    """The server's key may not be used for this model."""

    kind: ClassVar[ErrorKind] = ErrorKind.INVALID
    code: ClassVar[str] = "model_not_allowed"

    def __init__(self, provider: str, model: str) -> None:
        super().__init__(
            f"model `{model[:200]}` is not allowed for provider `{provider}`", param="model"
        )


class ByokNotAllowedError(InterlockError):
    """The operator lets nobody bring a key for this provider."""

    kind: ClassVar[ErrorKind] = ErrorKind.FORBIDDEN
    code: ClassVar[str] = "byok_not_allowed"

    def __init__(self, provider: str) -> None:
        super().__init__(
            f"provider `{provider}` is used with the server's key only", param="X-Api-Key"
        )


class OperationUnsupportedError(InterlockError):
    """The provider has no such call."""

    kind: ClassVar[ErrorKind] = ErrorKind.UNSUPPORTED
    code: ClassVar[str] = "operation_unsupported"

    def __init__(self, provider: str, operation: str) -> None:
        super().__init__(f"provider `{provider}` has no call for `{operation}`")


class Again(Enum):
    """What a failed attempt means for further ones."""

    NEVER = "never"
    """The request is at fault, or the caller's key."""
    ELSEWHERE = "elsewhere"
    """Not on this deployment."""
    HERE = "here"
    """Also here, after a pause."""


def status_error(
    exchange: Exchange, target: Target, *, byok: bool, secrets: Iterable[str], wall: datetime
) -> tuple[UpstreamError, Again]:
    """The error for an answer that is not 2xx, and whether to try again."""
    status = exchange.status
    body = redact(exchange.collected(), secrets)
    code, kind, again = _meaning(status, byok=byok)
    said = _message(body)
    text = f"`{target.provider}` answered {status}" + (f": {said}" if said else "")
    error = UpstreamError(
        text,
        code=code,
        kind=kind,
        status=status,
        body=body,
        retry_after_s=retry_after(HeaderView(exchange.raw), wall),
        target=target,
    )
    return error, again


def transport_error(
    fault: TransportError, target: Target, *, unanswered: bool
) -> tuple[UpstreamError, Again]:
    """The error for an exchange that failed below HTTP, and whether to try again.

    `unanswered`: whether a request that was sent may be repeated.
    """
    error = UpstreamError(
        f"`{target.provider}`: {fault.message}",
        code=fault.error_code,
        kind=fault.error_kind,
        target=target,
    )
    if fault.stage in ("connect", "send"):
        lasting = fault.permanent or fault.error_code == "overloaded"
        return error, Again.ELSEWHERE if lasting else Again.HERE
    if fault.permanent or not unanswered:
        return error, Again.NEVER
    cut = fault.error_code in ("upstream_unreachable", "upstream_truncated")
    return error, Again.HERE if cut else Again.ELSEWHERE


def _meaning(status: int, *, byok: bool) -> tuple[str, ErrorKind, Again]:
    if status in (401, 403):
        kind, again = ErrorKind.UPSTREAM, Again.ELSEWHERE
        if byok:
            kind, again = ErrorKind.UNAUTHENTICATED, Again.NEVER
        return "upstream_authentication_error", kind, again
    if status == 402:
        if byok:
            return "upstream_error", ErrorKind.QUOTA, Again.NEVER
        return "upstream_error", ErrorKind.UPSTREAM, Again.ELSEWHERE
    if status == 429:
        return "rate_limit_exceeded", ErrorKind.RATE_LIMITED, Again.HERE
    if status in (503, 529):
        return "overloaded", ErrorKind.UNAVAILABLE, Again.HERE
    if status in (408, 502, 504):
        return "upstream_error", ErrorKind.UPSTREAM, Again.HERE
    if 400 <= status < 500:
        return "upstream_error", ErrorKind.INVALID, Again.NEVER
    return "upstream_error", ErrorKind.UPSTREAM, Again.ELSEWHERE


def _message(body: bytes) -> str:
    """The sentence an error body holds, in any of the usual places; else its first words."""
    try:
        tree = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _line(body.decode("utf-8", "replace"))
    if isinstance(tree, list) and tree:
        tree = tree[0]
    for name in ("error", "message", "detail"):
        if not isinstance(tree, dict):
            break
        found = tree.get(name)
        if isinstance(found, dict):
            tree = found
            found = tree.get("message")
        if isinstance(found, str) and found:
            return _line(found)
    return ""


def _line(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _MAX_MESSAGE else text[:_MAX_MESSAGE] + "..."
