"""Decisions: presets, faults, layers, watching."""

import random
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interlock.policy.compiled import CompiledPolicy, compile_layers, compile_policy
from interlock.policy.errors import PolicyError
from interlock.policy.model import (
    Caller,
    Labels,
    Mode,
    PolicySource,
    Presets,
    Session,
    ToolCall,
    Verdict,
)

CALL = ToolCall(tool="t", args={"a": "x"})


def source(text: str, name: str = "p", **more: str) -> PolicySource:
    return PolicySource(name=name, text=text, **more)  # type: ignore[arg-type]


def policy(text: str, *, mode: Mode = "standard", **presets: object) -> CompiledPolicy:
    settings = Presets(**presets)  # type: ignore[arg-type]
    return compile_policy([source(text)], presets=settings, caller=Caller(), mode=mode)


def layers(bound: str, header: str, *, allow_override: bool = False) -> CompiledPolicy:
    return compile_layers(
        [source(bound, "bound")],
        [source(header, "header")],
        presets=Presets(),
        caller=Caller(),
        allow_override=allow_override,
    )


def call(tool: str = "t", labels: Mapping[str, Labels] | None = None, **args: object) -> ToolCall:
    return ToolCall(tool=tool, args=args, labels=labels or {})


def test_a_denied_call_names_the_rule_and_all_that_fired() -> None:
    text = 'tool "t" {\n  should allow always;\n  /// never x\n  must deny when a.value == "x";\n}'

    decision = policy(text, fail_fast=False).decide(CALL, Session())

    assert decision.verdict is Verdict.HARD_DENIED
    assert decision.rule is not None
    assert (decision.rule.policy, decision.rule.line, decision.rule.description) == (
        "t#1",
        4,
        "never x",
    )
    assert decision.rule.rule == 'hard deny when a.value == "x"'
    assert [rule.policy for rule in decision.allowed] == ["t#0"]


def test_rules_of_one_tool_are_numbered_across_declarations() -> None:
    text = 'tool "t" { must deny when a.value == 1; } tool "t" { must deny always; }'

    decision = policy(text).decide(CALL, Session())

    assert decision.rule is not None
    assert decision.rule.policy == "t#1"


def test_failing_fast_leaves_later_rules_unreached_but_not_the_verdict() -> None:
    text = 'tool "t" { must deny always; must deny when a.value == "x"; }'

    fast = policy(text).decide(CALL, Session(), trace=True)
    slow = policy(text, fail_fast=False).decide(CALL, Session(), trace=True)

    assert [rule.state for rule in fast.rules] == ["fired", "not_reached"]
    assert [rule.state for rule in slow.rules] == ["fired", "fired"]
    assert fast.verdict is slow.verdict is Verdict.HARD_DENIED


def test_a_trace_shows_every_comparison_and_its_operands() -> None:
    text = (
        'let bad = @session.tags overlaps {"web"};\n'
        'tool "t" { must deny when bad and a.value in {"y"} or b.tags is empty and a.value == 3; }'
    )
    session = Session(labels=Labels.of(tags=["web"]))

    decision = policy(text).decide(CALL, session, trace=True)

    (rule,) = decision.rules
    assert [(c.text, c.line, c.value, dict(c.operands)) for c in rule.conditions] == [
        ('@session.tags overlaps {"web"}', 1, True, {"@session.tags": ["web"]}),
        ('a.value in {"y"}', 2, False, {"a.value": "x"}),
        ("b.tags is empty", 2, True, {"b.tags": []}),
        ("a.value == 3", 2, False, {"a.value": "x"}),
    ]
    assert rule.state == "not_fired"


def test_a_trace_shows_operands_inside_sets() -> None:
    text = (
        "let s = a.tags; let u = s;\n"
        'tool "t" { must deny when "q" in (u | @session.tags) with "z" and @caller.user is empty'
        ' and a.tags == {"q"}; }'
    )

    decision = policy(text).decide(CALL, Session(), trace=True)

    assert dict(decision.rules[0].conditions[0].operands) == {"a.tags": [], "@session.tags": []}


NO_ANSWER = '@session.consumers overlaps {r"[ab]"}'
ODD_SESSION = Session(labels=Labels.of(consumers=["*", "!a"]))


@pytest.mark.parametrize(
    ("rule", "mode", "verdict"),
    [
        (f"must deny when {NO_ANSWER};", "standard", Verdict.HARD_DENIED),
        (f"must deny when not {NO_ANSWER};", "standard", Verdict.HARD_DENIED),
        (f"must allow when {NO_ANSWER};", "standard", Verdict.SOFT_DENIED),
        (f"must allow when not {NO_ANSWER};", "standard", Verdict.SOFT_DENIED),
        (f"should deny when {NO_ANSWER};", "standard", Verdict.SOFT_DENIED),
        (f"must allow when {NO_ANSWER}; must allow always;", "standard", Verdict.HARD_ALLOWED),
        (f"must allow when {NO_ANSWER}; must allow always;", "strict", Verdict.HARD_DENIED),
        (f"must deny when a.value == 1 and {NO_ANSWER};", "strict", Verdict.SOFT_ALLOWED),
    ],
)
def test_what_cannot_be_evaluated_fails_closed(rule: str, mode: Mode, verdict: Verdict) -> None:
    compiled = policy(f'tool "t" {{ {rule} }}', mode=mode)

    for trace in (False, True):
        decision = compiled.decide(CALL, ODD_SESSION, trace=trace)
        assert decision.verdict is verdict


def test_a_failed_condition_is_recorded() -> None:
    decision = policy(f'tool "t" {{ must deny when {NO_ANSWER}; }}').decide(
        CALL, ODD_SESSION, trace=True
    )

    assert decision.rule is not None
    assert (
        decision.rule.error == "a pattern cannot be compared with `everything except` some labels"
    )
    assert decision.rule.conditions[0].value is None
    assert len(decision.errors) == 1


@pytest.mark.parametrize("value", ["\ud800", ["\udfff"]])
def test_text_that_is_no_unicode_fails_closed(value: object) -> None:
    compiled = policy('tool "t" { must allow when a.value in {r"[^x]+"}; }')

    decision = compiled.decide(call(a=value), Session())

    assert decision.verdict is Verdict.SOFT_DENIED
    assert decision.errors == ["t#0: a value could not be compared (UnicodeEncodeError)"]


def test_a_value_nested_past_the_limit_fails_closed() -> None:
    deep: list[object] = ["a"]
    for _ in range(100_000):
        deep = [deep]
    compiled = policy('tool "t" { must deny when a.value in {"zzz"}; }')

    assert compiled.decide(call(a=deep), Session()).verdict is Verdict.HARD_DENIED
    while deep and isinstance(deep[0], list):
        deep = deep[0]  # taken apart by hand: freeing it at once recurses too


class Exploding(dict[str, object]):
    def get(self, *_: object) -> object:
        raise RuntimeError("broken arguments")

    def __contains__(self, _: object) -> bool:
        raise RuntimeError("broken arguments")

    def __iter__(self) -> object:  # type: ignore[override]
        raise RuntimeError("broken arguments")


def test_any_fault_while_deciding_is_a_denial() -> None:
    compiled = policy('tool "t" { session before { @tags |= @args.tags; } should allow always; }')
    broken = ToolCall(tool="t", args=Exploding())

    decision = compiled.decide(broken, Session())
    assert (decision.verdict, decision.reason) == (Verdict.HARD_DENIED, "error")

    worse = compiled.decide(ToolCall(tool=["t"], args={}), Session())  # type: ignore[arg-type]
    assert (worse.verdict, worse.reason) == (Verdict.HARD_DENIED, "error")
    assert worse.errors == ["a value could not be compared (TypeError)"]


def test_any_fault_while_labelling_leaves_no_consumers() -> None:
    compiled = policy('tool "t" -> @tags |= {"x"};')
    initial = Labels.of(tags=["i"])

    update = compiled.result(
        ToolCall(tool=["t"], args={}),  # type: ignore[arg-type]
        1,
        initial,
        Session(),
    )

    assert update.labels == Labels.of(tags=["i"], consumers=[])
    assert update.errors


def test_an_update_that_cannot_be_computed_before_a_call_denies_it() -> None:
    text = 'tool "t" { session before { @tags |= @session.consumers & {r"[ab]"}; } }'

    decision = policy(text).decide(CALL, ODD_SESSION)

    assert (decision.verdict, decision.reason) == (Verdict.HARD_DENIED, "error")


def test_an_update_whose_condition_fails_is_made_as_far_as_it_restricts() -> None:
    text = (
        f'tool "t" {{ result {{ when {NO_ANSWER} {{ @tags = {{"new"}}; @producers -= {{"p"}};'
        ' @consumers = {"c", "d"}; } @consumers &= @session.consumers & {r"[ab]"}; } }'
    )
    initial = Labels.of(tags=["old"], producers=["p"], consumers=["c"])

    update = policy(text).result(CALL, 1, initial, ODD_SESSION)

    assert update.labels == Labels.of(tags=["old", "new"], producers=["p"], consumers=[])
    assert len(update.errors) == 2


def test_labels_added_to_the_session_name_their_declaration_and_line() -> None:
    text = (
        'tool "t" {\n session before { @tags |= {"b"}; }\n'
        ' session after {\n  @tags |= {"a", "b"};\n  @producers = {"*"};\n }\n}\n'
        'tool r".*" -> session @tags |= {"z"} when true;'
    )
    compiled = policy(text)

    decision = compiled.decide(CALL, Session())
    update = compiled.result(CALL, 1, Labels(), decision.session)

    assert decision.origins == [("tags", "b", "t", 2)]
    assert update.origins == [
        ("tags", "a", "t", 4),
        ("producers", "*", "t", 5),
        ("tags", "z", ".*", 8),
    ]


def test_updates_of_arguments_hold_from_then_on() -> None:
    text = (
        'tool "t" { session before { a.tags |= {"x"}; gone.tags |= {"x"}; }'
        ' must deny when a.tags overlaps {"x"}; result { a.producers = {"p"}; } }'
    )
    compiled = policy(text)

    decision = compiled.decide(CALL, Session())
    done = ToolCall(tool="t", args=CALL.args, labels=decision.labels)
    update = compiled.result(done, 1, Labels(), Session())

    assert decision.verdict is Verdict.HARD_DENIED
    assert update.args == {"a": Labels.of(tags=["x"], producers=["p"])}


def test_result_blocks_read_the_value_and_the_session_and_run_for_failures_too() -> None:
    text = (
        'tool "t" { result { when @result.value == "bad" { @tags |= {"bad"};'
        ' @session.tags |= {"saw_bad"}; } } session after {'
        ' when @result.tags overlaps {"bad"} and @session.value == 7 { @producers |= {"t"}; } } }'
    )

    update = policy(text).result(CALL, "bad", Labels(), Session(value=7), failed=True)

    assert update.labels.tags.to_wire() == ["bad"]
    assert update.session.labels == Labels.of(tags=["saw_bad"], producers=["t"])
    assert update.session.value == 7


def test_external_results_are_tagged_before_user_rules_only_where_asked_for() -> None:
    text = 'tool "t" { priority 5; result { @tags -= {"__non_executable"}; } }'
    keep = policy("")

    assert keep.result(CALL, 1, Labels(), Session()).labels.tags.is_empty
    tagged = keep.result(CALL, 1, Labels(), Session(), non_executable=True)
    assert tagged.labels.tags.to_wire() == ["__non_executable"]
    removed = policy(text).result(CALL, 1, Labels(), Session(), non_executable=True)
    assert removed.labels.tags.is_empty
    off = policy("", enable_non_executable_memory=False)
    assert off.result(CALL, 1, Labels(), Session(), non_executable=True).labels.tags.is_empty


def test_assigned_consumers_follow_plain_algebra() -> None:
    text = (
        'tool "one" -> @consumers |= {"a"};'
        'tool "two" { result { @consumers = {"*"}; @consumers |= {"a"}; } }'
        'tool "three" { result { @consumers = @consumers with "a" with "b"; } }'
        'tool "four" { result { @result.consumers = @consumers | {"a"}; @consumers |= {"b"}; } }'
        'tool "five" { result { @consumers ^= {"a"}; } }'
    )
    compiled = policy(text)

    found = {
        tool: compiled.result(call(tool), 1, Labels(), Session()).labels.consumers.to_wire()
        for tool in ("one", "two", "three", "four", "five")
    }

    assert found == {
        "one": ["a"],
        "two": ["*"],
        "three": ["a", "b"],
        "four": ["a", "b"],
        "five": ["*", "!a"],
    }


def test_the_caller_is_folded_into_the_policy() -> None:
    text = (
        'tool "t" { must deny when @caller.user == {"eve"} or "ops" in @caller.roles'
        ' or @caller.groups superset of {"x"} and a.value == "x"; }'
    )

    def verdict(**caller: object) -> Verdict:
        compiled = compile_policy([source(text)], presets=Presets(), caller=Caller(**caller))  # type: ignore[arg-type]
        return compiled.decide(CALL, Session()).verdict

    assert verdict(user="eve") is Verdict.HARD_DENIED
    assert verdict(roles=frozenset({"ops"})) is Verdict.HARD_DENIED
    assert verdict(groups=frozenset({"x", "y"})) is Verdict.HARD_DENIED
    assert verdict(user="ada", groups=frozenset({"y"})) is Verdict.SOFT_ALLOWED


@given(st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_a_hard_denial_survives_any_order_of_rules_and_declarations(chance: random.Random) -> None:
    rules = [
        'must deny when a.value == "x";',
        "must allow always;",
        "should allow always;",
        "should deny always;",
        f"priority {chance.randint(-9, 9)};",
    ]
    chance.shuffle(rules)
    at = chance.randint(0, len(rules))
    parts = [f'tool "t" {{ {" ".join(rules[:at])} }}', f'tool r"." {{ {" ".join(rules[at:])} }}']
    chance.shuffle(parts)

    decision = policy("\n".join(parts)).decide(CALL, Session())

    assert decision.verdict is Verdict.HARD_DENIED


def test_what_is_remembered_about_tool_names_is_bounded() -> None:
    compiled = policy('tool r"x.*" { must deny always; }')

    denied = sum(
        compiled.decide(call(f"{'x' if i % 2 else 'y'}{i}"), Session()).verdict
        is Verdict.HARD_DENIED
        for i in range(9_000)
    )

    assert denied == 4_500
    assert len(compiled._main._plans) <= 4_096  # the bound is the outcome


def test_errors_of_several_texts_are_reported_together() -> None:
    with pytest.raises(PolicyError) as caught:
        compile_policy(
            [source("must", "one"), source("let a = b;", "two"), source("", "three")],
            presets=Presets(),
            caller=Caller(),
        )

    assert [item.source for item in caught.value.diagnostics] == ["one", "two"]
    assert caught.value.error_kind == "invalid"


def test_texts_share_lets_and_are_named_in_decisions() -> None:
    compiled = compile_policy(
        [
            source('let bad = a.value == "x";', "one"),
            source('tool "t" { must deny when bad; }', "two"),
        ],
        presets=Presets(),
        caller=Caller(),
        known_tools={"t": ["a"]},
    )

    decision = compiled.decide(CALL, Session())

    assert decision.rule is not None
    assert decision.rule.source == "two"
    assert compiled.warnings == ()


# Layers


@pytest.mark.parametrize(
    ("bound", "header", "verdict", "rule"),
    [
        ("should deny always;", "must allow always;", Verdict.SOFT_DENIED, "bound"),
        ("must deny always;", "must allow always;", Verdict.HARD_DENIED, "bound"),
        ("must allow always;", "must deny always;", Verdict.HARD_DENIED, "header"),
        ("must allow when a.value == 1;", "should allow always;", Verdict.SOFT_DENIED, None),
        ("should allow always;", "must allow always;", Verdict.SOFT_ALLOWED, "bound"),
        ("should deny always;", "priority 9; should allow always;", Verdict.SOFT_DENIED, "bound"),
        ("", "must deny always;", Verdict.HARD_DENIED, "header"),
    ],
)
def test_a_header_makes_bound_policies_stricter_never_looser(
    bound: str, header: str, verdict: Verdict, rule: str | None
) -> None:
    compiled = layers(f'tool "t" {{ {bound} }}', f'tool "t" {{ {header} }}')

    decision = compiled.decide(CALL, Session())

    assert decision.verdict is verdict
    assert (decision.rule.source if decision.rule else None) == rule


def test_a_header_can_replace_bound_policies_where_a_key_allows_it() -> None:
    compiled = layers(
        'tool "t" { must deny always; }', 'tool "t" { must allow always; }', allow_override=True
    )

    assert compiled.decide(CALL, Session()).verdict is Verdict.HARD_ALLOWED


GATE = 'tool "t" { must allow when @session.tags overlaps {"ok"}; }'


SECRETS = (
    'tool "read" -> @tags |= {"secret"};tool "t" { must deny when a.tags overlaps {"secret"}; }'
)


@pytest.mark.parametrize(
    "header",
    [
        'tool "t" -> session before @tags |= {"ok"};',
        'tool "prepare" -> session @tags |= {"ok"};',
        'tool "prepare" -> session @tags = {"ok", "x"};',
    ],
)
def test_labels_a_header_adds_satisfy_no_bound_rule(header: str) -> None:
    compiled = layers(GATE, header)
    session = compiled.result(call("prepare"), 1, Labels(), Session()).session

    decision = compiled.decide(CALL, session)

    assert decision.verdict is Verdict.SOFT_DENIED
    assert "ok" in decision.session.labels.tags
    assert "ok" not in decision.session.labels.world("bound").tags


def test_labels_a_header_removes_still_bind() -> None:
    bound = SECRETS
    header = 'tool "read" -> @tags -= {"secret"}; tool "t" { session before { a.tags = {}; } }'
    compiled = layers(bound, header)

    read = compiled.result(call("read"), 1, Labels(), Session())
    decision = compiled.decide(call(a="x", labels={"a": read.labels}), read.session)

    assert read.labels.tags.is_empty
    assert decision.verdict is Verdict.HARD_DENIED
    assert decision.rule is not None
    assert decision.rule.source == "bound"


def test_bound_labels_outlive_the_header_that_removed_them() -> None:
    bound = SECRETS
    header = 'tool "read" -> @tags -= {"secret"};'
    read = layers(bound, header).result(call("read"), 1, Labels(), Session())
    alone = policy(bound)

    decision = alone.decide(call(a="x", labels={"a": read.labels}), read.session)

    assert decision.verdict is Verdict.HARD_DENIED


def test_both_layers_run_result_updates_and_keep_argument_labels_apart() -> None:
    bound = 'tool "t" { result { a.tags |= {"b"}; } session after { @tags |= {"seen"}; } }'
    header = 'tool "t" { result { a.tags |= {"h"}; @consumers = {"me"}; } }'

    update = layers(bound, header).result(CALL, 1, Labels(), Session())

    assert update.args["a"].tags.to_wire() == ["b", "h"]
    assert update.args["a"].world("bound").tags.to_wire() == ["b"]
    assert update.labels.consumers.to_wire() == ["me"]
    assert update.labels.world("bound").consumers.is_universal
    assert update.session.labels == Labels.of(tags=["seen"])


@given(
    st.lists(
        st.sampled_from(["must deny", "must allow", "should deny", "should allow"]), max_size=3
    ),
    st.lists(
        st.sampled_from(["must deny", "must allow", "should deny", "should allow"]), max_size=3
    ),
    st.sampled_from(["true", "false", '@session.tags overlaps {"h"}', "a.tags is empty"]),
    st.sampled_from(["|=", "-=", "="]),
)
@settings(max_examples=150, deadline=None)
def test_no_header_loosens(bound: list[str], header: list[str], condition: str, op: str) -> None:
    lower = f'tool "t" {{ {" ".join(f"{rule} when {condition};" for rule in bound)} }}'
    upper = (
        f'tool "t" {{ session before {{ @tags {op} {{"h"}}; a.tags {op} {{"h"}}; }}'
        f" {' '.join(f'{rule} always;' for rule in header)} }}"
    )

    alone = policy(lower).decide(CALL, Session())
    both = layers(lower, upper).decide(CALL, Session())

    if alone.verdict.allowed and alone.reason == "default":
        return  # nothing bound speaks of the tool: the header alone does
    assert both.verdict.strictness >= alone.verdict.strictness


# Watching


def watched() -> CompiledPolicy:
    return compile_policy(
        [
            source('tool "t" { should allow always; }', "live"),
            source(
                'tool "t" { must deny when @session.tags overlaps {"web"}; }'
                'tool "fetch" -> session @tags |= {"web"};',
                "next",
                enforcement="watch",
            ),
        ],
        presets=Presets(),
        caller=Caller(),
    )


def test_a_watched_policy_tells_what_it_would_do_and_changes_nothing() -> None:
    compiled = watched()
    before = compiled.decide(CALL, Session())

    session = compiled.result(call("fetch"), 1, Labels(), Session()).session
    after = compiled.decide(CALL, session)

    assert before.shadow == [{"policy": "next", "verdict": "soft_allowed", "rule": "t#0"}]
    assert after.verdict is Verdict.SOFT_ALLOWED
    assert after.session.labels.tags.is_empty
    assert after.shadow == [{"policy": "next", "verdict": "hard_denied", "rule": "t#0"}]
    assert compiled.shadow(CALL, session) == after.shadow


def test_a_watched_policy_without_a_rule_reports_the_default() -> None:
    assert watched().shadow(call("other"), Session()) == [
        {"policy": "next", "verdict": "soft_allowed", "rule": None}
    ]


def test_a_watched_header_replaces_nothing() -> None:
    compiled = compile_layers(
        [source('tool "t" { must deny always; }')],
        [source('tool "t" { must allow always; }', "header", enforcement="watch")],
        presets=Presets(),
        caller=Caller(),
        allow_override=True,
    )

    decision = compiled.decide(CALL, Session())

    assert decision.verdict is Verdict.HARD_DENIED
    assert decision.shadow == [{"policy": "header", "verdict": "hard_denied", "rule": "t#0"}]


def test_a_watched_version_is_decided_in_the_place_of_the_enforced_one() -> None:
    compiled = compile_policy(
        [
            source('tool "t" { must deny always; }', "mail"),
            PolicySource(
                name="mail@2",
                text='tool "t" { must allow always; }',
                enforcement="watch",
                replaces="mail",
            ),
        ],
        presets=Presets(),
        caller=Caller(),
    )

    decision = compiled.decide(CALL, Session())

    assert decision.verdict is Verdict.HARD_DENIED
    assert decision.shadow == [{"policy": "mail@2", "verdict": "hard_allowed", "rule": "t#0"}]


def test_what_decided_that_a_call_is_made_counts_among_its_arguments() -> None:
    rules = policy(
        'tool "t" { must deny when @args.tags overlaps {"secret"}; }'
        'tool "u" { must deny when not (@args.consumers.intersect superset of {"all"}); }'
    )
    tainted = Labels.of(tags=["secret"], consumers=["hr"])

    without_arguments = ToolCall(tool="t", args={}, control=tainted)
    assert rules.decide(without_arguments, Session()).verdict is Verdict.HARD_DENIED
    assert rules.decide(ToolCall(tool="t", args={}), Session()).verdict is Verdict.SOFT_ALLOWED
    for args in ({}, {"a": 1}):
        controlled = ToolCall(tool="u", args=args, control=tainted)
        assert rules.decide(controlled, Session()).verdict is Verdict.HARD_DENIED
        assert rules.decide(ToolCall(tool="u", args=args), Session()).verdict.allowed


@pytest.mark.parametrize("bound", [None, "", 'tool "other" { must deny always; }'])
@pytest.mark.parametrize("level", ["must", "should"])
def test_an_allow_list_of_a_header_lets_its_tools_through(bound: str | None, level: str) -> None:
    compiled = compile_layers(
        [] if bound is None else [source(bound, "bound")],
        [source(f'tool "t" {{ {level} allow when a.value == "x"; }}', "header")],
        presets=Presets(default_allow=False),
        caller=Caller(),
    )

    listed = compiled.decide(CALL, Session())
    unlisted = compiled.decide(call("unlisted"), Session())
    wrong = compiled.decide(call(a="y"), Session())

    wanted = Verdict.HARD_ALLOWED if level == "must" else Verdict.SOFT_ALLOWED
    assert (listed.verdict, listed.reason) == (wanted, "rule")
    assert listed.rule is not None
    assert not unlisted.verdict.allowed
    assert not wrong.verdict.allowed


def test_an_allow_list_of_a_header_lifts_no_bound_denial() -> None:
    compiled = compile_layers(
        [source('tool "t" { should deny always; } tool "u" { should allow when a.value == "x"; }')],
        [source('tool "t" { must allow always; } tool "u" { must allow always; }', "header")],
        presets=Presets(default_allow=False),
        caller=Caller(),
    )

    assert compiled.decide(CALL, Session()).verdict is Verdict.SOFT_DENIED
    assert not compiled.decide(call("u", a="y"), Session()).verdict.allowed
    assert compiled.decide(call("u", a="x"), Session()).verdict.allowed
