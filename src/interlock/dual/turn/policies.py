"""The seam to whoever writes policies for `auto_gen`.

A writer is a pure machine of its own: it says what to ask the policy model, is told the
answer, and comes to a policy text or to a reason why there is none.

Source: gateway.md 5 (`auto_gen`), 14.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from interlock.dual.turn.model import ToolSpec

__all__ = ["PolicyWriter", "Problem", "Write", "WriterFactory", "WriterStep", "Written"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """Ask the policy model this. `system` begins with the line of its role."""

    system: str
    user: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A policy text that compiles; empty when nothing has to be restricted."""

    code: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """No answer could be used."""

    message: str


WriterStep: TypeAlias = Write | Written | Problem


class PolicyWriter(Protocol):
    """Turns one request into a policy."""

    def begin(self) -> WriterStep:
        """The first step."""
        ...

    def answered(self, text: str, *, cut: bool = False) -> WriterStep:
        """The next step, after the policy model's answer to the last `Write`.

        `cut`: the answer is not whole.
        """
        ...


WriterFactory: TypeAlias = Callable[[str, Sequence[ToolSpec], Sequence[str]], PolicyWriter]
"""(request, external tools, names of the internal tools) -> a writer."""
