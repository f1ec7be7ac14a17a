"""Properties of the library on generated input: agreement with CPython, no host exception."""

import json
import re
import warnings

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.dual_programs import cpython, evaluate, finished, host_data, start

from interlock.dual.lib.pattern_syntax import PatternSyntaxError, rewrite

TEXTS = st.text(alphabet="aAbBéß ,.-_1\n\t%{}x\U0001f600", max_size=12)
INTEGERS = st.integers(min_value=-(10**20), max_value=10**20)
JSON = st.recursive(
    st.none() | st.booleans() | INTEGERS | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=12,
)

_ATOMS = (
    "a",
    "b",
    r"\d",
    r"\w",
    r"\s",
    ".",
    "[ab]",
    "[^a]",
    r"[a-c\d]",
    r"[^\W\d]",
    r"\.",
    "é",
    r"\W",
    r"\S",
    r"\D",
    r"[\s\S]",
    "[]a]",
    r"\x41",
    r"\t",
    "$",
    "^",
    r"\b",
)
PATTERNS = st.recursive(
    st.sampled_from(_ATOMS),
    lambda inner: (
        st.tuples(inner, inner).map("".join)
        | inner.map(lambda text: f"({text})")
        | st.tuples(inner, inner).map(lambda pair: f"(?:{pair[0]}|{pair[1]})")
        | inner.map(lambda text: f"(?:{text}x)+")
        | inner.map(lambda text: f"(?:x{text})*")
        | inner.map(lambda text: f"(?:{text}){{2}}")
    ),
    max_leaves=6,
)
SUBJECTS = st.text(alphabet="abxA1 .\n-", max_size=10)


def _agree(expression: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wanted = cpython(expression)
    assert evaluate(expression) == wanted


@settings(max_examples=150, deadline=None)
@given(PATTERNS, SUBJECTS)
def test_regular_expressions_find_the_first_match_of_cpython(pattern: str, text: str) -> None:
    _agree(f"[m.span() for m in [re.search({pattern!r}, {text!r})] if m]")
    _agree(f"[m.span() for m in [re.fullmatch({pattern!r}, {text!r})] if m]")


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="ab()[]{}?*+|^$\\.dwsDWSbBAZ123-,:<>P=!#ixu \n", max_size=12))
def test_a_pattern_is_refused_where_cpython_refuses_it(pattern: str) -> None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            re.compile(pattern)
        wanted = None
    except (re.error, ValueError, OverflowError) as error:
        wanted = str(error)
    try:
        rewrite(pattern, 0)
        found = None
    except PatternSyntaxError as error:
        found = str(error)
    if found is None:
        assert wanted is None
    elif wanted is None:
        assert found.startswith("not supported here")


@settings(max_examples=100, deadline=None)
@given(JSON, st.sampled_from(("", ", indent=2", ", sort_keys=True", ", ensure_ascii=False")))
def test_json_is_written_and_read_as_in_cpython(data: object, options: str) -> None:
    machine = start(
        f"import json\ntext = json.dumps(data{options})\n"
        "final_return_value = [text, json.loads(text) == data]",
        data=data,
    )

    found = host_data(machine, finished(machine))

    assert found == [eval(f"json.dumps(data{options})", {"json": json, "data": data}), True]


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet='{}[],:"0123456789.eE+-truefalsn \\u', max_size=15))
def test_bad_json_fails_as_in_cpython(text: str) -> None:
    _agree(f"json.loads({text!r})")


@settings(max_examples=200, deadline=None)
@given(
    st.text(alphabet="<>=^+- #0123456789,_.bcdeEfFgGnosxX%ar", max_size=7),
    st.one_of(INTEGERS, st.floats(), TEXTS, st.booleans()),
)
def test_format_specs_do_as_in_cpython(spec: str, value: object) -> None:
    if re.search(r"\d{4}", spec):
        return
    shown = {"inf": "math.inf", "-inf": "-math.inf", "nan": "math.nan"}.get(
        repr(value), repr(value)
    )
    _agree(f"format({shown}, {spec!r})")


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet="ab{}!rsa:0123.[]%d", max_size=9))
def test_templates_do_as_in_cpython(template: str) -> None:
    if re.search(r"\d{4}|\.[a-z]|\{[^}]*[ab]", template):
        return
    expression = f"{template!r}.format(5, 'x', [1, 2], k=3)"
    wanted, found = cpython(expression), evaluate(expression)

    if wanted.kind == "value" or found.kind == "value":
        assert found == wanted
    # Of two mistakes in one template CPython may name the other.
    assert found.kind in {"value", "ValueError", "IndexError", "KeyError", "TypeError"}


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet="ab%()srdxfgc0123.*+-# k", max_size=9))
def test_percent_formats_do_as_in_cpython(template: str) -> None:
    if re.search(r"\d{4}", template):
        return
    for right in ("(5, 'x')", "{'k': 3}"):
        expression = f"{template!r} % {right}"
        wanted, found = cpython(expression), evaluate(expression)
        if wanted.kind == "value" or found.kind == "value":
            assert found == wanted
        assert found.kind in {"value", "ValueError", "KeyError", "TypeError", "OverflowError"}


METHODS = (
    "split({b})",
    "rsplit({b}, 1)",
    "replace({b}, 'é')",
    "partition({b})",
    "find({b})",
    "count({b})",
    "strip({b})",
    "startswith({b})",
    "removesuffix({b})",
    "splitlines()",
    "title()",
    "swapcase()",
    "casefold()",
    "center(9, '-')",
    "zfill(6)",
    "expandtabs(3)",
    "isidentifier()",
    "join(['a', {b}])",
    "encode()",
    "capitalize()",
)


@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=25, deadline=None)
@given(a=TEXTS, b=TEXTS)
def test_methods_of_str_do_as_in_cpython(method: str, a: str, b: str) -> None:
    _agree(f"{a!r}.{method.replace('{b}', repr(b))}")


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.one_of(st.integers(-5, 5), st.sampled_from("abc")), max_size=6),
    st.integers(-3, 8),
    st.integers(0, 4),
)
def test_containers_do_as_in_cpython(items: list[object], index: int, size: int) -> None:
    numbers = [item for item in items if isinstance(item, int)]
    for expression in (
        f"sorted({items})",
        f"sorted({numbers}, reverse=True)",
        f"(lambda a: (a.pop({index}), a))({items})",
        f"(lambda a: (a.insert({index}, 'x'), a)[-1])({items})",
        f"{items}.index(1)",
        f"max({items})",
        f"list(itertools.combinations({items}, {size}))",
        f"list(itertools.permutations({items[:5]}, {size}))",
        f"list(itertools.combinations_with_replacement({items[:4]}, {size}))",
        f"list(itertools.product({items[:3]}, repeat={size}))",
        f"collections.Counter({items}).most_common({size})",
        f"list(itertools.islice({items}, {size}, None, 2))",
        f"sorted(set({numbers}).symmetric_difference([1, 2]))",
        f"sum({numbers})",
        f"list(zip({items}, range({size})))",
        f"statistics.median({numbers})",
    ):
        _agree(expression)
