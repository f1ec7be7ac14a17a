"""The console over a real store, signed in without a browser: for tests and screenshots."""

import asyncio
import hmac
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import httpx
from starlette.requests import Request

from interlock.app import Application, build, make_server
from interlock.app_console import services_of
from interlock.app_settings import load_settings
from interlock.console import Console, Granted, Viewer
from interlock.identity.context import Context
from interlock.identity.errors import InvalidIdentityError
from interlock.identity.model import Actor

__all__ = ["PASSWORD", "Site", "TestSignIn", "console_site", "serving"]

PASSWORD = "correct horse battery"
_ACTOR = Actor(name="test", surface="server")


@dataclass(slots=True)
class TestSignIn:
    """Cookie sessions kept in memory."""

    app: Application
    sessions: dict[str, Viewer] = field(default_factory=dict)
    empty: bool = False
    __test__ = False

    async def viewer(self, request: Request) -> Viewer | None:
        return self.sessions.get(request.cookies.get("SESSION_ID", ""))

    async def login(self, request: Request, identifier: str, password: str) -> Granted:
        user = await self.app.store.admin.check_password(identifier, password)
        if user is None:
            raise InvalidIdentityError("the name or the password is wrong")
        for known in list(self.sessions.values()):
            if known.email == user.email:
                token = self.open(known)
                return lambda answer: answer.set_cookie("SESSION_ID", token, httponly=True)
        raise InvalidIdentityError("nobody of this name")

    async def logout(self, request: Request) -> Granted:
        self.sessions.pop(request.cookies.get("SESSION_ID", ""), None)
        return lambda answer: answer.delete_cookie("SESSION_ID")

    async def confirm(self, request: Request, password: str) -> bool:
        return hmac.compare_digest(password, PASSWORD)

    def csrf_ok(self, request: Request, viewer: Viewer | None, token: str) -> bool:
        return viewer is None or hmac.compare_digest(token.encode(), viewer.csrf.encode())

    async def needs_setup(self) -> bool:
        return self.empty

    async def setup(self, request: Request, name: str, email: str, password: str) -> Granted:
        if not self.empty:
            raise InvalidIdentityError("there is an administrator already")
        if len(password) < 8:
            raise InvalidIdentityError("a password has at least 8 characters", param="password")
        self.empty = False
        return lambda answer: None

    def open(self, viewer: Viewer) -> str:
        token = secrets.token_urlsafe(16)
        self.sessions[token] = viewer
        return token


@dataclass(slots=True, kw_only=True)
class Site:
    """A console and the people in it: `admin`, `member`, `viewer`, `stranger`."""

    app: Application
    console: Console
    sign_in: TestSignIn
    people: Mapping[str, Viewer]

    def client(self, role: str | None) -> httpx.AsyncClient:
        """A browser without scripts, signed in as somebody."""
        cookies = {} if role is None else {"SESSION_ID": self.sign_in.open(self.people[role])}
        return httpx.AsyncClient(
            transport=httpx.ASGITransport(app=self.app.asgi, raise_app_exceptions=False),
            base_url="http://console.test",
            cookies=cookies,
        )


@asynccontextmanager
async def console_site(
    data: Path, *, environ: Mapping[str, str] | None = None
) -> AsyncIterator[Site]:
    """A console with four people and nothing else."""
    loaded = load_settings(
        data=data,
        options={"server.port": 0},
        environ={
            "INTERLOCK_BOOTSTRAP_KEY": "sq-test-key-0123456789",
            "INTERLOCK_LOG_LEVEL": "error",
            **(environ or {}),
        },
    )
    application = build(loaded.settings)
    sign_in = TestSignIn(application)

    async def context(request: Request) -> Context:
        viewer = await sign_in.viewer(request)
        assert viewer is not None
        return Context(
            user_id=viewer.user_id,
            account_id=viewer.account_id,
            account_role="viewer" if viewer.role == "viewer" else "owner",
            global_role="admin" if viewer.admin else "member",
            email=viewer.email,
            username=viewer.name.lower(),
            display_name=viewer.name,
            surface="console",
            credential="cookie",
            credential_id=viewer.user_id,
        )

    console = Console(replace(services_of(application, sign_in), context=context))
    for route in application.asgi.router.routes:
        if getattr(route, "path", "").startswith("/console"):
            route.app = console  # type: ignore[attr-defined] # signed in without a browser
    async with application.running():
        people = await _people(application)
        for one in people.values():
            sign_in.open(one)
        yield Site(app=application, console=console, sign_in=sign_in, people=people)


async def _people(application: Application) -> dict[str, Viewer]:
    admin = application.store.admin
    now = application.clock.now().timestamp()
    bootstrap = (await admin.keys())[0]
    await admin.set_password(bootstrap.user_email, PASSWORD, _ACTOR)
    found = {
        "admin": Viewer(
            user_id=bootstrap.user_id,
            account_id=bootstrap.account_id,
            name="Maya",
            email=bootstrap.user_email,
            admin=True,
            role="owner",
            csrf="csrf-admin",
            signed_in_at=now,
        ),
        "viewer": Viewer(
            user_id="viewer",
            account_id=bootstrap.account_id,
            name="Vera",
            email="vera@corp.example",
            admin=False,
            role="viewer",
            csrf="csrf-viewer",
            signed_in_at=now,
        ),
    }
    for role, name in (("member", "Mo"), ("stranger", "Sam")):
        email = f"{name.lower()}@corp.example"
        user = await admin.create_user(email, _ACTOR, name=name, password=PASSWORD)
        account = await admin.create_organization(f"{name}'s", email, _ACTOR)
        found[role] = Viewer(
            user_id=user.id,
            account_id=account.id,
            name=name,
            email=email,
            admin=False,
            role="owner" if role == "stranger" else "member",
            csrf=f"csrf-{role}",
            signed_in_at=now,
        )
    return found


@asynccontextmanager
async def serving(site: Site) -> AsyncIterator[str]:
    """The same on a port of loopback; gives the base URL."""
    server = make_server(site.app)
    started = asyncio.Event()
    server.on_ready = started.set
    task = asyncio.create_task(server.serve())
    async with asyncio.timeout(20):
        await started.wait()
    yield server.base_url
    server.should_exit = True
    await asyncio.wait_for(task, 20)
