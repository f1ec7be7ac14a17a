"""Whatever schema is asked for, what comes back is valid against it."""

import json
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interlock.providers.demo.schema import fill
from interlock.providers.demo.sources import TextSource, VerdictSource

TEXT = "Yes: 12 apples and 3.5 pears for bob@example.com on 2026-01-02, see https://x.io/a. Fine."


def verdict() -> VerdictSource:
    return VerdictSource(text="Demo model: fine", truth=True, low=True, about="apples")


LEAVES = st.one_of(
    st.fixed_dictionaries(
        {"type": st.just("string")},
        optional={
            "minLength": st.integers(0, 5),
            "maxLength": st.integers(5, 30),
            "format": st.sampled_from(["email", "date", "uri"]),
        },
    ),
    st.fixed_dictionaries(
        {"type": st.sampled_from(["integer", "number"])},
        optional={"minimum": st.integers(-5, 5), "maximum": st.integers(5, 50)},
    ),
    st.just({"type": "integer", "exclusiveMinimum": 2, "multipleOf": 5}),
    st.just({"type": "boolean"}),
    st.just({"type": ["null", "string"]}),
    st.just({"type": "null"}),
    st.just({"const": {"a": 1}}),
    st.lists(st.text(max_size=4) | st.integers(), min_size=1, max_size=4).map(
        lambda members: {"enum": members}
    ),
)
SCHEMAS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.dictionaries(st.text(max_size=6), inner, max_size=4).map(
            lambda members: {
                "type": "object",
                "properties": members,
                "required": list(members),
                "additionalProperties": False,
            }
        ),
        st.fixed_dictionaries(
            {"type": st.just("array"), "items": inner},
            optional={"minItems": st.integers(0, 2), "maxItems": st.integers(2, 4)},
        ),
        st.lists(inner, min_size=1, max_size=2).map(lambda options: {"anyOf": options}),
    ),
    max_leaves=8,
)


@given(SCHEMAS, st.sampled_from(["text", "empty", "verdict"]))
@settings(max_examples=150)
def test_the_value_is_valid(schema: dict[str, Any], kind: str) -> None:
    source = verdict() if kind == "verdict" else TextSource(TEXT if kind == "text" else "")

    value = fill(schema, source)

    jsonschema.Draft202012Validator(schema).validate(value)
    json.dumps(value)


@pytest.mark.parametrize(
    "schema", [None, 3, [], {}, {"type": 7}, {"$ref": "#/nowhere"}, {"enum": []}]
)
def test_what_is_no_schema_gives_a_value_all_the_same(schema: object) -> None:
    json.dumps(fill(schema, TextSource(TEXT)))


def test_a_schema_that_contains_itself_ends() -> None:
    schema = {
        "$ref": "#/$defs/node",
        "$defs": {
            "node": {
                "type": "object",
                "properties": {
                    "name": {"type": "string"},
                    "next": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/node"}]},
                },
                "required": ["name"],
            }
        },
    }

    jsonschema.Draft202012Validator(schema).validate(fill(schema, TextSource(TEXT)))


def test_a_pattern_is_looked_for_in_the_text() -> None:
    schema = {"type": "string", "pattern": r"^\d{4}-\d{2}-\d{2}$"}

    assert fill(schema, TextSource(TEXT)) == "2026-01-02"
