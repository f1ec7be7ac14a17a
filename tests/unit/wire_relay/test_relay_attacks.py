"""Attempts to get a call past its decision, or text taken for a call; memory stays bounded."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from relay_driving import FORMATS, Client, bytewise, events, none, ours, relayed, requested, sse
from tests.support.stream_corpus import SCENARIOS, Call, Say, Scenario

from interlock.kernel.errors import InterlockError
from interlock.providers.wire.errors import MalformedAnswerError, StreamOverflowError
from interlock.providers.wire.exchange import Ended, Failed, FormatName, Forward
from interlock.providers.wire.relay import client, relay_exchange
from interlock.providers.wire.relay.template import learn

CHUNK = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}


def said(text: str) -> dict[str, Any]:
    return {**CHUNK, "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]}


def calling(delta: str) -> bytes:
    """A chunk whose delta is this JSON text."""
    return (
        b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":'
        b'[{"index":0,"delta":' + delta.encode() + b',"finish_reason":null}]}\n\n'
    )


FINISH = sse({**CHUNK, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}, "[DONE]")
EVIL = '{"index":0,"id":"evil","type":"function","function":{"name":"rm","arguments":"{}"}}'

DISGUISED = [
    calling(f'{{"tool_calls":[{EVIL}]}}'),
    calling(f'{{"tool\\u005fcalls":[{EVIL}]}}'),
    calling(f'{{"\\u0074ool_calls" : [ {EVIL} ]}}'),
    calling(f'{{"content":"hi","tool_calls"\t:\n[{EVIL}]}}').replace(b"\n[", b"["),
    calling(f'{{"content":"hi","content":"x","tool_calls":[{EVIL}]}}'),
    calling(f'{{"tool_calls":[{EVIL}],"tool_calls":[{EVIL}]}}'),
    calling('{"function_call":{"name":"rm","arguments":"{\\"id\\":\\"evil\\"}"}}'),
    calling('{"function\\u005fcall":{"name":"evil","arguments":"{}"}}'),
    calling(f'{{"tool_calls":[{EVIL}]}}').replace(b"\n\n", b"\r\n\r\n"),
    calling(f'{{"tool_calls":[{EVIL}]}}').replace(b"data: {", b"data:{"),
    calling(f'{{"tool_calls":[{EVIL}]}}').replace(b"data: {", b"data: {\ndata: "),
    b"event: message\n" + calling(f'{{"tool_calls":[{EVIL}]}}'),
    b": hello\n" + calling(f'{{"tool_calls":[{EVIL}]}}'),
    b"\xef\xbb\xbf" + calling(f'{{"tool_calls":[{EVIL}]}}'),
    b"\n\n" + calling(f'{{"tool_calls":[{EVIL}]}}'),
]


@pytest.mark.parametrize("warm", [0, 1, 5], ids=lambda n: f"after {n} texts")
@pytest.mark.parametrize("attack", DISGUISED)
def test_a_disguised_call_is_held_all_the_same(attack: bytes, warm: int) -> None:
    stream = sse(*(said(f"t{i}") for i in range(warm))) + attack + FINISH
    if attack.startswith(b"\xef") and warm:
        stream = attack + stream
    for chunks in ([stream], bytewise(stream)):
        reader = Client("chat").read(chunks, none)

        assert [c.name for c in reader.calls][:1] in (["rm"], ["evil"])
        assert b"evil" not in reader.close()


HIDDEN = [
    f'{{"message":{{"tool_calls":[{EVIL}]}},"index":0,"delta":{{"content":"x"}}}}',
    f'{{"index":0,"delta":{{"content":"x","extra":{{"tool_calls":[{EVIL}]}}}}}}',
    '{"index":0,"delta":{"content":"x"},"x":[{"function_call":{"name":"evil"}}]}',
]


@pytest.mark.parametrize("choice", HIDDEN)
def test_calls_in_odd_places_do_not_leave(choice: str) -> None:
    chunk = {**CHUNK, "choices": [json.loads(choice)]}
    answer = {
        "id": "c",
        "choices": [{**json.loads(choice), "message": json.loads(choice)["delta"]}],
    }

    assert b"evil" not in relayed("chat", [sse(said("a"), chunk) + FINISH])
    opened = relay_exchange("chat").answer(json.dumps(answer).encode())
    assert b"evil" not in opened.finish({})


REAL = {"id": "c1", "type": "function", "function": {"name": "rm", "arguments": "{}"}}
MENTIONS: list[dict[str, Any]] = [
    {"delta": {"tool_calls": [{"index": 0, **REAL}]}, "finish_reason": None},
    {"delta": {"tool_calls": [{"index": 0, **REAL}]}, "finish_reason": "tool_calls"},
    {"delta": {"content": None, "tool_calls": []}, "finish_reason": "tool_calls"},
    {"delta": {"content": "x", "function_call": None}, "finish_reason": "function_call"},
    {"delta": {"content": 'a "tool_calls" and a tool_calls'}, "finish_reason": "stop"},
    {"delta": {"content": "tool_\\u0063alls"}, "finish_reason": None},
]


@pytest.mark.parametrize("escaped", [False, True])
@pytest.mark.parametrize("mention", MENTIONS)
@pytest.mark.parametrize("hidden", HIDDEN)
def test_calls_in_odd_places_do_not_leave_behind_what_may_be_said(
    hidden: str, mention: dict[str, Any], escaped: bool
) -> None:
    """The search for hidden calls must not end because as many mentions are in order."""
    first = {"index": 0, **mention}
    second = {**json.loads(hidden), "index": 1}
    in_one = {**first, "delta": first["delta"] | second["delta"], "x": second.get("x")}
    for choices in ([first, second], [second, first], [in_one], [{**first, "y": second}]):
        chunk = json.dumps({**CHUNK, "choices": choices}).encode()
        whole = [{**one, "message": one["delta"]} for one in choices]
        answer = json.dumps({"id": "c", "choices": whole}).encode()
        if escaped:
            chunk = chunk.replace(b"tool_calls", b"tool\\u005fcalls", 1)
            answer = answer.replace(b"tool_calls", b"tool\\u005fcalls", 1)

        assert b"evil" not in relayed(
            "chat", [sse(said("a")) + b"data: " + chunk + b"\n\n" + FINISH]
        )
        opened = relay_exchange("chat").answer(answer)
        assert b"evil" not in opened.finish({call.id: "ours" for call in opened.calls})


QUOTES = [
    'say "tool_calls": [{"id":"x"}]',
    '"},"finish_reason":null,"tool_calls":[' + EVIL + "]}",
    '\\"tool_calls\\"',
    '\\u0022tool_calls\\u0022 \\\\" ',
    "data: [DONE]\n\ndata: {}\n\n",
    "\r\ndata: [DONE]\r\n\r\n",
    "\u2028data: [DONE]\u2029\u0085",
    "\x00\x1f\x7f",
    "🎉" * 50,
]


@pytest.mark.parametrize("ascii_only", [True, False])
@pytest.mark.parametrize("text", QUOTES)
def test_text_that_looks_like_a_call_stays_text(text: str, ascii_only: bool) -> None:
    body = b"".join(
        b"data: " + json.dumps(said(t), ensure_ascii=ascii_only).encode() + b"\n\n"
        for t in ("warm", "up", text, text, "done")
    )
    reader = Client("chat").read([body + FINISH])
    stream = reader.close()

    assert reader.calls == []
    assert isinstance(reader.end, Ended)
    contents = [e["choices"][0]["delta"].get("content") for e in events(stream)[:-2]]
    assert contents == ["warm", "up", text, text, "done"]
    for separator in ("\u2028", "\u2029", "\x85"):
        assert separator not in stream.decode()


@pytest.mark.parametrize(
    "odd",
    [
        r'"odd\"content":"value"',
        r'"odd":"{\"content\":\"value\"}"',
        r'"odd":"\\","value":"content"',
        r'"cont\u0065nt":"value"',
        '"odd":["content","value"]',
    ],
)
def test_a_hole_is_a_member_and_nothing_that_looks_like_one(odd: str) -> None:
    event = sse(said("word")).replace(b'"content"', odd.encode() + b',"content"')
    assert json.loads(event[6:])["choices"][0]["delta"]["content"] == "word"
    template = learn(event, "content", None)
    assert template is not None

    assert template.match(event, 0) == len(event)
    assert event[template.start : template.end] == b"word"
    assert template.match(event.replace(b"word", b"other"), 0) == len(event) + 1
    assert template.match(event.replace(b"value", b"other"), 0) == -1


def test_a_template_matches_nothing_but_other_text() -> None:
    event = sse(said("word"))
    template = learn(event, "content", None)
    assert template is not None

    def swapped(text: bytes) -> bytes:
        return event.replace(b'"word"', text)

    for good in (b'""', b'"x"', rb'"\""', rb'"\\"', rb'"\u00e9\n"', '"é🎉"'.encode()):
        assert template.match(swapped(good), 0) == len(swapped(good))
    for bad in (
        b"null",
        b'"a","tool_calls":[]',
        b'"a"x"',
        rb'"\"',
        rb'"\x"',
        rb'"\u12"',
        b'"a\nb"',
        b'"a\rb"',
        b'"a\x00b"',
        b'"a',
    ):
        assert template.match(swapped(bad), 0) == -1
    assert template.match(event[:-1], 0) == -1
    assert template.match(event.replace(b'"finish_reason":null', b'"finish_reason":"x"'), 0) == -1


def test_a_name_repeated_in_fragments_cannot_grow_at_the_client() -> None:
    first = {
        "index": 0,
        "id": "a",
        "type": "function",
        "function": {"name": "safe", "arguments": ""},
    }
    again = {"index": 0, "id": "a", "function": {"name": "safe", "arguments": "{}"}}
    more = {"index": 0, "function": {"name": "_not", "arguments": ""}}
    stream = sse(
        *(
            {**CHUNK, "choices": [{"index": 0, "delta": {"tool_calls": [part]}}]}
            for part in (first, again, more)
        )
    )
    reader = Client("chat").read([stream + FINISH])
    out = events(reader.close())

    assert [c.name for c in reader.calls] == ["safe_not"]
    told = [t for e in out[:-2] for c in e["choices"] for t in c["delta"]["tool_calls"]]
    assert [t["function"].get("name") for t in told] == ["safe_not", None, None]
    assert [t.get("id") for t in told] == ["tc-a", None, None]


def test_calls_that_share_an_index_are_decided_one_by_one() -> None:
    def part(call_id: str, name: str) -> dict[str, Any]:
        function = {"name": name, "arguments": "{}"}
        entry = {"index": 0, "id": call_id, "type": "function", "function": function}
        return {**CHUNK, "choices": [{"index": 0, "delta": {"tool_calls": [entry]}}]}

    reader = Client("chat").read(
        [sse(part("a", "good"), part("b", "evil")) + FINISH],
        lambda call: None if call.name == "evil" else "tc-a",
    )

    assert [c.name for c in reader.calls] == ["good", "evil"]
    assert b"evil" not in reader.close()


BOTH: dict[str, Any] = {
    "function": {"name": "good", "arguments": "{}"},
    "custom": {"name": "evil", "input": "x"},
}


@pytest.mark.parametrize("first", ["function", "custom"])
def test_a_call_told_in_two_kinds_does_not_leave(first: str) -> None:
    def part(**entry: Any) -> dict[str, Any]:
        entries = [{"index": 0, **entry}]
        return {**CHUNK, "choices": [{"index": 0, "delta": {"tool_calls": entries}}]}

    second = "custom" if first == "function" else "function"
    streams = [
        sse(
            part(id="a", type=first, **{first: BOTH[first]}),
            part(type=second, **{second: BOTH[second]}),
        ),
        sse(part(id="a", type=first, **BOTH)),
    ]
    for stream in streams:
        reader = Client("chat").read([stream + FINISH])

        assert isinstance(reader.end, Failed)
        assert b"evil" not in reader.close()

    call = {"id": "a", "type": first, **BOTH}
    answer = {"id": "c", "choices": [{"index": 0, "message": {"tool_calls": [call]}}]}
    with pytest.raises(MalformedAnswerError):
        relay_exchange("chat").answer(json.dumps(answer).encode())


@pytest.mark.parametrize("place", [{"output_index": 0}, {"output_index": 7}, {}])
@pytest.mark.parametrize(
    "event",
    [
        {"type": "response.function_call_arguments.delta", "delta": '{"evil":1}'},
        {"type": "response.function_call_arguments.done", "name": "evil", "arguments": "{}"},
        {"type": "response.custom_tool_call_input.delta", "delta": "evil"},
        {"type": "response.custom_tool_call_input.done", "input": "evil"},
    ],
)
def test_arguments_of_no_call_do_not_leave(event: dict[str, Any], place: dict[str, Any]) -> None:
    message = {"type": "message", "id": "m", "content": []}
    stream = sse(
        {"type": "response.created", "response": {"id": "r"}},
        {"type": "response.output_item.added", "output_index": 0, "item": message},
        {**event, **place, "item_id": "m"},
        named=True,
    )
    reader = Client("responses").read([stream], ours)

    assert isinstance(reader.end, Failed)
    assert b"evil" not in reader.close()


def test_the_name_decided_is_the_name_sent() -> None:
    item = {"type": "function_call", "id": "f", "call_id": "c", "name": "good", "arguments": "{}"}
    at = {"item_id": "f", "output_index": 0}
    kind = "response.function_call_arguments.done"
    stream = sse(
        {"type": "response.created", "response": {"id": "r"}},
        {"type": "response.output_item.added", **at, "item": {**item, "arguments": ""}},
        {"type": kind, **at, "name": "evil", "arguments": "{}"},
        {"type": "response.output_item.done", **at, "item": item},
        {"type": "response.completed", "response": {"id": "r", "output": [item]}},
        named=True,
    )
    reader = Client("responses").read([stream])

    assert [c.name for c in reader.calls] == ["good"]
    told = [e for e in events(reader.close()) if e["type"] == kind]
    assert [(e["name"], e["arguments"]) for e in told] == [("good", "{}")]


def test_the_arguments_decided_are_the_arguments_sent() -> None:
    item = {"type": "function_call", "id": "f", "call_id": "c", "name": "f", "arguments": '{"a":1}'}
    at = {"item_id": "f", "output_index": 0, "sequence_number": 0}
    stream = sse(
        {"type": "response.created", "sequence_number": 0, "response": {"id": "r"}},
        {"type": "response.output_item.added", **at, "item": {**item, "arguments": ""}},
        {"type": "response.function_call_arguments.delta", **at, "delta": '{"evil":1}'},
        {"type": "response.function_call_arguments.done", **at, "arguments": '{"evil":2}'},
        {"type": "response.output_item.done", **at, "item": item},
        {
            "type": "response.completed",
            "sequence_number": 9,
            "response": {"id": "r", "output": [{**item, "arguments": '{"evil":3}'}]},
        },
        named=True,
    )
    reader = Client("responses").read([stream])

    assert [c.arguments for c in reader.calls] == ['{"a":1}']
    assert b"evil" not in reader.close()


def test_an_item_cannot_become_a_call_after_it_was_sent() -> None:
    at = {"output_index": 0, "sequence_number": 0}
    call = {"type": "function_call", "id": "f", "call_id": "evil", "name": "f", "arguments": "{}"}
    stream = sse(
        {"type": "response.created", "sequence_number": 0, "response": {"id": "r"}},
        {"type": "response.output_item.added", **at, "item": {"type": "message", "id": "m"}},
        {"type": "response.output_item.done", **at, "item": call},
        named=True,
    )
    reader = Client("responses").read([stream], ours)

    assert isinstance(reader.end, Failed)
    assert b"evil" not in reader.close()


def test_a_block_that_gives_its_input_at_once_is_decided_on_it() -> None:
    block = {"type": "tool_use", "id": "a", "name": "f", "input": {"evil": 1}}
    start = {"type": "content_block_start", "index": 0, "content_block": block}
    stop = {"type": "content_block_stop", "index": 0}
    delta = {"type": "input_json_delta", "partial_json": '{"a":1}'}
    begin = {"type": "message_start", "message": {"id": "m"}}
    end = {"type": "message_stop"}

    def read(*between: dict[str, Any]) -> Client:
        return Client("messages").read([sse(begin, start, *between, stop, end, named=True)])

    assert [json.loads(c.arguments) for c in read().calls] == [{"evil": 1}]
    both = read({"type": "content_block_delta", "index": 0, "delta": delta})
    assert [json.loads(c.arguments) for c in both.calls] == [{"a": 1}]
    assert b"evil" not in both.close()


def test_members_given_twice_in_an_event_are_sent_once() -> None:
    event = calling('{"content":"first","content":"last"}')

    out = relayed("chat", [event + FINISH])

    assert b"first" not in out
    assert events(out)[0]["choices"][0]["delta"] == {"content": "last"}


def test_members_given_twice_in_an_answer_are_sent_once() -> None:
    bodies: dict[FormatName, bytes] = {
        "chat": b'{"choices":[{"message":{"tool_calls":[' + EVIL.encode() + b']}}],"choices":[]}',
        "messages": b'{"content":[{"type":"tool_use","id":"evil","input":{}}],"content":[]}',
        "responses": b'{"output":[{"type":"function_call","call_id":"evil"}],"output":[]}',
    }
    for name, body in bodies.items():
        answer = relay_exchange(name).answer(body)
        assert list(answer.calls) == []
        assert b"evil" not in answer.finish({})


@pytest.mark.parametrize("cut", [1 << 10, 1 << 16])
@pytest.mark.parametrize("name", FORMATS)
def test_an_endless_event_is_given_up(name: FormatName, cut: int) -> None:
    reader = Client(name, max_held_bytes=200_000)

    def endless() -> Any:
        yield b"data: {"
        while True:
            yield b" " * cut

    with pytest.raises(StreamOverflowError):
        reader.read(endless())


@pytest.mark.parametrize("name", FORMATS)
def test_endless_arguments_are_given_up(name: FormatName) -> None:
    stream = SCENARIOS["one_call"].recorded(name).sse
    at = stream.index('ty\\": \\"Zür'.encode())
    begin = stream.rindex(b"\n\n", 0, at) + 2
    end = stream.index(b"\n\n", at) + 2
    fragment = stream[begin:end]
    reader = Client(name, max_held_bytes=100_000)

    with pytest.raises(StreamOverflowError):
        reader.read([stream[:begin], *([fragment] * 2000)])


@pytest.mark.parametrize("name", FORMATS)
def test_endless_text_is_nobodys_problem(name: FormatName) -> None:
    stream = SCENARIOS["text"].recorded(name).sse
    at = stream.index(b'"answer"') if b'"answer"' in stream else stream.index(b'" answer"')
    begin = stream.rindex(b"\n\n", 0, at) + 2
    end = stream.index(b"\n\n", at) + 2
    relay = Client(name, max_held_bytes=20_000).relay
    relay.feed(stream[:begin])

    fragment = stream[begin:end]
    if name != "responses":
        for _ in range(1000):
            assert relay.feed(fragment) == [Forward(data=fragment)]


def test_an_upstream_of_ever_changing_events_costs_no_memory() -> None:
    reader = Client("chat")
    chunks = [sse({**said("x"), "id": f"c{i}"}) for i in range(500)]
    reader.read([*chunks, FINISH])

    assert reader.close() == b"".join(chunks) + FINISH
    assert len(reader.relay._templates) <= 4  # type: ignore[attr-defined]


# Fuzzing: whatever comes, only our errors come out -------------------------------------

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)
WORDS = st.sampled_from(
    [
        "model",
        "messages",
        "role",
        "content",
        "tool_calls",
        "tool_call_id",
        "function",
        "name",
        "arguments",
        "type",
        "id",
        "index",
        "delta",
        "choices",
        "finish_reason",
        "usage",
        "error",
        "output",
        "input",
        "tool_use",
        "tool_result",
        "text",
        "message",
        "message_start",
        "message_delta",
        "message_stop",
        "content_block",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "partial_json",
        "input_json_delta",
        "text_delta",
        "response",
        "response.created",
        "response.completed",
        "response.failed",
        "response.output_item.added",
        "response.output_item.done",
        "item",
        "output_index",
        "sequence_number",
        "function_call",
        "call_id",
        "tools",
        "user",
        "assistant",
        "tool",
        "stream",
        "metadata",
        "parameters",
        "response.output_text.delta",
        "response.function_call_arguments.delta",
        "function_call_output",
        "stop_reason",
        "tool_choice",
        "stream_options",
        "custom",
        "thinking",
    ]
)
TREES = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 3) | st.floats(allow_nan=False) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=5),
    max_leaves=20,
)


@settings(max_examples=300, deadline=None)
@given(name=st.sampled_from(FORMATS), tree=TREES | JSON_VALUES, junk=st.binary(max_size=20))
def test_no_request_body_crashes_the_reader(name: FormatName, tree: Any, junk: bytes) -> None:
    base = {"model": "m", "messages": [], "input": []}
    for body in (
        json.dumps(tree).encode(),
        json.dumps({**base, **tree} if isinstance(tree, dict) else tree).encode(),
        json.dumps({**base, "messages": [tree], "input": [tree]}).encode(),
        json.dumps({**base, "tools": [tree]}).encode(),
        json.dumps(tree).encode()[:-1] + junk,
        junk,
    ):
        try:
            head = client(name).peek(body)
        except InterlockError:
            continue
        assert head.body == body
        try:
            out = requested(
                name,
                body,
                model="other",
                upstream_id=lambda i: i + "x",
                drop_tools=frozenset({"name"}),
                native_client=False,
                ask_usage=True,
            )
        except InterlockError:
            continue
        assert out["model"] == "other"


@settings(max_examples=300, deadline=None)
@given(name=st.sampled_from(FORMATS), tree=TREES | JSON_VALUES, junk=st.binary(max_size=20))
def test_no_answer_crashes_the_reader(name: FormatName, tree: Any, junk: bytes) -> None:
    for body in (
        json.dumps(tree).encode(),
        json.dumps({"choices": [{"message": tree}], "content": [tree], "output": [tree]}).encode(),
        json.dumps({"choices": [tree], "content": tree, "output": tree, "usage": tree}).encode(),
        json.dumps(tree).encode()[:-1] + junk,
        junk,
    ):
        try:
            answer = relay_exchange(name).answer(body)
        except InterlockError:
            continue
        allowed = answer.finish({c.id: "t" for c in answer.calls}, extra_text="x")
        assert isinstance(json.loads(allowed), dict)
        answer.finish({}, denied=frozenset(c.id for c in answer.calls))


@settings(max_examples=300, deadline=None)
@given(
    name=st.sampled_from(FORMATS),
    trees=st.lists(TREES | JSON_VALUES, max_size=6),
    junk=st.binary(max_size=20),
    at=st.integers(0, 4000),
    native=st.booleans(),
)
def test_no_stream_crashes_the_relay(
    name: FormatName, trees: list[Any], junk: bytes, at: int, native: bool
) -> None:
    stream = SCENARIOS["reasoning_and_calls"].recorded(name).sse
    at = stream.find(b"\n\n", at % len(stream)) + 2
    stream = stream[:at] + sse(*trees) + junk + stream[at:]
    for decide in (ours, none):
        reader = Client(name, native=native)
        try:
            reader.read([stream[:at], stream[at:]], decide)
            reader.close(extra_text="x")
        except InterlockError:
            continue
        if decide is none:
            assert not any(
                f'"{c.id}"'.encode() in reader.out for c in reader.calls if "call" in c.id
            )


@settings(max_examples=200, deadline=None)
@given(
    name=st.sampled_from(FORMATS), texts=st.lists(st.text(max_size=30), max_size=6), data=st.data()
)
def test_any_text_arrives_as_it_was_said(name: FormatName, texts: list[str], data: Any) -> None:
    stream = Scenario(name="t", parts=[Say(fragments=texts)]).recorded(name).sse
    cut = data.draw(st.integers(0, len(stream)))

    assert events(relayed(name, [stream[:cut], stream[cut:]])) == events(stream)


@pytest.mark.parametrize("name", FORMATS)
def test_halves_of_a_character_cut_between_fragments_meet_again(name: FormatName) -> None:
    call = Call(id="a", name="f", fragments=['{"x":"', "HALF1", "HALF2", '"}'])
    stream = Scenario(name="t", parts=[call], stop="tool_calls").recorded(name).sse
    stream = stream.replace(b"HALF1HALF2", rb"\ud83d\ude00")
    stream = stream.replace(b"HALF1", rb"\ud83d").replace(b"HALF2", rb"\ude00")

    reader = Client(name).read([stream])

    assert [json.loads(c.arguments) for c in reader.calls] == [{"x": "😀"}]
    assert events(reader.close())


@pytest.mark.parametrize("name", FORMATS)
def test_half_a_character_in_text_goes_out_as_it_came(name: FormatName) -> None:
    stream = SCENARIOS["text"].recorded(name).sse.replace(b"answer", rb"\ud83d")

    assert relayed(name, [stream]) == stream
    lone = Call(id="a", name="f", fragments=[r'{"x":"' + "HALF", '"}'])
    calling = Scenario(name="t", parts=[lone], stop="tool_calls").recorded(name).sse
    reader = Client(name).read([calling.replace(b"HALF", rb"\ud83d")])
    assert [c.arguments for c in reader.calls] == ['{"x":"\ufffd"}']
    reader.close().decode()
