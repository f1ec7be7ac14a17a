"""What decisions look like to callers: denial text, history, explanations, branches, replay."""

from types import SimpleNamespace
from typing import Any

import pytest

from interlock.policy.branching import branch_violation
from interlock.policy.compiled import CompiledPolicy, compile_policy
from interlock.policy.denial import denial_message, history_entry
from interlock.policy.explain import explain, explain_text
from interlock.policy.model import Caller, Labels, PolicySource, Presets, Session, ToolCall
from interlock.policy.replay import replay

TEXT = """\
let sensitive = {"secret"};
tool "send" {
    session before { @tags |= {"tried"}; }
    /// nothing secret
    /// leaves
    hard deny when body.tags overlaps sensitive;
    should allow when to.value == "a";
}
"""
CALL = ToolCall(
    tool="send", args={"to": "a", "body": "x" * 300}, labels={"body": Labels.of(tags=["secret"])}
)


def compiled(text: str = TEXT, *more: PolicySource, **presets: Any) -> CompiledPolicy:
    source = PolicySource(name="mail", text=text)
    return compile_policy([source, *more], presets=Presets(**presets), caller=Caller())


def test_the_denial_text_is_what_clients_look_for() -> None:
    decision = compiled().decide(CALL, Session())

    assert denial_message(decision, CALL) == (
        "Tool call to 'send' is denied by argument checking policies. Context: {'args': {"
        "'to': {'value': 'a', 'meta': {'tags': [], 'consumers': ['*'], 'producers': []},"
        " 'value_type': 'str'}, "
        f"'body': {{'value': '{'x' * 200}', 'meta': {{'tags': ['secret'], 'consumers': ['*'],"
        " 'producers': []}, 'value_type': 'str'}}, 'final_verdict': 'hard_denied'}"
    )


def test_the_denial_text_cuts_values_of_every_kind() -> None:
    deep: list[object] = []
    inner = deep
    for _ in range(100_000):
        inner.append([])
        inner = inner[0]  # type: ignore[assignment]
    args = {"n": 5, "none": None, "long": list(range(500)), "deep": deep, "huge": 10**5000}
    call = ToolCall(tool="send", args=args)

    text = denial_message(compiled().decide(call, Session()), call)

    assert "'n': {'value': 5," in text
    assert "'none': {'value': None," in text
    assert text.count("<too large to show>") == 2
    assert "499" not in text
    while deep:
        deep = deep.pop()  # type: ignore[assignment]


def test_a_history_entry_has_the_published_members() -> None:
    entry = history_entry(compiled().decide(CALL, Session()), step=1, tool_call_id="tc-1")

    assert entry == {
        "step": 1,
        "tool": "send",
        "tool_call_id": "tc-1",
        "final_verdict": "hard_denied",
        "denied": [
            {
                "policy": "send#0",
                "source": "mail",
                "rule": "hard deny when body.tags overlaps sensitive",
                "line": 6,
                "description": "nothing secret\nleaves",
                "enforcement": "hard",
            }
        ],
        "allowed": [],
        "default": None,
        "reason": "rule",
        "session_meta": {"tags": ["tried"], "consumers": ["*"], "producers": []},
        "args_meta": {"body": {"tags": ["secret"], "consumers": ["*"], "producers": []}},
    }


@pytest.mark.parametrize(
    ("presets", "default"),
    [
        ({}, {"outcome": "allow", "enforcement": "soft"}),
        (
            {"default_allow": False, "default_allow_enforcement_level": "hard"},
            {"outcome": "deny", "enforcement": "hard"},
        ),
    ],
)
def test_a_history_entry_says_when_the_default_decided(
    presets: dict[str, Any], default: dict[str, str]
) -> None:
    decision = compiled("", **presets).decide(CALL, Session())

    assert history_entry(decision, step=1)["default"] == default


def test_history_and_explanation_show_failures_and_watched_policies() -> None:
    watched = PolicySource(
        name="next", text='tool "send" { must deny always; }', enforcement="watch"
    )
    text = 'tool "send" { must deny when @session.consumers overlaps {r"[ab]"}; }'
    odd = Session(labels=Labels.of(consumers=["*", "!a"]))

    decision = compiled(text, watched).decide(CALL, odd, trace=True)
    entry = history_entry(decision, step=2)

    assert "everything except" in entry["denied"][0]["error"]  # type: ignore[index]
    assert entry["errors"]
    assert entry["shadow"] == [{"policy": "next", "verdict": "hard_denied", "rule": "send#0"}]
    shown = explain_text(decision)
    assert "failed: @session.consumers overlaps" in shown
    assert "watched policy next would say hard_denied (send#0)" in shown
    assert "failed closed: send#0" in shown


def test_an_explanation_names_each_rule_and_why() -> None:
    decision = compiled(fail_fast=False).decide(CALL, Session(), trace=True)

    assert explain_text(decision).split("\n") == [
        "hard_denied: send (a rule decided)",
        "  decided by send#0 in mail, line 6: hard deny when body.tags overlaps sensitive",
        "  nothing secret",
        "  leaves",
        "  [fired] send#0 line 6: hard deny when body.tags overlaps sensitive",
        "      /// nothing secret",
        "      /// leaves",
        "      true: body.tags overlaps sensitive   (body.tags = ['secret'])",
        '  [fired] send#1 line 7: soft allow when to.value == "a"',
        "      true: to.value == \"a\"   (to.value = 'a')",
        "  session tags gained 'tried' (send, line 3)",
    ]


def test_an_explanation_for_programs_has_the_same_facts() -> None:
    decision = compiled().decide(CALL, Session(), trace=True)

    shown = explain(decision)

    assert shown["verdict"] == "hard_denied"
    assert shown["rule"] == "send#0"
    assert [rule["state"] for rule in shown["rules"]] == ["fired", "not_reached"]  # type: ignore[attr-defined]
    assert shown["rules"][0]["conditions"] == [  # type: ignore[index]
        {
            "text": "body.tags overlaps sensitive",
            "line": 6,
            "value": True,
            "operands": {"body.tags": ["secret"]},
        }
    ]
    assert shown["added_to_session"] == [
        {"field": "tags", "label": "tried", "declaration": "send", "line": 3}
    ]


def test_an_explanation_of_an_untraced_decision_knows_what_fired() -> None:
    assert "[fired] send#0" in explain_text(compiled().decide(CALL, Session()))
    assert "no rule is about this tool" in explain_text(compiled("").decide(CALL, Session()))


def test_long_operands_are_cut() -> None:
    text = 'tool "send" { must deny when body.value == "y"; }'

    assert "xxx..." in explain_text(compiled(text).decide(CALL, Session(), trace=True))


@pytest.mark.parametrize(
    ("mode", "listed", "labels", "violated"),
    [
        ("deny", {"tags": {"RACE"}}, {"tags": ["RACE", "x"]}, True),
        ("deny", {"tags": {"RACE"}}, {"tags": ["x"]}, False),
        ("deny", {"tags": {"RACE"}}, {"tags": ["*"]}, True),
        ("deny", {}, {"tags": ["RACE"]}, False),
        ("deny", {"producers": {"web"}}, {"producers": ["web"]}, True),
        ("deny", {"consumers": {"eve"}}, {}, False),
        ("deny", {"consumers": {"eve"}}, {"consumers": ["eve"]}, True),
        ("deny", {"consumers": {"eve"}}, {"consumers": ["*", "!eve"]}, False),
        ("deny", {"consumers": {"eve"}}, {"consumers": ["*", "!bob"]}, True),
        ("allow", {"tags": {"a"}}, {}, False),
        ("allow", {"tags": {"a"}}, {"tags": ["a"]}, False),
        ("allow", {"tags": {"a"}}, {"tags": ["a", "b"]}, True),
        ("allow", {"tags": {"a"}}, {"tags": ["*"]}, True),
        ("allow", {"consumers": {"a"}}, {}, False),
        ("allow", {"consumers": {"a"}}, {"consumers": ["*", "!b"]}, True),
        ("allow", {}, {"tags": ["x"], "producers": ["y"]}, False),
    ],
)
def test_branches_on_labels(
    mode: str, listed: dict[str, set[str]], labels: dict[str, list[str]], violated: bool
) -> None:
    sets = {"tags": frozenset(), "producers": frozenset(), "consumers": frozenset()}
    rules = SimpleNamespace(mode=mode, **{**sets, **{k: frozenset(v) for k, v in listed.items()}})

    found = branch_violation(Labels.of(**labels), rules)

    assert (found is not None) is violated


def record(**changes: Any) -> dict[str, Any]:
    return {
        "id": "d1",
        "tool": "send",
        "args": {"to": "a", "body": "x"},
        "labels": {"args": {"body": {"tags": []}}, "session": {"tags": []}},
        "verdict": "soft_allowed",
        "rule": "send#1",
        **changes,
    }


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({}, "same"),
        ({"labels": {"args": {"body": {"tags": ["secret"]}}}}, "newly_denied"),
        ({"verdict": "hard_denied", "rule": "send#0"}, "newly_allowed"),
        ({"rule": None}, "other_rule"),
        ({"args": None}, "unknown"),
        ({"labels": None}, "unknown"),
        ({"labels": {"args": {"body": "x"}}}, "unknown"),
        ({"labels": {"args": {"body": {"tags": 5}}}}, "unknown"),
        ({"masked": True}, "unknown"),
        ({"tool": None}, "unknown"),
        ({"verdict": "maybe"}, "unknown"),
    ],
)
def test_replay_compares_then_with_now(changes: dict[str, Any], outcome: str) -> None:
    (replayed,) = replay([record(**changes)], compiled())

    assert (replayed.id, replayed.outcome) == ("d1", outcome)
    assert (replayed.decision is None) is (outcome == "unknown")
