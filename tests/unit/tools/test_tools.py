"""The deterministic tools: every example reproduces, and nothing asks the world."""

import asyncio
import json
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import interlock.tools.builtin
from interlock.tools.model import Example, Tool, UnknownToolError, schema
from interlock.tools.registry import TOOLS
from interlock.tools.running import ToolArgumentsError, ToolRunner, ToolTimeoutError, canonical
from interlock.tools.schemas import validator

pytestmark = pytest.mark.anyio

_EXAMPLES = [(tool, one) for tool in TOOLS.values() for one in tool.examples]


@pytest.fixture
def runner(anyio_backend: str) -> Iterator[ToolRunner]:
    del anyio_backend
    made = ToolRunner()
    yield made
    made.close()


@pytest.mark.parametrize(("tool", "example"), _EXAMPLES, ids=lambda one: getattr(one, "name", ""))
async def test_an_example_gives_what_it_says(
    runner: ToolRunner, tool: Tool, example: Example
) -> None:
    first = await runner.run(tool.name, example.arguments)
    second = await runner.run(tool.name, example.arguments)

    assert first.failure is None
    assert first.output == example.output
    assert list(validator(dict(tool.output_schema)).iter_errors(first.output)) == []
    assert (first.cached, second.cached) == (False, True)
    assert first.output_hash == second.output_hash


def test_the_set_is_complete_sorted_and_usable_as_functions() -> None:
    files = {one.stem for one in Path(interlock.tools.builtin.__file__).parent.glob("[a-z]*.py")}

    assert list(TOOLS) == sorted(TOOLS)
    assert set(TOOLS) == files
    assert all(name.replace("_", "a").isalnum() and len(name) <= 64 for name in TOOLS)
    assert all(tool.examples for tool in TOOLS.values())


@pytest.mark.parametrize(
    ("name", "arguments", "code"),
    [
        ("math_evaluate", {"expression": "1/0"}, "division_by_zero"),
        ("math_evaluate", {"expression": "1 % 0"}, "division_by_zero"),
        ("math_evaluate", {"expression": "0 ** -1"}, "division_by_zero"),
        ("math_evaluate", {"expression": "sqrt(-1)"}, "domain_error"),
        ("math_evaluate", {"expression": "(-8) ** 0.5"}, "domain_error"),
        ("math_evaluate", {"expression": "9**9**9**9"}, "too_large"),
        ("math_evaluate", {"expression": "factorial(10000)"}, "domain_error"),
        ("math_evaluate", {"expression": "2 +"}, "syntax_error"),
        ("math_evaluate", {"expression": "__import__('os')"}, "syntax_error"),
        ("math_evaluate", {"expression": "(" * 500 + "1" + ")" * 400}, "too_complex"),
        ("math_evaluate", {"expression": "1 2"}, "syntax_error"),
        ("unit_convert", {"value": 1, "from": "km", "to": "kg"}, "incompatible_units"),
        ("unit_convert", {"value": 1, "from": "km", "to": "parsec"}, "unknown_unit"),
        ("unit_convert", {"value": -500, "from": "C", "to": "K"}, "domain_error"),
        ("date_shift", {"date": "9999-12-31", "days": 1}, "out_of_range"),
        ("date_shift", {"date": "0001-01-01", "years": -1}, "out_of_range"),
        ("date_shift", {"date": "not a date"}, "invalid_date"),
        (
            "date_diff",
            {"start": "2026-01-01T00:00:00Z", "end": "2026-01-02T00:00:00"},
            "mixed_offsets",
        ),
        (
            "timezone_convert",
            {"datetime": "2026-01-01T00:00:00Z", "to": "../etc/passwd"},
            "unknown_zone",
        ),
        ("timezone_convert", {"datetime": "2026-01-01T00:00:00", "to": "UTC"}, "missing_zone"),
        ("text_regex", {"operation": "find", "pattern": "(", "text": ""}, "invalid_pattern"),
        (
            "text_regex",
            {"operation": "replace", "pattern": "a", "text": "a", "replacement": r"\9"},
            "invalid_replacement",
        ),
        ("text_template", {"template": "{{ a }}", "values": {}}, "missing_value"),
        ("json_query", {"document": {}, "query": "a["}, "invalid_query"),
        ("json_validate", {"document": 1, "schema": {"type": "nonsense"}}, "invalid_schema"),
        (
            "json_validate",
            {"document": 1, "schema": {"$ref": "https://example.com/x"}},
            "invalid_schema",
        ),
        ("json_validate", {"document": "a", "schema": {"pattern": "(?=a)"}}, "invalid_schema"),
        ("table_aggregate", {}, "invalid_arguments"),
        ("base64_codec", {"operation": "decode", "text": "%%"}, "invalid_base64"),
        ("base64_codec", {"operation": "decode", "text": "/w=="}, "not_text"),
        ("uuid_v5", {"namespace": "moon", "name": "x"}, "invalid_namespace"),
        ("list_ops", {"operation": "union", "items": []}, "invalid_arguments"),
    ],
)
async def test_what_a_tool_cannot_answer_is_an_outcome(
    runner: ToolRunner, name: str, arguments: Mapping[str, Any], code: str
) -> None:
    ran = await runner.run(name, arguments)

    assert ran.output is None
    assert ran.failure is not None
    assert ran.failure[0] == code
    assert ran.failure[1]


@pytest.mark.parametrize(
    ("name", "arguments", "field"),
    [
        ("math_evaluate", {}, "arguments"),
        ("math_evaluate", {"expression": 5}, "arguments.expression"),
        ("math_evaluate", {"expression": "1", "extra": 1}, "arguments"),
        ("math_evaluate", {"expression": "1" * 1001}, "arguments.expression"),
        ("math_statistics", {"values": []}, "arguments.values"),
        ("math_statistics", {"values": [1, "2"]}, "arguments.values.1"),
        ("text_stats", {"text": "x" * 300_000}, "arguments"),
    ],
)
async def test_arguments_outside_the_schema_are_refused_by_name(
    runner: ToolRunner, name: str, arguments: Mapping[str, Any], field: str
) -> None:
    with pytest.raises(ToolArgumentsError) as caught:
        await runner.run(name, arguments)

    assert caught.value.param == field


async def test_an_unknown_tool_does_not_exist(runner: ToolRunner) -> None:
    with pytest.raises(UnknownToolError):
        await runner.run("shell", {})


async def test_a_pattern_that_would_backtrack_for_ever_is_linear(runner: ToolRunner) -> None:
    evil = "(a+)+$"
    text = "a" * 50_000 + "!"
    found = await runner.run("text_regex", {"operation": "test", "pattern": evil, "text": text})
    checked = await runner.run(
        "json_validate", {"document": text, "schema": {"type": "string", "pattern": evil}}
    )

    assert (found.output or {})["matched"] is False
    assert (checked.output or {})["valid"] is False


async def test_a_tool_that_takes_too_long_is_given_up_and_others_go_on() -> None:
    released = threading.Event()

    def stuck(arguments: Mapping[str, Any]) -> dict[str, Any]:
        del arguments
        released.wait(10)
        return {}

    slow = Tool(
        name="slow",
        title="",
        description="",
        category="",
        input_schema=schema(),
        output_schema=schema(),
        examples=(),
        run=stuck,
        timeout_ms=20,
    )
    runner = ToolRunner({"slow": slow, **TOOLS})
    try:
        with pytest.raises(ToolTimeoutError):
            await runner.run("slow", {})
        ran = await runner.run("math_evaluate", {"expression": "1+1"})
        assert ran.output == {"result": "2"}
    finally:
        released.set()
        runner.close()


def test_no_tool_reads_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: object) -> float:
        raise AssertionError

    monkeypatch.setattr(time, "time", forbidden)
    for tool, example in _EXAMPLES:
        assert canonical(tool.run(example.arguments)) == canonical(example.output)


@given(st.text(alphabet="0123456789.+-*/%()^ eapi,sqrtlnmx", max_size=60))
@settings(max_examples=400, deadline=None)
def test_no_expression_crashes_the_calculator(expression: str) -> None:
    async def go() -> None:
        runner = ToolRunner()
        try:
            if expression:
                ran = await runner.run("math_evaluate", {"expression": expression})
                assert (ran.output is None) != (ran.failure is None)
        finally:
            runner.close()

    asyncio.run(go())


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-1000, 1000) | st.text(max_size=8),
    lambda below: (
        st.lists(below, max_size=4) | st.dictionaries(st.text(max_size=4), below, max_size=4)
    ),
    max_leaves=12,
)


@given(st.lists(_JSON, max_size=12), st.lists(_JSON, max_size=6))
@settings(max_examples=200, deadline=None)
def test_lists_of_anything_are_taken(items: list[Any], other: list[Any]) -> None:
    tool = TOOLS["list_ops"]
    for operation in tool.input_schema["properties"]["operation"]["enum"]:
        given_ = {"operation": operation, "items": items, "other": other, "size": 3}
        first, second = tool.run(given_), tool.run(json.loads(json.dumps(given_)))
        assert canonical(first) == canonical(second)
