"""Regular expressions and wildcards over whole strings, in time linear in the string.

Regular expressions run on RE2, which has no backtracking; what RE2 cannot
express (look-around, back-references) is refused when the policy is compiled.
A pattern always matches the full text, and `.` matches a newline.
"""

import re
from collections.abc import Callable
from functools import lru_cache

import re2

__all__ = ["MAX_PATTERN_CHARS", "PatternError", "regex_matcher", "wildcard_matcher"]

MAX_PATTERN_CHARS = 2_000
_MAX_PROGRAM = 5_000
_MAX_MEMORY_BYTES = 1 << 20

_ESCAPED = re.compile(r"\\[!-/:-@\[-^`{-~]")
"""Punctuation behind a backslash, which stands for itself; a letter or digit may not."""
_LITERAL = re.compile(rf"(\.\*|{_ESCAPED.pattern})")
"""`.*`, and escaped punctuation: what a literal pattern is made of besides plain text."""
_META = frozenset(".*+?()[]{}|^$\\")

Matcher = Callable[[str], bool]

_HINTS = (
    ("(?=", "lookaheads", "write the allowed form itself, or join two conditions with `and`"),
    ("(?!", "lookaheads", "write `not x.value in {str matching ...}` beside it"),
    ("(?<=", "lookbehinds", "write the text before as part of the pattern"),
    ("(?<!", "lookbehinds", "write `not x.value in {str matching ...}` beside it"),
    ("(?P=", "back-references", "compare two arguments with `a.value == b.value`"),
    ("(?>", "atomic groups", "matching never backtracks here, a plain group is enough"),
)


class PatternError(ValueError):
    """Raised when a pattern is no regular expression, or too large a one."""

    def __init__(self, message: str, advice: str | None = None) -> None:
        super().__init__(message)
        self.advice = advice


@lru_cache(maxsize=1024)
def regex_matcher(pattern: str) -> Matcher:
    """A test for full matches of `pattern`.

    The test raises UnicodeEncodeError for text that has no UTF-8 form (lone
    surrogates).

    Raises:
        PatternError: bad syntax, unsupported constructs, or more than the size
            limits allow.
    """
    if len(pattern) > MAX_PATTERN_CHARS:
        raise PatternError(f"a pattern has at most {MAX_PATTERN_CHARS} characters")
    segments = _segments(pattern)
    if segments is not None:
        return _segment_matcher(segments)
    options = re2.Options()
    options.log_errors = False
    options.dot_nl = True
    options.never_capture = True
    options.max_mem = _MAX_MEMORY_BYTES
    try:
        compiled = re2.compile(pattern, options)
    except re2.error as error:
        raise _explained(pattern, error) from None
    if compiled.programsize > _MAX_PROGRAM:
        raise PatternError("this pattern is too large", "use smaller repetition counts")
    fullmatch = compiled.fullmatch

    def matches(text: str) -> bool:
        return fullmatch(text.encode()) is not None

    return matches


def _explained(pattern: str, error: Exception) -> PatternError:
    raw = error.args[0] if error.args else b""
    reason = raw.decode(errors="replace") if isinstance(raw, bytes) else str(raw)
    if "perl operator" in reason:
        for sign, name, advice in _HINTS:
            if sign in pattern:
                return PatternError(f"{name} are not available in patterns", advice)
    if "invalid escape sequence" in reason and reason[-1:].isdigit():
        advice = "compare two arguments with `a.value == b.value`"
        return PatternError("back-references are not available in patterns", advice)
    if "pattern too large" in reason or "invalid repetition size" in reason:
        return PatternError("this pattern is too large", "use smaller repetition counts")
    return PatternError(f"invalid regular expression: {reason}")


@lru_cache(maxsize=1024)
def wildcard_matcher(pattern: str) -> Matcher:
    """A test for full, case-sensitive matches: `*` is any run, `?` is one character.

    Raises:
        PatternError: the pattern is longer than the limit.
    """
    if len(pattern) > MAX_PATTERN_CHARS:
        raise PatternError(f"a pattern has at most {MAX_PATTERN_CHARS} characters")
    if "?" in pattern:
        escaped = re2.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")
        return regex_matcher(str(escaped)) if len(escaped) <= MAX_PATTERN_CHARS else _long(pattern)
    return _segment_matcher(pattern.split("*"))


def _segments(pattern: str) -> list[str] | None:
    """The literal texts between the `.*` of a pattern that is nothing else."""
    segments = [""]
    for part in _LITERAL.split(pattern):
        if part == ".*":
            segments.append("")
        elif _ESCAPED.fullmatch(part):
            segments[-1] += part[1]
        elif _META.isdisjoint(part):
            segments[-1] += part
        else:
            return None
    return segments


def _segment_matcher(segments: list[str]) -> Matcher:
    """A test for texts that hold the segments in order, the first and last at their ends."""
    head, *rest = segments
    if not rest:
        return lambda text: text == head
    *middle, tail = rest
    middle = [part for part in middle if part]
    shortest = len(head) + len(tail)

    def matches(text: str) -> bool:
        if len(text) < shortest or not text.startswith(head) or not text.endswith(tail):
            return False
        at, end = len(head), len(text) - len(tail)
        for part in middle:
            at = text.find(part, at, end)
            if at < 0:
                return False
            at += len(part)
        return True

    return matches


def _long(pattern: str) -> Matcher:
    raise PatternError(f"the wildcard is too long ({len(pattern)} characters with `?`)")
