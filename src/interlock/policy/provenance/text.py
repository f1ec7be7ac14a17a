"""Finding values in somebody's words: normalisation, boundaries, numbers, references.

A value must stand in the words as a whole: `bob` is not in `bobby`, `a@x.com` is not in
`maria@x.com` and `x.com` not in `x.com.evil.net`. Short values prove nothing (`13` is in
`June 13`), so text below three characters and digits below four never count.
"""

import math
import re
import unicodedata
from collections.abc import Iterable, Iterator

from interlock.policy.provenance.dates import without_days

__all__ = ["MIN_DIGITS", "MIN_TEXT", "Words", "normal", "number_key", "references"]

MIN_TEXT = 3
MIN_DIGITS = 4
_LONGEST = 4_096
"""Characters of a value; longer ones are not looked for."""
_SPACE = re.compile(r"\s+")
_EDGES = " \t\r\n\"'`\u201c\u201d\u2018\u2019«»<>()[]{}.,;:!?"
_NUMBER = re.compile(r"(?<![\w.,])[-+]?\d{1,3}(?:,\d{3})+(?:\.\d+)?(?![\w,]|\.\d)|"
                     r"(?<![\w.,])[-+]?\d+(?:\.\d+)?(?![\w]|[.,]\d)")  # fmt: skip
_JOINS = "@/\\-_+#&=%~"
"""A character of these beside a match means that the match is only part of something."""
_DOTS = ".:,"
"""These join only where a letter or digit follows on the other side."""

_BETWEEN = re.compile(r"[\s\"'`<>()\[\]{},;|]+")
_HOST_END = re.compile(r"[/:?#]")
_ACCOUNT_RUN = re.compile(r"(?<![^\W_])[A-Za-z]{0,6}[+(]?\d(?:[\w()\-/.]|[ ](?=\d))*")
_MIN_ACCOUNT_DIGITS = 6
_DATE = re.compile(
    r"\d{4}-\d{1,2}-\d{1,2}(?:[T ]\d{1,2}:\d{2}(?::\d{2})?(?:\.\d+)?(?:Z|[+-]\d{2}:?\d{2})?)?"
    r"|\d{1,2}[/.]\d{1,2}[/.]\d{4}|\d{1,2}:\d{2}(?::\d{2})?"
)


def normal(text: str) -> str:
    """The form in which values are compared: NFKC, case folded, single spaces, no quotes around."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return _SPACE.sub(" ", folded).strip(_EDGES)


def number_key(value: float | str) -> str | None:
    """A number in the one form that equal numbers share; None: not a finite number."""
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    if not math.isfinite(number):
        return None
    return repr(int(number)) if number == int(number) else repr(number)


class Words:
    """Texts of one speaker, to be searched."""

    __slots__ = ("_numbers", "_text")

    def __init__(self, texts: Iterable[str]) -> None:
        folded = (unicodedata.normalize("NFKC", text).casefold() for text in texts)
        # A separator that no value contains, so that nothing is found across two texts.
        self._text = "\0".join(_SPACE.sub(" ", text) for text in folded)
        self._numbers: frozenset[str] | None = None

    @property
    def text(self) -> str:
        """Everything said, normalised; texts are separated by NUL."""
        return self._text

    def say(self, value: str) -> bool:
        """Whether a value stands in the words as a whole."""
        wanted = normal(value[: _LONGEST + 1])
        if len(value) > _LONGEST or not _proves(wanted):
            return False
        at = self._text.find(wanted)
        while at >= 0:
            if _whole(self._text, at, at + len(wanted)):
                return True
            at = self._text.find(wanted, at + 1)
        return False

    def count(self, value: float) -> bool:
        """Whether a number stands in the words, in digits and not inside a date or time."""
        if self._numbers is None:
            plain = without_days(_DATE.sub(" ", self._text))
            found = (number_key(item.replace(",", "")) for item in _NUMBER.findall(plain))
            self._numbers = frozenset(item for item in found if item is not None)
        return number_key(value) in self._numbers


def _proves(wanted: str) -> bool:
    """Whether finding a value says anything: it is long enough not to be there by chance."""
    least = MIN_DIGITS if wanted.isdigit() else MIN_TEXT
    return len(wanted) >= least and "\0" not in wanted


def _whole(text: str, start: int, end: int) -> bool:
    before = text[start - 1] if start else " "
    after = text[end] if end < len(text) else " "
    if before.isalnum() or after.isalnum() or before in _JOINS or after in _JOINS:
        return False
    if before in _DOTS and start > 1 and text[start - 2].isalnum():
        return False
    return not (after in _DOTS and end + 1 < len(text) and text[end + 1].isalnum())


def references(text: str) -> Iterator[str]:
    """What a text points at: URLs, host names, e-mail addresses, numbers of 6 digits and more.

    Numbers include account, card, passport and telephone numbers with letters, spaces
    and hyphens in them; dates and times are none. When in doubt a piece of text is a
    reference, because a reference must be vouched for.
    """
    plain: list[str] = []
    for piece in _BETWEEN.split(unicodedata.normalize("NFKC", text)):
        token = piece.strip(_EDGES)
        if _points(token):
            yield token
            plain.append("\n")
        else:
            plain.append(piece)
    for found in _ACCOUNT_RUN.findall(_DATE.sub(" ", " ".join(plain))):
        if sum(character.isdigit() for character in found) >= _MIN_ACCOUNT_DIGITS:
            yield found.strip(_EDGES)


def _points(token: str) -> bool:
    """Whether a piece of text is a URL, a host name or an e-mail address."""
    if "://" in token or token.casefold().startswith("www.") or "@" in token[1:]:
        return True
    labels = _HOST_END.split(token, maxsplit=1)[0].split(".")
    return len(labels) > 1 and all(labels) and len(labels[-1]) > 1 and labels[-1].isalpha()
