"""What a construct may assign or change, whichever way it goes: for joins in strict mode.

When a condition decided what ran, every variable that *could* have been assigned derives from
that condition, also in the branch not taken. Source: gateway.md 11.9.
"""

import ast
from collections.abc import Iterable, Iterator, Sequence

__all__ = [
    "MUTATORS",
    "assigned",
    "escapes",
    "has_call",
    "has_effects",
    "iterated",
    "mutated",
    "names_read",
    "root_name",
    "walrus",
]

MUTATORS = frozenset(
    {
        "add",
        "append",
        "appendleft",
        "clear",
        "difference_update",
        "discard",
        "extend",
        "extendleft",
        "insert",
        "intersection_update",
        "move_to_end",
        "pop",
        "popitem",
        "popleft",
        "remove",
        "reverse",
        "rotate",
        "setdefault",
        "sort",
        "subtract",
        "symmetric_difference_update",
        "update",
    }
)
"""Methods that change their receiver."""

_FUNCTIONS = (ast.FunctionDef, ast.Lambda)


def _within(nodes: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """All nodes below, function bodies left out (they run when called)."""
    stack = list(nodes)
    while stack:
        node = stack.pop()
        yield node
        if not isinstance(node, _FUNCTIONS):
            stack.extend(ast.iter_child_nodes(node))


def assigned(nodes: Iterable[ast.AST]) -> set[str]:
    """Names that may be bound or unbound."""
    found: set[str] = set()
    for node in _within(nodes):
        if isinstance(node, ast.Name):
            if not isinstance(node.ctx, ast.Load):
                found.add(node.id)
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            found.update(alias.asname or alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar):
            found.update([node.name] if node.name else [])
        elif isinstance(node, ast.MatchMapping):
            found.update([node.rest] if node.rest else [])
    return found


def walrus(nodes: Iterable[ast.AST]) -> set[str]:
    """Names an expression may bind in the scope around it."""
    return {node.target.id for node in _within(nodes) if isinstance(node, ast.NamedExpr)}


def mutated(nodes: Iterable[ast.AST]) -> set[str]:
    """Names whose objects may be changed in place."""
    found: set[str] = set()
    for node in _within(nodes):
        target: ast.AST | None = None
        if isinstance(node, ast.Subscript | ast.Attribute) and not isinstance(node.ctx, ast.Load):
            target = node.value
        elif isinstance(node, ast.AugAssign):
            target = node.target
        elif isinstance(node, ast.Call):
            function = node.func
            if isinstance(function, ast.Attribute) and function.attr in MUTATORS:
                target = function.value
            for arg in node.args:
                # A program function or `heapq`-like helper may change what it is given.
                name = root_name(arg)
                if name is not None and not isinstance(function, ast.Attribute):
                    found.add(name)
        if target is not None:
            name = root_name(target)
            if name is not None:
                found.add(name)
    return found


def iterated(nodes: Iterable[ast.AST]) -> set[str]:
    """Names that may be moved on by a loop or looked for something in, if they are iterators."""
    found: set[str | None] = set()
    for node in _within(nodes):
        if isinstance(node, ast.For | ast.comprehension):
            found.add(root_name(node.iter))
        elif isinstance(node, ast.Compare):
            found.update(root_name(right) for right in node.comparators)
        elif isinstance(node, (ast.Assign, ast.Starred)):
            found.add(root_name(node.value))
    return {name for name in found if name is not None}


def root_name(node: ast.AST) -> str | None:
    """The variable at the left end of `a.b[c].d`."""
    while isinstance(node, ast.Attribute | ast.Subscript | ast.Starred):
        node = node.value
    return node.id if isinstance(node, ast.Name) else None


def has_call(nodes: Iterable[ast.AST]) -> bool:
    """Whether evaluating the nodes may call something or bind a name."""
    kinds = (ast.Call, ast.NamedExpr, ast.Yield)
    return any(isinstance(node, kinds) for node in _within(nodes))


def has_effects(nodes: Iterable[ast.AST]) -> bool:
    """Whether evaluating the nodes may do more than fetch constants and variables."""
    simple = (ast.Constant, ast.Name, ast.Load)
    return any(not isinstance(node, simple) for node in _within(nodes))


def names_read(nodes: Iterable[ast.AST]) -> tuple[str, ...]:
    """Names read, in alphabetical order; those inside lambdas and comprehensions too."""
    found = {
        node.id
        for root in nodes
        for node in ast.walk(root)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
    }
    return tuple(sorted(found))


def escapes(body: Sequence[ast.stmt], *, loop: bool = False, caught: bool = False) -> bool:
    """Whether something in the suite may leave the construct the suite belongs to.

    `loop`: the construct is a loop, so its own `break` and `continue` stay inside. `caught`: it
    catches every exception raised here.
    """
    stack: list[tuple[ast.AST, bool]] = [(statement, loop) for statement in body]
    while stack:
        node, in_loop = stack.pop()
        if isinstance(node, ast.Return) or (isinstance(node, ast.Raise) and not caught):
            return True
        if isinstance(node, ast.Break | ast.Continue) and not in_loop:
            return True
        if isinstance(node, ast.Call) and root_name(node.func) in {"exit", "quit"}:
            return True
        if isinstance(node, _FUNCTIONS):
            continue
        inside = in_loop or isinstance(node, ast.For | ast.While)
        stack.extend((child, inside) for child in ast.iter_child_nodes(node))
    return False
