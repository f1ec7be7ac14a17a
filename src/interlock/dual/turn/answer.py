"""The final assistant message of a turn (10.3, 10.7, 10.8).

Knows nothing of HTTP or wire formats: it makes the text.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from interlock.dual.turn.config import AnswerFormat
from interlock.policy.model import DEFAULT_LABELS, Labels

__all__ = [
    "Answer",
    "AnswerValue",
    "ErrorCode",
    "TurnError",
    "control_flow_message",
]

ErrorCode = Literal[
    "policy_violation",
    "control_flow_violation",
    "max_steps_exceeded",
    "max_tool_calls_exceeded",
    "program_error",
    "planner_error",
    "tool_error",
    "classifier_blocked",
    "upstream_error",
    "timeout",
]

_CONTROL_FLOW: Final = "Control flow violation detected during program execution. "


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerValue:
    """A value of the program, as plain JSON data."""

    value: Any
    labels: Labels = DEFAULT_LABELS
    value_type: str = "NoneType"
    """Name of its type in the program."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnError:
    """Why a turn failed, for the caller: may hold untrusted data."""

    code: ErrorCode
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a turn came to; exactly one of `value` and `error` is there."""

    value: AnswerValue | None = None
    error: TurnError | None = None
    program: str | None = None
    """The last program that ran, or was tried."""
    history: tuple[Mapping[str, Any], ...] = ()
    """`policy_check_history`: every decision of the turn that has an entry."""
    denied: bool = False
    """Whether one of them was a denial."""
    namespace: Mapping[str, AnswerValue] = field(default_factory=dict)
    session_labels: Labels = DEFAULT_LABELS
    history_mismatch: bool = False
    derived: bool = False
    """Whether the content may hold data of a tool result or a model's answer: see
    `turn.model.Message.derived`."""

    @property
    def ok(self) -> bool:
        """Whether the turn succeeded."""
        return self.error is None

    def content_text(self, wanted: AnswerFormat) -> str:
        """The content of the assistant message."""
        if wanted.strip_response_content:
            return self._stripped()
        body: dict[str, Any] = {"status": "success" if self.ok else "failure"}
        body["final_return_value"] = None if self.value is None else _typed(self.value)
        if self.error is not None:
            body["error"] = {"code": self.error.code, "message": self.error.message}
        if wanted.include_program and self.program is not None:
            body["program"] = self.program
        with_history = wanted.include_policy_check_history or self.denied
        if with_history:
            body["policy_check_history"] = [dict(entry) for entry in self.history]
        if wanted.include_namespace_snapshot:
            body["namespace_snapshot"] = {
                name: {"value": one.value, "meta": one.labels.to_wire()}
                for name, one in self.namespace.items()
            }
        if with_history or wanted.include_namespace_snapshot:
            body["session_meta"] = {"value": None, "meta": self.session_labels.to_wire()}
        if self.history_mismatch:
            body["message_history_mismatch_detected"] = True
        return _json(body)

    def _stripped(self) -> str:
        if self.error is not None:
            return self.error.message
        value = None if self.value is None else self.value.value
        return value if isinstance(value, str) else _json(value)


def control_flow_message(*, retries: bool) -> str:
    """The sentence clients look for; `retries`: whether they were enabled, and are used up."""
    why = "" if retries else " as retries on policy violations are disabled"
    return f"{_CONTROL_FLOW}The program violated control flow policies and cannot continue{why}."


def _typed(one: AnswerValue) -> dict[str, Any]:
    return {"value": one.value, "meta": one.labels.to_wire(), "value_type": one.value_type}


def _json(value: object) -> str:
    try:
        return _dumped(value)
    except ValueError:
        # NaN and the infinities are values a program can have and JSON has not.
        return _dumped(_finite(value))


def _dumped(value: object) -> str:
    return json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(", ", ": "))


def _finite(value: object) -> object:
    match value:
        case float():
            return value if math.isfinite(value) else str(value)
        case Mapping():
            return {key: _finite(item) for key, item in value.items()}
        case list() | tuple():
            return [_finite(item) for item in value]
        case _:
            return value
