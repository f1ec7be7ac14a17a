"""A JSON Schema validator for the part of the language that asks a model for an answer.

Covers types, enumerations, objects, arrays, bounds, patterns (RE2), combinations and
references inside the schema. Keywords it does not know are ignored, as the standard says;
a pattern that does not compile is a problem of the schema. Work is bounded: depth, number
of visited nodes, and linear-time patterns.

Source: gateway.md 10.6 ("answer validated against the schema"); JSON Schema 2020-12.
"""

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeGuard

import re2

__all__ = ["object_schema_problem", "problems"]

_MAX_DEPTH: Final = 64
_MAX_VISITS: Final = 200_000
_MAX_PROBLEMS: Final = 10
_OPTIONS: Final = re2.Options()
_OPTIONS.log_errors = False
_OPTIONS.max_mem = 1 << 20

_Schema = Mapping[str, Any]


def problems(value: object, schema: object) -> list[str]:
    """What is wrong with a plain JSON value, `path: why`, at most ten; empty when it is valid."""
    found: list[str] = []
    root = schema if isinstance(schema, Mapping) else {}
    for problem in _Check(root).node(value, schema, "$", 0):
        found.append(problem)
        if len(found) == _MAX_PROBLEMS:
            break
    return found


def object_schema_problem(schema: object) -> str | None:
    """Why a schema cannot describe the JSON object a program is to get, or None."""
    if not isinstance(schema, Mapping):
        return "the schema must be a dict"
    kind = schema.get("type", "object")
    if kind not in ("object", ["object"]):
        return "the schema must describe an object: `type` must be 'object'"
    properties = schema.get("properties", {})
    if not isinstance(properties, Mapping):
        return "`properties` of the schema must be a dict"
    required = schema.get("required", [])
    if not isinstance(required, list) or not all(isinstance(name, str) for name in required):
        return "`required` of the schema must be a list of names"
    try:
        json.dumps(schema)
    except (TypeError, ValueError, RecursionError):
        return "the schema must consist of plain JSON values"
    return None


@dataclass(slots=True)
class _Check:
    root: _Schema
    visits: int = 0
    patterns: dict[str, Any] = field(default_factory=dict)

    def node(self, value: object, schema: object, path: str, depth: int) -> Iterator[str]:
        self.visits += 1
        if depth > _MAX_DEPTH or self.visits > _MAX_VISITS:
            yield f"{path}: nested too deeply, or too large"
            return
        if schema is True or schema == {}:
            return
        if schema is False:
            yield f"{path}: nothing is allowed here"
            return
        if not isinstance(schema, Mapping):
            yield f"{path}: the schema is not an object"
            return
        for check in _KEYWORDS:
            yield from check(self, value, schema, path, depth)

    def valid(self, value: object, schema: object, path: str, depth: int) -> bool:
        return next(self.node(value, schema, path, depth), None) is None

    def pattern(self, text: str) -> Any:  # noqa: ANN401 - re2 has no types
        if text not in self.patterns:
            try:
                self.patterns[text] = re2.compile(text, _OPTIONS)
            except re2.error:
                self.patterns[text] = None
        return self.patterns[text]


def _reference(
    check: _Check, value: object, schema: _Schema, path: str, depth: int
) -> Iterator[str]:
    name = schema.get("$ref")
    if not isinstance(name, str):
        return
    found: object = check.root
    for part in name.removeprefix("#").split("/"):
        if part:
            key = part.replace("~1", "/").replace("~0", "~")
            found = found.get(key) if isinstance(found, Mapping) else None
    if not name.startswith("#") or found is None:
        yield f"{path}: the schema refers to `{name}`, which is not in it"
        return
    yield from check.node(value, found, path, depth + 1)


def _is_number(value: object) -> TypeGuard[float]:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return isinstance(value, int) or math.isfinite(value)


_TYPES: Final[Mapping[str, Callable[[object], bool]]] = {
    "null": lambda value: value is None,
    "boolean": lambda value: isinstance(value, bool),
    "string": lambda value: isinstance(value, str),
    "array": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
    "number": _is_number,
    "integer": lambda value: _is_number(value) and (isinstance(value, int) or value.is_integer()),
}


def _type(check: _Check, value: object, schema: _Schema, path: str, depth: int) -> Iterator[str]:
    del check, depth
    kind = schema.get("type")
    kinds = kind if isinstance(kind, list) else [kind]
    if kind is None or any(isinstance(one, str) and _is(value, one) for one in kinds):
        return
    yield f"{path}: must be of type {', '.join(map(str, kinds))}"


def _is(value: object, kind: str) -> bool:
    test = _TYPES.get(kind)
    return test is not None and test(value)


def _fixed(check: _Check, value: object, schema: _Schema, path: str, depth: int) -> Iterator[str]:
    del check, depth
    if "const" in schema and not _same(value, schema["const"]):
        yield f"{path}: must be {_shown(schema['const'])}"
    members = schema.get("enum")
    if isinstance(members, list) and not any(_same(value, one) for one in members):
        yield f"{path}: must be one of {', '.join(_shown(one) for one in members[:20])}"


def _same(a: object, b: object) -> bool:
    """Equality of JSON values: true is not 1."""
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    return _canonical(a) == _canonical(b) if isinstance(a, dict | list) else a == b


def _canonical(value: object) -> str:
    return json.dumps(value, sort_keys=True)


def _shown(value: object) -> str:
    return json.dumps(value)[:100]


def _string(check: _Check, value: object, schema: _Schema, path: str, depth: int) -> Iterator[str]:
    del depth
    if not isinstance(value, str):
        return
    yield from _length(len(value), schema, path, ("minLength", "maxLength"), "characters")
    pattern = schema.get("pattern")
    if isinstance(pattern, str):
        compiled = check.pattern(pattern)
        if compiled is None:
            yield f"{path}: the pattern of the schema is not supported"
        elif compiled.search(value) is None:
            yield f"{path}: must match the pattern {_shown(pattern)}"


def _length(
    size: int, schema: _Schema, path: str, bounds: tuple[str, str], what: str
) -> Iterator[str]:
    low, high = schema.get(bounds[0]), schema.get(bounds[1])
    if _is_number(low) and size < low:
        yield f"{path}: must have at least {low} {what}"
    if _is_number(high) and size > high:
        yield f"{path}: must have at most {high} {what}"


def _number(check: _Check, value: object, schema: _Schema, path: str, depth: int) -> Iterator[str]:
    del check, depth
    if not _is_number(value):
        return
    number = value
    for name, holds, words in _BOUNDS:
        bound = schema.get(name)
        if _is_number(bound) and not holds(number, bound):
            yield f"{path}: must be {words} {bound}"
    step = schema.get("multipleOf")
    if _is_number(step) and step > 0:
        try:
            quotient = number / step
        except OverflowError:
            return
        if abs(quotient - round(quotient)) > 1e-9:
            yield f"{path}: must be a multiple of {step}"


_BOUNDS: Final[tuple[tuple[str, Callable[[Any, Any], bool], str], ...]] = (
    ("minimum", lambda number, bound: number >= bound, "at least"),
    ("maximum", lambda number, bound: number <= bound, "at most"),
    ("exclusiveMinimum", lambda number, bound: number > bound, "more than"),
    ("exclusiveMaximum", lambda number, bound: number < bound, "less than"),
)


def _object(check: _Check, value: object, schema: _Schema, path: str, depth: int) -> Iterator[str]:
    if not isinstance(value, dict):
        return
    yield from _length(len(value), schema, path, ("minProperties", "maxProperties"), "members")
    properties = schema.get("properties")
    known = properties if isinstance(properties, Mapping) else {}
    required = schema.get("required")
    for name in required if isinstance(required, list) else ():
        if name not in value:
            yield f"{path}.{name}: is required"
    patterns = schema.get("patternProperties")
    by_pattern = patterns if isinstance(patterns, Mapping) else {}
    others = schema.get("additionalProperties", True)
    for name, member in value.items():
        inside = f"{path}.{name}"
        matched = name in known
        if matched:
            yield from check.node(member, known[name], inside, depth + 1)
        for pattern, wanted in by_pattern.items():
            compiled = check.pattern(pattern)
            if compiled is not None and compiled.search(name) is not None:
                matched = True
                yield from check.node(member, wanted, inside, depth + 1)
        if matched:
            continue
        if others is False:
            yield f"{inside}: is not in the schema"
        else:
            yield from check.node(member, others, inside, depth + 1)


def _array(check: _Check, value: object, schema: _Schema, path: str, depth: int) -> Iterator[str]:
    if not isinstance(value, list):
        return
    yield from _length(len(value), schema, path, ("minItems", "maxItems"), "items")
    prefix = schema.get("prefixItems")
    first = prefix if isinstance(prefix, list) else []
    rest = schema.get("items", True)
    for index, item in enumerate(value):
        wanted = first[index] if index < len(first) else rest
        yield from check.node(item, wanted, f"{path}[{index}]", depth + 1)
    unique = schema.get("uniqueItems") is True
    if unique and len({_canonical(item) for item in value}) < len(value):
        yield f"{path}: must not hold an item twice"


def _combined(
    check: _Check, value: object, schema: _Schema, path: str, depth: int
) -> Iterator[str]:
    for part in _list(schema, "allOf"):
        yield from check.node(value, part, path, depth + 1)
    options = _list(schema, "anyOf")
    if options and not any(check.valid(value, one, path, depth + 1) for one in options):
        yield f"{path}: fits none of the alternatives of `anyOf`"
    single = _list(schema, "oneOf")
    if single and sum(check.valid(value, one, path, depth + 1) for one in single) != 1:
        yield f"{path}: must fit exactly one of the alternatives of `oneOf`"
    if "not" in schema and check.valid(value, schema["not"], path, depth + 1):
        yield f"{path}: is what the schema excludes"


def _list(schema: _Schema, name: str) -> list[object]:
    found = schema.get(name)
    return found if isinstance(found, list) else []


_KEYWORDS: Final = (_reference, _type, _fixed, _string, _number, _object, _array, _combined)
