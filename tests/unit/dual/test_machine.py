"""The machine: answers, calls, labels, branching, strict mode, limits."""

from dataclasses import replace
from typing import Any

import pytest
from tests.support.programs import answers, begin, error_of, finish, tagged, tool, value_of

from interlock.dual.compile import compile_program
from interlock.dual.dumps import Branching
from interlock.dual.errors import ProgramError
from interlock.dual.events import Finished, Options, Pending, Stopped
from interlock.dual.limits import Limits
from interlock.dual.machine import Machine
from interlock.dual.marks import NEUTRAL
from interlock.dual.native import Native
from interlock.policy.model import Labels

READ = tool("read", "id", required=("id",))
SEND = tool("send", "to", "body", required=("to",))
TOOLS = (READ, SEND)


# answers (10.3)


def test_the_answer_is_final_return_value() -> None:
    assert value_of("final_return_value = 97\n1 + 1") == 97


def test_without_it_the_answer_is_the_last_expression_statement() -> None:
    assert value_of("x = 3\nx * 2\ny = 1") == 6


def test_without_either_the_answer_is_null() -> None:
    assert value_of("x = 3") is None


def test_exit_ends_the_program_with_what_it_has() -> None:
    assert value_of("final_return_value = 1\nexit()\nfinal_return_value = 2") == 1
    assert value_of("def f():\n    quit()\nfinal_return_value = 1\nf()\n1/0") == 1


# calls


def test_a_call_leaves_with_its_arguments_by_name() -> None:
    machine = begin('send("bob", body={"a": (1, 2), "b": {3}})', tools=TOOLS)

    event = machine.run()

    assert isinstance(event, Pending)
    (request,) = event.calls
    assert (request.no, request.sig, request.line) == (1, SEND, 1)
    assert request.args == {"to": "bob", "body": {"a": [1, 2], "b": [3]}}
    assert machine.run() is event


def test_an_argument_is_a_snapshot() -> None:
    machine = begin("x = [1]\nsend('a', x)\nx.append(2)\nsend('b', x)", tools=TOOLS)

    event, calls = finish(machine, answers(send=None))

    assert isinstance(event, Finished)
    assert [call.args["body"] for call in calls] == [[1], [1, 2]]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("read()", "read() missing required arguments: 'id'"),
        ("read(1, 2)", "read() takes 1 arguments but 2 were given"),
        ("read(1, id=2)", "read() got multiple values for argument 'id'"),
        ("read(id=1, x=2)", "read() got an unexpected keyword argument 'x'"),
        ("read(lambda: 1)", "Object of type function is not JSON serializable"),
        ("read(float('nan'))", "NaN and infinite numbers are not JSON"),
    ],
)
def test_a_call_that_does_not_fit_never_leaves(call: str, message: str) -> None:
    assert error_of(call, tools=TOOLS)[2] == message


def test_an_argument_that_holds_itself_never_leaves() -> None:
    assert error_of("x = []\nx.append(x)\nread(x)", tools=TOOLS)[1] == "ValueError"


def test_shared_parts_are_not_written_out_without_bound() -> None:
    source = "x = [1]\nfor i in range(60):\n    x = [x, x]\nread(x)"

    assert error_of(source, tools=TOOLS)[0] == "limit"


def test_a_refused_call_raises_in_the_program_which_may_catch_it() -> None:
    machine = begin(
        "try:\n    read(1)\nexcept ValueError as e:\n    final_return_value = str(e)", tools=TOOLS
    )
    machine.run()

    machine.refuse(1, "ValueError", "no such document", tagged("t"))
    event = machine.run()

    assert isinstance(event, Finished)
    assert event.value.data == "no such document"
    assert event.value.mark.labels == tagged("t")


def test_a_result_is_taken_once_and_only_for_a_request_that_waits() -> None:
    machine = begin("read(1)\nread(2)", tools=TOOLS)
    machine.run()
    with pytest.raises(KeyError):
        machine.give(2, "x", Labels())
    machine.give(1, "x", Labels())
    with pytest.raises(KeyError):
        machine.give(1, "x", Labels())


def test_tools_can_be_called_by_anything_that_calls() -> None:
    machine = begin(
        "final_return_value = sorted([2, 1], key=read), list(map(read, [5])), max(7, 8, key=read)",
        tools=TOOLS,
    )

    event, calls = finish(machine, lambda r: (r.args["id"], Labels()))

    assert isinstance(event, Finished)
    assert [call.args["id"] for call in calls] == [2, 1, 5, 7, 8]


def test_any_stops_calling_once_it_knows() -> None:
    machine = begin("final_return_value = any(read(i) for i in range(9))", tools=TOOLS)

    _, calls = finish(machine, lambda r: (r.args["id"] == 2, Labels()))

    assert len(calls) == 3


def test_the_number_of_calls_is_limited() -> None:
    machine = begin(
        "while True: read(1)", tools=TOOLS, options=Options(limits=Limits(tool_calls=3))
    )

    event, calls = finish(machine, answers(read=1))

    assert len(calls) == 3
    assert isinstance(event, Stopped)
    assert event.error.kind == "tool_calls"


def test_a_further_step_goes_on_with_the_variables_of_the_one_before() -> None:
    machine = begin("x = [1]\ndef double(y): return y * 2", tools=TOOLS)
    machine.run()
    machine.extend(
        compile_program(
            "final_return_value = double(x) + read(1)", tools=TOOLS, names=["x", "double"]
        )
    )
    machine.run()
    machine = Machine.load(None, machine.dump())
    machine.give(1, [3], Labels())

    event = machine.run()

    assert isinstance(event, Finished)
    assert [item.data for item in event.value.data.items] == [1, 1, 3]  # type: ignore[union-attr]


# labels (10.5)


def labelled(source: str, **results: Any) -> tuple[dict[str, Labels], Machine]:
    """Labels of every variable at the end."""
    machine = begin(source, tools=TOOLS)
    event, _ = finish(machine, answers(**results))
    assert isinstance(event, Finished), event
    names = machine.namespace()
    return {name: machine.env.deep(value).labels for name, value in names.items()}, machine


@pytest.mark.parametrize(
    "expression",
    [
        "s + 'x'",
        "f'{s}'",
        "f'{s:>20}'",
        "f'{1:{len(s)}}'",
        "'%s' % s",
        "'{}'.format(s)",
        "s.upper()",
        "'x'.join([s])",
        "s.join(['a', 'b'])",
        "s[0]",
        "'abcdefghij'[len(s)]",
        "len(s)",
        "s == 'x'",
        "not s",
        "'x' in s",
        "s in ['x']",
        "[s]",
        "(1, s)",
        "{s}",
        "{s: 1}",
        "{1: s}",
        "{'k': s}['k']",
        "{s: 1}[s]",
        "[s, 1]",
        "[1, s][1]",
        "[c for c in s]",
        "[1 for c in s]",
        "[1 for c in [1] if s]",
        "{c: 1 for c in s}",
        "list(s)",
        "sorted(s)",
        "max(s)",
        "''.join(sorted(s, key=lambda c: 1))",
        "[0, 1][len(s) > 3]",
        "sum([len(s), 1])",
        "dict(a=s)",
        "str(s)",
        "repr(s)",
        "int('1' + str(len(s)))",
        "1 if s else 2",
        "s and 1",
        "s or 1",
        "1 < len(s) < 99",
        "(lambda x: x)(s)",
        "(lambda *a: a)(s)",
        "(lambda **k: k)(x=s)",
        "(lambda x=s: x)()",
        "(y := s)",
        "[*s]",
        "{**{'a': s}}",
        "list(map(lambda x: 1, s))",
        "list(filter(lambda x: x, s))",
        "list(filter(lambda x: s, [1]))",
        "list(zip(s, [1]))",
        "list(enumerate(s))",
        "list(reversed(s))",
        "next(iter(s))",
        "any(c for c in s)",
        "getattr(s, 'upper')()",
        "[1, 2][:len(s)]",
        "range(len(s))",
        "list(range(len(s)))",
        "'x' * len(s)",
        "[1] * len(s)",
        "-len(s)",
        "isinstance(s, str)",
        "s.split()",
        "s.split()[0]",
        "{'a': 1}.get(s, 2)",
        "{'a': 1}.get('a', s) if s else 0",
        "round(len(s) / 3, 1)",
        "divmod(len(s), 2)",
        "s is None",
        "[x for x in [1, 2] for c in s]",
        "set(s)",
        "hash_ if (hash_ := len(s)) else 0",
    ],
)
def test_every_operation_keeps_the_labels_of_all_its_inputs(expression: str) -> None:
    labels, machine = labelled(f"s = read(1)\nr = {expression}", read=("text x", tagged("t")))

    assert labels["r"].tags.contains("t"), expression
    assert 1 in machine.env.deep(machine.variables["r"]).sources


def test_consumers_intersect_and_the_untouched_default_leaves_the_other() -> None:
    hr = Labels.of(consumers=["hr"])
    both = Labels.of(consumers=["hr", "audit"])
    machine = begin('a = read(1)\nx = read(2)\nr = f"{a} {x}"', tools=TOOLS)
    finish(machine, lambda r: ("v", hr if r.no == 1 else both))

    assert machine.variables["r"].mark.labels.consumers.to_wire() == ["hr"]


def test_elements_keep_labels_of_their_own() -> None:
    labels, _ = labelled(
        "s = read(1)\nxs = [s, 'plain']\na = xs[0]\nb = xs[1]", read=("x", tagged("t"))
    )

    assert labels["xs"].tags.contains("t")
    assert labels["a"].tags.contains("t")
    assert not labels["b"].tags.contains("t")


def test_an_element_taken_out_takes_its_labels_along() -> None:
    labels, _ = labelled("s = read(1)\nxs = [1, s]\nxs.pop()\nn = len(xs)", read=("x", tagged("t")))

    assert not labels["n"].tags.contains("t")


def test_a_key_that_went_leaves_its_labels_on_the_dict() -> None:
    labels, _ = labelled(
        "s = read(1)\nd = {s: 1, 'b': 2}\ndel d['b']\nn = len(d)", read=("b", tagged("t"))
    )

    assert labels["n"].tags.contains("t")


@pytest.mark.parametrize(
    "moving",
    [
        "list(zip(s, i))",
        "list(zip(i, s))",
        "list(zip(enumerate(i), s))",
        "for x, y in zip(s, i): pass",
        "any(i)",
        "all(i)",
        "s[0] in i",
        "s[0] not in i",
    ],
)
def test_how_far_an_iterator_was_moved_is_seen_on_what_it_gives_next(moving: str) -> None:
    source = f"s = read(1)\ni = iter([0, s[0], 3, 0, 5, 6])\n{moving}\nr = next(i, 0)"
    labels, _ = labelled(source, read=([1, 0], tagged("t")))

    assert labels["r"].tags.contains("t")


def test_an_iterator_that_nothing_labelled_moved_gives_unlabelled_elements() -> None:
    source = "s = read(1)\ni = iter([1, 2, 3])\nlist(zip([1], i))\n1 in i\nr = next(i, 0)"
    labels, _ = labelled(source, read=([1, 0], tagged("t")))

    assert not labels["r"].tags.contains("t")


def test_a_change_deep_inside_is_seen_from_outside() -> None:
    labels, _ = labelled(
        "inner = [1]\nouter = {'a': [inner]}\nn = len(outer)\ns = read(1)\ninner.append(s)\n"
        "m = len(outer)",
        read=("x", tagged("t")),
    )

    assert not labels["n"].tags.contains("t")
    assert labels["m"].tags.contains("t")


def test_containers_that_hold_themselves_have_labels_too() -> None:
    labels, _ = labelled(
        "x = []\nx.append(x)\ny = [x]\nx.append(read(1))\nn = len(y)", read=("x", tagged("t"))
    )

    assert labels["n"].tags.contains("t")


def test_literals_carry_nothing() -> None:
    machine = begin("x = [1, {'a': (2, 3)}, f'{4}']")
    finish(machine)

    assert machine.env.deep(machine.variables["x"]) is NEUTRAL


# branching (11.10; vectors 58-60)

RACE = Branching(
    mode="deny", tags=frozenset({"race"}), producers=frozenset(), consumers=frozenset()
)


@pytest.mark.parametrize(
    "source",
    [
        "if s == 'x': pass",
        "if 0: pass\nelif s: pass",
        "while s: break",
        "a = 1 if s else 2",
        "a = [x for x in [1] if s]",
        "a = any(x for x in [1] if s)",
        "assert s",
        "match s:\n    case 'x': pass\n    case _: pass",
        "s and read(2)",
        "s or read(2)",
        "1 < len(s) < len(read(2))",
        "def f():\n    if s: return 1\nf()",
        "try:\n    if s: pass\nexcept Exception: pass",
    ],
)
def test_a_forbidden_branch_stops_the_program_and_cannot_be_caught(source: str) -> None:
    machine = begin(f"s = read(1)\n{source}", tools=TOOLS, options=Options(branch=RACE))
    event, calls = finish(machine, answers(read=("xx", tagged("race"))))

    assert isinstance(event, Stopped)
    assert event.error.kind == "control_flow_violation"
    assert len(calls) == 1


def test_without_branching_rules_the_same_program_runs_and_the_branch_is_recorded() -> None:
    machine = begin("s = read(1)\nif s == 'x': pass", tools=TOOLS)
    event, _ = finish(machine, answers(read=("x", tagged("race"))))

    assert isinstance(event, Finished)
    ((line, mark),) = machine.branches
    assert (line, mark.sources) == (2, {1})


def test_a_program_that_does_not_branch_on_it_runs_under_the_rules() -> None:
    source = "p = read(1)\nfor x in p: pass\nsend('a', body=p)"
    machine = begin(source, tools=TOOLS, options=Options(branch=RACE))
    event, calls = finish(machine, answers(read=(["x"], tagged("race")), send=None))

    assert isinstance(event, Finished)
    assert calls[1].labels["body"].tags.contains("race")


# strict mode (11.9)


def strictly(source: str) -> dict[str, bool]:
    """Which variables carry the tag of the result `s`."""
    machine = begin(f"s = read(1)\n{source}", tools=TOOLS, options=Options(strict=True))
    event, _ = finish(machine, answers(read=(["a", "b"], tagged("t")), send=(None, Labels())))
    assert isinstance(event, Finished), event
    return {
        name: machine.env.deep(value).labels.tags.contains("t")
        for name, value in machine.namespace().items()
    }


@pytest.mark.parametrize(
    "source",
    [
        "r = 0\nif s: r = 1",
        "r = 0\nif not s: r = 1",
        "r = 0\nif 1: pass\nelif s: r = 1\nif not s: r = 2",
        "r = 0\nfor x in s: r = 1",
        "r = 0\nfor x in s: r += 1",
        "r = 0\nwhile s:\n    r = 1\n    break",
        "r = 0\nfor i in [1, 2]:\n    if s: break\n    r = 1",
        "def f():\n    if s: return 1\n    return 2\nr = f()",
        "def f():\n    if not s: return 1\n    return 2\nr = f()",
        "r = 0\ntry:\n    s[7]\n    r = 1\nexcept IndexError: pass",
        "r = 0\ntry:\n    if not s: raise ValueError\n    r = 1\nexcept ValueError: r = 2",
        "r = 0\ndef f():\n    if not s: raise ValueError\n"
        "try:\n    f()\n    r = 1\nexcept ValueError: r = 2",
        "r = []\nif s: r.append(1)",
        "r = []\nif not s: r.append(1)",
        "r = {}\nif s: r['a'] = 1",
        "r = {}\nif not s: r['a'] = 1",
        "r = 1\nif s: del r\nr = 2 if s else 3",
        "r = 0\nmatch s:\n    case []: r = 1",
        "r = 0\ndef f():\n    global r\n    r = 1\nif not s: f()",
        "r = 0\nx = s and (r := 1)",
        "r = [1 for i in [1] if s]",
        "r = 0\nif not s: exit()\nr = 1",
        "r = 0\nif s:\n    import json as r\nr = 1 if s else 2",
        "r = 0\nx = not s and (r := 1)",
        "r = []\nx = not s and r.append(1)",
        "r = []\nx = 1 if s else r.append(1)",
        "i = iter([1, 2, 3])\nif s:\n    for x in i: break\nr = next(i)",
        "i = iter([1, 2, 3])\nif not s:\n    for x in i: break\nr = next(i)",
        "i = iter([1, 2, 3])\nx = not s and next(i)\nr = next(i)",
        "i = iter([1, 2, 3])\nany(str(x) == s for x in i)\nr = next(i, 0)",
        "import itertools\ni = iter([1, 2, 3])\nlist(itertools.islice(i, len(s)))\nr = next(i)",
        "import itertools\ni = iter([1, 2, 3])\n"
        "next(itertools.dropwhile(lambda x: x != len(s), i))\nr = next(i)",
        "import random\nif s: random.random()\nr = random.random()",
        "import random\nif not s: random.random()\nr = random.random()",
        "import random\nr = [1, 2]\nif not s: random.random()\nrandom.shuffle(r)",
    ],
)
def test_in_strict_mode_what_a_condition_decided_carries_its_labels(source: str) -> None:
    assert strictly(source)["r"], source


def test_in_strict_mode_the_join_ends_what_a_condition_controls() -> None:
    found = strictly("a = 0\nif s: a = 1\nb = 2\nfor x in s: c = 1\nd = 3")

    assert found["a"]
    assert not found["b"]
    assert not found["d"]


def test_in_strict_mode_a_call_under_a_condition_says_so() -> None:
    machine = begin(
        "s = read(1)\nif s: send('a', body='b')", tools=TOOLS, options=Options(strict=True)
    )
    _, calls = finish(machine, answers(read=("x", tagged("t")), send=None))

    assert calls[1].control.tags.contains("t")
    assert calls[1].labels["body"].tags.contains("t")


def test_in_standard_mode_only_data_flows_count() -> None:
    labels, _ = labelled("s = read(1)\nr = 0\nif s: r = 1", read=("x", tagged("t")))

    assert not labels["r"].tags.contains("t")


# errors


def test_the_mark_of_an_error_says_what_its_message_may_show() -> None:
    machine = begin("s = read(1)\nx = int(s)", tools=TOOLS)
    event, _ = finish(machine, answers(read=("secret", tagged("t"))))
    assert isinstance(event, Stopped)
    assert event.error.mark.sources == {1}
    assert "secret" in event.error.message

    machine = begin("s = read(1)\nx = int('y')", tools=TOOLS)
    event, _ = finish(machine, answers(read=("secret", tagged("t"))))
    assert isinstance(event, Stopped)
    assert event.error.mark is NEUTRAL


def test_an_error_says_where_it_happened() -> None:
    event, _ = finish(begin("def f(x):\n    return 1 / x\n\nf(0)"))
    assert isinstance(event, Stopped)

    assert event.error.line == 2
    assert list(event.error.frames) == [("<module>", 4), ("f", 2)]


@pytest.mark.parametrize("text", ["'a'", "b'a'"])
def test_a_message_names_types_of_the_program_not_of_the_host(text: str) -> None:
    kind, name, message = error_of(f"[1] in {text}")

    assert (kind, name) == ("exception", "TypeError")
    assert "list" in message
    assert "Obj" not in message


def test_an_error_whose_text_would_be_enormous_has_none() -> None:
    source = "x = [1]\nfor i in range(60): x = [x, x]\nraise ValueError(x)"

    assert error_of(source) == ("exception", "ValueError", "")


def test_a_defect_of_a_native_is_no_exception_of_the_host(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    machine = begin("len([1])")

    def broken(env: Any, args: Any, words: Any) -> Any:
        raise KeyError("host detail")

    natives = {**machine.library.natives, "len": Native(fn=broken)}
    monkeypatch.setattr(machine, "library", replace(machine.library, natives=natives))
    event = machine.run()

    assert isinstance(event, Stopped)
    assert event.error.type_name == "RuntimeError"
    assert "host" not in event.error.message


# limits (10.4)


@pytest.mark.parametrize(
    ("source", "what"),
    [
        ("while True: pass", "steps"),
        ("for i in range(10**9): pass", "steps"),
        ("def f(): f()\nf()", "recursion"),
        ("f = lambda: f()\nf()", "recursion"),
        ("'a' * 10**9", "memory"),
        ("b'a' * 10**9", "memory"),
        ("[0] * 10**9", "memory"),
        ("(0,) * 10**9", "memory"),
        ("list(range(10**9))", "memory"),
        ("x = 'a'\nwhile True: x += x", "memory"),
        ("x = [1]\nwhile True: x += x", ("steps", "memory")),
        ("x = [1]\nwhile True: x = x + x", "memory"),
        ("10 ** 10 ** 10", "integer"),
        ("2 ** 5000", "integer"),
        ("1 << 10**9", "integer"),
        ("x = 10\nwhile True: x *= x", "integer"),
        ("pow(10, 10**9)", "integer"),
        ("f'{1:>999999999}'", ("memory", "ValueError")),
        ("'%999999999d' % 1", ("memory", "ValueError")),
        ("'a'.ljust(10**9)", "memory"),
        ("'ab'.replace('', 'x' * 10000) * 10**6", "memory"),
        ("[x for x in range(10**9)]", ("steps", "memory")),
        ("sum(range(10**9))", ("steps", "memory")),
        ("x = []\nwhile True: x.append(x)", ("steps", "memory")),
        ("set(range(10**9))", "memory"),
        ("dict.fromkeys(range(10**9))", "memory"),
    ],
)
def test_using_up_a_resource_is_a_clear_failure(source: str, what: str | tuple[str, ...]) -> None:
    event, _ = finish(begin(source))

    assert isinstance(event, Stopped)
    allowed = (what,) if isinstance(what, str) else what
    assert event.error.type_name in allowed
    assert event.error.message


@pytest.mark.parametrize(
    "use",
    [
        "x == y",
        "x < y",
        "str(x)",
        "f'{x}'",
        "{t: 1}",
        "t in {1}",
        "json.dumps(x)",
        "copy = [*x]\nx == copy",
        "M(a=x).model_dump()",
        "M(a=x).model_dump_json()",
        "print(x)",
        "N(a=x)",
        "sorted([x, y])",
        "final_return_value = x",
    ],
)
def test_shared_parts_cost_what_writing_them_out_would(use: str) -> None:
    source = (
        "import json\nfrom pydantic import BaseModel\nfrom typing import Any\n"
        "class M(BaseModel):\n    a: Any\n"
        "class N(BaseModel):\n    a: list[list[list[Any]]]\n"
        "x = [1]\ny = [1]\nt = (1,)\n"
        f"for i in range(60):\n    x = [x, x]\n    y = [y, y]\n    t = (t, t)\n{use}"
    )
    event, _ = finish(begin(source))

    if isinstance(event, Stopped):
        assert event.error.kind == "limit"


def test_a_limit_cannot_be_caught() -> None:
    source = "try:\n    while True: pass\nexcept BaseException:\n    final_return_value = 1"

    assert error_of(source)[0] == "limit"


def test_what_is_no_longer_used_does_not_count_as_memory() -> None:
    source = "for i in range(300):\n    x = 'a' * 1000000\nfinal_return_value = len(x)"

    assert value_of(source) == 1_000_000


@pytest.mark.parametrize(
    "source",
    [
        "x = [1]\nfor i in range(5000): x = [x]\nx == x[0]",
        "x = [1]\nfor i in range(5000): x = [x]\nstr(x)",
        "x = ()\nfor i in range(5000): x = (x,)\n{x}",
        "x = {}\nfor i in range(5000): x = {'a': x}\nimport json\njson.dumps(x)",
        "x = [1]\ny = [1]\nfor i in range(5000):\n    x = [x]\n    y = [y]\nx < y",
    ],
)
def test_deep_data_is_an_error_of_the_program(source: str) -> None:
    kind, name, _ = error_of(source)

    assert (kind, name) == ("exception", "RecursionError")


# bad input


@pytest.mark.parametrize(
    ("source", "error_class"),
    [
        ("x = (", "syntax"),
        ("x = = 1", "syntax"),
        ("if True:\nx = 1", "syntax"),
        ("return 1", "syntax"),
        ("break", "syntax"),
        ("\0", "syntax"),
        ("x = '\udc80'", "syntax"),
        ("(" * 5000 + ")" * 5000, ("syntax", "too_large")),
        ("-" * 20000 + "1", "too_large"),
        ("not " * 20000 + "1", "too_large"),
        ("[" * 150 + "]" * 150, "too_large"),
        ("x = " + "a." * 20000 + "b", "too_large"),
        ("x = '" + "a" * 10_000_000 + "'", "too_large"),
        ("x = '" + "a" * 100_000 + "'", "too_large"),
        ("x = " + "9" * 4000, "too_large"),
        ("x = " + "9" * 5000, "syntax"),
        ("x = 0x" + "f" * 2000, "too_large"),
        (
            "\n".join(" " * i + "if 1:" for i in range(200)) + "\n" + " " * 200 + "pass",
            ("syntax", "too_large"),
        ),
        ("nonlocal x", "syntax"),
        ("def f():\n    nonlocal y", "syntax"),
        ("[y := 1 for x in (z := [1])]", "syntax"),
        ("undefined", "name"),
        ("def f(): return nowhere", "name"),
        ("x = 1\nwith x: pass", "unsupported"),
        ("async def f(): pass", "unsupported"),
    ],
)
def test_a_text_that_is_no_program_is_refused(
    source: str, error_class: str | tuple[str, ...]
) -> None:
    with pytest.raises(ProgramError) as caught:
        compile_program(source)

    assert caught.value.error_class in error_class


def test_long_chains_are_no_deep_nesting() -> None:
    assert value_of(" + ".join(["1"] * 400)) == 400
    chain = "\n".join(f"elif x == {i}:\n    r = {i}" for i in range(400))
    assert value_of(f"x = 399\nif x < 0:\n    r = -1\n{chain}\nr") == 399


def test_an_unknown_function_is_named_with_the_tools_there_are() -> None:
    with pytest.raises(ProgramError, match="'fetch' is not defined; tools: read, send"):
        compile_program("x = fetch(1)", tools=TOOLS)


def test_empty_suites_are_repaired_where_asked_for() -> None:
    source = (
        "n = 'a'\nif n == 'a':\n    x = 1\n    if n == 'b':\n    # nothing\n"
        "elif n == 'end':  # a comment: with a colon\nfinal_return_value = x\nfor i in [1]:\n"
    )
    program = compile_program(source, repair=True)
    event = Machine.start(program).run()

    assert isinstance(event, Finished)
    assert event.value.data == 1
    with pytest.raises(ProgramError):
        compile_program(source)


def test_the_program_of_a_compiled_state_graph_runs() -> None:
    node = tool("read_file", "state", required=("state",))
    router = tool("route", "state", required=("state",))
    source = """
state = initial_state
read_file_result = read_file(state=state)
for key, value in read_file_result.items():
    if key in state:
        if isinstance(value, list) and isinstance(state[key], list):
            state[key].extend(value)
        else:
            state[key] = value
    else:
        state[key] = value
next_node = route(state=state)
if next_node == 'done':
elif next_node == 'again':
    read_file_result = read_file(state=state)
final_return_value = state.get('result', state)
"""
    machine = Machine(Options())
    machine.begin_prelude()
    machine.define("initial_state", {"query": "q", "result": "", "log": [1]}, Labels(), -1)
    machine.extend(
        compile_program(source, tools=[node, router], names=["initial_state"], repair=True)
    )
    event, calls = finish(
        machine,
        answers(read_file=({"result": "text", "log": [2]}, tagged("t")), route="done"),
    )

    assert isinstance(event, Finished)
    assert event.value.data == "text"
    assert event.value.mark.labels == tagged("t")
    assert calls[0].args == {"state": {"query": "q", "result": "", "log": [1]}}
    assert calls[1].args["state"]["log"] == [1, 2]


def test_a_step_says_that_the_turn_goes_on() -> None:
    assert compile_program("# in_progress\nx = 1").in_progress
    assert not compile_program("x = 1  # in_progress").in_progress
