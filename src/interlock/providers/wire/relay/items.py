"""Items of Responses: which ones ask the client to act, and how such a call is answered.

An item is a call to decide when the *client* would run it: functions and custom
tools, and the provider's tools whose hands are the client's (a local shell, a patch,
a computer). Items the provider has run already (web search, code interpreter, MCP)
are content and pass. An item of a type nobody knew when this was written is a call
when its type ends like one: an unknown action is never let through undecided.
"""

from collections.abc import Mapping
from typing import Any

from interlock.providers.wire.model import ToolCall
from interlock.providers.wire.relay.calls import object_of
from interlock.providers.wire.relay.exact import dumps, text_of

__all__ = [
    "call_of",
    "denied_output",
    "is_call",
    "item_for",
    "with_arguments",
    "with_call_id",
]

Tree = dict[str, Any]

_PROVIDER_RUN = frozenset(
    {
        "code_interpreter_call",
        "file_search_call",
        "image_generation_call",
        "mcp_call",
        "web_search_call",
    }
)
_PAYLOADS: Mapping[str, tuple[str, str]] = {
    "local_shell_call": ("local_shell", "action"),
    "shell_call": ("shell", "action"),
    "apply_patch_call": ("apply_patch", "operation"),
    "tool_search_call": ("tool_search", "arguments"),
}
"""Type -> name a policy sees, member that holds the arguments."""

_OWN_ID = frozenset({"mcp_approval_request"})
"""Calls known by the item's own id, which the client sends back as it is."""

_BLANK = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk"
    "+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
"""One transparent pixel: a computer call can only be answered with a picture."""


def is_call(item: Mapping[str, Any]) -> bool:
    """Whether the client would run this item."""
    kind = item.get("type")
    if not isinstance(kind, str):
        return False
    match kind:
        case "function_call" | "custom_tool_call" | "mcp_approval_request":
            return True
        case "tool_search_call":
            return item.get("execution") != "server"
        case "shell_call":
            where = item.get("environment")
            return not (isinstance(where, dict) and where.get("type") == "container_reference")
        case _:
            return kind.endswith(("_call", "_tool_use")) and kind not in _PROVIDER_RUN


def call_of(item: Mapping[str, Any]) -> ToolCall:
    """The call an item asks for; `item` satisfies `is_call`."""
    kind = str(item["type"])
    call_id = item.get("id") if kind in _OWN_ID else item.get("call_id") or item.get("id")
    name, arguments = _described(kind, item)
    return ToolCall(
        id=text_of(call_id),
        name=name,
        arguments=arguments,
        namespace=text_of(item.get("namespace")) or None,
        item_id=text_of(item.get("id")) or None,
    )


def _described(kind: str, item: Mapping[str, Any]) -> tuple[str, str]:
    """The name a policy sees and the arguments as JSON text of an object."""
    name = text_of(item.get("name"))
    if kind == "function_call":
        arguments = item.get("arguments")
        return name, _text(arguments)
    if kind == "custom_tool_call":
        return name, _text({"input": item.get("input")})
    if kind == "mcp_approval_request":
        return f"{text_of(item.get('server_label'))}.{name}", _text(item.get("arguments"))
    if kind == "computer_call":
        action = item.get("action")
        return "computer", _text(action if action else {"actions": item.get("actions")})
    if kind in _PAYLOADS:
        known, member = _PAYLOADS[kind]
        return known, _text(item.get(member))
    rest = {k: v for k, v in item.items() if k not in ("type", "id", "call_id", "status", "name")}
    return name or kind.removesuffix("_call").removesuffix("_tool_use"), _text(rest)


def _text(value: object) -> str:
    """JSON text of arguments, which may be such a text already."""
    if isinstance(value, str):
        return text_of(value) or "{}"
    return dumps({} if value is None else value).decode()


def with_call_id(item: Mapping[str, Any], call_id: str) -> Tree:
    """`item` under another call id."""
    tree = dict(item)
    if tree.get("type") in _OWN_ID:
        return tree
    if "call_id" in tree or "id" not in tree:
        tree["call_id"] = call_id
    else:
        tree["id"] = call_id
    return tree


def with_arguments(item: Mapping[str, Any], arguments: str) -> Tree:
    """`item` with other arguments, given as `call_of` tells them."""
    tree = dict(item)
    kind = str(tree.get("type"))
    match kind:
        case "custom_tool_call":
            found = object_of(arguments).get("input")
            tree["input"] = found if isinstance(found, str) else arguments
        case "computer_call":
            tree |= _actions(object_of(arguments))
        case _ if kind in _PAYLOADS:
            tree[_PAYLOADS[kind][1]] = object_of(arguments)
        case _:
            tree["arguments"] = arguments
    return tree


def _actions(arguments: Tree) -> Tree:
    """Arguments of a computer call as its members: one action, or a batch."""
    if "actions" in arguments:
        return {"actions": arguments["actions"]}
    return {"action": arguments}


def item_for(call: ToolCall, kind: str) -> Tree:
    """An item that asks for `call`, of the kind its tool was offered as."""
    tree: Tree = {"type": "function_call", "call_id": call.id}
    match kind:
        case "custom":
            tree |= {"type": "custom_tool_call", "name": call.name}
            found = object_of(call.arguments).get("input")
            tree["input"] = found if isinstance(found, str) else call.arguments
        case "local_shell" | "shell" | "apply_patch":
            tree["type"] = f"{kind}_call"
            member = _PAYLOADS[f"{kind}_call"][1]
            tree |= {member: object_of(call.arguments), "status": "completed"}
        case "computer" | "computer_use_preview":
            tree |= {"type": "computer_call", "status": "completed", "pending_safety_checks": []}
            tree |= _actions(object_of(call.arguments))
        case "mcp":
            label, _, name = call.name.partition(".")
            tree = {"type": "mcp_approval_request", "id": call.id, "server_label": label}
            return {**tree, "name": name, "arguments": call.arguments or "{}"}
        case _:
            tree |= {"name": call.name, "arguments": call.arguments or "{}"}
    if call.namespace and "name" in tree:
        tree["namespace"] = call.namespace
    return tree


def denied_output(item: Mapping[str, Any], call_id: str, denial: str) -> list[Tree]:
    """Items that answer the call `item` with the reason why it was not run."""
    match item.get("type"):
        case "custom_tool_call":
            return [{"type": "custom_tool_call_output", "call_id": call_id, "output": denial}]
        case "local_shell_call":
            return [{"type": "local_shell_call_output", "id": call_id, "output": denial}]
        case "shell_call":
            failed = {"type": "exit", "exit_code": 126}
            output = [{"stdout": "", "stderr": denial, "outcome": failed}]
            return [{"type": "shell_call_output", "call_id": call_id, "output": output}]
        case "apply_patch_call":
            kind = "apply_patch_call_output"
            return [{"type": kind, "call_id": call_id, "status": "failed", "output": denial}]
        case "computer_call":
            picture = {"type": "computer_screenshot", "image_url": _BLANK}
            said = {"type": "input_text", "text": denial}
            return [
                {"type": "computer_call_output", "call_id": call_id, "output": picture},
                {"type": "message", "role": "developer", "content": [said]},
            ]
        case "mcp_approval_request":
            answer = {"approval_request_id": call_id, "approve": False, "reason": denial}
            return [{"type": "mcp_approval_response", **answer}]
        case "tool_search_call":
            told = {"call_id": call_id, "execution": "client", "status": "completed"}
            return [{"type": "tool_search_output", **told, "tools": []}]
        case _:
            return [{"type": "function_call_output", "call_id": call_id, "output": denial}]
