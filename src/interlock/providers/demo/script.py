"""The demo model's mind: what it answers to a request. Pure and deterministic.

See the package docstring for the whole behaviour.
"""

import json
from collections.abc import Iterator, Sequence

from interlock.kernel.roles import NOT_A_REQUEST, ModelRole, role_of
from interlock.providers.demo.lines import CallLine, Directives, call_lines, directives
from interlock.providers.demo.model import Call, Script
from interlock.providers.demo.planner import identifier, plan
from interlock.providers.demo.roles import extract, judge, policy
from interlock.providers.demo.tools import known_tools
from interlock.providers.wire.model import (
    Document,
    Message,
    Refusal,
    Request,
    StopReason,
    Text,
    Thinking,
    ToolCall,
    ToolDef,
    ToolResult,
    Usage,
)

__all__ = ["CHARACTERS_PER_TOKEN", "count_input", "reply", "tokens"]

CHARACTERS_PER_TOKEN = 4
_PIECE = 12
_RESULT_LIMIT = 2_000


def tokens(characters: int) -> int:
    """Tokens of that many characters, begun ones counted."""
    return -(-characters // CHARACTERS_PER_TOKEN)


def count_input(request: Request) -> int:
    """Tokens of everything the model is given: messages, calls, results, tool definitions."""
    size = sum(
        len(piece) for message in request.messages for piece in _pieces(message, everything=True)
    )
    for tool in request.tools:
        size += len(tool.qualified) + len(tool.description or "")
        size += len(json.dumps(tool.schema, ensure_ascii=False)) if tool.schema else 0
    return tokens(size)


def reply(request: Request, *, faults: bool = False) -> Script:
    """The answer to a request; `faults` makes the fault lines count."""
    system = "\n".join(
        _text(one) for one in request.messages if one.role in {"system", "developer"}
    )
    role = role_of(system)
    turn = _turn(request.messages)
    asked = _asked(turn, faults=faults) if role in {None, "pllm"} else Directives()
    script = _answer(request, role, system, turn, asked)
    return _measured(request, script, asked)


def _answer(
    request: Request,
    role: ModelRole | None,
    system: str,
    turn: Sequence[Message],
    asked: Directives,
) -> Script:
    if asked.fail is not None:
        return Script(fail_status=asked.fail)
    if asked.huge_mb is not None:
        return Script(pieces=("x" * (asked.huge_mb << 20),))
    if asked.tokens is not None:
        return Script(pieces=("tok ",) * asked.tokens)
    if role is not None:
        return _said(_in_role(role, request, system, turn))
    calls = _calls(request)
    if calls:
        return Script(calls=calls, stop=StopReason.TOOL_CALLS)
    if asked.say is not None:
        return _said(asked.say)
    schema = _schema(request)
    if schema is not None:
        return _said(extract(schema, _user_text(request.messages)))
    result = _last_result(turn)
    if result is not None:
        return _said(f"RESULT {result[:_RESULT_LIMIT]}")
    return _said(f"ECHO {_user_text(request.messages)}")


def _in_role(role: ModelRole, request: Request, system: str, turn: Sequence[Message]) -> str:
    text = _user_text(request.messages)
    schema = _schema(request)
    if role == "pllm":
        return _plan(request, system)
    if role == "qllm":
        return extract(schema, text)
    if role == "policy_llm":
        return policy(request, schema, system, text)
    return judge(role, schema, text)


def _plan(request: Request, system: str) -> str:
    """The program for the newest request; lines of requests it has answered are acted on."""
    messages = request.messages
    last = max((i for i, one in enumerate(messages) if _is_request(one)), default=-1)
    answered = [i for i in range(last) if messages[i].role == "assistant"]
    pending = _pending(messages[max(answered, default=-1) + 1 :], None)
    tools = known_tools(request.tools, system)
    names = {identifier(tool.name) for tool in tools}
    calls = [line for line in pending if identifier(line.tool) in names]
    attempt = sum(one.role == "assistant" for one in messages[last + 1 :])
    query = _request_text(messages[last]) if last >= 0 else ""
    return plan(query, tools, calls, attempt=attempt)


def _is_query(message: Message) -> bool:
    return message.role == "user" and bool(_text(message))


def _is_request(message: Message) -> bool:
    return message.role == "user" and bool(_request_text(message))


def _request_text(message: Message) -> str:
    """What a user's message asks for; formats may join it with the notes before it."""
    texts = [part.text for part in message.parts if isinstance(part, Text)]
    return "\n".join(text for text in texts if not text.startswith(NOT_A_REQUEST))


# Calls


def _calls(request: Request) -> tuple[Call, ...]:
    """The CALL lines not yet acted on whose tool is offered; one of them when no more may be."""
    choice = request.tool_choice
    if choice is not None and choice.mode == "none":
        return ()
    offered: dict[str, ToolDef] = {}
    for tool in request.tools:
        offered.setdefault(tool.name, tool)
        offered[tool.qualified] = tool
    if choice is not None and choice.mode == "tool":
        offered = {name: tool for name, tool in offered.items() if choice.name in {name, tool.name}}
    calls = [
        Call(
            name=offered[line.tool].name,
            namespace=offered[line.tool].namespace,
            arguments=line.arguments,
        )
        for line in _pending(request.messages, frozenset(offered))
    ]
    return tuple(calls[:1] if request.parallel_tool_calls is False else calls)


def _pending(messages: Sequence[Message], offered: frozenset[str] | None) -> list[CallLine]:
    """CALL lines of a history that no later call answers.

    A call answers the first line before it that says the same, else the first that names
    its tool: somebody between may have rewritten the arguments. The same line in a
    later message is a new one.
    """
    pending: list[CallLine] = []
    for message in messages:
        if message.role != "assistant":
            for piece in _pieces(message):
                pending += [
                    line for line in call_lines(piece) if offered is None or line.tool in offered
                ]
            continue
        for part in message.parts:
            if isinstance(part, ToolCall):
                _answered(pending, part)
    return pending


def _answered(pending: list[CallLine], call: ToolCall) -> None:
    names = {call.name, call.qualified}
    mine = [line for line in pending if line.tool in names]
    if not mine:
        return
    made = _object(call.arguments)
    same = next((line for line in mine if _object(line.arguments) == made), mine[0])
    pending.remove(same)


def _object(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


# Reading the request


def _turn(messages: Sequence[Message]) -> Sequence[Message]:
    """What came since the last finished answer: the newest user messages and their tool traffic."""
    begin = 0
    for index, message in enumerate(messages):
        if message.role == "assistant" and not any(isinstance(p, ToolCall) for p in message.parts):
            begin = index + 1
    return messages[begin:]


def _asked(turn: Sequence[Message], *, faults: bool) -> Directives:
    found = Directives()
    for message in turn:
        if message.role in {"user", "tool"}:
            for piece in _pieces(message):
                found = directives(piece, faults=faults, before=found)
    return found


def _last_result(turn: Sequence[Message]) -> str | None:
    """The newest tool result the model has not answered yet."""
    for message in reversed(turn):
        if message.role == "assistant":
            return None
        for part in reversed(message.parts):
            if isinstance(part, ToolResult):
                return "\n".join(_content(part))
    return None


def _user_text(messages: Sequence[Message]) -> str:
    for message in reversed(messages):
        if _is_query(message):
            return _text(message)
    return ""


def _schema(request: Request) -> dict[str, object] | None:
    wanted = request.output_format
    if wanted is None:
        return None
    return wanted.schema if wanted.schema is not None else {"type": "object"}


def _text(message: Message) -> str:
    return "\n".join(part.text for part in message.parts if isinstance(part, Text))


def _content(result: ToolResult) -> Iterator[str]:
    for part in result.content:
        if isinstance(part, (Text, Document)):
            yield part.text or ""


def _pieces(message: Message, *, everything: bool = False) -> Iterator[str]:
    """The texts of a message; `everything` the model is charged for, its own calls included."""
    for part in message.parts:
        if isinstance(part, (Text, Refusal)):
            yield part.text
        elif isinstance(part, ToolResult):
            yield from _content(part)
        elif isinstance(part, Document):
            yield part.text or ""
        elif everything and isinstance(part, ToolCall):
            yield part.name
            yield part.arguments
        elif everything and isinstance(part, Thinking):
            yield part.text


# Speaking


def _said(text: str) -> Script:
    return Script(pieces=tuple(text[i : i + _PIECE] for i in range(0, len(text), _PIECE)))


def _measured(request: Request, script: Script, asked: Directives) -> Script:
    """With limits applied, tokens counted, and the delivery the lines ask for."""
    pieces, stop, sequence = script.pieces, script.stop, None
    if pieces and request.stop:
        text = "".join(pieces)
        cuts = [(text.find(one), one) for one in request.stop if one and one in text]
        if cuts:
            where, sequence = min(cuts)
            pieces, stop = _said(text[:where]).pieces, StopReason.STOP_SEQUENCE
    limit = request.max_tokens
    if pieces and limit is not None and tokens(sum(map(len, pieces))) > limit:
        kept = "".join(pieces)[: limit * CHARACTERS_PER_TOKEN]
        width = len(pieces[0])
        pieces = tuple(kept[i : i + width] for i in range(0, len(kept), width))
        stop, sequence = StopReason.LENGTH, None
    size = sum(map(len, pieces))
    size += sum(len(call.qualified) + len(call.arguments) for call in script.calls)
    return Script(
        pieces=pieces,
        calls=script.calls,
        stop=stop,
        stop_sequence=sequence,
        usage=Usage(input=count_input(request), output=tokens(size)),
        fail_status=script.fail_status,
        delay_s=asked.slow_s,
        fault=asked.fault,
    )
