"""Generated requests survive each format; generated rubbish crashes none.

Losses a format documents are kept out of the generated values: a format says a
request in one way, so parts that it joins or marks it has no room for do not occur.
"""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.stream_corpus import FORMATS as NAMES
from tests.support.wire_exchanges import PAIRS

from interlock.kernel.errors import InterlockError
from interlock.providers.wire.codec import View
from interlock.providers.wire.exchange import Edits, FormatName, Head
from interlock.providers.wire.model import (
    CacheMark,
    Document,
    Image,
    Message,
    OutputFormat,
    Reasoning,
    Refusal,
    Request,
    Response,
    StopReason,
    Text,
    Thinking,
    ToolCall,
    ToolChoice,
    ToolDef,
    ToolResult,
    Usage,
)
from interlock.providers.wire.registry import FORMATS, exchange

WORDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
SAID = WORDS.map(lambda word: word.strip() or "x")
IDS = st.from_regex(r"[a-zA-Z0-9_-]{1,12}", fullmatch=True)
SCHEMAS = st.fixed_dictionaries(
    {"type": st.just("object"), "properties": st.dictionaries(IDS, st.just({"type": "string"}))}
)
ARGUMENTS = st.dictionaries(IDS, st.one_of(SAID, st.integers(), st.booleans()), max_size=3).map(
    lambda tree: msgspec.json.encode(tree).decode()
)
CACHE = st.one_of(st.none(), st.builds(CacheMark, ttl=st.sampled_from([None, "5m", "1h"])))


def texts(name: str) -> st.SearchStrategy[Text]:
    return st.builds(Text, text=SAID, cache=st.none() if name == "responses" else CACHE)


def images(name: str) -> st.SearchStrategy[Image]:
    inline = {"data": st.just("aGk="), "media_type": st.just("image/png")}
    if name == "messages":
        return st.builds(Image, **inline, cache=CACHE)
    detail = st.sampled_from(["low", "high", "auto"])
    return st.one_of(
        st.builds(Image, **inline, detail=detail),
        st.builds(Image, url=st.just("https://x.org/a.png"), detail=detail),
    )


def documents(name: str) -> st.SearchStrategy[Document]:
    return st.builds(
        Document, data=st.just("JVBERg=="), media_type=st.just("application/pdf"), name=SAID
    )


def user(name: str) -> st.SearchStrategy[Message]:
    part = st.one_of(texts(name), images(name), documents(name))
    return st.builds(Message, role=st.just("user"), parts=st.lists(part, min_size=1, max_size=3))


@st.composite
def turn(draw: st.DrawFn, name: str) -> list[Message]:
    """An assistant message, the results of its calls, and the next user message."""
    parts: list[Any] = []
    if name == "messages":
        thought = st.builds(Thinking, text=SAID, signature=IDS, origin=st.just("messages"))
        parts += draw(st.lists(thought, max_size=2))
    elif name == "responses":
        proved = st.builds(Thinking, text=SAID, encrypted=IDS, id=IDS, origin=st.just("responses"))
        parts += draw(st.lists(proved, max_size=2))
    parts += draw(st.lists(texts(name), max_size=2))
    if name == "chat":
        parts += draw(st.lists(st.builds(Refusal, text=SAID), max_size=1))
    calls = draw(
        st.lists(
            st.builds(ToolCall, id=IDS, name=IDS, arguments=ARGUMENTS),
            max_size=3,
            unique_by=lambda call: call.id,
        )
    )
    parts += calls
    if not parts:
        parts = [Text(text="ok")]
    out = [Message(role="assistant", parts=parts)]
    if calls:
        shown = [texts(name)] if name == "chat" else [texts(name), images(name)]
        results: list[Any] = [
            ToolResult(
                call_id=call.id,
                content=draw(st.lists(st.one_of(shown), max_size=2)),
                is_error=draw(st.booleans()) if name == "messages" else False,
            )
            for call in calls
        ]
        out.append(Message(role="tool", parts=results))
    if not calls or draw(st.booleans()) or name == "messages":
        out.append(draw(user(name)))
    return out


@st.composite
def requests(draw: st.DrawFn, name: str) -> Request:
    messages: list[Message] = []
    if draw(st.booleans()):
        system: list[Any] = draw(st.lists(texts(name), min_size=1, max_size=2))
        messages.append(Message(role="system", parts=system))
    messages.append(draw(user(name)))
    for more in draw(st.lists(turn(name), max_size=3)):
        messages += more
    strict = st.booleans() if name == "responses" else st.one_of(st.none(), st.booleans())
    tool = st.builds(
        ToolDef,
        name=IDS,
        description=st.one_of(st.none(), SAID),
        schema=SCHEMAS,
        strict=strict,
        cache=st.none() if name == "responses" else CACHE,
    )
    tools = draw(st.lists(tool, max_size=3, unique_by=lambda t: t.name))
    stream = draw(st.booleans())
    members: dict[str, Any] = {
        "model": draw(IDS),
        "messages": messages,
        "tools": tools,
        "max_tokens": draw(st.integers(16, 10**6)),
        "temperature": draw(st.one_of(st.none(), st.sampled_from([0, 0.5, 1]))),
        "stream": stream,
        "include_usage": stream,
        "user": draw(st.one_of(st.none(), SAID)),
        "service_tier": draw(st.sampled_from([None, "auto", "default"])),
    }
    if tools:
        members["tool_choice"] = draw(
            st.sampled_from(
                [
                    None if name != "messages" else ToolChoice(),
                    ToolChoice(mode="none"),
                    ToolChoice(mode="required"),
                    ToolChoice(mode="tool", name=tools[0].name),
                ]
            )
        )
        if members["tool_choice"] is None or members["tool_choice"].mode != "none":
            members["parallel_tool_calls"] = draw(st.sampled_from([None, True, False]))
    members.update(draw(_only(name)))
    return Request(**members)


def _only(name: str) -> st.SearchStrategy[dict[str, Any]]:
    """Members a format has and the others lack."""
    schema = st.builds(OutputFormat, kind=st.just("json_schema"), schema=SCHEMAS)
    if name == "messages":
        return st.fixed_dictionaries(
            {},
            optional={
                "stop": st.lists(SAID, max_size=6),
                "top_k": st.integers(0, 100),
                "output_format": schema,
                "reasoning": st.sampled_from(
                    [Reasoning(enabled=False), Reasoning(enabled=False, effort="low")]
                ),
            },
        )
    named = st.builds(
        OutputFormat,
        kind=st.just("json_schema"),
        name=IDS,
        schema=SCHEMAS,
        strict=st.one_of(st.none(), st.booleans()),
        description=st.one_of(st.none(), SAID),
    )
    effort = st.sampled_from(["minimal", "low", "medium", "high", "xhigh"])
    optional: dict[str, st.SearchStrategy[Any]] = {
        "output_format": st.one_of(named, st.just(OutputFormat(kind="json_object"))),
        "verbosity": st.sampled_from(["low", "high"]),
        "metadata": st.dictionaries(IDS, SAID, min_size=1),
        "openai": st.just({"prompt_cache_key": "k"}),
        "top_p": st.sampled_from([0.5, 1]),
        "store": st.just(True),
    }
    if name == "chat":
        optional |= {
            "stop": st.lists(SAID, max_size=4),
            "seed": st.integers(),
            "n": st.integers(1, 5),
            "logprobs": st.booleans(),
            "frequency_penalty": st.sampled_from([-1, 0.5]),
            "logit_bias": st.dictionaries(IDS, st.integers(-100, 100)),
            "reasoning": st.builds(Reasoning, effort=effort),
        }
        return st.fixed_dictionaries({}, optional=optional)
    del optional["store"]
    optional["reasoning"] = st.builds(Reasoning, effort=effort, summary=st.just("auto"))
    return st.fixed_dictionaries({"store": st.booleans()}, optional=optional)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_a_request_survives_its_format(name: FormatName, data: st.DataObject) -> None:
    request = data.draw(requests(name))
    encoded = FORMATS[name].encode_request(request)
    tree = msgspec.json.decode(msgspec.json.encode(encoded.body))

    assert FORMATS[name].decode_request(tree) == request
    assert encoded.dropped == []


@st.composite
def answers(draw: st.DrawFn, name: str) -> Response:
    parts: list[Any] = []
    if name == "chat":
        parts += draw(st.lists(st.builds(Thinking, text=SAID), max_size=1))
    elif name == "messages":
        parts += draw(
            st.lists(
                st.one_of(
                    st.builds(Thinking, text=SAID, signature=IDS, origin=st.just("messages")),
                    st.builds(Thinking, encrypted=IDS, origin=st.just("messages")),
                ),
                max_size=2,
            )
        )
    else:
        proof = st.builds(Thinking, text=SAID, encrypted=IDS, id=IDS, origin=st.just("responses"))
        parts += draw(st.lists(proof, max_size=2))
    parts += draw(st.lists(st.builds(Text, text=SAID), max_size=1 if name == "chat" else 3))
    if name != "messages":
        parts += draw(st.lists(st.builds(Refusal, text=SAID), max_size=1))
    call = st.builds(ToolCall, id=IDS, name=IDS, arguments=ARGUMENTS)
    if name == "responses":
        call = st.builds(ToolCall, id=IDS, name=IDS, arguments=ARGUMENTS, item_id=IDS)
    calls = draw(st.lists(call, max_size=3))
    stop = StopReason.TOOL_CALLS if calls else StopReason.END
    counts = st.integers(0, 1000)
    read, write = draw(counts), draw(counts)
    usage = Usage(
        input=read + write + draw(counts),
        output=draw(counts),
        cache_read=read,
        cache_write=write,
        reasoning=draw(counts),
    )
    prefix = {"chat": "", "messages": "msg_", "responses": "resp_"}[name]
    return Response(
        id=prefix + draw(IDS),
        model=draw(IDS),
        created=0 if name == "messages" else draw(counts),
        parts=[*parts, *calls],
        stop=draw(st.sampled_from([stop, StopReason.LENGTH])),
        usage=draw(st.sampled_from([usage, None])) if name != "messages" else usage,
    )


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=120, deadline=None)
@given(data=st.data())
def test_an_answer_survives_its_format(name: FormatName, data: st.DataObject) -> None:
    answer = data.draw(answers(name))
    tree = FORMATS[name].encode_response(answer, View())

    assert FORMATS[name].decode_response(msgspec.json.decode(msgspec.json.encode(tree))) == answer


@pytest.mark.parametrize(("client", "upstream"), PAIRS, ids=lambda v: v)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_text_calls_and_results_survive_every_translation(
    client: FormatName, upstream: FormatName, data: st.DataObject
) -> None:
    request = data.draw(requests(client))
    if request.n is not None:
        request = msgspec.structs.replace(request, n=1)
    body = msgspec.json.encode(FORMATS[client].encode_request(request).body)
    head = Head(format=client, model="m", stream=False, body=body)
    up = msgspec.json.decode(exchange(client, upstream).request(head, Edits()))
    arrived = FORMATS[upstream].decode_request(up)

    def words(wanted: Request) -> list[str]:
        # system text moves to the front, results before the words of the same turn
        out = []
        for message in wanted.messages:
            for part in message.parts:
                if isinstance(part, Text):
                    out.append(part.text)
                elif isinstance(part, ToolResult):
                    out += [item.text for item in part.content if isinstance(item, Text)]
        return sorted(out)

    def calls(wanted: Request) -> list[tuple[str, str, Any]]:
        return [
            (part.id, part.name, json.loads(part.arguments))
            for message in wanted.messages
            for part in message.parts
            if isinstance(part, ToolCall)
        ]

    said, told = words(request), words(arrived)
    missing = [word for word in said if not any(word in other for other in told)]
    assert missing == []
    assert calls(arrived) == calls(request)
    assert [t.name for t in arrived.tools] == [t.name for t in request.tools]


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text()),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=6), inner, max_size=4)
    ),
    max_leaves=12,
)
KINDS = st.sampled_from(
    [
        "text",
        "image",
        "image_url",
        "input_image",
        "input_file",
        "file",
        "document",
        "tool_use",
        "tool_result",
        "thinking",
        "redacted_thinking",
        "search_result",
        "refusal",
        "message",
        "function_call",
        "function_call_output",
        "reasoning",
        "function",
        "namespace",
        "custom",
        "json_schema",
        "json_object",
        "auto",
        "tool",
        "base64",
        "url",
        "content",
    ]
)
MEMBERS = st.sampled_from(
    [
        "role",
        "content",
        "text",
        "type",
        "tool_calls",
        "function",
        "name",
        "arguments",
        "id",
        "call_id",
        "tool_call_id",
        "source",
        "data",
        "media_type",
        "tool_use_id",
        "input",
        "output",
        "summary",
        "encrypted_content",
        "signature",
        "thinking",
        "parameters",
        "input_schema",
        "tools",
        "cache_control",
        "ttl",
        "image_url",
        "url",
        "file",
        "file_data",
        "schema",
        "json_schema",
        "mode",
        "reasoning_details",
        "reasoning_content",
        "refusal",
        "function_call",
        "usage",
        "choices",
        "message",
        "finish_reason",
        "stop_reason",
        "error",
        "status",
        "incomplete_details",
        "namespace",
        "is_error",
        "title",
    ]
)
SHAPES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-2, 9),
        KINDS,
        st.sampled_from(["user", "assistant", "system", "tool", "{}", '{"a":1}', "x"]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(MEMBERS, inner, max_size=6)
    ),
    max_leaves=25,
)
TOP = st.sampled_from(
    [
        "messages",
        "input",
        "system",
        "instructions",
        "tools",
        "tool_choice",
        "functions",
        "function_call",
        "thinking",
        "reasoning",
        "output_config",
        "response_format",
        "text",
        "metadata",
        "stream_options",
        "stop",
        "stop_sequences",
        "temperature",
        "max_tokens",
        "logit_bias",
        "include",
        "truncation",
        "choices",
        "content",
        "output",
        "usage",
        "error",
        "status",
        "type",
        "id",
        "created",
        "created_at",
        "service_tier",
        "n",
    ]
)


@pytest.mark.parametrize(("client", "upstream"), PAIRS, ids=lambda v: v)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(body=st.one_of(JSON, st.dictionaries(TOP, SHAPES, max_size=6)))
def test_no_json_crashes_a_translation(client: FormatName, upstream: FormatName, body: Any) -> None:
    if isinstance(body, dict):
        body = {"model": "m", "messages": [], "input": [], **body}
    data = msgspec.json.encode(body)
    machine = exchange(client, upstream)
    for attempt in (
        lambda: machine.request(Head(format=client, model="m", stream=False, body=data), Edits()),
        lambda: machine.answer(data).finish({}),
    ):
        try:
            result = attempt()
        except InterlockError:
            continue
        assert isinstance(msgspec.json.decode(result), dict)


@settings(max_examples=200, deadline=None)
@given(pair=st.sampled_from(PAIRS), body=st.binary(max_size=60))
def test_no_bytes_crash_a_translation(pair: tuple[FormatName, FormatName], body: bytes) -> None:
    machine = exchange(*pair)
    with pytest.raises(InterlockError):
        machine.request(Head(format=pair[0], model="", stream=False, body=b"\xff" + body), Edits())
    with pytest.raises(InterlockError):
        machine.answer(b"\xff" + body)
