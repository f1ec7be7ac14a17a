"""Static checks: what is refused, and what is warned about."""

import pytest

from interlock.policy.checker import check
from interlock.policy.errors import PolicyError
from interlock.policy.restrict import loosening
from interlock.policy.syntax.parser import parse

KNOWN = {"mail": ["to", "body"], "read": None}


def warnings_of(text: str, known: dict[str, list[str] | None] | None = None) -> list[str]:
    return [f"{w.line}: {w.message}" for w in check(text, "p", known_tools=known).warnings]


def errors_of(text: str) -> list[str]:
    with pytest.raises(PolicyError) as caught:
        check(text, "p")
    return [f"{d.line}:{d.column} {d.message}" for d in caught.value.diagnostics]


def test_all_errors_are_reported_at_once() -> None:
    text = 'tool "x" {\n must deny when a;\n must deny when @tags is empty;\n must deny when b;\n}'

    found = errors_of(text)

    assert len(found) == 3
    assert [line.split(" ")[0] for line in found] == ["2:17", "3:17", "4:17"]


def test_an_error_says_how_many_there_are() -> None:
    with pytest.raises(PolicyError, match="and 1 more"):
        check('tool "x" { must deny when a; must deny when b; }', "p")


def test_an_unknown_name_in_other_letters_is_suggested() -> None:
    with pytest.raises(PolicyError, match="there is a `let Secret`"):
        check('let Secret = true; tool "x" { must deny when secret; }', "p")


def test_lets_are_checked_where_they_stand_even_unused() -> None:
    assert errors_of('let a = x.value in {r"("};') == [
        "1:21 invalid regular expression: missing ): ("
    ]


def test_a_let_may_be_defined_after_its_use() -> None:
    assert warnings_of('tool "x" { must deny when a; } let a = b; let b = true;') == []


def test_a_let_that_reads_the_result_may_be_used_in_result_blocks() -> None:
    text = (
        'let bad = @result.tags overlaps {"a"} and @tags is empty;'
        'tool "x" { result { when bad { @tags = {}; } } }'
    )

    assert warnings_of(text) == []


def test_lets_that_double_again_and_again_are_refused() -> None:
    lets = "".join(f"let a{i} = a{i + 1} and a{i + 1};" for i in range(60))

    assert any(
        "more than 5000 parts" in e
        for e in errors_of(f'{lets} let a60 = x.value == 1; tool "x" {{ must deny when a0; }}')
    )


def test_long_chains_of_lets_are_refused() -> None:
    lets = "".join(f"let a{i} = not a{i + 1};" for i in range(500))

    assert any("nested too deeply" in error for error in errors_of(f"{lets} let a500 = true;"))


def test_lets_that_add_up_to_deep_conditions_are_refused() -> None:
    deep = "not " * 35
    lets = "".join(f"let a{i} = {deep} a{i + 1};" for i in range(3))

    assert any(
        "nested over 80 deep" in e
        for e in errors_of(f'{lets} let a3 = true; tool "x" {{ must deny when a0; }}')
    )


@pytest.mark.parametrize(
    ("text", "warned"),
    [
        ('tool "x" { must deny always; must allow always; }', True),
        ('tool "x" { must allow always; should deny when a.value == 1; }', True),
        ('tool "x" { should allow always; should deny always; }', True),
        ('tool "x" { should allow always; must deny when a.value == 1; }', False),
        ('tool "x" { must allow always; must deny always; }', False),
        ('tool "x" { should deny when a.value == 1; should allow always; }', False),
    ],
)
def test_rules_behind_an_unconditional_one_are_warned_about(text: str, warned: bool) -> None:
    found = warnings_of(text)

    assert bool(found) is warned
    assert all("never decides: line 1" in message for message in found)


@pytest.mark.parametrize(
    ("pattern", "warned"),
    [("^pii", True), ("secret", True), (".*secret.*", False), ("^[a-z]+$", False)],
)
def test_deny_patterns_that_look_like_searches_are_warned_about(pattern: str, warned: bool) -> None:
    for element in (f'r"{pattern}"', f'str matching r"{pattern}"'):
        found = warnings_of(f'tool "x" {{ must deny when a.value in {{{element}}}; }}')
        assert bool(found) is warned
    assert warnings_of(f'tool "x" {{ must allow when a.value in {{r"{pattern}"}}; }}') == []


@pytest.mark.parametrize(
    ("update", "warned"),
    [
        ('@consumers |= {"a"}', True),
        ('@consumers = @consumers with "a"', True),
        ('@consumers = @result.consumers | {"a"} with "b"', True),
        ('@consumers = {"a"}', False),
        ('@consumers = @consumers & {"a"}', False),
        ('@consumers = @session.consumers with "a"', False),
        ('@consumers = @tags with "a"', False),
        ('@tags |= {"a"}', False),
    ],
)
def test_widening_untouched_consumers_is_warned_about(update: str, warned: bool) -> None:
    assert bool(warnings_of(f'tool "x" {{ result {{ {update}; }} }}')) is warned
    assert bool(warnings_of(f'tool "x" -> {update};')) is warned


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        ('tool "send" { }', "1: no declared tool is called `send`"),
        ('tool r"send_.*" { }', "1: no declared tool is called `send_.*`"),
        ('tool "mail" { must deny when cc.value == 1; }', "1: `mail` has no argument `cc`"),
        ('tool "mail" { session after { cc.tags = {}; } }', "1: `mail` has no argument `cc`"),
        ('tool "mail" { must deny when to.value == 1 and body.tags is empty; }', None),
        ('tool "read" { must deny when any.value == 1; }', None),
        ('tool r"mail|read" { must deny when any.value == 1; }', None),
        ('tool "parse_with_ai" { must deny when query.value == 1; }', None),
        ("let a = true;", None),
    ],
)
def test_unknown_tools_and_arguments_are_warned_about(text: str, warning: str | None) -> None:
    assert warnings_of(text, KNOWN) == ([warning] if warning else [])


def test_names_of_an_earlier_text_are_known_in_a_later_one() -> None:
    first = check('let a = {"x"}; let b = a;', "first")

    second = check(
        'let a = true; tool "x" { must deny when y.tags overlaps b; must deny when a; }',
        "second",
        before=first.scope,
    )

    assert second.scope.find("b") == (first.scope, first.program.declarations[1])


@pytest.mark.parametrize(
    ("text", "loosens"),
    [
        ('tool "x" { must deny always; result { @tags |= {"a"}; @consumers &= {"b"}; } }', False),
        ('tool "x" -> @producers |= {"a"};', False),
        ('tool "x" { session after { @consumers -= {"b"}; } } let a = true;', False),
        ('tool "x" { should allow always; }', True),
        ('tool "x" -> @tags -= {"a"};', True),
        ('tool "x" { result { when @tags is empty { @consumers = {"a"}; } } }', True),
    ],
)
def test_texts_that_only_restrict_are_recognised(text: str, loosens: bool) -> None:
    assert bool(loosening(parse(text), text, "p")) is loosens


@pytest.mark.parametrize("element", ['w"{}"', 'str like w"{}"', 'r"{}"'])
def test_patterns_that_are_too_long_are_refused(element: str) -> None:
    text = element.format("x*" * 1_100)

    (found,) = errors_of(f'tool "x" {{ must deny when a.value in {{{text}}}; }}')

    assert found.endswith("a pattern has at most 2000 characters")
