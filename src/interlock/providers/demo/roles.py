"""The answers of the demo model in the roles of the product, by template."""

import json
import re
from typing import Any

from interlock.kernel.roles import ModelRole
from interlock.providers.demo.policies import write_policy
from interlock.providers.demo.schema import fill
from interlock.providers.demo.sources import TextSource, VerdictSource, first_sentence
from interlock.providers.demo.tools import known_tools
from interlock.providers.wire.model import Request

__all__ = ["extract", "judge", "policy"]

_ERROR = re.compile(r"(?is)^\s*(error|exception|traceback|failed|fatal)\b")
_SUSPICIOUS: frozenset[ModelRole] = frozenset({"tagllm", "error_detector_llm"})
"""Roles that look for something bad: nothing found is their template."""
_DESCRIPTION = re.compile(r"(?s)<description>\n?(.*)</description>")
_CODE_MEMBER = re.compile(r"(?i)polic|code|rules|sqrt")


def extract(schema: dict[str, Any] | None, text: str) -> str:
    """The quarantined model's answer: the schema filled from the text, as JSON."""
    if schema is None:
        return json.dumps({"answer": first_sentence(text)}, ensure_ascii=False)
    return json.dumps(fill(schema, TextSource(text)), ensure_ascii=False)


def judge(role: ModelRole, schema: dict[str, Any] | None, text: str) -> str:
    """A verdict: favourable, or nothing found; valid against the schema when there is one.

    The error detector looks at the text itself (between fences, when it has such).
    """
    said = f"Demo model ({role}): {first_sentence(text)[:200] or 'nothing to judge'}"
    truth = role not in _SUSPICIOUS
    if role == "error_detector_llm":
        truth = any(_ERROR.search(line) for line in text.splitlines())
    if schema is None:
        if role in {"error_detector_llm", "tagllm"}:
            return json.dumps(truth if role == "error_detector_llm" else {"score": 0})
        return "0" if role == "selector" else said
    about = text.partition("\nTools:")[0] if role == "tllm" else ""
    low = role in _SUSPICIOUS or role == "selector"
    source = VerdictSource(text=said, truth=truth, low=low, about=about)
    return json.dumps(fill(schema, source), ensure_ascii=False)


def policy(request: Request, schema: dict[str, Any] | None, system: str, text: str) -> str:
    """SQRT for the description in the text, fenced, or inside the asked-for object.

    The description is what stands between `<description>` tags, tools are listed before
    them; without tags it is the whole text.
    """
    asked = _DESCRIPTION.search(text)
    description, listing = (text, text) if asked is None else (asked[1], text[: asked.start()])
    tools = known_tools(request.tools, listing if asked is not None else f"{system}\n{listing}")
    code = write_policy(description, tools)
    if schema is None:
        return f"```sqrt\n{code}```"
    answer = json.loads(judge("policy_llm", schema, text))
    if isinstance(answer, dict):
        for name, value in answer.items():
            if isinstance(value, str) and _CODE_MEMBER.search(name):
                answer[name] = code
    elif isinstance(answer, str):
        answer = code
    return json.dumps(answer, ensure_ascii=False)
