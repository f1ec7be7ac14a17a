"""Which role of the product a model call plays, as a line the called model can read.

Every system prompt of our own (planner, quarantined model, judge, ...) begins with
`role_line(role)`. Real models ignore the line; the demo model chooses its
behaviour by it, and by nothing else. Calls on behalf of a caller carry no such line.

A planner's conversation also holds messages that are no request: what became of its last
program, and the conversation around the request. They begin with `NOT_A_REQUEST`.
"""

from typing import Literal, get_args

__all__ = ["NOT_A_REQUEST", "ROLE_MARKER", "ModelRole", "role_line", "role_of"]

ModelRole = Literal[
    "pllm",
    "qllm",
    "rllm",
    "grllm",
    "tllm",
    "tagllm",
    "policy_llm",
    "error_detector_llm",
    "selector",
    "judge",
    "assistant",
]
"""Names as in X-Config `llm` where it has one (gateway.md, sections 6.4 and 10.1)."""

ROLE_MARKER = "X-Interlock-Role:"
"""Start of the marker line; recognised only as the first line of a system prompt."""

NOT_A_REQUEST = "[interlock]"
"""Start of a user message to the planner that reports something and asks for nothing."""

_ROLES: dict[str, ModelRole] = {role: role for role in get_args(ModelRole)}


def role_line(role: ModelRole) -> str:
    """The line a system prompt of `role` begins with, newline included."""
    return f"{ROLE_MARKER} {role}\n"


def role_of(system: str) -> ModelRole | None:
    """The role a system prompt declares in its first line; None for anybody else's prompt."""
    first = system.split("\n", 1)[0].strip()
    if not first.startswith(ROLE_MARKER):
        return None
    return _ROLES.get(first[len(ROLE_MARKER) :].strip())
