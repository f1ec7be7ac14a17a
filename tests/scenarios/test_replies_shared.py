"""Two servers on one PostgreSQL make replies: none ends or doubles what the other one makes."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from tests.scenarios.test_replies import Person, Server
from tests.support.slow_model import SlowModel, slow_model

pytestmark = [pytest.mark.anyio, pytest.mark.servers]


@pytest.fixture
def servers() -> Iterator[list[Server]]:
    started: list[Server] = []
    yield started
    for one in started:
        if one.process.poll() is None:
            one.kill()


@pytest.fixture
async def model() -> AsyncIterator[SlowModel]:
    async with slow_model() as running:
        yield running


@asynccontextmanager
async def signed_in(server: Server) -> AsyncIterator[Person]:
    async with httpx.AsyncClient(base_url=server.url, timeout=20) as http:
        person = Person(http)
        await person.sign_in()
        yield person


def data_of(path: Path, database: str, model: SlowModel, on_restart: str) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    (path / "interlock.toml").write_text(
        f"""
[store]
database_url = "{database}"
[chat]
on_restart = "{on_restart}"
default_model = "slow/words"
[providers.slow]
base_url = "{model.url}/v1"
"""
    )
    return path


@pytest.mark.parametrize("on_restart", ["fail", "retry", "resume"])
async def test_a_starting_server_leaves_alone_what_another_one_makes(
    tmp_path: Path, postgresql_url: str, servers: list[Server], model: SlowModel, on_restart: str
) -> None:
    data = data_of(tmp_path / "data", postgresql_url, model, on_restart)
    servers.append(Server(data))
    async with signed_in(servers[0]) as person:
        message_id = (await person.ask("hello"))["assistant_message_id"]
        answer = await model.next()
        await answer.say("one ")
        await person.has_said(message_id, 4)
        servers.append(Server(data))
        async with signed_in(servers[1]) as other:
            meanwhile = await other.message(message_id)
        await answer.say("two")
        await answer.end()
        ended = await person.ended(message_id)

    assert (meanwhile["status"], meanwhile["content"]) == ("streaming", "one ")
    assert (ended["status"], ended["content"]) == ("complete", "one two")
    assert model.asked.empty()


@pytest.mark.parametrize(
    ("on_restart", "said", "status", "content"),
    [
        ("fail", "one ", "error", "one "),
        ("retry", "one ", "error", "one "),
        ("retry", "", "complete", "one two"),
        ("resume", "one ", "complete", "one two"),
    ],
)
async def test_what_a_killed_server_made_is_taken_over_as_the_setting_says(
    tmp_path: Path,
    postgresql_url: str,
    servers: list[Server],
    model: SlowModel,
    on_restart: str,
    said: str,
    status: str,
    content: str,
) -> None:
    data = data_of(tmp_path / "data", postgresql_url, model, on_restart)
    servers.append(Server(data))
    async with signed_in(servers[0]) as person:
        message_id = (await person.ask("hello"))["assistant_message_id"]
        answer = await model.next()
        if said:
            await answer.say(said)
            await person.has_said(message_id, len(said))
    servers.append(Server(data))
    servers[0].kill()
    async with signed_in(servers[1]) as person:
        if status == "complete":
            again = await model.next()
            await again.say("one ")
            await again.say("two")
            await again.end()
        ended = await person.ended(message_id)

    assert (ended["status"], ended["content"]) == (status, content)
    assert (ended["error"] or {}).get("code") == (
        "assistant_interrupted" if status == "error" else None
    )


async def test_one_agent_answers_a_thread_in_order_over_two_servers(
    tmp_path: Path, postgresql_url: str, servers: list[Server], model: SlowModel
) -> None:
    data = data_of(tmp_path / "data", postgresql_url, model, "resume")
    servers += [Server(data), Server(data)]
    async with signed_in(servers[0]) as person, signed_in(servers[1]) as other:
        first = await person.ask("question 0")
        root = first["root_id"]
        replies = [first["assistant_message_id"]]
        for number in range(1, 6):
            who = (person, other)[number % 2]
            asked = await who.ask(f"question {number}", parent_id=root)
            replies.append(asked["assistant_message_id"])
        heard = []
        for _ in replies:
            answer = await model.next()
            heard.append(answer.question)
            alone = model.asked.empty()
            await answer.say("yes")
            await answer.end()
            assert alone
        ended = [await person.ended(one) for one in replies]

    assert heard == [f"question {number}" for number in range(6)]
    assert {one["status"] for one in ended} == {"complete"}


async def test_a_reply_cancelled_at_another_server_stops_at_the_model(
    tmp_path: Path, postgresql_url: str, servers: list[Server], model: SlowModel
) -> None:
    data = data_of(tmp_path / "data", postgresql_url, model, "resume")
    servers += [Server(data)]
    async with signed_in(servers[0]) as person:
        message_id = (await person.ask("hello"))["assistant_message_id"]
        answer = await model.next()
        await answer.say("partly")
        await person.has_said(message_id, 6)
        servers.append(Server(data))
        async with signed_in(servers[1]) as other:
            cancelled = await other.http.post(
                f"/api/messages/{message_id}/cancel", headers=other.csrf
            )
        async with asyncio.timeout(20):
            await answer.left.wait()
        ended = await person.message(message_id)

    assert (cancelled.status_code, cancelled.json()["status"]) == (202, "cancelled")
    assert (ended["status"], ended["content"]) == ("cancelled", "partly")
