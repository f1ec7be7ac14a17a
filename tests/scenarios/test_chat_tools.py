"""People list and run deterministic tools, under the policies of the server."""

import uuid
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.scenarios.test_replies import site

from interlock.tools.registry import TOOLS

pytestmark = pytest.mark.anyio


async def _invoke(person: Any, name: str, arguments: Any, **more: Any) -> httpx.Response:
    answer: httpx.Response = await person.http.post(
        f"/api/tools/{name}/invoke", json={"arguments": arguments, **more}, headers=person.csrf
    )
    return answer


async def test_every_listed_example_gives_what_it_says(tmp_path: Path) -> None:
    async with site(tmp_path) as (_, person):
        listed = (await person.http.get("/api/tools")).json()
        one = (await person.http.get("/api/tools/math_evaluate")).json()
        failed, ran = [], 0
        for tool in listed["tools"]:
            if tool["name"] == "hash_digest":
                continue  # the policy of this server denies it after others
            for example in tool["examples"]:
                answer = (await _invoke(person, tool["name"], example["arguments"])).json()
                ran += 1
                if not answer["ok"] or answer["output"] != example["output"]:
                    failed.append((tool["name"], answer))

    assert [tool["name"] for tool in listed["tools"]] == sorted(TOOLS)
    assert listed["total"] == len(TOOLS)
    assert one in listed["tools"]
    assert failed == []
    assert ran >= len(TOOLS) - 1


async def test_the_same_call_gives_the_same_hashes_and_comes_from_the_cache(tmp_path: Path) -> None:
    async with site(tmp_path) as (_, person):
        first, second = [
            (await _invoke(person, "math_evaluate", {"expression": "0.1+0.2"})).json()
            for _ in range(2)
        ]

    assert first["output"] == second["output"] == {"result": "0.3"}
    assert (first["input_hash"], first["output_hash"]) == (
        second["input_hash"],
        second["output_hash"],
    )
    assert (first["cached"], second["cached"]) == (False, True)


async def test_a_failure_inside_a_tool_is_an_outcome(tmp_path: Path) -> None:
    async with site(tmp_path) as (_, person):
        answer = await _invoke(person, "math_evaluate", {"expression": "1/0"})

    assert answer.status_code == 200
    assert answer.json()["ok"] is False
    assert set(answer.json()["error"]) == {"code", "message"}


async def test_a_denied_call_is_403_and_names_its_decision(tmp_path: Path) -> None:
    async with site(tmp_path) as (gateway, person):
        await _invoke(person, "text_stats", {"text": "from a stranger"})
        denied = await _invoke(person, "hash_digest", {"text": "x"})
        decision = denied.json()["details"]["decision_id"]
        stored = await gateway.app.store.history.decision(decision)

    assert (denied.status_code, denied.json()["code"]) == (403, "policy_denied")
    assert stored is not None
    assert (stored.tool, stored.surface) == ("hash_digest", "chat")
    assert set(stored.caller["roles"]) >= {"server_admin"}


async def test_labels_of_a_conversation_stay_in_it(tmp_path: Path) -> None:
    async with site(tmp_path) as (_, person):
        ids = []
        for title in ("one", "two"):
            made = await person.http.post(
                "/api/conversations", json={"title": title}, headers=person.csrf
            )
            ids.append(made.json()["conversation_id"])
        await _invoke(person, "text_stats", {"text": "x"}, conversation_id=ids[0])
        answers = [
            await _invoke(person, "hash_digest", {"text": "x"}, conversation_id=one) for one in ids
        ]

    assert [one.status_code for one in answers] == [403, 200]


@pytest.mark.parametrize(
    ("name", "body", "status"),
    [
        ("math_evaluate", {"arguments": {}}, 422),
        ("math_evaluate", {"arguments": {"expression": 1}}, 422),
        ("math_evaluate", {"arguments": []}, 422),
        ("no_such_tool", {"arguments": {}}, 404),
        ("math_evaluate", {"arguments": {"expression": "1"}, "conversation_id": "x"}, 422),
        (
            "math_evaluate",
            {"arguments": {"expression": "1"}, "conversation_id": str(uuid.UUID(int=7))},
            404,
        ),
    ],
)
async def test_what_cannot_be_run_is_said_before_anything_runs(
    tmp_path: Path, name: str, body: dict[str, Any], status: int
) -> None:
    async with site(tmp_path) as (_, person):
        answer = await person.http.post(f"/api/tools/{name}/invoke", json=body, headers=person.csrf)
        nobody = await person.http.post(f"/api/tools/{name}/invoke", json=body)

    assert answer.status_code == status, answer.text
    assert nobody.status_code == 403
