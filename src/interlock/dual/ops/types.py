"""What type a value has, by the names programs and the registry use."""

from collections.abc import Mapping

from interlock.dual.values import (
    SCALARS,
    ClassObj,
    Data,
    DictObj,
    ExcObj,
    HeapObj,
    InstanceObj,
    IterObj,
    ListObj,
    RangeObj,
    SetObj,
    TupleObj,
    TypeObj,
    ViewObj,
)

__all__ = [
    "EXCEPTIONS",
    "display_name",
    "enum_data",
    "is_exception",
    "shown_type",
    "truth",
    "type_name",
]

EXCEPTIONS: Mapping[str, str] = {
    "BaseException": "",
    "Exception": "BaseException",
    "ArithmeticError": "Exception",
    "AssertionError": "Exception",
    "AttributeError": "Exception",
    "EOFError": "Exception",
    "FloatingPointError": "ArithmeticError",
    "ImportError": "Exception",
    "IndexError": "LookupError",
    "JSONDecodeError": "ValueError",
    "KeyError": "LookupError",
    "LookupError": "Exception",
    "MemoryError": "Exception",
    "ModuleNotFoundError": "ImportError",
    "NameError": "Exception",
    "NotImplemented" + "Error": "RuntimeError",
    "OSError": "Exception",
    "OverflowError": "ArithmeticError",
    "PatternError": "Exception",
    "PermissionError": "OSError",
    "RecursionError": "RuntimeError",
    "RuntimeError": "Exception",
    "StatisticsError": "ValueError",
    "StopIteration": "Exception",
    "TimeoutError": "OSError",
    "TypeError": "Exception",
    "UnboundLocalError": "NameError",
    "UnicodeDecodeError": "UnicodeError",
    "UnicodeEncodeError": "UnicodeError",
    "UnicodeError": "ValueError",
    "ValidationError": "ValueError",
    "ValueError": "Exception",
    "ZeroDivisionError": "ArithmeticError",
    "ToolError": "RuntimeError",
}
"""Built-in exception classes and their base. `PatternError` is `re.error`, `ToolError` what a
failed tool raises when it names no class of its own."""

_SCALAR_NAMES = {
    "NoneType": "NoneType",
    "datetime": "datetime.datetime",
    "date": "datetime.date",
    "time": "datetime.time",
    "timedelta": "datetime.timedelta",
    "timezone": "datetime.timezone",
}
_HEAP_NAMES = {
    "TupleObj": "tuple",
    "RangeObj": "range",
    "CellObj": "cell",
    "FuncObj": "function",
    "GenObj": "generator",
    "NativeObj": "builtin_function_or_method",
    "BoundObj": "method",
    "TypeObj": "type",
    "TypeExpr": "typing",
    "ClassObj": "type",
    "ModuleObj": "module",
    "ToolObj": "function",
    "PatternObj": "re.Pattern",
    "MatchObj": "re.Match",
}


def type_name(data: Data) -> str:
    """The registry's name of the type: `str`, `datetime.date`, `collections.Counter`.

    Of an instance of a class of the program, that class's name.
    """
    if type(data) in SCALARS:
        name = type(data).__name__
        return _SCALAR_NAMES.get(name, name)
    match data:
        case ListObj() | DictObj() | ViewObj() | IterObj():
            return data.kind
        case SetObj():
            return "frozenset" if data.frozen else "set"
        case TupleObj() | InstanceObj() if data.cls is not None:
            return data.cls.name
        case ExcObj():
            return data.type_name if data.cls is None else data.cls.name
    return _HEAP_NAMES[type(data).__name__]


def shown_type(data: Data) -> str:
    """The type's name as messages of exceptions show it, like `type(x).__name__`."""
    return display_name(type_name(data))


def display_name(name: str) -> str:
    """The last part of a dotted name."""
    return name.rpartition(".")[2]


def is_exception(name: str, base: str) -> bool:
    """Whether the built-in exception `name` is `base` or derives from it."""
    while name:
        if name == base:
            return True
        name = EXCEPTIONS.get(name, "")
    return False


def enum_data(data: Data) -> Data:
    """The value behind a member of an enum that extends `str` or `int`; else the data itself."""
    if isinstance(data, InstanceObj):
        cls = data.cls
        if isinstance(cls, ClassObj) and cls.kind == "enum" and isinstance(cls.base, TypeObj):
            return data.fields["value"].data
    return data


def truth(data: Data) -> bool:
    """`bool(x)`."""
    if not isinstance(data, HeapObj):
        return bool(data)
    match data:
        case ListObj() | TupleObj():
            return bool(data.items)
        case DictObj() | SetObj():
            return bool(data.entries)
        case RangeObj():
            return bool(data.span)
        case ViewObj():
            source = data.source.data
            return isinstance(source, DictObj) and bool(source.entries)
        case InstanceObj():
            inner = enum_data(data)
            return True if inner is data else bool(inner)
    return True
