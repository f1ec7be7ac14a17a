"""The demo model as policy writer: SQRT from a description, by template.

Clause by clause; a clause is about the tools it names, in full (`send_email`) or by their
words ("sending e-mail"):

- "never / forbid / deny ... TOOL" denies it, "allow ... TOOL" allows it;
- "only ... @domain", "amounts above 100", `under "/etc"` and the like make a condition on an
  argument (`conditions`); "only" and "except" turn it round, "needs approval" makes it soft;
- "after TOOL, no TOOL" puts a label on the session and denies by it;
- "only TOOL", "everything else is forbidden" deny the other tools.

What no template fits is named in a `// not covered:` line. Always valid SQRT in the
published subset.
"""

import re
from collections.abc import Iterable, Sequence

from interlock.providers.demo.clauses import Clause, clauses, meant, stems
from interlock.providers.demo.conditions import Condition, condition
from interlock.providers.demo.tools import Tool

__all__ = ["write_policy"]

_AFTER = re.compile(
    r"(?i)\b(?:after|once|as soon as|as of when|having)\b(?P<first>.+?)"
    r"(?:,|\bthen\b|(?=\b(?:no|never|forbid|deny|block|do not|don't|must not|may not|cannot)\b))"
    r"(?P<then>.+)"
)
_AFTERWARDS = re.compile(r"(?i)^(?P<then>.+?)\b(?:after|once|as soon as)\b(?P<first>.+)$")
_EVERYTHING = re.compile(
    r"(?i)\b(?:everything|anything|all tools?|any tools?|every tool|all tool calls?|"
    r"any tool calls?|deny all|forbid all|block all)\b"
)
_ELSE = re.compile(r"(?i)\b(?:else|other|others|rest)\b")
_UNCLEAR = re.compile(r"(?i)\b(?:unless|except|if|when|while|during|outside|before|until)\b")

_FILLERS = (
    "only solely exclusively nothing nobody but the a an and or to be is are may can must should "
    "allow permit use used using call tool function agent it you of any all let"
)


class _Policy:
    """Declarations in the making: rules by tool, in the order they were said."""

    def __init__(self) -> None:
        self.rules: dict[str, list[str]] = {}
        self.skipped: list[str] = []

    def add(self, tool: str, clause: str, rule: str) -> None:
        """A rule with what it implements; the same rule only once."""
        rules = self.rules.setdefault(tool, [])
        if not any(rule in known for known in rules):
            rules.append(f"    /// {clause}\n    {rule}")

    def text(self) -> str:
        """The whole policy."""
        notes = "".join(f"// not covered: {clause}\n" for clause in self.skipped)
        if not self.rules:
            return notes + "// the demo model found no rule in the description\n"
        return notes + "\n".join(
            f"tool {name} {{\n" + "\n".join(rules) + "\n}\n" for name, rules in self.rules.items()
        )


def write_policy(description: str, tools: Sequence[Tool]) -> str:
    """SQRT text for what the description says about the tools."""
    policy = _Policy()
    found = clauses(description)
    named = {tool.name for clause in found for tool in meant(clause.text, tools)}
    for clause in found:
        if not (_session(policy, clause, tools) or _calls(policy, clause, tools, named)):
            policy.skipped.append(clause.text)
    return policy.text()


def _session(policy: _Policy, clause: Clause, tools: Sequence[Tool]) -> bool:
    """A label of the session, for what may not be done after something else."""
    match = _AFTER.search(clause.text)
    if match is None or not clause.denies:
        match = _AFTERWARDS.search(clause.text) if clause.denies else None
    if match is None:
        return False
    first, then = meant(match["first"], tools), meant(match["then"], tools)
    if not then and _EVERYTHING.search(match["then"]):
        then = [tool for tool in tools if tool not in first]
    if not first or not then:
        return False
    label = " or ".join(tool.name for tool in first)
    tag = _string(f"after {label}")
    for tool in first:
        update = f"session after {{ @tags |= {{{tag}}}; }}"
        policy.add(_string(tool.name), clause.text, update)
    level = "should" if clause.soft else "must"
    for tool in then:
        rule = f"{level} deny when @session.tags overlaps {{{tag}}};"
        policy.add(_string(tool.name), clause.text, rule)
    return True


def _calls(
    policy: _Policy, clause: Clause, tools: Sequence[Tool], named_anywhere: Iterable[str]
) -> bool:
    """Rules about single calls; False: no template fits."""
    about = meant(clause.text, tools)
    if not about:
        return _everything(policy, clause, tools, frozenset(named_anywhere))
    done = False
    for tool in about:
        rule = _rule(clause, tool)
        if rule is not None:
            policy.add(_string(tool.name), clause.text, rule)
            done = True
        elif clause.only and _nothing_more(clause, about):
            done = _others(policy, clause, tools, named_anywhere) or done
    return done


def _everything(
    policy: _Policy, clause: Clause, tools: Sequence[Tool], named: frozenset[str]
) -> bool:
    """A clause that names no tool: all of them, all others, or those with such an argument."""
    if clause.denies and (_EVERYTHING.search(clause.text) or _ELSE.search(clause.text)):
        if _ELSE.search(clause.text):
            return _others(policy, clause, tools, named)
        for name in [_string(tool.name) for tool in tools] or ['r".*"']:
            policy.add(name, clause.text, "must deny always;")
        return True
    done = False
    for tool in tools:
        found = condition(clause, tool)
        if found is not None and found.telling:
            rule = _conditional(clause, found)
            if rule is not None:
                policy.add(_string(tool.name), clause.text, rule)
                done = True
    return done


def _others(policy: _Policy, clause: Clause, tools: Sequence[Tool], named: Iterable[str]) -> bool:
    """Denies every tool the description does not speak of."""
    known = frozenset(named)
    others = [tool for tool in tools if tool.name not in known]
    for tool in others:
        policy.add(_string(tool.name), clause.text, "must deny always;")
    return bool(tools)


def _nothing_more(clause: Clause, about: Sequence[Tool]) -> bool:
    """Whether the clause says "only these tools" and nothing about how."""
    known = stems(" ".join([_FILLERS, *(tool.name for tool in about)]))
    return not stems(clause.text) - known


def _rule(clause: Clause, tool: Tool) -> str | None:
    found = condition(clause, tool)
    if found is not None:
        return _conditional(clause, found)
    if clause.only or clause.conditional or _UNCLEAR.search(clause.text):
        return None
    if clause.denies:
        return "should deny always;" if clause.soft else "must deny always;"
    if clause.soft:
        return "should deny always;"
    return "must allow always;" if clause.allows else None


def _conditional(clause: Clause, found: Condition) -> str | None:
    """The rule of a clause with a condition on an argument."""
    deny = "should deny" if clause.soft else "must deny"
    if clause.excludes:
        # `in` holds for a list only when every element is in the set: one would get through.
        return None if found.every else f"{deny} when {found.text};"
    if clause.only or clause.denies:
        return f"{deny} when not {found.text};"
    if clause.allows:
        return f"must allow when {found.text};"
    return f"{deny} when not {found.text};" if found.implies_only else None


def _string(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
