"""Every request of the chat API passes its limit before anything else looks at it.

A stream counts once, when it is opened. Source: conversations.md section 15.4.
"""

from collections.abc import Callable
from typing import Final, Protocol

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from interlock.kernel.errors import InterlockError
from interlock.limits.errors import Ruled, TooManyRequestsError
from interlock.limits.routes import Asker
from interlock.surfaces.chat.envelope import limit_headers, problem_of

__all__ = ["Askers", "Limiter", "RequestLimits"]

_FREE: Final = frozenset({"/api/health", "/health", "/healthz", "/readyz", "/metrics"})


class Askers(Protocol):
    """Says whose requests are counted together: `web.asking.Askers`."""

    async def of(self, request: Request) -> Asker:
        """Never refuses."""
        ...


class RequestLimits(Protocol):
    """Decides requests: `limits.routes.RouteLimits`."""

    async def check(self, method: str, path: str, asker: Asker) -> Ruled | None:
        """Counts a request; None: it is not limited."""
        ...


class Limiter:
    """Wraps the application."""

    def __init__(
        self,
        app: ASGIApp,
        limits: RequestLimits,
        askers: Askers,
        *,
        refusal: Callable[[str, InterlockError], Response] | None = None,
    ) -> None:
        """`refusal` makes the answer to a refused path; without it all get the envelope."""
        self._app = app
        self._limits = limits
        self._askers = askers
        self._refusal = refusal or (lambda _path, exc: problem_of(exc))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request."""
        if scope["type"] != "http" or scope["method"] == "OPTIONS" or scope["path"] in _FREE:
            await self._app(scope, receive, send)
            return
        path: str = scope["path"]
        try:
            asker = await self._askers.of(Request(scope))
            ruled = await self._limits.check(scope["method"], path, asker)
            if ruled is not None and not ruled.verdict.allowed:
                raise TooManyRequestsError(ruled)
        except InterlockError as exc:
            # A limit nobody can read refuses as well: else whoever can break it is unlimited.
            await self._refusal(path, exc)(scope, receive, send)
            return
        if ruled is None:
            await self._app(scope, receive, send)
            return
        told = limit_headers(ruled)

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in told.items():
                    headers.setdefault(name, value)  # a refused post tells of its own limit
            await send(message)

        await self._app(scope, receive, answer)
