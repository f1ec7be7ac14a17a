"""Class declarations: fields and members are evaluated in order, one instruction builds it.

A class is a pydantic model, an enum, a dataclass or an exception; what it is follows from its
bases when the statement runs. Source: gateway.md 10.4.
"""

import ast

from interlock.dual.compile.builder import Builder
from interlock.dual.compile.expressions import emit_expression
from interlock.dual.errors import ProgramError

__all__ = ["emit_class"]

_DATACLASS = {"dataclass", "dataclasses.dataclass"}


def emit_class(b: Builder, node: ast.ClassDef) -> None:
    """Emits a class statement."""
    if node.keywords:
        raise b.unsupported(node, "class keywords and metaclasses are")
    options = _decorators(b, node)
    for base in node.bases:
        emit_expression(b, base)
    fields: list[tuple[str, bool, bool]] = []
    for statement in node.body:
        _declaration(b, node, statement, fields)
    b.emit("CLASS", (node.name, len(node.bases), tuple(fields), options), node)
    b.store(node.name, node)


def _decorators(b: Builder, node: ast.ClassDef) -> tuple[str, ...] | None:
    """Options of `@dataclass`, None without it.

    Raises:
        ProgramError: another decorator.
    """
    found: tuple[str, ...] | None = None
    for decorator in node.decorator_list:
        call = decorator if isinstance(decorator, ast.Call) else None
        name = ast.unparse(call.func if call is not None else decorator)
        if name not in _DATACLASS or (call is not None and call.args):
            raise b.unsupported(decorator, f"the decorator `{name[:40]}` is")
        words = call.keywords if call is not None else []
        for word in words:
            if not isinstance(word.value, ast.Constant) or word.arg is None:
                raise b.unsupported(decorator, "computed options of a decorator are")
        found = tuple(
            sorted(
                word.arg
                for word in words
                if word.arg and isinstance(word.value, ast.Constant) and word.value.value
            )
        )
    return found


def _declaration(
    b: Builder, cls: ast.ClassDef, statement: ast.stmt, fields: list[tuple[str, bool, bool]]
) -> None:
    match statement:
        case ast.Pass() | ast.Expr(value=ast.Constant()):
            return
        case ast.AnnAssign(target=ast.Name(id=name)):
            _annotation(b, cls, statement.annotation)
            if statement.value is not None:
                emit_expression(b, statement.value)
            fields.append((name, True, statement.value is not None))
        case ast.Assign(targets=[ast.Name(id=name)]):
            emit_expression(b, statement.value)
            fields.append((name, False, True))
        case ast.FunctionDef():
            raise b.unsupported(statement, "methods (a class only declares fields) are")
        case _:
            raise b.unsupported(statement, "this statement in a class is")


def _annotation(b: Builder, cls: ast.ClassDef, node: ast.expr) -> None:
    """Pushes the annotation; a quoted one is read as an expression.

    The class's own name, not bound yet, stays a string.
    """
    emit_expression(b, _Quoted(cls.name).visit(node))


class _Quoted(ast.NodeTransformer):
    """Unquotes annotations."""

    def __init__(self, own_name: str) -> None:
        self.own_name = own_name

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if node.id == self.own_name:
            return ast.copy_location(ast.Constant(node.id), node)
        return node

    def visit_Subscript(self, node: ast.Subscript) -> ast.expr:
        if isinstance(node.value, ast.Name) and node.value.id == "Literal":
            return node
        self.generic_visit(node)
        return node

    def visit_Constant(self, node: ast.Constant) -> ast.expr:
        if not isinstance(node.value, str) or node.value == self.own_name:
            return node
        if not node.value.isidentifier():
            raise ProgramError(
                "unsupported",
                "quoted annotations other than a name are not available",
                line=node.lineno,
            )
        name = ast.Name(node.value, ast.Load())
        return ast.copy_location(name, node)
