"""Policies for a request before it is planned (`auto_gen`), by the loop that serves policy-gen.

Source: gateway.md sections 5 and 14.
"""

from collections.abc import Sequence

from interlock.dual.turn import PolicyWriter, Problem, ToolSpec, Write, Written
from interlock.policy.generation import (
    INTERNAL_SIGNATURES,
    Ask,
    Done,
    Generation,
    Step,
    Wanted,
    signature,
)

__all__ = ["policy_writer"]


class _Writer:
    """A policy in the making, as a turn takes it."""

    def __init__(self, wanted: Wanted) -> None:
        self._generation = Generation(wanted)

    def begin(self) -> Write | Written | Problem:
        """See `PolicyWriter`."""
        return _step(self._generation.begin())

    def answered(self, text: str, *, cut: bool = False) -> Write | Written | Problem:
        """See `PolicyWriter`."""
        return _step(self._generation.answered(text, cut=cut))


def policy_writer(request: str, tools: Sequence[ToolSpec], internal: Sequence[str]) -> PolicyWriter:
    """A writer for what a user asks an agent for; it may find that nothing needs restricting."""
    known = [signature(tool.name, tool.description, tool.schema) for tool in tools]
    known += [INTERNAL_SIGNATURES[name] for name in internal if name in INTERNAL_SIGNATURES]
    return _Writer(Wanted(description=request, tools=tuple(known), purpose="request"))


def _step(step: Step) -> Write | Written | Problem:
    match step:
        case Ask():
            return Write(system=step.system, user=step.user)
        case Done():
            return Written(code=step.code)
        case _:
            return Problem(message=step.message)
