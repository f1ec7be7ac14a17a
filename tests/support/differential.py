"""Runs a program here and in CPython, and says how the outcomes differ."""

from __future__ import annotations

import io
import math
import re
import warnings
from contextlib import redirect_stdout
from typing import Any

from interlock.dual.compile import compile_program
from interlock.dual.errors import ProgramError
from interlock.dual.events import Finished, Options, Stopped
from interlock.dual.limits import Limits
from interlock.dual.machine import Machine
from interlock.dual.values import (
    DictObj,
    ListObj,
    RangeObj,
    SetObj,
    TupleObj,
    Value,
)

Outcome = tuple[str, Any]
LIMITS = Limits(steps=2_000_000)
_INCOMPARABLE = re.compile(r"'([<>]=?)' not supported between instances of '(\w+)' and '(\w+)'")


def to_host(value: Value) -> Any:
    """A host object for a value, types kept."""
    data = value.data
    match data:
        case ListObj():
            return [to_host(item) for item in data.items]
        case TupleObj():
            return tuple(to_host(item) for item in data.items)
        case DictObj():
            return {to_host(key): to_host(item) for key, item in data.entries.values()}
        case SetObj():
            made = [to_host(item) for item in data.entries.values()]
            return frozenset(made) if data.frozen else set(made)
        case RangeObj():
            return data.span
    return data


def ours(source: str) -> Outcome:
    """How the program ends here: value, exception type and message, or another failure."""
    try:
        program = compile_program(source)
    except ProgramError as error:
        return "refused", error.error_class
    machine = Machine.start(program, options=Options(limits=LIMITS))
    event = machine.run()
    if isinstance(event, Finished):
        return "value", to_host(event.value)
    assert isinstance(event, Stopped)
    error = event.error
    if error.kind == "exception":
        return "raised", (error.type_name, error.message)
    return error.kind, error.type_name


def theirs(source: str) -> Outcome:
    """How it ends in CPython. For generated programs only: this executes them."""
    space: dict[str, Any] = {}
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            exec(compile(source, "<generated>", "exec", dont_inherit=True), space)
    except SyntaxError:
        return "refused", "syntax"
    except Exception as error:
        return "raised", (type(error).__name__, str(error))
    return "value", space.get("final_return_value")


def same(a: Any, b: Any) -> bool:
    """Equality of host objects that tells types, order of dicts, and NaN apart."""
    if type(a) is not type(b):
        return False
    if isinstance(a, float):
        return (math.isnan(a) and math.isnan(b)) or (
            a == b and math.copysign(1, a) == math.copysign(1, b)
        )
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    return bool(a == b)


def _either_way(error: Any) -> tuple[str, object]:
    """An error without the order of two types that cannot be compared.

    What is sorted may come from a set, whose order differs from one CPython to the next.
    """
    name, message = error
    found = _INCOMPARABLE.fullmatch(message)
    return name, message if found is None else (found[1], frozenset(found.group(2, 3)))


def difference(source: str) -> str | None:
    """What differs, None if nothing does."""
    try:
        here = ours(source)
    except RecursionError:  # of `to_host`: a container that holds itself
        there = theirs(source)
        return None if there[0] == "value" and "..." in repr(there[1]) else f"CPython {there}"
    if here[0] == "limit":
        return None  # numbers or texts grew without bound: CPython would not come back
    there = theirs(source)
    if here[0] != there[0]:
        return f"here {here}, CPython {there}"
    if here[0] == "raised":
        equal = _either_way(here[1]) == _either_way(there[1])
    else:
        equal = same(here[1], there[1])
    return None if equal else f"here {here}, CPython {there}"
