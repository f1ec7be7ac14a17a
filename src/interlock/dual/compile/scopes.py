"""Which variable a name means: scopes of a program, found before any code is emitted.

Function-like scopes (module, function, lambda, generator expression) have code of their own.
List, set and dict comprehensions have a scope but run inside the code around them; their
variables get slots of their own there. Class bodies are declarations and have no scope.
"""

import ast
from dataclasses import dataclass, field
from typing import Literal

from interlock.dual.errors import ProgramError

__all__ = ["Scope", "ScopeKind", "scopes_of"]

ScopeKind = Literal["module", "function", "generator", "comprehension"]

_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp)


@dataclass(slots=True, eq=False)
class Scope:
    """The names of one scope."""

    kind: ScopeKind
    parent: "Scope | None"
    bound: set[str] = field(default_factory=set)
    reads: dict[str, int] = field(default_factory=dict)
    """Names read here, with the line of the first read."""
    globals: set[str] = field(default_factory=set)
    nonlocals: set[str] = field(default_factory=set)
    cells: set[str] = field(default_factory=set)
    """Bound here, used by code nested in this."""
    free: set[str] = field(default_factory=set)
    """Bound in the code around this one."""
    params: list[str] = field(default_factory=list)
    has_yield: bool = False

    @property
    def owner(self) -> "Scope":
        """The scope whose code this one runs in."""
        scope = self
        while scope.kind == "comprehension" and scope.parent is not None:
            scope = scope.parent
        return scope


def scopes_of(tree: ast.Module) -> dict[ast.AST, Scope]:
    """Every scope by its node; the module's by the tree itself.

    Raises:
        ProgramError: contradictory declarations (`nonlocal` without a variable, ...).
    """
    finder = _Finder()
    module = Scope("module", None)
    finder.scopes[tree] = module
    finder.scope = module
    finder.statements(tree.body)
    for scope in finder.scopes.values():
        for name in scope.nonlocals:
            if not _capture(scope, name):
                raise ProgramError("syntax", f"no binding for nonlocal '{name}' found")
        for name in scope.reads:
            _capture(scope, name)
    return finder.scopes


def _capture(scope: Scope, name: str) -> bool:
    """Marks the variable as shared where it crosses code; whether a local binds it."""
    if scope.kind == "module" or name in scope.globals:
        return False
    if name in scope.bound and name not in scope.nonlocals:
        return scope.kind != "module"
    crossed: list[Scope] = []
    current = scope
    while current.parent is not None:
        if current.kind != "comprehension" and current not in crossed:
            crossed.append(current)
        current = current.parent
        if name in current.globals:
            return False
        if current.kind == "module":
            return False
        if name in current.bound and name not in current.nonlocals:
            if crossed:
                current.cells.add(name)
                for middle in crossed:
                    middle.free.add(name)
            return True
    return False


class _Finder(ast.NodeVisitor):
    """Collects bindings and reads; depth is bounded by the guard."""

    def __init__(self) -> None:
        self.scopes: dict[ast.AST, Scope] = {}
        self.scope = Scope("module", None)

    def statements(self, body: list[ast.stmt]) -> None:
        for statement in body:
            self.visit(statement)

    def visit(self, node: ast.AST) -> None:
        """Takes long chains in a loop, everything else by its visitor."""
        while isinstance(node, ast.BinOp) and isinstance(node.left, ast.BinOp):
            super().visit(node.right)
            node = node.left
        while isinstance(node, ast.If) and len(node.orelse) == 1:
            (other,) = node.orelse
            if not isinstance(other, ast.If):
                break
            self.visit(node.test)
            self.statements(node.body)
            node = other
        super().visit(node)

    def bind(self, name: str) -> None:
        self.scope.bound.add(name)

    def read(self, name: str, line: int) -> None:
        self.scope.reads.setdefault(name, line)

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Load):
            self.read(node.id, node.lineno)
        else:
            self.bind(node.id)
            if isinstance(node.ctx, ast.Del):
                self.read(node.id, node.lineno)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        if isinstance(node.target, ast.Name):
            self.read(node.target.id, node.lineno)
        self.generic_visit(node)

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        self.visit(node.value)
        target = self.scope
        while target.kind in {"comprehension", "generator"} and target.parent is not None:
            target = target.parent
        name = node.target.id
        if name not in target.globals:
            target.bound.add(name)
        if target is not self.scope:
            self.scope.reads.setdefault(name, node.lineno)
            if target.kind == "module" or name in target.globals:
                self.scope.globals.add(name)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        self.visit(node.target)
        if node.value is not None:
            self.visit(node.value)

    def visit_Global(self, node: ast.Global) -> None:
        for name in node.names:
            if name in self.scope.bound or name in self.scope.reads:
                raise ProgramError(
                    "syntax",
                    f"name '{name}' is used prior to global declaration",
                    line=node.lineno,
                )
            self.scope.globals.add(name)

    def visit_Nonlocal(self, node: ast.Nonlocal) -> None:
        if self.scope.kind == "module":
            raise ProgramError(
                "syntax", "nonlocal declaration not allowed at module level", line=node.lineno
            )
        for name in node.names:
            if name in self.scope.bound or name in self.scope.reads:
                raise ProgramError(
                    "syntax",
                    f"name '{name}' is used prior to nonlocal declaration",
                    line=node.lineno,
                )
            self.scope.nonlocals.add(name)
            self.scope.reads.setdefault(name, node.lineno)

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self.bind(alias.asname or alias.name.partition(".")[0])

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        for alias in node.names:
            self.bind(alias.asname or alias.name)

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        if node.name:
            self.bind(node.name)
        self.generic_visit(node)

    def visit_MatchAs(self, node: ast.MatchAs) -> None:
        if node.name:
            self.bind(node.name)
        self.generic_visit(node)

    def visit_MatchStar(self, node: ast.MatchStar) -> None:
        if node.name:
            self.bind(node.name)

    def visit_MatchMapping(self, node: ast.MatchMapping) -> None:
        if node.rest:
            self.bind(node.rest)
        self.generic_visit(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self.bind(node.name)
        for base in node.bases:
            self.visit(base)
        for word in node.keywords:
            self.visit(word)
        for decorator in node.decorator_list:
            self.visit(decorator)
        for statement in node.body:
            if isinstance(statement, ast.AnnAssign):
                self.visit(statement.annotation)
                if statement.value is not None:
                    self.visit(statement.value)
            elif isinstance(statement, ast.Assign):
                self.visit(statement.value)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self.bind(node.name)
        self._defaults(node.args)
        self._inner("function", node, node.args)
        self.statements(node.body)
        self._leave()

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self._defaults(node.args)
        self._inner("function", node, node.args)
        self.visit(node.body)
        self._leave()

    def visit_Yield(self, node: ast.Yield) -> None:
        self.scope.owner.has_yield = True
        self.generic_visit(node)

    def _defaults(self, args: ast.arguments) -> None:
        for default in [*args.defaults, *args.kw_defaults]:
            if default is not None:
                self.visit(default)

    def _inner(self, kind: ScopeKind, node: ast.AST, args: ast.arguments | None = None) -> None:
        scope = Scope(kind, self.scope)
        self.scopes[node] = scope
        self.scope = scope
        if args is not None:
            ordered = [*args.posonlyargs, *args.args, *args.kwonlyargs]
            scope.params = [arg.arg for arg in ordered]
            scope.params += [arg.arg for arg in (args.vararg, args.kwarg) if arg is not None]
            scope.bound.update(scope.params)

    def _leave(self) -> None:
        if self.scope.parent is not None:
            self.scope = self.scope.parent

    def visit_ListComp(self, node: ast.ListComp) -> None:
        self._comprehension(node, node.generators, [node.elt])

    def visit_SetComp(self, node: ast.SetComp) -> None:
        self._comprehension(node, node.generators, [node.elt])

    def visit_DictComp(self, node: ast.DictComp) -> None:
        self._comprehension(node, node.generators, [node.key, node.value])

    def visit_GeneratorExp(self, node: ast.GeneratorExp) -> None:
        self._comprehension(node, node.generators, [node.elt])

    def _comprehension(
        self, node: ast.expr, generators: list[ast.comprehension], elements: list[ast.expr]
    ) -> None:
        self.visit(generators[0].iter)
        self._inner("comprehension" if isinstance(node, _COMPREHENSIONS) else "generator", node)
        if not isinstance(node, _COMPREHENSIONS):
            self.scope.params = [".0"]
            self.scope.bound.add(".0")
        for position, generator in enumerate(generators):
            if position:
                self.visit(generator.iter)
            self.visit(generator.target)
            for condition in generator.ifs:
                self.visit(condition)
        for element in elements:
            self.visit(element)
        self._leave()
