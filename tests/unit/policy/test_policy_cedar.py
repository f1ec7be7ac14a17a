"""Cedar policies decide like SQRT ones, and fail closed."""

from datetime import UTC, datetime

import pytest

from interlock.policy import cedar
from interlock.policy.compiled import CompiledPolicy, compile_policy
from interlock.policy.errors import PolicyError
from interlock.policy.model import (
    Caller,
    Labels,
    PolicySource,
    Presets,
    Session,
    ToolCall,
    Verdict,
)

MAIL = """\
// who may mail
@id("colleagues")
@description("mail stays inside; always")
permit(principal, action == Action::"send", resource)
when { context.args.to.value like "*@corp.com" };

@id("no-secrets") forbid(principal, action, resource)
unless { !context.args.body.tags.contains("secret") };
"""


def compiled(text: str, *more: PolicySource, **caller: object) -> CompiledPolicy:
    source = PolicySource(name="guard", text=text, language="cedar")
    return compile_policy([source, *more], presets=Presets(), caller=Caller(**caller))  # type: ignore[arg-type]


def send(to: object = "a@corp.com", *, tags: tuple[str, ...] = ()) -> ToolCall:
    args = {"to": to, "body": "b"}
    return ToolCall(tool="send", args=args, labels={"body": Labels.of(tags=tags)})


def test_a_permit_is_a_soft_allow() -> None:
    decision = compiled(MAIL).decide(send(), Session())

    assert decision.verdict is Verdict.SOFT_ALLOWED
    assert decision.rule is not None
    assert (decision.rule.policy, decision.rule.line, decision.rule.description) == (
        "colleagues",
        4,
        "mail stays inside; always",
    )
    assert decision.rule.rule.startswith('permit(principal, action == Action::"send", resource)')


def test_a_forbid_is_a_hard_deny() -> None:
    decision = compiled(MAIL).decide(send(tags=("secret",)), Session(), trace=True)

    assert decision.verdict is Verdict.HARD_DENIED
    assert decision.rule is not None
    assert (decision.rule.policy, decision.rule.line) == ("no-secrets", 7)
    assert [rule.state for rule in decision.rules] == ["not_fired", "fired"]


def test_a_tool_with_a_permit_is_allow_listed() -> None:
    decision = compiled(MAIL).decide(send("a@evil.com"), Session())

    assert (decision.verdict, decision.reason) == (Verdict.SOFT_DENIED, "allow_list")


@pytest.mark.parametrize(
    ("scope", "concerned"),
    [
        ('action == Action::"send", resource', True),
        ('action == Action::"other", resource', False),
        ('action in [Action::"a", Action::"send"], resource', True),
        ('action in [Action::"a"], resource', False),
        ("action, resource", True),
        ('action, resource == Tool::"send"', True),
        ('action, resource == Tool::"other"', False),
        ("action, resource is Tool", True),
    ],
)
def test_a_permit_about_other_tools_lists_nothing(scope: str, concerned: bool) -> None:
    decision = compiled(f"permit(principal, {scope}) when {{ false }};").decide(send(), Session())

    assert decision.reason == ("allow_list" if concerned else "default")


def test_a_forbid_that_cannot_be_evaluated_denies() -> None:
    text = "forbid(principal, action, resource) when { context.args.missing.value > 3 };"

    decision = compiled(text).decide(send(), Session())

    assert decision.verdict is Verdict.HARD_DENIED
    assert decision.rule is not None
    assert decision.rule.error == "a condition could not be evaluated"
    assert decision.errors == ["policy0: could not be evaluated"]


def test_a_permit_that_cannot_be_evaluated_allows_nothing() -> None:
    text = "permit(principal, action, resource) when { context.args.missing.value > 3 };"

    assert compiled(text).decide(send(), Session()).verdict is Verdict.SOFT_DENIED


@pytest.mark.parametrize(
    "value",
    [
        None,
        1.23456,
        float("nan"),
        1e300,
        1 << 70,
        {"__entity": {"type": "Role", "id": "admin"}},
        {"x": [{"__extn": {"fn": "ip", "arg": "1.1.1.1"}}]},
        {1: 2},
        {"x": None},
        [None],
        object(),
    ],
)
def test_values_cedar_cannot_hold_have_no_value(value: object) -> None:
    text = "permit(principal, action, resource) when { !(context.args.to has value) };"

    assert compiled(text).decide(send(value), Session()).verdict is Verdict.SOFT_ALLOWED


def test_a_value_nested_deeply_has_no_value() -> None:
    deep: object = "x"
    for _ in range(100):
        deep = [deep]
    text = "permit(principal, action, resource) when { !(context.args.to has value) };"

    assert compiled(text).decide(send(deep), Session()).verdict is Verdict.SOFT_ALLOWED


@pytest.mark.parametrize(
    ("value", "condition"),
    [
        (3, "context.args.to.value == 3"),
        (True, "context.args.to.value"),
        (1.5, 'context.args.to.value.lessThan(decimal("1.6"))'),
        ([1, 2], "context.args.to.value.contains(2)"),
        ({"a": {"b": "c"}}, 'context.args.to.value.a.b == "c"'),
        (datetime(2026, 1, 1, tzinfo=UTC), 'context.args.to.value like "2026-*"'),
        ("x", 'context.args.to.consumers == ["*"]'),
        ("x", 'context.session.tags.contains("web") && context.session.value == 7'),
    ],
)
def test_the_context_holds_values_and_labels(value: object, condition: str) -> None:
    text = f"permit(principal, action, resource) when {{ {condition} }};"
    session = Session(labels=Labels.of(tags=["web"]), value=7)

    assert compiled(text).decide(send(value), session).verdict is Verdict.SOFT_ALLOWED


@pytest.mark.parametrize(
    "condition",
    [
        'principal == User::"ada"',
        'principal in Group::"finance"',
        'principal in Role::"admin"',
        'principal.account == "acme" && principal.surface == "chat"',
        'principal.groups.contains("finance")',
        'action == Action::"send" && resource == Tool::"send"',
    ],
)
def test_the_caller_is_the_principal(condition: str) -> None:
    text = f"permit(principal, action, resource) when {{ {condition} }};"
    caller = {
        "user": "ada",
        "account": "acme",
        "surface": "chat",
        "groups": frozenset({"finance"}),
        "roles": frozenset({"admin"}),
    }

    assert compiled(text, **caller).decide(send(), Session()).verdict is Verdict.SOFT_ALLOWED
    assert compiled(text).decide(send(), Session()).verdict is (
        Verdict.SOFT_ALLOWED if condition.startswith("action") else Verdict.SOFT_DENIED
    )


def test_an_argument_with_a_reserved_name_is_denied() -> None:
    call = ToolCall(tool="send", args={"__entity": {"type": "User", "id": "root"}})

    decision = compiled("permit(principal, action, resource);").decide(call, Session())

    assert (decision.verdict, decision.reason) == (Verdict.HARD_DENIED, "error")


def test_cedar_and_sqrt_decide_together() -> None:
    sqrt = PolicySource(
        name="s", text='tool "send" { priority 1; should deny when to.value == "x"; }'
    )
    both = compiled("permit(principal, action, resource);", sqrt)

    assert both.decide(send("x"), Session()).verdict is Verdict.SOFT_DENIED
    assert both.decide(send("y"), Session()).verdict is Verdict.SOFT_ALLOWED


def test_a_soft_rule_of_lower_priority_gives_way_to_cedar() -> None:
    sqrt = PolicySource(name="s", text='tool "send" { priority -1; should deny always; }')

    decision = compiled("permit(principal, action, resource);", sqrt).decide(send(), Session())

    assert decision.verdict is Verdict.SOFT_ALLOWED


def test_an_empty_text_says_nothing() -> None:
    assert compiled("").decide(send(), Session()).reason == "default"


def test_a_syntax_error_is_a_compile_error_with_its_place() -> None:
    with pytest.raises(PolicyError) as caught:
        compiled("permit(principal, action, resource)\nwhen { nonsense(")

    assert caught.value.error_code == "policy_compile_error"
    assert "invalid Cedar policy" in caught.value.message


class Answer:
    """What the Cedar engine answers, where a test needs an answer it never gives."""

    def __init__(self, decision: object, errors: list[str]) -> None:
        self.decision = decision
        self.diagnostics = self
        self.errors = errors
        self.reasons: list[str] = []


@pytest.mark.parametrize(
    "answer",
    [
        Answer(cedar.cedarpy.Decision.NoDecision, []),
        Answer(cedar.cedarpy.Decision.Deny, ["something went wrong"]),
        Answer(cedar.cedarpy.Decision.Deny, ["policy `unheard of` failed"]),
    ],
)
def test_answers_that_cannot_be_understood_are_denials(
    answer: Answer, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = compiled("permit(principal, action, resource);")
    monkeypatch.setattr(cedar.cedarpy, "is_authorized", lambda *_: answer)

    decision = policy.decide(send(), Session())

    assert (decision.verdict, decision.reason) == (Verdict.HARD_DENIED, "error")
