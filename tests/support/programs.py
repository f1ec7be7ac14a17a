"""Running programs of the labelled interpreter in tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from interlock.dual.compile import compile_program
from interlock.dual.events import Event, Finished, Options, Pending, Request, Stopped
from interlock.dual.machine import Machine
from interlock.dual.plain import plain
from interlock.dual.program import ToolSig
from interlock.policy.model import Labels

PLAIN = Labels()


def tool(name: str, *params: str, required: tuple[str, ...] = ()) -> ToolSig:
    return ToolSig(name=name, tool=name, params=params, required=frozenset(required))


def tagged(*tags: str) -> Labels:
    return Labels.of(tags=tags)


Answer = Callable[[Request], tuple[Any, Labels]]


def answers(**results: Any) -> Answer:
    """Each tool's result by its name: plain data, or data with labels."""

    def answer(request: Request) -> tuple[Any, Labels]:
        found = results[request.sig.name]
        return found if isinstance(found, tuple) else (found, PLAIN)

    return answer


def begin(
    source: str,
    *,
    tools: tuple[ToolSig, ...] = (),
    options: Options | None = None,
    variables: Mapping[str, tuple[Any, Labels]] | None = None,
) -> Machine:
    """A machine about to run the program, with context variables."""
    given = variables or {}
    machine = Machine(options or Options())
    machine.begin_prelude()
    for number, (name, (data, labels)) in enumerate(given.items(), 1):
        machine.define(name, data, labels, -number)
    machine.extend(compile_program(source, tools=tools, names=list(given)))
    return machine


def finish(machine: Machine, answer: Answer | None = None) -> tuple[Event, list[Request]]:
    """Runs to the end, answering calls; the end and all calls."""
    calls: list[Request] = []
    while isinstance(event := machine.run(), Pending):
        assert answer is not None, "the program called a tool"
        for request in event.calls:
            calls.append(request)
            data, labels = answer(request)
            machine.give(request.no, data, labels)
    return event, calls


def value_of(source: str, **keywords: Any) -> Any:
    """The plain value a program without calls ends with."""
    event, _ = finish(begin(source, **keywords))
    assert isinstance(event, Finished), event
    return plain(event.value)[0]


def error_of(source: str, **keywords: Any) -> tuple[str, str, str]:
    """Kind, type and message of the failure a program ends with."""
    event, _ = finish(begin(source, **keywords))
    assert isinstance(event, Stopped), event
    return event.error.kind, event.error.type_name, event.error.message
