"""Password hashes (argon2id). Slow on purpose: in threads of their own, some at a time.

A hash takes 64 MiB and a core for a tenth of a second. Two threads do them, so that a
crowd at the log-in takes neither all memory nor the event loop nor the threads others
need; who would wait too long is told to try again.
"""

import asyncio
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar, TypeVar

from pwdlib import PasswordHash

from interlock.identity.errors import InvalidIdentityError
from interlock.kernel.errors import ErrorKind, InterlockError

__all__ = [
    "MINIMUM_LENGTH",
    "HashingBusyError",
    "check_strength",
    "hash_password",
    "new_password",
    "verify_password",
]

MINIMUM_LENGTH = 8
"""Source: conversations.md section 3.9."""
_MAXIMUM_LENGTH = 1024
_THREADS = 2
_WAITING = 100
"""At a tenth of a second each and two at a time: five seconds."""

T = TypeVar("T")

_hasher = PasswordHash.recommended()


class HashingBusyError(InterlockError):
    """Raised when so many passwords are being checked that waiting makes no sense."""

    kind: ClassVar[ErrorKind] = ErrorKind.UNAVAILABLE
    code: ClassVar[str] = "unavailable"

    def __init__(self) -> None:
        super().__init__("too many people are signing in at this moment", retry_after_s=5)


class _Hashing:
    """The threads, and how many wait for them. Used from one event loop at a time."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="interlock-hash")
        self._waiting = 0

    async def run(self, work: Callable[[], T]) -> T:
        if self._waiting >= _WAITING:
            raise HashingBusyError
        self._waiting += 1
        future = asyncio.get_running_loop().run_in_executor(self._threads, work)
        future.add_done_callback(self._done)
        return await future

    def _done(self, future: "asyncio.Future[T]") -> None:
        self._waiting -= 1


_hashing = _Hashing()


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
    """The argon2id hash of a password, in PHC form.

    Raises:
        InvalidIdentityError: too short or too long.
        HashingBusyError: too many wait for theirs.
    """
    check_strength(password)
    return await _hashing.run(lambda: _hasher.hash(_encodable(password)))


async def verify_password(password: str, stored: str | None) -> bool:
    """Whether `password` is the one of `stored`; takes as long when there is none.

    Raises:
        HashingBusyError: too many wait for theirs.
    """
    if stored is None or len(password) > _MAXIMUM_LENGTH:
        await _hashing.run(lambda: _hasher.hash("a user without a password"))
        return False
    return await _hashing.run(lambda: _hasher.verify(_encodable(password), stored))


def _encodable(password: str) -> bytes:
    """JSON may hold lone surrogates, which UTF-8 proper cannot."""
    return password.encode("utf-8", "surrogatepass")
