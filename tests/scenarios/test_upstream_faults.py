"""An upstream that is cut, stalls or talks nonsense, seen by clients of every format.

Every combination of client format and upstream format, whole and streamed: nothing sent
yet means another deployment answers, or an error with a status; afterwards the stream
ends with an error its client's SDK recognises. Nothing hangs, nothing looks complete that
is not, nothing is said twice.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator
from typing import Any

import anthropic
import openai
import pytest
from tests.support.fault_site import (
    TEXT,
    WIRES,
    FaultSite,
    Outcome,
    running_fault_site,
)
from tests.support.faulty_upstream import MARK, WHERE
from tests.support.wire_clients import read_stream, typed_events

pytestmark = pytest.mark.anyio

_BROKEN = [f"{fault}.{where}" for fault in ("cut", "stall") for where in WHERE]
_WRONG = [f"{fault}.{where}" for fault in ("garbage", "error") for where in ("silent", "text")]
_MODELS = [*_BROKEN, *_WRONG, "garbage.first", "error.first"]
_LATE = ("text", "end")
_PAIRS = [*itertools.product(WIRES, WIRES)]


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """One event loop for the module, because the server lives in it."""
    return "asyncio"


@pytest.fixture(scope="module")
async def site(
    anyio_backend: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[FaultSite]:
    async with running_fault_site(tmp_path_factory.mktemp("faults"), models=_MODELS) as running:
        yield running


def _early_error(model: str) -> str:
    """What a client is told when nothing was sent and nobody else can answer."""
    fault, _, where = model.partition(".")
    if fault == "stall":
        return "504 timeout_error upstream_timeout"
    if fault == "cut":
        code = "upstream_unreachable" if where == "silent" else "upstream_truncated"
        return f"502 api_error {code}"
    return f"502 api_error {'upstream_error' if fault == 'error' else 'upstream_malformed'}"


def _code(model: str) -> str:
    """The code the ledger keeps for a stream that broke after it had begun."""
    return {
        "stall": "upstream_timeout",
        "cut": "upstream_truncated",
        "garbage": "upstream_malformed",
        "error": "upstream_error",
    }[model.partition(".")[0]]


async def _everyone(
    site: FaultSite, model: str, *, stream: bool, spare: bool = False
) -> dict[tuple[str, str], Outcome]:
    """The same request by clients of all formats to upstreams of all formats, at once."""

    async def one(client: str, upstream: str) -> Outcome:
        name = f"spare-{upstream}-{model}" if spare else model
        return await site.ask(client, upstream, name, stream=stream)

    outcomes = await asyncio.gather(*[one(*pair) for pair in _PAIRS])
    return dict(zip(_PAIRS, outcomes, strict=True))


async def _ledger(site: FaultSite, outcomes: dict[Any, Outcome]) -> set[tuple[Any, ...]]:
    """(records, status, error, tokens counted) of the requests, each once."""
    found = await site.usage(outcome.request_id for outcome in outcomes.values())
    return {
        (len(rows), rows[0]["status"], rows[0]["error"], rows[0]["output_tokens"] > 0)
        for rows in found.values()
    }


_EARLY = [model for model in _MODELS if not model.endswith(_LATE)]
_WHOLE = [m for m in _MODELS if not m.endswith(".end") and m not in {"error.first", "error.text"}]


@pytest.mark.parametrize("model", _WHOLE)
async def test_a_broken_whole_answer_is_an_error_with_a_status(site: FaultSite, model: str) -> None:
    outcomes = await _everyone(site, model, stream=False)

    expected = _early_error(model)
    assert {pair: outcome.error for pair, outcome in outcomes.items()} == dict.fromkeys(
        _PAIRS, expected
    )
    status, _, code = expected.split(" ")
    assert await _ledger(site, outcomes) == {(1, int(status), code, False)} or model.startswith(
        "garbage"
    )
    await site.healthy()


@pytest.mark.parametrize("model", _WHOLE)
async def test_a_spare_deployment_answers_instead_of_a_broken_whole_answer(
    site: FaultSite, model: str
) -> None:
    outcomes = await _everyone(site, model, stream=False, spare=True)

    assert {pair: (o.status, o.text) for pair, o in outcomes.items()} == dict.fromkeys(
        _PAIRS, (200, TEXT)
    )
    assert await _ledger(site, outcomes) == {(1, 200, None, True)}


@pytest.mark.parametrize("model", _EARLY)
async def test_a_stream_that_breaks_before_it_began_is_an_error_with_a_status(
    site: FaultSite, model: str
) -> None:
    outcomes = await _everyone(site, model, stream=True)

    expected = _early_error(model)
    assert {pair: outcome.error for pair, outcome in outcomes.items()} == dict.fromkeys(
        _PAIRS, expected
    )
    assert {row[:3] for row in await _ledger(site, outcomes)} == {
        (1, int(expected.split(" ")[0]), expected.split(" ")[2])
    }
    await site.healthy()


@pytest.mark.parametrize("model", _EARLY)
async def test_a_spare_deployment_answers_before_a_stream_has_begun(
    site: FaultSite, model: str
) -> None:
    outcomes = await _everyone(site, model, stream=True, spare=True)

    assert {pair: (o.status, o.text) for pair, o in outcomes.items()} == dict.fromkeys(
        _PAIRS, (200, TEXT)
    )
    for (client, _), outcome in outcomes.items():
        read_stream(client, [outcome.raw])
    assert await _ledger(site, outcomes) == {(1, 200, None, True)}


@pytest.mark.parametrize("spare", [False, True])
@pytest.mark.parametrize("model", [m for m in _MODELS if m.endswith(_LATE)])
async def test_a_stream_that_breaks_after_it_began_ends_with_an_error_of_its_format(
    site: FaultSite, model: str, spare: bool
) -> None:
    outcomes = await _everyone(site, model, stream=True, spare=spare)

    said = MARK if model.endswith("text") else TEXT
    assert {pair: (o.status, o.text) for pair, o in outcomes.items()} == dict.fromkeys(
        _PAIRS, (200, said)
    )
    for (client, _), outcome in outcomes.items():
        _assert_recognised(client, outcome.raw)
        assert b"[DONE]" not in outcome.raw
    assert await _ledger(site, outcomes) == {(1, 200, _code(model), True)}
    await site.healthy()


def _assert_recognised(client: str, raw: bytes) -> None:
    """The official SDK of the format takes the stream for what it is: a failure."""
    if client == "chat":
        with pytest.raises(openai.APIError):
            read_stream(client, [raw])
    elif client == "messages":
        with pytest.raises(anthropic.APIStatusError):
            read_stream(client, [raw])
    else:
        assert read_stream(client, [raw])["status"] == "failed"
    if client != "messages":  # the typed client of Messages knows no `error` event: see below
        typed_events(client, raw) if client == "responses" else None


@pytest.mark.parametrize("upstream", WIRES)
@pytest.mark.parametrize("model", [m for m in _MODELS if m.endswith(_LATE)])
async def test_the_typed_client_gets_a_finished_text_that_says_the_answer_broke(
    site: FaultSite, model: str, upstream: str
) -> None:
    outcome = await site.ask("messages", upstream, model, stream=True, native=False)

    events = typed_events("messages", outcome.raw)
    assert [event["type"] for event in events][-2:] == ["message_delta", "message_stop"]
    assert events[-2]["delta"]["stop_reason"] == "end_turn"
    opened = [event["index"] for event in events if event["type"] == "content_block_start"]
    closed = [event["index"] for event in events if event["type"] == "content_block_stop"]
    assert opened == closed
    assert outcome.text.startswith(MARK if model.endswith("text") else TEXT)
    assert "The answer ended early" in outcome.text
    rows = (await site.usage([outcome.request_id]))[outcome.request_id]
    assert [(row["status"], row["error"]) for row in rows] == [(200, _code(model))]


async def test_connections_that_broke_do_not_stay_open(site: FaultSite) -> None:
    for model in ("stall.text", "stall.silent", "cut.text", "garbage.text", "error.text"):
        await _everyone(site, model, stream=True)

    await site.healthy()

    # What is left are idle connections for the next requests, at most one per request at once.
    await site.upstream.until(lambda: site.upstream.open <= len(_PAIRS) * len(WIRES))
    stalled = [call for call in site.upstream.calls if call.model.startswith("stall.")]
    await site.upstream.until(lambda: all(call.gone.is_set() for call in stalled))
