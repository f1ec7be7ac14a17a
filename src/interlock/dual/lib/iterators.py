"""Iterators with native steps: `zip`, `enumerate`, `reversed`, and the combinatorial ones.

Every step computes its element from the state in the `IterObj` alone, so an iterator survives
being stored between any two of them.
"""

from collections.abc import Mapping
from math import comb, perm

from interlock.dual.errors import Raise
from interlock.dual.lib.access import (
    Args,
    Kwargs,
    at,
    bind,
    drain,
    fail,
    index_of,
    integer,
    joined,
    optional,
    plain_args,
)
from interlock.dual.lib.conversions import own_mark
from interlock.dual.marks import NEUTRAL, Mark
from interlock.dual.native import Env, Native, StepFn
from interlock.dual.ops.iterate import make_iter, step
from interlock.dual.ops.position import moved
from interlock.dual.ops.types import shown_type
from interlock.dual.values import (
    DictObj,
    HeapObj,
    IterObj,
    ListObj,
    RangeObj,
    TupleObj,
    Value,
    ViewObj,
)

__all__ = ["ITERATORS", "NATIVES"]


def _next(env: Env, source: Value) -> Value | None:
    data = source.data
    if not isinstance(data, IterObj):
        raise Raise("TypeError", f"'{shown_type(data)}' object is not an iterator")
    element = step(env, data)
    if element is None or (source.mark is NEUTRAL and data.mark is NEUTRAL):
        return element
    return at(env, at(env, element, source.mark), data.mark)


def _shape_of(env: Env, source: Value) -> Mark:
    """The marks of what an iterator goes through, without those of the elements."""
    if env.marks.pure:
        return NEUTRAL
    mark, data = source.mark, source.data
    if isinstance(data, HeapObj):
        mark = env.marks.join(mark, data.mark)
    if isinstance(data, IterObj):
        for inner in data.sources:
            mark = env.marks.join(mark, _shape_of(env, inner))
    return mark


def _zip(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """Tuples of the first elements, the second elements, ... until one source ends."""
    strict = kwargs.get("strict")
    for name in kwargs:
        if name != "strict":
            fail("TypeError", f"zip() got an unexpected keyword argument '{name}'")
    sources = [make_iter(env, arg) for arg in args]
    checks = Value(bool(strict and strict.data), NEUTRAL if strict is None else strict.mark)
    mark = env.marks.join_all(_shape_of(env, source) for source in sources)
    return Value(IterObj("zip", sources, 0, [checks]), mark)


def _zip_step(env: Env, iterator: IterObj) -> Value | None:
    elements: list[Value] = []
    env.meter.work(len(iterator.sources))
    # That there is another tuple, and so how far each source is moved, derives from the shape
    # of every source.
    mark = env.marks.join_all(_shape_of(env, source) for source in iterator.sources)
    for number, source in enumerate(iterator.sources):
        moved(env, source.data, mark)
        element = _next(env, source)
        if element is None:
            iterator.position = -1
            if iterator.state[0].data:
                _check_strict(env, iterator, number)
            return None
        elements.append(element)
    if not elements:
        iterator.position = -1
        return None
    iterator.position += 1
    return Value(TupleObj(tuple(elements)), mark)


def _check_strict(env: Env, iterator: IterObj, ended: int) -> None:
    mark = env.marks.join_all(_shape_of(env, source) for source in iterator.sources)
    mark = env.marks.join(mark, iterator.state[0].mark)
    if ended:
        earlier = "argument 1" if ended == 1 else f"arguments 1-{ended}"
        fail("ValueError", f"zip() argument {ended + 1} is shorter than {earlier}", mark)
    for number in range(1, len(iterator.sources)):
        if _next(env, iterator.sources[number]) is not None:
            earlier = "argument 1" if number == 1 else f"arguments 1-{number}"
            fail("ValueError", f"zip() argument {number + 1} is longer than {earlier}", mark)


def _enumerate(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """Pairs of a running number and an element."""
    source, start = bind("enumerate", args, kwargs, ("iterable", "start"), required=1)
    first = index_of(start) if start is not None else 0
    mark = NEUTRAL if start is None else start.mark
    inner = make_iter(env, optional(source))
    return Value(IterObj("enumerate", [inner], 0, [Value(first, mark)]), _shape_of(env, inner))


def _enumerate_step(env: Env, iterator: IterObj) -> Value | None:
    env.meter.work(1)
    element = _next(env, iterator.sources[0])
    if element is None:
        iterator.position = -1
        return None
    first = iterator.state[0]
    number = first.data + iterator.position if isinstance(first.data, int) else 0
    iterator.position += 1
    own = _shape_of(env, iterator.sources[0])
    return Value(TupleObj((Value(number, env.marks.join(first.mark, own)), element)))


def _reversed(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """The elements of a sequence from the last to the first."""
    plain_args("reversed", args, kwargs, 1, 1)
    source, data = args[0], args[0].data
    match data:
        case ListObj() | TupleObj():
            items = list(data.items)
        case str() | RangeObj():
            items = drain(env, source)
        case DictObj() | ViewObj():
            items = drain(env, source)
        case _:
            raise Raise("TypeError", f"'{shown_type(data)}' object is not reversible")
    env.meter.elements(len(items))
    items.reverse()
    made = ListObj(items)
    if isinstance(data, HeapObj):
        made.mark = data.mark
    return Value(IterObj("list_iterator", [Value(made, source.mark)]), source.mark)


# combinatorics: pools are kept as tuples, positions as integers


def _pool(env: Env, source: Value) -> Value:
    made = TupleObj(tuple(drain(env, source)))
    if isinstance(source.data, HeapObj):
        made.mark = source.data.mark
    return Value(made, source.mark)


def _pool_of(value: Value) -> tuple[Value, ...]:
    return value.data.items if isinstance(value.data, TupleObj) else ()


def _product(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """All tuples with one element of each source."""
    repeat = kwargs.get("repeat")
    for name in kwargs:
        if name != "repeat":
            fail("TypeError", f"product() got an unexpected keyword argument '{name}'")
    times = 1 if repeat is None else index_of(repeat)
    if times < 0:
        fail("ValueError", "repeat argument cannot be negative")
    env.meter.elements(times * len(args))
    pools = [_pool(env, arg) for arg in args] * times
    bits = sum(len(_pool_of(pool)).bit_length() for pool in pools)
    env.meter.integer(bits)
    mark = env.marks.join_all(_shape_of(env, pool) for pool in pools)
    mark = env.marks.join(mark, _count_mark(env, repeat))
    return Value(IterObj("itertools.product", pools), mark)


def _count_mark(env: Env, count: Value | None) -> Mark:
    return NEUTRAL if count is None else env.deep(count)


def _product_step(env: Env, iterator: IterObj) -> Value | None:
    rest = iterator.position
    env.meter.work(1 + (len(iterator.sources) >> 1))
    elements: list[Value] = []
    for source in reversed(iterator.sources):
        pool = _pool_of(source)
        if not pool:
            iterator.position = -1
            return None
        rest, position = divmod(rest, len(pool))
        elements.append(at(env, pool[position], source.mark))
    if rest:
        iterator.position = -1
        return None
    iterator.position += 1
    if not iterator.sources:
        # One empty tuple, then nothing.
        iterator.position = -1
    return Value(TupleObj(tuple(reversed(elements))))


def _combinatorial(kind: str, doc: str) -> Native:
    def native(env: Env, args: Args, kwargs: Kwargs) -> Value:
        name = kind.rpartition(".")[2]
        required = 1 if name == "permutations" else 2
        source, size = bind(name, args, kwargs, ("iterable", "r"), required=required)
        pool = _pool(env, optional(source))
        length = len(_pool_of(pool))
        taken = integer(size, length)
        if taken < 0:
            fail("ValueError", "r must be non-negative")
        env.meter.elements(min(taken, length + 1))
        state = [Value(taken)]
        mark = env.marks.join(_shape_of(env, pool), _count_mark(env, size))
        return Value(IterObj(kind, [pool], 0, state), mark)

    native.__doc__ = doc
    return Native(fn=native, marks="own")


def _selection_step(env: Env, iterator: IterObj) -> Value | None:
    """The element at the position, computed from its number alone."""
    source = iterator.sources[0]
    pool = _pool_of(source)
    size = iterator.state[0].data
    chosen: list[int] | None = None
    if isinstance(size, int):
        # Large pools make large numbers of selections to compute with.
        env.meter.work(1 + ((size + len(pool)) >> (2 if len(pool) < 64 else 0)))
        chosen = _UNRANK[iterator.kind](env, len(pool), size, iterator.position)
    if chosen is None:
        iterator.position = -1
        return None
    iterator.position += 1
    own = source.data.mark if isinstance(source.data, HeapObj) else NEUTRAL
    mark = env.marks.join(source.mark, own)
    return Value(TupleObj(tuple(at(env, pool[position], mark) for position in chosen)))


def _permutation(env: Env, length: int, size: int, number: int) -> list[int] | None:
    if size > length:
        return None
    rest = list(range(length))
    chosen = []
    for place in range(size):
        # How many permutations share the choice of this place.
        share = _checked(env, perm(length - place - 1, size - place - 1))
        at_place, number = divmod(number, share)
        if at_place >= len(rest):
            return None
        chosen.append(rest.pop(at_place))
    return chosen if number == 0 else None


def _combination(env: Env, length: int, size: int, number: int) -> list[int] | None:
    if size > length:
        return None
    chosen, lowest = [], 0
    for place in range(size):
        while True:
            if lowest >= length:
                return None
            share = _checked(env, comb(length - lowest - 1, size - place - 1))
            if number < share:
                break
            number -= share
            lowest += 1
            env.meter.work(1)
        chosen.append(lowest)
        lowest += 1
    return chosen if number == 0 else None


def _multiset(env: Env, length: int, size: int, number: int) -> list[int] | None:
    if not length:
        return [] if size == 0 and number == 0 else None
    found = _combination(env, length + size - 1, size, number)
    return None if found is None else [at_ - place for place, at_ in enumerate(found)]


def _checked(env: Env, number: int) -> int:
    env.meter.integer(number.bit_length())
    return number


_UNRANK = {
    "itertools.permutations": _permutation,
    "itertools.combinations": _combination,
    "itertools.combinations_with_replacement": _multiset,
}


def _count(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """Numbers from a start, by a step, without end."""
    start, by = bind("count", args, kwargs, ("start", "step"))
    state = [optional(start, Value(0)), optional(by, Value(1))]
    for value in state:
        if not isinstance(value.data, (int, float)):
            fail("TypeError", "a number is required")
    return Value(IterObj("itertools.count", [], 0, state))


def _count_step(env: Env, iterator: IterObj) -> Value | None:
    start, by = iterator.state
    a, b = start.data, by.data
    if not isinstance(a, (int, float)) or not isinstance(b, (int, float)):
        return None
    env.meter.work(1)
    number = a + iterator.position * b
    if isinstance(number, int):
        env.meter.integer(number.bit_length())
    iterator.position += 1
    return Value(number, joined(env, iterator.state))


def _repeat(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """One value again and again, or so many times."""
    value, times = bind("repeat", args, kwargs, ("object", "times"), required=1)
    limit = times if times is not None else Value(-1)
    if times is not None:
        limit = Value(max(0, index_of(times)), times.mark)
    return Value(IterObj("itertools.repeat", [optional(value)], 0, [limit]), limit.mark)


def _repeat_step(env: Env, iterator: IterObj) -> Value | None:
    limit = iterator.state[0]
    if isinstance(limit.data, int) and 0 <= limit.data <= iterator.position:
        iterator.position = -1
        return None
    iterator.position += 1
    return at(env, iterator.sources[0], limit.mark)


def _chain(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """The elements of one iterable after those of another."""
    if kwargs:
        fail("TypeError", "chain() takes no keyword arguments")
    sources = [make_iter(env, arg) for arg in args]
    mark = env.marks.join_all(_shape_of(env, source) for source in sources)
    return Value(IterObj("itertools.chain", sources), mark)


def _chain_from_iterable(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """The elements of all iterables of an iterable."""
    plain_args("chain.from_iterable", args, kwargs, 1, 1)
    sources = [make_iter(env, element) for element in drain(env, args[0])]
    mark = env.marks.join_all(_shape_of(env, source) for source in sources)
    return Value(IterObj("itertools.chain", sources), env.marks.join(mark, own_mark(env, args[0])))


def _chain_step(env: Env, iterator: IterObj) -> Value | None:
    while 0 <= iterator.position < len(iterator.sources):
        element = _next(env, iterator.sources[iterator.position])
        if element is not None:
            for ended in iterator.sources[: iterator.position]:
                # That this is the next element derives from the ends of those before.
                element = at(env, element, _shape_of(env, ended))
            return element
        iterator.position += 1
        env.meter.work(1)
    iterator.position = -1
    return None


ITERATORS: Mapping[str, StepFn] = {
    "enumerate": _enumerate_step,
    "itertools.chain": _chain_step,
    "itertools.combinations": _selection_step,
    "itertools.combinations_with_replacement": _selection_step,
    "itertools.count": _count_step,
    "itertools.permutations": _selection_step,
    "itertools.product": _product_step,
    "itertools.repeat": _repeat_step,
    "zip": _zip_step,
}

NATIVES: dict[str, Native] = {
    "enumerate": Native(fn=_enumerate, marks="own"),
    "itertools.chain": Native(fn=_chain, marks="own"),
    "itertools.chain.from_iterable": Native(fn=_chain_from_iterable, marks="own"),
    "itertools.combinations": _combinatorial(
        "itertools.combinations", "All selections of `r` elements, in order."
    ),
    "itertools.combinations_with_replacement": _combinatorial(
        "itertools.combinations_with_replacement",
        "All selections of `r` elements, each as often as wanted.",
    ),
    "itertools.count": Native(fn=_count, marks="own"),
    "itertools.permutations": _combinatorial(
        "itertools.permutations", "All arrangements of `r` elements."
    ),
    "itertools.product": Native(fn=_product, marks="own"),
    "itertools.repeat": Native(fn=_repeat, marks="own"),
    "reversed": Native(fn=_reversed, marks="own"),
    "zip": Native(fn=_zip, marks="own"),
}
