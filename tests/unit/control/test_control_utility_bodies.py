"""Header validation, model lists, route list, health and token counts."""

import base64
import json
import struct
from typing import Any

import anthropic.types
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types import Model
from sequrity.control.types.headers import (
    FeaturesHeader,
    FineGrainedConfigHeader,
    SecurityPolicyHeader,
)

from interlock.kernel.errors import ErrorKind, InterlockError
from interlock.surfaces.control.headers import MAX_HEADER_BYTES
from interlock.surfaces.control.render import (
    count_tokens_body,
    health_body,
    model_body,
    models_body,
    root_body,
)
from interlock.surfaces.control.routing import Router
from interlock.surfaces.control.tokens import estimate_tokens
from interlock.surfaces.control.validate import validate_headers


def compiles(code: str, language: str) -> list[str]:
    """Stands in for the policy compiler: whatever says `bad` does not compile."""
    return [f"line 1, column 1: no such rule ({language})"] if "bad" in code else []


def validate(body: object) -> dict[str, Any]:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return json.loads(validate_headers(raw, compiles))


def test_absent_headers_are_null_and_valid_ones_say_what_was_given() -> None:
    result = validate(
        {
            "x_features": FeaturesHeader.dual_llm(toxicity_filter=True).dump_for_headers(),
            "x_policy": None,
        }
    )

    assert result == {
        "x_features": {
            "valid": True,
            "normalized": {
                "agent_arch": "dual-llm",
                "content_classifiers": [{"name": "toxicity_filter", "threshold": 0.5}],
            },
            "errors": [],
            "warnings": [],
        },
        "x_policy": None,
        "x_config": None,
    }
    assert validate({}) == {"x_features": None, "x_policy": None, "x_config": None}


def test_one_bad_header_does_not_make_the_others_bad() -> None:
    result = validate(
        {
            "x_features": "not valid json{{{",
            "x_policy": SecurityPolicyHeader.dual_llm(mode="custom").dump_for_headers(),
            "x_config": FineGrainedConfigHeader.dual_llm().dump_for_headers(),
        }
    )

    assert result["x_features"]["valid"] is False
    assert result["x_features"]["normalized"] is None
    assert "Invalid JSON" in result["x_features"]["errors"][0]
    assert result["x_policy"]["normalized"]["mode"] == "custom"
    assert result["x_config"]["normalized"]["fsm"]["max_n_turns"] == 5


@pytest.mark.parametrize(
    ("member", "text", "error"),
    [
        (
            "x_features",
            '{"agent_arch": "triple-llm"}',
            "agent_arch: Input should be 'single-llm' or 'dual-llm'",
        ),
        ("x_features", '{"unknown_field": 1}', "unknown_field: Extra inputs are not permitted"),
        ("x_policy", '{"presets": {"a": 1}}', "presets.a: Extra inputs are not permitted"),
        (
            "x_config",
            '{"fsm": {"max_n_turns": 0}}',
            "fsm.max_n_turns: Input should be greater than or equal to 1",
        ),
        ("x_config", "[]", "Input should be a JSON object"),
    ],
)
def test_schema_errors_are_path_and_message(member: str, text: str, error: str) -> None:
    assert validate({member: text})[member] == {
        "valid": False,
        "normalized": None,
        "errors": [error],
        "warnings": [],
    }


def test_every_schema_error_is_listed() -> None:
    text = json.dumps({"fsm": {f"k{n}": 1 for n in range(20)}})

    assert len(validate({"x_config": text})["x_config"]["errors"]) == 20


def test_code_that_does_not_compile_is_a_warning_and_the_header_stays_valid() -> None:
    header = SecurityPolicyHeader.single_llm(codes="bad").dump_for_headers()

    report = validate({"x_policy": header})["x_policy"]

    assert (report["valid"], report["errors"]) == (True, [])
    assert report["warnings"] == ["line 1, column 1: no such rule (sqrt)"]
    assert validate({"x_policy": '{"codes":{"code":"bad","language":"cedar"}}'})["x_policy"][
        "warnings"
    ] == ["line 1, column 1: no such rule (cedar)"]
    assert validate({"x_policy": '{"codes":"fine"}'})["x_policy"]["warnings"] == []


def test_a_compiler_that_raises_is_a_warning_too() -> None:
    def raises(code: str, language: str) -> list[str]:
        raise InterlockError(f"{language} is not built in ({len(code)})")

    body = json.loads(validate_headers(b'{"x_policy":"{\\"codes\\":\\"x\\"}"}', raises))

    assert body["x_policy"]["warnings"] == ["sqrt is not built in (1)"]


def test_an_unknown_prompt_template_is_a_warning() -> None:
    report = validate({"x_config": '{"prompt":{"pllm":{"flavor":"gothic"}}}'})["x_config"]

    assert report["valid"] is True
    assert report["warnings"] == [
        "prompt.pllm.flavor: unknown flavor, available: 'universal', 'code'"
    ]


def test_a_header_that_would_be_too_long_on_a_request_is_invalid_here() -> None:
    report = validate({"x_policy": json.dumps({"codes": "x" * MAX_HEADER_BYTES})})["x_policy"]

    assert report["errors"] == [f"longer than {MAX_HEADER_BYTES} bytes"]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"", None),
        (b"nope", None),
        (b"\xff", None),
        (b"[]", None),
        (b"null", None),
        (b"[" * 50_000, None),
        ({"x_features": {}}, "x_features"),
        ({"x_policy": 5}, "x_policy"),
        ({"x_config": ["{}"]}, "x_config"),
    ],
)
def test_a_body_of_the_wrong_shape_is_refused(body: object, param: str | None) -> None:
    with pytest.raises(InterlockError) as caught:
        validate(body)

    assert caught.value.error_kind is ErrorKind.INVALID
    assert caught.value.param == param


def test_the_openai_model_list_is_what_its_sdk_reads() -> None:
    body = json.loads(models_body(["b", "a", "b"], created=1700000000, provider="demo"))

    assert body == {
        "object": "list",
        "data": [
            {"id": "b", "object": "model", "created": 1700000000, "owned_by": "demo"},
            {"id": "a", "object": "model", "created": 1700000000, "owned_by": "demo"},
        ],
    }
    Model.model_validate(body["data"][0])


def test_the_anthropic_model_list_is_what_its_sdk_reads() -> None:
    body = json.loads(models_body(["b", "a"], created=0, anthropic=True))

    assert (body["has_more"], body["first_id"], body["last_id"]) == (False, "b", "a")
    item = anthropic.types.ModelInfo.model_validate(body["data"][0])
    assert (item.id, item.type, item.display_name) == ("b", "model", "b")
    assert json.loads(models_body([], created=0, anthropic=True)) == {
        "data": [],
        "has_more": False,
        "first_id": None,
        "last_id": None,
    }


def test_one_model_is_found_by_name_or_not_found() -> None:
    body = json.loads(model_body("a/b", ["a/b"], created=5))

    assert (body["id"], body["owned_by"]) == ("a/b", "interlock")
    with pytest.raises(InterlockError) as caught:
        model_body("c", ["a/b"], created=5)
    assert caught.value.error_kind is ErrorKind.NOT_FOUND


def test_the_root_lists_the_routes() -> None:
    body = json.loads(root_body("0.1.0", Router().list_routes()))

    assert (body["service"], body["version"]) == ("control", "0.1.0")
    assert {"method": "POST", "path": "/control/v1/validate-headers"} in body["routes"]


def test_health_is_ok_until_a_check_is_not() -> None:
    assert health_body() == (200, b'{"status":"ok"}')
    assert health_body({"store": "ok"}) == (200, b'{"status":"ok"}')
    status, body = health_body({"store": "unreachable", "x": "ok"})
    assert status == 503
    assert json.loads(body) == {
        "status": "degraded",
        "checks": {"store": "unreachable", "x": "ok"},
    }


def tokens(content: Any, **more: Any) -> int:
    return estimate_tokens({"messages": [{"role": "user", "content": content}], **more})


def test_text_counts_a_token_per_four_bytes_wherever_it_stands() -> None:
    empty = tokens("")

    assert tokens("x" * 400) - empty == 100
    assert tokens([{"type": "text", "text": "x" * 400}]) - empty == 100
    assert tokens("", system="x" * 400) - empty == 100
    assert tokens("", system=[{"type": "text", "text": "x" * 400}]) - empty == 100
    assert tokens("語" * 400) - empty == 300


def test_tools_and_tool_traffic_count_with_their_schemas_and_arguments() -> None:
    tool = {"name": "t", "description": "d" * 400, "input_schema": {"p": "x" * 400}}
    result = [{"type": "tool_result", "tool_use_id": "i", "content": "x" * 400}]
    use = [{"type": "tool_use", "id": "i", "name": "t", "input": {"a": "x" * 400}}]

    assert tokens("", tools=[tool]) - tokens("") > 500
    assert tokens("", tools=[tool, tool]) - tokens("", tools=[tool]) > 200
    assert tokens("", tools=[]) == tokens("")
    assert 100 < tokens(result) - tokens("") < 130
    assert 100 < tokens(use) - tokens("") < 130


def image(data: bytes) -> list[dict[str, Any]]:
    source = {"type": "base64", "media_type": "x", "data": base64.b64encode(data).decode()}
    return [{"type": "image", "source": source}]


PNG = b"\x89PNG\r\n\x1a\n" + b"\0\0\0\rIHDR" + struct.pack(">II", 300, 250) + b"\x08\x06"
GIF = b"GIF89a" + struct.pack("<HH", 300, 250)
WEBP_X = (
    b"RIFF\0\0\0\0WEBPVP8X" + b"\0" * 8 + (299).to_bytes(3, "little") + (249).to_bytes(3, "little")
)
WEBP_L = b"RIFF\0\0\0\0WEBPVP8L\0\0\0\0\x2f" + (299 | 249 << 14).to_bytes(4, "little") + b"\0" * 5
WEBP_ = b"RIFF\0\0\0\0WEBPVP8 " + b"\0" * 10 + struct.pack("<HH", 300, 250)
JPEG = (
    b"\xff\xd8\xff\xe0\0\x10"
    + b"J" * 14
    + b"\xff\xc0\0\x11\x08"
    + struct.pack(">HH", 250, 300)
    + b"\3"
)


@pytest.mark.parametrize("data", [PNG, GIF, WEBP_X, WEBP_L, WEBP_, JPEG])
def test_an_image_counts_by_its_area(data: bytes) -> None:
    assert tokens(image(data)) - tokens("") == 300 * 250 // 750


def test_a_large_or_unreadable_image_counts_as_the_largest_there_is() -> None:
    huge = PNG[:16] + struct.pack(">II", 9000, 9000)

    assert tokens(image(huge)) - tokens("") == 1600
    assert tokens(image(b"nothing")) - tokens("") == 1600
    assert tokens([{"type": "image", "source": {"type": "url", "url": "u"}}]) - tokens("") == 1600


def test_documents_count_by_page_or_by_text() -> None:
    pdf = b"%PDF /Type /Pages /Type /Page /Type/Page >>"
    source = {"type": "base64", "data": base64.b64encode(pdf).decode()}

    assert tokens([{"type": "document", "source": source}]) - tokens("") == 4000
    assert (
        tokens([{"type": "document", "source": {"type": "text", "data": "x" * 400}}]) - tokens("")
        == 100
    )


def test_earlier_thinking_is_free() -> None:
    block = {"type": "thinking", "thinking": "x" * 400, "signature": "s" * 400}

    assert tokens([block]) == tokens("")


def test_the_answer_is_one_number() -> None:
    body = b'{"model":"m","messages":[{"role":"user","content":"Hello, world"}]}'

    assert json.loads(count_tokens_body(body)) == {"input_tokens": 7}


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"", None),
        (b"[]", None),
        (b"[" * 50_000, None),
        (b'{"model":"m"}', "messages"),
        (b'{"model":"m","messages":"x"}', "messages"),
        (b'{"messages":[]}', "model"),
    ],
)
def test_what_is_no_messages_request_is_refused(body: bytes, param: str | None) -> None:
    with pytest.raises(InterlockError) as caught:
        count_tokens_body(body)
    assert (caught.value.error_kind, caught.value.param) == (ErrorKind.INVALID, param)


blocks = st.recursive(
    st.none() | st.text(max_size=5) | st.integers() | st.floats(allow_nan=False),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.fixed_dictionaries(
            {
                "type": st.sampled_from(
                    ["text", "image", "document", "tool_use", "tool_result", "x"]
                )
            },
            optional=dict.fromkeys(("text", "source", "content", "input", "data", "name"), inner),
        )
    ),
    max_leaves=10,
)


@settings(max_examples=200, deadline=None)
@given(content=blocks, system=blocks, tools=blocks)
def test_any_request_has_a_count_or_is_refused(content: Any, system: Any, tools: Any) -> None:
    request = {
        "model": "m",
        "messages": [{"role": "user", "content": content}, content],
        "system": system,
        "tools": tools,
    }
    try:
        counted = json.loads(count_tokens_body(json.dumps(request).encode()))
    except InterlockError:
        return
    assert counted["input_tokens"] > 0
