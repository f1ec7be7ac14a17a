"""Filling a JSON schema, from a text by type or from fixed answers.

A `Source` says what a string, a number or a truth value is; `fill` does the rest:
references, alternatives, enumerations, bounds, required members. The result is valid
against every schema whose constraints are satisfiable by such values (`pattern` is
tried, not solved).
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import re2

__all__ = ["Source", "fill", "matches"]

_MAX_DEPTH = 12
_Schema = Mapping[str, Any]


class Source(Protocol):
    """Where leaf values come from. `key` is the name of the member being filled."""

    def string(self, key: str, schema: _Schema) -> str:
        """A string, before length bounds are applied."""
        ...

    def number(self, key: str, schema: _Schema) -> float:
        """A number, before bounds are applied."""
        ...

    def boolean(self, key: str) -> bool:
        """A truth value."""
        ...

    def choose(self, key: str, members: Sequence[object]) -> object:
        """One member of an enumeration."""
        ...

    def items(self, key: str, schema: _Schema) -> list[Any] | None:
        """All items of an array of leaf values; None: as many as the bounds ask for."""
        ...


def fill(schema: object, source: Source) -> object:
    """A value for `schema`; anything that is no schema gives None."""
    root = schema if isinstance(schema, dict) else {}
    return _fill(root, root, source, "", 0)


def _fill(node: object, root: _Schema, source: Source, key: str, depth: int) -> object:
    schema = _resolved(node, root)
    if "const" in schema:
        return schema["const"]
    if isinstance(schema.get("enum"), list) and schema["enum"]:
        return source.choose(key, schema["enum"])
    kind = _kind(schema)
    if kind == "object":
        return _object(schema, root, source, depth)
    if kind == "array":
        return _array(schema, root, source, key, depth)
    if kind == "string":
        return _string(schema, source, key)
    if kind in {"number", "integer"}:
        return _number(schema, source, key, whole=kind == "integer")
    if kind == "boolean":
        return source.boolean(key)
    return None


def _resolved(node: object, root: _Schema) -> dict[str, Any]:
    """The schema with references followed and alternatives chosen."""
    schema = dict(node) if isinstance(node, dict) else {}
    for _ in range(_MAX_DEPTH):
        if isinstance(schema.get("$ref"), str):
            target = _pointed(root, schema.pop("$ref"))
            schema = {**target, **schema}
        elif isinstance(schema.get("allOf"), list):
            for part in schema.pop("allOf"):
                schema = _merged(schema, _resolved(part, root))
        elif (options := schema.get("anyOf") or schema.get("oneOf")) and isinstance(options, list):
            schema.pop("anyOf", None)
            schema.pop("oneOf", None)
            useful = [one for one in options if isinstance(one, dict) and one.get("type") != "null"]
            schema = _merged(schema, _resolved((useful or options)[0], root))
        else:
            break
    return schema


def _merged(base: dict[str, Any], more: _Schema) -> dict[str, Any]:
    merged = {**base, **more}
    if isinstance(base.get("properties"), dict) and isinstance(more.get("properties"), dict):
        merged["properties"] = {**base["properties"], **more["properties"]}
    if isinstance(base.get("required"), list) and isinstance(more.get("required"), list):
        merged["required"] = [*base["required"], *more["required"]]
    return merged


def _pointed(root: _Schema, pointer: str) -> dict[str, Any]:
    found: object = root
    for part in pointer.removeprefix("#").split("/"):
        if part and isinstance(found, dict):
            found = found.get(part.replace("~1", "/").replace("~0", "~"))
    return found if isinstance(found, dict) else {}


def _kind(schema: _Schema) -> str | None:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((one for one in kind if one != "null"), "null")
    if isinstance(kind, str):
        return kind
    if "properties" in schema or "required" in schema:
        return "object"
    if "items" in schema or "prefixItems" in schema:
        return "array"
    if "minimum" in schema or "maximum" in schema:
        return "number"
    return "string" if schema else None


def _object(schema: _Schema, root: _Schema, source: Source, depth: int) -> dict[str, Any]:
    properties = schema.get("properties")
    members = properties if isinstance(properties, dict) else {}
    wanted = schema.get("required")
    required = (
        [name for name in wanted if isinstance(name, str)] if isinstance(wanted, list) else []
    )
    names = [*members, *(name for name in required if name not in members)]
    if depth >= _MAX_DEPTH // 2:
        # A schema that contains itself ends here: only what must be there is.
        names = required if depth < _MAX_DEPTH else []
    return {
        name: _fill(members.get(name, {"type": "string"}), root, source, name, depth + 1)
        for name in names
    }


def _array(schema: _Schema, root: _Schema, source: Source, key: str, depth: int) -> list[Any]:
    prefix = schema.get("prefixItems")
    if isinstance(prefix, list):
        return [_fill(one, root, source, key, depth + 1) for one in prefix]
    item = _resolved(schema.get("items"), root)
    least = _whole(schema.get("minItems"), 0)
    most = _whole(schema.get("maxItems"), max(least, 50))
    kind = _kind(item)
    leaves = ("const" not in item and kind in {"string", "number", "integer"}) or "enum" in item
    found = source.items(key, {**item, "type": kind}) if leaves else None
    if found is None:
        wanted = max(least, min(1, most)) if depth < _MAX_DEPTH // 2 else least
        return [_fill(item, root, source, key, depth + 1) for _ in range(min(wanted, 100))]
    unique: list[Any] = []
    for raw in found:
        value = raw if "enum" in item else _fitted(raw, item, kind)
        if value not in unique or not schema.get("uniqueItems", True):
            unique.append(value)
    while len(unique) < min(least, 100):
        unique.append(_fill(item, root, source, key, depth + 1))
    return unique[:most]


def _string(schema: _Schema, source: Source, key: str) -> str:
    return _fitted_text(source.string(key, schema), schema)


def _number(schema: _Schema, source: Source, key: str, *, whole: bool) -> float:
    return _fitted_number(source.number(key, schema), schema, whole=whole)


def _fitted(value: object, schema: _Schema, kind: str | None) -> object:
    """A leaf value within the bounds of its schema."""
    if isinstance(value, str):
        return _fitted_text(value, schema)
    if isinstance(value, (int, float)):
        return _fitted_number(value, schema, whole=kind == "integer")
    return value


def _fitted_text(text: str, schema: _Schema) -> str:
    text = text[: _whole(schema.get("maxLength"), len(text))]
    return text.ljust(_whole(schema.get("minLength"), 0), ".")


def _fitted_number(value: float, schema: _Schema, *, whole: bool) -> float:
    low, high = _bound(schema, "minimum", 1, whole), _bound(schema, "maximum", -1, whole)
    if low is not None and value < low:
        value = low
    if high is not None and value > high:
        value = high
    step = schema.get("multipleOf")
    if isinstance(step, (int, float)) and step > 0:
        value = value // step * step
        if low is not None and value < low:
            value += step
    return int(value) if whole or float(value).is_integer() else value


def _bound(schema: _Schema, name: str, inward: int, whole: bool) -> float | None:
    bound = schema.get(name)
    outer = schema.get(f"exclusive{name.capitalize()}")
    if isinstance(outer, (int, float)) and not isinstance(outer, bool):
        inner = outer + inward * (1 if whole else 0.001)
        return (
            inner
            if not isinstance(bound, (int, float))
            else inward * max(inward * bound, inward * inner)
        )
    return bound if isinstance(bound, (int, float)) and not isinstance(bound, bool) else None


def _whole(value: object, default: int) -> int:
    if isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 0:
        return int(value)
    return default


def matches(pattern: object, text: str) -> str | None:
    """The first piece of `text` that a schema's `pattern` matches, if it is a usable pattern."""
    if not isinstance(pattern, str) or len(pattern) > 500:
        return None
    try:
        found = re2.search(pattern.strip("^$"), text[:2_000])
    except re2.error:
        return None
    return found.group() if found else None
