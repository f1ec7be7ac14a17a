"""Functions, lambdas, comprehensions and generator expressions."""

import ast
from collections.abc import Callable

from interlock.dual.compile.builder import Builder, Label
from interlock.dual.compile.expressions import EXPRESSIONS, emit_expression, emit_target
from interlock.dual.compile.scopes import Scope
from interlock.dual.compile.taint import walrus
from interlock.dual.values import Value

__all__ = ["emit_function", "install"]

Body = Callable[[Builder], None]


def emit_function(b: Builder, node: ast.FunctionDef | ast.Lambda, name: str, body: Body) -> None:
    """Pushes a function; `body` emits its suite."""
    args = node.args
    inner = _inner(b, b.unit.scopes[node], name)
    code = inner.code
    code.positional_only = len(args.posonlyargs)
    code.positional = len(args.posonlyargs) + len(args.args)
    code.keyword_only = len(args.kwonlyargs)
    code.var_positional = args.vararg is not None
    code.var_keyword = args.kwarg is not None
    code.is_generator = inner.scope.has_yield
    body(inner)
    inner.emit("CONST", Value(None))
    inner.emit("RETURN")
    inner.finish()
    for default in args.defaults:
        emit_expression(b, default)
    words = []
    for arg, word in zip(args.kwonlyargs, args.kw_defaults, strict=True):
        if word is not None:
            emit_expression(b, word)
            words.append(arg.arg)
    closure = b.closure(inner.scope)
    b.emit("FUNCTION", (code.index, len(args.defaults), tuple(words), closure), node)


def _inner(b: Builder, scope: Scope, name: str) -> Builder:
    inner = Builder(b.unit, name, scope)
    inner.line = b.line
    inner.own_cells()
    return inner


def _lambda(b: Builder, node: ast.Lambda) -> None:
    def body(inner: Builder) -> None:
        emit_expression(inner, node.body)
        inner.emit("RETURN", None, node.body)

    emit_function(b, node, "<lambda>", body)


def _generator(b: Builder, node: ast.GeneratorExp) -> None:
    if any(clause.is_async for clause in node.generators):
        raise b.unsupported(node, "asynchronous generators are")
    inner = _inner(b, b.unit.scopes[node], "<genexpr>")
    inner.code.positional = 1
    inner.code.is_generator = True
    inner.load(".0", node)

    def element() -> None:
        emit_expression(inner, node.elt)
        inner.emit("YIELD", None, node.elt)
        inner.emit("POP")

    _loops(inner, node.generators, 0, element, collects=False)
    inner.emit("CONST", Value(None))
    inner.emit("RETURN")
    inner.finish()
    b.emit("FUNCTION", (inner.code.index, 0, (), b.closure(inner.scope)), node)
    emit_expression(b, node.generators[0].iter)
    b.emit("ITER", None, node.generators[0].iter)
    b.emit("CALL", (1, ()), node)


def _comprehension(kind: str, add: str) -> Callable[[Builder, ast.expr], None]:
    def emit(b: Builder, node: ast.expr) -> None:
        assert isinstance(node, ast.ListComp | ast.SetComp | ast.DictComp)  # noqa: S101 - registered for these only
        if any(clause.is_async for clause in node.generators):
            raise b.unsupported(node, "asynchronous comprehensions are")
        b.emit("CTRL_SAVE", None, node)
        b.control_depth += 1
        b.emit(f"BUILD_{kind}", 0, node)
        emit_expression(b, node.generators[0].iter)
        b.emit("ITER", None, node.generators[0].iter)
        b.enter(b.unit.scopes[node])

        def element() -> None:
            if isinstance(node, ast.DictComp):
                emit_expression(b, node.key)
                emit_expression(b, node.value)
            else:
                emit_expression(b, node.elt)
            b.emit(add, 1 + len(node.generators), node)

        _loops(b, node.generators, 0, element, collects=True)
        b.leave()
        b.end_control(walrus([node]), [node], keep=False)

    return emit


def _loops(
    b: Builder,
    generators: list[ast.comprehension],
    position: int,
    element: Callable[[], None],
    *,
    collects: bool,
) -> None:
    """One loop per `for` clause; the iterator of this one is on the stack.

    What is collected takes the marks of everything iterated over and of every filter
    (gateway.md 10.5: comprehensions merge all inputs); `depth` is where it lies on the stack.
    """
    clause = generators[position]
    depth = position + 2 if collects else 0
    again, end = Label(), Label()
    b.place(again)
    b.emit("NEXT_COLLECT", (end, depth), clause.target)
    emit_target(b, clause.target)
    for condition in clause.ifs:
        emit_expression(b, condition)
        b.emit("FILTER", (again, depth), condition)
    if position + 1 < len(generators):
        following = generators[position + 1].iter
        emit_expression(b, following)
        b.emit("ITER", None, following)
        _loops(b, generators, position + 1, element, collects=collects)
    else:
        element()
    b.emit("JUMP", again)
    b.place(end)


def install() -> None:
    """Adds these node types to the table of expressions."""
    EXPRESSIONS.update(
        {
            ast.Lambda: _lambda,
            ast.GeneratorExp: _generator,
            ast.ListComp: _comprehension("LIST", "LIST_APPEND"),
            ast.SetComp: _comprehension("SET", "SET_ADD"),
            ast.DictComp: _comprehension("DICT", "DICT_ADD"),
        }
    )
