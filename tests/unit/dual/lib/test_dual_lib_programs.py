# ruff: noqa: E501 - programs as planners write them
"""Whole programs as planners write them do what CPython does."""

import pytest
from tests.support.dual_programs import HOST, finished, host_data, settled, start

PROGRAMS = [
    r"""
from datetime import datetime, timedelta, date
d = datetime.strptime("2024-05-06", "%Y-%m-%d")
days = [(d + timedelta(days=i)).strftime("%a %d %b") for i in range(3)]
r = [days, (d.date() - date(2024,1,1)).days, d.isoformat(), f"{d:%Y/%m}", d > datetime(2023,1,1), max(d, datetime(2025,1,1)).year, str(timedelta(hours=5)), timedelta(days=3) / timedelta(days=1), -timedelta(days=1), sum([timedelta(1), timedelta(2)], timedelta()).days]
""",
    r"""
from collections import defaultdict, Counter, namedtuple, OrderedDict, deque
g = defaultdict(list)
for w in "the quick the lazy".split(): g[len(w)].append(w)
P = namedtuple("P", ["x", "y"])
p = P(1, y=2)
q = deque(maxlen=2); [q.append(i) for i in range(4)]
r = [dict(g), sorted(g.items()), Counter("hello").most_common(2), p.x + p.y, p[0], list(q), p._asdict(), list(OrderedDict(a=1)), str(p), Counter(a=1) == {"a": 1}, sorted(Counter("aab").items(), key=lambda kv: (-kv[1], kv[0]))]
""",
    r"""
import json, re
t = "Contact: Bob <bob@example.com>, Al <al@x.org>"
m = {n.strip(): e for n, e in re.findall(r"(\w+)\s*<([^>]+)>", t)}
r = [m, json.loads(json.dumps(m, indent=2)), re.sub(r"(?i)bob", "X", t), [x.group(1) for x in re.finditer(r"@(\w+)", t)], re.split(r"\s*,\s*", "a , b,c"), bool(re.match(r"^[\w.]+@[\w.]+$", "a@b.c"))]
""",
    r"""
rows = [{"name": "a", "v": 3}, {"name": "b", "v": None}, {"name": "c", "v": 1.5}]
best = max((x for x in rows if x["v"] is not None), key=lambda x: x["v"])
tot = sum(x.get("v") or 0 for x in rows)
s = "\n".join(f"{i+1}. {x['name']:<5}|{(x['v'] or 0):>8,.2f}" for i, x in enumerate(rows))
a, *b = sorted(x["name"] for x in rows)
r = [best, tot, s, a, b, any(x["v"] is None for x in rows), {k: v for k, v in zip("ab", range(2))}, list(map(str.upper, "ab")), round(tot / 3, 2), "%.1f%%" % 12.345, "{:,}".format(10**6), " ".join(reversed("a b".split()))]
""",
    r"""
import math, statistics, itertools, functools, string, random
random.seed(3)
r = [math.floor(3.7), math.ceil(3.2), statistics.mean([1,2,3]), list(itertools.chain([1],[2])), functools.reduce(lambda a,b: a*b, [1,2,3]), string.ascii_uppercase[:3], len(random.sample(range(10), 3)), list(itertools.accumulate([1,2,3])), [list(g) for _, g in itertools.groupby("aab")], list(itertools.islice(itertools.count(), 3)), math.isclose(0.1+0.2, 0.3), divmod(7, 2), pow(2, 5, 7), int("ff", 16), bin(5), hex(255)]
""",
    r"""
def f(x, *a, k=1, **kw): return [x, a, k, kw]
try:
    {}["a"]
except KeyError as e:
    e1 = [str(e), repr(e), e.args]
try: int("x")
except ValueError as e: e2 = str(e)
try: [][1]
except IndexError as e: e3 = str(e)
try: None.foo
except AttributeError as e: e4 = str(e)
try: "a" + 1
except TypeError as e: e5 = str(e)
r = [f(1, 2, k=3, z=4), e1, e2, e3, e4, e5, isinstance(1, (int, str)), "s", "abc"[::-1], [1,2,3][-2:], "a" in {"a": 1}, sorted({3,1,2}), {1,2} | {3}, {1,2} & {2}, {"a":1} | {"b":2}, (1,2)+(3,), [0]*3, not [], 1 < 2 < 3]
""",
    r"""
words = ["b", "A", "c"]
words.sort(key=str.lower, reverse=True)
m = [[1,2],[3,4]]
t = [list(x) for x in zip(*m)]
d = {"x": {"y": [1, {"z": 5}]}}
d["x"]["y"][1]["z"] += 1
d.update(w=1)
del d["w"]
s = set(); s.add((1, "a")); s |= {(2, "b")}
n = 0
while True:
    n += 1
    if n > 5: break
else:
    n = -1
r = [words, t, d, sorted(s), n, "a,b".partition(","), "x".join(["1","2"]), "Hello".replace("l", "L", 1), "%s" % None, f"{3.14159:.2f}{'a'!r:>5}", str(1e16), str(0.1), repr(1.0), 10 // 3, -7 // 2, -7 % 3, 2 ** -1, 5 / 2, True + 1, "é".encode().hex(), "tEst".title(), list(filter(None, [0, 1])), min("b", "a"), sum([0.1]*3), [*range(3), *"ab"], {**{"a": 1}, "b": 2}]
""",
]


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_comes_out_as_in_cpython(program: str) -> None:
    names = dict(HOST)
    exec(program, names)

    machine = start(f"{program}\nfinal_return_value = r")
    found = host_data(machine, finished(machine))

    assert found == settled(names["r"])
