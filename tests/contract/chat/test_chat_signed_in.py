"""Both clients from log-in to log-out, with real sessions, cookies and CSRF values."""

import pytest
from tests.support.chat_client import ChatClient
from tests.support.people_site import people_site
from tests.support.requirements import requirement
from tests.support.talk_site import TalkSite

from interlock.conversations.directory import PeopleDirectory
from interlock.storage.engine import Database
from interlock.surfaces.chat.auth import CheckedCallers
from interlock.surfaces.chat.build import build_chat
from interlock.surfaces.chat.parts import ChatParts
from interlock.surfaces.chat.routes.auth import auth_router
from interlock.web.credentials import CookieWriter
from interlock.web.sse import SseStreams

pytestmark = pytest.mark.anyio
SETUP = {"username": "ann", "email": "ann@example.com", "password": "correct horse"}
LOGIN = {"email": "ann@example.com", "password": "correct horse"}


async def _nothing() -> list[str]:
    return []


@requirement("chat.signed-in.sequence")
async def test_setup_login_chat_follow_and_logout_as_both_clients_do(database: Database) -> None:
    async with people_site(database) as people:
        site = TalkSite(database, PeopleDirectory())
        app = build_chat(
            ChatParts(
                talks=site.talks,
                callers=CheckedCallers(people.credentials),
                streams=SseStreams(),
                missing=_nothing,
            ),
            version="1",
            more=[auth_router(people.people, people.credentials)],
            wrap=CookieWriter,
        )
        fresh = ChatClient(app)
        assert (await fresh.get("/api/setup")).json == {"is_setup": False}
        assert (await fresh.post("/api/setup", SETUP)).status == 200
        refused = await fresh.get("/api/auth/me")
        assert (refused.status, refused.headers["www-authenticate"]) == (401, "session")
        login = await fresh.post("/api/auth/login", LOGIN)
        assert (login.status, login.headers["x-session-rotated"]) == (200, "1")
        cookies = dict(one.split(";")[0].split("=", 1) for one in login.cookies)
        assert set(cookies) == {"SESSION_ID", "CSRF-TOKEN"}
        cookie = "; ".join(f"{name}={value}" for name, value in cookies.items())
        ann = ChatClient(app, {"cookie": cookie})
        csrf = {"x-csrf-token": cookies["CSRF-TOKEN"]}
        assert (await ann.get("/api/auth/me")).json["user"]["username"] == "ann"

        body = {"title": "Deploy"}
        foreign = csrf | {"origin": "https://evil.example"}
        for headers, code in (
            ({}, "csrf_failed"),
            ({"x-csrf-token": "wrong"}, "csrf_failed"),
            (foreign, "origin_forbidden"),
        ):
            told = await ann.post("/api/conversations", body, headers=headers)
            assert (told.status, told.json["code"]) == (403, code)
        assert (await ann.get("/api/conversations")).json == {"conversations": []}

        made = (await ann.post("/api/conversations", body, headers=csrf)).json
        conversation = made["conversation_id"]
        path = f"/api/threads/{conversation}/root"
        root = (await ann.post(path, {"content": "go"}, headers=csrf)).json
        listed = (await ann.get(f"/api/conversations/{conversation}/threads")).json["threads"]
        assert [one["root_id"] for one in listed] == [root["root_id"]]
        stream = ann.stream(f"/api/stream/conversations/{conversation}")
        await site.answer(root["assistant_message_ids"][0], "done")
        assert (await stream.until("message.done"))[-1].data["payload"]["finish_reason"] == "stop"
        reply = await ann.post(
            f"/api/messages/{root['message_id']}/reply", {"content": "ok"}, headers=csrf
        )
        assert reply.status == 201
        users = (await ann.get("/api/users?q=an")).json["users"]
        assert [one["username"] for one in users] == ["ann"]

        out = await ann.post("/api/auth/logout")
        assert (out.status, out.json) == (200, {"ok": True})
        assert (await ann.get("/api/conversations")).status == 401
        await stream.close()
