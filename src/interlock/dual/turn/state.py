"""Everything a turn remembers, in a form that can be stored.

Plain structs; values of programs are kept as JSON text (ASCII, so that any text survives), the
interpreter as the bytes it dumps.
"""

import json
from typing import Any, Literal

import msgspec
from msgspec import Struct, field

from interlock.dual.turn.answer import ErrorCode
from interlock.dual.turn.commands import CallRequest
from interlock.dual.turn.model import CacheEntry, TurnInput
from interlock.kernel.roles import ModelRole
from interlock.policy.model import DEFAULT_LABELS, Labels

__all__ = [
    "CallState",
    "FinalState",
    "Pack",
    "Pending",
    "Phase",
    "ProgramState",
    "State",
    "StepState",
    "StopState",
    "ValueState",
    "decode_state",
    "pack",
    "unpack",
]

Phase = Literal[
    "clear",
    "prepare",
    "auto_gen",
    "restrict",
    "filter",
    "plan",
    "select",
    "run",
    "review",
    "reduce",
    "over",
]
CallStage = Literal["decide", "restrict", "ask", "out", "detect", "label", "done"]
Pack = str
"""A plain value as JSON text."""


def pack(value: object) -> Pack:
    """A plain value as text."""
    return json.dumps(value)


def unpack(text: Pack) -> Any:  # noqa: ANN401 - plain JSON
    """A value from what `pack` made."""
    return json.loads(text)


class Pending(Struct, kw_only=True):
    """A question that was asked."""

    no: int
    role: ModelRole
    system: str
    messages: list[tuple[Literal["user", "assistant"], str]]
    schema: Pack | None = None
    model: str | None = None
    again: int = 0
    answer: str | None = None
    cut: bool = False
    """The answer is not whole."""
    failed: tuple[str, str] | None = None
    """Code and message."""
    call: int | None = None
    """The call it is asked for."""

    @property
    def open(self) -> bool:
        """Whether it still waits."""
        return self.answer is None and self.failed is None


class CallState(Struct, kw_only=True):
    """One call of a program, from its decision to its result."""

    no: int
    request: int
    """Number of the interpreter's request."""
    name: str
    """Identifier in the program."""
    tool: str
    args: Pack
    labels: dict[str, Labels]
    control: Labels
    internal: bool
    step: int
    line: int
    derived: bool
    planned: list[str] = field(default_factory=list)
    """Arguments that derive from no result."""
    lineage: Pack = "{}"
    stage: CallStage = "decide"
    answered: bool = False
    """Whether the client has answered it."""
    text: str | None = None
    """Of a result on its way in."""
    value: Pack | None = None
    initial: Labels = DEFAULT_LABELS
    failed: bool = False
    problem: str = ""
    """What the tool said when it failed."""
    tries: int = 0
    kept: str | None = None
    """The result's text, for the transcript, where the config wants it."""

    def shown(self) -> CallRequest:
        """The call as commands show it."""
        return CallRequest(
            no=self.no,
            tool=self.tool,
            args=unpack(self.args),
            labels=self.labels,
            control=self.control,
            internal=self.internal,
            step=self.step,
            line=self.line,
            derived=self.derived,
            planned=frozenset(self.planned),
            lineage=unpack(self.lineage),
        )


class StepState(Struct, kw_only=True):
    """One attempt, or one step of several."""

    number: int
    reply: str
    """What the planner said, as its history shows it."""
    program: str | None = None
    outcome: Literal["running", "done", "failed", "rejected"] = "running"
    report: str = ""
    """What the planner is told about it while it is the newest step."""
    bare_report: str = ""
    """The same without any value."""
    code: ErrorCode = "program_error"
    message: str = ""
    """Of a failure, for the caller."""
    derived: bool = False
    review_lines: list[str] = field(default_factory=list)
    """Of a failure, as far as the reviewer may know."""
    calls: int = 0
    called: list[str] = field(default_factory=list)
    """External tools that were called, by name."""


class StopState(Struct, kw_only=True):
    """Where the turn stopped for the client, and which results had led there."""

    consumed: list[int]
    calls: list[int]
    """Empty: the turn was over."""


class ProgramState(Struct, kw_only=True):
    """A program of the interpreter, with what compiling it again needs."""

    source: str
    names: list[str]
    """Variables there were before it."""


class ValueState(Struct, kw_only=True):
    """A value of an answer."""

    value: Pack
    labels: Labels
    value_type: str


class FinalState(Struct, kw_only=True):
    """How the turn ended."""

    value: ValueState | None = None
    code: ErrorCode | None = None
    message: str = ""
    derived: bool = False
    namespace: dict[str, ValueState] = field(default_factory=dict)


class State(Struct, kw_only=True):
    """A whole turn."""

    input: TurnInput
    """Without its messages: what is needed of them follows."""
    request: str
    """The newest user message."""
    around: str
    """The conversation before it, as far as planners may see it."""
    phase: Phase = "prepare"
    """What happens next."""
    numbers: int = 0
    questions: list[Pending] = field(default_factory=list)
    """Those of the current phase or of open calls."""
    calls: list[CallState] = field(default_factory=list)
    steps: list[StepState] = field(default_factory=list)
    programs: list[ProgramState] = field(default_factory=list)
    """What the interpreter has been given, oldest first."""
    attempt: int = 0
    selected: list[str] | None = None
    """Tools the planner is offered; None: all."""
    candidates: list[str] = field(default_factory=list)
    """Replies with programs, to select from."""
    policy_code: str = ""
    restrict_no: int = 0
    filtered: bool = False
    written: bool = False
    """Whether the policies of `auto_gen` are settled."""
    policy_problem: str = ""
    """Why a generated policy was dropped."""
    history: list[Pack] = field(default_factory=list)
    denied: bool = False
    cache: dict[str, CacheEntry] = field(default_factory=dict)
    session_labels: Labels = DEFAULT_LABELS
    consumed: list[int] = field(default_factory=list)
    """Results that came since the last stop."""
    stops: list[StopState] = field(default_factory=list)
    ending: FinalState | None = None
    """An answer that is still to be reviewed, then the final one."""
    abandoned: bool = False

    def encode(self) -> bytes:
        """The state as JSON; any integer and any text survives."""
        return json.dumps(msgspec.to_builtins(self)).encode()


def decode_state(data: bytes) -> State:
    """A state from what `State.encode` made. Raises ValueError for anything else."""
    return msgspec.convert(json.loads(data), State)
