"""Wires what people use beside the gateway: log-in, live events, conversations, their API.

Part of the composition root. There is one of each: chat and console share credentials and
cookie sessions, and all live streams read one log.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from starlette.types import ASGIApp, Receive, Scope, Send

from interlock import __version__
from interlock.app_budgets import BudgetParts
from interlock.app_limits import LimitParts
from interlock.app_settings import AppSettings
from interlock.app_store import Store, open_blobs
from interlock.conversations.agents import ModelAgents
from interlock.conversations.attachments.service import Attachments
from interlock.conversations.build import Talks, build_talks
from interlock.conversations.directory import PeopleDirectory
from interlock.conversations.ports import Replies
from interlock.conversations.replies.service import (
    QUEUE,
    WORKFLOW,
    AgentReplies,
    ReplySettings,
)
from interlock.conversations.replying import ReplyWriter
from interlock.conversations.spine import Spine
from interlock.conversations.tooling import PeopleTools
from interlock.conversations.unfinished import unfinished_streams
from interlock.durable.model import Queue, Status, Workflow
from interlock.events.log import EventLog
from interlock.events.redis_fanout import RedisFanout
from interlock.gateway.door import Door
from interlock.gateway.toolbox import Toolbox
from interlock.kernel.clock import Clock
from interlock.kernel.errors import InterlockError
from interlock.surfaces.chat.auth import CheckedCallers
from interlock.surfaces.chat.build import build_chat, owns
from interlock.surfaces.chat.parts import ChatParts
from interlock.surfaces.chat.routes.auth import auth_router
from interlock.surfaces.chat.routes.budgets import budgets_router
from interlock.surfaces.chat.routes.limits import limits_router
from interlock.surfaces.chat.routes.openai import OpenAiParts, openai_router
from interlock.surfaces.chat.routes.tools import tools_router
from interlock.web.credentials import Credentials
from interlock.web.sse import SseStreams

if TYPE_CHECKING:
    from interlock.durable.service import Durable

__all__ = ["Front", "PeopleParts", "build_people"]

_DEMO_MODEL = "demo"
_LOOK_S = 30.0
"""How often several processes look for replies that a dead one took on and handed to nobody."""

_log = logging.getLogger("interlock.chat")


@dataclass(slots=True, kw_only=True)
class PeopleParts:
    """Built and not yet started."""

    credentials: Credentials
    log: EventLog
    streams: SseStreams
    talks: Talks
    chat: ASGIApp
    durable: "LazyDurable"

    async def trails(self, message_ids: Sequence[str]) -> Mapping[str, Mapping[str, Any]]:
        """How replies came about, by message."""
        replies = self.durable.replies
        return {} if replies is None else await replies.trails(message_ids)

    async def start(self) -> None:
        """Goes on with what a stopped server left behind."""
        await self.durable.begin()

    async def stop(self, *, wait_s: float) -> None:
        """Lets replies come to an end, or leaves them to the next start."""
        await self.durable.stop(wait_s=wait_s)

    async def run(self) -> None:
        """Keeps events, streams and presence going until it is cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.log.run())
            group.create_task(self.streams.run())
            group.create_task(self.talks.attachments.resume())
            group.create_task(self.durable.look())
            group.create_task(self.talks.spine.idempotency.run())
            group.create_task(self.talks.attendance.run(lambda: self.talks.streams.people))


class LazyDurable:
    """The durable engine, started when there is work for it.

    A server that nobody chats on does without its tables and threads. On PostgreSQL it is
    there from the start: it may have to go on with what another process left behind.
    """

    def __init__(self, store: Store, settings: AppSettings) -> None:
        self.replies: AgentReplies | None = None
        self._store = store
        self._settings = settings
        self._engine: Durable | None = None
        self._starting = asyncio.Lock()

    async def begin(self) -> None:
        """Starts it if there may be work left, and hands over what never got to it."""
        shared = self._store.database.dialect == "postgresql"
        if shared or (self._settings.data / "durable.db").exists():
            await self._start()
            if self.replies is not None:
                await self.replies.resume()

    async def enqueue(self, message_id: str) -> None:
        """Hands a reply over."""
        engine = await self._start()
        await engine.enqueue(QUEUE, WORKFLOW, message_id, id=message_id)

    async def status(self, message_id: str) -> Status | None:
        """How far the work on a reply is."""
        return await (await self._start()).status(message_id)

    async def look(self) -> None:
        """Looks again and again for replies that no process was handed, until cancelled."""
        while self._store.database.dialect == "postgresql" and self.replies is not None:
            await asyncio.sleep(_LOOK_S)
            try:
                await self.replies.resume()
            except InterlockError as error:
                _log.warning("unfinished replies could not be looked at: %s", error.message)

    async def stop(self, *, wait_s: float) -> None:
        """Stops it, if it runs."""
        if self.replies is not None:
            await self.replies.close()
        if self._engine is not None:
            await self._engine.stop(wait_s=wait_s)

    async def _start(self) -> "Durable":
        async with self._starting:
            if self._engine is None:
                # DBOS takes 20 MB of memory, which a gateway without chats does without.
                from interlock.durable.service import Durable, step  # noqa: PLC0415

                async def reply(message_id: str) -> None:
                    assert self.replies is not None  # noqa: S101 - built together
                    await step("reply", self.replies.make, message_id)

                engine = Durable(
                    self._store.database,
                    self._settings.data,
                    workflows=[Workflow(name=WORKFLOW, run=reply)],
                    queues=[Queue(name=QUEUE)],  # `Turns` counts: it knows nothing of people
                    takes_work=self._settings.server.durable_work,
                )
                await engine.start()
                self._engine = engine
            return self._engine


class Front:
    """Hands requests to the application they are for."""

    def __init__(self, main: ASGIApp, chat: ASGIApp) -> None:
        self._main = main
        self._chat = chat

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request."""
        chat = scope["type"] == "http" and owns(scope["path"])
        await (self._chat if chat else self._main)(scope, receive, send)


def build_people(
    settings: AppSettings,
    store: Store,
    clock: Clock,
    *,
    health: Callable[[], Awaitable[Mapping[str, str]]],
    limits: LimitParts,
    money: BudgetParts,
    models: Callable[[], Sequence[str]],
    door: Door,
    toolbox: Toolbox,
) -> PeopleParts:
    """Everything for people; nothing is opened or started.

    `models` are the names of the models behind the door.
    """
    server = settings.server
    credentials = Credentials(
        store.logins,
        store.callers,
        store.keys,
        security=settings.security,
        public_base_url=server.public_base_url,
        allowed_origins=server.cors.allowed_origins,
        trusted_proxies=server.trusted_proxies,
    )
    url = settings.store.redis_url
    fanout = (
        None
        if url is None
        else RedisFanout(url.get_secret_value(), prefix=settings.store.redis_prefix)
    )
    log = EventLog(
        store.database,
        settings=settings.events,
        fanout=fanout,
        unfinished=unfinished_streams(store.database),
    )
    streams = SseStreams(
        heartbeat_s=settings.sse.heartbeat_seconds,
        stalled_s=settings.sse.stalled_seconds,
        per_user=settings.sse.max_streams_per_user,
    )
    aliases = sorted(settings.upstreams.aliases)
    durable = LazyDurable(store, settings)

    def default_model() -> str:
        return settings.chat.default_model or _default_model(aliases)

    def make_replies(spine: Spine, writer: ReplyWriter, files: Attachments) -> Replies:
        made = AgentReplies(
            spine,
            writer,
            files,
            door,
            toolbox,
            settings=ReplySettings(
                timeout_s=settings.chat.assistant_timeout_seconds,
                most_at_once=settings.chat.max_concurrent_replies,
                flush_s=settings.sse.delta_flush_ms / 1000,
                context_limit=settings.chat.context_limit,
                default_model=default_model,
                on_restart=settings.chat.on_restart,
            ),
            work=durable,
        )
        durable.replies = made
        return made

    talks = build_talks(
        database=store.database,
        log=log,
        directory=PeopleDirectory(),
        agents=ModelAgents(
            default_model=default_model,
            aliases=lambda: aliases,
        ),
        make_replies=make_replies,
        clock=clock,
        chat=settings.chat,
        streams=settings.sse,
        limit=limits.posting,
        blobs=open_blobs(settings),
    )

    async def missing() -> list[str]:
        return ["database"] if (await health()).get("store") != "ok" else []

    more = [
        limits_router(limits.profiles, enabled=settings.rate_limits.admin_api_enabled),
        budgets_router(money.admin, money.budgets, enabled=settings.rate_limits.admin_api_enabled),
        tools_router(PeopleTools(talks.spine, toolbox)),
    ]
    if settings.features.auth_v1:
        more.append(auth_router(store.people, credentials))
    if settings.api.openai_compat:
        openai = OpenAiParts(
            door=door, keys=credentials, models=models, owner="interlock", clock=clock
        )
        more.append(openai_router(openai))
    https = (server.public_base_url or "").startswith("https:")
    chat = build_chat(
        ChatParts(
            talks=talks,
            callers=CheckedCallers(credentials),
            streams=streams,
            missing=missing,
            streaming=settings.features.sse_v1,
            checked=limits.probes.checked,
        ),
        version=__version__,
        more=more,
        wrap=lambda app: limits.around(app, credentials, store),
        hsts=settings.security.hsts.header(https=https),
    )
    return PeopleParts(
        credentials=credentials,
        log=log,
        streams=streams,
        talks=talks,
        chat=chat,
        durable=durable,
    )


def _default_model(aliases: Sequence[str]) -> str:
    """The first alias, else the scripted model: it needs no key."""
    return aliases[0] if aliases else _DEMO_MODEL
