"""What people complain about with today's gateways, one test each: it cannot happen here."""

import asyncio
import gc
import itertools
import json
import re
import sqlite3
import sys
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest
from tests.support.fault_site import TEXT, WIRES, FaultSite, request, running_fault_site
from tests.support.faulty_upstream import MARK
from tests.support.raw_client import post, raw_client

import interlock
from interlock.app import build
from interlock.app_settings import load_settings
from interlock.gateway.recorder.sink import SinkUnavailableError
from interlock.identity.model import Actor, KeySpec
from interlock.storage.engine import Database
from interlock.storage.errors import SchemaError, StoreUnavailable
from interlock.storage.migrate import migrate
from interlock.storage.schema import metadata

pytestmark = pytest.mark.anyio

_PAIRS = [*itertools.product(WIRES, WIRES)]
_PRICES = "prices = { demo = { input = 1.0, output = 2.0 } }"
_TOML = "[keys]\nwait_s = 0.2\nquery_s = 0.2\n[recorder]\nread_s = 0.2\nretry_s = 0.05\n"
_ADMIN = Actor(name="test", surface="server")


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """One event loop for the module, because the server lives in it."""
    return "asyncio"


@pytest.fixture(scope="module")
async def site(
    anyio_backend: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[FaultSite]:
    data = tmp_path_factory.mktemp("complaints")
    async with running_fault_site(data, models=["cut.text"], toml=_TOML, more=_PRICES) as running:
        yield running


# Streamed calls are metered as nothing.


@pytest.mark.parametrize(("client", "upstream"), _PAIRS)
async def test_streamed_calls_are_not_metered_as_zero(
    site: FaultSite, client: str, upstream: str
) -> None:
    whole = await site.ask(client, upstream, "demo")
    streamed = await site.ask(client, upstream, "demo", stream=True)

    found = await site.usage([whole.request_id, streamed.request_id])
    columns = ("input_tokens", "output_tokens", "cost", "estimated", "status")
    ((first,), (second,)) = found.values()
    assert [first[name] for name in columns] == [second[name] for name in columns]
    assert first["output_tokens"] > 0
    assert first["cost"] == pytest.approx(
        (first["input_tokens"] + 2 * first["output_tokens"]) / 1e6
    )
    assert (first["estimated"], first["stream"], second["stream"]) == (0, 0, 1)


@pytest.mark.parametrize("upstream", WIRES)
async def test_usage_is_asked_for_and_hidden_from_a_client_that_did_not_ask(
    site: FaultSite, upstream: str
) -> None:
    silent = await site.ask("chat", upstream, "demo", stream=True)
    asked = site.upstream.calls[-1]
    curious = await site.ask(
        "chat", upstream, "demo", stream=True, stream_options={"include_usage": True}
    )

    if upstream == "chat":
        assert asked.body["stream_options"] == {"include_usage": True}
    assert not any(event.get("usage") for event in silent.events)
    assert all(event["choices"] for event in silent.events)
    assert curious.events[-1]["usage"]["completion_tokens"] > 0
    assert silent.text == curious.text == TEXT


# The store is slow or down: keys become invalid, traffic stops.


@asynccontextmanager
async def _store(site: FaultSite, trouble: str) -> AsyncIterator[None]:
    """The relational store refuses, or never answers."""
    await site.healthy()
    store = site.gateway.app.store

    @asynccontextmanager
    async def broken(*, write: bool) -> AsyncIterator[Any]:
        if trouble == "blocks":
            await asyncio.Event().wait()
        raise StoreUnavailable
        yield write

    def refuse(*args: object, **named: object) -> None:
        raise SinkUnavailableError("no store")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store.database, "_connect", broken)
        patch.setattr(store.recorder._sink, "write", refuse)
        patch.setattr(store.recorder._sink, "position", refuse)
        yield


@pytest.mark.parametrize("trouble", ["refuses", "blocks"])
@pytest.mark.parametrize("stream", [False, True])
async def test_a_store_that_is_away_does_not_stop_known_keys(
    site: FaultSite, trouble: str, stream: bool
) -> None:
    async with _store(site, trouble):
        outcomes = [await site.ask(*pair, "demo", stream=stream) for pair in _PAIRS]
        rejected = [
            await site.ask(wire, wire, "demo", headers={"authorization": "Bearer sq-nobody-knows"})
            for wire in WIRES
        ]
        lost = await site.ask(
            "chat", "chat", "demo", headers={"x-session-id": "0e7c7f0e-6c56-11f0-9d2a-8b7f4f1f2a10"}
        )
        health = await site.gateway.http.get("/control/health")

    assert [(o.status, o.text) for o in outcomes] == [(200, TEXT)] * len(_PAIRS)
    # Only what really needs the store is told to come again; nothing is called invalid.
    assert {o.error.split(" ")[0] for o in (*rejected, lost)} == {"503"}
    assert health.status_code == 503
    # What was counted meanwhile is there when the store is back.
    found = await site.usage(o.request_id for o in outcomes)
    assert [len(rows) for rows in found.values()] == [1] * len(_PAIRS)
    unknown = await site.ask("chat", "chat", "demo", headers={"authorization": "Bearer sq-nobody"})
    assert unknown.error == "401 authentication_error invalid_api_key"


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("stream", [False, True])
async def test_a_store_that_is_away_does_not_let_denied_calls_through(
    site: FaultSite, wire: str, stream: bool
) -> None:
    async with _store(site, "refuses"):
        outcome = await _with_tool(site, wire, stream=stream, policy=_DENY)

    assert outcome.status == 200
    assert "'send_email' is denied" in outcome.text
    assert b"tc-" not in outcome.raw


# A migration failed half-way and the server starts anyway.


def _damage(data: Path, damage: str) -> None:
    path = data / "interlock.db"
    if damage == "no database":
        path.write_bytes(b"this is a text file, and not a short one at all. " * 400)
        return
    with closing(sqlite3.connect(path)) as store, store:
        if damage == "half migrated":
            store.execute("DELETE FROM schema_marker")
            store.execute("INSERT INTO schema_marker VALUES ('r0001', 1.0)")
        elif damage == "a table is missing":
            store.execute("DROP TABLE decisions")
        elif damage == "a column is missing":
            store.execute("ALTER TABLE usage_records DROP COLUMN estimated")
        else:
            store.execute("UPDATE schema_revision SET version_num = 'r9999'")


_DAMAGES = {
    "half migrated": "interrupted",
    "a table is missing": "decisions",
    "a column is missing": "estimated",
    "a newer version": "r9999",
    "no database": "no database",
}


@pytest.mark.parametrize("damage", _DAMAGES)
async def test_a_server_refuses_a_store_that_is_not_as_it_should_be(
    tmp_path: Path, damage: str
) -> None:
    migrate(Database(f"sqlite:///{tmp_path / 'interlock.db'}"), metadata)
    _damage(tmp_path, damage)

    with pytest.raises((SchemaError, StoreUnavailable), match=_DAMAGES[damage]):
        async with build(load_settings(data=tmp_path, environ={}).settings).running():
            pytest.fail("it started")


async def test_the_command_that_serves_says_what_is_wrong_with_the_store(tmp_path: Path) -> None:
    async def start(data: Path) -> tuple[int | None, str]:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "interlock", "serve", "--data", str(data), "--port", "0",
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        try:
            async with asyncio.timeout(60):
                said, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        return process.returncode, said.decode()

    migrate(Database(f"sqlite:///{tmp_path / 'interlock.db'}"), metadata)
    _damage(tmp_path, "half migrated")

    code, said = await start(tmp_path)

    assert code == 1
    assert said.startswith("error: the migration `r0001` was interrupted")
    assert "hint: " in said
    assert "serving on" not in said
    assert "Traceback" not in said


# A policy or guard silently does not apply: to provider-run tools, to streams.

_DENY = 'tool "send_email" { hard deny always; }'


def _tools(wire: str, *names: str) -> list[dict[str, Any]]:
    schema = {"type": "object", "properties": {"to": {"type": "string"}}}
    if wire == "chat":
        return [
            {"type": "function", "function": {"name": name, "parameters": schema}} for name in names
        ]
    if wire == "messages":
        return [{"name": name, "input_schema": schema} for name in names]
    return [{"type": "function", "name": name, "parameters": schema} for name in names]


async def _with_tool(
    site: FaultSite,
    wire: str,
    *,
    stream: bool,
    policy: str = "",
    features: dict[str, Any] | None = None,
    to: str = "eve@evil.example",
    upstream: str | None = None,
) -> Any:
    headers = {"x-policy": json.dumps({"codes": {"code": policy}})} if policy else {}
    if features is not None:
        headers["x-features"] = json.dumps(features)
    return await site.ask(
        wire,
        upstream or wire,
        "demo",
        stream=stream,
        headers=headers,
        text=f'CALL send_email {{"to": "{to}"}}',
        tools=_tools(wire, "send_email"),
    )


_HOSTED = {
    "chat": {"type": "web_search", "name": "web_search"},
    "messages": {"type": "web_search_20250305", "name": "web_search"},
    "responses": {"type": "web_search"},
}


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("stream", [False, True])
async def test_a_policy_applies_to_tools_the_provider_runs_itself(
    site: FaultSite, wire: str, stream: bool
) -> None:
    site.upstream.calls.clear()
    policy = 'tool "web_search" { hard deny always; }'
    headers = {"x-policy": json.dumps({"codes": {"code": policy}})}

    outcome = await site.ask(
        wire, wire, "demo", stream=stream, headers=headers, tools=[_HOSTED[wire]]
    )

    assert outcome.error == "400 invalid_request_error tool_denied"
    assert b"web_search" in outcome.raw
    assert not site.upstream.calls


@pytest.mark.parametrize(("client", "upstream"), _PAIRS)
@pytest.mark.parametrize("stream", [False, True])
async def test_guards_apply_to_streamed_calls_as_to_whole_ones(
    site: FaultSite, client: str, upstream: str, stream: bool
) -> None:
    features = {"content_blockers": [{"name": "url_blocker"}]}

    denied = await _with_tool(
        site,
        client,
        stream=stream,
        features=features,
        to="https://evil.example/x",
        upstream=upstream,
    )
    rewritten = await _with_tool(
        site,
        client,
        stream=stream,
        features=features,
        to="look at https://evil.example/x please",
        upstream=upstream,
    )

    assert "'send_email' is denied" in denied.text
    assert b"tc-" not in denied.raw
    assert b"tc-" in rewritten.raw
    assert b"BLOCKED:URL" in rewritten.raw
    assert b"https://evil.example" not in rewritten.raw


# Answers leak from one key to another through a cache.


@pytest.mark.parametrize("wire", WIRES)
async def test_an_answer_is_never_given_to_another_key(site: FaultSite, wire: str) -> None:
    admin = site.gateway.app.store.admin
    other = await admin.create_key(KeySpec(label=f"other {wire}"), _ADMIN)
    site.upstream.calls.clear()

    mine = await site.ask(wire, wire, "demo")
    again = await site.ask(wire, wire, "demo")
    theirs = await site.ask(wire, wire, "demo", headers={"authorization": f"Bearer {other.token}"})

    assert len(site.upstream.calls) == 3
    sessions = {o.headers["x-session-id"] for o in (mine, again, theirs)}
    assert len(sessions) == 3


# Memory grows with uptime.

_ROUNDS = 600
_SMALL = 40
_BOUNDS = {
    "interlock.gateway.responses._CACHED": _SMALL,
    "interlock.gateway.rules._CACHED": _SMALL,
    "interlock.gateway.counters._MAX_BOUND": _SMALL,
    "interlock.gateway.policies.request_texts._KNOWN": _SMALL,
    "interlock.gateway.policies.request_texts._PENDING": _SMALL,
    "interlock.gateway.pinning._SCOPES": _SMALL,
    "interlock.gateway.pinning._DIGESTS": _SMALL,
    "interlock.limits.service._CAPACITY": _SMALL,
    "interlock.providers.router._MAX_LANES": _SMALL,
    "interlock.providers.directory._CACHE_SIZE": _SMALL,
    "interlock.telemetry.metrics._MAX_SERIES": _SMALL,
}


def _containers(root: object) -> dict[int, tuple[str, int]]:
    """Sizes of all containers that hang on an object or a module, with the path to each."""
    found: dict[int, tuple[str, int]] = {}
    todo: deque[tuple[object, str]] = deque([(root, "app")])
    for name, module in list(sys.modules.items()):
        if name.startswith("interlock."):
            todo.extend((member, f"{name}.{key}") for key, member in vars(module).items())
    skipped = (type, type(gc), type(_containers))
    while todo:
        item, path = todo.popleft()
        if id(item) in found or isinstance(item, skipped):
            continue
        size = len(item) if isinstance(item, dict | list | set | deque) else 0
        found[id(item)] = (path, size)
        name = type(item).__name__
        todo.extend((child, f"{path}>{name}"[-200:]) for child in gc.get_referents(item))
    return found


async def test_memory_does_not_grow_with_uptime(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, size in _BOUNDS.items():
        monkeypatch.setattr(name, size)
    toml = f"[keys]\ncapacity = {_SMALL}\nnegative_capacity = {_SMALL}\n"
    async with running_fault_site(tmp_path, toml=toml, quick=False) as site:
        gateway = site.gateway
        gateway.app.hot._configs._half_entries = _SMALL
        gateway.app.dual._sessions._capacity = _SMALL
        tokens = [
            (await gateway.app.store.admin.create_key(KeySpec(label=f"key {n}"), _ADMIN)).token
            for n in range(60)
        ]
        await _everything_different(site, tokens, 0, 60)
        assert await gateway.app.store.recorder.flush(wait_s=5.0)
        before = _containers(gateway.app)
        await _everything_different(site, tokens, 60, _ROUNDS)
        assert await gateway.app.store.recorder.flush(wait_s=5.0)
        site.upstream.calls.clear()
        after = _containers(gateway.app)

    grown = {
        path: (before.get(key, ("", 0))[1], size)
        for key, (path, size) in after.items()
        if size - before.get(key, ("", 0))[1] > _ROUNDS // 2
    }
    assert grown == {}


async def _everything_different(site: FaultSite, tokens: list[str], first: int, end: int) -> None:
    """Requests that have nothing in common: key, model, policy, session, tools, path."""
    async with raw_client(site.gateway.base_url) as client:
        for number in range(first, end):
            wire = WIRES[number % 3]
            policy = f'tool "tool_{number}" {{ hard deny always; }}'
            headers = {"x-policy": json.dumps({"codes": {"code": policy}})}
            if number % 5 == 0:
                headers["x-session-id"] = f"0e7c7f0e-6c56-11f0-9d2a-{number:012x}"
            if wire == "messages":
                headers["anthropic-beta"] = f"beta-{number}"
            body = request(
                wire,
                f"model-{number}",
                text=f'CALL other_{number} {{"to": "x"}}',
                tools=_tools(wire, f"tool_{number}", f"other_{number}"),
                stream=number % 2 == 0,
            )
            key = f"sq-unknown-{number}" if number % 7 == 0 else tokens[number % len(tokens)]
            path = site.path(wire, wire) + f"?x={number}"
            await client.send(post(path, body, key=key, headers=headers))
            answer = await client.answer()
            assert answer.status in {200, 401, 404}, answer


# A fallback answers after the first token, so that text comes twice.


@pytest.mark.parametrize(("client", "upstream"), _PAIRS)
async def test_no_fallback_repeats_or_garbles_what_was_said(
    site: FaultSite, client: str, upstream: str
) -> None:
    site.upstream.calls.clear()

    outcome = await site.ask(client, upstream, f"spare-{upstream}-cut.text", stream=True)

    assert outcome.text == MARK
    assert [call.model for call in site.upstream.calls] == ["cut.text"]


# Features stand behind a licence switch.

_PAYWALL = re.compile(
    r"licen[cs]e_?(key|check|server|tier)|feature_?gate|enterprise|premium|paid_?plan|trial|subscription_?(plan|tier|level)|entitle",
    re.I,
)


def test_nothing_stands_behind_a_licence_switch(tmp_path: Path) -> None:
    settings = load_settings(data=tmp_path, environ={})
    assert not [value.key for value in settings.values() if _PAYWALL.search(value.key)]

    def lines() -> Iterator[str]:
        for path in Path(interlock.__file__).parent.rglob("*.py"):
            for number, line in enumerate(path.read_text().splitlines(), 1):
                if _PAYWALL.search(line):
                    yield f"{path.name}:{number}: {line.strip()}"

    assert [*lines()] == []
