"""The published clients against whole servers: one on SQLite, two on PostgreSQL and Redis.

In front of them stands a balancer that sends every connection to another one; in the middle
of replies servers are told to end, are killed, and are started again.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from tests.support.balancer import Balancer, balancer
from tests.support.published_cli import Cli, CliError, Follow
from tests.support.published_web import Page, Web
from tests.support.scratch_redis import REDIS_URL, scratch_redis
from tests.support.served import Served, served

pytestmark = [pytest.mark.anyio, pytest.mark.servers]
_PASSWORD = "correct horse battery"
_EMAIL = "ann@example.com"
_LONG = 3000


class Site:
    """Servers behind a balancer."""

    def __init__(self, servers: list[Served], front: Balancer) -> None:
        self.servers = servers
        self.front = front

    @property
    def last(self) -> int:
        """The number of a server that is another one if there are two."""
        return len(self.servers) - 1

    async def restart(self, number: int, *, kill: bool) -> None:
        """Ends a server, with or without a warning, and starts it again."""
        server = self.servers[number]
        await (server.kill() if kill else server.stop())
        await server.start()
        self.front.servers[number] = server.base_url


@pytest.fixture(params=["one on sqlite", "two on postgresql and redis"])
async def site(
    request: pytest.FixtureRequest, tmp_path: Path, anyio_backend: str
) -> AsyncIterator[Site]:
    del anyio_backend
    environ = {
        "INTERLOCK_AUTH_SETUP": "true",
        "INTERLOCK_AUTH_SUSPICIOUS_CHECK": "true",
        "INTERLOCK_SECRET_KEY": "a master key of this test alone",
        "INTERLOCK_SERVER_SHUTDOWN_S": "2",
        "INTERLOCK_LOG_LEVEL": "warning",
    }
    async with AsyncExitStack() as stack:
        environs = [environ]
        if request.param != "one on sqlite":
            url = request.getfixturevalue("postgresql_url")
            _, prefix = await stack.enter_async_context(scratch_redis())
            environ |= {
                "INTERLOCK_DATABASE_URL": url,
                "INTERLOCK_REDIS_URL": REDIS_URL,
                "INTERLOCK_STORE_REDIS_PREFIX": prefix,
            }
            environs = [environ, environ]
        servers = await stack.enter_async_context(served(tmp_path, *environs))
        front = await stack.enter_async_context(balancer([one.base_url for one in servers]))
        yield Site(servers, front)


@asynccontextmanager
async def running(reader: Follow | Page) -> AsyncIterator[None]:
    """Reads meanwhile."""
    task = asyncio.create_task(reader.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _signed_in(site: Site) -> tuple[Web, str]:
    """A browser whose person has a conversation."""
    web = Web(site.front.base_url)
    assert await web.setup("ann", _EMAIL, _PASSWORD)
    await web.login(_EMAIL, _PASSWORD)
    made = await web.call("POST", "/api/conversations", {"title": "Deploy"})
    return web, made.raise_for_status().json()["conversation_id"]


async def test_the_cli_goes_through_its_whole_day(site: Site, tmp_path: Path) -> None:
    web, conversation = await _signed_in(site)
    page = Page(web, conversation)
    root = (await page.post("SAY good morning"))["root_id"]
    cli = Cli(site.front.base_url, tmp_path / "session.cookies")
    with pytest.raises(CliError, match="no active session"):
        await cli.me()

    site.front.turn_to(0)
    assert (await cli.login(_EMAIL, _PASSWORD))["user"]["username"] == "ann"
    assert oct(cli.jar.stat().st_mode & 0o777) == "0o600"
    listed = await cli.chat(conversation)
    assert [(one[0], one[1]) for one in listed] == [(root, "SAY good morning")]

    site.front.turn_to(1)  # the CLI reads the thread from the second, then follows on the first
    follow = Follow(cli, root)
    async with running(follow):
        await follow.until(lambda it: it.finished == ["stop"])
        texts = []
        for number, kill in ((0, False), (site.last, True)):
            before = len(follow.finished)
            site.front.turn_to(site.last)
            message, same = await cli.reply(root, f"TOKENS {_LONG + number}")
            assert same == root
            begun = len(follow.printed)
            await follow.until(lambda it, begun=begun: len(it.printed) > begun + 200)
            await site.restart(number, kill=kill)
            await follow.until(lambda it, before=before: len(it.finished) > before)
            texts.append(await _answer(cli, root, message))
            assert len(texts[-1].split()) == _LONG + number
        await follow.until(lambda it: it.activity >= 4)

    assert follow.unparsed == []
    assert follow.finished == ["stop"] * 3
    assert follow.printed == "good morning\n" + "".join(f"{one}\n" for one in texts)
    assert follow.connections > 1
    assert set(site.front.served) == set(range(len(site.servers)))
    assert (await cli.me())["user"]["email"] == _EMAIL
    assert await cli.logout() == 200
    assert not cli.jar.exists()
    with pytest.raises(CliError):
        await cli.reply(root, "SAY who am I")


async def _answer(cli: Cli, root: str, message: str) -> str:
    """The stored text of the reply to a message."""
    (found,) = [one for one in await cli.thread(root) if one["parent_id"] == message]
    assert found["status"] == "complete"
    text: str = found["content"]
    return text


async def test_the_web_client_goes_through_its_whole_day(site: Site) -> None:
    web, conversation = await _signed_in(site)
    assert web.sent[:3] == [
        ("GET", "/api/setup", 200),
        ("POST", "/api/setup", 200),
        ("POST", "/api/auth/login", 200),
    ]
    again = Web(site.front.base_url)
    assert not await again.setup("mallory", "mallory@example.com", _PASSWORD)
    assert await again.me() is None

    me = await web.me()
    assert me is not None
    assert me["user"]["roles"] == ["admin", "member"]
    page = Page(web, conversation)
    await page.load()
    async with running(page):
        await page.until(lambda it: it.connections == 1)
        site.front.turn_to(site.last)
        root = await page.post("TOKENS 40")
        (reply,) = root["assistant_message_ids"]
        await page.until(lambda it: it.done == [reply] and not it.pending)
        assert len((page.text(reply) or "").split()) == 40
        assert page.threads[0]["root_excerpt"] == "TOKENS 40"
        assert page.unread == {root["root_id"]: 1}
        assert me["user"]["id"] in page.online

        for number, kill in ((0, True), (site.last, False)):
            posted = await page.reply(reply, f"TOKENS {_LONG + number}")
            (reply,) = posted["assistant_message_ids"]
            await page.until(
                lambda it, reply=reply: len(it.streaming.get(reply, {}).get("content", "")) > 200
            )
            await site.restart(number, kill=kill)
            await page.until(lambda it, reply=reply: reply in it.done and not it.pending)
            assert len((page.text(reply) or "").split()) == _LONG + number
        shown = {one["id"]: one["content"] for one in page.messages}

        if site.last == 0:  # the only server was stopped twice: the stream is open again
            await page.until(lambda it: it.connections == 3)
        web.agent += " updated"  # the session is looked at with suspicion now
        asked = len(web.sent)
        assert (await page.reply(reply, "SAY bye"))["depth"] == 7
        assert [one[1:] for one in web.sent[asked : asked + 3]] == [
            (f"/api/messages/{reply}/reply", 401),
            ("/api/auth/refresh", 200),
            (f"/api/messages/{reply}/reply", 201),
        ]
        await page.until(lambda it: len(it.done) == 4)

    assert page.given_up is None
    assert page.error is None
    assert len(set(page.done)) == len(page.done)
    await page.select(root["root_id"])
    stored = {one["id"]: one["content"] for one in page.messages}
    assert shown.items() <= stored.items()
    assert set(site.front.served) == set(range(len(site.servers)))
