"""Who asks, read from headers: the gateway's key, the caller's own provider key, and the rest.

Two unrelated secrets travel here. `Authorization: Bearer` is the gateway's own key,
`X-Api-Key` is the provider's (BYOK). Only when there is no `Authorization` at all may
`X-Api-Key` be the gateway's key, because native Anthropic clients send it so.

`read_headers` is one pass over a request's headers and runs on every request.

Pure. Source: gateway.md sections 2 and 18.1.
"""

from collections.abc import Iterable
from typing import Final, Literal

from msgspec import Struct

from interlock.identity.errors import Unauthenticated
from interlock.identity.model import KeyInfo
from interlock.providers.wire.exchange import FormatName
from interlock.surfaces.control.errors import (
    InvalidHeaderError,
    NotAllowedError,
)

__all__ = [
    "ControlHeaders",
    "Credentials",
    "check_scopes",
    "credentials",
    "forwarded",
    "read_headers",
]


class ControlHeaders(Struct, kw_only=True):
    """The headers of a request that mean something under `/control`; None or empty: absent."""

    authorization: str | None = None
    x_api_key: str | None = None
    session_id: str | None = None
    """`X-Session-ID`; None when empty."""
    x_features: bytes = b""
    x_policy: bytes = b""
    x_config: bytes = b""
    anthropic_version: str | None = None
    anthropic_beta: str | None = None
    openai_beta: str | None = None
    openai_organization: str | None = None
    openai_project: str | None = None
    codex_session: str | None = None
    """`session-id` of a coding client."""
    codex_thread: str | None = None
    """`thread-id`."""
    claude_session: str | None = None
    """`X-Claude-Code-Session-Id`."""
    traceparent: str | None = None
    tracestate: str | None = None
    idempotency_key: str | None = None
    request_id: str | None = None
    """`X-Request-ID` as the caller sent it, unchecked."""
    user_agent: str | None = None

    def __repr__(self) -> str:
        """Without values: some of them are secrets."""
        given = [name for name in self.__struct_fields__ if getattr(self, name)]
        return f"ControlHeaders({', '.join(given)})"

    @property
    def client_session(self) -> str | None:
        """A coding client's own name for its conversation."""
        return self.claude_session or self.codex_session or self.codex_thread

    @property
    def native(self) -> bool:
        """Whether a native Anthropic client asks, not the typed one (8.5)."""
        return self.anthropic_version is not None


class Credentials(Struct, frozen=True, kw_only=True):
    """The secrets of a request, told apart."""

    gateway_key: str
    byok: str | None = None
    """The caller's own key at the provider."""
    source: Literal["authorization", "x-api-key"] = "authorization"

    def __repr__(self) -> str:
        """Without the secrets."""
        return f"Credentials(source={self.source}, byok={self.byok is not None})"


_FIELDS: Final[dict[bytes, str]] = {
    b"authorization": "authorization",
    b"x-api-key": "x_api_key",
    b"x-session-id": "session_id",
    b"x-features": "x_features",
    b"x-policy": "x_policy",
    b"x-config": "x_config",
    b"anthropic-version": "anthropic_version",
    b"anthropic-beta": "anthropic_beta",
    b"openai-beta": "openai_beta",
    b"openai-organization": "openai_organization",
    b"openai-project": "openai_project",
    b"session-id": "codex_session",
    b"thread-id": "codex_thread",
    b"x-claude-code-session-id": "claude_session",
    b"traceparent": "traceparent",
    b"tracestate": "tracestate",
    b"idempotency-key": "idempotency_key",
    b"x-request-id": "request_id",
    b"user-agent": "user_agent",
}
_ANTHROPIC: Final = ("anthropic-version", "anthropic-beta")
_OPENAI: Final = ("openai-beta",)
_OPENAI_BYOK: Final = (*_OPENAI, "openai-organization", "openai-project")

_RAW: Final = frozenset({"x_features", "x_policy", "x_config"})
_CASUAL: Final = frozenset({"user_agent", "request_id", "traceparent", "tracestate"})
"""Headers nothing depends on: never a reason to refuse a request."""
_LISTS: Final = frozenset({"anthropic_beta", "openai_beta"})
"""Headers whose repetitions are one comma-separated list."""
_DISPLAY: Final = {
    "authorization": "Authorization",
    "x_api_key": "X-Api-Key",
    "session_id": "X-Session-ID",
    "x_features": "X-Features",
    "x_policy": "X-Policy",
    "x_config": "X-Config",
}


def read_headers(headers: Iterable[tuple[bytes, bytes]]) -> ControlHeaders:
    """One pass over (lower-case name, value) pairs.

    Values are taken without surrounding white space; an empty one is as good as
    absent, except for `Authorization`, which an empty value makes malformed.

    Raises InvalidHeaderError for a value that is not UTF-8, and for a header given
    twice with different values, where it is unclear which one somebody checked. Headers
    that nothing depends on (`User-Agent`, trace context) are left out instead.
    """
    found: dict[str, str | bytes] = {}
    for name, value in headers:
        field = _FIELDS.get(name)
        if field is None:
            continue
        text: str | bytes = value.strip()
        if field not in _RAW:
            try:
                text = value.decode().strip()
            except UnicodeDecodeError:
                if field in _CASUAL:
                    continue
                raise InvalidHeaderError(_display(field, name), "not valid UTF-8") from None
        if not text and field != "authorization":
            continue
        before = found.get(field)
        if before is not None and before != text:
            if field in _CASUAL:
                continue
            if field not in _LISTS:
                raise InvalidHeaderError(
                    _display(field, name), "given more than once, with different values"
                )
            text = f"{before!s},{text!s}"
        found[field] = text
    return ControlHeaders(**found)  # type: ignore[arg-type]


def credentials(headers: ControlHeaders) -> Credentials:
    """The gateway key to look up, and the caller's provider key.

    A provider key equal to the gateway key is dropped: clients that fill both headers
    from one setting must not send the gateway's key to the provider.

    Raises Unauthenticated: `missing_api_key` without any, `invalid_api_key` for a malformed one.
    """
    authorization, api_key = headers.authorization, headers.x_api_key
    if authorization is None:
        if api_key is None:
            raise Unauthenticated.missing()
        return Credentials(gateway_key=_token(api_key), source="x-api-key")
    scheme, _, rest = authorization.partition(" ")
    if scheme.lower() != "bearer":
        raise Unauthenticated.invalid()
    token = _token(rest.strip())
    if api_key is None or api_key == token:
        return Credentials(gateway_key=token)
    if not _is_token(api_key):
        raise InvalidHeaderError("X-Api-Key", "not a key")
    return Credentials(gateway_key=token, byok=api_key)


def check_scopes(key: KeyInfo, endpoint: str | None, provider: str | None) -> None:
    """Whether a key may use an endpoint type and a provider; returns nothing when it may.

    No scopes: everything. Otherwise each kind that is listed restricts its own
    dimension, and a key that lists neither kind (only `admin`, say) makes no model
    calls. `provider` is the one the request will really go to, so pass the default
    that was chosen when the path names none. None checks the endpoint alone.

    Raises NotAllowedError.
    """
    scopes = key.scopes
    if not scopes:
        return
    endpoints = [scope for scope in scopes if scope.startswith("endpoint:")]
    providers = [scope for scope in scopes if scope.startswith("provider:")]
    if endpoint is not None:
        if not endpoints and not providers:
            raise NotAllowedError("this API key may not make model calls")
        if endpoints and f"endpoint:{endpoint}" not in scopes:
            raise NotAllowedError(f"this API key may not use the endpoint type `{endpoint}`")
    if provider is not None and providers and f"provider:{provider}" not in scopes:
        raise NotAllowedError(f"this API key may not use the provider `{provider}`")


def forwarded(
    headers: ControlHeaders, wire: FormatName, *, byok: bool
) -> tuple[tuple[str, str], ...]:
    """The caller's headers that the upstream shall get.

    Organization and project belong to the caller's own provider account, so they go
    only with the caller's own key.
    """
    names = _ANTHROPIC if wire == "messages" else _OPENAI_BYOK if byok else _OPENAI
    given = ((name, getattr(headers, _FIELDS[name.encode()])) for name in names)
    return tuple((name, value) for name, value in given if value)


def _token(text: str) -> str:
    if not _is_token(text):
        raise Unauthenticated.invalid()
    return text


def _is_token(text: str) -> bool:
    """Visible ASCII in one piece, of a length a key may have."""
    return 0 < len(text) <= 4096 and text.isascii() and text.isprintable() and " " not in text


def _display(field: str, name: bytes) -> str:
    return _DISPLAY.get(field) or name.decode("ascii", "replace")
