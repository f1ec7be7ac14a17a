"""JSON read and written exactly: duplicates are found, numbers stay as they were written.

Two depths. `members` and `elements` open one level and leave what is inside as raw
bytes, which come out of `dumps` unchanged; this is the way of everything frequent.
`loads` opens a whole text; floats stay raw, so that `dumps` writes them digit by digit.

Readers disagree about an object that names a member twice: some take the first,
some the last. What we decide about must be what the other side reads, so `loads`
refuses such text, `check_unique` does for the top level of a body, and everything
re-encoded here names each member once.
"""

import json
import re
from typing import Any, NoReturn

import msgspec
from msgspec import Raw

from interlock.providers.wire.errors import MalformedAnswerError

__all__ = [
    "JSON_ERRORS",
    "DuplicateMemberError",
    "check_unique",
    "dumps",
    "elements",
    "escape",
    "loads",
    "loads_any",
    "members",
    "raw",
    "text_of",
    "unescape",
]

Tree = dict[str, Any]


class DuplicateMemberError(ValueError):
    """An object names a member twice; `name` is the member."""

    def __init__(self, name: str) -> None:
        super().__init__(f"member `{name}` is given twice")
        self.name = name


JSON_ERRORS = (msgspec.MsgspecError, ValueError, RecursionError)
"""What reading bytes as JSON can raise (invalid UTF-8 and duplicates are ValueErrors)."""

_members = msgspec.json.Decoder(dict[str, Raw])
_elements = msgspec.json.Decoder(list[Raw])
_encode = msgspec.json.Encoder().encode

_KEY = re.compile(rb'[ \t\n\r]*"((?:[^"\\]|\\.)*)"[ \t\n\r]*:[ \t\n\r]*')
_NEXT = re.compile(rb"[ \t\n\r]*([,}])")
_LONE = re.compile("[\ud800-\udfff]")


def members(text: bytes | Raw) -> dict[str, Raw]:
    """The members of an object, unopened and in order. Raises one of `JSON_ERRORS`."""
    return _members.decode(text)


def elements(text: bytes | Raw) -> list[Raw]:
    """The elements of an array, unopened. Raises one of `JSON_ERRORS`."""
    return _elements.decode(text)


def check_unique(body: bytes, opened: dict[str, Raw]) -> None:
    """Raises `DuplicateMemberError` unless `body` names each of its `opened` members once.

    A compact body is proved by its length alone: the parts, the punctuation they need,
    and nothing left over. Others are walked from member to member, never into one.
    """
    size = 4 * len(opened) + 1 + len("".join(opened)) + sum(map(len, opened.values()))
    if size == len(body) or not opened:
        return
    seen: set[str] = set()
    at = body.index(b"{") + 1
    while (key := _KEY.match(body, at)) is not None:
        name = msgspec.json.decode(b'"' + key[1] + b'"', type=str)
        value = bytes(opened[name])
        # INVARIANT: a value is compared, not measured: the last of two members must not
        # lend its length to the first, or a walk could step over the second.
        if name in seen or not body.startswith(value, key.end()):
            raise DuplicateMemberError(name)
        seen.add(name)
        after = _NEXT.match(body, key.end() + len(value))
        if after is None:
            raise DuplicateMemberError(name)
        if after[1] == b"}":
            return
        at = after.end()
    raise DuplicateMemberError("")


def loads(text: bytes | Raw) -> Any:  # noqa: ANN401 - any JSON value
    r"""The whole value; floats are `Raw`. Raises one of `JSON_ERRORS`, also for duplicates.

    Unlike the fast reader it accepts half a surrogate pair (`"\ud83d"`), which
    providers written in languages with 16-bit characters cut texts at.
    """
    return _strict.decode(bytes(text).decode())


def loads_any(text: bytes | Raw) -> Any:  # noqa: ANN401 - any JSON value
    """As `loads`, but the last of duplicate members wins; for text that is re-encoded."""
    return _lenient.decode(bytes(text).decode())


def dumps(value: object) -> bytes:
    """Compact JSON of trees read here, and of plain ones."""
    try:
        return _encode(value)
    except UnicodeEncodeError:
        return _encode(_mended(value))
    except RecursionError as error:
        raise MalformedAnswerError("the answer is nested too deeply") from error


def raw(value: object) -> Raw:
    """`value` as unopened JSON."""
    return Raw(dumps(value))


def text_of(value: object) -> str:
    """`value` if it is text, else nothing; halves of surrogate pairs are replaced."""
    if not isinstance(value, str):
        return ""
    return value if value.isascii() else _LONE.sub("\ufffd", value)


def escape(text: str) -> bytes:
    """`text` as the body of a JSON string; halves of surrogate pairs may meet again."""
    try:
        return _encode(text)[1:-1]
    except UnicodeEncodeError:
        return json.dumps(text).encode()[1:-1]


def unescape(pieces: list[bytes]) -> str:
    """The text of a JSON string cut into `pieces` between its quotes."""
    text = b'"' + b"".join(pieces) + b'"'
    try:
        return msgspec.json.decode(text, type=str)
    except JSON_ERRORS:
        return text_of(_lenient.decode(text.decode()))


def _mended(value: object) -> object:
    """`value` with halves of surrogate pairs replaced: UTF-8 has no bytes for them."""
    if isinstance(value, str):
        return _LONE.sub("\ufffd", value)
    if isinstance(value, dict):
        return {_mended(name): _mended(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_mended(element) for element in value]
    return value


def _unique(pairs: list[tuple[str, Any]]) -> Tree:
    tree = dict(pairs)
    if len(tree) != len(pairs):
        names = [name for name, _ in pairs]
        raise DuplicateMemberError(next(name for name in names if names.count(name) > 1))
    return tree


def _float(text: str) -> Raw:
    return Raw(text.encode())


def _constant(text: str) -> NoReturn:
    raise ValueError(f"`{text}` is not JSON")


_strict = json.JSONDecoder(object_pairs_hook=_unique, parse_float=_float, parse_constant=_constant)
_lenient = json.JSONDecoder(parse_float=_float, parse_constant=_constant)
