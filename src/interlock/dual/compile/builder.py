"""The code being emitted: instructions, labels, variables, and what an early exit must undo."""

import ast
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from interlock.dual.compile.scopes import Scope
from interlock.dual.compile.taint import has_call, iterated, mutated
from interlock.dual.errors import ProgramError
from interlock.dual.program import Code

__all__ = ["Block", "Builder", "Label", "Unit", "Variable"]

_MAX_INSTRUCTIONS = 200_000

Variable = tuple[str, int | str]
"""Where a variable lives: (`fast`, slot), (`deref`, slot) or (`global`, name)."""


class Label:
    """A place in the code, known once it is placed."""

    __slots__ = ("at",)

    def __init__(self) -> None:
        self.at = -1


@dataclass(slots=True, eq=False)
class Block:
    """Something an early exit passes through.

    `loop`: where `break` and `continue` go. `try`: a handler is set. `handler`: an exception is
    being handled. `finally`: the suite whose `finally` must run. `finally-body`: that suite
    itself, with payload and kind of the pending exit on the stack. `subject`: a suite of a
    `match`, whose subject is on the stack.
    """

    kind: Literal["loop", "try", "handler", "finally", "finally-body", "subject"]
    on_break: Label | None = None
    on_continue: Label | None = None
    target: Label | None = None
    """Of a `finally`: where its suite begins."""
    exits: list[tuple[str, "Block | None"]] = field(default_factory=list)
    """Of a `finally`: the early exits that pass through it: `return`, or `break` or `continue`
    of a loop."""
    variable: str | None = None
    """Of a `handler`: the name to delete afterwards."""


@dataclass(slots=True, eq=False)
class Unit:
    """What the codes of one program share."""

    scopes: Mapping[ast.AST, Scope]
    codes: list[Code]
    trusted: bool = False
    """The prelude: `yield` is allowed."""
    declared_global: tuple[str, ...] = ()
    """Every name some function declares `global`."""
    declared_nonlocal: tuple[str, ...] = ()


class Builder:
    """Emits one `Code`."""

    def __init__(self, unit: Unit, name: str, scope: Scope) -> None:
        self.unit = unit
        self.scope = scope
        self.code = Code(name=name, index=len(unit.codes))
        unit.codes.append(self.code)
        self.blocks: list[Block] = []
        self.control_depth = 0
        """How many control marks are saved here; static, so an early exit needs no undoing."""
        self.line = 1
        self.statement_reads: tuple[str, ...] = ()
        """Names the current statement reads, for lineage."""
        self._slots: dict[tuple[int, str], int] = {}
        for param in scope.params:
            self._slot(scope, param)

    def emit(self, op: str, arg: Any = None, node: ast.AST | None = None) -> int:  # noqa: ANN401 - see `Instruction`
        """Appends an instruction; returns its position."""
        line = getattr(node, "lineno", None)
        if line is not None:
            self.line = line
        position = len(self.code.ops)
        if position >= _MAX_INSTRUCTIONS:
            raise ProgramError("too_large", "the program is too large", line=self.line)
        self.code.ops.append((op, arg))
        self.code.lines.append(self.line)
        return position

    def place(self, label: Label) -> None:
        """Makes the label point at the next instruction."""
        label.at = len(self.code.ops)

    def finish(self) -> Code:
        """Resolves labels."""
        self.code.ops = [(op, _resolved(arg)) for op, arg in self.code.ops]
        return self.code

    def enter(self, scope: Scope) -> None:
        """Begins a comprehension's scope inside this code."""
        self.scope = scope
        for name in sorted(scope.bound):
            slot = self._slot(scope, name)
            self.emit("FRESH", (slot, name in scope.cells))

    def leave(self) -> None:
        """Ends it."""
        if self.scope.parent is not None:
            self.scope = self.scope.parent

    def end_control(self, names: Iterable[str], nodes: Sequence[ast.AST], *, keep: bool) -> None:
        """The join after a construct that may have bound `names`; see `compile.taint`."""
        self.control_depth -= 1
        bound = set(names)
        if has_call(nodes):
            bound |= set(self.unit.declared_global) | set(self.unit.declared_nonlocal)
        found = (bound, mutated(nodes), iterated(nodes))
        self.emit("CTRL_END", (self.control_depth, keep, *map(self._variables, found)))

    def _variables(self, names: Iterable[str]) -> tuple[Variable, ...]:
        return tuple(sorted({self.variable(name) for name in names}, key=repr))

    def variable(self, name: str) -> Variable:
        """Where the name's variable lives, seen from here."""
        scope: Scope | None = self.scope
        owner = self.scope.owner
        while scope is not None:
            if name in scope.globals or scope.kind == "module":
                return ("global", name)
            if name in scope.bound and name not in scope.nonlocals:
                kind = "deref" if name in scope.cells else "fast"
                return (kind, self._slot(scope, name))
            if scope is owner:
                break
            scope = scope.parent
        if name in owner.free:
            return ("deref", self._free_slot(name))
        return ("global", name)

    def load(self, name: str, node: ast.AST | None = None) -> None:
        """Pushes a variable."""
        kind, where = self.variable(name)
        self.emit(f"LOAD_{kind.upper()}", where, node)

    def store(self, name: str, node: ast.AST | None = None) -> None:
        """Pops into a variable."""
        kind, where = self.variable(name)
        at = self.emit(f"STORE_{kind.upper()}", where, node)
        self.code.reads[at] = (name, self.statement_reads)

    def delete(self, name: str, node: ast.AST | None = None) -> None:
        """Unbinds a variable."""
        kind, where = self.variable(name)
        self.emit(f"DELETE_{kind.upper()}", where, node)

    def own_cells(self) -> None:
        """Declares which slots are cells and which are received; call once names are known."""
        scope = self.scope
        self.code.cells = [self._slot(scope, name) for name in sorted(scope.cells)]
        self.code.free = [self._free_slot(name) for name in sorted(scope.free)]

    def closure(self, inner: Scope) -> tuple[int, ...]:
        """The slots whose cells a function of that scope receives, in its order."""
        found = []
        for name in sorted(inner.free):
            kind, where = self.variable(name)
            if kind != "deref" or not isinstance(where, int):
                raise ProgramError("syntax", f"name '{name}' cannot be shared", line=self.line)
            found.append(where)
        return tuple(found)

    def unsupported(self, node: ast.AST, what: str) -> ProgramError:
        """The error for something the language has not."""
        return ProgramError(
            "unsupported",
            f"{what} not available",
            line=getattr(node, "lineno", self.line),
            column=getattr(node, "col_offset", -1) + 1,
        )

    def _slot(self, scope: Scope, name: str) -> int:
        key = (id(scope), name)
        slot = self._slots.get(key)
        if slot is None:
            slot = len(self.code.slots)
            self._slots[key] = slot
            self.code.slots.append(name)
        return slot

    def _free_slot(self, name: str) -> int:
        return self._slot(self.scope.owner, name)


def _resolved(arg: Any) -> Any:  # noqa: ANN401 - see `Instruction`
    if isinstance(arg, Label):
        return arg.at
    if isinstance(arg, tuple):
        return tuple([_resolved(part) for part in arg])
    return arg
