r"""Rewrites a regular expression of Python's `re` into the syntax of RE2.

RE2 has no backtracking, so no text is exponential; what it cannot express
(look-around, back-references, conditional, atomic and possessive groups) is
refused by name. Character classes keep their Unicode meaning, `(?x)` and
comments are resolved here, escapes become code points.

Known differences that remain: `\b` and `\B` know ASCII letters only.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["MAX_REPEAT", "PatternSyntaxError", "Rewritten", "rewrite"]

MAX_REPEAT = 1000
"""The greatest count RE2 accepts in `{n}`."""
_MAX_NESTING = 100

_DIGIT = r"\p{Nd}"
_WORD = r"\p{L}\p{N}_"
_SPACE = (
    r"\t-\r\x{1c}-\x{20}\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}"
    r"\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}"
)
_ASCII_CLASS = {"d": "0-9", "w": "0-9A-Za-z_", "s": r"\t-\r\x{20}"}
_UNICODE_CLASS = {"d": _DIGIT, "w": _WORD, "s": _SPACE}
_CONTROL = {"a": 7, "b": 8, "f": 12, "n": 10, "r": 13, "t": 9, "v": 11}
_HEX = {"x": 2, "u": 4, "U": 8}
_FLAG_LETTERS = {
    "a": re.ASCII,
    "i": re.IGNORECASE,
    "L": re.LOCALE,
    "m": re.MULTILINE,
    "s": re.DOTALL,
    "u": re.UNICODE,
    "x": re.VERBOSE,
}
_NAMES = {
    "=": "lookahead `(?=...)`",
    "!": "negative lookahead `(?!...)`",
    "<=": "lookbehind `(?<=...)`",
    "<!": "negative lookbehind `(?<!...)`",
    ">": "atomic groups `(?>...)`",
    "(": "conditional groups `(?(...)...)`",
    "P=": "backreferences `(?P=...)`",
}
_META = frozenset("\\.+*?()|[]{}^$")


class PatternSyntaxError(ValueError):
    """Raised for a pattern that `re` would refuse, or RE2 cannot express."""


@dataclass(frozen=True, slots=True)
class Rewritten:
    """A pattern as RE2 reads it."""

    text: str
    flags: int
    """The given flags and those written in the pattern, as `re` numbers them."""
    ends_at_newline: bool
    """Whether a `$` outside multi-line mode occurs: it also matches before a last newline."""


def rewrite(pattern: str, flags: int) -> Rewritten:
    """Rewrites `pattern`, read with the flags of `re`.

    Raises:
        PatternSyntaxError: with the text `re.error` has, as far as there is one.
    """
    return _Scanner(pattern, flags).run()


class _Scanner:
    """One pass over a pattern; `out` is what RE2 shall read."""

    def __init__(self, pattern: str, flags: int) -> None:
        self.pattern = pattern
        self.at = 0
        self.out: list[str] = []
        self.flags = flags
        self.all_flags = flags
        self.groups = 0
        self.names: set[str] = set()
        self.open: list[tuple[int, int, bool]] = []
        """Of every open group: where it began, the flags outside, whether it is lookaround."""
        self.repeatable = False
        self.repeated = False
        self.ends_at_newline = False

    def run(self) -> Rewritten:
        self._global_flags()
        pattern, steps = self.pattern, _STEPS
        while self.at < len(pattern):
            char = pattern[self.at]
            if self.flags & re.VERBOSE and self._skip_layout(char):
                continue
            step = steps.get(char)
            if step is None:
                self.at += 1
                self._atom(_literal(char))
            else:
                step(self)
        if self.open:
            raise self._error("missing ), unterminated subpattern", self.open[-1][0])
        flags = self.all_flags if self.all_flags & re.ASCII else self.all_flags | re.UNICODE
        return Rewritten("".join(self.out), flags, self.ends_at_newline)

    # helpers

    def _error(self, message: str, at: int) -> PatternSyntaxError:
        return PatternSyntaxError(f"{message} at position {at}")

    def _refuse(self, what: str) -> PatternSyntaxError:
        return PatternSyntaxError(f"not supported here: {what}")

    def _atom(self, text: str) -> None:
        self.out.append(text)
        self.repeatable, self.repeated = True, False

    def _assertion(self, text: str) -> None:
        self.out.append(text)
        self.repeatable = self.repeated = False

    def _skip_layout(self, char: str) -> bool:
        if char.isspace():
            self.at += 1
            return True
        if char == "#":
            end = self.pattern.find("\n", self.at)
            self.at = len(self.pattern) if end < 0 else end + 1
            return True
        return False

    def _global_flags(self) -> None:
        """Flags at the very start, which hold for the whole pattern: `(?im)`."""
        while found := _GLOBAL_FLAGS.match(self.pattern, self.at):
            for letter in found[1]:
                self.flags |= _FLAG_LETTERS[letter]
            if self.flags & re.LOCALE:
                message = "bad inline flags: cannot use 'L' flag with a str pattern"
                raise self._error(message, found.end() - 1)
            self.at = found.end()
        if self.flags & re.ASCII and self.flags & re.UNICODE:
            raise PatternSyntaxError("ASCII and UNICODE flags are incompatible")
        self.all_flags = self.flags

    # what the characters do

    def _dot(self) -> None:
        self.at += 1
        self._atom("(?s:.)" if self.flags & re.DOTALL else r"[^\n]")

    def _caret(self) -> None:
        self.at += 1
        self._assertion("(?m:^)" if self.flags & re.MULTILINE else r"\A")

    def _dollar(self) -> None:
        self.at += 1
        if self.flags & re.MULTILINE:
            self._assertion("(?m:$)")
        else:
            self.ends_at_newline = True
            self._assertion(r"\z")

    def _bar(self) -> None:
        self.at += 1
        self.out.append("|")
        self.repeatable = self.repeated = False

    def _repeat(self) -> None:
        start = self.at
        bounds = self._repeat_bounds()
        if bounds is None:
            self.at += 1
            self._atom(r"\{")
            return
        if not self.repeatable:
            raise self._error("nothing to repeat", start)
        if self.repeated:
            raise self._error("multiple repeat", start)
        follows = self.pattern[self.at : self.at + 1]
        if follows == "+":
            raise self._refuse("possessive quantifiers")
        if follows == "?":
            self.at += 1
            bounds += "?"
        self.out.append(bounds)
        self.repeated = True

    def _repeat_bounds(self) -> str | None:
        char = self.pattern[self.at]
        if char != "{":
            self.at += 1
            return char
        found = _BOUNDS.match(self.pattern, self.at)
        if found is None:
            return None
        low_text, comma, high_text = found.groups()
        if not low_text and not comma:
            return None
        if len(low_text) > 9 or len(high_text or "") > 9:
            raise PatternSyntaxError("the repetition number is too large")
        low = int(low_text or "0")
        high = int(high_text) if high_text else None
        if high is not None and high < low:
            raise self._error("min repeat greater than max repeat", self.at + 1)
        if max(low, high or 0) > MAX_REPEAT:
            raise self._refuse(f"repetition counts above {MAX_REPEAT}")
        self.at = found.end()
        if comma:
            return f"{{{low},}}" if high is None else f"{{{low},{high}}}"
        return f"{{{low}}}"

    def _open_group(self) -> None:
        start = self.at
        self.at += 1
        if len(self.open) >= _MAX_NESTING:
            raise self._refuse(f"groups nested deeper than {_MAX_NESTING}")
        outside = self.flags
        if self.pattern.startswith("?", self.at):
            self.at += 1
            text = self._extension(start)
            if text is None:
                return
        else:
            self.groups += 1
            text = "("
        self.open.append((start, outside, False))
        self.out.append(text)
        self.repeatable = self.repeated = False

    def _extension(self, start: int) -> str | None:
        """What `(?` opens; None for a comment, which opens nothing."""
        rest = self.pattern[self.at : self.at + 2]
        if rest.startswith("#"):
            end = self.pattern.find(")", self.at)
            if end < 0:
                raise self._error("missing ), unterminated comment", start)
            self.at = end + 1
            return None
        if rest.startswith(":"):
            self.at += 1
            return "(?:"
        if rest == "P<":
            self.at += 2
            return self._named(start)
        for sign, name in _NAMES.items():
            if rest.startswith(sign):
                raise self._refuse(name)
        return self._scoped_flags(start)

    def _named(self, start: int) -> str:
        end = self.pattern.find(">", self.at)
        if end < 0:
            raise self._error("missing >, unterminated name", self.at)
        name = self.pattern[self.at : end]
        if not name:
            raise self._error("missing group name", self.at)
        if not name.isidentifier() or not name.isascii():
            raise self._error(f"bad character in group name {name!r}", self.at)
        self.groups += 1
        if name in self.names:
            raise self._error(
                f"redefinition of group name {name!r} as group {self.groups}", self.at
            )
        self.names.add(name)
        self.at = end + 1
        return f"(?P<{name}>"

    def _scoped_flags(self, start: int) -> str:
        found = _SCOPED_FLAGS.match(self.pattern, self.at)
        if found is None:
            raise self._unknown_extension(start)
        added, removed = found[1], found[2] or ""
        for letter in added:
            self.flags |= _FLAG_LETTERS[letter]
            if letter == "a":
                self.flags &= ~re.UNICODE
            elif letter == "u":
                self.flags &= ~re.ASCII
        for letter in removed:
            self.flags &= ~_FLAG_LETTERS[letter]
        self.at = found.end()
        text = "i" if self.flags & re.IGNORECASE else "-i"
        return f"(?{text}:"

    def _unknown_extension(self, start: int) -> PatternSyntaxError:
        if self.at >= len(self.pattern):
            return self._error("unexpected end of pattern", self.at)
        if _GLOBAL_FLAGS.match(self.pattern, start):
            return self._error("global flags not at the start of the expression", start)
        return self._error(f"unknown extension ?{self.pattern[self.at]}", start + 1)

    def _close_group(self) -> None:
        if not self.open:
            raise self._error("unbalanced parenthesis", self.at)
        _, self.flags, _ = self.open.pop()
        self.at += 1
        self._atom(")")

    def _escape(self) -> None:
        start = self.at
        letter = self.pattern[start + 1 : start + 2]
        if not letter:
            raise self._error("bad escape (end of pattern)", start)
        if letter in "AZbB":
            self.at += 2
            self._assertion({"A": r"\A", "Z": r"\z", "b": r"\b", "B": r"\B"}[letter])
        elif letter in "dwsDWS":
            self.at += 2
            self._atom(f"[{'^' if letter.isupper() else ''}{self._class(letter.lower())}]")
        elif letter in "123456789" and not _OCTAL.match(self.pattern, start + 1):
            raise self._refuse(f"backreferences `\\{letter}`")
        else:
            self._atom(_literal(chr(self._code_point(in_class=False))))

    def _class(self, letter: str) -> str:
        return (_ASCII_CLASS if self.flags & re.ASCII else _UNICODE_CLASS)[letter]

    def _code_point(self, *, in_class: bool) -> int:
        """The character an escape at the position stands for; moves behind it."""
        start = self.at
        letter = self.pattern[start + 1 : start + 2]
        self.at += 2
        if letter in _HEX:
            width = _HEX[letter]
            digits = self.pattern[self.at : self.at + width]
            if len(digits) < width or not all(c in _HEX_DIGITS for c in digits):
                raise self._error(f"incomplete escape \\{letter}{digits}", start)
            self.at += width
            value = int(digits, 16)
            if value > 0x10FFFF:
                raise self._error(f"bad escape \\{letter}{digits}", start)
            return value
        if letter in "01234567":
            found = re.compile(r"0[0-7]{0,2}|[0-7]{3}").match(self.pattern, start + 1)
            if found is None:
                raise self._error(f"bad escape \\{letter}", start)
            if int(found[0], 8) > 0o377:
                raise self._error(
                    f"octal escape value \\{found[0]} outside of range 0-0o377", start
                )
            self.at = found.end()
            return int(found[0], 8)
        if letter in _CONTROL and (in_class or letter != "b"):
            return _CONTROL[letter]
        if letter.isascii() and letter.isalnum():
            raise self._error(f"bad escape \\{letter}", start)
        return ord(letter)

    def _set(self) -> None:
        start = self.at
        self.at += 1
        negated = self.pattern.startswith("^", self.at)
        self.at += negated
        parts: list[str] = []
        first = True
        while True:
            if self.at >= len(self.pattern):
                raise self._error("unterminated character set", start)
            if self.pattern[self.at] == "]" and not first:
                self.at += 1
                break
            first = False
            parts.append(self._set_item(start))
        body = "".join(parts)
        self._atom(f"[{'^' if negated else ''}{body}]")

    def _set_item(self, start: int) -> str:
        at = self.at
        low = self._set_member(start)
        if not self.pattern.startswith("-", self.at) or self.pattern[self.at + 1 : self.at + 2] in (
            "]",
            "",
        ):
            return low if isinstance(low, str) else _in_set(low)
        self.at += 1
        high = self._set_member(start)
        written = self.pattern[at : self.at]
        if isinstance(low, str) or isinstance(high, str) or high < low:
            raise self._error(f"bad character range {written}", at)
        return f"{_in_set(low)}-{_in_set(high)}"

    def _set_member(self, start: int) -> int | str:
        """One member of a set: a code point, or the text of a class."""
        if self.at >= len(self.pattern):
            raise self._error("unterminated character set", start)
        char = self.pattern[self.at]
        if char != "\\":
            self.at += 1
            return ord(char)
        letter = self.pattern[self.at + 1 : self.at + 2]
        if not letter:
            raise self._error("bad escape (end of pattern)", self.at)
        if letter in "dws":
            self.at += 2
            return self._class(letter)
        if letter in "DWS":
            self.at += 2
            return self._complement(letter.lower())
        return self._code_point(in_class=True)

    def _complement(self, letter: str) -> str:
        """A negated class as members of a set: only some have a form of their own there."""
        if self.flags & re.ASCII:
            return _ASCII_COMPLEMENT[letter]
        return _UNICODE_COMPLEMENT[letter]


_HEX_DIGITS = frozenset("0123456789abcdefABCDEF")
_GLOBAL_FLAGS = re.compile(r"\(\?([aiLmsux]+)\)")
_SCOPED_FLAGS = re.compile(r"([aimsux]*)(?:-([imsx]+))?:")
_BOUNDS = re.compile(r"\{([0-9]*)(,?)([0-9]*)\}")
_OCTAL = re.compile(r"[0-3][0-7]{2}")
_ASCII_COMPLEMENT = {
    "d": r"\x{0}-/:-\x{10ffff}",
    "w": r"\x{0}-/:-@\[-\^`{-\x{10ffff}",
    "s": r"\x{0}-\x{8}\x{e}-\x{1f}!-\x{10ffff}",
}
_UNICODE_COMPLEMENT = {
    "d": r"\P{Nd}",
    # Not a letter, number or underscore: every other general category, less `_` itself.
    "w": r"\p{C}\p{M}\p{S}\p{Z}\x{0}-/:-@\[-\^`{-\x{7f}\p{Pd}\p{Ps}\p{Pe}\p{Pi}\p{Pf}\p{Po}"
    r"\x{203f}\x{2040}\x{2054}\x{fe33}\x{fe34}\x{fe4d}-\x{fe4f}\x{ff3f}",
    "s": r"\x{0}-\x{8}\x{e}-\x{1b}!-\x{84}\x{86}-\x{9f}\x{a1}-\x{167f}\x{1681}-\x{1fff}"
    r"\x{200b}-\x{2027}\x{202a}-\x{202e}\x{2030}-\x{205e}\x{2060}-\x{2fff}\x{3001}-\x{10ffff}",
}


def _literal(char: str) -> str:
    if char in _META:
        return "\\" + char
    return char if char.isprintable() else f"\\x{{{ord(char):x}}}"


def _in_set(code: int) -> str:
    char = chr(code)
    return char if char.isascii() and char.isalnum() else f"\\x{{{code:x}}}"


_STEPS: dict[str, Callable[[_Scanner], None]] = {
    ".": _Scanner._dot,
    "^": _Scanner._caret,
    "$": _Scanner._dollar,
    "|": _Scanner._bar,
    "*": _Scanner._repeat,
    "+": _Scanner._repeat,
    "?": _Scanner._repeat,
    "{": _Scanner._repeat,
    "(": _Scanner._open_group,
    ")": _Scanner._close_group,
    "[": _Scanner._set,
    "\\": _Scanner._escape,
}
