r"""The plain reading of a text that tries not to be read: escapes, look-alikes, invisibles.

Detectors look at the folded view and report spans in it; `Folded.span` maps
them back to the original, so that the original characters, however written, are
what gets replaced. Folding turns full-width and other compatibility forms into
ASCII, drops invisible characters, reads percent, HTML and `\uXXXX` escapes and the
usual bracket tricks (`example[.]com`, `user[at]host`). It never changes the original.

Linear in the length of the text; a folded character stands for at least one original one.
"""

import html
import unicodedata
from array import array
from dataclasses import dataclass
from functools import lru_cache

import re2

__all__ = ["Folded", "fold", "looks_like_json"]


@dataclass(frozen=True, slots=True)
class Folded:
    """A view on a text and where each of its characters came from."""

    text: str
    starts: "array[int] | None" = None
    """None: the view is the text itself."""
    ends: "array[int] | None" = None

    def span(self, start: int, end: int) -> tuple[int, int]:
        """The original span of a non-empty span of the view."""
        if self.starts is None or self.ends is None:
            return start, end
        return self.starts[start], self.ends[end - 1]


# Characters that stand for ASCII punctuation in URLs and paths, where normalisation
# (NFKC) does not already say so.
_LOOKALIKES = {
    "\u2044": "/",
    "\u2215": "/",
    "\u29f8": "/",
    "\u2571": "/",
    "\u2216": "\\",
    "\u29f5": "\\",
    "\u29f9": "\\",
    "\u3002": ".",
    "\uff61": ".",
    "\ua789": ":",
    "\u2236": ":",
    "\u02d0": ":",
    "\u2010": "-",
    "\u2011": "-",
    "\u2012": "-",
    "\u2013": "-",
    "\u2212": "-",
}
_INVISIBLE = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0\u180b\u180c\u180d\u180e") | {
    chr(code) for code in range(0xFE00, 0xFE10)
}
_BRACKETS = {"dot": ".", "at": "@", "@": "@", ".": ".", ":": ":", "/": "/", "://": "://"}
_PERCENT = r"%(?:25){0,4}[2-7][0-9A-Fa-f]"
_HTML = r"&(?:#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6}|[A-Za-z]{2,8});"
_UNICODE_ESCAPE = r"\\u00[2-7][0-9A-Fa-f]"
_BRACKETED = r"(?i:\s?[\[({](?:dot|at|@|\.|:|/|://)[\])}]\s?)"
_ESCAPES = re2.compile(f"{_PERCENT}|{_HTML}|{_UNICODE_ESCAPE}|{_BRACKETED}|[^\\x00-\\x7f]+")
_JSON_ESCAPES = re2.compile(
    rf"{_PERCENT}|{_HTML}|\\u[0-9A-Fa-f]{{4}}|\\[\x20-\x7e]|{_BRACKETED}|[^\x00-\x7f]+"
)
_JSON_START = re2.compile(r"^\s*(?:\{\s*\"|\[\s*[\"{])")
_HINTS = ("%", "&", "\\", "[", "(", "{")


def looks_like_json(text: str) -> bool:
    r"""Whether backslashes in the text are JSON escapes: it starts like an object or a list.

    Decided by the first characters alone, so that replacing a span inside does not
    change the answer.
    """
    return _JSON_START.search(text[:256]) is not None


def fold(text: str, *, json_escapes: bool = False) -> Folded:
    """The folded view of `text`; `json_escapes` when it is JSON source (`looks_like_json`)."""
    if text.isascii() and not any(mark in text for mark in _HINTS):
        return Folded(text)
    view = _Builder(text)
    for match in (_JSON_ESCAPES if json_escapes else _ESCAPES).finditer(text):
        start, end = match.span()
        token = match.group()
        if token.isascii():
            plain = _escaped(token)
            if plain is not None:
                view.put(plain, start, end)
        elif _needs_folding(token):
            for offset, char in enumerate(token, start):
                view.put(_plain(char), offset, offset + 1)
    return view.finished()


class _Builder:
    """Puts a view together, copying what lies between replacements."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._pieces: list[str] = []
        self._starts: array[int] = array("Q")
        self._ends: array[int] = array("Q")
        self._done = 0

    def put(self, plain: str, start: int, end: int) -> None:
        """`plain` stands for the original range; ranges come in order."""
        self._copy(start)
        self._pieces.append(plain)
        self._starts.extend([start] * len(plain))
        self._ends.extend([end] * len(plain))
        self._done = end

    def finished(self) -> Folded:
        """The view; the text itself when nothing was put."""
        if not self._done:
            return Folded(self._text)
        self._copy(len(self._text))
        return Folded("".join(self._pieces), self._starts, self._ends)

    def _copy(self, upto: int) -> None:
        if upto > self._done:
            self._pieces.append(self._text[self._done : upto])
            self._starts.extend(range(self._done, upto))
            self._ends.extend(range(self._done + 1, upto + 1))


def _needs_folding(run: str) -> bool:
    return not unicodedata.is_normalized("NFKC", run) or any(_plain(char) != char for char in run)


@lru_cache(maxsize=4096)
def _plain(char: str) -> str:
    """What one non-ASCII character stands for: ASCII, nothing, or itself."""
    if char in _INVISIBLE or unicodedata.category(char) == "Cf":
        return ""
    if char in _LOOKALIKES:
        return _LOOKALIKES[char]
    digit = unicodedata.decimal(char, None)
    if digit is not None:
        return str(digit)
    if unicodedata.category(char) == "Zs":
        return " "
    normal = unicodedata.normalize("NFKC", char)
    return normal if normal.isascii() and 0 < len(normal) <= 4 else char


def _escaped(token: str) -> str | None:
    """What an ASCII escape stands for; None when it is not one we read."""
    if token[0] == "%":
        return _visible(int(token[-2:], 16))
    if token[0] == "&":
        plain = html.unescape(token)
        return plain if len(plain) == 1 and plain.isascii() and plain.isprintable() else None
    if token[0] == "\\":
        return _backslash(token)
    return _BRACKETS.get(token.strip()[1:-1].lower())


def _backslash(token: str) -> str | None:
    if token[1] == "u" and len(token) == 6:
        code = int(token[2:], 16)
        if code < 0x80:
            return _visible(code) or " "
        if 0xD800 <= code < 0xE000:
            return None
        return _plain(chr(code))
    return {"n": " ", "r": " ", "t": " ", "b": " ", "f": " ", "/": "/", "\\": "\\", '"': '"'}.get(
        token[1]
    )


def _visible(code: int) -> str | None:
    """The character, unless it is a blank or control: those would cut what they are part of."""
    return chr(code) if 0x21 <= code < 0x7F else None
