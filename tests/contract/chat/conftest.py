"""The conversations API in process, on each kind of database."""

from collections.abc import AsyncIterator, Callable

import pytest
from starlette.types import ASGIApp
from tests.support.chat_client import ChatClient
from tests.support.talk_site import NamedCallers, TalkSite

from interlock.storage.engine import Database
from interlock.surfaces.chat.build import build_chat
from interlock.surfaces.chat.parts import ChatParts, WellKnown
from interlock.web.sse import SseStreams


async def _nothing() -> list[str]:
    return []


@pytest.fixture
def site(database: Database) -> TalkSite:
    """Conversations on each kind of database."""
    return TalkSite(database)


@pytest.fixture
def callers() -> NamedCallers:
    """Who may call."""
    return NamedCallers()


@pytest.fixture
def app(site: TalkSite, callers: NamedCallers) -> ASGIApp:
    """The API."""
    return build_chat(
        ChatParts(
            talks=site.talks,
            callers=callers,
            streams=SseStreams(),
            missing=_nothing,
            well_known={
                "security.txt": WellKnown(
                    path="security.txt", content_type="text/plain", body="Contact: x"
                )
            },
        ),
        version="1",
    )


@pytest.fixture
async def client(app: ASGIApp, anyio_backend: str) -> AsyncIterator[Callable[[str], ChatClient]]:
    """Makes clients by the name of their person."""
    made: list[ChatClient] = []

    def make(name: str) -> ChatClient:
        made.append(ChatClient(app, {"x-person": name}))
        return made[-1]

    yield make
    for one in made:
        await one.close()
