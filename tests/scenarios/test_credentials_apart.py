"""Credentials where they do not belong, forged headers, and addresses a caller would choose."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.support.gateway import Gateway, running_gateway
from tests.support.raw_client import raw_client

from interlock.identity.model import Actor, KeySpec

pytestmark = pytest.mark.anyio
_PASSWORD = "correct horse battery"
_ACTOR = Actor(name="test", surface="cli")
_JWT = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.eyJzdWIiOiJyb290Iiwicm9sZSI6ImFkbWluIn0."
_PASSWORDS = {"current_password": _PASSWORD, "new_password": "another one entirely"}
_CHAT = {"model": "demo", "messages": [{"role": "user", "content": "SAY hello"}]}


@pytest.fixture
async def gateway(tmp_path: Path, anyio_backend: str) -> AsyncIterator[Gateway]:
    del anyio_backend
    environ = {
        "INTERLOCK_ADMIN_EMAIL": "root@example.com",
        "INTERLOCK_ADMIN_PASSWORD": _PASSWORD,
        "INTERLOCK_RATE_LIMITS_ADMIN_API_ENABLED": "true",
        "INTERLOCK_RATE_LIMITS_DEFAULT_RPS": "100000",
        "INTERLOCK_RATE_LIMITS_BURST": "100000",
    }
    async with running_gateway(tmp_path / "data", environ=environ) as running:
        yield running


async def _signed_in(gateway: Gateway) -> tuple[str, str]:
    """Session token and CSRF value; the client keeps no cookies."""
    body = {"email": "root@example.com", "password": _PASSWORD}
    login = (await gateway.http.post("/api/auth/login", json=body)).raise_for_status()
    found = login.cookies["SESSION_ID"], login.cookies["CSRF-TOKEN"]
    gateway.http.cookies.clear()
    return found


async def test_each_credential_opens_its_own_doors_and_no_other(gateway: Gateway) -> None:
    session, csrf = await _signed_in(gateway)
    admin = gateway.app.store.admin

    async def key(**spec: Any) -> str:
        made = await admin.create_key(KeySpec(label="k", **spec), _ACTOR, user="root@example.com")
        return made.token

    full, chat_only = await key(), await key(scopes=frozenset({"endpoint:chat"}))
    demo_only = await key(scopes=frozenset({"provider:demo"}))
    cookies = {"cookie": f"SESSION_ID={session}; CSRF-TOKEN={csrf}", "x-csrf-token": csrf}
    credentials: dict[str, dict[str, str]] = {
        "nothing": {},
        "cookies": cookies,
        "session as bearer": {"authorization": f"Bearer {session}"},
        "csrf as bearer": {"authorization": f"Bearer {csrf}"},
        "csrf as session": {"cookie": f"SESSION_ID={csrf}; CSRF-TOKEN={csrf}"},
        "unsigned token": {"authorization": f"Bearer {_JWT}"},
        "key": {"authorization": f"Bearer {full}"},
        "key as cookie": {"cookie": f"SESSION_ID={full}"},
        "key as x-api-key": {"x-api-key": full},
        "key as basic": {"authorization": f"Basic {full}"},
        "chat key": {"authorization": f"Bearer {chat_only}"},
        "demo key": {"authorization": f"Bearer {demo_only}"},
        "bad key beside cookies": cookies | {"authorization": f"Bearer {full}x"},
    }
    doors: dict[str, tuple[str, str, Any]] = {
        "gateway": ("POST", "/control/chat/demo/v1/chat/completions", _CHAT),
        "gateway, other endpoint": ("POST", "/control/code/demo/v1/chat/completions", _CHAT),
        "gateway, models": ("GET", "/control/chat/demo/v1/models", None),
        "conversations": ("GET", "/api/conversations", None),
        "a new conversation": ("POST", "/api/conversations", {"title": "x"}),
        "chat completions": ("POST", "/v1/chat/completions", _CHAT),
        "sessions": ("GET", "/api/account/sessions", None),
        "limits": ("GET", "/api/admin/limits/profiles", None),
        "streams": ("GET", "/api/chat/stream", None),
        "console": ("GET", "/console", None),
        "console, keys": ("GET", "/console/keys", None),
        "console, settings": ("GET", "/console/settings/server", None),
    }
    people = {"conversations", "a new conversation", "chat completions", "sessions", "limits"}
    people |= {"streams"}
    console = {name for name in doors if name.startswith("console")}
    gateways = {name for name in doors if name.startswith("gateway")}
    opened = {
        "cookies": people | console,
        "bad key beside cookies": console,  # which looks at nothing but cookies
        "key": people | gateways,
        "key as x-api-key": gateways,  # as the published SDKs of the Messages API send theirs
        "chat key": {"gateway", "gateway, models"},
        "demo key": gateways | people - {"limits", "chat completions"},
    }
    for credential, headers in credentials.items():
        for door, (method, path, body) in doors.items():
            status = await _status(gateway, method, path, body, headers)
            good = door in opened.get(credential, set())
            assert (status in {200, 201}) == good, (credential, door, status)
            if not good:
                refused = {303} if door in console else {401, 403}
                assert status in refused, (credential, door, status)


async def _status(
    gateway: Gateway, method: str, path: str, body: Any, headers: dict[str, str]
) -> int:
    more = {} if body is None else {"json": body}
    async with (
        httpx.AsyncClient(base_url=gateway.base_url, timeout=20) as http,
        http.stream(method, path, headers=headers, **more) as answer,
    ):
        return answer.status_code


async def test_a_key_that_may_not_use_the_chat_api_changes_nothing_there(gateway: Gateway) -> None:
    made = await gateway.app.store.admin.create_key(
        KeySpec(label="k", scopes=frozenset({"endpoint:chat"})), _ACTOR, user="root@example.com"
    )
    document = (await gateway.http.get("/api/openapi.json")).json()
    open_to_all = {"/api/health", "/healthz", "/readyz", "/api/openapi.json", "/api/openapi.yaml"}
    open_to_all |= {"/api/setup", "/api/auth/login", "/.well-known/{path}"}
    nobody = "00000000-0000-4000-8000-000000000000"
    tried = 0
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if path in open_to_all:
                continue
            place = path
            for name in [one["name"] for one in operation.get("parameters", ())]:
                place = place.replace("{" + name + "}", nobody)
            headers = {"authorization": f"Bearer {made.token}"}
            form = "multipart/form-data" in str(operation.get("requestBody"))
            body = _PASSWORDS if path == "/api/account/password" else {}
            more: dict[str, Any] = {"files": {"file": b"x"}} if form else {"json": body}
            told = await gateway.http.request(method, place, headers=headers, **more)
            assert told.status_code in {401, 403}, (method, path, told.status_code, told.text)
            tried += 1
    assert tried >= 50


_CRLF = "x\r\nset-cookie: SESSION_ID=planted\r\n\r\n<script>"
_QUOTED = "x%0d%0aset-cookie:%20SESSION_ID=planted"


async def test_nothing_anybody_names_becomes_a_header(gateway: Gateway) -> None:
    session, csrf = await _signed_in(gateway)
    headers = {"cookie": f"SESSION_ID={session}; CSRF-TOKEN={csrf}", "x-csrf-token": csrf}
    http = gateway.http

    async def post(path: str, body: Any, **more: Any) -> httpx.Response:
        return await http.post(path, json=body, headers=headers, **more)

    name = 'a"b\\c;d.txt'
    made = (await post("/api/conversations", {"title": _CRLF, "is_group": True})).json()
    place = f"/api/conversations/{made['conversation_id']}"
    boundary = "xxBOUNDARYxx"
    form = (
        f'--{boundary}\r\ncontent-disposition: form-data; name="file"; '
        f"filename*=UTF-8''{_QUOTED}{name}\r\ncontent-type: text/html\r\n\r\nhello\r\n"
        f"--{boundary}--\r\n"
    )
    for text in (form, form.replace("filename*=UTF-8''", 'filename="').replace(name, '"')):
        kind = {"content-type": f"multipart/form-data; boundary={boundary}"}
        sent = await http.post(f"{place}/attachments", content=text, headers=headers | kind)
        assert sent.status_code in {201, 400}, sent.text
    files = (await http.get(f"{place}/attachments", headers=headers)).json()["attachments"]
    gets = [
        f"{place}/export?format=md",
        f"{place}/export?format=json",
        *(f"/api/attachments/{one['id']}/content" for one in files),
        f"/console/login?next=/console/{_QUOTED}",
        f"/console/login?next=//evil.example/{_QUOTED}",
        f"/console/login?next={_QUOTED}",
        f"/console/go/{_QUOTED}",
        f"/console/keys/{_QUOTED}",
        f"/console/decisions/{_QUOTED}/json",
        f"/console/{_QUOTED}?{_QUOTED}={_QUOTED}",
        f"/api/{_QUOTED}",
        f"/.well-known/{_QUOTED}",
        f"/v1/models/{_QUOTED}",
        f"/control/{_QUOTED}",
        f"/control/chat/{_QUOTED}/v1/models",
        f"/control/chat/demo/v1/models/{_QUOTED}",
        f"/control/chat/demo/v1/responses/{_QUOTED}",
        f"/control/annotations/v1/sessions/{_QUOTED}",
    ]
    bearer = {"authorization": f"Bearer {gateway.key}"}
    for path in gets:
        for who in ({}, headers, bearer):
            _sound(path, await http.get(path, headers=who))
    model = {**_CHAT, "model": _CRLF}
    answers = [
        await http.post("/control/chat/demo/v1/chat/completions", json=model, headers=bearer),
        await post("/v1/chat/completions", model),
        await post("/api/auth/login", {"email": _CRLF, "password": _CRLF}),
        await post("/api/invites/accept", {"token": _CRLF}),
        await http.request("BREW", "/api/conversations", headers=headers),
        await http.request("BREW", "/control/chat/demo/v1/models", headers=bearer),
        await http.request("BREW", "/console", headers=headers),
    ]
    for echoed in ("x-request-id", "traceparent", "x-session-id", "origin", "idempotency-key"):
        given = {echoed: 'evil\t"; set-cookie: a=b'}
        answers += [
            await http.get("/api/conversations", headers=headers | given),
            await http.get("/console", headers=headers | given),
            await http.post(
                "/control/chat/demo/v1/chat/completions", json=_CHAT, headers=bearer | given
            ),
        ]
    for told in answers:
        _sound(str(told.url), told)
    for one in files:
        told = await http.get(f"/api/attachments/{one['id']}/content", headers=headers)
        assert told.headers["content-security-policy"].startswith("sandbox")
        assert told.headers["x-content-type-options"] == "nosniff"


def _sound(what: str, answer: httpx.Response) -> None:
    """No header that was planted, and none with a character that could plant one."""
    assert answer.status_code < 500, (what, answer.text[:200])
    for name, value in answer.headers.raw:
        assert name.replace(b"-", b"").replace(b"_", b"").isalnum(), (what, name)
        assert value.decode("ascii").isprintable(), (what, name, value)
    for cookie in answer.headers.get_list("set-cookie"):
        assert "planted" not in cookie, (what, cookie)
    if (there := answer.headers.get("location")) is not None:
        assert there.startswith("/console"), (what, there)
        assert not there.startswith("//"), (what, there)


@pytest.mark.parametrize(
    "bad",
    [
        b"x-request-id: a\rset-cookie: x=planted\r\n",
        b"x-request-id: a\nset-cookie: x=planted\r\n",
        b"x-request-id: a\x00b\r\n",
        b"x-request-id: a\r\n set-cookie: x=planted\r\n",
        b"x-request-id : a\r\n",
        b"x-request-id: \xff\xfe\r\n",
        b"traceparent: 00-" + b"\x80" * 32 + b"-0\r\n",
        b"origin: http://a\x7f\r\n",
    ],
)
@pytest.mark.parametrize("path", [b"/api/health", b"/console/login", b"/control", b"/api/auth/me"])
async def test_lines_that_are_no_headers_are_refused_or_not_told_again(
    gateway: Gateway, path: bytes, bad: bytes
) -> None:
    async with raw_client(gateway.base_url) as client:
        await client.send(
            b"GET " + path + b" HTTP/1.1\r\nhost: x\r\nconnection: close\r\n" + bad + b"\r\n"
        )
        told = (await client.closed()).partition(b"\r\n\r\n")[0]

    assert b"planted" not in told
    assert b"\x00" not in told
    assert told == b"" or int(told.split(b" ")[1]) < 500


@asynccontextmanager
async def _trap() -> AsyncIterator[tuple[str, list[str]]]:
    """An address nobody should connect to, and the peers that did."""
    came: list[str] = []

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.append(str(writer.get_extra_info("peername")))
        writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    async with server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}", came


async def test_no_caller_makes_the_server_connect_anywhere(gateway: Gateway) -> None:
    session, csrf = await _signed_in(gateway)
    cookies = {"cookie": f"SESSION_ID={session}; CSRF-TOKEN={csrf}", "x-csrf-token": csrf}
    bearer = {"authorization": f"Bearer {gateway.key}"}
    async with _trap() as (place, came):
        url = f"http://{place}/latest/meta-data"
        picture = [{"type": "image_url", "image_url": {"url": url}}]
        fetched = [{"type": "image", "source": {"type": "url", "url": url}}]
        document = [{"type": "document", "source": {"type": "url", "url": url}}]
        shown = [{"type": "input_image", "image_url": url}, {"type": "input_file", "file_url": url}]
        mcp = [{"type": "mcp", "server_label": "x", "server_url": url, "require_approval": "never"}]
        config = json.dumps({"base_url": url, "upstream": url, "providers": {"demo": url}})
        chat = "/control/chat/demo/v1"

        def said(content: Any) -> dict[str, Any]:
            return {
                "model": "demo",
                "max_tokens": 9,
                "messages": [{"role": "user", "content": content}],
            }

        posts: list[tuple[str, Any, dict[str, str]]] = [
            (f"{chat}/chat/completions", said(picture), {}),
            (f"{chat}/chat/completions", {**said("x"), "base_url": url, "api_base": url}, {}),
            (f"{chat}/messages", said(fetched), {}),
            (f"{chat}/messages", said(document), {}),
            (f"{chat}/messages", {**said("x"), "mcp_servers": [{"type": "url", "url": url}]}, {}),
            (
                f"{chat}/responses",
                {"model": "demo", "input": [{"role": "user", "content": shown}]},
                {},
            ),
            (f"{chat}/responses", {"model": "demo", "input": "x", "tools": mcp}, {}),
            (f"{chat}/embeddings", {"model": url, "input": url}, {}),
            (f"{chat}/chat/completions", {**said("x"), "model": url}, {}),
            (f"{chat}/chat/completions", said(f"CALL fetch {json.dumps({'url': url})}"), {}),
            (f"{chat}/chat/completions", said("x"), {"x-config": config}),
            (f"{chat}/chat/completions", said("x"), {"x-forwarded-host": place}),
            (f"{chat}/chat/completions", said("x"), {"x-base-url": url, "host": place}),
            (f"/control/chat/{place}/v1/chat/completions", said("x"), {}),
            (f"/control/chat/http:%2f%2f{place}/v1/chat/completions", said("x"), {}),
        ]
        for path, body, headers in posts:
            told = await gateway.http.post(path, json=body, headers=bearer | headers)
            assert told.status_code < 500, (path, told.text)
        talks: list[tuple[str, Any]] = [
            ("/api/chat", {"message": f"![x]({url}) {url}", "wait": True}),
            ("/api/chat", {"message": "x", "model": url, "wait": True}),
            ("/api/chat", {"message": "x", "retrieval": {"enabled": True, "sources": [url]}}),
            ("/api/chat", {"message": f'CALL fetch {{"url": "{url}"}}', "wait": True}),
            ("/v1/chat/completions", said(picture)),
            ("/api/conversations", {"title": url, "system_prompt": url, "webhook": url}),
        ]
        for path, body in talks:
            told = await gateway.http.post(path, json=body, headers=cookies)
            assert told.status_code < 500, (path, told.text)
        made = await gateway.http.post("/api/conversations", json={"title": "x"}, headers=cookies)
        page = f'<img src="{url}"><link rel=stylesheet href="{url}"><!ENTITY x SYSTEM "{url}">'
        xml = f'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY x SYSTEM "{url}">]><a>&x;</a>'
        for name, text in (("a.html", page), ("a.xml", xml), ("a.svg", xml), ("a.md", page)):
            await gateway.http.post(
                f"/api/conversations/{made.json()['conversation_id']}/attachments",
                files={"file": (name, text.encode())},
                headers=cookies,
            )
        for tool in (await gateway.http.get("/api/tools", headers=cookies)).json()["tools"]:
            arguments = dict.fromkeys(tool["input_schema"]["properties"], url)
            await gateway.http.post(
                f"/api/tools/{tool['name']}/invoke", json={"arguments": arguments}, headers=cookies
            )
        async with raw_client(gateway.base_url) as client:
            await client.send(
                f"GET {url} HTTP/1.1\r\nhost: {place}\r\nconnection: close\r\n\r\n".encode()
            )
            await client.closed()
        async with raw_client(gateway.base_url) as client:
            await client.send(f"CONNECT {place} HTTP/1.1\r\nhost: {place}\r\n\r\n".encode())
            assert not (await client.until(b"\r\n")).startswith(b"HTTP/1.1 2")
        for path in (f"/console/login?next={url}", f"/console/out?to={url}", f"/console?u={url}"):
            await gateway.http.get(path, headers=cookies)

    assert came == []
