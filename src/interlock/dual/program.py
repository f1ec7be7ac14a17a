"""A compiled program: bytecode of our own, and what it may call.

An instruction is `(operation, argument)`; the machine has one small handler per operation.
Arguments are plain data and constants, never host objects a program could reach.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Code", "Instruction", "Program", "ToolSig"]

Instruction = tuple[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolSig:
    """A tool as a function of the program."""

    name: str
    """Identifier in programs."""
    tool: str
    """The real name."""
    params: tuple[str, ...]
    """In the order of the schema, which is the order of positional arguments."""
    required: frozenset[str] = frozenset()
    internal: bool = False
    """Executed in the server."""


@dataclass(slots=True, kw_only=True, eq=False)
class Code:
    """The module body, a function, a lambda or a generator expression."""

    name: str
    index: int
    """Position in its program."""
    ops: list[Instruction] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    """Line of each instruction, from 1."""
    slots: list[str] = field(default_factory=list)
    """Names of the local variables; parameters come first, in this order: positional,
    keyword-only, `*args`, `**kwargs`."""
    positional_only: int = 0
    positional: int = 0
    """Number of positional parameters, positional-only ones included."""
    keyword_only: int = 0
    var_positional: bool = False
    var_keyword: bool = False
    cells: list[int] = field(default_factory=list)
    """Slots of parameters and locals that inner functions share; made cells on entry."""
    free: list[int] = field(default_factory=list)
    """Slots that receive the cells of the surrounding function, in closure order."""
    is_generator: bool = False
    reads: dict[int, tuple[str, tuple[str, ...]]] = field(default_factory=dict)
    """By position of an instruction that stores: the variable's name, and the names its
    statement reads. For lineage."""
    call_reads: dict[int, tuple[tuple[str | int, tuple[str, ...]], ...]] = field(
        default_factory=dict
    )
    """By position of a call: for each argument, by position or keyword, the names it reads."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Program:
    """What `compile_program` makes."""

    source: str
    """As compiled, repairs included."""
    codes: Sequence[Code]
    """`codes[0]` is the module body."""
    tools: Mapping[str, ToolSig]
    """By identifier."""
    names: tuple[str, ...] = ()
    """Variables that were said to exist before it runs."""
    fingerprint: str
    """Of the bytecode: a suspended run only continues with the code it was suspended in."""
    bound: dict[tuple[bool, int], list[tuple[Any, Any]]] = field(default_factory=dict)
    """The machine's cache of codes with handlers in place of names, by (strict, index)."""
    in_progress: bool = False
    """It begins with the comment `# in_progress`: a step that does not end the turn."""


def fingerprint(codes: Sequence[Code], tools: Mapping[str, ToolSig]) -> str:
    """A digest of everything that decides how the bytecode runs."""
    digest = hashlib.sha256()
    for code in codes:
        head = (code.name, code.slots, code.positional, code.cells, code.free)
        digest.update(repr((head, code.ops)).encode("utf-8", "surrogatepass"))
    for name in sorted(tools):
        sig = tools[name]
        digest.update(repr((sig.name, sig.tool, sig.params, sorted(sig.required))).encode())
    return digest.hexdigest()[:32]
