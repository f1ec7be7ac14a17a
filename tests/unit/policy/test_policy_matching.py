"""Patterns and values."""

import re
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interlock.policy.errors import EvaluationError
from interlock.policy.evaluate import patternsets
from interlock.policy.evaluate.patterns import (
    MAX_PATTERN_CHARS,
    PatternError,
    regex_matcher,
    wildcard_matcher,
)
from interlock.policy.evaluate.patternsets import PatternSet
from interlock.policy.evaluate.values import (
    each,
    instant,
    pattern_of,
    range_problem,
    values_equal,
)
from interlock.policy.model import EMPTY, UNIVERSAL, LabelSet
from interlock.policy.syntax import nodes as n

NAN = float("nan")


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|a)*", "(a*)*b", "(x+x+)+y", "([a-z]+)*!"])
def test_no_pattern_takes_exponential_time(pattern: str) -> None:
    # A backtracking engine would not come back from these in a lifetime.
    assert regex_matcher(pattern)("a" * 50_000 + "!") in {True, False}


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("(?=a)", "lookahead"),
        ("(?!a)b", "lookahead"),
        ("(?<=a)b", "lookbehind"),
        ("(?<!a)b", "lookbehind"),
        (r"(a)\1", "back-references"),
        ("(?P<x>a)(?P=x)", "back-references"),
        ("(?>a)", "atomic groups"),
        ("a{5000}", "too large"),
        ("((a{100}){100}){100}", "too large"),
        (r"(\pL{900})", "too large"),
        (r"[^x]{700}", "too large"),
        ("[", "invalid regular expression"),
        ("a" * (MAX_PATTERN_CHARS + 1), "at most"),
    ],
)
def test_patterns_that_cannot_be_had_say_why(pattern: str, message: str) -> None:
    with pytest.raises(PatternError, match=message) as caught:
        regex_matcher(pattern)
    assert caught.value.advice is not None or message in {"invalid regular expression", "at most"}


SIMPLE = st.lists(
    st.sampled_from(["a", "b", "d", ".", ".*", "*", "@", "\\", r"\.", r"\d", r"\w", r"\b", "1"]),
    max_size=6,
).map("".join)


@given(SIMPLE, st.text(st.sampled_from("abd1.@\n\\"), max_size=5))
@settings(max_examples=2500, deadline=None)
def test_literal_patterns_match_like_any_other_engine(pattern: str, text: str) -> None:
    try:
        expected = re.fullmatch(pattern, text, re.DOTALL) is not None
        matches = regex_matcher(pattern)
    except (re.error, PatternError):
        return

    assert matches(text) is expected


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        (r"\d", "d", False),
        (r"\d", "7", True),
        (r".*\d", "xd", False),
        (r".*\d", "x7", True),
        (r"\w.*", "w", True),
        (r".*\s", "s", False),
        (r".*\.com", "xcom", False),
        (r"a\\.*", "a\\b", True),
        (r".*@corp\.com", "@corp.com", True),
    ],
)
def test_classes_are_no_letters(pattern: str, text: str, matches: bool) -> None:
    assert regex_matcher(pattern)(text) is matches


def wildcard(pattern: str, text: str) -> bool:
    if not pattern:
        return not text
    if pattern[0] == "*":
        return any(wildcard(pattern[1:], text[at:]) for at in range(len(text) + 1))
    return bool(text) and pattern[0] in {"?", text[0]} and wildcard(pattern[1:], text[1:])


@given(
    st.text(st.sampled_from("ab*?.\\é"), max_size=7),
    st.text(st.sampled_from("ab.\n\\é*"), max_size=7),
)
@settings(max_examples=1500)
def test_wildcards_match_as_described(pattern: str, text: str) -> None:
    assert wildcard_matcher(pattern)(text) is wildcard(pattern, text)


def test_a_wildcard_may_not_be_too_long() -> None:
    for pattern in ("*" * (MAX_PATTERN_CHARS + 1), "?" + "." * (MAX_PATTERN_CHARS - 1)):
        with pytest.raises(PatternError):
            wildcard_matcher(pattern)


def matching(element: n.Element, value: object) -> bool:
    pattern = pattern_of(element)
    assert pattern is not None
    return each(value, pattern.test)


INT = n.NumberDomain("int", n.Range(1, 5, False, True))
FLOAT = n.NumberDomain("float", n.Range(0.0, None, True, False))
WHEN = n.TimeDomain("2026-01-01", "2026-02-01", False, True)


@pytest.mark.parametrize(
    ("element", "value", "matches"),
    [
        (INT, 1, True),
        (INT, 5, False),
        (INT, 1.0, False),
        (INT, True, False),
        (INT, "1", False),
        (FLOAT, 0, False),
        (FLOAT, 0.1, True),
        (FLOAT, 7, True),
        (FLOAT, True, False),
        (FLOAT, NAN, False),
        (n.NumberDomain("float", n.Range(1, 2, True, True)), 2, False),
        (n.NumberElement(5), 5.0, True),
        (n.NumberElement(1), True, False),
        (n.BoolDomain(True), True, True),
        (n.BoolDomain(True), 1, False),
        (n.StrDomain("matching", "a.b"), "a\nb", True),
        (n.StrDomain("matching", "a"), "ab", False),
        (n.StrDomain("like", "A*"), "a", False),
        (n.StrDomain("like", "a", n.Range(1, 1)), "a", True),
        (n.StrDomain("exact", "ab", n.Range(3, None)), "ab", False),
        (n.StrDomain("exact", "ab", n.Range(2, 2)), "ab", True),
        (n.StrDomain("matching", ".*", n.Range(None, 1)), "é", True),
        (n.RegexElement("a|b"), ["a", "b"], True),
        (n.RegexElement("a|b"), ["a", "c"], False),
        (n.RegexElement("a|b"), [], False),
        (n.RegexElement("a|b"), [["a"], "b"], True),
        (n.RegexElement("a|b"), [[]], False),
        (n.RegexElement("a|b"), ("a",), True),
        (n.RegexElement("a|b"), {"a"}, True),
        (n.RegexElement(".*"), {"a": "a"}, False),
        (n.RegexElement(".*"), None, False),
        (n.RegexElement(".*"), [None], False),
        (n.RegexElement(".*"), object(), False),
        (WHEN, "2026-01-01", True),
        (WHEN, "2026-02-01", False),
        (WHEN, "2026-01-31T23:30:00-01:00", False),
        (WHEN, datetime(2026, 1, 5), True),  # noqa: DTZ001 - naive times are UTC
        (WHEN, datetime(2026, 2, 1, 1, tzinfo=timezone(timedelta(hours=2))), True),
        (WHEN, 1767225600, True),
        (WHEN, 1767225599.5, False),
        (WHEN, True, False),
        (WHEN, NAN, False),
        (WHEN, float("inf"), False),
        (WHEN, "soon", False),
        (WHEN, "2" * 100, False),
        (WHEN, "2026-01-01T00:00:61Z", False),
        (n.TimeExact("string", "2026-01-01"), "2026-01-01T00:00:00Z", True),
        (n.TimeExact("epoch", 1767225600), "2026-01-01", True),
    ],
)
def test_elements_match_values(element: n.Element, value: object, matches: bool) -> None:
    assert matching(element, value) is matches


def test_an_element_that_passed_no_check_is_refused_when_compiled() -> None:
    with pytest.raises(ValueError, match="not a date or time"):
        pattern_of(n.TimeExact("string", "soon"))


def test_instants_are_exact() -> None:
    at = datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)

    assert instant(at) == 253402300799999999
    assert instant(at.isoformat()) == 253402300799999999


@pytest.mark.parametrize(
    ("left", "right", "equal"),
    [
        ("a", "a", True),
        (1, 1.0, True),
        (1, True, False),
        (True, True, True),
        (True, "True", False),
        ("1", 1, False),
        (None, None, False),
        ({}, {}, False),
        (["a", "a"], "a", True),
        ("a", ["a", "b"], False),
        ([], "a", False),
        ([1, ["b"]], [1, ["b"]], True),
        ([1], [1, 2], False),
        ({1}, {1}, True),
        ({1}, [1], False),
        (["a"], None, False),
        (["a"], {"a": 1}, False),
        (datetime(2026, 1, 1, tzinfo=UTC), "2026-01-01", True),
        (1767225600, datetime(2026, 1, 1, tzinfo=UTC), True),
        (datetime(2026, 1, 1, tzinfo=UTC), "soon", False),
        (True, datetime(2026, 1, 1, tzinfo=UTC), False),
    ],
)
def test_values_are_compared(left: object, right: object, equal: bool) -> None:
    assert values_equal(left, right) is equal
    assert values_equal(right, left) is equal


@pytest.mark.parametrize(
    ("low", "high", "low_open", "high_open", "holds"),
    [
        (1, 1, False, False, True),
        (1, 2, True, True, False),
        (1, 2, True, False, True),
        (1.5, 1.9, False, False, False),
        (1.5, 2, False, True, False),
        (1.5, 2.5, True, True, True),
        (float("inf"), None, False, False, False),
        (None, float("-inf"), False, False, False),
        (float("-inf"), 3, False, False, True),
        (3, float("inf"), False, True, True),
        (2, 1, False, False, False),
    ],
)
def test_ranges_without_integers_are_found(
    low: float | None, high: float | None, low_open: bool, high_open: bool, holds: bool
) -> None:
    domain = n.NumberDomain("int", n.Range(low, high, low_open, high_open))

    assert (range_problem(domain) is None) is holds


def test_lengths_below_zero_are_found() -> None:
    for length, holds in (
        (n.Range(-5, 0), True),
        (n.Range(-5, -1), False),
        (n.Range(0, 1, True, True), False),
    ):
        assert (range_problem(n.StrDomain("exact", "", length)) is None) is holds


def patterns_of(*elements: n.Element, base: LabelSet = EMPTY) -> PatternSet:
    found = [pattern_of(element) for element in elements]
    return PatternSet(base, tuple(pattern for pattern in found if pattern is not None))


BUT_A = LabelSet(frozenset({"a"}), True)


def test_everything_overlaps_what_matches_anything() -> None:
    assert patternsets.overlaps(UNIVERSAL, patterns_of(n.RegexElement("x")))
    assert patternsets.overlaps(BUT_A, patterns_of(n.WildcardElement("x*")))
    assert not patternsets.overlaps(BUT_A, patterns_of(n.StrDomain("exact", "a")))
    assert not patternsets.overlaps(UNIVERSAL, patterns_of(n.NumberElement(1)))


def test_questions_about_infinitely_many_labels_have_no_answer() -> None:
    unknown = patterns_of(n.RegexElement("[ab]"))
    for ask in (patternsets.overlaps, patternsets.superset):
        with pytest.raises(EvaluationError):
            ask(BUT_A, unknown)
    for select in (patternsets.keep, patternsets.drop):
        with pytest.raises(EvaluationError):
            select(UNIVERSAL, unknown)


def test_everything_selected_by_finite_or_universal_patterns_is_exact() -> None:
    finite = patterns_of(n.StrDomain("exact", "b"), n.NumberElement(3), base=LabelSet.of("a"))
    anything = patterns_of(n.RegexElement(".*"))

    assert patternsets.keep(BUT_A, finite) == LabelSet.of("b")
    assert patternsets.drop(BUT_A, finite) == LabelSet(frozenset({"a", "b"}), True)
    assert patternsets.keep(BUT_A, anything) == BUT_A
    assert patternsets.drop(BUT_A, anything).is_empty


def test_everything_is_part_of_what_covers_the_rest() -> None:
    wanted = patterns_of(n.RegexElement("[ab]"), base=LabelSet(frozenset({"b"}), True))

    assert patternsets.subset(UNIVERSAL, wanted)
    assert not patternsets.subset(UNIVERSAL, patterns_of(n.RegexElement("[ab]")))
    assert patternsets.equals(LabelSet.of("b"), patterns_of(n.RegexElement("[ab]")))
