"""What the gateway learns of a request, and which bodies it refuses."""

import json
from typing import Any

import msgspec
import pytest
from relay_driving import FORMATS, peeked

from interlock.providers.wire.errors import InvalidRequestError
from interlock.providers.wire.exchange import FormatName, OfferedTool, ResultIn
from interlock.providers.wire.relay.offered import OfferedCache, chat_tools

MINIMAL: dict[str, dict[str, Any]] = {
    "chat": {"model": "m", "messages": [{"role": "user", "content": "hi"}]},
    "messages": {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]},
    "responses": {"model": "m", "input": "hi"},
}
SCHEMA = {"type": "object", "properties": {"a": {"type": "number", "minimum": 0.5}}}


def call(call_id: str, name: str = "f") -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": '{"a":1}'}}


@pytest.mark.parametrize("name", FORMATS)
def test_a_plain_question_is_a_new_user_message(name: FormatName) -> None:
    head = peeked(name, MINIMAL[name])

    assert (head.format, head.model, head.stream) == (name, "m", False)
    assert (head.has_history, head.new_user_message) == (False, True)
    assert (list(head.results), list(head.tools), head.tree) == ([], [], None)
    assert head.body == json.dumps(MINIMAL[name]).encode()


def test_chat_results_are_those_after_the_last_assistant_message() -> None:
    head = peeked(
        "chat",
        {
            "model": "m",
            "messages": [
                {"role": "assistant", "tool_calls": [call("old")]},
                {"role": "tool", "tool_call_id": "old", "content": "stale"},
                {"role": "assistant", "tool_calls": [call("a"), call("b", "g")]},
                {"role": "tool", "tool_call_id": "a", "content": "one"},
                {
                    "role": "tool",
                    "tool_call_id": "b",
                    "content": [{"type": "text", "text": "x"}, {"type": "text", "text": "y"}],
                },
            ],
        },
    )

    assert list(head.results) == [
        ResultIn(call_id="a", text="one", tool="f", arguments='{"a":1}'),
        ResultIn(call_id="b", text="x\ny", tool="g", arguments='{"a":1}'),
    ]
    assert (head.has_history, head.new_user_message) == (True, False)


def test_chat_results_may_come_with_a_new_question() -> None:
    messages = [
        {"role": "user", "content": "q"},
        {"role": "assistant", "tool_calls": [call("a")]},
        {"role": "tool", "tool_call_id": "a", "content": None},
        {"role": "user", "content": "q2"},
    ]
    head = peeked("chat", {"model": "m", "messages": messages})

    assert ([r.text for r in head.results], head.new_user_message) == ([""], True)


def test_results_of_the_deprecated_function_role_are_known_by_name() -> None:
    messages = [
        {"role": "assistant", "function_call": {"name": "f", "arguments": "{}"}},
        {"role": "function", "name": "f", "content": "r"},
    ]
    head = peeked("chat", {"model": "m", "messages": messages})

    assert list(head.results) == [ResultIn(call_id="f", text="r", tool="f", arguments="{}")]


def test_chat_results_without_history_are_results_too() -> None:
    messages = [{"role": "tool", "tool_call_id": "a", "content": "r"}]
    head = peeked("chat", {"model": "m", "messages": messages})

    assert list(head.results) == [ResultIn(call_id="a", text="r")]
    assert head.has_history


def test_messages_results_and_the_question_after_them() -> None:
    use = {"type": "tool_use", "id": "a", "name": "f", "input": {"n": 1.50}, "toolset_name": "pc"}
    result = {
        "type": "tool_result",
        "tool_use_id": "a",
        "is_error": True,
        "content": [{"type": "text", "text": "x"}, {"type": "image", "source": {}}],
    }
    body: dict[str, Any] = {
        "model": "m",
        "messages": [
            {"role": "user", "content": "q"},
            {"role": "assistant", "content": [use]},
            {"role": "user", "content": [result]},
        ],
    }
    expected = ResultIn(call_id="a", text="x", is_error=True, tool="pc.f", arguments='{"n": 1.5}')

    head = peeked("messages", body)
    assert (list(head.results), head.new_user_message) == ([expected], False)
    body["messages"][2]["content"] += [{"type": "text", "text": "q2"}]
    assert peeked("messages", body).new_user_message
    body["messages"][2]["content"].pop()
    body["messages"] += [{"role": "user", "content": "q2"}]
    assert peeked("messages", body).new_user_message


def test_responses_outputs_of_all_kinds_are_results() -> None:
    items = [
        {"role": "user", "content": "q"},
        {"type": "reasoning", "id": "r", "summary": []},
        {"type": "function_call", "call_id": "a", "name": "f", "namespace": "n", "arguments": "{}"},
        {"type": "custom_tool_call", "call_id": "b", "name": "g", "input": "i"},
        {"type": "function_call_output", "call_id": "a", "output": "one"},
        {
            "type": "custom_tool_call_output",
            "call_id": "b",
            "output": [{"type": "input_text", "text": "two"}],
        },
        {"type": "local_shell_call_output", "id": "c", "output": "three"},
        {
            "type": "shell_call_output",
            "call_id": "d",
            "output": [{"stdout": "four", "stderr": "4"}],
        },
        {"type": "apply_patch_call_output", "call_id": "e", "status": "failed", "output": "five"},
        {"type": "computer_call_output", "call_id": "f", "output": {"type": "computer_screenshot"}},
    ]
    head = peeked("responses", {"model": "m", "input": items})

    assert list(head.results) == [
        ResultIn(call_id="a", text="one", tool="n.f", arguments="{}"),
        ResultIn(call_id="b", text="two", tool="g", arguments='{"input":"i"}'),
        ResultIn(call_id="c", text="three"),
        ResultIn(call_id="d", text="four\n4"),
        ResultIn(call_id="e", text="five", is_error=True),
        ResultIn(call_id="f", text=""),
    ]
    assert (head.has_history, head.new_user_message) == (True, False)


def test_responses_name_what_they_follow() -> None:
    body = {"model": "m", "previous_response_id": "resp_1", "conversation": {"id": "conv_1"}}
    head = peeked("responses", body | {"store": False, "parallel_tool_calls": False})

    assert (head.previous_response_id, head.conversation) == ("resp_1", "conv_1")
    assert (head.store, head.parallel, head.new_user_message) == (False, False, True)


def test_hints_about_the_user_and_dual_only_members_are_seen() -> None:
    for name in FORMATS:
        base = MINIMAL[name]
        assert peeked(name, base | {"metadata": {"user_id": "u"}}).user_ref == "u"
        assert peeked(name, base | {"metadata": None, "context_vars": {}}).dual_only == (
            "context_vars",
        )
    assert peeked("chat", MINIMAL["chat"] | {"user": "u", "prompt_cache_key": "k"}).user_ref == "u"
    assert peeked("responses", MINIMAL["responses"] | {"prompt_cache_key": "k"}).user_ref == "k"
    choice = {"type": "auto", "disable_parallel_tool_use": True}
    assert not peeked("messages", MINIMAL["messages"] | {"tool_choice": choice}).parallel


def test_tools_are_offered_under_the_names_a_policy_sees() -> None:
    chat = [
        {"type": "function", "function": {"name": "f", "description": "d", "parameters": SCHEMA}},
        {"type": "custom", "custom": {"name": "c"}},
        {"type": "web_search"},
    ]
    messages = [
        {"name": "f", "description": "d", "input_schema": SCHEMA},
        {"type": "bash_20250124", "name": "bash"},
        {"type": "mcp_toolset", "mcp_server_name": "github"},
    ]
    responses = [
        {"type": "function", "name": "f", "description": "d", "parameters": SCHEMA},
        {
            "type": "namespace",
            "name": "n",
            "tools": [{"type": "function", "name": "g"}, {"type": "custom", "name": "h"}],
        },
        {"type": "local_shell"},
        {"type": "mcp", "server_label": "fs"},
        {"type": "web_search"},
    ]
    function = OfferedTool(name="f", kind="function", description="d", schema=SCHEMA)

    def offered(name: FormatName, tools: list[Any]) -> list[OfferedTool]:
        return list(peeked(name, MINIMAL[name] | {"tools": tools}).tools)

    assert offered("chat", chat) == [
        function,
        OfferedTool(name="c", kind="custom"),
        OfferedTool(name="web_search", kind="web_search", hosted=True),
    ]
    assert offered("messages", messages) == [
        function,
        OfferedTool(name="bash", kind="bash_20250124"),
        OfferedTool(name="github", kind="mcp_toolset", hosted=True),
    ]
    assert offered("responses", responses) == [
        function,
        OfferedTool(name="n.g", kind="function"),
        OfferedTool(name="n.h", kind="custom"),
        OfferedTool(name="local_shell", kind="local_shell"),
        OfferedTool(name="fs", kind="mcp", hosted=True),
        OfferedTool(name="web_search", kind="web_search", hosted=True),
    ]
    old = MINIMAL["chat"] | {"functions": [{"name": "f", "description": "d", "parameters": SCHEMA}]}
    assert list(peeked("chat", old).tools) == [function]


def test_equal_tool_lists_are_read_once_and_the_memory_for_them_is_bounded() -> None:
    read: list[int] = []

    def reader(tools: list[Any]) -> list[OfferedTool]:
        read.append(len(tools))
        return chat_tools(tools)

    def listed(i: int) -> msgspec.Raw:
        tool = {"type": "function", "function": {"name": f"f{i}", "description": "x" * 200}}
        return msgspec.Raw(json.dumps([tool]).encode())

    cache = OfferedCache(reader, limit_bytes=2000)
    first = cache(listed(0))
    assert cache(listed(0)) is first
    for i in range(50):
        cache(listed(i))
    assert len(read) == 50
    assert sum(map(len, cache._known)) <= 2000
    cache(listed(0))
    assert len(read) == 51


REFUSED: list[tuple[FormatName, bytes, str | None]] = [
    ("chat", b"", None),
    ("chat", b"[]", None),
    ("chat", b"nul", None),
    ("chat", b'{"model":"m","messages":[]}x', None),
    ("chat", b'\xef\xbb\xbf{"model":"m","messages":[]}', None),
    ("chat", b'{"model":"m","messages":[],"x":NaN}', None),
    ("chat", b'{"model":"m","messages":[],"x":"\xff"}', None),
    ("chat", rb'{"model":"m","messages":[],"x":"\ud800"}', None),
    ("chat", b'{"model":"m","messages":[],"x":' + b"[" * 50_000, None),
    ("chat", b'{"model":"m","messages":[],"x":' + b"[" * 50_000 + b"]" * 50_000 + b"}", None),
    ("chat", b'{"messages":[]}', "model"),
    ("chat", b'{"model":null,"messages":[]}', "model"),
    ("chat", b'{"model":"","messages":[]}', "model"),
    ("chat", b'{"model":["m"],"messages":[]}', "model"),
    ("chat", b'{"model":"m"}', "messages"),
    ("chat", b'{"model":"m","messages":"hi"}', "messages"),
    ("chat", b'{"model":"m","messages":[1]}', "messages[0]"),
    ("chat", b'{"model":"m","messages":[{"role":"user"},{"content":"x"}]}', "messages[1].role"),
    ("chat", b'{"model":"m","messages":[{"role":1}]}', "messages[0].role"),
    (
        "chat",
        b'{"model":"m","messages":[{"role":"tool","content":"x"}]}',
        "messages[0].tool_call_id",
    ),
    (
        "chat",
        b'{"model":"m","messages":[{"role":"tool","tool_call_id":"a","content":{}}]}',
        "messages[0].content",
    ),
    (
        "chat",
        b'{"model":"m","messages":[{"role":"tool","tool_call_id":7}]}',
        "messages[0].tool_call_id",
    ),
    ("chat", b'{"model":"m","messages":[],"stream":1}', "stream"),
    ("chat", b'{"model":"m","messages":[],"stream":"true"}', "stream"),
    ("chat", b'{"model":"m","messages":[],"stream":true,"stream_options":[]}', "stream_options"),
    ("chat", b'{"model":"m","messages":[],"tools":{}}', "tools"),
    ("chat", b'{"model":"m","messages":[],"tools":[{"type":"function"}]}', "tools[0].function"),
    ("chat", b'{"model":"m","messages":[],"tools":[{"function":{"name":"f"}}]}', "tools[0].type"),
    (
        "chat",
        b'{"model":"m","messages":[],"tools":[{"type":"function","function":{"name":""}}]}',
        "tools[0].function.name",
    ),
    ("chat", b'{"model":"m","messages":[],"user":5}', "user"),
    (
        "messages",
        b'{"model":"m","messages":[{"role":"user","content":[{"text":"x"}]}]}',
        "messages[0].content[0].type",
    ),
    (
        "messages",
        b'{"model":"m","messages":[{"role":"user","content":[{"type":"tool_result"}]}]}',
        "messages[0].content[0].tool_use_id",
    ),
    ("messages", b'{"model":"m","messages":[{"role":"user","content":5}]}', "messages[0].content"),
    ("messages", b'{"model":"m","messages":[],"tools":[{"input_schema":{}}]}', "tools[0].name"),
    (
        "messages",
        b'{"model":"m","messages":[],"tools":[{"name":"f","input_schema":1}]}',
        "tools[0].input_schema",
    ),
    ("responses", b'{"model":"m"}', "input"),
    ("responses", b'{"model":"m","input":5}', "input"),
    ("responses", b'{"model":"m","input":[{"type":5}]}', "input[0].type"),
    (
        "responses",
        b'{"model":"m","input":[{"type":"function_call_output","output":"x"}]}',
        "input[0].call_id",
    ),
    ("responses", b'{"model":"m","input":"x","background":true}', "background"),
    (
        "responses",
        b'{"model":"m","input":"x","tools":[{"type":"namespace","name":"n"}]}',
        "tools[0].tools",
    ),
    ("responses", b'{"model":"m","input":"x","conversation":{"x":1}}', "conversation.id"),
]


@pytest.mark.parametrize(("name", "body", "param"), REFUSED, ids=lambda v: str(v)[:60])
def test_a_wrong_body_is_refused_naming_the_member(
    name: FormatName, body: bytes, param: str | None
) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        peeked(name, body)

    assert caught.value.param == param


TWICE = [
    b'{"model":"a","messages":[],"model":"b"}',
    b'{"model":"a", "messages":[], "model":"a"}',
    b' {"model" : "a" ,\n"messages":[],"input":"",\t"mod\\u0065l":"b"}',
    b'{"model":"a","messages":[],"input":"","tools":[],"tools":[{"x":1}]}',
    b'{"model":"a", "messages":[], "input":"", "messages":[{"role":"user"}], "input":[]}',
    b'{"model":"a", "x":1, "x":12, "messages":[], "input":""}',
    b'{"model":"a", "x":12, "x":1, "messages":[], "input":""}',
    b'{"x":[1],"x":[1],"model":"a","messages":[],"input":"hi"}',
    # The last of the two lends its length: a walk by lengths would step over it.
    b'{"x":1 ,"x":[" ,\\"x\\":["],"model":"a", "messages":[],"input":""}',
    b'{"n":1, "m":1,"n":1,"model":"a","messages":[],"input":""}',
    b'{"\xc3\xa9":1,"\\u00e9":2,"model":"a","messages":[],"input":""}',
]


@pytest.mark.parametrize("body", TWICE)
@pytest.mark.parametrize("name", FORMATS)
def test_a_member_given_twice_is_refused(name: FormatName, body: bytes) -> None:
    with pytest.raises(InvalidRequestError, match="twice"):
        peeked(name, body)


INNER = [
    (
        "chat",
        b'{"model":"m","messages":[{"role":"tool","tool_call_id":"a","content":"x","content":"y"}]}',
    ),
    (
        "chat",
        b'{"model":"m","messages":[],"tools":[{"type":"function","function":{"name":"a","name":"b"}}]}',
    ),
    (
        "messages",
        b'{"model":"m","messages":[{"role":"user","content":[{"type":"tool_result","tool_use_id":"a","content":"x","content":"y"}]}]}',
    ),
    (
        "messages",
        b'{"model":"m","messages":[],"tools":[{"name":"a","input_schema":{"x":1,"x":2}}]}',
    ),
    (
        "responses",
        b'{"model":"m","input":[{"type":"function_call_output","call_id":"a","output":"x","output":"y"}]}',
    ),
]


@pytest.mark.parametrize(("name", "body"), INNER, ids=lambda v: str(v)[:40])
def test_what_a_guard_reads_cannot_be_told_twice(name: FormatName, body: bytes) -> None:
    with pytest.raises(InvalidRequestError, match="twice"):
        peeked(name, body)


def test_odd_but_single_members_are_accepted() -> None:
    body = (
        b' {\n"\\u006dodel" : "m" ,"" :1, "a\\"b": {"model":"x"}, "messages":[ ] , "tools":null}\n'
    )

    assert peeked("chat", body).model == "m"
    assert peeked("chat", json.dumps(MINIMAL["chat"], indent=4).encode()).model == "m"
    with pytest.raises(InvalidRequestError, match="model"):
        peeked("chat", b"{ }")


CALLED: dict[str, dict[str, Any]] = {
    "chat": {
        "messages": [
            {"role": "assistant", "tool_calls": [{"id": "old"}]},
            {"role": "tool", "tool_call_id": "old", "content": "x"},
            {"role": "assistant", "tool_calls": [{"id": "one"}, {"id": "two"}]},
            {"role": "tool", "tool_call_id": "two", "content": "x"},
        ]
    },
    "messages": {
        "messages": [
            {"role": "assistant", "content": [{"type": "tool_use", "id": "old"}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "old"}]},
            {
                "role": "assistant",
                "content": [
                    {"type": "text", "text": "both"},
                    {"type": "tool_use", "id": "one"},
                    {"type": "tool_use", "id": "two"},
                ],
            },
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "two"}]},
        ]
    },
    "responses": {
        "input": [
            {"type": "function_call", "call_id": "old"},
            {"type": "function_call_output", "call_id": "old", "output": "x"},
            {"type": "function_call", "call_id": "one", "name": "a", "arguments": "{}"},
            {"type": "reasoning", "id": "rs_1"},
            {"type": "function_call", "call_id": "two", "name": "a", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "two", "output": "x"},
        ]
    },
}


@pytest.mark.parametrize("name", FORMATS)
def test_the_calls_that_results_answer_are_all_those_of_the_last_answer(name: FormatName) -> None:
    head = peeked(name, {"model": "m", **CALLED[name]})

    assert ([one.call_id for one in head.results], list(head.called)) == (["two"], ["one", "two"])


@pytest.mark.parametrize("name", FORMATS)
def test_calls_are_not_looked_for_when_there_are_no_results(name: FormatName) -> None:
    (listed,) = CALLED[name]
    more = [*CALLED[name][listed][:-1], {"role": "user", "content": "never mind"}]

    head = peeked(name, {"model": "m", listed: more})

    assert (list(head.results), list(head.called)) == ([], [])
