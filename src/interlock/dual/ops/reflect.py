"""Natives about types and classes: `type`, `isinstance`, `getattr`, models, enums, dataclasses."""

from collections.abc import Mapping, Sequence
from typing import NoReturn

from interlock.dual.errors import ProgramExit, Raise
from interlock.dual.native import Env, Member, Native
from interlock.dual.ops import records
from interlock.dual.ops.classes import Classes, subclass_of
from interlock.dual.ops.types import type_name
from interlock.dual.values import (
    ClassObj,
    ExcObj,
    GenObj,
    InstanceObj,
    TupleObj,
    TypeObj,
    Value,
)

__all__ = ["MODULES", "NATIVES"]

Args = Sequence[Value]
Words = Mapping[str, Value]

_CLASSES = Classes()


def _one(name: str, args: Args, count: int = 1) -> None:
    if len(args) != count:
        plural = "" if count == 1 else "s"
        raise Raise("TypeError", f"{name}() takes {count} argument{plural} ({len(args)} given)")


def _type(env: Env, args: Args, words: Words) -> Value:
    if len(args) != 1 or words:
        raise Raise("TypeError", "type() takes 1 argument: classes are declared, not made")
    data = args[0].data
    match data:
        case InstanceObj():
            return Value(data.cls)
        case TupleObj() | ExcObj() if data.cls is not None:
            return Value(data.cls)
        case ExcObj():
            return Value(TypeObj(data.type_name))
    return Value(TypeObj(type_name(data)))


def _isinstance(env: Env, args: Args, words: Words) -> Value:
    _one("isinstance", args, 2)
    return Value(_CLASSES.is_instance(env, args[0], args[1]))


def _issubclass(env: Env, args: Args, words: Words) -> Value:
    _one("issubclass", args, 2)
    cls, base = args[0].data, args[1].data
    if not isinstance(cls, ClassObj | TypeObj):
        raise Raise("TypeError", "issubclass() arg 1 must be a class")
    bases = [item.data for item in base.items] if isinstance(base, TupleObj) else [base]
    for each in bases:
        if not isinstance(each, ClassObj | TypeObj):
            raise Raise("TypeError", "issubclass() arg 2 must be a class or a tuple of classes")
        if subclass_of(cls, each):
            return Value(True)
    return Value(False)


def _is_generator(env: Env, args: Args, words: Words) -> Value:
    return Value(isinstance(args[0].data, GenObj))


def _exit(env: Env, args: Args, words: Words) -> NoReturn:
    raise ProgramExit


def _attribute_name(name: str, args: Args) -> str:
    attribute = args[1].data if len(args) > 1 else None
    if not isinstance(attribute, str):
        raise Raise("TypeError", f"{name}(): attribute name must be string")
    if attribute.startswith("_"):
        raise Raise("AttributeError", f"attribute `{attribute[:40]}` is private and not available")
    return attribute


def _getattr(env: Env, args: Args, words: Words) -> Value:
    if words or not 2 <= len(args) <= 3:
        raise Raise("TypeError", f"getattr expected 2 or 3 arguments, got {len(args)}")
    name = _attribute_name("getattr", args)
    try:
        return env.attribute(args[0], name)
    except Raise as error:
        if error.type_name != "AttributeError" or len(args) < 3:
            raise
        return args[2]


def _hasattr(env: Env, args: Args, words: Words) -> Value:
    _one("hasattr", args, 2)
    name = _attribute_name("hasattr", args)
    try:
        env.attribute(args[0], name)
    except Raise as error:
        if error.type_name != "AttributeError":
            raise
        return Value(False)
    return Value(True)


NATIVES: Mapping[str, Native] = {
    **records.NATIVES,
    "getattr": Native(fn=_getattr, generators=True),
    "hasattr": Native(fn=_hasattr, generators=True),
    "type": Native(fn=_type, generators=True),
    "isinstance": Native(fn=_isinstance, generators=True),
    "issubclass": Native(fn=_issubclass, generators=True),
    "_is_generator": Native(fn=_is_generator, generators=True),
    "exit": Native(fn=_exit),
    "quit": Native(fn=_exit),
}

MODULES: Mapping[str, Mapping[str, Member]] = {
    "enum": {
        **{
            name: Member("type", f"enum.{name}")
            for name in ("Enum", "Flag", "IntEnum", "IntFlag", "StrEnum")
        },
        "auto": Member("native", "enum.auto"),
    },
    "pydantic": {
        "BaseModel": Member("type", "pydantic.BaseModel"),
        "ConfigDict": Member("type", "dict"),
        "Field": Member("native", "pydantic.Field"),
        "ValidationError": Member("type", "ValidationError"),
    },
    "dataclasses": {
        name: Member("native", f"dataclasses.{name}")
        for name in ("asdict", "astuple", "dataclass", "field", "replace")
    },
}
