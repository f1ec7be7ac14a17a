"""Text to tokens.

Keywords are not reserved, so every word is an `ident`. Comments vanish,
`/// ...` stays as a `doc` token. `inf` is an `ident` too: only a position tells
it from an argument's name.
"""

import re
from typing import Literal, NamedTuple

from interlock.policy.errors import Diagnostic, PolicyError, excerpt
from interlock.policy.syntax.nodes import Span
from interlock.policy.syntax.strings import decode_pattern, decode_text

__all__ = ["LEXEMES", "MAX_SOURCE_CHARS", "Token", "TokenKind", "tokenize"]

TokenKind = Literal[
    "string", "regex", "wildcard", "datetime", "number", "ident", "op", "doc", "end"
]

MAX_SOURCE_CHARS = 1 << 20
_MAX_NUMBER_CHARS = 64

LEXEMES = r"""
    (?P<space>[ \t\r\n\f\v]+)
  | (?P<doc>///(?!/)[^\n]*)
  | (?P<comment>//[^\n]*|/\*.*?\*/)
  | (?P<quoted>[rwd]?"[^"\\]*(?:\\.[^"\\]*)*")
  | (?P<infinity>[+-]inf(?![A-Za-z0-9_]))
  | (?P<number>-?[0-9]+(?:\.[0-9]+)?)
  | (?P<ident>[A-Za-z_][A-Za-z0-9_]*)
  | (?P<op><\.\.<|<\.\.|\.\.<|\.\.|->|==|\|=|&=|-=|\^=|[{}()\[\];,.@=|&^-])
    """
"""In verbose form, tried in this order; `.` takes line breaks. Editors colour by it too."""
_TOKEN = re.compile(LEXEMES, re.VERBOSE | re.DOTALL)
_QUOTED: dict[str, TokenKind] = {"r": "regex", "w": "wildcard", "d": "datetime", '"': "string"}
_SURROGATE = re.compile("[\ud800-\udfff]")
_CURLY = "\u201c\u201d\u2018\u2019"
_HELP = {
    "<": "there are no order comparisons; write a range, for example `in {int ..<6}`",
    ">": "there are no order comparisons; write a range, for example `in {int 6..}`",
    "#": "comments start with `//`",
    "'": "strings are written in double quotes",
    "!": 'negation is written `not`, for example `not to.value == "x"`',
    **dict.fromkeys(_CURLY, "use plain quotes"),
}


class Token(NamedTuple):
    """One token; `text` is decoded for strings and as written for everything else."""

    kind: TokenKind
    text: str
    span: Span


def tokenize(text: str, source: str) -> list[Token]:
    """The tokens of `text`, closed by one `end` token.

    Raises:
        PolicyError: an unfinished string or comment, a character that starts
            no token, a text that is too long or no Unicode text.
    """
    if len(text) > MAX_SOURCE_CHARS:
        problem = f"the policy is longer than {MAX_SOURCE_CHARS} characters"
        raise PolicyError([Diagnostic(message=problem, source=source)])
    tokens: list[Token] = []
    position, line, line_start, length = 0, 1, 0, len(text)
    match_at = _TOKEN.match
    if bad := _SURROGATE.search(text):
        line = text.count("\n", 0, bad.start()) + 1
        column = bad.start() - text.rfind("\n", 0, bad.start())
        raise _error(text, source, (line, column), "the policy is not valid Unicode text")
    while position < length:
        match = match_at(text, position)
        column = position - line_start + 1
        if match is None:
            problem, advice = _unlexable(text, position)
            raise _error(text, source, (line, column), problem, advice)
        end, kind, body = match.end(), match.lastgroup, match.group()
        if kind not in {"space", "comment"}:
            try:
                token = _token(str(kind), body, Span(position, end, line, column))
            except ValueError as error:
                raise _error(text, source, (line, column), str(error)) from None
            tokens.append(token)
        if kind in {"space", "comment", "quoted"} and "\n" in body:
            line += body.count("\n")
            line_start = position + body.rindex("\n") + 1
        position = end
    tokens.append(Token("end", "", Span(length, length, line, length - line_start + 1)))
    return tokens


def _token(kind: str, body: str, span: Span) -> Token:
    if kind == "ident":
        return Token("ident", body, span)
    if kind == "op":
        return Token("op", body, span)
    if kind == "doc":
        return Token("doc", body[3:].strip(), span)
    if kind == "quoted":
        quoted = _QUOTED[body[0]]
        inner = body[1:-1] if body[0] == '"' else body[2:-1]
        plain = quoted in {"string", "datetime"}
        return Token(quoted, decode_text(inner) if plain else decode_pattern(inner), span)
    if len(body) > _MAX_NUMBER_CHARS:
        msg = f"a number has at most {_MAX_NUMBER_CHARS} characters"
        raise ValueError(msg)
    return Token("number", body, span)


def _unlexable(text: str, position: int) -> tuple[str, str | None]:
    rest = text[position : position + 2]
    if rest == "/*":
        return "this comment has no end", "close it with `*/`"
    if '"' in (rest[:1], rest[1:]) and rest[0] in 'rwd"':
        return "this string has no end", 'close it with `"`'
    char = rest[0]
    shown = char if char.isprintable() else f"U+{ord(char):04X}"
    return f"unexpected character `{shown}`", _HELP.get(char)


def _error(
    text: str, source: str, place: tuple[int, int], problem: str, advice: str | None = None
) -> PolicyError:
    line, column = place
    found = Diagnostic(
        message=problem,
        source=source,
        line=line,
        column=column,
        excerpt=excerpt(text, line, column),
        help=advice,
    )
    return PolicyError([found])
