"""Runs content guards where they do not hold up other requests.

A short text is looked at where it is. A long one goes to a small pool of threads: the
pattern engine works without the interpreter's lock, so that the event loop goes on
(measured: 5 MB take 0.5 to 4 s, and the loop waits 1 ms at the median and 47 ms at worst).

What cannot be looked at in time does not pass: the caller gets an error, never the text.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar, TypeVar

from interlock.kernel.errors import ErrorKind, InterlockError

__all__ = ["LONG_TEXT", "GuardPool", "GuardTimeoutError"]

T = TypeVar("T")

LONG_TEXT = 16 << 10
"""Characters from which a text is handed to a thread; up to there guards take 0.5 to 25 ms."""


class GuardTimeoutError(InterlockError):
    """Raised when the guards could not look at a text in time."""

    kind: ClassVar[ErrorKind] = ErrorKind.UNAVAILABLE
    code: ClassVar[str] = "guard_timeout"

    def __init__(self, wait_s: float) -> None:
        super().__init__(
            f"a text of the request could not be inspected within {wait_s:g} s",
            hint="try again, or send less at once",
            retry_after_s=1,
        )


class GuardPool:
    """Threads for long texts; they are started when first needed."""

    def __init__(self, *, threads: int = 2, wait_s: float = 60.0) -> None:
        """`wait_s` counts from the request for a thread to the end of the inspection."""
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="guards")
        self._wait_s = wait_s

    async def run(self, size: int, inspect: Callable[[], T]) -> T:
        """What `inspect` returns for a text of `size` characters.

        Cancelled or late, an inspection that has begun goes on in its thread, unheard.

        Raises:
            GuardTimeoutError: it took too long.
        """
        if size < LONG_TEXT:
            return inspect()
        try:
            async with asyncio.timeout(self._wait_s):
                return await asyncio.get_running_loop().run_in_executor(self._threads, inspect)
        except TimeoutError:
            raise GuardTimeoutError(self._wait_s) from None

    def close(self) -> None:
        """Lets go of the threads; who still waits for one is cancelled."""
        self._threads.shutdown(wait=False, cancel_futures=True)
