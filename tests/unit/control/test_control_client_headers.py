"""Every config header the published typed client can make is accepted and means what it says."""

import itertools
import json
from typing import Any, Literal, get_args, get_origin

import msgspec
import pytest
from pydantic import BaseModel
from sequrity.control._constants import build_sequrity_headers
from sequrity.control.types.headers import (
    ConstraintConfig,
    ControlFlowMetaPolicy,
    FeaturesHeader,
    FineGrainedConfigHeader,
    FsmOverrides,
    InternalPolicyPresets,
    LlmPromptOverrides,
    PllmPromptOverrides,
    PolicyCode,
    PromptOverrides,
    ResponseFormatOverrides,
    RllmPromptOverrides,
    SecurityPolicyHeader,
    TaggerConfig,
    TllmPromptOverrides,
)

from interlock.surfaces.control.auth import credentials, read_headers
from interlock.surfaces.control.headers import ConfigCache, build_config, parse
from interlock.surfaces.control.schemas import ConfigHeader, PolicyHeader
from interlock.surfaces.control.schemas import FeaturesHeader as OurFeatures

FLAGS = (
    "toxicity_filter",
    "pii_redaction",
    "healthcare_guardrail",
    "finance_guardrail",
    "url_blocker",
    "file_blocker",
)


def round_trip(name: Any, header: Any) -> dict[str, Any]:
    """What we understood, checked to be what was sent."""
    sent = header.dump_for_headers()
    understood: Any = parse(name, sent).given()
    assert json.loads(msgspec.json.encode(understood)) == json.loads(sent)
    return understood


@pytest.mark.parametrize("arch", ["single_llm", "dual_llm"])
def test_every_combination_of_feature_flags_is_accepted(arch: str) -> None:
    for flags in itertools.product([False, True], repeat=len(FLAGS)):
        chosen = dict(zip(FLAGS, flags, strict=True))
        header = getattr(FeaturesHeader, arch)(**chosen)
        understood = round_trip("X-Features", header)
        assert understood["agent_arch"] == arch.replace("_", "-")
        config = build_config(
            "chat", None, parse("X-Features", header.dump_for_headers()), None, None
        )
        assert len(config.classifiers) == sum(flags[:4])
        assert len(config.blockers) == sum(flags[4:])


@pytest.mark.parametrize("mode", [None, "high sensitivity", "strict", "low sensitivity", "normal"])
def test_hand_made_classifiers_are_accepted_with_every_documented_mode(mode: str | None) -> None:
    header = FeaturesHeader(
        agent_arch=None,
        content_classifiers=[
            TaggerConfig(name="toxicity_filter", threshold=0, mode=mode),
            TaggerConfig(name="finance_topic_guardrail", threshold=1.0, mode=mode),
        ],
        content_blockers=[ConstraintConfig(name="file_blocker")],
    )

    round_trip("X-Features", header)


def test_every_variant_of_the_policy_constructors_is_accepted() -> None:
    for mode, language, fail_fast, level, flag in itertools.product(
        ("standard", "strict", "custom"),
        ("sqrt", "cedar"),
        (None, True, False),
        ("hard", "soft"),
        (True, False),
    ):
        dual = SecurityPolicyHeader.dual_llm(
            mode=mode,
            codes='tool "x" { must allow always; }',
            language=language,
            auto_gen=flag,
            fail_fast=fail_fast,
            default_allow=flag,
            default_allow_enforcement_level=level,
            enable_non_executable_memory=flag,
            enable_llm_blocked_tag=flag,
            llm_blocked_tag_enforcement_level=level,
            branching_meta_policy_mode="allow" if flag else "deny",
            branching_meta_policy_producers={"p1", "p2"},
            branching_meta_policy_tags={"__non_executable"},
            branching_meta_policy_consumers=set(),
        )
        single = SecurityPolicyHeader.single_llm(
            mode=mode,
            codes="",
            language=language,
            fail_fast=fail_fast,
            default_allow=flag,
            enable_llm_blocked_tag=flag,
            llm_blocked_tag_enforcement_level=level,
        )
        for header in (dual, single):
            round_trip("X-Policy", header)
        model = parse("X-Policy", dual.dump_for_headers())
        built = build_config("chat", None, OurFeatures(agent_arch="dual-llm"), model, None).policy
        assert (built.mode, built.language, built.auto_gen) == (mode, language, flag)
        assert built.presets.fail_fast is (fail_fast is not False)
        assert built.presets.default_allow is flag
        assert built.presets.default_allow_enforcement_level == level
        assert built.branching.producers == {"p1", "p2"}


def test_a_policy_header_with_every_entry_set_is_accepted() -> None:
    round_trip(
        "X-Policy",
        SecurityPolicyHeader(
            mode="standard",
            codes=PolicyCode(),
            auto_gen=False,
            fail_fast=True,
            presets=InternalPolicyPresets(
                branching_meta_policy=ControlFlowMetaPolicy(tags={"__tool/parse_with_ai"})
            ),
        ),
    )


def test_empty_headers_of_the_client_are_accepted() -> None:
    assert round_trip("X-Features", FeaturesHeader()) == {}
    assert round_trip("X-Policy", SecurityPolicyHeader()) == {}
    assert round_trip("X-Config", FineGrainedConfigHeader()) == {}


def test_the_config_constructors_are_accepted() -> None:
    round_trip("X-Config", FineGrainedConfigHeader.single_llm())
    round_trip("X-Config", FineGrainedConfigHeader.dual_llm())
    round_trip(
        "X-Config",
        FineGrainedConfigHeader.dual_llm(
            min_num_tools_for_filtering=None,
            clear_session_meta="every_attempt",
            max_n_turns=None,
            clear_history_every_n_attempts=2,
            disable_rllm=None,
            enable_multistep_planning=True,
            enabled_internal_tools=["parse_with_ai", "complete_turn"],
            prune_failed_steps=True,
            force_to_cache=["my_tool_.*"],
            max_pllm_steps=8,
            max_pllm_failed_steps=3,
            max_tool_calls_per_step=100,
            retry_on_policy_violation=True,
            pllm_debug_info_level="extra",
            strip_response_content=False,
            include_program=True,
            include_policy_check_history=True,
            include_namespace_snapshot=True,
        ),
    )
    config = build_config(
        "chat",
        None,
        parse("X-Features", FeaturesHeader.dual_llm().dump_for_headers()),
        parse("X-Policy", SecurityPolicyHeader.dual_llm().dump_for_headers()),
        parse("X-Config", FineGrainedConfigHeader.dual_llm().dump_for_headers()),
    )
    assert (config.arch, config.fsm.max_n_turns) == ("dual-llm", 5)


@pytest.mark.parametrize(("sent", "meant"), [(True, "text"), (False, "none")])
def test_the_boolean_review_grammar_of_the_client_is_translated(sent: bool, meant: str) -> None:
    header = FineGrainedConfigHeader.dual_llm(reduced_grammar_for_rllm_review=sent)

    fsm: Any = parse("X-Config", header.dump_for_headers()).given()["fsm"]

    assert fsm["reduced_grammar_for_rllm_review"] == meant


def test_every_prompt_and_response_field_of_the_client_is_accepted() -> None:
    role = LlmPromptOverrides(flavor="universal", version="v1")
    header = FineGrainedConfigHeader(
        fsm=FsmOverrides(
            history_mismatch_policy="restart_turn",
            wrap_tool_result=True,
            detect_tool_errors="llm",
            detect_tool_error_regex_pattern="(?i)error",
            detect_tool_error_max_result_length=0,
            strict_tool_result_parsing=True,
            tool_result_transform="codex",
        ),
        prompt=PromptOverrides(
            pllm=PllmPromptOverrides(
                flavor="code",
                version="latest",
                clarify_ambiguous_queries=False,
                context_var_visibility="basic-executable",
                query_inline_roles=["assistant", "tool", "developer", "system"],
                query_role_name_overrides={"assistant": "developer"},
                query_include_tool_calls=True,
                query_include_tool_args=True,
                query_include_tool_results=True,
                debug_info_level="minimal",
            ),
            rllm=RllmPromptOverrides(flavor="universal", debug_info_level="normal"),
            grllm=role,
            qllm=role,
            tllm=TllmPromptOverrides(add_tool_description=True, add_tool_input_schema=False),
            tagllm=role,
            policy_llm=role,
            error_detector_llm=role,
        ),
        response_format=ResponseFormatOverrides(strip_response_content=True),
    )

    round_trip("X-Config", header)
    build_config(
        "chat",
        None,
        OurFeatures(agent_arch="dual-llm"),
        None,
        parse("X-Config", header.dump_for_headers()),
    )


def fields(model: type[BaseModel], path: str = "") -> set[str]:
    """All field paths of a header model, ours or the client's."""
    found = set()
    for name, info in model.model_fields.items():
        found.add(path + name)
        for kind in nested(info.annotation):
            found |= fields(kind, f"{path}{name}.")
    return found


def nested(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if get_origin(annotation) is Literal:
        return []
    return [kind for part in get_args(annotation) for kind in nested(part)]


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        (FeaturesHeader, OurFeatures),
        (SecurityPolicyHeader, PolicyHeader),
        (FineGrainedConfigHeader, ConfigHeader),
    ],
)
def test_no_field_of_the_client_is_unknown_here(theirs: Any, ours: Any) -> None:
    assert fields(theirs) - fields(ours) == set()


def test_undeclared_keys_through_the_overrides_hatch_pass_only_with_the_private_prefix() -> None:
    header = FineGrainedConfigHeader.dual_llm(max_n_turns=5)
    sent = header.dump_for_headers(overrides={"fsm": {"max_n_turns": 20, "x_beta": True}})

    fsm: Any = parse("X-Config", sent).given()["fsm"]

    assert fsm["max_n_turns"] == 20
    assert "x_beta" not in fsm


def test_the_headers_the_client_builds_are_read_as_it_means_them() -> None:
    built = build_sequrity_headers(
        "sq-key",
        llm_api_key="provider-key",
        features=FeaturesHeader.dual_llm(pii_redaction=True).dump_for_headers(),
        policy=SecurityPolicyHeader.dual_llm(codes="// ü").dump_for_headers(),
        config=FineGrainedConfigHeader.dual_llm().dump_for_headers(),
        session_id="0f6c1c9e-6c56-11f0-9d2a-8b7f4f1f2a10",
    )

    headers = read_headers([(k.lower().encode(), v.encode()) for k, v in built.items()])
    secrets = credentials(headers)
    config = ConfigCache().get(
        "k", 0, "chat", headers.x_features, headers.x_policy, headers.x_config
    )

    assert (secrets.gateway_key, secrets.byok) == ("sq-key", "provider-key")
    assert headers.session_id == "0f6c1c9e-6c56-11f0-9d2a-8b7f4f1f2a10"
    assert (config.arch, config.policy.code) == ("dual-llm", "// ü")
    assert [item.name for item in config.classifiers] == ["pii_redaction"]
