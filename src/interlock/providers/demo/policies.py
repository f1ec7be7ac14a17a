"""The demo model as policy writer: SQRT from a description, by template.

Sentence by sentence: "never/forbid/deny ... <tool>" denies it, "only ... @domain"
denies other recipients, "allow ... <tool>" allows it. What no template fits becomes a
comment. Always valid SQRT in the published subset.
"""

import re
from collections.abc import Sequence

from interlock.providers.demo.sources import words
from interlock.providers.demo.tools import Tool

__all__ = ["write_policy"]

_SENTENCE = re.compile(r"(?:[^.;!?\n]|[.](?=\w))+")
_DENY = re.compile(
    r"\b(?:deny|denies|denied|forbid|forbidden|block|never|prohibit|disallow|must not|don't|do not|"
    r"no one may|cannot)\b",
    re.IGNORECASE,
)
_ALLOW = re.compile(r"\b(?:allow|allowed|permit|permitted|may|can)\b", re.IGNORECASE)
_ONLY = re.compile(r"\b(?:only|solely|exclusively|nobody but|nothing but)\b", re.IGNORECASE)
_DOMAIN = re.compile(r"@?\b((?:[a-z0-9-]+\.)+[a-z]{2,24})\b", re.IGNORECASE)
_RECIPIENTS = ("to", "recipient", "recipients", "email", "address", "receiver", "cc", "bcc")


def write_policy(description: str, tools: Sequence[Tool]) -> str:
    """SQRT text for what the description says about the tools."""
    declarations: dict[str, list[str]] = {}
    for match in _SENTENCE.finditer(description):
        sentence = match.group().strip()
        if not sentence or sentence.startswith(("CALL ", "def ", "```")):
            continue
        for tool in _meant(sentence, tools):
            rule = _rule(sentence, tool)
            if rule is not None:
                said = " ".join(sentence.split())
                declarations.setdefault(tool.name, []).append(f"    /// {said}\n    {rule}")
    if not declarations:
        return "// the demo model found no rule in the description\n"
    return "\n".join(
        f"tool {_string(name)} {{\n" + "\n".join(rules) + "\n}\n"
        for name, rules in declarations.items()
    )


def _meant(sentence: str, tools: Sequence[Tool]) -> list[Tool]:
    """Tools named in the sentence; else those with a recipient when it names a domain."""
    lowered = sentence.lower()
    named = [
        tool
        for tool in tools
        if re.search(rf"(?<!\w){re.escape(tool.name.lower())}(?!\w)", lowered)
        or (
            words(tool.name.replace("_", " "))
            and words(tool.name.replace("_", " ")) <= words(sentence)
        )
    ]
    if named or not _DOMAIN.search(sentence):
        return named
    return [tool for tool in tools if _recipient(tool) is not None]


def _rule(sentence: str, tool: Tool) -> str | None:
    domain = _DOMAIN.search(sentence)
    recipient = _recipient(tool)
    if domain is not None and recipient is not None:
        pattern = ".*@" + re.escape(domain.group(1)).replace("\\-", "-")
        inside = f'{recipient}.value in {{str matching r"{pattern}"}}'
        if _DENY.search(sentence) and not _ONLY.search(sentence):
            return f"must deny when {inside};"
        return f"must deny when not {inside};"
    if _DENY.search(sentence):
        return "must deny always;"
    return "must allow always;" if _ALLOW.search(sentence) else None


def _recipient(tool: Tool) -> str | None:
    return next((one.name for one in tool.parameters if one.name.lower() in _RECIPIENTS), None)


def _string(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
