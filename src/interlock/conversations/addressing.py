"""Whom a message addresses: its mentions, and the agents that answer it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from interlock.conversations.answering import Parent, who_answers
from interlock.conversations.errors import InvalidFieldError
from interlock.conversations.mentions import ALL, mentioned_handles
from interlock.conversations.model import Agent, Conversation, Mention, Message
from interlock.conversations.ports import Ask
from interlock.conversations.spine import Spine, Work, user_of
from interlock.identity.context import Context

__all__ = ["Addressed", "Addressing"]


class _Text(Protocol):
    @property
    def content(self) -> str: ...
    @property
    def role(self) -> str: ...
    @property
    def ask(self) -> Ask: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Addressed:
    """What was read from a message."""

    mentions: tuple[Mention, ...] = ()
    agents: tuple[Agent, ...] = ()
    warnings: tuple[str, ...] = ()


class Addressing:
    """Reads mentions against the people and agents there are."""

    def __init__(self, spine: Spine, *, max_agents: int) -> None:
        self._spine = spine
        self._max_agents = max_agents

    async def read(
        self,
        work: Work,
        ctx: Context,
        conversation: Conversation,
        parent: Message | None,
        text: _Text,
        *,
        always: bool,
    ) -> Addressed:
        """Mentions of a message and the agents that answer it; `always`: one does anyway."""
        agents = await self._spine.agents.usable(work.connection, ctx)
        mentions = await self._mentions(work, conversation, text.content, agents)
        if text.role != "user":
            return Addressed(mentions=mentions)
        by_id = {agent.id: agent for agent in agents}
        named = [one.id for one in mentions if one.kind == "agent" and one.id]
        if text.ask.agent is not None:
            named = [_chosen(agents, text.ask.agent).id]
        default = _default(agents, conversation)
        answer = who_answers(
            "always" if always else conversation.assistant_mode,
            agents=named,
            people=any(one.kind != "agent" for one in mentions),
            parent=_parent(parent, user_of(ctx), by_id),
            default=default,
            limit=self._max_agents,
        )
        left_out = [by_id[one].handle for one in answer.left_out]
        warnings = [
            f"agent `{handle}` does not answer: at most {self._max_agents} agents answer a message"
            for handle in left_out
        ]
        return Addressed(
            mentions=mentions,
            agents=tuple(by_id[one] for one in answer.agents),
            warnings=tuple(warnings),
        )

    async def one(self, work: Work, ctx: Context, name: str) -> Agent:
        """The agent of a handle or id. Raises InvalidFieldError."""
        return _chosen(await self._spine.agents.usable(work.connection, ctx), name)

    async def _mentions(
        self, work: Work, conversation: Conversation, content: str, agents: Sequence[Agent]
    ) -> tuple[Mention, ...]:
        handles = mentioned_handles(content)
        if not handles:
            return ()
        by_handle = {agent.handle: agent for agent in agents}
        people = await self._spine.directory.named(work.connection, handles)
        members = {one.user_id for one in await work.conversations.members([conversation.id])}
        found = []
        for handle in handles:
            if handle == ALL:
                found.append(Mention(kind="all", id=None, handle=ALL))
            elif handle in by_handle:
                found.append(Mention(kind="agent", id=by_handle[handle].id, handle=handle))
            elif handle in people and people[handle].id in members:
                found.append(Mention(kind="user", id=people[handle].id, handle=handle))
        return tuple(found)


def _chosen(agents: Sequence[Agent], name: str) -> Agent:
    wanted = name.strip().lower().removeprefix("@")
    for agent in agents:
        if wanted in (agent.handle, agent.id):
            return agent
    raise InvalidFieldError("agent", "names no agent you may use")


def _default(agents: Sequence[Agent], conversation: Conversation) -> str | None:
    wanted = (conversation.default_agent or "assistant").lower()
    return next((one.id for one in agents if wanted in (one.handle, one.id)), None)


def _parent(parent: Message | None, user_id: str, agents: Mapping[str, Agent]) -> Parent:
    if parent is None:
        return Parent(kind="none")
    if parent.agent_id is not None and parent.agent_id in agents:
        return Parent(kind="agent", agent_id=parent.agent_id)
    if parent.author_user_id is None:
        return Parent(kind="none")
    return Parent(kind="self" if parent.author_user_id == user_id else "other")
