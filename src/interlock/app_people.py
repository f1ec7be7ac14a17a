"""Wires what people use beside the gateway: log-in, live events, conversations, their API.

Part of the composition root. There is one of each: chat and console share credentials and
cookie sessions, and all live streams read one log.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from starlette.types import ASGIApp, Receive, Scope, Send

from interlock import __version__
from interlock.app_limits import LimitParts
from interlock.app_settings import AppSettings
from interlock.app_store import Store
from interlock.conversations.agents import ModelAgents
from interlock.conversations.build import Talks, build_talks
from interlock.conversations.directory import PeopleDirectory
from interlock.conversations.ports import NoReplies, Replies
from interlock.conversations.unfinished import unfinished_streams
from interlock.events.log import EventLog
from interlock.events.redis_fanout import RedisFanout
from interlock.kernel.clock import Clock
from interlock.surfaces.chat.asking import Asking
from interlock.surfaces.chat.auth import CheckedCallers
from interlock.surfaces.chat.build import build_chat, owns
from interlock.surfaces.chat.parts import ChatParts
from interlock.surfaces.chat.routes.auth import auth_router
from interlock.surfaces.chat.routes.limits import limits_router
from interlock.surfaces.chat.routes.openai import OpenAiParts, openai_router
from interlock.web.credentials import Credentials
from interlock.web.sse import SseStreams

__all__ = ["Front", "PeopleParts", "build_people"]

_DEMO_MODEL = "demo"


@dataclass(slots=True, kw_only=True)
class PeopleParts:
    """Built and not yet started."""

    credentials: Credentials
    log: EventLog
    streams: SseStreams
    talks: Talks
    chat: ASGIApp

    async def run(self) -> None:
        """Keeps events, streams and presence going until it is cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.log.run())
            group.create_task(self.streams.run())
            group.create_task(self.talks.attendance.run(lambda: self.talks.streams.people))


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
    asking: Asking,
    models: Callable[[], Sequence[str]],
    replies: Replies | None = None,
) -> PeopleParts:
    """Everything for people; nothing is opened or started.

    `asking` is the door to models, `models` their names.
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
    talks = build_talks(
        database=store.database,
        log=log,
        directory=PeopleDirectory(),
        agents=ModelAgents(
            default_model=lambda: settings.chat.default_model or _default_model(aliases),
            aliases=lambda: aliases,
        ),
        replies=replies or NoReplies(),
        clock=clock,
        chat=settings.chat,
        streams=settings.sse,
        limit=limits.posting,
    )

    async def missing() -> list[str]:
        return ["database"] if (await health()).get("store") != "ok" else []

    more = [limits_router(limits.profiles, enabled=settings.rate_limits.admin_api_enabled)]
    if settings.features.auth_v1:
        more.append(auth_router(store.people, credentials))
    if settings.api.openai_compat:
        openai = OpenAiParts(
            door=asking, keys=credentials, models=models, owner="interlock", clock=clock
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
    return PeopleParts(credentials=credentials, log=log, streams=streams, talks=talks, chat=chat)


def _default_model(aliases: Sequence[str]) -> str:
    """The first alias, else the scripted model: it needs no key."""
    return aliases[0] if aliases else _DEMO_MODEL
