"""Natives of models, dataclasses and enums: `Field`, `model_validate`, `model_dump`, `asdict`."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from interlock.dual.errors import Raise
from interlock.dual.marks import NEUTRAL
from interlock.dual.native import Env, Native
from interlock.dual.ops.json_schema import schema_of_class
from interlock.dual.ops.types import shown_type
from interlock.dual.ops.validation import FIELD, Validator
from interlock.dual.plain import json_data, lift, plain
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

__all__ = ["NATIVES"]

Args = Sequence[Value]
Words = Mapping[str, Value]

_FIELD_WORDS = frozenset(
    {
        "alias",
        "default",
        "default_factory",
        "description",
        "examples",
        "ge",
        "gt",
        "le",
        "lt",
        "max_length",
        "min_length",
        "multiple_of",
        "pattern",
        "title",
    }
)
_DUMP_WORDS = frozenset({"mode", "exclude_none", "include", "exclude", "indent", "by_alias"})


def _field(env: Env, args: Args, words: Words) -> Value:
    """`Field(default, ...)`, `dataclasses.field(...)`: a record that class declarations read."""
    given = dict(words)
    if len(args) > 1:
        raise Raise("TypeError", "Field() takes at most 1 positional argument")
    if args:
        given["default"] = args[0]
    unknown = sorted(given.keys() - _FIELD_WORDS)
    if unknown:
        raise Raise("TypeError", f"Field() got an unexpected keyword argument '{unknown[0]}'")
    return Value(InstanceObj(TypeObj(FIELD), given))


def _auto(env: Env, args: Args, words: Words) -> Value:
    """The next value of an enum."""
    return Value(TypeExpr("auto"))


def _only(name: str, args: Args, words: Words, allowed: frozenset[str], most: int = 1) -> None:
    if len(args) > most:
        raise Raise("TypeError", f"{name}() takes {most} arguments but {len(args)} were given")
    unknown = sorted(words.keys() - allowed)
    if unknown:
        raise Raise("TypeError", f"{name}() got an unexpected keyword argument '{unknown[0]}'")


def _validate(env: Env, args: Args, words: Words) -> Value:
    """`Model.model_validate(data)`; only what was given for a field marks it."""
    _only("model_validate", args, words, frozenset({"obj"}), 2)
    cls = args[0]
    data = words.get("obj") or (args[1] if len(args) > 1 else None)
    if data is None:
        raise Raise("TypeError", "model_validate() missing 1 required argument: 'obj'")
    return Validator(env).check(cls, data, _name(cls))


def _validate_json(env: Env, args: Args, words: Words) -> Value:
    """A model from JSON text."""
    _only("model_validate_json", args, words, frozenset({"json_data"}), 2)
    cls = args[0]
    text = words.get("json_data") or (args[1] if len(args) > 1 else None)
    if text is None or not isinstance(text.data, str):
        raise Raise("TypeError", "model_validate_json() needs a string")
    parsed = env.natives["json.loads"].fn(env, (text,), {})
    mark = env.marks.join(parsed.mark, text.mark)
    return Validator(env).check(cls, lift(plain(parsed, env.meter)[0], mark, env.meter), _name(cls))


def _name(cls: Value) -> str:
    return cls.data.name if isinstance(cls.data, ClassObj) else shown_type(cls.data)


def _schema(env: Env, args: Args, words: Words) -> Value:
    """The JSON schema of a model."""
    cls = args[0].data
    if not isinstance(cls, ClassObj):
        raise Raise("TypeError", "model_json_schema() needs a model")
    return lift(schema_of_class(cls), NEUTRAL, env.meter)


def _dump(env: Env, args: Args, words: Words) -> Value:
    """`model.model_dump(...)`: a dict of the fields, nested models as dicts."""
    _only("model_dump", args, words, _DUMP_WORDS)
    instance = args[0]
    mode = words.get("mode")
    if mode is not None and mode.data == "json":
        made = lift(plain(_dict(env, instance, words), env.meter)[0], NEUTRAL, env.meter)
        return Value(made.data, env.deep(instance))
    return _dict(env, instance, words)


def _dict(env: Env, instance: Value, words: Words) -> Value:
    without_none = words.get("exclude_none")
    drop_none = without_none is not None and bool(without_none.data)
    include, exclude = _names(words.get("include")), _names(words.get("exclude"))
    data = instance.data
    assert isinstance(data, InstanceObj)  # noqa: S101 - a method of instances
    made = DictObj({})
    made.mark = data.mark
    for name, field in data.fields.items():
        if (drop_none and field.data is None) or name in exclude:
            if field.data is None:
                made.mark = env.marks.join(made.mark, field.mark)
            continue
        if include and name not in include:
            continue
        made.entries[name] = (Value(name), _dumped(env, field, drop_none, 0))
    env.meter.elements(2 * len(made.entries) + 1)
    return Value(made, instance.mark)


def _names(value: Value | None) -> set[Any]:
    if value is None or not isinstance(value.data, ListObj | TupleObj | SetObj):
        return set()
    return {item.data for item in value.data.held() if isinstance(item.data, str)}


def _dumped(env: Env, value: Value, drop_none: bool, depth: int) -> Value:
    if depth > env.limits.nesting:
        raise Raise("RecursionError", "maximum recursion depth exceeded")
    env.meter.work(1)
    data = value.data
    made: Data = data
    match data:
        case InstanceObj() if isinstance(data.cls, ClassObj) and data.cls.kind != "enum":
            fields = DictObj({})
            for name, field in data.fields.items():
                if drop_none and field.data is None:
                    fields.mark = env.marks.join(fields.mark, field.mark)
                else:
                    fields.entries[name] = (
                        Value(name),
                        _dumped(env, field, drop_none, depth + 1),
                    )
            made = fields
        case ListObj():
            made = ListObj([_dumped(env, v, drop_none, depth + 1) for v in data.items])
        case TupleObj():
            made = TupleObj(tuple([_dumped(env, v, drop_none, depth + 1) for v in data.items]))
        case DictObj():
            made = DictObj(
                {
                    key: (name, _dumped(env, item, drop_none, depth + 1))
                    for key, (name, item) in data.entries.items()
                }
            )
    if made is data:
        return value
    if isinstance(made, HeapObj) and isinstance(data, HeapObj):
        made.mark = env.marks.join(made.mark, data.mark)
    env.meter.elements(2)
    return Value(made, value.mark)


def _dump_json(env: Env, args: Args, words: Words) -> Value:
    """The JSON text of a model."""
    _only("model_dump_json", args, words, _DUMP_WORDS)
    indent = words.get("indent")
    width = indent.data if indent is not None and isinstance(indent.data, int) else None
    if width is not None and not 0 <= width <= 16:
        raise Raise("ValueError", "indent is out of range")
    data = json_data(_dict(env, args[0], words), env.meter)
    separators = (",", ":") if width is None else None
    text = json.dumps(data, ensure_ascii=False, indent=width, separators=separators)
    env.meter.memory(len(text))
    return Value(text, env.deep(args[0]))


def _copy(env: Env, args: Args, words: Words) -> Value:
    """`model.model_copy(update={...})`: not validated, as pydantic has it."""
    _only("model_copy", args, words, frozenset({"update", "deep"}))
    instance = args[0]
    data = instance.data
    assert isinstance(data, InstanceObj)  # noqa: S101 - a method of instances
    fields = dict(data.fields)
    made = InstanceObj(data.cls, fields)
    made.mark = data.mark
    update = words.get("update")
    if update is not None and isinstance(update.data, DictObj):
        made.mark = env.marks.join(made.mark, env.marks.join(update.mark, update.data.mark))
        for key, item in update.data.entries.values():
            if isinstance(key.data, str) and key.data in fields:
                fields[key.data] = taken(env.marks, update, item, key.mark)
    env.meter.elements(2 * len(fields) + 1)
    return Value(made, instance.mark)


def _asdict(env: Env, args: Args, words: Words) -> Value:
    """The fields of a dataclass as a dict."""
    _only("asdict", args, words, frozenset())
    _dataclass_instance("asdict", args)
    return _dict(env, args[0], {})


def _astuple(env: Env, args: Args, words: Words) -> Value:
    """The fields of a dataclass as a tuple."""
    _only("astuple", args, words, frozenset())
    data = _dataclass_instance("astuple", args)
    made = TupleObj(tuple([_dumped(env, field, False, 0) for field in data.fields.values()]))
    made.mark = data.mark
    return Value(made, args[0].mark)


def _replace(env: Env, args: Args, words: Words) -> Value:
    """A dataclass with some fields replaced."""
    data = _dataclass_instance("replace", args)
    unknown = sorted(words.keys() - data.fields.keys())
    if unknown:
        raise Raise("TypeError", f"replace() got an unexpected keyword argument '{unknown[0]}'")
    made = InstanceObj(data.cls, {**data.fields, **words})
    made.mark = data.mark
    env.meter.elements(2 * len(made.fields) + 1)
    return Value(made, args[0].mark)


def _dataclass_instance(name: str, args: Args) -> InstanceObj:
    data = args[0].data if len(args) == 1 else None
    if isinstance(data, InstanceObj):
        cls = data.cls
        if isinstance(cls, ClassObj) and cls.kind == "dataclass":
            return data
    raise Raise("TypeError", f"{name}() should be called on dataclass instances")


def _tuple_dict(env: Env, args: Args, words: Words) -> Value:
    """`named_tuple._asdict()`."""
    data = args[0].data
    assert isinstance(data, TupleObj)  # noqa: S101 - a method of named tuples
    names = list(data.cls.fields) if data.cls is not None else []
    made = DictObj(
        {name: (Value(name), item) for name, item in zip(names, data.items, strict=True)}
    )
    made.mark = data.mark
    return Value(made, args[0].mark)


def _tuple_replace(env: Env, args: Args, words: Words) -> Value:
    """A named tuple with some elements replaced."""
    data = args[0].data
    assert isinstance(data, TupleObj)  # noqa: S101 - a method of named tuples
    names = list(data.cls.fields) if data.cls is not None else []
    unknown = sorted(words.keys() - set(names))
    if unknown:
        raise Raise("ValueError", f"Got unexpected field names: {unknown!r}")
    items = [words.get(name, item) for name, item in zip(names, data.items, strict=True)]
    made = TupleObj(tuple(items), data.cls)
    made.mark = data.mark
    return Value(made, args[0].mark)


NATIVES: Mapping[str, Native] = {
    "pydantic.Field": Native(fn=_field),
    "dataclasses.field": Native(fn=_field),
    "enum.auto": Native(fn=_auto),
    "pydantic.BaseModel.class.model_validate": Native(fn=_validate, marks="own"),
    "pydantic.BaseModel.class.model_validate_json": Native(fn=_validate_json, marks="own"),
    "pydantic.BaseModel.class.model_json_schema": Native(fn=_schema),
    "pydantic.BaseModel.model_dump": Native(fn=_dump, marks="own"),
    "pydantic.BaseModel.model_dump_json": Native(fn=_dump_json),
    "pydantic.BaseModel.model_copy": Native(fn=_copy, marks="own"),
    "dataclasses.asdict": Native(fn=_asdict, marks="own"),
    "dataclasses.astuple": Native(fn=_astuple, marks="own"),
    "dataclasses.replace": Native(fn=_replace, marks="own"),
    "collections.namedtuple._asdict": Native(fn=_tuple_dict, marks="own"),
    "collections.namedtuple._replace": Native(fn=_tuple_replace, marks="own"),
}
