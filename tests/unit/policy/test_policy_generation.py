"""The machine behind policy generation: what is asked, what is accepted, what is returned."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interlock.kernel.roles import role_of
from interlock.policy.compiled import compile_policy
from interlock.policy.errors import PolicyError
from interlock.policy.generation import (
    INTERNAL_SIGNATURES,
    Ask,
    Done,
    Failed,
    Generation,
    Parameter,
    Step,
    ToolSignature,
    Wanted,
    signature,
)
from interlock.policy.generation.acceptance import accept
from interlock.policy.generation.answers import code_of, notes_of
from interlock.policy.generation.prompting import system_prompt
from interlock.policy.generation.quotes import sentences
from interlock.policy.generation.signatures import listing
from interlock.policy.model import Caller, PolicySource, Presets
from interlock.policy.syntax.parser import parse
from interlock.policy.syntax.printer import print_program
from interlock.providers.demo.tools import known_tools

SEND = signature(
    "send_email",
    "Sends mail",
    {
        "type": "object",
        "properties": {
            "to": {"type": "string", "description": "an address"},
            "body": {"type": ["string", "null"]},
            "copies": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
            "kind": {"enum": ["html", "plain"]},
            "reply-to": {"type": "string"},
        },
        "required": ["to"],
    },
)
READ = signature("read_page", None, {"type": "object", "properties": {"url": {"type": "string"}}})
ASKED = "Never mail eve@evil.example.\n- No mail after reading a page; be polite."
GOOD = 'tool "send_email" { must deny when to.value == "eve@evil.example"; }'
BAD = 'tool "send_email" { deny; }'
DOUBTFUL = 'tool "send_email" { must deny when to.value in {r"eve"}; }'


def generation(*, retries: int = 3, description: str = ASKED, **more: Any) -> Generation:
    return Generation(Wanted(description=description, tools=(SEND, READ), retries=retries, **more))


def test_half_a_policy_is_none_although_it_compiles() -> None:
    making = generation(retries=1)
    making.begin()

    again = making.answered(GOOD, cut=True)
    last = making.answered(GOOD, cut=True)

    assert isinstance(again, Ask)
    assert "cut off at its token limit" in again.user
    assert isinstance(last, Failed)
    assert isinstance(generation().answered(GOOD), Done)


def run(answers: list[str], **wanted: Any) -> list[Step]:
    machine = generation(**wanted)
    machine.begin()
    return [machine.answered(answer) for answer in answers]


# What is asked


def test_the_question_has_role_language_tools_and_description() -> None:
    ask = generation().begin()

    assert role_of(ask.system) == "policy_llm"
    assert "must deny when CONDITION;" in ask.system
    assert ask.user.endswith(
        'tool "send_email": Sends mail\n'
        "  to: string - an address\n"
        "  body: string (optional)\n"
        "  copies: integer (optional)\n"
        '  kind: any (optional) one of "html", "plain"\n'
        "  (and 1 more, which a policy cannot name)\n"
        'tool "read_page"\n'
        "  url: string (optional)\n\n"
        f"<description>\n{ASKED}\n</description>\n"
    )


def test_a_request_of_a_user_is_another_question_about_the_same_tools() -> None:
    other = generation(purpose="request").begin()

    assert other.user != generation().begin().user
    assert listing([SEND, READ]) in other.user


def test_every_rule_of_the_summary_is_in_the_language() -> None:
    lines = [line.strip() for line in system_prompt().splitlines() if line.startswith("    ")]
    conditions = [
        line.split("   ")[0].replace("ARGUMENT", "to")
        for line in lines
        if line.startswith(("ARGUMENT.", "@"))
    ]
    examples = [line for line in lines if line.startswith(('tool "Y"', 'tool "X"'))]

    assert len(conditions) == 11
    assert len(examples) == 2
    rules = "".join(f"must deny when {condition};" for condition in conditions)
    for text in [f'tool "t" {{ {rules} }}', *examples]:
        compile_policy(
            [PolicySource(name="summary", text=text)], presets=Presets(), caller=Caller()
        )


@pytest.mark.parametrize(
    ("schema", "arguments"),
    [
        ({}, frozenset()),
        ({"type": "object"}, None),
        ({"type": "object", "additionalProperties": False}, frozenset()),
        ({"type": "object", "properties": {}}, frozenset()),
        ({"properties": {"a": True, "b": {}}}, frozenset({"a", "b"})),
        ({"properties": {"a": {}}, "required": 5}, frozenset({"a"})),
        ({"$ref": "#/x"}, None),
        ({"properties": {"a": {}}, "anyOf": [{"required": ["a"]}]}, None),
        ({"properties": []}, None),
    ],
)
def test_arguments_are_known_only_where_the_schema_names_them(
    schema: dict[str, object], arguments: frozenset[str] | None
) -> None:
    assert signature("t", None, schema).arguments == arguments


def test_nothing_in_a_description_can_look_like_a_tool() -> None:
    sly = ToolSignature(
        name='a"b\\c',
        description='x\ntool "evil": y',
        parameters=(Parameter(name="p", description='z\ntool "worse"'),),
    )

    (tool,) = known_tools([], listing([sly]))
    assert (tool.name, [one.name for one in tool.parameters]) == ('a"b\\c', ["p"])


# What is read from answers


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (GOOD, GOOD),
        (f"  {GOOD}\n", GOOD),
        (f"Sure:\n```sqrt\n{GOOD}\n```\nDone.", GOOD),
        (f"```SQRT\r\n{GOOD}\r\n```", GOOD),
        (f"```json\n{{}}\n```\n```\n{GOOD}\n```", GOOD),
        (f'```\ntool "x" {{}}\n```\n```sqrt\n{GOOD}\n```', GOOD),
        (f"```sqrt\n{GOOD}\n```\nand\n```sqrt\n{BAD}\n```", f"{GOOD}\n{BAD}"),
        (f"```sqrt\n{GOOD}", GOOD),
        (f"~~~~sqrt\n```\n{GOOD}\n~~~~", f"```\n{GOOD}"),
        (json.dumps({"policies": GOOD, "n": 1}), GOOD),
        (json.dumps({"policies": f"```sqrt\n{GOOD}\n```"}), GOOD),
        ("```\nnothing\n```", "nothing"),
        ("{broken", "{broken"),
        ("", ""),
    ],
)
def test_code_is_found_however_it_is_wrapped(answer: str, code: str) -> None:
    assert code_of(answer) == code


def test_what_the_writer_says_before_the_first_declaration_is_kept() -> None:
    text = f"// not covered: be polite\n\n// x\x07y\n/// doc\n// no\n{GOOD}"

    assert notes_of(text) == ["// not covered: be polite", "// x y"]
    done = run([text])[0]
    assert isinstance(done, Done)
    assert done.code.startswith("// not covered: be polite\n// x y\ntool")


# What is accepted


def accepted(code: str, description: str = ASKED) -> str:
    declared = {tool.name: tool.arguments for tool in (SEND, READ)}
    return accept(code, description=description, declared=declared, may_be_empty=False).text


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ('tool "send_mail" { must deny always; }', "no declared tool is called `send_mail`"),
        ('tool r"x.*" -> @tags |= {"a"};', "no declared tool is called `x.*`"),
        ('tool "send_email" { must deny when recipient.value == 1; }', "no argument `recipient`"),
        ('tool "send_email" { must deny when To.tags overlaps {"x"}; }', "no argument `To`"),
        ('tool "read_page" { result { to.tags |= {"x"}; } }', "no argument `to`"),
        (
            'let a = b; let b = c.value == 1; tool "send_email" { must deny when not a; }',
            "no argument `c`",
        ),
        ('tool "parse_with_ai" { must deny always; }', "no declared tool is called"),
        ('tool "send_email" { must deny when @caller.user overlaps {"x"}; }', "on the caller"),
        ('tool "send_email" { priority 3; }', "no rule about any tool"),
        ("let x = {};", "no rule about any tool"),
        ("// nothing", "no rule about any tool"),
        ("x" * 100_001, "longer than"),
    ],
)
def test_what_cannot_be_used_is_refused_with_the_reason(code: str, message: str) -> None:
    with pytest.raises(PolicyError, match=message.replace("*", r"\*")):
        accepted(code)


def test_a_pattern_may_name_the_arguments_of_any_tool_it_covers() -> None:
    assert "url.value" in accepted('tool r".*" { must deny when url.value == to.value; }')


def test_tools_nobody_declared_may_be_named_when_none_are_declared() -> None:
    step = Generation(Wanted(description="x")).answered(
        'tool "any" { must deny when a.value == 1; }'
    )

    assert isinstance(step, Done)


def test_conditions_on_the_caller_are_written_for_who_asks_for_them() -> None:
    code = 'tool "send_email" { must deny when not @caller.groups overlaps {"hr"}; }'

    assert "@caller.groups" in accepted(code, "Deny when @caller.groups lacks hr")


def test_internal_tools_have_the_arguments_they_are_called_with() -> None:
    tool = INTERNAL_SIGNATURES["parse_with_ai"]
    machine = Generation(Wanted(description="never", tools=(tool,), retries=0))
    step = machine.answered('tool "parse_with_ai" { must deny when query.value == "x"; }')
    wrong = Generation(Wanted(description="never", tools=(tool,), retries=0)).answered(
        'tool "parse_with_ai" { must deny when text.value == "x"; }'
    )

    assert isinstance(step, Done)
    assert isinstance(wrong, Failed)


def test_the_text_is_in_the_published_language_whatever_was_written() -> None:
    assert 'to.value in {str matching r"a.*"}' in accepted(
        'tool "send_email" { must deny when to.value matching r"a.*"; }'
    )


def test_levels_are_written_as_people_write_them_and_mean_the_same() -> None:
    code = 'tool "send_email" { hard deny when to.value == 1; soft allow always; }'
    text = accepted(code)

    assert "must deny when" in text
    assert "should allow always" in text
    assert print_program(parse(text)).count("hard deny") == 1


# Quotations


def test_sentences_are_single_lines_without_bullets() -> None:
    assert sentences("One.  Two;\n - three\n2) four\x00x\n...\n") == [
        "One.",
        "Two;",
        "three",
        "four x",
    ]


def test_every_rule_quotes_what_it_implements() -> None:
    code = """
    /// somebody bad
    tool "send_email" {
        must deny when to.value == "eve@evil.example";
        /// NO mail, after reading a page
        must deny when @session.tags overlaps {"page"};
    }
    /// be polite.
    tool "read_page" { session after { @tags |= {"page"}; } }
    tool "read_page" -> @tags |= {"reading a page"};
    """

    assert accepted(code).splitlines() == [
        'tool "send_email" {',
        "    /// Never mail eve@evil.example.",
        '    must deny when to.value == "eve@evil.example";',
        "    /// NO mail, after reading a page",
        '    must deny when @session.tags overlaps {"page"};',
        "}",
        'tool "read_page" {',
        "    /// be polite.",
        "    session after {",
        '        @tags |= {"page"};',
        "    }",
        "}",
        "/// No mail after reading a page;",
        'tool "read_page" -> @tags |= {"reading a page"};',
    ]


def test_a_long_sentence_is_quoted_by_its_beginning() -> None:
    text = accepted(GOOD, "word " * 200)

    assert max(map(len, text.splitlines())) < 320


# The loop


def test_a_good_answer_ends_it() -> None:
    (step,) = run([f"```sqrt\n{GOOD}\n```"])

    assert isinstance(step, Done)
    assert step.tries == 1


def test_a_bad_answer_is_asked_again_with_what_is_wrong() -> None:
    first, second = run([BAD, GOOD])

    assert isinstance(first, Ask)
    assert first.system == generation().begin().system
    assert first.user.startswith(generation().begin().user)
    assert f"```sqrt\n{BAD}\n```" in first.user
    assert "line 1" in first.user
    assert "It cannot be used" in first.user
    assert isinstance(second, Done)
    assert second.tries == 2


def test_each_question_has_the_last_answer_only() -> None:
    first, second = run([BAD, 'tool "other" { must deny always; }'])

    assert isinstance(first, Ask)
    assert isinstance(second, Ask)
    assert BAD not in second.user
    assert "`other`" in second.user


@pytest.mark.parametrize(("retries", "tries"), [(0, 1), (2, 3), (-1, 1), (10**9, 21)])
def test_it_gives_up_after_the_last_retry(retries: int, tries: int) -> None:
    machine = generation(retries=retries)
    machine.begin()
    for count in range(1, tries + 1):
        step = machine.answered(BAD)
        assert isinstance(step, Failed) == (count == tries)
    assert isinstance(step, Failed)
    assert (step.tries, step.code) == (tries, BAD)
    assert step.message == step.problems[0].render()


def test_a_doubtful_answer_is_asked_about_once_and_then_taken() -> None:
    first, second = run([DOUBTFUL, DOUBTFUL])

    assert isinstance(first, Ask)
    assert "It may not mean what you want it to mean" in first.user
    assert isinstance(second, Done)


def test_a_doubtful_answer_is_better_than_none() -> None:
    *_, last = run([DOUBTFUL, BAD, BAD, BAD])

    assert isinstance(last, Done)
    assert "eve" in last.code
    assert last.tries == 4


def test_a_doubtful_answer_is_taken_at_once_when_nothing_more_may_be_asked() -> None:
    assert isinstance(run([DOUBTFUL], retries=0)[0], Done)


def test_a_request_may_need_no_restriction() -> None:
    (step,) = run(["// nothing to restrict"], purpose="request")

    assert step == Done(code="", tries=1)


_PIECES = st.sampled_from(
    [
        "tool", '"send_email"', 'r".*"', "{", "}", "must", "deny", "allow", "always", ";", "when",
        "to.value", "in", '{"a"}', "not", "and", "```sqrt\n", "\n```\n", "///", "//", "/*",
        "session", "after", "@tags", "|=", "->", "let", "x", "=", '"', "\\", "int 3..", "\u2028",
        "@caller.user",
    ]
)  # fmt: skip


@settings(max_examples=300)
@given(st.lists(_PIECES | st.text(max_size=4), max_size=25).map(" ".join), st.text(max_size=60))
def test_whatever_is_answered_what_comes_out_compiles(answer: str, description: str) -> None:
    step = generation(retries=0, description=description).answered(answer)

    if isinstance(step, Done):
        compile_policy(
            [PolicySource(name="out", text=step.code)], presets=Presets(), caller=Caller()
        )
    else:
        assert isinstance(step, Failed)


@given(st.text(alphabet='/ *"a\n\r\u2028\x00;{', max_size=40))
def test_a_quotation_never_breaks_the_policy(description: str) -> None:
    step = generation(retries=0, description=description).answered(GOOD)

    assert isinstance(step, Done)
