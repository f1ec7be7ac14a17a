"""Workers make the replies that servers leave to them."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.support.killable import killable

pytestmark = pytest.mark.anyio

_ADMIN = {"email": "root@example.com", "password": "correct horse battery"}
_ENVIRON = {
    "INTERLOCK_ADMIN_EMAIL": _ADMIN["email"],
    "INTERLOCK_ADMIN_PASSWORD": _ADMIN["password"],
    "INTERLOCK_BOOTSTRAP_KEY": "sq-worker-key-0123456789",
    "INTERLOCK_SECRET_KEY": "0123456789abcdef0123456789abcdef",
}


@asynccontextmanager
async def working(
    data: Path, environ: Mapping[str, str]
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A worker that has said it works."""
    process = await _worker(data, environ)
    assert process.stdout is not None
    try:
        async with asyncio.timeout(60):
            assert (await process.stdout.readline()).startswith(b"Interlock is working")
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def _worker(data: Path, environ: Mapping[str, str]) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "interlock", "worker", "--data", str(data),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, **environ, "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip


async def _message(http: httpx.AsyncClient, message_id: str) -> dict[str, Any]:
    found: dict[str, Any] = (await http.get(f"/api/messages/{message_id}")).json()
    return found


async def test_a_worker_makes_what_a_server_leaves_to_it(
    tmp_path: Path, postgresql_url: str
) -> None:
    environ = _ENVIRON | {"INTERLOCK_DATABASE_URL": postgresql_url}
    serving = environ | {"INTERLOCK_SERVER_DURABLE_WORK": "false"}
    async with (
        killable(
            tmp_path / "server", key=_ENVIRON["INTERLOCK_BOOTSTRAP_KEY"], environ=serving
        ) as it,
        httpx.AsyncClient(base_url=it.base_url, timeout=20) as http,
    ):
        login = (await http.post("/api/auth/login", json=_ADMIN)).json()
        csrf = {"x-csrf-token": login["csrf_token"]}
        ids = [
            (await http.post("/api/chat", json={"message": f"SAY {n}"}, headers=csrf)).json()[
                "assistant_message_id"
            ]
            for n in range(3)
        ]
        before = [(await _message(http, one))["status"] for one in ids]
        async with working(tmp_path / "worker", environ) as process:
            async with asyncio.timeout(60):
                while True:
                    ended = [await _message(http, one) for one in ids]
                    if {one["status"] for one in ended} == {"complete"}:
                        break
                    await asyncio.sleep(0.1)
            process.terminate()
            async with asyncio.timeout(30):
                code = await process.wait()

    assert before == ["queued"] * 3
    assert [one["content"] for one in ended] == ["0", "1", "2"]
    assert code == 0


@pytest.mark.parametrize("command", ["worker", "serve"])
async def test_a_sqlite_store_has_one_process(tmp_path: Path, command: str) -> None:
    environ = {k: v for k, v in os.environ.items() if not k.startswith("INTERLOCK")}
    if command == "serve":
        environ["INTERLOCK_SERVER_DURABLE_WORK"] = "false"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "interlock", command, "--data", str(tmp_path),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=environ,
    )  # fmt: skip
    async with asyncio.timeout(60):
        said, _ = await process.communicate()

    assert process.returncode == 2
    assert b"PostgreSQL" in said
    assert b"Traceback" not in said
