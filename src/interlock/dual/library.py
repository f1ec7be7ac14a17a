"""Everything a machine offers its programs: natives, built-ins, modules, and the prelude.

Some functions cannot be natives because they call back (`sorted(key=...)`, `map`, `next` of a
generator): these are written in the language itself, in `dual/prelude/*.py`, and run like any
code of a program.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources

from interlock.dual.compile.compiler import compile_trusted
from interlock.dual.lib.registry import ITERATORS, OVERRIDES
from interlock.dual.native import Member, Native, Override, StepFn
from interlock.dual.offered import BUILTINS, MODULES, NATIVES
from interlock.dual.program import Program
from interlock.dual.values import Value

__all__ = ["Library", "library"]

_PRELUDE = "interlock.dual.prelude"


@dataclass(frozen=True, slots=True, kw_only=True)
class Library:
    """What names stand for."""

    natives: Mapping[str, Native]
    builtins: Mapping[str, Member]
    modules: Mapping[str, Mapping[str, Member]]
    iterators: Mapping[str, StepFn]
    overrides: Mapping[str, Override]
    """Natives that the prelude takes over for some arguments, by name."""
    prelude: Program
    functions: dict[str, Value] = field(default_factory=dict)
    """The functions of the prelude; the first machine of the process defines them."""


@cache
def library() -> Library:
    """The library; compiled once per process."""
    folder = resources.files(_PRELUDE)
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".py"))
    texts = [folder.joinpath(name).read_text("utf-8") for name in names if name[0] != "_"]
    return Library(
        natives=NATIVES,
        builtins=BUILTINS,
        modules=MODULES,
        iterators=ITERATORS,
        overrides=OVERRIDES,
        prelude=compile_trusted("\n".join(texts)),
    )
