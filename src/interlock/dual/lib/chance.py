"""Module `random`: numbers from the seeded generator of the run, the same after a restart.

Sequences are those of our generator, not of CPython's: a program must not rely on either.
"""

import math

from interlock.dual.errors import Raise
from interlock.dual.lib.access import (
    Args,
    Kwargs,
    bind,
    drain,
    fail,
    index_of,
    joined,
    list_of,
    optional,
    plain_args,
)
from interlock.dual.lib.display import repr_text
from interlock.dual.lib.sequences import shape
from interlock.dual.marks import NEUTRAL
from interlock.dual.native import Env, Native, Random
from interlock.dual.ops.iterate import length
from interlock.dual.ops.types import shown_type
from interlock.dual.values import (
    NONE,
    DictObj,
    ListObj,
    RangeObj,
    SetObj,
    TupleObj,
    Value,
    ViewObj,
)

__all__ = ["NATIVES"]


def _random(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """A float from 0 to before 1."""
    plain_args("random", args, kwargs, 0, 0)
    return Value(env.rng.uniform())


def _number(value: Value | None) -> float:
    data = None if value is None else value.data
    if isinstance(data, (int, float)):
        return float(data)
    raise Raise("TypeError", f"must be real number, not {shown_type(data)}")


def _uniform(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """A float between two bounds."""
    low, high = bind("uniform", args, kwargs, ("a", "b"), required=2)
    a, b = _number(low), _number(high)
    return Value(a + (b - a) * env.rng.uniform())


def _below(env: Env, count: int) -> int:
    rng = _fork(env)
    if count >= 2**64:
        env.meter.integer(count.bit_length())
        number = 0
        for _ in range(count.bit_length() // 64 + 2):
            number = (number << 64) | rng.bits()
        return number % count
    return rng.below(count)


def _randint(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """An integer from a low to a high bound, both included."""
    low, high = bind("randint", args, kwargs, ("a", "b"), required=2)
    a, b = index_of(optional(low)), index_of(optional(high))
    if b < a:
        fail("ValueError", f"empty range in randrange({a}, {b + 1})")
    return Value(a + _below(env, b - a + 1))


def _randrange(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """An element of a range."""
    first, second, third = bind("randrange", args, kwargs, ("start", "stop", "step"), required=1)
    start, stop = (Value(0), first) if second is None else (first, second)
    a, b = index_of(optional(start)), index_of(optional(stop))
    step = 1 if third is None else index_of(third)
    if step == 0:
        fail("ValueError", "zero step for randrange()")
    count = (b - a + step - (1 if step > 0 else -1)) // step
    if count <= 0:
        fail("ValueError", f"empty range in randrange({a}, {b})")
    return Value(a + step * _below(env, count))


def _getrandbits(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """An integer of so many random bits."""
    plain_args("getrandbits", args, kwargs, 1, 1)
    bits = index_of(args[0])
    if bits < 0:
        fail("ValueError", "number of bits must be non-negative")
    env.meter.integer(bits)
    return Value(_below(env, 1 << bits))


def _sequence(env: Env, value: Value) -> list[Value]:
    data = value.data
    if isinstance(data, (SetObj, DictObj, ViewObj)):
        fail("TypeError", f"'{shown_type(data)}' object is not subscriptable")
    if length(data) is None:
        fail("TypeError", f"object of type '{shown_type(data)}' has no len()")
    return drain(env, value)


def _choice(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """An element of a sequence."""
    (source,) = bind("choice", args, kwargs, ("seq",), required=1)
    value = optional(source)
    data = value.data
    if isinstance(data, RangeObj) and len(data.span):
        return Value(data.span[env.rng.below(len(data.span))], env.deep(value))
    elements = _sequence(env, value)
    if not elements:
        fail("IndexError", "Cannot choose from an empty sequence")
    return elements[env.rng.below(len(elements))]


def _fork(env: Env) -> Random:
    """A generator of its own for one call: the run's moves on by one draw, however many are made.

    How often it is drawn from may derive from labelled data, and must not show in later numbers.
    """
    return Random(env.rng.bits())


def _choices(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """`k` elements of a sequence, each drawn anew, by weights if given."""
    if len(args) > 2:
        fail("TypeError", f"choices() takes from 2 to 3 positional arguments ({len(args)} given)")
    names = ("population", "weights", "cum_weights", "k")
    source, weights, cumulated, count = bind("choices", args, kwargs, names, required=1)
    elements = _sequence(env, optional(source))
    k = 1 if count is None else index_of(count)
    env.meter.elements(max(k, 0))
    env.meter.work(max(k, 0) >> 2)
    bounds = _bounds(env, weights, cumulated, len(elements))
    if not elements:
        fail("IndexError", "list index out of range")
    rng = _fork(env)
    chosen = [elements[_drawn(env, rng, bounds, len(elements))] for _ in range(k)]
    drawn_by = [value for value in (weights, cumulated, count) if value is not None]
    return list_of(env, chosen, joined(env, drawn_by))


def _bounds(
    env: Env, weights: Value | None, cumulated: Value | None, count: int
) -> list[float] | None:
    given = cumulated if cumulated is not None and cumulated.data is not None else weights
    if given is None or given.data is None:
        return None
    numbers = [_number(element) for element in drain(env, given)]
    if len(numbers) != count:
        fail("ValueError", "The number of weights does not match the population")
    if given is weights:
        total = 0.0
        for position, number in enumerate(numbers):
            total += number
            numbers[position] = total
    if not numbers or numbers[-1] <= 0.0:
        fail("ValueError", "Total of weights must be greater than zero")
    if not math.isfinite(numbers[-1]):
        fail("ValueError", "Total of weights must be finite")
    return numbers


def _drawn(env: Env, rng: Random, bounds: list[float] | None, count: int) -> int:
    if bounds is None:
        return rng.below(count)
    wanted = rng.uniform() * bounds[-1]
    env.meter.work(1 + (count >> 6))
    for position, bound in enumerate(bounds):
        if wanted < bound:
            return position
    return count - 1


def _shuffled(env: Env, elements: list[Value]) -> None:
    env.meter.work(len(elements) >> 1)
    rng = _fork(env)
    for position in range(len(elements) - 1, 0, -1):
        other = rng.below(position + 1)
        elements[position], elements[other] = elements[other], elements[position]


def _sample(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """`k` different elements of a sequence."""
    source, count = bind("sample", args, kwargs, ("population", "k"), required=2)
    value = optional(source)
    if isinstance(value.data, (SetObj, DictObj)):
        fail("TypeError", "Population must be a sequence.  For dicts or sets, use sorted(d).")
    elements = _sequence(env, value)
    k = index_of(optional(count))
    if not 0 <= k <= len(elements):
        fail("ValueError", "Sample larger than population or is negative")
    _shuffled(env, elements)
    return list_of(env, elements[:k], env.deep(optional(count)))


def _shuffle(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """Brings a list into another order."""
    plain_args("shuffle", args, kwargs, 1, 1)
    data = args[0].data
    if not isinstance(data, ListObj):
        kind = shown_type(data)
        if isinstance(data, (TupleObj, str)):
            fail("TypeError", f"'{kind}' object does not support item assignment")
        fail("TypeError", f"object of type '{kind}' has no len()")
    _shuffled(env, data.items)
    shape(env, data, NEUTRAL)
    return NONE


def _gauss(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """A float of a normal distribution."""
    mean, deviation = bind("gauss", args, kwargs, ("mu", "sigma"))
    mu = 0.0 if mean is None else _number(mean)
    sigma = 1.0 if deviation is None else _number(deviation)
    radius = math.sqrt(-2.0 * math.log(1.0 - env.rng.uniform()))
    return Value(mu + sigma * radius * math.cos(2.0 * math.pi * env.rng.uniform()))


def _seed(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """Starts the generator anew from a value."""
    (given,) = bind("seed", args, kwargs, ("a",))
    data = None if given is None else given.data
    if given is not None and env.deep(given) is not NEUTRAL:
        # Numbers drawn later carry no mark, so they must not derive from anything marked.
        fail("ValueError", "a seed must not derive from tool results or labelled data")
    state = 0
    if isinstance(data, int):
        state = int(data)
    elif data is not None:
        for char in repr_text(env, data)[:1000]:
            state = (state * 1_000_003 + ord(char)) & (2**64 - 1)
    env.rng.state = state & (2**64 - 1)
    return NONE


def _triangular(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """A float between two bounds, most likely near a mode."""
    low, high, mode = bind("triangular", args, kwargs, ("low", "high", "mode"))
    a = 0.0 if low is None else _number(low)
    b = 1.0 if high is None else _number(high)
    middle = 0.5 if mode is None or mode.data is None or a == b else (_number(mode) - a) / (b - a)
    drawn = env.rng.uniform()
    if drawn > middle:
        drawn, middle = 1.0 - drawn, 1.0 - middle
        a, b = b, a
    return Value(a + (b - a) * math.sqrt(drawn * middle))


NATIVES: dict[str, Native] = {
    "random.choice": Native(fn=_choice, marks="own"),
    "random.choices": Native(fn=_choices, marks="own"),
    "random.gauss": Native(fn=_gauss),
    "random.getrandbits": Native(fn=_getrandbits),
    "random.normalvariate": Native(fn=_gauss),
    "random.randint": Native(fn=_randint),
    "random.random": Native(fn=_random),
    "random.randrange": Native(fn=_randrange),
    "random.sample": Native(fn=_sample, marks="own"),
    "random.seed": Native(fn=_seed),
    "random.shuffle": Native(fn=_shuffle, marks="own"),
    "random.triangular": Native(fn=_triangular),
    "random.uniform": Native(fn=_uniform),
}
