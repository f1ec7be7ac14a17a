"""After denials a whole answer says what the streamed one says, as the official SDKs read it."""

import json
from typing import Any

import pytest
from tests.support.stream_corpus import SCENARIOS
from tests.support.wire_clients import parse_body, read_stream
from tests.support.wire_exchanges import NAMES, asked, run

from interlock.providers.wire.exchange import Edits, FormatName
from interlock.providers.wire.model import StopReason, ToolCall, Usage

PAIRS = [(client, upstream) for client in NAMES for upstream in NAMES]
SENTENCE = "Tool call to 'get_weather' is denied by argument checking policies."
SUM = Usage(input=70, output=9)
ROUNDS = [
    (("text_and_call", "text"), None),
    (("text_and_call", "reasoning_and_calls", "text"), None),
    (("one_call", "text_and_call", "reasoning"), None),
    (("reasoning_and_calls", "multi_part"), None),
    (("text_and_call", "text_and_call", "parallel_calls"), None),
    (("text_and_call", "text_and_call"), SENTENCE),
    (("one_call", "one_call"), SENTENCE),
]


def streamed(
    client: FormatName, upstream: FormatName, rounds: tuple[str, ...], extra: str | None
) -> dict[str, Any]:
    machine, head = asked(client, upstream)
    relay = machine.stream(head, hide_usage=False, native_client=True, session_id="s")
    body = machine.request(head, Edits())
    out = b""
    for number, name in enumerate(rounds, 1):
        calls: list[ToolCall] = []
        keep = number == len(rounds) and extra is None

        def decide(call: ToolCall, calls: list[ToolCall] = calls, keep: bool = keep) -> str | None:
            calls.append(call)
            return f"tc-{call.name}" if keep else None

        more, _ = run(relay, [SCENARIOS[name].recorded(upstream).sse], decide=decide)
        out += more
        if number < len(rounds):
            body = machine.again(body, calls, {call.id: SENTENCE for call in calls})
            relay.next_round()
    stop = None if extra is None else StopReason.END
    return read_stream(client, [out + relay.close(extra_text=extra, usage=SUM, stop=stop)])


def whole(
    client: FormatName, upstream: FormatName, rounds: tuple[str, ...], extra: str | None
) -> dict[str, Any]:
    machine, head = asked(client, upstream)
    body = machine.request(head, Edits())
    for name in rounds[:-1]:
        answer = machine.answer(SCENARIOS[name].recorded(upstream).json)
        body = machine.again(body, answer.calls, {call.id: SENTENCE for call in answer.calls})
    answer = machine.answer(SCENARIOS[rounds[-1]].recorded(upstream).json)
    ids = {call.id: f"tc-{call.name}" for call in answer.calls}
    denied = frozenset(ids) if extra is not None else frozenset()
    stop = None if extra is None else StopReason.END
    given = {} if denied else ids
    return parse_body(
        client, answer.finish(given, denied=denied, extra_text=extra, usage=SUM, stop=stop)
    )


def essence(client: str, tree: dict[str, Any]) -> Any:
    """What a program reads of an answer: everything but ids of the answer and its items."""
    if client == "chat":
        names = ("content", "refusal", "reasoning_content", "tool_calls", "finish_reason", "usage")
        found = {name: tree.get(name) or None for name in names}
        for call in found["tool_calls"] or ():
            call["arguments"] = json.loads(call["arguments"] or "{}")
        found["reasoning_details"] = [
            {n: v for n, v in one.items() if n not in ("id", "index")}
            for one in tree.get("reasoning_details") or ()
        ]
        return found
    if client == "messages":
        blocks = [{n: v for n, v in b.items() if v is not None} for b in tree["content"]]
        return blocks, tree["stop_reason"], tree["usage"]["output_tokens"]
    items = [
        {
            name: value
            for name, value in item.items()
            if name not in ("id", "status", "encrypted_content") and value is not None
        }
        for item in tree["output"]
    ]
    for item in items:
        for part in item.get("content") or ():
            part.pop("logprobs", None)
            part.pop("parsed", None)
        item.pop("parsed_arguments", None)
        if "arguments" in item:
            item["arguments"] = json.loads(item["arguments"] or "{}")
    return items, tree["status"], tree["usage"]["total_tokens"]


@pytest.mark.parametrize(("rounds", "extra"), ROUNDS, ids=lambda v: str(v)[:40])
@pytest.mark.parametrize(("client", "upstream"), PAIRS, ids=lambda v: v)
def test_whole_and_streamed_answers_of_several_rounds_say_the_same(
    client: FormatName, upstream: FormatName, rounds: tuple[str, ...], extra: str | None
) -> None:
    one = essence(client, whole(client, upstream, rounds, extra))
    other = essence(client, streamed(client, upstream, rounds, extra))

    assert one == other
    assert json.dumps(one).count("Let me see.") == rounds.count("text_and_call")


@pytest.mark.parametrize("client", ["responses"])
def test_items_of_several_rounds_have_ids_of_their_own(client: FormatName) -> None:
    rounds = ("text_and_call", "text_and_call", "text_and_call", "text")

    tree = whole(client, "responses", rounds, None)

    ids = [item["id"] for item in tree["output"]]
    assert len(ids) == len(set(ids)) >= 4


def test_choices_that_called_nothing_are_kept_beside_the_continued_one() -> None:
    machine, head = asked("chat", "chat")
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    first = {
        "id": "chatcmpl-1",
        "model": "m",
        "choices": [
            {"index": 0, "message": {"content": "zero"}, "finish_reason": "stop"},
            {
                "index": 1,
                "message": {"content": "one", "tool_calls": [call]},
                "finish_reason": "tool_calls",
            },
        ],
    }
    last = {
        "id": "chatcmpl-2",
        "model": "m",
        "choices": [{"index": 0, "message": {"content": "more"}, "finish_reason": "stop"}],
    }
    body = machine.request(head, Edits())
    answer = machine.answer(json.dumps(first).encode())
    machine.again(body, answer.calls, {"c1": "no"})

    final = json.loads(machine.answer(json.dumps(last).encode()).finish({}))

    told = [(c["index"], c["message"]["content"], c["finish_reason"]) for c in final["choices"]]
    assert told == [(0, "zero", "stop"), (1, "one\n\nmore", "stop")]
    assert "c1" not in json.dumps(final)
