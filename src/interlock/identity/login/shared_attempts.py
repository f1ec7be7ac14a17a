"""Counts attempts to sign in for all processes at once: in Redis, by its clock.

Same verdicts as `attempts.MemoryAttempts`: the instants within the window, and nothing rounded.
Fails closed: while Redis does not answer nobody signs in.
"""

import hashlib
from typing import ClassVar, Final

import redis.asyncio as redis
from redis.exceptions import RedisError

from interlock.kernel.errors import ErrorKind, InterlockError

__all__ = ["AttemptsUnavailableError", "RedisAttempts"]

_PREFIX: Final = "interlock:attempts:"
_SCRIPT: Final = """
local limit, window = tonumber(ARGV[1]), tonumber(ARGV[2])
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
while true do
  local oldest = redis.call('LINDEX', KEYS[1], 0)
  if not oldest or tonumber(oldest) > now - window then break end
  redis.call('LPOP', KEYS[1])
end
if redis.call('LLEN', KEYS[1]) >= limit then
  return string.format('%.6f', tonumber(redis.call('LINDEX', KEYS[1], 0)) + window - now)
end
redis.call('RPUSH', KEYS[1], string.format('%.6f', now))
redis.call('PEXPIRE', KEYS[1], math.ceil(window * 1000) + 1000)
return '0'
"""


class AttemptsUnavailableError(InterlockError):
    """Raised when Redis does not answer, so nobody can say how often was tried."""

    kind: ClassVar[ErrorKind] = ErrorKind.UNAVAILABLE
    code: ClassVar[str] = "unavailable"

    def __init__(self) -> None:
        super().__init__("the shared counters of attempts to sign in do not answer")
        self.retry_after_s = 1


class RedisAttempts:
    """See `attempts.Attempts`."""

    def __init__(self, client: redis.Redis, *, prefix: str = _PREFIX) -> None:
        """Names are hashed: they may hold addresses."""
        self._client = client
        self._script = client.register_script(_SCRIPT)
        self._prefix = prefix

    async def take(self, name: str, *, limit: int, window_s: float) -> float:
        """Counts an attempt; see `Attempts.take`. Raises AttemptsUnavailableError."""
        try:
            wait_s = await self._script(keys=[self._key(name)], args=[limit, repr(window_s)])
        except (RedisError, OSError):
            raise AttemptsUnavailableError from None
        return max(0.0, float(wait_s))

    async def forget(self, name: str) -> None:
        """Forgets the attempts under a name. Raises AttemptsUnavailableError."""
        try:
            await self._client.delete(self._key(name))
        except (RedisError, OSError):
            raise AttemptsUnavailableError from None

    def _key(self, name: str) -> str:
        return self._prefix + hashlib.blake2b(name.encode(), digest_size=16).hexdigest()
