"""Over real HTTP, with the official SDKs: an answer of several rounds reads the same both ways."""

import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, cast

import pytest
from tests.support.demo_server import demo_server
from tests.support.dialogue import Dialogue, Wire, tool
from tests.support.faulty_upstream import provider_toml
from tests.support.gateway import Gateway, running_gateway
from tests.support.stream_corpus import SCENARIOS

from interlock.providers.demo import DemoReply, DemoUpstream

pytestmark = pytest.mark.anyio

WIRES: tuple[Wire, ...] = ("chat", "messages", "responses")
POLICY = {"X-Policy": json.dumps({"codes": 'tool "get_weather" { must deny always; }'})}
_FORMATS = {"/chat/completions": "chat", "/messages": "messages", "/responses": "responses"}


class Persistent(DemoUpstream):
    """A model that says something and calls, is denied twice, and then answers."""

    async def handle(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes
    ) -> DemoReply:
        """By how often it was denied."""
        del method, headers
        wire = next(name for end, name in _FORMATS.items() if path.partition("?")[0].endswith(end))
        denied = body.count(b"is denied by argument checking policies")
        name = ("text_and_call", "text_and_call", "text")[denied]
        answer = SCENARIOS[name].recorded(wire)
        stream = bool(json.loads(body).get("stream"))

        async def pieces() -> AsyncIterator[bytes]:
            yield answer.sse if stream else answer.json

        kind = "text/event-stream" if stream else "application/json"
        return DemoReply(status=200, headers={"content-type": kind}, body=pieces())


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """One event loop for the module, because the server lives in it."""
    return "asyncio"


@pytest.fixture(scope="module")
async def gateway(
    anyio_backend: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Gateway]:
    data: Path = tmp_path_factory.mktemp("rounds")
    with demo_server(Persistent()) as origin:
        toml = "".join(provider_toml(f"p_{w}", origin, wire=w, quick=False) for w in WIRES)
        async with running_gateway(data, toml=toml) as running:
            yield running


@pytest.mark.parametrize("upstream", WIRES)
@pytest.mark.parametrize("client", WIRES)
async def test_what_was_said_before_a_denial_is_in_both_answers(
    gateway: Gateway, client: Wire, upstream: Wire
) -> None:
    answers = []
    for stream in (False, True):
        async with Dialogue(
            base_url=gateway.base_url,
            key=gateway.key,
            style=(client, stream),
            provider=f"p_{upstream}",
            tools=(tool("get_weather", "city"),),
            headers=dict(POLICY),
        ) as dialogue:
            answers.append(await dialogue.say("What is the weather?"))
    whole, streamed = answers

    assert (whole.text, whole.finish, whole.usage) == (
        streamed.text,
        streamed.finish,
        streamed.usage,
    )
    assert whole.text.count("Let me see.") == 2
    assert whole.text.endswith(SCENARIOS["text"].text)
    assert cast(list[Any], whole.calls) == []
