"""What the HTTP client makes of upstreams that misbehave, and that its pool survives it."""

import asyncio
import zlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from tests.support.scripted_upstream import (
    GOOD,
    Answer,
    Conn,
    FrozenClock,
    ScriptedUpstream,
    answers,
    chunked,
    gzipped,
    manual_watchdog,
    response,
    sends,
    upstream,
)

from interlock.providers.http import HttpClient, HttpSettings, Origin, Prepared, TransportError
from interlock.providers.http.exchange import Exchange

pytestmark = pytest.mark.anyio


@pytest.fixture(params=[{}, {"use_uvloop": True}], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    return ("asyncio", request.param)


class Rig:
    """A client of one scripted upstream, on a clock the test owns."""

    def __init__(self, up: ScriptedUpstream, **settings: object) -> None:
        self.up = up
        self.clock = FrozenClock()
        self.watchdog = manual_watchdog(self.clock)
        origin = Origin.parse(up.origin)
        self.client = HttpClient(
            origin,
            HttpSettings(**settings),
            watchdog=self.watchdog,
        )
        self.prepared = Prepared.make("POST", origin, "/v1/x")

    async def post(
        self, body: bytes = b"{}", *, stream: bool = False, total_s: float = 1000.0
    ) -> Exchange:
        return await asyncio.wait_for(
            self.client.request(
                self.prepared,
                b"",
                body,
                streaming=stream,
                deadline=self.clock.seconds + total_s,
            ),
            5,
        )

    async def fault(self, *, stream: bool = False) -> TransportError:
        with pytest.raises(TransportError) as caught:
            await self.post(stream=stream)
        return caught.value

    async def healthy(self) -> None:
        """The next good request works, and nothing is left busy or watched."""
        self.up.script.clear()
        assert (await self.post()).collected() == GOOD
        assert self.client.busy == 0
        assert self.client.idle == self.client.connections == 1
        # The client itself watches its unused connection; no exchange is left.
        assert len(self.watchdog) == 1


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(100_000):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError


def began(rig: Rig) -> bool:
    """Whether some byte of an answer has arrived."""
    return any(connection.stage() == "body" for connection in rig.client._open)


async def drain(exchange: Exchange) -> bytes:
    pieces = []
    while piece := await asyncio.wait_for(exchange.take(), 5):
        pieces.append(piece)
    return b"".join(pieces)


@pytest.fixture
async def up() -> AsyncIterator[ScriptedUpstream]:
    async with upstream() as scripted:
        yield scripted


OK = response()
FAULTS: dict[str, tuple[Answer, str, str]] = {
    "closes without an answer": (sends(then="close"), "upstream_unreachable", "wait"),
    "resets without an answer": (sends(then="abort"), "upstream_unreachable", "wait"),
    "half-closes without an answer": (sends(then="half"), "upstream_unreachable", "wait"),
    "cut in the status line": (sends(b"HTTP/1.1 20", then="close"), "upstream_truncated", "body"),
    "cut in the headers": (sends(OK[:40], then="close"), "upstream_truncated", "body"),
    "cut in the body": (sends(OK[:-3], then="close"), "upstream_truncated", "body"),
    "reset in the body": (sends(OK[:-3], then="abort"), "upstream_truncated", "body"),
    "half-closed in the body": (sends(OK[:-3], then="half"), "upstream_truncated", "body"),
    "cut between chunks": (
        sends(chunked(b"abc", end=False), then="close"),
        "upstream_truncated",
        "body",
    ),
    "garbage": (sends(b"SSH-2.0-OpenSSH_9.6\r\n"), "upstream_malformed", "body"),
    "html without a head": (sends(b"<html>no</html>"), "upstream_malformed", "body"),
    "unknown version": (sends(b"HTTP/3.0 200 OK\r\n\r\n"), "upstream_malformed", "body"),
    "version 2 as text": (
        sends(OK.replace(b"HTTP/1.1", b"HTTP/2.0")),
        "upstream_malformed",
        "body",
    ),
    "status out of range": (
        sends(OK.replace(b"200 X", b"999 X")),
        "upstream_malformed",
        "body",
    ),
    "switching protocols": (
        sends(b"HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: x\r\n\r\nabc"),
        "upstream_malformed",
        "body",
    ),
    "bad chunk size": (
        sends(chunked().replace(b"0\r\n\r\n", b"zz\r\nabc\r\n")),
        "upstream_malformed",
        "body",
    ),
    "chunk longer than it says": (
        sends(chunked(b"abc").replace(b"3\r\nabc", b"2\r\nabc")),
        "upstream_malformed",
        "body",
    ),
    "two lengths": (
        sends(OK.replace(b"content-length", b"content-length: 1\r\ncontent-length")),
        "upstream_malformed",
        "body",
    ),
    "length and chunks": (
        sends(OK.replace(b"content-length", b"transfer-encoding: chunked\r\ncontent-length")),
        "upstream_malformed",
        "body",
    ),
    "unknown transfer-encoding": (
        sends(chunked(b"abc").replace(b"chunked", b"gzip, chunked")),
        "upstream_malformed",
        "body",
    ),
    "negative length": (
        sends(b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n"),
        "upstream_malformed",
        "body",
    ),
    "bare line feeds": (
        sends(b"HTTP/1.1 200 OK\ncontent-length: 2\n\nhi"),
        "upstream_malformed",
        "body",
    ),
    "endless header": (
        sends(b"HTTP/1.1 200 OK\r\nx: ", *[b"a" * 16384] * 6, then="stall"),
        "upstream_malformed",
        "body",
    ),
    "too many headers": (
        sends(b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 300 + b"\r\n"),
        "upstream_malformed",
        "body",
    ),
    "endless interim answers": (
        sends(*[b"HTTP/1.1 103 Early\r\nlink: x\r\n\r\n" * 500] * 6, then="stall"),
        "upstream_malformed",
        "body",
    ),
    "endless trailers": (
        sends(chunked(b"x", end=False), b"0\r\nt: ", *[b"a" * 16384] * 6, then="stall"),
        "upstream_malformed",
        "body",
    ),
    "unknown content-encoding": (
        sends(response(headers={"content-encoding": "br"})),
        "upstream_malformed",
        "body",
    ),
    "damaged gzip": (
        sends(response(b"not gzip at all", headers={"content-encoding": "gzip"})),
        "upstream_malformed",
        "body",
    ),
    "gzip that ends too early": (
        sends(
            response(
                zlib.compress(b"x" * 1000, wbits=31)[:-12], headers={"content-encoding": "gzip"}
            )
        ),
        "upstream_truncated",
        "body",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
async def test_a_fault_is_named_and_leaves_the_pool_healthy(
    up: ScriptedUpstream, name: str
) -> None:
    answer, code, stage = FAULTS[name]
    rig = Rig(up)
    up.script.append(answer)

    fault = await rig.fault()

    assert (fault.error_code, fault.stage) == (code, stage)
    await rig.healthy()
    rig.client.close()


@pytest.mark.parametrize("name", FAULTS)
async def test_a_stream_ends_in_the_same_fault(up: ScriptedUpstream, name: str) -> None:
    answer, code, _ = FAULTS[name]
    rig = Rig(up)
    up.script.append(answer)

    with pytest.raises(TransportError) as caught:
        await drain(await rig.post(stream=True))

    assert caught.value.error_code == code
    await rig.healthy()
    rig.client.close()


ODD = {
    "100 continue first": (sends(b"HTTP/1.1 100 Continue\r\n\r\n" + OK), True),
    "103 hints first": (sends(b"HTTP/1.1 103 Early\r\nlink: x\r\n\r\n", OK), True),
    "byte by byte": (sends(*[bytes([byte]) for byte in OK]), True),
    "chunked with trailers": (
        sends(chunked(GOOD).replace(b"0\r\n\r\n", b"0\r\nx-sum: 1\r\n\r\n")),
        True,
    ),
    "chunk extensions": (sends(chunked(GOOD).replace(b"b\r\n{", b"b;a=1\r\n{")), True),
    "gzip though not asked": (sends(gzipped(GOOD)), True),
    "deflate": (
        sends(response(zlib.compress(GOOD), headers={"content-encoding": "deflate"})),
        True,
    ),
    "raw deflate": (
        sends(response(zlib.compress(GOOD, wbits=-15), headers={"content-encoding": "deflate"})),
        True,
    ),
    "identity": (sends(response(headers={"content-encoding": "identity"})), True),
    "close announced": (sends(response(headers={"connection": "close"})), False),
    "HTTP/1.0": (sends(OK.replace(b"HTTP/1.1", b"HTTP/1.0"), then="close"), False),
    "ended by closing": (sends(b"HTTP/1.1 200 OK\r\n\r\n" + GOOD, then="close"), False),
    "ended by half-closing": (sends(b"HTTP/1.1 200 OK\r\n\r\n", GOOD, then="half"), False),
    "trailing bytes": (sends(OK + b"xyz"), False),
    "a second answer": (sends(OK + OK), False),
}


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("stream", [False, True])
async def test_an_odd_but_valid_answer_is_read_and_reuse_depends_on_it(
    up: ScriptedUpstream, name: str, stream: bool
) -> None:
    answer, reused = ODD[name]
    rig = Rig(up)
    up.script.append(answer)

    exchange = await rig.post(stream=stream)

    body = await drain(exchange) if stream else exchange.collected()
    assert (exchange.status, body) == (200, GOOD)
    await rig.healthy()
    assert up.connections == (1 if reused else 2)
    rig.client.close()


async def test_bytes_nobody_asked_for_cost_the_idle_connection(up: ScriptedUpstream) -> None:
    rig = Rig(up)
    late = asyncio.Event()

    async def answer_and_chatter(conn: Conn) -> None:
        await conn.write(OK)
        await late.wait()
        await conn.write(b"HTTP/1.1 408 Too Slow\r\n\r\n")
        await conn.gone()

    up.script.append(answer_and_chatter)
    await rig.post()
    late.set()
    await up.all_closed()

    assert rig.client.connections == 0
    await rig.healthy()
    rig.client.close()


async def test_a_stale_connection_is_replaced_without_the_caller_knowing(
    up: ScriptedUpstream,
) -> None:
    rig = Rig(up)
    await rig.post()
    up.script.append(sends(then="abort"))

    exchange = await rig.post(b'{"n":2}')

    assert exchange.collected() == GOOD
    assert [(seen.body, seen.connection) for seen in up.seen] == [
        (b"{}", 1),
        (b'{"n":2}', 1),
        (b'{"n":2}', 2),
    ]
    rig.client.close()


async def test_a_stale_connection_is_replaced_only_once(up: ScriptedUpstream) -> None:
    rig = Rig(up)
    await rig.post()
    up.script += [sends(then="close"), sends(then="close"), answers()]

    fault = await rig.fault()

    assert (fault.error_code, fault.stage, len(up.seen)) == ("upstream_unreachable", "wait", 3)
    await rig.healthy()
    rig.client.close()


async def test_a_reused_connection_that_began_to_answer_is_not_tried_again(
    up: ScriptedUpstream,
) -> None:
    rig = Rig(up)
    await rig.post()
    up.script.append(sends(OK[:20], then="close"))

    fault = await rig.fault()

    assert (fault.error_code, len(up.seen)) == ("upstream_truncated", 2)
    rig.client.close()


async def test_no_first_byte_in_time_closes_the_connection(up: ScriptedUpstream) -> None:
    rig = Rig(up, first_byte_s=30.0)
    up.script.append(sends(then="stall"))
    call = asyncio.ensure_future(rig.fault())
    await up.requests(1)

    rig.clock.advance(29.0)
    rig.watchdog.sweep()
    assert not call.done()
    rig.clock.advance(2.0)
    rig.watchdog.sweep()

    fault = await call
    assert (fault.error_code, fault.stage) == ("upstream_timeout", "wait")
    await up.all_closed()
    await rig.healthy()
    rig.client.close()


@pytest.mark.parametrize("stream", [False, True])
async def test_silence_in_the_middle_ends_an_answer(up: ScriptedUpstream, stream: bool) -> None:
    rig = Rig(up, idle_s=10.0)
    up.script.append(sends(chunked(b"one", end=False), then="stall"))
    if stream:
        exchange = await rig.post(stream=True)
        assert await exchange.take() == b"one"
        call = asyncio.ensure_future(exchange.take())
        await asyncio.sleep(0)
    else:
        call = asyncio.ensure_future(rig.post())
        await up.requests(1)
        await until(lambda: began(rig))
    rig.clock.advance(11.0)
    rig.watchdog.sweep()

    with pytest.raises(TransportError) as caught:
        await call
    assert (caught.value.error_code, caught.value.stage) == ("upstream_timeout", "body")
    await up.all_closed()
    await rig.healthy()
    rig.client.close()


async def test_an_answer_that_trickles_on_hits_the_total_time(up: ScriptedUpstream) -> None:
    rig = Rig(up, idle_s=10.0)
    more = asyncio.Event()

    async def trickle(conn: Conn) -> None:
        await conn.write(chunked(b"a", end=False))
        await more.wait()
        await conn.write(b"1\r\nb\r\n")
        await conn.gone()

    up.script.append(trickle)
    exchange = await rig.post(stream=True, total_s=15.0)
    assert await exchange.take() == b"a"
    rig.clock.advance(9.0)
    more.set()
    assert await exchange.take() == b"b"
    rig.clock.advance(7.0)
    rig.watchdog.sweep()

    with pytest.raises(TransportError, match="total time"):
        await exchange.take()
    await up.all_closed()
    rig.client.close()


@pytest.mark.parametrize(
    "start",
    [b"HTTP/1.1 200 OK\r\nx-slow: ", chunked(end=False)],
    ids=["slow headers", "headers at once"],
)
async def test_until_the_body_begins_the_first_byte_time_holds(
    up: ScriptedUpstream, start: bytes
) -> None:
    rig = Rig(up, first_byte_s=30.0, idle_s=10.0)
    up.script.append(sends(start, then="stall"))
    call = asyncio.ensure_future(rig.fault(stream=True))
    await up.requests(1)
    await until(lambda: began(rig))
    rig.clock.advance(29.0)
    rig.watchdog.sweep()
    assert not call.done()
    rig.clock.advance(2.0)
    rig.watchdog.sweep()

    fault = await call
    assert (fault.error_code, "did not begin" in fault.message) == ("upstream_timeout", True)
    await up.all_closed()
    rig.client.close()


async def test_a_tls_hello_that_is_never_answered_times_out(up: ScriptedUpstream) -> None:
    watchdog = manual_watchdog(FrozenClock())
    origin = Origin("https", "127.0.0.1", up.port)
    client = HttpClient(origin, HttpSettings(connect_s=0.1), watchdog=watchdog)

    with pytest.raises(TransportError) as caught:
        await client.request(
            Prepared.make("POST", origin, "/"), b"", b"", streaming=False, deadline=2000.0
        )

    assert (caught.value.error_code, caught.value.stage) == ("upstream_timeout", "connect")
    assert (client.busy, client.connections) == (0, 0)
    await up.all_closed()


async def test_a_closed_port_is_unreachable() -> None:
    async with upstream() as scripted:
        rig = Rig(scripted)
    fault = await rig.fault()

    assert (fault.error_code, fault.stage) == ("upstream_unreachable", "connect")
    assert rig.client.busy == 0


async def test_cancelling_a_request_closes_the_connection_at_once(up: ScriptedUpstream) -> None:
    rig = Rig(up)
    up.script.append(sends(then="stall"))
    call = asyncio.ensure_future(rig.post())
    await up.requests(1)
    call.cancel()

    with pytest.raises(asyncio.CancelledError):
        await call
    await up.all_closed()
    await rig.healthy()
    rig.client.close()


async def test_closing_a_stream_closes_the_connection_at_once(up: ScriptedUpstream) -> None:
    rig = Rig(up)
    up.script.append(sends(chunked(b"one", end=False), then="stall"))
    exchange = await rig.post(stream=True)
    ended = []
    exchange.on_done = ended.append

    exchange.close()
    exchange.close()

    await up.all_closed()
    assert [fault.error_code for fault in ended if fault] == ["upstream_cancelled"]
    await rig.healthy()
    rig.client.close()


async def test_closing_a_finished_stream_keeps_the_connection(up: ScriptedUpstream) -> None:
    rig = Rig(up)
    up.script.append(sends(chunked(b"one")))
    exchange = await rig.post(stream=True)
    await until(lambda: exchange.done)

    exchange.close()

    assert rig.client.idle == 1
    rig.client.close()


async def test_an_answer_above_the_limit_is_given_up(up: ScriptedUpstream) -> None:
    rig = Rig(up, max_body_bytes=1 << 20)
    up.script.append(sends(response(b"x" * (1 << 20) + b"x"), then="stall"))

    fault = await rig.fault()

    assert (fault.error_code, fault.permanent) == ("upstream_too_large", True)
    await rig.healthy()
    rig.client.close()


async def test_a_small_body_that_inflates_beyond_measure_is_given_up(
    up: ScriptedUpstream,
) -> None:
    rig = Rig(up)
    up.script.append(sends(gzipped(b"\0" * (40 << 20))))

    fault = await rig.fault()

    assert fault.error_code == "upstream_too_large"
    await rig.healthy()
    rig.client.close()


async def test_an_error_body_is_read_up_to_its_limit_and_no_further(up: ScriptedUpstream) -> None:
    rig = Rig(up)
    up.script.append(sends(response(b"e" * (8 << 20), status=500), then="stall"))

    exchange = await rig.post(stream=True)

    assert exchange.status == 500
    assert 64 << 10 <= len(exchange.collected()) < 1 << 20
    await rig.healthy()
    rig.client.close()


async def test_a_reader_that_stops_slows_the_upstream_down_instead_of_filling_memory(
    up: ScriptedUpstream,
) -> None:
    rig = Rig(up, idle_s=10.0)
    written = 0
    size = 100 << 20

    async def flood(conn: Conn) -> None:
        nonlocal written
        await conn.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size)
        piece = b"x" * (1 << 20)
        for _ in range(size >> 20):
            await conn.write(piece)
            written += len(piece)

    up.script.append(flood)
    exchange = await rig.post(stream=True)
    before = -1
    while written != before:
        before = written
        for _ in range(200):
            await asyncio.sleep(0)

    assert written < 40 << 20
    assert exchange._size < 1 << 20
    # The reader's pause is not the upstream's silence.
    rig.clock.advance(60.0)
    rig.watchdog.sweep()
    total = 0
    while piece := await exchange.take():
        total += len(piece)
    assert total == size
    await rig.healthy()
    rig.client.close()


async def test_a_large_request_is_written_whole(up: ScriptedUpstream) -> None:
    rig = Rig(up)
    body = b"y" * (5 << 20)

    await rig.post(body)

    assert up.seen[0].body == body
    await rig.healthy()
    rig.client.close()


async def test_an_answer_before_the_request_was_written_costs_the_connection(
    up: ScriptedUpstream,
) -> None:
    served = asyncio.Event()

    async def hasty(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(response(status=413))
        await writer.drain()
        await served.wait()
        writer.close()

    server = await asyncio.start_server(hasty, "127.0.0.1", 0)
    up.port = server.sockets[0].getsockname()[1]
    rig = Rig(up)

    exchange = await rig.post(b"z" * (64 << 20))

    assert (exchange.status, rig.client.idle) == (413, 0)
    served.set()
    rig.client.close()
    server.close()


async def test_requests_beyond_the_limit_wait_their_turn(up: ScriptedUpstream) -> None:
    rig = Rig(up, max_connections=2)
    replies = await asyncio.gather(*[rig.post() for _ in range(20)])

    assert {reply.status for reply in replies} == {200}
    assert up.connections <= 2
    assert rig.client.busy == 0
    rig.client.close()


async def test_waiting_too_long_for_a_connection_is_overload(up: ScriptedUpstream) -> None:
    rig = Rig(up, max_connections=1, queue_s=5.0)
    up.script.append(sends(chunked(b"one", end=False), then="stall"))
    stream = await rig.post(stream=True)
    watched = len(rig.watchdog)
    call = asyncio.ensure_future(rig.fault())
    await until(lambda: len(rig.watchdog) > watched)
    rig.clock.advance(6.0)
    rig.watchdog.sweep()

    assert (await call).error_code == "overloaded"
    stream.close()
    assert rig.client.busy == 0
    await rig.healthy()
    rig.client.close()


async def test_a_waiter_that_is_cancelled_leaves_no_hole(up: ScriptedUpstream) -> None:
    rig = Rig(up, max_connections=1)
    up.script.append(sends(chunked(b"one", end=False), then="stall"))
    stream = await rig.post(stream=True)
    watched = len(rig.watchdog)
    waiting = [asyncio.ensure_future(rig.post()) for _ in range(3)]
    await until(lambda: len(rig.watchdog) == watched + 3)
    stream.close()
    waiting[0].cancel()
    results = await asyncio.gather(*waiting, return_exceptions=True)

    assert isinstance(results[0], asyncio.CancelledError)
    assert [reply.status for reply in results[1:]] == [200, 200]
    assert rig.client.busy == 0
    rig.client.close()


async def test_an_unused_connection_is_closed_after_a_while(up: ScriptedUpstream) -> None:
    rig = Rig(up, keep_alive_s=30.0)
    await rig.post()
    rig.clock.advance(31.0)
    rig.watchdog.sweep()

    await up.all_closed()
    assert (rig.client.idle, len(rig.watchdog)) == (0, 0)
    await rig.healthy()
    rig.client.close()


async def test_closing_the_client_ends_what_is_under_way(up: ScriptedUpstream) -> None:
    rig = Rig(up)
    up.script.append(sends(then="stall"))
    call = asyncio.ensure_future(rig.fault())
    await up.requests(1)
    rig.client.close()

    assert (await call).error_code == "upstream_unreachable"
    await up.all_closed()


async def test_a_subscriber_gets_every_piece_and_one_end(up: ScriptedUpstream) -> None:
    rig = Rig(up)
    go = asyncio.Event()

    async def two_parts(conn: Conn) -> None:
        await conn.write(chunked(b"one", end=False))
        await go.wait()
        await conn.write(b"3\r\ntwo\r\n0\r\n\r\n")

    class Collecting:
        def __init__(self) -> None:
            self.pieces: list[bytes] = []
            self.ended: asyncio.Future[object] = asyncio.get_running_loop().create_future()

        def data(self, piece: bytes) -> None:
            self.pieces.append(piece)

        def end(self, fault: TransportError | None) -> None:
            self.ended.set_result(fault)

    up.script.append(two_parts)
    exchange = await rig.post(stream=True)
    sink = Collecting()
    exchange.subscribe(sink)
    assert sink.pieces == [b"one"]
    go.set()

    assert await asyncio.wait_for(sink.ended, 5) is None
    assert sink.pieces == [b"one", b"two"]
    await rig.healthy()
    rig.client.close()


async def test_a_connection_paused_at_the_last_piece_serves_the_next_request(
    up: ScriptedUpstream,
) -> None:
    rig = Rig(up)

    class Pausing:
        def __init__(self, exchange: Any) -> None:
            self.exchange = exchange
            self.ended: asyncio.Future[object] = asyncio.get_running_loop().create_future()

        def data(self, piece: bytes) -> None:
            self.exchange.pause()

        def end(self, fault: TransportError | None) -> None:
            self.ended.set_result(fault)

    go = asyncio.Event()

    async def after_the_head(conn: Conn) -> None:
        await conn.write(chunked(b"one", end=False))
        await go.wait()
        await conn.write(b"3\r\ntwo\r\n0\r\n\r\n")

    up.script.append(after_the_head)
    exchange = await rig.post(stream=True)
    sink = Pausing(exchange)
    exchange.subscribe(sink)
    go.set()
    exchange.resume()

    assert await asyncio.wait_for(sink.ended, 5) is None
    await asyncio.wait_for(rig.healthy(), 5)
    rig.client.close()
