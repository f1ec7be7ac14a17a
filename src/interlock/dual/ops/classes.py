"""Classes a program declares: pydantic models, enums, dataclasses, named tuples, exceptions.

Declarations only - no methods, no inheritance from anything but these. A field's annotation and
default are values like any others, so a class is plain data too.
"""

from collections.abc import Mapping, Sequence

from interlock.dual.errors import Raise
from interlock.dual.marks import NEUTRAL
from interlock.dual.native import Env
from interlock.dual.ops.compare import equal
from interlock.dual.ops.types import EXCEPTIONS, is_exception, type_name
from interlock.dual.ops.validation import Validator, field_default, field_factory, is_required
from interlock.dual.values import (
    ClassObj,
    Data,
    ExcObj,
    HeapObj,
    InstanceObj,
    TupleObj,
    TypeExpr,
    TypeObj,
    Value,
    taken,
)

__all__ = ["Classes", "Declared", "subclass_of"]

Declared = tuple[str, Value | None, Value | None]
"""Name, annotation, default."""

_ENUMS: Mapping[str, str | None] = {
    "enum.Enum": None,
    "enum.IntEnum": "int",
    "enum.StrEnum": "str",
    "enum.Flag": "int",
    "enum.IntFlag": "int",
}
_MODEL = "pydantic.BaseModel"
_NAMED_TUPLE = "typing.NamedTuple"
_MIXINS = frozenset({"str", "int", "float"})


class Classes:
    """What the machine needs of classes."""

    def declare(
        self,
        env: Env,
        name: str,
        bases: Sequence[Value],
        declared: Sequence[Declared],
        options: tuple[str, ...] | None,
    ) -> Value:
        """A class statement.

        Raises:
            Raise: `TypeError`, it is no declaration of a kind the language has.
        """
        kind, base = _kind(name, bases, options)
        mark = env.marks.join_all(env.deep(part) for part in bases)
        made = ClassObj(name, kind, base)
        made.options = {word: Value(True) for word in options or ()}
        if isinstance(base, ClassObj):
            made.fields.update(base.fields)
            made.members.update(base.members if kind != "enum" else {})
            if kind == "enum" and base.members:
                raise Raise("TypeError", f"{name} cannot extend {base.name}")
            made.base = base.base if kind == "enum" else base
        env.meter.elements(4 + 4 * len(declared))
        value = Value(made, mark)
        if kind == "enum":
            self._members(env, value, made, declared)
        elif kind == "exception":
            if declared:
                raise Raise("TypeError", f"exception class {name} cannot have fields")
        else:
            self._fields(made, declared)
        return value

    def _fields(self, cls: ClassObj, declared: Sequence[Declared]) -> None:
        for name, annotation, default in declared:
            if annotation is None:
                if name == "model_config":
                    continue
                if default is not None:
                    cls.members[name] = default
                continue
            if isinstance(annotation.data, TypeExpr) and annotation.data.origin == "ClassVar":
                if default is not None:
                    cls.members[name] = default
                continue
            cls.fields[name] = (annotation, default)
        if cls.kind == "model":
            return
        seen_default = ""
        for name, (_, default) in cls.fields.items():
            if not is_required(default):
                seen_default = name
            elif seen_default:
                raise Raise(
                    "TypeError",
                    f"non-default argument '{name}' follows default argument '{seen_default}'",
                )

    def _members(self, env: Env, value: Value, cls: ClassObj, declared: Sequence[Declared]) -> None:
        number = 0
        by_value: list[tuple[Data, Value]] = []
        for name, annotation, given in declared:
            if annotation is not None or given is None:
                raise Raise("TypeError", f"member `{name}` of enum {cls.name} needs a value")
            inner = given
            if isinstance(given.data, TypeExpr) and given.data.origin == "auto":
                text = isinstance(cls.base, TypeObj) and cls.base.name == "str"
                inner = Value(name.lower() if text else number + 1, given.mark)
            if isinstance(inner.data, int):
                number = inner.data
            alias = next((m for data, m in by_value if equal(env, data, inner.data)), None)
            if alias is None:
                member = InstanceObj(cls, {"name": Value(name), "value": inner})
                alias = Value(member, inner.mark)
                by_value.append((inner.data, alias))
            cls.members[name] = alias
            env.added(cls, alias)

    def factories(
        self, cls: ClassObj, positional: int, words: Mapping[str, Value]
    ) -> list[tuple[str, Value]]:
        """Fields not given whose default a function makes."""
        if cls.kind not in {"model", "dataclass"}:
            return []
        return [
            (name, factory)
            for position, (name, (_, default)) in enumerate(cls.fields.items())
            if name not in words
            and not (cls.kind == "dataclass" and position < positional)
            and (factory := field_factory(default)) is not None
        ]

    def instantiate(
        self, env: Env, value: Value, args: Sequence[Value], words: Mapping[str, Value]
    ) -> Value:
        """`cls(*args, **words)`.

        Raises:
            Raise: `ValidationError` of a model, else `TypeError` or `ValueError`.
        """
        cls = value.data
        assert isinstance(cls, ClassObj)  # noqa: S101 - the caller checked
        env.meter.elements(2 + 2 * len(cls.fields))
        match cls.kind:
            case "enum":
                return self._by_value(env, value, cls, args, words)
            case "exception":
                base: ClassObj | TypeObj | None = cls
                while isinstance(base, ClassObj):
                    base = base.base
                name = base.name if base is not None else "Exception"
                return Value(ExcObj(name, list(args), cls), value.mark)
            case "model":
                if args:
                    raise Raise(
                        "TypeError",
                        f"BaseModel.__init__() takes 1 positional argument but {len(args) + 1}"
                        " were given",
                    )
                return Validator(env).model(value, words)
        fields = self._bound(cls, args, words)
        if cls.kind == "namedtuple":
            return Value(TupleObj(tuple(fields.values()), cls), value.mark)
        return Value(InstanceObj(cls, fields), value.mark)

    def _by_value(
        self,
        env: Env,
        value: Value,
        cls: ClassObj,
        args: Sequence[Value],
        words: Mapping[str, Value],
    ) -> Value:
        if len(args) != 1 or words:
            raise Raise("TypeError", f"{cls.name}() takes exactly one value")
        found = Validator(env).member(value, cls, args[0])
        if found is None:
            text = env.natives["repr"].fn(env, (args[0],), {}).data
            raise Raise("ValueError", f"{text} is not a valid {cls.name}")
        return found

    def _bound(
        self, cls: ClassObj, args: Sequence[Value], words: Mapping[str, Value]
    ) -> dict[str, Value]:
        name = f"{cls.name}.__init__()"
        names = list(cls.fields)
        if len(args) > len(names):
            raise Raise(
                "TypeError",
                f"{name} takes {len(names) + 1} positional arguments but {len(args) + 1}"
                " were given",
            )
        given = dict(zip(names, args, strict=False))
        for word, item in words.items():
            if word not in cls.fields:
                raise Raise("TypeError", f"{name} got an unexpected keyword argument '{word}'")
            if word in given:
                raise Raise("TypeError", f"{name} got multiple values for argument '{word}'")
            given[word] = item
        missing = []
        fields = {}
        for field, (_, default) in cls.fields.items():
            found = given.get(field)
            if found is None:
                found = field_default(default)
            if found is None:
                missing.append(f"'{field}'")
            else:
                fields[field] = found
        if missing:
            plural = "" if len(missing) == 1 else "s"
            shown = " and ".join(missing) if len(missing) < 3 else ", ".join(missing)
            raise Raise(
                "TypeError",
                f"{name} missing {len(missing)} required positional argument{plural}: {shown}",
            )
        return fields

    def set_field(self, env: Env, target: Value, name: str, item: Value) -> None:
        """`target.name = item`.

        Raises:
            Raise: `AttributeError`, the object does not allow it.
        """
        data = target.data
        assert isinstance(data, InstanceObj)  # noqa: S101 - the caller checked
        cls = data.cls
        if not isinstance(cls, ClassObj) or cls.kind == "enum":
            raise Raise("AttributeError", f"cannot reassign attribute '{name}'")
        if "frozen" in cls.options:
            raise Raise("AttributeError", f"cannot assign to field '{name}'")
        if name not in cls.fields:
            if cls.kind == "model":
                raise Raise("ValueError", f'"{cls.name}" object has no field "{name}"')
            raise Raise("AttributeError", f"'{cls.name}' object has no attribute '{name}'")
        old = data.fields.get(name)
        data.fields[name] = item
        if old is not None and (old.mark is not NEUTRAL or isinstance(old.data, HeapObj)):
            env.touched(data)
        env.added(data, item)

    def is_instance(self, env: Env, value: Value, cls: Value) -> bool:
        """`isinstance(value, cls)`.

        Raises:
            Raise: `TypeError`, `cls` is no class.
        """
        data = cls.data
        if isinstance(data, TupleObj):
            return any(self.is_instance(env, value, part) for part in data.items)
        if isinstance(data, TypeExpr):
            if data.origin in {"Union", "Optional"}:
                parts = [*data.args, *([Value(None)] if data.origin == "Optional" else [])]
                return any(self.is_instance(env, value, part) for part in parts)
            name = {"List": "list", "Dict": "dict", "Tuple": "tuple", "Set": "set"}.get(
                data.origin, data.origin
            )
            if data.origin in _ABSTRACT:
                return type_name(value.data) in _ABSTRACT[data.origin]
            return subclass_of(_class_of(value.data), TypeObj(name))
        if data is None:
            return value.data is None
        if not isinstance(data, TypeObj | ClassObj):
            raise Raise(
                "TypeError",
                "isinstance() arg 2 must be a type, a tuple of types, or a union",
            )
        return subclass_of(_class_of(value.data), data)

    def attribute(self, env: Env, value: Value, name: str) -> Value | None:
        """A field of an instance, for patterns."""
        data = value.data
        if isinstance(data, InstanceObj) and name in data.fields:
            return taken(env.marks, value, data.fields[name])
        if isinstance(data, TupleObj) and data.cls is not None and name in data.cls.fields:
            position = list(data.cls.fields).index(name)
            return taken(env.marks, value, data.items[position])
        return None


_ABSTRACT: Mapping[str, frozenset[str]] = {
    "Mapping": frozenset({"dict", "collections.defaultdict", "collections.Counter"}),
    "Sequence": frozenset({"list", "tuple", "str", "range", "bytes"}),
    "Iterable": frozenset({"list", "tuple", "str", "range", "bytes", "dict", "set", "frozenset"}),
    "Callable": frozenset({"function", "builtin_function_or_method", "type", "method"}),
}


def _kind(
    name: str, bases: Sequence[Value], options: tuple[str, ...] | None
) -> tuple[str, ClassObj | TypeObj | None]:
    if options is not None:
        if not bases:
            return "dataclass", None
        base = bases[0].data
        if len(bases) == 1 and isinstance(base, ClassObj) and base.kind == "dataclass":
            return "dataclass", base
        raise Raise("TypeError", f"dataclass {name} can only extend a dataclass")
    found = [base.data for base in bases]
    mixins = [b for b in found if isinstance(b, TypeObj) and b.name in _MIXINS]
    others = [b for b in found if b not in mixins]
    if len(others) == 1 and isinstance(others[0], ClassObj) and not mixins:
        return others[0].kind, others[0]
    if len(others) == 1 and isinstance(others[0], TypeObj) and len(mixins) <= 1:
        base_name = others[0].name
        if base_name == _MODEL and not mixins:
            return "model", None
        if base_name == _NAMED_TUPLE and not mixins:
            return "namedtuple", None
        if base_name in _ENUMS:
            inner = mixins[0].name if mixins else _ENUMS[base_name]
            return "enum", None if inner is None else TypeObj(inner)
        if is_exception(base_name, "Exception") and not mixins:
            return "exception", others[0]
    raise Raise(
        "TypeError",
        f"class {name} must be a BaseModel, an Enum, a dataclass, a NamedTuple or an exception",
    )


def _class_of(data: Data) -> ClassObj | TypeObj:
    if isinstance(data, InstanceObj):
        return data.cls
    if isinstance(data, TupleObj | ExcObj) and data.cls is not None:
        return data.cls
    if isinstance(data, ExcObj):
        return TypeObj(data.type_name)
    return TypeObj(type_name(data))


_SUBTYPES: Mapping[str, str] = {
    "bool": "int",
    "datetime.datetime": "datetime.date",
    "collections.defaultdict": "dict",
    "collections.Counter": "dict",
    "collections.OrderedDict": "dict",
}
_BASE_KINDS = {
    "model": _MODEL,
    "enum": "enum.Enum",
    "namedtuple": "tuple",
    "exception": "Exception",
}


def subclass_of(cls: ClassObj | TypeObj, base: ClassObj | TypeObj) -> bool:
    """Whether `cls` is `base` or derives from it."""
    current: ClassObj | TypeObj | None = cls
    while isinstance(current, ClassObj):
        if current is base:
            return True
        if isinstance(base, TypeObj) and _BASE_KINDS.get(current.kind) == base.name:
            return True
        current = current.base
    if current is None or not isinstance(base, TypeObj):
        return False
    if base.name == "object":
        return True
    name = current.name
    if name in EXCEPTIONS:
        return is_exception(name, base.name)
    while name:
        if name == base.name:
            return True
        name = _SUBTYPES.get(name, "")
    return False
