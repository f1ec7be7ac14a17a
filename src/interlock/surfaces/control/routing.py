"""Which operation a method and path mean.

`/control/{endpoint}/{provider?}/v1/{suffix}` and a few utility paths. Query strings are
ignored, a trailing or doubled slash does not matter, segments are percent-decoded
after they were split. Paths without ids are remembered, so that a hot route costs a
dictionary lookup.

Pure. Source: gateway.md sections 1.1 to 1.3.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import unquote_to_bytes

from interlock.gateway.config import ENDPOINTS, Endpoint
from interlock.kernel.errors import InterlockError
from interlock.providers.wire.exchange import FormatName
from interlock.surfaces.control.errors import (
    InvalidBodyError,
    MethodNotAllowedError,
    RouteNotFoundError,
)

__all__ = [
    "DEFAULT_PROVIDERS",
    "PUBLISHED_PROVIDERS",
    "Operation",
    "Route",
    "Router",
    "refusal",
]

Operation = Literal[
    "root",
    "health",
    "validate",
    "annotations",
    "chat",
    "messages",
    "responses",
    "generate",
    "embeddings",
    "count_tokens",
    "models",
    "model",
    "response_get",
    "response_delete",
    "response_items",
    "response_cancel",
]

PUBLISHED_PROVIDERS: Final = ("openai", "openrouter", "anthropic", "sequrity_azure", "llama")
"""Providers every client may name; they are routes even when nothing is configured for them."""

DEFAULT_PROVIDERS: Final[Mapping[Operation, str]] = {
    "chat": "openrouter",
    "messages": "anthropic",
    "responses": "openai",
    "generate": "openrouter",
}
"""What a path without provider means, where the server's configuration says nothing else."""

_VERSION: Final = "v1"
_CACHED: Final = 4096
_CACHED_PATH: Final = 256
"""Longer ones (with a query string, say) are resolved each time: memory is bounded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """What a request asks for."""

    operation: Operation
    endpoint: Endpoint | None = None
    """None: a utility route."""
    provider: str | None = None
    """None: not named in the path."""
    format: FormatName | None = None
    """Wire format of body, answer and error; None where there is only one."""
    response_id: str | None = None
    model: str | None = None
    """Model id of `models/{id}`; may contain slashes."""
    rest: tuple[str, ...] = ()
    """Annotations: the segments after `sessions`."""
    methods: tuple[str, ...] = ("POST",)
    """Methods of the path, for `Allow`."""
    needs_key: bool = True

    @property
    def suffix(self) -> str:
        """Endpoint type and operation, e.g. `chat/messages`, as the ledger names it."""
        return f"{self.endpoint}/{self.operation}" if self.endpoint else self.operation


@dataclass(frozen=True, slots=True)
class _Leaf:
    """One path below the version segment; `{}` stands for an id, `{*}` for all the rest."""

    pattern: tuple[str, ...]
    by_method: Mapping[str, Operation]
    format: FormatName | None
    methods: tuple[str, ...]


def _leaf(pattern: str, by_method: Mapping[str, Operation], wire: FormatName | None) -> _Leaf:
    methods = tuple(by_method)
    if "GET" in by_method:
        methods = (
            *methods[: methods.index("GET") + 1],
            "HEAD",
            *methods[methods.index("GET") + 1 :],
        )
    return _Leaf(tuple(pattern.split("/")), by_method, wire, methods)


_COMPLETIONS: Final = (
    _leaf("chat/completions", {"POST": "chat"}, "chat"),
    _leaf("messages", {"POST": "messages"}, "messages"),
    _leaf("messages/count_tokens", {"POST": "count_tokens"}, "messages"),
    _leaf("responses", {"POST": "responses"}, "responses"),
    _leaf("responses/{}", {"GET": "response_get", "DELETE": "response_delete"}, "responses"),
    _leaf("responses/{}/input_items", {"GET": "response_items"}, "responses"),
    _leaf("responses/{}/cancel", {"POST": "response_cancel"}, "responses"),
    _leaf("embeddings", {"POST": "embeddings"}, "chat"),
    _leaf("models", {"GET": "models"}, None),
    _leaf("models/{*}", {"GET": "model"}, None),
)
_GENERATE: Final = (
    _leaf("generate", {"POST": "generate"}, None),
    _leaf("models", {"GET": "models"}, None),
    _leaf("models/{*}", {"GET": "model"}, None),
)
_LEAVES: Final[Mapping[str, tuple[_Leaf, ...]]] = {
    endpoint: _GENERATE if endpoint == "policy-gen" else _COMPLETIONS for endpoint in ENDPOINTS
}
_ENDPOINT_OF: Final[Mapping[str, Endpoint]] = {endpoint: endpoint for endpoint in ENDPOINTS}

_ROOT: Final = _leaf("", {"GET": "root"}, None)
_HEALTH: Final = _leaf("health", {"GET": "health"}, None)
_VALIDATE: Final = _leaf("v1/validate-headers", {"POST": "validate"}, None)
_ANNOTATIONS: Final = (
    _leaf("annotations/v1/sessions/batch", {"POST": "annotations"}, None),
    _leaf("annotations/v1/sessions/{}", {"POST": "annotations", "GET": "annotations"}, None),
    _leaf("annotations/v1/sessions/{}/{}", {"DELETE": "annotations"}, None),
)
_UTILITY: Final = (_ROOT, _HEALTH, _VALIDATE, *_ANNOTATIONS)
_OPEN: Final = frozenset({"root", "health", "validate"})
"""Operations anybody may ask for."""


class Router:
    """Resolves paths below `/control`; knows which provider names there are."""

    def __init__(self, known_providers: Iterable[str] = ()) -> None:
        self._providers = tuple(dict.fromkeys((*PUBLISHED_PROVIDERS, *known_providers)))
        self._known = frozenset(self._providers)
        self._cache: dict[tuple[str | bytes, str | bytes], Route] = {}

    def resolve(self, method: str | bytes, raw_path: str | bytes) -> Route:
        """The route of a request; equal arguments give the identical object while cached.

        Raises RouteNotFoundError, naming the segment that is unknown, and
        MethodNotAllowedError with the methods the path has.
        """
        route = self._cache.get((method, raw_path))
        if route is None:
            route = self._resolve(_ascii(method), _segments(raw_path))
            has_id = route.response_id or route.model or route.rest
            if not has_id and len(raw_path) <= _CACHED_PATH:
                if len(self._cache) >= _CACHED:
                    self._cache.clear()
                self._cache[method, raw_path] = route
        return route

    def match(self, method: str | bytes, raw_path: str | bytes) -> Route | None:
        """As `resolve`, None instead of an error."""
        try:
            return self.resolve(method, raw_path)
        except InterlockError:
            return None

    def list_routes(self) -> Sequence[Mapping[str, str]]:
        """Every route there is, `{"method", "path"}`, for `GET /control`."""
        listed = [
            {"method": method, "path": "/".join(("/control", *leaf.pattern)).rstrip("/")}
            for leaf in _UTILITY
            for method in leaf.by_method
        ]
        for endpoint, leaves in _LEAVES.items():
            for provider in (None, *self._providers):
                stem = f"/control/{endpoint}/{provider}" if provider else f"/control/{endpoint}"
                listed += [
                    {"method": method, "path": f"{stem}/{_VERSION}/{'/'.join(leaf.pattern)}"}
                    for leaf in leaves
                    for method in leaf.by_method
                ]
        names = {"{}": "{id}", "{*}": "{id}"}
        for route in listed:
            for sign, name in names.items():
                route["path"] = route["path"].replace(sign, name)
        return listed

    def _resolve(self, method: str, segments: Sequence[str]) -> Route:
        if not segments or segments[0] != "control":
            raise RouteNotFoundError("no such path", hint="GET /control lists all routes")
        below = segments[1:]
        for leaf in _UTILITY:
            captured = _captures(leaf.pattern, below or ("",))
            if captured is not None:
                return _route(leaf, method, captured)
        if below[0] not in _ENDPOINT_OF:
            known = ", ".join(ENDPOINTS)
            raise _unknown("endpoint type", below[0], f"there are {known}")
        return self._endpoint_route(method, _ENDPOINT_OF[below[0]], below[1:])

    def _endpoint_route(self, method: str, endpoint: Endpoint, rest: Sequence[str]) -> Route:
        provider: str | None = None
        if rest and rest[0] != _VERSION:
            provider, rest = rest[0], rest[1:]
            if provider not in self._known:
                raise _unknown("provider", provider, "GET /control lists all routes")
        if not rest or rest[0] != _VERSION:
            raise RouteNotFoundError(
                f"the path lacks the version segment `{_VERSION}`",
                hint="GET /control lists all routes",
            )
        for leaf in _LEAVES[endpoint]:
            captured = _captures(leaf.pattern, rest[1:])
            if captured is not None:
                return _route(leaf, method, captured, endpoint=endpoint, provider=provider)
        raise _unknown(f"operation of `{endpoint}`", "/".join(rest[1:]), None)


def refusal(route: Route) -> InterlockError | None:
    """Why an authenticated request to this route is not executed; None when it is."""
    if route.operation == "response_cancel":
        return InvalidBodyError(
            "only background responses can be cancelled, and this server runs none"
        )
    return None


def _route(
    leaf: _Leaf,
    method: str,
    captured: tuple[str, ...],
    *,
    endpoint: Endpoint | None = None,
    provider: str | None = None,
) -> Route:
    operation = leaf.by_method.get("GET" if method == "HEAD" else method)
    if operation is None:
        raise MethodNotAllowedError(method, leaf.methods)
    is_response = leaf.pattern[0] == "responses" and captured
    return Route(
        operation=operation,
        endpoint=endpoint,
        provider=provider,
        format=leaf.format,
        response_id=captured[0] if is_response else None,
        model=captured[0] if operation == "model" else None,
        rest=captured if operation == "annotations" else (),
        methods=leaf.methods,
        needs_key=operation not in _OPEN,
    )


def _captures(pattern: Sequence[str], segments: Sequence[str]) -> tuple[str, ...] | None:
    """What stands for the placeholders, None when the segments do not match."""
    captured: list[str] = []
    for index, part in enumerate(pattern):
        if part == "{*}" and index < len(segments):
            return (*captured, "/".join(segments[index:]))
        if index >= len(segments):
            return None
        if part == "{}":
            captured.append(segments[index])
        elif part != segments[index]:
            return None
    return tuple(captured) if len(pattern) == len(segments) else None


def _segments(raw_path: str | bytes) -> list[str]:
    """Decoded non-empty segments. A path with dot segments or bad encoding is no path of ours."""
    raw = raw_path if isinstance(raw_path, bytes) else raw_path.encode("utf-8", "replace")
    raw = raw.partition(b"?")[0].partition(b"#")[0]
    try:
        segments = [unquote_to_bytes(part).decode() for part in raw.split(b"/") if part]
    except UnicodeDecodeError:
        raise RouteNotFoundError("the path is not valid UTF-8") from None
    if any(segment in {".", ".."} or not segment.isprintable() for segment in segments):
        raise RouteNotFoundError("no such path")
    return segments


def _ascii(method: str | bytes) -> str:
    return method.decode("ascii", "replace") if isinstance(method, bytes) else method


def _unknown(what: str, name: str, hint: str | None) -> RouteNotFoundError:
    return RouteNotFoundError(f"unknown {what} `{name[:100]}`", hint=hint)
