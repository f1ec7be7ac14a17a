"""Fan-out to other processes over Redis or Valkey publish/subscribe.

Redis only makes it quick: what it loses the log has. A process that was cut off, or sees
a hole in the numbers, reads the log from the last event it gave out, so nothing is lost
and nothing comes twice. While Redis is away the log is polled (`EventLog`).
"""

import asyncio
import logging
import os
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
import redis.asyncio as redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from interlock.events.model import Event

__all__ = ["RedisFanout"]

_AGAIN_S: Final = (0.05, 0.1, 0.25, 0.5, 1.0)
_WAITING = 1000
"""Batches kept for Redis; older ones others read from the log."""
_SILENCE_S = 5.0
_TIMEOUT_S = 3.0

_log = logging.getLogger("interlock.events")


class _Wire(msgspec.Struct, frozen=True, array_like=True):
    """An event as it travels between processes of one version."""

    seq: int
    stream: str
    id: str
    type: str
    payload: dict[str, Any]
    audience: str | None
    at_ms: int
    key: str | None


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[_Wire]).decode


class RedisFanout:
    """One process's place on the channel all processes of a store share."""

    def __init__(self, url: str, *, prefix: str = "interlock") -> None:
        self._client = redis.Redis.from_url(
            url,
            socket_connect_timeout=_TIMEOUT_S,
            socket_timeout=None,
            health_check_interval=0,
            retry=Retry(NoBackoff(), 0),
        )
        self._channel = f"{prefix}:events"
        self._me = os.urandom(8)
        self._waiting: deque[Sequence[Event]] = deque(maxlen=_WAITING)
        self._ready = asyncio.Event()
        self._connected = False

    @property
    def connected(self) -> bool:
        """Whether events of other processes are heard now."""
        return self._connected

    def publish(self, events: Sequence[Event]) -> None:
        """Tells other processes, soon; never waits or raises."""
        self._waiting.append(events)
        self._ready.set()

    async def run(
        self, heard: Callable[[Sequence[Event]], None], again: Callable[[], None]
    ) -> None:
        """Tells and hears until cancelled; `again` after every time of deafness."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._tell())
                group.create_task(self._hear(heard, again))
        finally:
            self._connected = False
            await self._client.aclose()

    async def _tell(self) -> None:
        failures = 0
        while True:
            await self._ready.wait()
            while self._waiting:
                batch = self._waiting[0]
                message = self._me + _encode([_wire(event) for event in batch])
                try:
                    async with asyncio.timeout(_TIMEOUT_S):
                        await self._client.publish(self._channel, message)
                except (RedisError, OSError, TimeoutError):
                    failures += 1
                    await asyncio.sleep(_AGAIN_S[min(failures, len(_AGAIN_S)) - 1])
                    continue
                failures = 0
                # It may have been pushed out meanwhile by newer ones.
                if self._waiting and self._waiting[0] is batch:
                    self._waiting.popleft()
            self._ready.clear()

    async def _hear(
        self, heard: Callable[[Sequence[Event]], None], again: Callable[[], None]
    ) -> None:
        failures = 0
        while True:
            try:
                async with self._client.pubsub() as channel:
                    await channel.subscribe(self._channel)
                    await self._messages(channel, heard, again)
            except (RedisError, OSError, TimeoutError) as error:
                if self._connected or failures == 0:
                    _log.warning("events of other processes come late: %s", type(error).__name__)
                failures = 1 if self._connected else failures + 1
                self._connected = False
                again()
                await asyncio.sleep(_AGAIN_S[min(failures, len(_AGAIN_S)) - 1])

    async def _messages(
        self,
        channel: redis.client.PubSub,
        heard: Callable[[Sequence[Event]], None],
        again: Callable[[], None],
    ) -> None:
        asked = False
        while True:
            message = await channel.get_message(timeout=_SILENCE_S)
            if message is None:
                # Silence: a server that vanished without a word is noticed by the ping.
                if asked:
                    raise TimeoutError
                await channel.ping()
                asked = True
                continue
            asked = False
            if message["type"] == "subscribe":
                self._connected = True
                again()
            elif message["type"] == "message":
                data = message["data"]
                if not data.startswith(self._me):
                    heard(_events(data[len(self._me) :]))


def _wire(event: Event) -> tuple[Any, ...]:
    return (
        event.seq,
        event.stream,
        event.id,
        event.type,
        event.payload,
        event.audience,
        event.at_ms,
        event.key,
    )


def _events(data: bytes) -> list[Event]:
    """Events of a message; none if it is not ours, the log has them then."""
    try:
        found = _decode(data)
    except msgspec.DecodeError:
        return []
    return [
        Event(
            seq=one.seq,
            stream=one.stream,
            id=one.id,
            type=one.type,
            payload=one.payload,
            audience=one.audience,
            at_ms=one.at_ms,
            key=one.key,
        )
        for one in found
    ]
