"""JSON Schema validators whose patterns run in linear time and whose references stay inside.

The stock validator uses backtracking expressions: a schema or an argument from outside could
keep it busy for ever.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import re2
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from jsonschema.validators import extend
from referencing import Registry

__all__ = ["PatternError", "validator"]


class PatternError(ValueError):
    """A pattern of a schema is not one of RE2."""

    def __init__(self, pattern: object) -> None:
        super().__init__(f"pattern `{str(pattern)[:80]}` is not valid")


def _compiled(pattern: object) -> Any:  # noqa: ANN401 - re2 has no types
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(pattern, options)
    except (re2.error, TypeError):
        raise PatternError(pattern) from None


def _pattern(
    checker: Any,  # noqa: ANN401 - the types of the library
    pattern: object,
    instance: object,
    schema: object,
) -> Iterator[ValidationError]:
    del schema
    if checker.is_type(instance, "string") and not _compiled(pattern).search(instance):
        yield ValidationError(f"{instance!r} does not match {pattern!r}")


def _pattern_properties(
    checker: Any,  # noqa: ANN401 - the types of the library
    patterns: Mapping[str, Any],
    instance: object,
    schema: object,
) -> Iterator[ValidationError]:
    del schema
    if not isinstance(instance, dict):
        return
    for pattern, below in patterns.items():
        compiled = _compiled(pattern)
        for name, value in instance.items():
            if compiled.search(name):
                yield from checker.descend(value, below, path=name, schema_path=pattern)


def _additional_properties(
    checker: Any,  # noqa: ANN401 - the types of the library
    below: object,
    instance: object,
    schema: Mapping[str, Any],
) -> Iterator[ValidationError]:
    if not isinstance(instance, dict):
        return
    known = schema.get("properties", {})
    patterns = [_compiled(one) for one in schema.get("patternProperties", {})]
    extra = [
        name
        for name in instance
        if name not in known and not any(one.search(name) for one in patterns)
    ]
    if below is False:
        for name in extra:
            yield ValidationError(f"{name!r} is not a known member")
        return
    for name in extra:
        yield from checker.descend(instance[name], below, path=name)


_Checker: Final = extend(
    Draft202012Validator,
    {
        "pattern": _pattern,
        "patternProperties": _pattern_properties,
        "additionalProperties": _additional_properties,
    },
)
_NOWHERE: Final[Registry[Any]] = Registry()


def validator(schema: Any) -> Any:  # noqa: ANN401 - the types of the library
    """A validator of a schema. Its `iter_errors` may raise PatternError and Unresolvable.

    Raises jsonschema.SchemaError when the schema is none.
    """
    Draft202012Validator.check_schema(schema, format_checker=None)
    return _Checker(schema, registry=_NOWHERE)
