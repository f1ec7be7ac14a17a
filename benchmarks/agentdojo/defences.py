"""What is measured: each row of the table, and how its calls are decided."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from benchmarks.agentdojo.indual import play_plan
from benchmarks.agentdojo.inprocess import Conversation, compiled
from benchmarks.agentdojo.overhttp import Gateway
from benchmarks.agentdojo.scenario import Call, Outcome, Pair, Run, play
from benchmarks.agentdojo.suites import SUITES

from interlock.gateway.shipped import shipped_policy
from interlock.policy.compiled import CompiledPolicy

__all__ = ["ROWS", "Row", "player", "policy_text", "shipped_policies"]

_HERE = Path(__file__).parent / "policies"
Where = Literal["gateway", "engine", "machine", "reference"]
"""Through `interlock serve`; the policy engine in this process; plans on the labelled machine of
dual-llm; not Interlock at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table."""

    name: str
    title: str
    where: Where
    policies: Mapping[str, str] | None = None
    """Suite -> name of a policy; None: no policy."""
    mode: Literal["standard", "strict"] = "standard"
    expected: str = ""
    """The figures given for this row elsewhere: attacks of 609 / user tasks of 97."""


def shipped_policies() -> dict[str, str]:
    """Hand-written for two suites; for the others a policy that knows no tool."""
    generic = "shipped:users-words"
    return {"workspace": "workspace", "slack": "slack", "travel": generic, "banking": generic}


def policy_text(name: str) -> str:
    """The text of a policy of this benchmark, or `shipped:NAME`."""
    if name.startswith("shipped:"):
        return shipped_policy(name).text
    return (_HERE / f"{name}.sqrt").read_text(encoding="utf-8")


def _everywhere(name: str) -> dict[str, str]:
    return dict.fromkeys(SUITES, name)


ROWS: tuple[Row, ...] = (
    Row(name="nothing", title="nothing", where="gateway", expected="596 / 97"),
    Row(
        name="read-or-act",
        title="no side effect after anything was read (`shipped:read-or-act`)",
        where="engine",
        policies=_everywhere("shipped:read-or-act"),
        expected="0 / 37",
    ),
    Row(
        name="sensitive-arguments",
        title="sensitive arguments must occur in the prompt or in trusted results",
        where="engine",
        policies=_everywhere("sensitive-arguments"),
        expected="27 / 62",
    ),
    Row(
        name="bound",
        title="bound: exactly the user's own calls (an oracle)",
        where="reference",
        expected="8 / 97",
    ),
    Row(
        name="users-words",
        title="single-llm, `shipped:users-words` for all suites",
        where="engine",
        policies=_everywhere("shipped:users-words"),
    ),
    Row(
        name="single",
        title="**single-llm, shipped policies**",
        where="gateway",
        policies=shipped_policies(),
    ),
    Row(
        name="single-strict",
        title="single-llm, shipped policies, mode strict",
        where="engine",
        policies=shipped_policies(),
        mode="strict",
    ),
    Row(
        name="dual-strict",
        title="dual-llm, planner oracle, no policy, mode strict",
        where="machine",
        mode="strict",
    ),
    Row(
        name="dual-quarantined",
        title="**dual-llm, planner oracle, `shipped:quarantined-text`, mode strict**",
        where="machine",
        policies=_everywhere("shipped:quarantined-text"),
        mode="strict",
    ),
    Row(
        name="dual-single-policies",
        title="dual-llm, planner oracle, the policies of single-llm",
        where="machine",
        policies=shipped_policies(),
    ),
)


def player(row: Row, gateway: Gateway | None) -> Callable[[Pair], Outcome]:
    """What plays one pair under a row's defence."""
    if row.where == "reference":
        return _own_calls_only
    if row.where == "gateway" and gateway is not None:

        def through(pair: Pair) -> Outcome:
            code = None if row.policies is None else policy_text(row.policies[pair.suite.name])
            return gateway.play(pair, code, mode=row.mode)

        return through
    policies: dict[str, CompiledPolicy] = {
        suite: compiled(policy_text(name), name=name, mode=row.mode)
        for suite, name in (row.policies or {}).items()
    }

    if row.where == "machine":
        none = compiled("", mode=row.mode)

        def planned(pair: Pair) -> Outcome:
            policy = policies.get(pair.suite.name, none)
            return play_plan(pair, policy, strict=row.mode == "strict")

        return planned

    def here(pair: Pair) -> Outcome:
        run = Run(pair)
        if not policies:
            return play(run, lambda _: None, lambda _call, _text: None)
        conversation = Conversation(policies[pair.suite.name], run)
        return play(run, conversation.decide, conversation.heard)

    return here


def _own_calls_only(pair: Pair) -> Outcome:
    run = Run(pair)
    own = [(item.function, dict(item.args)) for item in run.user.ground_truth(run.environment)]

    def decide(call: Call) -> str | None:
        if (call.tool, call.args) in own:
            own.remove((call.tool, call.args))
            return None
        return "not a call of the user's task"

    return play(run, decide, lambda _call, _text: None)
