"""What a policy model is told. The texts are files: `prompts/<flavor>/<version>/`."""

from collections.abc import Sequence
from functools import cache
from importlib import resources
from typing import Literal

from interlock.kernel.roles import role_line
from interlock.policy.errors import Diagnostic
from interlock.policy.generation.signatures import ToolSignature, listing

__all__ = ["Purpose", "again", "question", "system_prompt"]

Purpose = Literal["description", "request"]
"""What the text is: the description of a policy, or what a user asks an agent to do."""

_SHOWN_PROBLEMS = 5
_SHOWN_ANSWER_CHARS = 20_000


@cache
def _text(name: str) -> str:
    folder = resources.files("interlock.policy.generation") / "prompts" / "universal" / "v1"
    return (folder / f"{name}.md").read_text(encoding="utf-8")


def system_prompt() -> str:
    """Role and language; the same for every policy."""
    return role_line("policy_llm") + _text("system")


def question(purpose: Purpose, description: str, tools: Sequence[ToolSignature]) -> str:
    """Task, tools and description."""
    return (
        f"{_text(purpose)}\nTools:\n\n{listing(tools)}\n\n"
        f"<description>\n{description}\n</description>\n"
    )


def again(before: str, code: str, problems: Sequence[Diagnostic]) -> str:
    """The question once more, with the last answer and what is wrong with it."""
    told = "\n\n".join(item.render() for item in problems[:_SHOWN_PROBLEMS])
    more = len(problems) - _SHOWN_PROBLEMS
    if more > 0:
        told += f"\n\n... and {more} more"
    fatal = any(item.severity == "error" for item in problems)
    verdict = "It cannot be used" if fatal else "It may not mean what you want it to mean"
    shown = code[:_SHOWN_ANSWER_CHARS].rstrip()
    return (
        f"{before}\nYour last answer was:\n\n```sqrt\n{shown}\n```\n\n"
        f"{verdict}:\n\n{told}\n\nAnswer with the whole corrected policy.\n"
    )
