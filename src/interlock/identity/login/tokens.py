"""The secrets of a login session: its token, the CSRF value and the link to the next token.

A token is 32 random bytes. Everything else is derived from it, so that the store, which
keeps only a SHA-256 of it, holds nothing one could sign in with: the CSRF value is a hash
of the token under another purpose, and the token that follows by rotation is stored masked
with a third one. A mask is used once.

Pure.
"""

import base64
import binascii
import hashlib
import hmac
import re

from interlock.kernel.ids import random_bytes

__all__ = ["csrf_hash", "csrf_of", "masked", "new_login_token", "stored_hash", "unmasked"]

_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")
_BYTES = 32
_CSRF_BYTES = 24


def new_login_token() -> str:
    """32 random bytes, base64url without padding."""
    return _text(random_bytes(_BYTES))


def stored_hash(token: str) -> str | None:
    """What a token is stored and looked up under; None: this is no token."""
    if not _TOKEN.fullmatch(token):
        return None
    return hashlib.sha256(token.encode()).hexdigest()


def csrf_of(token: str) -> str:
    """The CSRF value that belongs to a token."""
    return _text(_derived(token, b"csrf")[:_CSRF_BYTES])


def csrf_hash(csrf: str) -> str:
    """What a CSRF value is kept as, to be recognised later."""
    return hashlib.sha256(csrf.encode()).hexdigest()


def masked(successor: str, token: str) -> str:
    """`successor` as it may be stored: only who has `token` can read it."""
    return _mixed(_bytes(successor), token).hex()


def unmasked(stored: str, token: str) -> str:
    """The successor that was `masked` with `token`."""
    return _text(_mixed(bytes.fromhex(stored), token))


def _mixed(value: bytes, token: str) -> bytes:
    return bytes(a ^ b for a, b in zip(value, _derived(token, b"next"), strict=True))


def _derived(token: str, purpose: bytes) -> bytes:
    return hmac.digest(token.encode(), b"interlock session " + purpose, "sha256")


def _bytes(token: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(token + "=")
    except (binascii.Error, ValueError):  # pragma: no cover - tokens are checked before
        return bytes(_BYTES)


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
