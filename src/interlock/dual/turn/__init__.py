"""A turn of dual-llm execution as a pure machine: planning, running, answering.

`Turn.begin(TurnInput)` starts one for a user's message; `Turn.next()` says what is to be done
(see `commands`), the driver does it and reports events; at every `Suspend` the whole turn can
be dumped and loaded in another process. Owns the prompts' filling, the budgets, the internal
tools, the intake of results, what the planner may see of anything, and the final answer.

Decides no policy, knows no wire format, asks no model itself, and never tells the planner a
byte of a tool result, a model's answer or a document unless `context_var_visibility` says so.

Source: gateway.md section 10.
"""

from interlock.dual.turn.answer import Answer, AnswerValue, ErrorCode, TurnError
from interlock.dual.turn.commands import (
    Ask,
    CallRequest,
    ClearSession,
    Command,
    Decide,
    Final,
    Label,
    Question,
    Restrict,
    Suspend,
    Turned,
)
from interlock.dual.turn.config import (
    AnswerFormat,
    Branching,
    DualConfig,
    Fsm,
    PlannerPrompt,
    Prompts,
    ReviewPrompt,
    RolePrompt,
    ToolFilterPrompt,
)
from interlock.dual.turn.model import (
    CacheEntry,
    Called,
    ContextVar,
    Message,
    PlannerMessage,
    ToolSpec,
    TurnInput,
)
from interlock.dual.turn.policies import PolicyWriter, Problem, Write, WriterFactory, Written
from interlock.dual.turn.transcript import Comparison, compare, unsure
from interlock.dual.turn.turn import ResultStatus, Turn

__all__ = [
    "Answer",
    "AnswerFormat",
    "AnswerValue",
    "Ask",
    "Branching",
    "CacheEntry",
    "CallRequest",
    "Called",
    "ClearSession",
    "Command",
    "Comparison",
    "ContextVar",
    "Decide",
    "DualConfig",
    "ErrorCode",
    "Final",
    "Fsm",
    "Label",
    "Message",
    "PlannerMessage",
    "PlannerPrompt",
    "PolicyWriter",
    "Problem",
    "Prompts",
    "Question",
    "Restrict",
    "ResultStatus",
    "ReviewPrompt",
    "RolePrompt",
    "Suspend",
    "ToolFilterPrompt",
    "ToolSpec",
    "Turn",
    "TurnError",
    "TurnInput",
    "Turned",
    "Write",
    "WriterFactory",
    "Written",
    "compare",
    "unsure",
]
