"""Hypothesis strategies for policies that pass the checks, and for calls to decide."""

# ruff: noqa: ANN001, ANN201, ANN202 - generated values; the tree types are the interface

from datetime import UTC, datetime
from functools import cache

from hypothesis import strategies as st

from interlock.policy.syntax import nodes as n

LABELS = ("a", "b", "c", "pii", "pii_x", "2024-01-01")
FIELDS = ("tags", "producers", "consumers")
ARGS = ("to", "body", "when")
TOOLS = ("send", "read")
REGEXES = (
    "a",
    "a|b",
    r"\d",
    r".*\w-\d+",
    r".*@corp\.com",
    "^pii.*",
    "[ab]+",
    ".*",
    "x.y",
    "(?i)PII_.*",
    "",
)
WILDCARDS = ("*", "a*", "*@corp.com", "?", "p?i*", "a", "*i*x*", "", "**")
TEXTS = ("a", "b", "pii_x", "bob@corp.com", "2024-01-01", "2024-06-01T12:00:00Z", "", "x\ny", "A")
TIMES = ("2024-01-01", "2024-06-01T12:00:00+02:00", "2025-01-01T00:00:00Z")


@cache
def numbers():
    return st.one_of(st.integers(-3, 12), st.sampled_from([0.5, 2.0, -1.5, float("inf")]))


@cache
@st.composite
def ranges(draw, least=-3):
    low = draw(st.one_of(st.none(), st.integers(least, 8)))
    if low is None:
        return n.Range(None, draw(st.integers(max(least, 0) + 1, 12)), False, draw(st.booleans()))
    high = draw(st.one_of(st.none(), st.integers(low + 2, low + 9), st.just(low)))
    if high == low:
        return n.Range(low, high)
    return n.Range(low, high, draw(st.booleans()), high is not None and draw(st.booleans()))


@cache
@st.composite
def times(draw):
    low, high = draw(st.sampled_from([(0, None), (None, 2), (0, 1), (1, 2), (None, 0), (2, None)]))
    low_open, high_open = draw(st.booleans()), draw(st.booleans())
    return n.TimeDomain(
        None if low is None else TIMES[low],
        None if high is None else TIMES[high],
        low is not None and low_open,
        high is not None and high_open,
    )


@cache
def strings(pool=LABELS):
    return st.sampled_from(pool).map(n.StringElement)


@cache
def domains():
    return st.one_of(
        st.booleans().map(n.BoolDomain),
        st.builds(n.NumberDomain, st.sampled_from(["int", "float"]), ranges()),
        st.builds(n.StrDomain, st.just("exact"), st.sampled_from(TEXTS)),
        st.builds(
            n.StrDomain,
            st.just("matching"),
            st.sampled_from(REGEXES),
            st.one_of(st.none(), ranges(least=0)),
        ),
        st.builds(n.StrDomain, st.just("like"), st.sampled_from(WILDCARDS)),
        times(),
        st.builds(n.TimeExact, st.just("datetime"), st.sampled_from(TIMES)),
        st.builds(n.TimeExact, st.just("epoch"), st.just(1704067200)),
    )


@cache
def patterns():
    return st.one_of(
        st.sampled_from(REGEXES).map(n.RegexElement),
        st.sampled_from(WILDCARDS).map(n.WildcardElement),
        numbers().map(n.NumberElement),
        domains(),
    )


@cache
def operands(where):
    field = st.sampled_from(FIELDS)
    options = [
        st.builds(n.Meta, st.just("argument"), field, st.sampled_from(ARGS)),
        st.builds(n.Meta, st.just("session"), field),
        st.builds(n.Meta, st.just("args"), field, st.sampled_from(["union", "intersect"])),
        st.builds(n.Meta, st.just("caller"), st.sampled_from(["user", "groups", "surface"])),
    ]
    if where != "check":
        options.append(st.builds(n.Meta, st.just("bare"), field))
    if where in {"result", "after"}:
        options.append(st.builds(n.Meta, st.just("result"), field))
    return st.one_of(options)


@cache
def plain_literals():
    universal = st.just(n.SetLiteral((n.StringElement("*"),)))
    finite = st.lists(strings(), max_size=3).map(lambda e: n.SetLiteral(tuple(e)))
    return st.one_of(finite, finite, finite, universal)


@cache
def pattern_literals():
    element = st.one_of(strings(), patterns())
    return st.builds(
        lambda first, rest: n.SetLiteral((first, *rest)), patterns(), st.lists(element, max_size=2)
    )


@cache
def plain_sets(where):
    atoms = st.one_of(plain_literals(), operands(where), st.just(n.SetRef("labels")))

    def bigger(inner):
        pair = st.lists(inner, min_size=2, max_size=3).map(tuple)
        step = st.tuples(st.booleans(), st.one_of(strings(), st.just(n.StringElement("*"))))
        without = patterns().map(lambda element: (False, element))
        return st.one_of(
            st.builds(n.SetOp, st.sampled_from(["union", "intersect", "minus", "xor"]), pair),
            st.builds(n.ElementOps, inner, st.lists(step, min_size=1, max_size=2).map(tuple)),
            st.builds(n.ElementOps, inner, without.map(lambda one: (one,))),
            st.builds(
                lambda op, left, right: n.SetOp(op, (left, right)),
                st.sampled_from(["intersect", "minus"]),
                inner,
                st.one_of(pattern_literals(), st.just(n.SetRef("shapes"))),
            ),
        )

    return st.recursive(atoms, bigger, max_leaves=4)


@cache
def right_sides(where):
    joined = st.builds(
        lambda left, right: n.SetOp("union", (left, right)), plain_sets(where), pattern_literals()
    )
    widened = st.builds(
        lambda base, element: n.ElementOps(base, ((True, element),)), plain_literals(), patterns()
    )
    shapes = st.just(n.SetRef("shapes"))
    return st.one_of(plain_sets(where), pattern_literals(), joined, widened, shapes)


@cache
def values(where):
    literals = st.one_of(
        st.sampled_from(TEXTS).map(lambda v: n.Literal_("string", v)),
        st.sampled_from(TIMES).map(lambda v: n.Literal_("datetime", v)),
        numbers().map(lambda v: n.Literal_("number", v)),
        st.booleans().map(lambda v: n.Literal_("bool", v)),
    )
    reads = [
        st.sampled_from(ARGS).map(lambda name: n.ValueOf("argument", name)),
        st.just(n.ValueOf("session")),
    ]
    if where in {"result", "after"}:
        reads.append(st.just(n.ValueOf("result")))
    return st.one_of(reads[0], st.one_of(reads), literals)


@cache
def predicates(where):
    comparisons = st.one_of(
        st.builds(n.ValueIn, values(where), right_sides(where)),
        st.builds(n.ValueEquals, values(where), values(where)),
        st.builds(
            n.SetCompare,
            st.sampled_from(["overlaps", "subset", "superset", "equals"]),
            operands(where),
            right_sides(where),
        ),
        st.builds(n.SetIs, st.sampled_from(["empty", "universal"]), operands(where)),
        st.just(n.PredicateRef("secret")),
        st.just(n.PredicateRef("same")),
        st.booleans().map(n.BoolConst),
    )

    def bigger(inner):
        several = st.lists(inner, min_size=2, max_size=3).map(tuple)
        return st.one_of(
            st.builds(n.Not, inner), st.builds(n.And, several), st.builds(n.Or, several)
        )

    return st.recursive(comparisons, bigger, max_leaves=4)


@cache
@st.composite
def updates(draw, where):
    scopes = ["bare", "session", "argument"] + (["result"] if where != "before" else [])
    scope = draw(st.sampled_from(scopes))
    name = draw(st.sampled_from(ARGS)) if scope == "argument" else ""
    target = n.Target(scope, draw(st.sampled_from(FIELDS)), name)
    op = draw(st.sampled_from(["=", "|=", "&=", "-=", "^="]))
    if op in {"&=", "-="}:
        value = draw(st.one_of(plain_sets(where), pattern_literals()))
    elif op == "=" and draw(st.booleans()):
        own = n.Meta(scope, target.field, name)
        value = n.ElementOps(own, ((True, draw(strings())),))
    else:
        value = draw(plain_sets(where))
    return n.Update(target, op, value)


@cache
def statements(where):
    return st.one_of(
        updates(where),
        st.builds(
            n.Conditional, predicates(where), st.lists(updates(where), max_size=2).map(tuple)
        ),
    )


@cache
def blocks():
    def block(where):
        return st.builds(
            n.UpdateBlock, st.just(where), st.lists(statements(where), max_size=2).map(tuple)
        )

    return st.one_of(block("before"), block("result"), block("after"))


@cache
def docs():
    return st.one_of(st.none(), st.sampled_from(["why", "two\nlines", ""]))


@cache
def check_rules():
    return st.builds(
        n.CheckRule,
        st.sampled_from(["hard", "soft", "soft", "soft", "soft"]),
        st.sampled_from(["allow", "deny"]),
        st.one_of(st.none(), *[predicates("check")] * 2),
        docs(),
    )


@cache
def tool_ids():
    return st.one_of(
        st.sampled_from(TOOLS).map(n.ToolId),
        st.sampled_from(["sen.*", ".*", "read|send", ".*d"]).map(lambda t: n.ToolId(t, True)),
    )


@cache
def declarations():
    shorthand = st.sampled_from(["result", "before", "after"]).flatmap(
        lambda where: st.builds(
            n.Shorthand,
            tool_ids(),
            st.one_of(st.none(), st.integers(-2, 3)),
            st.just(where),
            st.sampled_from(FIELDS),
            st.sampled_from(["=", "|=", "&=", "-=", "^="]),
            plain_sets(where),
            st.one_of(st.none(), predicates(where)),
            docs(),
        )
    )
    return st.one_of(
        ruled_tools(), st.builds(n.ToolDecl, tool_ids(), blocks().map(lambda b: (b,))), shorthand
    )


@cache
def ruled_tools():
    """Declarations with several rules, so that rules meet."""
    member = st.one_of(blocks(), st.builds(n.Priority, st.integers(-1, 1), docs()))
    rules = st.one_of(
        st.tuples(check_rules()),
        st.tuples(check_rules(), check_rules()),
        st.tuples(check_rules(), check_rules(), check_rules()),
    )
    members = st.tuples(rules, st.lists(member, max_size=2), st.booleans()).map(
        lambda parts: (*parts[0], *parts[1]) if parts[2] else (*parts[1], *parts[0])
    )
    return st.builds(n.ToolDecl, tool_ids(), members, docs())


@st.composite
def programs(draw):
    """Whole policies; `labels`, `shapes`, `secret` and `same` are always defined."""
    leaf = st.one_of(
        plain_literals(),
        st.builds(n.Meta, st.just("session"), st.sampled_from(FIELDS)),
        st.builds(n.Meta, st.just("argument"), st.sampled_from(FIELDS), st.just("body")),
    )
    lets = (
        n.Let("labels", draw(leaf)),
        n.Let("shapes", draw(st.one_of(pattern_literals(), domains()))),
        n.Let(
            "secret",
            n.SetCompare("overlaps", n.Meta("args", "tags", "union"), draw(leaf)),
            draw(docs()),
        ),
        n.Let("same", n.Alias("secret")),
    )
    found = draw(st.tuples(ruled_tools(), declarations(), declarations()))
    return n.Program((*lets, *found))


@cache
def argument_values():
    single = st.one_of(
        st.sampled_from(TEXTS),
        st.integers(-4, 13),
        st.sampled_from([0.5, 2.0, float("nan"), 1704067200, datetime(2024, 1, 1, tzinfo=UTC)]),
        st.booleans(),
        st.none(),
    )
    return st.one_of(single, single, st.lists(single, max_size=3), st.just({"a": "a"}))


@cache
def wire_sets():
    finite = st.lists(st.sampled_from(LABELS), max_size=3, unique=True)
    cofinite = finite.map(lambda labels: ["*", *(f"!{label}" for label in labels)])
    return st.one_of(finite, finite, cofinite)


@cache
def metas():
    return st.fixed_dictionaries(
        {}, optional={"tags": wire_sets(), "producers": wire_sets(), "consumers": wire_sets()}
    )
