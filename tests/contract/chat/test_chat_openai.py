"""OpenAI-style endpoints: models, answers whole and in pieces, kept ones, errors."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from tests.support.chat_client import Answer, ChatClient
from tests.support.chat_site import PASSWORD, Browser, chat_site
from tests.support.gateway import running_gateway
from tests.support.requirements import requirement

from interlock.gateway.door import Called
from interlock.kernel.errors import ErrorKind, InterlockError
from interlock.storage.engine import Database

pytestmark = pytest.mark.anyio
COMPLETIONS = "/v1/chat/completions"
HI: dict[str, Any] = {"model": "demo", "messages": [{"role": "user", "content": "hi"}]}
NOBODY = "00000000-0000-4000-8000-000000000000"


def _chunks(answer: Answer) -> list[dict[str, Any]]:
    lines = [one for one in answer.body.decode().split("\n\n") if one]
    assert lines[-1] == "data: [DONE]"
    return [json.loads(one.removeprefix("data: ")) for one in lines[:-1]]


@requirement("chat.openai.models")
async def test_models_are_listed_under_both_keys_and_both_paths(database: Database) -> None:
    async with chat_site(database) as site:
        ann = await site.browser("ann")
        for prefix in ("/v1", "/api/v1"):
            told = (await ann.get(f"{prefix}/models")).json
            assert told["object"] == "list"
            assert told["data"] == told["models"]
            assert [one["id"] for one in told["data"]] == ["demo", "other/model"]
            one = (await ann.get(f"{prefix}/models/other/model")).json
            assert (one["id"], one["object"], one["owned_by"]) == (
                "other/model", "model", "interlock",
            )  # fmt: skip
            missing = await ann.get(f"{prefix}/models/none")
            assert (missing.status, missing.json["error"]["code"]) == (404, "model_not_found")
            nobody = await ChatClient(site.app).get(f"{prefix}/models")
            assert nobody.status == 401
            assert nobody.headers["www-authenticate"] == "session"
            assert nobody.json["error"]["type"] == "authentication_error"


@requirement("chat.openai.answers")
async def test_an_answer_comes_whole_or_in_pieces_with_the_rights_of_the_caller(
    database: Database,
) -> None:
    async with chat_site(database) as site:
        ann = await site.browser("ann")
        whole = await ann.post(COMPLETIONS, HI | {"temperature": 0.5, "logprobs": True, "n": 1})
        assert whole.status == 200, whole.body
        assert whole.json["object"] == "chat.completion"
        assert whole.json["choices"] == [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hello"},
                "finish_reason": "stop",
            }
        ]
        assert whole.json["usage"]["total_tokens"] == 3
        assert whole.json["warnings"] == ["`logprobs` is ignored"]
        key, question = site.door.asked[-1]
        assert (key.user_email, key.surface, question.options) == (
            "ann@example.com", "chat", {"temperature": 0.5},
        )  # fmt: skip

        streamed = await ann.post(
            "/api/v1/chat/completions", HI | {"stream": True, "user": "x"}, stays=True
        )
        assert streamed.headers["content-type"].startswith("text/event-stream")
        chunks = _chunks(streamed)
        assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
        assert chunks[0]["warnings"] == ["`user` is ignored"]
        text = "".join(one["choices"][0]["delta"].get("content", "") for one in chunks)
        assert text == "Hello"
        assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
        assert chunks[-1]["usage"]["total_tokens"] == 3
        assert len({one["id"] for one in chunks}) == 1

        site.door.calls = (Called(id="c1", name="look", arguments="{}"),)
        called = (await ann.post(COMPLETIONS, HI)).json["choices"][0]
        assert called["finish_reason"] == "tool_calls"
        assert called["message"]["tool_calls"][0]["function"] == {"name": "look", "arguments": "{}"}

        secret = await site.key("ann")
        bearer = ChatClient(site.app, {"authorization": f"Bearer {secret}"})
        assert (await bearer.post(COMPLETIONS, HI)).status == 200
        assert site.door.asked[-1][0].label == "a key"
        without = await ann.post(COMPLETIONS, HI, headers={"x-csrf-token": ""})
        assert (without.status, without.json["error"]["code"]) == (403, "csrf_failed")
        for scope in ("provider:openai", "endpoint:chat"):
            limited = await site.key("ann", scopes=frozenset({scope}))
            told = await ChatClient(site.app, {"authorization": f"Bearer {limited}"}).post(
                COMPLETIONS, HI
            )
            assert (told.status, told.json["error"]["type"]) == (403, "permission_error")


@requirement("chat.openai.errors")
async def test_errors_have_the_shape_of_that_api(database: Database) -> None:
    async with chat_site(database, default_rps=0.001, burst=20) as site:
        ann = await site.browser("ann")
        for body, param in (
            ({}, "model"),
            ({"model": "demo"}, "messages"),
            ({"model": "demo", "messages": []}, "messages"),
            ({"model": "demo", "messages": [{"role": "king", "content": "x"}]}, "messages.0.role"),
            (HI | {"n": 2}, "n"),
            (HI | {"metadata": {"rustygpt": {"conversation_id": "x"}}}, None),
        ):
            told = await ann.post(COMPLETIONS, body)
            assert told.status == 400, told.body
            error = told.json["error"]
            assert set(error) == {"message", "type", "param", "code"}
            assert error["type"] == "invalid_request_error"
            assert param is None or error["param"] == param
        garbled = await ann.send("POST", COMPLETIONS, raw=b"{")
        assert (garbled.status, garbled.json["error"]["code"]) == (400, "invalid_request")
        site.door.pieces = []
        site.door.fails = InterlockError(
            "the provider is away", kind=ErrorKind.UPSTREAM, code="provider_error"
        )
        for stream in (False, True):
            failed = await ann.post(COMPLETIONS, HI | {"stream": stream}, stays=True)
            assert (failed.status, failed.json["error"]["code"]) == (502, "provider_error")
        site.door.pieces = ["so far"]
        cut = await ann.post(COMPLETIONS, HI | {"stream": True}, stays=True)
        assert cut.status == 200
        assert _chunks(cut)[-1]["error"]["code"] == "provider_error"
        while (refused := await ann.get("/v1/models")).status == 200:
            pass
        assert (refused.status, refused.json["error"]["type"]) == (429, "rate_limit_error")
        assert int(refused.headers["retry-after"]) >= 1
        assert refused.headers["x-ratelimit-profile"] == "default"


async def _room(ann: Browser) -> tuple[str, str]:
    made = (await ann.post("/api/conversations", {"title": "x"})).json["conversation_id"]
    root = (await ann.post(f"/api/threads/{made}/root", {"content": "first"})).json["root_id"]
    return made, root


def _kept(conversation: str, parent: str) -> dict[str, Any]:
    return {
        "metadata": {"rustygpt": {"conversation_id": conversation, "parent_message_id": parent}}
    }


@requirement("chat.openai.kept")
async def test_a_kept_question_and_its_answer_show_up_in_the_thread_and_on_its_streams(
    database: Database,
) -> None:
    async with chat_site(database) as site:
        ann = await site.browser("ann")
        bob = await site.browser("bob")
        conversation, root = await _room(ann)
        stream = ann.stream(f"/api/stream/conversations/{conversation}")
        await stream.start()
        for streamed in (False, True):
            told = await ann.post(
                COMPLETIONS, HI | _kept(conversation, root) | {"stream": streamed}, stays=True
            )
            assert told.status == 200, told.body
        frames = await stream.until("message.done", 2)
        said = "".join(
            one.data["payload"]["choices"][0]["delta"]["content"]
            for one in frames
            if one.event == "message.delta"
        )
        assert said == "HelloHello"
        tree = (await ann.get(f"/api/threads/{root}/tree")).json["messages"]
        by_id = {one["id"]: one for one in tree}
        answers = [one for one in tree if one["role"] == "assistant" and one["content"]]
        assert [(one["content"], one["status"], one["model"]) for one in answers] == [
            ("Hello", "complete", "demo")
        ] * 2
        for one in answers:
            question = by_id[one["parent_id"]]
            assert (question["content"], question["parent_id"]) == ("hi", root)
        places = {one.place for _, one in site.door.asked}
        assert places == {f"conversation:{conversation}:{root}"}

        site.door.fails = InterlockError("no", kind=ErrorKind.UPSTREAM, code="provider_error")
        assert (await ann.post(COMPLETIONS, HI | _kept(conversation, root))).status == 502
        failed = (await ann.get(f"/api/threads/{root}/tree")).json["messages"]
        assert [one["error"]["code"] for one in failed if one["error"]] == ["provider_error"]

        count = len(site.door.asked)
        for client, body, status in (
            (bob, HI | _kept(conversation, root), 403),
            (ann, HI | _kept(NOBODY, root), 400),
            (ann, HI | _kept(conversation, NOBODY), 404),
            (
                ann,
                HI
                | _kept(conversation, root)
                | {"messages": [{"role": "assistant", "content": "x"}]},
                400,
            ),
        ):
            told = await client.post(COMPLETIONS, body)
            assert (told.status, set(told.json)) == (status, {"error"}), told.body
        assert len(site.door.asked) == count
        await stream.close()


@requirement("chat.openai.kept")
async def test_going_away_stops_the_call_and_ends_the_kept_answer(database: Database) -> None:
    async with chat_site(database) as site:
        ann = await site.browser("ann")
        conversation, root = await _room(ann)
        site.door.waits = asyncio.Event()
        body = HI | _kept(conversation, root) | {"stream": True}
        sending = asyncio.create_task(ann.post(COMPLETIONS, body))
        async with asyncio.timeout(5):
            await site.door.stopped.wait()
            await sending
        tree = (await ann.get(f"/api/threads/{root}/tree")).json["messages"]
        ended = [one for one in tree if one["role"] == "assistant" and one["finish_reason"]]
        assert [(one["status"], one["finish_reason"]) for one in ended] == [
            ("cancelled", "cancelled")
        ]


@requirement("chat.openai.answers")
async def test_a_real_server_answers_through_its_gateway(tmp_path: Path) -> None:
    environ = {
        "INTERLOCK_ADMIN_EMAIL": "root@example.com",
        "INTERLOCK_ADMIN_PASSWORD": PASSWORD,
    }
    async with running_gateway(tmp_path / "data", environ=environ) as gateway:
        http = gateway.http
        login = await http.post(
            "/api/auth/login", json={"email": "root@example.com", "password": PASSWORD}
        )
        headers = {"x-csrf-token": login.json()["csrf_token"]}
        models = (await http.get("/v1/models")).json()["data"]
        assert models
        body = {"model": "demo", "messages": [{"role": "user", "content": "hi"}]}
        told = await http.post(COMPLETIONS, json=body, headers=headers)
        assert told.status_code == 200, told.text
        assert told.json()["choices"][0]["message"]["content"]
        streamed = await http.post(COMPLETIONS, json=body | {"stream": True}, headers=headers)
        assert streamed.text.endswith("data: [DONE]\n\n")
        bad: list[dict[str, Any]] = [
            {"model": "demo", "messages": [{"role": "tool", "content": "x"}]},
            {"model": "demo", "messages": [{"role": "user", "content": [{"type": "?"}]}]},
            {"model": "demo", "messages": [{"role": "user", "content": []}]},
            {"model": "demo", "messages": [{"role": "user", "content": None}]},
            {"model": "demo", "messages": [{"role": "user", "content": "x"}], "tools": [{}]},
            {"model": "demo", "messages": [{"role": "user", "content": "x"}], "tool_choice": "?"},
            {"model": "demo", "messages": [{"role": "user", "content": "\ud800"}]},
            {"model": "no/such", "messages": [{"role": "user", "content": "x"}]},
            {"model": "x\u0000", "messages": [{"role": "user", "content": "x"}]},
            {"model": "demo", "messages": [{"role": "assistant", "tool_calls": 3}]},
        ]
        for one in bad:
            raw = json.dumps(one).encode()
            told = await http.post(
                COMPLETIONS, content=raw, headers=headers | {"content-type": "application/json"}
            )
            assert told.status_code < 500, (one, told.text)
            assert told.status_code == 200 or set(told.json()) == {"error"}
