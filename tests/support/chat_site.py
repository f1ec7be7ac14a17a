"""The whole chat API with real people, sessions, keys and limits; agents are made up."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from fastapi import APIRouter
from starlette.types import ASGIApp
from tests.support.chat_client import ChatClient
from tests.support.people_site import PeopleSite
from tests.support.talk_site import TalkSite

from interlock.conversations.directory import PeopleDirectory
from interlock.conversations.ports import Replies
from interlock.conversations.postlimit import ProfilePostingLimit
from interlock.gateway.door import Answer, Called, Question
from interlock.identity.audit import AuditLog
from interlock.identity.login.metrics import LoginMetrics
from interlock.identity.model import Actor, GlobalRole, KeyInfo, KeySpec
from interlock.kernel.errors import InterlockError
from interlock.limits.counters import MemoryCounters
from interlock.limits.metrics import LimitMetrics
from interlock.limits.profiles import LimitProfiles
from interlock.limits.routes import RouteLimits, RouteSettings
from interlock.storage.engine import Database
from interlock.surfaces.chat.auth import CheckedCallers
from interlock.surfaces.chat.build import build_chat
from interlock.surfaces.chat.limiting import Limiter
from interlock.surfaces.chat.metrics import ProbeMetrics
from interlock.surfaces.chat.openai_errors import refusal
from interlock.surfaces.chat.parts import ChatParts
from interlock.surfaces.chat.routes.auth import auth_router
from interlock.surfaces.chat.routes.limits import limits_router
from interlock.surfaces.chat.routes.openai import OpenAiParts, openai_router
from interlock.telemetry.metrics import GatewayMetrics
from interlock.web.asking import Askers
from interlock.web.credentials import CookieWriter
from interlock.web.sse import SseStreams

__all__ = ["PASSWORD", "Browser", "ChatSite", "MadeUpDoor", "chat_site"]

PASSWORD = "correct horse battery"
_ACTOR = Actor(name="test", surface="cli")


class MadeUpDoor:
    """A model that says what the test wants, piece by piece."""

    def __init__(self) -> None:
        self.pieces: list[str] = ["Hel", "lo"]
        self.calls: tuple[Called, ...] = ()
        self.fails: InterlockError | None = None
        self.asked: list[tuple[KeyInfo, Question]] = []
        self.waits: asyncio.Event | None = None
        self.stopped = asyncio.Event()

    async def ask(
        self, key: KeyInfo, question: Question, *, told: Callable[[str], None] | None = None
    ) -> Answer:
        self.asked.append((key, question))
        for piece in self.pieces:
            if told is not None:
                told(piece)
            await asyncio.sleep(0)
        if self.waits is not None:
            try:
                await self.waits.wait()
            finally:
                self.stopped.set()
        if self.fails is not None:
            raise self.fails
        return Answer(
            text="".join(self.pieces),
            calls=self.calls,
            finish_reason="tool_calls" if self.calls else "stop",
            usage={"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
            model=question.model,
            session_id="s",
            request_id="r",
            decisions=(),
        )


class Browser(ChatClient):
    """A client with a cookie jar that sends the CSRF value along."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__(app)
        self.jar: dict[str, str] = {}

    async def send(self, method: str, path: str, body: object = None, **more: Any) -> Any:
        if self.jar:
            self.headers["cookie"] = "; ".join(f"{k}={v}" for k, v in self.jar.items())
            self.headers["x-csrf-token"] = self.jar.get("CSRF-TOKEN", "")
        answer = await super().send(method, path, body, **more)
        for line in answer.cookies:
            name, _, value = line.split(";")[0].partition("=")
            self.jar[name] = value
        return answer


class ChatSite:
    """One server."""

    def __init__(
        self,
        database: Database,
        *,
        admin_api: bool = True,
        more: Sequence[APIRouter] = (),
        web: dict[str, Any] | None = None,
        replies: Replies | None = None,
        **limits: Any,
    ) -> None:
        self.database = database
        self.metrics = GatewayMetrics()
        self.people = PeopleSite(
            database,
            session={},
            auth={},
            metrics=LoginMetrics(self.metrics.register),
            **(web or {}),
        )
        self.clock = self.people.clock
        self.audit = AuditLog(database, self.clock)
        self.routes = RouteLimits(
            database,
            MemoryCounters(self.clock),
            self.clock,
            RouteSettings(**limits),
            LimitMetrics(self.metrics.register),
        )
        self.profiles = LimitProfiles(database, self.audit, self.clock, changed=self.routes.changed)
        self.talk = TalkSite(
            database, PeopleDirectory(), limit=ProfilePostingLimit(self.routes), replies=replies
        )
        askers = Askers(self.people.credentials, self.people.keys, self.clock)
        self.callers = CheckedCallers(self.people.credentials)
        self.missing: list[str] = []
        self.door = MadeUpDoor()
        openai = OpenAiParts(
            door=self.door,
            keys=self.people.credentials,
            models=lambda: ["demo", "other/model"],
            owner="interlock",
            clock=self.clock,
        )
        self.app = build_chat(
            ChatParts(
                talks=self.talk.talks,
                callers=self.callers,
                streams=SseStreams(),
                missing=self._missing,
                checked=ProbeMetrics(self.metrics.register).checked,
            ),
            version="1",
            more=[
                auth_router(self.people.people, self.people.credentials),
                limits_router(self.profiles, enabled=admin_api),
                openai_router(openai),
                *more,
            ],
            wrap=lambda app: CookieWriter(Limiter(app, self.routes, askers, refusal=refusal)),
        )

    async def _missing(self) -> list[str]:
        return self.missing

    async def person(self, name: str, role: GlobalRole = "member") -> str:
        """Makes a person; their id."""
        made = await self.people.people.create_user(
            f"{name}@example.com", _ACTOR, username=name, password=PASSWORD, global_role=role
        )
        return made.id

    async def browser(self, name: str, role: GlobalRole = "member") -> Browser:
        """A signed-in browser of a new person."""
        await self.person(name, role)
        return await self.signed_in(name)

    async def signed_in(self, name: str) -> Browser:
        """A browser of a person there is."""
        found = Browser(self.app)
        told = await found.post("/api/auth/login", {"email": name, "password": PASSWORD})
        assert told.status == 200, told.body
        return found

    async def key(self, name: str, **spec: Any) -> str:
        """A new key of a person."""
        made = await self.people.admin.create_key(
            KeySpec(label="a key", **spec), _ACTOR, user=f"{name}@example.com"
        )
        return made.token

    def text(self) -> str:
        """The metrics."""
        return self.metrics.render().decode()


@asynccontextmanager
async def chat_site(database: Database, **more: Any) -> AsyncIterator[ChatSite]:
    """A site whose keys are served."""
    site = ChatSite(database, **more)
    await site.profiles.first_start()
    serving = asyncio.create_task(site.people.keys.run())
    try:
        yield site
    finally:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
