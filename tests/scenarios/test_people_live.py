"""The whole server on a real port: log-in, chat and console with one session."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.support.gateway import Gateway, running_gateway

pytestmark = pytest.mark.anyio

_ADMIN = {"email": "root@example.com", "password": "correct horse battery"}


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Gateway]:
    environ = {
        "INTERLOCK_ADMIN_EMAIL": _ADMIN["email"],
        "INTERLOCK_ADMIN_PASSWORD": _ADMIN["password"],
    }
    async with running_gateway(tmp_path / "data", environ=environ) as running:
        yield running


async def _signed_in(gateway: Gateway) -> dict[str, str]:
    """Headers of unsafe requests; the client keeps the cookies."""
    login = await gateway.http.post("/api/auth/login", json=_ADMIN)
    assert login.status_code == 200
    return {"x-csrf-token": login.json()["csrf_token"]}


async def test_one_session_serves_chat_and_console(gateway: Gateway) -> None:
    csrf = await _signed_in(gateway)

    me = (await gateway.http.get("/api/auth/me")).json()
    page = await gateway.http.get("/console")
    await gateway.http.post("/api/auth/logout", headers=csrf)
    gone = await gateway.http.get("/console")

    assert me["user"]["email"] == _ADMIN["email"]
    assert page.status_code == 200
    assert "text/html" in page.headers["content-type"]
    assert gone.status_code == 303


async def test_a_post_is_heard_by_a_stream_on_a_real_socket(gateway: Gateway) -> None:
    csrf = await _signed_in(gateway)
    made = await gateway.http.post(
        "/api/conversations", json={"title": "Deploy", "is_group": True}, headers=csrf
    )
    conversation = made.json()["conversation_id"]
    await gateway.http.patch(
        f"/api/conversations/{conversation}", json={"assistant_mode": "off"}, headers=csrf
    )
    heard: list[dict[str, Any]] = []

    async def listen() -> None:
        url = f"/api/stream/conversations/{conversation}"
        async with gateway.http.stream("GET", url) as answer:
            assert answer.status_code == 200
            async for line in answer.aiter_lines():
                if line.startswith("data: "):
                    heard.append(json.loads(line[6:]))
                    if heard[-1]["type"] == "thread.new":
                        return

    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        group.create_task(listen())
        posted = await gateway.http.post(
            f"/api/threads/{conversation}/root", json={"content": "hello"}, headers=csrf
        )

    assert posted.status_code == 201
    assert heard[-1]["payload"]["root_id"] == posted.json()["root_id"]


async def test_streams_end_when_the_server_is_told_to_stop(tmp_path: Path) -> None:
    environ = {
        "INTERLOCK_ADMIN_EMAIL": _ADMIN["email"],
        "INTERLOCK_ADMIN_PASSWORD": _ADMIN["password"],
        "INTERLOCK_SERVER_SHUTDOWN_S": "20",
    }
    async with running_gateway(tmp_path / "data", environ=environ) as gateway:
        await _signed_in(gateway)
        opened = asyncio.Event()
        other = httpx.AsyncClient(
            base_url=gateway.base_url, cookies=gateway.http.cookies, timeout=30
        )

        async def follow() -> None:
            async with other.stream("GET", "/api/chat/stream") as answer:
                async for _ in answer.aiter_bytes():
                    opened.set()

        following = asyncio.create_task(follow())
        async with asyncio.timeout(10):
            await opened.wait()
        gateway.server.should_exit = True
        async with asyncio.timeout(10):
            await following
        await other.aclose()


async def test_paths_of_each_part_are_answered_in_its_own_words(gateway: Gateway) -> None:
    missing = await gateway.http.get("/api/nothing")
    ready = await gateway.http.get("/readyz")
    health = await gateway.http.get("/api/health")
    control = await gateway.http.get("/control/nothing")
    browser = await gateway.http.get("/", headers={"accept": "text/html,*/*"})
    program = await gateway.http.get("/")
    document = (await gateway.http.get("/api/openapi.json")).json()

    assert (missing.status_code, missing.json()["code"]) == (404, "not_found")
    assert len(missing.headers["trace_id"]) == 32
    assert ready.json() == {"ready": True}
    assert health.json() == {"status": "ok"}
    assert control.status_code == 404
    assert (browser.status_code, browser.headers["location"]) == (303, "/console")
    assert program.json()["service"] == "interlock"
    assert "/api/auth/login" in document["paths"]
