"""Where uses are counted: in this process, or in Redis for all processes at once.

Both give the same verdicts for the same instants (`algorithms`). A bucket nobody uses is
forgotten: in memory by age and by number, in Redis by expiry.

Source: architecture.md section 3.
"""

import hashlib
from collections import OrderedDict
from typing import ClassVar, Final, Protocol

import redis.asyncio as redis
from redis.exceptions import RedisError

from interlock.kernel.clock import Clock
from interlock.kernel.errors import ErrorKind, InterlockError
from interlock.limits.algorithms import EMPTY, Limit, State, Verdict, spend, take

__all__ = ["Counters", "CountersUnavailable", "MemoryCounters", "RedisCounters"]

_CAPACITY: Final = 100_000
_PREFIX: Final = "interlock:limit:"


class CountersUnavailable(InterlockError):  # noqa: N818 - says what is the case
    """Redis does not answer, so nobody can say what was used."""

    kind: ClassVar[ErrorKind] = ErrorKind.UNAVAILABLE
    code: ClassVar[str] = "limits_unavailable"

    def __init__(self) -> None:
        super().__init__("the shared counters of rate limits do not answer", retry_after_s=1)


class Counters(Protocol):
    """Counts uses under names."""

    async def take(self, name: str, limit: Limit, amount: float = 1) -> Verdict:
        """Uses `amount` if it is there; decided and counted in one step.

        Raises CountersUnavailable.
        """
        ...

    async def spend(self, name: str, limit: Limit, amount: float) -> None:
        """Uses `amount` whatever is there. Raises CountersUnavailable."""
        ...

    async def look(self, name: str, limit: Limit) -> Verdict:
        """What one use would be told; counts nothing. Raises CountersUnavailable."""
        ...


class MemoryCounters:
    """Counts in this process; bounded."""

    def __init__(self, clock: Clock, *, capacity: int = _CAPACITY) -> None:
        self._clock = clock
        self._capacity = capacity
        self._states: OrderedDict[str, tuple[State, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._states)

    def take_now(self, name: str, limit: Limit, amount: float = 1) -> Verdict:
        """`take` without waiting."""
        now = self._now()
        state, verdict = take(limit, self._state(name), amount, now=now)
        if verdict.allowed:
            self._keep(name, state, limit, now)
        return verdict

    async def take(self, name: str, limit: Limit, amount: float = 1) -> Verdict:
        """See `Counters`."""
        return self.take_now(name, limit, amount)

    async def spend(self, name: str, limit: Limit, amount: float) -> None:
        """See `Counters`."""
        now = self._now()
        self._keep(name, spend(limit, self._state(name), amount, now=now), limit, now)

    async def look(self, name: str, limit: Limit) -> Verdict:
        """See `Counters`."""
        return take(limit, self._state(name), 1, now=self._now())[1]

    def _state(self, name: str) -> State:
        kept = self._states.get(name)
        return EMPTY if kept is None else kept[0]

    def _keep(self, name: str, state: State, limit: Limit, now: float) -> None:
        states = self._states
        states[name] = (state, now + limit.full_after_s)
        states.move_to_end(name)
        for _ in range(2):  # two go for every one that comes: idle ones are found in time
            oldest = next(iter(states))
            if states[oldest][1] <= now or len(states) > self._capacity:
                del states[oldest]
            else:
                break

    def _now(self) -> float:
        # Windows are aligned to the epoch, so that processes would agree on them.
        return self._clock.now().timestamp()


_SCRIPT: Final = """
local kind, amount, period, want = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local mode = ARGV[5]
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
local kept = redis.call('GET', KEYS[1])
local a, b, c = 0, 0, 0
if kept then a, b, c = struct.unpack('>ddd', kept) end
local ttl, left, reset, wait
if kind == 'bucket' then
  local span = amount * period
  local tat = math.max(a, now)
  local least = math.min(want, amount) * period
  wait = tat + least - span - now
  if mode == 'spend' or wait <= 1e-6 then
    wait = -1
    tat = tat + want * period
    a, b, c = tat, 0, 0
  end
  left = math.max(0, span - (tat - now)) / period
  reset = tat - now
  ttl = reset
else
  local start = math.floor(now / period) * period
  if a ~= start then
    local before = 0
    if a == start - period then before = b end
    a, b, c = start, 0, before
  end
  local stop = start + period
  local used = b
  local weighed = 0
  if kind == 'sliding' then weighed = c * (stop - now) / period end
  used = used + weighed
  local least = math.min(want, amount)
  reset = stop - now
  if mode ~= 'spend' and used + least > amount + 1e-9 then
    wait = stop - now
    local over = used + least - amount
    if kind == 'sliding' and c > 0 and over <= weighed then
      wait = over * period / c
    elseif kind == 'sliding' and b > amount - least then
      wait = wait + period * (1 - (amount - least) / b)
    end
    left = math.max(0, amount - used)
  else
    wait = -1
    b = b + want
    left = math.max(0, amount - used - want)
  end
  ttl = stop - now + period
end
if wait < 0 and mode ~= 'look' then
  redis.call('SET', KEYS[1], struct.pack('>ddd', a, b, c), 'PX', math.ceil(ttl * 1000) + 1000)
end
return {tostring(wait), string.format('%.9f', left), string.format('%.9f', reset)}
"""
_KINDS: Final = {
    "gcra": "bucket",
    "token_bucket": "bucket",
    "fixed_window": "fixed",
    "sliding_window": "sliding",
}


class RedisCounters:
    """Counts in Redis: one script decides and counts, by the clock of Redis."""

    def __init__(self, client: redis.Redis, *, prefix: str = _PREFIX) -> None:
        """`client` must not decode answers. Names are hashed: they may hold addresses."""
        self._script = client.register_script(_SCRIPT)
        self._prefix = prefix

    async def take(self, name: str, limit: Limit, amount: float = 1) -> Verdict:
        """See `Counters`."""
        return await self._run(name, limit, amount, "take")

    async def spend(self, name: str, limit: Limit, amount: float) -> None:
        """See `Counters`."""
        await self._run(name, limit, amount, "spend")

    async def look(self, name: str, limit: Limit) -> Verdict:
        """See `Counters`."""
        return await self._run(name, limit, 1, "look")

    async def _run(self, name: str, limit: Limit, amount: float, mode: str) -> Verdict:
        key = self._prefix + hashlib.blake2b(name.encode(), digest_size=16).hexdigest()
        given = [
            _KINDS[limit.algorithm],
            repr(float(limit.amount)),
            repr(float(limit.period_s)),
            repr(float(amount)),
            mode,
        ]
        try:
            wait, left, reset = (float(one) for one in await self._script(keys=[key], args=given))
        except (RedisError, OSError):
            raise CountersUnavailable from None
        allowed = wait < 0
        return Verdict(
            allowed=allowed,
            limit=int(limit.amount),
            remaining=int(left + 1e-9) if allowed else 0,
            reset_s=max(0.0, reset),
            retry_after_s=0.0 if allowed else wait,
        )
