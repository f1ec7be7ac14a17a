"""The labelled interpreter as a turn uses it: programs in steps, requests out, results in.

The one place that knows how the machine is started, extended and stored.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final, Literal

from interlock.dual.compile import compile_program
from interlock.dual.errors import LimitExceeded, RunError
from interlock.dual.limits import Limits, Meter
from interlock.dual.machine import Machine, Options, Pending, Request, Stopped
from interlock.dual.marks import NEUTRAL, MarkTable
from interlock.dual.ops.types import display_name, type_name
from interlock.dual.plain import lift, plain
from interlock.dual.program import Program, ToolSig
from interlock.dual.turn.feedback import is_clean
from interlock.dual.turn.model import TurnInput
from interlock.dual.turn.signatures import INTERNAL, Bound
from interlock.dual.turn.state import ProgramState, ValueState, pack
from interlock.dual.values import NONE, InstanceObj, TypeObj, Value, deep
from interlock.policy.model import DEFAULT_LABELS, Labels

__all__ = ["Broke", "Calls", "Ended", "Engine", "Wanted", "known_names"]

_REMEMBERED_CHARS: Final = 16_384
"""Longer programs are compiled each time."""

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
    planned: frozenset[str] = frozenset()
    """Arguments that derive from no result."""


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

    value: ValueState
    derived: bool
    """Whether the value derives from anything but the program's text."""
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
        return _compiled(given, offered, source, known_names(given, kept))

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
    def load(
        cls,
        given: TurnInput,
        offered: Sequence[Bound],
        programs: Sequence[ProgramState],
        data: bytes,
    ) -> "Engine":
        """A machine from what `dump` made, with the programs it had been given.

        Raises StateError when it is damaged, or another version made it.
        """
        compiled = [_compiled(given, offered, one.source, one.names) for one in programs]
        distinct = {program.fingerprint for program in compiled}
        # The machine tells programs apart by what they do; two that differ in their lines
        # alone it has to compile itself.
        machine = Machine.load(compiled if len(distinct) == len(compiled) else None, data)
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
        try:
            value = self._state_of(event.value)
        except LimitExceeded as error:
            return Broke(error=_too_large(error))
        return Ended(
            value=value,
            derived=not is_clean(deep(self.marks, event.value)),
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
        return {name: self._shown(one) for name, one in self._machine.namespace().items()}

    def plain(self, value: Value) -> tuple[Any, str]:
        """Plain data of a value and its type's name.

        Raises LimitExceeded: written out it needs more memory than the program may use, because
        it holds the same parts again and again.
        """
        # A meter of its own: what the program has used up has nothing to do with it.
        return plain(value, Meter(self._machine.options.limits))

    def _state_of(self, value: Value) -> ValueState:
        data, kind = self.plain(value)
        return ValueState(value=pack(data), labels=deep(self.marks, value).labels, value_type=kind)

    def _shown(self, value: Value) -> ValueState:
        try:
            return self._state_of(value)
        except LimitExceeded:
            labels = deep(self.marks, value).labels
            kind = display_name(type_name(value.data))
            return ValueState(value=pack("<too large to show>"), labels=labels, value_type=kind)

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
            lineage=self._machine.lineage(one).to_dict() if derived else {},
            planned=frozenset(
                name
                for name in one.args
                if not one.sources.get(name)
                and one.labels.get(name, DEFAULT_LABELS) == DEFAULT_LABELS
                and one.control == DEFAULT_LABELS
            ),
        )


def _too_large(error: LimitExceeded) -> RunError:
    """The final value cannot be written out."""
    message = f"the final value: {error.message}"
    return RunError(kind="limit", type_name=error.what, message=message, line=0, mark=NEUTRAL)


def known_names(given: TurnInput, kept: Engine | None) -> list[str]:
    """Variables that exist before a program runs."""
    return sorted(given.context_vars if kept is None else kept.variables())


def _compiled(
    given: TurnInput, offered: Sequence[Bound], source: str, names: Sequence[str]
) -> Program:
    compiler = _compile if len(source) <= _REMEMBERED_CHARS else _compile.__wrapped__
    tools = tuple(_signatures(given, offered))
    return compiler(source, tools, frozenset(names), given.user_program is not None)


@lru_cache(maxsize=128)
def _compile(
    source: str, tools: tuple[ToolSig, ...], names: frozenset[str], repair: bool
) -> Program:
    """Compiled programs do not change, and a suspended one is loaded at every result."""
    return compile_program(source, tools=tools, names=names, repair=repair)


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
