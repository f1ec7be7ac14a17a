"""An upstream in this process behaves like one across the network."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field

import pytest
from tests.support.scripted_upstream import FrozenClock, manual_watchdog

from interlock.providers.build import build_upstreams
from interlock.providers.model import Reply, UpstreamError
from interlock.providers.router import Router
from interlock.providers.settings import load_settings

pytestmark = pytest.mark.anyio


@dataclass
class Given:
    """An answer of the fake model."""

    body: AsyncIterator[bytes]
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=lambda: {"Content-Type": "x/y"})


class Model:
    """A model that answers with what a function yields."""

    def __init__(self, body: Callable[[], AsyncIterator[bytes]], status: int = 200) -> None:
        self.body = body
        self.status = status
        self.seen: list[tuple[str, str, Mapping[str, str], bytes]] = []

    async def handle(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes
    ) -> Given:
        self.seen.append((method, path, headers, body))
        return Given(self.body(), self.status)


class Rig:
    def __init__(self, model: Model) -> None:
        self.clock = FrozenClock()
        self.watchdog = manual_watchdog(self.clock)
        self.router: Router = build_upstreams(
            load_settings({"providers": {"demo": {"retries": {"attempts": 0}}}}),
            clock=self.clock,
            watchdog=self.watchdog,
            demo=model,
            sleep=self.clock.sleep,
        )

    async def send(self, *, stream: bool = False) -> Reply:
        route = self.router.resolve("demo", "demo")
        return await asyncio.wait_for(
            self.router.send(
                route, lambda *_: b"{}", want="messages", stream=stream, headers=(("X-A", "b"),)
            ),
            5,
        )


async def two() -> AsyncIterator[bytes]:
    yield b"one"
    await asyncio.sleep(0)
    yield b"two"


async def test_a_whole_answer_is_collected() -> None:
    model = Model(two)
    reply = await Rig(model).send()

    assert (await reply.read(), reply.headers["content-type"]) == (b"onetwo", "x/y")
    method, path, headers, body = model.seen[0]
    assert (method, path, body) == ("POST", "/v1/messages", b"{}")
    assert headers["x-a"] == "b"


async def test_a_stream_arrives_in_pieces() -> None:
    reply = await Rig(Model(two)).send(stream=True)

    assert b"".join([piece async for piece in reply.chunks()]) == b"onetwo"


async def test_an_error_status_is_an_error() -> None:
    with pytest.raises(UpstreamError) as caught:
        await Rig(Model(two, status=418)).send(stream=True)

    assert (caught.value.status, caught.value.body) == (418, b"onetwo")


async def test_a_model_that_breaks_is_a_failed_upstream() -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"one"
        msg = "sk-secret-in-an-exception"
        raise RuntimeError(msg)

    rig = Rig(Model(broken))
    with pytest.raises(UpstreamError) as caught:
        await rig.send()

    assert caught.value.error_code == "upstream_truncated"
    assert "secret" not in str(caught.value)


async def test_closing_stops_the_model() -> None:
    stopped = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"x"
                await asyncio.sleep(0)
        finally:
            stopped.set()

    rig = Rig(Model(endless))
    reply = await rig.send(stream=True)
    reply.close()

    await asyncio.wait_for(stopped.wait(), 5)


async def test_a_silent_model_times_out_and_is_stopped() -> None:
    stopped = asyncio.Event()

    async def silent() -> AsyncIterator[bytes]:
        try:
            await asyncio.Event().wait()
            yield b""
        finally:
            stopped.set()

    rig = Rig(Model(silent))
    call = asyncio.ensure_future(rig.send())
    while not rig.watchdog._items:  # noqa: ASYNC110 - the call puts itself there
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    rig.clock.advance(301)
    rig.watchdog.sweep()

    with pytest.raises(UpstreamError) as caught:
        await call
    assert caught.value.error_code == "upstream_timeout"
    await asyncio.wait_for(stopped.wait(), 5)


async def test_a_reader_that_stops_stops_the_model_too() -> None:
    made = 0

    async def flood() -> AsyncIterator[bytes]:
        nonlocal made
        for _ in range(1000):
            made += 1
            yield b"x" * 65536
            await asyncio.sleep(0)

    rig = Rig(Model(flood))
    reply = await rig.send(stream=True)
    for _ in range(2000):
        await asyncio.sleep(0)

    assert made < 20
    assert len(await reply.read()) == 1000 * 65536
