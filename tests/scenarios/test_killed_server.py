"""`kill -9` of a real server in the middle of traffic: what it had answered is still true."""

import asyncio
import itertools
import json
import os
import re
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import httpx
import pytest

pytestmark = pytest.mark.anyio

KEY = "sq-survivor-0123456789"
_POLICY = """
tool "read_mail" { session before { @tags |= {"untrusted"}; } }
tool "send_email" { hard deny when @session.tags overlaps {"untrusted"}; }
tool "erase" { hard deny always; }
"""
_HEADERS = {
    "authorization": f"Bearer {KEY}",
    "x-policy": json.dumps({"codes": {"code": _POLICY}}),
}
_PATH = "/control/chat/demo/v1/chat/completions"
_ACKNOWLEDGED = 60


@asynccontextmanager
async def _serving(data: Path) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """`interlock serve`, and where it listens."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "interlock", "serve", "--data", str(data), "--port", "0",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "INTERLOCK_BOOTSTRAP_KEY": KEY, "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    assert process.stdout is not None
    said = b""
    try:
        async with asyncio.timeout(60):
            while not (found := re.search(rb"serving on (http://\S+)", said)):
                line = await process.stdout.readline()
                assert line, said.decode()
                said += line
        yield process, found[1].decode()
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


def _body(text: str, *, stream: bool = False) -> dict[str, Any]:
    tools = [
        {"type": "function", "function": {"name": name, "parameters": {"type": "object"}}}
        for name in ("read_mail", "send_email", "erase")
    ]
    asked = [{"role": "user", "content": text}]
    return {"model": "demo", "messages": asked, "tools": tools, "stream": stream}


async def _ask(
    http: httpx.AsyncClient, text: str, *, session: str = "", stream: bool = False
) -> httpx.Response:
    headers = _HEADERS | ({"x-session-id": session} if session else {})
    answer = await http.post(_PATH, json=_body(text, stream=stream), headers=headers)
    assert answer.status_code == 200, answer.text
    return answer


async def _keep_asking(http: httpx.AsyncClient, first: int, denied: list[tuple[str, str]]) -> None:
    """Denied calls without end; notes the answers that arrived whole."""
    for number in itertools.count(first, 100):
        answer = await _ask(http, f'CALL erase {{"n": {number}}}', stream=number % 2 == 1)
        assert "is denied" in answer.text or answer.text.rstrip().endswith("[DONE]")
        denied.append((answer.headers["x-request-id"], answer.headers["x-session-id"]))


def _query(data: Path, statement: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(data / "interlock.db")) as store:
        return store.execute(statement).fetchall()


async def test_what_was_acknowledged_survives_kill_9_and_nothing_is_there_twice(
    tmp_path: Path,
) -> None:
    denied: list[tuple[str, str]] = []
    async with (
        _serving(tmp_path) as (process, base_url),
        httpx.AsyncClient(base_url=base_url, timeout=20) as http,
    ):
        tainted = [
            (await _ask(http, "CALL read_mail {}")).headers["x-session-id"] for _ in range(5)
        ]
        tasks = [asyncio.create_task(_keep_asking(http, n, denied)) for n in range(8)]
        async with asyncio.timeout(30):
            while len(denied) < _ACKNOWLEDGED and not any(task.done() for task in tasks):  # noqa: ASYNC110
                await asyncio.sleep(0)
        process.send_signal(signal.SIGKILL)
        ended = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(error, httpx.TransportError) for error in ended)
    assert len(denied) >= _ACKNOWLEDGED

    stored = {row[0] for row in _query(tmp_path, "SELECT request_id FROM decisions")}
    assert {request_id for request_id, _ in denied} <= stored

    async with (
        _serving(tmp_path) as (process, base_url),
        httpx.AsyncClient(base_url=base_url, timeout=20) as http,
    ):
        for session in tainted:
            answer = await _ask(http, "CALL send_email {}", session=session)
            assert "'send_email' is denied" in answer.text
        fresh = await _ask(http, "CALL send_email {}")
        assert fresh.json()["choices"][0]["finish_reason"] == "tool_calls"
        process.terminate()
        assert await asyncio.wait_for(process.wait(), 30) == 0

    assert _query(tmp_path, "PRAGMA integrity_check") == [("ok",)]
    twice = "SELECT {0}, COUNT(*) FROM {1} GROUP BY {0} HAVING COUNT(*) > 1"
    for column, table in (("request_id, role", "usage_records"), ("id", "decisions")):
        assert _query(tmp_path, twice.replace("{0}", column).replace("{1}", table)) == []
    calls = "SELECT call_id, verdict, COUNT(*) FROM decisions GROUP BY 1, 2 HAVING COUNT(*) > 1"
    assert _query(tmp_path, calls) == []
    counted = {row[0] for row in _query(tmp_path, "SELECT request_id FROM usage_records")}
    assert fresh.headers["x-request-id"] in counted
