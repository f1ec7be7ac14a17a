"""No native lets an exception of the host out, whatever it is called with."""

import random

import pytest
from tests.support.dual_programs import IMPORTS, finished, start

from interlock.dual.errors import LimitExceeded, Raise
from interlock.dual.lib.registry import NATIVES
from interlock.dual.limits import Limits
from interlock.dual.values import SCALARS, HeapObj, Value

ARGUMENTS = (
    "None, True, 0, -1, 3, 10**30, 1.5, float('nan'), float('inf'), '', 'a', 'ab,c', '%s {0}', "
    "'2024-01-01', '\\ud800', b'', b'ab', [], [1, 2], ['a', 'b'], [[1]], (), (1, 'a'), "
    "{}, {'a': 1}, {1: [2]}, set(), {1, 2}, frozenset({'a'}), range(3), iter([1]), zip([1], 'a'), "
    "len, str, (lambda x: x), json, 'a'.upper, ValueError('x'), re.compile('(a)'), "
    "re.search('(?P<n>a)', 'ba'), datetime.datetime(2024, 1, 1), datetime.date(2024, 1, 2), "
    "datetime.time(1, 2), datetime.timedelta(days=1), datetime.timezone.utc, "
    "datetime.datetime(1, 1, 1, tzinfo=datetime.timezone.utc), {}.items(), "
    "collections.Counter('ab'), collections.deque([1, 2], maxlen=3), "
    "collections.OrderedDict(a=1), collections.defaultdict(list), typing.Optional, ..."
)
WORDS = ("key", "default", "sep", "maxsplit", "start", "r", "repeat", "indent", "flags", "k", "tz")


CALLS = 30


@pytest.mark.parametrize("name", sorted(name for name in NATIVES if name[0] != "_"))
def test_a_native_raises_what_programs_may_see_and_nothing_else(name: str) -> None:
    limits = Limits(steps=50_000, memory_bytes=4_000_000)
    machine = start(f"{IMPORTS}final_return_value = [{ARGUMENTS}]", limits=limits)
    values = finished(machine).data.items  # type: ignore[union-attr]
    chance = random.Random(name)
    # The machine gives operators two operands, properties their receiver, and the prelude's
    # helpers what they expect.
    operator = not name.rpartition(".")[2].isidentifier()
    least = 2 if operator and "unary" not in name else 1 if operator else 0
    if NATIVES[name].is_property:
        least = 1
    for _ in range(CALLS):
        args = chance.choices(values, k=chance.randrange(least, 5))
        words = {chance.choice(WORDS): chance.choice(values)} if chance.random() < 0.2 else {}
        machine.env.meter.steps = machine.env.meter.used_bytes = 0
        try:
            made = NATIVES[name].fn(machine.env, args, words)
        except (Raise, LimitExceeded):
            continue
        assert type(made) is Value
        assert isinstance(made.data, HeapObj) or type(made.data) in SCALARS
