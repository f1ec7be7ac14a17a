"""Password hashes (argon2id). Slow on purpose: off the event loop, some at a time."""

import asyncio
import secrets
import threading

from pwdlib import PasswordHash

from interlock.identity.errors import InvalidIdentityError

__all__ = ["MINIMUM_LENGTH", "check_strength", "hash_password", "new_password", "verify_password"]

MINIMUM_LENGTH = 10
_MAXIMUM_LENGTH = 1024
_hasher = PasswordHash.recommended()
# Each hash takes 64 MiB and a core for a tenth of a second: a crowd must not take them all.
_turns = threading.BoundedSemaphore(2)


def new_password() -> str:
    """A random password of 24 characters."""
    return secrets.token_urlsafe(18)


def check_strength(password: str) -> None:
    """Refuses what is too short to be a password or too long to be hashed.

    Raises:
        InvalidIdentityError: naming the bound.
    """
    if not MINIMUM_LENGTH <= len(password) <= _MAXIMUM_LENGTH:
        raise InvalidIdentityError(
            f"a password has {MINIMUM_LENGTH} to {_MAXIMUM_LENGTH} characters", param="password"
        )


async def hash_password(password: str) -> str:
    """The argon2id hash of a password.

    Raises:
        InvalidIdentityError: too short or too long.
    """
    check_strength(password)
    return await asyncio.to_thread(_hash, password)


async def verify_password(password: str, stored: str | None) -> bool:
    """Whether `password` is the one of `stored`; takes as long when there is none."""
    if stored is None or len(password) > _MAXIMUM_LENGTH:
        await asyncio.to_thread(_hash, "a user without a password")
        return False
    return await asyncio.to_thread(_verify, password, stored)


def _hash(password: str) -> str:
    with _turns:
        return _hasher.hash(password)


def _verify(password: str, stored: str) -> bool:
    with _turns:
        return _hasher.verify(password, stored)
