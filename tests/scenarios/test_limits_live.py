"""Limits of two whole servers that share a Redis."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.support.gateway import running_gateway
from tests.support.scratch_redis import REDIS_URL, scratch_redis

pytestmark = pytest.mark.anyio
_PASSWORD = "correct horse battery"
_ADMIN = {"email": "root@example.com", "password": _PASSWORD}


@pytest.fixture
async def prefix(anyio_backend: str) -> AsyncIterator[str]:
    """Begins the names of everything these servers keep in Redis."""
    del anyio_backend
    async with scratch_redis() as (_, name):
        yield name


async def test_two_servers_count_requests_and_log_ins_together(tmp_path: Path, prefix: str) -> None:
    environ = {
        "INTERLOCK_ADMIN_EMAIL": _ADMIN["email"],
        "INTERLOCK_ADMIN_PASSWORD": _PASSWORD,
        "INTERLOCK_REDIS_URL": REDIS_URL,
        "INTERLOCK_STORE_REDIS_PREFIX": prefix,
        "INTERLOCK_RATE_LIMITS_ADMIN_API_ENABLED": "true",
        "INTERLOCK_RATE_LIMITS_AUTH_LOGIN_PER_IP_PER_MIN": "1000",
        "INTERLOCK_RATE_LIMITS_DEFAULT_RPS": "0.001",
        "INTERLOCK_RATE_LIMITS_BURST": "4",
    }
    async with (
        running_gateway(tmp_path / "one", environ=environ) as one,
        running_gateway(tmp_path / "two", environ=environ) as two,
    ):
        told = [await server.http.get("/api/nothing") for server in (one, two, one, two, one)]
        assert [answer.status_code for answer in told] == [404] * 4 + [429]
        assert [answer.headers["ratelimit-remaining"] for answer in told] == [
            "3", "2", "1", "0", "0",
        ]  # fmt: skip

        wrong = {"email": "nobody", "password": "wrong wrong wrong"}
        statuses = [
            (await server.http.post("/api/auth/login", json=wrong)).status_code
            for server in (one, two) * 6
        ]
        assert statuses == [401] * 10 + [429] * 2

        login = await one.http.post("/api/auth/login", json=_ADMIN)
        assert login.status_code == 200
        profiles = await one.http.get("/api/admin/limits/profiles")
        assert [row["name"] for row in profiles.json()] == ["conversation.post"]
        metrics = (await one.http.get("/metrics")).text
        assert 'http_rate_limit_requests_total{profile="default",result="denied"} 1.0' in metrics
        assert "rustygpt_limits_profiles 1.0" in metrics
