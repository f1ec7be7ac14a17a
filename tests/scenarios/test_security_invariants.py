"""Tries to break what must always hold (architecture.md, section 9)."""

import itertools
import json
import logging
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.fault_site import WIRES, FaultSite, Outcome, running_fault_site

from interlock.gateway.history import DecisionFilter, History
from interlock.gateway.roles import Roles
from interlock.identity.model import Actor, KeySpec
from interlock.policy.compiled import CompiledPolicy
from interlock.policy.guards import Guards

pytestmark = pytest.mark.anyio

_ADMIN = Actor(name="test", surface="server")
_STREAMS = (False, True)
_URLS = {"content_blockers": [{"name": "url_blocker"}]}


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """One event loop for the module, because the server lives in it."""
    return "asyncio"


@pytest.fixture(scope="module")
async def site(
    anyio_backend: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[FaultSite]:
    async with running_fault_site(tmp_path_factory.mktemp("invariants"), quick=False) as running:
        yield running


def _tools(wire: str) -> list[dict[str, Any]]:
    schema = {"type": "object", "properties": {"to": {"type": "string"}}}
    if wire == "chat":
        return [{"type": "function", "function": {"name": "send_email", "parameters": schema}}]
    if wire == "messages":
        return [{"name": "send_email", "input_schema": schema}]
    return [{"type": "function", "name": "send_email", "parameters": schema}]


async def _call(site: FaultSite, wire: str, **more: Any) -> Outcome:
    return await site.ask(
        wire,
        wire,
        "demo",
        text='CALL send_email {"to": "eve@evil.example"}',
        **{"tools": _tools(wire), **more},
    )


async def _verdicts(site: FaultSite, outcome: Outcome) -> set[tuple[str, str]]:
    assert await site.gateway.app.store.recorder.flush(wait_s=5.0)
    page = await History(site.gateway.app.store.database).decisions(
        DecisionFilter(session_id=outcome.headers["x-session-id"]), limit=50
    )
    return {(record.verdict, record.reason) for record in page.decisions}


# 1: no tool call leaves undecided.


@pytest.mark.parametrize("error", [RuntimeError, TimeoutError, RecursionError, KeyError])
@pytest.mark.parametrize("where", ["policy", "guards"])
@pytest.mark.parametrize("stream", _STREAMS)
async def test_a_decision_that_fails_is_a_denial(
    site: FaultSite,
    monkeypatch: pytest.MonkeyPatch,
    error: type[Exception],
    where: str,
    stream: bool,
) -> None:
    def fail(*args: object, **named: object) -> None:
        raise error("the engine broke")

    if where == "policy":
        monkeypatch.setattr(CompiledPolicy, "decide", fail)
    else:
        monkeypatch.setattr(Guards, "check_arguments", fail)
    headers = {"x-features": json.dumps(_URLS)} if where == "guards" else {}

    for wire in WIRES:
        outcome = await _call(site, wire, stream=stream, headers=headers)

        assert "'send_email' is denied" in outcome.text
        assert b"tc-" not in outcome.raw
        assert b"the engine broke" not in outcome.raw
        assert await _verdicts(site, outcome) == {("hard_denied", "error")}


@pytest.mark.parametrize("stream", _STREAMS)
async def test_a_judging_model_that_does_not_answer_is_a_denial(
    site: FaultSite, monkeypatch: pytest.MonkeyPatch, stream: bool
) -> None:
    async def silent(*args: object, **named: object) -> None:
        raise TimeoutError

    monkeypatch.setattr(Roles, "tag", silent)
    monkeypatch.setattr(Guards, "check_arguments", _undecided(Guards.check_arguments))

    for wire in WIRES:
        outcome = await _call(site, wire, stream=stream, headers={"x-features": json.dumps(_URLS)})

        assert "'send_email' is denied" in outcome.text
        assert b"tc-" not in outcome.raw


def _undecided(real: Any) -> Any:
    """Guards that leave something to a model."""

    def check(self: Guards, tool: str, args: dict[str, Any]) -> Any:
        verdict = real(self, tool, args)

        class Undecided:
            undecided = ("anything",)

        return Undecided() if not verdict.undecided else verdict

    return check


async def test_an_offer_that_cannot_be_decided_is_refused(
    site: FaultSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object, **named: object) -> None:
        raise RuntimeError("the engine broke")

    monkeypatch.setattr(CompiledPolicy, "decide", fail)
    site.upstream.calls.clear()

    outcome = await site.ask("responses", "responses", "demo", tools=[{"type": "web_search"}])

    assert outcome.error == "400 invalid_request_error tool_denied"
    assert not site.upstream.calls


@pytest.mark.parametrize("wire", WIRES)
async def test_a_result_that_cannot_be_labelled_does_not_reach_the_model(
    site: FaultSite, monkeypatch: pytest.MonkeyPatch, wire: str
) -> None:
    first = await _call(site, wire)
    call_id = _call_id(wire, first)
    site.upstream.calls.clear()

    def fail(*args: object, **named: object) -> None:
        raise RuntimeError("the engine broke")

    monkeypatch.setattr(CompiledPolicy, "result", fail)
    outcome = await site.ask(wire, wire, "demo", **_answering(wire, call_id))

    assert outcome.error == "500 api_error internal_error"
    assert b"the engine broke" not in outcome.raw
    assert not site.upstream.calls
    assert [
        row["status"] for row in (await site.usage([outcome.request_id]))[outcome.request_id]
    ] == [500]


def _call_id(wire: str, outcome: Outcome) -> str:
    tree = json.loads(outcome.raw)
    if wire == "chat":
        found = tree["choices"][0]["message"]["tool_calls"][0]["id"]
    elif wire == "messages":
        found = next(block["id"] for block in tree["content"] if block["type"] == "tool_use")
    else:
        found = next(i["call_id"] for i in tree["output"] if i["type"] == "function_call")
    assert isinstance(found, str)
    assert found.startswith("tc-")
    return found


def _answering(wire: str, call_id: str) -> dict[str, Any]:
    """A request that brings the result of a call."""
    asked = {"role": "user", "content": "send it"}
    tools = _tools(wire)
    if wire == "chat":
        call = {"id": call_id, "type": "function"}
        call["function"] = {"name": "send_email", "arguments": "{}"}  # type: ignore[assignment]
        said = {"role": "assistant", "content": None, "tool_calls": [call]}
        result = {"role": "tool", "tool_call_id": call_id, "content": "sent"}
        return {"messages": [asked, said, result], "tools": tools}
    if wire == "messages":
        use = {"type": "tool_use", "id": call_id, "name": "send_email", "input": {}}
        result = {"type": "tool_result", "tool_use_id": call_id, "content": "sent"}
        return {
            "messages": [
                asked,
                {"role": "assistant", "content": [use]},
                {"role": "user", "content": [result]},
            ],
            "tools": tools,
        }
    use = {"type": "function_call", "call_id": call_id, "name": "send_email", "arguments": "{}"}
    result = {"type": "function_call_output", "call_id": call_id, "output": "sent"}
    return {"input": [asked, use, result], "tools": tools}


# 4: no key in any log, error, record, metric or file.

_SERVER = "quartz/Server+4711/never-to-be-shown"
_BYOK = "marble/Caller+0815/never-to-be-shown"
_STORED = "basalt/Stored+2342/never-to-be-shown"
_WRONG = "sq-onyx-Wrong-9001-never-to-be-shown"
_COOKIE = "granite-Cookie-1701-never-to-be-shown"
_SECRETS = (_SERVER, _BYOK, _STORED, _WRONG, _COOKIE)


async def test_no_secret_is_in_anything_that_is_kept_or_shown(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    shown: dict[str, bytes] = {}
    more = f'api_key = "{_SERVER}"'
    async with running_fault_site(tmp_path, more=more) as site:
        gateway = site.gateway
        made = await gateway.app.store.admin.create_key(
            KeySpec(label="own credential", provider_credentials={"chat": _STORED}), _ADMIN
        )
        tokens = (gateway.key, made.token)
        callers: list[dict[str, str]] = [
            {},
            {"x-api-key": _BYOK},
            {"authorization": f"Bearer {made.token}"},
            {"authorization": f"Bearer {_WRONG}"},
            {"authorization": f"Basic {_WRONG}"},
            {"cookie": f"session={_COOKIE}"},
        ]
        models = ("demo", "parrot.400", "parrot.401", "parrot.500", "parrot.200", "cut.text")
        for (number, headers), wire in itertools.product(enumerate(callers), WIRES):
            for model, stream in itertools.product(models, _STREAMS):
                outcome = await site.ask(wire, wire, model, stream=stream, headers=headers)
                name = f"answer to caller {number}: {wire} {model} {stream}"
                shown[name] = outcome.raw + repr(dict(outcome.headers)).encode()
            called = await _call(site, wire, headers=headers)
            shown[f"call of caller {number}: {wire}"] = called.raw
        assert {call.headers.get("authorization") for call in site.upstream.calls} >= {
            f"Bearer {_SERVER}",
            f"Bearer {_BYOK}",
        }
        for path in ("/metrics", "/control/health", "/health", "/control"):
            shown[path] = (await gateway.http.get(path)).content
        assert await gateway.app.store.recorder.flush(wait_s=5.0)
        shown["objects"] = repr((gateway.app, gateway.app.store)).encode()
        kept = {
            path.name: path.read_bytes()
            for path in tmp_path.rglob("*")
            if path.is_file() and path.name not in {"interlock.toml", "secret.key"}
        }
        shown["log"] = caplog.text.encode()
        shown["output"] = "".join(capfd.readouterr()).encode()
        caplog.clear()

    assert "interlock.db" in kept
    everything = shown | kept
    leaks = {
        (secret, name)
        for secret in (*_SECRETS, *tokens)
        for name, data in everything.items()
        if secret.encode() in data or secret[6:-6].encode() in data
    }
    assert leaks == set()


# 5: somebody else's ids are like ids that do not exist.


@pytest.mark.parametrize("wire", WIRES)
async def test_the_ids_of_another_account_are_like_ids_that_do_not_exist(
    site: FaultSite, wire: str
) -> None:
    admin = site.gateway.app.store.admin
    await admin.create_user(f"eve-{wire}@example.com", _ADMIN)
    eve = await admin.create_key(KeySpec(label="eve"), _ADMIN, user=f"eve-{wire}@example.com")
    as_eve = {"authorization": f"Bearer {eve.token}"}
    mine = await _call(site, wire)
    call_id, session_id = _call_id(wire, mine), mine.headers["x-session-id"]
    nobody, unused = str(uuid.uuid4()), str(uuid.uuid4())
    unknown_call = f"tc-{nobody}-{unused}"

    async def both(known: str, unknown: str, **more: Any) -> None:
        """The same request with the known id and with one nobody has."""
        headers = {**as_eve, **more.pop("headers", {})}
        seen = []
        for item in (known, unknown):
            filled = json.loads(json.dumps([headers, more]).replace("$ID", item))
            outcome = await site.ask(wire, wire, "demo", headers=filled[0], **filled[1])
            text = outcome.raw.decode().replace(outcome.request_id, "REQUEST").replace(item, "ID")
            text = text.replace(item[3:39], "SESSION")
            kept = {name for name in outcome.headers if name != "date"}
            seen.append((outcome.status, text, kept))
        assert seen[0] == seen[1]
        assert seen[0][0] == 404

    await both(session_id, nobody, headers={"x-session-id": "$ID"})
    await both(call_id, unknown_call, **_answering(wire, "$ID"))
    if wire == "responses":
        response_id = json.loads(mine.raw)["id"]
        strange = f"resp_{uuid.uuid4().hex}"
        await both(response_id, strange, previous_response_id="$ID")
        for method, tail in (("GET", ""), ("DELETE", ""), ("GET", "/input_items")):
            answers = []
            for item in (response_id, strange):
                path = f"{site.path('responses', 'responses')}/{item}{tail}"
                answer = await site.gateway.http.request(method, path, headers=as_eve)
                told = answer.json()
                told.pop("request_id")
                answers.append((answer.status_code, json.dumps(told).replace(item, "ID")))
            assert answers[0] == answers[1]
            assert answers[0][0] == 404
        own = f"{site.path('responses', 'responses')}/{response_id}"
        key = {"authorization": f"Bearer {site.gateway.key}"}
        assert (await site.gateway.http.get(own, headers=key)).status_code == 200
