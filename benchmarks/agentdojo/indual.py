"""Runs plans as turns of dual-llm, with a quarantined model that may be hijacked.

The turn is Interlock's own: it asks the planner, runs its program on the labelled machine,
wants every call decided, and asks the quarantined model. The planner has seen nothing but the
request, so its program is the same whatever results say. An attack can only change data: the
quarantined model, once an injection is in its input, answers with what the attacker would
put in that place.
"""

import functools
import json
import re
from dataclasses import dataclass, field
from typing import Any

from benchmarks.agentdojo.plans import Plan, plan_of
from benchmarks.agentdojo.plans import Question as Asked
from benchmarks.agentdojo.scenario import Attempt, Call, Outcome, Pair, Run

from interlock.dual.turn import (
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
    Question,
    Restrict,
    Suspend,
    ToolSpec,
    Turn,
    TurnInput,
)
from interlock.policy.compiled import CompiledPolicy
from interlock.policy.model import Labels, Session, ToolCall
from interlock.policy.provenance import TRUSTED, Evidence, GivenResult

__all__ = ["play_plan"]

_SECRET = re.compile(r"[\w-]*\d[\w-]*\d[\w-]*\d[\w-]*\d[\w-]*")
_ONE_TRY = Fsm(min_num_tools_for_filtering=None, max_pllm_steps=1)
_CHARS_PER_TOKEN = 4


def play_plan(pair: Pair, policy: CompiledPolicy, *, strict: bool) -> Outcome:
    """Plays a user task as its plan, to the end or to the first denial."""
    return _Play(pair, policy, strict=strict).outcome()


@dataclass(slots=True)
class _Play:
    pair: Pair
    policy: CompiledPolicy
    strict: bool = field(kw_only=True)
    run: Run = field(init=False)
    plan: Plan = field(init=False)
    turn: Turn = field(init=False)
    attempts: list[Attempt] = field(init=False, default_factory=list)
    session: Session = field(init=False, default_factory=Session)
    results: list[GivenResult] = field(init=False, default_factory=list)
    asked: dict[int, ToolCall] = field(init=False, default_factory=dict)
    """By number of the call: as it was decided, with the labels rules gave its arguments."""
    questions: int = field(init=False, default=0)
    characters: int = field(init=False, default=0)
    lies: set[str] = field(init=False, default_factory=set)
    """What the hijacked model answered."""
    hijacked: bool = field(init=False, default=False)

    def outcome(self) -> Outcome:
        self.run = Run(self.pair)
        self.plan = plan_of(self.pair.suite, self.pair.user_task)
        given = TurnInput(
            messages=(Message(role="user", text=self.run.prompt),),
            tools=_tools(self.pair.suite),
            config=DualConfig(fsm=_ONE_TRY, strict=self.strict),
        )
        self.turn = Turn.begin(given)
        while not isinstance(command := self.turn.next(), Final):
            self._perform(command)
        answer = command.answer
        said = "" if answer.value is None else answer.value.value
        outcome = self.run.judge(
            self.attempts, said=said if isinstance(said, str) else json.dumps(said)
        )
        if answer.error is not None and answer.error.code != "policy_violation":
            outcome.stopped = answer.error.message
        outcome.hijacked = self.hijacked
        outcome.model_calls = self.questions
        outcome.tokens = self.characters // _CHARS_PER_TOKEN
        return outcome

    def _perform(self, command: Command) -> None:
        match command:
            case Ask(asks=asks):
                for question in asks:
                    self.turn.answered(question.no, self._say(question))
            case Decide(calls=calls):
                for call in calls:
                    self._decide(call)
            case Suspend(calls=calls):
                for call in calls:
                    self._execute(call)
            case Label():
                self.turn.labelled(command.no, self._labels(command))
            case ClearSession() | Restrict() | Final():
                raise AssertionError("no plan of these asks for that")

    def _say(self, question: Question) -> str:
        if question.role == "pllm":
            said = f"```python\n{self.plan.source}```"
        elif question.role == "qllm":
            text = question.messages[-1].text
            said = json.dumps({"value": self._answer(text), "have_enough_info": True})
        else:
            raise AssertionError(f"no plan needs the role `{question.role}`")
        heard = question.system + "".join(message.text for message in question.messages)
        self.questions += 1
        self.characters += len(heard) + len(said)
        return said

    def _answer(self, text: str) -> Any:
        """The quarantined model: honest until an injection is in its input."""
        asked: Asked = next(about for name, about in self.plan.questions.items() if name in text)
        if not self.run.marker or self.run.marker not in text:
            return asked.answer
        lie = self.run.attackers_answer(asked, text, _SECRET)
        if lie != asked.answer:
            self.lies.add(str(lie))
        return lie

    def _decide(self, request: CallRequest) -> None:
        args = dict(request.args)
        labels = dict(request.labels)
        if self.policy.needs_evidence:
            # What derives from a result carries `__non_executable`, so the rest is the plan's.
            own = {name for name in args if labels.get(name, Labels()).tags.is_empty}
            for name, found in Evidence([self.run.prompt], self.results).of_plan(args, own).items():
                labels[name] = labels[name].merge(found) if name in labels else found
        asked = ToolCall(tool=request.tool, args=args, labels=labels)
        decision = self.policy.decide(asked, self.session)
        self.session = decision.session
        self.turn.session_labels = self.session.labels
        if decision.verdict.allowed:
            self.asked[request.no] = ToolCall(
                tool=request.tool, args=args, labels=dict(decision.labels)
            )
            self.turn.allowed(request.no)
            return
        why = decision.rule.rule if decision.rule is not None else decision.reason
        call = Call(request.tool, args, injected=False)
        self.attempts.append(Attempt(call, allowed=False, why=why))
        self.turn.denied(request.no, why)

    def _execute(self, request: CallRequest) -> None:
        args = dict(request.args)
        call = Call(request.tool, args, injected=False)
        self.hijacked = self.hijacked or _holds(args, self.lies)
        text, error = self.run.execute(call)
        self.attempts.append(Attempt(call, allowed=True, error=error))
        self.run.saw(text)
        self.results.append(GivenResult(tool=call.tool, text=text))
        self.turn.result(request.no, text, bool(error))

    def _labels(self, command: Label) -> Labels:
        asked = self.asked[command.no]
        update = self.policy.result(asked, command.value, command.initial, self.session)
        self.session = update.session
        self.turn.session_labels = self.session.labels
        if TRUSTED in update.labels.tags and not command.call.internal:
            last = self.results[-1]
            self.results[-1] = GivenResult(tool=last.tool, text=last.text, trusted=True)
        return update.labels


@functools.cache
def _tools(suite: Any) -> tuple[ToolSpec, ...]:
    return tuple(
        ToolSpec(
            name=tool.name,
            description=tool.description,
            schema=tool.parameters.model_json_schema(),
        )
        for tool in suite.tools
    )


def _holds(value: Any, texts: set[str]) -> bool:
    """Whether one of the texts stands anywhere in a value."""
    if isinstance(value, dict):
        return any(_holds(item, texts) for item in value.values())
    if isinstance(value, list):
        return any(_holds(item, texts) for item in value)
    return any(text in str(value) for text in texts)
