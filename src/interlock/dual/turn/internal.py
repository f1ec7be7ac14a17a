"""The tools a turn runs itself: what the quarantined model is asked, and what its answer is.

The quarantined model gets one text, no tools, no history; its answer is a value of the program
and nothing else. Nothing of it is ever shown to another model but the error detector.

Source: gateway.md 10.6.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from interlock.dual.prompts import system_prompt
from interlock.dual.turn.config import RolePrompt
from interlock.dual.turn.planning import json_object
from interlock.dual.turn.schema import object_schema_problem, problems
from interlock.dual.turn.state import Pending, pack, unpack
from interlock.policy.model import Labels, LabelSet

__all__ = [
    "REPAIRS",
    "Extraction",
    "error_question",
    "extracted",
    "hypothesis_question",
    "is_error_answer",
    "parse_question",
    "repair_question",
    "tagged",
]

REPAIRS: Final = 1
"""How often an invalid answer is asked for again."""

_ENOUGH: Final = "have_enough_info"
_HOLDS_SCHEMA: Final[Mapping[str, Any]] = {
    "type": "object",
    "properties": {"holds": {"type": "boolean"}},
    "required": ["holds"],
    "additionalProperties": False,
}
_ERROR_SCHEMA: Final[Mapping[str, Any]] = {
    "type": "object",
    "properties": {"is_error": {"type": "boolean"}},
    "required": ["is_error"],
    "additionalProperties": False,
}


@dataclass(frozen=True, slots=True)
class Extraction:
    """What came of an answer: a value, or why it is none."""

    value: Any = None
    problem: str = ""


def tagged(labels: Labels, tool: str) -> Labels:
    """The labels of an internal tool's result: all its inputs', and that it went through it."""
    return labels.merge(Labels(tags=LabelSet.of(f"__tool/{tool}")))


def parse_question(args: Mapping[str, Any], prompt: RolePrompt, *, no: int) -> Pending | str:
    """The question behind `parse_with_ai`, or why there can be none."""
    query, wanted = args.get("query"), args.get("output_schema")
    problem = object_schema_problem(wanted)
    if problem is not None:
        return f"parse_with_ai: {problem}"
    schema = _with_enough(wanted if isinstance(wanted, dict) else {})
    text = query if isinstance(query, str) else json.dumps(query)
    return _question(no, text, schema, prompt, {"enough": "yes"})


def hypothesis_question(args: Mapping[str, Any], prompt: RolePrompt, *, no: int) -> Pending:
    """The question behind `verify_hypothesis`."""
    context = json.dumps(args.get("context"), indent=1, ensure_ascii=False)
    text = f"Hypothesis: {args.get('hypothesis')}\n\nContext:\n{context}"
    return _question(no, text, _HOLDS_SCHEMA, prompt, {"verify": "yes"})


def error_question(text: str, prompt: RolePrompt, *, no: int) -> Pending:
    """Whether a result is an error."""
    return Pending(
        no=no,
        role="error_detector_llm",
        system=system_prompt("error_detector_llm", flavor=prompt.flavor, version=prompt.version),
        messages=[("user", f"~~~~\n{text}\n~~~~")],
        schema=pack(_ERROR_SCHEMA),
    )


def is_error_answer(answer: str | None) -> bool:
    """The detector's verdict; no valid answer means no error."""
    return (json_object(answer or "") or {}).get("is_error") is True


def extracted(tool: str, question: Pending) -> Extraction:
    """The value in the quarantined model's answer, checked against the schema."""
    found = json_object(question.answer or "")
    if found is None:
        return Extraction(problem="the answer is no JSON object")
    wrong = problems(found, unpack(question.schema or "{}"))
    if wrong:
        return Extraction(problem="; ".join(wrong))
    return Extraction(value=found["holds"] if tool == "verify_hypothesis" else found)


def repair_question(question: Pending, problem: str, *, no: int) -> Pending:
    """The same question once more, with the invalid answer and what is wrong with it."""
    again = f"This answer is not valid: {problem}. Answer again, with valid JSON only."
    return Pending(
        no=no,
        role=question.role,
        system=question.system,
        messages=[
            *question.messages,
            ("assistant", question.answer or ""),
            ("user", f"{again}\n\n{question.messages[0][1]}"),
        ],
        schema=question.schema,
        call=question.call,
    )


def _with_enough(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema with `have_enough_info` as a required truth value."""
    properties = dict(schema.get("properties", {}))
    properties.setdefault(_ENOUGH, {"type": "boolean"})
    required = [*schema.get("required", []), _ENOUGH]
    return {
        **schema,
        "type": "object",
        "properties": properties,
        "required": list(dict.fromkeys(required)),
    }


def _question(
    no: int, text: str, schema: Mapping[str, Any], prompt: RolePrompt, values: Mapping[str, str]
) -> Pending:
    shown = {"schema": json.dumps(schema), **values}
    return Pending(
        no=no,
        role="qllm",
        system=system_prompt("qllm", flavor=prompt.flavor, version=prompt.version, values=shown),
        messages=[("user", text)],
        schema=pack(schema),
    )
