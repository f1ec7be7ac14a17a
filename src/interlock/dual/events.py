"""What goes into a machine and what comes out of it: options, calls, outcomes."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from interlock.dual.errors import RunError
from interlock.dual.limits import Limits
from interlock.dual.marks import Mark
from interlock.dual.program import Program, ToolSig
from interlock.dual.values import Value
from interlock.policy.branching import BranchRules
from interlock.policy.model import Labels

__all__ = ["Event", "Finished", "Options", "Pending", "Request", "Stopped", "Store", "Unit"]

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How a run is to be carried out."""

    strict: bool = False
    """Track implicit flows (11.9)."""
    branch: BranchRules | None = None
    """What may be branched on (11.10); None: anything."""
    limits: Limits = field(default_factory=Limits)
    now: dt.datetime = _EPOCH
    """The instant of the turn, aware UTC: all a program learns of the time."""
    seed: int = 0
    """Of the program's `random`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A call the program makes."""

    no: int
    """From 1; also the source number of its result."""
    sig: ToolSig
    args: Mapping[str, Any]
    """Plain JSON, a snapshot."""
    labels: Mapping[str, Labels]
    """Of each argument, everything in it included."""
    sources: Mapping[str, frozenset[int]]
    """Of each argument: the numbers of the results it derives from."""
    control: Labels
    """Strict mode: of the conditions that decided that this call happens."""
    line: int
    reads: Mapping[str, tuple[str, ...]]
    """For each argument, the variables its expression reads."""
    at: int
    """How many stores the trace had seen when it was made."""


@dataclass(frozen=True, slots=True)
class Pending:
    """The program waits for results."""

    calls: tuple[Request, ...]


@dataclass(frozen=True, slots=True)
class Finished:
    """The program ended; `value` is its answer (10.3)."""

    value: Value


@dataclass(frozen=True, slots=True)
class Stopped:
    """The program failed."""

    error: RunError


Event = Pending | Finished | Stopped


@dataclass(frozen=True, slots=True)
class Store:
    """One store of a value that derives from something, for lineage."""

    line: int
    name: str
    mark: Mark
    reads: tuple[str, ...]
    """Variables its statement reads."""
    scope: int
    """The code object it happened in."""


@dataclass(slots=True)
class Unit:
    """One program of the machine: the prelude, then one per step."""

    program: Program
    namespace: dict[str, Value]
