"""Ids of other people's things: every route that takes one, found in the real routers.

A route that is added without saying here what its ids are makes these tests fail.
"""

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from tests.support.console_site import console_site
from tests.support.console_traffic import fill
from tests.support.gateway import Gateway, running_gateway

from interlock.console.registry import PAGES
from interlock.identity.model import Actor, KeySpec
from interlock.surfaces.control.routing import Operation, Router

pytestmark = pytest.mark.anyio
_PASSWORD = "correct horse battery"
_ACTOR = Actor(name="test", surface="cli")
_NOBODY = "00000000-0000-4000-8000-000000000000"
_SECRET = "the launch is on Tuesday"
_FORBIDDEN, _MISSING = 403, 404


class Person:
    """Somebody signed in."""

    def __init__(self, http: httpx.AsyncClient, csrf: str, user_id: str) -> None:
        self.http = http
        self.csrf = csrf
        self.id = user_id

    async def send(self, method: str, path: str, body: Any = None) -> httpx.Response:
        more = {} if body is None else {"files": body} if _is_form(body) else {"json": body}
        return await self.http.request(
            method, path, headers={"x-csrf-token": self.csrf}, timeout=20, **more
        )


def _is_form(body: Any) -> bool:
    return isinstance(body, dict) and "file" in body


@pytest.fixture
async def gateway(tmp_path: Path, anyio_backend: str) -> AsyncIterator[Gateway]:
    del anyio_backend
    environ = {
        "INTERLOCK_ADMIN_EMAIL": "root@example.com",
        "INTERLOCK_ADMIN_PASSWORD": _PASSWORD,
        "INTERLOCK_RATE_LIMITS_ADMIN_API_ENABLED": "true",
        "INTERLOCK_RATE_LIMITS_DEFAULT_RPS": "100000",
        "INTERLOCK_RATE_LIMITS_BURST": "100000",
        "INTERLOCK_RATE_LIMITS_AUTH_LOGIN_PER_IP_PER_MIN": "1000",
    }
    async with running_gateway(tmp_path / "data", environ=environ) as running:
        yield running


@pytest.fixture
async def people(gateway: Gateway) -> AsyncIterator["People"]:
    made: dict[str, Person] = {}

    async def person(name: str) -> Person:
        made[name] = await _person(gateway, name)
        return made[name]

    yield person
    for one in made.values():
        await one.http.aclose()


People = Callable[[str], Awaitable[Person]]


async def _person(gateway: Gateway, name: str) -> Person:
    if name != "root":
        await gateway.app.store.people.create_user(
            f"{name}@example.com", _ACTOR, username=name, password=_PASSWORD
        )
    http = httpx.AsyncClient(base_url=gateway.base_url)
    body = {"email": f"{name}@example.com", "password": _PASSWORD}
    login = (await http.post("/api/auth/login", json=body)).raise_for_status().json()
    return Person(http, login["csrf_token"], login["user"]["id"])


async def _things(ann: Person) -> dict[str, str]:
    """Ids of one of everything a person can own."""
    body = {"title": _SECRET, "is_group": True}
    conversation = (await ann.send("POST", "/api/conversations", body)).json()["conversation_id"]
    place = f"/api/conversations/{conversation}"
    file = {"file": ("notes.txt", _SECRET.encode(), "text/plain")}
    attachment = (await ann.send("POST", f"{place}/attachments", file)).json()["id"]
    asked = await ann.send(
        "POST", f"{place}/reply", {"content": f"@assistant SAY {_SECRET}", "wait": True}
    )
    told = asked.json()
    invite = {"email": "cleo@example.com", "role": "member"}
    token = (await ann.send("POST", f"{place}/invites", invite)).json()["token"]
    sessions = (await ann.http.get("/api/account/sessions")).json()["sessions"]
    return {
        "conversation": conversation,
        "message": told["message_id"],
        "reply": told["assistant_message_ids"][0]
        if "assistant_message_ids" in told
        else told["assistant_message_id"],
        "attachment": attachment,
        "invite": token,
        "session": sessions[0]["id"],
        "user": ann.id,
    }


_REPLY_ACTIONS = ("cancel", "regenerate", "reasoning")
_SAME_FOR_ALL = {
    "/.well-known/{path:path}": "documents of the server",
    "/api/tools/{name}": "the catalogue of tools",
    "/api/tools/{name}/invoke": "the catalogue of tools",
    "/v1/models/{model_id:path}": "the catalogue of models",
    "/api/v1/models/{model_id:path}": "the catalogue of models",
    "/api/admin/limits/profiles/{id}": "of the server: administrators alone",
    "/api/admin/limits/assignments/{id}": "of the server: administrators alone",
    "/api/admin/limits/budgets/{id}": "of the server: administrators alone",
}
"""Routes whose parameter is no id of anybody's, and why."""
_HIDDEN = {"/api/account/sessions/{session_id}", "/api/invites/{token}/revoke"}
"""Routes that do not even tell that there is such a thing: 404 in any case."""
_BODIES: dict[str, Any] = {
    "PATCH /api/conversations/{id}": {"title": "taken over"},
    "POST /api/conversations/{id}/reply": {"content": "x"},
    "POST /api/conversations/{id}/participants": {"user_id": _NOBODY, "role": "member"},
    "POST /api/conversations/{id}/invites": {"email": "x@example.com", "role": "member"},
    "POST /api/conversations/{id}/attachments": {"file": ("x.txt", b"x", "text/plain")},
    "POST /api/threads/{conversation_id}/root": {"content": "x"},
    "POST /api/messages/{parent_id}/reply": {"content": "x"},
    "POST /api/messages/{id}/edit": {"content": "x"},
    "PATCH /api/attachments/{id}": {"text": "x"},
}


def _kind(path: str, name: str) -> str:
    """What the id in a path is of."""
    if name == "user_id":
        return "user"
    if name == "session_id":
        return "session"
    if name == "token":
        return "invite"
    if name == "conversation_id" or path.startswith("/api/conversations/"):
        return "conversation"
    if path.startswith("/api/attachments/"):
        return "attachment"
    if path.startswith("/api/messages/"):
        return "reply" if path.endswith(_REPLY_ACTIONS) else "message"
    if path.startswith("/api/threads/"):
        return "message"
    raise AssertionError(f"say what `{name}` of {path} is an id of")


def _chat_routes(gateway: Gateway) -> Iterator[tuple[str, str]]:  # FastAPI nests routers
    """Methods and paths of the real application, hidden ones included."""
    found: Any = gateway.app.people.chat
    while not isinstance(found, FastAPI):
        found = found._app
    routes = list(found.routes)
    while routes:
        route = routes.pop()
        included = getattr(route, "original_router", None)
        if included is not None:
            routes += included.routes
            continue
        assert isinstance(route, APIRoute), route
        if "{" in route.path and route.path not in _SAME_FOR_ALL:
            for method in route.methods:
                yield method, route.path


async def test_no_route_of_the_chat_api_tells_strangers_more_than_that_they_are_strangers(
    gateway: Gateway, people: People
) -> None:
    ann, root, mallory = await people("ann"), await people("root"), await people("mallory")
    things = await _things(ann)
    before = await _state(ann, things)
    tried = 0
    for method, path in _chat_routes(gateway):
        for whose, ids in (("ann's", things), ("nobody's", dict.fromkeys(things, _NOBODY))):
            place = re.sub(
                r"{(\w+)(:\w+)?}",
                lambda hit, path=path, ids=ids: ids[_kind(path, hit[1])],
                path,
            )
            wanted = _FORBIDDEN if whose == "ann's" and path not in _HIDDEN else _MISSING
            if path.endswith("/revoke") and whose == "ann's":
                wanted = _FORBIDDEN  # who has the token may know that it is one
            for stranger in (mallory, root):
                told = await stranger.send(method, place, _BODIES.get(f"{method} {path}"))
                assert told.status_code == wanted, (method, path, whose, told.text)
                assert told.json()["code"] == {403: "forbidden", 404: "not_found"}[wanted]
                text = told.text + repr(told.headers)
                assert _SECRET not in text
                assert "ann@example.com" not in text
        tried += 1
    assert tried >= 35
    assert await _state(ann, things) == before


async def _state(ann: Person, things: dict[str, str]) -> list[Any]:
    """All that a stranger might have changed."""
    place = f"/api/conversations/{things['conversation']}"
    paths = ("", "/participants", "/attachments", "/export")
    found = [(await ann.http.get(place + path)).json() for path in paths]
    found.append([one["id"] for one in (await ann.http.get(f"{place}/invites")).json()["invites"]])
    found.append((await ann.http.get("/api/account/sessions")).status_code)
    return found


async def test_ids_in_bodies_and_queries_tell_strangers_nothing_either(people: People) -> None:
    ann, mallory = await people("ann"), await people("mallory")
    things = await _things(ann)
    own = (await mallory.send("POST", "/api/conversations", {"title": "own"})).json()
    mine = own["conversation_id"]
    root = await mallory.send("POST", f"/api/threads/{mine}/root", {"content": "hello"})
    message = root.json()["message_id"]
    for whose, ids in (("ann's", things), ("nobody's", dict.fromkeys(things, _NOBODY))):
        c, m, a = ids["conversation"], ids["message"], ids["attachment"]
        wanted = _FORBIDDEN if whose == "ann's" else _MISSING
        calls: list[tuple[str, str, Any]] = [
            ("POST", "/api/chat", {"message": "x", "conversation_id": c}),
            ("POST", "/api/chat", {"message": "x", "parent_id": m}),
            ("GET", f"/api/chat/stream?conversation_id={c}", None),
            ("GET", f"/api/chat/stream?conversation_id={mine}&conversation_id={c}", None),
            ("GET", f"/api/search?q=launch&conversation_id={c}", None),
            ("GET", f"/api/users?conversation_id={c}", None),
            ("POST", "/api/typing", {"conversation_id": c, "root_id": m, "seconds": 1}),
        ]
        for method, path, body in calls:
            told = await mallory.send(method, path, body)
            assert told.status_code == wanted, (method, path, body, told.text)
        strange = [
            ("POST", "/api/chat", {"message": "x", "conversation_id": mine, "parent_id": m}),
            ("POST", f"/api/conversations/{mine}/reply", {"content": "x", "parent_id": m}),
            ("POST", f"/api/conversations/{mine}/reply", {"content": "x", "root_id": m}),
            ("POST", f"/api/threads/{mine}/root", {"content": "x", "attachments": [a]}),
            ("POST", "/api/typing", {"conversation_id": mine, "root_id": m, "seconds": 1}),
            ("GET", f"/api/conversations/{mine}?before={m}", None),
            ("GET", f"/api/conversations/{mine}?root_id={m}", None),
            (
                "POST",
                "/v1/chat/completions",
                {
                    "model": "demo",
                    "messages": [{"role": "user", "content": "x"}],
                    "metadata": {"rustygpt": {"conversation_id": c, "parent_message_id": m}},
                },
            ),
        ]
        for method, path, body in strange:
            told = await mallory.send(method, path, body)
            shown = (method, path, body, told.status_code, told.text)
            assert told.status_code in {200, 400, 403, 404}, shown
            assert told.status_code != 200 or method == "GET", shown
            assert _SECRET not in told.text, shown
    found = (await mallory.http.get(f"/api/conversations/{mine}")).json()
    assert [one["id"] for one in found["messages"] if one["role"] == "user"] == [message]
    stored = (await ann.http.get(f"/api/conversations/{things['conversation']}")).json()
    assert len([one for one in stored["messages"] if one["role"] == "user"]) == 1


_OF_SERVER = {
    "/console/policies/{name}": "policies belong to the server and have names, not ids",
    "/console/providers/{name}": "providers belong to the server",
    "/console/settings/{tab}": "parts of one page",
    "/console/assets/": "files of the console itself",
}


async def test_no_page_of_the_console_tells_foreign_ids_from_unknown_ones(tmp_path: Path) -> None:
    async with console_site(tmp_path / "data") as site:
        facts = await fill(site)
        things = {
            "/console/decisions/": (facts["decision"], "dec_none"),
            "/console/approvals/": (facts["approval"], "apr_none"),
            "/console/keys/": (facts["key"], "key_none"),
            "/console/go/": (facts["decision"], "dec_none"),
            "/console/chat/": (_NOBODY, _NOBODY.replace("4", "5")),  # real ones: test_chat_page
            # Administrators alone, whatever the id; and links that are signed: test_invites.
            "/console/users/": (_NOBODY, _NOBODY.replace("4", "5")),
            "/console/limits/profiles/": (_NOBODY, _NOBODY.replace("4", "5")),
            "/console/invite/": (_NOBODY, _NOBODY.replace("4", "5")),
        }
        tried = 0
        async with site.client("stranger") as browser:
            for page in PAGES:
                if "{" not in page.path or page.path.startswith(tuple(_OF_SERVER)):
                    continue
                known = [ids for prefix, ids in things.items() if page.path.startswith(prefix)]
                assert known, f"say what the ids of {page.path} are of"
                for method in page.methods:
                    answers = []
                    for one in known[0]:
                        path = re.sub(r"{id}|{token}", one, page.path)
                        path = path.replace("{message}", one).replace("{what}", "stop")
                        assert "{" not in path, f"say what the ids of {page.path} are of"
                        form = {"csrf": "csrf-stranger", "do": "allow", "content": "x"}
                        told = await browser.request(
                            method, path, data=form if method == "POST" else None
                        )
                        text = re.sub(r"req_[0-9a-f]+", "REQUEST", told.text).replace(one, "ID")
                        answers.append((told.status_code, text))
                    assert answers[0] == answers[1], page.path
                    assert answers[0][0] in {403, 404}, (method, page.path, answers[0][0])
                    tried += 1
        assert tried >= 10


_WITHOUT_IDS = {
    "root", "health", "validate", "chat", "messages", "responses", "generate", "embeddings",
    "count_tokens", "models", "model",
}  # fmt: skip
"""Operations of the gateway whose paths name nothing that is anybody's."""


async def test_no_route_of_the_gateway_tells_foreign_ids_from_unknown_ones(
    gateway: Gateway,
) -> None:
    admin = gateway.app.store.admin
    await admin.create_user("eve@example.com", _ACTOR)
    eve = await admin.create_key(KeySpec(label="eve"), _ACTOR, user="eve@example.com")
    asked = await gateway.post(
        "/control/chat/demo/v1/responses", {"model": "demo", "input": f"SAY {_SECRET}"}
    )
    response, session = asked.json()["id"], asked.headers["x-session-id"]
    annotation = {"annotator": "tests", "outcome": "success"}
    made = await gateway.post(f"/control/annotations/v1/sessions/{session}", annotation)
    ids = {
        "response": (response, "resp_" + "0" * len(response.removeprefix("resp_"))),
        "session": (session, _NOBODY),
        "annotation": (str(made.json().get("id", "ann_1")), "ann_0"),
    }
    covered = set()
    router = Router(())
    for listed in router.list_routes():
        method, path = listed["method"], listed["path"]
        if "/demo/" in path or path.count("{id}") == 0:
            continue
        operation = router.resolve(method, path.replace("{id}", "x")).operation
        if operation in _WITHOUT_IDS:
            continue
        covered.add(operation)
        kinds = ("response",) if "/responses/" in path else ("session", "annotation")
        answers = []
        for which in (0, 1):
            place = path
            for kind in kinds[: path.count("{id}")]:
                place = place.replace("{id}", ids[kind][which], 1)
            body = annotation if operation == "annotations" and method == "POST" else None
            told = await gateway.http.request(
                method, place, json=body, headers={"authorization": f"Bearer {eve.token}"}
            )
            text = told.text
            for kind in kinds:
                text = text.replace(ids[kind][which], "ID")
            answers.append((told.status_code, re.sub(r"req_\w+", "REQUEST", text)))
        assert answers[0] == answers[1], (method, path)
        assert answers[0][0] in {400, 404}, (method, path, answers[0])
        assert _SECRET not in answers[0][1]
    batch = {"items": [{"session_id": session, "annotation": annotation}]}
    told = await gateway.http.post(
        "/control/annotations/v1/sessions/batch",
        json=batch,
        headers={"authorization": f"Bearer {eve.token}"},
    )
    assert told.json()["created"] == []
    assert covered | _WITHOUT_IDS == set(get_args(Operation))
    own = await gateway.http.get(
        f"/control/chat/demo/v1/responses/{response}",
        headers={"authorization": f"Bearer {gateway.key}"},
    )
    assert _SECRET in own.text
