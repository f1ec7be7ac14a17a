"""Statements: one small emitter per node type."""

import ast
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from interlock.dual.compile.builder import Block, Builder, Label
from interlock.dual.compile.classes import emit_class
from interlock.dual.compile.expressions import (
    emit_binary,
    emit_expression,
    emit_note,
    emit_slice,
    emit_target,
)
from interlock.dual.compile.functions import emit_function
from interlock.dual.compile.patterns import emit_pattern
from interlock.dual.compile.taint import (
    MUTATORS,
    assigned,
    escapes,
    names_read,
)
from interlock.dual.errors import ProgramError
from interlock.dual.offered import MODULES
from interlock.dual.values import Value

__all__ = ["STATEMENTS", "emit_statements"]

_NORMAL, _RAISED, _FIRST_EXIT = 0, 1, 2
"""Kinds of a pending completion that a `finally` suite finds on the stack."""


def emit_statements(b: Builder, body: Iterable[ast.stmt]) -> None:
    """Emits a suite.

    Raises:
        ProgramError: something the language has not.
    """
    for node in body:
        emit = STATEMENTS.get(type(node))
        if emit is None:
            raise b.unsupported(node, f"`{type(node).__name__}` statements are")
        emit(b, node)


def _begin(b: Builder) -> None:
    b.emit("CTRL_SAVE")
    b.control_depth += 1


def _end(b: Builder, nodes: Sequence[ast.AST], *, keep: bool) -> None:
    """The join after a construct; see `compile.taint`."""
    b.end_control(assigned(nodes), nodes, keep=keep)


def _expression(b: Builder, node: ast.Expr) -> None:
    b.statement_reads = names_read([node])
    emit_expression(b, node.value)
    b.emit("LAST" if b.scope.kind == "module" and not b.unit.trusted else "POP", None, node)
    value = node.value
    if (
        isinstance(value, ast.Call)
        and isinstance(value.func, ast.Attribute)
        and value.func.attr in MUTATORS
    ):
        emit_note(b, value.func)


def _assign(b: Builder, node: ast.Assign) -> None:
    b.statement_reads = names_read([node])
    emit_expression(b, node.value)
    for target in node.targets[:-1]:
        b.emit("DUP")
        emit_target(b, target)
    emit_target(b, node.targets[-1])


def _annotated(b: Builder, node: ast.AnnAssign) -> None:
    if node.value is not None:
        b.statement_reads = names_read([node.value, node.target])
        emit_expression(b, node.value)
        emit_target(b, node.target)


def _augmented(b: Builder, node: ast.AugAssign) -> None:
    target = node.target
    b.statement_reads = tuple(sorted({*names_read([node]), *assigned([target])}))
    match target:
        case ast.Name():
            b.load(target.id, target)
            emit_expression(b, node.value)
            emit_binary(b, node.op, node, "INPLACE")
            b.store(target.id, node)
        case ast.Attribute():
            emit_expression(b, target.value)
            b.emit("DUP")
            b.emit("ATTR", target.attr, target)
            emit_expression(b, node.value)
            emit_binary(b, node.op, node, "INPLACE")
            b.emit("SWAP")
            b.emit("STORE_ATTR", target.attr, node)
            emit_note(b, target)
        case ast.Subscript(slice=ast.Slice()):
            raise b.unsupported(node, "augmented assignment to a slice is")
        case ast.Subscript():
            emit_expression(b, target.value)
            emit_expression(b, target.slice)
            b.emit("DUP2")
            b.emit("SUBSCR", None, target)
            emit_expression(b, node.value)
            emit_binary(b, node.op, node, "INPLACE")
            b.emit("ROT3")
            b.emit("STORE_SUBSCR", None, node)
            emit_note(b, target)


def _delete(b: Builder, node: ast.Delete) -> None:
    for target in node.targets:
        _delete_target(b, target)


def _delete_target(b: Builder, target: ast.expr) -> None:
    match target:
        case ast.Name():
            b.delete(target.id, target)
        case ast.Subscript():
            emit_expression(b, target.value)
            if isinstance(target.slice, ast.Slice):
                emit_slice(b, target.slice)
                b.emit("DELETE_SLICE", None, target)
            else:
                emit_expression(b, target.slice)
                b.emit("DELETE_SUBSCR", None, target)
        case ast.Tuple() | ast.List():
            for element in target.elts:
                _delete_target(b, element)
        case _:
            raise b.unsupported(target, "deleting this is")


def _if(b: Builder, node: ast.If) -> None:
    """The whole `elif` chain in a loop; each test is controlled by those before it."""
    _begin(b)
    end = Label()
    nodes: list[ast.stmt] = []
    current: ast.If | None = node
    while current is not None:
        following = Label()
        emit_expression(b, current.test)
        b.emit("BRANCH", following, current.test)
        emit_statements(b, current.body)
        nodes += current.body
        b.emit("JUMP", end)
        b.place(following)
        rest = current.orelse
        if len(rest) == 1 and isinstance(rest[0], ast.If):
            nodes.append(ast.Expr(rest[0].test))
            current = rest[0]
        else:
            emit_statements(b, rest)
            nodes += rest
            current = None
    b.place(end)
    _end(b, nodes, keep=escapes(nodes))


def _while(b: Builder, node: ast.While) -> None:
    _begin(b)
    again, otherwise, end = Label(), Label(), Label()
    b.place(again)
    emit_expression(b, node.test)
    b.emit("BRANCH", otherwise, node.test)
    b.blocks.append(Block("loop", on_break=end, on_continue=again))
    emit_statements(b, node.body)
    b.blocks.pop()
    b.emit("JUMP", again)
    b.place(otherwise)
    emit_statements(b, node.orelse)
    b.place(end)
    keep = escapes(node.body, loop=True) or escapes(node.orelse)
    _end(b, [ast.Expr(node.test), *node.body, *node.orelse], keep=keep)


def _for(b: Builder, node: ast.For) -> None:
    _begin(b)
    b.statement_reads = names_read([node.iter])
    emit_expression(b, node.iter)
    b.emit("ITER", None, node.iter)
    again, done, broken, end = Label(), Label(), Label(), Label()
    b.place(again)
    b.emit("NEXT", done, node)
    b.statement_reads = names_read([node.iter])
    emit_target(b, node.target)
    b.blocks.append(Block("loop", on_break=broken, on_continue=again))
    emit_statements(b, node.body)
    b.blocks.pop()
    b.emit("JUMP", again)
    b.place(broken)
    b.emit("POP")
    b.emit("JUMP", end)
    b.place(done)
    emit_statements(b, node.orelse)
    b.place(end)
    keep = escapes(node.body, loop=True) or escapes(node.orelse)
    _end(b, [node.target, *node.body, *node.orelse], keep=keep)


def _leave(b: Builder, kind: str, loop: Block | None, blocks: Sequence[Block]) -> None:
    """Emits an early exit through the blocks; a returned value is on top of the stack."""
    for block in reversed(blocks):
        if block is loop:
            break
        if block.kind == "finally":
            _leave_to_finally(b, kind, loop, block)
            return
        _undo(b, kind, block)
    if kind == "return":
        b.emit("RETURN")
    elif loop is not None:
        b.emit("JUMP", loop.on_break if kind == "break" else loop.on_continue)


def _undo(b: Builder, kind: str, block: Block) -> None:
    """What leaving one block takes back."""
    if block.kind == "try":
        b.emit("POP_TRY")
    elif block.kind == "handler":
        b.emit("POP_EXCEPT")
        if block.variable is not None:
            b.emit("CONST", Value(None))
            b.store(block.variable)
            b.delete(block.variable)
    else:
        for _ in range({"finally-body": 2, "subject": 1}.get(block.kind, 0)):
            if kind == "return":
                b.emit("SWAP")
            b.emit("POP")


def _leave_to_finally(b: Builder, kind: str, loop: Block | None, block: Block) -> None:
    """The rest of the exit follows the `finally` suite; see `_try_finally`."""
    b.emit("POP_TRY")
    if kind != "return":
        b.emit("CONST", Value(None))
    if (kind, loop) not in block.exits:
        block.exits.append((kind, loop))
    b.emit("CONST", Value(_FIRST_EXIT + block.exits.index((kind, loop))))
    b.emit("JUMP", block.target)


def _break(b: Builder, node: ast.Break) -> None:
    _loop_exit(b, "break", node)


def _continue(b: Builder, node: ast.Continue) -> None:
    _loop_exit(b, "continue", node)


def _loop_exit(b: Builder, kind: str, node: ast.stmt) -> None:
    loops = [block for block in b.blocks if block.kind == "loop"]
    if not loops:
        raise ProgramError("syntax", f"'{kind}' outside loop", line=node.lineno)
    b.line = node.lineno
    _leave(b, kind, loops[-1], b.blocks)


def _return(b: Builder, node: ast.Return) -> None:
    if b.scope.owner.kind == "module":
        raise ProgramError("syntax", "'return' outside function", line=node.lineno)
    b.statement_reads = names_read([node])
    if node.value is None:
        b.emit("CONST", Value(None), node)
    else:
        emit_expression(b, node.value)
    _leave(b, "return", None, b.blocks)


def _pass(b: Builder, node: ast.Pass) -> None:
    b.line = node.lineno


def _global(b: Builder, node: ast.Global | ast.Nonlocal) -> None:
    """Declarations are read with the scopes."""
    b.line = node.lineno


def _assert(b: Builder, node: ast.Assert) -> None:
    fine = Label()
    failed = Label()
    _begin(b)
    emit_expression(b, node.test)
    b.emit("BRANCH", failed, node.test)
    b.emit("JUMP", fine)
    b.place(failed)
    if node.msg is not None:
        emit_expression(b, node.msg)
    b.emit("ASSERTION", node.msg is not None, node)
    b.place(fine)
    _end(b, [], keep=True)


def _raise(b: Builder, node: ast.Raise) -> None:
    count = 0
    for part in (node.exc, node.cause):
        if part is not None:
            emit_expression(b, part)
            count += 1
    b.emit("RAISE", count, node)


def _try(b: Builder, node: ast.Try) -> None:
    parts: list[ast.AST] = [*node.body, *node.handlers, *node.orelse, *node.finalbody]
    catches_all = any(
        handler.type is None
        or (
            isinstance(handler.type, ast.Name) and handler.type.id in {"Exception", "BaseException"}
        )
        for handler in node.handlers
    )
    _begin(b)
    b.emit("TRY_ENTER", None, node)
    if node.finalbody:
        _try_finally(b, node)
    else:
        _try_except(b, node)
    rest = [statement for handler in node.handlers for statement in handler.body]
    keep = escapes(node.body, caught=catches_all) or escapes([*rest, *node.orelse, *node.finalbody])
    _end(b, parts, keep=keep)


def _try_except(b: Builder, node: ast.Try) -> None:
    if not node.handlers:
        emit_statements(b, node.body)
        return
    caught, end = Label(), Label()
    b.emit("SETUP_TRY", (caught, b.control_depth))
    b.blocks.append(Block("try"))
    emit_statements(b, node.body)
    b.blocks.pop()
    b.emit("POP_TRY")
    emit_statements(b, node.orelse)
    b.emit("JUMP", end)
    b.place(caught)
    b.emit("PUSH_EXCEPT")
    for handler in node.handlers:
        _handler(b, handler, end)
    b.emit("RERAISE", True)
    b.place(end)


def _handler(b: Builder, handler: ast.ExceptHandler, end: Label) -> None:
    following = Label()
    if handler.type is not None:
        emit_expression(b, handler.type)
        b.emit("MATCH_EXCEPT", following, handler)
    b.statement_reads = ()
    if handler.name is None:
        b.emit("POP", None, handler)
    else:
        b.store(handler.name, handler)
    b.blocks.append(Block("handler", variable=handler.name))
    emit_statements(b, handler.body)
    b.blocks.pop()
    b.emit("POP_EXCEPT")
    if handler.name is not None:
        b.emit("CONST", Value(None))
        b.store(handler.name, handler)
        b.delete(handler.name, handler)
    b.emit("JUMP", end)
    b.place(following)


def _try_finally(b: Builder, node: ast.Try) -> None:
    """`finally` finds a payload and a kind on the stack: how the suite before it ended."""
    raised, final = Label(), Label()
    block = Block("finally", target=final)
    b.emit("SETUP_TRY", (raised, b.control_depth))
    b.blocks.append(block)
    _try_except(b, node)
    b.blocks.pop()
    b.emit("POP_TRY")
    b.emit("CONST", Value(None))
    b.emit("CONST", Value(_NORMAL))
    b.emit("JUMP", final)
    b.place(raised)
    b.emit("CONST", Value(_RAISED))
    b.place(final)
    b.blocks.append(Block("finally-body"))
    emit_statements(b, node.finalbody)
    b.blocks.pop()
    labels = [Label() for _ in block.exits]
    b.emit("END_FINALLY", tuple(labels))
    end = Label()
    b.emit("JUMP", end)
    for label, (kind, loop) in zip(labels, block.exits, strict=True):
        b.place(label)
        if kind != "return":
            b.emit("POP")
        _leave(b, kind, loop, b.blocks)
    b.place(end)


def _function(b: Builder, node: ast.FunctionDef) -> None:
    if node.decorator_list:
        raise b.unsupported(node.decorator_list[0], "decorators are")

    def body(inner: Builder) -> None:
        emit_statements(inner, node.body)

    b.statement_reads = ()
    emit_function(b, node, node.name, body)
    b.store(node.name, node)


def _import(b: Builder, node: ast.Import) -> None:
    b.statement_reads = ()
    for alias in node.names:
        top, _, rest = alias.name.partition(".")
        _check_module(alias.name if alias.asname else top, node)
        b.emit("IMPORT", alias.name if alias.asname else top, node)
        if rest and not alias.asname:
            b.emit("DUP")
            b.emit("ATTR", rest.partition(".")[0], node)
            b.emit("POP")
        b.store(alias.asname or top, node)


def _check_module(name: str, node: ast.stmt) -> None:
    """A module that is not offered is an error before anything runs (10.4)."""
    if name not in MODULES:
        offered = ", ".join(sorted(MODULES))
        raise ProgramError(
            "unsupported",
            f"module '{name}' is not available; there are {offered}",
            line=node.lineno,
        )


def _import_from(b: Builder, node: ast.ImportFrom) -> None:
    if node.level or node.module is None:
        raise b.unsupported(node, "relative imports are")
    if node.module == "__future__":
        return
    b.statement_reads = ()
    _check_module(node.module, node)
    b.emit("IMPORT", node.module, node)
    for alias in node.names:
        if alias.name == "*":
            raise b.unsupported(node, "`import *` is")
        b.emit("DUP")
        b.emit("IMPORT_FROM", alias.name, node)
        b.store(alias.asname or alias.name, node)
    b.emit("POP")


def _match(b: Builder, node: ast.Match) -> None:
    _begin(b)
    emit_expression(b, node.subject)
    end = Label()
    for case in node.cases:
        following = Label()
        names = emit_pattern(b, case.pattern)
        failed = Label()
        b.emit("BRANCH_MATCH", (failed, len(names)), case.pattern)
        b.statement_reads = names_read([node.subject])
        for name in reversed(names):
            b.store(name, case.pattern)
        if case.guard is not None:
            emit_expression(b, case.guard)
            b.emit("BRANCH", following, case.guard)
        b.blocks.append(Block("subject"))
        emit_statements(b, case.body)
        b.blocks.pop()
        b.emit("JUMP", end)
        b.place(failed)
        for _ in names:
            b.emit("POP")
        b.place(following)
    b.place(end)
    b.emit("POP")
    bodies = [statement for case in node.cases for statement in case.body]
    _end(b, list(node.cases), keep=escapes(bodies))


STATEMENTS: dict[type[ast.stmt], Callable[[Builder, Any], None]] = {
    ast.Expr: _expression,
    ast.Assign: _assign,
    ast.AnnAssign: _annotated,
    ast.AugAssign: _augmented,
    ast.Delete: _delete,
    ast.If: _if,
    ast.While: _while,
    ast.For: _for,
    ast.Break: _break,
    ast.Continue: _continue,
    ast.Return: _return,
    ast.Pass: _pass,
    ast.Global: _global,
    ast.Nonlocal: _global,
    ast.Assert: _assert,
    ast.Raise: _raise,
    ast.Try: _try,
    ast.FunctionDef: _function,
    ast.ClassDef: emit_class,
    ast.Import: _import,
    ast.ImportFrom: _import_from,
    ast.Match: _match,
}
