"""Validating data against annotations, as pydantic does in its lax mode.

What goes in decides what comes out: every value made keeps the marks of the value it was made
from, and a model's fields those of what was given for them.
"""

import datetime as dt
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

from interlock.dual.errors import Raise
from interlock.dual.native import Env
from interlock.dual.ops.compare import equal, key_of, ordered
from interlock.dual.ops.iterate import iterate
from interlock.dual.ops.types import enum_data, shown_type
from interlock.dual.values import (
    ClassObj,
    Data,
    DictObj,
    HeapObj,
    InstanceObj,
    ListObj,
    SetObj,
    TupleObj,
    TypeExpr,
    TypeObj,
    Value,
    taken,
)

__all__ = [
    "FIELD",
    "Validator",
    "constraints",
    "field_default",
    "field_factory",
    "is_required",
]

FIELD = "pydantic.FieldInfo"
"""Type name of what `Field(...)` makes: an instance whose fields are its keywords."""

_MISSING = frozenset({"default", "default_factory"})
_TRUE_WORDS = frozenset({"1", "true", "t", "yes", "y", "on"})
_FALSE_WORDS = frozenset({"0", "false", "f", "no", "n", "off"})
_ALIASES = {
    "List": "list",
    "Dict": "dict",
    "Tuple": "tuple",
    "Set": "set",
    "FrozenSet": "frozenset",
}


def constraints(default: Value | None) -> Mapping[str, Value]:
    """The keywords of a `Field(...)` given as default; nothing for a plain default."""
    if default is not None and isinstance(default.data, InstanceObj):
        cls = default.data.cls
        if isinstance(cls, TypeObj) and cls.name == FIELD:
            return default.data.fields
    return {}


def _is_field(default: Value) -> bool:
    data = default.data
    if not isinstance(data, InstanceObj) or not isinstance(data.cls, TypeObj):
        return False
    return data.cls.name == FIELD


def is_required(default: Value | None) -> bool:
    """Whether a field must be given."""
    return field_default(default) is None and field_factory(default) is None


def field_default(default: Value | None) -> Value | None:
    """The default of a field, None for a field that must be given (or is made)."""
    if default is None or default.data is Ellipsis:
        return None
    if not _is_field(default):
        return default
    found = constraints(default).get("default")
    return None if found is None or found.data is Ellipsis else found


def field_factory(default: Value | None) -> Value | None:
    """What makes the default of a field."""
    found = constraints(default).get("default_factory")
    return None if found is None or found.data is None else found


@dataclass(slots=True)
class _Problem:
    """One thing that is wrong with the input."""

    where: tuple[str, ...]
    message: str
    kind: str
    value: Value


class _Invalid(Exception):  # noqa: N818 - carries problems to the nearest union or model
    def __init__(self, problems: list[_Problem]) -> None:
        super().__init__()
        self.problems = problems


class Validator:
    """Validates one input; depth is bounded by `Limits.nesting`."""

    def __init__(self, env: Env) -> None:
        self.env = env
        self.depth = 0
        self.current: Value | None = None
        """The class being filled: what its own name in an annotation, still a string, means."""

    def model(self, cls: Value, given: Mapping[str, Value]) -> Value:
        """An instance of a model.

        Raises:
            Raise: `ValidationError`, naming every field that is wrong.
        """
        data = cls.data
        assert isinstance(data, ClassObj)  # noqa: S101 - the caller checked
        try:
            return self._model(cls, data, given)
        except _Invalid as invalid:
            raise self._error(data.name, invalid.problems) from None

    def check(self, annotation: Value, value: Value, title: str) -> Value:
        """The value as the annotation wants it.

        Raises:
            Raise: `ValidationError`.
        """
        try:
            return self._value(annotation, value)
        except _Invalid as invalid:
            raise self._error(title, invalid.problems) from None

    def _error(self, title: str, problems: list[_Problem]) -> Raise:
        plural = "" if len(problems) == 1 else "s"
        lines = [f"{len(problems)} validation error{plural} for {title}"]
        mark = self.env.marks.join_all(self.env.deep(p.value) for p in problems)
        for problem in problems:
            if problem.where:
                lines.append(".".join(problem.where))
            shown = self.env.natives["repr"].fn(self.env, (problem.value,), {}).data
            text = str(shown)
            if len(text) > 50:
                text = f"{text[:25]}...{text[-24:]}"
            lines.append(
                f"  {problem.message} [type={problem.kind}, input_value={text},"
                f" input_type={shown_type(problem.value.data)}]"
            )
        return Raise("ValidationError", "\n".join(lines), mark)

    def _model(self, cls: Value, data: ClassObj, given: Mapping[str, Value]) -> Value:
        problems: list[_Problem] = []
        fields: dict[str, Value] = {}
        outer, self.current = self.current, cls
        for name, (annotation, default) in data.fields.items():
            keywords = constraints(default)
            alias = keywords.get("alias")
            key = str(alias.data) if alias is not None and alias.data is not None else name
            found = given.get(key, given.get(name))
            if found is None:
                found = self._missing(name, default, given, problems)
                if found is not None:
                    fields[name] = found
                continue
            try:
                made = self._value(annotation, found)
                self._constrain(made, keywords, found)
                fields[name] = made
            except _Invalid as invalid:
                problems += [
                    _Problem((key, *p.where), p.message, p.kind, p.value) for p in invalid.problems
                ]
        self.current = outer
        if problems:
            raise _Invalid(problems)
        made_instance = InstanceObj(data, fields)
        return Value(made_instance, cls.mark)

    def _missing(
        self,
        name: str,
        default: Value | None,
        given: Mapping[str, Value],
        problems: list[_Problem],
    ) -> Value | None:
        found = field_default(default)
        if found is not None:
            return self._copied(found)
        factory = field_factory(default)
        if factory is not None and isinstance(factory.data, TypeObj):
            native = self.env.natives.get(factory.data.name)
            if native is not None:
                return native.fn(self.env, (), {})
        entries: dict[Hashable, tuple[Value, Value]] = {
            key: (Value(key), value) for key, value in given.items()
        }
        problems.append(_Problem((name,), "Field required", "missing", Value(DictObj(entries))))
        return None

    def _copied(self, value: Value) -> Value:
        """A default is copied, as pydantic does, so that instances share nothing."""
        self.env.meter.work(1)
        data = value.data
        match data:
            case ListObj():
                return Value(ListObj([self._copied(v) for v in data.items], data.kind), value.mark)
            case DictObj():
                entries = {
                    key: (name, self._copied(item)) for key, (name, item) in data.entries.items()
                }
                return Value(DictObj(entries), value.mark)
            case SetObj():
                return Value(SetObj(dict(data.entries), data.frozen), value.mark)
        return value

    def _fail(self, message: str, kind: str, value: Value) -> _Invalid:
        return _Invalid([_Problem((), message, kind, value)])

    def _value(self, annotation: Value, value: Value) -> Value:
        self.depth += 1
        if self.depth > self.env.limits.nesting:
            raise Raise("RecursionError", "maximum recursion depth exceeded")
        self.env.meter.work(1)
        try:
            wanted = annotation.data
            match wanted:
                case None:
                    if value.data is None:
                        return value
                    raise self._fail("Input should be None", "none_required", value)
                case TypeObj():
                    return self._typed(wanted.name, (), value)
                case ClassObj():
                    return self._of_class(annotation, wanted, value)
                case TypeExpr():
                    return self._expression(wanted, value)
                case str() if self.current is not None:
                    own = self.current.data
                    if isinstance(own, ClassObj) and own.name == wanted:
                        return self._of_class(self.current, own, value)
            return value
        finally:
            self.depth -= 1

    def _of_class(self, annotation: Value, cls: ClassObj, value: Value) -> Value:
        data = value.data
        if isinstance(data, InstanceObj) and data.cls is cls:
            return value
        if cls.kind == "enum":
            found = self.member(annotation, cls, value)
            if found is None:
                raise self._fail(
                    f"Input should be {self._choices(list(cls.members.values()))}", "enum", value
                )
            return found
        if cls.kind in {"model", "dataclass"} and isinstance(data, DictObj):
            given = {
                str(key.data): taken(self.env.marks, value, item, self.env.deep(key))
                for key, item in data.entries.values()
            }
            made = self._model(annotation, cls, given)
            if isinstance(made.data, HeapObj):
                made.data.mark = self.env.marks.join(value.mark, data.mark)
            return made
        raise self._fail(
            f"Input should be a valid dictionary or instance of {cls.name}", "model_type", value
        )

    def member(self, annotation: Value, cls: ClassObj, value: Value) -> Value | None:
        """The member of an enum with that value."""
        data = value.data
        if isinstance(data, InstanceObj) and data.cls is cls:
            return value
        for member in cls.members.values():
            instance = member.data
            if isinstance(instance, InstanceObj) and equal(
                self.env, instance.fields["value"].data, data
            ):
                join = self.env.marks.join
                mark = join(join(member.mark, annotation.mark), self.env.deep(value))
                return Value(instance, mark)
        return None

    def _choices(self, members: list[Value]) -> str:
        texts = []
        for member in members:
            data = member.data
            inner = data.fields["value"] if isinstance(data, InstanceObj) else member
            texts.append(str(self.env.natives["repr"].fn(self.env, (inner,), {}).data))
        if len(texts) > 1:
            return f"{', '.join(texts[:-1])} or {texts[-1]}"
        return "".join(texts)

    def _expression(self, wanted: TypeExpr, value: Value) -> Value:
        origin = _ALIASES.get(wanted.origin, wanted.origin)
        args = wanted.args
        match origin:
            case "Any" | "object":
                return value
            case "Optional":
                if value.data is None:
                    return value
                return self._value(args[0], value) if args else value
            case "Union":
                return self._union(args, value)
            case "Literal":
                for choice in args:
                    if equal(self.env, choice.data, value.data) and type(choice.data) is type(
                        value.data
                    ):
                        return value
                raise self._fail(
                    f"Input should be {self._choices(list(args))}", "literal_error", value
                )
            case "Annotated":
                made = self._value(args[0], value)
                for extra in args[1:]:
                    self._constrain(made, constraints(extra), value)
                return made
            case "Final" | "Required" | "NotRequired" | "Type" | "ClassVar":
                return self._value(args[0], value) if args else value
            case "Sequence" | "Iterable":
                return self._typed("list", args, value)
            case "Mapping" | "MutableMapping":
                return self._typed("dict", args, value)
        return self._typed(origin, args, value)

    def _union(self, args: tuple[Value, ...], value: Value) -> Value:
        """The first member that the value is of exactly, else the first it can be made of."""
        for part in args:
            if self._is_exactly(part.data, value.data):
                try:
                    return self._value(part, value)
                except _Invalid:
                    continue
        problems: list[_Problem] = []
        for part in args:
            try:
                return self._value(part, value)
            except _Invalid as invalid:
                label = self._label(part)
                problems += [
                    _Problem((label, *p.where), p.message, p.kind, p.value)
                    for p in invalid.problems
                ]
        raise _Invalid(problems)

    def _label(self, part: Value) -> str:
        data = part.data
        if isinstance(data, TypeObj | ClassObj):
            return data.name
        return data.origin if isinstance(data, TypeExpr) else "none"

    def _is_exactly(self, wanted: Data, data: Data) -> bool:
        if wanted is None:
            return data is None
        if isinstance(wanted, TypeObj):
            return shown_type(data) == wanted.name
        if isinstance(wanted, ClassObj):
            return isinstance(data, InstanceObj) and data.cls is wanted
        if isinstance(wanted, TypeExpr):
            return shown_type(data) == _ALIASES.get(wanted.origin, wanted.origin)
        return False

    def _typed(self, name: str, args: tuple[Value, ...], value: Value) -> Value:
        convert = _SCALARS.get(name)
        data = enum_data(value.data)
        if convert is not None:
            made = convert(data)
            if isinstance(made, _No):
                raise self._fail(made.message, made.kind, value)
            return value if made is value.data else Value(made, self.env.deep(value))
        match name:
            case "list" | "set" | "frozenset":
                return self._collection(name, args, value)
            case "tuple":
                return self._tuple(args, value)
            case "dict":
                return self._dict(args, value)
        if shown_type(value.data) == name.rpartition(".")[2]:
            return value
        raise self._fail(f"Input should be an instance of {name}", "is_instance_of", value)

    def _elements(self, name: str, value: Value) -> list[Value]:
        data = value.data
        allowed = ListObj | TupleObj | SetObj
        if not isinstance(data, allowed) or (name == "list" and isinstance(data, str)):
            raise self._fail(f"Input should be a valid {name}", f"{name}_type", value)
        elements = list(iterate(self.env, value))
        self.env.meter.elements(len(elements))
        return elements

    def _each(self, annotation: Value | None, elements: list[Value]) -> list[Value]:
        if annotation is None:
            return elements
        made, problems = [], []
        for position, element in enumerate(elements):
            try:
                made.append(self._value(annotation, element))
            except _Invalid as invalid:
                problems += [
                    _Problem((str(position), *p.where), p.message, p.kind, p.value)
                    for p in invalid.problems
                ]
        if problems:
            raise _Invalid(problems)
        return made

    def _shaped(self, made: HeapObj, value: Value) -> Value:
        """A container made from another keeps what that one's shape derives from."""
        if isinstance(value.data, HeapObj):
            made.mark = value.data.mark
        return Value(made, value.mark)

    def _collection(self, name: str, args: tuple[Value, ...], value: Value) -> Value:
        elements = self._each(args[0] if args else None, self._elements(name, value))
        if name == "list":
            return self._shaped(ListObj(elements), value)
        entries = {key_of(self.env, element): element for element in elements}
        made = self._shaped(SetObj(entries, name == "frozenset"), value)
        if len(entries) < len(elements):
            return Value(made.data, self.env.deep(value))
        return made

    def _tuple(self, args: tuple[Value, ...], value: Value) -> Value:
        elements = self._elements("tuple", value)
        if len(args) == 2 and args[1].data is Ellipsis:
            return self._shaped(TupleObj(tuple(self._each(args[0], elements))), value)
        if args and len(args) != len(elements):
            raise self._fail(
                f"Tuple should have {len(args)} items, not {len(elements)}", "tuple_length", value
            )
        if args:
            elements = [self._value(a, e) for a, e in zip(args, elements, strict=True)]
        return self._shaped(TupleObj(tuple(elements)), value)

    def _dict(self, args: tuple[Value, ...], value: Value) -> Value:
        data = value.data
        if not isinstance(data, DictObj):
            raise self._fail("Input should be a valid dictionary", "dict_type", value)
        self.env.meter.elements(2 * len(data.entries))
        entries: dict[Hashable, tuple[Value, Value]] = {}
        problems: list[_Problem] = []
        for key, item in data.entries.values():
            name = taken(self.env.marks, value, key)
            made = taken(self.env.marks, value, item)
            if args:
                try:
                    name, made = self._value(args[0], name), self._value(args[-1], made)
                except _Invalid as invalid:
                    problems += [
                        _Problem((str(key.data), *p.where), p.message, p.kind, p.value)
                        for p in invalid.problems
                    ]
                    continue
            entries[key_of(self.env, name)] = (name, made)
        if problems:
            raise _Invalid(problems)
        return self._shaped(DictObj(entries), value)

    def _constrain(self, made: Value, keywords: Mapping[str, Value], given: Value) -> None:
        """Checks the bounds of a `Field(...)`; a missing value has none."""
        if made.data is None:
            return
        for name, symbol, words in _BOUNDS:
            bound = keywords.get(name)
            if bound is None or bound.data is None:
                continue
            if not ordered(self.env, symbol, made.data, bound.data):
                raise self._fail(
                    f"Input should be {words} {_shown(bound)}", _BOUND_KINDS[name], given
                )
        self._lengths(made, keywords, given)
        step = keywords.get("multiple_of")
        if step is not None and isinstance(made.data, int | float):
            factor = step.data
            if isinstance(factor, int | float) and factor and made.data % factor:
                raise self._fail(f"Input should be a multiple of {factor}", "multiple_of", given)
        pattern = keywords.get("pattern")
        if pattern is not None and isinstance(made.data, str) and pattern.data is not None:
            native = self.env.natives["re.search"]
            if native.fn(self.env, (pattern, made), {}).data is None:
                raise self._fail(
                    f"String should match pattern '{_shown(pattern)}'",
                    "string_pattern_mismatch",
                    given,
                )

    def _lengths(self, made: Value, keywords: Mapping[str, Value], given: Value) -> None:
        data = made.data
        match data:
            case str():
                size, what = len(data), "characters"
            case ListObj() | TupleObj():
                size, what = len(data.items), "items"
            case DictObj() | SetObj():
                size, what = len(data.entries), "items"
            case _:
                return
        least, most = keywords.get("min_length"), keywords.get("max_length")
        if least is not None and isinstance(least.data, int) and size < least.data:
            raise self._fail(
                f"Value should have at least {least.data} {what}, not {size}", "too_short", given
            )
        if most is not None and isinstance(most.data, int) and size > most.data:
            raise self._fail(
                f"Value should have at most {most.data} {what}, not {size}", "too_long", given
            )


def _shown(value: Value) -> str:
    return str(value.data)


_BOUNDS = (
    ("gt", ">", "greater than"),
    ("ge", ">=", "greater than or equal to"),
    ("lt", "<", "less than"),
    ("le", "<=", "less than or equal to"),
)
_BOUND_KINDS = {
    "gt": "greater_than",
    "ge": "greater_than_equal",
    "lt": "less_than",
    "le": "less_than_equal",
}


@dataclass(slots=True)
class _No:
    """Why a scalar cannot be made of the input."""

    message: str
    kind: str


def _int(data: Data) -> Data | _No:
    if isinstance(data, bool):
        return int(data)
    if isinstance(data, int):
        return data
    if isinstance(data, float):
        if data.is_integer():
            return int(data)
        return _No(
            "Input should be a valid integer, got a number with a fractional part",
            "int_from_float",
        )
    if isinstance(data, str):
        text = data.strip()
        if len(text) <= 1000:
            try:
                return int(text)
            except ValueError:
                pass
        return _No(
            "Input should be a valid integer, unable to parse string as an integer",
            "int_parsing",
        )
    return _No("Input should be a valid integer", "int_type")


def _float(data: Data) -> Data | _No:
    if isinstance(data, float):
        return data
    if isinstance(data, int):
        try:
            return float(data)
        except OverflowError:
            return _No("Input should be a valid number", "float_type")
    if isinstance(data, str) and len(data) <= 1000:
        try:
            return float(data)
        except ValueError:
            return _No(
                "Input should be a valid number, unable to parse string as a number",
                "float_parsing",
            )
    return _No("Input should be a valid number", "float_type")


def _str(data: Data) -> Data | _No:
    return data if isinstance(data, str) else _No("Input should be a valid string", "string_type")


def _bool(data: Data) -> Data | _No:
    if isinstance(data, bool):
        return data
    if isinstance(data, int | float) and data in {0, 1}:
        return bool(data)
    if isinstance(data, str) and data.lower() in _TRUE_WORDS | _FALSE_WORDS:
        return data.lower() in _TRUE_WORDS
    return _No("Input should be a valid boolean", "bool_type")


def _bytes(data: Data) -> Data | _No:
    if isinstance(data, bytes):
        return data
    if isinstance(data, str):
        return data.encode("utf-8", "surrogatepass")
    return _No("Input should be a valid bytes", "bytes_type")


def _instant(data: Data) -> Data | _No:
    if isinstance(data, dt.datetime):
        return data
    try:
        if isinstance(data, str):
            return dt.datetime.fromisoformat(data)
        if isinstance(data, int | float) and not isinstance(data, bool):
            return dt.datetime.fromtimestamp(data, dt.UTC)
    except (ValueError, OverflowError, OSError):
        return _No("Input should be a valid datetime", "datetime_parsing")
    return _No("Input should be a valid datetime", "datetime_type")


def _date(data: Data) -> Data | _No:
    if isinstance(data, dt.datetime):
        return data.date()
    if isinstance(data, dt.date):
        return data
    if isinstance(data, str):
        try:
            return dt.date.fromisoformat(data)
        except ValueError:
            return _No("Input should be a valid date", "date_parsing")
    return _No("Input should be a valid date", "date_type")


def _time(data: Data) -> Data | _No:
    if isinstance(data, dt.time):
        return data
    if isinstance(data, str):
        try:
            return dt.time.fromisoformat(data)
        except ValueError:
            return _No("Input should be in a valid time format", "time_parsing")
    return _No("Input should be a valid time", "time_type")


def _span(data: Data) -> Data | _No:
    if isinstance(data, dt.timedelta):
        return data
    if isinstance(data, int | float) and not isinstance(data, bool):
        try:
            return dt.timedelta(seconds=data)
        except (OverflowError, ValueError):
            return _No("Input should be a valid timedelta", "time_delta_parsing")
    return _No("Input should be a valid timedelta", "time_delta_type")


_SCALARS: Mapping[str, Any] = {
    "int": _int,
    "float": _float,
    "str": _str,
    "bool": _bool,
    "bytes": _bytes,
    "datetime.datetime": _instant,
    "datetime.date": _date,
    "datetime.time": _time,
    "datetime.timedelta": _span,
    "object": lambda data: data,
}
