"""Test cases as YAML: what they find, and what the format refuses."""

import re

import pytest

from interlock.policy.case_runs import CaseResult, run_cases
from interlock.policy.cases import CaseError, load_cases

POLICY = """\
policy: |
  tool "pay" { must deny when amount.value in {int 100..}; result { @tags |= {"paid"}; } }
"""


def run(text: str) -> list[CaseResult]:
    files = {"other.sqrt": 'tool "x" { must deny always; }'}
    return run_cases(load_cases(text, "t.yaml", files.__getitem__))


def problems(text: str) -> list[str]:
    return [problem for result in run(text) for problem in result.problems]


def test_a_case_that_holds_passes() -> None:
    text = f"""{POLICY}
tests:
  - name: large
    call: {{tool: pay, args: {{amount: 100}}}}
    want: {{verdict: hard_denied, rule: "pay#0"}}
"""
    assert run(text) == [CaseResult(file="t.yaml", name="large", problems=[])]
    assert run(text)[0].passed


@pytest.mark.parametrize(
    ("want", "problem"),
    [
        ("verdict: soft_denied", "call verdict: expected 'soft_denied', got 'soft_allowed'"),
        ('rule: "pay#0"', "call rule: expected 'pay#0', got None"),
        ("message: nonsense", "call message: expected 'nonsense'"),
        ("session: {tags: [a]}", "call session: expected {'tags': ['a']}"),
        ("denied: [x]", "call denied: expected ['x'], got []"),
    ],
)
def test_an_expectation_that_fails_is_named(want: str, problem: str) -> None:
    (found,) = problems(f"{POLICY}\ntests: [{{call: {{tool: pay}}, want: {{{want}}}}}]")

    assert found.startswith(problem)


@pytest.mark.parametrize(
    "want",
    [
        "tags: [other]",
        "session: {tags: [x]}",
        "args: {amount: {tags: [x]}}",
        "args: {gone: {tags: [x]}}",
        "args: {gone: 5}",
        "consumers: []",
    ],
)
def test_a_result_expectation_that_fails_is_named(want: str) -> None:
    (found,) = problems(
        f"{POLICY}\ntests: [{{steps: [{{"
        f"call: {{tool: pay, args: {{amount: 1}}, labels: {{amount: {{}}}}}},"
        f" result: {{value: 1, want: {{{want}}}}}}}, {{call: {{tool: pay}}}}]}}]"
    )

    assert found.startswith(f"step 1: result {want.partition(':')[0]}: expected")


def test_dates_are_the_text_a_call_would_carry() -> None:
    text = """
policy: 'tool "t" { must deny when d.value == "2026-01-31" and l.value in {"2026-01-31"}; }'
tests: [{call: {tool: t, args: {d: 2026-01-31, l: [2026-01-31]}}, want: {verdict: hard_denied}}]
"""
    assert problems(text) == []


def test_wrapped_results_saved_labels_and_overridden_initial_labels() -> None:
    text = """
policy: ""
tests:
  - steps:
      - call: {tool: t}
        result:
          value:
            {value: 1, is_sequrity_var: true, meta: {tags: [a], producers: [], consumers: ["*"]}}
          external: false
          save: first
          want: {tags: [a]}
      - call: {tool: t, args: {x: 1}, labels: {x: {merge: [$first, {tags: [b]}]}}}
        result: {value: 2, external: false, failed: true, want: {tags: [a, b]}}
      - call: {tool: t}
        result: {value: 3, external: false, labels: {producers: [p]}, want: {producers: [p]}}
"""
    assert problems(text) == []


@pytest.mark.parametrize("known", ["{x: [a], y: null}", "[x, y]"])
def test_policies_from_files_layers_and_settings(known: str) -> None:
    text = """
policies: [{name: one, file: other.sqrt}, {name: two, text: "", enforcement: watch}]
header: 'tool "x" { must allow always; }'
allow_override: false
mode: strict
known_tools: KNOWN
caller: {user: ada, groups: [g], surface: chat}
presets: {default_allow: false}
session: null
tests: []
"""
    text = text.replace("session: null\n", "").replace("KNOWN", known)
    (result,) = run(
        text.replace(
            "tests: []",
            "tests: [{call: {tool: x}, want: {verdict: hard_denied, shadow: "
            "[{policy: two, verdict: hard_denied, rule: x#0}]}}]",
        )
    )

    assert result.problems == []


def test_errors_and_warnings_can_be_expected() -> None:
    error = 'policy: "let a"\nwant_error: {line: 1, column: 6, message: expected}'
    assert problems(error) == []
    assert len(problems(error.replace("column: 6", "column: 7"))) == 1
    assert len(problems(error.replace("message: expected", "message: other"))) == 1
    assert problems('policy: ""\nwant_error: {line: 1}') == [
        "expected an error, but the policy compiles"
    ]
    warned = (
        'policy: \'tool "t" -> @consumers |= {"a"};\'\n'
        "want_warnings: [{line: 1, message: never set}]"
    )
    assert problems(warned) == []
    assert len(problems(warned.replace("line: 1", "line: 2"))) == 1
    assert len(problems(warned.replace("[{line: 1, message: never set}]", "[]"))) == 1
    assert problems('policy: "let a"\nwant_warnings: []')[0].startswith(
        "the policy does not compile"
    )


def test_a_policy_that_does_not_compile_fails_its_cases() -> None:
    assert problems('policy: "must"\ntests: [{call: {tool: t}}]')[0].startswith(
        "the policy does not compile"
    )


def test_rejected_texts_that_compile_are_found() -> None:
    assert problems('rejects: [{policy: ""}]') == ["expected an error, but the policy compiles"]
    assert len(problems('rejects: [{policy: "must", line: 2}]')) == 1


def test_branches_are_looked_at_in_mode_custom_only() -> None:
    text = """
mode: MODE
branching: {tags: [x]}
tests: [{branch: {labels: {tags: [x]}, violation: true}}]
"""
    assert problems(text.replace("MODE", "custom")) == []
    assert problems(text.replace("MODE", "standard")) == ["branch: got no violation"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "no valid YAML"),
        ("- 1", "expected a mapping"),
        ("5: 1", "text keys"),
        ("polisy: x", "unknown key `polisy`"),
        ("policy: 5", "needs a `text` or a `file`"),
        ("policy: ''\npolicies: []", "not both"),
        ("policies: [{name: a}]", "needs a `text` or a `file`"),
        ("language: prolog", "unknown language"),
        ("policies: [{text: '', enforcement: maybe}]", "unknown enforcement"),
        ("header: 5", "header: expected text"),
        ("mode: lax", "unknown mode `lax`"),
        ("presets: {default_allow: 'yes'}", "expected bool"),
        ("presets: {default_allow_enforcement_level: firm}", "expected `hard` or `soft`"),
        ("caller: {surface: fax}", "expected `control` or"),
        ("caller: {groups: [1]}", "expected a list of texts"),
        ("known_tools: {t: 5}", "expected a list"),
        ("tests: 5", "tests: expected a list"),
        ("tests: [{name: n}]", "one `call` or one `branch`"),
        ("tests: [{call: {tool: t}, branch: {}}]", "one `call` or one `branch`"),
        ("tests: [{steps: [], call: {tool: t}}]", "not both"),
        ("tests: [{call: {tool: t, arg: 1}}]", "unknown key `arg`"),
        ("tests: [{call: {args: {}}}]", "a call has a `tool`"),
        ("tests: [{call: {tool: t, labels: {x: {}}}}]", "no argument of the call"),
        ("tests: [{call: {tool: t, args: {x: 1}, labels: {x: $y}}}]", "nothing was saved as `$y`"),
        ("tests: [{call: {tool: t, args: {x: 1}, labels: {x: {tag: [a]}}}}]", "unknown key `tag`"),
        ("tests: [{call: {tool: t}, result: {want: {verdict: x}}}]", "unknown expectation"),
        ("tests: [{call: {tool: t}, result: {want: 5}}]", "`want` is a mapping"),
    ],
)
def test_what_is_not_in_the_format_is_refused(text: str, message: str) -> None:
    with pytest.raises(CaseError, match=re.escape(message)):
        run(text)


def test_policy_files_need_a_reader() -> None:
    with pytest.raises(CaseError, match="cannot be read here"):
        load_cases("policies: [{file: x}]", "t.yaml")
