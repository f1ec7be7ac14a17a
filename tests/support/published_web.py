"""The published web client: its requests, its `EventSource`, its state machine.

Source: conversations.md 3.5, 11.10 and 20.2. State is what its page of a conversation keeps;
`EventSource` follows the HTML standard, so it joins what the network cuts, and gives up for
good on an answer that is no stream.
"""

import asyncio
from typing import Any

import httpx
from tests.support.published_events import NINE, parsed
from tests.support.sse_socket import chunks

__all__ = ["Page", "Web"]


class Web:
    """A browser tab: requests carry the page's origin and the cookies of the jar."""

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url
        self.agent = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0)"
        self.jar: dict[str, str] = {}
        self.sent: list[tuple[str, str, int]] = []
        """Method, path and status of every request."""

    async def setup(self, username: str, email: str, password: str) -> bool:
        """Asks whether there is a user and makes the first one; whether it did."""
        if (await self.call("GET", "/api/setup")).json()["is_setup"]:
            return False
        body = {"username": username, "email": email, "password": password}
        answer = await self.call("POST", "/api/setup", body, csrf=False)
        assert (answer.status_code, answer.content) == (200, b"")
        return True

    async def login(self, email: str, password: str) -> dict[str, Any]:
        """Signs in."""
        body = {"email": email, "password": password}
        answer = await self.call("POST", "/api/auth/login", body)
        found: dict[str, Any] = answer.raise_for_status().json()
        return found

    async def me(self) -> dict[str, Any] | None:
        """Who is signed in, as asked after a reload; None: nobody."""
        answer = await self.call("GET", "/api/auth/me")
        return answer.json() if answer.is_success else None

    async def got(self, path: str) -> Any:
        """A document."""
        return (await self.call("GET", path)).raise_for_status().json()

    async def call(
        self, method: str, path: str, body: object = None, *, csrf: bool = True
    ) -> httpx.Response:
        """One request; after a 401 with a challenge one refresh and one more try."""
        answer = await self._send(method, path, body, csrf=csrf)
        challenged = answer.status_code == 401 and "www-authenticate" in answer.headers
        if challenged and not path.startswith("/api/auth/refresh") and self.jar:
            fresh = await self._send("POST", "/api/auth/refresh", None, csrf=csrf)
            if fresh.is_success:
                return await self._send(method, path, body, csrf=csrf)
        return answer

    def cookies(self) -> str:
        """The header."""
        return "; ".join(f"{name}={value}" for name, value in self.jar.items())

    async def _send(self, method: str, path: str, body: object, *, csrf: bool) -> httpx.Response:
        headers = {"user-agent": self.agent, "sec-fetch-site": "same-origin"}
        if self.jar:
            headers["cookie"] = self.cookies()
        if method != "GET":
            headers["origin"] = self.base_url
            if csrf and "CSRF-TOKEN" in self.jar:
                headers["x-csrf-token"] = self.jar["CSRF-TOKEN"]
        more = {} if body is None else {"json": body}
        async with httpx.AsyncClient(base_url=self.base_url, timeout=20) as http:
            answer = await http.request(method, path, headers=headers, **more)
        self.sent.append((method, path.partition("?")[0], answer.status_code))
        for line in answer.headers.get_list("set-cookie"):
            pair, *attributes = (part.strip() for part in line.split(";"))
            name, _, value = pair.partition("=")
            if "Max-Age=0" in attributes:
                self.jar.pop(name, None)
            elif "Secure" not in attributes:
                self.jar[name] = value
        return answer


class Page:
    """The page of one conversation, live while `run` runs."""

    def __init__(self, web: Web, conversation: str) -> None:
        self._web = web
        self.conversation = conversation
        self.threads: list[dict[str, Any]] = []
        self.selected: str | None = None
        self.messages: list[dict[str, Any]] = []
        self.streaming: dict[str, dict[str, Any]] = {}
        self.pending: set[str] = set()
        self.unread: dict[str, int] = {}
        self.online: set[str] = set()
        self.error: str | None = None
        self.done: list[str] = []
        self.refetched = 0
        self.given_up: int | None = None
        """Status on which the stream was given up for good."""
        self.connections = 0
        self._retry_s = 3.0
        self._event_id = ""
        self._changed = asyncio.Event()

    async def load(self) -> None:
        """What the page asks for when it opens."""
        await self._list()
        if self.threads:
            await self.select(self.threads[0]["root_id"])

    async def select(self, root: str) -> None:
        """Opens a thread."""
        self.selected = root
        await self._fetch()

    async def post(self, text: str) -> dict[str, Any]:
        """Begins a thread."""
        path = f"/api/threads/{self.conversation}/root"
        answer = await self._web.call("POST", path, {"content": text, "role": "user"})
        found: dict[str, Any] = answer.raise_for_status().json()
        await self.select(found["root_id"])
        return found

    async def reply(self, parent: str, text: str) -> dict[str, Any]:
        """Answers a message."""
        path = f"/api/messages/{parent}/reply"
        answer = await self._web.call("POST", path, {"content": text, "role": "user"})
        found: dict[str, Any] = answer.raise_for_status().json()
        await self._fetch()
        return found

    async def run(self, *, hurry: bool = True) -> None:
        """The `EventSource`; reconnects as told, at once if in a hurry."""
        path = f"/api/stream/conversations/{self.conversation}"
        while self.given_up is None:
            headers = {
                "user-agent": self._web.agent,
                "accept": "text/event-stream",
                "cache-control": "no-cache",
                "sec-fetch-site": "same-origin",
                "cookie": self._web.cookies(),
            }
            if self._event_id:
                headers["last-event-id"] = self._event_id
            try:
                async with chunks(self._web.base_url, path, headers) as answer:
                    media = answer.headers.get("content-type", "").partition(";")[0]
                    if (answer.status, media) != (200, "text/event-stream"):
                        self.given_up = answer.status
                        self._changed.set()
                        return
                    self.connections += 1
                    await self._read(answer)
            except ConnectionError:
                pass
            await asyncio.sleep(0.1 if hurry else self._retry_s)

    async def until(self, holds: Any) -> None:
        """Waits until something holds of the page."""
        async with asyncio.timeout(60):
            while not holds(self):
                self._changed.clear()
                await self._changed.wait()

    def text(self, message_id: str) -> str | None:
        """What the page shows of a message."""
        found = [one["content"] for one in self.messages if one["id"] == message_id]
        assert len(found) < 2, "a message is shown twice"
        return found[0] if found else None

    async def _read(self, answer: Any) -> None:
        buffer, name, data, ident = b"", "", [], None
        async for piece in answer:
            *lines, buffer = (buffer + piece).split(b"\n")
            for raw in lines:
                field, _, value = raw.decode().rstrip("\r").partition(":")
                value = value.removeprefix(" ")
                if field == "event":
                    name = value
                elif field == "data":
                    data.append(value)
                elif field == "id":
                    ident = value
                elif field == "retry":
                    self._retry_s = int(value) / 1000
                elif not field and not value:
                    self._event_id = self._event_id if ident is None else ident
                    if data and name in NINE:
                        await self._event(*parsed(name, "\n".join(data)))
                    name, data, ident = "", [], None
            self._changed.set()

    async def _event(self, kind: str, payload: dict[str, Any]) -> None:
        root = payload.get("root_id")
        match kind:
            case "thread.new":
                self.threads = [one for one in self.threads if one["root_id"] != root]
                self.threads.append(dict(payload["summary"]))
                self._sort()
            case "thread.activity":
                await self._activity(payload)
            case "message.delta":
                entry = self.streaming.setdefault(
                    payload["message_id"], {"content": "", "root_id": root}
                )
                entry["content"] += "".join(one["delta"]["content"] for one in payload["choices"])
            case "message.done":
                self._done(payload)
            case "presence.update":
                gone = payload["status"] == "offline"
                (self.online.discard if gone else self.online.add)(payload["user_id"])
            case "unread.update":
                self.unread[payload["root_id"]] = payload["unread"]
            case "membership.changed":
                if payload["action"] == "removed":
                    self.online.discard(payload["user_id"])
                await self._list()
            case "error":
                self.error = f"{payload['code']}: {payload['message']}"

    async def _activity(self, payload: dict[str, Any]) -> None:
        root = payload["root_id"]
        seen = root in self.pending
        for one in self.threads:
            if one["root_id"] == root:
                one["last_activity_at"] = payload["last_activity_at"]
                one["message_count"] += seen
        self._sort()
        if seen:
            self.pending.discard(root)
        elif self.selected == root:
            self.refetched += 1
            await self._fetch()

    def _done(self, payload: dict[str, Any]) -> None:
        self.error = None
        self.done.append(payload["message_id"])
        entry = self.streaming.pop(payload["message_id"], None)
        if entry is None:
            return
        for one in self.messages:
            if one["id"] == payload["message_id"]:
                one["content"] = entry["content"]
                break
        else:
            self.messages.append({"id": payload["message_id"], "content": entry["content"]})
        self.pending.add(entry["root_id"])

    async def _list(self) -> None:
        place = f"/api/conversations/{self.conversation}"
        self.threads = (await self._web.got(f"{place}/threads?limit=50"))["threads"]
        self._sort()
        listed = (await self._web.got(f"{place}/unread"))["threads"]
        self.unread = {one["root_id"]: one["unread"] for one in listed}

    async def _fetch(self) -> None:
        found = await self._web.got(f"/api/threads/{self.selected}/tree?limit=200")
        self.messages = found["messages"]

    def _sort(self) -> None:
        self.threads.sort(key=lambda one: one["last_activity_at"], reverse=True)
