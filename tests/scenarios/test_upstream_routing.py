"""Model calls through the router to real servers on loopback: retries, fail-over, keys."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
from tests.support.scripted_upstream import (
    GOOD,
    Answer,
    FrozenClock,
    ScriptedUpstream,
    answers,
    chunked,
    manual_watchdog,
    response,
    sends,
    upstream,
)

from interlock.kernel.errors import ErrorKind, InterlockError
from interlock.providers.build import build_upstreams
from interlock.providers.model import Reply, Target, UpstreamError
from interlock.providers.router import Router
from interlock.providers.settings import load_settings

pytestmark = pytest.mark.anyio

KEY = "sk-server-0123456789abcdef"
KEY_2 = "sk-second-fedcba9876543210"
BYOK = "sk-caller-55555555555555"


class Attempts:
    """Records what the router reports."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []

    def on_attempt(self, target: Target, outcome: str, seconds: float) -> None:
        assert seconds >= 0
        self.seen.append((target.deployment, outcome))

    @property
    def outcomes(self) -> list[str]:
        return [outcome for _, outcome in self.seen]


class Rig:
    """A router whose time and dice the test owns."""

    def __init__(
        self,
        settings: Mapping[str, Any],
        draw: Callable[[], float] = lambda: 0.5,
        early_s: float = 0.0,
    ) -> None:
        self.clock = FrozenClock(early_s)
        self.watchdog = manual_watchdog(self.clock)
        self.attempts = Attempts()
        self.router: Router = build_upstreams(
            load_settings(settings),
            clock=self.clock,
            watchdog=self.watchdog,
            observer=self.attempts,
            sleep=self.clock.sleep,
            draw=draw,
        )
        self.built: list[tuple[str, str]] = []

    def build(self, target: Target, wire: str) -> bytes:
        self.built.append((target.deployment, wire))
        return f'{{"model":"{target.model}"}}'.encode()

    async def send(
        self,
        model: str = "m",
        provider: str | None = "one",
        *,
        byok: str | None = None,
        stream: bool = False,
        headers: tuple[tuple[str, str], ...] = (),
        want: Any = "chat",
        operation: Any = "generate",
    ) -> Reply:
        route = self.router.resolve(provider, model, byok=byok, operation=operation)
        return await asyncio.wait_for(
            self.router.send(
                route, self.build, want=want, stream=stream, headers=headers, operation=operation
            ),
            5,
        )

    async def failure(self, *args: Any, **kwargs: Any) -> UpstreamError:
        with pytest.raises(UpstreamError) as caught:
            await self.send(*args, **kwargs)
        return caught.value


def one(up: ScriptedUpstream, **more: Any) -> dict[str, Any]:
    return {"providers": {"one": {"base_url": up.origin, "api_key": KEY, **more}}}


def two(first: ScriptedUpstream, second: ScriptedUpstream, **more: Any) -> dict[str, Any]:
    """Alias `both`: provider `one`, then provider `two`."""
    return {
        "providers": {
            "one": {"base_url": first.origin, "api_key": KEY, **more},
            "two": {"base_url": second.origin, "api_key": KEY_2},
        },
        "aliases": {"both": [{"provider": "one", "model": "a"}, {"provider": "two", "model": "b"}]},
    }


async def test_a_call_arrives_with_key_path_and_headers() -> None:
    async with upstream(answers(headers={"X-Request-Id": "r-1"})) as up:
        rig = Rig(one(up, headers={"X-Team": "red"}))
        reply = await rig.send(headers=(("anthropic-beta", "x"), ("X-Team", "blue")))

        assert await reply.read() == GOOD
        assert (reply.status, reply.headers["x-request-id"], reply.attempts) == (200, "r-1", 1)
        seen = up.seen[0]
        assert (seen.line, seen.body) == ("POST /v1/chat/completions HTTP/1.1", b'{"model":"m"}')
        assert seen.headers["authorization"] == f"Bearer {KEY}"
        assert seen.headers["accept-encoding"] == "identity"
        assert seen.headers["content-type"] == "application/json"
        assert seen.headers["anthropic-beta"] == "x"
        assert seen.headers["x-team"] == "red"
        assert seen.headers["host"] == f"127.0.0.1:{up.port}"
        assert rig.attempts.seen == [("one/m", "ok")]
        rig.router.close()


async def test_a_caller_can_neither_frame_the_message_nor_replace_the_key() -> None:
    async with upstream() as up:
        rig = Rig(one(up))
        await rig.send(
            headers=(
                ("Content-Length", "9999"),
                ("Transfer-Encoding", "chunked"),
                ("Host", "evil"),
                ("Authorization", "Bearer mine"),
                ("Connection", "close"),
                ("X-Api-Key", "mine"),
            )
        )

        headers = up.seen[0].headers
        assert headers["authorization"] == f"Bearer {KEY}"
        assert headers["content-length"] == "13"
        assert headers["host"].startswith("127.0.0.1")
        assert not {"transfer-encoding", "x-api-key", "connection"} & set(headers)
        rig.router.close()


@pytest.mark.parametrize("value", ["a\r\nx: y", "a\nb", "a\0b", "snow\u2603"])
async def test_a_header_that_would_inject_is_refused_before_anything_is_sent(value: str) -> None:
    async with upstream() as up:
        rig = Rig(one(up))
        with pytest.raises(InterlockError) as caught:
            await rig.send(headers=(("x-note", value),))

        assert (caught.value.error_kind, caught.value.param) == (ErrorKind.INVALID, "x-note")
        assert up.seen == []


async def test_a_caller_key_that_would_inject_is_refused_without_repeating_it() -> None:
    async with upstream() as up:
        rig = Rig(one(up))
        with pytest.raises(InterlockError) as caught:
            await rig.send(byok="secretpart\r\nx: y")

        assert caught.value.param == "X-Api-Key"
        assert "secretpart" not in str(caught.value)
        assert up.seen == []


RETRIED: dict[str, tuple[Answer, str]] = {
    "429": (answers(b"{}", status=429), "rate_limit_exceeded"),
    "502": (answers(b"{}", status=502), "upstream_error"),
    "503": (answers(b"{}", status=503), "overloaded"),
    "504": (answers(b"{}", status=504), "upstream_error"),
    "529": (answers(b"{}", status=529), "overloaded"),
    "no answer": (sends(then="close"), "upstream_unreachable"),
    "cut answer": (sends(response()[:-2], then="close"), "upstream_truncated"),
}


@pytest.mark.parametrize("name", RETRIED)
async def test_a_passing_failure_is_tried_again_after_a_pause(name: str) -> None:
    answer, outcome = RETRIED[name]
    async with upstream(answer) as up:
        rig = Rig(one(up))
        reply = await rig.send()

        assert (await reply.read(), reply.attempts, len(up.seen)) == (GOOD, 2, 2)
        assert len(rig.clock.slept) == 1
        assert rig.attempts.outcomes == [outcome, "ok"]
        assert len(rig.built) == 1
        rig.router.close()


async def test_pauses_grow_and_are_jittered() -> None:
    async with upstream(*[answers(b"", status=503)] * 3) as up:
        rig = Rig(one(up, retries={"attempts": 3, "base_s": 1.0}), draw=lambda: 0.25)
        await rig.send()

        assert rig.clock.slept == [0.25, 0.5, 1.0]
        rig.router.close()


async def test_retries_end_with_the_last_error() -> None:
    async with upstream(*[answers(b'{"error":{"message":"busy"}}', status=503)] * 9) as up:
        rig = Rig(one(up))
        error = await rig.failure()

        assert (error.status, error.error_code, error.error_kind) == (
            503,
            "overloaded",
            ErrorKind.UNAVAILABLE,
        )
        assert (error.attempts, len(up.seen)) == (3, 3)
        assert error.message == "`one` answered 503: busy"
        rig.router.close()


@pytest.mark.parametrize("status", [400, 404, 405, 413, 415, 422])
async def test_a_refused_request_is_passed_through_and_not_repeated(status: int) -> None:
    body = b'{"error":{"message":"bad thing","type":"x"}}'
    async with upstream(answers(body, status=status)) as up, upstream() as other:
        rig = Rig(two(up, other))
        error = await rig.failure("both")

        assert (error.error_kind, error.status, error.body) == (ErrorKind.INVALID, status, body)
        assert (len(up.seen), len(other.seen)) == (1, 0)
        rig.router.close()


@pytest.mark.parametrize("status", [401, 403])
async def test_a_refused_server_key_is_our_problem_and_a_refused_caller_key_theirs(
    status: int,
) -> None:
    async with upstream(answers(b"{}", status=status), answers(b"{}", status=status)) as up:
        rig = Rig(one(up))
        ours = await rig.failure()
        theirs = await rig.failure(byok=BYOK)

        assert (ours.error_code, ours.error_kind) == (
            "upstream_authentication_error",
            ErrorKind.UPSTREAM,
        )
        assert (theirs.error_code, theirs.error_kind) == (
            "upstream_authentication_error",
            ErrorKind.UNAUTHENTICATED,
        )
        assert [seen.headers["authorization"] for seen in up.seen] == [
            f"Bearer {KEY}",
            f"Bearer {BYOK}",
        ]
        rig.router.close()


async def test_a_rate_limit_carries_its_hint_to_the_caller() -> None:
    limited = answers(b"{}", status=429, headers={"retry-after": "120"})
    async with upstream(limited) as up:
        rig = Rig(one(up))
        first = await rig.failure()
        second = await rig.failure()

        assert (first.error_kind, first.retry_after_s, first.status) == (
            ErrorKind.RATE_LIMITED,
            120.0,
            429,
        )
        # The key rests: the second call was not even sent.
        assert (second.error_code, second.retry_after_s) == ("rate_limit_exceeded", 120.0)
        assert len(up.seen) == 1
        rig.clock.advance(121)
        assert await (await rig.send()).read() == GOOD
        rig.router.close()


async def test_a_short_retry_after_is_waited_for() -> None:
    async with upstream(answers(b"{}", status=429, headers={"retry-after": "3"})) as up:
        rig = Rig(one(up))
        reply = await rig.send()

        assert (reply.status, rig.clock.slept) == (200, [3.0])
        rig.router.close()


async def test_a_timer_that_fires_early_does_not_end_the_attempts() -> None:
    async with upstream(answers(b"{}", status=429, headers={"retry-after": "3"})) as up:
        rig = Rig(one(up), early_s=0.5)
        reply = await rig.send()

        assert (reply.status, rig.clock.slept) == (200, [3.0, 0.5])
        rig.router.close()


async def test_another_key_takes_over_at_once_from_one_that_is_limited() -> None:
    limited = answers(b"{}", status=429, headers={"retry-after": "60"})
    async with upstream(limited) as up:
        settings = one(up)
        settings["providers"]["one"] = {
            "base_url": up.origin,
            "api_keys": [{"name": "a", "key": KEY}, {"name": "b", "key": KEY_2}],
        }
        rig = Rig(settings, draw=lambda: 0.0)
        for _ in range(3):
            await rig.send()

        assert [seen.headers["authorization"] for seen in up.seen] == [
            f"Bearer {KEY}",
            f"Bearer {KEY_2}",
            f"Bearer {KEY_2}",
            f"Bearer {KEY_2}",
        ]
        assert rig.clock.slept == []
        rig.router.close()


async def test_a_key_without_headroom_is_spared() -> None:
    spent = answers(
        headers={
            "x-ratelimit-limit-requests": "100",
            "x-ratelimit-remaining-requests": "0",
            "x-ratelimit-reset-requests": "30s",
        }
    )
    async with upstream(spent) as up:
        settings = one(up)
        settings["providers"]["one"] = {
            "base_url": up.origin,
            "api_keys": [{"name": "a", "key": KEY}, {"name": "b", "key": KEY_2}],
        }
        rig = Rig(settings, draw=lambda: 0.0)
        await rig.send()
        await rig.send()
        rig.clock.advance(31)
        await rig.send()

        assert [seen.headers["authorization"] for seen in up.seen] == [
            f"Bearer {KEY}",
            f"Bearer {KEY_2}",
            f"Bearer {KEY}",
        ]
        rig.router.close()


@pytest.mark.parametrize("status", [500, 401, 429, 503])
async def test_the_next_group_takes_over(status: int) -> None:
    bad = answers(b"{}", status=status, headers={"retry-after": "99"})
    async with upstream(*[bad] * 9) as first, upstream() as second:
        rig = Rig(two(first, second))
        reply = await rig.send("both")

        assert (reply.target.provider, reply.target.model) == ("two", "b")
        assert second.seen[0].headers["authorization"] == f"Bearer {KEY_2}"
        assert second.seen[0].body == b'{"model":"b"}'
        assert len(first.seen) == 1
        rig.router.close()


async def test_an_unreachable_upstream_fails_over() -> None:
    async with upstream() as gone:
        pass
    async with upstream() as second:
        rig = Rig(two(gone, second))
        reply = await rig.send("both")

        assert reply.target.provider == "two"
        rig.router.close()


async def test_a_caller_key_never_reaches_another_provider() -> None:
    async with upstream(*[answers(b"{}", status=503)] * 9) as first, upstream() as second:
        rig = Rig(two(first, second))
        error = await rig.failure("both", byok=BYOK)

        assert error.status == 503
        assert second.seen == []
        assert {seen.headers["authorization"] for seen in first.seen} == {f"Bearer {BYOK}"}
        rig.router.close()


async def test_a_route_made_by_hand_cannot_send_a_caller_key_elsewhere() -> None:
    async with upstream() as first, upstream() as second:
        rig = Rig(two(first, second))
        route = rig.router.resolve("one", "both")
        forged = replace(route, groups=route.groups[1:], byok=BYOK)
        with pytest.raises(InterlockError, match="not configured"):
            await rig.router.send(forged, rig.build, want="chat")

        assert second.seen == []
        rig.router.close()


async def test_weights_share_the_traffic_of_a_group() -> None:
    async with upstream() as first, upstream() as second:
        settings = two(first, second)
        settings["aliases"]["shared"] = [
            [
                {"provider": "one", "model": "a", "weight": 3},
                {"provider": "two", "model": "b", "weight": 1},
            ]
        ]
        draws = iter([0.0, 0.3, 0.74, 0.76])
        rig = Rig(settings, draw=lambda: next(draws))
        for _ in range(4):
            await rig.send("shared", None)

        assert (len(first.seen), len(second.seen)) == (3, 1)
        rig.router.close()


async def test_a_failing_member_of_a_group_is_followed_by_another_without_a_pause() -> None:
    async with upstream(*[answers(b"", status=503)] * 9) as first, upstream() as second:
        settings = two(first, second)
        settings["aliases"]["shared"] = [
            [{"provider": "one", "model": "a"}, {"provider": "two", "model": "b"}]
        ]
        rig = Rig(settings, draw=lambda: 0.0)
        reply = await rig.send("shared")

        assert (reply.target.provider, reply.attempts, rig.clock.slept) == ("two", 2, [])
        rig.router.close()


async def test_a_deployment_that_keeps_failing_is_left_alone_then_probed() -> None:
    async with upstream(*[answers(b"", status=500)] * 2) as up:
        rig = Rig(one(up, breaker={"failures": 2, "open_s": 10}))
        await rig.failure()
        await rig.failure()
        refused = await rig.failure()

        assert (refused.error_code, refused.status, refused.retry_after_s) == (
            "overloaded",
            None,
            10.0,
        )
        assert (refused.error_kind, refused.attempts) == (ErrorKind.UNAVAILABLE, 0)
        assert len(up.seen) == 2
        rig.clock.advance(10)
        assert await (await rig.send()).read() == GOOD
        assert await (await rig.send()).read() == GOOD
        rig.router.close()


async def test_an_open_breaker_sends_the_traffic_to_the_next_group() -> None:
    async with upstream(*[answers(b"", status=500)] * 9) as first, upstream() as second:
        rig = Rig(two(first, second, breaker={"failures": 2}))
        for _ in range(5):
            await rig.send("both")

        assert (len(first.seen), len(second.seen)) == (2, 5)
        rig.router.close()


async def test_a_probe_whose_caller_went_away_does_not_block_the_next() -> None:
    async with upstream(answers(b"", status=500), sends(then="stall")) as up:
        rig = Rig(one(up, breaker={"failures": 1, "open_s": 10}))
        await rig.failure()
        rig.clock.advance(11)
        probe = asyncio.ensure_future(rig.send())
        await up.requests(2)
        meanwhile = await rig.failure()
        probe.cancel()
        with pytest.raises(asyncio.CancelledError):
            await probe

        assert meanwhile.error_code == "overloaded"
        assert await (await rig.send()).read() == GOOD
        assert rig.attempts.outcomes == ["upstream_error", "cancelled", "ok"]
        rig.router.close()


async def test_a_sent_but_unanswered_call_is_repeated_only_if_allowed() -> None:
    async with upstream(sends(then="close")) as up:
        rig = Rig(one(up, retries={"unanswered": False}))
        error = await rig.failure()

        assert (error.error_code, error.status, len(up.seen)) == ("upstream_unreachable", None, 1)
        rig.router.close()


async def test_a_connection_that_could_not_be_made_is_always_tried_again() -> None:
    async with upstream() as up:
        settings = one(up, retries={"unanswered": False})
    rig = Rig(settings)
    error = await rig.failure()

    assert (error.error_code, error.attempts) == ("upstream_unreachable", 3)


async def test_a_slow_upstream_times_out_and_the_next_takes_over() -> None:
    async with upstream(sends(then="stall")) as first, upstream() as second:
        rig = Rig(two(first, second, timeouts={"first_byte_s": 20}))
        call = asyncio.ensure_future(rig.send("both"))
        await first.requests(1)
        rig.clock.advance(21)
        rig.watchdog.sweep()

        assert (await call).target.provider == "two"
        await first.all_closed()
        rig.router.close()


async def test_a_timeout_is_reported_as_such() -> None:
    async with upstream(sends(then="stall")) as up:
        rig = Rig(one(up, timeouts={"first_byte_s": 20}))
        call = asyncio.ensure_future(rig.failure())
        await up.requests(1)
        rig.clock.advance(21)
        rig.watchdog.sweep()
        error = await call

        assert (error.error_code, error.error_kind) == (
            "upstream_timeout",
            ErrorKind.UPSTREAM_TIMEOUT,
        )
        rig.router.close()


async def test_no_attempt_starts_after_the_total_time() -> None:
    async with upstream(*[answers(b"", status=503)] * 9) as up:
        rig = Rig(
            one(up, timeouts={"total_s": 5}, retries={"attempts": 9, "base_s": 4, "max_s": 8}),
            draw=lambda: 1.0,
        )
        error = await rig.failure()

        assert error.status == 503
        assert rig.clock.slept == [4.0]
        assert len(up.seen) == 2
        rig.router.close()


async def test_a_stream_is_returned_with_its_first_bytes_and_read_as_it_comes() -> None:
    async with upstream(sends(chunked(b"data: 1\n\n", b"data: 2\n\n"))) as up:
        rig = Rig(one(up))
        reply = await rig.send(stream=True)
        pieces = [piece async for piece in reply.chunks()]

        assert b"".join(pieces) == b"data: 1\n\ndata: 2\n\n"
        assert up.seen[0].headers["accept"] == "text/event-stream"
        assert rig.attempts.outcomes == ["ok"]
        rig.router.close()


async def test_a_stream_cut_before_its_first_byte_is_tried_again() -> None:
    async with upstream(sends(chunked(end=False), then="close"), sends(chunked(b"x"))) as up:
        rig = Rig(one(up))
        reply = await rig.send(stream=True)

        assert await reply.read() == b"x"
        assert (reply.attempts, len(up.seen)) == (2, 2)
        rig.router.close()


async def test_a_stream_cut_after_its_first_byte_is_never_tried_again() -> None:
    async with upstream(sends(chunked(b"data", end=False), then="close")) as up:
        rig = Rig(one(up))
        reply = await rig.send(stream=True)
        with pytest.raises(UpstreamError) as caught:
            await reply.read()

        assert (caught.value.error_code, caught.value.status) == ("upstream_truncated", 200)
        assert len(up.seen) == 1
        assert rig.attempts.outcomes == ["upstream_truncated"]
        rig.router.close()


async def test_an_error_status_to_a_stream_is_an_error_with_its_body() -> None:
    async with upstream(answers(b'{"error":{"message":"no"}}', status=400)) as up:
        rig = Rig(one(up))
        error = await rig.failure(stream=True)

        assert (error.status, error.body) == (400, b'{"error":{"message":"no"}}')
        rig.router.close()


async def test_closing_a_reply_tells_the_upstream_at_once() -> None:
    async with upstream(sends(chunked(b"x", end=False), then="stall")) as up:
        rig = Rig(one(up))
        reply = await rig.send(stream=True)
        reply.close()
        reply.close()

        await up.all_closed()
        assert rig.attempts.outcomes == ["cancelled"]
        rig.router.close()


async def test_a_subscriber_hears_the_failure_once() -> None:
    async with upstream(sends(chunked(b"x", end=False), then="close")) as up:
        rig = Rig(one(up))
        reply = await rig.send(stream=True)
        pieces: list[bytes] = []
        ended: asyncio.Future[UpstreamError | None] = asyncio.get_running_loop().create_future()
        reply.subscribe(pieces.append, ended.set_result)

        error = await asyncio.wait_for(ended, 5)
        assert (pieces, error and error.error_code) == ([b"x"], "upstream_truncated")
        rig.router.close()


async def test_cancelling_during_a_pause_sends_nothing_more() -> None:
    async with upstream(answers(b"", status=503)) as up:
        rig = Rig(one(up))
        stuck = asyncio.Event()

        async def forever(_: float) -> None:
            stuck.set()
            await asyncio.Event().wait()

        rig.router._sleep = forever
        call = asyncio.ensure_future(rig.send())
        await stuck.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call

        assert len(up.seen) == 1
        rig.router.close()


async def test_what_build_raises_reaches_the_caller_and_blocks_nothing() -> None:
    async with upstream() as up:
        rig = Rig(one(up))

        def broken(target: Target, wire: str) -> bytes:
            raise KeyError(wire)

        with pytest.raises(KeyError):
            await rig.router.send(rig.router.resolve("one", "m"), broken, want="chat")

        assert await (await rig.send()).read() == GOOD
        rig.router.close()


async def test_an_anthropic_row_speaks_messages_with_its_own_key_header() -> None:
    async with upstream() as up:
        settings = {"providers": {"anthropic": {"base_url": up.origin, "api_key": KEY}}}
        rig = Rig(settings)
        await rig.send("claude", "anthropic")
        await rig.send("claude", "anthropic", headers=(("anthropic-version", "2099-01-01"),))

        assert rig.built[0] == ("anthropic/claude", "messages")
        first, second = up.seen
        assert first.line == "POST /v1/messages HTTP/1.1"
        assert (first.headers["x-api-key"], first.headers["anthropic-version"]) == (
            KEY,
            "2023-06-01",
        )
        assert "authorization" not in first.headers
        assert second.headers["anthropic-version"] == "2099-01-01"
        rig.router.close()


async def test_an_azure_deployment_stands_in_the_path() -> None:
    async with upstream() as up:
        rig = Rig(
            {
                "providers": {
                    "sequrity_azure": {
                        "base_url": up.origin,
                        "api_key": KEY,
                        "deployments": {"gpt-4o": "our four/o"},
                        "api_version": "2024-10-21",
                    }
                }
            }
        )
        await rig.send("gpt-4o", "sequrity_azure")
        await rig.send("gpt-4o", "sequrity_azure", want="responses")
        await rig.send("text", "sequrity_azure", operation="embeddings")

        assert [seen.line.split()[1] for seen in up.seen] == [
            "/openai/deployments/our%20four%2Fo/chat/completions?api-version=2024-10-21",
            "/openai/responses?api-version=2025-03-01-preview",
            "/openai/deployments/text/embeddings?api-version=2024-10-21",
        ]
        assert up.seen[0].headers["api-key"] == KEY
        assert up.seen[1].body == b'{"model":"our four/o"}'
        rig.router.close()


async def test_a_local_server_needs_no_key_and_gets_none() -> None:
    async with upstream() as up:
        rig = Rig({"providers": {"ollama": {"base_url": up.origin}}})
        await rig.send("llama3", None)
        await rig.send("", "ollama", operation="models")

        assert "authorization" not in up.seen[0].headers
        assert up.seen[1].line == "GET /v1/models HTTP/1.1"
        assert "content-length" not in up.seen[1].headers
        rig.router.close()


async def test_a_limit_on_concurrency_makes_calls_wait_then_refuses_them() -> None:
    async with upstream(sends(chunked(b"x", end=False), then="stall")) as up:
        rig = Rig(one(up, max_concurrency=1, timeouts={"queue_s": 2}, retries={"attempts": 0}))
        holding = await rig.send(stream=True)
        watched = len(rig.watchdog)
        call = asyncio.ensure_future(rig.failure())
        for _ in range(1000):
            await asyncio.sleep(0)
            if len(rig.watchdog) > watched:
                break
        assert len(rig.watchdog) == watched + 1
        rig.clock.advance(3)
        rig.watchdog.sweep()
        error = await call

        assert (error.error_code, error.error_kind) == ("overloaded", ErrorKind.UNAVAILABLE)
        holding.close()
        assert await (await rig.send()).read() == GOOD
        rig.router.close()
