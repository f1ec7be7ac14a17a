r"""Escapes in the four kinds of strings, both ways.

Plain and datetime strings know `\"`, `\\`, `\n`, `\t` and `\uXXXX`; an unknown
escape keeps its backslash. In regex and wildcard strings only `\"` is an
escape, and exactly two backslashes before a punctuation character are read as
one, because published policies write `\\.` and mean `\.`.
"""

import re
import string

__all__ = ["decode_pattern", "decode_text", "encode_pattern", "encode_text"]

_ESCAPE = re.compile(
    r"\\(u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|.)", re.DOTALL
)
_SIMPLE = {'"': '"', "\\": "\\", "n": "\n", "t": "\t"}
_BACKSLASHES = re.compile(r"\\+")
_HALVED_BEFORE = frozenset(string.punctuation) - {"\\", '"'}
_HIGH, _LOW, _AFTER = 0xD800, 0xDC00, 0xE000


def decode_text(body: str) -> str:
    r"""The characters a plain string stands for.

    Raises:
        ValueError: a `\uXXXX` escape is half of a surrogate pair.
    """
    return _ESCAPE.sub(_unescape, body) if "\\" in body else body


def _unescape(match: re.Match[str]) -> str:
    body = match.group(1)
    if body[0] != "u" or len(body) == 1:
        return _SIMPLE.get(body, match.group(0))
    first = int(body[1:5], 16)
    if not _HIGH <= first < _AFTER:
        return chr(first)
    if len(body) > 5:
        return chr(0x10000 + ((first - _HIGH) << 10) + (int(body[7:11], 16) - _LOW))
    msg = f"`\\{body}` is half of a surrogate pair"
    raise ValueError(msg)


def encode_text(text: str) -> str:
    """A plain string's body that decodes to `text`."""
    text = text.replace("\\", "\\\\").replace('"', '\\"')
    return text.replace("\n", "\\n").replace("\t", "\\t")


def decode_pattern(body: str) -> str:
    """The pattern a regex or wildcard string stands for."""
    if "\\" not in body:
        return body

    def halve(match: re.Match[str]) -> str:
        run = match.group(0)
        after = body[match.end() : match.end() + 1]
        if after == '"' and len(run) % 2:
            return run[:-1]
        return "\\" if len(run) == 2 and after in _HALVED_BEFORE and after else run

    return _BACKSLASHES.sub(halve, body)


def encode_pattern(pattern: str) -> str:
    """A regex or wildcard string's body that decodes to `pattern`."""
    return pattern.replace('"', '\\"')
