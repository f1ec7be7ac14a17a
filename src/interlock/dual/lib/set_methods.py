"""Methods of `set` and `frozenset`.

Marks: an element found in two sets derives from both; which elements a difference or an
intersection has derives from all of both sides, so that goes to the new set's own mark.
"""

from collections.abc import Callable, Hashable

from interlock.dual.lib.access import (
    Args,
    Kwargs,
    at,
    drain,
    fail,
    fail_key,
    joined,
    plain_args,
    work_on,
)
from interlock.dual.lib.display import repr_text
from interlock.dual.lib.sequences import shape
from interlock.dual.marks import NEUTRAL, Mark
from interlock.dual.native import Env, Native
from interlock.dual.ops.compare import key_of
from interlock.dual.ops.types import shown_type
from interlock.dual.values import NONE, HeapObj, SetObj, Value, taken

__all__ = ["NATIVES", "filed", "new_set"]

Entries = dict[Hashable, Value]


def _set(args: Args, method: str, *, changes: bool = False) -> SetObj:
    data = args[0].data if args else None
    if not isinstance(data, SetObj) or (changes and data.frozen):
        kind = shown_type(data)
        fail("TypeError", f"descriptor '{method}' for 'set' objects doesn't apply to a '{kind}'")
    return data


def filed(env: Env, elements: list[Value]) -> Entries:
    """Elements by key; equal ones are one element that derives from all of them.

    Raises:
        Raise: TypeError, unhashable.
    """
    entries: Entries = {}
    for element in elements:
        key = key_of(env, element)
        known = entries.get(key)
        entries[key] = element if known is None else at(env, known, env.deep(element))
    return entries


def new_set(env: Env, elements: list[Value], *, frozen: bool = False) -> Value:
    """A set of elements already charged."""
    return Value(SetObj(filed(env, elements), frozen))


def _entries_of(env: Env, value: Value) -> Entries:
    data = value.data
    if isinstance(data, SetObj) and data.mark is NEUTRAL and value.mark is NEUTRAL:
        work_on(env, len(data.entries), 64)
        return data.entries
    return filed(env, drain(env, value))


def _new(env: Env, like: SetObj, entries: Entries, mark: Mark) -> Value:
    env.meter.elements(len(entries))
    work_on(env, len(entries), 16)
    made = SetObj(entries, like.frozen)
    made.mark = mark
    return Value(made)


def _selecting(method: str, keep: Callable[[bool, bool], bool], doc: str) -> Native:
    """A method that keeps elements by whether they are in this set and in the other."""

    def native(env: Env, args: Args, kwargs: Kwargs) -> Value:
        found = _set(args, method)
        if kwargs:
            fail("TypeError", f"set.{method}() takes no keyword arguments")
        if method == "symmetric_difference":
            plain_args(f"set.{method}", args[1:], kwargs, 1, 1)
        entries = dict(_entries_of(env, args[0]))
        for arg in args[1:]:
            entries = _kept(env, entries, _entries_of(env, arg), keep)
        mark = joined(env, args) if method != "union" else _references(env, args)
        return _new(env, found, entries, mark)

    native.__doc__ = doc
    return Native(fn=native, marks="own")


def _references(env: Env, args: Args) -> Mark:
    """The marks of containers without their elements."""
    mark = NEUTRAL
    for arg in args:
        mark = env.marks.join(mark, arg.mark)
        if isinstance(arg.data, HeapObj):
            mark = env.marks.join(mark, arg.data.mark)
    return mark


def _kept(env: Env, a: Entries, b: Entries, keep: Callable[[bool, bool], bool]) -> Entries:
    kept: Entries = {}
    for key, element in a.items():
        other = b.get(key)
        if keep(True, other is not None):
            kept[key] = element if other is None else at(env, element, env.deep(other))
    for key, element in b.items():
        if key not in a and keep(False, True):
            kept[key] = element
    return kept


def _in_place(method: str, keep: Callable[[bool, bool], bool], doc: str) -> Native:
    def native(env: Env, args: Args, kwargs: Kwargs) -> Value:
        found = _set(args, method, changes=True)
        if kwargs:
            fail("TypeError", f"set.{method}() takes no keyword arguments")
        mark = joined(env, args)
        for arg in args[1:]:
            kept = _kept(env, found.entries, _entries_of(env, arg), keep)
            env.meter.elements(len(kept))
            work_on(env, len(kept), 16)
            found.entries = kept
        if method == "update":
            # Nothing is compared away: elements keep their own marks.
            mark = _references(env, args)
        shape(env, found, mark)
        return NONE

    native.__doc__ = doc
    return Native(fn=native, marks="own")


def _add(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """Adds an element."""
    found = _set(args, "add", changes=True)
    plain_args("set.add", args[1:], kwargs, 1, 1)
    element = at(env, args[1], args[0].mark)
    key = key_of(env, element)
    known = found.entries.get(key)
    if known is None:
        env.meter.elements(1)
    else:
        element = at(env, known, env.deep(element))
    found.entries[key] = element
    env.added(found, element)
    return NONE


def _remove(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """Removes an element; KeyError: it is not there."""
    found = _set(args, "remove", changes=True)
    plain_args("set.remove", args[1:], kwargs, 1, 1)
    if found.entries.pop(key_of(env, args[1]), None) is None:
        fail_key(args[1], joined(env, args), repr_text(env, args[1].data))
    shape(env, found, joined(env, args[1:]))
    return NONE


def _discard(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """Removes an element if it is there."""
    found = _set(args, "discard", changes=True)
    plain_args("set.discard", args[1:], kwargs, 1, 1)
    found.entries.pop(key_of(env, args[1]), None)
    shape(env, found, joined(env, args[1:]))
    return NONE


def _pop(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """Removes and returns an element: the oldest."""
    found = _set(args, "pop", changes=True)
    plain_args("set.pop", args[1:], kwargs, 0, 0)
    if not found.entries:
        fail_key(Value("pop from an empty set"))
    element = found.entries.pop(next(iter(found.entries)))
    env.touched(found)
    return taken(env.marks, args[0], element)


def _clear(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """Removes all elements."""
    found = _set(args, "clear", changes=True)
    plain_args("set.clear", args[1:], kwargs, 0, 0)
    found.entries.clear()
    env.touched(found)
    return NONE


def _copy(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """A new set of the same elements."""
    found = _set(args, "copy")
    plain_args("set.copy", args[1:], kwargs, 0, 0)
    made = _new(env, found, dict(found.entries), found.mark)
    return Value(made.data, args[0].mark)


def _comparing(method: str, test: Callable[[Entries, Entries], bool], doc: str) -> Native:
    def native(env: Env, args: Args, kwargs: Kwargs) -> Value:
        found = _set(args, method)
        plain_args(f"set.{method}", args[1:], kwargs, 1, 1)
        return Value(test(found.entries, _entries_of(env, args[1])))

    native.__doc__ = doc
    return Native(fn=native)


_COMMON: dict[str, Native] = {
    "copy": Native(fn=_copy, marks="own"),
    "difference": _selecting(
        "difference", lambda a, b: a and not b, "The elements that are in no other."
    ),
    "intersection": _selecting(
        "intersection", lambda a, b: a and b, "The elements that are in all others too."
    ),
    "isdisjoint": _comparing(
        "isdisjoint",
        lambda a, b: a.keys().isdisjoint(b.keys()),
        "Whether it shares no element with another.",
    ),
    "issubset": _comparing(
        "issubset", lambda a, b: a.keys() <= b.keys(), "Whether another has all its elements."
    ),
    "issuperset": _comparing(
        "issuperset", lambda a, b: a.keys() >= b.keys(), "Whether it has all of another's."
    ),
    "symmetric_difference": _selecting(
        "symmetric_difference", lambda a, b: a is not b, "The elements in exactly one of two."
    ),
    "union": _selecting("union", lambda a, b: True, "The elements of all."),
}

NATIVES: dict[str, Native] = {
    **{f"set.{name}": native for name, native in _COMMON.items()},
    **{f"frozenset.{name}": native for name, native in _COMMON.items()},
    "set.add": Native(fn=_add, marks="own"),
    "set.clear": Native(fn=_clear, marks="own"),
    "set.difference_update": _in_place(
        "difference_update", lambda a, b: a and not b, "Removes the elements of others."
    ),
    "set.discard": Native(fn=_discard, marks="own"),
    "set.intersection_update": _in_place(
        "intersection_update", lambda a, b: a and b, "Keeps what all others have too."
    ),
    "set.pop": Native(fn=_pop, marks="own"),
    "set.remove": Native(fn=_remove, marks="own"),
    "set.symmetric_difference_update": _in_place(
        "symmetric_difference_update",
        lambda a, b: a is not b,
        "Keeps what exactly one of the two has.",
    ),
    "set.update": _in_place("update", lambda a, b: True, "Adds the elements of others."),
}
