"""Names and addresses of people: what they may be, and when two are the same.

A user name holds no `@`, so that it never reads as somebody's e-mail address. Two
names are the same when their compatibility forms (NFKC) are, ignoring case.
"""

import re
import unicodedata

from interlock.identity.errors import InvalidIdentityError

__all__ = [
    "check_display_name",
    "check_email",
    "check_username",
    "is_storable",
    "name_key",
    "username_of",
]

_EMAIL = re.compile(r"[^@\s\x00-\x1f\x7f]{1,64}@[^@\s\x00-\x1f\x7f]{1,255}")
_USERNAME = re.compile(r"[\w][\w.\-]{0,63}")
_UUID = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")
_UNFIT = re.compile(r"[^\w.\-]")
_DISPLAY_LENGTH = 200
_NAME_LENGTH = 56


def check_email(email: str) -> str:
    """The address in lower case.

    Raises:
        InvalidIdentityError: it is not of the form `name@host`.
    """
    email = email.strip().lower()
    if not _EMAIL.fullmatch(email):
        raise InvalidIdentityError("this is not an e-mail address", param="email")
    return email


def check_username(username: str) -> str:
    """The name without surrounding blanks.

    Raises:
        InvalidIdentityError: empty, too long, or with characters names do not have.
    """
    username = unicodedata.normalize("NFC", username.strip())
    if _UUID.fullmatch(username):
        raise InvalidIdentityError("a user name does not look like an id", param="username")
    if not _USERNAME.fullmatch(username) or len(name_key(username)) > 2 * _NAME_LENGTH:
        raise InvalidIdentityError(
            "a user name has 1 to 64 letters, digits, `.`, `_` and `-`", param="username"
        )
    return username


def check_display_name(name: str) -> str:
    """The name as people are shown it, without surrounding blanks.

    Raises:
        InvalidIdentityError: empty, too long, or with control characters.
    """
    name = name.strip()
    unprintable = any(unicodedata.category(character) in {"Cc", "Cs"} for character in name)
    if not 0 < len(name) <= _DISPLAY_LENGTH or unprintable:
        raise InvalidIdentityError(
            f"a name has 1 to {_DISPLAY_LENGTH} printable characters", param="display_name"
        )
    return name


def name_key(username: str) -> str:
    """What a user name is compared and looked up by."""
    return unicodedata.normalize("NFKC", username.strip()).casefold()


def is_storable(text: str) -> bool:
    """Whether a database takes it as text: no NUL, no lone surrogates."""
    return "\x00" not in text and not any("\ud800" <= one <= "\udfff" for one in text)


def username_of(email: str, n: int = 1) -> str:
    """A fitting user name for an address; `n` from 2 gives further ones when it is taken."""
    base = _UNFIT.sub("-", email.partition("@")[0])[:_NAME_LENGTH].lstrip(".-") or "user"
    return base if n == 1 else f"{base}-{n}"
