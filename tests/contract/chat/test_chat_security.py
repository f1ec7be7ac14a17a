"""What attackers try: credentials where they do not belong, foreign ids, foreign pages, logs."""

import io
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.chat_client import ChatClient
from tests.support.chat_site import PASSWORD, Browser, ChatSite, chat_site
from tests.support.gateway import running_gateway
from tests.support.requirements import requirement

from interlock.identity.model import Actor
from interlock.storage.engine import Database
from interlock.telemetry.logs import configure_logs
from interlock.telemetry.settings import TelemetrySettings

pytestmark = pytest.mark.anyio
NOBODY = "00000000-0000-4000-8000-000000000000"
_ACTOR = Actor(name="test", surface="cli")


async def _thread(ann: Browser) -> tuple[str, str, str]:
    """A conversation, a root and a reply."""
    made = (await ann.post("/api/conversations", {"title": "secret plans"})).json
    conversation = made["conversation_id"]
    root = (await ann.post(f"/api/threads/{conversation}/root", {"content": "hush"})).json
    return conversation, root["message_id"], root["assistant_message_ids"][0]


@requirement("chat.security.csrf")
async def test_no_unsafe_route_works_without_the_csrf_value_or_from_a_foreign_page(
    database: Database,
) -> None:
    async with chat_site(database, default_rps=1e6, burst=10_000) as site:
        root = await site.browser("root", "admin")
        conversation, message, _ = await _thread(root)
        before = (await root.get(f"/api/conversations/{conversation}")).json
        document = (await root.get("/api/openapi.json")).json
        other = await site.browser("bob")
        attacks = [
            ({"x-csrf-token": ""}, "csrf_failed"),
            ({"x-csrf-token": "guessed"}, "csrf_failed"),
            ({"x-csrf-token": other.jar["CSRF-TOKEN"]}, "csrf_failed"),
            (
                {
                    "x-csrf-token": other.jar["CSRF-TOKEN"],
                    "cookie": f"SESSION_ID={root.jar['SESSION_ID']}; "
                    f"CSRF-TOKEN={other.jar['CSRF-TOKEN']}",
                },
                "csrf_failed",
            ),
            ({"origin": "https://evil.example"}, "origin_forbidden"),
            ({"origin": "null"}, "origin_forbidden"),
            ({"origin": "http://interlock.test.evil.example"}, "origin_forbidden"),
            ({"sec-fetch-site": "cross-site"}, "origin_forbidden"),
        ]
        tried = 0
        for path, operations in document["paths"].items():
            for method in operations:
                if method == "get" or path.startswith(("/api/auth/", "/api/setup")):
                    continue
                place = path.replace("{conversation_id}", conversation)
                for name in ("parent_id", "message_id", "root_id"):
                    place = place.replace("{" + name + "}", message)
                mine = conversation if "/conversations/" in path else message
                place = place.replace("{id}", mine).replace("{token}", "x")
                place = place.replace("{user_id}", NOBODY).replace("{session_id}", NOBODY)
                body = document["paths"][path][method].get("requestBody")
                valid = _BODIES.get(path) if body else None
                for headers, code in attacks:
                    told = await root.send(method.upper(), place, valid, headers=headers)
                    said = told.json.get("error", told.json)["code"]
                    assert (told.status, said) == (403, code), (method, path, headers)
                tried += 1
        assert tried > 25
        assert (await root.get(f"/api/conversations/{conversation}")).json == before
        foreign = {"origin": "https://evil.example"}
        login = {"email": "root", "password": PASSWORD}
        for path, sent in (("login", login), ("refresh", None), ("logout", None)):
            told = await root.post(f"/api/auth/{path}", sent, headers=foreign)
            assert (told.status, told.json["code"]) == (403, "origin_forbidden")
        assert (await root.get("/api/auth/me")).status == 200


_BODIES: dict[str, object] = {
    "/api/account/password": {"current_password": PASSWORD, "new_password": "another one 99"},
    "/api/admin/limits/profiles": {"name": "x", "params": {"requests_per_second": 1}},
    "/api/admin/limits/profiles/{id}": {"description": "x"},
    "/api/admin/limits/assignments": {"profile_id": NOBODY, "method": "GET", "path": "/x"},
    "/api/chat": {"message": "x"},
    "/api/conversations/{id}/reply": {"content": "x"},
    "/api/conversations": {"title": "x"},
    "/api/conversations/{id}": {"title": "y"},
    "/api/conversations/{id}/participants": {"user_id": NOBODY, "role": "member"},
    "/api/conversations/{id}/invites": {"email": "x@example.com", "role": "member"},
    "/api/invites/accept": {"token": "x"},
    "/api/threads/{conversation_id}/root": {"content": "x"},
    "/api/messages/{parent_id}/reply": {"content": "x"},
    "/api/messages/{id}/edit": {"content": "x"},
    "/api/typing": {"conversation_id": NOBODY, "root_id": NOBODY, "seconds": 3},
    "/v1/chat/completions": {"model": "demo", "messages": [{"role": "user", "content": "x"}]},
    "/api/v1/chat/completions": {"model": "demo", "messages": [{"role": "user", "content": "x"}]},
}


@requirement("chat.security.fixation")
async def test_a_session_an_attacker_chose_is_never_taken_over(database: Database) -> None:
    async with chat_site(database) as site:
        await site.person("ann")
        mallory = await site.browser("mallory")
        planted = dict(mallory.jar)
        victim = Browser(site.app)
        victim.jar = dict(planted)
        told = await victim.post("/api/auth/login", {"email": "ann", "password": PASSWORD})
        assert told.status == 200
        assert victim.jar["SESSION_ID"] != planted["SESSION_ID"]
        assert victim.jar["CSRF-TOKEN"] != planted["CSRF-TOKEN"]
        assert (await victim.get("/api/auth/me")).json["user"]["username"] == "ann"
        mallory.jar = dict(planted)
        assert (await mallory.get("/api/auth/me")).status == 401

        made_up = Browser(site.app)
        made_up.jar = {"SESSION_ID": "A" * 43, "CSRF-TOKEN": "B" * 22}
        await made_up.post("/api/auth/login", {"email": "ann", "password": PASSWORD})
        assert made_up.jar["SESSION_ID"] != "A" * 43

        former = dict(victim.jar)
        await victim.post("/api/auth/logout")
        thief = Browser(site.app)
        thief.jar = former
        assert (await thief.get("/api/conversations")).status == 401


@requirement("chat.security.tokens")
async def test_a_credential_is_good_only_where_it_belongs(database: Database) -> None:
    async with chat_site(database) as site:
        ann = await site.browser("ann")
        narrow = await site.key("ann", scopes=frozenset({"endpoint:chat"}))
        key = await site.key("ann")
        session, csrf = ann.jar["SESSION_ID"], ann.jar["CSRF-TOKEN"]
        jwt = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.eyJzdWIiOiJhbm4iLCJyb2xlIjoiYWRtaW4ifQ."

        async def status(**headers: str) -> int:
            client = ChatClient(site.app, {k.replace("_", "-"): v for k, v in headers.items()})
            found: int = (await client.get("/api/conversations")).status
            return found

        assert await status(authorization=f"Bearer {key}") == 200
        assert await status(authorization=f"bearer {key}") == 200
        assert await status(authorization=f"Bearer {narrow}") == 403
        for wrong in (
            f"Bearer {session}",
            f"Bearer {csrf}",
            f"Bearer {jwt}",
            f"Basic {key}",
            f"Bearer {key}x",
            f"Bearer {key[:-1]}",
            "Bearer ",
            "Bearer",
            key,
        ):
            assert await status(authorization=wrong) == 401, wrong[:12]
            cookie = f"SESSION_ID={session}"
            assert await status(authorization=wrong, cookie=cookie) == 401, wrong[:12]
        for cookie in (
            f"SESSION_ID={key}",
            f"SESSION_ID={csrf}",
            f"SESSION_ID={jwt}",
            f"session_id={session}",
            f"CSRF-TOKEN={session}",
        ):
            assert await status(cookie=cookie) == 401, cookie[:16]
        assert await status(x_api_key=key) == 401
        told = await ChatClient(site.app).get(f"/api/conversations?access_token={key}")
        assert told.status == 401
        expired = await site.key("ann", expires_at=site.clock.seconds + 10)
        assert await status(authorization=f"Bearer {expired}") == 200
        site.clock.seconds += 11
        assert await status(authorization=f"Bearer {expired}") == 401
        await site.people.people.disable(await _id(ann), _ACTOR)
        assert await status(authorization=f"Bearer {key}") in (401, 423)
        assert await status(cookie=f"SESSION_ID={session}") in (401, 423)


async def _id(browser: Browser) -> str:
    found: str = (await browser.get("/api/auth/me")).json["user"]["id"]
    return found


@requirement("chat.security.probing")
async def test_foreign_ids_give_403_and_made_up_ones_404_and_nothing_else(
    database: Database,
) -> None:
    async with chat_site(database, default_rps=1e6, burst=10_000) as site:
        ann = await site.browser("ann")
        root = await site.browser("root", "admin")
        conversation, message, reply = await _thread(ann)
        for mallory in (await site.browser("mallory"), root):
            for where, what in (("mine", 403), ("made up", 404)):
                c, m, r = (conversation, message, reply) if where == "mine" else (NOBODY,) * 3
                calls: list[tuple[str, str, object]] = [
                    ("GET", f"/api/conversations/{c}", None),
                    ("PATCH", f"/api/conversations/{c}", {"title": "y"}),
                    ("DELETE", f"/api/conversations/{c}", None),
                    ("GET", f"/api/conversations/{c}/participants", None),
                    ("GET", f"/api/conversations/{c}/invites", None),
                    ("GET", f"/api/conversations/{c}/presence", None),
                    ("GET", f"/api/conversations/{c}/export", None),
                    ("GET", f"/api/conversations/{c}/threads", None),
                    ("GET", f"/api/conversations/{c}/unread", None),
                    ("GET", f"/api/stream/conversations/{c}", None),
                    ("GET", f"/api/chat/stream?conversation_id={c}", None),
                    ("POST", f"/api/threads/{c}/root", {"content": "x"}),
                    ("POST", f"/api/conversations/{c}/reply", {"content": "x"}),
                    ("POST", "/api/chat", {"message": "x", "conversation_id": c}),
                    ("POST", "/api/typing", {"conversation_id": c, "root_id": m, "seconds": 1}),
                    ("GET", f"/api/threads/{m}/tree", None),
                    ("POST", f"/api/threads/{m}/read", None),
                    ("POST", f"/api/messages/{m}/reply", {"content": "x"}),
                    ("GET", f"/api/messages/{m}", None),
                    ("GET", f"/api/messages/{m}/chunks", None),
                    ("POST", f"/api/messages/{m}/edit", {"content": "x"}),
                    ("POST", f"/api/messages/{m}/delete", None),
                    ("POST", f"/api/messages/{m}/restore", None),
                    ("GET", f"/api/messages/{r}/reasoning", None),
                    ("POST", f"/api/messages/{r}/cancel", None),
                    ("POST", f"/api/messages/{r}/regenerate", None),
                ]
                for method, path, body in calls:
                    told = await mallory.send(method, path, body)
                    assert told.status == what, (method, path, told.body)
                    assert "secret plans" not in told.body.decode()
                    assert "hush" not in told.body.decode()
            found = await mallory.get("/api/search?q=hush")
            assert found.json["results"] == []
            assert (await mallory.get("/api/conversations")).json["conversations"] == []
        mine = (await ann.get("/api/account/sessions")).json["sessions"][0]["id"]
        for session in (mine, NOBODY):
            told = await root.send("DELETE", f"/api/account/sessions/{session}")
            assert told.status == 404
        assert (await ann.get(f"/api/messages/{message}")).json["content"] == "hush"


@requirement("chat.security.headers")
async def test_nothing_a_client_sends_makes_a_header_of_an_answer(database: Database) -> None:
    async with chat_site(database) as site:
        ann = await site.browser("ann")
        attack = "x\r\nset-cookie: SESSION_ID=evil"
        made = (await ann.post("/api/conversations", {"title": attack})).json["conversation_id"]
        answers = [
            await ann.get("/api/health", headers={"x-request-id": attack}),
            await ann.get("/api/health", headers={"traceparent": attack}),
            await ann.get(f"/api/conversations/{made}/export?format=md"),
            await ann.get("/api/nothing%0d%0aset-cookie:%20a=b"),
            await ann.send("BREW", "/api/conversations"),
            await ann.post("/api/chat", {"message": "x"}, headers={"idempotency-key": "a b"}),
            await ann.get("/.well-known/x%0d%0ay"),
        ]
        for told in answers:
            assert told.cookies == ()
            for name, value in told.headers.items():
                assert name.replace("-", "").replace("_", "").isalnum()
                assert value.isprintable(), (name, value)
        assert answers[0].headers["x-request-id"] == answers[0].headers["trace_id"]


@pytest.fixture
def logged() -> Iterator[io.StringIO]:
    """Everything that is logged, down to the least important."""
    text = io.StringIO()
    root = logging.getLogger()
    former, level = list(root.handlers), root.level
    configure_logs(TelemetrySettings(log_level="debug"), stream=text)
    yield text
    for handler in list(root.handlers):
        root.removeHandler(handler)
    for handler in former:
        root.addHandler(handler)
    root.setLevel(level)


@requirement("chat.security.logs")
async def test_no_secret_of_a_whole_scenario_is_logged_stored_in_clear_or_told_again(
    database: Database, logged: io.StringIO
) -> None:
    wrong = "Planted-wrong-password-7151"
    async with chat_site(database) as site:
        planted = await _scenario(site, wrong)
        entries = str(await site.audit.entries())
        metrics = site.text()
    text = logged.getvalue()
    for secret in planted:
        assert len(secret) >= 16
        assert secret not in text, secret[:6]
        assert secret not in entries, secret[:6]
        assert secret not in metrics, secret[:6]


async def _scenario(site: ChatSite, wrong: str) -> list[str]:
    """Does everything with secrets, also wrongly; all of them."""
    planted = [PASSWORD, wrong]
    root = await site.browser("root", "admin")
    ann = await site.browser("ann")
    planted += [*root.jar.values(), *ann.jar.values()]
    key = await site.key("ann")
    planted.append(key)
    client = ChatClient(site.app)
    for body in (
        {"email": "ann", "password": wrong},
        {"email": wrong, "password": wrong},
        {"email": "ann", "password": [wrong]},
        {"email": "ann", "password": {"x": wrong}},
    ):
        told = await client.post("/api/auth/login", body)
        assert wrong not in told.body.decode()
    told = await client.send("POST", "/api/auth/login", raw=f'{{"password": "{wrong}'.encode())
    assert wrong not in told.body.decode()
    told = await client.post("/api/setup", {"username": "x", "email": "bad", "password": wrong})
    assert wrong not in told.body.decode()
    await client.get("/api/conversations", headers={"authorization": f"Bearer {key}"})
    await client.get("/api/conversations", headers={"authorization": f"Bearer {wrong}"})
    await client.get("/api/conversations", headers={"cookie": f"SESSION_ID={wrong}"})
    before = dict(ann.jar)
    await ann.post("/api/auth/refresh")
    planted += ann.jar.values()
    site.clock.seconds += 120
    stale = Browser(site.app)
    stale.jar = before
    assert (await stale.get("/api/auth/me")).status == 401
    await ann.post("/api/account/password", {"current_password": wrong, "new_password": wrong})
    made = (await ann.post("/api/conversations", {"title": "x", "is_group": True})).json
    invite = await ann.post(
        f"/api/conversations/{made['conversation_id']}/invites",
        {"email": "root@example.com", "role": "member"},
    )
    planted.append(invite.json["token"])
    await root.post(f"/api/invites/{wrong}/revoke")
    await root.post("/api/invites/accept", {"token": invite.json["token"]})
    await ann.post("/api/auth/logout")
    return planted


@requirement("chat.security.logs")
async def test_a_real_server_logs_no_secret_and_its_gateway_takes_no_cookie(
    tmp_path: Path, logged: io.StringIO
) -> None:
    environ = {
        "INTERLOCK_ADMIN_EMAIL": "root@example.com",
        "INTERLOCK_ADMIN_PASSWORD": PASSWORD,
    }
    async with running_gateway(tmp_path / "data", environ=environ) as gateway:
        login = await gateway.http.post(
            "/api/auth/login", json={"email": "root@example.com", "password": PASSWORD}
        )
        session, csrf = login.cookies["SESSION_ID"], login.cookies["CSRF-TOKEN"]
        path = "/control/chat/demo/v1/chat/completions"
        body = {"model": "demo", "messages": [{"role": "user", "content": "x"}]}
        gateway.http.cookies.clear()
        for headers in (
            {"cookie": f"SESSION_ID={session}; CSRF-TOKEN={csrf}", "x-csrf-token": csrf},
            {"authorization": f"Bearer {session}"},
            {"authorization": f"Bearer {csrf}"},
        ):
            told = await gateway.http.post(path, json=body, headers=headers)
            assert told.status_code == 401, headers
        for attempt in ("a b", "a" * 200):
            told = await gateway.http.get("/api/auth/me", headers={"x-request-id": attempt})
            assert told.status_code == 401
            assert told.headers["ratelimit-limit"] == "100"
        metrics = (await gateway.http.get("/metrics")).text
        assert 'rustygpt_auth_logins_total{result="success"} 1.0' in metrics
    for secret in (PASSWORD, session, csrf):
        assert secret not in logged.getvalue()
        assert secret not in metrics
