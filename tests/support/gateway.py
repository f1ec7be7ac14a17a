"""A whole server in the test's own event loop, on a real port of loopback."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from interlock.app import Application, GatewayServer, build, make_server, tick
from interlock.app_settings import load_settings
from interlock.web.hot import HotProtocol

KEY = "sq-test-key-0123456789"


@dataclass(slots=True, kw_only=True)
class Gateway:
    """A running server."""

    base_url: str
    key: str
    app: Application
    data: Path
    http: httpx.AsyncClient
    server: GatewayServer

    def connections(self) -> list[HotProtocol]:
        """The open connections of clients."""
        found = self.server.server_state.connections
        return [one for one in found if isinstance(one, HotProtocol)]

    def chat(self, provider: str = "demo", endpoint: str = "chat") -> str:
        """Base URL for OpenAI SDKs."""
        return f"{self.base_url}/control/{endpoint}/{provider}/v1"

    def messages(self, provider: str = "demo", endpoint: str = "chat") -> str:
        """Base URL for Anthropic SDKs."""
        return f"{self.base_url}/control/{endpoint}/{provider}"

    async def post(self, path: str, body: Any, **headers: str) -> httpx.Response:
        """A raw request with the key; header names with underscores for dashes."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        named.setdefault("authorization", f"Bearer {self.key}")
        if isinstance(body, bytes):
            return await self.http.post(path, content=body, headers=named)
        return await self.http.post(path, json=body, headers=named)


@asynccontextmanager
async def running_gateway(
    data: Path, *, toml: str = "", environ: Mapping[str, str] | None = None
) -> AsyncIterator[Gateway]:
    """Starts a server with its data in `data`; stops it at the end."""
    data.mkdir(parents=True, exist_ok=True)
    if toml:
        (data / "interlock.toml").write_text(toml)
    given = {
        "INTERLOCK_BOOTSTRAP_KEY": KEY,
        "INTERLOCK_SERVER_SHUTDOWN_S": "1",
        "INTERLOCK_LOG_LEVEL": "error",
        **(environ or {}),
    }
    loaded = load_settings(data=data, options={"server.port": 0}, environ=given)
    application = build(loaded.settings)
    async with application.running():
        server = make_server(application)
        started = asyncio.Event()
        server.on_ready = started.set
        serving = asyncio.create_task(server.serve())
        ticking = asyncio.create_task(tick(application, server))
        async with asyncio.timeout(20):
            await started.wait()
        base_url = server.base_url
        async with httpx.AsyncClient(base_url=base_url, timeout=20) as http:
            yield Gateway(
                base_url=base_url, key=KEY, app=application, data=data, http=http, server=server
            )
        server.should_exit = True
        ticking.cancel()
        await asyncio.wait_for(serving, 20)
