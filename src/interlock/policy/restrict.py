"""Tells whether a policy text can only restrict: what a planner may add to itself (10.6).

Accepted are deny rules, additions of tags and producers, and cuts of consumers.
"""

from interlock.policy.advice import diagnose
from interlock.policy.errors import Diagnostic
from interlock.policy.scope import Scope
from interlock.policy.syntax import nodes as n
from interlock.policy.syntax.walk import walk

__all__ = ["loosening"]

_RESTRICTING = {"tags": {"|="}, "producers": {"|="}, "consumers": {"&=", "-="}}


def loosening(program: n.Program, text: str, source: str) -> tuple[Diagnostic, ...]:
    """Everything in the program that could allow more than before; empty when it only restricts."""
    scope = Scope(source=source, text=text)
    found = []
    for node in walk(program):
        problem: str | None = None
        if isinstance(node, n.CheckRule) and node.outcome == "allow":
            problem = "an allow rule can loosen the policy"
        elif isinstance(node, n.Shorthand) and node.op not in _RESTRICTING[node.field]:
            problem = f"`@{node.field} {node.op}` can loosen the policy"
        elif isinstance(node, n.Update) and node.op not in _RESTRICTING[node.target.field]:
            problem = f"`{node.target.field} {node.op}` can loosen the policy"
        if problem is not None:
            found.append(
                diagnose(scope, node, problem, "add deny rules or labels instead", "error")
            )
    return tuple(found)
