"""What each rule of a policy buys and costs: the policy grown rule by rule.

A suite's policy starts with none of its allow rules and gets them back in the order of its
text. The generic policy starts with reads only and gets its exceptions in groups, and in the
end one more than is shipped.
"""

import re
from collections.abc import Iterator
from dataclasses import replace

from benchmarks.agentdojo.defences import policy_text

from interlock.policy.syntax import nodes
from interlock.policy.syntax.parser import parse
from interlock.policy.syntax.printer import print_program, print_rule

__all__ = ["CURVES", "generic_steps", "suite_steps"]

CURVES = ("workspace", "slack", "generic")
"""Policies that are grown: those of two suites, and the generic one of the two others."""

_NEVER = 'tool "x" { must allow when 1 == 2; }'

_GROUPS: tuple[tuple[str, str], ...] = (
    (
        "+ free text that points nowhere the user did not point to",
        r"when \"__references_from_user\" in ",
    ),
    ("+ amounts worked out", r"when (amount|quantity)\."),
    ("+ dates filled in, or on a day the user named", r"when (date\.|\"__date_from_user\" in )"),
    ("+ a location that is a field of a result", r"when location\."),
    ("+ ids of what is changed, from a result (**as shipped**)", r"when id\."),
)
_TOO_FAR = (
    "+ any argument that is a field of a result (not shipped)",
    ("recipient", "recipients", "hotel", "title", "url", "street", "city", "password", "user"),
)


def suite_steps(name: str) -> Iterator[tuple[str, str]]:
    """(rule added, text of the policy with it), from no allow rule to all of them."""
    program = parse(policy_text(name))
    never = _rules(parse(_NEVER))[0]
    total = len(_allowing(program))
    for kept in range(total + 1):
        left = iter(range(total))
        yield (
            "reads only" if not kept else _title(program, kept - 1),
            print_program(
                replace(
                    program,
                    declarations=tuple(
                        _thinned(item, left, kept, never) for item in program.declarations
                    ),
                )
            ),
        )


def generic_steps() -> Iterator[tuple[str, str]]:
    """(exceptions added, text), for `shipped:users-words`."""
    text = policy_text("shipped:users-words")
    nothing = text
    for _, pattern in _GROUPS:
        nothing, count = re.subn(rf"^ *{pattern}.*\n", "", nothing, flags=re.MULTILINE)
        if not count:
            raise AssertionError(f"nothing in the policy matches {pattern}")
    rule = 'should allow when "__from_user" in @args.tags.intersect;'
    yield "reads only", nothing.replace(rule, "should deny always;")
    yield "+ actions with every argument from the user's words", nothing
    for kept in range(1, len(_GROUPS) + 1):
        grown = text
        for _, pattern in _GROUPS[kept:]:
            grown = re.sub(rf"^ *{pattern}.*\n", "", grown, flags=re.MULTILINE)
        yield _GROUPS[kept - 1][0], grown
    title, names = _TOO_FAR
    more = "".join(
        f'when {name}.tags overlaps {{w"__from/*"}} {{ {name}.tags |= {{"__from_user"}}; }}\n'
        for name in names
    )
    yield title, text + f'\ntool r".*" {{ session before {{\n{more}}} }}\n'


def _rules(program: nodes.Program) -> list[nodes.CheckRule]:
    return [
        member
        for item in program.declarations
        if isinstance(item, nodes.ToolDecl)
        for member in item.members
        if isinstance(member, nodes.CheckRule)
    ]


def _allowing(program: nodes.Program) -> list[nodes.CheckRule]:
    return [rule for rule in _rules(program) if rule.outcome == "allow"]


def _title(program: nodes.Program, number: int) -> str:
    seen = 0
    for item in program.declarations:
        if not isinstance(item, nodes.ToolDecl):
            continue
        for member in item.members:
            if isinstance(member, nodes.CheckRule) and member.outcome == "allow":
                if seen == number:
                    said = " ".join((member.doc or print_rule(member)).split())
                    return f"+ `{item.id.text}`: " + (said if member.doc else f"`{said}`")
                seen += 1
    raise AssertionError(number)


def _thinned(
    item: nodes.Declaration, left: Iterator[int], kept: int, never: nodes.CheckRule
) -> nodes.Declaration:
    if not isinstance(item, nodes.ToolDecl):
        return item
    members = tuple(
        never
        if isinstance(member, nodes.CheckRule) and member.outcome == "allow" and next(left) >= kept
        else member
        for member in item.members
    )
    return replace(item, members=members)
