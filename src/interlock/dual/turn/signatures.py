"""Tools as programs and prompts name them: identifiers and typed Python signatures.

Source: gateway.md 10.4 (names, positional arguments), 10.6 (internal tools).
"""

import json
import keyword
import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from interlock.dual.turn.config import InternalToolName
from interlock.dual.turn.model import ToolSpec

__all__ = ["INTERNAL", "Bound", "InternalTool", "bind", "identifier", "internal_listing", "listing"]

_DESCRIPTION_CHARS: Final = 4_000
_PARAMETER_CHARS: Final = 500
_TYPE_DEPTH: Final = 4
_TYPES: Final[Mapping[str, str]] = {
    "string": "str",
    "integer": "int",
    "number": "float",
    "boolean": "bool",
    "array": "list",
    "object": "dict",
    "null": "None",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class InternalTool:
    """A tool the server itself runs."""

    name: InternalToolName
    params: tuple[str, ...]
    signature: str
    about: str


INTERNAL: Final[Mapping[InternalToolName, InternalTool]] = {
    tool.name: tool
    for tool in (
        InternalTool(
            name="parse_with_ai",
            params=("query", "output_schema"),
            signature="parse_with_ai(query: str, output_schema: dict) -> dict",
            about="a model without tools reads the text in `query`, which holds the question and "
            "the data, and answers a dict valid against the JSON Schema `output_schema` (of an "
            "object; a pydantic class's `.model_json_schema()` will do). The dict has "
            "`have_enough_info: bool`. Raises ValueError when no valid answer comes",
        ),
        InternalTool(
            name="verify_hypothesis",
            params=("hypothesis", "context"),
            signature="verify_hypothesis(hypothesis: str, context: dict) -> bool",
            about="a model without tools says whether the context supports the statement",
        ),
        InternalTool(
            name="set_policy",
            params=("code",),
            signature="set_policy(code: str) -> None",
            about="adds SQRT rules for the rest of the session; only rules that restrict are "
            "accepted, others raise ValueError",
        ),
        InternalTool(
            name="complete_turn",
            params=("value",),
            signature="complete_turn(value) -> None",
            about="ends the whole turn at once with this value as the answer",
        ),
    )
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """An external tool under the name programs use."""

    name: str
    spec: ToolSpec

    @property
    def params(self) -> tuple[str, ...]:
        """Argument names in the order of the schema."""
        properties = self.spec.schema.get("properties")
        return tuple(map(str, properties)) if isinstance(properties, Mapping) else ()

    @property
    def required(self) -> frozenset[str]:
        """Arguments that must be given."""
        wanted = self.spec.schema.get("required")
        names = wanted if isinstance(wanted, list) else []
        return frozenset(name for name in names if isinstance(name, str))


def identifier(name: str) -> str:
    """A tool's name as a program writes it."""
    text = re.sub(r"\W", "_", unicodedata.normalize("NFKC", name)) or "_"
    if text[0].isdigit():
        text = f"_{text}"
    return f"{text}_" if keyword.iskeyword(text) else text


def bind(tools: Iterable[ToolSpec], taken: Collection[str] = ()) -> tuple[Bound, ...]:
    """Tools under unique identifiers; of two with the same name the first counts."""
    used = set(taken)
    seen: set[str] = set()
    bound = []
    for spec in tools:
        if spec.name in seen:
            continue
        seen.add(spec.name)
        base = name = identifier(spec.name)
        number = 2
        while name in used:
            name, number = f"{base}_{number}", number + 1
        used.add(name)
        bound.append(Bound(name=name, spec=spec))
    return tuple(bound)


def listing(tools: Sequence[Bound]) -> str:
    """The tools as typed Python signatures with docstrings."""
    return "\n\n".join(_signature(tool) for tool in tools) or "(There are no tools.)"


def internal_listing(names: Sequence[InternalToolName]) -> str:
    """The internal tools, one per line."""
    return "\n".join(f"- `{INTERNAL[name].signature}`: {INTERNAL[name].about}." for name in names)


def _signature(tool: Bound) -> str:
    schema = tool.spec.schema
    properties = schema.get("properties")
    members = properties if isinstance(properties, Mapping) else {}
    parameters = []
    notes = []
    for name, member in members.items():
        optional = "" if name in tool.required else " = None"
        parameters.append(f"{name}: {_type(member)}{optional}")
        about = member.get("description") if isinstance(member, Mapping) else None
        if isinstance(about, str) and about.strip():
            notes.append(f"{name}: {_line(about, _PARAMETER_CHARS)}")
    returns = _type(tool.spec.output_schema) if tool.spec.output_schema else "Any"
    lines = [f"def {tool.name}({', '.join(parameters)}) -> {returns}:"]
    about = tool.spec.description.strip()[:_DESCRIPTION_CHARS] or "No description."
    described = about if not notes else "\n".join([about, "", *notes])
    quoted = described.replace('"""', "'''").replace("\\", "\\\\")
    lines += [
        f'    """{quoted.splitlines()[0]}',
        *(f"    {one}" for one in quoted.splitlines()[1:]),
    ]
    return "\n".join(line.rstrip() for line in lines) + '"""'


def _line(text: str, limit: int) -> str:
    return " ".join(text.split())[:limit]


def _type(schema: object, depth: int = 0) -> str:
    """A type hint for a JSON Schema, as close as one line allows."""
    if not isinstance(schema, Mapping) or depth > _TYPE_DEPTH:
        return "Any"
    members = schema.get("enum")
    if isinstance(members, list) and 0 < len(members) <= 20:
        return f"Literal[{', '.join(_literal(one) for one in members)}]"
    options = schema.get("anyOf") or schema.get("oneOf")
    if isinstance(options, list) and options:
        return " | ".join(dict.fromkeys(_type(one, depth + 1) for one in options))
    kind = schema.get("type")
    if isinstance(kind, list):
        parts = [_type({**schema, "type": one}, depth + 1) for one in kind]
        return " | ".join(dict.fromkeys(parts)) or "Any"
    return _plain_type(kind, schema, depth)


def _plain_type(kind: object, schema: Mapping[str, Any], depth: int) -> str:
    if kind == "array":
        return f"list[{_type(schema.get('items'), depth + 1)}]"
    properties = schema.get("properties")
    if kind == "object" and isinstance(properties, Mapping) and properties and depth:
        inner = ", ".join(
            f"{json.dumps(str(name))}: {_type(one, depth + 1)}" for name, one in properties.items()
        )
        return f"{{{inner}}}"
    return _TYPES.get(kind, "Any") if isinstance(kind, str) else "Any"


def _literal(value: object) -> str:
    return repr(value) if isinstance(value, str | int | float | bool) else json.dumps(value)
