"""Clients that go away or read slowly: the upstream hears of it, the ledger knows it."""

import itertools
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.support.fault_site import WIRES, FaultSite, request, running_fault_site
from tests.support.faulty_upstream import MARK
from tests.support.raw_client import post, raw_client

from interlock.web.hot import sweep

pytestmark = pytest.mark.anyio

_PRICES = 'prices = { "stall.text" = { input = 1.0, output = 2.0 } }'


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """One event loop for the module, because the server lives in it."""
    return "asyncio"


@pytest.fixture(scope="module")
async def site(
    anyio_backend: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[FaultSite]:
    data = tmp_path_factory.mktemp("disconnects")
    async with running_fault_site(data, more=_PRICES, quick=False) as running:
        yield running


@pytest.fixture(autouse=True)
def _fresh(site: FaultSite) -> None:
    site.upstream.calls.clear()
    site.upstream.sent = 0


def _bytes(site: FaultSite, wire: str, provider: str, model: str, **more: Any) -> bytes:
    headers = {"anthropic-version": "2023-06-01"} if wire == "messages" else {}
    path = site.path(wire, provider)
    return post(path, request(wire, model, **more), key=site.gateway.key, headers=headers)


@pytest.mark.parametrize(("client", "upstream"), [*itertools.product(WIRES, WIRES)])
@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_leaves_before_the_answer_ends_the_upstream_call(
    site: FaultSite, client: str, upstream: str, stream: bool
) -> None:
    before = len(await site.everything())
    async with raw_client(site.gateway.base_url) as connection:
        await connection.send(_bytes(site, client, upstream, "stall.silent", stream=stream))
        call = await site.upstream.call("stall.silent")
    await site.upstream.until(call.gone.is_set)

    (record,) = await site.everything_after(before)
    assert (record["status"], record["error"], record["provider"]) == (499, "client_gone", upstream)
    assert (record["input_tokens"] > 0, record["output_tokens"], record["estimated"]) == (
        True,
        0,
        1,
    )
    await site.healthy()


@pytest.mark.parametrize(("client", "upstream"), [*itertools.product(WIRES, WIRES)])
async def test_a_client_that_leaves_a_stream_ends_the_upstream_call_and_pays_what_it_got(
    site: FaultSite, client: str, upstream: str
) -> None:
    before = len(await site.everything())
    async with raw_client(site.gateway.base_url) as connection:
        await connection.send(_bytes(site, client, upstream, "stall.text", stream=True))
        await connection.until(MARK.strip().encode())
        call = await site.upstream.call("stall.text")
        assert not call.gone.is_set()
    await site.upstream.until(call.gone.is_set)

    (record,) = await site.everything_after(before)
    assert (record["status"], record["error"]) == (499, "client_gone")
    assert record["input_tokens"] > 0
    assert record["output_tokens"] > 0
    assert record["cost"] > 0
    assert len(site.gateway.app.hot.streams) == 0


async def test_a_client_that_leaves_with_its_whole_answer_did_not_give_up(site: FaultSite) -> None:
    before = len(await site.everything())
    async with raw_client(site.gateway.base_url) as connection:
        await connection.send(_bytes(site, "chat", "chat", "stall.done", stream=True))
        await connection.until(b"[DONE]\n\n\r\n0\r\n\r\n")
        call = await site.upstream.call("stall.done")
    await site.upstream.until(call.gone.is_set)

    (record,) = await site.everything_after(before)
    assert (record["status"], record["error"], record["estimated"]) == (200, None, 0)


async def test_requests_waiting_behind_another_on_a_connection_go_with_their_client(
    site: FaultSite,
) -> None:
    before = len(await site.everything())
    async with raw_client(site.gateway.base_url) as connection:
        first = _bytes(site, "chat", "chat", "stall.silent")
        await connection.send(first + _bytes(site, "chat", "chat", "never-asked"))
        call = await site.upstream.call("stall.silent")
    await site.upstream.until(call.gone.is_set)
    await site.healthy()

    records = await site.everything_after(before)
    assert [row["status"] for row in records] == [499, 200, 200, 200]
    assert not [call for call in site.upstream.calls if call.model == "never-asked"]


_SIZE = 48 << 20
_HELD = 2 << 20
"""More than the gateway may hold for one client."""


@pytest.mark.parametrize("client", ["chat", "messages"])
async def test_a_client_that_reads_slowly_slows_the_upstream_down(
    site: FaultSite, client: str
) -> None:
    upstream = site.upstream
    sending = _bytes(site, client, "chat", f"flood.{_SIZE}", stream=True)
    async with raw_client(site.gateway.base_url, receive_buffer=65536, limit=65536) as connection:
        await connection.send(sending)
        await site.streams(lambda streams: any(stream.must_drain for stream in streams))
        (stream,) = site.gateway.app.hot.streams
        got = most_held = most_under_way = 0
        while got < _SIZE:
            got += len(await connection.reader.read(65536))
            most_held = max(most_held, stream.transport.get_write_buffer_size())
            most_under_way = max(most_under_way, upstream.sent - got)

    assert most_held < _HELD
    # The rest is in the buffers of the kernel.
    assert most_under_way < _SIZE // 2


async def test_a_client_that_reads_nothing_is_dropped_in_the_end(site: FaultSite) -> None:
    before = len(await site.everything())
    sending = _bytes(site, "chat", "chat", f"flood.{_SIZE}", stream=True)
    async with raw_client(site.gateway.base_url, receive_buffer=65536, limit=65536) as connection:
        await connection.send(sending)
        await site.streams(lambda streams: any(stream.must_drain for stream in streams))
        (held,) = [c for c in site.gateway.connections() if c.blocked is not None]
        since, allowed_s = held.blocked or 0.0, held.limits.send_s

        sweep({held}, since + allowed_s - 1)
        assert not held.transport.is_closing()
        sweep({held}, since + allowed_s)
        await site.streams(lambda streams: not streams)

    (record,) = await site.everything_after(before)
    assert (record["status"], record["error"]) == (499, "client_gone")
    await site.healthy()


async def test_an_answer_larger_than_the_limit_is_an_error_and_not_kept(site: FaultSite) -> None:
    outcome = await site.ask("chat", "chat", f"flood.{100 << 20}")

    assert outcome.error == "502 api_error upstream_too_large"
    assert site.upstream.sent < 100 << 20
    await site.healthy()
