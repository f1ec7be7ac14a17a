"""Nothing a program asks of the library outgrows its limits, and nothing leads to the host."""

import tracemalloc

import pytest
from tests.support.dual_programs import IMPORTS, evaluate, finished, host_data, start

from interlock.dual.limits import Limits

SMALL = Limits(steps=20_000, memory_bytes=2_000_000)
PEAK_BYTES = 24_000_000

GROWING = r"""
"a".ljust(10**9)
"a".center(10**12)
"1".zfill(10**9)
"a".rjust(10**9)
"\t".expandtabs(10**9)
("a" * 10**5).replace("a", "b" * 1000)
("a" * 10**5).replace("", "b" * 1000)
("x" * 10**5).join(["", "", ""] * 100)
"{:1000000000}".format(1)
"{:>{w}}".format("a", w=10**9)
"{:.1000000000f}".format(1.5)
"{:999999999999999999999}".format(1)
"%1000000000d" % 5
"%.1000000000f" % 1.5
"%*d" % (10**9, 5)
format(5, "0=1000000000")
f"{5:1000000000}"
("{0}" * 1000).format("a" * 100000)
"".join(["a" * 1000] * 10**5)
("a" * 10**5).translate(str.maketrans({"a": "b" * 1000}))
("a," * 10**5).split(",")
("a " * 10**5).split()
("a\n" * 10**5).splitlines()
list(range(10**9))
tuple(range(10**12))
set(range(10**8))
frozenset(range(10**8))
list("a" * 10**6)
dict.fromkeys(range(10**8))
sum(range(10**9))
sorted(range(10**8))
max(range(10**9))
all(range(1, 10**9))
list(map(str, range(10**9)))
list(zip(range(10**9), range(10**9)))
list(enumerate(range(10**9)))
list(reversed(range(10**9)))
list(itertools.count())
list(itertools.repeat(1))
list(itertools.cycle([1]))
list(itertools.product(range(100), repeat=5))
list(itertools.permutations(range(100)))
list(itertools.combinations(range(1000), 500))
list(itertools.combinations_with_replacement(range(100), 50))
list(itertools.accumulate(itertools.count()))
itertools.product("ab", repeat=10**9)
json.loads("[" * 100000)
json.loads("[" * 1000 + "]" * 1000)
json.loads("[" + "[]," * 10**5 + "[]]")
json.loads("9" * 5000)
json.loads('{"a":' * 500 + "1" + "}" * 500)
json.dumps([1] * 10000, indent=1000)
json.dumps(1, indent=10**9)
(lambda a: [a.append(a[:]) for _ in range(30)] and json.dumps(a))([1])
int("9" * 10**5)
int("9" * 5000)
int("f" * 10**5, 16)
10**5000
pow(10, 10**9)
1 << 10**9
math.factorial(10**9)
math.factorial(10**5)
math.comb(10**6, 5 * 10**5)
math.perm(10**9, 10**6)
math.perm(10**9)
math.prod([2**4000] * 1000)
math.lcm(*range(1, 5000))
bytes(10**9)
b"a".replace(b"", b"x" * 10**7)
(5).to_bytes(10**9, "big")
int.from_bytes(b"x" * 10**5, "big")
random.choices([1, 2], k=10**9)
random.sample(range(10**9), 10**8)
random.getrandbits(10**9)
statistics.quantiles([1, 2], n=10**9)
statistics.mean(range(10**7))
collections.Counter(range(10**8))
list(collections.Counter(a=10**9).elements())
collections.deque(range(10**8), maxlen=5)
re.findall("", "a" * 10**6)
re.split("", "a" * 10**6)
re.sub("", "x" * 1000, "a" * 10**5)
re.sub("a", r"\g<0>" * 1000, "a" * 10**5)
re.findall("(?s)x.*y|x", "x" * 10**6)
re.escape("." * 10**7)
repr(["\x00" * 10**5] * 100)
ascii("\U0001f600" * 10**6)
str([[[1] * 1000] * 1000] * 1000)
set().union(range(10**9))
""".strip().splitlines()


@pytest.mark.parametrize("expression", GROWING)
def test_growth_is_refused_before_it_happens(expression: str) -> None:
    tracemalloc.start()
    try:
        found = evaluate(expression, limits=SMALL)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert found.kind == "limit", found
    assert peak_bytes < PEAK_BYTES


HARMLESS = {
    're.search("(a*)*b", "a" * 10**5)': None,
    're.match("(a|aa)+$", "a" * 10**4 + "b")': None,
    're.search("(x+x+)+y", "x" * 10**4)': None,
    "round(5, -10**9)": 0,
    "round(10**1000, -10**9)": 0,
    "round(2.5, 10**9)": 2.5,
}


@pytest.mark.parametrize(("expression", "value"), HARMLESS.items())
def test_what_is_expensive_in_python_is_not_here(expression: str, value: object) -> None:
    assert evaluate(expression).data == value


REFUSED = {
    'datetime.datetime(2024, 1, 1).strftime("%A" * 10**5)': "ValueError",
    'datetime.datetime(2024, 1, 1).strftime("%999999999d")': "ValueError",
    'datetime.datetime(2024, 1, 1).strftime("%s")': "ValueError",
    'datetime.datetime.strptime(" " * 10**5, " " * 10**5)': "ValueError",
    'datetime.datetime.strptime("1 1", "%d %d")': "ValueError",
    'datetime.datetime(b"12345678901")': "TypeError",
    'datetime.date("1234")': "TypeError",
    'datetime.time(b"123456")': "TypeError",
    '"é".encode("idna")': "LookupError",
    '"é".encode("punycode")': "LookupError",
    '"é".encode("utf-8", "xmlcharrefreplace")': "LookupError",
    'b"x".decode("rot13")': "LookupError",
    're.compile("(" * 3000)': "PatternError",
    're.compile("(" * 500 + ")" * 500)': "PatternError",
    're.compile("a" * 10**5)': "PatternError",
    're.search("(?:a{1000}){1000}", "a")': "PatternError",
    're.search("a{1001}", "a")': "PatternError",
    're.search("[" + "\\\\w" * 1500 + "]", "a").group()': "value",
    're.search("a", "\\ud800")': "PatternError",
    're.search(b"a", b"a")': "PatternError",
    'json.loads("1", object_hook=dict)': "TypeError",
    '"{0.real}".format(5)': "AttributeError",
}


@pytest.mark.parametrize(("expression", "kind"), REFUSED.items())
def test_what_is_not_offered_is_refused_as_an_exception(expression: str, kind: str) -> None:
    assert evaluate(expression).kind == kind


UNSUPPORTED = {
    r're.search(r"(?=a)", "a")': "lookahead",
    r're.search(r"(?!a)", "a")': "negative lookahead",
    r're.search(r"(?<=a)b", "ab")': "lookbehind",
    r're.search(r"(?<!a)b", "ab")': "negative lookbehind",
    r're.search(r"(a)\1", "aa")': "backreferences",
    r're.search(r"(?P<x>a)(?P=x)", "aa")': "backreferences",
    r're.search(r"(?>a)", "a")': "atomic groups",
    r're.search(r"a*+", "a")': "possessive quantifiers",
    r're.search(r"(a)?(?(1)b|c)", "ab")': "conditional groups",
}


@pytest.mark.parametrize(("expression", "name"), UNSUPPORTED.items())
def test_unsupported_regular_expressions_are_named(expression: str, name: str) -> None:
    found = evaluate(expression)

    assert found.kind == "PatternError"
    assert str(found.data).startswith(f"not supported here: {name}")


HOST_NAMES = (
    "__class__",
    "__dict__",
    "__globals__",
    "__init__",
    "__mro__",
    "__subclasses__",
    "_",
    "data",
    "items",
    "mark",
    "gi_frame",
    "func_globals",
    "upper",
    "append",
    "tzinfo",
    "name",
    "fn",
)
VALUES = (
    "1",
    "1.5",
    "'a'",
    "b'a'",
    "None",
    "True",
    "[1]",
    "(1,)",
    "{'a': 1}",
    "{1}",
    "range(3)",
    "len",
    "str",
    "json",
    "json.loads",
    "'a'.upper",
    "(lambda: 1)",
    "iter([1])",
    "(x for x in [1])",
    "re.compile('a')",
    "re.search('a', 'a')",
    "datetime.datetime(2024, 1, 1)",
    "datetime.timezone.utc",
    "ValueError('x')",
    "{}.items()",
    "collections.Counter()",
    "typing.Any",
)


@pytest.mark.parametrize("value", VALUES)
def test_a_format_field_reaches_nothing_but_data(value: str) -> None:
    for name in HOST_NAMES:
        for template in (f"{{0.{name}}}", f"{{0[{name}]}}", f"{{0.{name}.{name}}}"):
            found = evaluate(f"{template!r}.format({value})")
            keyed = evaluate(f"{template.replace('0', 'v')!r}.format_map({{'v': {value}}})")

            assert found.kind in {"AttributeError", "TypeError", "KeyError"}, (template, found)
            assert keyed.kind == found.kind


def test_the_clock_is_that_of_the_turn() -> None:
    machine = start(
        f"{IMPORTS}final_return_value = [datetime.datetime.now().isoformat(), "
        "datetime.date.today().isoformat(), datetime.datetime.utcnow().isoformat(), "
        "datetime.datetime.now(datetime.timezone.utc).isoformat(), "
        "datetime.datetime(1970, 1, 2).timestamp(), "
        "datetime.datetime(2024, 1, 1).astimezone().isoformat(), "
        "datetime.datetime.fromtimestamp(86400).isoformat(), "
        "datetime.date.fromtimestamp(86400).isoformat(), "
        "datetime.datetime.today().isoformat()]"
    )

    assert host_data(machine, finished(machine)) == [
        "2024-05-06T07:08:09",
        "2024-05-06",
        "2024-05-06T07:08:09",
        "2024-05-06T07:08:09+00:00",
        86400.0,
        "2024-01-01T00:00:00+00:00",
        "1970-01-02T00:00:00",
        "1970-01-02",
        "2024-05-06T07:08:09",
    ]


def test_random_numbers_depend_on_the_seed_alone() -> None:
    program = (
        f"{IMPORTS}deck = list(range(20))\nrandom.shuffle(deck)\n"
        "final_return_value = [random.random(), random.randint(1, 6), random.uniform(1, 2), "
        "random.choice('abc'), random.choices([1, 2], weights=[0, 1], k=3), "
        "random.sample(range(10**9), 5), deck, random.randrange(0, 10, 5), random.gauss(0, 1), "
        "random.triangular(0, 1), random.getrandbits(100), random.normalvariate(), "
        "random.randint(0, 2**100)]"
    )
    first, second = start(program), start(program)
    found = host_data(first, finished(first))

    assert found == host_data(second, finished(second))
    assert isinstance(found, list)
    assert 0 <= found[0] < 1
    assert 1 <= found[1] <= 6
    assert found[4] == [2, 2, 2]
    assert len(set(found[5])) == 5
    assert sorted(found[6]) == list(range(20))
    assert found[7] in {0, 5}
    assert 0 <= found[10] < 2**100


def test_print_goes_to_a_bounded_list_of_the_operator() -> None:
    machine = start("for i in range(1000):\n    print('x' * 1000, i, sep='-')")
    machine.run()

    assert machine.env.debug[0].endswith("-0")
    assert sum(map(len, machine.env.debug)) <= machine.env.limits.debug_chars
