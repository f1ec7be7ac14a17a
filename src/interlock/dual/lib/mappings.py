"""Methods of `dict` and its kin: `Counter`, `defaultdict`, `OrderedDict`.

Marks: an item taken derives from its key too, which decided that it is there; an answer that
something is missing derives from all keys.
"""

from collections.abc import Hashable, Iterable

from interlock.dual.errors import Raise
from interlock.dual.lib.access import (
    Args,
    Kwargs,
    at,
    bind,
    drain,
    fail,
    fail_key,
    integer,
    joined,
    list_of,
    optional,
    plain_args,
    work_on,
)
from interlock.dual.lib.display import repr_text
from interlock.dual.lib.ordering import order_of
from interlock.dual.lib.sequences import shape
from interlock.dual.marks import NEUTRAL, Mark
from interlock.dual.native import Env, Native
from interlock.dual.ops.compare import key_of
from interlock.dual.ops.iterate import iterate
from interlock.dual.ops.types import shown_type
from interlock.dual.values import (
    NONE,
    DictObj,
    HeapObj,
    ListObj,
    TupleObj,
    Value,
    ViewObj,
    taken,
)

__all__ = ["NATIVES", "count_into", "new_dict", "store", "update_from"]


def _dict(args: Args, method: str) -> DictObj:
    data = args[0].data if args else None
    if not isinstance(data, DictObj):
        kind = shown_type(data)
        fail("TypeError", f"descriptor '{method}' for 'dict' objects doesn't apply to a '{kind}'")
    return data


def _keys_mark(env: Env, receiver: Value, found: DictObj) -> Mark:
    """What the presence of any key derives from."""
    mark = env.marks.join(receiver.mark, found.mark)
    if env.marks.pure:
        return mark
    work_on(env, len(found.entries), 64)
    for key, _ in found.entries.values():
        mark = env.marks.join(mark, env.deep(key))
    return mark


def store(env: Env, receiver: Value, found: DictObj, key: Value, item: Value) -> None:
    """`receiver[key] = item`; the item derives from the key and the reference too."""
    filed = key_of(env, key)
    reference = receiver.mark
    mark = env.marks.join(env.deep(key), reference)
    before = found.entries.get(filed)
    if before is None:
        env.meter.elements(2)
        key = at(env, key, reference)
    else:
        key = at(env, before[0], env.marks.join(key.mark, reference))
    item = at(env, item, mark)
    found.entries[filed] = (key, item)
    env.added(found, key)
    env.added(found, item)


def new_dict(kind: str = "dict", factory: Value | None = None) -> Value:
    """An empty dict of a kind."""
    return Value(DictObj({}, kind, factory))


def _get(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """The item of a key, or a default."""
    found = _dict(args, "get")
    plain_args("get", args[1:], kwargs, 1, 2)
    default = args[2] if len(args) > 2 else NONE
    key = env.deep(args[1])
    entry = found.entries.get(key_of(env, args[1]))
    if entry is None:
        if env.marks.pure:
            return default
        return at(env, default, env.marks.join(key, _keys_mark(env, args[0], found)))
    return taken(env.marks, args[0], entry[1], env.marks.join(key, env.deep(entry[0])))


def _set_default(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """The item of a key; a missing key gets the default first."""
    found = _dict(args, "setdefault")
    plain_args("setdefault", args[1:], kwargs, 1, 2)
    entry = found.entries.get(key_of(env, args[1]))
    if entry is None:
        default = args[2] if len(args) > 2 else NONE
        missing = _keys_mark(env, args[0], found)
        store(env, args[0], found, args[1], at(env, default, missing))
        entry = found.entries[key_of(env, args[1])]
    mark = env.marks.join(env.deep(args[1]), env.deep(entry[0]))
    return taken(env.marks, args[0], entry[1], mark)


def _pop(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """Removes a key and returns its item, or a default."""
    found = _dict(args, "pop")
    if found.kind != "collections.OrderedDict" or len(args) > 2:
        plain_args("pop", args[1:], kwargs, 1, 2)
    wanted, given = bind("pop", args[1:], kwargs, ("key", "default"), required=1)
    key = optional(wanted)
    mark = env.deep(key)
    entry = found.entries.pop(key_of(env, key), None)
    if entry is None:
        missing = NEUTRAL if env.marks.pure else _keys_mark(env, args[0], found)
        mark = env.marks.join(mark, missing)
        if given is None:
            fail_key(key, mark, repr_text(env, key.data))
        return at(env, given, mark)
    mark = env.marks.join(mark, env.deep(entry[0]))
    item = taken(env.marks, args[0], entry[1], mark)
    shape(env, found, env.marks.join(mark, args[0].mark))
    return item


def _pop_item(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """Removes and returns the last key and item."""
    found = _dict(args, "popitem")
    first = False
    if found.kind == "collections.OrderedDict":
        (last,) = bind("popitem", args[1:], kwargs, ("last",))
        first = last is not None and not last.data
    else:
        plain_args(f"{shown_type(found)}.popitem", args[1:], kwargs, 0, 0)
    if not found.entries:
        fail_key(Value("popitem(): dictionary is empty"))
    filed = next(iter(found.entries)) if first else next(reversed(found.entries))
    key, item = found.entries.pop(filed)
    pair = (
        taken(env.marks, args[0], key),
        taken(env.marks, args[0], item, env.deep(key)),
    )
    env.touched(found)
    return Value(TupleObj(pair), args[0].mark)


def _update(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """Adds the entries of a dict or of an iterable of pairs, and keywords."""
    found = _dict(args, "update")
    plain_args("update", args[1:], {}, 0, 1)
    if found.kind == "collections.Counter":
        count_into(env, args[0], args[1:], kwargs, sign=1)
        return NONE
    update_from(env, args[0], found, args[1] if len(args) > 1 else None, kwargs)
    return NONE


def update_from(
    env: Env, receiver: Value, found: DictObj, source: Value | None, kwargs: Kwargs
) -> None:
    """Adds the entries of a mapping or of pairs, then keywords.

    Raises:
        Raise: TypeError or ValueError, as Python words it.
    """
    if source is not None:
        for key, item in _pairs_of(env, source):
            store(env, receiver, found, key, item)
        shape(env, found, _reference(env, source))
    for name, item in kwargs.items():
        store(env, receiver, found, Value(name), item)


def _reference(env: Env, value: Value) -> Mark:
    data = value.data
    return env.marks.join(value.mark, data.mark) if isinstance(data, HeapObj) else value.mark


def _pairs_of(env: Env, source: Value) -> Iterable[tuple[Value, Value]]:
    data = source.data
    if isinstance(data, DictObj):
        work_on(env, len(data.entries), 16)
        marks = env.marks
        return [
            (taken(marks, source, key), taken(marks, source, item, env.deep(key)))
            for key, item in data.entries.values()
        ]
    return [_pair(env, pair, position) for position, pair in enumerate(drain(env, source))]


def _pair(env: Env, pair: Value, position: int) -> tuple[Value, Value]:
    try:
        parts = drain(env, pair)
    except Raise as error:
        if error.type_name == "TypeError" and error.message.endswith("is not iterable"):
            message = f"cannot convert dictionary update sequence element #{position} to a sequence"
            raise Raise("TypeError", message, error.mark) from None
        raise
    if len(parts) != 2:
        message = (
            f"dictionary update sequence element #{position} has length {len(parts)}; 2 is required"
        )
        fail("ValueError", message)
    return parts[0], parts[1]


def _view(kind: str, doc: str) -> Native:
    def native(env: Env, args: Args, kwargs: Kwargs) -> Value:
        found = _dict(args, kind.removeprefix("dict_"))
        plain_args(f"dict.{kind.removeprefix('dict_')}", args[1:], kwargs, 0, 0)
        return Value(ViewObj(kind, Value(found, args[0].mark)), args[0].mark)

    native.__doc__ = doc
    return Native(fn=native, marks="own")


def _clear(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """Removes all entries."""
    found = _dict(args, "clear")
    plain_args("clear", args[1:], kwargs, 0, 0)
    found.entries.clear()
    env.touched(found)
    return NONE


def _copy(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """A new dict of the same entries."""
    found = _dict(args, "copy")
    plain_args("copy", args[1:], kwargs, 0, 0)
    env.meter.elements(2 * len(found.entries))
    made = DictObj(dict(found.entries), found.kind, found.factory)
    made.mark = found.mark
    return Value(made, args[0].mark)


def _from_keys(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """A dict with the elements of an iterable as keys and one value for all."""
    plain_args("fromkeys", args, kwargs, 1, 2)
    value = args[1] if len(args) > 1 else NONE
    made = new_dict()
    found = made.data
    if isinstance(found, DictObj):
        for key in drain(env, args[0]):
            store(env, made, found, key, value)
        shape(env, found, _reference(env, args[0]))
    return made


def _move_to_end(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """Moves a key to the end, or to the front."""
    found = _dict(args, "move_to_end")
    key, last = bind("move_to_end", args[1:], kwargs, ("key", "last"), required=1)
    wanted = optional(key)
    filed = key_of(env, wanted)
    if filed not in found.entries:
        fail_key(wanted, None, repr_text(env, wanted.data))
    work_on(env, len(found.entries), 64)
    entry = found.entries.pop(filed)
    if last is None or last.data:
        found.entries[filed] = entry
    else:
        rest = dict(found.entries)
        found.entries.clear()
        found.entries[filed] = entry
        found.entries.update(rest)
    shape(env, found, joined(env, args[1:]))
    return NONE


# Counter


def count_into(env: Env, receiver: Value, sources: Args, kwargs: Kwargs, *, sign: int) -> None:
    """Adds (or subtracts) counts: of the elements of an iterable, or a mapping's numbers.

    Raises:
        Raise: TypeError, a count is no number.
    """
    found = _dict((receiver,), "update")
    for source in sources:
        if source.data is None:
            continue
        if isinstance(source.data, DictObj):
            for key, item in _pairs_of(env, source):
                _count(env, receiver, key, item, sign=sign)
        else:
            for element, count, mark in _tally(env, source):
                _count(env, receiver, element, Value(count, mark), sign=sign)
        shape(env, found, _reference(env, source))
    for name, item in kwargs.items():
        _count(env, receiver, Value(name), item, sign=sign)


def _tally(env: Env, source: Value) -> Iterable[tuple[Value, int, Mark]]:
    """Each different element of an iterable, how often it occurs, and what that derives from."""
    found: dict[Hashable, tuple[Value, int, Mark]] = {}
    for position, element in enumerate(iterate(env, source)):
        if not position & 7:
            env.meter.work(1)
        filed = key_of(env, element)
        before = found.get(filed)
        if before is None:
            env.meter.elements(1)
            found[filed] = (element, 1, env.deep(element))
        else:
            first, count, mark = before
            if not env.marks.pure:
                mark = env.marks.join(mark, env.deep(element))
            found[filed] = (first, count + 1, mark)
    return found.values()


def _count(env: Env, receiver: Value, key: Value, by: Value, *, sign: int) -> None:
    found = _dict((receiver,), "update")
    entry = found.entries.get(key_of(env, key))
    before = 0 if entry is None else entry[1].data
    step = by.data
    if not isinstance(before, (int, float)) or not isinstance(step, (int, float)):
        kinds = f"'{shown_type(step)}' and '{shown_type(before)}'"
        fail("TypeError", f"unsupported operand type(s) for +: {kinds}")
    for number in (before, step):
        if isinstance(number, int):
            env.meter.integer(number.bit_length() + 1)
    mark = by.mark if entry is None else env.marks.join(entry[1].mark, by.mark)
    store(env, receiver, found, key, Value(before + sign * step, mark))


def _subtract(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """Subtracts the counts of an iterable or a mapping."""
    _dict(args, "subtract")
    plain_args("subtract", args[1:], {}, 0, 1)
    count_into(env, args[0], args[1:], kwargs, sign=-1)
    return NONE


def _most_common(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """The keys and their counts, greatest first; the first `n` of them."""
    found = _dict(args, "most_common")
    (most,) = bind("most_common", args[1:], kwargs, ("n",))
    limit = integer(most, -1)
    entries = list(found.entries.values())
    order = order_of(env, [item for _, item in entries], reverse=True)
    if limit >= 0 or (most is not None and most.data is not None):
        order = order[: max(limit, 0)]
    marks = env.marks
    pairs = [
        Value(
            TupleObj(
                (
                    taken(marks, args[0], entries[i][0]),
                    taken(marks, args[0], entries[i][1], env.deep(entries[i][0])),
                )
            )
        )
        for i in order
    ]
    env.meter.elements(2 * len(pairs))
    return _ordered_list(env, pairs, joined(env, args))


def _ordered_list(env: Env, items: list[Value], mark: Mark) -> Value:
    """A list whose order derives from `mark`."""
    made = list_of(env, items)
    if isinstance(made.data, ListObj):
        made.data.mark = mark
    return made


def _elements(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """Every key as often as its count says."""
    found = _dict(args, "elements")
    plain_args("elements", args[1:], kwargs, 0, 0)
    repeated: list[Value] = []
    for key, item in found.entries.values():
        count = item.data
        if not isinstance(count, int):
            fail("TypeError", f"'{shown_type(count)}' object cannot be interpreted as an integer")
        if count > 0:
            env.meter.elements(count)
            repeated.extend([key] * count)
    return Value(ListObj(repeated))


def _total(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """The sum of all counts."""
    found = _dict(args, "total")
    plain_args("total", args[1:], kwargs, 0, 0)
    total: float = 0
    for _, item in found.entries.values():
        if not isinstance(item.data, (int, float)):
            kinds = f"'int' and '{shown_type(item.data)}'"
            fail("TypeError", f"unsupported operand type(s) for +: {kinds}")
        total += item.data
        if isinstance(total, int):
            env.meter.integer(total.bit_length())
    return Value(total)


def _factory(env: Env, args: Args, kwargs: Kwargs) -> Value:
    """What makes the items of missing keys, or None."""
    found = _dict(args, "default_factory")
    return NONE if found.factory is None else found.factory


_COMMON: dict[str, Native] = {
    "clear": Native(fn=_clear, marks="own"),
    "copy": Native(fn=_copy, marks="own"),
    "get": Native(fn=_get, marks="own"),
    "items": _view("dict_items", "A live view of its keys and items."),
    "keys": _view("dict_keys", "A live view of its keys."),
    "pop": Native(fn=_pop, marks="own"),
    "popitem": Native(fn=_pop_item, marks="own"),
    "setdefault": Native(fn=_set_default, marks="own"),
    "update": Native(fn=_update, marks="own"),
    "values": _view("dict_values", "A live view of its items."),
}
_KINDS = ("dict", "collections.Counter", "collections.defaultdict", "collections.OrderedDict")

NATIVES: dict[str, Native] = {
    **{f"{kind}.{name}": native for kind in _KINDS for name, native in _COMMON.items()},
    "collections.Counter.elements": Native(fn=_elements),
    "collections.Counter.most_common": Native(fn=_most_common, marks="own"),
    "collections.Counter.subtract": Native(fn=_subtract, marks="own"),
    "collections.Counter.total": Native(fn=_total),
    "collections.OrderedDict.move_to_end": Native(fn=_move_to_end, marks="own"),
    "collections.defaultdict.default_factory": Native(fn=_factory, is_property=True),
    "dict.fromkeys": Native(fn=_from_keys, marks="own"),
}
