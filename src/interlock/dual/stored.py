"""What of a machine is stored, member by member; see `dual.dumps` for the form of values."""

import datetime as dt
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from interlock.dual.compile.compiler import compile_program
from interlock.dual.dumps import (
    FORMAT,
    Branching,
    Decoder,
    Encoder,
    LabelPool,
    StateError,
    error_to_data,
    pack,
    unpack,
)
from interlock.dual.errors import Raise, RunError
from interlock.dual.events import Event, Finished, Options, Pending, Request, Stopped, Store
from interlock.dual.frames import Frame
from interlock.dual.limits import Limits
from interlock.dual.program import Program, ToolSig
from interlock.policy.model import Labels

if TYPE_CHECKING:
    from interlock.dual.machine import Machine

__all__ = ["options_from", "restore", "write"]

_BROKEN = (KeyError, IndexError, TypeError, ValueError, AttributeError, AssertionError)


def write(machine: "Machine") -> bytes:
    """The machine as bytes, to be restored by `restore`."""
    encoder = Encoder()
    pool = LabelPool()
    event: list[Any] = []
    match machine.event:
        case Pending(calls):
            event = ["pending", [call.no for call in calls]]
        case Finished(value):
            event = ["finished", encoder.encode(value)]
        case Stopped(error):
            event = ["stopped", error_to_data(error)]
    thrown = machine.thrown
    state = {
        "variables": encoder.encode(machine.variables),
        "frames": encoder.encode(machine.frames),
        "last": encoder.encode(machine.last),
        "event": event,
        "thrown": None
        if thrown is None
        else [thrown.type_name, thrown.message, thrown.mark.number if thrown.mark else 0],
        "control": machine.env.control.number,
        "risk": machine.risk.number,
        "tries": machine.tries,
        "waiting": {str(no): mark.number for no, mark in machine.waiting.items()},
        "calls": machine.calls,
        "stores": machine.stores,
    }
    data = {
        "format": FORMAT,
        "library": machine.library.prelude.fingerprint,
        "options": _options(machine.options),
        "programs": [_program(unit.program) for unit in machine.units[1:]],
        "state": state,
        "table": encoder.finish(),
        "marks": pool.marks(machine.env.marks.marks),
        "branches": [[line, mark.number] for line, mark in machine.branches],
        "trace": [
            [store.line, store.name, store.mark.number, list(store.reads), store.scope]
            for store in machine.trace
        ],
        "requests": [_request(machine, pool, r) for r in machine.requests.values()],
        "meter": [machine.env.meter.steps, machine.env.meter.used_bytes],
        "random": [machine.env.rng.state, machine.env.rng_mark.number],
        "debug": [machine.env.debug, machine.env.debug_chars],
        "traced": machine.traced,
        "contexts": {str(number): name for number, name in machine.contexts.items()},
    }
    data["labels"] = pool.records
    return pack(data)


def _options(options: Options) -> dict[str, Any]:
    rules = options.branch
    return {
        "strict": options.strict,
        "branch": None
        if rules is None
        else [rules.mode, sorted(rules.producers), sorted(rules.tags), sorted(rules.consumers)],
        "limits": asdict(options.limits),
        "now": options.now.isoformat(),
        "seed": options.seed,
    }


def _program(program: Program) -> dict[str, Any]:
    return {
        "source": program.source,
        "fingerprint": program.fingerprint,
        "names": list(program.names),
        "tools": [_sig(sig) for sig in program.tools.values()],
    }


def _sig(sig: ToolSig) -> list[Any]:
    return [sig.name, sig.tool, list(sig.params), sorted(sig.required), sig.internal]


def _sig_from(data: Sequence[Any]) -> ToolSig:
    name, tool, params, required, internal = data
    return ToolSig(
        name=name,
        tool=tool,
        params=tuple(params),
        required=frozenset(required),
        internal=internal,
    )


def _request(machine: "Machine", pool: LabelPool, request: Request) -> list[Any]:
    return [
        request.no,
        _sig(request.sig),
        # JSON, because numbers may be larger and texts odder than msgpack can say.
        json.dumps(request.args if request.no in machine.waiting else {}),
        {name: pool.number(labels) for name, labels in request.labels.items()},
        {name: sorted(sources) for name, sources in request.sources.items()},
        pool.number(request.control),
        request.line,
        {name: list(names) for name, names in request.reads.items()},
        request.at,
    ]


def options_from(data: Mapping[str, Any]) -> Options:
    """The options a run was begun with."""
    rules = data["branch"]
    branch = None
    if rules is not None:
        mode, producers, tags, consumers = rules
        branch = Branching(
            mode=mode,
            producers=frozenset(producers),
            tags=frozenset(tags),
            consumers=frozenset(consumers),
        )
    return Options(
        strict=data["strict"],
        branch=branch,
        limits=Limits(**data["limits"]),
        now=dt.datetime.fromisoformat(data["now"]),
        seed=data["seed"],
    )


def restore(
    make: Callable[[Options], "Machine"], programs: Sequence[Program], data: bytes
) -> "Machine":
    """The machine a dump was made of; programs not given are compiled from their source.

    Raises:
        StateError: damaged, or made by another version.
    """
    try:
        stored = unpack(data)
        if stored["format"] != FORMAT:
            raise StateError("the suspended program is of another version")
        return _restore(make, programs, stored)
    except _BROKEN as error:
        raise StateError("the stored run is damaged") from error


def _restore(
    make: Callable[[Options], "Machine"], programs: Sequence[Program], stored: Mapping[str, Any]
) -> "Machine":
    machine = make(options_from(stored["options"]))
    if machine.library.prelude.fingerprint != stored["library"]:
        raise StateError("the suspended program is of another version")
    machine.begin_prelude()
    known = {program.fingerprint: program for program in programs}
    for part in stored["programs"]:
        machine.add(_compiled(known, part))
    table = machine.env.marks
    labels = [table.shared(Labels.from_record(record)) for record in stored["labels"]]
    marks = [table.mark(labels[number], sources) for number, sources in stored["marks"]]

    def new_frame(unit: int, code: int) -> Frame:
        held = machine.units[unit].program.codes[code]
        return machine.new_frame(held, unit, [])

    decoder = Decoder(stored["table"], marks, new_frame)
    state = stored["state"]
    machine.variables.update(decoder.decode(state["variables"]))
    machine.set_frames(decoder.decode(state["frames"]))
    machine.last = decoder.decode(state["last"])
    machine.env.control = marks[state["control"]]
    machine.risk, machine.tries = marks[state["risk"]], state["tries"]
    machine.waiting = {int(no): marks[mark] for no, mark in state["waiting"].items()}
    machine.calls, machine.stores = state["calls"], state["stores"]
    machine.requests = {row[0]: _request_from(row, labels) for row in stored["requests"]}
    machine.env.meter.steps, machine.env.meter.used_bytes = stored["meter"]
    machine.env.rng.state = stored["random"][0]
    machine.env.rng_mark = marks[stored["random"][1]]
    machine.env.debug, machine.env.debug_chars = stored["debug"]
    machine.traced = stored["traced"]
    machine.contexts = {int(number): name for number, name in stored["contexts"].items()}
    machine.recall(
        [(line, marks[mark]) for line, mark in stored["branches"]],
        [
            Store(line, name, marks[mark], tuple(reads), scope)
            for line, name, mark, reads, scope in stored["trace"]
        ],
    )
    if state["thrown"] is not None:
        type_name, message, mark = state["thrown"]
        machine.thrown = Raise(type_name, message, marks[mark])
    machine.event = _event(machine, decoder, marks, state["event"])
    return machine


def _compiled(known: Mapping[str, Program], part: Mapping[str, Any]) -> Program:
    found = known.get(part["fingerprint"])
    if found is None:
        found = compile_program(
            part["source"],
            tools=[_sig_from(sig) for sig in part["tools"]],
            names=part["names"],
        )
        if found.fingerprint != part["fingerprint"]:
            raise StateError("the suspended program is of another version")
    return found


def _request_from(row: Sequence[Any], pool: Sequence[Labels]) -> Request:
    no, sig, args, labels, sources, control, line, reads, at = row
    return Request(
        no=no,
        sig=_sig_from(sig),
        args=json.loads(args),
        labels={name: pool[number] for name, number in labels.items()},
        sources={name: frozenset(numbers) for name, numbers in sources.items()},
        control=pool[control],
        line=line,
        reads={name: tuple(names) for name, names in reads.items()},
        at=at,
    )


def _event(
    machine: "Machine", decoder: Decoder, marks: Sequence[Any], data: Sequence[Any]
) -> Event | None:
    if not data:
        return None
    kind, content = data
    if kind == "pending":
        return Pending(tuple([machine.requests[no] for no in content]))
    if kind == "finished":
        return Finished(decoder.decode(content))
    error_kind, type_name, message, line, frames, mark = content
    return Stopped(
        RunError(
            kind=error_kind,
            type_name=type_name,
            message=decoder.decode(message),
            line=line,
            frames=tuple([(name, at) for name, at in frames]),
            mark=marks[mark],
        )
    )
