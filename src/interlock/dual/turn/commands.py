"""What a turn wants done. The driver does it and tells the turn with one event per number.

| command | events |
|---|---|
| `Ask` | `answered(no, text, cut)` or `ask_failed(no, code, message)` for each question |
| `Decide` | `allowed(no, entry)`, `denied(no, message, ...)` for each call |
| `Suspend` | `result(no, text, is_error)` for each call, in any order, perhaps days later |
| `Label` | `labelled(no, labels)` |
| `Restrict` | `restricted(no, error)` |
| `ClearSession` | `cleared()` |
| `Final` | none: the turn is over |

Numbers are unique in a turn. `Turn.next()` says the same again as long as nothing was told.

The rest of `Turn`: `begin(TurnInput)`, `dump() -> bytes` and `load(bytes)` at any command;
`outstanding()` - calls handed out and not answered; `result` says `accepted`, `repeated` or
`unknown`; `answer_to(numbers)` - the `Suspend` or `Final` that consuming exactly these results
led to, for repeated requests; `revise(no, args)` - a call under decision with edited arguments,
decided again; `abandon()`; `session_labels` - to be set by the driver whenever they changed;
and for the session when the turn is over: `cache`, `planner_history`, `record()` (the turn's
messages for the stored transcript).

Source: gateway.md section 10.2.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from interlock.dual.turn.answer import Answer
from interlock.kernel.roles import ModelRole
from interlock.policy.model import Labels

__all__ = [
    "Ask",
    "CallRequest",
    "ClearSession",
    "Command",
    "Decide",
    "Final",
    "Label",
    "PolicyOrigin",
    "Question",
    "Restrict",
    "Suspend",
    "Turned",
]

PolicyOrigin = Literal["set_policy", "auto_gen"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Turned:
    """A message of a question."""

    role: Literal["user", "assistant"]
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One call of a model, whole: nothing else may be added to what it sees."""

    no: int
    role: ModelRole
    system: str
    """Begins with `kernel.roles.role_line(role)`."""
    messages: tuple[Turned, ...]
    schema: Mapping[str, Any] | None = None
    """JSON Schema of the answer; None: free text."""
    model: str | None = None
    """None: the model of the role."""
    again: int = 0
    """How often this model is asked the same besides: each time with another seed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRequest:
    """One tool call of the program."""

    no: int
    tool: str
    """The tool's own name, which may not be an identifier."""
    args: Mapping[str, Any]
    """Plain JSON values, a snapshot."""
    labels: Mapping[str, Labels]
    """Of each argument, all its parts included."""
    control: Labels
    """In mode strict: of the conditions that decided that this call is made."""
    internal: bool
    step: int
    """Attempt or step of the turn, from 1."""
    line: int
    derived: bool
    """Whether an argument holds data of a tool result, a model's answer or a context variable."""
    planned: frozenset[str] = frozenset()
    """Arguments that derive from no result, answer or variable: the planner wrote them knowing
    only what the user said."""
    lineage: Mapping[str, Any] = field(default_factory=dict)
    """`nodes`, `edges`, `path` as in 11.13, of a call that derives from something; nodes of
    results have `call`, the number of the call they are the result of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """Ask models; several questions at once are independent of each other."""

    asks: tuple[Question, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Decide:
    """Decide calls by policy, one by one in order; an internal call too, under its own name."""

    calls: tuple[CallRequest, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspend:
    """Hand calls to the client; the turn can be dumped now."""

    calls: tuple[CallRequest, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """Run the result rules of the policy, then the session's `after` rules."""

    no: int
    call: CallRequest
    value: Any
    """The result, unwrapped; plain JSON. None when the call failed."""
    initial: Labels
    """What the result starts with (10.5)."""
    failed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Restrict:
    """Add policy code to the session.

    From `set_policy` only what restricts may be accepted (`policy.restrict.loosening`);
    from `auto_gen` any code that compiles.
    """

    no: int
    code: str
    origin: PolicyOrigin = "set_policy"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClearSession:
    """Reset the session's labels: `clear_session_meta`."""

    step: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Final:
    """The turn is over."""

    answer: Answer


Command: TypeAlias = Ask | Decide | Suspend | Label | Restrict | ClearSession | Final
