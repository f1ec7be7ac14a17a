"""Writing a machine down, and building it again, in this process or another.

A dump is msgpack of plain data: the marks, the graph of heap objects and frames (shared and
cyclic as it is), the variables, the counters, and the source of every program. Bytecode is not
stored: programs are compiled again, and a dump whose bytecode would come out differently is
refused, because an instruction number means nothing in other code.

What identifies a value is kept: two references to one list are so afterwards. Scalars have no
identity in the language.
"""

import datetime as dt
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import msgspec

from interlock.dual.errors import RunError
from interlock.dual.frames import Frame
from interlock.dual.marks import NEUTRAL, Mark
from interlock.dual.ops.compare import NamedKey
from interlock.dual.values import HEAP_CLASSES, HeapObj, Value
from interlock.kernel.errors import ErrorKind, InterlockError
from interlock.policy.model import Labels

__all__ = ["FORMAT", "Branching", "Decoder", "Encoder", "LabelPool", "StateError", "pack", "unpack"]

FORMAT = 2
"""Of the dump; another number is refused."""

_LIST, _TUPLE, _DICT, _VALUE, _REF, _BIG, _TEXT, _ZONED = range(8)
_DATE, _TIME, _SPAN, _ZONE, _ELLIPSIS, _FROZEN, _RANGE, _NAMED, _MARK, _MARKED = range(8, 18)

_CLASS_NUMBER = {cls: number for number, cls in enumerate(HEAP_CLASSES)}
_FRAME = -1
_FRAME_STATE = (
    "unit",
    "pc",
    "stack",
    "slots",
    "handlers",
    "handled",
    "controls",
    "control",
    "tries",
    "gathers",
    "gathered",
    "generator",
)
_INT64 = 1 << 63


class StateError(InterlockError):
    """Raised when a stored run cannot go on: damaged, or of another version."""

    kind: ClassVar = ErrorKind.CONFLICT
    code: ClassVar = "program_state"


@dataclass(frozen=True, slots=True, kw_only=True)
class Branching:
    """A branching policy as stored; satisfies `policy.branching.BranchRules`."""

    mode: str
    producers: frozenset[str]
    tags: frozenset[str]
    consumers: frozenset[str]


class Encoder:
    """Turns values, frames and plain Python structures into plain data."""

    def __init__(self) -> None:
        self.table: list[Any] = []
        """Heap objects and frames as plain data, by number."""
        self._numbers: dict[int, int] = {}
        self._queue: list[HeapObj | Frame] = []

    def encode(self, item: Any) -> Any:  # noqa: ANN401 - any structure of values
        """Plain data for anything a machine holds."""
        kind = type(item)
        if kind is Value:
            data = item.data
            if isinstance(data, HeapObj):
                data = self._ref(data)
                if item.mark is NEUTRAL:
                    return data
                return [_MARKED, data[1], item.mark.number]
            return [_VALUE, self.encode(data), item.mark.number]
        if kind is str:
            return item if item.isascii() else _text(item)
        if item is None or kind is bool or kind is float or kind is bytes:
            return item
        if kind is int:
            return item if -_INT64 <= item < _INT64 else [_BIG, hex(item)]
        if isinstance(item, HeapObj | Frame):
            # Not inside a `Value`: a cell, a class, the frame of a generator.
            return [_REF, self._ref(item)[1], 1]
        return self._structure(item)

    def _ref(self, item: HeapObj | Frame) -> list[int]:
        number = self._numbers.get(id(item))
        if number is None:
            number = len(self._numbers)
            self._numbers[id(item)] = number
            self._queue.append(item)
        return [_REF, number]

    def _structure(self, item: Any) -> Any:  # noqa: ANN401 - see `encode`
        match item:
            case list():
                return [_LIST, *[self.encode(part) for part in item]]
            case tuple():
                return [_TUPLE, *[self.encode(part) for part in item]]
            case dict():
                flat: list[Any] = [_DICT]
                for key, part in item.items():
                    flat += (self.encode(key), self.encode(part))
                return flat
            case Mark():
                return [_MARK, item.number]
            case frozenset():
                return [_FROZEN, *[self.encode(part) for part in sorted(item, key=repr)]]
            case range():
                parts = (item.start, item.stop, item.step)
                return [_RANGE, *[self.encode(part) for part in parts]]
            case NamedKey():
                return [_NAMED, item.kind, item.name]
        return _host_scalar(item)

    def finish(self) -> list[Any]:
        """The table of everything that was referred to."""
        while self._queue:
            batch, self._queue = self._queue, []
            for item in batch:
                self.table.append(self._object(item))
        return self.table

    def _object(self, item: HeapObj | Frame) -> list[Any]:
        if isinstance(item, Frame):
            state = [self.encode(getattr(item, name)) for name in _FRAME_STATE]
            return [_FRAME, item.code.index, *state]
        number = _CLASS_NUMBER[type(item)]
        state = [self.encode(getattr(item, name)) for name in item.STATE]
        return [number, item.mark.number, *state]


def _host_scalar(item: Any) -> Any:  # noqa: ANN401 - see `Encoder.encode`
    match item:
        case dt.datetime():
            return [_ZONED, item.isoformat(), item.fold]
        case dt.date():
            return [_DATE, item.isoformat()]
        case dt.time():
            return [_TIME, item.isoformat(), item.fold]
        case dt.timedelta():
            return [_SPAN, item.days, item.seconds, item.microseconds]
        case dt.timezone():
            offset = item.utcoffset(None)
            return [_ZONE, offset.days, offset.seconds, offset.microseconds, item.tzname(None)]
        case _ if item is Ellipsis:
            return [_ELLIPSIS]
    message = f"cannot store `{type(item).__name__}`"
    raise TypeError(message)


def _text(text: str) -> Any:  # noqa: ANN401 - plain data
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return [_TEXT, text.encode("utf-8", "surrogatepass")]
    return text


NewFrame = Callable[[int, int], Frame]


class Decoder:
    """Builds what an `Encoder` wrote down."""

    def __init__(self, table: Sequence[Any], marks: Sequence[Mark], new_frame: NewFrame) -> None:
        self.marks = marks
        self._table = table
        self._made: list[HeapObj | Frame] = []
        for row in table:
            if row[0] == _FRAME:
                self._made.append(new_frame(_unit_of(row), row[1]))
            else:
                cls = HEAP_CLASSES[row[0]]
                shell = cls.__new__(cls)
                HeapObj.__init__(shell)
                shell.mark = marks[row[1]]
                self._made.append(shell)
        for row, made in zip(table, self._made, strict=True):
            names = _FRAME_STATE if isinstance(made, Frame) else made.STATE
            for name, part in zip(names, row[2:], strict=True):
                setattr(made, name, self.decode(part))

    def decode(self, item: Any) -> Any:  # noqa: ANN401 - one branch per tag
        """The reverse of `Encoder.encode`."""
        if type(item) is not list:
            return item
        tag = item[0]
        if tag == _VALUE:
            return Value(self.decode(item[1]), self.marks[item[2]])
        if tag == _REF:
            made: Any = self._made[item[1]]
            return made if len(item) == 3 else Value(made)
        if tag == _MARKED:
            held: Any = self._made[item[1]]
            return Value(held, self.marks[item[2]])
        if tag == _LIST:
            return [self.decode(part) for part in item[1:]]
        if tag == _TUPLE:
            return tuple([self.decode(part) for part in item[1:]])
        if tag == _DICT:
            parts = [self.decode(part) for part in item[1:]]
            return dict(zip(parts[::2], parts[1::2], strict=True))
        return self._scalar(tag, item)

    def _scalar(self, tag: int, item: Sequence[Any]) -> Any:  # noqa: ANN401, PLR0911 - one branch per tag
        match tag:
            case 16:
                return self.marks[item[1]]
            case 5:
                return int(item[1], 16)
            case 6:
                return item[1].decode("utf-8", "surrogatepass")
            case 7:
                return dt.datetime.fromisoformat(item[1]).replace(fold=item[2])
            case 8:
                return dt.date.fromisoformat(item[1])
            case 9:
                return dt.time.fromisoformat(item[1]).replace(fold=item[2])
            case 10:
                return dt.timedelta(item[1], item[2], item[3])
            case 11:
                return _zone(dt.timedelta(item[1], item[2], item[3]), item[4])
            case 12:
                return Ellipsis
            case 13:
                members: list[Hashable] = [self.decode(part) for part in item[1:]]
                return frozenset(members)
            case 14:
                return range(*[self.decode(part) for part in item[1:]])
            case 15:
                return NamedKey(item[1], item[2])
        raise StateError("the stored run is damaged")


def _zone(offset: dt.timedelta, name: str) -> dt.timezone:
    plain = dt.timezone.utc if not offset else dt.timezone(offset)  # noqa: UP017 - the class is meant
    return plain if plain.tzname(None) == name else dt.timezone(offset, name)


def _unit_of(row: Sequence[Any]) -> int:
    unit = row[2]
    return unit if isinstance(unit, int) else 0


class LabelPool:
    """Labels by number: each is stored once, however many marks and requests have it."""

    def __init__(self) -> None:
        self.records: list[Any] = []
        self._numbers: dict[int, int] = {}

    def number(self, labels: Labels) -> int:
        """The number of labels of the machine's table, where equal ones are one object."""
        found = self._numbers.get(id(labels))
        if found is None:
            found = len(self.records)
            self._numbers[id(labels)] = found
            self.records.append(labels.to_record())
        return found

    def marks(self, marks: Sequence[Mark]) -> list[Any]:
        """The table of marks as plain data."""
        return [[self.number(mark.labels), sorted(mark.sources)] for mark in marks]


def error_to_data(error: RunError) -> list[Any]:
    """A failure as plain data."""
    frames = [list(frame) for frame in error.frames]
    return [
        error.kind,
        error.type_name,
        _text(error.message),
        error.line,
        frames,
        error.mark.number,
    ]


def pack(data: Any) -> bytes:  # noqa: ANN401 - plain data
    """Plain data as bytes."""
    return msgspec.msgpack.encode(data)


def unpack(data: bytes) -> Any:  # noqa: ANN401 - plain data
    """The reverse.

    Raises:
        StateError: damaged.
    """
    try:
        return msgspec.msgpack.decode(data)
    except (msgspec.DecodeError, ValueError) as error:
        raise StateError("the stored run is damaged") from error
