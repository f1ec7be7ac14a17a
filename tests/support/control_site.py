"""A gateway with every published provider behind it, for contract tests of `/control`."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.demo_server import demo_server
from tests.support.gateway import Gateway, running_gateway
from tests.support.recording_demo import RecordingDemo

from interlock.gateway.history import DecisionFilter, History
from interlock.gateway.records import DecisionRecord
from interlock.identity.model import Actor, KeySpec

__all__ = ["SERVER_KEYS", "Site", "running_site"]

SERVER_KEYS = {
    "openai": "sk-server-openai-0001",
    "openrouter": "sk-server-openrouter-0002",
    "anthropic": "sk-server-anthropic-0003",
    "sequrity_azure": "sk-server-azure-0004",
}
_ADMIN = Actor(name="test", surface="server")


@dataclass(slots=True, kw_only=True)
class Site:
    """A running gateway, the model behind it, and what an administrator can do."""

    gateway: Gateway
    upstream: RecordingDemo

    @property
    def base_url(self) -> str:
        """Scheme, host and port."""
        return self.gateway.base_url

    @property
    def key(self) -> str:
        """A gateway key without restrictions."""
        return self.gateway.key

    async def new_key(self, *, user: str | None = None, **spec: Any) -> str:
        """Another gateway key; `user` (an e-mail address) is made when there is none."""
        admin = self.gateway.app.store.admin
        if user is not None:
            await admin.create_user(user, _ADMIN)
        label = f"key of {user or 'the administrator'}"
        created = await admin.create_key(KeySpec(**{"label": label, **spec}), _ADMIN, user=user)
        return created.token

    async def decisions(self, session_id: str) -> list[DecisionRecord]:
        """What was decided in a session, oldest first."""
        app = self.gateway.app
        assert await app.store.recorder.flush(wait_s=5.0)
        page = await History(app.store.database).decisions(
            DecisionFilter(session_id=session_id), limit=200
        )
        return sorted(page.decisions, key=lambda record: record.at)


@asynccontextmanager
async def running_site(
    data: Path, *, toml: str = "", environ: Mapping[str, str] | None = None
) -> AsyncIterator[Site]:
    """Starts the model on a port and the gateway in front of it."""
    upstream = RecordingDemo()
    with demo_server(upstream) as origin:
        sections = "".join(
            f"[providers.{name}]\n"
            f'base_url = "{origin}{"" if name == "sequrity_azure" else "/v1"}"\n'
            f'api_key = "{key}"\nretries = {{ attempts = 0 }}\n'
            "breaker = { failures = 1000000, minimum = 1000000 }\n"
            for name, key in SERVER_KEYS.items()
        )
        async with running_gateway(data, toml=toml + sections, environ=environ) as gateway:
            yield Site(gateway=gateway, upstream=upstream)
