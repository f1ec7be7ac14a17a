"""Warnings: texts that compile and probably do not mean what they say (11.3)."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Literal

from interlock.policy.errors import Diagnostic, excerpt
from interlock.policy.evaluate.patterns import regex_matcher
from interlock.policy.scope import Scope
from interlock.policy.syntax import nodes as n
from interlock.policy.syntax.walk import walk

__all__ = [
    "INTERNAL_TOOLS",
    "KnownTools",
    "advice",
    "diagnose",
    "unknown_names",
    "widening_operand",
]

KnownTools = Mapping[str, Iterable[str] | None]
"""Declared tools and their argument names; None when the arguments are not known."""

INTERNAL_TOOLS = frozenset({"parse_with_ai", "verify_hypothesis", "set_policy", "complete_turn"})


def diagnose(
    scope: Scope,
    node: n.Node,
    message: str,
    help_text: str | None = None,
    severity: Literal["error", "warning"] = "warning",
) -> Diagnostic:
    """A finding about a node of the text of `scope`."""
    line, column = node.span.line, node.span.column
    return Diagnostic(
        severity=severity,
        message=message,
        source=scope.source,
        line=line,
        column=column,
        excerpt=excerpt(scope.text, line, column),
        help=help_text,
    )


def advice(
    program: n.Program, scope: Scope, known_tools: KnownTools | None
) -> tuple[Diagnostic, ...]:
    """All warnings about a text that has passed the checks."""
    found: list[Diagnostic] = []
    for item in program.declarations:
        if isinstance(item, n.Let):
            continue
        if isinstance(item, n.ToolDecl):
            found += _unreachable(item, scope)
            found += _unanchored(item, scope)
        found += _widening(item, scope)
        if known_tools is not None:
            declared = {**dict.fromkeys(INTERNAL_TOOLS), **known_tools}
            found += unknown_names(item, scope, declared)
    return tuple(found)


def _unreachable(item: n.ToolDecl, scope: Scope) -> Iterator[Diagnostic]:
    always: dict[str, n.CheckRule] = {}
    for rule in item.members:
        if not isinstance(rule, n.CheckRule):
            continue
        kind = f"{rule.level} {rule.outcome}"
        stronger = ["hard deny"]
        if kind != "hard deny":
            stronger.append("hard allow")
        if rule.level == "soft":
            stronger += ["soft deny", "soft allow"]
        first = next((always[name] for name in stronger if name in always), None)
        if first is not None:
            problem = f"this rule never decides: line {first.span.line} holds for every call"
            yield diagnose(scope, rule, problem)
        if rule.condition is None:
            always.setdefault(kind, rule)


def _unanchored(item: n.ToolDecl, scope: Scope) -> Iterator[Diagnostic]:
    for rule in item.members:
        if not isinstance(rule, n.CheckRule) or rule.outcome != "deny":
            continue
        for node in walk(rule):
            text = _regex_text(node)
            if text is None:
                continue
            anchored = text.startswith("^") and text.endswith("$")
            if not anchored and ".*" not in text and ".+" not in text:
                yield diagnose(
                    scope,
                    node,
                    f"`{text}` has to match the whole text, so this is about exact matches only",
                    f'write `r".*{text.removeprefix("^")}.*"` to find it anywhere',
                )


def _regex_text(node: n.Node) -> str | None:
    match node:
        case n.RegexElement(text) | n.StrDomain("matching", text, _):
            return text
        case _:
            return None


def _widening(item: n.Declaration, scope: Scope) -> Iterator[Diagnostic]:
    for update, where in _updates(item):
        if update.target.field != "consumers":
            continue
        if update.op == "|=" or widening_operand(update, where) is not None:
            yield diagnose(
                scope,
                update,
                "on consumers that were never set this leaves exactly the new set",
                "write `=` when that is what you mean",
            )


def _updates(item: n.Declaration) -> Iterator[tuple[n.Update, n.Where]]:
    if isinstance(item, n.Shorthand):
        yield (
            n.Update(n.Target("bare", item.field), item.op, item.value, span=item.span),
            item.where,
        )
    if isinstance(item, n.ToolDecl):
        for block in item.members:
            if isinstance(block, n.UpdateBlock):
                for node in walk(block):
                    if isinstance(node, n.Update):
                        yield node, block.where


def widening_operand(update: n.Update, where: n.Where) -> n.Meta | None:
    """The target itself, where `T = T | ...` or `T = T with ...` reads it on the left."""
    if update.op != "=":
        return None
    item, joins = update.value, False
    while True:
        match item:
            case n.SetOp("union", items):
                item = items[0]
            case n.ElementOps(base, steps) if all(adds for adds, _ in steps):
                item = base
            case _:
                break
        joins = True
    target = update.target
    if not joins or not isinstance(item, n.Meta) or item.field != target.field:
        return None
    bare = "result" if where == "result" else "session"
    scopes = [bare if scope == "bare" else scope for scope in (item.scope, target.scope)]
    return item if scopes[0] == scopes[1] and item.name == target.name else None


def unknown_names(
    item: n.ToolDecl | n.Shorthand,
    scope: Scope,
    declared: KnownTools,
    severity: Literal["error", "warning"] = "warning",
) -> Iterator[Diagnostic]:
    """Tools and arguments the declaration names and nobody has declared."""
    if item.id.regex:
        matches = regex_matcher(item.id.text)
        about = [name for name in declared if matches(name)]
    else:
        about = [name for name in declared if name == item.id.text]
    if not about:
        listed = sorted(declared.keys() - INTERNAL_TOOLS) or sorted(declared)
        names = ", ".join(f"`{name}`" for name in listed[:8]) or "none"
        problem = f"no declared tool is called `{item.id.text}`"
        yield diagnose(scope, item.id, problem, f"declared tools: {names}", severity)
        return
    arguments: set[str] = set()
    for name in about:
        names_of = declared[name]
        if names_of is None:
            return
        arguments.update(names_of)
    for where, node in _written_out(item, scope):
        argument = _argument(node)
        if argument is not None and argument not in arguments:
            shown = ", ".join(f"`{other}`" for other in sorted(arguments)[:8]) or "none"
            problem = f"`{item.id.text}` has no argument `{argument}`"
            yield diagnose(where, node, problem, f"its arguments: {shown}", severity)


def _written_out(item: n.Node, scope: Scope) -> Iterator[tuple[Scope, n.Node]]:
    """The nodes of a declaration and of every `let` it uses, each `let` once."""
    seen: set[int] = set()
    waiting: list[tuple[Scope, n.Node]] = [(scope, item)]
    while waiting:
        where, root = waiting.pop()
        for node in walk(root):
            yield where, node
            if not isinstance(node, n.PredicateRef | n.SetRef | n.Alias):
                continue
            found = where.find(node.name)
            if found is not None and id(found[1]) not in seen:
                seen.add(id(found[1]))
                waiting.append((found[0], found[1].value))


def _argument(node: n.Node) -> str | None:
    if isinstance(node, n.ValueOf | n.Meta | n.Target) and node.scope == "argument":
        return node.name
    return None
