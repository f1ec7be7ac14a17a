"""Properties of the labelled interpreter over generated programs.

(a) non-interference, (b) labels never weaken, (c) agreement with CPython, (d) a stored machine
goes on as if it had never stopped.
"""

import random
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.differential import difference
from tests.support.program_strategies import programs
from tests.support.programs import begin, finish, tagged, tool

from interlock.dual.dumps import StateError
from interlock.dual.errors import ProgramError
from interlock.dual.events import Event, Finished, Options, Pending, Request, Stopped
from interlock.dual.limits import Limits
from interlock.dual.machine import Machine
from interlock.dual.plain import plain
from interlock.policy.model import Labels

TOOLS = tuple(tool(f"fetch_{kind}", "x") for kind in ("int", "str", "list", "dict"))
LIMITS = Limits(steps=100_000)
SECRET = "secret"
PROBE = """\
probe = fetch_int(x=1)
if probe > 0:
    side = 1
    told = fetch_str(x='more')
else:
    side = 2
while probe > 5:
    probe = probe - 1
    side = side + 2
"""
"""Put before a program: what it does next depends on what the secret is."""
EXAMPLES = settings(
    max_examples=120,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.large_base_example],
)


def result_of(kind: str, choices: random.Random) -> Any:
    number = choices.randint(-9, 9)
    match kind:
        case "fetch_int":
            return number
        case "fetch_str":
            return f"text {number}"
        case "fetch_list":
            return [choices.randint(-9, 9) for _ in range(choices.randint(0, 4))]
    return {key: choices.randint(0, 9) for key in "ab"[: choices.randint(0, 2)]}


@dataclass
class Trace:
    """What an observer of one run sees."""

    calls: list[Request] = field(default_factory=list)
    branched: int | None = None
    """How many calls had been made when a decision on the secret was first recorded."""
    end: Event | None = None
    machine: Machine | None = None


def run(source: str, seed: int, *, strict: bool = False, stored: bool = False) -> Trace:
    """Runs with results chosen by the seed; results of the first tool carry the secret's tag."""
    choices = random.Random(seed)
    trace = Trace()
    machine = begin(source, tools=TOOLS, options=Options(strict=strict, limits=LIMITS))
    while isinstance(event := machine.run(), Pending):
        trace.note(machine)
        if stored:
            data = machine.dump()
            machine = Machine.load(None, data)
            assert machine.dump() == data
            assert machine.run() == event
        for request in event.calls:
            trace.calls.append(request)
            labels = Labels().merge(tagged(SECRET))
            for given_labels in request.labels.values():
                labels = labels.merge(given_labels)
            machine.give(request.no, result_of(request.sig.name, choices), labels)
    trace.note(machine)
    trace.end = event
    trace.machine = machine
    return trace


def _note(self: Trace, machine: Machine) -> None:
    if self.branched is None and machine.branches:
        self.branched = len(self.calls)


Trace.note = _note  # type: ignore[attr-defined]


def shown(request: Request) -> tuple[Any, ...]:
    """What of a call may not depend on the secret: all but arguments that carry its label."""
    args = {
        name: value
        for name, value in request.args.items()
        if not request.labels[name].tags.contains(SECRET)
    }
    return (request.sig.name, sorted(request.args), args, request.line)


@EXAMPLES
@given(programs(tools=True), st.integers(0, 2**32), st.integers(0, 2**32))
def test_a_results_content_changes_nothing_unlabelled_unless_the_program_branched_on_it(
    source: str, one: int, other: int
) -> None:
    try:
        first, second = run(source, one), run(source, other)
    except ProgramError:
        return
    bounds = [t.branched for t in (first, second) if t.branched is not None]
    ends = [t.end for t in (first, second)]
    comparable = min([*bounds, len(first.calls), len(second.calls)])
    for a, b in zip(first.calls[:comparable], second.calls[:comparable], strict=True):
        assert shown(a) == shown(b)
    if bounds:
        return
    failed = [end for end in ends if isinstance(end, Stopped)]
    if not failed:
        assert len(first.calls) == len(second.calls)
        for name, value in first.machine.namespace().items():  # type: ignore[union-attr]
            labels = first.machine.env.deep(value).labels  # type: ignore[union-attr]
            if not labels.tags.contains(SECRET):
                twin = second.machine.namespace()[name]  # type: ignore[union-attr]
                assert plain(value) == plain(twin), name
    for _ in failed:
        if len(first.calls) != len(second.calls) or len(failed) == 1:
            # Only the secret can have made one of them fail; the error says so.
            assert any(
                isinstance(e, Stopped) and e.error.mark.labels.tags.contains(SECRET) for e in failed
            )


@EXAMPLES
@given(programs(tools=True), st.integers(0, 2**32), st.integers(0, 2**32))
def test_in_strict_mode_unlabelled_values_do_not_depend_on_a_result_even_through_branches(
    source: str, one: int, other: int
) -> None:
    try:
        first, second = run(source, one, strict=True), run(source, other, strict=True)
    except ProgramError:
        return
    _independent(first, second)


@EXAMPLES
@given(programs(tools=True), st.integers(0, 2**32), st.integers(0, 2**32), st.booleans())
def test_a_branch_on_a_result_is_recorded_at_once_and_labels_what_it_decides_in_strict_mode(
    source: str, one: int, other: int, strict: bool
) -> None:
    """As the two above, where generated programs seldom come: the secret decides first of all."""
    try:
        runs = [run(PROBE + source, seed, strict=strict) for seed in (one, other)]
    except ProgramError:
        return
    for trace in runs:
        assert trace.branched == 1
        assert trace.machine is not None
        assert trace.machine.branches[0][0] == 2
    assert shown(runs[0].calls[0]) == shown(runs[1].calls[0])
    if strict:
        for trace in runs:
            held = trace.machine.namespace()["side"]  # type: ignore[union-attr]
            assert trace.machine.env.deep(held).labels.tags.contains(SECRET)  # type: ignore[union-attr]
        _independent(*runs)


def _independent(first: Trace, second: Trace) -> None:
    """Values that carry no label of the secret are the same in two finished runs."""
    if not (isinstance(first.end, Finished) and isinstance(second.end, Finished)):
        return
    assert first.machine is not None
    assert second.machine is not None
    names = first.machine.namespace().keys() & second.machine.namespace().keys()
    for name in names:
        sides = [t.machine.namespace()[name] for t in (first, second)]  # type: ignore[union-attr]
        marks = [
            t.machine.env.deep(side).labels.tags.contains(SECRET)  # type: ignore[union-attr]
            for t, side in zip((first, second), sides, strict=True)
        ]
        if not any(marks):
            assert plain(sides[0]) == plain(sides[1]), name


@EXAMPLES
@given(programs(tools=True), st.integers(0, 2**32))
def test_labels_only_ever_grow_on_the_way_through_a_program(source: str, seed: int) -> None:
    """Every value has only sources that exist, and all labels of each of them."""
    choices = random.Random(seed)
    try:
        machine = begin(source, tools=TOOLS, options=Options(limits=LIMITS))
    except ProgramError:
        return
    given: dict[int, Labels] = {}
    while isinstance(event := machine.run(), Pending):
        for request in event.calls:
            labels = Labels.of(
                tags=[f"tag {request.no}"],
                producers=[f"producer {request.no}"],
                consumers=[f"reader {number}" for number in range(1, 9) if number != request.no],
            )
            for name, held in request.labels.items():
                _carries(held, request.sources[name], given)
                labels = labels.merge(held)
            given[request.no] = labels
            machine.give(request.no, result_of(request.sig.name, choices), labels)
    for value in machine.variables.values():
        mark = machine.env.deep(value)
        _carries(mark.labels, mark.sources, given)
    if isinstance(event, Finished):
        mark = machine.env.deep(event.value)
        _carries(mark.labels, mark.sources, given)


def _carries(labels: Labels, sources: frozenset[int], given: dict[int, Labels]) -> None:
    assert sources <= given.keys()
    for number in sources:
        held = given[number]
        assert held.tags.subset(labels.tags)
        assert held.producers.subset(labels.producers)
        assert labels.consumers.subset(held.consumers)


@settings(parent=EXAMPLES, max_examples=400)
@given(programs())
def test_programs_end_as_they_do_in_cpython(source: str) -> None:
    assert difference(source) is None


@pytest.mark.parametrize("given", ["{1: 3}", "[(3, 4), 'ab']", "{3}", "5", "None", "[(1,)]"])
def test_a_dict_takes_in_pairs_as_in_cpython(given: str) -> None:
    assert difference(f"found = {{1: 2}}\nfound |= {given}\nfinal_return_value = found") is None


def test_a_value_that_holds_itself_ends_as_in_cpython() -> None:
    assert difference("found = []\nfound.append(found)\nfinal_return_value = found") is None


@EXAMPLES
@given(programs(tools=True), st.integers(0, 2**32), st.booleans())
def test_a_machine_stored_at_every_call_goes_on_as_if_it_had_never_stopped(
    source: str, seed: int, strict: bool
) -> None:
    try:
        plainly = run(source, seed, strict=strict)
    except ProgramError:
        return
    stored = run(source, seed, strict=strict, stored=True)

    assert stored.calls == plainly.calls
    assert stored.machine is not None
    assert plainly.machine is not None
    assert _outcome(stored) == _outcome(plainly)
    assert stored.machine.env.meter.steps == plainly.machine.env.meter.steps
    assert stored.machine.branches.__len__() == plainly.machine.branches.__len__()


def _outcome(trace: Trace) -> Any:
    machine = trace.machine
    assert machine is not None
    names = {
        name: (plain(value), machine.env.deep(value).labels.to_wire())
        for name, value in machine.namespace().items()
    }
    if isinstance(trace.end, Stopped):
        error = trace.end.error
        return names, error.kind, error.type_name, error.message, error.line
    return names, None


def test_a_dump_that_is_damaged_is_refused() -> None:
    machine = begin("x = fetch_int(x=1)", tools=TOOLS)
    machine.run()
    data = machine.dump()
    for cut in range(0, len(data), 7):
        with pytest.raises(StateError):
            Machine.load(None, data[:cut])


def test_unlabelled_programs_finish_without_a_single_mark() -> None:
    machine = begin("x = [i for i in range(9) if i % 2]\ny = {k: str(k) for k in x}")
    finish(machine)

    assert machine.env.marks.pure
    assert machine.branches == []
