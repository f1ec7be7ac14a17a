"""Text to tree and back."""

import re
from pathlib import Path

import pytest
import sequrity.sqrt.parser as published
from hypothesis import given, settings
from hypothesis import strategies as st

from interlock.policy.cases import load_cases
from interlock.policy.errors import PolicyError, excerpt
from interlock.policy.syntax import nodes as n
from interlock.policy.syntax.lexer import MAX_SOURCE_CHARS
from interlock.policy.syntax.parser import parse
from interlock.policy.syntax.printer import print_program
from interlock.policy.syntax.strings import (
    decode_pattern,
    decode_text,
    encode_pattern,
    encode_text,
)

VECTORS = Path(__file__).parents[2] / "policy" / "corpus" / "vectors"
VALID = [
    source.text
    for file in sorted(VECTORS.glob("*.yaml"))
    for source in load_cases(file.read_text(), file.name).bound
    if source.language == "sqrt"
]
WORDS = re.findall(r'[A-Za-z_@]+|[rwd]?"[^"]*"|\d+|\S', "\n".join(VALID))


@pytest.mark.parametrize("text", VALID)
def test_printing_a_tree_and_parsing_it_gives_the_tree(text: str) -> None:
    tree = parse(text)

    assert parse(print_program(tree)) == tree


@pytest.mark.parametrize("text", [text for text in VALID if "@caller" not in text])
def test_the_published_parser_accepts_what_the_printer_writes(text: str) -> None:
    assert published.validate(print_program(parse(text)))


def test_keywords_are_ordinary_argument_names() -> None:
    names = [
        "from",
        "to",
        "when",
        "not",
        "result",
        "session",
        "tool",
        "let",
        "union",
        "true",
        "inf",
    ]
    condition = " and ".join(f"{name}.value == {name}.value" for name in names)

    tree = parse(f'tool "x" {{ must allow when {condition}; }}')

    rule = tree.declarations[0].members[0]
    assert [item.left.name for item in rule.condition.items] == names


def test_keywords_are_ordinary_let_names() -> None:
    text = 'let not = when; let when = int; let int = {"a"}; tool "x" { must deny when (not); }'

    tree = parse(text)

    assert tree.declarations[3].members[0].condition == n.PredicateRef("not")
    assert parse(print_program(tree)) == tree


def test_the_extensions_are_printed_in_the_published_language() -> None:
    tree = parse('tool "x" { must deny when a.value matching r"b" or a.value like w"c"; }')

    assert print_program(tree) == (
        'tool "x" {\n'
        '    hard deny when a.value in {str matching r"b"} or a.value in {str like w"c"};\n'
        "}\n"
    )


def test_three_spellings_of_an_aggregate_are_one_node() -> None:
    spellings = ["union of tags from args", "@args.tags", "@args . tags . union"]

    trees = {parse(f'tool "x" {{ must deny when {text} is empty; }}') for text in spellings}

    assert len(trees) == 1


def test_comments_vanish_and_doc_comments_stay_with_what_follows() -> None:
    tree = parse(
        '//// a ruler\n/// first\n/// second\ntool "x" { // no\n /* no\n */ /// rule\n'
        "must allow always;\n result { /// update\n @tags = {}; when a /// nowhere\n { } } }\n"
        "let a = true;"
    )

    tool = tree.declarations[0]
    assert tool.doc == "first\nsecond"
    assert tool.members[0].doc == "rule"
    assert tool.members[1].statements[0].doc == "update"
    assert parse(print_program(tree)) == tree


def test_a_node_knows_its_place() -> None:
    tree = parse('let a = true;\n\n  tool "x" { must deny when  b.value == 1; }')

    rule = tree.declarations[1].members[0]
    assert (rule.span.line, rule.span.column) == (3, 14)
    assert (rule.condition.span.line, rule.condition.span.column) == (3, 30)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (r"a\"b\\c\n\t", 'a"b\\c\n\t'),
        (r"\u00e9\ud83d\ude00\u0041\u0042", "é😀AB"),
        (r"\d\u12", r"\d\u12"),
    ],
)
def test_escapes_of_plain_strings(body: str, text: str) -> None:
    assert decode_text(body) == text


@pytest.mark.parametrize("body", [r"\ud800", r"\udc00x", r"\ud800\u0041"])
def test_half_a_surrogate_pair_is_no_text(body: str) -> None:
    with pytest.raises(ValueError, match="surrogate pair"):
        decode_text(body)


@pytest.mark.parametrize(
    ("body", "pattern"),
    [
        (r"\\.", r"\."),
        (r"\.", r"\."),
        (r"\\d", r"\\d"),
        (r"a\"b", 'a"b'),
        (r"\\\"", r'\\"'),
        (r"\\\\.", r"\\\\."),
        (r"x\\", r"x\\"),
    ],
)
def test_escapes_of_patterns(body: str, pattern: str) -> None:
    assert decode_pattern(body) == pattern


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_survives_encoding(text: str) -> None:
    assert decode_text(encode_text(text)) == text


@given(st.text(st.sampled_from('\\".ad*'), max_size=12))
def test_a_read_pattern_survives_printing(body: str) -> None:
    match = re.fullmatch(r'[^"\\]*(?:\\.[^"\\]*)*', body)
    if match is None:
        return
    pattern = decode_pattern(body)

    assert decode_pattern(encode_pattern(pattern)) == pattern


@given(st.text())
@settings(max_examples=400)
def test_no_text_crashes_the_parser(text: str) -> None:
    parses_or_explains(text)


@given(st.lists(st.sampled_from(WORDS), max_size=40), st.sampled_from([" ", "", "\n"]))
@settings(max_examples=800)
def test_no_heap_of_tokens_crashes_the_parser(words: list[str], glue: str) -> None:
    parses_or_explains(glue.join(words))


@given(st.sampled_from(VALID), st.integers(0, 2000), st.integers(0, 6), st.sampled_from(WORDS))
@settings(max_examples=800)
def test_no_damaged_policy_crashes_the_parser(
    text: str, at: int, removed: int, inserted: str
) -> None:
    at = min(at, len(text))
    parses_or_explains(text[:at] + inserted + text[at + removed :])


def parses_or_explains(text: str) -> None:
    try:
        tree = parse(text)
    except PolicyError as caught:
        error = caught
    else:
        assert parse(print_program(tree)) == tree
        return
    assert error.error_code == "policy_compile_error"
    assert 1 <= error.line <= text.count("\n") + 1
    assert error.column >= 1
    assert error.message


@pytest.mark.parametrize(
    "text",
    [
        "let a = " + "(" * 100_000,
        "let a = " + "not " * 100_000 + "true;",
        'tool "x" { must deny when ' + "(" * 5_000 + "a.value == 1" + ")" * 5_000 + "; }",
        'let a = {"a"} | ' + "(" * 5_000 + "{}" + ")" * 5_000 + ";",
    ],
)
def test_deep_nesting_is_refused(text: str) -> None:
    with pytest.raises(PolicyError, match="nested more than 40 deep"):
        parse(text)


def test_long_chains_are_not_deep() -> None:
    ors = " or ".join(["a.value == 1"] * 3_000)
    unions = " | ".join(['{"a"}'] * 3_000)
    withs = "{}" + ' with "a"' * 3_000
    text = f'let u = {unions};\nlet w = {withs};\ntool "x" {{ must deny when {ors}; }}'

    tree = parse(text)

    assert parse(print_program(tree)) == tree


def test_a_text_that_is_too_long_is_refused() -> None:
    with pytest.raises(PolicyError, match="longer than"):
        parse(" " * (MAX_SOURCE_CHARS + 1))


@pytest.mark.parametrize(
    ("text", "message", "place"),
    [
        ('let a = {"\ud800"};', "not valid Unicode", (1, 11)),
        ("let a = {" + "1" * 70 + "};", "at most 64 characters", (1, 10)),
        ("tool \u201cx\u201d { }", "unexpected character", (1, 6)),
        ("\x00", "unexpected character `U+0000`", (1, 1)),
    ],
)
def test_odd_characters_are_named(text: str, message: str, place: tuple[int, int]) -> None:
    with pytest.raises(PolicyError) as caught:
        parse(text)

    assert message in caught.value.message
    assert (caught.value.line, caught.value.column) == place


def test_numbers_print_as_the_lexer_reads_them() -> None:
    text = "let a = {1, -2, 0.0000001, 100000000000000000000000.0, inf, -inf, +inf};"
    tree = parse(text)

    assert print_program(tree) == (
        "let a = {1, -2, 0.0000001, 100000000000000000000000.0, inf, -inf, inf};\n"
    )
    assert parse(print_program(tree)) == tree


def test_an_excerpt_puts_the_caret_under_the_column() -> None:
    assert excerpt("a\n\tb c", 2, 4) == "  \tb c\n  \t  ^"


def test_an_excerpt_of_a_long_line_shows_the_part_around_the_column() -> None:
    shown = excerpt("x" * 500 + "!" + "y" * 500, 1, 501)

    line, caret = shown.split("\n")
    assert line[caret.index("^")] == "!"
    assert len(line) < 140


def test_an_error_has_everything_a_reader_needs() -> None:
    with pytest.raises(PolicyError) as caught:
        parse('tool "x" {\n  must allow;\n}', "header")

    assert caught.value.message == (
        "expected `when` or `always` after `allow`, found `;` (`header`, line 2, column 13)\n"
        "    must allow;\n"
        "              ^\n"
        "  help: write `must allow always;` to mean every call"
    )
    assert caught.value.details["line"] == 2
