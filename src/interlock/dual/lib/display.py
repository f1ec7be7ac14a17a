"""Text of values: `str()`, `repr()`, `ascii()`, `format()`, as CPython writes them.

These look at data only; whoever calls joins the deep marks. What is printed is charged piece by
piece, so data that holds itself many times cannot outgrow the memory limit. Addresses, which
CPython shows for functions and iterators, are left out: a program cannot tell them anyway.
"""

import datetime as dt
from collections.abc import Callable, Iterable, Sequence

from interlock.dual.errors import Raise
from interlock.dual.lib.calendar_text import format_moment
from interlock.dual.lib.formats import FormatError, format_scalar, spec_width
from interlock.dual.native import Env
from interlock.dual.ops.types import enum_data, shown_type
from interlock.dual.values import (
    BoundObj,
    ClassObj,
    Data,
    DictObj,
    ExcObj,
    FuncObj,
    HeapObj,
    InstanceObj,
    ListObj,
    MatchObj,
    ModuleObj,
    NativeObj,
    PatternObj,
    RangeObj,
    SetObj,
    ToolObj,
    TupleObj,
    TypeExpr,
    TypeObj,
    Value,
    ViewObj,
)

__all__ = ["ascii_text", "convert", "format_text", "repr_text", "str_text"]

_FREE_CHARS = 32


def repr_text(env: Env, data: Data) -> str:
    """`repr(x)`.

    Raises:
        Raise: RecursionError, nested too deeply.
    """
    if not isinstance(data, HeapObj):
        return _scalar(env, data)
    return _Writer(env).text(data)


def str_text(env: Env, data: Data) -> str:
    """`str(x)`.

    Raises:
        Raise: RecursionError, nested too deeply.
    """
    match data:
        case str():
            return data
        case dt.date() | dt.time() | dt.timedelta() | dt.timezone():
            return str(data)
        case ExcObj():
            return _exception_text(env, data)
        case InstanceObj():
            return _instance_text(env, data)
    return repr_text(env, data)


def ascii_text(env: Env, data: Data) -> str:
    """`ascii(x)`."""
    text = repr_text(env, data)
    if text.isascii():
        return text
    env.meter.memory(len(text) * 10)
    return text.encode("ascii", "backslashreplace").decode("ascii")


def convert(env: Env, data: Data, conversion: str) -> str:
    """The text of a value by its conversion: `s`, `r` or `a`."""
    if conversion == "r":
        return repr_text(env, data)
    return ascii_text(env, data) if conversion == "a" else str_text(env, data)


def format_text(env: Env, data: Data, spec: str) -> str:
    """`format(x, spec)`.

    Raises:
        Raise: a bad spec, or one the type does not take.
        LimitExceeded: a width or precision beyond the limits.
    """
    data = enum_data(data)
    if not spec:
        return str_text(env, data)
    try:
        if isinstance(data, (str, int, float)):
            width = spec_width(spec)
            if width > _FREE_CHARS:
                env.meter.memory(4 * width)
            return format_scalar(data, spec)
        if isinstance(data, (dt.date, dt.time)):
            env.meter.memory(len(spec) * 16)
            return format_moment(data, spec)
    except FormatError as error:
        raise Raise(error.type_name, error.message) from None
    raise Raise("TypeError", f"unsupported format string passed to {shown_type(data)}.__format__")


def _scalar(env: Env, data: Data) -> str:
    if isinstance(data, (str, bytes)):
        if len(data) > _FREE_CHARS:
            env.meter.memory(len(data) * (2 if isinstance(data, str) and data.isascii() else 4))
            env.meter.work(len(data) >> 11)
        return repr(data)
    if data is ...:
        return "Ellipsis"
    return repr(data)


def _exception_text(env: Env, data: ExcObj) -> str:
    if not data.args:
        return ""
    if len(data.args) == 1:
        only = data.args[0].data
        is_key = data.type_name == "KeyError" and data.cls is None
        return repr_text(env, only) if is_key else str_text(env, only)
    return repr_text(env, TupleObj(tuple(data.args)))


def _instance_text(env: Env, data: InstanceObj) -> str:
    cls = data.cls
    if isinstance(cls, ClassObj) and cls.kind == "enum":
        name = data.fields["name"].data
        return f"{cls.name}.{name}"
    if isinstance(cls, ClassObj) and cls.kind == "model":
        writer = _Writer(env)
        return " ".join(f"{name}={writer.text(v.data)}" for name, v in data.fields.items())
    return repr_text(env, data)


class _Writer:
    """Writes nested data; knows what is open, so that data may hold itself."""

    def __init__(self, env: Env) -> None:
        self.env = env
        self.open: set[int] = set()

    def text(self, data: Data) -> str:
        """The text of `data`."""
        if not isinstance(data, HeapObj):
            return _scalar(self.env, data)
        write = _WRITERS.get(type(data))
        if write is None:
            return f"<{shown_type(data)} object>"
        if id(data) in self.open:
            return _AGAIN.get(type(data), "...")
        if len(self.open) >= self.env.limits.nesting:
            raise Raise(
                "RecursionError",
                "maximum recursion depth exceeded while getting the repr of an object",
            )
        self.open.add(id(data))
        try:
            return write(self, data)
        finally:
            self.open.discard(id(data))

    def items(self, values: Iterable[Value]) -> str:
        """The texts of some values, with commas between."""
        pieces = []
        for value in values:
            piece = self.text(value.data)
            self.charge(piece)
            pieces.append(piece)
        return ", ".join(pieces)

    def pairs(self, pairs: Iterable[tuple[Value, Value]]) -> str:
        """The entries of a dict."""
        pieces = []
        for key, item in pairs:
            piece = f"{self.text(key.data)}: {self.text(item.data)}"
            self.charge(piece)
            pieces.append(piece)
        return ", ".join(pieces)

    def named(self, fields: Iterable[tuple[str, Value]]) -> str:
        """Fields by name, as a call would give them."""
        pieces = []
        for name, value in fields:
            piece = f"{name}={self.text(value.data)}"
            self.charge(piece)
            pieces.append(piece)
        return ", ".join(pieces)

    def charge(self, piece: str) -> None:
        """Charges a piece before the next is made."""
        self.env.meter.memory(len(piece) + 2)
        self.env.meter.steps += 1
        if len(piece) > _FREE_CHARS or not self.env.meter.steps & 15:
            self.env.meter.work(len(piece) >> 11)


def _list(writer: _Writer, data: ListObj) -> str:
    inner = f"[{writer.items(data.items)}]"
    if data.kind == "list":
        return inner
    bound = "" if data.maxlen is None else f", maxlen={data.maxlen}"
    return f"deque({inner}{bound})"


def _tuple(writer: _Writer, data: TupleObj) -> str:
    if data.cls is not None:
        names = list(data.cls.fields)
        return f"{data.cls.name}({writer.named(zip(names, data.items, strict=False))})"
    if len(data.items) == 1:
        return f"({writer.items(data.items)},)"
    return f"({writer.items(data.items)})"


def _dict(writer: _Writer, data: DictObj) -> str:
    kind = data.kind.rpartition(".")[2]
    pairs: Sequence[tuple[Value, Value]] = list(data.entries.values())
    if kind == "Counter" and pairs:
        pairs = _most_common(pairs)
    inner = f"{{{writer.pairs(pairs)}}}" if pairs or kind in ("dict", "defaultdict") else ""
    if kind == "dict":
        return inner
    if kind == "defaultdict":
        factory = "None" if data.factory is None else writer.text(data.factory.data)
        return f"defaultdict({factory}, {inner})"
    return f"{kind}({inner})"


def _most_common(pairs: Sequence[tuple[Value, Value]]) -> Sequence[tuple[Value, Value]]:
    def count(pair: tuple[Value, Value]) -> float:
        number = pair[1].data
        if not isinstance(number, (int, float)):
            raise TypeError
        return number

    try:
        return sorted(pairs, key=count, reverse=True)
    except TypeError:
        return pairs


def _set(writer: _Writer, data: SetObj) -> str:
    inner = writer.items(data.entries.values())
    if data.frozen:
        return f"frozenset({{{inner}}})" if inner else "frozenset()"
    return f"{{{inner}}}" if inner else "set()"


def _view(writer: _Writer, data: ViewObj) -> str:
    source = data.source.data
    entries = list(source.entries.values()) if isinstance(source, DictObj) else []
    if data.kind == "dict_keys":
        return f"dict_keys([{writer.items(key for key, _ in entries)}])"
    if data.kind == "dict_values":
        return f"dict_values([{writer.items(item for _, item in entries)}])"
    pairs = (Value(TupleObj(entry)) for entry in entries)
    return f"dict_items([{writer.items(pairs)}])"


def _instance(writer: _Writer, data: InstanceObj) -> str:
    cls = data.cls
    if isinstance(cls, ClassObj) and cls.kind == "enum":
        value = writer.text(data.fields["value"].data)
        return f"<{cls.name}.{data.fields['name'].data}: {value}>"
    return f"{cls.name.rpartition('.')[2]}({writer.named(data.fields.items())})"


def _exception(writer: _Writer, data: ExcObj) -> str:
    name = data.cls.name if data.cls is not None else data.type_name
    return f"{name}({writer.items(data.args)})"


def _match(writer: _Writer, data: MatchObj) -> str:
    start, end = data.spans[0]
    found = _scalar(writer.env, data.text[start:end])
    return f"<re.Match object; span=({start}, {end}), match={found}>"


def _pattern(writer: _Writer, data: PatternObj) -> str:
    flags = [name for bit, name in _FLAG_NAMES if data.flags & bit]
    shown = "".join([", ", "|".join(flags)]) if flags else ""
    return f"re.compile({_scalar(writer.env, data.pattern)}{shown})"


_FLAG_NAMES = (
    (256, "re.ASCII"),
    (2, "re.IGNORECASE"),
    (8, "re.MULTILINE"),
    (16, "re.DOTALL"),
    (64, "re.VERBOSE"),
)


def _range(_: _Writer, data: RangeObj) -> str:
    return repr(data.span)


def _type(_: _Writer, data: TypeObj) -> str:
    return f"<class '{data.name}'>"


def _class(_: _Writer, data: ClassObj) -> str:
    kind = "enum" if data.kind == "enum" else "class"
    return f"<{kind} '{data.name}'>"


def _type_expr(writer: _Writer, data: TypeExpr) -> str:
    if not data.args:
        return data.origin
    args = ", ".join(
        arg.data.name.rpartition(".")[2]
        if isinstance(arg.data, TypeObj | ClassObj)
        else writer.text(arg.data)
        for arg in data.args
    )
    return f"{data.origin}[{args}]"


def _function(_: _Writer, data: FuncObj | ToolObj) -> str:
    return f"<function {data.name}>"


def _native(_: _Writer, data: NativeObj) -> str:
    return f"<built-in function {data.name.rpartition('.')[2]}>"


def _bound(writer: _Writer, data: BoundObj) -> str:
    name = getattr(data.function.data, "name", "method")
    return f"<bound method {str(name).rpartition('.')[2]}>"


def _module(_: _Writer, data: ModuleObj) -> str:
    return f"<module '{data.name}'>"


_AGAIN: dict[type, str] = {ListObj: "[...]", DictObj: "{...}", TupleObj: "(...)"}
_WRITERS: dict[type, Callable[..., str]] = {
    ListObj: _list,
    TupleObj: _tuple,
    DictObj: _dict,
    SetObj: _set,
    ViewObj: _view,
    RangeObj: _range,
    InstanceObj: _instance,
    ExcObj: _exception,
    MatchObj: _match,
    PatternObj: _pattern,
    TypeObj: _type,
    ClassObj: _class,
    TypeExpr: _type_expr,
    FuncObj: _function,
    ToolObj: _function,
    NativeObj: _native,
    BoundObj: _bound,
    ModuleObj: _module,
}
