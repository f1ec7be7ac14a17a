"""Budgets hold whatever asks a model: SDK requests, streams, dual-llm, embeddings, chats."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.support.gateway import Gateway, running_gateway

from interlock.identity.model import Actor
from interlock.limits.budgets.model import BudgetSpec

pytestmark = pytest.mark.anyio

_ACTOR = Actor(name="test", surface="cli")
_ADMIN = {"email": "root@example.com", "password": "correct horse battery"}
_ENVIRON = {
    "INTERLOCK_ADMIN_EMAIL": _ADMIN["email"],
    "INTERLOCK_ADMIN_PASSWORD": _ADMIN["password"],
    "INTERLOCK_RATE_LIMITS_ADMIN_API_ENABLED": "true",
}
_TOML = '[aliases]\nsmall = [{provider = "demo", model = "demo-small"}]\n'


async def put(gateway: Gateway, **spec: Any) -> None:
    values = {"kind": "key", "subject": "*", "unit": "tokens", "period": "day", **spec}
    await gateway.app.money.admin.put(_ACTOR, BudgetSpec(**values))
    await gateway.app.money.budgets.load()


def asked(text: str, **more: Any) -> dict[str, Any]:
    return {"model": "demo", "messages": [{"role": "user", "content": text}], **more}


async def ask(gateway: Gateway, text: str = "hello", **more: Any) -> httpx.Response:
    answer = await gateway.post("/control/chat/demo/v1/chat/completions", asked(text, **more))
    await gateway.app.money.budgets.close()
    return answer


async def used(gateway: Gateway) -> float:
    """Tokens counted for the only budget."""
    (budget,) = await gateway.app.money.admin.all()
    (key,) = await gateway.app.store.admin.keys()
    return (await gateway.app.money.budgets.state(budget, key.id)).spent


async def test_a_spent_budget_answers_in_the_words_of_each_format(tmp_path: Path) -> None:
    async with running_gateway(tmp_path / "data") as gateway:
        await put(gateway, amount=5)
        first = await ask(gateway, "TOKENS 20")
        answers = [
            await ask(gateway),
            await ask(gateway, stream=True),
            await gateway.post(
                "/control/chat/demo/v1/messages",
                {**asked("hello"), "max_tokens": 10},
            ),
            await gateway.post(
                "/control/chat/demo/v1/responses", {"model": "demo", "input": "hello"}
            ),
            await gateway.post(
                "/control/chat/demo/v1/embeddings", {"model": "demo", "input": "hello"}
            ),
        ]

    assert first.status_code == 200
    assert {one.status_code for one in answers} == {402}
    assert all("budget of 5 tokens" in one.text for one in answers)
    assert "quota_exceeded" in answers[0].text


async def test_streams_and_dual_llm_count_what_all_their_models_used(tmp_path: Path) -> None:
    async with running_gateway(tmp_path / "data") as gateway:
        await put(gateway, amount=1e6)
        streamed = await ask(
            gateway, "TOKENS 50", stream=True, stream_options={"include_usage": True}
        )
        after_stream = await used(gateway)
        dual = await gateway.post(
            "/control/chat/demo/v1/chat/completions",
            asked("say hello"),
            **{"X-Features": json.dumps({"agent_arch": "dual-llm"})},
        )
        await gateway.app.money.budgets.close()
        after_dual = await used(gateway)
        await gateway.app.store.recorder.flush(wait_s=10)
        (total,) = await gateway.app.store.history.usage(by=())

    assert streamed.status_code == dual.status_code == 200
    assert after_stream >= 50
    assert after_dual > after_stream
    assert after_dual == total.input_tokens + total.output_tokens


async def test_an_upstream_that_fails_leaves_nothing_reserved(tmp_path: Path) -> None:
    async with running_gateway(tmp_path / "data") as gateway:
        await put(gateway, amount=1e6)
        failed = await ask(gateway, "FAIL 500")
        (budget,) = await gateway.app.money.admin.all()
        (key,) = await gateway.app.store.admin.keys()
        state = await gateway.app.money.budgets.state(budget, key.id)

    assert failed.status_code >= 500
    assert state.reserved == 0


async def test_a_warning_is_a_header_and_a_cheaper_model_answers(tmp_path: Path) -> None:
    async with running_gateway(tmp_path / "data", toml=_TOML) as gateway:
        await put(gateway, amount=10, action="cheaper", model="small")
        before = await ask(gateway, "TOKENS 20")
        whole = await ask(gateway, "hello")
        streamed = await ask(gateway, "hello", stream=True)
        await gateway.app.store.recorder.flush(wait_s=10)
        rows = await gateway.app.store.history.usage(by=("model",))

    assert "x-interlock-budget" not in before.headers
    assert before.json()["model"] == "demo"
    assert whole.json()["model"] == "demo-small"
    assert whole.json()["choices"][0]["message"]["content"] == "ECHO hello"
    for answer in (whole, streamed):
        assert "of the key's budget of 10 tokens" in answer.headers["x-interlock-budget"]
    assert [row.group["model"] for row in rows] == ["demo"]  # as asked for


async def test_a_restarted_server_knows_what_was_spent(tmp_path: Path) -> None:
    async with running_gateway(tmp_path / "data") as gateway:
        await put(gateway, amount=10)
        await ask(gateway, "TOKENS 20")
    async with running_gateway(tmp_path / "data") as gateway:
        again = await ask(gateway)

    assert again.status_code == 402


async def test_replies_count_for_who_asked_and_administrators_see_it(tmp_path: Path) -> None:
    async with running_gateway(tmp_path / "data", environ=_ENVIRON) as gateway:
        http = gateway.http
        csrf = {
            "x-csrf-token": (await http.post("/api/auth/login", json=_ADMIN)).json()["csrf_token"]
        }
        me = (await http.get("/api/auth/me")).json()["user"]["id"]
        spec = {
            "kind": "user", "subject": me, "unit": "tokens", "period": "month", "amount": 10
        }  # fmt: skip
        path = "/api/admin/limits/budgets"
        made = await http.put(path, json=spec, headers=csrf)
        bad = await http.put(path, json={**spec, "action": "cheaper"}, headers=csrf)
        talk = {"message": "TOKENS 30", "wait": True}
        first = (await http.post("/api/chat", json=talk, headers=csrf)).json()
        await gateway.app.money.budgets.close()
        (listed,) = (await http.get(path)).json()
        second = (await http.post("/api/chat", json=talk, headers=csrf)).json()
        gone = await http.delete(f"{path}/{made.json()['id']}", headers=csrf)
        missing = await http.get(f"{path}/{made.json()['id']}")
        third = (await http.post("/api/chat", json=talk, headers=csrf)).json()

    assert made.status_code == 200
    assert (bad.status_code, bad.json()["code"]) == (422, "invalid_budget")
    assert first["status"] == third["status"] == "complete"
    assert listed["state"]["spent"] >= 30
    assert (second["status"], second["message"]["error"]["code"]) == ("error", "rate_limited")
    assert second["message"]["content"] == "The budget for models is spent."
    assert (gone.status_code, missing.status_code) == (204, 404)
