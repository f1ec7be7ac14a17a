"""A whole day of a real server at log level `debug`, and then the search for what was planted.

Logs, traces, metrics, bodies of errors, process arguments and every text column of the
database are searched for passwords, tokens, keys and for what people wrote where it has no
business.
"""

import asyncio
import os
import re
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from psycopg import sql
from tests.support.demo_server import demo_server
from tests.support.served import Served, served

pytestmark = pytest.mark.anyio
_PASSWORD = "Planted-password-of-root-4711"
_NEXT = "Planted-password-that-follows-4712"
_WRONG = "Planted-wrong-password-4713"
_KEY = "sq-planted-bootstrap-key-4714"
_BYOK = "marble/Planted+caller+4715/provider-key"
_SERVER = "quartz/Planted+server+4716/provider-key"
_OTLP = "Planted-otlp-header-4717"
_MASTER = "Planted-master-key-of-this-test-4718"
_PROMPT = "Planted prompt about the takeover 4719"
_SYSTEM = "Planted system prompt 4720"
_FILE = "Planted text of a file 4721"
_POLICY = 'tool "hash_digest" { must deny always; }'


class Collector:
    """An OTLP endpoint that keeps what it is sent."""

    def __init__(self) -> None:
        self.got = b""
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                size = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
                # Its own headers carry the credential of the collector: only bodies count.
                self.got += await reader.readexactly(int(size[1]) if size else 0)
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def collecting() -> AsyncIterator[Collector]:
    made = Collector()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield made


class Day:
    """What somebody does with a server, rightly and wrongly."""

    def __init__(self, base_url: str) -> None:
        self.http = httpx.AsyncClient(base_url=base_url, timeout=20)
        self.planted = {
            "password": _PASSWORD, "next password": _NEXT, "wrong password": _WRONG, "key": _KEY,
            "caller's provider key": _BYOK, "server's provider key": _SERVER,
            "collector's credential": _OTLP, "master key": _MASTER,
        }  # fmt: skip
        self.errors: list[str] = []
        self.csrf: dict[str, str] = {}

    async def send(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """One request; answers that tell an error are kept."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        more = (
            {} if body is None else {"content": body} if isinstance(body, str) else {"json": body}
        )
        told = await self.http.request(method, path, headers=self.csrf | named, **more)
        assert told.status_code < 500, (method, path, told.text)
        if told.status_code >= 400:
            self.errors.append(repr(told.headers) + told.text)
        return told

    async def sign_in(self, password: str, name: str) -> None:
        body = {"email": "root@example.com", "password": password}
        login = (await self.send("POST", "/api/auth/login", body)).raise_for_status()
        self.csrf = {"x-csrf-token": login.json()["csrf_token"]}
        for kind in ("SESSION_ID", "CSRF-TOKEN"):
            self.planted[f"{kind} {name}"] = self.http.cookies[kind]

    async def live(self) -> None:
        await self._signing_in()
        await self._talking()
        await self._gateway()
        await self._console()
        await self._leaving()

    async def _signing_in(self) -> None:
        for body in (
            {"email": "root@example.com", "password": _WRONG},
            {"email": _WRONG, "password": _WRONG},
            {"email": "root@example.com", "password": {"x": _WRONG}},
            f'{{"email": "root", "password": "{_WRONG}',
        ):
            await self.send("POST", "/api/auth/login", body, content_type="application/json")
        form = {"identifier": "root@example.com", "password": _WRONG, "next": "/console"}
        self.errors.append((await self.http.post("/console/login", data=form)).text)
        await self.sign_in(_PASSWORD, "first")
        passwords = {"current_password": _WRONG, "new_password": _NEXT}
        await self.send("POST", "/api/account/password", passwords)
        passwords["current_password"] = _PASSWORD
        await self.send("POST", "/api/account/password", passwords)
        fresh = (await self.send("POST", "/api/auth/refresh")).json()
        self.csrf = {"x-csrf-token": fresh["csrf_token"]}
        self.planted["rotated session"] = self.http.cookies["SESSION_ID"]
        self.planted["rotated csrf"] = self.http.cookies["CSRF-TOKEN"]

    async def _talking(self) -> None:
        made = {"title": "x", "is_group": True, "system_prompt": _SYSTEM}
        place = (await self.send("POST", "/api/conversations", made)).json()["conversation_id"]
        chat = f"/api/conversations/{place}"
        for text in (f"@assistant SAY {_PROMPT}", f'CALL hash_digest {{"text": "{_PROMPT}"}}'):
            await self.send("POST", f"{chat}/reply", {"content": text, "wait": True})
        await self.send("POST", f"{chat}/reply", {"content": [_PROMPT]})
        await self.send("POST", f"{chat}/reply", f'{{"content": "{_PROMPT}')
        await self.send("GET", f"/api/search?q={_PROMPT}")
        files = {"file": ("notes.txt", _FILE.encode(), "text/plain")}
        sent = await self.http.post(f"{chat}/attachments", files=files, headers=self.csrf)
        assert sent.status_code == 201
        invite = {"email": "ann@example.com", "role": "member"}
        token = (await self.send("POST", f"{chat}/invites", invite)).json()["token"]
        self.planted["invitation"] = token
        await self.send("POST", "/api/invites/accept", {"token": token})
        await self.send("POST", f"/api/invites/{token}/revoke")
        arguments = {"arguments": {"text": _PROMPT, "wrong": _PROMPT}}
        await self.send("POST", "/api/tools/text_stats/invoke", arguments)
        await self.send("POST", "/api/tools/hash_digest/invoke", {"arguments": {"text": _PROMPT}})

    async def _gateway(self) -> None:
        message = {"role": "user", "content": f"SAY {_PROMPT}"}
        body = {"model": "demo", "max_tokens": 50, "messages": [message]}
        fails = {**body, "messages": [{"role": "user", "content": f"FAIL 401 {_PROMPT}"}]}
        cookies, self.http.cookies = self.http.cookies, httpx.Cookies()
        csrf, self.csrf = self.csrf, {}
        for provider in ("demo", "far"):
            for path in ("chat/completions", "messages", "responses"):
                for asked in (body, fails, {"model": [_PROMPT]}, f'{{"model": "{_PROMPT}'):
                    sent = {**asked, "input": _PROMPT} if isinstance(asked, dict) else asked
                    for own in ({}, {"x_api_key": _BYOK}):
                        told = await self.http.request(
                            "POST",
                            f"/control/chat/{provider}/v1/{path}",
                            headers={"authorization": f"Bearer {_KEY}"}
                            | {name.replace("_", "-"): value for name, value in own.items()},
                            **({"content": sent} if isinstance(sent, str) else {"json": sent}),
                        )
                        if told.status_code >= 400:
                            self.errors.append(repr(told.headers) + told.text)
        for header in (f"Bearer {_WRONG}", f"Basic {_WRONG}", _WRONG):
            await self.send("GET", "/control/chat/demo/v1/models", authorization=header)
            await self.send("GET", "/api/conversations", authorization=header)
        await self.send("GET", "/api/conversations", cookie=f"SESSION_ID={_WRONG}")
        await self.send("GET", f"/api/conversations?access_token={_WRONG}")
        self.http.cookies, self.csrf = cookies, csrf

    async def _console(self) -> None:
        page = (await self.http.get("/console/keys")).text
        csrf = self.http.cookies["CSRF-TOKEN"]
        assert "Keys" in page
        form = {"label": "made", "expires": "30", "retention": "full", "tool_pinning": "off"}
        told = await self.http.post("/console/keys", data={**form, "csrf": csrf})
        shown = re.search(r"sq-[A-Za-z0-9_-]{20,}", told.text)
        if shown is not None:
            self.planted["key made in the console"] = shown[0]
        for path in ("/console", "/console/decisions?t=all", "/console/usage", "/console/settings"):
            assert (await self.http.get(path)).status_code in {200, 303}
        forged = await self.http.post("/console/keys", data={**form, "csrf": _WRONG})
        assert forged.status_code == 403
        self.errors.append(forged.text.replace(csrf, ""))  # forms of one's own page carry it

    async def _leaving(self) -> None:
        await self.send("POST", "/api/auth/logout")
        await self.send(
            "GET", "/api/auth/me", cookie=f"SESSION_ID={self.planted['SESSION_ID first']}"
        )
        await self.sign_in(_NEXT, "second")


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_what_was_planted_is_nowhere_where_it_has_no_business(
    tmp_path: Path, kind: str, request: pytest.FixtureRequest
) -> None:
    async with collecting() as traces:
        environ = {
            "INTERLOCK_ADMIN_EMAIL": "root@example.com",
            "INTERLOCK_ADMIN_PASSWORD": _PASSWORD,
            "INTERLOCK_BOOTSTRAP_KEY": _KEY,
            "INTERLOCK_SECRET_KEY": _MASTER,
            "INTERLOCK_LOG_LEVEL": "debug",
            "INTERLOCK_TELEMETRY_OTLP_ENDPOINT": traces.url,
            "INTERLOCK_TELEMETRY_OTLP_HEADERS": f"authorization={_OTLP}",
            "INTERLOCK_SERVER_SHUTDOWN_S": "2",
        }
        url = f"sqlite:///{tmp_path / 'server0' / 'interlock.db'}"
        if kind == "postgresql":
            environ["INTERLOCK_DATABASE_URL"] = url = request.getfixturevalue("postgresql_url")
        with demo_server() as upstream:
            data = tmp_path / "server0"
            data.mkdir()
            (data / "chat.sqrt").write_text(_POLICY)
            (data / "interlock.toml").write_text(
                f'[gateway]\npolicy_files = ["chat.sqrt"]\n'
                f'[providers.far]\nbase_url = "{upstream}/v1"\napi_key = "{_SERVER}"\n'
            )
            async with served(tmp_path, environ) as (server,):
                day = Day(server.base_url)
                await day.live()
                arguments = _arguments(server)
                day.errors.append((await day.http.get("/metrics")).text)
                await day.http.aclose()
                await server.stop()
            found = {
                "log": server.logged.read_text(),
                "output": server.said.read_text(),
                "traces": traces.got.decode("latin-1"),
                "arguments": arguments,
                "errors and metrics": "\n".join(day.errors),
            }
    assert '"level":"debug"' in found["log"]
    assert len(traces.got) > 1000
    kept = _texts(url)
    secrets = {name: text for name, text in day.planted.items() if len(text) >= 16}
    assert len(secrets) == len(day.planted) >= 14
    leaks = {
        (name, where)
        for name, text in secrets.items()
        for where, told in {**found, "database": kept}.items()
        if text in told or text[4:-4] in told
    }
    assert leaks == set()
    texts = {"prompt": _PROMPT, "system prompt": _SYSTEM, "text of a file": _FILE}
    spread = {
        (name, where)
        for name, text in texts.items()
        for where in ("log", "output", "traces", "arguments")
        if text in found[where]
    }
    assert spread == set()
    assert _PROMPT in kept  # the search itself works


def _arguments(server: Served) -> str:
    """Command lines of the server and of what it started, as anybody on the machine sees them."""
    found = []
    for one in Path("/proc").glob("[0-9]*"):
        try:
            status = (one / "status").read_text()
            if one.name == str(server.pid) or f"PPid:\t{server.pid}\n" in status:
                found.append((one / "cmdline").read_bytes().decode("utf-8", "replace"))
        except OSError:
            continue
    if os.path.isdir("/proc/self"):
        assert found
    return "\n".join(found)


def _texts(url: str) -> str:
    """Every value of every column of every table that is text or bytes."""
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
            connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
            names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            return "\n".join(
                repr(row)
                for (name,) in names.fetchall()
                for row in connection.execute(f'SELECT * FROM "{name}"')
            )
    with psycopg.connect(url) as connection:
        names = connection.execute(
            "SELECT schemaname, tablename FROM pg_tables"
            " WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
        )
        return "\n".join(
            repr(row)
            for schema, name in names.fetchall()
            for row in connection.execute(
                sql.SQL("SELECT * FROM {}.{}").format(sql.Identifier(schema), sql.Identifier(name))
            )
        )
