"""The values of a program: scalars of the host, everything else objects of ours.

A `Value` is a reference: `data` and the mark of the reference. `data` is a scalar (`Scalar`) or
one of the heap objects below; nothing else of the host is ever reachable, so there is nothing to
escape to. Heap objects hold `Value`s, have `mark` of their own (what mutations under tainted
control put on them), and keep all state in slots, so that one codec stores them all.

Container rule: the deep mark of a container is its reference's mark, its own, and those of all
elements, keys included (`deep`); an element taken is the element, the container's own and the
reference's mark, and the index's (`taken`).

Deep marks are cached per container with the epoch of the mark table. INVARIANT: a container's
cache is valid only if those of all its descendants are; so whoever changes a container calls
`added` or `touched` in the same operation, which give up all caches when it matters.

Source: gateway.md 10.4, 10.5.
"""

import datetime as dt
from collections.abc import Hashable, Iterable, Iterator
from types import EllipsisType
from typing import TYPE_CHECKING, Union

from interlock.dual.marks import NEUTRAL, Mark, MarkTable

if TYPE_CHECKING:
    from interlock.dual.limits import Meter

__all__ = [
    "FALSE",
    "HEAP_CLASSES",
    "NONE",
    "SCALARS",
    "TRUE",
    "BoundObj",
    "CellObj",
    "ClassObj",
    "Data",
    "DictObj",
    "ExcObj",
    "FuncObj",
    "GenObj",
    "HeapObj",
    "InstanceObj",
    "IterObj",
    "ListObj",
    "MatchObj",
    "ModuleObj",
    "NativeObj",
    "PatternObj",
    "RangeObj",
    "Scalar",
    "SetObj",
    "ToolObj",
    "TupleObj",
    "TypeExpr",
    "TypeObj",
    "Value",
    "ViewObj",
    "added",
    "deep",
    "taken",
    "touched",
]

Scalar = (
    bool
    | int
    | float
    | str
    | bytes
    | dt.datetime
    | dt.date
    | dt.time
    | dt.timedelta
    | dt.timezone
    | EllipsisType
    | None
)
SCALARS: frozenset[type] = frozenset(
    {
        bool,
        int,
        float,
        str,
        bytes,
        dt.datetime,
        dt.date,
        dt.time,
        dt.timedelta,
        dt.timezone,
        EllipsisType,
        type(None),
    }
)
"""Exact types of scalar data; subclasses are never used."""


class HeapObj:
    """Base of everything that is not a scalar. Identity is the program's `is`."""

    __slots__ = ("deep_epoch", "deep_mark", "mark")

    STATE: tuple[str, ...] = ()
    """Slots a codec stores, in the order of the constructor."""
    IS_CONTAINER = False

    def __init__(self) -> None:
        self.mark: Mark = NEUTRAL
        self.deep_mark: Mark = NEUTRAL
        self.deep_epoch = 0

    def held(self) -> Iterable["Value"]:
        """The values it holds that count for its deep mark."""
        return ()


Data = Union[Scalar, HeapObj]  # noqa: UP007 - the union of a forward name


class Value:
    """A reference to data with the mark of what it derives from. Never changed once made."""

    __slots__ = ("data", "mark")

    def __init__(self, data: Data, mark: Mark = NEUTRAL) -> None:
        self.data = data
        self.mark = mark

    def __repr__(self) -> str:
        mark = "" if self.mark is NEUTRAL else f", {self.mark!r}"
        return f"Value({self.data!r}{mark})"


NONE = Value(None)
TRUE = Value(True)
FALSE = Value(False)


class ListObj(HeapObj):
    """A list, or a `collections.deque` (`kind`)."""

    __slots__ = ("items", "kind", "maxlen")
    STATE = ("items", "kind", "maxlen")
    IS_CONTAINER = True

    def __init__(self, items: list[Value], kind: str = "list", maxlen: int | None = None) -> None:
        super().__init__()
        self.items = items
        self.kind = kind
        """`list` or `collections.deque`."""
        self.maxlen = maxlen

    def held(self) -> Iterable[Value]:
        """Its elements."""
        return self.items


class TupleObj(HeapObj):
    """A tuple; of a named tuple class when `cls` is given."""

    __slots__ = ("cls", "items")
    STATE = ("items", "cls")
    IS_CONTAINER = True

    def __init__(self, items: tuple[Value, ...], cls: "ClassObj | None" = None) -> None:
        super().__init__()
        self.items = items
        self.cls = cls

    def held(self) -> Iterable[Value]:
        """Its elements."""
        return self.items


class DictObj(HeapObj):
    """A dict in insertion order, or one of its kin (`kind`)."""

    __slots__ = ("entries", "factory", "kind")
    STATE = ("entries", "kind", "factory")
    IS_CONTAINER = True

    def __init__(
        self,
        entries: dict[Hashable, tuple[Value, Value]],
        kind: str = "dict",
        factory: Value | None = None,
    ) -> None:
        super().__init__()
        self.entries = entries
        """By `ops.compare.key_of(key)`: the key as given first, and the item."""
        self.kind = kind
        """`dict`, `collections.defaultdict`, `collections.Counter`, `collections.OrderedDict`."""
        self.factory = factory
        """Of a `defaultdict`; the machine calls it."""

    def held(self) -> Iterator[Value]:
        """Keys and items."""
        for key, item in self.entries.values():
            yield key
            yield item


class SetObj(HeapObj):
    """A set or frozenset; keeps insertion order, which programs must not rely on."""

    __slots__ = ("entries", "frozen")
    STATE = ("entries", "frozen")
    IS_CONTAINER = True

    def __init__(self, entries: dict[Hashable, Value], frozen: bool = False) -> None:
        super().__init__()
        self.entries = entries
        """By `ops.compare.key_of(element)`."""
        self.frozen = frozen

    def held(self) -> Iterable[Value]:
        """Its elements."""
        return self.entries.values()


class RangeObj(HeapObj):
    """A range. The host's `range` is its arithmetic; programs never see it."""

    __slots__ = ("span",)
    STATE = ("span",)

    def __init__(self, span: range) -> None:
        super().__init__()
        self.span = span


class ViewObj(HeapObj):
    """`dict.keys()`, `.values()`, `.items()`: live views."""

    __slots__ = ("kind", "source")
    STATE = ("kind", "source")
    IS_CONTAINER = True

    def __init__(self, kind: str, source: Value) -> None:
        super().__init__()
        self.kind = kind
        """`dict_keys`, `dict_values` or `dict_items`."""
        self.source = source
        """Of a `DictObj`."""

    def held(self) -> Iterable[Value]:
        """The dict."""
        return (self.source,)


class IterObj(HeapObj):
    """An iterator with its whole state in plain sight.

    `kind` names the step function: those of `ops.iterate` over built-in data, and those that
    `lib.registry.ITERATORS` lists (`zip`, `enumerate`, `itertools.count`, ...).
    """

    __slots__ = ("kind", "position", "sources", "state")
    STATE = ("kind", "sources", "position", "state")
    IS_CONTAINER = True

    def __init__(
        self,
        kind: str,
        sources: list[Value],
        position: int = 0,
        state: list[Value] | None = None,
    ) -> None:
        super().__init__()
        self.kind = kind
        self.sources = sources
        self.position = position
        """Where it stands; -1 once exhausted."""
        self.state: list[Value] = [] if state is None else state
        """More state, for the kinds that need it."""

    def held(self) -> Iterator[Value]:
        """What it iterates over and its state."""
        yield from self.sources
        yield from self.state


class CellObj(HeapObj):
    """A variable shared by a function and those defined in it."""

    __slots__ = ("value",)
    STATE = ("value",)

    def __init__(self, value: Value | None = None) -> None:
        super().__init__()
        self.value = value


class FuncObj(HeapObj):
    """A function of the program."""

    __slots__ = ("cells", "code", "defaults", "kw_defaults", "name", "unit")
    STATE = ("name", "unit", "code", "defaults", "kw_defaults", "cells")

    def __init__(  # noqa: PLR0917 - as the codec calls it
        self,
        name: str,
        unit: int,
        code: int,
        defaults: tuple[Value, ...] = (),
        kw_defaults: dict[str, Value] | None = None,
        cells: tuple[CellObj, ...] = (),
    ) -> None:
        super().__init__()
        self.name = name
        self.unit = unit
        """Which program of the machine: 0 is the prelude, then one per step."""
        self.code = code
        """Which code object of that program."""
        self.defaults = defaults
        """Of the last positional parameters."""
        self.kw_defaults = kw_defaults or {}
        self.cells = cells


class GenObj(HeapObj):
    """A suspended generator: a generator expression, or a lazy function of the prelude."""

    __slots__ = ("frame", "running")
    STATE = ("frame", "running")
    IS_CONTAINER = True

    def __init__(self, frame: object, running: bool = False) -> None:
        super().__init__()
        self.frame = frame
        """A `machine.Frame`; None once finished."""
        self.running = running


class NativeObj(HeapObj):
    """A function written for the interpreter, by its name in `lib.registry.NATIVES`."""

    __slots__ = ("name",)
    STATE = ("name",)

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name


class BoundObj(HeapObj):
    """A method taken from its receiver: `"a".upper`."""

    __slots__ = ("function", "receiver")
    STATE = ("receiver", "function")
    IS_CONTAINER = True

    def __init__(self, receiver: Value, function: Value) -> None:
        super().__init__()
        self.receiver = receiver
        self.function = function
        """Of a `NativeObj` or `FuncObj`; called with the receiver first."""

    def held(self) -> Iterable[Value]:
        """Its receiver."""
        return (self.receiver,)


class TypeObj(HeapObj):
    """A built-in type or exception class: `int`, `datetime.datetime`, `ValueError`."""

    __slots__ = ("name",)
    STATE = ("name",)

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        """As `ops.types.type_name` names it: `str`, `datetime.date`, `collections.Counter`."""


class TypeExpr(HeapObj):
    """An annotation: `list[str]`, `int | None`, `Optional`, `Literal["a", "b"]`, `Any`."""

    __slots__ = ("args", "origin")
    STATE = ("origin", "args")
    IS_CONTAINER = True

    def __init__(self, origin: str, args: tuple[Value, ...] = ()) -> None:
        super().__init__()
        self.origin = origin
        """`list`, `dict`, `tuple`, `set`, `Union`, `Optional`, `Literal`, `Any`, `Annotated`..."""
        self.args = args

    def held(self) -> Iterable[Value]:
        """Its arguments."""
        return self.args


class ClassObj(HeapObj):
    """A class the program declares: pydantic model, enum, dataclass, named tuple, exception."""

    __slots__ = ("base", "fields", "kind", "members", "name", "options")
    STATE = ("name", "kind", "base", "fields", "members", "options")
    IS_CONTAINER = True

    def __init__(  # noqa: PLR0917 - as the codec calls it
        self,
        name: str,
        kind: str,
        base: "ClassObj | TypeObj | None" = None,
        fields: dict[str, tuple[Value, Value | None]] | None = None,
        members: dict[str, Value] | None = None,
        options: dict[str, Value] | None = None,
    ) -> None:
        super().__init__()
        self.name = name
        self.kind = kind
        """`model`, `enum`, `dataclass`, `namedtuple` or `exception`."""
        self.base = base
        """What it extends: a class of the program, or a built-in type (`str` of a str enum)."""
        self.fields = {} if fields is None else fields
        """By name, in order: annotation and default (a `Field(...)` is an `InstanceObj`)."""
        self.members = {} if members is None else members
        """Enum members and other class attributes."""
        self.options = {} if options is None else options
        """`frozen` and the like."""

    def held(self) -> Iterator[Value]:
        """Annotations, defaults and members."""
        for annotation, default in self.fields.values():
            yield annotation
            if default is not None:
                yield default
        yield from self.members.values()


class InstanceObj(HeapObj):
    """An instance of a `ClassObj`, or of a library record (`cls` a `TypeObj`)."""

    __slots__ = ("cls", "fields")
    STATE = ("cls", "fields")
    IS_CONTAINER = True

    def __init__(self, cls: "ClassObj | TypeObj", fields: dict[str, Value]) -> None:
        super().__init__()
        self.cls = cls
        self.fields = fields
        """An enum member has `name` and `value`."""

    def held(self) -> Iterable[Value]:
        """Its fields."""
        return self.fields.values()


class ExcObj(HeapObj):
    """An exception of the program."""

    __slots__ = ("args", "cause", "cls", "frames", "line", "type_name")
    STATE = ("type_name", "args", "cls", "cause", "line", "frames")
    IS_CONTAINER = True

    def __init__(
        self,
        type_name: str,
        args: list[Value],
        cls: ClassObj | None = None,
        cause: Value | None = None,
        line: int = 0,
        frames: tuple[tuple[str, int], ...] = (),
    ) -> None:
        super().__init__()
        self.type_name = type_name
        """The built-in class, or the built-in base of `cls`."""
        self.args = args
        self.cls = cls
        """Of an exception class the program declares."""
        self.cause = cause
        self.line = line
        """Where it was raised first."""
        self.frames = frames
        """Function and line of each frame then, outermost first."""

    def held(self) -> Iterator[Value]:
        """Its arguments and cause."""
        yield from self.args
        if self.cause is not None:
            yield self.cause


class ModuleObj(HeapObj):
    """A module shim, by its name in `lib.registry.MODULES`."""

    __slots__ = ("name",)
    STATE = ("name",)

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name


class ToolObj(HeapObj):
    """A tool of the turn, by its name in the program."""

    __slots__ = ("name",)
    STATE = ("name",)

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name


class PatternObj(HeapObj):
    """A compiled regular expression, kept as its text; `lib` compiles and caches it."""

    __slots__ = ("flags", "pattern")
    STATE = ("pattern", "flags")

    def __init__(self, pattern: str, flags: int = 0) -> None:
        super().__init__()
        self.pattern = pattern
        self.flags = flags
        """As Python's `re` numbers them."""


class MatchObj(HeapObj):
    """A match of a regular expression, as plain positions."""

    __slots__ = ("names", "pattern", "spans", "text")
    STATE = ("text", "spans", "names", "pattern")

    def __init__(
        self,
        text: str,
        spans: tuple[tuple[int, int], ...],
        names: dict[str, int],
        pattern: PatternObj,
    ) -> None:
        super().__init__()
        self.text = text
        self.spans = spans
        """Start and end of the whole and of each group; (-1, -1): took no part."""
        self.names = names
        self.pattern = pattern


HEAP_CLASSES: tuple[type[HeapObj], ...] = (
    ListObj,
    TupleObj,
    DictObj,
    SetObj,
    RangeObj,
    ViewObj,
    IterObj,
    CellObj,
    FuncObj,
    GenObj,
    NativeObj,
    BoundObj,
    TypeObj,
    TypeExpr,
    ClassObj,
    InstanceObj,
    ExcObj,
    ModuleObj,
    ToolObj,
    PatternObj,
    MatchObj,
)
"""Every heap class; the position is its number in a dump, so only append."""


def deep(marks: MarkTable, value: Value, meter: "Meter | None" = None) -> Mark:
    """The mark of the value and of everything in it.

    Costs one step per 64 containers or elements it has to look at anew.
    """
    data = value.data
    if len(marks.marks) == 1 or not isinstance(data, HeapObj):
        return value.mark
    if not data.IS_CONTAINER:
        return marks.join(value.mark, data.mark)
    if data.deep_epoch != marks.epoch:
        return marks.join(value.mark, _walk(marks, data, meter))
    return marks.join(value.mark, data.deep_mark)


def _walk(marks: MarkTable, root: HeapObj, meter: "Meter | None") -> Mark:
    """Deep mark of a container, caching it for every container below it.

    Containers that hold themselves are not cached, nor is anything that holds them.
    """
    epoch, join = marks.epoch, marks.join
    looked_at = 0
    uncached: set[int] = set()
    open_: dict[int, Mark] = {id(root): root.mark}
    stack: list[tuple[HeapObj, Iterator[Value]]] = [(root, iter(root.held()))]
    total = NEUTRAL
    while stack:
        node, rest = stack[-1]
        mark = open_[id(node)]
        child: HeapObj | None = None
        for element in rest:
            looked_at += 1
            if element.mark is not mark:
                mark = join(mark, element.mark)
            data = element.data
            if not isinstance(data, HeapObj):
                continue
            if not data.IS_CONTAINER:
                mark = join(mark, data.mark)
            elif data.deep_epoch == epoch:
                mark = join(mark, data.deep_mark)
            elif id(data) in open_:
                uncached.add(id(node))
            else:
                child = data
                break
        open_[id(node)] = mark
        if child is not None:
            open_[id(child)] = child.mark
            stack.append((child, iter(child.held())))
            continue
        stack.pop()
        total = join(total, mark)
        if id(node) in uncached:
            if stack:
                uncached.add(id(stack[-1][0]))
        else:
            node.deep_mark, node.deep_epoch = mark, epoch
            del open_[id(node)]
        if stack:
            parent = id(stack[-1][0])
            open_[parent] = join(open_[parent], mark)
    if meter is not None and looked_at >= 64:
        meter.work(looked_at >> 6)
    return total


def taken(marks: MarkTable, container: Value, element: Value, index: Mark = NEUTRAL) -> Value:
    """An element as it leaves its container."""
    data = container.data
    own = data.mark if isinstance(data, HeapObj) else NEUTRAL
    if own is NEUTRAL and container.mark is NEUTRAL and index is NEUTRAL:
        return element
    join = marks.join
    mark = join(join(join(element.mark, own), container.mark), index)
    return element if mark is element.mark else Value(element.data, mark)


def added(marks: MarkTable, container: HeapObj, value: Value, control: Mark = NEUTRAL) -> None:
    """Must be called when `value` has been put into `container`."""
    if control is not NEUTRAL:
        touched(marks, container, control)
    if container.deep_epoch != marks.epoch:
        return
    if value.mark is NEUTRAL and not isinstance(value.data, HeapObj):
        return
    data = value.data
    if isinstance(data, HeapObj) and data.IS_CONTAINER and data.deep_epoch != marks.epoch:
        marks.epoch += 1
        return
    if marks.join(container.deep_mark, deep(marks, value)) is not container.deep_mark:
        marks.epoch += 1


def touched(marks: MarkTable, container: HeapObj, control: Mark = NEUTRAL) -> None:
    """Must be called when `container` has been changed in any other way.

    `control` (strict mode: what decided that the change happens) stays on the container.
    """
    if control is not NEUTRAL:
        container.mark = marks.join(container.mark, control)
    if container.deep_epoch == marks.epoch:
        marks.epoch += 1
