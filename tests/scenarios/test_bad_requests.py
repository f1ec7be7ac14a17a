"""Requests that are wrong in every way a client can be wrong, down to the bytes.

Each gets the documented error (gateway.md, section 16) in the one body all clients read,
the next request works, and the ledger has one record per request that got as far as a
model, none for the others.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anthropic
import httpx2
import openai
import pytest
from tests.support.fault_site import TEXT, WIRES, FaultSite, request, running_fault_site
from tests.support.raw_client import post, raw_client

from interlock.web.hot import sweep

pytestmark = pytest.mark.anyio

_LIMIT = 12 << 20
_TOML = f"[server]\nmax_body_bytes = {_LIMIT}\n"
_INVALID = "400 invalid_request_error"


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """One event loop for the module, because the server lives in it."""
    return "asyncio"


@pytest.fixture(scope="module")
async def site(
    anyio_backend: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[FaultSite]:
    data = tmp_path_factory.mktemp("bad")
    async with running_fault_site(data, toml=_TOML, more='models = ["demo", "cut.*"]') as running:
        yield running


@pytest.fixture(autouse=True)
async def _settled(site: FaultSite) -> AsyncIterator[None]:
    """After every test: a good request works and nothing is left over."""
    yield
    await site.healthy()
    connections = [one for one in site.gateway.connections() if one.cycle is not None]
    assert all(one.cycle.response_complete or one.refused for one in connections)
    assert all(client.busy == 0 for client in _clients(site))


def _clients(site: FaultSite) -> list[Any]:
    providers = site.gateway.app.upstreams._providers.values()
    return [one.client for one in providers if one.client is not None and one.name in WIRES]


async def _error(site: FaultSite, wire: str, body: bytes, **headers: str) -> str:
    """The error of a request with a raw body; proves that nothing of it was recorded."""
    before = len(await site.everything())
    async with raw_client(site.gateway.base_url) as client:
        path = site.path(wire, wire)
        await client.send(post(path, body, key=site.gateway.key, headers=headers))
        answer = await client.answer()
    assert len(await site.everything()) == before
    if wire == "messages" and "x-request-id" in answer.headers:
        assert answer.headers["request-id"] == answer.headers["x-request-id"]
    return answer.error


_BODIES: dict[str, bytes] = {
    "empty": b"",
    "cut": b'{"model": "demo", "mess',
    "two values": b'{"model":"demo"} {}',
    "a list": b"[]",
    "a number": b"1",
    "null": b"null",
    "no model": b'{"messages": [], "input": "x", "max_tokens": 1}',
    "invalid UTF-8": b'{"model": "demo", "input": "\xff\xfe", "messages": [{"role": "user", '
    b'"content": "\xff\xfe"}], "max_tokens": 5}',
    "deep": b"[" * 200_000,
    "a deep member": b'{"model": "demo", "max_tokens": 5, "input": "x", "messages": '
    + b'[{"a":' * 100_000,
    "not JSON at all": b"model=demo&messages=hello",
    "a byte order of its own": '{"model": "demo"}'.encode("utf-16"),
}


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("body", _BODIES)
async def test_a_body_that_is_not_a_request_is_refused(
    site: FaultSite, wire: str, body: str
) -> None:
    assert await _error(site, wire, _BODIES[body]) == f"{_INVALID} invalid_request"


_MEMBERS: dict[str, dict[str, Any]] = {
    "model is a number": {"model": 5},
    "model is empty": {"model": ""},
    "model is null": {"model": None},
    "stream is a word": {"stream": "yes"},
    "tools is an object": {"tools": {"name": "x"}},
    "a tool is a number": {"tools": [5]},
    "a tool is empty": {"tools": [{}]},
    "three models": {"model": "a,b,c"},
}
_CONVERSATIONS: dict[str, object] = {
    "is a number": 7,
    "holds a number": [7],
    "is an object": {"role": "user"},
    "holds a list": [["user", "hi"]],
}


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("wrong", _MEMBERS)
async def test_a_member_of_the_wrong_type_is_refused(
    site: FaultSite, wire: str, wrong: str
) -> None:
    body = request(wire, "demo") | _MEMBERS[wrong]

    assert (await _error(site, wire, json.dumps(body).encode())).startswith(_INVALID)


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("wrong", _CONVERSATIONS)
async def test_a_conversation_of_the_wrong_type_is_refused(
    site: FaultSite, wire: str, wrong: str
) -> None:
    member = "input" if wire == "responses" else "messages"
    body = request(wire, "demo") | {member: _CONVERSATIONS[wrong]}

    assert (await _error(site, wire, json.dumps(body).encode())).startswith(_INVALID)


@pytest.mark.parametrize("upstream", WIRES)
@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("number", [-1, -(2**70), 2**70, 1.5])
async def test_a_number_no_model_takes_is_refused_by_us_or_by_the_upstream(
    site: FaultSite, wire: str, upstream: str, number: float
) -> None:
    member = {"chat": "max_tokens", "messages": "max_tokens", "responses": "max_output_tokens"}
    before = len(await site.everything())

    outcome = await site.ask(wire, upstream, "demo", **{member[wire]: number})

    assert outcome.status in {200, 400}
    if outcome.status == 400:
        assert outcome.error.startswith(_INVALID)
    rows = (await site.everything())[before:]
    assert [row["status"] for row in rows] in ([], [outcome.status])


@pytest.mark.parametrize("upstream", WIRES)
@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("stream", [False, True])
async def test_text_no_encoding_has_is_never_an_internal_error(
    site: FaultSite, wire: str, upstream: str, stream: bool
) -> None:
    outcome = await site.ask(wire, upstream, "demo", text="SAY \ud800 half a pair", stream=stream)

    assert outcome.status in {200, 400}
    if outcome.status == 400:
        assert outcome.error.startswith(_INVALID)


async def test_ten_megabytes_are_taken(tmp_path: Path) -> None:
    text = "x" * (10 << 20) + f"\nSAY {TEXT}"
    async with running_fault_site(tmp_path, toml=_TOML, quick=False) as site:
        taken = [await site.ask(wire, wire, "demo", text=text) for wire in WIRES]

    assert [(one.status, one.text) for one in taken] == [(200, TEXT)] * 3


@pytest.mark.parametrize("wire", WIRES)
async def test_more_than_the_limit_is_refused(site: FaultSite, wire: str) -> None:
    refused = await _error(site, wire, b'{"model":"' + b"x" * _LIMIT + b'"}')
    assert refused == "413 request_too_large request_too_large"


async def test_a_body_over_the_limit_is_refused_before_it_was_sent(site: FaultSite) -> None:
    async with raw_client(site.gateway.base_url) as client:
        framed = post(
            site.path("chat", "chat"),
            b"{",
            key=site.gateway.key,
            headers={"content-length": str(_LIMIT + 1)},
            framed=False,
        )
        await client.send(framed)
        assert (await client.answer()).error == "413 request_too_large request_too_large"


_NAMES: dict[str, tuple[str, str]] = {
    "/control/chat/nowhere/v1/chat/completions": ("404 not_found_error not_found", "POST"),
    "/control/dream/chat/v1/chat/completions": ("404 not_found_error not_found", "POST"),
    "/control/chat/chat/v2/chat/completions": ("404 not_found_error not_found", "POST"),
    "/control/chat/chat/v1/chat/complete": ("404 not_found_error not_found", "POST"),
    "/control/chat/llama/v1/chat/completions": (
        "503 overloaded_error provider_not_configured",
        "POST",
    ),
    "/control/chat/chat/v1/chat/completions?x=%ff": (
        "405 invalid_request_error method_not_allowed",
        "GET",
    ),
    "/control/%ff%fe/v1/messages": ("404 not_found_error not_found", "POST"),
}


@pytest.mark.parametrize("path", _NAMES)
async def test_a_path_that_leads_nowhere_says_so(site: FaultSite, path: str) -> None:
    expected, method = _NAMES[path]
    async with raw_client(site.gateway.base_url) as client:
        sent = post(path, request("chat", "demo"), key=site.gateway.key)
        await client.send(sent.replace(b"POST", method.encode(), 1))
        assert (await client.answer()).error == expected


@pytest.mark.parametrize("wire", WIRES)
async def test_a_model_nobody_allowed_is_named_and_not_asked(site: FaultSite, wire: str) -> None:
    site.upstream.calls.clear()

    outcome = await site.ask(wire, wire, "gpt-99")

    assert outcome.error == f"{_INVALID} model_not_allowed"
    assert b"gpt-99" in outcome.raw
    assert not site.upstream.calls


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("authorization", b"Bearer \xff\xfe", f"{_INVALID} invalid_header"),
        ("authorization", b"Basic Zm9v", "401 authentication_error invalid_api_key"),
        ("authorization", b"", "401 authentication_error invalid_api_key"),
        ("x-features", b"\xff\xfe", f"{_INVALID} invalid_header"),
        ("x-policy", b"{", f"{_INVALID} invalid_header"),
        ("x-config", b'{"fsm": {"max_n_turns": -3}}', f"{_INVALID} invalid_header"),
        ("x-config", b'{"fsm": {"max_n_turns": "many"}}', f"{_INVALID} invalid_header"),
        ("x-policy", b'{"codes": "tool {"}', f"{_INVALID} policy_compile_error"),
        ("x-session-id", b"\xff\xfe", f"{_INVALID} invalid_header"),
        ("x-session-id", b"../../etc", "404 not_found_error session_not_found"),
        ("x-api-key", b"a key with blanks", f"{_INVALID} invalid_header"),
        ("x-policy", b"[" * 60_000, f"{_INVALID} invalid_header"),
    ],
)
async def test_a_bad_header_is_refused_by_name(
    site: FaultSite, wire: str, name: str, value: bytes, expected: str
) -> None:
    async with raw_client(site.gateway.base_url) as client:
        sent = post(site.path(wire, wire), request(wire, "demo"), key=site.gateway.key)
        own = f"{name}: ".encode() + value + b"\r\n"
        if name == "authorization":
            sent = sent.replace(f"authorization: Bearer {site.gateway.key}\r\n".encode(), own)
        else:
            sent = sent.replace(b"content-length", own + b"content-length", 1)
        await client.send(sent)
        assert (await client.answer()).error == expected


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("name", ["x-policy", "x-anything"])
async def test_headers_over_the_limit_are_refused(site: FaultSite, wire: str, name: str) -> None:
    error = await _error(site, wire, b"{}", **{name: "x" * (200 << 10)})

    assert error == "431 request_too_large headers_too_large"


async def test_many_headers_over_the_limit_together_are_refused(site: FaultSite) -> None:
    many = {f"x-{number}": "x" * 8000 for number in range(40)}

    error = await _error(site, "chat", b"{}", **many)

    assert error == "431 request_too_large headers_too_large"


async def test_a_header_line_without_end_is_refused(site: FaultSite) -> None:
    async with raw_client(site.gateway.base_url) as client:
        await client.send(b"POST /control/chat/v1/messages HTTP/1.1\r\nx-policy: ")
        for _ in range(40):
            await client.send(b"x" * 16384)
        answer = await client.answer()
        assert answer.error == "431 request_too_large headers_too_large"
        await client.closed()


@pytest.mark.parametrize("name", ["authorization", "x-session-id", "x-policy", "x-api-key"])
async def test_a_header_given_twice_differently_is_refused(site: FaultSite, name: str) -> None:
    async with raw_client(site.gateway.base_url) as client:
        sent = post(site.path("chat", "chat"), request("chat", "demo"), key=site.gateway.key)
        twice = f"{name}: Bearer one\r\n{name}: Bearer two\r\ncontent-length"
        await client.send(sent.replace(b"content-length", twice.encode(), 1))
        assert (await client.answer()).error == f"{_INVALID} invalid_header"


_MALFORMED: dict[str, bytes] = {
    "no HTTP": b"hello there\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 64 + b"\r\n\r\n",
    "a bad version": b"POST /control/chat/v1/messages HTTP/9.9\r\nhost: x\r\n\r\n",
    "a bad header": b"POST /control/chat/v1/messages HTTP/1.1\r\nhost x\r\n\r\n",
    "a NUL": b"POST /control/chat/v1/messages HTTP/1.1\r\nhost: a\x00b\r\n\r\n",
    "a negative length": b"POST /control/chat/v1/messages HTTP/1.1\r\ncontent-length: -5\r\n\r\n",
    "two lengths": b"POST /control/chat/v1/messages HTTP/1.1\r\ncontent-length: 2\r\n"
    b"content-length: 3\r\n\r\n{}",
    "length and chunks": b"POST /control/chat/v1/messages HTTP/1.1\r\ncontent-length: 2\r\n"
    b"transfer-encoding: chunked\r\n\r\n{}",
    "a bad chunk": b"POST /control/chat/v1/messages HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n"
    b"zz\r\n{}\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("sent", _MALFORMED)
async def test_malformed_http_is_refused_and_the_connection_closed(
    site: FaultSite, sent: str
) -> None:
    async with raw_client(site.gateway.base_url) as client:
        await client.send(_MALFORMED[sent])
        assert (await client.answer()).error == f"{_INVALID} invalid_request"
        await client.half_close()
        assert await client.closed() == b""


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("stream", [False, True])
async def test_a_chunked_body_is_taken(site: FaultSite, wire: str, stream: bool) -> None:
    body = json.dumps(request(wire, "demo", stream=stream)).encode()
    pieces = [body[at : at + 7] for at in range(0, len(body), 7)]
    head = post(
        site.path(wire, wire),
        b"",
        key=site.gateway.key,
        headers={"transfer-encoding": "chunked"},
        framed=False,
    )
    async with raw_client(site.gateway.base_url) as client:
        await client.send(head, *[b"%x\r\n%b\r\n" % (len(p), p) for p in pieces], b"0\r\n\r\n")
        answer = await client.answer()
    assert answer.status == 200
    assert TEXT.split(" ", maxsplit=1)[0].encode() in answer.body


async def test_pipelined_requests_are_answered_in_order(site: FaultSite) -> None:
    async with raw_client(site.gateway.base_url) as client:
        every = b"".join(
            post(
                site.path(wire, wire),
                request(wire, "demo", text=f"SAY {wire} {number}", stream=number % 2 == 1),
                key=site.gateway.key,
            )
            for wire in WIRES
            for number in range(3)
        )
        await client.send(every)
        answers = [await client.answer() for _ in range(9)]

    expected = [f"{wire} {number}" for wire in WIRES for number in range(3)]
    assert [answer.status for answer in answers] == [200] * 9
    assert all(word.encode() in answer.body for word, answer in zip(expected, answers, strict=True))


@pytest.mark.parametrize(
    "bad", [b"garbage\r\n\r\n", b"POST / HTTP/1.1\r\nx: " + b"y" * (900 << 10)]
)
@pytest.mark.parametrize("stream", [False, True])
async def test_nonsense_behind_a_good_request_does_not_hurt_it(
    site: FaultSite, bad: bytes, stream: bool
) -> None:
    async with raw_client(site.gateway.base_url) as client:
        good = post(
            site.path("chat", "chat"), request("chat", "demo", stream=stream), key=site.gateway.key
        )
        await client.send(good + bad)
        first, second = await client.answer(), await client.answer()

    assert first.status == 200
    assert second.status in {400, 431}
    assert second.error.endswith(("invalid_request", "headers_too_large"))


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("part", [0.2, 0.95])
async def test_a_request_that_ends_half_way_is_told_so(
    site: FaultSite, wire: str, part: float
) -> None:
    sent = post(site.path(wire, wire), request(wire, "demo"), key=site.gateway.key)
    before = len(await site.everything())
    async with raw_client(site.gateway.base_url) as client:
        await client.send(sent[: int(len(sent) * part)])
        await client.half_close()
        assert (await client.answer()).error == f"{_INVALID} invalid_request"
        assert await client.closed() == b""
    assert len(await site.everything()) == before


@pytest.mark.parametrize("part", [0.0, 0.2, 0.95])
async def test_a_request_that_trickles_in_is_ended(site: FaultSite, part: float) -> None:
    sent = post(site.path("chat", "chat"), request("chat", "demo"), key=site.gateway.key)
    open_before = set(site.gateway.connections())
    async with raw_client(site.gateway.base_url) as client:
        await client.send(sent[: int(len(sent) * part)])
        async with asyncio.timeout(5):
            while not (mine := set(site.gateway.connections()) - open_before):  # noqa: ASYNC110
                await asyncio.sleep(0)
            (connection,) = mine
            while part and not (connection.in_headers or connection.headers):  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0)
        assert connection.began is not None

        sweep({connection}, connection.began + connection.limits.receive_s - 0.1)
        assert not connection.refused
        sweep({connection}, connection.began + connection.limits.receive_s)
        if part:
            assert (await client.answer()).error == f"{_INVALID} request_timeout"
            await client.half_close()
        assert await client.closed() == b""


async def test_a_busy_connection_is_not_taken_for_a_slow_one(site: FaultSite) -> None:
    async with raw_client(site.gateway.base_url) as client:
        await client.send(
            post(site.path("chat", "chat"), request("chat", "demo"), key=site.gateway.key)
        )
        assert (await client.answer()).status == 200
        sweep(set(site.gateway.connections()), asyncio.get_running_loop().time() + 1e6)
        await client.send(
            post(site.path("chat", "chat"), request("chat", "demo"), key=site.gateway.key)
        )
        assert (await client.answer()).status == 200


@pytest.mark.parametrize(
    ("method", "expected"), [("GET", 405), ("PUT", 405), ("HEAD", 405), ("BREW", 400)]
)
async def test_another_method_on_a_model_route_is_not_allowed(
    site: FaultSite, method: str, expected: int
) -> None:
    async with raw_client(site.gateway.base_url) as client:
        sent = post(site.path("chat", "chat"), b"", key=site.gateway.key)
        await client.send(sent.replace(b"POST", method.encode(), 1))
        head = await client.until(b"\r\n\r\n")
        assert int(head.split(b" ")[1]) == expected


async def test_the_official_clients_raise_their_own_errors_for_ours(site: FaultSite) -> None:
    base = site.gateway.base_url
    async with (
        openai.AsyncOpenAI(
            base_url=f"{base}/control/chat/chat/v1", api_key=site.gateway.key, max_retries=0
        ) as gpt,
        anthropic.AsyncAnthropic(
            base_url=f"{base}/control/chat/messages", api_key=site.gateway.key, max_retries=0
        ) as claude,
    ):
        said: Any = [{"role": "user", "content": "hi"}]
        with pytest.raises(openai.BadRequestError) as refused:
            await gpt.chat.completions.create(model="gpt-99", messages=said)
        with pytest.raises(openai.InternalServerError) as broken:
            await gpt.chat.completions.create(model="cut.silent", messages=said, stream=True)
        with pytest.raises(anthropic.BadRequestError) as unknown:
            await claude.messages.create(model="gpt-99", max_tokens=5, messages=said)
        with pytest.raises(anthropic.AuthenticationError):
            await claude.with_options(api_key="sq-wrong").messages.create(
                model="demo", max_tokens=5, messages=said
            )

    assert (refused.value.code, refused.value.type) == (
        "model_not_allowed",
        "invalid_request_error",
    )
    assert (broken.value.status_code, broken.value.code) == (502, "upstream_unreachable")
    assert "gpt-99" in str(unknown.value)
    assert isinstance(refused.value.response, httpx2.Response)
