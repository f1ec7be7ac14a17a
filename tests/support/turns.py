"""Plays a dual-llm turn without gateway: scripted models, a policy as a function, tools.

At every suspension the turn is dumped and loaded, so every test is one of resuming too.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from interlock.dual.turn import (
    Answer,
    Ask,
    CallRequest,
    ClearSession,
    Command,
    Decide,
    DualConfig,
    Final,
    Fsm,
    Label,
    Message,
    PlannerPrompt,
    Prompts,
    Question,
    Restrict,
    Suspend,
    ToolSpec,
    Turn,
    TurnInput,
)
from interlock.dual.turn.policies import WriterFactory
from interlock.policy.model import Labels

__all__ = ["Denied", "Failure", "Play", "config", "fenced", "given", "tool"]

MAX_COMMANDS = 2_000


@dataclass(frozen=True)
class Failure:
    """Instead of an answer: the question could not be asked."""

    code: str = "upstream_error"
    message: str = "upstream is down"


@dataclass(frozen=True)
class Denied:
    """Instead of a permission."""

    message: str = "Tool call to 'x' is denied by argument checking policies. Context: {}"
    hard: bool = True


Said = str | Failure
Teller = Sequence[Said] | Callable[[Question], Said]


@dataclass
class Play:
    """A turn with its surroundings; `run` plays it to its end."""

    given: TurnInput
    models: dict[str, Teller] = field(default_factory=dict)
    tools: Mapping[str, Any] = field(default_factory=dict)
    """Text, or (text, is_error), or a function of the arguments giving one of these."""
    decide: Callable[[CallRequest], Denied | None] = lambda _: None
    label: Callable[[Label], Labels] = lambda one: one.initial
    restrict: Callable[[Restrict], str | None] = lambda _: None
    writer: WriterFactory | None = None
    reload: bool = True
    questions: list[Question] = field(default_factory=list)
    commands: list[Command] = field(default_factory=list)
    sent: list[CallRequest] = field(default_factory=list)
    labels: list[Label] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.turn = Turn.begin(self.given, writer=self.writer)
        self._asked: dict[str, int] = {}

    def run(self) -> Answer:
        """Plays until the answer."""
        while True:
            command = self.step()
            if isinstance(command, Final):
                return command.answer
            if isinstance(command, Suspend):
                for call in command.calls:
                    text, is_error = self.answer_of(call)
                    assert self.turn.result(call.no, text, is_error) == "accepted"

    def until_suspended(self) -> Suspend | Final:
        """Plays until the client is needed, or the end."""
        while True:
            command = self.step()
            if isinstance(command, Suspend | Final):
                return command

    def step(self) -> Command:
        """One command, performed unless it is for the client."""
        command = self.turn.next()
        assert self.turn.next() == command, "next must be repeatable"
        self.commands.append(command)
        assert len(self.commands) < MAX_COMMANDS
        match command:
            case Ask(asks=asks):
                for question in asks:
                    self.questions.append(question)
                    said = self._says(question)
                    if isinstance(said, Failure):
                        self.turn.ask_failed(question.no, said.code, said.message)
                    else:
                        self.turn.answered(question.no, said)
            case Decide(calls=calls):
                self._decide(calls)
            case Label():
                self.labels.append(command)
                self.turn.labelled(command.no, self.label(command))
            case Restrict():
                self.turn.restricted(command.no, self.restrict(command))
            case ClearSession():
                self.turn.session_labels = Labels()
                self.turn.cleared()
            case Suspend(calls=calls):
                self.sent += calls
                if self.reload:
                    self.turn = Turn.load(self.turn.dump(), writer=self.writer)
                    assert self.turn.next() == command, "a loaded turn wants the same"
            case Final():
                pass
        return command

    def answer_of(self, call: CallRequest) -> tuple[str, bool]:
        """What the client's tool says."""
        said = self.tools[call.tool]
        if callable(said):
            said = said(**call.args)
        return said if isinstance(said, tuple) else (said, False)

    def asked(self, role: str) -> list[Question]:
        """The questions of a role so far."""
        return [one for one in self.questions if one.role == role]

    def told(self, role: str = "pllm") -> str:
        """Everything a role was ever shown."""
        return "\n".join(
            "\n".join([one.system, *(message.text for message in one.messages)])
            for one in self.asked(role)
        )

    def _decide(self, calls: Sequence[CallRequest]) -> None:
        for call in calls:
            verdict = self.decide(call)
            entry = {"step": call.step, "tool": call.tool, "denied": [], "allowed": []}
            if verdict is None:
                self.turn.allowed(call.no, entry)
                continue
            entry["denied"] = [{"policy": f"{call.tool}#0"}]
            self.turn.denied(call.no, verdict.message, hard=verdict.hard, entry=entry)
            return

    def _says(self, question: Question) -> Said:
        teller = self.models[question.role]
        if callable(teller):
            return teller(question)
        index = self._asked.get(question.role, 0)
        self._asked[question.role] = index + 1
        return teller[min(index, len(teller) - 1)]


def fenced(program: str) -> str:
    """A program as planners send it."""
    return f"I will do it.\n```python\n{program.strip()}\n```"


def tool(name: str, *params: str, required: Sequence[str] | None = None, **more: Any) -> ToolSpec:
    """A tool with text arguments."""
    schema = {
        "type": "object",
        "properties": {one: {"type": "string"} for one in params},
        "required": list(params if required is None else required),
    }
    return ToolSpec(name=name, description=f"The tool {name}.", schema=schema, **more)


def config(*, pllm: Mapping[str, Any] | None = None, **fsm: Any) -> DualConfig:
    """A config with these `fsm` keys, and these of `prompt.pllm`."""
    prompt = Prompts(pllm=replace(PlannerPrompt(), **(pllm or {})))
    return DualConfig(fsm=replace(Fsm(), **fsm), prompt=prompt)


def given(
    text: str = "Do it.", *tools: ToolSpec, config: DualConfig | None = None, **more: Any
) -> TurnInput:
    """The input of a turn for one user message."""
    messages = more.pop("messages", ())
    return TurnInput(
        messages=(*messages, Message(role="user", text=text)),
        tools=tools,
        config=config or DualConfig(),
        **more,
    )
