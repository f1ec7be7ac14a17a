"""Many calls at once over a server that fails in every way: nothing is lost or left busy."""

import asyncio
import random

import pytest
from tests.support.scripted_upstream import (
    GOOD,
    Answer,
    FrozenClock,
    answers,
    chunked,
    gzipped,
    manual_watchdog,
    response,
    sends,
    upstream,
)

from interlock.kernel.errors import InterlockError
from interlock.providers.build import build_upstreams
from interlock.providers.settings import load_settings

pytestmark = pytest.mark.anyio


@pytest.fixture(params=[{}, {"use_uvloop": True}], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    return ("asyncio", request.param)


KINDS: list[Answer] = [
    answers(),
    answers(),
    answers(status=503),
    answers(status=400),
    sends(then="close"),
    sends(then="abort"),
    sends(response()[:-2], then="close"),
    sends(response() + b"junk"),
    sends(chunked(b"one", b"two")),
    sends(chunked(b"one", end=False), then="abort"),
    sends(gzipped(GOOD)),
    sends(b"rubbish"),
    sends(response(headers={"connection": "close"})),
]


@pytest.mark.parametrize("seed", range(3))
async def test_after_every_mix_of_faults_and_cancellations_the_pool_is_whole(seed: int) -> None:
    dice = random.Random(seed)
    clock = FrozenClock()
    watchdog = manual_watchdog(clock)
    async with upstream(*[dice.choice(KINDS) for _ in range(600)]) as up:
        settings = {
            "base_url": up.origin,
            "max_concurrency": 8,
            "timeouts": {"queue_s": 1000},
            "breaker": {"failures": 10_000, "minimum": 10_000},
        }
        router = build_upstreams(
            load_settings({"providers": {"one": settings}}),
            clock=clock,
            watchdog=watchdog,
            sleep=clock.sleep,
            draw=dice.random,
        )
        route = router.resolve("one", "m")

        async def call(stream: bool, reads: bool) -> str:
            reply = await router.send(route, lambda *_: b"{}", want="chat", stream=stream)
            try:
                return (await reply.read()).decode() if reads else "closed"
            finally:
                reply.close()

        calls = [
            asyncio.ensure_future(call(dice.random() < 0.5, dice.random() < 0.8))
            for _ in range(300)
        ]
        for one in dice.sample(calls, 60):
            asyncio.get_running_loop().call_later(dice.random() * 0.1, one.cancel)
        done, pending = await asyncio.wait(calls, timeout=30)

        assert not pending
        results = [one.exception() if not one.cancelled() else None for one in done]
        assert all(r is None or isinstance(r, InterlockError) for r in results)
        bodies = {one.result() for one in done if not one.cancelled() and not one.exception()}
        assert bodies <= {GOOD.decode(), "onetwo", "closed"}

        up.script.clear()
        again = await asyncio.gather(*[call(False, True) for _ in range(20)])
        assert set(again) == {GOOD.decode()}
        client = router._providers["one"].client
        assert client is not None
        assert client.busy == 0
        assert client.idle == client.connections <= 8
        router.close()
        await up.all_closed()
        assert len(watchdog) == 0
