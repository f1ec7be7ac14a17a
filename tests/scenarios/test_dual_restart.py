"""Programs that wait for a tool outlive their server: restarts, `kill -9`, several processes.

Whatever happens between two requests, no call is made twice and a request that is
repeated gets the answer it had.
"""

import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.support.dual_talk import DualTalk, Tools, plan, policy
from tests.support.gateway import Gateway, running_gateway
from tests.support.killable import Killable, killable

pytestmark = pytest.mark.anyio

KEY = "sq-survivor-0123456789"
TOOLS: Tools = {
    "get_doc": lambda ref: {"text": f"text of {ref}", "pages": 7},
    "send": lambda to, body: f"sent to {to}",
}
PROGRAM = """
seen = {}
def note(name, doc):
    seen.setdefault(name, []).append(doc["pages"])
    return doc["text"].upper()
texts = [note(name, get_doc(ref=name)) for name in ["a", "b"]]
sent = send(to="boss", body="; ".join(texts))
final_return_value = {"sent": sent, "seen": seen}
"""
CALLED = [
    ("get_doc", {"ref": "a"}),
    ("get_doc", {"ref": "b"}),
    ("send", {"to": "boss", "body": "TEXT OF A; TEXT OF B"}),
]
FINAL = {"sent": "sent to boss", "seen": {"a": [7], "b": [7]}}
LABELLED = (
    'tool "get_doc" -> @tags |= {"internal"};'
    'tool "get_doc" -> session @tags |= {"read"};'
    'tool "send" { hard deny when "internal" in body.tags and "read" in @session.tags'
    ' and to.value in {"eve"}; }'
)


@asynccontextmanager
async def at(server: Killable | Gateway) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=server.base_url, timeout=20) as http:
        yield http


def ready(asked: DualTalk) -> list[tuple[str, Any]]:
    """Runs what the newest answer asks for; returns the results."""
    given = []
    for call in asked.calls:
        name, args = call["function"]["name"], json.loads(call["function"]["arguments"])
        asked.ran.append((name, args))
        given.append((call["id"], asked.tools[name](**args)))
    return given


def value(asked: DualTalk) -> Any:
    found = asked.final()
    assert found["status"] == "success", found
    return found["final_return_value"]["value"]


async def test_a_program_goes_on_after_kill_9_at_every_call(tmp_path: Path) -> None:
    asked = DualTalk(http=httpx.AsyncClient(), key=KEY, tools=TOOLS)
    await asked.http.aclose()
    results: list[tuple[str, Any]] = []
    while not asked.messages or asked.calls:
        async with killable(tmp_path, key=KEY) as server, at(server) as http:
            asked.http = http
            if not asked.messages:
                answer = await asked.say(plan(PROGRAM))
            else:
                before = list(asked.messages)
                answer = await asked.give(*results)
                # Whoever repeats the request is told the same.
                said, asked.messages[:] = asked.messages[-1], before
                again = await asked.give(*results)
                assert again.json()["choices"][0]["message"] == said
            await server.kill()
        assert answer.status_code == 200, answer.text
        results = ready(asked)

    assert asked.ran == CALLED
    assert value(asked) == FINAL


async def test_a_request_repeated_after_the_kill_gets_the_answer_it_had(tmp_path: Path) -> None:
    async with killable(tmp_path, key=KEY) as server, at(server) as http:
        asked = DualTalk(http=http, key=KEY, tools=TOOLS)
        await asked.say(plan(PROGRAM))
        results = ready(asked)
        before = list(asked.messages)
        first = await asked.give(*results)
        await server.kill()
    async with killable(tmp_path, key=KEY) as server, at(server) as http:
        asked.http, asked.messages = http, before
        again = await asked.give(*results)
        assert again.json()["choices"] == first.json()["choices"]
        while asked.calls:
            await asked.give(*ready(asked))
        done = list(asked.messages)
        await server.kill()
    async with killable(tmp_path, key=KEY) as server, at(server) as http:
        asked.http, asked.messages = http, done[:-1]
        last = await asked.post()

    assert last.status_code == 200, last.text
    assert asked.ran == CALLED
    assert value(asked) == FINAL


async def test_labels_of_values_and_of_the_session_survive_the_kill(tmp_path: Path) -> None:
    program = 'x = get_doc(ref="a")\nfinal_return_value = send(to="eve", body=x["text"])'
    async with killable(tmp_path, key=KEY) as server, at(server) as http:
        asked = DualTalk(http=http, key=KEY, tools=TOOLS, headers=policy(LABELLED))
        await asked.say(plan(program))
        await server.kill()
    async with killable(tmp_path, key=KEY) as server, at(server) as http:
        asked.http = http
        await asked.give(*ready(asked))
        denied = asked.final()
        await server.kill()
    async with killable(tmp_path, key=KEY) as server, at(server) as http:
        asked.http = http
        asked.headers["x-session-id"] = asked.session
        await asked.say(plan('final_return_value = send(to="eve", body="free")'))
        assert [call["function"]["name"] for call in asked.calls] == ["send"]
        await asked.give(*ready(asked))
        assert value(asked) == "sent to eve"
        history = {
            "x-config": json.dumps({"response_format": {"include_namespace_snapshot": True}})
        }
        asked.headers.update(history)
        await asked.say(plan("final_return_value = 1"))

    assert denied["error"]["code"] == "policy_violation"
    assert asked.final()["session_meta"]["meta"]["tags"] == ["read"]
    assert [name for name, _ in asked.ran] == ["get_doc", "send"]


SHARED = "[gateway]\nshared_sessions = true\n"


@pytest.fixture
async def servers(migrated_url: str, tmp_path: Path) -> AsyncIterator[tuple[Gateway, Gateway]]:
    """Two servers on one database."""
    environ = {"INTERLOCK_DATABASE_URL": migrated_url}
    async with running_gateway(tmp_path / "one", toml=SHARED, environ=environ) as one:
        (tmp_path / "other").mkdir()
        shutil.copy(tmp_path / "one" / "secret.key", tmp_path / "other" / "secret.key")
        async with running_gateway(tmp_path / "other", toml=SHARED, environ=environ) as other:
            yield one, other


async def test_two_servers_take_turns_with_one_program(servers: tuple[Gateway, Gateway]) -> None:
    asked = DualTalk(http=servers[0].http, key=servers[0].key, tools=TOOLS)
    await asked.say(plan(PROGRAM))
    number = 0
    while asked.calls:
        number += 1
        results = ready(asked)
        before = list(asked.messages)
        asked.http = servers[number % 2].http
        assert (await asked.give(*results)).status_code == 200
        said, asked.messages = asked.messages[-1], before
        # The same request at the other server, as a load balancer repeats it.
        asked.http = servers[(number + 1) % 2].http
        again = await asked.give(*results)
        assert again.json()["choices"][0]["message"] == said

    assert asked.ran == CALLED
    assert value(asked) == FINAL
    asked.headers["x-session-id"] = asked.session
    for server in servers:
        asked.http = server.http
        assert (await asked.run(plan("final_return_value = 2")))["status"] == "success"


async def test_a_killed_server_hands_its_programs_to_another(
    postgresql_url: str, tmp_path: Path
) -> None:
    environ = {
        "INTERLOCK_DATABASE_URL": postgresql_url,
        "INTERLOCK_GATEWAY_SHARED_SESSIONS": "true",
    }
    async with killable(tmp_path / "one", key=KEY, environ=environ) as one, at(one) as http:
        (tmp_path / "other").mkdir()
        shutil.copy(tmp_path / "one" / "secret.key", tmp_path / "other" / "secret.key")
        asked = DualTalk(http=http, key=KEY, tools=TOOLS)
        await asked.say(plan(PROGRAM))
        results = ready(asked)
        before = list(asked.messages)
        first = await asked.give(*results)
        await one.kill()
    async with killable(tmp_path / "other", key=KEY, environ=environ) as two, at(two) as http:
        asked.http, asked.messages = http, before
        again = await asked.give(*results)
        assert again.json()["choices"] == first.json()["choices"]
        while asked.calls:
            await asked.give(*ready(asked))

    assert asked.ran == CALLED
    assert value(asked) == FINAL
