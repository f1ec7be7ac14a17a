"""The published command-line client: its requests, its cookie file, its reading of streams.

Every command is a process of its own there: a new connection, cookies from the file. Only
`login` and `me` save cookies they receive. Source: conversations.md 3.1, 6, 11.10 and 20.1.
"""

import asyncio
from pathlib import Path
from typing import Any

import httpx
from tests.support.published_events import parsed, timestamp_of
from tests.support.sse_socket import chunks

__all__ = ["Cli", "CliError", "Follow"]

_AGENT = {"user-agent": "rustygpt-cli"}


class CliError(Exception):
    """The command ends with a message."""


class Cli:
    """Commands of one person at one machine."""

    def __init__(self, server: str, jar: Path) -> None:
        self.server = server
        self.jar = jar
        """File of cookies as one header line."""

    async def login(self, email: str, password: str) -> dict[str, Any]:
        """Signs in and saves the cookies."""
        body = {"email": email, "password": password}
        answer = await self._send("POST", "/api/auth/login", json=body, cookies="")
        if not answer.is_success:
            raise CliError(f"login failed with {answer.status_code}: {answer.text}")
        found: dict[str, Any] = answer.json()
        for name in ("id", "email", "username", "roles"):
            assert found["user"][name]
        assert set(found["user"]["roles"]) <= {"admin", "member", "read_only"}
        for name in ("id", "issued_at", "expires_at", "absolute_expires_at"):
            assert found["session"][name]
        assert found["csrf_token"]
        self._save("", answer)
        return found

    async def me(self) -> dict[str, Any]:
        """Who is signed in; saves the cookies."""
        answer = await self._send("GET", "/api/auth/me")
        if answer.status_code == 401:
            raise CliError("session expired")
        found: dict[str, Any] = answer.raise_for_status().json()
        self._save(self._cookies(), answer)
        return found

    async def logout(self) -> int:
        """Sends no CSRF value; forgets the cookies whatever is answered."""
        answer = await self._send("POST", "/api/auth/logout")
        self.jar.unlink()
        return answer.status_code

    async def chat(self, conversation: str) -> list[tuple[str, str, int]]:
        """Root, excerpt and unread count of each thread."""
        listed = await self._got(f"/api/conversations/{conversation}/threads")
        unread = await self._got(f"/api/conversations/{conversation}/unread")
        counts = {one["root_id"]: one["unread"] for one in unread["threads"]}
        return [
            (one["root_id"], one["root_excerpt"], counts.get(one["root_id"], 0))
            for one in listed["threads"]
        ]

    async def thread(self, root: str, limit: int | None = None) -> list[dict[str, Any]]:
        """Messages of a thread."""
        query = "" if limit is None else f"?limit={limit}"
        found = await self._got(f"/api/threads/{root}/tree{query}")
        messages: list[dict[str, Any]] = found["messages"]
        return messages

    async def reply(self, parent: str, text: str) -> tuple[str, str]:
        """Posts; the ids it prints: message and root."""
        jar = dict(one.strip().split("=", 1) for one in self._cookies().split(";"))
        answer = await self._send(
            "POST",
            f"/api/messages/{parent}/reply",
            json={"content": text, "role": "user"},
            headers={"x-csrf-token": jar["CSRF-TOKEN"]},
        )
        if not answer.is_success:
            raise CliError(f"reply rejected: {answer.status_code} {answer.text}")
        found = answer.json()
        return found["message_id"], found["root_id"]

    async def _got(self, path: str) -> dict[str, Any]:
        answer = await self._send("GET", path)
        found: dict[str, Any] = answer.raise_for_status().json()
        return found

    async def _send(
        self,
        method: str,
        path: str,
        *,
        cookies: str | None = None,
        headers: dict[str, str] | None = None,
        **more: Any,
    ) -> httpx.Response:
        sent = self._cookies() if cookies is None else cookies
        head = _AGENT | (headers or {}) | ({"cookie": sent} if sent else {})
        async with httpx.AsyncClient(base_url=self.server, timeout=20) as http:
            return await http.request(method, path, headers=head, **more)

    def _cookies(self) -> str:
        if not self.jar.exists():
            raise CliError("no active session found")
        return self.jar.read_text()

    def _save(self, before: str, answer: httpx.Response) -> None:
        jar = dict(one.strip().split("=", 1) for one in before.split(";") if one)
        for line in answer.headers.get_list("set-cookie"):
            pair, *attributes = (part.strip() for part in line.split(";"))
            if "secure" not in [one.lower() for one in attributes]:  # plain http: dropped
                name, _, value = pair.partition("=")
                jar[name] = value
        self.jar.write_text("; ".join(f"{name}={value}" for name, value in jar.items()))
        self.jar.chmod(0o600)


class Follow:
    """`follow`: what it has printed, and what it could not read."""

    def __init__(self, cli: Cli, root: str, *, pause_s: float = 0.1) -> None:
        """`pause_s` is a second in the published client."""
        self._cli = cli
        self._root = root
        self._pause_s = pause_s
        self.printed = ""
        self.finished: list[str] = []
        """Reasons of replies that ended."""
        self.activity = 0
        self.unparsed: list[str] = []
        self.connections = 0
        self.event_id: str | None = None
        self._since: str | None = None
        self._changed = asyncio.Event()

    async def run(self) -> None:
        """Reads until it is cancelled, or a stream ended before any event."""
        first = (await self._cli.thread(self._root, limit=10))[0]
        place = f"/api/stream/conversations/{first['conversation_id']}"
        while True:
            path = place if self._since is None else f"{place}?since={self._since}"
            headers = _AGENT | {"accept": "*/*", "cookie": self._cli._cookies()}
            if self.event_id is not None:
                headers["last-event-id"] = self.event_id
            try:
                async with chunks(self._cli.server, path, headers) as answer:
                    if answer.status == 200:
                        self.connections += 1
                        await self._read(answer)
                        if self.event_id is None:
                            return
            except ConnectionError:
                pass
            await asyncio.sleep(self._pause_s)

    async def until(self, holds: Any) -> None:
        """Waits until something holds of what was read."""
        async with asyncio.timeout(60):
            while not holds(self):
                self._changed.clear()
                await self._changed.wait()

    async def _read(self, answer: Any) -> None:
        # The published parser: lines of a chunk are never joined with those of the next one.
        name, data, ident = None, "", None
        async for piece in answer:
            for raw in piece.decode("utf-8", "replace").split("\n"):
                line = raw.rstrip("\r")
                if line.startswith("event:"):
                    name = line[6:].strip()
                elif line.startswith("data:"):
                    data += line[5:].strip()
                elif line.startswith("id:"):
                    ident = line[3:].strip()
                elif not line:
                    if name is not None and data:
                        self._event(name, data)
                    if ident is not None:
                        self._since = timestamp_of(ident) or self._since
                        self.event_id = ident
                    name, data, ident = None, "", None
            self._changed.set()

    def _event(self, name: str, data: str) -> None:
        try:
            kind, payload = parsed(name, data)
        except (AssertionError, KeyError, TypeError, ValueError):
            self.unparsed.append(data)
            return
        if payload.get("root_id") != self._root:
            return
        if kind == "message.delta":
            self.printed += "".join(one["delta"]["content"] for one in payload["choices"])
        elif kind == "message.done":
            self.printed += "\n"
            self.finished.append(payload["finish_reason"])
        elif kind == "thread.activity":
            self.activity += 1
