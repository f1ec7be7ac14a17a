"""Reads what `Head` needs of a Messages request."""

import msgspec
from msgspec import Raw, Struct

from interlock.providers.wire.errors import InvalidRequestError, ThreadsUnsupportedError
from interlock.providers.wire.exchange import FormatName, Head, ResultIn
from interlock.providers.wire.relay.calls import is_tool_use
from interlock.providers.wire.relay.exact import elements
from interlock.providers.wire.relay.offered import OfferedCache, messages_implied, messages_tools
from interlock.providers.wire.relay.peek import (
    ABSENT,
    Members,
    boolean,
    decode,
    dual_only,
    joined,
    need_text,
    open_body,
    unambiguous,
)
from interlock.providers.wire.relay.peek_chat import user_ref

__all__ = ["MessagesClient"]


_QUOTE, _LIST = 0x22, 0x5B


class _Message(Struct):
    role: str
    content: Raw = ABSENT


class _Block(Struct):
    type: str
    tool_use_id: str | None = None
    content: Raw = ABSENT
    is_error: bool | None = None


class _ToolUse(Struct):
    type: str
    id: str | None = None
    name: str | None = None
    input: Raw = ABSENT
    toolset_name: str | None = None


class _ToolChoice(Struct):
    disable_parallel_tool_use: bool | None = None


_messages = msgspec.json.Decoder(list[_Message])
_blocks = msgspec.json.Decoder(list[_Block])
_tool_uses = msgspec.json.Decoder(list[_ToolUse])
_tool_choice = msgspec.json.Decoder(_ToolChoice | None)


class MessagesClient:
    """The client side of Messages."""

    name: FormatName = "messages"

    def __init__(self) -> None:
        self._tools = OfferedCache(messages_tools)

    def peek(self, body: bytes) -> Head:
        """See `Client.peek`."""
        opened = open_body(body)
        if bytes(opened.get("thread", b"null")) != b"null":
            raise ThreadsUnsupportedError
        model = need_text(opened, "model")
        listed = opened.get("messages")
        if listed is None:
            raise InvalidRequestError("`messages` is missing", param="messages")
        history, results, called, new_user = _read_messages(listed)
        return Head(
            format="messages",
            model=model,
            stream=boolean(opened, "stream", default=False),
            body=body,
            tools=self._tools(opened.get("tools")),
            implied=messages_implied(opened),
            results=results,
            called=called,
            new_user_message=new_user,
            has_history=history,
            user_ref=user_ref(opened),
            parallel=_parallel(opened),
            dual_only=dual_only(opened),
        )


def _parallel(opened: Members) -> bool:
    choice = opened.get("tool_choice")
    if choice is None:
        return True
    read = decode(_tool_choice, choice, "tool_choice")
    return not (read and read.disable_parallel_tool_use)


def _read_messages(listed: Raw) -> tuple[bool, list[ResultIn], list[str], bool]:
    """Whether there is history, the results after it, the calls they answer, user content."""
    messages = decode(_messages, listed, "messages")
    history = False
    first = 0
    for i in range(len(messages) - 1, -1, -1):
        if messages[i].role == "assistant":
            history = True
            first = i + 1
            break
    results: list[ResultIn] = []
    calls: dict[str, _ToolUse] = {}
    new_user = False
    opened: list[Raw] | None = None
    for i in range(first, len(messages)):
        content = messages[i].content
        if messages[i].role != "user" or content is ABSENT:
            continue
        path = f"messages[{i}].content"
        if memoryview(content)[0] == _QUOTE:
            new_user = True
            continue
        blocks = decode(_blocks, content, path)
        if any(block.type == "tool_result" for block in blocks):
            opened = opened if opened is not None else elements(listed)
            unambiguous(opened[i], f"messages[{i}]")
            if first:
                calls = _read_calls(messages[first - 1].content, f"messages[{first - 1}].content")
        for j, block in enumerate(blocks):
            if block.type == "tool_result":
                results.append(_read_result(block, f"{path}[{j}]", calls))
                new_user = False
            else:
                new_user = True
    return history or bool(results), results, list(calls), new_user or not results


def _read_calls(content: Raw, path: str) -> dict[str, _ToolUse]:
    """The calls an assistant message made, by id."""
    if memoryview(content)[0] != _LIST:
        return {}
    return {b.id: b for b in decode(_tool_uses, content, path) if b.id and is_tool_use(b.type)}


def _read_result(block: _Block, path: str, calls: dict[str, _ToolUse]) -> ResultIn:
    if not block.tool_use_id:
        at = f"{path}.tool_use_id"
        raise InvalidRequestError(f"`{at}` is missing", param=at)
    call = calls.get(block.tool_use_id)
    space = f"{call.toolset_name}." if call is not None and call.toolset_name else ""
    return ResultIn(
        call_id=block.tool_use_id,
        text=joined(block.content, f"{path}.content"),
        is_error=bool(block.is_error),
        tool=space + (call.name or "") if call is not None else None,
        arguments=bytes(call.input).decode() if call is not None else None,
    )
