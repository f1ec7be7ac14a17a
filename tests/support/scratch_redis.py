"""A corner of Redis for one test; the test is skipped where there is none."""

import os
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import redis.asyncio as redis

__all__ = ["REDIS_URL", "scratch_redis"]

REDIS_URL = os.environ.get("TEST_REDIS_URL", "redis://127.0.0.1:6379")


@asynccontextmanager
async def scratch_redis() -> AsyncIterator[tuple[redis.Redis, str]]:
    """A client, and the prefix of the keys that are removed afterwards."""
    client = redis.from_url(REDIS_URL)
    try:
        try:
            await client.ping()
        except (redis.RedisError, OSError) as error:
            pytest.skip(f"Redis is not reachable: {error}")
        prefix = f"test:{uuid.uuid4()}:"
        yield client, prefix
        async for key in client.scan_iter(f"{prefix}*"):
            await client.delete(key)
    finally:
        await client.aclose()
