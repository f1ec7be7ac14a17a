"""A request that an SDK repeats after a time-out is the same turn, and moves no label twice."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletion
from tests.support.demo_server import demo_server
from tests.support.faulty_upstream import provider_toml
from tests.support.gateway import Gateway, running_gateway

from interlock.providers.demo import DemoReply, DemoUpstream

pytestmark = pytest.mark.anyio

POLICY = """
tool "read_inbox" -> session @tags |= {"untrusted"};
tool "count" {
    session after {
        when @tags overlaps {"once"} { @tags |= {"twice"}; }
        @tags |= {"once"};
    }
}
tool "send_email" { must deny when @session.tags overlaps {"untrusted", "twice"}; }
"""
TOOLS: Any = [
    {"type": "function", "function": {"name": name, "parameters": {"type": "object"}}}
    for name in ("read_inbox", "count", "send_email")
]


class Moody(DemoUpstream):
    """A demo model that does not answer the next request when told so."""

    def __init__(self) -> None:
        super().__init__()
        self.silent = 0
        self.asked = 0

    async def handle(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes
    ) -> DemoReply:
        """Answers, or waits until the caller has gone."""
        self.asked += 1
        if self.silent:
            self.silent -= 1
            headers = {"content-type": "application/json"}
            return DemoReply(status=200, headers=headers, body=_silence())
        return await super().handle(method, path, headers, body)


async def _silence() -> AsyncIterator[bytes]:
    await asyncio.Event().wait()
    yield b""


class Program:
    """An agent with the OpenAI SDK, which repeats by itself what timed out."""

    def __init__(self, client: openai.AsyncOpenAI, upstream: Moody) -> None:
        self.client = client
        self.upstream = upstream
        self.messages: list[Any] = []
        self.headers: dict[str, str] = {"X-Policy": json.dumps({"codes": POLICY})}

    async def ask(self, *messages: Any, lost: bool = False) -> ChatCompletion:
        """Sends more messages; `lost`: the model does not answer the first attempt."""
        self.messages += messages
        self.upstream.silent = int(lost)
        before = self.upstream.asked
        raw = await self.client.chat.completions.with_raw_response.create(
            model="demo", messages=self.messages, tools=TOOLS, extra_headers=self.headers
        )
        assert self.upstream.asked >= before + 1 + lost
        answer = raw.parse()
        self.headers["X-Session-ID"] = raw.headers["x-session-id"]
        self.messages.append(answer.choices[0].message.model_dump(exclude_none=True))
        return answer


def _user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def _result(answer: ChatCompletion) -> dict[str, str]:
    (call,) = answer.choices[0].message.tool_calls or ()
    return {"role": "tool", "tool_call_id": call.id, "content": "nothing new"}


def _called(answer: ChatCompletion) -> list[str]:
    calls = answer.choices[0].message.tool_calls or ()
    return [call.function.name for call in calls if call.type == "function"]


@asynccontextmanager
async def _program(tmp_path: Path, **fsm: Any) -> AsyncIterator[Program]:
    upstream = Moody()
    with demo_server(upstream) as origin:
        toml = provider_toml("moody", origin, wire="chat", quick=False)
        async with running_gateway(tmp_path, toml=toml) as gateway, _client(gateway) as client:
            program = Program(client, upstream)
            program.headers["X-Config"] = json.dumps({"fsm": fsm})
            yield program


def _client(gateway: Gateway) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(
        base_url=gateway.chat("moody"), api_key=gateway.key, timeout=2, max_retries=1
    )


async def test_a_repeated_request_is_one_turn(tmp_path: Path) -> None:
    async with _program(tmp_path, max_n_turns=2) as program:
        await program.ask(_user("one"))
        second = await program.ask(_user("two"), lost=True)
        with pytest.raises(openai.NotFoundError, match="turn limit"):
            await program.ask(_user("three"))

    assert second.choices[0].message.content == "ECHO two"


async def test_the_same_words_in_the_next_turn_are_another_turn(tmp_path: Path) -> None:
    async with _program(tmp_path, max_n_turns=2) as program:
        for _ in range(2):
            program.messages.clear()
            await program.ask(_user("go on"))
        program.messages.clear()
        with pytest.raises(openai.NotFoundError, match="turn limit"):
            await program.ask(_user("go on"))


async def test_labels_of_results_outlast_a_repetition_that_begins_a_turn(tmp_path: Path) -> None:
    async with _program(tmp_path, clear_session_meta="every_turn") as program:
        read = await program.ask(_user("CALL read_inbox {}"))
        sent = await program.ask(_result(read), _user("CALL send_email {}"), lost=True)

    assert (_called(read), _called(sent)) == (["read_inbox"], [])


async def test_results_that_are_repeated_update_the_session_once(tmp_path: Path) -> None:
    async with _program(tmp_path) as program:
        counted = await program.ask(_user("CALL count {}"))
        await program.ask(_result(counted), lost=True)
        once = await program.ask(_user("CALL send_email {}"))
        again = await program.ask(_result(once), _user("CALL count {}"))
        await program.ask(_result(again))
        twice = await program.ask(_user("CALL send_email {}"))

    assert (_called(once), _called(twice)) == (["send_email"], [])
