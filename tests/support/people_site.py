"""The log-in routes over a real store, and a browser's cookie jar in front of them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from fastapi import FastAPI, Request, Response
from starlette.responses import JSONResponse
from tests.support.clocks import FrozenClock

from interlock.identity.admin import IdentityAdmin
from interlock.identity.audit import AuditLog
from interlock.identity.callers import Callers
from interlock.identity.keys import KeyService
from interlock.identity.login import AuthSettings, LoginSessions, SessionSettings
from interlock.identity.login.metrics import LoginMetrics
from interlock.identity.people import People
from interlock.kernel.errors import ErrorKind, InterlockError
from interlock.storage.engine import Database
from interlock.storage.secrets import SecretBox
from interlock.surfaces.chat.routes.auth import auth_router
from interlock.web.credentials import CookieWriter, Credentials

__all__ = ["PeopleSite", "people_site"]

_STATUS = {
    ErrorKind.UNAUTHENTICATED: 401,
    ErrorKind.FORBIDDEN: 403,
    ErrorKind.NOT_FOUND: 404,
    ErrorKind.RATE_LIMITED: 429,
}


class PeopleSite:
    """One server in the test's own loop."""

    def __init__(
        self,
        database: Database,
        *,
        session: dict[str, Any],
        auth: dict[str, Any],
        metrics: LoginMetrics | None = None,
        **web: Any,
    ) -> None:
        self.clock = FrozenClock(1_760_000_000.0)
        box = SecretBox("master-key-of-the-tests")
        audit = AuditLog(database, self.clock)
        self.keys = KeyService(database, box, clock=self.clock)
        self.admin = IdentityAdmin(database, box, audit, self.clock, keys=self.keys)
        self.people = People(database, self.admin, audit, self.clock, keys=self.keys)
        self.sessions = LoginSessions(
            database,
            self.clock,
            settings=SessionSettings(**session),
            auth=AuthSettings(**auth),
            attempts_per_minute=50,
            metrics=metrics,
        )
        self.credentials = Credentials(self.sessions, Callers(database), self.keys, **web)
        app = FastAPI()
        app.include_router(auth_router(self.people, self.credentials))
        app.add_exception_handler(InterlockError, _told)
        app.add_api_route("/api/changing", self._changing, methods=["POST", "GET"])
        self.asgi = CookieWriter(app)

    async def _changing(self, request: Request) -> dict[str, str]:
        context = await self.credentials.context(request, surface="chat")
        self.credentials.guard(request)
        return {"name": context.username, "credential": context.credential}

    def browser(self, peer: str = "192.0.2.9") -> httpx.AsyncClient:
        """A client that keeps cookies."""
        transport = httpx.ASGITransport(app=self.asgi, client=(peer, 4711))
        return httpx.AsyncClient(transport=transport, base_url="http://interlock.test")


@asynccontextmanager
async def people_site(
    database: Database,
    *,
    session: dict[str, Any] | None = None,
    auth: dict[str, Any] | None = None,
    **web: Any,
) -> AsyncIterator[PeopleSite]:
    """A site whose keys are served."""
    site = PeopleSite(database, session=session or {}, auth=auth or {}, **web)
    serving = asyncio.create_task(site.keys.run())
    try:
        yield site
    finally:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)


async def _told(request: Request, exc: Exception) -> Response:
    del request
    assert isinstance(exc, InterlockError)
    status = 423 if exc.error_code == "account_disabled" else _STATUS.get(exc.error_kind, 400)
    return JSONResponse({"code": exc.error_code}, status)
