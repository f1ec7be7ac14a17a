"""The tools a request lets the demo model use: offered ones, or signatures in a prompt.

Planner and policy prompts show tools as Python signatures, one per line::

    def send_email(to: str, subject: str = "", body: str = ""):
        '''Sends a message to somebody.'''

`def`, a name and the parameters are needed; types default to `str`, a default value
makes a parameter optional, and a docstring or `#` comment below or behind is the description.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from interlock.providers.wire.model import ToolDef

__all__ = ["Parameter", "Tool", "known_tools"]

_SIGNATURE = re.compile(
    r"^[ \t]*(?:async )?def (\w{1,128})\(([^\n]{0,4000})\)[ \t]*(?:->[^:\n]{0,200})?:?[^\n\"#]*"
    r"(?:#[ \t]*([^\n]*)|(?:\n[ \t]*)?(?:\"\"\"(.{0,4000}?)\"\"\"|'''(.{0,4000}?)'''))?",
    re.MULTILINE | re.DOTALL,
)
_TYPES = {"int": "integer", "float": "number", "bool": "boolean", "list": "array", "dict": "object"}


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a tool, in order; `kind` is its JSON schema type."""

    name: str
    kind: str
    required: bool


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool as a planner knows it."""

    name: str
    description: str
    parameters: tuple[Parameter, ...]


def known_tools(offered: Sequence[ToolDef], prompt: str) -> list[Tool]:
    """The offered tools, then those a prompt has signatures of; the first of a name counts."""
    tools = {tool.qualified: _from_definition(tool) for tool in offered}
    for match in _SIGNATURE.finditer(prompt):
        name, parameters, comment, *docs = match.groups()
        about = next(filter(None, (comment, *docs)), "").strip()
        tools.setdefault(name, Tool(name, about, tuple(_parameters(parameters))))
    return list(tools.values())


def _from_definition(tool: ToolDef) -> Tool:
    properties = tool.schema.get("properties")
    required = tool.schema.get("required")
    wanted = set(required) if isinstance(required, list) else set()
    parameters = []
    for name, schema in properties.items() if isinstance(properties, dict) else ():
        kind = schema.get("type") if isinstance(schema, dict) else None
        parameters.append(
            Parameter(name, kind if isinstance(kind, str) else "string", name in wanted)
        )
    return Tool(tool.qualified, tool.description or "", tuple(parameters))


def _parameters(text: str) -> list[Parameter]:
    found = []
    for piece in _split(text):
        head, default, _ = piece.partition("=")
        name, _, kind = head.partition(":")
        name = name.strip().lstrip("*")
        if name.isidentifier() and name != "self":
            base = kind.strip().split("[")[0].split("|")[0].strip().lower()
            optional = bool(default) or "None" in kind or "Optional" in kind
            found.append(Parameter(name, _TYPES.get(base, "string"), not optional))
    return found


def _split(text: str) -> list[str]:
    """Pieces between commas that stand outside brackets."""
    pieces, depth, current = [], 0, ""
    for char in text:
        depth += (char in "([{") - (char in ")]}")
        if char == "," and depth == 0:
            pieces.append(current)
            current = ""
        else:
            current += char
    return [*pieces, current]
