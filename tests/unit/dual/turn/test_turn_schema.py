"""The validator of quarantined answers."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.dual.turn.schema import object_schema_problem, problems

OBJECT: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 2, "maxLength": 5},
        "age": {"type": "integer", "minimum": 0, "exclusiveMaximum": 150},
        "kind": {"enum": ["a", "b"]},
    },
    "required": ["name"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        (OBJECT, {"name": "Ann", "age": 3, "kind": "a"}),
        ({"type": "integer"}, 3.0),
        ({"type": ["string", "null"]}, None),
        ({"const": 1}, 1),
        (
            {"type": "array", "items": {"type": "number"}, "minItems": 1, "uniqueItems": True},
            [1, 2],
        ),
        ({"prefixItems": [{"type": "string"}], "items": {"type": "integer"}}, ["a", 1, 2]),
        ({"anyOf": [{"type": "string"}, {"type": "integer"}]}, 4),
        ({"oneOf": [{"minimum": 3}, {"maximum": 1}]}, 4),
        ({"allOf": [{"minimum": 3}, {"maximum": 5}]}, 4),
        ({"not": {"type": "string"}}, 4),
        ({"pattern": "^a+$"}, "aa"),
        ({"multipleOf": 0.1}, 0.3),
        ({"$ref": "#/$defs/x", "$defs": {"x": {"type": "string"}}}, "s"),
        (
            {"patternProperties": {"^x": {"type": "integer"}}, "additionalProperties": False},
            {"xa": 1},
        ),
        ({"minProperties": 1, "maxProperties": 1}, {"a": 1}),
        (True, object),
        ({"unknown": 1}, "anything"),
    ],
)
def test_what_fits_has_no_problem(schema: object, value: object) -> None:
    assert problems(value, schema) == []


@pytest.mark.parametrize(
    ("schema", "value", "problem"),
    [
        (OBJECT, {}, "$.name: is required"),
        (OBJECT, {"name": "Ann", "x": 1}, "$.x: is not in the schema"),
        (OBJECT, {"name": "A"}, "$.name: must have at least 2 characters"),
        (OBJECT, {"name": "Annabel"}, "$.name: must have at most 5 characters"),
        (OBJECT, {"name": "Ann", "age": True}, "$.age: must be of type integer"),
        (OBJECT, {"name": "Ann", "age": 1.5}, "$.age: must be of type integer"),
        (OBJECT, {"name": "Ann", "age": -1}, "$.age: must be at least 0"),
        (OBJECT, {"name": "Ann", "age": 150}, "$.age: must be less than 150"),
        (OBJECT, {"name": "Ann", "kind": "c"}, '$.kind: must be one of "a", "b"'),
        ({"const": 1}, True, "$: must be 1"),
        ({"enum": [[1]]}, [True], "$: must be one of [1]"),
        ({"type": "number"}, float("nan"), "$: must be of type number"),
        ({"items": {"type": "string"}}, ["a", 1], "$[1]: must be of type string"),
        ({"uniqueItems": True}, [1, 1], "$: must not hold an item twice"),
        ({"minItems": 2}, [1], "$: must have at least 2 items"),
        ({"anyOf": [{"type": "string"}]}, 4, "$: fits none of the alternatives of `anyOf`"),
        ({"oneOf": [{}, {}]}, 4, "$: must fit exactly one of the alternatives of `oneOf`"),
        ({"not": {}}, 4, "$: is what the schema excludes"),
        ({"pattern": "^a$"}, "b", '$: must match the pattern "^a$"'),
        ({"pattern": "(?=a)"}, "b", "$: the pattern of the schema is not supported"),
        ({"multipleOf": 2}, 3, "$: must be a multiple of 2"),
        ({"$ref": "#/nowhere"}, 1, "$: the schema refers to `#/nowhere`, which is not in it"),
        ({"$ref": "http://x/y"}, 1, "$: the schema refers to `http://x/y`, which is not in it"),
        (False, 1, "$: nothing is allowed here"),
        ("no schema", 1, "$: the schema is not an object"),
    ],
)
def test_what_does_not_fit_is_named_with_its_place(
    schema: object, value: object, problem: str
) -> None:
    assert problem in problems(value, schema)


def test_a_schema_that_refers_to_itself_for_ever_ends() -> None:
    assert problems(1, {"$ref": "#"}) == ["$: nested too deeply, or too large"]


def test_a_schema_that_multiplies_its_own_work_ends() -> None:
    both = {"allOf": [{"$ref": "#"}] * 8}

    assert problems(1, both)[0] == "$: nested too deeply, or too large"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["type", "items", "enum", "properties", "x"]), inner)
    ),
    max_leaves=12,
)


@given(JSON, JSON)
def test_no_schema_and_no_value_crash_it(value: object, schema: object) -> None:
    assert len(problems(value, schema)) <= 10


@pytest.mark.parametrize(
    ("schema", "problem"),
    [
        ({"type": "object", "properties": {"a": {}}, "required": ["a"]}, None),
        ({}, None),
        ([], "the schema must be a dict"),
        ({"type": "array"}, "the schema must describe an object: `type` must be 'object'"),
        ({"properties": []}, "`properties` of the schema must be a dict"),
        ({"required": [1]}, "`required` of the schema must be a list of names"),
    ],
)
def test_only_objects_can_be_asked_for(schema: object, problem: str | None) -> None:
    assert object_schema_problem(schema) == problem
