"""Counts of budgets in Redis, so that all processes of a server share them.

One script decides about all parts of a call and reserves them, by the clock of Redis. What a
process reserved that died is forgotten after `_HELD_S`.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, Final

import redis.asyncio as redis
from redis.exceptions import RedisError

from interlock.limits.budgets.tally import Count, CountsForgottenError, Hold
from interlock.limits.counters import CountersUnavailable

__all__ = ["RedisTally"]

_HELD_S: Final = 900
"""Longer than a request may take."""
_KEPT_S: Final = 86_400
"""How long a count outlives its window."""
_CAPACITY: Final = 100_000

_COUNT: Final = """
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
local function count(spent_key, held_key)
  local spent = tonumber(redis.call('GET', spent_key) or '-1')
  redis.call('ZREMRANGEBYSCORE', held_key, '-inf', now)
  local reserved = 0
  for _, member in ipairs(redis.call('ZRANGE', held_key, 0, -1)) do
    reserved = reserved + tonumber(string.match(member, '|(.+)$'))
  end
  return spent, reserved
end
"""
_HOLD: Final = (
    _COUNT
    + """
local call, held_s = ARGV[1], tonumber(ARGV[2])
local answer, refused = {}, 0
for i = 1, #KEYS / 2 do
  local amount, want = tonumber(ARGV[i * 4 - 1]), tonumber(ARGV[i * 4])
  local strict = ARGV[i * 4 + 1]
  local spent, reserved = count(KEYS[i * 2 - 1], KEYS[i * 2])
  if spent < 0 then return {'-1'} end
  table.insert(answer, string.format('%.17g', spent))
  table.insert(answer, string.format('%.17g', reserved))
  local fits = spent < amount and (reserved <= 0 or spent + reserved + want <= amount)
  if strict == '1' and refused == 0 and not fits then refused = i end
end
if refused == 0 then
  for i = 1, #KEYS / 2 do
    redis.call('ZADD', KEYS[i * 2], now + held_s, call .. '|' .. ARGV[i * 4])
    redis.call('PEXPIREAT', KEYS[i * 2], ARGV[i * 4 + 2])
  end
end
table.insert(answer, 1, tostring(refused))
return answer
"""
)
_SETTLE: Final = """
local call = ARGV[1]
for i = 1, #KEYS / 2 do
  redis.call('ZREM', KEYS[i * 2], call .. '|' .. ARGV[i * 2])
  if redis.call('EXISTS', KEYS[i * 2 - 1]) == 1 then
    redis.call('INCRBYFLOAT', KEYS[i * 2 - 1], ARGV[i * 2 + 1])
  end
end
return 1
"""
_LOOK: Final = (
    _COUNT
    + """
local spent, reserved = count(KEYS[1], KEYS[2])
return {string.format('%.17g', spent), string.format('%.17g', reserved)}
"""
)


class RedisTally:
    """The `Tally` of several processes. Every call raises CountersUnavailable."""

    def __init__(self, client: redis.Redis, *, prefix: str) -> None:
        """`client` must not decode answers. Names are hashed: ids stay out of Redis."""
        self._client = client
        self._prefix = prefix
        self._hold = client.register_script(_HOLD)
        self._settle = client.register_script(_SETTLE)
        self._look = client.register_script(_LOOK)
        self._begun: OrderedDict[str, None] = OrderedDict()

    def knows(self, name: str) -> bool:
        """See `Tally`."""
        return name in self._begun

    async def begin(self, name: str, spent: float, *, ends_at: float) -> None:
        """See `Tally`."""
        spent_key, _ = self._keys(name)
        expires = int((ends_at + _KEPT_S) * 1000)
        try:
            await self._client.set(spent_key, repr(spent), nx=True, pxat=expires)
        except (RedisError, OSError):
            raise CountersUnavailable from None
        self._begun[name] = None
        if len(self._begun) > _CAPACITY:
            self._begun.popitem(last=False)

    async def hold(self, call: str, holds: Sequence[Hold]) -> tuple[int | None, list[Count]]:
        """See `Tally`."""
        args: list[Any] = [call, _HELD_S]
        for one in holds:
            expires = int((one.ends_at + _KEPT_S) * 1000)
            args += [repr(one.amount), repr(one.want), "1" if one.strict else "0", expires]
        refused, *told = await self._run(self._hold, holds, args)
        if int(refused) < 0:
            for one in holds:
                self._begun.pop(one.name, None)
            raise CountsForgottenError
        counts = [
            Count(spent=float(told[i]), reserved=float(told[i + 1])) for i in range(0, len(told), 2)
        ]
        return (int(refused) - 1 if int(refused) else None), counts

    async def settle(self, call: str, holds: Sequence[Hold], used: Sequence[float]) -> None:
        """See `Tally`."""
        args: list[Any] = [call]
        for one, amount in zip(holds, used, strict=True):
            args += [repr(one.want), repr(amount)]
        await self._run(self._settle, holds, args)

    async def look(self, name: str) -> Count:
        """See `Tally`."""
        try:
            spent, reserved = await self._look(keys=list(self._keys(name)))
        except (RedisError, OSError):
            raise CountersUnavailable from None
        return Count(spent=max(0.0, float(spent)), reserved=float(reserved))

    async def close(self) -> None:
        """See `Tally`."""
        await self._client.aclose()

    async def _run(self, script: Any, holds: Sequence[Hold], args: list[Any]) -> Any:  # noqa: ANN401 - what Redis gives
        keys = [key for one in holds for key in self._keys(one.name)]
        try:
            return await script(keys=keys, args=args)
        except (RedisError, OSError):
            raise CountersUnavailable from None

    def _keys(self, name: str) -> tuple[str, str]:
        digest = hashlib.blake2b(name.encode(), digest_size=16).hexdigest()
        return f"{self._prefix}{digest}:s", f"{self._prefix}{digest}:h"
