"""The contract between the machine and the library of natives.

A native is a function of the interpreter that programs call by name. It is given values and an
`Env`, makes a value, and does nothing else: it calls no program function, keeps no state outside
values and the `Env`, and reads no clock.

What it may raise: `Raise` (an exception of the program) and `LimitExceeded`. Any other exception
is a defect of ours; the machine reports it as `RuntimeError` of the program, without details.
"""

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from interlock.dual.errors import Raise
from interlock.dual.limits import Limits, Meter
from interlock.dual.marks import NEUTRAL, Mark, MarkTable
from interlock.dual.values import (
    BoundObj,
    ClassObj,
    FuncObj,
    GenObj,
    HeapObj,
    IterObj,
    NativeObj,
    ToolObj,
    TypeObj,
    Value,
    added,
    deep,
    touched,
)

__all__ = ["Env", "Member", "Native", "NativeFn", "Override", "Random", "StepFn"]

_MASK = (1 << 64) - 1


class Random:
    """A small seeded generator (splitmix64) whose state is one integer."""

    __slots__ = ("state",)

    def __init__(self, seed: int = 0) -> None:
        self.state = seed & _MASK

    def bits(self) -> int:
        """The next 64 bits."""
        self.state = (self.state + 0x9E3779B97F4A7C15) & _MASK
        mixed = self.state
        mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _MASK
        return mixed ^ (mixed >> 31)

    def uniform(self) -> float:
        """A float in [0, 1)."""
        return (self.bits() >> 11) * 2.0**-53

    def below(self, count: int) -> int:
        """An integer in [0, count), for 0 < count < 2**64."""
        return (self.bits() * count) >> 64 if count <= _MASK else self.bits() % count


def _no_attribute(value: Value, name: str) -> Value:
    raise Raise("AttributeError", f"no attribute '{name}'")


class Env:
    """What natives and operations need of the machine."""

    __slots__ = (
        "attribute",
        "control",
        "debug",
        "debug_chars",
        "iterators",
        "limits",
        "marks",
        "meter",
        "natives",
        "now",
        "rng",
        "rng_mark",
    )

    def __init__(
        self,
        limits: Limits,
        now: dt.datetime,
        seed: int = 0,
        iterators: "Mapping[str, StepFn] | None" = None,
    ) -> None:
        self.limits = limits
        self.meter = Meter(limits)
        """Charge work and memory here before doing or building anything large."""
        self.marks = MarkTable()
        self.now = now
        """The instant of the turn, aware UTC; all a program knows of the time."""
        self.rng = Random(seed)
        self.rng_mark: Mark = NEUTRAL
        """Strict mode: what may have decided how often numbers were drawn so far."""
        self.control: Mark = NEUTRAL
        """Strict mode: what decided that this operation happens; joined onto mutations."""
        self.debug: list[str] = []
        """What the program printed; never shown to a planner."""
        self.debug_chars = 0
        self.iterators: Mapping[str, StepFn] = iterators or {}
        """Steps of the library's kinds of `IterObj`: `lib.registry.ITERATORS`."""
        self.attribute: Callable[[Value, str], Value] = _no_attribute
        """`value.name`; set by the machine."""
        self.natives: Mapping[str, Native] = {}
        """`lib.registry.NATIVES`; operators of library types are found there by name, e.g.
        `collections.Counter.+`, `str.%`, `collections.Counter.unary-`."""

    def deep(self, value: Value) -> Mark:
        """The mark of the value and of everything in it."""
        return deep(self.marks, value, self.meter)

    def added(self, container: HeapObj, value: Value) -> None:
        """Must be called when `value` has been put into `container`."""
        added(self.marks, container, value, self.control)

    def touched(self, container: HeapObj) -> None:
        """Must be called when `container` has been changed in any other way."""
        touched(self.marks, container, self.control)


StepFn = Callable[[Env, IterObj], Value | None]
"""Moves an iterator: the next element, or None at the end (then `position` is -1)."""

NativeFn = Callable[[Env, Sequence[Value], Mapping[str, Value]], Value]


@dataclass(frozen=True, slots=True, kw_only=True)
class Native:
    """One function of the library."""

    fn: NativeFn
    marks: Literal["join", "own"] = "join"
    """`join`: the machine joins the deep marks of all arguments onto the result's reference.
    `own`: `fn` has put the right marks on the result and on what it changed."""
    is_property: bool = False
    """Read without a call: `datetime.datetime.year` (given the receiver), `math.pi` (given
    nothing)."""
    generators: bool = False
    """Takes generators as they are; for others the machine makes lists of them first."""
    cost: int = 0
    """Steps charged before each call, besides what `fn` charges itself."""


@dataclass(frozen=True, slots=True)
class Member:
    """What a name of a module, or of the built-ins, stands for.

    `native`: an entry of `NATIVES`; `type`: a `TypeObj`; `prelude`: a function of the prelude;
    `marker`: a `TypeExpr` without arguments (`typing.Optional`); `module`: a `ModuleObj`.
    """

    kind: Literal["native", "type", "prelude", "marker", "module"]
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """A native that a function of the prelude takes over when it would have to call back."""

    function: str
    """Of the prelude; receives the same arguments."""
    keywords: frozenset[str] = frozenset()
    """When one of these is given and not None (`key` of `sorted`)."""
    generators: bool = False
    """When an argument is a generator (`next`, `any`), which must not be read to its end."""
    callables: bool = False
    """When an argument can be called (`re.sub` with a function)."""
    always: bool = False

    def applies(self, args: Sequence[Value], words: Mapping[str, Value]) -> bool:
        """Whether the prelude has to do it."""
        if self.always:
            return True
        if self.keywords and any(
            name in self.keywords and value.data is not None for name, value in words.items()
        ):
            return True
        if self.generators and any(isinstance(value.data, GenObj) for value in args):
            return True
        return self.callables and any(isinstance(value.data, _CALLABLE) for value in args)


_CALLABLE = (FuncObj, BoundObj, NativeObj, TypeObj, ClassObj, ToolObj)
