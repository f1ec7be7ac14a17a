"""A long tool result is inspected aside: others are answered meanwhile, and nothing slips by."""

import asyncio
import json
import threading
from pathlib import Path
from typing import Any

import pytest
from tests.support.gateway import Gateway, running_gateway

from interlock.policy.guards import Guards

pytestmark = pytest.mark.anyio

PATH = "/control/chat/demo/v1/chat/completions"
FEATURES = json.dumps({"content_classifiers": [{"name": "pii_redaction"}]})
MAIL = "ann.smith@example.com"
LONG = "nothing to see here " * (5 * 50_000) + MAIL
TOOLS = [{"type": "function", "function": {"name": "read", "parameters": {"type": "object"}}}]


class Gate:
    """Holds inspections of long texts back until it is opened."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reached = asyncio.Event()
        self.opened = threading.Event()
        self.passed: list[bool] = []
        loop = asyncio.get_running_loop()
        real = Guards.check_result

        def held(guards: Guards, value: object, **options: Any) -> Any:
            if isinstance(value, str) and len(value) > 1_000_000:
                loop.call_soon_threadsafe(self.reached.set)
                self.passed.append(self.opened.wait(5))
            return real(guards, value, **options)

        monkeypatch.setattr(Guards, "check_result", held)


async def _ask(gateway: Gateway, result: str) -> Any:
    first = [{"role": "user", "content": "CALL read {}"}]
    answer = await gateway.post(PATH, {"model": "demo", "messages": first, "tools": TOOLS})
    message = answer.json()["choices"][0]["message"]
    (call,) = message["tool_calls"]
    given = {"role": "tool", "tool_call_id": call["id"], "content": result}
    body = {"model": "demo", "messages": [*first, message, given], "tools": TOOLS}
    return await gateway.post(PATH, body, x_features=FEATURES)


async def test_another_request_is_answered_while_a_long_result_is_inspected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running_gateway(tmp_path) as gateway:
        gate = Gate(monkeypatch)
        waiting = asyncio.create_task(_ask(gateway, MAIL + LONG))
        async with asyncio.timeout(5):
            await gate.reached.wait()
        other = await _ask(gateway, f"write to {MAIL}")
        gate.opened.set()
        answer = await waiting

    assert gate.passed == [True]
    assert "[REDACTED:EMAIL]" in other.json()["choices"][0]["message"]["content"]
    said = answer.json()["choices"][0]["message"]["content"]
    assert (MAIL in said, "[REDACTED:EMAIL]" in said) == (False, True)


async def test_what_cannot_be_inspected_in_time_is_not_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toml = "[gateway]\nguard_wait_s = 0.05\n"
    async with running_gateway(tmp_path, toml=toml) as gateway:
        gate = Gate(monkeypatch)
        answer = await _ask(gateway, LONG)
        gate.opened.set()
        again = await _ask(gateway, f"write to {MAIL}")

    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "guard_timeout")
    assert answer.headers["retry-after"] == "1"
    assert again.status_code == 200


async def test_a_call_whose_arguments_cannot_be_inspected_in_time_is_denied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = threading.Event()
    real = Guards.check_arguments

    def held(guards: Guards, tool: str, args: Any) -> Any:
        opened.wait(5)
        return real(guards, tool, args)

    monkeypatch.setattr(Guards, "check_arguments", held)
    toml = "[gateway]\nguard_wait_s = 0.05\n"
    async with running_gateway(tmp_path, toml=toml) as gateway:
        text = f'CALL read {{"text": "{"x" * 20_000}"}}'
        body = {"model": "demo", "messages": [{"role": "user", "content": text}], "tools": TOOLS}
        answer = await gateway.post(PATH, body, x_features=FEATURES)
        opened.set()

    message = answer.json()["choices"][0]["message"]
    assert "tool_calls" not in message
    assert "Tool call to 'read' is denied" in message["content"]
