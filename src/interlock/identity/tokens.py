"""The form of gateway keys: how they are made, stored and shown.

A key is 240 random bits, so a plain SHA-256 is enough to store it: there is
nothing to guess that a slow hash would slow down.
"""

import hashlib
import secrets

__all__ = ["BOOTSTRAP_MINIMUM", "digest", "new_token", "shown_prefix"]

BOOTSTRAP_MINIMUM = 16
_PREFIX = "sq-"
_RANDOM_BYTES = 30  # 40 URL-safe characters
_SHOWN = 7


def new_token() -> str:
    """`sq-` followed by 40 URL-safe characters."""
    return _PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)


def digest(token: bytes | str) -> bytes:
    """What a key is stored and looked up under."""
    raw = token.encode("utf-8", "surrogateescape") if isinstance(token, str) else token
    return hashlib.sha256(raw).digest()


def shown_prefix(token: str) -> str:
    """The characters of a key that may be shown: enough to recognise it, too few to guess it."""
    return token[:_SHOWN] if token.startswith(_PREFIX) else token[:3]
