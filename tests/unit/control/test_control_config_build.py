"""The pipeline from stored config and headers to a session config: presets and merge laws."""

import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interlock.gateway.config import (
    BranchingPolicy,
    Classifier,
    ResponseFormatConfig,
    SessionConfig,
    config_hash,
    decode_config,
    encode_config,
)
from interlock.kernel.errors import ErrorKind, InterlockError
from interlock.policy.model import Presets
from interlock.surfaces.control.build import merge, split_models
from interlock.surfaces.control.headers import ConfigCache, build_config, parse, parse_base

DUAL = {"agent_arch": "dual-llm"}
SINGLE = {"agent_arch": "single-llm"}


def build(
    features: Any = None,
    policy: Any = None,
    config: Any = None,
    *,
    endpoint: Any = "chat",
    base: Any = None,
) -> SessionConfig:
    return build_config(
        endpoint,
        base,
        None if features is None else parse("X-Features", json.dumps(features)),
        None if policy is None else parse("X-Policy", json.dumps(policy)),
        None if config is None else parse("X-Config", json.dumps(config)),
    )


def test_without_anything_a_session_is_single_llm_and_unlimited() -> None:
    config = build()

    assert (config.arch, config.endpoint) == ("single-llm", "chat")
    assert config.policy.presets == Presets(enable_non_executable_memory=False)
    assert config.fsm.max_n_turns is None
    assert config.fsm.min_num_tools_for_filtering is None
    assert (config.classifiers, config.blockers, config.prompt, config.llm) == ((), (), {}, {})
    assert config.shadow is None


@pytest.mark.parametrize(
    ("endpoint", "turns", "multistep", "mismatch", "flavor"),
    [
        ("chat", 5, False, "continue", "universal"),
        ("code", None, True, "restart_turn", "code"),
        ("agent", None, True, "continue", "universal"),
        ("lang-graph", None, False, "continue", "universal"),
    ],
)
def test_each_endpoint_type_has_its_own_dual_llm_preset(
    endpoint: str, turns: int | None, multistep: bool, mismatch: str, flavor: str
) -> None:
    config = build(DUAL, endpoint=endpoint)

    assert config.fsm.max_n_turns == turns
    assert config.fsm.dual["enable_multistep_planning"] is multistep
    assert config.fsm.history_mismatch_policy == mismatch
    assert config.prompt["pllm"]["flavor"] == flavor
    assert config.policy.presets.enable_non_executable_memory


def test_every_dual_fsm_key_has_its_default() -> None:
    assert build(DUAL).fsm.dual == {
        "clear_history_every_n_attempts": None,
        "disable_rllm": True,
        "enable_multistep_planning": False,
        "enabled_internal_tools": ["parse_with_ai", "verify_hypothesis"],
        "prune_failed_steps": True,
        "force_to_cache": [],
        "max_pllm_steps": 4,
        "max_pllm_failed_steps": None,
        "max_tool_calls_per_step": 200,
        "reduced_grammar_for_rllm_review": "text",
        "retry_on_policy_violation": False,
        "wrap_tool_result": False,
        "detect_tool_errors": "none",
        "detect_tool_error_regex_pattern": r"(?is)^\s*(error|exception|traceback|failed|fatal)\b",
        "detect_tool_error_max_result_length": None,
        "strict_tool_result_parsing": False,
        "tool_result_transform": "none",
        "n_pllm_plans": 1,
        "pllm_candidate_models": None,
        "pllm_context_pruning": True,
    }


def test_lang_graph_is_dual_llm_without_review_whatever_the_headers_say() -> None:
    config = build(SINGLE, None, {"fsm": {"disable_rllm": False}}, endpoint="lang-graph")

    assert config.arch == "dual-llm"
    assert config.fsm.dual["disable_rllm"] is True


def test_single_llm_ignores_what_it_cannot_do() -> None:
    config = build(
        SINGLE,
        {
            "auto_gen": True,
            "mode": "custom",
            "presets": {
                "enable_non_executable_memory": True,
                "llm_blocked_tag_enforcement_level": "soft",
                "branching_meta_policy": {"mode": "allow", "tags": ["a"]},
            },
        },
        {
            "response_format": {"strip_response_content": True},
            "prompt": {"pllm": {"flavor": "nonsense"}},
            "llm": {"pllm": {"temperature": 0}},
            "fsm": {"max_n_turns": 3, "max_pllm_steps": 9},
        },
    )

    assert config.policy.auto_gen is False
    assert config.policy.branching == BranchingPolicy()
    assert config.policy.presets == Presets(
        enable_non_executable_memory=False, llm_blocked_tag_enforcement_level="soft"
    )
    assert config.policy.mode == "custom"
    assert config.response_format == ResponseFormatConfig()
    assert config.prompt == {}
    assert config.llm == {"pllm": {"temperature": 0.0}}
    assert config.fsm.max_n_turns == 3


def test_dual_llm_takes_all_of_it() -> None:
    config = build(
        DUAL,
        {
            "auto_gen": True,
            "presets": {"branching_meta_policy": {"mode": "allow", "tags": ["b", "a", "a"]}},
        },
        {
            "response_format": {"include_program": True},
            "prompt": {"pllm": {"version": "v1"}, "tllm": {"add_tool_description": True}},
        },
    )

    assert config.policy.auto_gen is True
    assert config.policy.branching == BranchingPolicy(mode="allow", tags=frozenset({"a", "b"}))
    assert config.response_format == ResponseFormatConfig(include_program=True)
    assert config.prompt["pllm"]["version"] == "v1"
    assert config.prompt["pllm"]["flavor"] == "universal"
    assert config.prompt["tllm"] == {"add_tool_description": True}


def test_an_unknown_prompt_flavour_lists_those_there_are() -> None:
    with pytest.raises(InterlockError) as caught:
        build(DUAL, None, {"prompt": {"pllm": {"flavor": "gothic"}, "qllm": {"version": "9"}}})

    assert caught.value.message == (
        "X-Config: prompt.pllm.flavor: unknown flavor, available: 'universal', 'code'; "
        "prompt.qllm.version: unknown version, available: 'latest', 'v1'"
    )
    assert caught.value.param == "X-Config"


BASE: dict[str, Any] = {
    "x_features": {
        "agent_arch": "dual-llm",
        "content_classifiers": [{"name": "pii_redaction", "threshold": 0.7}],
        "content_blockers": [{"name": "url_blocker"}],
    },
    "x_policy": {
        "mode": "strict",
        "codes": {"code": 'tool "a" { must deny always; }', "language": "sqrt"},
        "fail_fast": False,
        "presets": {
            "default_allow": False,
            "branching_meta_policy": {"mode": "allow", "tags": ["t"], "producers": ["p"]},
        },
    },
    "x_config": {
        "fsm": {"max_n_turns": 7, "force_to_cache": ["a", "b"], "max_pllm_steps": 9},
        "prompt": {"pllm": {"debug_info_level": "extra"}, "qllm": {"flavor": "universal"}},
        "response_format": {"include_program": True},
        "llm": {"pllm": {"temperature": 0.5, "reasoning": {"effort": "low", "budget": 9}}},
    },
}


def test_without_headers_the_keys_config_is_what_holds() -> None:
    config = build(base=BASE)

    assert config.arch == "dual-llm"
    assert config.classifiers == (Classifier(name="pii_redaction", threshold=0.7),)
    assert [item.name for item in config.blockers] == ["url_blocker"]
    assert (config.policy.mode, config.policy.code) == ("strict", 'tool "a" { must deny always; }')
    assert config.policy.presets.default_allow is False
    assert config.policy.presets.fail_fast is False
    assert config.fsm.max_n_turns == 7


def test_the_stored_config_is_never_changed_or_shared() -> None:
    base = copy.deepcopy(BASE)

    config = build(
        DUAL,
        {"presets": {"default_allow": True}},
        {"fsm": {"force_to_cache": []}, "llm": {"pllm": {"seed": 1}}},
        base=base,
    )
    config.llm["pllm"]["temperature"] = 2.0
    config.fsm.dual["force_to_cache"].append("x")

    assert base == BASE
    assert build(base=base) == build(base=BASE)


def test_built_in_presets_are_never_shared_either() -> None:
    build(DUAL).fsm.dual["enabled_internal_tools"].clear()
    build(DUAL).prompt["pllm"].clear()

    assert build(DUAL).fsm.dual["enabled_internal_tools"] == ["parse_with_ai", "verify_hypothesis"]
    assert build(DUAL).prompt["pllm"]["flavor"] == "universal"


def test_present_fields_replace_and_the_rest_stays() -> None:
    config = build(
        {"content_blockers": []},
        {
            "presets": {
                "default_allow_enforcement_level": "hard",
                "branching_meta_policy": {"tags": ["u"]},
            }
        },
        {
            "fsm": {"max_pllm_steps": 2, "force_to_cache": ["c"]},
            "prompt": {"pllm": {"clarify_ambiguous_queries": False}},
            "response_format": {"stream_thoughts": True},
            "llm": {"pllm": {"top_p": 0.5, "reasoning": {"budget": 3}}, "qllm": {"seed": 4}},
        },
        base=BASE,
    )

    assert config.classifiers == (Classifier(name="pii_redaction", threshold=0.7),)
    assert config.blockers == ()
    assert config.policy.mode == "strict"
    assert config.policy.presets == Presets(
        default_allow=False, default_allow_enforcement_level="hard", fail_fast=False
    )
    assert config.policy.branching == BranchingPolicy(
        mode="allow", tags=frozenset({"u"}), producers=frozenset({"p"})
    )
    assert config.fsm.max_n_turns == 7
    assert config.fsm.dual["max_pllm_steps"] == 2
    assert config.fsm.dual["force_to_cache"] == ["c"]
    assert config.prompt["pllm"]["debug_info_level"] == "extra"
    assert config.prompt["pllm"]["clarify_ambiguous_queries"] is False
    assert config.prompt["qllm"] == {"flavor": "universal"}
    assert config.response_format == ResponseFormatConfig(
        include_program=True, stream_thoughts=True
    )
    assert config.llm == {
        "pllm": {"temperature": 0.5, "top_p": 0.5, "reasoning": {"effort": "low", "budget": 3}},
        "qllm": {"seed": 4},
    }


def test_codes_replace_the_stored_code_as_a_whole() -> None:
    stored = {"x_policy": {"codes": {"code": "permit(a,b,c);", "language": "cedar"}}}

    assert build(base=stored).policy.language == "cedar"
    replaced = build(policy={"codes": {"code": "new"}}, base=stored).policy
    assert (replaced.code, replaced.language) == ("new", "sqrt")
    emptied = build(policy={"codes": {"code": ""}}, base=stored).policy
    assert (emptied.code, emptied.language) == ("", "sqrt")


def test_cedar_without_code_is_no_policy_and_sqrt_lite_is_sqrt() -> None:
    assert build(policy={"codes": {"code": " \n", "language": "cedar"}}).policy.language == "sqrt"
    assert build(policy={"codes": {"code": "x", "language": "sqrt-lite"}}).policy.language == "sqrt"


def test_switching_the_architecture_keeps_features_and_policy_but_not_the_keys_x_config() -> None:
    config = build(SINGLE, base=BASE)

    assert config.arch == "single-llm"
    assert config.classifiers == (Classifier(name="pii_redaction", threshold=0.7),)
    assert config.policy.code == 'tool "a" { must deny always; }'
    assert config.policy.presets.default_allow is False
    assert config.fsm.max_n_turns is None
    assert config.fsm.dual["max_pllm_steps"] == 4
    assert config.llm == {}


def test_naming_the_keys_own_architecture_is_no_switch() -> None:
    assert build(DUAL, base=BASE) == build(base=BASE)


def test_a_key_without_architecture_lends_its_config_to_whichever_is_asked_for() -> None:
    base = {"x_config": {"fsm": {"max_n_turns": 7}}}

    assert build(DUAL, base=base).fsm.max_n_turns == 7
    assert build(SINGLE, base=base).fsm.max_n_turns == 7


def test_lists_turn_everything_off_when_empty_and_repeated_names_count_once() -> None:
    off = build({"content_classifiers": [], "content_blockers": []}, base=BASE)
    twice = build(
        {
            "content_classifiers": [
                {"name": "toxicity_filter"},
                {"name": "toxicity_filter", "threshold": 0.1},
            ],
            "content_blockers": [{"name": "file_blocker"}, {"name": "file_blocker"}],
        }
    )

    assert (off.classifiers, off.blockers) == ((), ())
    assert twice.classifiers == (Classifier(name="toxicity_filter", threshold=0.1),)
    assert len(twice.blockers) == 1


def test_a_watched_header_policy_is_a_shadow_and_leaves_what_is_enforced() -> None:
    config = build(
        policy={
            "codes": "new",
            "presets": {"default_allow": True},
            "x_enforcement": "watch",
        },
        base=BASE,
    )

    assert config.policy == build(base=BASE).policy
    assert config.policy.enforcement == "enforce"
    assert config.shadow is not None
    assert (config.shadow.code, config.shadow.enforcement) == ("new", "watch")
    assert config.shadow.presets.default_allow is True
    assert config.shadow.mode == "strict"


def test_a_caller_cannot_turn_the_keys_policy_into_a_watched_one() -> None:
    config = build(policy={"x_enforcement": "watch"}, base=BASE)

    assert config.policy.code == 'tool "a" { must deny always; }'
    assert config.policy.enforcement == "enforce"


def test_a_watched_key_policy_is_not_enforced_and_a_header_policy_beside_it_is() -> None:
    base = {"x_policy": {"codes": "stored", "x_enforcement": "watch"}}

    alone, beside = build(base=base), build(policy={"codes": "mine"}, base=base)

    assert (alone.policy.code, alone.shadow and alone.shadow.code) == ("", "stored")
    assert beside.policy.code == "mine"


def test_a_broken_stored_config_is_refused_when_stored_and_closes_the_key() -> None:
    base = {"x_policy": {"presets": {"default_allow": "yes"}}}

    with pytest.raises(InterlockError) as stored:
        parse_base(base)
    with pytest.raises(InterlockError) as used:
        build(base=base)

    assert stored.value.error_kind is ErrorKind.INVALID
    assert used.value.error_kind is ErrorKind.FORBIDDEN
    assert used.value.error_code == "key_config_invalid"
    assert "presets.default_allow" in used.value.message
    with pytest.raises(InterlockError, match="no such part"):
        parse_base({"x_polizy": {}})


def test_equal_configs_have_equal_digests_and_different_ones_do_not() -> None:
    one = build(policy={"presets": {"branching_meta_policy": {"tags": ["a", "b", "c"]}}}, base=BASE)
    same = build(
        policy={"presets": {"branching_meta_policy": {"tags": ["c", "b", "a"]}}}, base=BASE
    )
    other = build(policy={"presets": {"branching_meta_policy": {"tags": ["a"]}}}, base=BASE)

    assert one == same
    assert one.digest == same.digest == config_hash(one)
    assert one.digest != other.digest


def test_a_config_survives_storage() -> None:
    config = build(DUAL, {"codes": "x", "x_enforcement": "watch"}, base=BASE)

    assert decode_config(encode_config(config)) == config
    assert decode_config(encode_config(config)).digest == config.digest


@pytest.mark.parametrize(
    ("model", "pair"),
    [
        ("a", ("a", "a")),
        (" a , b ", ("a", "b")),
        ("openai/gpt-5-mini,x/y", ("openai/gpt-5-mini", "x/y")),
    ],
)
def test_a_model_is_one_name_or_two(model: str, pair: tuple[str, str]) -> None:
    assert split_models(model) == pair


@pytest.mark.parametrize("model", ["", " ", ",", "a,", ",b", "a,b,c", "a,,b"])
def test_any_other_number_of_models_is_refused(model: str) -> None:
    with pytest.raises(InterlockError) as caught:
        split_models(model)
    assert (caught.value.error_kind, caught.value.param) == (ErrorKind.INVALID, "model")


trees = st.recursive(
    st.none() | st.integers() | st.text(max_size=3) | st.lists(st.integers(), max_size=2),
    lambda inner: st.dictionaries(st.sampled_from("abcd"), inner, max_size=3),
    max_leaves=10,
)
objects = st.dictionaries(st.sampled_from("abcd"), trees, max_size=4)


@settings(max_examples=200, deadline=None)
@given(under=objects, over=objects)
def test_merging_keeps_absent_and_null_and_is_idempotent(under: Any, over: Any) -> None:
    before = copy.deepcopy((under, over))
    merged = merge(under, over)

    assert (under, over) == before
    assert merge(merged, over) == merged
    assert merge(under, {}) == under
    assert merge(under, dict.fromkeys("abcd")) == under
    for key in under:
        if over.get(key) is None:
            assert merged[key] == under[key]
    for key, value in over.items():
        if value is not None and not isinstance(value, dict):
            assert merged[key] == value


leaf = st.none() | st.integers() | st.lists(st.integers(), max_size=2)
shaped = st.fixed_dictionaries(
    {},
    optional={
        "a": leaf,
        "b": st.fixed_dictionaries(
            {}, optional={"c": leaf, "d": st.fixed_dictionaries({}, optional={"e": leaf})}
        ),
    },
)


@settings(max_examples=200, deadline=None)
@given(under=shaped, one=shaped, two=shaped)
def test_merging_in_two_steps_is_merging_once(under: Any, one: Any, two: Any) -> None:
    def said(tree: Any) -> Any:
        """Null and absent mean the same."""
        if not isinstance(tree, dict):
            return tree
        return {key: said(item) for key, item in tree.items() if item not in (None, {})}

    assert said(merge(merge(under, one), two)) == said(merge(under, merge(one, two)))


def test_the_cache_gives_the_identical_object_for_the_same_headers() -> None:
    cache = ConfigCache()
    args = ("k", 1, "chat", b'{"agent_arch":"dual-llm"}', b"", b"")

    first = cache.get(*args)  # type: ignore[arg-type]

    assert cache.get(*args) is first  # type: ignore[arg-type]
    assert first == build(DUAL)


def test_the_cache_tells_keys_versions_endpoints_and_headers_apart() -> None:
    cache = ConfigCache()
    strict = {"x_policy": {"mode": "strict"}}

    assert cache.get("k", 1, "chat", b"", b"", b"").policy.mode == "standard"
    assert cache.get("k", 2, "chat", b"", b"", b"", strict).policy.mode == "strict"
    assert cache.get("j", 1, "chat", b"", b"", b"", strict).policy.mode == "strict"
    assert cache.get("k", 1, "code", b"", b"", b"").endpoint == "code"
    assert cache.get("k", 1, "chat", b"", b'{"mode":"custom"}', b"").policy.mode == "custom"


def test_the_cache_is_bounded_by_entries_and_by_bytes_and_keeps_what_is_in_use() -> None:
    few = ConfigCache(max_entries=8, max_bytes=1 << 20)
    used = few.get("used", 0, "chat", b"", b"", b"")
    for n in range(100):
        few.get(f"k{n}", 0, "chat", b"", b"", b"")
        assert few.get("used", 0, "chat", b"", b"", b"") is used
    assert len(few) <= 8

    small = ConfigCache(max_entries=1000, max_bytes=100_000)
    for n in range(50):
        small.get(f"k{n}", 0, "chat", b"", b'{"codes":"%b"}' % (b"x" * 20_000), b"")
    assert len(small) <= 5


def test_failures_are_not_cached() -> None:
    cache = ConfigCache()
    for _ in range(2):
        with pytest.raises(InterlockError):
            cache.get("k", 1, "chat", b"{", b"", b"")
    assert len(cache) == 0
