"""Header text to models: what is accepted, and how exactly refusals are worded."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interlock.kernel.errors import ErrorKind, InterlockError
from interlock.surfaces.control.headers import MAX_HEADER_BYTES, build_config, parse

NAMES = ("X-Features", "X-Policy", "X-Config")


def refusal(name: Any, value: object) -> InterlockError:
    raw = value if isinstance(value, str | bytes) else json.dumps(value)
    with pytest.raises(InterlockError) as caught:
        parse(name, raw)
    return caught.value


def test_a_wrong_type_names_header_path_and_what_was_expected() -> None:
    error = refusal("X-Policy", {"presets": {"default_allow": 1}})

    assert error.message == "X-Policy: presets.default_allow: Input should be a valid boolean"
    assert (error.error_kind, error.error_code, error.param) == (
        ErrorKind.INVALID,
        "invalid_header",
        "X-Policy",
    )


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "raw",
    ["", "nope", "{bad json", "}{not json", '{"a":NaN}', '{"a":"\\ud800"}', "[" * 9000, b"{}x"],
)
def test_undecodable_text_is_called_invalid_json(name: Any, raw: str) -> None:
    assert refusal(name, raw).message.startswith(f"{name}: Invalid JSON: ")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", ["[]", '"text"', "null", "1", "true"])
def test_json_that_is_no_object_is_refused(name: Any, value: str) -> None:
    assert refusal(name, value).message == f"{name}: Input should be a JSON object"


@pytest.mark.parametrize("name", NAMES)
def test_bytes_that_are_not_utf8_are_refused_by_name(name: Any) -> None:
    assert refusal(name, b'{"x_a": "\xff"}').message == f"{name}: not valid UTF-8"


def test_a_policy_of_64_kib_fits_and_one_beyond_the_limit_says_so() -> None:
    code = "x" * (64 << 10)
    assert parse("X-Policy", json.dumps({"codes": code})).given() == {"codes": {"code": code}}

    error = refusal("X-Policy", json.dumps({"codes": "x" * MAX_HEADER_BYTES}))
    assert error.error_kind is ErrorKind.HEADERS_TOO_LARGE
    assert error.param == "X-Policy"


WRONG = [
    ("X-Features", {"agent_arch": "triple-llm"}, "agent_arch"),
    ("X-Features", {"agent_arch": 1}, "agent_arch"),
    ("X-Features", {"unknown_field": 123}, "unknown_field"),
    ("X-Features", {"content_classifiers": {}}, "content_classifiers"),
    ("X-Features", {"content_classifiers": [{}]}, "content_classifiers.0.name"),
    ("X-Features", {"content_classifiers": [{"name": "x"}]}, "content_classifiers.0.name"),
    (
        "X-Features",
        {"content_classifiers": [{"name": "pii_redaction", "threshold": 1.01}]},
        "content_classifiers.0.threshold",
    ),
    (
        "X-Features",
        {"content_classifiers": [{"name": "pii_redaction", "threshold": "0.5"}]},
        "content_classifiers.0.threshold",
    ),
    (
        "X-Features",
        {"content_classifiers": [{"name": "pii_redaction", "mode": "paranoid"}]},
        "content_classifiers.0.mode",
    ),
    ("X-Features", {"content_blockers": [{"name": "url_blocker", "a": 1}]}, "content_blockers.0.a"),
    ("X-Features", {"content_blockers": ["url_blocker"]}, "content_blockers.0"),
    ("X-Policy", {"mode": "ultra-strict"}, "mode"),
    ("X-Policy", {"codes": 5}, "codes"),
    ("X-Policy", {"codes": ["a", 5]}, "codes"),
    ("X-Policy", {"codes": {"code": 5}}, "codes.code"),
    ("X-Policy", {"codes": {"code": "", "language": "rego"}}, "codes.language"),
    ("X-Policy", {"codes": {"text": ""}}, "codes.text"),
    ("X-Policy", {"auto_gen": "false"}, "auto_gen"),
    ("X-Policy", {"fail_fast": 0}, "fail_fast"),
    ("X-Policy", {"presets": []}, "presets"),
    ("X-Policy", {"presets": {"bogus": True}}, "presets.bogus"),
    ("X-Policy", {"presets": {"default_allow_enforcement_level": "must"}}, "presets.default_allow"),
    (
        "X-Policy",
        {"presets": {"branching_meta_policy": {"mode": "warn"}}},
        "presets.branching_meta_policy.mode",
    ),
    (
        "X-Policy",
        {"presets": {"branching_meta_policy": {"tags": "a"}}},
        "presets.branching_meta_policy.tags",
    ),
    ("X-Policy", {"x_enforcement": "maybe"}, "x_enforcement"),
    ("X-Config", {"nonexistent": True}, "nonexistent"),
    ("X-Config", {"fsm": {"max_n_turns": 0}}, "fsm.max_n_turns"),
    ("X-Config", {"fsm": {"max_n_turns": 5.0}}, "fsm.max_n_turns"),
    ("X-Config", {"fsm": {"max_n_turns": "5"}}, "fsm.max_n_turns"),
    ("X-Config", {"fsm": {"max_n_turns": True}}, "fsm.max_n_turns"),
    ("X-Config", {"fsm": {"max_n_turns": 2**31}}, "fsm.max_n_turns"),
    ("X-Config", {"fsm": {"min_num_tools_for_filtering": 1}}, "fsm.min_num_tools_for_filtering"),
    ("X-Config", {"fsm": {"clear_session_meta": "always"}}, "fsm.clear_session_meta"),
    ("X-Config", {"fsm": {"history_mismatch_policy": "x"}}, "fsm.history_mismatch_policy"),
    ("X-Config", {"fsm": {"enabled_internal_tools": ["rm"]}}, "fsm.enabled_internal_tools.0"),
    ("X-Config", {"fsm": {"force_to_cache": ["("]}}, "fsm.force_to_cache.0"),
    ("X-Config", {"fsm": {"force_to_cache": ["(a)\\1"]}}, "fsm.force_to_cache.0"),
    ("X-Config", {"fsm": {"force_to_cache": ["[\\p{L}]{1000}"]}}, "fsm.force_to_cache.0"),
    ("X-Config", {"fsm": {"force_to_cache": ["x" * 501]}}, "fsm.force_to_cache.0"),
    ("X-Config", {"fsm": {"force_to_cache": ["x"] * 65}}, "fsm.force_to_cache"),
    (
        "X-Config",
        {"fsm": {"detect_tool_error_regex_pattern": "["}},
        "fsm.detect_tool_error_regex_pattern",
    ),
    (
        "X-Config",
        {"fsm": {"reduced_grammar_for_rllm_review": "full"}},
        "fsm.reduced_grammar_for_rllm_review",
    ),
    ("X-Config", {"fsm": {"tool_result_transform": "claude"}}, "fsm.tool_result_transform"),
    ("X-Config", {"fsm": {"pllm_candidate_models": [""]}}, "fsm.pllm_candidate_models.0"),
    ("X-Config", {"prompt": {"pllm": {"flavor": 3}}}, "prompt.pllm.flavor"),
    ("X-Config", {"prompt": {"qllm": {"debug_info_level": "normal"}}}, "prompt.qllm.debug_info"),
    ("X-Config", {"prompt": {"tool_result_error_detector_llm": {}}}, "prompt.tool_result_error"),
    (
        "X-Config",
        {"prompt": {"pllm": {"query_inline_roles": ["user"]}}},
        "prompt.pllm.query_inline",
    ),
    ("X-Config", {"response_format": {"include_program": 1}}, "response_format.include_program"),
    ("X-Config", {"llm": {"pllm": {"temperature": 2.5}}}, "llm.pllm.temperature"),
    ("X-Config", {"llm": {"pllm": {"temperature": True}}}, "llm.pllm.temperature"),
    ("X-Config", {"llm": {"pllm": {"frequency_penalty": -3}}}, "llm.pllm.frequency_penalty"),
    ("X-Config", {"llm": {"pllm": {"logit_bias": {"5": 0.5}}}}, "llm.pllm.logit_bias.5"),
    ("X-Config", {"llm": {"pllm": {"seed": 2**70}}}, "llm.pllm.seed"),
    ("X-Config", {"llm": {"pllm": {"reasoning": {"budget": 0}}}}, "llm.pllm.reasoning.budget"),
    ("X-Config", {"llm": {"error_detector_llm": {}}}, "llm.error_detector_llm"),
]


@pytest.mark.parametrize(("name", "value", "path"), WRONG)
def test_a_wrong_value_is_refused_naming_its_path(name: str, value: object, path: str) -> None:
    error = refusal(name, value)

    assert error.error_code == "invalid_header"
    assert error.message.startswith(f"{name}: {path}")


def test_several_problems_are_listed_but_never_without_end() -> None:
    error = refusal("X-Config", {"fsm": {f"key_{n}": n for n in range(200)}})

    assert error.message.count("Extra inputs are not permitted") == 5
    assert error.message.endswith("(and 195 more)")


def test_a_refusal_never_repeats_the_value() -> None:
    error = refusal("X-Features", {"agent_arch": "sk-secret", "content_blockers": "sk-secret"})

    assert "sk-secret" not in error.message


RIGHT = [
    ("X-Features", {}, {}),
    ("X-Features", {"agent_arch": None, "content_classifiers": None}, {}),
    ("X-Features", {"content_classifiers": []}, {"content_classifiers": []}),
    ("X-Policy", {"codes": "a"}, {"codes": {"code": "a"}}),
    ("X-Policy", {"codes": ["a", "b"]}, {"codes": {"code": "a\nb"}}),
    ("X-Policy", {"codes": {"language": "sqrt-lite"}}, {"codes": {"language": "sqrt-lite"}}),
    ("X-Policy", {"x_enforcement": "watch"}, {"x_enforcement": "watch"}),
    (
        "X-Policy",
        {"presets": {"branching_meta_policy": {"mode": "allow", "later": 1}}},
        {"presets": {"branching_meta_policy": {"mode": "allow"}}},
    ),
    (
        "X-Config",
        {"fsm": {"reduced_grammar_for_rllm_review": True}},
        {"fsm": {"reduced_grammar_for_rllm_review": "text"}},
    ),
    (
        "X-Config",
        {"fsm": {"reduced_grammar_for_rllm_review": False}},
        {"fsm": {"reduced_grammar_for_rllm_review": "none"}},
    ),
    ("X-Config", {"fsm": {"invalidate_program_cache_on_failure": True}}, {"fsm": {}}),
    (
        "X-Config",
        {"fsm": {"enabled_internal_tools": ["plan_and_execute", "set_policy"]}},
        {"fsm": {"enabled_internal_tools": ["set_policy"]}},
    ),
    ("X-Config", {"llm": {"pllm": {"temperature": 1}}}, {"llm": {"pllm": {"temperature": 1.0}}}),
    (
        "X-Config",
        {"llm": {"tool_result_error_detector_llm": {"reasoning": {"effort": "low"}}}},
        {"llm": {"tool_result_error_detector_llm": {"reasoning": {"effort": "low"}}}},
    ),
    ("X-Config", {"prompt": {"error_detector_llm": {}}}, {"prompt": {"error_detector_llm": {}}}),
]


@pytest.mark.parametrize(("name", "value", "given_back"), RIGHT)
def test_an_accepted_header_says_what_was_given(
    name: Any, value: object, given_back: dict[str, object]
) -> None:
    assert parse(name, json.dumps(value)).given() == given_back


def test_private_keys_are_ignored_at_every_level_and_only_they() -> None:
    value = {
        "x_a": 1,
        "fsm": {"x_b": {"c": 1}, "max_n_turns": 3},
        "prompt": {"x_c": 0, "pllm": {"x_d": []}},
        "llm": {"pllm": {"reasoning": {"x_e": 1}}},
    }

    assert parse("X-Config", json.dumps(value)).given() == {
        "fsm": {"max_n_turns": 3},
        "prompt": {"pllm": {}},
        "llm": {"pllm": {"reasoning": {}}},
    }
    assert parse(
        "X-Features", '{"x_enforcement": 5, "content_blockers": [{"name": "url_blocker", "x_": 1}]}'
    )
    assert parse("X-Policy", '{"codes": {"x_1": 1}, "presets": {"x_2": 2}}')
    assert "xa" in refusal("X-Config", {"xa": 1}).message


@pytest.mark.parametrize(
    ("mode", "threshold"),
    [("strict", 0.2), ("High Sensitivity", 0.3), ("normal", 0.5), ("low_sensitivity", 0.8)],
)
def test_a_mode_overrides_the_threshold_beside_it(mode: str, threshold: float) -> None:
    raw = {"content_classifiers": [{"name": "pii_redaction", "threshold": 0.9, "mode": mode}]}

    config = build_config("chat", None, parse("X-Features", json.dumps(raw)), None, None)

    assert [item.threshold for item in config.classifiers] == [threshold]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "agent_arch",
                    "content_classifiers",
                    "name",
                    "mode",
                    "threshold",
                    "codes",
                    "code",
                    "language",
                    "presets",
                    "default_allow",
                    "branching_meta_policy",
                    "tags",
                    "fsm",
                    "max_n_turns",
                    "force_to_cache",
                    "enabled_internal_tools",
                    "prompt",
                    "pllm",
                    "flavor",
                    "query_role_name_overrides",
                    "llm",
                    "logit_bias",
                    "seed",
                    "reasoning",
                    "x_y",
                ]
            )
            | st.text(max_size=5),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=400, deadline=None)
@given(name=st.sampled_from(NAMES), value=json_values)
def test_any_json_builds_a_config_or_is_refused_as_an_error_of_ours(name: Any, value: Any) -> None:
    def attempt() -> InterlockError | None:
        try:
            model: Any = parse(name, json.dumps(value))
            parts = [model if name == each else None for each in NAMES]
            build_config("chat", None, *parts)
        except InterlockError as error:
            return error
        return None

    error = attempt()
    assert error is None or error.message.startswith(f"{name}: ")


@settings(max_examples=300, deadline=None)
@given(name=st.sampled_from(NAMES), raw=st.binary(max_size=40) | st.text(max_size=40))
def test_any_bytes_are_a_header_or_refused_as_an_error_of_ours(name: Any, raw: Any) -> None:
    def attempt() -> InterlockError | None:
        try:
            parse(name, raw)
        except InterlockError as error:
            return error
        return None

    error = attempt()
    assert error is None or error.error_code == "invalid_header"
