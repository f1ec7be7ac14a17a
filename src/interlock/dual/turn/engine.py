"""The labelled interpreter as a turn uses it: programs in steps, requests out, results in.

The one place that knows how the machine is started, extended and stored.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal

from interlock.dual.compile import compile_program
from interlock.dual.errors import RunError
from interlock.dual.limits import Limits
from interlock.dual.machine import Machine, Options, Pending, Request, Stopped
from interlock.dual.marks import MarkTable
from interlock.dual.plain import lift, plain
from interlock.dual.program import Program, ToolSig
from interlock.dual.turn.feedback import is_clean
from interlock.dual.turn.model import TurnInput
from interlock.dual.turn.signatures import INTERNAL, Bound
from interlock.dual.turn.state import ValueState, pack
from interlock.dual.values import NONE, InstanceObj, TypeObj, Value, deep
from interlock.policy.model import DEFAULT_LABELS, Labels

__all__ = ["Broke", "Calls", "Ended", "Engine", "Wanted"]

_UNCOUNTED: Final = 2**31
"""The turn itself counts calls: a budget per step, whatever the interpreter's is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A call the program makes."""

    no: int
    sig: ToolSig
    args: Mapping[str, Any]
    labels: Mapping[str, Labels]
    control: Labels
    line: int
    derived: bool
    lineage: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Calls:
    """The program waits for these."""

    requests: tuple[Wanted, ...]

    @property
    def line(self) -> int:
        """Where the first stands."""
        return self.requests[0].line


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """The program ran to its end."""

    value: Value
    has_final: bool
    """Whether `final_return_value` is set."""
    in_progress: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Broke:
    """The program ended badly."""

    error: RunError


class Engine:
    """A machine and the programs it has been given."""

    def __init__(self, machine: Machine, program: Program) -> None:
        self._machine = machine
        self._program = program

    @classmethod
    def check(
        cls, given: TurnInput, offered: Sequence[Bound], source: str, kept: "Engine | None"
    ) -> Program:
        """The compiled program, to run from nothing or on the variables of `kept`.

        Raises ProgramError.
        """
        names: Collection[str] = given.context_vars
        if kept is not None:
            names = kept.variables()
        return compile_program(
            source,
            tools=_signatures(given, offered),
            names=names,
            repair=given.user_program is not None,
        )

    @classmethod
    def begin(cls, given: TurnInput, program: Program, kept: "Engine | None") -> "Engine":
        """A machine about to run a program, from nothing or on the variables of `kept`."""
        if kept is not None:
            kept._machine.extend(program)
            # The limit is one of each step.
            kept._machine.env.meter.steps = 0
            kept._program = program
            return kept
        machine = Machine.start(program, options=_options(given))
        for index, (name, one) in enumerate(given.context_vars.items()):
            machine.define(name, one.value, one.labels, _source(index))
        return cls(machine, program)

    @classmethod
    def load(cls, data: bytes) -> "Engine":
        """A machine from what `dump` made.

        Raises StateError when it is damaged, or another version made it.
        """
        machine = Machine.load(None, data)
        return cls(machine, machine.units[-1].program)

    @staticmethod
    def context(given: TurnInput) -> tuple[dict[str, Value], MarkTable]:
        """The variables a program starts with."""
        marks = MarkTable()
        return {
            name: lift(one.value, marks.mark(one.labels, [_source(index)]))
            for index, (name, one) in enumerate(given.context_vars.items())
        }, marks

    def dump(self) -> bytes:
        """The machine, to be loaded later."""
        return self._machine.dump()

    # Running

    def run(self) -> Calls | Ended | Broke:
        """Runs to the next event; all earlier requests must have their results."""
        event = self._machine.run()
        match event:
            case Pending():
                return Calls(requests=tuple(self._wanted(one) for one in event.calls))
            case Stopped():
                return Broke(error=event.error)
        return Ended(
            value=event.value,
            has_final="final_return_value" in self._machine.variables,
            in_progress=self._program.in_progress,
        )

    def give(
        self,
        no: int,
        data: object,
        labels: Labels,
        *,
        wrap: Literal["Ok", "Err"] | None = None,
    ) -> None:
        """The result of a request, as it is or in an object that says whether the call failed."""
        machine = self._machine
        machine.give(no, data, labels)
        if wrap is not None and machine.event is None:
            machine.frame.stack.append(_wrapped(machine.frame.stack.pop(), wrap))

    def refuse(self, no: int, type_name: str, message: str, labels: Labels) -> None:
        """Raises an exception in the program instead of a result."""
        self._machine.refuse(no, type_name, message, labels)

    # Looking at values

    @property
    def marks(self) -> MarkTable:
        """The marks of the machine's values."""
        return self._machine.env.marks

    def variables(self) -> Mapping[str, Value]:
        """All variables of the programs so far, functions and modules included."""
        return self._machine.variables

    def snapshot(self) -> dict[str, ValueState]:
        """The variables that hold data."""
        return {name: self.state_of(one) for name, one in self._machine.namespace().items()}

    def state_of(self, value: Value) -> ValueState:
        """A value as plain data with its labels."""
        data, kind = plain(value)
        return ValueState(value=pack(data), labels=deep(self.marks, value).labels, value_type=kind)

    def is_derived(self, value: Value) -> bool:
        """Whether a value derives from anything but the program's text."""
        return not is_clean(deep(self.marks, value))

    def _wanted(self, one: Request) -> Wanted:
        derived = any(one.sources.values()) or any(
            labels != DEFAULT_LABELS for labels in one.labels.values()
        )
        return Wanted(
            no=one.no,
            sig=one.sig,
            args=one.args,
            labels=one.labels,
            control=one.control,
            line=one.line,
            derived=derived,
            lineage={},
        )


def _source(index: int) -> int:
    """Context variables are numbered below zero, so that no result has their number."""
    return -1 - index


def _options(given: TurnInput) -> Options:
    config = given.config
    return Options(
        strict=config.strict,
        branch=config.branching,
        limits=Limits(steps=config.max_steps, memory_bytes=config.max_bytes, tool_calls=_UNCOUNTED),
        now=datetime.fromtimestamp(given.now, UTC),
        seed=given.seed,
    )


def _signatures(given: TurnInput, offered: Sequence[Bound]) -> list[ToolSig]:
    internal = [INTERNAL[name] for name in given.config.fsm.enabled_internal_tools]
    return [
        *(
            ToolSig(name=tool.name, tool=tool.spec.name, params=tool.params, required=tool.required)
            for tool in offered
        ),
        *(
            ToolSig(
                name=tool.name,
                tool=tool.name,
                params=tool.params,
                required=frozenset(tool.params),
                internal=True,
            )
            for tool in internal
        ),
    ]


def _wrapped(value: Value, kind: Literal["Ok", "Err"]) -> Value:
    """`Ok(value)` or `Err(error)`: an object with `is_ok`, `value`, `error`.

    Which one it is derives from the result, so the flag has its mark too.
    """
    fields = {
        "is_ok": Value(kind == "Ok", value.mark),
        "value": value if kind == "Ok" else NONE,
        "error": value if kind == "Err" else NONE,
    }
    return Value(InstanceObj(TypeObj(kind), fields), value.mark)
