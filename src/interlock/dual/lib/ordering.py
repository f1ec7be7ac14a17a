"""Sorting and picking extremes: by host comparison where keys are alike, by ours otherwise."""

from collections.abc import Sequence
from typing import Any

from interlock.dual.native import Env
from interlock.dual.ops.compare import ordered
from interlock.dual.ops.types import enum_data
from interlock.dual.values import Data, Value

__all__ = ["extreme_of", "order_of"]

_ALIKE: tuple[frozenset[type], ...] = (
    frozenset((str,)),
    frozenset((int, float, bool)),
    frozenset((bytes,)),
)


class _Key:
    """A key that compares as the program's `<` does, charging each comparison."""

    __slots__ = ("data", "env")

    def __init__(self, env: Env, data: Data) -> None:
        self.env = env
        self.data = data

    def __lt__(self, other: "_Key") -> bool:
        self.env.meter.work(1)
        return ordered(self.env, "<", self.data, other.data)


def _host_keys(env: Env, keys: Sequence[Value]) -> list[Any]:
    """Keys a host sort may compare."""
    data = [enum_data(key.data) for key in keys]
    kinds = {type(item) for item in data}
    if any(kinds <= alike for alike in _ALIKE):
        return data
    return [_Key(env, item) for item in data]


def order_of(env: Env, keys: Sequence[Value], *, reverse: bool = False) -> list[int]:
    """The positions of `keys` in ascending order; stable, also when reversed.

    Raises:
        Raise: TypeError, two of them have no order.
    """
    size = len(keys)
    env.meter.work((size * size.bit_length()) >> 5)
    env.meter.memory(size * 24)
    found = _host_keys(env, keys)
    return sorted(range(size), key=found.__getitem__, reverse=reverse)


def extreme_of(env: Env, keys: Sequence[Value], *, greatest: bool) -> int:
    """The position of the first smallest (or greatest) of some keys, at least one.

    Raises:
        Raise: TypeError, two of them have no order.
    """
    env.meter.work(len(keys) >> 4)
    best, sign = 0, ">" if greatest else "<"
    for position in range(1, len(keys)):
        if ordered(env, sign, keys[position].data, keys[best].data):
            best = position
    return best
