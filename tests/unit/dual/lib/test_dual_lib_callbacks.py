"""Tool calls inside callbacks suspend the program, and it goes on in another process."""

import pytest
from tests.support.dual_programs import IMPORTS, NOW, host_data

from interlock.dual.compile.compiler import compile_program
from interlock.dual.machine import Finished, Machine, Options, Pending
from interlock.dual.program import ToolSig
from interlock.policy.model import Labels

LOOKUP = ToolSig(name="lookup", tool="lookup", params=("key",), required=frozenset({"key"}))
TABLE = {"a": 3, "b": 1, "c": 2, "x": 10}

CALLBACKS = {
    "sorted(['a', 'b', 'c'], key=lookup)": ["b", "c", "a"],
    "sorted(['a', 'b', 'c'], key=lambda k: -lookup(k))": ["a", "c", "b"],
    "(lambda a: (a.sort(key=lookup), a)[-1])(['a', 'b', 'c'])": ["b", "c", "a"],
    "max(['a', 'b', 'c'], key=lookup)": "a",
    "min('a', 'b', 'c', key=lookup)": "b",
    "list(map(lookup, ['a', 'b']))": [3, 1],
    "list(filter(lambda k: lookup(k) > 1, ['a', 'b', 'c']))": ["a", "c"],
    "functools.reduce(lambda t, k: t + lookup(k), ['a', 'b'], 0)": 4,
    "functools.partial(lookup, key='a')()": 3,
    "any(lookup(k) == 1 for k in ['a', 'b', 'c'])": True,
    "all(lookup(k) == 3 for k in ['a', 'b', 'c'])": False,
    "next(k for k in ['a', 'b', 'c'] if lookup(k) < 3)": "b",
    "sum(lookup(k) for k in ['a', 'b'])": 4,
    "','.join(str(lookup(k)) for k in ['a', 'b'])": "3,1",
    "dict((k, lookup(k)) for k in ['a', 'b'])": {"a": 3, "b": 1},
    "list(zip((lookup(k) for k in ['a', 'b']), 'xy'))": [(3, "x"), (1, "y")],
    "list(enumerate(lookup(k) for k in ['a', 'b']))": [(0, 3), (1, 1)],
    "re.sub('[abc]', lambda m: str(lookup(m.group())), 'a-b-z')": "3-1-z",
    "json.dumps([{'c'}], default=lambda s: lookup(list(s)[0]))": "[2]",
    "[k for k, g in itertools.groupby(['a', 'x', 'b'], key=lambda k: lookup(k) > 5)]": [
        False,
        True,
        False,
    ],
    "list(itertools.takewhile(lambda k: lookup(k) != 1, ['a', 'b', 'c']))": ["a"],
    "list(itertools.accumulate(['a', 'b'], lambda t, k: t + str(lookup(k))))": ["a", "a1"],
    "list(itertools.islice((lookup(k) for k in ['a', 'b', 'c']), 2))": [3, 1],
    "(lambda d: (d['k'], len(d)))(collections.defaultdict(lambda: lookup('c')))": (2, 1),
}


def _run(expression: str, *, stored: bool) -> tuple[object, list[str], list[str]]:
    program = compile_program(f"{IMPORTS}final_return_value = (\n{expression}\n)", tools=(LOOKUP,))
    machine = Machine.start(program, options=Options(now=NOW))
    asked = []
    while isinstance(event := machine.run(), Pending):
        if stored:
            machine = Machine.load(program, machine.dump())
            event = machine.run()
            assert isinstance(event, Pending)
        (request,) = event.calls
        key = request.args["key"]
        asked.append(key)
        machine.give(request.no, TABLE[key], Labels.of(tags=["looked-up"]))
    assert isinstance(event, Finished), event
    value = event.value
    return host_data(machine, value), asked, machine.env.deep(value).labels.tags.to_wire()


@pytest.mark.parametrize(("expression", "wanted"), CALLBACKS.items())
def test_a_callback_may_call_a_tool(expression: str, wanted: object) -> None:
    found, asked, tags = _run(expression, stored=False)

    assert found == wanted
    assert tags == ["looked-up"]
    assert _run(expression, stored=True) == (found, asked, tags)


def test_lazy_functions_call_no_tool_too_many() -> None:
    for expression in (
        "any(lookup(k) == 3 for k in ['a', 'b', 'c'])",
        "next(k for k in ['a', 'b', 'c'] if lookup(k) == 3)",
        "list(itertools.islice((lookup(k) for k in ['a', 'b', 'c']), 1))",
        "[x for x, _ in zip((lookup(k) for k in ['a', 'b']), [1]) if x][:1]",
    ):
        _, asked, _ = _run(expression, stored=False)

        assert asked[:1] == ["a"]
        assert len(asked) <= 2
