"""Expressions: one small emitter per node type, each leaves one value on the stack."""

import ast
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from interlock.dual.compile.builder import Builder, Label
from interlock.dual.compile.taint import has_call, has_effects, names_read, root_name, walrus
from interlock.dual.values import Value

__all__ = [
    "EXPRESSIONS",
    "emit_binary",
    "emit_expression",
    "emit_note",
    "emit_slice",
    "emit_target",
]

_BINARY: Mapping[type[ast.operator], str] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.FloorDiv: "//",
    ast.Mod: "%",
    ast.Pow: "**",
    ast.LShift: "<<",
    ast.RShift: ">>",
    ast.BitOr: "|",
    ast.BitXor: "^",
    ast.BitAnd: "&",
}
_UNARY: Mapping[type[ast.unaryop], str] = {
    ast.UAdd: "+",
    ast.USub: "-",
    ast.Invert: "~",
    ast.Not: "not",
}
_COMPARE: Mapping[type[ast.cmpop], str] = {
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.Is: "is",
    ast.IsNot: "is not",
    ast.In: "in",
    ast.NotIn: "not in",
}
_CONVERSIONS = {-1: "", 115: "s", 114: "r", 97: "a"}


def emit_expression(b: Builder, node: ast.expr) -> None:
    """Emits code that pushes the value of the expression.

    Raises:
        ProgramError: something the language has not.
    """
    emit = EXPRESSIONS.get(type(node))
    if emit is None:
        raise b.unsupported(node, f"`{type(node).__name__}` expressions are")
    emit(b, node)


def _constant(b: Builder, node: ast.Constant) -> None:
    value = node.value
    if isinstance(value, complex):  # the guard refused it
        raise b.unsupported(node, "complex numbers are")
    b.emit("CONST", Value(value), node)


def _name(b: Builder, node: ast.Name) -> None:
    if node.id == "__name__":
        b.emit("CONST", Value("__main__"), node)
    else:
        b.load(node.id, node)


def _binary(b: Builder, node: ast.BinOp) -> None:
    chain = [node]
    while isinstance(chain[-1].left, ast.BinOp):
        chain.append(chain[-1].left)
    emit_expression(b, chain[-1].left)
    for link in reversed(chain):
        emit_expression(b, link.right)
        emit_binary(b, link.op, link)


def emit_binary(b: Builder, op: ast.operator, node: ast.AST, kind: str = "BINARY") -> None:
    """The operation itself, both operands on the stack."""
    symbol = _BINARY.get(type(op))
    if symbol is None:
        raise b.unsupported(node, "the operator `@` is")
    b.emit(kind, symbol, node)


def _unary(b: Builder, node: ast.UnaryOp) -> None:
    operand = node.operand
    if isinstance(node.op, ast.USub) and isinstance(operand, ast.Constant):
        number = operand.value
        if isinstance(number, int | float) and not isinstance(number, bool):
            b.emit("CONST", Value(-number), node)
            return
    emit_expression(b, operand)
    b.emit("UNARY", _UNARY[type(node.op)], node)


def _bool_op(b: Builder, node: ast.BoolOp) -> None:
    stop_when = isinstance(node.op, ast.Or)
    emit_expression(b, node.values[0])
    for position, value in enumerate(node.values[1:], 1):
        decides = has_call(node.values[position:])
        if decides:
            b.emit("CTRL_SAVE")
            b.control_depth += 1
        after = Label()
        b.emit("SHORT", (after, stop_when, decides), value)
        emit_expression(b, value)
        b.emit("JOIN_UNDER", None, value)
        b.place(after)
        if decides:
            rest = node.values[position:]
            b.end_control(walrus(rest), rest, keep=False)


def _conditional(b: Builder, node: ast.IfExp) -> None:
    tracked = has_call([node.body, node.orelse])
    if tracked:
        b.emit("CTRL_SAVE")
        b.control_depth += 1
    otherwise, end = Label(), Label()
    emit_expression(b, node.test)
    b.emit("BRANCH_KEEP", otherwise, node.test)
    emit_expression(b, node.body)
    b.emit("JUMP", end)
    b.place(otherwise)
    emit_expression(b, node.orelse)
    b.place(end)
    b.emit("JOIN_UNDER", None, node)
    if tracked:
        either = [node.body, node.orelse]
        b.end_control(walrus(either), either, keep=False)


def _compare(b: Builder, node: ast.Compare) -> None:
    tracked = has_call(node.comparators[1:])
    if tracked:
        b.emit("CTRL_SAVE")
        b.control_depth += 1
    emit_expression(b, node.left)
    last = len(node.ops) - 1
    end = Label()
    cleanups: list[Label] = []
    for position, (op, right) in enumerate(zip(node.ops, node.comparators, strict=True)):
        emit_expression(b, right)
        symbol = _COMPARE[type(op)]
        if symbol in {"in", "not in"}:
            b.emit("SETTLE", None, right)
        if position < last:
            b.emit("DUP")
            b.emit("ROT3")
        b.emit("COMPARE", symbol, node)
        if position:
            # An operand shared with the next comparison lies between the two outcomes.
            b.emit("JOIN_BELOW" if position < last else "JOIN_UNDER")
        if position < last:
            cleanup = Label()
            cleanups.append(cleanup)
            decides = has_call(node.comparators[position + 1 :])
            b.emit("SHORT_PAIR", (cleanup, decides), node)
    b.emit("JUMP", end)
    for cleanup in cleanups:
        b.place(cleanup)
    if cleanups:
        b.emit("SWAP")
        b.emit("POP")
    b.place(end)
    if tracked:
        rest = node.comparators[1:]
        b.end_control(walrus(rest), rest, keep=False)


def _attribute(b: Builder, node: ast.Attribute) -> None:
    emit_expression(b, node.value)
    b.emit("ATTR", node.attr, node)


def _subscript(b: Builder, node: ast.Subscript) -> None:
    emit_expression(b, node.value)
    if isinstance(node.slice, ast.Slice):
        emit_slice(b, node.slice)
        b.emit("SLICE", None, node)
    else:
        emit_expression(b, node.slice)
        b.emit("SUBSCR", None, node)


def emit_slice(b: Builder, node: ast.Slice) -> None:
    """Pushes lower, upper and step, None for those left out."""
    for part in (node.lower, node.upper, node.step):
        if part is None:
            b.emit("CONST", Value(None), node)
        else:
            emit_expression(b, part)


def _slice_outside(b: Builder, node: ast.Slice) -> None:
    raise b.unsupported(node, "slices of several dimensions are")


def _sequence(kind: str, append: str, extend: str) -> Callable[[Builder, Any], None]:
    def emit(b: Builder, node: ast.List | ast.Set | ast.Tuple) -> None:
        elements = node.elts
        if not any(isinstance(element, ast.Starred) for element in elements):
            for element in elements:
                emit_expression(b, element)
            b.emit(f"BUILD_{kind}", len(elements), node)
            return
        emit_gathered(b, elements, node, kind="SET" if kind == "SET" else "LIST")
        if kind == "TUPLE":
            b.emit("LIST_TO_TUPLE", None, node)

    def emit_gathered(
        b: Builder, elements: Sequence[ast.expr], node: ast.expr, *, kind: str
    ) -> None:
        b.emit(f"BUILD_{kind}", 0, node)
        for element in elements:
            if isinstance(element, ast.Starred):
                emit_expression(b, element.value)
                b.emit("SETTLE", None, element)
                b.emit(extend, 1, element)
            else:
                emit_expression(b, element)
                b.emit(append, 1, element)

    return emit


def _dict(b: Builder, node: ast.Dict) -> None:
    if all(key is not None for key in node.keys):
        for key, value in zip(node.keys, node.values, strict=True):
            if key is not None:
                emit_expression(b, key)
            emit_expression(b, value)
        b.emit("BUILD_DICT", len(node.keys), node)
        return
    b.emit("BUILD_DICT", 0, node)
    for key, value in zip(node.keys, node.values, strict=True):
        if key is None:
            emit_expression(b, value)
            b.emit("DICT_UPDATE", False, node)
        else:
            emit_expression(b, key)
            emit_expression(b, value)
            b.emit("DICT_ADD", 1, node)


def _joined(b: Builder, node: ast.JoinedStr) -> None:
    for part in node.values:
        if isinstance(part, ast.FormattedValue):
            emit_expression(b, part.value)
            if part.format_spec is not None:
                emit_expression(b, part.format_spec)
            has_spec = part.format_spec is not None
            b.emit("FORMAT", (_CONVERSIONS[part.conversion], has_spec), part)
        else:
            emit_expression(b, part)
    b.emit("BUILD_STRING", len(node.values), node)


def _walrus(b: Builder, node: ast.NamedExpr) -> None:
    emit_expression(b, node.value)
    b.emit("DUP")
    scope = b.scope
    while b.scope.kind == "comprehension" and b.scope.parent is not None:
        b.scope = b.scope.parent
    b.store(node.target.id, node)
    b.scope = scope


def _call(b: Builder, node: ast.Call) -> None:
    reads = [(i, names_read([arg])) for i, arg in enumerate(node.args)]
    words = [(word.arg or "**", names_read([word.value])) for word in node.keywords]
    plain = not any(isinstance(arg, ast.Starred) for arg in node.args)
    plain = plain and all(word.arg is not None for word in node.keywords)
    function = node.func
    if not plain:
        emit_expression(b, function)
        _spread(b, node)
        at = b.emit("CALL_EX", None, node)
    else:
        method = function.attr if isinstance(function, ast.Attribute) else None
        emit_expression(b, function.value if isinstance(function, ast.Attribute) else function)
        if method is not None and has_effects([*node.args, *[w.value for w in node.keywords]]):
            # Python looks the method up first: nothing may have happened if there is none.
            b.emit("HAS_METHOD", method, node)
        for arg in node.args:
            emit_expression(b, arg)
        for word in node.keywords:
            emit_expression(b, word.value)
        names = tuple([word.arg for word in node.keywords])
        if len(set(names)) != len(names):
            raise b.unsupported(node, "a keyword argument given twice is")
        count = len(node.args)
        if method is None:
            at = b.emit("CALL", (count, names), node)
        else:
            at = b.emit("CALL_METHOD", (method, count, names), node)
    b.code.call_reads[at] = (*reads, *words)


def _spread(b: Builder, node: ast.Call) -> None:
    b.emit("BUILD_LIST", 0, node)
    for arg in node.args:
        if isinstance(arg, ast.Starred):
            emit_expression(b, arg.value)
            b.emit("SETTLE", None, arg)
            b.emit("LIST_EXTEND", 1, arg)
        else:
            emit_expression(b, arg)
            b.emit("LIST_APPEND", 1, arg)
    b.emit("BUILD_DICT", 0, node)
    for word in node.keywords:
        if word.arg is None:
            emit_expression(b, word.value)
            b.emit("DICT_UPDATE", True, word.value)
        else:
            b.emit("CONST", Value(word.arg), word.value)
            emit_expression(b, word.value)
            b.emit("DICT_ADD", 1, word.value)


def _yield(b: Builder, node: ast.Yield) -> None:
    if not b.unit.trusted:
        raise b.unsupported(node, "generator functions (`yield`) are")
    if node.value is None:
        b.emit("CONST", Value(None), node)
    else:
        emit_expression(b, node.value)
    b.emit("YIELD", None, node)


def _starred(b: Builder, node: ast.Starred) -> None:
    raise b.unsupported(node, "a starred expression here is")


def emit_target(b: Builder, node: ast.expr) -> None:
    """Emits code that pops a value into an assignment target."""
    match node:
        case ast.Name():
            b.store(node.id, node)
        case ast.Attribute():
            emit_expression(b, node.value)
            b.emit("STORE_ATTR", node.attr, node)
            emit_note(b, node)
        case ast.Subscript():
            emit_expression(b, node.value)
            if isinstance(node.slice, ast.Slice):
                emit_slice(b, node.slice)
                b.emit("STORE_SLICE", None, node)
            else:
                emit_expression(b, node.slice)
                b.emit("STORE_SUBSCR", None, node)
            emit_note(b, node)
        case ast.Tuple() | ast.List():
            _unpack(b, node)
        case ast.Starred():
            emit_target(b, node.value)
        case _:
            raise b.unsupported(node, "this assignment target is")


def emit_note(b: Builder, node: ast.AST) -> None:
    """Records for lineage that the object of the variable at the left end was changed."""
    name = root_name(node)
    if name is not None:
        at = b.emit("NOTE", b.variable(name), node)
        b.code.reads[at] = (name, b.statement_reads)


def _unpack(b: Builder, node: ast.Tuple | ast.List) -> None:
    stars = [i for i, element in enumerate(node.elts) if isinstance(element, ast.Starred)]
    b.emit("SETTLE", None, node)
    if stars:
        before = stars[0]
        b.emit("UNPACK_STAR", (before, len(node.elts) - before - 1), node)
    else:
        b.emit("UNPACK", len(node.elts), node)
    for element in node.elts:
        emit_target(b, element)


EXPRESSIONS: dict[type[ast.expr], Callable[[Builder, Any], None]] = {
    ast.Constant: _constant,
    ast.Name: _name,
    ast.BinOp: _binary,
    ast.UnaryOp: _unary,
    ast.BoolOp: _bool_op,
    ast.IfExp: _conditional,
    ast.Compare: _compare,
    ast.Attribute: _attribute,
    ast.Subscript: _subscript,
    ast.Slice: _slice_outside,
    ast.List: _sequence("LIST", "LIST_APPEND", "LIST_EXTEND"),
    ast.Tuple: _sequence("TUPLE", "LIST_APPEND", "LIST_EXTEND"),
    ast.Set: _sequence("SET", "SET_ADD", "SET_UPDATE"),
    ast.Dict: _dict,
    ast.JoinedStr: _joined,
    ast.NamedExpr: _walrus,
    ast.Call: _call,
    ast.Yield: _yield,
    ast.Starred: _starred,
}
"""By node type; comprehensions and lambdas are added by `compile.functions`."""
