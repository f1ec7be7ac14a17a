"""Keys appear in no error, log, representation or event of the upstream side."""

import asyncio
import json
import logging
import traceback
from collections.abc import Callable
from typing import Any

import pytest
from tests.support.scripted_upstream import (
    Answer,
    Conn,
    FrozenClock,
    chunked,
    manual_watchdog,
    response,
    sends,
    upstream,
)

from interlock.kernel.errors import InterlockError
from interlock.providers.build import build_upstreams
from interlock.providers.demo import DemoUpstream
from interlock.providers.model import Target
from interlock.providers.settings import load_settings

pytestmark = pytest.mark.anyio

# Shapes that no pattern would recognise: only knowing the key removes it.
SERVER_KEY = "zebra/Quartz+4711/unlikely-server-secret"
CALLER_KEY = "yodel/Marble+0815/unlikely-caller-secret"


def parrot(status: int, shape: Callable[[str], bytes]) -> Answer:
    """Answers with the credential it was given, in some shape."""

    async def run(conn: Conn) -> None:
        key = run.last_key()  # type: ignore[attr-defined]
        await conn.write(response(shape(key), status=status, headers={"x-echo": key}))

    return run


SHAPES: dict[str, Callable[[str], bytes]] = {
    "json": lambda key: json.dumps({"error": {"message": f"bad key {key}"}}).encode(),
    "text": lambda key: f"<html>{key}</html>".encode(),
    "bearer": lambda key: f"got 'Authorization: Bearer {key}'".encode(),
    "at the cut": lambda key: b"x" * (65536 - 10) + key.encode(),
    "beyond what is read": lambda key: b"x" * (68 * 1024 - 10) + key.encode() * 10,
}


class Everything:
    """Collects whatever could be shown to somebody."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def on_attempt(self, target: Target, outcome: str, seconds: float) -> None:
        self.texts.append(f"{target!r} {outcome} {seconds}")

    def error(self, error: InterlockError) -> None:
        self.texts += [
            repr(error),
            str(error),
            repr(vars(error)),
            repr(getattr(error, "body", b"")),
            "".join(traceback.format_exception(error)),
        ]

    def assert_clean(self) -> None:
        everything = "\n".join(self.texts)
        for secret in (SERVER_KEY, CALLER_KEY):
            for length in (8, len(secret)):
                assert secret[:length] not in everything
                assert secret[-length:] not in everything


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("status", [400, 401, 403, 429, 500, 503])
@pytest.mark.parametrize("byok", [None, CALLER_KEY])
async def test_an_upstream_that_repeats_the_key_does_not_spread_it(
    caplog: pytest.LogCaptureFixture, shape: str, status: int, byok: str | None
) -> None:
    caplog.set_level(logging.DEBUG)
    shown = Everything()
    async with upstream() as up:
        answer = parrot(status, SHAPES[shape])
        answer.last_key = lambda: up.seen[-1].headers["authorization"].removeprefix("Bearer ")  # type: ignore[attr-defined]
        up.script += [answer] * 4
        router = build_upstreams(
            load_settings({"providers": {"one": {"base_url": up.origin, "api_key": SERVER_KEY}}}),
            clock=(clock := FrozenClock()),
            watchdog=manual_watchdog(clock),
            observer=shown,
            sleep=clock.sleep,
        )
        route = router.resolve("one", "m", byok=byok)
        with pytest.raises(InterlockError) as caught:
            await asyncio.wait_for(router.send(route, lambda *_: b"{}", want="chat"), 5)
        router.close()
    shown.error(caught.value)
    shown.texts += [repr(route), str(route), repr(router), repr(vars(router)), caplog.text]

    assert up.seen[0].headers["authorization"] == f"Bearer {byok or SERVER_KEY}"
    shown.assert_clean()


FAULTS: dict[str, Answer] = {
    "no answer": sends(then="close"),
    "garbage": sends(b"not http"),
    "cut": sends(response()[:-1], then="close"),
    "cut stream": sends(chunked(b"x", end=False), then="close"),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_broken_exchange_does_not_show_the_key(
    caplog: pytest.LogCaptureFixture, fault: str
) -> None:
    caplog.set_level(logging.DEBUG)
    shown = Everything()
    async with upstream(*[FAULTS[fault]] * 6) as up:
        settings: Any = {"providers": {"one": {"base_url": up.origin, "api_key": SERVER_KEY}}}
        clock = FrozenClock()
        router = build_upstreams(
            load_settings(settings), clock=clock, observer=shown, sleep=clock.sleep
        )
        route = router.resolve("one", "m", byok=CALLER_KEY)

        async def call() -> None:
            reply = await router.send(route, lambda *_: b"{}", want="chat", stream=True)
            shown.texts.append(repr(reply))
            await reply.read()

        with pytest.raises(InterlockError) as caught:
            await call()
        router.close()
    shown.error(caught.value)
    shown.texts.append(caplog.text)

    shown.assert_clean()


async def test_the_demo_model_is_reached_like_any_upstream() -> None:
    router = build_upstreams(load_settings({}), demo=DemoUpstream())
    route = router.resolve(None, "demo", suffix="messages")
    body = json.dumps(
        {
            "model": "demo",
            "max_tokens": 50,
            "messages": [{"role": "user", "content": "SAY hello"}],
        }
    ).encode()
    reply = await router.send(route, lambda *_: body, want="messages")
    answer = json.loads(await reply.read())

    assert (reply.target.provider, answer["content"][0]["text"]) == ("demo", "hello")
    router.close()
