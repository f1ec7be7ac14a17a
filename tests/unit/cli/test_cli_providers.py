"""`interlock providers list` and `interlock providers test`."""

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.scripted_upstream import Answer, ScriptedUpstream, answers, upstream
from typer.testing import CliRunner

from interlock.cli import providers as command
from interlock.kernel.errors import InterlockError
from interlock.providers.build import build_upstreams
from interlock.providers.demo import DemoUpstream
from interlock.providers.settings import load_settings

KEY = "sk-server-0123456789abcdef"
CHAT = b'{"choices":[{"message":{"content":"pong"}}]}'
MODELS = b'{"object":"list","data":[{"id":"llama3"}]}'


@pytest.fixture(autouse=True)
def unwired() -> Iterator[None]:
    yield
    command._Source.load = None


def wire(settings: dict[str, Any]) -> None:
    loaded = load_settings(settings)
    command.use(
        lambda data, config: command.Loaded(
            settings=loaded, connect=lambda: build_upstreams(loaded, demo=DemoUpstream())
        )
    )


def run(*args: str) -> tuple[int, str]:
    result = CliRunner().invoke(command.app, args, env={"COLUMNS": "300"})
    return result.exit_code, result.output


@pytest.fixture
def serve() -> Iterator[Callable[..., ScriptedUpstream]]:
    """Runs scripted upstreams beside the command, which has a loop of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    contexts = []

    def start(*script: Answer) -> ScriptedUpstream:
        context = upstream(*script)
        contexts.append(context)
        return asyncio.run_coroutine_threadsafe(context.__aenter__(), loop).result(5)

    yield start
    for context in contexts:
        asyncio.run_coroutine_threadsafe(context.__aexit__(None, None, None), loop).result(5)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(5)
    loop.close()


def test_list_shows_every_provider_and_masks_keys() -> None:
    wire(
        {
            "providers": {
                "openai": {"api_key": KEY, "models": ["gpt-4o"]},
                "ollama": {"base_url": "http://127.0.0.1:11434", "api_key": "short"},
                "llama": {"enabled": False},
            },
            "aliases": {"fast": {"provider": "openai", "model": "gpt-4o"}},
        }
    )
    code, text = run("list")

    assert code == 0
    assert all(name in text for name in ("openai", "ollama", "anthropic", "demo", "disabled"))
    assert "...cdef" in text
    assert "alias fast: openai/gpt-4o" in text
    assert KEY not in text
    assert "short" not in text


def test_list_as_json_is_complete_and_masks_keys() -> None:
    wire({"providers": {"openai": {"api_key": KEY, "models": ["gpt-4o"]}}})
    code, text = run("list", "--json")

    rows = {row["name"]: row for row in json.loads(text)}
    assert code == 0
    assert rows["openai"] == {
        "name": "openai",
        "kind": "openai",
        "state": "yes",
        "base_url": "https://api.openai.com/v1",
        "formats": ["chat", "responses"],
        "models": ["gpt-4o"],
        "keys": [{"name": "default", "masked": "...cdef"}],
        "default_for": ["chat/completions", "messages", "responses", "generate"],
    }
    assert (rows["anthropic"]["state"], rows["sequrity_azure"]["state"]) == ("byok", "no")
    assert rows["demo"]["base_url"] == "in process"
    assert KEY not in text


def test_test_asks_every_usable_provider(serve: Callable[..., ScriptedUpstream]) -> None:
    up = serve(answers(MODELS), answers(CHAT))
    wire({"providers": {"ollama": {"base_url": up.origin}}})
    code, text = run("test", "--json")

    report = {row["provider"]: row for row in json.loads(text)}
    assert code == 0
    assert set(report) == {"ollama", "demo"}
    assert (report["ollama"]["model"], report["ollama"]["ok"]) == ("llama3", True)
    assert report["demo"]["ok"] is True
    assert [seen.line for seen in up.seen] == [
        "GET /v1/models HTTP/1.1",
        "POST /v1/chat/completions HTTP/1.1",
    ]


def test_test_reports_a_refused_key_without_showing_it(
    serve: Callable[..., ScriptedUpstream],
) -> None:
    said = json.dumps({"error": {"message": f"bad key {KEY}"}}).encode()
    up = serve(answers(said, status=401))
    wire({"providers": {"openai": {"base_url": up.origin, "api_key": KEY}}})
    code, text = run("test", "openai")

    assert code == 1
    assert "failed" in text
    assert "401" in text
    assert KEY not in text


@pytest.mark.parametrize("answer", [b"<html>", b'{"object":"error"}', b"[]"])
def test_an_answer_that_is_none_of_its_format_fails(
    serve: Callable[..., ScriptedUpstream], answer: bytes
) -> None:
    up = serve(answers(answer))
    wire({"providers": {"ollama": {"base_url": up.origin}}})
    code, text = run("test", "ollama", "--model", "m")

    assert (code, "failed" in text) == (1, True)


def test_test_gives_up_after_its_timeout(serve: Callable[..., ScriptedUpstream]) -> None:
    async def stall(conn: Any) -> None:
        await conn.gone()

    up = serve(stall)
    wire({"providers": {"ollama": {"base_url": up.origin}}})
    code, text = run("test", "ollama", "--model", "m", "--timeout", "0.1")

    assert (code, "no answer within 0.1 s" in text) == (1, True)


def test_a_server_without_models_needs_one_named(serve: Callable[..., ScriptedUpstream]) -> None:
    up = serve(answers(b'{"data":[]}'))
    wire({"providers": {"ollama": {"base_url": up.origin}}})
    code, text = run("test", "ollama")

    assert (code, "--model" in text) == (1, True)


def test_an_unconfigured_provider_fails_and_an_unknown_one_is_a_usage_error() -> None:
    wire({})

    assert run("test", "openai")[0] == 1
    code, text = run("test", "nobody")
    assert (code, "error: no provider" in text) == (2, True)


def test_wrong_settings_are_reported_not_raised() -> None:
    def broken(data: Path | None, config: Path | None) -> command.Loaded:
        raise InterlockError("providers.x.base_url: is required")

    command.use(broken)
    code, text = run("list")

    assert (code, "providers.x.base_url" in text) == (1, True)


def test_an_unwired_command_says_so() -> None:
    code, text = run("list")

    assert (code, "not wired" in text) == (1, True)
