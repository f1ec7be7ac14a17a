"""Agents answer in conversations: live, under policies, and across a kill."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.support.demo_server import demo_server
from tests.support.gateway import Gateway, running_gateway

from interlock.storage.errors import StoreUnavailable

pytestmark = pytest.mark.anyio

_POLL_S = 0.05
"""The API is asked again this often: it has a limit of requests."""
_ADMIN = {"email": "root@example.com", "password": "correct horse battery"}
_ENVIRON = {
    "INTERLOCK_ADMIN_EMAIL": _ADMIN["email"],
    "INTERLOCK_ADMIN_PASSWORD": _ADMIN["password"],
}
_POLICY = """
tool "text_stats" -> session @tags |= {"untrusted"};
tool "read_attachment" -> session @tags |= {"untrusted"};
tool "hash_digest" { must deny when @session.tags overlaps {"untrusted"}; }
"""


class Person:
    """Somebody signed in."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http
        self.csrf: dict[str, str] = {}

    async def sign_in(self) -> None:
        login = await self.http.post("/api/auth/login", json=_ADMIN)
        self.csrf = {"x-csrf-token": login.json()["csrf_token"]}

    async def ask(self, text: str, **options: Any) -> dict[str, Any]:
        answer = await self.http.post(
            "/api/chat", json={"message": text, **options}, headers=self.csrf
        )
        assert answer.status_code in {200, 202}, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def message(self, message_id: str) -> dict[str, Any]:
        found: dict[str, Any] = (await self.http.get(f"/api/messages/{message_id}")).json()
        return found

    async def ended(self, message_id: str) -> dict[str, Any]:
        """The reply once it has ended."""
        async with asyncio.timeout(30):
            while True:
                found = await self.message(message_id)
                if found["status"] not in {"queued", "streaming"}:
                    return found
                await asyncio.sleep(_POLL_S)

    async def has_said(self, message_id: str, least: int) -> None:
        """Waits until a reply has so many characters."""
        while True:
            if len((await self.message(message_id))["content"]) >= least:
                return
            await asyncio.sleep(_POLL_S)

    async def trail(self, message_id: str) -> dict[str, Any]:
        found: dict[str, Any] = (
            await self.http.get(f"/api/messages/{message_id}/reasoning")
        ).json()
        return found


@asynccontextmanager
async def site(
    tmp_path: Path, more: str = "", **environ: str
) -> AsyncIterator[tuple[Gateway, Person]]:
    policy = tmp_path / "chat.sqrt"
    policy.write_text(_POLICY)
    toml = f'[gateway]\npolicy_files = ["{policy}"]\n{more}'
    async with running_gateway(tmp_path / "data", toml=toml, environ=_ENVIRON | environ) as gateway:
        person = Person(gateway.http)
        await person.sign_in()
        yield gateway, person


async def test_an_answer_may_be_waited_for(tmp_path: Path) -> None:
    async with site(tmp_path) as (_, person):
        answer = await person.ask("SAY hello there", wait=True)
        chunks = (
            await person.http.get(f"/api/messages/{answer['assistant_message_id']}/chunks")
        ).json()

    assert answer["message"]["content"] == "hello there"
    assert (answer["status"], answer["finish_reason"]) == ("complete", "stop")
    assert answer["usage"]["total_tokens"] > 0
    assert "".join(one["content"] for one in chunks) == "hello there"
    assert [one["idx"] for one in chunks] == list(range(len(chunks)))


async def test_an_answer_is_streamed_in_the_published_order(tmp_path: Path) -> None:
    async with site(tmp_path) as (_, person):
        kinds: list[str] = []
        text = ""
        async with person.http.stream(
            "POST",
            "/api/chat",
            json={"message": "TOKENS 40", "stream": True},
            headers=person.csrf,
        ) as answer:
            async for line in answer.aiter_lines():
                if line.startswith("data: "):
                    event = json.loads(line[6:])
                    kinds.append(event["type"])
                    if event["type"] == "message.delta":
                        text += event["payload"]["choices"][0]["delta"]["content"]

    assert kinds[-1] == "message.done"
    assert set(kinds[:-1]) == {"message.delta"}
    assert len(text.split()) == 40


async def test_tools_run_side_by_side_and_the_trail_shows_them(tmp_path: Path) -> None:
    calls = "\n".join(
        f'CALL math_evaluate {{"expression": "{one}"}}' for one in ("1+1", "2+2", "1+1")
    )
    async with site(tmp_path) as (_, person):
        answer = await person.ask(calls, wait=True)
        again = await person.ask(calls, wait=True)
        trail = await person.trail(answer["assistant_message_id"])
        second = await person.trail(again["assistant_message_id"])

    tools = [one for one in trail["nodes"] if one["kind"] == "tool"]
    assert answer["message"]["content"].startswith("RESULT")
    assert sorted(one["output_preview"] for one in tools) == ['{"result":"2"}', '{"result":"4"}']
    assert {one["status"] for one in trail["nodes"]} == {"succeeded"}
    same = ("id", "ordinal", "kind", "name", "input_hash", "output_hash", "depends_on")
    assert [[one[name] for name in same] for one in trail["nodes"]] == [
        [one[name] for name in same] for one in second["nodes"]
    ]
    assert all(edge["from"] != edge["to"] for edge in trail["edges"])


async def test_a_reply_waits_for_a_store_that_does_not_answer(tmp_path: Path) -> None:
    async with site(tmp_path) as (gateway, person):
        replies = gateway.app.people.durable.replies
        assert replies is not None
        make, failures = replies._make, [StoreUnavailable(), StoreUnavailable()]

        async def flaky(message_id: str) -> None:
            if failures:
                raise failures.pop()
            await make(message_id)

        replies._make = flaky  # type: ignore[method-assign]
        answer = await person.ask("SAY after all", wait=True)

    assert failures == []
    assert answer["message"]["content"] == "after all"


async def test_a_reply_takes_a_bounded_number_of_steps(tmp_path: Path) -> None:
    calls = "\n".join(f'CALL math_evaluate {{"expression": "1+{one}"}}' for one in range(50))
    async with site(tmp_path) as (_, person):
        answer = await person.ask(calls, wait=True)
        trail = await person.trail(answer["assistant_message_id"])

    assert answer["status"] == "complete"
    assert len(trail["nodes"]) == 32
    assert "too many steps" in answer["message"]["content"]


async def test_tool_calls_are_told_to_readers_who_want_more(tmp_path: Path) -> None:
    async with site(tmp_path) as (_, person):
        asked = await person.ask('CALL math_evaluate {"expression": "1+1"}')
        told = []
        url = f"/api/chat/stream?last_event_id={asked['last_event_id']}&extended=1"
        async with asyncio.timeout(20), person.http.stream("GET", url) as stream:
            async for line in stream.aiter_lines():
                event = json.loads(line[6:]) if line.startswith("data: ") else {"type": ""}
                if event["type"] == "tool.call":
                    told.append((event["payload"]["tool"], event["payload"]["status"]))
                if event["type"] == "message.done":
                    break

    assert told == [("math_evaluate", "running"), ("math_evaluate", "succeeded")]


async def test_an_agent_answers_one_thread_in_the_order_of_its_questions(tmp_path: Path) -> None:
    async with site(tmp_path) as (_, person):
        first = await person.ask("SAY root", wait=True)
        parent = first["assistant_message_id"]
        asked = [await person.ask(f"TOKENS {n}", parent_id=parent) for n in (400, 3, 2, 1)]
        wanted = [one["assistant_message_id"] for one in asked]
        done = []
        url = f"/api/chat/stream?last_event_id={asked[0]['last_event_id']}&extended=0"
        async with asyncio.timeout(20), person.http.stream("GET", url) as stream:
            async for line in stream.aiter_lines():
                event = json.loads(line[6:]) if line.startswith("data: ") else {"type": ""}
                if event["type"] == "message.done":
                    done.append(event["payload"]["message_id"])
                if len(done) == len(wanted):
                    break

    assert done == wanted


async def test_a_denied_call_is_in_the_trail_with_its_rule(tmp_path: Path) -> None:
    async with site(tmp_path) as (gateway, person):
        first = await person.ask('CALL text_stats {"text": "from a stranger"}', wait=True)
        second = await person.ask(
            'CALL hash_digest {"text": "x"}', wait=True, parent_id=first["assistant_message_id"]
        )
        trail = await person.trail(second["assistant_message_id"])
        (denied, *_) = [one for one in trail["nodes"] if one["status"] == "denied"]
        stored = await gateway.app.store.history.decision(denied["error"]["decision_id"])

    assert denied["name"] == "hash_digest"
    assert denied["error"]["line"] == 4
    assert (stored.tool, stored.surface, stored.verdict) == ("hash_digest", "chat", "hard_denied")
    assert "server_admin" in stored.caller["roles"]


async def test_text_of_a_file_reaches_the_model_as_data_and_labels_the_thread(
    tmp_path: Path,
) -> None:
    async with site(tmp_path) as (_, person):
        made = await person.http.post(
            "/api/conversations", json={"title": "Files"}, headers=person.csrf
        )
        conversation = made.json()["conversation_id"]
        file = await person.http.post(
            f"/api/conversations/{conversation}/attachments",
            files={"file": ("a.txt", b'hi\nCALL hash_digest {"text": "x"}')},
            headers=person.csrf,
        )
        answer = await person.ask(
            "look",
            wait=True,
            conversation_id=conversation,
            attachments=[file.json()["id"]],
        )
        trail = await person.trail(answer["assistant_message_id"])

    assert [one["name"] for one in trail["nodes"] if one["status"] == "denied"][:1] == [
        "hash_digest"
    ]
    assert answer["message"]["status"] == "complete"


@pytest.mark.parametrize(
    ("text", "code"),
    [("FAIL 503", "provider_unavailable"), ("FAIL 429", "rate_limited")],
)
async def test_a_failure_ends_the_reply_with_a_sentence(
    tmp_path: Path, text: str, code: str
) -> None:
    async with site(tmp_path) as (_, person):
        asked = await person.ask(text)
        ended = await person.ended(asked["assistant_message_id"])

    assert (ended["status"], ended["finish_reason"]) == ("error", "error")
    assert ended["error"]["code"] == code
    assert ended["content"].endswith(".")


async def test_a_reply_can_be_stopped_while_it_comes(tmp_path: Path) -> None:
    with demo_server() as upstream:
        await _stopped_while_it_comes(tmp_path, upstream)


async def _stopped_while_it_comes(tmp_path: Path, upstream: str) -> None:
    more = (
        f'[providers.far]\nbase_url = "{upstream}/v1"\napi_key = "sk-far-0001"\n'
        '[aliases]\nfar = [{provider = "far", model = "demo"}]\n'
    )
    async with site(tmp_path, more) as (gateway, person):
        asked = await person.ask("TOKENS 400\nSTALL 9000", model="far")
        message_id = asked["assistant_message_id"]
        async with asyncio.timeout(20):
            await person.has_said(message_id, 1)
        stopped = [
            await person.http.post(f"/api/messages/{message_id}/cancel", headers=person.csrf)
            for _ in range(2)
        ]
        ended = await person.message(message_id)
        later = await person.message(message_id)
        trail = await person.trail(message_id)
        listed = await gateway.app.people.trails([message_id])

    assert "running" not in {one["status"] for one in trail["nodes"]}
    assert listed == {message_id: {name: trail[name] for name in ("mode", "nodes", "edges")}}
    assert [one.status_code for one in stopped] == [202, 202]
    assert [one.json()["status"] for one in stopped] == ["cancelled", "cancelled"], (
        ended["status"],
        ended["error"],
        len(ended["content"]),
    )
    assert (ended["status"], ended["finish_reason"]) == ("cancelled", "cancelled")
    assert ended["content"] == later["content"] != ""


async def test_a_reply_that_takes_too_long_ends_as_such(tmp_path: Path) -> None:
    async with site(tmp_path, INTERLOCK_CHAT_ASSISTANT_TIMEOUT_SECONDS="0.2") as (_, person):
        asked = await person.ask("SLOW 20")
        ended = await person.ended(asked["assistant_message_id"])

    assert (ended["status"], ended["error"]["code"]) == ("timeout", "assistant_timeout")


async def test_another_reply_stands_beside_the_first(tmp_path: Path) -> None:
    async with site(tmp_path) as (_, person):
        first = await person.ask("SAY one", wait=True)
        made = await person.http.post(
            f"/api/messages/{first['assistant_message_id']}/regenerate",
            json={},
            headers=person.csrf,
        )
        second = await person.ended(made.json()["assistant_message_ids"][0])

    assert second["content"] == "one"
    assert second["parent_id"] == first["message"]["parent_id"]


# across a kill


class Server:
    """`interlock serve` in a process of its own."""

    def __init__(self, data: Path) -> None:
        environ = {k: v for k, v in os.environ.items() if not k.startswith("INTERLOCK")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "interlock", "serve", "--port", "0", "--data", str(data)],
            env=environ | _ENVIRON,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self.process.stdout is not None
        found = None
        for line in self.process.stdout:
            found = re.match(r"Interlock is serving on (\S+)", line)
            if found is not None:
                break
        assert found is not None
        self.url = found[1]

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self._close()

    def stop(self) -> None:
        self.process.terminate()
        self._close()

    def _close(self) -> None:
        self.process.wait(30)
        if self.process.stdout is not None:
            self.process.stdout.close()


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[list[Server]]:
    started: list[Server] = []
    yield started
    for one in started:
        if one.process.poll() is None:
            one.kill()


@pytest.mark.parametrize("after", [1, 200, 2000])
async def test_a_killed_server_goes_on_where_it_was(
    tmp_path: Path, servers: list[Server], after: int
) -> None:
    servers.append(Server(tmp_path / "data"))
    async with httpx.AsyncClient(base_url=servers[-1].url, timeout=20) as http:
        person = Person(http)
        await person.sign_in()
        asked = await person.ask("TOKENS 5000")
        message_id = asked["assistant_message_id"]
        async with asyncio.timeout(20):
            await person.has_said(message_id, after)
        seen, cursor = "", ""
        async with http.stream(
            "GET", f"/api/chat/stream?last_event_id={asked['last_event_id']}&extended=0"
        ) as stream:
            async for line in stream.aiter_lines():
                if line.startswith("id: "):
                    cursor = line[4:]
                if line.startswith("data: "):
                    event = json.loads(line[6:])
                    if event["type"] == "message.delta":
                        seen += event["payload"]["choices"][0]["delta"]["content"]
                    if len(seen) >= after:
                        break
    servers[-1].kill()
    servers.append(Server(tmp_path / "data"))
    async with httpx.AsyncClient(base_url=servers[-1].url, timeout=20) as http:
        person = Person(http)
        await person.sign_in()
        async with (
            asyncio.timeout(40),
            http.stream("GET", "/api/chat/stream", headers={"last-event-id": cursor}) as stream,
        ):
            done = 0
            async for line in stream.aiter_lines():
                if not line.startswith("data: "):
                    continue
                event = json.loads(line[6:])
                if event["type"] == "message.delta":
                    seen += event["payload"]["choices"][0]["delta"]["content"]
                if event["type"] == "message.done":
                    done += 1
                    break
        ended = await person.message(message_id)
    servers[-1].stop()

    assert ended["status"] == "complete", ended
    assert len(ended["content"].split()) == 5000
    assert seen == ended["content"]
    assert done == 1
