"""What of the conversation the planner is told (6.2, `query_inline_roles` and its kin).

The request itself is the newest user message, verbatim. Everything before it is inlined into
one message in front of it, each line quoted, so that nothing in it reads as a request.

INVARIANT: text that may hold data of a tool result or of a model's answer (tool messages, and
what is marked `derived`) is left out unless `query_include_tool_results` is set.
"""

from collections.abc import Sequence

from interlock.dual.turn.config import PlannerPrompt
from interlock.dual.turn.model import Called, Message

__all__ = ["earlier", "request_of"]

_HIDDEN = "[not shown: it may hold untrusted data]"


def request_of(messages: Sequence[Message]) -> str:
    """The newest user message."""
    return next((one.text for one in reversed(messages) if one.role == "user"), "")


def earlier(messages: Sequence[Message], prompt: PlannerPrompt) -> str:
    """The conversation around the request, as lines to be quoted; empty when there is none."""
    last = max((i for i, one in enumerate(messages) if one.role == "user"), default=-1)
    parts = []
    for index, message in enumerate(messages):
        if index != last:
            parts += _shown(message, prompt)
    return "\n".join(parts)


def _shown(message: Message, prompt: PlannerPrompt) -> list[str]:
    role = prompt.query_role_name_overrides.get(message.role, message.role)
    if message.role == "user":
        return _said(role, message.text)
    if message.role == "tool":
        shown = "tool" in prompt.query_inline_roles and prompt.query_include_tool_results
        return _said(role, message.text) if shown else []
    lines = []
    if message.role in prompt.query_inline_roles:
        hidden = message.derived and not prompt.query_include_tool_results
        lines += _said(role, _HIDDEN if hidden else message.text)
    if message.calls and prompt.query_include_tool_calls:
        lines += [f"[{role} called] {_call(one, prompt)}" for one in message.calls]
    return lines


def _call(call: Called, prompt: PlannerPrompt) -> str:
    if not prompt.query_include_tool_args:
        return call.tool
    hidden = call.derived and not prompt.query_include_tool_results
    return f"{call.tool} {_HIDDEN if hidden else call.arguments}"


def _said(role: str, text: str) -> list[str]:
    if not text.strip():
        return []
    return [f"[{role}]", *(f"> {line}" for line in text.splitlines())]
