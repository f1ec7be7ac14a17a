"""A repeated head is recognised, and everything else is the parser's, to the byte."""

import asyncio
from itertools import pairwise
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from uvicorn.config import Config
from uvicorn.server import ServerState

from interlock.web.hot import HotProtocol, HotRequest, HttpLimits, Refusal, hot_protocol
from interlock.web.hot_request import HotHead
from interlock.web.known_head import MAX_HEAD_BYTES, KnownHead

_LINES = (b"Host: a", b"Authorization: Bearer k", b"Content-Type: application/json")


def _request(
    body: bytes, *lines: bytes, url: bytes = b"/hot", name: bytes = b"Content-Length"
) -> bytes:
    head = [b"POST %b HTTP/1.1" % url, *_LINES, b"%b: %d" % (name, len(body)), *lines]
    return b"\r\n".join([*head, b"", b""]) + body


class _Handler:
    """Takes every path below /hot and tells what it was asked."""

    def __init__(self) -> None:
        self.seen: list[tuple[bytes, list[tuple[bytes, bytes]], bytes]] = []
        self.heads: list[HotHead] = []

    def claim(self, method: bytes, url: bytes) -> object | None:
        return "route" if method == b"POST" and url.startswith(b"/hot") else None

    def admit(self, request: HotRequest, route: object) -> None:
        """Everybody may send a body."""

    async def serve(self, request: HotRequest, route: object) -> None:
        assert route == "route"
        headers = [pair for pair in request.headers if pair[0] != b"content-length"]
        self.seen.append((request.url, headers, request.body))
        self.heads.append(request.head)
        request.respond(200, b"", b"%d" % len(request.body))

    def refuse(self, reason: Refusal) -> tuple[int, bytes]:
        return 400, reason.encode()


class _Transport(asyncio.Transport):
    """A socket that is always ready and keeps what was written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closed = False

    def write(self, data: Any) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        del name
        return default

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


async def _nobody(scope: object, receive: object, send: object) -> None:
    raise AssertionError("no request here is for the ASGI app")


async def _read(
    pieces: list[bytes], *, known: bool = True, limit: int = 1000
) -> tuple[_Handler, _Transport]:
    """Feeds one connection; `known` False forgets every head at once."""
    handler, transport = _Handler(), _Transport()
    config = Config(cast("Any", _nobody), log_config=None, lifespan="off")
    config.load()
    protocol: HotProtocol = hot_protocol(handler, HttpLimits(body_bytes=limit))(
        config, ServerState(), {}, asyncio.get_running_loop()
    )
    protocol.connection_made(transport)
    for piece in pieces:
        if not known:
            protocol._known = None
        if not transport.closed:
            protocol.data_received(piece)
        while protocol.tasks:  # noqa: ASYNC110 - the protocol tells nobody
            await asyncio.sleep(0)
    protocol.connection_lost(None)
    return handler, transport


def test_a_repeated_head_is_one_object_and_every_body_its_own() -> None:
    bodies = [b"{}", b"", b"x" * 999, b"{}"]

    handler, transport = asyncio.run(_read([_request(body) for body in bodies]))

    assert [body for _, _, body in handler.seen] == bodies
    assert len(set(map(id, handler.heads))) == 1
    assert transport.written.count(b"HTTP/1.1 200") == 4


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(_request(b"{}", url=b"/hot/2"), id="path"),
        pytest.param(_request(b"{}").replace(b"Bearer k", b"Bearer j"), id="credential"),
        pytest.param(_request(b"{}", b"X-Policy: {}"), id="one header more"),
        pytest.param(_request(b"{}").replace(b"Host: a\r\n", b"hosT: a\r\n"), id="case"),
    ],
)
def test_a_head_that_differs_is_read_for_what_it_says(other: bytes) -> None:
    handler, _ = asyncio.run(_read([_request(b"{}"), other, _request(b"{}")]))
    alone, _ = asyncio.run(_read([other]))

    assert handler.seen[1] == alone.seen[0]
    assert handler.heads[1] is not handler.heads[0]


@pytest.mark.parametrize(
    "second",
    [
        pytest.param(_request(b"{}") + b"GET", id="the next one has begun"),
        pytest.param(_request(b"{}") + _request(b"[]"), id="two together"),
        pytest.param(_request(b"{}")[:-1], id="cut"),
        pytest.param(_request(b"{}").replace(b"Length: 2", b"Length: +2"), id="sign"),
        pytest.param(_request(b"{}").replace(b"Length: 2", b"Length: "), id="no number"),
        pytest.param(_request(b"{}").replace(b"Length: 2", b"Length: 2x"), id="not a number"),
        pytest.param(_request(b"{}").replace(b"Length: 2", b"Length: 2\n"), id="line feed"),
        pytest.param(_request(b"x" * 1001), id="too large"),
        pytest.param(b"\r\n" + _request(b"{}"), id="blank line first"),
        pytest.param(_request(b"{}", b"Content-Length: 2"), id="two lengths"),
        pytest.param(_request(b"{}", b"Transfer-Encoding: chunked"), id="two framings"),
    ],
)
def test_what_is_not_exactly_one_request_is_answered_as_the_parser_would(second: bytes) -> None:
    pieces = [_request(b"{}"), second, b"{}"]

    handler, transport = asyncio.run(_read(pieces))
    plain, untouched = asyncio.run(_read(pieces, known=False))

    assert handler.seen == plain.seen
    assert transport.written == untouched.written
    assert transport.closed == untouched.closed


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(_request(b"{}", b"Expect: 100-continue"), id="expect"),
        pytest.param(_request(b"{}", b"Upgrade: h2c", b"Connection: upgrade"), id="upgrade"),
        pytest.param(_request(b"{}", b"X-Large: " + b"x" * MAX_HEAD_BYTES), id="large"),
        pytest.param(b"\r\n" + _request(b"{}"), id="blank line first"),
    ],
)
def test_some_heads_are_parsed_every_time(request_: bytes) -> None:
    handler, _ = asyncio.run(_read([request_, request_]))

    assert len(set(map(id, handler.heads))) == len(handler.heads) == 2


def test_a_head_is_not_known_by_a_header_that_only_ends_like_a_length() -> None:
    length = (b"content-length", b"2")
    head = HotHead(b"POST", b"/hot", [(b"x-content-length", b"9"), length], "route")
    text = b"POST /hot HTTP/1.1\r\nX-Content-Length: 9\r\nContent-Length: 2\r\n\r\n{}"

    known = KnownHead.of(text, head, body_limit=10)

    assert known is not None
    assert known.body_of(text.replace(b"h: 2", b"h: 3") + b"!") == b"{}!"
    assert known.body_of(text.replace(b"h: 9", b"h: 8")) is None


_PARTS = st.sampled_from(
    [
        _request(b"{}"),
        _request(b""),
        _request(b"[1,2]"),
        _request(b"{}", name=b"content-length"),
        _request(b"{}", b"Connection: keep-alive"),
        _request(b"{}", b"Connection: close"),
        _request(b"POST /hot HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}"),
        _request(b"{}", url=b"/hot?x=1"),
    ]
)


@settings(max_examples=150, deadline=None)
@given(parts=st.lists(_PARTS, min_size=1, max_size=5), cuts=st.lists(st.integers(0, 900)))
def test_a_connection_reads_the_same_however_it_is_cut(parts: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(parts)
    places = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    pieces = [stream[a:b] for a, b in pairwise(places)]

    whole, answers = asyncio.run(_read(parts))
    cut_up, others = asyncio.run(_read(pieces))
    plain, untouched = asyncio.run(_read(parts, known=False))

    assert whole.seen == cut_up.seen == plain.seen
    assert answers.written == others.written == untouched.written
