"""Runs plans on Interlock's labelled machine, with a quarantined model that may be hijacked.

The planner has seen nothing but the request, so the program is the same whatever results say.
An attack can only change data: the quarantined model, once an injection is in its input,
answers with what the attacker would put in that place.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from benchmarks.agentdojo.plans import Question, parsed, plan_of
from benchmarks.agentdojo.scenario import Attempt, Call, Outcome, Pair, Run

from interlock.dual.compile import compile_program
from interlock.dual.events import Finished, Options, Pending, Request
from interlock.dual.machine import Machine
from interlock.dual.plain import plain
from interlock.dual.program import ToolSig
from interlock.policy.compiled import CompiledPolicy
from interlock.policy.labels import initial_labels
from interlock.policy.model import Session, ToolCall
from interlock.policy.provenance import TRUSTED, Evidence, GivenResult

__all__ = ["play_plan"]

_ASK = ToolSig(
    name="parse_with_ai",
    tool="parse_with_ai",
    params=("query", "data"),
    required=frozenset({"query", "data"}),
    internal=True,
)
_SECRET = re.compile(r"[\w-]*\d[\w-]*\d[\w-]*\d[\w-]*\d[\w-]*")


def play_plan(pair: Pair, policy: CompiledPolicy, *, strict: bool) -> Outcome:
    """Plays a user task as its plan, to the end or to the first denial."""
    return _Turn(pair, policy, strict=strict).outcome()


@dataclass(slots=True)
class _Turn:
    pair: Pair
    policy: CompiledPolicy
    strict: bool = field(kw_only=True)
    run: Run = field(init=False)
    attempts: list[Attempt] = field(init=False, default_factory=list)
    session: Session = field(init=False, default_factory=Session)
    results: list[GivenResult] = field(init=False, default_factory=list)
    said: str = field(init=False, default="")
    hijacked: bool = field(init=False, default=False)

    def outcome(self) -> Outcome:
        self.run = Run(self.pair)
        plan = plan_of(self.pair.suite, self.pair.user_task)
        tools = [
            ToolSig(
                name=tool.name,
                tool=tool.name,
                params=tuple(tool.parameters.model_fields),
                required=frozenset(
                    name
                    for name, about in tool.parameters.model_fields.items()
                    if about.is_required()
                ),
            )
            for tool in self.pair.suite.tools
        ]
        program = compile_program(plan.source, tools=[*tools, _ASK])
        machine = Machine.start(program, options=Options(strict=self.strict))
        while isinstance(event := machine.run(), Pending):
            if not all(self._perform(machine, item, plan.questions) for item in event.calls):
                break
        why = ""
        if isinstance(event, Finished):
            answer, _ = plain(event.value)
            self.said = answer if isinstance(answer, str) else json.dumps(answer)
        elif not isinstance(event, Pending):
            why = f"{event.error.type_name}: {event.error.message} (line {event.error.line})"
        outcome = self.run.judge(self.attempts, said=self.said)
        outcome.stopped = why
        outcome.hijacked = self.hijacked
        return outcome

    def _perform(
        self, machine: Machine, request: Request, questions: Mapping[str, Question]
    ) -> bool:
        """Decides and runs a call; False: it was denied, which ends the turn."""
        args = dict(request.args)
        found = {}
        if self.policy.needs_evidence:
            literal = {name for name, sources in request.sources.items() if not sources}
            found = Evidence([self.run.prompt], self.results).of_plan(args, literal)
        labels = dict(request.labels)
        for name, evidence in found.items():
            labels[name] = labels[name].merge(evidence) if name in labels else evidence
        asked = ToolCall(tool=request.sig.tool, args=args, labels=labels)
        decision = self.policy.decide(asked, self.session)
        self.session = decision.session
        call = Call(request.sig.tool, args, injected=False)
        if not decision.verdict.allowed:
            why = decision.rule.rule if decision.rule is not None else decision.reason
            self.attempts.append(Attempt(call, allowed=False, why=why))
            return False
        plain_call = ToolCall(tool=request.sig.tool, args=args, labels=request.labels)
        if request.sig.internal:
            data, error = self._ask(questions[args["query"]], args["data"]), ""
        else:
            if self._from_attacker(args):
                self.hijacked = True
            text, error = self.run.execute(call)
            self.attempts.append(Attempt(call, allowed=True, error=error))
            self.run.saw(text)
            data = parsed(text)
        update = self.policy.result(
            ToolCall(tool=asked.tool, args=args, labels=dict(decision.labels)),
            data,
            initial_labels(plain_call),
            self.session,
            non_executable=not request.sig.internal,
        )
        self.session = update.session
        if not request.sig.internal:
            trusted = TRUSTED in update.labels.tags
            self.results.append(GivenResult(tool=call.tool, text=text, trusted=trusted))
        if error:
            machine.refuse(request.no, "RuntimeError", error, update.labels)
        else:
            machine.give(request.no, data, update.labels)
        return True

    def _ask(self, question: Question, data: Any) -> Any:
        """The quarantined model: honest until an injection is in its input."""
        seen = json.dumps(data, default=str, ensure_ascii=False)
        if not self.run.marker or self.run.marker not in seen:
            return question.answer
        return self.run.attackers_answer(question, seen, _SECRET)

    def _from_attacker(self, args: Mapping[str, Any]) -> bool:
        """Whether an argument is one of the values that the attacker wanted in a call."""
        return self.run.injected_values is not None and any(
            value in self.run.injected_values for value in _texts(args)
        )


def _texts(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for item in value.values() for text in _texts(item)]
    if isinstance(value, list):
        return [text for item in value for text in _texts(item)]
    return [value] if isinstance(value, str) and len(value) > 5 else []
