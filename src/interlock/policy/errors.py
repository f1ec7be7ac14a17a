"""What is wrong with a policy text, said so that its author can mend it.

A `Diagnostic` is one finding with its place; `PolicyError` carries all that
stop a text from compiling. Lines and columns count from 1, columns in
characters.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from interlock.kernel.errors import ErrorKind, InterlockError

__all__ = ["Diagnostic", "EvaluationError", "PolicyError", "excerpt"]

_EXCERPT_CHARS = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnostic:
    """One error or warning about a place in a policy text."""

    severity: Literal["error", "warning"] = "error"
    message: str
    source: str
    """Name of the policy text: a binding, `header`, a file."""
    line: int = 0
    """0: the finding is about the text as a whole."""
    column: int = 0
    excerpt: str = ""
    """The source line and a caret under the column."""
    help: str | None = None

    def render(self) -> str:
        """Several lines: message and place, source line, caret, help."""
        place = f"line {self.line}, column {self.column}" if self.line else "whole text"
        parts = [f"{self.message} (`{self.source}`, {place})"]
        if self.excerpt:
            parts.append(self.excerpt)
        if self.help:
            parts.append(f"  help: {self.help}")
        return "\n".join(parts)

    def to_dict(self) -> dict[str, object]:
        """For machine readers."""
        return {
            "severity": self.severity,
            "message": self.message,
            "source": self.source,
            "line": self.line,
            "column": self.column,
            "excerpt": self.excerpt,
            "help": self.help,
        }


class PolicyError(InterlockError):
    """Raised when a policy text does not compile."""

    kind: ClassVar = ErrorKind.INVALID
    code: ClassVar = "policy_compile_error"

    def __init__(self, diagnostics: Sequence[Diagnostic]) -> None:
        first = diagnostics[0]
        message = first.render()
        if len(diagnostics) > 1:
            message += f"\n  and {len(diagnostics) - 1} more"
        super().__init__(
            message,
            details={
                "line": first.line,
                "column": first.column,
                "diagnostics": [diagnostic.to_dict() for diagnostic in diagnostics],
            },
        )
        self.diagnostics = tuple(diagnostics)

    @property
    def line(self) -> int:
        """Line of the first finding."""
        return self.diagnostics[0].line

    @property
    def column(self) -> int:
        """Column of the first finding."""
        return self.diagnostics[0].column


class EvaluationError(Exception):
    """Raised inside the engine when a condition has no exact answer; never leaves it (11.6)."""


def excerpt(text: str, line: int, column: int) -> str:
    """The line of `text` with a caret under `column`, cut to a window around it.

    Tabs are kept in front of the caret so that it stands under its character.
    """
    lines = text.split("\n", line)
    source = lines[line - 1].rstrip("\r") if line <= len(lines) else ""
    start = max(0, column - 1 - _EXCERPT_CHARS * 2 // 3)
    shown = source[start : start + _EXCERPT_CHARS]
    lead = "".join("\t" if char == "\t" else " " for char in source[start : column - 1])
    head = "... " if start else ""
    tail = " ..." if start + _EXCERPT_CHARS < len(source) else ""
    return f"  {head}{shown}{tail}\n  {' ' * len(head)}{lead}^"
