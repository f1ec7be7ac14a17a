"""What the tagging model is asked about an undecided text, and how its answer is read.

Pure: the gateway makes the call. The text is data to the model, fenced by a
line that cannot occur in it; whatever it says, the only thing that comes back is a
score (and, for personal data, literal pieces of the same text).
"""

import json
import re
from collections.abc import Mapping
from functools import cache
from hashlib import blake2b
from importlib.resources import files
from math import isnan
from typing import Any

from interlock.kernel.roles import role_line
from interlock.policy.guards.errors import TagAnswerError
from interlock.policy.guards.model import TagScore

__all__ = ["tagllm_request", "tagllm_verdict"]

_SCORE = {
    "type": "number",
    "minimum": 0,
    "maximum": 1,
    "description": "0: certainly not, 1: certainly",
}
_MAX_SPANS = 32
_TYPE = re.compile(r"[^A-Z_]+")


@cache
def _prompt(name: str) -> str:
    """A text of the newest version, without its last line end."""
    folder = files("interlock.policy.guards") / "prompts" / "universal" / "v1"
    return (folder / f"{name}.md").read_text(encoding="utf-8").rstrip("\n")


def tagllm_request(guard: str, text: str) -> tuple[str, str, dict[str, Any]]:
    """System prompt, user message and JSON schema of the answer for one undecided text.

    Raises:
        FileNotFoundError: `guard` is not a classifier.
    """
    fence = f"text-{blake2b(text.encode(errors='replace'), digest_size=8).hexdigest()}"
    words = _prompt("system").replace("{{task}}", _prompt(guard)).replace("{{fence}}", fence)
    system = role_line("tagllm") + words
    properties: dict[str, Any] = {"score": _SCORE}
    if guard == "pii_redaction":
        piece = {
            "type": "object",
            "properties": {"text": {"type": "string"}, "type": {"type": "string"}},
            "required": ["text", "type"],
            "additionalProperties": False,
        }
        properties["spans"] = {"type": "array", "items": piece}
    elif guard.endswith("_topic_guardrail"):
        properties["advice"] = _SCORE
    schema = {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
    return system, f"{fence}\n{text}\n{fence}", schema


def tagllm_verdict(answer: str | bytes | Mapping[str, Any]) -> TagScore:
    """The score in a tagging model's answer.

    Reads JSON, also inside a code fence. Scores outside 0..1 are clamped.

    Raises:
        TagAnswerError: it is no JSON object with a numeric `score`.
    """
    tree = answer if isinstance(answer, Mapping) else _decoded(answer)
    score = _number(tree.get("score")) if isinstance(tree, Mapping) else None
    if not isinstance(tree, Mapping) or score is None:
        raise TagAnswerError("tagging model gave no score")
    spans = []
    raw = tree.get("spans")
    for piece in raw[:_MAX_SPANS] if isinstance(raw, list) else ():
        if not isinstance(piece, Mapping):
            continue
        literal, kind = piece.get("text"), piece.get("type")
        # Shorter pieces would blank letters all over the text.
        if isinstance(literal, str) and len(literal.strip()) >= 3 and isinstance(kind, str):
            spans.append((literal, _TYPE.sub("_", kind.upper()).strip("_")[:24] or "PERSONAL"))
    return TagScore(score=score, advice=_number(tree.get("advice")) or 0.0, spans=tuple(spans))


def _decoded(answer: str | bytes) -> object:
    text = answer.decode(errors="replace") if isinstance(answer, bytes) else answer
    start, end = text.find("{"), text.rfind("}")
    if start < 0 or end < start:
        return None
    try:
        return json.loads(text[start : end + 1])
    except (ValueError, RecursionError):
        return None


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or isnan(value):
        return None
    return min(1.0, max(0.0, float(value)))
