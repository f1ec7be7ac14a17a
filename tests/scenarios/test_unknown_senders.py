"""Nobody without a key makes the server hold more than the first read of a body."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.gateway import Gateway, running_gateway
from tests.support.raw_client import post, raw_client

from interlock.identity.keys import KeyService
from interlock.identity.model import Actor, KeySpec

pytestmark = pytest.mark.anyio

PATHS = {
    "chat": "/control/chat/demo/v1/chat/completions",
    "messages": "/control/chat/demo/v1/messages",
    "responses": "/control/chat/demo/v1/responses",
}
_SIZE = 40 << 20
_ONE_READ = 256 << 10
"""What the event loop reads from a socket at a time."""


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Gateway]:
    async with running_gateway(tmp_path) as running:
        yield running


def _head(wire: str, key: str | None, **headers: str) -> bytes:
    """Headers that announce a large body; nothing of it is there."""
    lines = {"content-length": str(_SIZE), **headers}
    whole = post(PATHS[wire], b"", key=key or "", headers=lines, framed=False)
    return whole if key is not None else whole.replace(b"authorization: Bearer \r\n", b"")


@pytest.mark.parametrize("wire", PATHS)
@pytest.mark.parametrize(
    ("key", "error"),
    [
        (None, "401 authentication_error missing_api_key"),
        ("two words", "401 authentication_error invalid_api_key"),
        ("sq-nobody", "401 authentication_error invalid_api_key"),
    ],
)
async def test_a_body_without_a_valid_key_is_refused_before_it_was_sent(
    gateway: Gateway, wire: str, key: str | None, error: str
) -> None:
    for _ in range(2):  # the second time it is known to be unknown
        async with raw_client(gateway.base_url) as client:
            await client.send(_head(wire, key))
            answer = await client.answer()
            assert (answer.error, answer.headers["connection"]) == (error, "close")
            assert answer.headers["www-authenticate"] == "Bearer"
            assert ("request-id" in answer.headers) == (wire == "messages")
            (connection,) = gateway.connections()
            assert connection.body_size == 0


async def test_a_client_that_sends_on_hears_the_refusal_all_the_same(gateway: Gateway) -> None:
    async with raw_client(gateway.base_url) as client:
        await client.send(_head("chat", "sq-nobody"), *[b" " * (1 << 20)] * (_SIZE >> 20))
        assert (await client.answer()).status == 401
        (connection,) = gateway.connections()
        assert connection.body_size <= _ONE_READ


@pytest.mark.parametrize("key", [None, "sq-nobody"])
async def test_who_asks_first_is_refused_instead_of_told_to_continue(
    gateway: Gateway, key: str | None
) -> None:
    async with raw_client(gateway.base_url) as client:
        await client.send(_head("responses", key, expect="100-continue"))
        assert (await client.answer()).status == 401


async def test_who_asks_first_with_a_good_key_is_told_to_continue(gateway: Gateway) -> None:
    body = b'{"model": "demo", "messages": [{"role": "user", "content": "SAY yes"}]}'
    whole = post(PATHS["chat"], body, key=gateway.key, headers={"expect": "100-continue"})
    for _ in range(2):  # the first time the key is looked up
        async with raw_client(gateway.base_url) as client:
            await client.send(whole.removesuffix(body))
            assert await client.until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            await client.send(body)
            answer = await client.answer()
            assert (answer.status, b"yes" in answer.body) == (200, True)


async def test_reading_stops_while_a_key_is_looked_up(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, may_answer = asyncio.Event(), asyncio.Event()
    real = KeyService.lookup

    async def slow(keys: KeyService, token: Any) -> Any:
        asked.set()
        await may_answer.wait()
        return await real(keys, token)

    monkeypatch.setattr(KeyService, "lookup", slow)
    created = await gateway.app.store.admin.create_key(
        KeySpec(label="new"), Actor(name="test", surface="server")
    )
    text = "x" * (8 << 20) + "\\nSAY yes"
    body = f'{{"model": "demo", "messages": [{{"role": "user", "content": "{text}"}}]}}'.encode()
    async with raw_client(gateway.base_url) as client, asyncio.TaskGroup() as group:
        group.create_task(client.send(post(PATHS["chat"], body, key=created.token)))
        async with asyncio.timeout(5):
            await asked.wait()
        (connection,) = gateway.connections()
        assert (connection.flow.read_paused, connection.body_size < _ONE_READ) == (True, True)
        may_answer.set()
        answer = await client.answer()

    assert (answer.status, b"yes" in answer.body) == (200, True)


async def test_an_answer_that_is_still_being_sent_comes_before_the_refusal(
    gateway: Gateway,
) -> None:
    slow = b'{"model": "demo", "messages": [{"role": "user", "content": "SLOW 0.2\\nSAY yes"}]}'
    first = post(PATHS["chat"], slow, key=gateway.key)
    async with raw_client(gateway.base_url) as client:
        await client.send(first + _head("chat", "sq-nobody", expect="100-continue"))
        answers = [await client.answer(), await client.answer()]

    assert [answer.status for answer in answers] == [200, 401]
    assert b"yes" in answers[0].body


async def test_continue_is_not_said_in_the_middle_of_another_answer(gateway: Gateway) -> None:
    body = b'{"model": "demo", "messages": [{"role": "user", "content": "SLOW 0.2\\nSAY yes"}]}'
    plain = post(PATHS["chat"], body, key=gateway.key)
    asking = post(PATHS["chat"], body, key=gateway.key, headers={"expect": "100-continue"})
    async with raw_client(gateway.base_url) as client:
        await client.send(plain + asking.removesuffix(body))
        first = await client.answer()
        assert await client.until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        await client.send(body)
        second = await client.answer()

    assert (first.status, second.status) == (200, 200)
