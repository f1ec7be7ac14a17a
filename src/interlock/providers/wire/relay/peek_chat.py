"""Reads what `Head` needs of a Chat Completions request."""

from typing import Any

import msgspec
from msgspec import Raw, Struct

from interlock.providers.wire.errors import InvalidRequestError
from interlock.providers.wire.exchange import FormatName, Head, OfferedTool, ResultIn
from interlock.providers.wire.relay.calls import chat_call
from interlock.providers.wire.relay.exact import elements
from interlock.providers.wire.relay.offered import (
    OfferedCache,
    chat_functions,
    chat_implied,
    chat_tools,
)
from interlock.providers.wire.relay.peek import (
    ABSENT,
    Members,
    boolean,
    decode,
    dual_only,
    joined,
    need_text,
    open_body,
    text,
    unambiguous,
)

__all__ = ["ChatClient"]


class _Message(Struct):
    role: str


class _Result(Struct):
    content: Raw = ABSENT
    tool_call_id: str | None = None
    name: str | None = None


class _Caller(Struct):
    tool_calls: list[dict[str, Any]] | None = None
    function_call: dict[str, Any] | None = None


class _StreamOptions(Struct):
    include_usage: bool | None = None


class _Metadata(Struct):
    user_id: Any = None


_messages = msgspec.json.Decoder(list[_Message])
_caller = msgspec.json.Decoder(_Caller)
_result = msgspec.json.Decoder(_Result)
_stream_options = msgspec.json.Decoder(_StreamOptions | None)
_metadata = msgspec.json.Decoder(_Metadata | None)


class ChatClient:
    """The client side of Chat Completions."""

    name: FormatName = "chat"

    def __init__(self) -> None:
        self._tools = OfferedCache(chat_tools)
        self._functions = OfferedCache(chat_functions)

    def peek(self, body: bytes) -> Head:
        """See `Client.peek`."""
        opened = open_body(body)
        model = need_text(opened, "model")
        listed = opened.get("messages")
        if listed is None:
            raise InvalidRequestError("`messages` is missing", param="messages")
        history, results, called, new_user = _read_messages(listed)
        head = Head(
            format="chat",
            model=model,
            stream=boolean(opened, "stream", default=False),
            body=body,
            results=results,
            called=called,
            new_user_message=new_user,
            has_history=history,
        )
        if len(opened) > 2 or model.endswith(":online"):
            self._optional(head, opened)
        return head

    def _optional(self, head: Head, opened: Members) -> None:
        if "tools" in opened or "functions" in opened:
            head.tools = self._offered(opened)
        head.implied = chat_implied(opened, head.model)
        if "parallel_tool_calls" in opened:
            head.parallel = boolean(opened, "parallel_tool_calls", default=True)
        if head.stream:
            head.wants_usage = False
            options = opened.get("stream_options")
            if options is not None:
                read = decode(_stream_options, options, "stream_options")
                head.wants_usage = bool(read and read.include_usage)
        head.user_ref = user_ref(opened)
        if "store" in opened:
            head.store = boolean(opened, "store", default=True)
        head.dual_only = dual_only(opened)

    def _offered(self, opened: Members) -> tuple[OfferedTool, ...]:
        tools = self._tools(opened.get("tools"))
        functions = opened.get("functions")
        return tools + self._functions(functions, "functions") if functions is not None else tools


def user_ref(opened: Members) -> str | None:
    """The caller's own session hint."""
    if "metadata" in opened:
        metadata = decode(_metadata, opened["metadata"], "metadata")
        if metadata is not None and isinstance(metadata.user_id, str):
            return metadata.user_id
    for name in ("user", "prompt_cache_key"):
        if name in opened and (found := text(opened, name)):
            return found
    return None


def _read_messages(listed: Raw) -> tuple[bool, list[ResultIn], list[str], bool]:
    """Whether there is history, the results after it, the calls they answer, a user after them."""
    messages = decode(_messages, listed, "messages")
    found: list[int] = []
    new_user = False
    history = False
    caller = -1
    for i in range(len(messages) - 1, -1, -1):
        role = messages[i].role
        if role == "assistant":
            history = True
            caller = i
            break
        if role in ("tool", "function"):
            found.append(i)
        elif role == "user" and not found:
            new_user = True
    if not found:
        return history, [], [], True
    opened = elements(listed)
    calls = _read_calls(opened[caller], f"messages[{caller}]") if caller >= 0 else {}
    results = [_read_result(opened[i], f"messages[{i}]", calls) for i in reversed(found)]
    return True, results, list(calls), new_user


def _read_calls(message: Raw, path: str) -> dict[str, tuple[str, str]]:
    """Name and arguments of the calls an assistant message made, by id."""
    caller = decode(_caller, message, path)
    calls = {call["id"]: chat_call(call) for call in caller.tool_calls or () if _has_id(call)}
    if caller.function_call:
        name, arguments = chat_call({"function": caller.function_call})
        calls[name] = name, arguments
    return calls


def _has_id(call: dict[str, Any]) -> bool:
    return isinstance(call.get("id"), str)


def _read_result(message: Raw, path: str, calls: dict[str, tuple[str, str]]) -> ResultIn:
    unambiguous(message, path)
    result = decode(_result, message, path)
    call_id = result.tool_call_id or result.name
    if not call_id:
        raise InvalidRequestError(f"`{path}.tool_call_id` is missing", param=f"{path}.tool_call_id")
    tool, arguments = calls.get(call_id, (None, None))
    return ResultIn(
        call_id=call_id,
        text=joined(result.content, f"{path}.content"),
        tool=tool,
        arguments=arguments,
    )
