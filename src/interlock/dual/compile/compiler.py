"""Compiling a program: parse, check, resolve names, emit."""

import ast
from collections.abc import Collection, Mapping, Sequence

from interlock.dual.compile import functions
from interlock.dual.compile.builder import Builder, Unit
from interlock.dual.compile.guard import parse, repaired
from interlock.dual.compile.names import REFUSED, check_identifiers
from interlock.dual.compile.scopes import Scope, scopes_of
from interlock.dual.compile.statements import emit_statements
from interlock.dual.errors import ProgramError
from interlock.dual.limits import Limits
from interlock.dual.offered import BUILTINS
from interlock.dual.program import Code, Program, ToolSig, fingerprint
from interlock.dual.values import Value

__all__ = ["compile_program", "compile_trusted"]

functions.install()

_LIMITS = Limits()


def compile_program(
    source: str,
    *,
    tools: Sequence[ToolSig] = (),
    names: Collection[str] = (),
    builtins: Collection[str] | None = None,
    repair: bool = False,
    limits: Limits = _LIMITS,
) -> Program:
    """Compiles a program of the language.

    Args:
        source: the text.
        tools: what it may call, besides built-ins.
        names: variables that exist before it runs (context variables, an earlier step's).
        builtins: names of the built-ins; None: those of the library.
        repair: put `pass` into empty suites first.
        limits: bounds of the text.

    Raises:
        ProgramError: it is no program of the language, or uses a name nobody binds.
    """
    if repair:
        source = repaired(source)
    by_name = {sig.name: sig for sig in tools}
    tree = parse(source, limits)
    check_identifiers(tree)
    scopes = scopes_of(tree)
    known = {*by_name, *names, *(BUILTINS if builtins is None else builtins)}
    _check_names(tree, scopes, known, tools)
    codes = _emit(tree, scopes, trusted=False)
    return Program(
        source=source,
        codes=codes,
        tools=by_name,
        names=tuple(sorted(names)),
        fingerprint=fingerprint(codes, by_name),
        in_progress=_in_progress(source),
    )


def compile_trusted(source: str) -> Program:
    """Compiles text of the prelude: `yield` and private helpers are allowed."""
    tree = parse(source, _LIMITS)
    check_identifiers(tree, trusted=True)
    codes = _emit(tree, scopes_of(tree), trusted=True)
    return Program(source=source, codes=codes, tools={}, fingerprint=fingerprint(codes, {}))


def _emit(tree: ast.Module, scopes: Mapping[ast.AST, Scope], *, trusted: bool) -> list[Code]:
    codes: list[Code] = []
    unit = Unit(
        scopes=scopes,
        codes=codes,
        trusted=trusted,
        declared_global=tuple(sorted({n for s in scopes.values() for n in s.globals})),
        declared_nonlocal=tuple(sorted({n for s in scopes.values() for n in s.nonlocals})),
    )
    module = Builder(unit, "<module>", scopes[tree])
    emit_statements(module, tree.body)
    module.emit("CONST", Value(None))
    module.emit("RETURN")
    module.finish()
    return codes


def _in_progress(source: str) -> bool:
    first = source.lstrip().partition("\n")[0].strip()
    return first.startswith("#") and first.lstrip("# ").lower().startswith("in_progress")


def _check_names(
    tree: ast.Module,
    scopes: Mapping[ast.AST, Scope],
    known: set[str],
    tools: Sequence[ToolSig],
) -> None:
    """A name that nothing ever binds fails before anything has run, not half-way."""
    module = scopes[tree]
    bound = set(module.bound)
    for scope in scopes.values():
        bound |= scope.globals & scope.bound
    for scope in scopes.values():
        for name, line in scope.reads.items():
            if name in known or name in bound or name == "__name__" or _is_local(scope, name):
                continue
            if name in REFUSED:
                raise ProgramError("unsupported", f"`{name}` is not available", line=line)
            offered = ", ".join(sorted(sig.name for sig in tools)) or "none"
            raise ProgramError("name", f"name '{name}' is not defined; tools: {offered}", line=line)


def _is_local(scope: Scope, name: str) -> bool:
    current: Scope | None = scope
    while current is not None:
        if name in current.bound:
            return True
        current = current.parent
    return False
