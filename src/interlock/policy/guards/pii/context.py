"""Words near a number that say what it is, and boundaries of a match."""

from typing import Protocol

import re2

from interlock.policy.guards.spans import View

__all__ = ["GUARD", "Pattern", "alone", "cue", "has_digit", "words"]

GUARD = "pii_redaction"
_BEFORE = 48
_AFTER = 20
_DIGIT = re2.compile(r"\d")


class Pattern(Protocol):
    """What is used of a compiled pattern of the (untyped) RE2 binding."""

    def search(self, text: str) -> object | None:
        """The first match, or None."""


def words(terms: str) -> Pattern:
    """A pattern that finds any of the `|`-separated terms as whole words, in lower-case text."""
    compiled: Pattern = re2.compile(rf"(?:^|[^a-z0-9])(?:{terms})(?:$|[^a-z0-9])")
    return compiled


def cue(view: View, start: int, end: int, pattern: Pattern) -> bool:
    """Whether the words just before or after a span, or the member name, match `pattern`."""
    if view.hint and pattern.search(view.hint):
        return True
    text = view.text
    around = f"{text[max(0, start - _BEFORE) : start]} | {text[end : end + _AFTER]}"
    return pattern.search(around.lower().replace("_", " ")) is not None


def alone(text: str, start: int, end: int, also: str = "") -> bool:
    """Whether no letter, digit or character of `also` touches the span."""
    before = text[start - 1] if start else " "
    after = text[end] if end < len(text) else " "
    return not (before.isalnum() or after.isalnum() or before in also or after in also)


def has_digit(text: str) -> bool:
    """Whether there is anything for number detectors to look at."""
    return _DIGIT.search(text) is not None
