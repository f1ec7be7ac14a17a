"""The hot routes of `/control`: model calls, from bytes to bytes without ASGI.

`ControlHot` is what the protocol class in `web.hot` asks about every request. It claims
the completion routes, authenticates, builds the session config from cached parts and
hands the call to the gateway with a `Sink` on the connection. Everything else under
`/control` is an ordinary route (`routes`).
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple, Protocol

from interlock.gateway.context import CallContext, Sink
from interlock.identity.model import KeyInfo
from interlock.kernel.errors import ErrorKind, InterlockError
from interlock.kernel.ids import new_id
from interlock.limits.service import Limits
from interlock.providers.wire.relay import client
from interlock.surfaces.control.auth import (
    ControlHeaders,
    Credentials,
    check_scopes,
    credentials,
    forwarded,
    read_headers,
)
from interlock.surfaces.control.build import split_models
from interlock.surfaces.control.envelope import (
    ErrorResponse,
    error_response,
    header_lines,
    internal_error,
)
from interlock.surfaces.control.headers import ConfigCache
from interlock.surfaces.control.routing import Route, Router, refusal
from interlock.web.hot import HotRequest, Refusal, Rejection

__all__ = ["ControlHot", "DefaultProvider", "KeyLookup", "Tracer", "new_request_id", "status_of"]

_log = logging.getLogger("interlock.control")

DefaultProvider = Callable[[str, bool], str]
"""(suffix, whether the caller brings a key) -> provider of a path that names none."""

_COMPLETIONS: Final = frozenset({"chat", "messages", "responses"})
_JSON: Final = b"content-type: application/json\r\nx-session-id: %b\r\nx-request-id: %b\r\n"
_SSE: Final = (
    b"content-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache\r\n"
    b"x-accel-buffering: no\r\nx-session-id: %b\r\nx-request-id: %b\r\n"
)
_KEEP_ALIVE: Final = b": keep-alive\n\n"
_KEEP_ALIVE_S: Final = 15.0


class KeyLookup(Protocol):
    """Finds gateway keys; the first way never waits."""

    def cached(self, token: str) -> KeyInfo | None:
        """A key known to be valid right now."""
        ...

    async def lookup(self, token: str) -> KeyInfo:
        """The key. Raises InterlockError (unauthenticated, unavailable)."""
        ...


class Executor(Protocol):
    """Answers a request: `gateway.single.SingleLlm`."""

    async def run(self, ctx: CallContext, sink: Sink) -> None:
        """Answers on the sink, or raises while nothing was sent."""
        ...


class Tracer(Protocol):
    """Starts a trace for a request; the default knows none."""

    def begin(self, ctx: CallContext, traceparent: str | None) -> Callable[[str | None], None]:
        """Begins a span and sets `ctx.trace_id`; call the result with the error code at the end."""
        ...


def new_request_id() -> str:
    """`req_` and 24 hexadecimal characters."""
    return new_id("req")


def status_of(exc: InterlockError) -> int:
    """The HTTP status a client sees for an error."""
    return error_response(exc, request_id="").status


class _Asked(NamedTuple):
    """What the head of a request says; kept with the head, for requests that repeat it."""

    headers: ControlHeaders
    given: Credentials
    forward: tuple[tuple[str, str], ...]
    """Headers for the upstream."""


class _HotSink:
    """A gateway sink on one HTTP connection."""

    __slots__ = ("_extra", "_request", "_request_id", "_streams")

    def __init__(
        self, request: HotRequest, request_id: bytes, extra: bytes, streams: set["HotRequest"]
    ) -> None:
        self._request = request
        self._request_id = request_id
        self._extra = extra
        self._streams = streams

    @property
    def opened(self) -> bool:
        """Whether anything was sent."""
        return self._request.response_started

    @property
    def must_drain(self) -> bool:
        """The client is slower than the upstream."""
        return self._request.must_drain

    def note(self, name: str, value: str) -> None:
        """See `Sink.note`."""
        plain = value.encode("ascii", "replace").replace(b"\r", b" ").replace(b"\n", b" ")
        self._extra += b"%b: %b\r\n" % (name.encode("ascii"), plain)

    def answer(self, session_id: str, body: bytes) -> None:
        """A whole answer."""
        head = _JSON % (session_id.encode(), self._request_id)
        self._request.respond(200, head + self._extra, body)

    def open(self, session_id: str) -> None:
        """The head of a streamed answer; from now on it is kept alive."""
        head = _SSE % (session_id.encode(), self._request_id)
        self._request.start_stream(200, head + self._extra)
        self._streams.add(self._request)

    def write(self, data: bytes) -> None:
        """Complete events."""
        self._request.write(data)

    async def drain(self) -> None:
        """Waits until the client has caught up."""
        await self._request.drain()

    def end(self) -> None:
        """The streamed answer is complete."""
        self._streams.discard(self._request)
        self._request.end_stream()


class ControlHot:
    """Serves the completion routes of `/control`."""

    def __init__(
        self,
        *,
        router: Router,
        keys: KeyLookup,
        configs: ConfigCache,
        executor: Executor,
        limits: Limits,
        tracer: Tracer | None = None,
        default_provider: DefaultProvider,
        allowed_origins: frozenset[str] = frozenset(),
        refused: Callable[[str], None] | None = None,
    ) -> None:
        """`refused` is told the code of every request that ends before a model is asked."""
        self._router = router
        self._keys = keys
        self._configs = configs
        self._executor = executor
        self._limits = limits
        self._tracer = tracer
        self._default_provider = default_provider
        self._origins = allowed_origins
        self._refused = refused
        self._claims: dict[bytes, Route | None] = {}
        self.streams: set[HotRequest] = set()
        """Streams that are open now."""

    # web.hot.HotHandler

    def claim(self, method: bytes, url: bytes) -> object | None:
        """The route of a completion request."""
        if method != b"POST" or not url.startswith(b"/control/"):
            return None
        path = url.partition(b"?")[0]
        if path in self._claims:
            return self._claims[path]
        route = self._router.match(b"POST", path)
        if route is not None and route.operation not in _COMPLETIONS:
            route = None
        if len(self._claims) < 4096:
            self._claims[path] = route
        return route

    def admit(
        self, request: HotRequest, route: object
    ) -> Awaitable[Rejection | None] | Rejection | None:
        """Whether somebody with a valid key is sending the body."""
        assert isinstance(route, Route)  # noqa: S101 - what `claim` returned
        try:
            asked = request.head.memo
            if type(asked) is not _Asked:
                asked = request.head.memo = _read(request, route)
        except InterlockError as exc:
            return self._rejection(exc, request, route)
        token = asked.given.gateway_key
        if self._keys.cached(token) is not None:
            return None
        return self._admitted(token, request, route)

    async def _admitted(self, token: str, request: HotRequest, route: Route) -> Rejection | None:
        try:
            await self._keys.lookup(token)
        except InterlockError as exc:
            return self._rejection(exc, request, route)
        except Exception:
            request_id = new_request_id()
            _log.exception("request %s failed", request_id)
            answer = internal_error(request_id, route.format)
            return Rejection(answer.status, header_lines(answer.headers), answer.body)
        return None

    def _rejection(self, exc: InterlockError, request: HotRequest, route: Route) -> Rejection:
        if self._refused is not None:
            self._refused(exc.error_code)
        answer = error_response(exc, request_id=new_request_id(), format=route.format)
        extra = self._cors(request) if self._origins else b""
        return Rejection(answer.status, header_lines(answer.headers) + extra, answer.body)

    def refuse(self, reason: Refusal) -> tuple[int, bytes]:
        """Status and body for a request that could not be read."""
        kinds = {
            "bad_request": (ErrorKind.INVALID, "invalid_request", "malformed HTTP request"),
            "headers_too_large": (
                ErrorKind.HEADERS_TOO_LARGE,
                "headers_too_large",
                "the headers of the request are too large",
            ),
            "body_too_large": (ErrorKind.TOO_LARGE, "request_too_large", "the body is too large"),
            "timeout": (
                ErrorKind.INVALID,
                "request_timeout",
                "the request took too long to arrive",
            ),
            "overloaded": (ErrorKind.UNAVAILABLE, "overloaded", "too many connections"),
            "incomplete": (ErrorKind.INVALID, "invalid_request", "the request ended too early"),
        }
        kind, code, message = kinds[reason]
        error = InterlockError(message, code=code, kind=kind)
        answer = error_response(error, request_id=new_request_id())
        return answer.status, answer.body

    async def serve(self, request: HotRequest, route: object) -> None:
        """Answers one completion request."""
        assert isinstance(route, Route)  # noqa: S101 - what `claim` returned
        request_id = new_request_id()
        finish: Callable[[str | None], None] | None = None
        byok: str | None = None
        extra = b""
        error: str | None = None
        admitted = False
        try:
            if self._origins:
                extra = self._cors(request)
            asked = request.head.memo
            if type(asked) is not _Asked:
                asked = request.head.memo = _read(request, route)
            byok = asked.given.byok
            key = self._keys.cached(asked.given.gateway_key)
            if key is None:
                key = await self._keys.lookup(asked.given.gateway_key)
            ctx = self._context(request, route, asked, key, request_id)
            pending = self._limits.admit(key)
            if pending is not None:
                await pending
            admitted = True
            if self._tracer is not None:
                finish = self._tracer.begin(ctx, asked.headers.traceparent)
            sink = _HotSink(request, request_id.encode(), extra, self.streams)
            await self._executor.run(ctx, sink)
        except InterlockError as exc:
            error = exc.error_code
            if self._refused is not None and not admitted:
                self._refused(error)
            secrets = (byok,) if byok else ()
            answer = error_response(
                exc, request_id=request_id, format=route.format, secrets=secrets
            )
            self._send(request, answer, extra)
        except asyncio.CancelledError:
            error = "client_gone"
            raise
        except Exception:
            error = "internal_error"
            _log.exception("request %s failed", request_id)
            self._send(request, internal_error(request_id, route.format), extra)
        finally:
            self.streams.discard(request)
            if finish is not None:
                finish(error)

    def keep_alive(self, now: float) -> None:
        """Sends a comment on every stream that was silent for 15 s; call it often."""
        for request in list(self.streams):
            if now - request.last_write >= _KEEP_ALIVE_S and not request.disconnected:
                request.write(_KEEP_ALIVE)

    def _context(
        self, request: HotRequest, route: Route, asked: _Asked, key: KeyInfo, request_id: str
    ) -> CallContext:
        headers, byok = asked.headers, asked.given.byok
        assert route.endpoint is not None and route.format is not None  # noqa: S101, PT018 - hot routes have both
        provider = route.provider or self._default_provider(route.operation, byok is not None)
        if key.scopes:
            check_scopes(key, route.endpoint, provider)
        refused = refusal(route)
        if refused is not None:
            raise refused
        config = self._configs.get(
            key.id,
            key.config_version,
            route.endpoint,
            headers.x_features,
            headers.x_policy,
            headers.x_config,
            key.base_config,
        )
        head = client(route.format).peek(request.body)
        if "," in head.model:
            split_models(head.model)
        return CallContext(
            request_id=request_id,
            key=key,
            config=config,
            head=head,
            provider=provider,
            byok=byok,
            endpoint=route.suffix,
            native_client=headers.native,
            forward=asked.forward,
            session_header=headers.session_id,
            client_session=headers.client_session,
        )

    def _cors(self, request: HotRequest) -> bytes:
        """CORS lines for a browser of an allowed origin."""
        for name, value in request.headers:
            if name == b"origin":
                origin = value.decode("latin-1")
                if origin in self._origins or "*" in self._origins:
                    return (
                        b"access-control-allow-origin: %b\r\nvary: origin\r\n"
                        b"access-control-expose-headers: X-Session-ID, X-Request-ID\r\n" % value
                    )
        return b""

    @staticmethod
    def _send(request: HotRequest, answer: ErrorResponse, extra: bytes) -> None:
        if request.response_started:
            request.abort()
            return
        request.respond(answer.status, header_lines(answer.headers) + extra, answer.body)


def _read(request: HotRequest, route: Route) -> _Asked:
    """Raises InterlockError: headers that contradict themselves, no credentials."""
    headers = read_headers(request.headers)
    given = credentials(headers)
    wire = route.format or "chat"
    return _Asked(headers, given, forwarded(headers, wire, byok=given.byok is not None))
