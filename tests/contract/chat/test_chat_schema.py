"""The API keeps to its own document, whatever it is sent."""

import os
from contextlib import suppress
from typing import Any

import pytest
from tests.support.chat_client import ChatClient
from tests.support.chat_fuzz import Fuzz
from tests.support.chat_site import chat_site
from tests.support.requirements import requirement

from interlock.conversations.ports import NoReplies
from interlock.storage.engine import Database

pytestmark = pytest.mark.anyio
EXAMPLES = int(os.environ.get("SCHEMATHESIS_EXAMPLES", "4"))
"""Of each operation and kind; `make schemathesis` sends many more."""


@requirement("chat.openapi.kept")
async def test_no_request_made_from_the_document_gets_what_the_document_does_not_say(
    database: Database,
) -> None:
    async with chat_site(database, replies=NoReplies(), enabled=False) as site:
        root = await site.browser("root", "admin")
        member = await site.person("ann")
        made = (await root.post("/api/conversations", {"title": "x"})).json["conversation_id"]
        posted = (await root.post(f"/api/threads/{made}/root", {"content": "go"})).json
        slow = {"name": "slow", "params": {"requests_per_second": 1}}
        profile = (await root.post("/api/admin/limits/profiles", slow)).json["id"]
        document = (await root.get("/api/openapi.json")).json
        known = [made, posted["message_id"], member, profile]
        key = ChatClient(site.app, {"authorization": f"Bearer {await site.key('root')}"})

        fuzz = Fuzz(document, key, known, examples=EXAMPLES)
        await fuzz.run()
        browser = await site.signed_in("ann")
        again = Fuzz(document, browser, known, examples=EXAMPLES)
        await again.run(below=("/api/auth/", "/api/account/", "/api/setup"))

        assert fuzz.problems | again.problems == {}
        assert set(fuzz.seen) == {
            f"{method.upper()} {path}"
            for path, operations in document["paths"].items()
            for method in operations
        }


HALF, NUL = "a\ud800b", "a\x00b"
"""Half of a surrogate pair, which is no Unicode; a character PostgreSQL does not take."""


@requirement("chat.openapi.kept")
@pytest.mark.parametrize("bad", [HALF, NUL], ids=["surrogate", "nul"])
async def test_text_no_database_takes_is_refused_or_kept_but_never_breaks_anything(
    database: Database, bad: str
) -> None:
    async with chat_site(database, replies=NoReplies(), enabled=False) as site:
        ann = await site.browser("ann", "admin")
        made = (await ann.post("/api/conversations", {"title": "x"})).json["conversation_id"]
        root, read = f"/api/threads/{made}/root", {"content": "x"}
        message = (await ann.post(root, read)).json["message_id"]
        bodies: list[tuple[str, dict[str, object]]] = [
            ("/api/conversations", {"title": bad}),
            ("/api/conversations", {"title": "x", "system_prompt": bad}),
            ("/api/conversations", {"title": "x", "model": bad}),
            ("/api/conversations", {"title": "x", "default_agent": bad}),
            (root, {"content": bad}),
            *[
                (root, read | {name: value})
                for name, value in {
                    "metadata": {"a": [bad], bad: 1},
                    "agent": bad,
                    "system": bad,
                    "model": bad,
                    "stop": [bad],
                    "tools": [bad],
                    "client_message_id": bad,
                    "reasoning": {"mode": bad},
                    "retrieval": {"sources": [bad]},
                }.items()
            ],
            ("/api/chat", {"message": "x", "title": bad}),
            (f"/api/messages/{message}/edit", {"content": bad}),
            (f"/api/messages/{message}/edit", {"content": "x", "reason": bad}),
            (f"/api/messages/{message}/delete", {"reason": bad}),
            (f"/api/messages/{message}/restore", {}),
            (f"/api/threads/{message}/read", {"path": bad}),
            (f"/api/conversations/{made}/invites", {"email": f"{bad}@x.de", "role": "member"}),
            ("/api/invites/accept", {"token": bad}),
            ("/api/presence/heartbeat", {"status": bad}),
            ("/api/auth/login", {"email": bad, "password": bad}),
            ("/api/setup", {"username": bad, "email": bad, "password": bad}),
            ("/api/account/password", {"current_password": bad, "new_password": bad}),
            ("/api/admin/limits/profiles", {"name": bad, "params": {bad: bad}}),
            (
                "/api/admin/limits/assignments",
                {"profile_id": made, "method": "GET", "path": f"/{bad}"},
            ),
            (
                "/v1/chat/completions",
                {"model": bad, "messages": [{"role": "user", "content": bad}], bad: 1},
            ),
        ]
        for path, body in bodies:
            told = await ann.post(path, body)
            assert told.status < 500, (path, body, told.body)
            if bad == HALF and body and "login" not in path:
                assert told.status == 400, (path, body)
        for query in (
            "/api/search?q=%00",
            "/api/search?q=%ED%A0%80",
            "/api/users?q=%00",
            "/api/conversations?q=%00",
            "/api/conversations?cursor=%00",
            f"/api/threads/{message}/tree?cursor_path=%00",
            f"/api/conversations/{made}/threads?after=%00",
            "/v1/models/%00",
            f"/api/messages/{message}/chunks?from=99999999999999999999",
            f"/api/conversations/{made}/threads?limit=99999999999999999999",
        ):
            assert (await ann.get(query)).status < 500, query


@requirement("chat.errors.envelope")
async def test_a_body_that_grows_too_large_while_it_is_read_is_told_so(database: Database) -> None:
    async with chat_site(database) as site:
        for path, told_in in (("/api/auth/login", "code"), ("/v1/chat/completions", "error")):
            told = await ChatClient(site.app).send(
                "POST",
                path,
                raw=b'"' + b"x" * (1 << 20) + b'"',
                headers={"content-length": "", "transfer-encoding": "chunked"},
            )
            assert (told.status, told_in in told.json) == (413, True)
            assert told.headers["trace_id"]


@requirement("chat.errors.envelope")
async def test_what_breaks_inside_and_what_does_not_fit_have_the_envelope_too(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with chat_site(database) as site:
        whole = site.app

        async def quiet(*given: Any) -> None:  # the server logs what is raised after the answer
            with suppress(RuntimeError):
                await whole(*given)

        site.app = quiet
        ann = await site.browser("ann")

        async def breaks(*args: object, **named: object) -> None:
            raise RuntimeError("SELECT secret FROM inside")

        monkeypatch.setattr(type(site.talk.talks.conversations), "create_once", breaks)
        calls = [
            (await ann.post("/api/conversations", {"title": "x"}), 500, "internal_error"),
            (
                await ann.post("/api/auth/login", {"email": " ", "password": "x"}),
                422,
                "invalid_request",
            ),
            (
                await ann.post("/api/account/password", {"current_password": 7}),
                422,
                "invalid_request",
            ),
            (
                await ann.post("/api/admin/limits/profiles", {"name": "x"}),
                403,
                "forbidden",
            ),
        ]
        for answer, status, code in calls:
            assert (answer.status, answer.json["code"]) == (status, code), answer.body
            assert isinstance(answer.json["details"], dict)
            assert len(answer.headers["trace_id"]) == 32
            assert answer.headers["x-request-id"]
            assert answer.headers["cache-control"] == "no-store"
            assert b"SELECT" not in answer.body
            assert b"Traceback" not in answer.body
