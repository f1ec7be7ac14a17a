"""JSON schemas of annotations and models, as pydantic writes them."""

from collections.abc import Mapping
from typing import Any

from interlock.dual.ops.validation import constraints, field_default, field_factory
from interlock.dual.plain import plain
from interlock.dual.values import ClassObj, InstanceObj, TypeExpr, TypeObj, Value

__all__ = ["schema_of_class"]

_SCALARS: Mapping[str, Mapping[str, Any]] = {
    "int": {"type": "integer"},
    "float": {"type": "number"},
    "str": {"type": "string"},
    "bool": {"type": "boolean"},
    "bytes": {"format": "binary", "type": "string"},
    "datetime.datetime": {"format": "date-time", "type": "string"},
    "datetime.date": {"format": "date", "type": "string"},
    "datetime.time": {"format": "time", "type": "string"},
    "datetime.timedelta": {"format": "duration", "type": "string"},
}
_KEYWORDS = {
    "ge": "minimum",
    "gt": "exclusiveMinimum",
    "le": "maximum",
    "lt": "exclusiveMaximum",
    "multiple_of": "multipleOf",
    "pattern": "pattern",
    "description": "description",
    "examples": "examples",
    "title": "title",
}
_LENGTHS = {
    "string": {"min_length": "minLength", "max_length": "maxLength"},
    "array": {"min_length": "minItems", "max_length": "maxItems"},
    "object": {"min_length": "minProperties", "max_length": "maxProperties"},
}
_COLLECTIONS = {"list", "List", "set", "Set", "frozenset", "FrozenSet", "Sequence", "Iterable"}
_MAPPINGS = {"dict", "Dict", "Mapping", "MutableMapping"}
_TUPLES = {"tuple", "Tuple"}


def schema_of_class(cls: ClassObj) -> dict[str, Any]:
    """The schema of a model or dataclass, definitions of what it refers to included."""
    writer = _Writer(cls)
    schema = writer.body(cls)
    if writer.definitions:
        schema = {"$defs": dict(sorted(writer.definitions.items())), **schema}
    if writer.refers_to_root:
        schema.setdefault("$defs", {})[cls.name] = writer.body(cls)
        return {"$defs": schema["$defs"], "$ref": f"#/$defs/{cls.name}"}
    return schema


class _Writer:
    """Collects definitions while schemas are written; a class is written once."""

    def __init__(self, root: ClassObj) -> None:
        self.root = root
        self.definitions: dict[str, Any] = {}
        self.refers_to_root = False
        self._current = root

    def body(self, cls: ClassObj) -> dict[str, Any]:
        outer, self._current = self._current, cls
        properties: dict[str, Any] = {}
        required: list[str] = []
        for name, (annotation, default) in cls.fields.items():
            keywords = constraints(default)
            alias = keywords.get("alias")
            key = str(alias.data) if alias is not None and alias.data is not None else name
            properties[key] = self._field(key, annotation, default)
            if field_default(default) is None and field_factory(default) is None:
                required.append(key)
        self._current = outer
        schema: dict[str, Any] = {"properties": properties}
        if required:
            schema["required"] = required
        return {**schema, "title": cls.name, "type": "object"}

    def _field(self, name: str, annotation: Value, default: Value | None) -> dict[str, Any]:
        schema = self.schema(annotation)
        keywords = constraints(default)
        for keyword, word in _KEYWORDS.items():
            found = keywords.get(keyword)
            if found is not None and found.data is not None:
                schema[word] = plain(found)[0]
        for keyword, word in _LENGTHS.get(str(schema.get("type")), {}).items():
            found = keywords.get(keyword)
            if found is not None and found.data is not None:
                schema[word] = found.data
        given = field_default(default)
        if given is not None:
            schema["default"] = plain(given)[0]
        if "$ref" not in schema:
            schema.setdefault("title", name.replace("_", " ").title())
        return dict(sorted(schema.items()))

    def schema(self, annotation: Value) -> dict[str, Any]:
        """The schema of an annotation."""
        data = annotation.data
        match data:
            case None:
                return {"type": "null"}
            case TypeObj():
                return self._typed(data.name, ())
            case ClassObj():
                return self._reference(data)
            case TypeExpr():
                return self._expression(data)
            case str() if data == self._current.name:
                return self._reference(self._current)
        return {}

    def _typed(self, name: str, args: tuple[Value, ...]) -> dict[str, Any]:
        if name in _SCALARS:
            return dict(_SCALARS[name])
        if name in _COLLECTIONS:
            schema: dict[str, Any] = {"items": self.schema(args[0]) if args else {}}
            if name.lower() in {"set", "frozenset"}:
                schema["uniqueItems"] = True
            return dict(sorted({**schema, "type": "array"}.items()))
        if name in _MAPPINGS:
            extra = self.schema(args[1]) if len(args) > 1 else {}
            return {"additionalProperties": extra or True, "type": "object"}
        if name in _TUPLES:
            return self._tuple(args)
        return {}

    def _tuple(self, args: tuple[Value, ...]) -> dict[str, Any]:
        if len(args) == 2 and args[1].data is Ellipsis:
            return {"items": self.schema(args[0]), "type": "array"}
        if not args:
            return {"items": {}, "type": "array"}
        return {
            "maxItems": len(args),
            "minItems": len(args),
            "prefixItems": [self.schema(arg) for arg in args],
            "type": "array",
        }

    def _expression(self, data: TypeExpr) -> dict[str, Any]:
        args = data.args
        match data.origin:
            case "Optional" if args:
                return {"anyOf": [self.schema(args[0]), {"type": "null"}]}
            case "Union":
                return {"anyOf": [self.schema(arg) for arg in self._members(data)]}
            case "Literal":
                return self._literal([plain(arg)[0] for arg in args])
            case "Annotated" if args:
                merged = self.schema(args[0])
                for extra in args[1:]:
                    for keyword, found in constraints(extra).items():
                        if keyword in _KEYWORDS and found.data is not None:
                            merged[_KEYWORDS[keyword]] = plain(found)[0]
                return dict(sorted(merged.items()))
        return self._typed(data.origin, args)

    def _members(self, union: TypeExpr) -> list[Value]:
        """Members of nested unions, in order: `int | str | None`."""
        found = []
        for arg in union.args:
            if isinstance(arg.data, TypeExpr) and arg.data.origin == "Union":
                found += self._members(arg.data)
            else:
                found.append(arg)
        return found

    def _literal(self, choices: list[Any]) -> dict[str, Any]:
        kinds = {type(choice) for choice in choices}
        schema: dict[str, Any] = (
            {"const": choices[0]} if len(choices) == 1 else {"enum": choices}
        )
        names = {str: "string", int: "integer", bool: "boolean", float: "number"}
        if len(kinds) == 1 and (kind := kinds.pop()) in names:
            schema["type"] = names[kind]
        return schema

    def _reference(self, cls: ClassObj) -> dict[str, Any]:
        if cls is self.root:
            self.refers_to_root = True
        elif cls.name not in self.definitions:
            self.definitions[cls.name] = {}
            self.definitions[cls.name] = self._enum(cls) if cls.kind == "enum" else self.body(cls)
        return {"$ref": f"#/$defs/{cls.name}"}

    def _enum(self, cls: ClassObj) -> dict[str, Any]:
        values = []
        for member in cls.members.values():
            if isinstance(member.data, InstanceObj):
                values.append(plain(member.data.fields["value"])[0])
        return dict(sorted({**self._literal(values), "title": cls.name}.items()))
