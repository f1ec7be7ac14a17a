"""Runs expressions and programs on the interpreter, and on CPython to compare."""

import collections
import datetime as dt
import itertools
import json
import math
import re
import statistics
import string
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from interlock.dual.compile.compiler import compile_program
from interlock.dual.limits import Limits
from interlock.dual.machine import Finished, Machine, Options, Stopped
from interlock.dual.marks import Mark
from interlock.dual.ops.iterate import iterate
from interlock.dual.values import (
    SCALARS,
    DictObj,
    HeapObj,
    IterObj,
    ListObj,
    RangeObj,
    SetObj,
    TupleObj,
    Value,
    ViewObj,
)
from interlock.policy.model import Labels

NOW = dt.datetime(2024, 5, 6, 7, 8, 9, tzinfo=dt.UTC)
IMPORTS = (
    "import collections, datetime, functools, itertools, json, math, random, re\n"
    "import statistics, string, typing\n"
)
HOST = {
    "collections": collections,
    "datetime": dt,
    "itertools": itertools,
    "json": json,
    "math": math,
    "re": re,
    "statistics": statistics,
    "string": string,
}
SECRET = Labels.of(tags=["secret"], producers=["vault"], consumers=["alice"])


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an expression: a value, or an exception with its message."""

    kind: str
    """`value`, or the name of the exception; `limit` for a resource."""
    data: object


def start(program: str, *, limits: Limits | None = None, **names: object) -> Machine:
    """A machine about to run a program; names are unlabelled JSON variables."""
    compiled = compile_program(program, tools=(), names=list(names))
    options = Options(limits=limits or Limits(), now=NOW, seed=7)
    machine = Machine.start(compiled, options=options)
    for name, data in names.items():
        machine.define(name, data, Labels())
    return machine


def finished(machine: Machine) -> Value:
    """The value a machine ends with."""
    event = machine.run()
    assert isinstance(event, Finished), event
    return event.value


def evaluate(expression: str, *, limits: Limits | None = None) -> Outcome:
    """What the interpreter makes of an expression."""
    machine = start(f"{IMPORTS}final_return_value = (\n{expression}\n)", limits=limits)
    event = machine.run()
    if isinstance(event, Finished):
        return Outcome("value", host_data(machine, event.value))
    assert isinstance(event, Stopped)
    error = event.error
    if error.kind == "limit":
        return Outcome("limit", error.message)
    return Outcome(error.type_name, error.message)


def cpython(expression: str) -> Outcome:
    """What CPython makes of it."""
    try:
        found = eval(expression, dict(HOST))
    except Exception as error:
        name = "PatternError" if isinstance(error, re.error) else type(error).__name__
        return Outcome(name, str(error))
    return Outcome("value", settled(found))


def settled(found: Any) -> object:
    """A host value in the form `host_data` gives."""
    if isinstance(found, re.RegexFlag):
        return int(found)
    if isinstance(found, dict | MappingProxyType):
        return {settled(key): settled(item) for key, item in found.items()}
    if isinstance(found, tuple):
        return tuple(settled(item) for item in found)
    if isinstance(found, list):
        return [settled(item) for item in found]
    if isinstance(found, float) and math.isnan(found):
        return "NaN"
    return found


def host_data(machine: Machine, value: Value) -> object:
    """The host's form of a value of the program."""
    data = value.data
    match data:
        case ListObj() if data.kind == "collections.deque":
            return collections.deque([host_data(machine, item) for item in data.items], data.maxlen)
        case ListObj():
            return [host_data(machine, item) for item in data.items]
        case TupleObj():
            return tuple(host_data(machine, item) for item in data.items)
        case DictObj():
            return {
                host_data(machine, key): host_data(machine, item)
                for key, item in data.entries.values()
            }
        case SetObj():
            elements = [host_data(machine, item) for item in data.entries.values()]
            return frozenset(elements) if data.frozen else set(elements)
        case RangeObj():
            return data.span
        case IterObj() | ViewObj():
            return [host_data(machine, item) for item in iterate(machine.env, value)]
        case HeapObj():
            return data
    assert type(data) in SCALARS
    if isinstance(data, float) and math.isnan(data):
        return "NaN"
    return data


def label(machine: Machine, name: str, data: object, tag: str = "secret") -> Mark:
    """Binds a labelled variable; returns its mark."""
    labels = Labels.of(tags=[tag], producers=[f"{tag}-producer"], consumers=[tag])
    machine.define(name, data, labels)
    return machine.mark(labels)


def tags(machine: Machine, value: Value) -> list[str]:
    """The tags of a value with everything in it."""
    return machine.env.deep(value).labels.tags.to_wire()
