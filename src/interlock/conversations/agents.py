"""Agents that need no definition: the built-in assistant and the model aliases of the server.

Their ids are made from their handles, so they are the same in every process and after every
restart. Agents defined elsewhere in the product are added by whoever owns them.
"""

import re
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from interlock.conversations.mentions import handle_like
from interlock.conversations.model import Agent
from interlock.identity.context import Context

__all__ = ["ASSISTANT", "ModelAgents"]

ASSISTANT = "assistant"
_SPACE = uuid.UUID("5a1d1f0e-6f0b-5d53-9c5e-3d1c1a4d7d10")
_UNFIT = re.compile(r"[^a-z0-9._-]+")


class ModelAgents:
    """The assistant and one agent per model alias."""

    def __init__(
        self, *, default_model: Callable[[], str | None], aliases: Callable[[], Sequence[str]]
    ) -> None:
        self._default_model = default_model
        self._aliases = aliases

    async def usable(self, connection: AsyncConnection, ctx: Context) -> Sequence[Agent]:
        """Every agent this caller may mention, sorted by handle."""
        del connection, ctx
        return self._all()

    async def known(
        self, connection: AsyncConnection, agent_ids: Collection[str]
    ) -> Mapping[str, Agent]:
        """Agents by id."""
        del connection
        return {one.id: one for one in self._all() if one.id in agent_ids}

    def _all(self) -> list[Agent]:
        assistant = Agent(
            id=_id(ASSISTANT),
            handle=ASSISTANT,
            display_name="Assistant",
            model=self._default_model(),
            description="Answers with the default model of this server.",
        )
        found = {ASSISTANT: assistant}
        for alias in self._aliases():
            handle = _UNFIT.sub("-", alias.lower()).strip("-._")[:32]
            if handle_like(handle) and handle != "all":
                found.setdefault(
                    handle,
                    Agent(
                        id=_id(handle),
                        handle=handle,
                        display_name=alias,
                        kind="model",
                        model=alias,
                    ),
                )
        return [found[handle] for handle in sorted(found)]


def _id(handle: str) -> str:
    return str(uuid.uuid5(_SPACE, handle))
