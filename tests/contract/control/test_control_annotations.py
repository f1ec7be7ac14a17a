"""Annotations of sessions over HTTP: kept, listed, deleted, and whose they are."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.support.control_site import Site
from tests.support.gateway import Gateway, running_gateway
from tests.support.requirements import requirement

from interlock.gateway.annotations import service
from interlock.gateway.annotations.service import MAX_SIZE_BYTES
from interlock.identity.model import Actor, KeySpec

pytestmark = pytest.mark.anyio

NOBODYS = "3f2c1a90-0d4e-4b7a-9c55-6f1e2d3c4b5a"
ROOT = "/control/annotations/v1/sessions"
MANUAL: dict[str, Any] = {"source": "manual", "labels": {}}
WHOLE: dict[str, Any] = {
    "source": "tau2_bench",
    "labels": {
        "task_success": False,
        "task_id": "airline-7",
        "domain": "airline",
        "reward": 0.25,
        "error_category": "wrong tool",
    },
    "outcome_logs": ["one", {"two": [2, None, "\u0000 \u00e9"]}],
    "metadata": {"run": 3, "nested": {"x": True}},
}


async def new_session(gateway: Gateway, key: str | None = None) -> str:
    """A session with nothing worth storing."""
    return await talk(gateway, "hello", key)


async def talk(gateway: Gateway, text: str, key: str | None = None) -> str:
    tools = [{"type": "function", "function": {"name": "t", "parameters": {}}}]
    answer = await gateway.post(
        "/control/chat/demo/v1/chat/completions",
        {"model": "demo", "messages": [{"role": "user", "content": text}], "tools": tools},
        authorization=f"Bearer {key or gateway.key}",
    )
    assert answer.status_code == 200, answer.text
    session_id: str = answer.headers["x-session-id"]
    return session_id


async def ask(
    gateway: Gateway, method: str, path: str, body: Any = None, key: str | None = None
) -> httpx.Response:
    content = {"content": body} if isinstance(body, bytes) else {"json": body}
    return await gateway.http.request(
        method,
        ROOT + path,
        headers={"authorization": f"Bearer {key or gateway.key}"},
        **(content if body is not None else {}),
    )


def refused(answer: httpx.Response) -> tuple[int, str, str | None]:
    tree = answer.json()
    assert tree["type"] == "error"
    assert isinstance(tree["detail"], str)
    assert tree["detail"] == tree["message"] == tree["error"]["message"]
    assert tree["request_id"] == answer.headers["x-request-id"]
    return answer.status_code, tree["error"]["code"], tree["error"]["param"]


# Keeping


@requirement("control.annotations.kept")
@pytest.mark.parametrize("said", ["hello", "CALL t {}"], ids=["unstored", "stored"])
async def test_annotations_are_kept_listed_and_deleted(site: Site, said: str) -> None:
    session = await talk(site.gateway, said)
    before = datetime.now(UTC)
    first = await ask(site.gateway, "POST", f"/{session}", WHOLE)
    second = await ask(site.gateway, "POST", f"/{session.upper()}/", MANUAL)
    listed = await ask(site.gateway, "GET", f"/{session}")
    gone = await ask(site.gateway, "DELETE", f"/{session}/{first.json()['id']}")
    again = await ask(site.gateway, "DELETE", f"/{session}/{first.json()['id']}")
    left = await ask(site.gateway, "GET", f"/{session}")

    one, two = first.json(), second.json()
    assert [answer.status_code for answer in (first, second, listed, gone)] == [200] * 4
    assert {name: one[name] for name in WHOLE} == WHOLE
    assert one["id"].startswith("ann_")
    assert one["id"] != two["id"]
    assert before <= datetime.fromisoformat(one["timestamp"]) <= datetime.now(UTC)
    assert one["timestamp"].endswith("Z")
    assert two == {
        "id": two["id"],
        "session_id": session,
        "timestamp": two["timestamp"],
        "source": "manual",
        "labels": {},
        "outcome_logs": None,
        "metadata": None,
    }
    assert listed.json() == {"session_id": session, "annotations": [one, two]}
    assert gone.json() == {"id": one["id"], "deleted": True}
    assert refused(again) == (404, "annotation_not_found", None)
    assert left.json() == {"session_id": session, "annotations": [two]}
    assert "x-session-id" not in listed.headers


@requirement("control.annotations.kept")
async def test_a_session_without_annotations_has_an_empty_list(site: Site) -> None:
    session = await new_session(site.gateway)

    assert (await ask(site.gateway, "GET", f"/{session}")).json() == {
        "session_id": session,
        "annotations": [],
    }


@requirement("control.annotations.kept")
@pytest.mark.parametrize("said", ["hello", "CALL t {}"], ids=["unstored", "stored"])
async def test_annotations_survive_a_restart_and_the_end_of_the_session(
    tmp_path: Path, said: str
) -> None:
    async with running_gateway(tmp_path) as gateway:
        session = await talk(gateway, said)
        made = (await ask(gateway, "POST", f"/{session}", WHOLE)).json()
    expired = "[gateway]\nsession_lifetime_s = 1e-9\n"
    async with running_gateway(tmp_path, toml=expired) as gateway:
        over = await gateway.post(
            "/control/chat/demo/v1/chat/completions",
            {"model": "demo", "messages": [{"role": "user", "content": "x"}]},
            X_Session_ID=session,
        )
        later = (await ask(gateway, "POST", f"/{session}", MANUAL)).json()
        listed = (await ask(gateway, "GET", f"/{session}")).json()

    assert over.status_code == 404
    assert listed["annotations"] == [made, later]


@requirement("control.annotations.kept")
async def test_a_coding_clients_own_session_can_be_annotated(tmp_path: Path) -> None:
    async with running_gateway(tmp_path) as gateway:
        answer = await gateway.post(
            "/control/code/demo/v1/messages",
            {"model": "demo", "max_tokens": 9, "messages": [{"role": "user", "content": "x"}]},
            X_Claude_Code_Session_Id="mine",
        )
        session = answer.headers["x-session-id"]
        made = (await ask(gateway, "POST", f"/{session}", MANUAL)).json()
    async with running_gateway(tmp_path) as gateway:
        listed = (await ask(gateway, "GET", f"/{session}")).json()
        more = await ask(gateway, "POST", f"/{session}", MANUAL)

    assert listed["annotations"] == [made]
    assert more.status_code == 200


@requirement("control.annotations.kept")
async def test_annotations_go_with_the_decisions_of_their_time(tmp_path: Path) -> None:
    async with running_gateway(tmp_path) as gateway:
        session = await new_session(gateway)
        made = (await ask(gateway, "POST", f"/{session}", MANUAL)).json()
        at = datetime.fromisoformat(made["timestamp"]).timestamp()
        await gateway.app.annotations.purge(before=at)
        still = (await ask(gateway, "GET", f"/{session}")).json()["annotations"]
        await gateway.app.annotations.purge(before=at + 1)
        gone = (await ask(gateway, "GET", f"/{session}")).json()["annotations"]

    assert (still, gone) == ([made], [])


# Batches


@requirement("control.annotations.batch", "control.annotations.owner")
async def test_a_batch_keeps_what_is_right_and_names_what_is_wrong(site: Site) -> None:
    first, second = await new_session(site.gateway), await talk(site.gateway, "CALL t {}")
    foreign = await new_session(site.gateway, await site.new_key(user="batch@other.example"))
    items: list[Any] = [
        {"session_id": first, "annotation": WHOLE},
        {"session_id": NOBODYS, "annotation": MANUAL},
        {"session_id": foreign, "annotation": MANUAL},
        {"session_id": first, "annotation": {"source": "nobody", "labels": {}}},
        {"session_id": second, "annotation": {**MANUAL, "metadata": {"n": 2}}},
        {"session_id": second},
        {"session_id": 5, "annotation": MANUAL},
        "x",
        {"session_id": "no\u0000thing", "annotation": MANUAL},
        {"session_id": first, "annotation": {**MANUAL, "outcome_logs": "x" * MAX_SIZE_BYTES}},
        {"session_id": first, "annotation": []},
    ]
    answer = await ask(site.gateway, "POST", "/batch", {"items": items})
    listed = [(await ask(site.gateway, "GET", f"/{one}")).json() for one in (first, second)]

    tree = answer.json()
    assert answer.status_code == 200
    assert list(tree) == ["created", "errors"]
    assert [one["session_id"] for one in tree["created"]] == [first, second]
    assert [one["annotations"] for one in listed] == [[one] for one in tree["created"]]
    assert [(one["index"], one["code"], one["param"]) for one in tree["errors"]] == [
        (1, "session_not_found", None),
        (2, "session_not_found", None),
        (3, "invalid_request", "annotation.source"),
        (5, "invalid_request", "annotation"),
        (6, "invalid_request", "session_id"),
        (7, "invalid_request", None),
        (8, "session_not_found", None),
        (9, "request_too_large", "outcome_logs"),
        (10, "invalid_request", "annotation"),
    ]
    assert tree["errors"][2]["session_id"] == first
    assert all(isinstance(one["message"], str) for one in tree["errors"])


@requirement("control.annotations.batch")
@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "items"),
        ({"items": None}, "items"),
        ({"items": {}}, "items"),
        ({"items": [], "more": 1}, "more"),
        ({"items": [{}] * 101}, "items"),
        ([], None),
        (b"{", None),
    ],
)
async def test_a_batch_that_is_none_is_refused_whole(
    site: Site, body: Any, param: str | None
) -> None:
    assert refused(await ask(site.gateway, "POST", "/batch", body)) == (
        400,
        "invalid_request",
        param,
    )


@requirement("control.annotations.batch")
async def test_an_empty_batch_is_nothing(site: Site) -> None:
    answer = await ask(site.gateway, "POST", "/batch", {"items": []})

    assert answer.json() == {"created": [], "errors": []}


# Whose they are


@requirement("control.annotations.owner")
async def test_a_session_of_somebody_else_does_not_exist(site: Site) -> None:
    mine = await site.new_key(user="ann@owners.example")
    second_key = await site.new_key(user=None, label="another key of the administrator")
    session = await talk(site.gateway, "CALL t {}")
    unstored = await new_session(site.gateway)
    made = (await ask(site.gateway, "POST", f"/{session}", MANUAL)).json()

    for path in (f"/{session}", f"/{unstored}"):
        assert refused(await ask(site.gateway, "POST", path, MANUAL, mine))[:2] == (
            404,
            "session_not_found",
        )
        assert refused(await ask(site.gateway, "GET", path, None, mine))[:2] == (
            404,
            "session_not_found",
        )
    theft = await ask(site.gateway, "DELETE", f"/{session}/{made['id']}", None, mine)
    shared = await ask(site.gateway, "GET", f"/{session}", None, second_key)

    assert refused(theft)[:2] == (404, "session_not_found")
    assert shared.json()["annotations"] == [made]


@requirement("control.annotations.owner")
async def test_an_annotation_is_deleted_on_its_own_session_only(site: Site) -> None:
    session, other = await new_session(site.gateway), await new_session(site.gateway)
    made = (await ask(site.gateway, "POST", f"/{session}", MANUAL)).json()
    wrong = await ask(site.gateway, "DELETE", f"/{other}/{made['id']}")

    assert refused(wrong) == (404, "annotation_not_found", None)
    assert (await ask(site.gateway, "GET", f"/{session}")).json()["annotations"] == [made]


@requirement("control.annotations.owner")
@pytest.mark.parametrize(
    "session", [NOBODYS, "x", "%00", "a" * 5000, "..%2f..", "\u00e9", "b%61tch2"]
)
@pytest.mark.parametrize("method", ["POST", "GET"])
async def test_an_unknown_session_is_404(site: Site, session: str, method: str) -> None:
    answer = await ask(site.gateway, method, f"/{session}", MANUAL if method == "POST" else None)

    assert answer.status_code == 404
    assert answer.json()["error"]["type"] == "not_found_error"


@requirement("control.annotations.owner")
async def test_without_a_key_nothing_is_said(site: Site) -> None:
    session = await new_session(site.gateway)
    for method, path in (("POST", f"/{session}"), ("GET", f"/{session}"), ("POST", "/batch")):
        answer = await site.gateway.http.request(method, ROOT + path, json={})
        assert answer.status_code == 401


@requirement("control.annotations.owner")
async def test_other_methods_are_not_allowed(site: Site) -> None:
    session = await new_session(site.gateway)
    put = await ask(site.gateway, "PUT", f"/{session}", MANUAL)
    get = await ask(site.gateway, "GET", "/batch")
    head = await ask(site.gateway, "HEAD", f"/{session}")

    assert (put.status_code, put.headers["allow"]) == (405, "POST, GET, HEAD")
    assert (get.status_code, get.headers["allow"]) == (405, "POST")
    assert (head.status_code, head.content) == (200, b"")


# Bad input


@requirement("control.annotations.bad-body")
@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "source"),
        ({"labels": {}}, "source"),
        ({"source": "swe_bench"}, "labels"),
        ({"source": "SWE_BENCH", "labels": {}}, "source"),
        ({"source": None, "labels": {}}, "source"),
        ({**MANUAL, "labels": None}, "labels"),
        ({**MANUAL, "labels": []}, "labels"),
        ({**MANUAL, "labels": {"rewards": 1}}, "labels.rewards"),
        ({**MANUAL, "labels": {"reward": 1.01}}, "labels.reward"),
        ({**MANUAL, "labels": {"reward": -1}}, "labels.reward"),
        ({**MANUAL, "labels": {"reward": "1"}}, "labels.reward"),
        ({**MANUAL, "labels": {"reward": True}}, "labels.reward"),
        ({**MANUAL, "labels": {"task_success": "yes"}}, "labels.task_success"),
        ({**MANUAL, "labels": {"task_id": 5}}, "labels.task_id"),
        ({**MANUAL, "labels": {"domain": "x" * 501}}, "labels.domain"),
        ({**MANUAL, "metadata": []}, "metadata"),
        ({**MANUAL, "id": "mine"}, "id"),
        ([], None),
        (b"", None),
        (b"{", None),
        (b'{"source": "\xff"}', None),
        (b"[" * 100_000, None),
        (b'{"source": "manual", "labels": {}, "metadata": {"x": NaN}}', None),
        (b'{"source": "manual", "labels": {}, "metadata": {"x": "\\ud800"}}', None),
    ],
)
async def test_what_is_no_annotation_is_400_and_names_the_member(
    site: Site, body: Any, param: str | None
) -> None:
    session = await new_session(site.gateway)
    answer = await ask(site.gateway, "POST", f"/{session}", body)

    assert refused(answer) == (400, "invalid_request", param)
    assert (await ask(site.gateway, "GET", f"/{session}")).json()["annotations"] == []


@requirement("control.annotations.limits", "control.annotations.bad-body")
async def test_an_annotation_has_a_size(site: Site) -> None:
    session = await new_session(site.gateway)
    fits = {**MANUAL, "outcome_logs": "x" * (MAX_SIZE_BYTES - 2)}
    over = {**MANUAL, "outcome_logs": "x" * (MAX_SIZE_BYTES - 10), "metadata": {"a": "b"}}

    assert (await ask(site.gateway, "POST", f"/{session}", fits)).status_code == 200
    assert refused(await ask(site.gateway, "POST", f"/{session}", over)) == (
        413,
        "request_too_large",
        "outcome_logs",
    )


@requirement("control.annotations.limits")
async def test_a_session_has_room_for_so_many(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "MAX_PER_SESSION", 3)
    session, other = await new_session(site.gateway), await new_session(site.gateway)
    items = [{"session_id": session, "annotation": MANUAL}] * 4
    items.append({"session_id": other, "annotation": MANUAL})
    batch = (await ask(site.gateway, "POST", "/batch", {"items": items})).json()
    single = await ask(site.gateway, "POST", f"/{session}", MANUAL)

    assert len(batch["created"]) == 4
    assert [(one["index"], one["code"]) for one in batch["errors"]] == [(3, "too_many_annotations")]
    assert refused(single) == (409, "too_many_annotations", None)


@requirement("control.annotations.limits")
async def test_a_session_has_room_for_so_many_bytes(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "MAX_SESSION_BYTES", 100)
    session = await new_session(site.gateway)
    half = {**MANUAL, "outcome_logs": "x" * 48}
    answers = [await ask(site.gateway, "POST", f"/{session}", half) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [200, 200, 409]
    assert (await ask(site.gateway, "POST", f"/{session}", MANUAL)).status_code == 200


@requirement("control.annotations.kept", "control.annotations.owner")
async def test_annotations_work_on_postgresql(tmp_path: Path, postgresql_url: str) -> None:
    environ = {"INTERLOCK_DATABASE_URL": postgresql_url}
    async with running_gateway(tmp_path, environ=environ) as gateway:
        made = await gateway.app.store.admin.create_key(
            KeySpec(label="another"), Actor(name="tests", surface="server")
        )
        session = await talk(gateway, "CALL t {}")
        items = [{"session_id": session, "annotation": one} for one in (WHOLE, MANUAL)]
        batch = (await ask(gateway, "POST", "/batch", {"items": items})).json()
    async with running_gateway(tmp_path, environ=environ) as gateway:
        listed = (await ask(gateway, "GET", f"/{session}", None, made.token)).json()
        gone = await ask(gateway, "DELETE", f"/{session}/{batch['created'][0]['id']}")
        await gateway.app.annotations.purge(before=2e9)
        left = (await ask(gateway, "GET", f"/{session}")).json()

    assert listed["annotations"] == batch["created"]
    assert listed["annotations"][0]["outcome_logs"] == WHOLE["outcome_logs"]
    assert gone.status_code == 200
    assert left["annotations"] == []
