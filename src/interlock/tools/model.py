"""What a deterministic tool is: same name, version and arguments, byte-identical output.

No clock, randomness, network, files, environment or model calls; whatever depends on the
time takes the time as an argument.

Source: conversations.md section 13.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from interlock.kernel.errors import ErrorKind, InterlockError

__all__ = ["Example", "Tool", "ToolFailure", "UnknownToolError", "schema"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A call and what it gives; every one is run by a test."""

    arguments: Mapping[str, Any]
    output: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """A tool as it is listed, and the function behind it."""

    name: str
    """`[a-z][a-z0-9_]{0,63}`: usable as a function name with all providers."""
    title: str
    description: str
    category: str
    input_schema: Mapping[str, Any]
    """JSON Schema 2020-12."""
    output_schema: Mapping[str, Any]
    examples: tuple[Example, ...]
    run: Callable[[Mapping[str, Any]], dict[str, Any]]
    """Arguments that match the schema to output. Raises ToolFailure."""
    version: str = "1"
    timeout_ms: int = 1000


class ToolFailure(Exception):  # noqa: N818 - an outcome of a tool, not an error of the server
    """The tool cannot answer for these arguments, e.g. a division by zero."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class UnknownToolError(InterlockError):
    """No tool of that name."""

    kind: ClassVar[ErrorKind] = ErrorKind.NOT_FOUND
    code: ClassVar[str] = "not_found"

    def __init__(self, name: str) -> None:
        super().__init__(f"tool `{name[:64]}` does not exist")


def schema(required: tuple[str, ...] = (), /, **properties: Any) -> dict[str, Any]:  # noqa: ANN401 - a schema holds anything
    """The schema of an object with these members and no others."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(required or properties),
        "additionalProperties": False,
    }
