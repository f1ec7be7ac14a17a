"""Words the policy editor offers: of the language, of a text, and of what was called lately.

Names of tools, arguments and labels come from recorded calls: text from outside. They are
offered quoted, and nothing here is ever taken without being chosen by a person.
"""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from interlock.gateway.records import DecisionRecord

__all__ = ["HELP", "Part", "outline_of", "vocabulary_of"]

_TOOLS, _ARGUMENTS, _LABELS, _NAME = 50, 20, 50, 100
_TOOL = re.compile(r"^\s*tool\s+([rw]?\"(?:[^\"\\]|\\.)*\")")
_LET = re.compile(r"^\s*let\s+([A-Za-z_]\w*)")
_RULE = re.compile(r"\b(?:must|should|hard|soft)\s+(?:allow|deny)\b")
_COMMENT = re.compile(r"^\s*//")

HELP: Final = {
    "let": "let NAME = ...; names a condition or a set, written out where it is used",
    "tool": 'tool "name" { ... } holds rules and updates; r"..." fits every name that matches',
    "result": "result { ... } updates labels of what the tool returned",
    "session": "session before { ... } on every attempt; session after { ... } with the result",
    "before": "session before: on every attempt, also one that is denied",
    "after": "session after: when the result is there",
    "when": "when CONDITION: the rule fires if it is true",
    "always": "always: the rule fires for every call",
    "in": "VALUE in SET: true if the value is one of it; a list needs every element to be",
    "like": 'like w"*@corp.example": * is any run of characters, ? is one',
    "matches": 'matching r"...": the whole text fits the expression',
    "overlaps": "LABELS overlaps SET: at least one label is in both",
    "subset": "LABELS subset of SET: nothing besides these",
    "superset": "LABELS superset of SET: all of these, at least",
    "of": "subset of, superset of; union of FIELD from args",
    "not": "not A: binds tighter than and",
    "and": "A and B: binds tighter than or",
    "or": "A or B",
    "is": "LABELS is empty, LABELS is universal",
    "true": "the boolean true",
    "false": "the boolean false",
    "priority": "priority N; higher ones are looked at first; 0 when not given",
    "default": "what is decided when no rule fires is set by the key, not here",
    "if": "not a word of conditions: write when",
    "then": "not a word of conditions: write when",
    "else": "not a word of conditions: write a second rule",
    "deny": "must deny is final; should deny may be allowed by a person or a stronger rule",
    "allow": "with an allow rule, a tool needs one that fires, else the call is denied",
    "must": "must (or hard): final, nothing later changes it",
    "should": "should (or soft): decides unless a must rule does",
    "hard": "another word for must",
    "soft": "another word for should",
    "tags": "NAME.tags: what the value is, such as untrusted or secret",
    "producers": "NAME.producers: where the value came from",
    "consumers": "NAME.consumers: who may have it; everybody until somebody says otherwise",
    "value": "NAME.value: the value of the argument",
    "args": "@args.FIELD: labels of all arguments together",
    "str": 'str matching r"...", str like w"...", str "x" length 1..80',
    "int": "int 1..5: a whole number in the range",
    "float": "float 0.0..1.0: a number in the range",
    "bool": "bool true: this boolean",
    "datetime": 'datetime d"2026-01-01"..: an instant in the range',
}
"""One line a word. Source: docs/reference/sqrt.md."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A declaration of a text, for its outline."""

    line: int
    kind: str
    name: str
    rules: int = 0


def outline_of(text: str) -> Sequence[Part]:
    """Declarations in their order, with how many check rules each has."""
    found: list[Part] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if _COMMENT.match(line):
            continue
        if match := _TOOL.match(line):
            found.append(Part(line=number, kind="tool", name=match[1]))
        elif match := _LET.match(line):
            found.append(Part(line=number, kind="let", name=match[1]))
        rules = len(_RULE.findall(line))
        if rules and found and found[-1].kind == "tool":
            found[-1] = replace(found[-1], rules=found[-1].rules + rules)
    return found


def vocabulary_of(records: Iterable[DecisionRecord]) -> str:
    """JSON: tools with names of their arguments, labels in use, and a line of help a word."""
    tools: dict[str, dict[str, None]] = {}
    labels: dict[str, None] = {}
    for record in records:
        if (record.tool in tools or len(tools) < _TOOLS) and len(record.tool) <= _NAME:
            held = tools.setdefault(record.tool, {})
            for name in record.args or {}:
                if len(held) < _ARGUMENTS and name.isidentifier() and len(name) <= _NAME:
                    held[name] = None
        for one in _labels(record.labels):
            if len(labels) < _LABELS and len(one) <= _NAME:
                labels[one] = None
    return json.dumps(
        {
            "tools": {name: list(held) for name, held in tools.items()},
            "labels": list(labels),
            "help": HELP,
        },
        ensure_ascii=True,
    )


def _labels(found: object) -> Iterable[str]:
    """Every text in `tags`, `producers` and `consumers`, however deep."""
    if not isinstance(found, dict):
        return
    for name, value in found.items():
        if name in {"tags", "producers", "consumers"} and isinstance(value, list):
            yield from (one for one in value if isinstance(one, str))
        else:
            yield from _labels(value)
