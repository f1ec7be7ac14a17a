"""Tools as a policy writer needs to know them: exact names, arguments, types.

A tool's `listing` is what stands in the prompt::

    tool "send_email": Sends a message.
      to: string - address of the recipient
      amount: number (optional)

Descriptions are brought onto one line, so that nothing in them can look like a tool.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from interlock.policy.syntax.strings import encode_text

__all__ = ["INTERNAL_SIGNATURES", "Parameter", "ToolSignature", "listing", "signature"]

_NAME = re.compile(r"[^\W\d]\w*", re.ASCII)
_DESCRIPTION_CHARS = 1000
_PARAMETER_CHARS = 300
_PARAMETERS = 100
_CHOICES = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """An argument of a tool."""

    name: str
    kind: str = "any"
    """JSON schema type; several joined by `|`."""
    required: bool = False
    choices: tuple[str, ...] = ()
    """Values of an `enum`, as JSON texts or plain strings."""
    description: str = ""

    @property
    def can_be_named(self) -> bool:
        """Whether a policy can speak of it: `x-y` is no name in the language."""
        return _NAME.fullmatch(self.name) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolSignature:
    """A tool that exists."""

    name: str
    """As policies name it, with its namespace."""
    description: str = ""
    parameters: tuple[Parameter, ...] | None = ()
    """None: nobody knows its arguments, so any may be named."""

    @property
    def arguments(self) -> frozenset[str] | None:
        """Names of the arguments; None: not known."""
        if self.parameters is None:
            return None
        return frozenset(parameter.name for parameter in self.parameters)


def signature(name: str, description: str | None, schema: Mapping[str, object]) -> ToolSignature:
    """The signature behind a JSON schema of arguments.

    A schema that says nothing about its members (no `properties` and no word that there
    are none) leaves the arguments unknown; so do schemas that combine others.
    """
    properties = schema.get("properties")
    open_ended = any(word in schema for word in ("$ref", "allOf", "anyOf", "oneOf"))
    if open_ended or (schema and not isinstance(properties, Mapping)):
        known = None if open_ended or schema.get("additionalProperties") is not False else ()
        return ToolSignature(name=name, description=description or "", parameters=known)
    required = schema.get("required")
    wanted = set(required) if isinstance(required, list) else set()
    members = properties if isinstance(properties, Mapping) else {}
    return ToolSignature(
        name=name,
        description=description or "",
        parameters=tuple(
            _parameter(str(key), member, key in wanted) for key, member in members.items()
        ),
    )


def _parameter(name: str, schema: object, required: bool) -> Parameter:
    if not isinstance(schema, Mapping):
        return Parameter(name=name, required=required)
    choices = schema.get("enum")
    about = schema.get("description")
    return Parameter(
        name=name,
        kind=_kind(schema),
        required=required,
        choices=tuple(str(item) for item in choices[:_CHOICES])
        if isinstance(choices, list)
        else (),
        description=about if isinstance(about, str) else "",
    )


def _kind(schema: Mapping[str, object]) -> str:
    given = schema.get("type")
    if isinstance(given, str):
        return given
    if isinstance(given, list):
        named = [item for item in given if isinstance(item, str) and item != "null"]
        return "|".join(named) or "any"
    for word in ("anyOf", "oneOf"):
        parts = schema.get(word)
        if isinstance(parts, list):
            kinds = [_kind(part) for part in parts if isinstance(part, Mapping)]
            kinds = [kind for kind in dict.fromkeys(kinds) if kind not in {"null", "any"}]
            return "|".join(kinds) or "any"
    return "any"


def listing(tools: Sequence[ToolSignature]) -> str:
    """The tools as the prompt shows them."""
    return "\n".join(line for tool in tools for line in _lines(tool)) or "(no tool is declared)"


def _lines(tool: ToolSignature) -> list[str]:
    about = _one_line(tool.description, _DESCRIPTION_CHARS)
    lines = [f'tool "{encode_text(tool.name)}"' + (f": {about}" if about else "")]
    if tool.parameters is None:
        return [*lines, "  (its arguments are not known)"]
    for parameter in tool.parameters[:_PARAMETERS]:
        if parameter.can_be_named:
            lines.append(_argument(parameter))
    hidden = len(tool.parameters) - len(lines) + 1
    if hidden:
        lines.append(f"  (and {hidden} more, which a policy cannot name)")
    return lines


def _argument(parameter: Parameter) -> str:
    text = f"  {parameter.name}: {parameter.kind}"
    if not parameter.required:
        text += " (optional)"
    if parameter.choices:
        text += " one of " + ", ".join(f'"{_one_line(c, 80)}"' for c in parameter.choices)
    about = _one_line(parameter.description, _PARAMETER_CHARS)
    return f"{text} - {about}" if about else text


def _one_line(text: str, limit: int) -> str:
    text = " ".join(text.split())
    return text if len(text) <= limit else f"{text[:limit]}..."


INTERNAL_SIGNATURES: Mapping[str, ToolSignature] = {
    tool.name: tool
    for tool in (
        ToolSignature(
            name="parse_with_ai",
            description="Reads untrusted text with a quarantined model that has no tools.",
            parameters=(
                Parameter(name="query", kind="string", required=True),
                Parameter(name="output_schema", kind="object", required=True),
            ),
        ),
        ToolSignature(
            name="verify_hypothesis",
            description="A quarantined model judges whether a statement holds.",
            parameters=(
                Parameter(name="hypothesis", kind="string", required=True),
                Parameter(name="context", kind="object", required=True),
            ),
        ),
        ToolSignature(
            name="set_policy",
            description="Adds rules that restrict the rest of the session.",
            parameters=(Parameter(name="code", kind="string", required=True),),
        ),
        ToolSignature(
            name="complete_turn",
            description="Ends the turn with a value.",
            parameters=(Parameter(name="value", required=True),),
        ),
    )
}
"""The gateway's own tools (gateway.md, 10.6)."""
