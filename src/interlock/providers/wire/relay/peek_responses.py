"""Reads what `Head` needs of a Responses request."""

from typing import Any

import msgspec
from msgspec import Raw, Struct

from interlock.providers.wire.errors import InvalidRequestError
from interlock.providers.wire.exchange import FormatName, Head, ResultIn
from interlock.providers.wire.model import ToolCall
from interlock.providers.wire.relay.exact import elements, loads
from interlock.providers.wire.relay.items import call_of
from interlock.providers.wire.relay.offered import OfferedCache, responses_implied, responses_tools
from interlock.providers.wire.relay.peek import (
    ABSENT,
    boolean,
    decode,
    dual_only,
    joined,
    need_text,
    open_body,
    text,
    unambiguous,
)
from interlock.providers.wire.relay.peek_chat import user_ref

__all__ = ["ResponsesClient"]

_QUOTE = 0x22
_OUTPUTS = frozenset(
    {
        "apply_patch_call_output",
        "computer_call_output",
        "custom_tool_call_output",
        "function_call_output",
        "local_shell_call_output",
        "shell_call_output",
        "tool_search_output",
    }
)
_NOTHING = b"null"


class _Item(Struct):
    type: str | None = None
    role: str | None = None
    call_id: str | None = None
    id: str | None = None


class _Output(Struct):
    call_id: str | None = None
    id: str | None = None
    output: Raw = ABSENT
    status: str | None = None


class _Ran(Struct):
    stdout: str | None = None
    stderr: str | None = None


class _Conversation(Struct):
    id: str


_items = msgspec.json.Decoder(list[_Item])
_output = msgspec.json.Decoder(_Output)
_ran = msgspec.json.Decoder(list[_Ran])
_conversation = msgspec.json.Decoder(str | _Conversation | None)


class ResponsesClient:
    """The client side of Responses."""

    name: FormatName = "responses"

    def __init__(self) -> None:
        self._tools = OfferedCache(responses_tools)

    def peek(self, body: bytes) -> Head:
        """See `Client.peek`."""
        opened = open_body(body)
        model = need_text(opened, "model")
        if boolean(opened, "background", default=False):
            raise InvalidRequestError(
                "`background` responses are not supported", param="background"
            )
        previous = text(opened, "previous_response_id")
        conversation = _read_conversation(opened.get("conversation"))
        listed = opened.get("input")
        if listed is not None and bytes(listed) == _NOTHING:
            listed = None
        if listed is None and not (previous or conversation or "prompt" in opened):
            raise InvalidRequestError("`input` is missing", param="input")
        history, results, called, new_user = _read_input(listed)
        return Head(
            format="responses",
            model=model,
            stream=boolean(opened, "stream", default=False),
            body=body,
            tools=self._tools(opened.get("tools")),
            implied=responses_implied(opened),
            results=results,
            called=called,
            new_user_message=new_user,
            has_history=history,
            previous_response_id=previous,
            conversation=conversation,
            user_ref=user_ref(opened),
            store=boolean(opened, "store", default=True),
            parallel=boolean(opened, "parallel_tool_calls", default=True),
            dual_only=dual_only(opened),
        )


def _read_conversation(value: Raw | None) -> str | None:
    if value is None:
        return None
    read: Any = decode(_conversation, value, "conversation")
    return read.id if isinstance(read, _Conversation) else read


def _read_input(listed: Raw | None) -> tuple[bool, list[ResultIn], list[str], bool]:
    """Whether there is history, the outputs after it, the calls they answer, a user after them."""
    if listed is None or memoryview(listed)[0] == _QUOTE:
        return False, [], [], True
    items = decode(_items, listed, "input")
    found: list[int] = []
    new_user = False
    history = False
    for i in range(len(items) - 1, -1, -1):
        kind = items[i].type
        if kind in _OUTPUTS:
            found.append(i)
        elif kind in (None, "message"):
            if items[i].role == "assistant":
                history = True
                break
            if items[i].role == "user" and not found:
                new_user = True
        elif kind == "reasoning" or (kind or "").endswith(("_call", "_request")):
            history = True
            break
        else:
            history = True
    if not found:
        return history, [], [], True
    opened = elements(listed)
    results = [_read_output(opened[i], items[i].type or "", f"input[{i}]") for i in reversed(found)]
    wanted = {result.call_id for result in results}
    calls = _read_calls(items, opened, min(found), wanted)
    if calls:
        results = [_of_call(result, calls.get(result.call_id)) for result in results]
    return True, results, _called(items, min(found)), new_user


def _called(items: list[_Item], before: int) -> list[str]:
    """Ids of the calls among the model's last items, which stand `before` their results."""
    called: list[str] = []
    for i in range(before - 1, -1, -1):
        item = items[i]
        kind = item.type or "message"
        if kind in _OUTPUTS or (kind == "message" and item.role != "assistant"):
            break
        call_id = item.call_id or item.id
        if kind.endswith("_call") and call_id:
            called.append(call_id)
    return called[::-1]


def _read_calls(
    items: list[_Item], opened: list[Raw], before: int, wanted: set[str]
) -> dict[str, ToolCall]:
    """The calls with the `wanted` ids among the items `before` their results."""
    calls: dict[str, ToolCall] = {}
    for i in range(before - 1, -1, -1):
        kind = items[i].type or "message"
        if len(calls) == len(wanted) or kind in _OUTPUTS:
            break
        call_id = items[i].call_id or items[i].id
        if call_id in wanted and kind.endswith("_call"):
            unambiguous(opened[i], f"input[{i}]")
            tree: Any = loads(opened[i])
            calls[call_id] = call_of(tree)
    return calls


def _of_call(result: ResultIn, call: ToolCall | None) -> ResultIn:
    if call is None:
        return result
    return msgspec.structs.replace(result, tool=call.qualified, arguments=call.arguments)


def _read_output(item: Raw, kind: str, path: str) -> ResultIn:
    unambiguous(item, path)
    read = decode(_output, item, path)
    call_id = read.call_id or (read.id if kind == "local_shell_call_output" else None)
    if not call_id:
        raise InvalidRequestError(f"`{path}.call_id` is missing", param=f"{path}.call_id")
    at = f"{path}.output"
    if kind == "shell_call_output" and read.output is not ABSENT:
        ran = decode(_ran, read.output, at)
        said = "\n".join(t for r in ran for t in (r.stdout, r.stderr) if t)
    elif kind in ("computer_call_output", "tool_search_output"):
        said = ""
    else:
        said = joined(read.output, at)
    return ResultIn(call_id=call_id, text=said, is_error=read.status == "failed")
