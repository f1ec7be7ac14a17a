"""Decides calls by Interlock's policy engine, in this process.

The same functions that the gateway calls, without a server around them: fast enough to try
a policy on every pair in some seconds. `overhttp` measures the gateway itself; a test holds
the two against each other.
"""

import json

from benchmarks.agentdojo.scenario import Call, Run

from interlock.policy.compiled import CompiledPolicy, compile_policy
from interlock.policy.labels import initial_labels
from interlock.policy.model import Caller, Labels, Mode, PolicySource, Presets, Session, ToolCall
from interlock.policy.provenance import TRUSTED, Evidence, GivenResult

__all__ = ["Conversation", "compiled"]


def compiled(text: str, *, name: str = "policy", mode: Mode = "standard") -> CompiledPolicy:
    """A policy, ready to decide."""
    source = PolicySource(name=name, text=text)
    return compile_policy([source], presets=Presets(), caller=Caller(), mode=mode)


class Conversation:
    """What the gateway keeps of one conversation."""

    def __init__(self, policy: CompiledPolicy, run: Run) -> None:
        self._policy = policy
        self._said = [run.prompt]
        self._session = Session()
        self._results: list[GivenResult] = []
        self._labels: dict[str, Labels] = {}

    def decide(self, call: Call) -> str | None:
        """Why a call is denied; None when it is allowed."""
        args = json.loads(json.dumps(call.args))
        found = {}
        if self._policy.needs_evidence:
            found = Evidence(self._said, self._results).of(args)
        decision = self._policy.decide(
            ToolCall(tool=call.tool, args=args, labels=found), self._session
        )
        self._session = decision.session
        self._labels = dict(decision.labels)
        if decision.verdict.allowed:
            return None
        return decision.rule.rule if decision.rule is not None else decision.reason

    def heard(self, call: Call, text: str) -> None:
        """Takes in the result of the call that was decided last."""
        asked = ToolCall(tool=call.tool, args=call.args, labels=self._labels)
        initial = initial_labels(ToolCall(tool=call.tool, args=call.args))
        update = self._policy.result(asked, text, initial, self._session)
        self._session = update.session
        trusted = TRUSTED in update.labels.tags
        self._results.append(GivenResult(tool=call.tool, text=text, trusted=trusted))
