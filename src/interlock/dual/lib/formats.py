"""The formatting mini-language over host scalars: format specs, `%` formats, replacement fields.

Widths and precisions are checked before anything is built. Nothing here knows
values of programs: callers pass scalars, and functions that render the rest.
"""

import re
import string
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

__all__ = [
    "FieldName",
    "FormatError",
    "Piece",
    "field_name",
    "format_scalar",
    "percent_pieces",
    "spec_width",
    "template_pieces",
]

Scalar = str | int | float | bool

_NUMBER = re.compile(r"\d+")


class FormatError(Exception):
    """Raised for what Python raises: the type's name and the message."""

    def __init__(self, type_name: str, message: str) -> None:
        super().__init__(message)
        self.type_name = type_name
        self.message = message


def spec_width(spec: str) -> int:
    """The greatest number in a format spec: no output exceeds its input by more than that.

    A number of more than nine digits reads as 10**9.
    """
    found: list[str] = _NUMBER.findall(spec)
    return max((int(number) if len(number) < 10 else 10**9 for number in found), default=0)


def format_scalar(value: Scalar, spec: str) -> str:
    """`format(value, spec)` of a scalar; the caller has checked `spec_width`.

    Raises:
        FormatError: as Python words it.
    """
    try:
        return format(value, spec)
    except (ValueError, OverflowError, TypeError) as error:
        raise FormatError(type(error).__name__, str(error)) from None


@dataclass(frozen=True, slots=True)
class Piece:
    """Literal text, and the replacement field that follows it (`field` None: nothing does)."""

    literal: str
    field: str | None = None
    conversion: str | None = None
    spec: str = ""


def template_pieces(template: str) -> list[Piece]:
    """The pieces of a `str.format` template.

    Raises:
        FormatError: unbalanced braces and the like.
    """
    pieces = []
    try:
        for literal, field, spec, conversion in string.Formatter().parse(template):
            if conversion is not None and conversion not in ("r", "s", "a"):
                raise FormatError("ValueError", f"Unknown conversion specifier {conversion}")
            pieces.append(Piece(literal, field, conversion, spec or ""))
    except ValueError as error:
        raise FormatError("ValueError", str(error)) from None
    return pieces


@dataclass(frozen=True, slots=True)
class FieldName:
    """A parsed field name: the argument it starts from, and the way from there."""

    first: int | str
    """An index, a keyword, or "" for the next argument."""
    path: Sequence[tuple[bool, int | str]]
    """Steps: (whether it is an attribute, name or key)."""


_FIELD_STEP = re.compile(r"\.([^.\[]*)|\[([^\]]*)\]")


def field_name(text: str) -> FieldName:
    """Parses what stands in a replacement field before `!` and `:`.

    Raises:
        FormatError: as `str.format` words it.
    """
    head = re.match(r"[^.\[]*", text)
    first_text = head[0] if head else ""
    first: int | str = first_text
    if first_text.isdecimal():
        first = _index(first_text)
    path: list[tuple[bool, int | str]] = []
    at = len(first_text)
    while at < len(text):
        found = _FIELD_STEP.match(text, at)
        if found is None:
            if text[at] == "[":
                raise FormatError("ValueError", "Missing ']' in format string")
            message = "Only '.' or '[' may follow ']' in format field specifier"
            raise FormatError("ValueError", message)
        attribute, key = found[1], found[2]
        if not (attribute or key):
            raise FormatError("ValueError", "Empty attribute in format string")
        if attribute is not None:
            path.append((True, attribute))
        else:
            path.append((False, _index(key) if key.isdecimal() else key))
        at = found.end()
    return FieldName(first, path)


def _index(text: str) -> int:
    if len(text) > 18:
        raise FormatError("ValueError", "Too many decimal digits in format string")
    return int(text)


_PERCENT = re.compile(
    r"%(?:\((?P<key>[^()]*(?:\([^()]*\)[^()]*)*)\))?(?P<flags>[#0\- +]*)(?P<width>\*|\d*)"
    r"(?:\.(?P<precision>\*|\d*))?[hlL]?(?P<type>.?)",
    re.DOTALL,
)
_INTEGERS = frozenset("diuoxXc")
_REALS = frozenset("eEfFgG")
_TEXTS = frozenset("sra")


@dataclass(frozen=True, slots=True)
class _Percent:
    key: str | None
    flags: str
    width: str
    precision: str | None
    kind: str
    at: int


def _percent_fields(template: str) -> Iterator[str | _Percent]:
    at = 0
    while (start := template.find("%", at)) >= 0:
        if start > at:
            yield template[at:start]
        if template.startswith("%(", start) and template.find(")", start) < 0:
            raise FormatError("ValueError", "incomplete format key")
        found = _PERCENT.match(template, start)
        if found is None or not found["type"]:
            raise FormatError("ValueError", "incomplete format")
        kind = found["type"]
        if kind == "%":
            yield "%"
        elif kind not in _INTEGERS | _REALS | _TEXTS:
            raise FormatError(
                "ValueError",
                f"unsupported format character {kind!r} ({ord(kind):#x}) "
                f"at index {found.end() - 1}",
            )
        else:
            yield _Percent(
                found["key"], found["flags"], found["width"], found["precision"], kind, start
            )
        at = found.end()
    if at < len(template):
        yield template[at:]


@dataclass(frozen=True, slots=True)
class PercentSource:
    """Where a `%` format takes its values from."""

    next: Callable[[], object]
    """The next positional value.

    Raises:
        FormatError: there is none.
    """
    keyed: Callable[[str], object]
    """The value of a mapping's key.

    Raises:
        FormatError: no mapping, or no such key.
    """
    text: Callable[[object, str], str]
    """A value as `s`, `r` or `a` has it."""
    type_name: Callable[[object], str]
    checked: Callable[[int], None]
    """Is told the characters to be built; raises when they are too many."""
    scalar: Callable[[object], object]
    """The host scalar of a value, None when it is none."""


def percent_pieces(template: str, source: PercentSource) -> list[str]:
    """The pieces of `template % ...`, to be joined.

    Raises:
        FormatError: as Python words it.
    """
    pieces = []
    for field in _percent_fields(template):
        piece = field if isinstance(field, str) else _percent_piece(field, source)
        source.checked(len(piece))
        pieces.append(piece)
    return pieces


def _percent_piece(field: _Percent, source: PercentSource) -> str:
    width = _star(field.width, source)
    precision = None if field.precision is None else _star(field.precision or "0", source)
    value = source.next() if field.key is None else source.keyed(field.key)
    flags = field.flags
    if width.startswith("-"):
        flags, width = flags + "-", width[1:]
    if precision is not None and precision.startswith("-"):
        precision = "0"
    source.checked(max(spec_width(width), spec_width(precision or "")))
    form = f"%{flags}{width}{'' if precision is None else '.' + precision}"
    if field.kind in _TEXTS:
        return str(f"{form}s" % (source.text(value, field.kind),))
    scalar = source.scalar(value)
    kind = source.type_name(value)
    if field.kind == "c":
        if not isinstance(scalar, (int, str)):
            raise FormatError("TypeError", "%c requires int or char")
    elif not isinstance(scalar, (int, float)):
        wanted = "an integer" if field.kind in "oxX" else "a real number"
        if field.kind in _REALS:
            raise FormatError("TypeError", f"must be real number, not {kind}")
        raise FormatError("TypeError", f"%{field.kind} format: {wanted} is required, not {kind}")
    elif field.kind in "oxX" and isinstance(scalar, float):
        message = f"%{field.kind} format: an integer is required, not float"
        raise FormatError("TypeError", message)
    try:
        return str(f"{form}{field.kind}" % (scalar,))
    except (ValueError, OverflowError, TypeError) as error:
        raise FormatError(type(error).__name__, str(error)) from None


def _star(text: str, source: PercentSource) -> str:
    if text != "*":
        return text
    value = source.scalar(source.next())
    if not isinstance(value, int):
        raise FormatError("TypeError", "* wants int")
    return str(int(value))


def keyed_from(found: Mapping[str, object], key: str) -> object:
    """The value of `key`.

    Raises:
        FormatError: KeyError, as Python words it.
    """
    if key not in found:
        raise FormatError("KeyError", repr(key))
    return found[key]
