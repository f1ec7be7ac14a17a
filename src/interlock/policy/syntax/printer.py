"""Syntax trees back to text: `parse(print_program(tree)) == tree`, places aside.

Prints the published language only, never our shorthands for it, so that the
published client's parser accepts whatever does not use `@caller`.
"""

from collections.abc import Iterable
from decimal import Decimal

from interlock.policy.syntax import nodes as n
from interlock.policy.syntax.strings import encode_pattern, encode_text

__all__ = ["print_predicate", "print_program", "print_rule", "print_set", "print_value"]

_SET_LEVEL = {"xor": 0, "minus": 1, "intersect": 2, "union": 3}
_SET_SIGN = {"xor": "^", "minus": "-", "intersect": "&", "union": "|"}
_COMPARE = {
    "overlaps": "overlaps",
    "subset": "subset of",
    "superset": "superset of",
    "equals": "==",
}
_MODAL = {"hard": "must", "soft": "should"}
_ELEMENT_LEVEL, _ATOM_LEVEL = 4, 5


def print_program(program: n.Program, *, modal: bool = False) -> str:
    """The text of a whole policy, one declaration after another; empty for an empty one.

    With `modal`, levels are written `must` and `should`, as people do.
    """
    return "".join(
        f"{line}\n" for item in program.declarations for line in _declaration(item, modal)
    )


def print_rule(rule: n.CheckRule, *, modal: bool = False) -> str:
    """A check rule on one line, without its semicolon."""
    condition = "always" if rule.condition is None else f"when {print_predicate(rule.condition)}"
    level = _MODAL[rule.level] if modal else rule.level
    return f"{level} {rule.outcome} {condition}"


def _doc(doc: str | None, indent: str) -> Iterable[str]:
    for line in doc.split("\n") if doc is not None else ():
        yield f"{indent}/// {line}".rstrip()


def _declaration(item: n.Declaration, modal: bool) -> Iterable[str]:
    yield from _doc(item.doc, "")
    if isinstance(item, n.Let):
        yield f"let {item.name} = {_let_value(item.value)};"
    elif isinstance(item, n.Shorthand):
        yield _shorthand(item)
    else:
        yield f"tool {_tool_id(item.id)} {{"
        for member in item.members:
            yield from _member(member, modal)
        yield "}"


def _let_value(value: n.LetValue) -> str:
    if isinstance(value, n.Alias):
        return value.name
    if isinstance(value, n.BoolDomain | n.NumberDomain | n.StrDomain | n.TimeDomain | n.TimeExact):
        return _element(value)
    if isinstance(value, n.SetLiteral | n.SetRef | n.Meta | n.SetOp | n.ElementOps):
        return print_set(value)
    return print_predicate(value)


def _tool_id(tool_id: n.ToolId) -> str:
    if tool_id.regex:
        return f'r"{encode_pattern(tool_id.text)}"'
    return f'"{encode_text(tool_id.text)}"'


def _shorthand(item: n.Shorthand) -> str:
    priority = "" if item.priority is None else f" [{item.priority}]"
    where = {"result": "", "before": "session before ", "after": "session "}[item.where]
    tail = "" if item.condition is None else f" when {print_predicate(item.condition)}"
    update = f"@{item.field} {item.op} {print_set(item.value)}"
    return f"tool {_tool_id(item.id)}{priority} -> {where}{update}{tail};"


def _member(member: n.Member, modal: bool) -> Iterable[str]:
    yield from _doc(member.doc, "    ")
    if isinstance(member, n.Priority):
        yield f"    priority {member.value};"
    elif isinstance(member, n.CheckRule):
        yield f"    {print_rule(member, modal=modal)};"
    else:
        yield f"    {'result' if member.where == 'result' else f'session {member.where}'} {{"
        for statement in member.statements:
            yield from _statement(statement)
        yield "    }"


def _statement(statement: n.Statement) -> Iterable[str]:
    yield from _doc(statement.doc, " " * 8)
    if isinstance(statement, n.Update):
        yield f"        {_update(statement)}"
        return
    yield f"        when {print_predicate(statement.condition)} {{"
    for update in statement.updates:
        yield from _doc(update.doc, " " * 12)
        yield f"            {_update(update)}"
    yield "        }"


def _update(update: n.Update) -> str:
    target = update.target
    base = {
        "bare": "@",
        "result": "@result.",
        "session": "@session.",
        "argument": f"{target.name}.",
    }
    return f"{base[target.scope]}{target.field} {update.op} {print_set(update.value)};"


def print_predicate(predicate: n.Predicate) -> str:
    """A condition on one line."""
    return _predicate(predicate, 0)


def _predicate(item: n.Predicate, level: int) -> str:
    match item:
        case n.Or(items):
            text = " or ".join(_predicate(part, 1) for part in items)
            return f"({text})" if level > 0 else text
        case n.And(items):
            text = " and ".join(_predicate(part, 2) for part in items)
            return f"({text})" if level > 1 else text
        case n.Not(inner):
            return f"not {_predicate(inner, 2)}"
        case n.BoolConst(value):
            return "true" if value else "false"
        case n.PredicateRef(name):
            return f"({name})" if name == "not" else name
        case n.ValueIn(value, within):
            return f"{print_value(value)} in {print_set(within)}"
        case n.ValueEquals(left, right):
            return f"{print_value(left)} == {print_value(right)}"
        case n.SetCompare(op, operand, right_set):
            return f"{_meta(operand)} {_COMPARE[op]} {print_set(right_set)}"
        case n.SetIs(what, operand):
            return f"{_meta(operand)} is {what}"


def print_value(value: n.Value) -> str:
    """A value operand."""
    match value:
        case n.ValueOf("argument", name):
            return f"{name}.value"
        case n.ValueOf(scope, _):
            return f"@{scope}.value"
        case n.Literal_("string", text):
            return f'"{encode_text(str(text))}"'
        case n.Literal_("datetime", text):
            return f'd"{encode_text(str(text))}"'
        case n.Literal_("bool", truth):
            return "true" if truth else "false"
        case n.Literal_(_, number):
            return _number(number if isinstance(number, int | float) else 0)


def print_set(item: n.SetExpr) -> str:
    """A set expression on one line."""
    return _set(item, 0)


def _set(item: n.SetExpr, level: int) -> str:
    match item:
        case n.SetOp(op, items):
            own = _SET_LEVEL[op]
            text = f" {_SET_SIGN[op]} ".join(_set(part, own + 1) for part in items)
            return f"({text})" if level > own else text
        case n.ElementOps(base, steps):
            text = _set(base, _ATOM_LEVEL)
            for adds, element in steps:
                text += f" {'with' if adds else 'without'} {_element(element)}"
            return f"({text})" if level > _ELEMENT_LEVEL else text
        case n.SetLiteral(elements):
            return "{" + ", ".join(_element(element) for element in elements) + "}"
        case n.SetRef(name):
            return name
        case n.Meta():
            return _meta(item)


def _meta(meta: n.Meta) -> str:
    match meta.scope:
        case "argument":
            return f"{meta.name}.{meta.field}"
        case "bare":
            return f"@{meta.field}"
        case "args":
            return f"@args.{meta.field}{'.intersect' if meta.name == 'intersect' else ''}"
        case scope:
            return f"@{scope}.{meta.field}"


def _element(element: n.Element) -> str:
    match element:
        case n.StringElement(text):
            return f'"{encode_text(text)}"'
        case n.RegexElement(text):
            return f'r"{encode_pattern(text)}"'
        case n.WildcardElement(text):
            return f'w"{encode_pattern(text)}"'
        case n.NumberElement(value):
            return _number(value)
        case n.BoolDomain(value):
            return f"bool {'true' if value else 'false'}"
        case n.NumberDomain(kind, within):
            return f"{kind} {_range(within)}"
        case n.StrDomain(kind, text, length):
            return _str_domain(kind, text) + ("" if length is None else f" length {_range(length)}")
        case n.TimeExact(kind, value):
            if kind == "epoch" and not isinstance(value, str):
                return f"datetime {_number(value)}"
            return f'datetime {"d" if kind == "datetime" else ""}"{encode_text(str(value))}"'
        case n.TimeDomain(low, high, low_open, high_open):
            left = "" if low is None else f'd"{encode_text(low)}"'
            right = "" if high is None else f'd"{encode_text(high)}"'
            return f"datetime {left}{_dots(low_open, high_open)}{right}"


def _str_domain(kind: str, text: str) -> str:
    if kind == "exact":
        return f'str "{encode_text(text)}"'
    return f'str {kind} {"r" if kind == "matching" else "w"}"{encode_pattern(text)}"'


def _dots(low_open: bool, high_open: bool) -> str:
    return f"{'<' if low_open else ''}..{'<' if high_open else ''}"


def _range(within: n.Range) -> str:
    low, high = within.low, within.high
    if low is not None and low == high and not within.low_open and not within.high_open:
        return _number(low)
    left = "" if low is None else _number(low)
    right = "" if high is None else _number(high)
    return f"{left}{_dots(within.low_open, within.high_open)}{right}"


def _number(value: int | float) -> str:
    if isinstance(value, int):
        return str(value)
    if value in {float("inf"), float("-inf")}:
        return "inf" if value > 0 else "-inf"
    text = format(Decimal(repr(value)), "f")
    return text if "." in text else f"{text}.0"
