"""The chat page: what is said, what was allowed, and nothing of what strangers may not see."""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import html5lib
import httpx
import pytest
from tests.support.gateway import Gateway, running_gateway

from interlock.identity.model import Actor

pytestmark = pytest.mark.anyio

_ADMIN = {"identifier": "root@example.com", "password": "correct horse battery"}
_POLICY = """
tool "text_stats" -> session @tags |= {"untrusted"};
tool "hash_digest" {
    must deny when @session.tags overlaps {"untrusted"};
}
"""
_HOSTILE = "<script>alert(1)</script> \u202e [x](javascript:alert(1)) ![i](https://evil.example/p)"


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Gateway]:
    policy = tmp_path / "chat.sqrt"
    policy.write_text(_POLICY)
    async with running_gateway(
        tmp_path / "data",
        toml=f'[gateway]\npolicy_files = ["{policy}"]\n',
        environ={
            "INTERLOCK_ADMIN_EMAIL": _ADMIN["identifier"],
            "INTERLOCK_ADMIN_PASSWORD": _ADMIN["password"],
        },
    ) as running:
        await running.http.post("/console/login", data={**_ADMIN, "next": "/console"})
        yield running


def _csrf(http: httpx.AsyncClient) -> str:
    return str(http.cookies["CSRF-TOKEN"])


async def _begin(gateway: Gateway, text: str) -> str:
    made = await gateway.http.post(
        "/console/chat", data={"content": text, "csrf": _csrf(gateway.http)}
    )
    assert made.status_code == 303, made.text
    return str(made.headers["location"]).partition("#")[0]


async def _settled(gateway: Gateway, path: str) -> str:
    """The page once no reply is being written."""
    async with asyncio.timeout(20):
        page = await gateway.http.get(path)
        while "data-live" in page.text or 'class="message assistant"' not in page.text:
            page = await gateway.http.get(path)
    html5lib.HTMLParser(strict=True).parse(page.text)
    return page.text


async def test_an_empty_page_says_what_will_be_here(gateway: Gateway) -> None:
    page = await gateway.http.get("/console/chat")

    html5lib.HTMLParser(strict=True).parse(page.text)
    assert "No conversation yet" in page.text
    assert "CALL math_evaluate" in page.text


async def test_a_denied_call_leads_to_its_decision(gateway: Gateway) -> None:
    path = await _begin(gateway, 'CALL text_stats {"text": "x"}')
    await _settled(gateway, path)
    sent = await gateway.http.post(
        path, data={"content": 'CALL hash_digest {"text": "x"}', "csrf": _csrf(gateway.http)}
    )
    page = await _settled(gateway, path)
    async with asyncio.timeout(20):
        while "Why: line" not in page:
            page = await _settled(gateway, path)
    await gateway.app.store.recorder.flush(wait_s=5)
    why = re.search(r'href="(/console/decisions\?peek=dec_[0-9a-f]+)">Why: line 4', page)

    assert sent.status_code == 303
    assert why is not None
    decision = await gateway.http.get(why[1])
    assert "hash_digest" in decision.text


async def test_what_models_say_is_never_markup(gateway: Gateway) -> None:
    path = await _begin(gateway, f"SAY {_HOSTILE}")
    page = await _settled(gateway, path)

    assert "<script>alert" not in page
    assert "javascript:alert" not in re.sub(r"&#?\w+;", "", page.replace("[x](javascript:", ""))
    assert 'src="https://evil' not in page
    assert "U+202E" in page


async def test_strangers_find_nothing_and_change_nothing(gateway: Gateway) -> None:
    path = await _begin(gateway, "SAY secret words")
    await _settled(gateway, path)
    people = gateway.app.store.people
    await people.create_user(
        "eve@example.com", Actor(name="t", surface="cli"), username="eve", password="evil eve 1"
    )
    async with httpx.AsyncClient(base_url=gateway.base_url) as eve:
        await eve.post(
            "/console/login", data={"identifier": "eve", "password": "evil eve 1", "next": "/"}
        )
        own = await eve.get("/console/chat")
        answers = [
            await eve.get(path),
            await eve.post(path, data={"content": "hi", "csrf": _csrf(eve)}),
            await eve.get("/console/chat/00000000-0000-4000-8000-000000000000"),
        ]

    assert "secret" not in own.text
    assert [one.status_code for one in answers][0::2] == [404, 404]
    assert answers[1].status_code in {400, 404}
    assert "secret words" not in "".join(one.text for one in answers)


async def test_forms_need_the_token_of_the_session(gateway: Gateway) -> None:
    forged = await gateway.http.post("/console/chat", data={"content": "hi", "csrf": "x"})
    foreign = await gateway.http.post(
        "/console/chat",
        data={"content": "hi", "csrf": _csrf(gateway.http)},
        headers={"origin": "https://evil.example"},
    )

    assert (forged.status_code, foreign.status_code) == (403, 403)


async def test_an_empty_message_keeps_the_page_and_says_why(gateway: Gateway) -> None:
    path = await _begin(gateway, "SAY one")
    refused = await gateway.http.post(path, data={"content": " ", "csrf": _csrf(gateway.http)})

    assert refused.status_code == 400
    assert "must not be empty" in refused.text


async def test_a_message_is_stopped_repeated_and_taken_away(gateway: Gateway) -> None:
    path = await _begin(gateway, "SLOW 600")
    detail = (await gateway.http.get(f"/api/conversations/{path.rpartition('/')[2]}")).json()
    tree = f"/api/threads/{detail['threads'][0]['root_id']}/tree?include_pending=1"
    reply = (await gateway.http.get(tree)).json()["messages"][1]["id"]
    token = {"csrf": _csrf(gateway.http)}
    stopped = await gateway.http.post(f"{path}/messages/{reply}/stop", data=token)
    after = await _settled(gateway, path)
    odd = await gateway.http.post(f"{path}/messages/{reply}/explode", data=token)

    assert stopped.status_code == 303
    assert "Stopped" in after
    assert odd.status_code == 404


async def test_a_part_of_the_page_is_drawn_alone(gateway: Gateway) -> None:
    path = await _begin(gateway, "SAY **bold** words")
    await _settled(gateway, path)
    part = await gateway.http.get(path, headers={"accept-fragment": "thread"})

    assert "<html" not in part.text
    assert "<strong>bold</strong>" in part.text
