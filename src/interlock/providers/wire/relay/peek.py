"""What the three `peek`s share: opening a body and reading single members of it."""

import re
from typing import Any, NoReturn, TypeVar

import msgspec
from msgspec import Raw, Struct

from interlock.providers.wire.errors import InvalidRequestError
from interlock.providers.wire.relay.exact import (
    JSON_ERRORS,
    DuplicateMemberError,
    check_unique,
    loads,
    members,
)

__all__ = [
    "ABSENT",
    "DUAL_ONLY",
    "Members",
    "boolean",
    "decode",
    "dual_only",
    "joined",
    "need_text",
    "open_body",
    "text",
    "unambiguous",
]

Members = dict[str, Raw]
T = TypeVar("T")

ABSENT = Raw(b"null")
"""Default of members that stay unopened."""

DUAL_ONLY = ("user_provided_program", "context_vars")

_DUAL_ONLY = frozenset(DUAL_ONLY)
_text = msgspec.json.Decoder(str)
_AT = re.compile(r" - at `\$?\.?([^`]*)`$")
_MISSING = re.compile(r"missing required field `([^`]*)`")
_NULL = b"null"


class _Part(Struct):
    type: str = "text"
    text: Any = None


_parts = msgspec.json.Decoder(list[_Part])


def open_body(body: bytes) -> Members:
    """The top-level members. Raises `InvalidRequestError` for everything that is not one object.

    Members are unique, every byte is valid UTF-8, and every value is well-formed JSON.
    """
    try:
        if not body.isascii():
            body.decode()
        opened = members(body)
        check_unique(body, opened)
    except UnicodeDecodeError as error:
        raise InvalidRequestError("the body is not valid UTF-8") from error
    except DuplicateMemberError as error:
        raise InvalidRequestError(str(error), param=error.name or None) from error
    except RecursionError as error:
        raise InvalidRequestError("the body is nested too deeply") from error
    except msgspec.ValidationError as error:
        raise InvalidRequestError("the body must be a JSON object") from error
    except JSON_ERRORS as error:
        raise InvalidRequestError(f"the body is not valid JSON: {error}") from error
    return opened


def decode(decoder: msgspec.json.Decoder[T], value: Raw, path: str) -> T:
    """`value` as the decoder's type; errors name the member below `path`."""
    try:
        return decoder.decode(value)
    except msgspec.ValidationError as error:
        _refuse(str(error), path, error)
    except JSON_ERRORS as error:
        raise InvalidRequestError(f"`{path}` is not valid JSON", param=path) from error


def _refuse(message: str, path: str, cause: Exception) -> NoReturn:
    """Turns the decoder's path into ours: below a list it begins with its index."""
    found = _AT.search(message)
    if found is not None:
        message = message[: found.start()]
        below = found[1]
        path += below if below.startswith("[") or not below else f".{below}"
    missing = _MISSING.search(message)
    if missing is not None:
        path += f".{missing[1]}"
    message = message[:1].lower() + message[1:]
    raise InvalidRequestError(f"`{path}`: {message}", param=path) from cause


def text(opened: Members, name: str) -> str | None:
    """A string member; None when absent or null."""
    value = opened.get(name)
    if value is None or bytes(value) == _NULL:
        return None
    return decode(_text, value, name)


def need_text(opened: Members, name: str) -> str:
    """A non-empty string member that must be there."""
    value = opened.get(name)
    if value is None:
        raise InvalidRequestError(f"`{name}` is missing", param=name)
    found = decode(_text, value, name)
    if not found:
        raise InvalidRequestError(f"`{name}` must not be empty", param=name)
    return found


def boolean(opened: Members, name: str, *, default: bool) -> bool:
    """A boolean member; `default` when absent or null."""
    value = opened.get(name)
    if value is None:
        return default
    match bytes(value):
        case b"true":
            return True
        case b"false":
            return False
        case b"null":
            return default
        case _:
            raise InvalidRequestError(f"`{name}` must be a boolean", param=name)


def dual_only(opened: Members) -> tuple[str, ...]:
    """Members only dual-llm execution knows that are given."""
    if _DUAL_ONLY.isdisjoint(opened):
        return ()
    return tuple(n for n in DUAL_ONLY if n in opened and bytes(opened[n]) != _NULL)


def unambiguous(value: Raw, path: str) -> None:
    """Refuses a value in which any object names a member twice.

    For what is inspected below the top level: tool results. What a guard reads must
    be what the model reads.
    """
    try:
        loads(value)
    except DuplicateMemberError as error:
        raise InvalidRequestError(f"`{path}`: {error}", param=path) from error
    except JSON_ERRORS as error:
        raise InvalidRequestError(f"`{path}` is not valid JSON", param=path) from error


def joined(value: Raw, path: str) -> str:
    """Text of a content: a string, or parts whose texts are joined by newlines."""
    match memoryview(value)[0]:
        case 0x22:  # a quote
            return decode(_text, value, path)
        case 0x6E:  # null
            return ""
    parts = decode(_parts, value, path)
    return "\n".join(part.text for part in parts if isinstance(part.text, str))
