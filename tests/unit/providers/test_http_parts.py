"""Request heads and decompression: no injection, no explosion."""

import asyncio
import contextlib
import gzip
import zlib
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.providers.http import BadHeaderError, Origin, Prepared, Watchdog, header_lines
from interlock.providers.http.connection import Connection
from interlock.providers.http.exchange import Exchange
from interlock.providers.http.inflate import MAX_PIECE_BYTES, InflateError, Inflater


@given(st.lists(st.tuples(st.text(), st.text())))
def test_header_lines_hold_one_line_per_header_or_are_refused(
    headers: list[tuple[str, str]],
) -> None:
    try:
        lines = header_lines(headers)
    except BadHeaderError:
        return

    assert lines.count(b"\n") == lines.count(b"\r") == len(headers)
    assert b"\0" not in lines


@pytest.mark.parametrize("path", ["", "v1", "/a b", "/a\r\nx: y", "/\u2603"])
def test_a_path_that_would_break_the_request_line_is_refused(path: str) -> None:
    with pytest.raises(BadHeaderError):
        Prepared.make("POST", Origin("http", "h", 80), path)


@pytest.mark.parametrize(
    ("url", "authority"),
    [
        ("http://h/v1", "h"),
        ("https://h:443", "h"),
        ("https://h:80", "h:80"),
        ("http://[::1]:8080", "[::1]:8080"),
    ],
)
def test_the_host_header_names_the_port_when_it_must(url: str, authority: str) -> None:
    assert Origin.parse(url).authority == authority


@pytest.mark.parametrize("url", ["", "h", "ftp://h", "http://", "http://h:x", "http://h:99999"])
def test_what_is_no_origin_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        Origin.parse(url)


def inflate(coding: bytes, data: bytes, cuts: list[int]) -> tuple[bytes, bool]:
    inflater = Inflater.for_coding(coding)
    assert inflater is not None
    bounds = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    pieces = [data[a:b] for a, b in pairwise(bounds)]
    out = b"".join(inflater.feed(piece) for piece in pieces if piece)
    return out, inflater.complete()


@given(st.binary(), st.lists(st.integers(0, 1 << 16), max_size=5))
def test_a_compressed_body_comes_out_whole_however_it_is_cut(body: bytes, cuts: list[int]) -> None:
    assert inflate(b"GZip", gzip.compress(body), cuts) == (body, True)
    assert inflate(b"deflate", zlib.compress(body), cuts) == (body, True)


@given(st.binary(), st.binary())
def test_several_gzip_members_are_one_body(first: bytes, second: bytes) -> None:
    assert inflate(b"gzip", gzip.compress(first) + gzip.compress(second), [7]) == (
        first + second,
        True,
    )


@given(st.binary(min_size=1))
def test_no_bytes_break_the_decoder(data: bytes) -> None:
    for coding in (b"gzip", b"deflate"):
        inflater = Inflater.for_coding(coding)
        assert inflater is not None
        with contextlib.suppress(InflateError):
            assert len(inflater.feed(data)) <= MAX_PIECE_BYTES


def test_a_bomb_is_stopped_within_bounds() -> None:
    bomb = gzip.compress(b"\0" * (MAX_PIECE_BYTES + 1))
    inflater = Inflater.for_coding(b"gzip")
    assert inflater is not None
    with pytest.raises(InflateError) as caught:
        inflater.feed(bomb)

    assert caught.value.too_large


@pytest.mark.parametrize("coding", [b"br", b"zstd", b"gzip, gzip", b"\xff"])
def test_an_unknown_coding_is_refused(coding: bytes) -> None:
    with pytest.raises(InflateError):
        Inflater.for_coding(coding)


class _Owner:
    """A pool that only forgets."""

    def reusable(self, connection: Connection) -> None:
        raise AssertionError("an answer that was too large gives no connection back")

    def gone(self, connection: Connection) -> None:
        pass


class _Wire(asyncio.Transport):
    """A transport to nowhere."""

    def __init__(self) -> None:
        super().__init__()
        self.aborted = False

    def write(self, data: Any) -> None:
        pass

    def is_closing(self) -> bool:
        return self.aborted

    def abort(self) -> None:
        self.aborted = True

    def get_write_buffer_size(self) -> int:
        return 0


def test_one_read_cannot_inflate_far_beyond_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """A read holds many pieces: the limit must stop the first one that is too much."""
    packer = zlib.compressobj(wbits=31)
    pieces = [
        packer.compress(b"\0" * (1 << 20)) + packer.flush(zlib.Z_SYNC_FLUSH) for _ in range(50)
    ]
    answer = b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ntransfer-encoding: chunked\r\n\r\n"
    answer += b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    inflated: list[int] = []
    feed = Inflater.feed

    def counted(self: Inflater, data: bytes) -> bytes:
        out = feed(self, data)
        inflated.append(len(out))
        return out

    async def read() -> Exchange:
        watchdog = Watchdog(asyncio.get_running_loop().time)
        exchange = Exchange(
            watchdog, streaming=False, limit=3 << 20, first_byte_s=5, idle_s=5, deadline=1e9
        )
        connection = Connection(_Owner())
        connection.connection_made(_Wire())
        connection.start(exchange, b"", b"")
        connection.data_received(answer)
        watchdog.stop()
        return exchange

    monkeypatch.setattr(Inflater, "feed", counted)
    exchange = asyncio.run(read())

    assert exchange.fault is not None
    assert exchange.fault.error_code == "upstream_too_large"
    assert sum(inflated) <= 4 << 20
