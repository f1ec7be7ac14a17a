"""Tools as a request offers them, read once per distinct list.

Agents send the same tens of kilobytes of definitions with every request, so lists
are kept by their bytes, oldest out first, within a fixed budget.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msgspec import Raw, json

from interlock.providers.wire.errors import InvalidRequestError
from interlock.providers.wire.exchange import OfferedTool
from interlock.providers.wire.relay.exact import JSON_ERRORS, DuplicateMemberError, loads

__all__ = [
    "LOCAL_TOOLS",
    "OfferedCache",
    "chat_functions",
    "chat_implied",
    "chat_tools",
    "messages_implied",
    "messages_tools",
    "responses_implied",
    "responses_tools",
]

Tree = dict[str, Any]

LOCAL_TOOLS = {
    "local_shell": "local_shell",
    "shell": "shell",
    "apply_patch": "apply_patch",
    "computer": "computer",
    "computer_use_preview": "computer",
    "tool_search": "tool_search",
}
"""Responses: nameless tools the client runs, by their type; the name a policy sees."""

LOCAL_MESSAGES_TOOLS = ("bash_", "text_editor_", "computer_", "memory_")
"""Messages: beginnings of the types whose tools the client runs; all others are hosted."""


class OfferedCache:
    """Parsed tool lists by their bytes; bounded by the size of what they were read from."""

    __slots__ = ("_known", "_limit", "_read", "_size")

    def __init__(
        self, read: Callable[[list[Any]], Sequence[OfferedTool]], *, limit_bytes: int = 4 << 20
    ) -> None:
        self._read = read
        self._limit = limit_bytes
        self._size = 0
        self._known: OrderedDict[bytes, tuple[OfferedTool, ...]] = OrderedDict()

    def __call__(self, text: Raw | None, name: str = "tools") -> tuple[OfferedTool, ...]:
        """The tools of member `name`. Raises `InvalidRequestError`."""
        if text is None:
            return ()
        key = bytes(text)
        known = self._known.get(key)
        if known is not None:
            self._known.move_to_end(key)
            return known
        found = self._open(key, name)
        # A single list may use a quarter of the budget: one caller's giant list must not
        # push everybody else's out.
        if found and len(key) <= self._limit // 4:
            self._known[key] = found
            self._size += len(key)
            while self._size > self._limit:
                oldest, _ = self._known.popitem(last=False)
                self._size -= len(oldest)
        return found

    def _open(self, text: bytes, name: str) -> tuple[OfferedTool, ...]:
        try:
            loads(text)  # refuses duplicates: the upstream must offer what we pin
            tree = json.decode(text)
        except DuplicateMemberError as error:
            raise InvalidRequestError(f"`{name}`: {error}", param=name) from error
        except JSON_ERRORS as error:
            raise InvalidRequestError(f"`{name}` is not valid JSON", param=name) from error
        if tree is None:
            return ()
        if not isinstance(tree, list):
            raise InvalidRequestError(f"`{name}` must be an array", param=name)
        return tuple(self._read(tree))


def chat_tools(tools: list[Any]) -> list[OfferedTool]:
    """`tools` of Chat Completions: functions, custom tools, the provider's own."""
    found = []
    for i, tool in enumerate(tools):
        at = f"tools[{i}]"
        kind = _text(_object(tool, at), "type", at)
        if kind in ("function", "custom"):
            inner = _object(tool.get(kind), f"{at}.{kind}")
            found.append(_function(inner, f"{at}.{kind}", kind=kind))
        else:
            found.append(OfferedTool(name=kind, kind=kind, hosted=True))
    return found


def chat_functions(functions: list[Any]) -> list[OfferedTool]:
    """`functions`, the deprecated form of `tools`."""
    return [
        _function(_object(f, f"functions[{i}]"), f"functions[{i}]") for i, f in enumerate(functions)
    ]


def messages_tools(tools: list[Any]) -> list[OfferedTool]:
    """`tools` of Messages: the caller's (no type, or `custom`) and those by type."""
    found = []
    for i, tool in enumerate(tools):
        at = f"tools[{i}]"
        kind = _object(tool, at).get("type")
        if kind is None or kind == "custom":
            found.append(_function(tool, at, schema="input_schema"))
            continue
        if not isinstance(kind, str):
            raise InvalidRequestError(f"`{at}.type` must be a string", param=f"{at}.type")
        name = tool.get("name") or tool.get("mcp_server_name") or kind
        if not isinstance(name, str):
            raise InvalidRequestError(f"`{at}.name` must be a string", param=f"{at}.name")
        local = kind.startswith(LOCAL_MESSAGES_TOOLS)
        found.append(OfferedTool(name=name, kind=kind, hosted=not local))
    return found


def responses_tools(tools: list[Any]) -> list[OfferedTool]:
    """`tools` of Responses; functions of a namespace are `<namespace>.<name>`."""
    found = []
    for i, tool in enumerate(tools):
        at = f"tools[{i}]"
        kind = _text(_object(tool, at), "type", at)
        if kind in ("function", "custom"):
            found.append(_function(tool, at, kind=kind))
        elif kind == "namespace":
            space = _text(tool, "name", at)
            inner = tool.get("tools")
            if not isinstance(inner, list):
                raise InvalidRequestError(f"`{at}.tools` must be an array", param=f"{at}.tools")
            for j, one in enumerate(inner):
                path = f"{at}.tools[{j}]"
                inner_kind = _object(one, path).get("type") or "function"
                found.append(_function(one, path, kind=str(inner_kind), prefix=f"{space}."))
        elif kind == "mcp":
            found += _mcp_tools(tool)
        else:
            name = LOCAL_TOOLS.get(kind, kind)
            found.append(OfferedTool(name=name, kind=kind, hosted=kind not in LOCAL_TOOLS))
    return found


def _mcp_tools(tool: Tree) -> list[OfferedTool]:
    """An MCP server, and those of its tools that are known to run without being asked for.

    A call that needs an approval comes to the client and is decided as `<label>.<tool>`;
    one that does not never comes, so its offer is decided under that name.
    """
    label = tool.get("server_label")
    server = OfferedTool(name=label if isinstance(label, str) else "mcp", kind="mcp", hosted=True)
    approval = tool.get("require_approval")
    if approval in (None, "always"):
        return [server]
    exempt = approval.get("never") if isinstance(approval, dict) else tool.get("allowed_tools")
    if isinstance(exempt, dict):
        exempt = exempt.get("tool_names")
    names = [name for name in exempt if isinstance(name, str)] if isinstance(exempt, list) else []
    inner = [OfferedTool(name=f"{server.name}.{n}", kind="mcp", hosted=True) for n in names]
    return [server, *inner]


def chat_implied(opened: Mapping[str, Raw], model: str) -> list[OfferedTool]:
    """Tools that other members of Chat Completions switch on: web search, plugins.

    A model name that ends in `:online` is OpenRouter's other way to ask for its plugin.
    """
    found = []
    if _given(opened, "web_search_options"):
        found.append(_hosted("web_search", "web_search_options"))
    found += [_hosted(name, "plugins") for name in _named(opened, "plugins", "id")]
    if model.endswith(":online"):
        found.append(_hosted("web", "plugins"))
    return found


def messages_implied(opened: Mapping[str, Raw]) -> list[OfferedTool]:
    """MCP servers of Messages; an older form of the feature offers all their tools."""
    return [_hosted(name, "mcp_toolset") for name in _named(opened, "mcp_servers", "name")]


def responses_implied(opened: Mapping[str, Raw]) -> list[OfferedTool]:
    """A prompt stored at the provider, which may bring tools that nobody here has seen."""
    return [_hosted("prompt", "prompt")] if _given(opened, "prompt") else []


def _hosted(name: str, kind: str) -> OfferedTool:
    return OfferedTool(name=name, kind=kind, hosted=True)


def _given(opened: Mapping[str, Raw], member: str) -> bool:
    return member in opened and bytes(opened[member]) != b"null"


def _named(opened: Mapping[str, Raw], member: str, name: str) -> list[str]:
    """What the entries of a list call themselves; the member's name for what has none."""
    if not _given(opened, member):
        return []
    try:
        entries = loads(opened[member])
    except JSON_ERRORS as error:
        raise InvalidRequestError(f"`{member}`: {error}", param=member) from error
    if not isinstance(entries, list):
        raise InvalidRequestError(f"`{member}` must be an array", param=member)
    given = [entry.get(name) if isinstance(entry, dict) else None for entry in entries]
    return [one if isinstance(one, str) and one else member for one in given]


def _function(
    tool: Tree, at: str, *, kind: str = "function", schema: str = "parameters", prefix: str = ""
) -> OfferedTool:
    name = _text(tool, "name", at)
    description = tool.get("description")
    if description is not None and not isinstance(description, str):
        path = f"{at}.description"
        raise InvalidRequestError(f"`{path}` must be a string", param=path)
    parameters = tool.get(schema)
    if parameters is not None and not isinstance(parameters, dict):
        path = f"{at}.{schema}"
        raise InvalidRequestError(f"`{path}` must be an object", param=path)
    return OfferedTool(
        name=prefix + name, kind=kind, description=description or "", schema=parameters or {}
    )


def _object(value: object, at: str) -> Tree:
    if isinstance(value, dict):
        return value
    raise InvalidRequestError(f"`{at}` must be an object", param=at)


def _text(tree: Tree, name: str, at: str) -> str:
    value = tree.get(name)
    if isinstance(value, str) and value:
        return value
    path = f"{at}.{name}"
    raise InvalidRequestError(f"`{path}` must be a non-empty string", param=path)
