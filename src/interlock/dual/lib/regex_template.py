r"""Replacement templates of `re.sub` and `Match.expand`: `\1`, `\g<name>`, escapes."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

__all__ = ["Template", "TemplateError", "parse_template"]

_CONTROL = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_STEP = re.compile(
    r"\\(?:g<(?P<name>[^>]*)>|(?P<octal>0[0-7]{0,2}|[0-3][0-7]{2})|(?P<number>[1-9][0-9]?)"
    r"|(?P<char>.?))",
    re.DOTALL,
)


class TemplateError(ValueError):
    """Raised for a bad template, in the words of `re`."""

    def __init__(self, message: str, type_name: str = "PatternError") -> None:
        super().__init__(message)
        self.type_name = type_name


@dataclass(frozen=True, slots=True)
class Template:
    """A template as literal texts and numbers of groups."""

    parts: Sequence[str | int]

    def expand(self, text: str, spans: Sequence[tuple[int, int]]) -> str:
        """The replacement of one match."""
        return "".join(
            part
            if isinstance(part, str)
            else text[spans[part][0] : spans[part][1]]
            if spans[part][0] >= 0
            else ""
            for part in self.parts
        )


def parse_template(template: str, groups: int, names: Mapping[str, int]) -> Template:
    """Parses a template for a pattern with so many groups and such names.

    Raises:
        TemplateError: bad escape or group reference.
    """
    if "\\" not in template:
        return Template((template,))
    parts: list[str | int] = []
    at = 0
    for found in _STEP.finditer(template):
        parts.append(template[at : found.start()])
        parts.append(_part(found, groups, names))
        at = found.end()
    parts.append(template[at:])
    return Template(parts)


def _part(found: re.Match[str], groups: int, names: Mapping[str, int]) -> str | int:
    position = found.start()
    if found["octal"] is not None:
        return chr(int(found["octal"], 8))
    if found["number"] is not None:
        return _group(int(found["number"]), groups, position + 1)
    name = found["name"]
    if name is not None:
        return _named(name, groups, names, position + 3)
    char = found["char"]
    if char == "g":
        raise TemplateError(f"missing < at position {position + 2}")
    if char == "":
        raise TemplateError(f"bad escape (end of pattern) at position {position}")
    if char in _CONTROL:
        return _CONTROL[char]
    if char == "\\":
        return char
    if char.isascii() and char.isalpha():
        raise TemplateError(f"bad escape \\{char} at position {position}")
    return "\\" + char


def _named(name: str, groups: int, names: Mapping[str, int], position: int) -> int:
    if not name:
        raise TemplateError(f"missing group name at position {position}")
    if name.isdecimal() and name.isascii() and len(name) < 10:
        return _group(int(name), groups, position)
    if not name.isidentifier():
        raise TemplateError(f"bad character in group name {name!r} at position {position}")
    if name not in names:
        raise TemplateError(f"unknown group name {name!r}", "IndexError")
    return names[name]


def _group(number: int, groups: int, position: int) -> int:
    if number > groups:
        raise TemplateError(f"invalid group reference {number} at position {position}")
    return number
