"""What the library offers, by name.

A native is named by where a program finds it: `len`, `str.upper`, `json.loads`,
`datetime.datetime.now`. A constructor has its type's name; an operator of a library type is
`collections.Counter.+`; a name with an underscore in front is for the prelude alone.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from interlock.dual.lib import (
    byte_strings,
    chance,
    conversions,
    core,
    dates,
    iterators,
    json_text,
    mappings,
    match_methods,
    maths,
    numerics,
    regex,
    sequences,
    set_methods,
    statistic,
    strings,
    texts,
)
from interlock.dual.lib.access import lift
from interlock.dual.native import Env, Member, Native, Override, StepFn
from interlock.dual.values import Value

__all__ = ["BUILTINS", "ITERATORS", "MODULES", "NATIVES", "OVERRIDES"]


def _constant(data: Any) -> Native:  # noqa: ANN401 - any host scalar
    value = lift(data)

    def native(env: Env, args: Sequence[Value], kwargs: Mapping[str, Value]) -> Value:
        return value

    native.__doc__ = f"`{data!r}`." if not isinstance(data, str) else "A constant text."
    return Native(fn=native, is_property=True)


_CONSTANTS: Mapping[str, Any] = {
    **dates.CONSTANTS,
    **maths.CONSTANTS,
    **regex.FLAGS,
    **texts.CONSTANTS,
}

NATIVES: Mapping[str, Native] = {
    **byte_strings.NATIVES,
    **chance.NATIVES,
    **conversions.NATIVES,
    **core.NATIVES,
    **dates.NATIVES,
    **iterators.NATIVES,
    **json_text.NATIVES,
    **mappings.NATIVES,
    **match_methods.NATIVES,
    **maths.NATIVES,
    **numerics.NATIVES,
    **regex.NATIVES,
    **sequences.NATIVES,
    **set_methods.NATIVES,
    **statistic.NATIVES,
    **strings.NATIVES,
    **texts.NATIVES,
    **{name: _constant(data) for name, data in _CONSTANTS.items()},
}

ITERATORS: Mapping[str, StepFn] = iterators.ITERATORS

OVERRIDES: Mapping[str, Override] = {
    "all": Override(function="_all", generators=True),
    "any": Override(function="_any", generators=True),
    "enumerate": Override(function="_enumerate", generators=True),
    "iter": Override(function="_iter", generators=True),
    "itertools.chain": Override(function="_chain", generators=True),
    "itertools.chain.from_iterable": Override(function="_chain_from_iterable", generators=True),
    "json.dumps": Override(function="_json_dumps", keywords=frozenset({"default"})),
    "list.sort": Override(function="_list_sort", keywords=frozenset({"key"})),
    "max": Override(function="_max", keywords=frozenset({"key"})),
    "min": Override(function="_min", keywords=frozenset({"key"})),
    "next": Override(function="_next", generators=True),
    "re.Pattern.sub": Override(function="_re_sub", callables=True),
    "re.Pattern.subn": Override(function="_re_subn", callables=True),
    "re.sub": Override(function="_re_sub", callables=True),
    "re.subn": Override(function="_re_subn", callables=True),
    "sorted": Override(function="_sorted", keywords=frozenset({"key"})),
    "zip": Override(function="_zip", generators=True),
}

_TYPES = ("bool", "bytes", "dict", "float", "frozenset", "int", "list", "range", "set", "str")
_PRELUDE_ITERTOOLS = (
    "accumulate",
    "batched",
    "compress",
    "cycle",
    "dropwhile",
    "filterfalse",
    "groupby",
    "islice",
    "pairwise",
    "starmap",
    "takewhile",
    "tee",
    "zip_longest",
)


def _module(name: str) -> dict[str, Member]:
    """The members of a module that are natives: `math.pi`, not `str.upper`."""
    start = f"{name}."
    return {
        full.removeprefix(start): Member("native", full)
        for full in NATIVES
        if full.startswith(start) and full.removeprefix(start).isidentifier()
    }


def _types(module: str, *names: str) -> dict[str, Member]:
    return {name: Member("type", f"{module}.{name}") for name in names}


MODULES: Mapping[str, Mapping[str, Member]] = {
    "collections": {
        **_module("collections"),
        **_types("collections", "Counter", "OrderedDict", "defaultdict", "deque"),
    },
    "datetime": {
        **_module("datetime"),
        **_types("datetime", "date", "datetime", "time", "timedelta", "timezone"),
    },
    "functools": {
        "partial": Member("prelude", "_partial"),
        "reduce": Member("prelude", "_reduce"),
    },
    "itertools": {
        **_module("itertools"),
        **{name: Member("prelude", f"_{name}") for name in _PRELUDE_ITERTOOLS},
        "chain": Member("type", "itertools.chain"),
    },
    "json": {
        **_module("json"),
        "JSONDecodeError": Member("type", "JSONDecodeError"),
    },
    "math": _module("math"),
    "random": _module("random"),
    "re": {
        **_module("re"),
        "Match": Member("type", "re.Match"),
        "Pattern": Member("type", "re.Pattern"),
        "PatternError": Member("type", "PatternError"),
        "error": Member("type", "PatternError"),
    },
    "statistics": {
        **_module("statistics"),
        "StatisticsError": Member("type", "StatisticsError"),
    },
    "string": _module("string"),
    "typing": {
        **_module("typing"),
        **{name: Member("marker", name) for name in texts.MARKERS},
    },
}


def _builtins() -> Iterator[tuple[str, Member]]:
    for name in NATIVES:
        if name.isidentifier():
            yield name, Member("native", name)
    for name in (*_TYPES, "tuple"):
        yield name, Member("type", name)
    yield "filter", Member("prelude", "_filter")
    yield "map", Member("prelude", "_map")


BUILTINS: Mapping[str, Member] = dict(_builtins())
