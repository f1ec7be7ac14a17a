"""The demo model as a provider: HTTP requests in, HTTP answers out, without a network.

`DemoUpstream.handle` is what the server has inside as provider `demo`, and what
`interlock demo-upstream` puts on a port.
"""

import asyncio
import base64
import json
import struct
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from interlock.providers.demo.embeddings import DIMENSIONS, embed
from interlock.providers.demo.errors import Family, error_body
from interlock.providers.demo.faults import faulty
from interlock.providers.demo.formats import chat, messages, responses
from interlock.providers.demo.formats.ids import NewId, random_id
from interlock.providers.demo.formats.reading import BadRequestError, decoded, model, optional
from interlock.providers.demo.model import Script
from interlock.providers.demo.script import count_input, reply, tokens

__all__ = ["MODELS", "DemoReply", "DemoUpstream"]

MODELS = ("demo",)
"""Names it lists; it answers under any name."""

_JSON = "application/json"
_SSE = "text/event-stream; charset=utf-8"
_TURN = 16
"""Pieces of an answer between two chances for others."""
_REMEMBERED = 256
_REMEMBERED_BYTES = 16 << 20
"""Of all remembered responses together; the oldest go first."""
_MAX_INPUTS = 2_048
_CREATED = 1_767_225_600
"""When the model came to be, for model lists."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoReply:
    """An answer. `body` is iterated once; it may raise BrokenConnectionError (fault lines)."""

    status: int
    headers: Mapping[str, str]
    body: AsyncIterator[bytes] = field(repr=False)

    async def read(self) -> bytes:
        """The whole body."""
        return b"".join([piece async for piece in self.body])


class DemoUpstream:
    """One demo provider. Knows the answers it gave on `/responses`, nothing else.

    `faults` makes the fault lines count, `key_required` refuses requests without any API
    key (401). `sleep`, `now` (seconds since the epoch) and `new_id` can be replaced by tests.
    """

    def __init__(
        self,
        *,
        faults: bool = False,
        key_required: bool = False,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        now: Callable[[], float] = time.time,
        new_id: NewId = random_id,
    ) -> None:
        self._faults = faults
        self._key_required = key_required
        self._sleep = sleep
        self._now = now
        self._new_id = new_id
        self._responses: OrderedDict[str, bytes] = OrderedDict()
        """Items and tools of earlier responses as JSON, by id."""
        self._remembered = 0

    async def handle(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes
    ) -> DemoReply:
        """Answers one request; `path` may have a prefix and a query, header names are lower-case.

        Waits here, before the first byte, when a SLOW line asks for it.
        """
        route = _route(path)
        family: Family = "anthropic" if _is_anthropic(route, headers) else "openai"
        if route not in _METHODS:
            return self._error(
                family, 404, f"Unknown request URL: {method} {path}.", code="unknown_url"
            )
        if method != _METHODS[route]:
            return self._error(family, 405, f"Not allowed to {method} on {route}.")
        if self._key_required and not _has_key(headers):
            return self._error(family, 401, "You didn't provide an API key.")
        try:
            if route == "/models":
                return self._whole(_models(family))
            tree = decoded(body)
            if route == "/embeddings":
                return self._whole(_embeddings(tree))
            if route == "/messages/count_tokens":
                counted = count_input(messages.read(tree, counting=True))
                return self._whole(json.dumps({"input_tokens": counted}).encode())
            return await self._generate(route, family, tree)
        except BadRequestError as error:
            return self._error(family, 400, error.message, param=error.param, code=error.code)

    async def _generate(self, route: str, family: Family, tree: dict[str, Any]) -> DemoReply:
        items: list[dict[str, Any]] = []
        if route == "/chat/completions":
            request = chat.read(tree)
        elif route == "/messages":
            request = messages.read(tree)
        else:
            tree, items = self._continued(tree)
            request = responses.read(tree, items)
        script = reply(request, faults=self._faults)
        if script.delay_s:
            await self._sleep(script.delay_s)
        if script.fail_status is not None:
            said = f"The demo model failed with {script.fail_status}, as asked."
            return self._error(family, script.fail_status, said)
        created = int(self._now())
        if route == "/responses":
            return self._respond(tree, items, script, created, stream=request.stream)
        speaker = chat if route == "/chat/completions" else messages
        if request.stream:
            return self._stream(speaker.stream(request, script, self._new_id, created), script)
        return self._whole(speaker.whole(request, script, self._new_id, created), script)

    def _continued(self, tree: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """The body and its items, those of the named earlier response first."""
        items = responses.input_items(tree)
        previous = optional(tree, "previous_response_id", str)
        if previous is None:
            return tree, items
        known = self._responses.get(previous)
        if known is None:
            raise BadRequestError(
                f"Previous response with id '{previous}' not found.",
                "previous_response_id",
                "previous_response_not_found",
            )
        earlier, tools = json.loads(known)
        return ({**tree, "tools": tools} if tree.get("tools") is None else tree), [*earlier, *items]

    def _respond(
        self,
        tree: dict[str, Any],
        items: list[dict[str, Any]],
        script: Script,
        created: int,
        *,
        stream: bool,
    ) -> DemoReply:
        response_id = self._new_id("resp_")
        if stream:
            events, output = responses.stream(tree, script, self._new_id, created, response_id)
            answer = self._stream(events, script)
        else:
            body, output = responses.whole(tree, script, self._new_id, created, response_id)
            answer = self._whole(body, script)
        self._remember(response_id, [*items, *output], tree.get("tools"))
        return answer

    def _remember(self, response_id: str, items: list[dict[str, Any]], tools: object) -> None:
        kept = json.dumps([items, tools]).encode()
        self._responses[response_id] = kept
        self._remembered += len(kept)
        while len(self._responses) > _REMEMBERED or self._remembered > _REMEMBERED_BYTES:
            _, oldest = self._responses.popitem(last=False)
            self._remembered -= len(oldest)

    def _whole(self, body: bytes, script: Script | None = None) -> DemoReply:
        headers = {**self._headers(_JSON), "content-length": str(len(body))}
        chunks = self._faulty(_each([body]), script, streamed=False)
        if script is not None and script.fault is not None and script.fault.kind == "garbage":
            del headers["content-length"]
        return DemoReply(status=200, headers=headers, body=chunks)

    def _stream(self, events: Iterable[bytes], script: Script) -> DemoReply:
        headers = {**self._headers(_SSE), "cache-control": "no-cache"}
        body = self._faulty(_each(events), script, streamed=True)
        return DemoReply(status=200, headers=headers, body=body)

    def _faulty(
        self, chunks: AsyncIterator[bytes], script: Script | None, *, streamed: bool
    ) -> AsyncIterator[bytes]:
        if script is None or script.fault is None:
            return chunks
        return faulty(chunks, script.fault, streamed=streamed, sleep=self._sleep)

    def _error(
        self,
        family: Family,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
    ) -> DemoReply:
        body = error_body(family, status, message, self._new_id, param=param, code=code)
        headers = {**self._headers(_JSON), "content-length": str(len(body))}
        if status in {429, 503, 529}:
            headers["retry-after"] = "1"
        return DemoReply(status=status, headers=headers, body=_each([body]))

    def _headers(self, content_type: str) -> dict[str, str]:
        request_id = self._new_id("req_")
        return {
            "content-type": content_type,
            "request-id": request_id,
            "x-request-id": request_id,
            "x-demo-model": "interlock",
        }


_METHODS = {
    "/chat/completions": "POST",
    "/messages": "POST",
    "/messages/count_tokens": "POST",
    "/responses": "POST",
    "/embeddings": "POST",
    "/models": "GET",
}


def _route(path: str) -> str:
    bare = path.partition("?")[0].rstrip("/")
    found = [route for route in _METHODS if bare.endswith(route)]
    return max(found, key=len, default=bare)


def _is_anthropic(route: str, headers: Mapping[str, str]) -> bool:
    return route.startswith("/messages") or (route == "/models" and "anthropic-version" in headers)


def _has_key(headers: Mapping[str, str]) -> bool:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    bearer = scheme.lower() == "bearer" and bool(token.strip())
    return bearer or any(headers.get(name, "").strip() for name in ("x-api-key", "api-key"))


async def _each(pieces: Iterable[bytes]) -> AsyncIterator[bytes]:
    for number, piece in enumerate(pieces):
        if number % _TURN == 0:
            await asyncio.sleep(0)  # a model in this process must not keep the server to itself
        yield piece


def _models(family: Family) -> bytes:
    if family == "anthropic":
        created = "2026-01-01T00:00:00Z"
        rows: list[dict[str, Any]] = [
            {"type": "model", "id": name, "display_name": "Demo model", "created_at": created}
            for name in MODELS
        ]
        ends = {"has_more": False, "first_id": MODELS[0], "last_id": MODELS[-1]}
        return json.dumps({"data": rows, **ends}).encode()
    rows = [
        {"id": name, "object": "model", "created": _CREATED, "owned_by": "interlock-demo"}
        for name in MODELS
    ]
    return json.dumps({"object": "list", "data": rows}).encode()


def _embeddings(tree: dict[str, Any]) -> bytes:
    name = model(tree)
    texts = _inputs(tree.get("input"))
    size = optional(tree, "dimensions", int) or DIMENSIONS
    if not 1 <= size <= DIMENSIONS:
        raise BadRequestError(f"'dimensions' must be between 1 and {DIMENSIONS}.", "dimensions")
    packed = tree.get("encoding_format") == "base64"
    data = []
    for index, text in enumerate(texts):
        vector = embed(text, size)
        value = base64.b64encode(struct.pack(f"<{size}f", *vector)).decode() if packed else vector
        data.append({"object": "embedding", "index": index, "embedding": value})
    used = sum(tokens(len(text)) for text in texts)
    usage = {"prompt_tokens": used, "total_tokens": used}
    return json.dumps({"object": "list", "data": data, "model": name, "usage": usage}).encode()


def _inputs(given: object) -> list[str]:
    """The texts to embed; token numbers count as words."""
    if isinstance(given, str) and given:
        return [given]
    if isinstance(given, list) and 0 < len(given) <= _MAX_INPUTS:
        if all(isinstance(one, int) for one in given):
            return [" ".join(map(str, given))]
        texts = [" ".join(map(str, one)) if isinstance(one, list) else one for one in given]
        if all(isinstance(one, str) for one in texts):
            return texts
    raise BadRequestError("'input' must be a text, or up to 2048 texts.", "input")
