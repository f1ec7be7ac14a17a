"""A gateway in front of faulty upstreams of every wire format, and raw clients for it.

Providers `chat`, `messages` and `responses` each speak one format to the same
`FaultyUpstream`. Alias `spare-PROVIDER-MODEL` has that model there first and a good one
second.
"""

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from tests.support.faulty_upstream import (
    MARK,
    FaultyUpstream,
    faulty_upstream,
    provider_toml,
)
from tests.support.gateway import Gateway, running_gateway

from interlock.web.hot import HotRequest

__all__ = [
    "TEXT",
    "WIRES",
    "FaultSite",
    "Outcome",
    "all_records",
    "records",
    "request",
    "running_fault_site",
]

WIRES = ("chat", "messages", "responses")
TEXT = f"{MARK}middle text last of all"
"""What the model says when nothing breaks."""
_PATHS = {"chat": "chat/completions", "messages": "messages", "responses": "responses"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a client got."""

    status: int
    headers: Mapping[str, str]
    raw: bytes

    @property
    def streamed(self) -> bool:
        """Whether it is an event stream."""
        return self.headers["content-type"].startswith("text/event-stream")

    @property
    def request_id(self) -> str:
        """Under which the ledger knows it."""
        return self.headers["x-request-id"]

    @property
    def error(self) -> str:
        """Code of an error body, with its status; every client must find the message."""
        tree = json.loads(self.raw)
        assert tree["type"] == "error"
        assert tree["detail"] == tree["message"] == tree["error"]["message"]
        assert tree["request_id"] == self.request_id
        return f"{self.status} {tree['error']['type']} {tree['error']['code']}"

    @property
    def events(self) -> list[Any]:
        """The decoded events of a stream."""
        lines = self.raw.decode().split("\n")
        data = [line[6:] for line in lines if line.startswith("data: ")]
        return [json.loads(item) for item in data if item != "[DONE]"]

    @property
    def text(self) -> str:
        """All text of the answer, in any format."""
        if not self.streamed:
            return "".join(_texts(json.loads(self.raw)))
        return "".join(_delta(event) for event in self.events)


def _texts(tree: Any) -> Iterable[str]:
    if "choices" in tree:
        yield tree["choices"][0]["message"]["content"]
    elif "content" in tree:
        yield from (block["text"] for block in tree["content"])
    else:
        for item in tree["output"]:
            yield from (part["text"] for part in item["content"])


def _delta(event: Any) -> str:
    if event.get("object") == "chat.completion.chunk":
        parts = [choice["delta"].get("content") or "" for choice in event["choices"]]
        return "".join(parts)
    if event.get("type") == "content_block_delta":
        text: str = event["delta"].get("text", "")
        return text
    if event.get("type") == "response.output_text.delta":
        delta: str = event["delta"]
        return delta
    return ""


def request(wire: str, model: str, *, text: str = f"SAY {TEXT}", **more: Any) -> dict[str, Any]:
    """A request body in a wire format."""
    if wire == "responses":
        return {"model": model, "input": text, **more}
    body: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": text}]}
    if wire == "messages":
        body["max_tokens"] = 100
    return body | more


@dataclass(slots=True, kw_only=True)
class FaultSite:
    """A gateway and the upstream behind it."""

    gateway: Gateway
    upstream: FaultyUpstream

    def path(self, wire: str, provider: str) -> str:
        """Where a client of a format asks a provider."""
        return f"/control/chat/{provider}/v1/{_PATHS[wire]}"

    async def ask(
        self,
        wire: str,
        provider: str,
        model: str,
        *,
        stream: bool = False,
        native: bool = True,
        headers: Mapping[str, str] | None = None,
        **body: Any,
    ) -> Outcome:
        """One request by a raw client."""
        given = {"content-type": "application/json"}
        given |= {"authorization": f"Bearer {self.gateway.key}", **(headers or {})}
        if wire == "messages" and native:
            given["anthropic-version"] = "2023-06-01"
        sent = request(wire, model, **body) | ({"stream": True} if stream else {})
        async with asyncio.timeout(10):
            answer = await self.gateway.http.post(
                self.path(wire, provider), content=json.dumps(sent).encode(), headers=given
            )
        return _outcome(answer)

    async def usage(self, ids: Iterable[str]) -> dict[str, list[sqlite3.Row]]:
        """The ledger's records by request id."""
        return await records(self.gateway, ids)

    async def everything(self) -> list[sqlite3.Row]:
        """All records of the ledger, oldest first."""
        return await all_records(self.gateway)

    async def everything_after(self, count: int) -> list[sqlite3.Row]:
        """The records after the first `count`, as soon as there is one."""
        async with asyncio.timeout(5):
            while len(rows := await self.everything()) <= count:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0)
        return rows[count:]

    async def streams(self, true: Callable[[set[HotRequest]], bool]) -> None:
        """Waits until something is true of the streams the gateway is sending."""
        async with asyncio.timeout(5):
            while not true(self.gateway.app.hot.streams):  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0)

    async def healthy(self) -> None:
        """Nothing is left over, and the next request of every format is answered."""
        for wire in WIRES:
            good = await self.ask(wire, wire, "demo")
            assert (good.status, good.text) == (200, TEXT)
        assert len(self.gateway.app.hot.streams) == 0


def _outcome(answer: httpx.Response) -> Outcome:
    return Outcome(status=answer.status_code, headers=answer.headers, raw=answer.content)


async def all_records(gateway: Gateway) -> list[sqlite3.Row]:
    """The whole ledger, straight from the store, oldest first."""
    assert await gateway.app.store.recorder.flush(wait_s=5.0)
    with closing(sqlite3.connect(gateway.data / "interlock.db")) as store:
        store.row_factory = sqlite3.Row
        return store.execute("SELECT * FROM usage_records ORDER BY id").fetchall()


async def records(gateway: Gateway, ids: Iterable[str]) -> dict[str, list[sqlite3.Row]]:
    """The ledger's records by request id, straight from the store."""
    assert await gateway.app.store.recorder.flush(wait_s=5.0)
    with closing(sqlite3.connect(gateway.data / "interlock.db")) as store:
        store.row_factory = sqlite3.Row
        query = "SELECT * FROM usage_records WHERE request_id = ?"
        return {one: store.execute(query, (one,)).fetchall() for one in ids}


@asynccontextmanager
async def running_fault_site(
    data: Path, *, models: Sequence[str] = (), toml: str = "", more: str = "", quick: bool = True
) -> AsyncIterator[FaultSite]:
    """Starts both; `models` get an alias with a spare each, `more` goes into each provider."""
    async with faulty_upstream() as upstream:
        sections = [
            provider_toml(wire, upstream.origin, wire=wire, more=more, quick=quick)
            for wire in WIRES
        ]
        aliases = ["[aliases]"]
        for wire in WIRES:
            for model in models:
                first = f'{{ provider = "{wire}", model = "{model}" }}'
                second = f'{{ provider = "{wire}", model = "demo" }}'
                aliases.append(f'"spare-{wire}-{model}" = [{first}, {second}]')
        text = "\n".join([toml, *sections, *aliases])
        async with running_gateway(data, toml=text) as gateway:
            yield FaultSite(gateway=gateway, upstream=upstream)
