"""Attributes: what `value.name` is, for every kind of value; looked up by name in our tables."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from interlock.dual.errors import Raise
from interlock.dual.native import Env, Member
from interlock.dual.ops.types import shown_type, type_name
from interlock.dual.values import (
    BoundObj,
    ClassObj,
    ExcObj,
    InstanceObj,
    ModuleObj,
    NativeObj,
    TupleObj,
    TypeExpr,
    TypeObj,
    Value,
    taken,
)

if TYPE_CHECKING:
    from interlock.dual.library import Library

__all__ = ["CLASS_BASES", "bound_method", "get_attribute", "import_name", "member_value"]

CLASS_BASES: Mapping[str, str] = {
    "model": "pydantic.BaseModel",
    "enum": "enum.Enum",
    "dataclass": "dataclasses",
    "namedtuple": "collections.namedtuple",
    "exception": "BaseException",
}
"""Where the library keeps methods of instances (`NAME.method`) and of classes
(`NAME.class.method`) of each kind of class."""


def bound_method(library: "Library", type_: str, name: str) -> str | None:
    """The native of a method of a built-in type, None if there is none or it is a property."""
    key = f"{type_}.{name}"
    found = library.natives.get(key)
    if found is None:
        override = library.overrides.get(key)
        return key if override is not None and override.always else None
    return None if found.is_property else key


def member_value(library: "Library", env: Env, member: Member) -> Value:
    """What a member of a module or a built-in is bound to."""
    match member.kind:
        case "native":
            found = library.natives.get(member.name)
            if found is not None and found.is_property:
                return found.fn(env, (), {})
            return Value(NativeObj(member.name))
        case "type":
            return Value(TypeObj(member.name))
        case "marker":
            return Value(TypeExpr(member.name))
        case "module":
            return Value(ModuleObj(member.name))
        case "prelude":
            return library.functions[member.name]


def import_name(env: Env, library: "Library", module: Value, name: str) -> Value:
    """`from module import name`.

    Raises:
        Raise: `ImportError`.
    """
    data = module.data
    source = data.name if isinstance(data, ModuleObj) else ""
    member = library.modules.get(source, {}).get(name)
    if member is None:
        raise Raise("ImportError", f"cannot import name '{name}' from '{source}'")
    return member_value(library, env, member)


def get_attribute(env: Env, library: "Library", value: Value, name: str) -> Value:
    """`value.name`.

    Raises:
        Raise: `AttributeError`.
    """
    found = _attribute(env, library, value, name)
    if found is not None:
        return found
    data = value.data
    if isinstance(data, ModuleObj):
        raise Raise("AttributeError", f"module '{data.name}' has no attribute '{name}'")
    if isinstance(data, ClassObj | TypeObj):
        shown = data.name.rpartition(".")[2]
        raise Raise("AttributeError", f"type object '{shown}' has no attribute '{name}'")
    raise Raise("AttributeError", f"'{shown_type(data)}' object has no attribute '{name}'")


def _attribute(env: Env, library: "Library", value: Value, name: str) -> Value | None:
    if name.startswith("__"):
        return None
    data = value.data
    match data:
        case InstanceObj():
            return _of_instance(env, library, value, data, name)
        case ModuleObj():
            member = library.modules.get(data.name, {}).get(name)
            return None if member is None else member_value(library, env, member)
        case ClassObj():
            return _of_class(env, library, value, data, name)
        case TypeObj():
            return _of_type(env, library, data, name)
        case ExcObj() if name == "args":
            made = TupleObj(tuple(data.args))
            made.mark = data.mark
            return Value(made, value.mark)
        case ExcObj():
            return _method(env, library, value, f"{data.type_name}.{name}")
        case TupleObj() if data.cls is not None:
            names = list(data.cls.fields)
            if name in names:
                return taken(env.marks, value, data.items[names.index(name)])
            found = _method(env, library, value, f"collections.namedtuple.{name}")
            return found or _method(env, library, value, f"tuple.{name}")
    return _method(env, library, value, f"{type_name(data)}.{name}")


def _method(env: Env, library: "Library", value: Value, key: str) -> Value | None:
    native = library.natives.get(key)
    if native is None:
        override = library.overrides.get(key)
        if override is None or not override.always:
            return None
        return Value(BoundObj(value, Value(NativeObj(key))), value.mark)
    if native.is_property:
        made = native.fn(env, (value,), {})
        if native.marks == "own":
            return made
        return Value(made.data, env.marks.join(made.mark, env.deep(value)))
    return Value(BoundObj(value, Value(NativeObj(key))), value.mark)


def _of_instance(
    env: Env, library: "Library", value: Value, data: InstanceObj, name: str
) -> Value | None:
    field = data.fields.get(name)
    if field is not None:
        return taken(env.marks, value, field)
    cls = data.cls
    if isinstance(cls, TypeObj):
        return _method(env, library, value, f"{cls.name}.{name}")
    member = cls.members.get(name)
    if member is not None and cls.kind != "enum":
        return taken(env.marks, value, member)
    own = _method(env, library, value, f"{CLASS_BASES[cls.kind]}.{name}")
    if own is not None or not isinstance(cls.base, TypeObj) or cls.kind != "enum":
        return own
    inner = taken(env.marks, value, data.fields["value"])
    return _method(env, library, inner, f"{cls.base.name}.{name}")


def _of_class(
    env: Env, library: "Library", value: Value, data: ClassObj, name: str
) -> Value | None:
    member = data.members.get(name)
    if member is not None:
        return taken(env.marks, value, member)
    if data.kind == "dataclass" and name in data.fields:
        default = data.fields[name][1]
        if default is not None:
            return taken(env.marks, value, default)
    return _method(env, library, value, f"{CLASS_BASES[data.kind]}.class.{name}")


def _of_type(env: Env, library: "Library", data: TypeObj, name: str) -> Value | None:
    key = f"{data.name}.{name}"
    native = library.natives.get(key)
    if native is None:
        return None
    if native.is_property:
        constant = library.modules.get(data.name, {}).get(name)
        if constant is not None:
            return member_value(library, env, constant)
        try:
            return native.fn(env, (), {})
        except (IndexError, ValueError):
            return None
    return Value(NativeObj(key))
