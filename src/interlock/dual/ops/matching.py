"""Trying the pattern of a `case` against a subject; see `compile.patterns` for its form."""

from collections.abc import Sequence
from typing import Any, Protocol

from interlock.dual.errors import Raise
from interlock.dual.native import Env
from interlock.dual.ops.compare import equal, key_of, same_object
from interlock.dual.ops.types import enum_data
from interlock.dual.values import (
    ClassObj,
    DictObj,
    HeapObj,
    ListObj,
    TupleObj,
    TypeObj,
    Value,
    taken,
)

__all__ = ["ClassTests", "try_pattern"]

_SELF_MATCHING = frozenset(
    {"bool", "bytes", "dict", "float", "frozenset", "int", "list", "set", "str", "tuple"}
)


class ClassTests(Protocol):
    """What patterns need of classes; `ops.classes` has it."""

    def is_instance(self, env: Env, value: Value, cls: Value) -> bool:
        """`isinstance(value, cls)`."""
        ...

    def attribute(self, env: Env, value: Value, name: str) -> Value | None:
        """A field, None if it has none of that name."""
        ...


class _Match:
    def __init__(
        self,
        env: Env,
        classes: ClassTests,
        values: Sequence[Value],
        captures: dict[str, Value],
    ) -> None:
        self.env = env
        self.classes = classes
        self.values = values
        self.captures = captures

    def capture(self, name: str | None, value: Value) -> None:
        if name is not None:
            self.captures[name] = value

    def matches(self, pattern: tuple[Any, ...], subject: Value) -> bool:
        """Depth is bounded by that of the program's text."""
        return bool(getattr(self, f"_{pattern[0]}")(subject, *pattern[1:]))

    def _value(self, subject: Value, index: int) -> bool:
        return equal(self.env, subject.data, self.values[index].data)

    def _is(self, subject: Value, constant: Value) -> bool:
        return same_object(subject.data, constant.data)

    def _any(self, subject: Value, name: str | None) -> bool:
        self.capture(name, subject)
        return True

    def _as(self, subject: Value, part: tuple[Any, ...], name: str | None) -> bool:
        if not self.matches(part, subject):
            return False
        self.capture(name, subject)
        return True

    def _or(self, subject: Value, parts: Sequence[tuple[Any, ...]]) -> bool:
        return any(self.matches(part, subject) for part in parts)

    def _sequence(self, subject: Value, parts: Sequence[tuple[Any, ...]], star: int) -> bool:
        data = subject.data
        if not isinstance(data, ListObj | TupleObj):
            return False
        items = [taken(self.env.marks, subject, item) for item in data.items]
        if star < 0:
            if len(items) != len(parts):
                return False
            return all(self.matches(p, item) for p, item in zip(parts, items, strict=True))
        tail = len(parts) - star - 1
        if len(items) < star + tail:
            return False
        middle = items[star : len(items) - tail]
        self.env.meter.elements(len(middle))
        rest = taken(self.env.marks, subject, Value(ListObj(middle)))
        ordered = [*items[:star], rest, *items[len(items) - tail :]]
        return all(self.matches(p, item) for p, item in zip(parts, ordered, strict=True))

    def _mapping(
        self, subject: Value, parts: Sequence[tuple[int, tuple[Any, ...]]], rest: str | None
    ) -> bool:
        data = subject.data
        if not isinstance(data, DictObj):
            return False
        used = set()
        for index, part in parts:
            key = key_of(self.env, self.values[index])
            entry = data.entries.get(key)
            if entry is None:
                return False
            used.add(key)
            item = taken(self.env.marks, subject, entry[1], self.env.deep(entry[0]))
            if not self.matches(part, item):
                return False
        if rest is not None:
            left = {key: entry for key, entry in data.entries.items() if key not in used}
            self.env.meter.elements(2 * len(left))
            self.capture(rest, taken(self.env.marks, subject, Value(DictObj(left))))
        return True

    def _class(
        self,
        subject: Value,
        index: int,
        positional: Sequence[tuple[Any, ...]],
        words: Sequence[tuple[str, tuple[Any, ...]]],
    ) -> bool:
        cls = self.values[index]
        if not isinstance(cls.data, TypeObj | ClassObj):
            raise Raise("TypeError", "called match pattern must be a class")
        if not self.classes.is_instance(self.env, subject, cls):
            return False
        if positional:
            if isinstance(cls.data, TypeObj):
                if cls.data.name not in _SELF_MATCHING or len(positional) > 1:
                    count = len(positional)
                    raise Raise(
                        "TypeError",
                        f"{cls.data.name}() accepts 0 positional sub-patterns ({count} given)",
                    )
                return self.matches(positional[0], subject)
            words = [
                *zip(self._positional_names(cls.data, len(positional)), positional, strict=True),
                *words,
            ]
        for name, part in words:
            found = self.classes.attribute(self.env, subject, name)
            if found is None or not self.matches(part, found):
                return False
        return True

    def _positional_names(self, cls: ClassObj, count: int) -> list[str]:
        names = list(cls.fields) if cls.kind in {"dataclass", "namedtuple"} else []
        if count > len(names):
            raise Raise(
                "TypeError",
                f"{cls.name}() accepts {len(names)} positional sub-patterns ({count} given)",
            )
        return names[:count]


def try_pattern(
    env: Env,
    classes: ClassTests,
    pattern: tuple[Any, ...],
    subject: Value,
    values: Sequence[Value],
    captures: dict[str, Value],
) -> bool:
    """Whether the subject matches; `captures` receives what it binds.

    Raises:
        Raise: `TypeError`, a class pattern that makes no sense.
    """
    data = enum_data(subject.data)
    if isinstance(data, HeapObj):
        env.meter.work(1)
    return _Match(env, classes, values, captures).matches(pattern, subject)
